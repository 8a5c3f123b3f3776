"""Names and arrays in few words: any name becomes one short line, and no array is passed over that is not finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinygrad_lab.viz.words import brief, clean, index_text


@given(st.text(st.characters(), max_size=200) | st.text("<>&\"'\\/{}|\n\r\t‮​\ud800", max_size=60))
def test_any_name_becomes_one_short_printable_line(name):
    found = clean(name)
    assert len(found) <= 40 and found.isprintable()
    found.encode()
    assert clean(name, 10) == clean(name, 10) and len(clean(name, 10)) <= 10


@given(st.text(st.characters(categories=["L", "N"]), max_size=40))
def test_names_of_letters_and_digits_stay(name):
    assert clean(name) == name


@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_side=4), elements=st.floats(width=32)))
def test_what_is_not_finite_is_called_out(array):
    assert brief(array).endswith("!") == (not np.isfinite(array).all())


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.float32(0.1), "0.1"),
        (np.array(3), "3"),
        (np.array(True), "True"),
        (np.array([1.5, 2.5]), "[1.5 2.5]"),
        (np.zeros((3, 3)), "all 0"),
        (np.arange(9), "0 .. 8"),
        (np.array([True, False] * 5), "False .. True"),
        (np.zeros((0, 3)), "[]"),
        (np.array([np.nan, np.inf, 1.0]), "1, 1 NaN, 1 inf!"),
    ],
)
def test_arrays_in_few_words(array, said):
    assert brief(np.asarray(array)) == said


def test_indices_as_they_were_written():
    assert index_text((slice(None), 1, None, Ellipsis, slice(1, 5, 2))) == ":, 1, None, ..., 1:5:2"
