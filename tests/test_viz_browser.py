"""The step page in headless Chromium, by keyboard alone: no error, no request, nothing unreadable, no focus lost."""

from __future__ import annotations

import re
import time

import pytest
from browser import chromium, missing
from viz_pages import attention_steps, broken_steps, data_of, hostile_steps, long_steps, mnist_steps, residual_steps

import tinygrad_lab as torch
from tinygrad_lab import nn, viz

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"{missing()} is not installed (Debian: chromium, chromium-driver)"),
]


@pytest.fixture(scope="module")
def window():
    with chromium() as opened:
        yield opened


@pytest.fixture
def browser(window):
    window.post("url", {"url": "about:blank"})
    window.errors(), window.requests()  # of what was there before
    return window


def clean(browser, page):
    """Nothing in the console, and nothing fetched but the page itself."""
    assert browser.errors() == []
    fetched = {url.partition("#")[0] for url in browser.requests()}
    assert fetched <= {page.as_uri(), "about:blank", "data:,"}, fetched


FITS = "return [document.documentElement.scrollWidth - innerWidth, panel.scrollWidth - panel.clientWidth]"

# Text whose contrast with what is behind it is below 4.5, but for what is disabled, covered or inside the drawing.
UNREADABLE = """
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const skipped = "script, style, svg, .skip, #narration, :disabled, dialog:not([open])";
const bad = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text = walker.nextNode(); text; text = walker.nextNode()) {
  const element = text.parentElement;
  if (!text.data.trim() || element.closest(skipped) || !element.checkVisibility()) continue;
  let ground = element;
  const style = () => getComputedStyle(ground);
  while (ground && style().backgroundImage === "none" && numbers(style().backgroundColor)[3] === 0) {
    ground = ground.parentElement;
  }
  if (ground && style().backgroundImage !== "none") continue;
  const a = light(numbers(getComputedStyle(element).color).slice(0, 3));
  const b = light(numbers(getComputedStyle(ground ?? document.body).backgroundColor).slice(0, 3));
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) bad.push(`${text.data.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
}
return bad;
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (1000, 700)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_all_steps_by_keyboard_forward_and_predicting(browser, tmp_path, theme, size):
    steps = residual_steps()
    titles = [step["title"] for step in data_of(steps)["steps"]]
    page = steps.save(tmp_path / "steps.html")
    browser.emulate(prefers_color_scheme=theme, prefers_reduced_motion="reduce")
    browser.size(*size)
    browser.open(page)
    assert browser.run("return document.documentElement.dataset.theme ?? 'light'") == theme
    for i, title in enumerate(titles):
        assert browser.run("return document.querySelector('#step h2').textContent") == title
        assert browser.run("return document.querySelector('#count').textContent") == f"{i + 1} / {len(titles)}"
        assert browser.run(FITS) == [0, 0]
        assert browser.run(UNREADABLE) == []
        working = browser.run("return [...document.querySelectorAll('.working')].map((card) => card.dataset.id)")
        assert working == [data_of(steps)["steps"][i]["node"]]
        inside = browser.run(
            "const card = document.querySelector('.working').getBoundingClientRect();"
            "const frame = canvas.getBoundingClientRect();"
            "return card.bottom > frame.top && card.top < frame.bottom"
        )
        assert inside
        browser.press("Right")
    browser.press("Home", "q")
    answered = 0
    for i in range(len(titles)):
        for _ in range(12):
            if not browser.run("return open(state.step)"):
                break
            assert browser.run("return document.activeElement.closest('.question') !== null")
            browser.press("1")
            answered += 1
        assert browser.run("return document.querySelectorAll('.masked').length") == 0
        assert browser.run(FITS) == [0, 0]
        assert browser.run(UNREADABLE) == []
        assert browser.run("return state.step") == i
        browser.press("Right")
    score = browser.run("return document.querySelector('#score').textContent")
    assert re.fullmatch(rf"\d+ of {answered} right", score) and answered > len(titles)
    clean(browser, page)


def test_a_parameter_used_twice_keeps_its_gradient_until_the_backward_pass(browser, tmp_path):
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 3), torch.randn(2, 3)
    page = viz.step(layer(layer(x).relu()).sum(), layer, {"x": x}).save(tmp_path / "steps.html")
    browser.open(page)
    chips = "[...document.querySelectorAll('.card.parameter [data-part=gradient]')]"
    assert browser.run(f"return {chips}.map((part) => getComputedStyle(part).visibility)") == ["hidden"] * 4
    browser.press("End")
    assert browser.run(f"return {chips}.map((part) => getComputedStyle(part).visibility)") == ["visible"] * 4


def test_other_keys(browser, tmp_path):
    page = residual_steps().save(tmp_path / "steps.html")
    browser.size(1280, 800)
    browser.emulate(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    browser.open(page)
    step = "return state.step"
    browser.press("b")
    assert browser.run(step) == 8 and "∂L/∂L" in browser.run("return narration.textContent")
    browser.press("End")
    assert browser.run(step) == 16
    browser.press("f")
    assert browser.run(step) == 0
    browser.press("End", "Left", "c")
    assert "agree" in browser.run("return document.querySelector('table.check').textContent")
    browser.press("t")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert browser.run(UNREADABLE) == []
    browser.press("t", "?")
    assert browser.run("return keys.open")
    browser.press("Escape")
    assert not browser.run("return keys.open")
    before = browser.run("return state.zoom")
    browser.press("+", "+")
    assert browser.run("return state.zoom") > before
    browser.press("0", "-")
    browser.press("Home")
    browser.run("document.activeElement.blur()")
    browser.press("Space")
    assert browser.run("return play !== null && document.querySelector('#play').getAttribute('aria-pressed')") == "true"
    browser.press("Space")
    assert browser.run("return document.querySelector('#play').getAttribute('aria-pressed')") == "false"
    clean(browser, page)


def test_every_stop_of_the_tab_key_shows_the_focus_and_cards_open(browser, tmp_path):
    page = residual_steps().save(tmp_path / "steps.html")
    browser.size(1280, 800)
    browser.open(page, "#s=12")
    seen, opened = [], []
    for _ in range(80):
        browser.press("Tab")
        tag, identity, width, style = browser.run(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "return [e.tagName, e.dataset.id ?? e.id ?? '', parseFloat(s.outlineWidth), s.outlineStyle]"
        )
        if tag == "BODY":
            break
        assert width >= 2 and style != "none", (tag, identity)
        seen.append(identity)
        if re.fullmatch(r"n\d+", identity):
            browser.press("Enter")
            assert not browser.run("return document.querySelector('#details').hidden")
            opened.append(browser.run("return document.querySelector('#details h2').textContent"))
            browser.press("Escape")
            assert (
                browser.run("return document.querySelector('#details').hidden && document.activeElement.dataset.id")
                == identity
            )
    assert {"slider", "next", "predict", "canvas"} <= set(seen)
    assert len(opened) == len(data_of(residual_steps())["nodes"]) and {"x", "fc1.weight", "L"} <= set(opened)
    clean(browser, page)


def test_links_lead_to_a_step_a_card_and_predict_mode(browser, tmp_path):
    page = residual_steps().save(tmp_path / "steps.html")
    browser.open(page, "#s=12&n=n3&q")
    assert browser.run("return [state.step, state.node, state.predict]") == [11, "n3", True]
    assert browser.run("return document.querySelectorAll('.masked').length") > 0
    browser.press("s", "Right")
    for _ in range(40):  # links follow a moment later
        if browser.run("return location.hash") == "#s=13&n=n3&q":
            break
        time.sleep(0.05)
    assert browser.run("return location.hash") == "#s=13&n=n3&q"
    for broken in ("#s=999", "#s=-3&n=toString", "#s=x&n=__proto__", "#%"):
        browser.open(page, broken)
        assert browser.run("return document.querySelector('#step h2').textContent")
    clean(browser, page)


def test_a_link_shows_the_card_of_its_step(browser, tmp_path):
    """Also where scrolling is smooth: the page must not scroll to where the card was before it was zoomed."""
    steps = attention_steps()
    page = steps.save(tmp_path / "steps.html")
    browser.size(1400, 1000)
    browser.emulate(prefers_reduced_motion="no-preference")
    for number in range(1, len(steps) + 1, 9):
        browser.open(page, f"#s={number}")
        places = []
        while len(places) < 5 or places[-5] != places[-1]:  # until the scrolling has ended
            places.append(browser.run("return canvas.scrollTop"))
            time.sleep(0.05)
        above, below = browser.run(
            "const card = document.querySelector('.working').getBoundingClientRect();"
            "const frame = canvas.getBoundingClientRect();"
            "return [card.top - frame.top, frame.bottom - card.bottom]"
        )
        assert above >= 0 and below >= 0, number


def test_one_slice_of_all_arrays_of_an_equation(browser, tmp_path):
    """Also of small ones, and with what the sums leave out."""
    page, large = attention_steps().save(tmp_path / "steps.html"), mnist_steps().save(tmp_path / "large.html")
    captions = "return [...document.querySelectorAll('.equation figcaption')].map((each) => each.innerText)"
    product = next(i for i, step in enumerate(data_of(attention_steps())["steps"], 1) if step["symbol"] == "@")
    browser.open(page, f"#s={product}")
    shown = [caption.split("\n")[1:] for caption in browser.run(captions)]
    assert shown == [["[0, 0:5, 0:8]"], ["[0, 0:8, 0:5]"], ["[0, 0:5, 0:5]"]]
    browser.open(large)
    assert "768 more" in browser.run("return document.querySelector('.equation').innerText")


@pytest.mark.parametrize("make", [hostile_steps, mnist_steps, broken_steps, long_steps], ids=lambda make: make.__name__)
def test_other_pages(browser, tmp_path, make):
    page = make().save(tmp_path / "steps.html")
    browser.size(1000, 700)
    browser.open(page)
    count = browser.run("return steps.length")
    for key in ["Right"] * min(count, 20) + ["End", "b", "q", "1", "s", "Right", "t"]:
        browser.press(key)
        assert browser.run(FITS) == [0, 0]
    assert browser.run("return window.broken ?? null") is None
    browser.run("for (const i of steps.keys()) { go(i); go(i); }")
    browser.run("for (const id of Object.keys(data.nodes)) select(id, true)")
    assert browser.run(FITS) == [0, 0]
    clean(browser, page)


def test_in_a_frame_as_in_a_notebook(browser, tmp_path):
    frame = residual_steps()._repr_mimebundle_()["text/html"]
    page = tmp_path / "notebook.html"
    page.write_text(f"<!DOCTYPE html><meta charset='utf-8'><p>cell</p>{frame}", "utf-8")
    browser.open(page)
    browser.post("frame", {"id": 0})
    assert browser.run("return document.querySelector('#step h2').textContent") == "linear: compute t3"
    browser.press("Right")
    browser.run("go(3)")
    assert browser.run("return state.step") == 3
    assert browser.errors() == []
    browser.post("frame", {"id": None})
