"""README keeps its word: its Python blocks run in order, and the error that it shows is the one that is raised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_python_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    shown = 0
    for block in BLOCKS:
        promised = re.search(r"^# (\w+Error): (.*)$", block, re.MULTILINE)
        if promised is None:
            exec(compile(block, "<README>", "exec"), namespace)
            continue
        with pytest.raises(RuntimeError) as caught:
            exec(compile(block, "<README>", "exec"), namespace)
        said = str(caught.value)
        assert promised[2].split(", called at")[0] in said
        shown += 1
    assert len(BLOCKS) >= 3 and shown == 1
    assert (tmp_path / "model.safetensors").stat().st_size > 0


def test_links_lead_to_files() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert len(targets) >= 8
    for target in targets:
        assert (Path(__file__).parent.parent / target).exists(), target
