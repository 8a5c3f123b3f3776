"""Every op and composition of the registry, at each of its samples: gradients, second derivatives, and good manners.

The reference is differences in float64, so nothing here needs PyTorch: `verify` checks first derivatives with an error
estimate for each element (test_verify_mutants.py shows that it sees wrong rules), and central differences at two steps,
extrapolated (Richardson), along a random direction check second ones.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from op_cases import Case, cases, cotangents, entries, flat, gradients, recorded, value_and_gradients

from tinygrad_lab import graph
from tinygrad_lab.ops.declare import Composition, Op, registry
from tinygrad_lab.tensor import Tensor, wrap
from tinygrad_lab.verify.testing import assert_gradients

# Truncation of the extrapolated difference is about h^4 f'''''/480 = 1e-17, its rounding eps |f| / h = 1e-12: 1e-8 of
# the size of the derivative leaves four digits for badly scaled functions and still sees an error of one part in 1e7.
STEP, TOLERANCE = 2.5e-4, 1e-8

ALL = cases()
OPS = cases((Op,))
every = pytest.mark.parametrize("case", ALL, ids=str)
every_op = pytest.mark.parametrize("case", OPS, ids=str)


def difference(function):
    """The derivative at 0 of a function of one number whose values are lists of arrays."""

    def central(h):
        pairs = zip(function(h), function(-h), strict=True)
        return [(np.asarray(up, "float64") - np.asarray(down, "float64")) / (2 * h) for up, down in pairs]

    return [(4 * fine - coarse) / 3 for fine, coarse in zip(central(STEP / 2), central(STEP), strict=True)]


def noise(values) -> float:
    """What rounding of the outputs can do to a difference quotient."""
    return max((5 * np.finfo(y.dtype).eps * np.abs(y).max(initial=1.0) / STEP for y in values), default=0.0)


def assert_near(found, expected, slack, what):
    scale = max(np.abs(expected).max(initial=0.0), 1.0)
    worst = np.abs(np.asarray(found, "float64") - expected).max(initial=0.0)
    allowed = TOLERANCE * scale + slack
    assert worst <= allowed, (
        f"{what}: off by {worst:.3g} (tolerance {allowed:.3g})\nrule:\n{found}\ndifferences:\n{expected}"
    )


def check_gradient(case: Case) -> None:
    """Compare the gradient of every operand with differences."""
    outputs = flat(case(*case.inputs))
    if case.inputs and any(isinstance(y, Tensor) and y.array.dtype.kind == "f" for y in outputs):
        assert_gradients(case, case.inputs)


@every
def test_gradient_against_differences(case):
    check_gradient(case)


@every
def test_second_derivative_against_differences(case):
    """The recorded gradient, differentiated along one direction v: H v for the operands and J v for the cotangents."""
    call = case.call()
    if not case.sample.smooth or not call.operands:
        pytest.skip("not twice differentiable here")
    leaves = call.tensors(call.operands)
    outputs = recorded(call(leaves))
    if not outputs:
        pytest.skip("no gradient")
    weights = cotangents(outputs)
    rng = np.random.default_rng(5)
    directions = {path: rng.standard_normal(leaves[path].shape) for path in call.operands}
    weight_tensors = {("cotangent", i): wrap(w).requires_grad_() for i, w in enumerate(weights)}
    first = gradients(outputs, list(weight_tensors.values()), leaves, create_graph=True)
    for path, gradient in first.items():
        assert isinstance(gradient, Tensor), f"{case}: the gradient of {path} under create_graph is {type(gradient)}"
    tracked = [path for path in first if first[path].requires_grad]
    second = gradients(
        [first[path] for path in tracked], [directions[path] for path in tracked], {**leaves, **weight_tensors}
    )

    def moved(h):
        return {path: np.asarray(call.arrays[path] + h * directions[path]) for path in first}

    def gradients_at(h):
        at = call.tensors(call.operands, moved(h))
        found = gradients(recorded(call(at)), weights, at)
        return [found[path] for path in first]

    def outputs_at(h):
        return [y.array for y in recorded(call(call.tensors(call.operands, moved(h))))]

    slack = noise([y.array for y in outputs])
    expected = dict(zip(first, difference(gradients_at), strict=True))
    expected.update(zip(weight_tensors, difference(outputs_at), strict=True))
    for path, reference in expected.items():
        what = "J v" if path[0] == "cotangent" else "H v"
        found = second.get(path, np.zeros(reference.shape))
        assert_near(found, reference, slack, f"{case.entry.name}{case.sample} {what} at {path}")


@every
def test_recorded_pass_gives_the_same_gradient(case):
    """A rule on Tensors (create_graph) gives what it gives on arrays."""
    call = case.call()
    leaves = call.tensors(call.operands)
    outputs = recorded(call(leaves))
    if not outputs:
        pytest.skip("no gradient")
    weights = cotangents(outputs)
    plain = gradients(outputs, weights, leaves, retain=True)
    for path, tensor in gradients(outputs, weights, leaves, create_graph=True).items():
        assert tensor.array.dtype == plain[path].dtype
        np.testing.assert_allclose(tensor.array, plain[path], rtol=1e-12, atol=1e-12)


@every
def test_each_choice_of_operands_gives_the_same_gradients(case):
    call = case.call()
    paths = call.operands
    if len(paths) < 2:
        pytest.skip("fewer than two differentiable operands")
    outputs = recorded(call(call.tensors(paths)))
    if not outputs:
        pytest.skip("no gradient")
    _, full = value_and_gradients(call)
    sizes = range(1, len(paths)) if len(paths) <= 4 else (1, len(paths) - 1)
    for chosen in itertools.chain.from_iterable(itertools.combinations(paths, size) for size in sizes):
        _, found = value_and_gradients(call, requires=chosen)
        assert set(found) == set(full) & set(chosen)
        for path in found:
            np.testing.assert_allclose(found[path], full[path], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@every
def test_dtype_is_kept(case, dtype):
    """Floating results and gradients come in the dtype of the inputs."""
    if case.entry.name == "to_dtype" or "dtype" in case.call().bound.arguments:
        pytest.skip("its purpose is another dtype")
    call = case.call(dtype)
    if not any(array.dtype.kind == "f" for array in call.arrays.values()):
        pytest.skip("no floating input")
    outputs, found = value_and_gradients(call)
    for y in outputs:
        if isinstance(y, Tensor) and y.array.dtype.kind == "f":
            assert y.array.dtype == dtype, f"value came out as {y.array.dtype}"
    for path, gradient in found.items():
        assert gradient.dtype == dtype, f"gradient of {path} came out as {gradient.dtype}"


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@every
def test_read_only_inputs_and_cotangents(case):
    """Writing into an array that the op did not allocate raises here."""
    call = case.call()
    arrays = {path: frozen(array) for path, array in call.arrays.items()}
    leaves = call.tensors(call.operands, arrays)
    outputs = recorded(call(leaves))
    if outputs:
        weights = [frozen(w) for w in cotangents(outputs)]
        gradients(outputs, weights, leaves, retain=True)
        gradients(outputs, weights, leaves, create_graph=True)


def spaced(array):
    """The same values with gaps between them in memory, along the last dimension reversed."""
    wide = np.empty((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., 1::2] = array[..., ::-1]
    return wide[..., ::-2]


@every
def test_non_contiguous_inputs(case):
    call = case.call()
    outputs, found = value_and_gradients(call)
    for layout in (spaced, np.asfortranarray):
        arrays = {path: layout(array) for path, array in call.arrays.items() if array.ndim}
        if not arrays:
            pytest.skip("0-d operands only")
        other_outputs, other_found = value_and_gradients(call, arrays)
        for y, expected in zip(other_outputs, outputs, strict=True):
            y, expected = getattr(y, "array", y), getattr(expected, "array", expected)
            np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
        assert set(found) == set(other_found)
        for path in found:
            np.testing.assert_allclose(other_found[path], found[path], rtol=1e-12, atol=1e-12)


def arrays_in(value):
    if isinstance(value, np.ndarray):
        return [value]
    return [array for item in value for array in arrays_in(item)] if isinstance(value, (tuple, list)) else []


@every
def test_no_aliasing(case):
    """A value shares no memory with the inputs unless the op is a view; gradients share memory with nothing."""
    call = case.call()
    leaves = call.tensors(call.operands)
    outputs = flat(call(leaves))
    if isinstance(case.entry, Op) and not case.entry.view:
        for y in outputs:
            for path, array in call.arrays.items():
                assert not np.may_share_memory(y.array, array), f"the value shares memory with {path}"
    tracked = [y for y in outputs if isinstance(y, Tensor) and y.requires_grad]
    if not tracked:
        return
    weights = cotangents(tracked)
    saved = [array for node in graph.walk(y.node for y in tracked) for array in arrays_in(node.saved or ())]
    found = gradients(tracked, weights, leaves, retain=True)
    others = [*call.arrays.values(), *weights, *saved, *(y.array for y in tracked)]
    for path, gradient in found.items():
        assert type(gradient) is np.ndarray and (gradient.flags.writeable or not gradient.size)
        for other in others:
            assert not np.may_share_memory(gradient, other), f"the gradient of {path} shares memory"
        others.append(gradient)


@every
def test_repeated_operand(case):
    """op(x, x): the gradient of x is the sum of what two tensors of equal values get."""
    call = case.call()
    shapes = {path: call.arrays[path].shape for path in call.operands}
    pair = next(((a, b) for a, b in itertools.combinations(shapes, 2) if shapes[a] == shapes[b]), None)
    if pair is None:
        pytest.skip("no two operands of one shape")
    a, b = pair
    _, separate = value_and_gradients(call, {a: call.arrays[b].copy()})
    leaves = call.tensors(call.operands)
    leaves[a] = leaves[b]
    outputs = recorded(call(leaves))
    if not outputs:
        pytest.skip("no gradient")
    found = gradients(outputs, cotangents(outputs), {b: leaves[b]})
    np.testing.assert_allclose(found[b], separate.get(a, 0) + separate.get(b, 0), rtol=1e-12, atol=1e-12)


@every
def test_arrays_in_arrays_out(case):
    call = case.call()
    on_tensors = flat(call(call.tensors()))
    on_arrays = flat(call(call.arrays))
    for array, tensor in zip(on_arrays, on_tensors, strict=True):
        assert not isinstance(array, Tensor), "plain arrays went in, a Tensor came out"
        expected = tensor.array if isinstance(tensor, Tensor) else tensor
        assert np.asarray(array).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(array, expected)


@every_op
def test_each_rule_runs_alone(case):
    """`Op.vjp` with the saved values by name gives the gradient that the backward pass gives."""
    op, call = case.entry, case.call()
    leaves = call.tensors(call.operands)
    y = call(leaves)
    if not y.requires_grad:
        pytest.skip("no rules")
    weights = cotangents([y])
    found = gradients([y], weights, leaves, retain=True)
    values = dict(zip(y.node.plan.names, y.node.saved, strict=True))
    for argument in y.node.plan.required:
        contribution = op.vjp(argument, weights[0], **values)
        for path in call.operands:
            if path[0] == argument:
                part = contribution[path[1]] if len(path) == 2 else contribution
                fitted = graph.fit(part, call.arrays[path].shape, call.arrays[path].dtype, op)
                np.testing.assert_array_equal(fitted, found[path])


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_declaration_is_complete(entry):
    assert entry.samples, "no samples, so nothing tests it"
    assert (entry.__doc__ or "").strip(), "no docstring"
    if isinstance(entry, Op) and entry.rules:
        assert entry.formula, "no formula"
        assert set(entry.vjp_formula) == set(entry.rules), "one vjp_formula per rule"
    for name in (entry.name, *entry.aliases):
        assert registry[name] is entry
        assert "method" not in entry.faces or hasattr(Tensor, name)


def test_compositions_are_covered():
    assert any(isinstance(case.entry, Composition) for case in ALL)
