"""Report 002: softmax regression on CIFAR-10. Gradient check, batch size, rate, epochs, L1 and L2, HOG and PCA."""

from __future__ import annotations

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.reproduce.by_hand import gradients
from tinygrad_lab.experiments.reproduce.rows import Group, Report, Task

__all__ = ["REPORT"]

BASE = Experiment(
    dataset="cifar10",
    lr=0.01,
    momentum=0.9,
    batch_size=200,
    epochs=10,
    schedule="step:3:0.5",
    train_accuracy_samples=5000,
)
FEATURES = BASE.replace(
    optimizer="adamw", momentum=0.0, lr=3e-3, weight_decay=0.1, batch_size=100, schedule="cosine", preprocess=["scale"]
)
PROXIMAL = Experiment(
    dataset="cifar10",
    preprocess=("center",),
    proximal=True,
    l1=1e-3,
    lr=0.03,
    momentum=0.9,
    batch_size=0,
    epochs=200,
    train_accuracy_samples=1000,
)
HOG_PCA = ["sqrt", "hog:4:2:12", "pca:0.95"]

REPORT = Report(
    "002",
    "CIFAR-10, softmax regression on pixels and on HOG with PCA",
    [
        Task("002-gradient-check", gradients("002")),
        Group(
            "002-batch-sizes",
            "softmax regression, pixels in [0, 1], 10 epochs",
            BASE,
            {"batch_size": [50, 100, 200, 500]},
            draw="swept",
        ),
        Group(
            "002-learning-rates",
            "rate halved every 3 epochs, 10 epochs",
            BASE,
            {"lr": [0.001, 0.003, 0.01, 0.03]},
            draw="swept",
        ),
        Group("002-epochs", "rate 0.01, halved every 3 epochs", BASE, {"epochs": [5, 10, 20]}, draw="curves"),
        Group(
            "002-l1-proximal",
            "L1 by proximal gradient descent, 200 steps with the whole training set",
            PROXIMAL,
            {"l1": [1e-4, 3e-4, 1e-3, 3e-3]},
            draw="swept",
        ),
        Group(
            "002-l1-mini-batches",
            "the same in mini-batches, whose noise moves weights off 0 again, 30 epochs",
            PROXIMAL.replace(epochs=30, train_accuracy_samples=5000),
            {"batch_size": [200, 5000]},
        ),
        Group("002-l2", "L2 penalty, 10 epochs", BASE, {"l2": [0.0, 1e-4, 1e-3, 1e-2, 1e-1]}, draw="swept"),
        Group(
            "002-features",
            "softmax regression by AdamW, 10 epochs",
            FEATURES,
            {"preprocess": [["scale"], ["center"], ["standardize"], ["hog"], ["hog", "pca:0.95"]]},
            [0.4419],
            best=True,
        ),
        Group(
            "002-hog-pca-softmax",
            "softmax regression on HOG (4x4 cells, 2x2 blocks, 12 orientations) of the pixels' square roots, and PCA "
            "keeping 95%",
            FEATURES.replace(preprocess=HOG_PCA, epochs=15),
            report=[0.4419],
            target=0.52,
        ),
        Group(
            "002-hog-pca-network",
            "a network with 512 hidden units on the same features",
            FEATURES.replace(
                preprocess=HOG_PCA, model="mlp", hidden=[512], dropout=0.5, weight_decay=1e-4, batch_size=200
            ),
            report=[0.4419],
            target=0.58,
        ),
    ],
    [
        "The report left L1 undone: a step along the gradient of |w| makes no weight exactly 0. The proximal step "
        "does, by soft thresholding (`optim.ProximalSGD`); each row says how many weights are exactly 0.",
    ],
)
