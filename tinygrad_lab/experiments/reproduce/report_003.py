"""Report 003: softmax regression and a three-layer network on the pixels of CIFAR-10."""

from __future__ import annotations

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.reproduce.by_hand import gradients, loop_and_matrices
from tinygrad_lab.experiments.reproduce.rows import Group, Report, Task

__all__ = ["REPORT"]

GRID = Experiment(
    dataset="cifar10",
    preprocess=("center",),
    momentum=0.9,
    batch_size=200,
    epochs=5,
    train_accuracy_samples=5000,
)
SOFTMAX = GRID.replace(
    preprocess=["standardize"],
    augment=["flip"],
    optimizer="adamw",
    momentum=0.0,
    lr=1e-3,
    weight_decay=1.0,
    epochs=10,
    schedule="cosine",
)
NETWORK = SOFTMAX.replace(model="mlp", hidden=[512, 256], weight_decay=0.01, dropout=0.2, epochs=12)

REPORT = Report(
    "003",
    "CIFAR-10, softmax regression and a three-layer network on pixels",
    [
        Task("003-gradient-check", gradients("003")),
        Task("003-loop-against-matrix", loop_and_matrices),
        Group(
            "003-rate-and-l2",
            "rate x L2, softmax regression, mean image subtracted, 5 epochs",
            GRID,
            {"lr": [0.001, 0.003, 0.01, 0.03], "l2": [0.0, 1e-3, 1e-2, 1e-1]},
            [{"validation": 0.371, "test": 0.360}],
            best=True,
            summary=True,
            draw="grid",
        ),
        Group(
            "003-softmax-at-its-best",
            "softmax regression, pixels standardized, mirrored at random; templates of the classes as images",
            SOFTMAX,
            report=[{"validation": 0.371, "test": 0.360}],
            target=0.39,
            draw="weights",
        ),
        Group(
            "003-network",
            "network 3072-512-256-10, pixels standardized, mirrored at random; first layer's weights as images",
            NETWORK,
            report=[{"validation": 0.489, "test": 0.478}],
            target=0.53,
            draw="weights",
        ),
        Group(
            "003-network-batch-norm",
            "the same with batch norm, which the report suggests",
            NETWORK.replace(batch_norm=True),
            report=[{"validation": 0.489, "test": 0.478}],
            target=0.55,
            draw="weights",
        ),
    ],
)
