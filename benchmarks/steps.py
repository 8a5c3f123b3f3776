"""Whole training steps of ReLU networks, three times over: tinygrad_lab, PyTorch and hand-written NumPy.

Every maker below takes a `Case` and returns a function of no arguments that runs the next training step (zero_grad,
forward, backward, optimizer) and returns its loss. All start from equal weights and walk the same batches, in float32,
so their losses can be compared step by step. This file knows nothing of timing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Step = Callable[[], Any]
Maker = Callable[["Case"], Step]


@dataclass(frozen=True)
class Case:
    """A network of linear layers with ReLU between, its batch size and optimizer; `limit` bounds ours / NumPy."""

    sizes: tuple[int, ...]
    batch: int
    optimizer: str  # "SGD" or "Adam"
    lr: float
    limit: float
    momentum: float = 0.0
    out_by_in: bool = False  # NumPy's weight layout: whichever was measured faster, see numpy_step

    @property
    def name(self) -> str:
        """For example `784-256-10 b64 Adam`.

        >>> Case((2, 3), 5, "SGD", 0.1, 1.5, momentum=0.9).name
        '2-3 b5 SGD momentum 0.9'
        """
        momentum = f" momentum {self.momentum}" if self.momentum else ""
        return f"{'-'.join(map(str, self.sizes))} b{self.batch} {self.optimizer}{momentum}"


CASES = (
    Case((784, 10), 100, "SGD", 0.01, 1.15, momentum=0.9, out_by_in=True),
    Case((784, 256, 30, 10), 64, "Adam", 1e-3, 1.10),
    Case((784, 256, 256, 10), 256, "SGD", 0.1, 1.10),
    Case((784, 2048, 256, 10), 64, "Adam", 1e-3, 1.10),
    Case((3072, 50, 50, 10), 200, "SGD", 0.1, 1.10),
    Case((2, 16, 16, 2), 100, "SGD", 0.1, 1.5),
)


def weights(case: Case, seed: int = 0) -> list[Array]:
    """Weight (out, in) and bias (out,) of each layer in turn, uniform within 1/sqrt(in) as `nn.Linear` draws them."""
    generator = np.random.default_rng(seed)
    drawn: list[Array] = []
    for inputs, outputs in zip(case.sizes, case.sizes[1:], strict=False):
        bound = inputs**-0.5
        drawn += [generator.uniform(-bound, bound, shape).astype(np.float32) for shape in ((outputs, inputs), outputs)]
    return drawn


def batches(case: Case, count: int = 5, seed: int = 1) -> list[tuple[Array, Array]]:
    """`count` batches of inputs, uniform in [0, 1), and labels drawn at random."""
    generator = np.random.default_rng(seed)
    return [
        (generator.random((case.batch, case.sizes[0]), np.float32), generator.integers(case.sizes[-1], size=case.batch))
        for _ in range(count)
    ]


def library_step(case: Case, library: str) -> Step:
    """The step as a user writes it: the same text for `library` "torch" and "tinygrad_lab"."""
    lib: Any = import_module(library)
    nn: Any = import_module(f"{library}.nn")
    F: Any = import_module(f"{library}.nn.functional")
    optim: Any = import_module(f"{library}.optim")

    layers: list[Any] = []
    for inputs, outputs in zip(case.sizes, case.sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    with lib.no_grad():
        for parameter, value in zip(model.parameters(), weights(case), strict=True):
            parameter.copy_(lib.from_numpy(value))
    options = {"momentum": case.momentum} if case.momentum else {}
    optimizer = getattr(optim, case.optimizer)(model.parameters(), lr=case.lr, **options)
    data = cycle([(lib.from_numpy(x), lib.from_numpy(y)) for x, y in batches(case)])

    def step() -> Any:
        x, y = next(data)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def numpy_step(case: Case) -> Step:
    """The step as a careful NumPy user writes it by hand for these networks: what the limits compare ours with.

    - No copies and no work that is not needed: bias, ReLU and its mask in place, no dX for the first layer, softmax,
      loss value and gradient of the logits in one array with one exp, float32 throughout.
    - Each product is one BLAS call on operands as they lie in memory; weights lie (in, out), or (out, in) where that
      was measured faster.
    - Optimizers update in place through one scratch array per parameter, Adam's bias correction folded into scalars.

    `tuned_numpy_step` goes further.
    """
    layers, update, data = numpy_model(case)
    n, rows = case.batch, np.arange(case.batch)

    def step() -> Any:
        x, y = next(data)
        inputs: list[Array] = []
        for weight, bias in layers:
            if inputs:
                np.maximum(x, 0, out=x)
            inputs.append(x)
            x = x @ weight
            x += bias

        x -= x.max(axis=1, keepdims=True)
        chosen = x[rows, y]
        np.exp(x, out=x)
        total = x.sum(axis=1, keepdims=True)
        loss = (np.log(total).sum() - chosen.sum()) / n
        x /= total
        x[rows, y] -= 1
        x /= n

        g = x  # the cotangent of the logits, of the mean loss
        gradients: list[Array] = []
        for k in range(len(layers) - 1, -1, -1):
            weight, h = layers[k][0], inputs[k]
            gradients += [g.sum(axis=0), (g.T @ h).T if case.out_by_in else h.T @ g]
            if k:
                g = g @ weight.T
                g *= h > 0
        update(gradients[::-1])
        return loss

    return step


def numpy_model(case: Case) -> tuple[list[tuple[Array, Array]], Callable[[list[Array]], None], Any]:
    """(weights and biases of the layers, update of the optimizer, endless batches) of both NumPy versions."""
    drawn = weights(case)
    layers = [
        (w.T if case.out_by_in else np.ascontiguousarray(w.T), b) for w, b in zip(drawn[::2], drawn[1::2], strict=True)
    ]
    update = (numpy_adam if case.optimizer == "Adam" else numpy_sgd)([p for layer in layers for p in layer], case)
    return layers, update, cycle(batches(case))


def tuned_numpy_step(case: Case) -> Step:
    """`numpy_step` after hours with a profiler: what is left when every microsecond counts. For information.

    - Sums of the softmax and of the bias gradients are products with ones, faster than `sum`; the row maximum runs down
      the columns of a transposed copy, and labels index the flat array: each two to four times faster than usual.
    - Numbers that meet arrays are 0-d arrays, which NumPy takes up 0.2 us faster than scalars; `dot` starts 0.5 us
      faster than `@`.
    - Activations and gradients are allocated by each step, as in the libraries: writing them into buffers kept from
      step to step was measured, and gained nothing.
    """
    layers, update, data = numpy_model(case)
    zero, n, share = constant(0), constant(case.batch), constant(1 / case.batch)
    classes = case.sizes[-1]
    row_starts = np.arange(0, case.batch * classes, classes)
    ones, class_ones = np.ones(case.batch, np.float32), np.ones(classes, np.float32)

    def step() -> Any:
        x, y = next(data)
        inputs: list[Array] = []
        for weight, bias in layers:
            if inputs:
                np.maximum(x, zero, out=x)
            inputs.append(x)
            x = x.dot(weight)
            x += bias

        x -= np.maximum.reduce(x.T.copy(), axis=0)[:, None]
        flat, at = x.reshape(-1), y + row_starts
        chosen = flat[at]
        np.exp(x, out=x)
        total = x.dot(class_ones)
        loss = (np.log(total).sum() - chosen.sum()) / n
        total *= n
        x /= total[:, None]
        flat[at] -= share

        g = x  # the cotangent of the logits, of the mean loss
        gradients: list[Array] = []
        for k in range(len(layers) - 1, -1, -1):
            weight, h = layers[k][0], inputs[k]
            gradients += [ones.dot(g), g.T.dot(h).T if case.out_by_in else h.T.dot(g)]
            if k:
                g = g.dot(weight.T)
                g *= h > zero
        update(gradients[::-1])
        return loss

    return step


def numpy_sgd(parameters: list[Array], case: Case) -> Callable[[list[Array]], None]:
    """v = momentum v + g; p -= lr v, where momentum is not 0; p -= lr g otherwise."""
    scratch = [np.empty_like(p) for p in parameters]
    velocity = [np.zeros_like(p) for p in parameters] if case.momentum else []
    momentum, lr = constant(case.momentum), constant(case.lr)

    def update(gradients: list[Array]) -> None:
        for v, g in zip(velocity, gradients, strict=False):
            v *= momentum
            v += g
        for p, g, t in zip(parameters, velocity or gradients, scratch, strict=True):
            np.multiply(g, lr, out=t)
            p -= t

    return update


def numpy_adam(parameters: list[Array], case: Case) -> Callable[[list[Array]], None]:
    """m, v = moving averages of g, g*g; p -= lr m/(1 - b1^t) / (sqrt(v/(1 - b2^t)) + eps), in twelve passes."""
    scratch, first, second = ([np.zeros_like(p) for p in parameters] for _ in range(3))
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    keep1, take1, keep2, take2 = map(constant, (beta1, 1 - beta1, beta2, 1 - beta2))
    count = 0

    def update(gradients: list[Array]) -> None:
        nonlocal count
        count += 1
        root = (1 - beta2**count) ** 0.5
        rate, eps_root = constant(case.lr * root / (1 - beta1**count)), constant(eps * root)
        for p, g, m, v, t in zip(parameters, gradients, first, second, scratch, strict=True):
            m *= keep1
            np.multiply(g, take1, out=t)
            m += t
            v *= keep2
            np.multiply(g, g, out=t)
            t *= take2
            v += t
            np.sqrt(v, out=t)
            t += eps_root
            np.divide(m, t, out=t)
            t *= rate
            p -= t

    return update


def constant(value: float) -> Array:
    """A float32 array of shape ()."""
    return np.array(value, np.float32)


def makers() -> Iterator[tuple[str, Maker]]:
    """(name, maker) of each implementation that is here: ours, NumPy, and PyTorch where it is installed."""
    if find_spec("tinygrad_lab.optim"):
        yield "ours", partial(library_step, library="tinygrad_lab")
    yield "NumPy", numpy_step
    yield "tuned NumPy", tuned_numpy_step
    if find_spec("torch"):
        yield "PyTorch", partial(library_step, library="torch")


def first_losses(maker: Maker, case: Case, count: int = 20) -> Array:
    """The losses of the first `count` steps, float64 (count,)."""
    step = maker(case)
    return np.array([step().item() for _ in range(count)])


def check_equal_losses(case: Case, count: int = 20, rtol: float = 1e-4) -> None:
    """Raises AssertionError, naming the implementation, where its first losses differ from NumPy's beyond rtol."""
    reference = first_losses(numpy_step, case, count)
    for name, maker in makers():
        np.testing.assert_allclose(
            first_losses(maker, case, count), reference, rtol=rtol, err_msg=f"{name} on {case.name}"
        )
