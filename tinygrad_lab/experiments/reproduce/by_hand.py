"""Softmax regression derived by hand, as a loop over samples and as matrices: times, gradients, a thousand epochs.

What this file lets you do: measure the rows of reports 001 to 003 that are no experiments.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lab import manual_seed, nn, optim, random, verify
from tinygrad_lab.experiments.reproduce.rows import Line, judge
from tinygrad_lab.experiments.training import evaluate
from tinygrad_lab.nn import functional
from tinygrad_lab.tensor import wrap

__all__ = [
    "gradient_by_loop",
    "gradient_by_matrices",
    "gradients",
    "loop_and_matrices",
    "steps_of_both",
    "thousand_epochs",
]

Gradient = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def gradient_by_loop(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of mean cross-entropy by w and b, sample by sample. x: (N, D), y: (N,), w: (D, C), b: (C,).

    For one sample: dz = p - onehot(y), dw = outer(x, dz), db = dz.
    """
    dw, db = np.zeros_like(w), np.zeros_like(b)
    for sample, label in zip(x, y, strict=True):
        z = sample @ w + b
        e = np.exp(z - z.max())  # the largest logit taken off, so that exp cannot overflow
        dz = e / e.sum()
        dz[label] -= 1
        dw += np.outer(sample, dz)
        db += dz
    return dw / len(x), db / len(x)


def gradient_by_matrices(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same gradients for all samples at once: dw = x^T (p - onehot(y)) / N.

    >>> x, y = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([0, 1])
    >>> w, b = np.zeros((2, 3)), np.zeros(3)
    >>> bool(np.allclose(gradient_by_matrices(x, y, w, b)[0], gradient_by_loop(x, y, w, b)[0]))
    True
    """
    z = x @ w + b
    e = np.exp(z - z.max(axis=1, keepdims=True))
    dz = e / e.sum(axis=1, keepdims=True)
    dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    return x.T @ dz, dz.sum(axis=0)


def steps_of_both(context: Any) -> list[Line]:
    """Report 001: gradient descent with all of MNIST in each step, by loop and by matrices, for part of the steps."""
    steps, of = (2, 2) if context.quick else (10, 1000)
    x, y = (tensor.numpy() for tensor in context.splits("mnist").train.tensors)
    found, seconds = {}, {}
    for name, gradient in (("loop", gradient_by_loop), ("matrices", gradient_by_matrices)):
        w, b = np.zeros((x.shape[1], 10), np.float32), np.zeros(10, np.float32)
        started = time.perf_counter()
        for _ in range(steps):
            dw, db = gradient(x, y, w, b)
            w -= 0.3 * dw
            b -= 0.3 * db
        seconds[name] = time.perf_counter() - started
        found[name] = w
    apart = float(np.abs(found["loop"] - found["matrices"]).max() / np.abs(found["matrices"]).max())
    same = f"weights of both differ by {apart:.1e} of the largest"
    verdict = "same weights" if apart < 1e-4 else "the weights differ"
    name, ratio = "001-loop-against-matrix", seconds["loop"] / seconds["matrices"]
    ran = f"ran {steps} of {of:,} steps"
    return [
        Line(
            name,
            f"loop over the samples, all {len(x):,} in each step, rate 0.3 ({ran}, so no accuracy)",
            "3.204 s a step (3,204 s for 1,000)",
            f"{seconds['loop'] / steps:.3f} s a step; {same}",
            "quick" if context.quick else verdict,
            seconds["loop"],
        ),
        Line(
            name,
            f"the same as matrices ({ran})",
            "",
            f"{seconds['matrices'] / steps:.4f} s a step, {ratio:.0f} times as fast; {same}",
            "quick" if context.quick else verdict,
            seconds["matrices"],
        ),
    ]


def thousand_epochs(context: Any) -> list[Line]:
    """Report 001: 1,000 epochs at batch 600, with the engine.

    Which images form a batch is drawn once, and in each epoch the batches come in a new order: each is then a part of
    one array and need not be copied, which would take half as long as the products.
    """
    epochs, size = (2, 100) if context.quick else (1000, 600)
    splits = context.splits("mnist")
    started, busy = time.perf_counter(), time.process_time()
    features, labels = (tensor.numpy() for tensor in splits.train.tensors)
    manual_seed(0)
    generator = random.Generator().manual_seed(0).numpy
    order = generator.permutation(len(features))
    features, labels = features[order], labels[order]
    starts = range(0, len(features), size)
    batches = [(wrap(features[i : i + size]), wrap(labels[i : i + size])) for i in starts]
    model = nn.Linear(features.shape[1], len(splits.classes))
    optimizer = optim.SGD(model.parameters(), lr=0.3)
    for _ in range(epochs):
        for i in generator.permutation(len(batches)):
            optimizer.zero_grad()
            functional.cross_entropy(model(batches[i][0]), batches[i][1]).backward()
            optimizer.step()
    seconds, processor = time.perf_counter() - started, time.process_time() - busy
    measured: dict[str, float | None] = {
        "train": evaluate(model, splits.train)[1],
        "test": evaluate(model, splits.test)[1],
    }
    verdict = judge(measured, {"train": 0.92946, "test": 0.915})
    verdict += f"; target 90 s {'reached' if seconds <= 90 else 'missed'}"
    return [
        Line(
            "001-thousand-epochs",
            f"mini-batches: 1,000 epochs at batch 600, rate 0.3 ({len(batches) * epochs:,} steps)",
            "train 0.9295, test 0.9150 in 2,103 s",
            f"train {measured['train']:.4f}, test {measured['test']:.4f} in {seconds:.0f} s (processor "
            f"{processor:.0f} s, one thread)",
            "quick" if context.quick else verdict,
            seconds,
        )
    ]


def loop_and_matrices(context: Any) -> list[Line]:
    """Report 003: one gradient of 500 images of CIFAR-10, by loop and by matrices; the best of five times."""
    x, y = (tensor.numpy()[:500] for tensor in context.splits("cifar10").train.tensors)
    w = 1e-4 * np.random.default_rng(0).standard_normal((x.shape[1], 10), np.float32)
    b = np.zeros(10, np.float32)
    seconds, spent = {}, {}
    for name, gradient in (("loop", gradient_by_loop), ("matrices", gradient_by_matrices)):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            gradient(x, y, w, b)
            times.append(time.perf_counter() - started)
        seconds[name], spent[name] = min(times), sum(times)
    apart = np.abs(gradient_by_loop(x, y, w, b)[0] - gradient_by_matrices(x, y, w, b)[0]).max()
    faster = seconds["loop"] / seconds["matrices"]
    what = f"one gradient of {len(x)} images, softmax regression"
    verdicts = [
        "quick" if context.quick else "reached" if ours <= reported else "slower"
        for ours, reported in ((seconds["loop"], 0.103), (seconds["matrices"], 0.0044))
    ]
    return [
        Line(
            "003-loop-against-matrix",
            f"{what}: loop",
            "0.103 s",
            f"{seconds['loop']:.4f} s",
            verdicts[0],
            spent["loop"],
        ),
        Line(
            "003-loop-against-matrix",
            f"{what}: matrices",
            "0.0044 s",
            f"{seconds['matrices']:.5f} s, {faster:.0f} times as fast; gradients differ by {apart:.0e}",
            verdicts[1],
            spent["matrices"],
        ),
    ]


def gradients(report: str) -> Callable[[Any], list[Line]]:
    """Reports 002 and 003: analytic against numerical gradients, on 20 images of CIFAR-10, in float64."""

    def measure(context: Any) -> list[Line]:
        x, y = (tensor.numpy()[:20] for tensor in context.splits("cifar10").train.tensors)
        x = x.astype(np.float64) - x.mean()
        rng = np.random.default_rng(0)
        w, b = 0.01 * rng.normal(size=(x.shape[1], 10)), np.zeros(10)
        lines = _by_differences(report, x, y, w, b)
        if report == "003":
            lines += _networks(x, y)
        return [Line(**{**line.as_dict(), "verdict": "quick" if context.quick else line.verdict}) for line in lines]

    return measure


def _by_differences(report: str, x: np.ndarray, y: np.ndarray, w: np.ndarray, b: np.ndarray) -> list[Line]:
    """Ten weights drawn at random, as the reports did it: (f(w + h) - f(w - h)) / 2h; and all by `verify.gradcheck`."""

    def loss(w: Any, b: Any) -> Any:
        return functional.cross_entropy(wrap(x) @ w + b, wrap(y))

    lines, rng, h = [], np.random.default_rng(1), 1e-5
    for how, gradient in (("loop", gradient_by_loop), ("matrices", gradient_by_matrices)):
        started, worst = time.perf_counter(), 0.0
        analytic = gradient(x, y, w, b)[0]
        for _ in range(10):
            place = tuple(int(rng.integers(size)) for size in w.shape)
            up, down = w.copy(), w.copy()
            up[place] += h
            down[place] -= h
            numerical = (loss(wrap(up), wrap(b)).item() - loss(wrap(down), wrap(b)).item()) / (2 * h)
            size = max(abs(numerical), abs(analytic[place]), 1e-12)
            worst = max(worst, abs(numerical - analytic[place]) / size)
        result = verify.gradcheck(loss, (w, b), gradient(x, y, w, b), names=["W", "b"])
        lines.append(
            Line(
                f"{report}-gradient-check",
                f"softmax regression, gradient by {how}: ten weights by differences; then all, by verify.gradcheck",
                "",
                f"largest relative difference {worst:.0e}; gradcheck: {result.verdict}",
                "right" if result and worst < 1e-5 else "wrong",
                time.perf_counter() - started,
            )
        )
    return lines


def _networks(x: np.ndarray, y: np.ndarray) -> list[Line]:
    """The engine's own gradients of the three-layer network, with and without batch norm."""
    lines = []
    for what, batch_norm in (("3072-50-50-10", False), ("3072-50-50-10 with batch norm", True)):
        manual_seed(0)
        layers: list[nn.Module] = []
        for wide, narrow in ((x.shape[1], 50), (50, 50)):
            layers += [nn.Linear(wide, narrow), *([nn.BatchNorm1d(narrow)] if batch_norm else []), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(50, 10)).double()
        started = time.perf_counter()
        result = verify.gradcheck(lambda model=model: functional.cross_entropy(model(wrap(x)), wrap(y)), model)
        checked = ", ".join(parameter.name for parameter in result.parameters)
        lines.append(
            Line(
                "003-gradient-check",
                f"network {what.replace('3072', str(x.shape[1]))}: {checked}",
                "",
                f"gradcheck: {result.verdict} ({result.evaluations} evaluations)",
                "right" if result else "wrong",
                time.perf_counter() - started,
            )
        )
    return lines
