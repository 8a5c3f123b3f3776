"""docs/drawing.md keeps its word: its programs run, in order, and its links lead somewhere."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "drawing.md").read_text()


def test_programs_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "<drawing.md>", "exec"), namespace)
    assert (tmp_path / "graph.svg").stat().st_size > 1000 and (tmp_path / "steps.html").stat().st_size > 10_000
    shown = capsys.readouterr().out
    promised = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1]
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(promised + "...\n", shown, flags)


def test_links_lead_to_files():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (DOCS / target).exists(), target


def test_the_picture_at_the_top_of_readme_is_what_the_example_draws(tmp_path):
    root = DOCS.parent
    assert "docs/graph.svg" in (root / "README.md").read_text().split("## Start")[0]
    program = [sys.executable, str(root / "examples" / "draw_softmax_and_mlp.py"), str(tmp_path)]
    subprocess.run(program, check=True, capture_output=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    shown, drawn = (
        re.findall(r">([^<]+)<", path.read_text()) for path in (DOCS / "graph.svg", tmp_path / "mlp-ops.svg")
    )
    assert shown == drawn, "draw it again: python examples/draw_softmax_and_mlp.py FOLDER, FOLDER/mlp-ops.svg"
