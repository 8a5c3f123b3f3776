"""The palette itself: text can be read, outlines are seen, kinds and signs keep apart for colour-blind readers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tinygrad_lab.viz import palette

THEMES = {"light": palette.LIGHT, "dark": palette.DARK}
KINDS = ("parameter", "data", "op", "loss", "bad")

# What a reader without one kind of cone sees, on linear RGB (Machado, Oliveira and Fernandes 2009, severity 1.0).
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast by WCAG 2.2, from 1 to 21."""
    a, b = (float(linear(color) @ [0.2126, 0.7152, 0.0722]) for color in (one, other))
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def oklab(color: str, seen: str) -> np.ndarray:
    """Ottosson's OKLab of a colour as seen; 0.02 is about what one just notices side by side."""
    rgb = np.clip(np.asarray(SEEN[seen]) @ linear(color), 0, 1)
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
             [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    mixed = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
             [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.asarray(mixed) @ np.cbrt(np.asarray(cones) @ rgb)


def distance(one: str, other: str, seen: str) -> float:
    return float(np.linalg.norm(oklab(one, seen) - oklab(other, seen)))


def test_the_measures_themselves():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just fails
    assert distance("#ff0000", "#ff0000", "protanopia") == 0
    red_green = [distance("#c8503c", "#787830", seen) for seen in ("all cones", "deuteranopia")]
    assert red_green[1] < red_green[0] / 2  # a confusable pair comes out as one
    for seen in SEEN:  # greys stay grey
        assert np.allclose(oklab("#808080", seen)[1:], 0, atol=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_a_contrast_of_at_least_4_5(theme):
    colors = THEMES[theme]
    grounds = ["page", "cluster", "cluster-inner", *KINDS]
    for ground in grounds:
        for text in ("ink", "muted"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for head in ("op-head", "loss-head", "bad-head"):
        assert contrast(colors["on-head"], colors[head]) >= 4.5, head
    for ground in KINDS:  # numbers that are not finite
        assert contrast(colors["bad-line"], colors[ground]) >= 3, ground  # large and bold
    assert contrast(colors["bad-line"], colors["bad"]) >= 4.2


@pytest.mark.parametrize("theme", THEMES)
def test_outlines_and_arrows_have_a_contrast_of_at_least_3(theme):
    colors = THEMES[theme]
    for ground in ("page", "cluster", "cluster-inner"):
        for line in ("edge", "cluster-line", *(f"{kind}-line" for kind in KINDS)):
            assert contrast(colors[line], colors[ground]) >= 3, (line, ground)
    for kind in KINDS:
        assert contrast(colors[f"{kind}-line"], colors[kind]) >= 3, kind
        assert contrast(colors["map-line"], colors[kind]) >= 3, kind


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("theme", THEMES)
def test_kinds_keep_apart(theme, seen):
    """Kinds drawn in the same form differ by at least 0.045 in OKLab in their ground, outline or header, twice what one
    just notices. Forms differ without colour: leaves have no header and parameters round corners, and what is not
    finite has a sign and hatching.
    """
    colors = THEMES[theme]
    for form in (("op", "loss", "bad"), ("parameter", "data", "op")):
        for one, other in combinations(form, 2):
            parts = [part for part in ("", "-line", "-head") if one + part in colors and other + part in colors]
            apart = max(distance(colors[one + part], colors[other + part], seen) for part in parts)
            assert apart >= 0.045, (one, other, apart)


@pytest.mark.parametrize("seen", SEEN)
def test_signs_of_a_heat_map_keep_apart(seen):
    for level in range(1, palette.LEVELS + 1):
        apart = distance(palette.heat(level), palette.heat(-level), seen)
        assert apart >= 0.2 * level / palette.LEVELS, level
        assert distance(palette.heat(level), palette.heat(0), seen) >= 0.012 * level
        assert distance(palette.heat(-level), palette.heat(0), seen) >= 0.012 * level
    assert distance(palette.heat(1), palette.heat(0), "all cones") > 0.02
    assert distance(palette.heat(-1), palette.heat(0), "all cones") > 0.02


def test_hatching_is_seen():
    assert contrast(palette.HATCH, palette.NOT_FINITE) >= 3


def test_both_themes_have_the_same_roles_and_dark_rules_name_them():
    assert set(palette.LIGHT) == set(palette.DARK)
    rules = palette.dark_rules()
    for role, color in palette.DARK.items():
        if color != palette.LIGHT[role]:
            assert f".f-{role}{{fill:{color}}}" in rules
