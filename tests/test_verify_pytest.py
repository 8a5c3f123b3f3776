"""The pytest plugin, in pytest runs of its own: the fixture, what a failure says, tests over the samples of ops."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_lab as torch
from tinygrad_lab.verify.testing import WrongGradient, assert_gradients, op_samples

pytest_plugins = ["pytester"]
PLUGIN = ("-p", "tinygrad_lab_pytest", "-p", "no:cacheprovider")


def test_a_failure_is_the_report_and_says_how_to_see_it_again(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_mine="""
        import numpy as np
        import pytest

        def loss(x):
            return np.sum(np.log(x))

        def test_right(gradcheck):
            gradcheck(loss, np.array([0.5, 2.0]), lambda x: 1 / x)

        @pytest.mark.parametrize("name", ["case"])
        def test_wrong(gradcheck, name):
            gradcheck(loss, np.array([0.5, 2.0]), np.array([2.0, 0.25]), seed=3)
        """
    )
    result = pytester.runpytest_inprocess(*PLUGIN, "--strict-markers")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*gradcheck(loss, np.array(*",
            "*WrongGradient: gradcheck: WRONG GRADIENT (2 elements, full mode, * evaluations)",
            "E*input[[]1[]]: gradient 0.25, differences 0.5*",
            'E*reproduce: pytest "test_mine.py::test_wrong[[]case[]]"',
            "E*or: verify.gradcheck(loss, np.array([[]0.5, 2.0[]]), np.array([[]2.0, 0.25[]]), seed=3)",
        ]
    )
    assert "testing.py" not in result.stdout.str(), "frames of the package are not the user's business"


def test_tests_over_the_samples_of_ops(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.op_samples("tanh", "maximum")
        def test_gradient(op_sample, gradcheck):
            gradcheck(op_sample, op_sample.inputs)
        """
    )
    result = pytester.runpytest_inprocess(*PLUGIN, "--strict-markers", "-v")
    result.assert_outcomes(passed=len(op_samples("tanh", "maximum")))
    result.stdout.fnmatch_lines(["*test_gradient[[]tanh-0[]] PASSED*", "*test_gradient[[]maximum-0[]] PASSED*"])


@pytest.mark.parametrize(
    ("mark", "argument", "said"),
    [('"tanhh"', "op_sample", "there is no op 'tanhh'"), ('"tanh"', "x=1", "takes the argument op_sample")],
)
def test_misuse_of_the_marker(pytester: pytest.Pytester, mark: str, argument: str, said: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.op_samples({mark})\ndef test_it({argument}): pass\n")
    result = pytester.runpytest_inprocess(*PLUGIN)
    assert said in result.stdout.str() + result.stderr.str()


def test_the_plugin_loads_neither_the_package_nor_numpy_until_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_nothing_loaded():\n"
        "    assert 'tinygrad_lab_pytest' in sys.modules\n"
        "    assert not {'numpy', 'tinygrad_lab', 'hypothesis'} & set(sys.modules)\n"
    )
    # Another plugin of this environment may load NumPy by itself: none is loaded here but ours.
    run = [sys.executable, "-m", "pytest", *PLUGIN, "-q", "."]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(pytest.__file__).rpartition("/")[0]}
    done = subprocess.run(run, cwd=pytester.path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("inputs", "typed"),
    [
        (3.0, "wrong, 3.0"),
        ({"x": np.array([1.0])}, "wrong, {'x': np.array([1.0])}"),
        ((torch.tensor([1.0], requires_grad=True),), "(torch.tensor([1.0], dtype=torch.float32, requires_grad=True),)"),
        ([np.ones((2, 2), np.float32)], "[np.array([[1.0, 1.0], [1.0, 1.0]], dtype='float32')]"),
        (np.ones(1000), None),
    ],
)
def test_short_inputs_are_written_out(inputs: object, typed: str | None) -> None:
    def wrong(*given: object) -> object:
        (x,) = given[0].values() if isinstance(given[0], dict) else given
        return x * 2.0 if isinstance(x, float) else (x * 2.0).sum()

    def gradient(*given: object) -> object:
        return inputs

    with pytest.raises(WrongGradient) as raised:
        assert_gradients(wrong, inputs, gradient)
    text = str(raised.value)
    assert "test_short_inputs_are_written_out" in text and raised.value.result.verdict == "wrong"
    assert (typed in text) if typed else "or: verify.gradcheck" not in text


def test_the_line_of_an_op_sample_can_be_run() -> None:
    with pytest.raises(WrongGradient) as raised:
        assert_gradients(op_samples("tanh")[0], op_samples("tanh")[0].inputs, lambda x: x)
    line = str(raised.value).splitlines()[-1]
    assert line.startswith("or: verify.gradcheck(op_samples('tanh')[0], op_samples('tanh')[0].inputs, ")
    assert op_samples("tanh")[0](*op_samples("tanh")[0].inputs).requires_grad


def test_an_undecided_gradient_is_no_pass() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(WrongGradient, match=r"NOT DECIDED|WRONG"):
        assert_gradients(lambda x: float(np.sum(x) + rng.normal()), np.ones(2), np.ones(2))
