"""docs/experiments.md: its Python blocks run in order and print what the text after each says; its TOML is read."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")

from tinygrad_lab.experiments import read_toml

PAGE = (Path(__file__).parent.parent / "docs" / "experiments.md").read_text(encoding="utf-8")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_code_of_the_page_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == PAGE.count("```python") == 4
    names: dict[str, Any] = {}
    for code, said in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "experiments.md", "exec"), names)
        assert doctest.OutputChecker().check_output(said, printed.getvalue(), FLAGS), f"{code}\n{printed.getvalue()}"


def test_the_files_of_the_page_are_read(tmp_path: Path) -> None:
    net, swept = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "net.toml").write_text(net + swept)
    experiment, table = read_toml(tmp_path / "net.toml")
    assert experiment.hidden == (32,) and table["seeds"] == [0, 1] and len(table) == 3
