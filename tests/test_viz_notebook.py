"""An executed notebook shows drawings; where it is not trusted, their text is there."""

from __future__ import annotations

import warnings

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")
pytest.importorskip("nbconvert")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

CELLS = [
    """
import tinygrad_lab as torch
from tinygrad_lab import nn, viz
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
loss = nn.functional.cross_entropy(model(torch.ones(5, 3)), torch.tensor([0, 1, 1, 0, 1]))
drawing = viz.graph(loss, model)
steps = viz.step(loss, model)
loss.backward()
""",
    "drawing",
    "steps",
    "model.graph(torch.ones(1, 3), depth=1)",
]


@pytest.fixture(scope="module")
def notebook():
    from nbclient import NotebookClient

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NotebookClient(made, timeout=120, kernel_name="python3").execute()
    return made


def outputs(notebook):
    return [cell.outputs[0].data for cell in notebook.cells[1:]]


def test_outputs_have_the_drawing_and_the_text(notebook):
    drawing, steps, folded = outputs(notebook)
    assert drawing["image/svg+xml"].startswith("<svg") and "<svg" in drawing["text/html"]
    assert "loss = cross_entropy(" in drawing["text/plain"] and "grad 1" in drawing["text/plain"]
    assert "text/html" in steps and "cross_entropy" in steps["text/plain"]
    assert "Linear (~input)" in folded["text/plain"]


def test_a_trusted_page_shows_the_drawing(notebook):
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "cross_entropy" in page and page.count("<svg") >= 2


def test_an_untrusted_one_the_text(notebook):
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter(sanitize_html=True).from_notebook_node(notebook)
    body = page[page.index("<body") :]
    assert "<svg" not in body
    assert "loss = cross_entropy(" in body
