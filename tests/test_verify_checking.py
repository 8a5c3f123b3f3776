"""The check on plain arrays: verdicts, fast mode, reports, and that nothing is written where it should not be."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_lab.verify import check_arrays
from tinygrad_lab.verify.results import CheckResult

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 7)), RNG.integers(0, 5, 12)


def loss(arrays):
    w, b = arrays
    z = X @ w + b
    z = z - z.max(1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(12), Y])


def gradient(arrays):
    w, b = arrays
    z = X @ w + b
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(12), Y] -= 1
    return [X.T @ p / 12, p.mean(0)]


POINT = [RNG.standard_normal((7, 5)), np.zeros(5)]
TRUE = gradient(POINT)
modes = pytest.mark.parametrize("mode", ["full", "fast", "auto"])


@modes
def test_a_right_gradient(mode):
    result = check_arrays(loss, POINT, TRUE, ["W", "b"], mode=mode)
    assert result and result.verdict == "ok" and not result.worst()
    assert all(parameter.mode == ("fast" if mode == "fast" else "full") for parameter in result.parameters)


MISTAKES = {
    "sign": lambda g: [-g[0], g[1]],
    "x1.001": lambda g: [g[0] * 1.001, g[1]],
    "1e-6 off": lambda g: [g[0] * (1 + 1e-6), g[1]],
    "sum over all axes": lambda g: [g[0], np.full(5, g[1].sum())],
    "zero": lambda g: [np.zeros_like(g[0]), g[1]],
    "nan": lambda g: [np.where(np.arange(5) == 2, np.nan, g[0]), g[1]],
    "transposed": lambda g: [g[0].T, g[1]],
    "missing rows": lambda g: [g[0][:3], g[1]],
}


@modes
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_wrong_gradients(mistake, mode):
    result = check_arrays(loss, POINT, mistake(TRUE), ["W", "b"], mode=mode)
    assert not result and result.verdict == "wrong"
    assert len(str(result).splitlines()) <= 15


@modes
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_scale_of_the_loss_does_not_matter(scale, mode):
    def scaled(arrays):
        return scale * loss(arrays)

    assert check_arrays(scaled, POINT, [scale * g for g in TRUE], mode=mode)
    assert check_arrays(scaled, POINT, [-scale * g for g in TRUE], mode=mode).verdict == "wrong"


@modes
def test_one_element_is_named(mode):
    wrong = [TRUE[0].copy(), TRUE[1]]
    wrong[0][3, 2] *= 1.01
    result = check_arrays(loss, POINT, wrong, ["W", "b"], mode=mode)
    assert [entry.place for entry in result.worst()] == ["W[3, 2]"]
    assert abs(result.worst()[0].gradient / result.worst()[0].numerical - 1.01) < 1e-6
    assert result["W"].verdict == "wrong" and result["b"].verdict == "ok"
    assert "W[3, 2]: gradient" in str(result) and "ratio 1.01" in str(result)


def test_all_inputs_and_all_failures_are_reported():
    result = check_arrays(loss, POINT, [2 * g for g in TRUE], ["W", "b"])
    assert [len(parameter.entries) for parameter in result.parameters] == [35, 5]
    assert {entry.parameter for entry in result.worst(2)} == {"W", "b"}


def test_one_wrong_element_in_a_hundred_thousand():
    x, c = np.random.default_rng(1).standard_normal((2, 100_000))
    wrong = c * np.cos(x)
    wrong[31_415] *= 1.001
    calls = []

    def f(arrays):
        calls.append(1)
        return np.sum(c * np.sin(arrays[0]))

    result = check_arrays(f, [x], [wrong])
    assert [entry.index for entry in result.worst()] == [(31_415,)]
    assert result.evaluations == len(calls) < 600
    calls.clear()
    assert check_arrays(f, [x], [c * np.cos(x)])
    assert len(calls) < 80


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["full", "fast"]), st.floats(-3, 3))
def test_random_gradients_are_wrong_and_right_ones_right(seed, mode, exponent):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((6, 4)) * 10**exponent
    x = rng.standard_normal(4)

    def f(arrays):
        return np.sum(np.tanh(a @ arrays[0]) ** 2) + arrays[0] @ arrays[0]

    t = np.tanh(a @ x)
    right = 2 * a.T @ (t * (1 - t**2)) + 2 * x
    assert check_arrays(f, [x], [right], mode=mode, seed=seed).verdict != "wrong"
    assert (
        check_arrays(f, [x], [right + rng.standard_normal(4) * np.abs(right).max()], mode=mode, seed=seed).verdict
        == "wrong"
    )


# Kinks


@pytest.mark.parametrize(("g", "verdict"), [(0.0, "ok"), (0.5, "ok"), (1.0, "ok"), (1.1, "wrong"), (-0.1, "wrong")])
def test_subgradients_of_relu_at_0(g, verdict):
    x = np.array([0.0, 1.0, -1.0])
    result = check_arrays(lambda a: np.sum(np.maximum(a[0], 0)), [x], [np.array([g, 1.0, 0.0])], ["x"])
    assert result.verdict == verdict
    assert result["x"].counts().get("kink", 0) == (verdict == "ok")
    if verdict == "wrong":
        assert "not between the slopes 0 (left) and 1 (right)" in str(result)


def test_a_kink_close_by_is_no_excuse():
    x = np.array([1e-7, 1.0])
    f = lambda a: np.sum(np.maximum(a[0], 0))  # noqa: E731
    assert check_arrays(f, [x], [np.array([1.0, 1.0])])
    assert check_arrays(f, [x], [np.array([0.5, 1.0])]).verdict == "wrong"


def test_several_kinks_at_once_are_uncertain_where_masks_show_them():
    a = np.array([1.0, -2.0, 3.0])

    def f(arrays):
        return np.sum(np.array([1.0, 1.0, -2.0]) * np.maximum(a * arrays[0], 0))

    def masks(arrays):
        return [np.sign(a * arrays[0])]

    x = np.zeros(())
    assert check_arrays(f, [x], [np.array(0.0)], masks=masks).verdict == "uncertain"
    assert check_arrays(f, [x], [np.array(0.0)]).verdict == "wrong"


def test_fast_mode_finds_an_error_beside_kinks():
    x = np.linspace(-1, 1, 201)
    f = lambda a: np.sum(np.maximum(a[0], 0)) + np.sum(a[0] ** 3)  # noqa: E731
    right = (x > 0) + 3 * x**2
    assert check_arrays(f, [x], [right], mode="fast")
    wrong = right.copy()
    wrong[7] *= 1.1
    assert [e.index for e in check_arrays(f, [x], [wrong], mode="fast").worst()] == [(7,)]


# What cannot be decided


@modes
def test_noise_above_the_gradient_is_uncertain(mode):
    x = np.ones(3)
    result = check_arrays(lambda a: 1e6 + 1e-8 * np.sum(np.sin(a[0])), [x], [1e-8 * np.cos(x)], mode=mode)
    assert result.verdict == "uncertain" and not result
    assert "NOT DECIDED" in str(result)


def test_a_value_that_is_not_finite_is_uncertain():
    result = check_arrays(lambda a: np.log(a[0][0]), [np.array([-1.0])], [np.array([-1.0])])
    assert result.verdict == "uncertain" and "f is nan" in str(result)


def test_an_infinite_slope_is_uncertain():
    assert check_arrays(lambda a: np.sqrt(a[0][0]), [np.zeros(1)], [np.array([np.inf])]).verdict != "ok"


def test_a_random_function_says_so():
    rng = np.random.default_rng(0)
    x = np.ones(3)
    result = check_arrays(lambda a: np.sum(a[0]) * rng.uniform(0.5, 1.5), [x], [np.ones(3)])
    assert result.verdict != "ok" and "f is random" in str(result)


@modes
def test_a_gradient_that_cancels_is_no_question(mode):
    """A bias before batch norm: its gradient is rounding of other gradients, its differences rounding of f."""

    def f(arrays):
        w, b = arrays
        z = X @ w + b
        return np.mean(np.abs((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)) ** 3)

    def g(w, b):
        z = X @ w + b
        c, s = z - z.mean(0), np.sqrt(z.var(0) + 1e-5)
        d = 3 * np.sign(c) * (c / s) ** 2 / z.size
        d = (d - d.mean(0) - c * (d * c).mean(0) / s**2) / s
        return [X.T @ d, d.sum(0)]

    assert check_arrays(f, POINT, g(*POINT), mode=mode)


def test_a_constant_function_and_a_gradient_of_zero():
    assert check_arrays(lambda a: 3.0, [np.ones((2, 2))], [np.zeros((2, 2))])
    assert check_arrays(lambda a: 3.0, [np.ones((2, 2))], [np.full((2, 2), 1e-6)]).verdict == "wrong"


# Low precision, shapes, arguments


def test_float32_gradients_are_held_to_float32():
    assert check_arrays(loss, POINT, [g.astype(np.float32) for g in TRUE])
    off = [g.astype(np.float32) * np.float32(1.001) for g in TRUE]
    assert check_arrays(loss, POINT, off).verdict == "wrong"
    assert check_arrays(loss, POINT, [g * 1.001 for g in TRUE], rtol=1e-2)


@modes
def test_empty_and_0d_inputs(mode):
    result = check_arrays(
        lambda a: np.sum(a[0]) + a[1] ** 2, [np.zeros((0, 3)), np.array(2.0)], [np.zeros((0, 3)), 4.0], mode=mode
    )
    assert result, result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "slow"}, "mode must be 'auto', 'full' or 'fast', got 'slow'"),
        ({"gradients": TRUE[:1]}, "got 2 arrays and 1 gradients"),
    ],
)
def test_misuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_arrays(loss, POINT, **{"gradients": TRUE, **arguments})


def test_an_unknown_parameter():
    with pytest.raises(KeyError, match=r"no parameter 'V' was checked; there are \['W', 'b'\]"):
        check_arrays(loss, POINT, TRUE, ["W", "b"])["V"]


# Nothing is written where it should not be


class Interrupted(BaseException):
    pass


@modes
@pytest.mark.parametrize("calls", [1, 2, 3, 20, 40])
def test_inputs_are_the_same_bits_after_an_exception(mode, calls):
    point = [array.copy() for array in POINT]
    count = 0

    def f(arrays):
        nonlocal count
        count += 1
        arrays[0][:] += 1e-3  # and f itself writes into what it is given
        if count == calls:
            raise Interrupted
        return loss(arrays)

    with pytest.raises(Interrupted):
        check_arrays(f, point, TRUE, mode=mode)
    for array, before in zip(point, POINT, strict=True):
        assert array.tobytes() == before.tobytes()


def test_a_function_that_writes_into_its_inputs_gets_copies():
    def f(arrays):
        arrays[0][...] = np.sin(arrays[0])
        return np.sum(arrays[0])

    x = np.linspace(0, 1, 5)
    result = check_arrays(f, [x], [np.cos(x)])
    assert result and "f writes into its inputs" in str(result)
    np.testing.assert_array_equal(x, np.linspace(0, 1, 5))


def test_read_only_inputs():
    x = np.ones(3)
    x.flags.writeable = False
    assert check_arrays(lambda a: np.sum(a[0] ** 2), [x], [2 * x])


# Results


def many_wrong() -> CheckResult:
    point = [np.ones(3) for _ in range(30)]
    wrong = [np.full(3, 2.0) if i % 2 else np.full(3, 1.0) for i in range(30)]
    return check_arrays(lambda a: float(np.sum(a)), point, wrong, [f"layer{i}.weight" for i in range(30)])


def test_a_report_has_at_most_15_lines():
    text = str(many_wrong())
    lines = text.splitlines()
    assert len(lines) <= 15 and all(len(line) <= 160 for line in lines)
    assert "WRONG GRADIENT" in lines[0] and "90 elements" in lines[0]
    assert any("more parameters" in line for line in lines)


def test_results_are_plain_data():
    wrong = [TRUE[0].copy(), TRUE[1]]
    wrong[0][0, 0] = np.nan
    for mode in ("full", "fast"):
        data = json.loads(
            json.dumps(check_arrays(loss, POINT, wrong, ["W", "b"], mode=mode).to_dict(), allow_nan=False)
        )
        assert data["verdict"] == "wrong" and [p["name"] for p in data["parameters"]] == ["W", "b"]
        assert data["parameters"][0]["entries"][0]["gradient"] == "nan"


def test_pictures():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    for mode in ("full", "fast"):
        axes = check_arrays(loss, POINT, [TRUE[0], -TRUE[1]], mode=mode).plot()
        assert "wrong" in axes.get_title() and axes.get_legend().get_texts()
    pyplot.close("all")


def test_pictures_without_matplotlib_say_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_lab\[lab\]'"):
        check_arrays(loss, POINT, TRUE).plot()
