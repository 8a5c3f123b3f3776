"""The pytest plugin of tinygrad_lab: the fixture `gradcheck`, and tests that run over the samples of all ops.

    def test_my_loss(gradcheck):
        gradcheck(my_loss, (x, w))                       # the gradient by autograd; or gradcheck(f, x, by_hand)

    @pytest.mark.op_samples("softmax", "log_softmax")    # no names: every op
    def test_op(op_sample, gradcheck):
        gradcheck(op_sample, op_sample.inputs)

Pytest loads this file in every run where tinygrad_lab is installed. It stands outside of the package and imports it
only where it is used, so that other projects pay nothing for it, and coverage tools see the package being imported.
"""

import pytest

__all__ = ["gradcheck"]


@pytest.fixture
def gradcheck():
    """`gradcheck(f, inputs, gradient=None, ...)` asserts that a gradient is right; see `verify.gradcheck`."""
    from tinygrad_lab.verify.testing import assert_gradients

    return assert_gradients


def pytest_configure(config):
    text = "op_samples(*names): run the test with `op_sample` set to each sample of these ops (no names: of all ops)"
    config.addinivalue_line("markers", text)


def pytest_generate_tests(metafunc):
    mark = metafunc.definition.get_closest_marker("op_samples")
    if mark is None:
        return
    if "op_sample" not in metafunc.fixturenames:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: a test marked op_samples takes the argument op_sample")
    from tinygrad_lab.verify.testing import op_samples

    try:
        samples = op_samples(*mark.args)
    except ValueError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from None
    metafunc.parametrize("op_sample", samples, ids=str)
