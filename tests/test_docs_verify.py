"""docs/verify.md: its Python blocks run in order, and print what the text block after each says."""

from __future__ import annotations

import contextlib
import doctest
import io
import linecache
import re
from pathlib import Path

from tinygrad_lab import verify

PAGE = Path(__file__).parent.parent / "docs" / "verify.md"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_code_of_the_page_prints_what_the_page_says() -> None:
    before, names = dict(verify.catalogue), {}
    try:
        blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
        assert len(blocks) >= 6
        for i, (code, said) in enumerate(blocks):
            file, printed = f"verify.md, block {i}", io.StringIO()
            linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
            with contextlib.redirect_stdout(printed):
                exec(compile(code, file, "exec"), names)
            found = printed.getvalue()
            assert doctest.OutputChecker().check_output(said, found, FLAGS), f"{file}:\n{code}\nprinted\n{found}"
    finally:
        verify.catalogue.clear()
        verify.catalogue.update(before)
