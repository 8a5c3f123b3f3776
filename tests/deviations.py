"""Where we differ from PyTorch on purpose, each with its reason: the one source, rendered by conformance.py.

DEVIATIONS  {"op: aspect" or "misuse: label": reason}
BEHAVIOURS  {label: (probe, reason)}: probe(torch, F) is run in both libraries, and must give different answers
RANDOM      entries that draw numbers: only dtypes and shapes are compared
"""

from __future__ import annotations

from typing import Any

NUMBERS = (
    "an op takes numbers and arrays as well as tensors, and then gives an array: useful in rules and in plain NumPy"
)
LENIENT = "NumPy computes it, and the result is the obvious one"
WEIGHT = "no weight: multiply the losses of reduction='none' by it, which says what the mean divides by"
OBJECTS = "PyTorch's class depends on the kind of object; here it is always TypeError"

DEVIATIONS: dict[str, str] = {
    "sub: bool": "True - 1.5 is a difference of floats here; minus between two bools is refused as in PyTorch",
    "pow: int64": "a negative power of integers is refused, as PyTorch refuses a number; for tensors it gives 0",
    "addcmul: int64": "value=0.5 makes floats of integers, as arithmetic does; PyTorch cuts the value to the integer 0",
    "hardsigmoid: gradient": "PyTorch multiplies by 1/6 rounded to float32, in float64 too",
    "argmax: bool": LENIENT,
    "argmin: bool": LENIENT,
    "topk: bool": LENIENT,
    "embedding: signature": "gradients are dense, and have no user that scales them by how often a row is used",
    "addmm: int64": "alpha=0.5 makes floats of integers, as arithmetic does; PyTorch cuts it to the integer 0",
    "baddbmm: int64": "alpha=0.5 makes floats of integers, as arithmetic does; PyTorch cuts it to the integer 0",
    "einsum: bool": LENIENT,
    "mse_loss: signature": WEIGHT,
    "l1_loss: signature": WEIGHT,
    "huber_loss: signature": WEIGHT,
    "cosine_similarity: gradient": "for vectors shorter than eps PyTorch's gradient is not that of its value",
    "cosine_similarity: gradient float32": "for vectors shorter than eps PyTorch's gradient is not that of its value",
    "avg_pool1d: int64": "an average of integers is a float; PyTorch rounds it down to an integer",
    "avg_pool2d: int64": "an average of integers is a float; PyTorch rounds it down to an integer",
    "dropout: int64": "integers are refused whatever p is; PyTorch takes them where p is 0 or 1",
    "dropout: bool": "integers are refused whatever p is; PyTorch takes them where p is 0 or 1",
    "dropout: signature": "generator: the mask can be drawn from a generator of its own",
    "dropout2d: signature": "generator: the mask can be drawn from a generator of its own",
    "norm: signature": "no dtype: convert with .to(dtype) first",
    "relu: gradient at special values": "[y > 0] is 0 where y is NaN: a slope there means nothing",
    "leaky_relu: gradient at special values": "[a > 0] and [a <= 0] are 0 at NaN: a slope there means nothing",
    "hardswish: gradient at special values": "0 at NaN: a slope there means nothing",
    "misuse: exp of a number": NUMBERS,
    "misuse: tensor of strings": OBJECTS,
    "misuse: tensor of None": OBJECTS,
    "misuse: a device that does not exist": "PyTorch without CUDA fails an assertion; others raise RuntimeError",
}

RANDOM = {"dropout", "dropout2d", "bernoulli", "multinomial"}


def _mutated_data(torch: Any, F: Any) -> Any:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    x.data.add_(1)
    y.sum().backward()
    return x.grad.tolist()


BEHAVIOURS: dict[str, tuple[Any, str]] = {
    "type of x.shape": (
        lambda torch, F: type(torch.zeros(2).shape).__name__,
        "a plain tuple does all that a shape is used for; `numel()` is a method of the tensor",
    ),
    "x[::-1]": (
        lambda torch, F: torch.tensor([1.0, 2.0])[::-1].tolist(),
        "NumPy views have negative strides, so a reversed slice costs nothing",
    ),
    "change through .data after it was saved": (
        _mutated_data,
        "PyTorch does not track .data and returns a wrong gradient; here the change is found and refused",
    ),
    "change through a view of a computed tensor": (
        lambda torch, F: _changed_through_a_view(torch, torch.ones(2, 2, requires_grad=True) * 1),
        "PyTorch rewrites the history of all views; here reading x afterwards is refused: write x[0] *= 2",
    ),
    "change through a view of a tensor without history": (
        lambda torch, F: _changed_through_a_view(torch, torch.ones(2, 2)),
        "the same; a gradient that would be lost is an error, and under no_grad reading is allowed",
    ),
    "a view made before a recorded change of a tensor without history": (
        lambda torch, F: _view_made_before(torch),
        "PyTorch gives such views the history; here reading one is refused: take the view after the change",
    ),
    "Function whose forward returns no tensor": (
        lambda torch, F: _function_without_tensor(torch),
        "PyTorch hands such results on, and backward never runs; here it is a TypeError",
    ),
    "backward(inputs=) a computed tensor": (
        lambda torch, F: _backward_into_computed(torch),
        "only leaves have a .grad of their own accord: autograd.grad(outputs, inputs) returns that gradient",
    ),
    "is_inference of a tensor made in inference_mode": (
        lambda torch, F: _made_in_inference_mode(torch),
        "inference_mode is no_grad under another name: nothing is saved by it, and its tensors may be used anywhere",
    ),
    "batch_norm in evaluation, running statistics that require gradients": (
        lambda torch, F: _running_statistics(torch, F),
        "they are operands like others",
    ),
    "gradient of logsumexp where all are -inf": (
        lambda torch, F: _gradient_at(torch, [-float("inf")] * 2, lambda x: x.logsumexp(0)),
        "0 here: no element moves a sum that is 0; PyTorch returns NaN, which spreads through a masked row",
    ),
    "gradient of amax where NaN is largest": (
        lambda torch, F: _gradient_at(torch, [1.0, float("nan")], lambda x: x.amax(0)),
        "the NaN that was picked gets the gradient, as in both libraries' max(); PyTorch's amax divides 0 by 0",
    ),
    "printing of round numbers": (
        lambda torch, F: repr(torch.tensor([1.5, 2.0])),
        "values are printed by NumPy, which drops trailing zeros",
    ),
}


def _changed_through_a_view(torch: Any, x: Any) -> Any:
    factor = torch.tensor([2.0, 2.0], requires_grad=True)
    x[0].mul_(factor)
    (x * 1).sum().backward()
    return factor.grad.tolist()


def _view_made_before(torch: Any) -> Any:
    buffer, x = torch.zeros(2, 2), torch.ones(2, 2, requires_grad=True)
    view = buffer[0]
    buffer.add_(x)
    (view * 1).sum().backward()
    return x.grad.tolist()


def _function_without_tensor(torch: Any) -> Any:
    class Size(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return (x.shape[0], "rows")

    return Size.apply(torch.ones(2, requires_grad=True))


def _backward_into_computed(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.sum().backward(inputs=[y])
    return y.grad.tolist()


def _running_statistics(torch: Any, F: Any) -> Any:
    mean = torch.zeros(3, requires_grad=True)
    F.batch_norm(torch.ones(2, 3), mean, torch.ones(3)).sum().backward()
    return "differentiated"


def _gradient_at(torch: Any, values: list[float], function: Any) -> Any:
    x = torch.tensor(values, requires_grad=True)
    function(x).backward()
    return str(x.grad.tolist())


def _made_in_inference_mode(torch: Any) -> str:
    with torch.inference_mode():
        x = torch.ones(2)
    x.requires_grad_()
    (x * x).sum().backward()
    return "can be used for gradients"
