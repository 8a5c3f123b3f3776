"""Heat maps: what of an array is shown, and how, for every shape and dtype."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_lab.viz import palette
from tinygrad_lab.viz.drawing import heatmap
from tinygrad_lab.viz.drawing.heatmap import heat_map, level


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{svg}</svg>')


def colors(svg: str, rows: int, across: int) -> list[list[str]]:
    """The colour of each cell, read back from the paths."""
    cells = [[""] * across for _ in range(rows)]
    ground = re.search(r'<path fill="(#\w+)" d="M0 0h', svg)
    if ground:
        cells = [[ground[1]] * across for _ in range(rows)]
    for color, path in re.findall(r'<path stroke="(#\w{6})" d="([Mh\d ]+)"', svg):
        for column, row, length in re.findall(r"M(\d+) (\d+)h(\d+)", path):
            for offset in range(int(length)):
                cells[int(row)][int(column) + offset] = color
    return cells


def test_levels_are_signed_zero_is_for_zero_alone():
    assert [level(x, 2.0) for x in (2.0, -2.0, 0.0, -0.0, 1e-9, -1e-9)] == [8, -8, 0, 0, 1, -1]
    assert [level(x, 1.0) for x in (np.nan, np.inf, -np.inf)] == ["nan", "+inf", "-inf"]
    assert level(0.0, 0.0) == 0 and level(True, 1.0) == 8


@pytest.mark.parametrize(
    ("shape", "cells", "where"),
    [
        ((), (1, 1), ""),
        ((1,), (1, 1), ""),
        ((5,), (1, 5), ""),
        ((16,), (1, 16), ""),
        ((40,), (3, 16), ""),
        ((64,), (4, 16), ""),
        ((65,), (1, 16), "[:16]"),
        ((8, 8), (8, 8), ""),
        ((2, 32), (2, 32), ""),
        ((64, 1), (64, 1), ""),
        ((9, 8), (9, 8), ""),
        ((64, 256), (16, 16), "[:16, :16]"),
        ((64, 10), (16, 10), "[:16, :]"),
        ((3, 4, 5), (4, 5), "[0, :, :]"),
        ((8, 3, 28, 28), (16, 16), "[0, 0, :16, :16]"),
        ((1, 1, 6), (1, 6), ""),
        ((2, 2, 2), (2, 2), "[0, :, :]"),
        ((2, 8, 1, 1), (2, 8), ""),
        ((8, 1, 3, 3), (3, 3), "[0, 0, :, :]"),
        ((64, 32, 1, 1), (16, 16), "[:16, :16, 0, 0]"),
    ],
)
def test_what_is_shown(shape, cells, where):
    array = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float64).reshape(shape)
    shown = heat_map(array)
    assert shown.cells.shape == cells
    assert shown.where == where
    if shown.where:
        assert shown.where in shown.title
        assert np.array_equal(eval(f"array{shown.where}", {"array": array}).reshape(shown.cells.shape), shown.cells)
    else:
        assert np.array_equal(shown.cells.reshape(-1)[: shown.count], array.reshape(-1))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), max_size=4), st.sampled_from("fdilb?e"))
def test_any_array_gives_elements_of_it_and_valid_svg(seed, shape, kind):
    array = (np.random.default_rng(seed).standard_normal(shape) * 5).astype(np.dtype(kind))
    shown = heat_map(array)
    assert shown.cells.dtype == array.dtype and shown.count <= max(heatmap.FULL, heatmap.SIDE**2)
    assert np.isin(shown.cells.reshape(-1)[: shown.count], array).all()
    parsed(heatmap.draw(shown, 1.5, 2, (4, 4)))


def test_zeros_of_a_relu_stay_visible():
    """Block means would make one flat colour of it; elements as they are do not."""
    mask = np.maximum(np.random.default_rng(0).standard_normal((64, 256)), 0)
    shown = heat_map(mask)
    drawn = colors(heatmap.draw(shown, 0, 0, (2, 2)), 16, 16)
    assert np.array_equal(np.array(drawn) == palette.heat(0), shown.cells == 0)


@pytest.mark.parametrize("shape", [(4, 5), (16, 16), (40,), (1, 1), (64, 1), (3,)])
def test_each_cell_has_the_colour_of_its_level(shape):
    array = np.random.default_rng(1).standard_normal(shape)
    shown = heat_map(array)
    drawn = colors(heatmap.draw(shown, 0, 0, (3, 3)), *shown.cells.shape)
    for index, value in enumerate(shown.cells.reshape(-1)[: shown.count]):
        row, column = divmod(index, shown.cells.shape[1])
        assert drawn[row][column] == palette.heat(level(value, shown.scale))
    for index in range(shown.count, shown.cells.size):  # places of a last row that is short stay empty
        assert drawn[index // 16][index % 16] == ""


def test_what_is_not_finite_is_hatched_and_counted():
    array = np.array([[1.0, np.nan], [np.inf, -np.inf]])
    shown = heat_map(array)
    assert shown.not_finite and shown.scale == 1.0
    assert shown.statistics["nan"] == 1 and shown.statistics["inf"] == 2
    assert "1 NaN" in shown.title and "2 infinite" in shown.title
    svg = heatmap.draw(shown, 0, 0, (12, 12))
    assert palette.HATCH in svg and palette.NOT_FINITE in svg
    assert palette.HATCH not in heatmap.draw(heat_map(np.ones((2, 2))), 0, 0, (12, 12))
    every = heat_map(np.full((20, 20), np.nan))
    assert every.scale == 0.0 and "min" not in every.statistics
    parsed(heatmap.draw(every, 0, 0, (2, 2)))


def test_not_finite_outside_the_slice_is_known():
    array = np.ones((50, 50))
    array[-1, -1] = np.nan
    assert heat_map(array).not_finite


def test_a_slice_that_would_be_one_colour_moves_to_where_something_is():
    array = np.zeros((64, 784))
    array[30, 400] = 3.0
    shown = heat_map(array)
    assert shown.where == "[22:38, 392:408]" and (shown.cells == 3.0).any()
    assert heat_map(np.zeros((64, 784))).where == "[:16, :16]"
    late = np.zeros(500)
    late[-1] = 1.0
    assert heat_map(late).where == "[484:]"


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4), (2, 0, 3)])
def test_empty_arrays_say_so(shape):
    shown = heat_map(np.zeros(shape))
    assert "empty" in shown.title and shown.count == 0
    assert "empty" in "".join(parsed(heatmap.draw(shown, 0, 0, (4, 4))).itertext())


def test_scalars_ints_and_bools_as_they_are():
    assert heat_map(np.float32(0.5)).title == "scalar float32: 0.5"
    assert heat_map(np.array(True)).title == "scalar bool: True"
    assert heat_map(np.array([2**62, -(2**62)])).scale == float(2**62)


def test_statistics_of_the_whole_and_arrays_are_left_alone():
    array = np.random.default_rng(2).standard_normal((40, 40)).astype(np.float32)
    array.flags.writeable = False
    found = heat_map(array).statistics
    assert found["mean"] == pytest.approx(array.mean(), abs=1e-6) and found["std"] == pytest.approx(array.std())
    assert found["min"] == array.min() and found["max"] == array.max() and found["zeros"] == 0


def test_sixteen_by_sixteen_is_compact():
    array = np.random.default_rng(3).standard_normal((64, 784))
    assert len(heatmap.draw(heat_map(array), 100, 200, (2, 2))) < 2_700
