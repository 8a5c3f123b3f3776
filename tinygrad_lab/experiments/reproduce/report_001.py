"""Report 001: softmax regression on MNIST by loop, by matrices and in mini-batches; L2; Fashion-MNIST."""

from __future__ import annotations

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.reproduce.by_hand import steps_of_both, thousand_epochs
from tinygrad_lab.experiments.reproduce.rows import Group, Report, Task

__all__ = ["REPORT"]

BASE = Experiment(dataset="mnist", lr=0.3, batch_size=600, epochs=10, train_accuracy_samples=2000)

REPORT = Report(
    "001",
    "MNIST, softmax regression by loop, matrix and mini-batch; Fashion-MNIST",
    [
        Task("001-loop-against-matrix", steps_of_both),
        Group(
            "001-full-batch",
            "gradient descent as matrices, all 1,000 steps, rate 0.3",
            BASE.replace(batch_size=0, epochs=1000, train_accuracy_samples=1000),
            report=[{"train": 0.8988, "test": 0.9083}],
        ),
        Task("001-thousand-epochs", thousand_epochs),
        Group(
            "001-mini-batches",
            "mini-batches, rate 0.3, 10 epochs",
            BASE,
            {"batch_size": [100, 600, 5000]},
            show=("train", "test"),
            draw="curves",
        ),
        Group(
            "001-l2",
            "L2, rate 0.3, batch 600, 10 epochs",
            BASE,
            {"l2": [0.0, 1e-4, 1e-3, 1e-2, 1e-1]},
            show=("train", "test"),
            draw="swept",
        ),
        Group(
            "001-l2-too-strong",
            "L2 too strong, rate 0.3, batch 600, l2 100",
            BASE.replace(l2=100.0),
            diverges=True,
        ),
        Group(
            "001-fashion-linear",
            "Fashion-MNIST's files, linear model, least squares",
            Experiment(dataset="fashion-mnist", model="linear", loss="mse", lr=0.003, momentum=0.9, epochs=10),
            report=[0.89],
        ),
        Group(
            "001-fashion-network",
            "Fashion-MNIST's files, 784-256-256-10",
            Experiment(
                dataset="fashion-mnist",
                model="mlp",
                hidden=(256, 256),
                optimizer="adam",
                lr=1e-3,
                schedule="cosine",
                epochs=10,
                train_accuracy_samples=5000,
            ),
            report=[0.89],
            draw="weights",
        ),
    ],
    [
        "The per-sample loop runs 10 of its 1,000 steps, and no accuracy is made of them. Loop and matrices take the "
        "same steps: from the same start, their weights are equal to rounding. All 1,000 steps are run as matrices.",
        "L2 too strong: each step of gradient descent multiplies the weights by 1 - lr * l2, and beyond lr * l2 = 2 "
        "they grow without bound. The report saw NaN; here the run stops and says so.",
    ],
)
