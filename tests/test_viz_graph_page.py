"""The page that viz.graph saves, in a browser: pan and zoom by keys and buttons, light and dark, nothing fetched."""

from __future__ import annotations

import pytest
from browser import chromium, missing

import tinygrad_lab as torch
from tinygrad_lab import nn, viz

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"{missing()} is not installed (Debian: chromium, chromium-driver)"),
]

TRANSFORM = "return new DOMMatrix(getComputedStyle(document.querySelector('#stage > svg')).transform).toJSON()"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    hostile = {"</script><img src=x onerror=alert(1)>": (x := torch.ones(1, 3))}
    return viz.graph(model(x).sum(), model, names=hostile, direction="LR").save(tmp_path / "graph.html")


def opened(browser, page, theme="light"):
    browser.errors(), browser.requests()
    browser.emulate(prefers_color_scheme=theme)
    browser.size(900, 600)
    browser.open(page)


def state(browser):
    found = browser.run(TRANSFORM)
    return found["a"], found["e"], found["f"]


def test_keys_and_buttons_move_and_zoom(browser, page):
    opened(browser, page)
    browser.run("document.getElementById('stage').focus()")
    scale, x, y = state(browser)
    browser.press("Right")
    assert state(browser) == (scale, x - 60, y)
    browser.press("+")
    assert state(browser)[0] == pytest.approx(1.25 * scale, rel=1e-4)
    browser.press("0")
    assert state(browser) == (scale, x, y)
    browser.run("document.getElementById('out').click()")
    assert state(browser)[0] == pytest.approx(0.8 * scale, rel=1e-4)
    browser.run("document.getElementById('fit').click()")
    assert state(browser) == (scale, x, y)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_fetched_and_nothing_runs_that_should_not(browser, page, theme):
    opened(browser, page, theme)
    assert browser.errors() == []
    assert {url for url in browser.fetched(page) if not url.startswith(("about:", "data:"))} == {page.as_uri()}
    assert browser.run("return document.images.length") == 0
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (theme == "light")


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_a_long_graph_opens_at_its_start_large_enough_to_read(browser, tmp_path, direction):
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(60):
        y = y.tanh()
    opened(browser, viz.graph(y.sum(), names={"x": x}, direction=direction).save(tmp_path / "graph.html"))
    assert state(browser)[0] == pytest.approx(0.7)
    assert browser.run(
        "const a = document.querySelector('#stage .parameter').getBoundingClientRect(),"
        "b = stage.getBoundingClientRect(); return a.left >= b.left && a.right <= b.right && a.top >= b.top"
    )
    browser.run("document.getElementById('fit').click()")
    assert state(browser)[0] < 0.3


def test_the_drawing_fits_the_window(browser, page):
    opened(browser, page)
    inside = browser.run(
        "const a = document.querySelector('#stage > svg').getBoundingClientRect(),"
        "b = document.getElementById('stage').getBoundingClientRect();"
        "return a.left >= b.left - 1 && a.right <= b.right + 1 && a.bottom <= b.bottom + 1"
    )
    assert inside
