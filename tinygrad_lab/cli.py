"""The `tinygrad-lab` command: runs what `commands` holds and turns errors into exit codes. Needs the `lab` extra.

Bad values get one line and exit code 2; what fails while running gets one line and exit code 1; Ctrl-C exit code 130.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command with `arguments` (default: the program's), and exit with its code."""
    try:
        import typer

        from tinygrad_lab.commands import app
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tinygrad_lab"):  # a fault of this package, not of its installation
            raise
        sys.exit(f"tinygrad-lab needs {error.name}: pip install 'tinygrad_lab[lab]'")
    code: Any = 0
    try:
        given = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
        code = typer.main.get_command(app).main(given, prog_name="tinygrad-lab", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except ValueError as error:
        code = _complain(error, 2)
    except (RuntimeError, OSError, ImportError, MemoryError) as error:
        code = _complain(error, 1)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer says of the arguments has it, under whatever class it has
            raise
        code = _complain(ValueError(error.format_message()), 2)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(error: Exception, code: int) -> int:
    from tinygrad_lab.commands.application import one_line

    print(f"tinygrad-lab: {one_line(error)}", file=sys.stderr)
    return code
