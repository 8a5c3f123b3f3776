"""Report 004: networks on MNIST. Optimizers, rates, batch sizes, losses, widths, depths, regularisers, handwriting."""

from __future__ import annotations

from tinygrad_lab.experiments.config import Experiment
from tinygrad_lab.experiments.reproduce.afterwards import best_optimizer, handwriting, in_parallel, saved_and_loaded
from tinygrad_lab.experiments.reproduce.rows import Group, Report, Task

__all__ = ["REPORT"]

ADAM = Experiment(
    dataset="mnist",
    model="mlp",
    hidden=(256, 30),
    optimizer="adam",
    lr=1e-3,
    batch_size=64,
    epochs=10,
    train_accuracy_samples=5000,
)
GD = ADAM.replace(optimizer="sgd", lr=0.1)
MOMENTUM = GD.replace(lr=0.05, momentum=0.9)
WIDE = ADAM.replace(hidden=[2048, 256], schedule="cosine", train_accuracy_samples=2000)
WIDEST = WIDE.replace(dropout=0.3, epochs=12)
REGULARISED = ADAM.replace(hidden=[512, 64])

BATCHES = [16, 32, 64, 128, 256]
RATES = [0.5, 0.05, 0.005, 0.0005]

REPORT = Report(
    "004",
    "MNIST, networks 784-256-30-10 and others",
    [
        Group(
            "004-softmax",
            "softmax regression, Adam, 10 epochs",
            ADAM.replace(model="softmax", hidden=[]),
            report=[0.80],
        ),
        Group("004-optimizer-gd", "gradient descent, rate 0.1, batch 64, 10 epochs", GD),
        Group("004-optimizer-momentum", "momentum 0.9, rate 0.05, batch 64, 10 epochs", MOMENTUM),
        Group(
            "004-optimizer-adam",
            "Adam, rate 0.001, batch 64, 10 epochs",
            ADAM,
            report=[0.94],
            draw="curves",
            beside=("004-optimizer-gd", "004-optimizer-momentum"),
        ),
        Group(
            "004-rate-decay",
            "momentum, rate 0.05 / (1 + decay * epoch)",
            MOMENTUM,
            {"schedule": ["constant", "inverse:0.1", "inverse:0.5", "inverse:1"]},
            draw="curves",
        ),
        Group("004-rates-gd", "gradient descent, batch 64", GD, {"lr": RATES}),
        Group("004-rates-momentum", "momentum 0.9, batch 64", MOMENTUM, {"lr": RATES}),
        Group(
            "004-rates-adam",
            "Adam, batch 64",
            ADAM,
            {"lr": RATES},
            draw="swept",
            beside=("004-rates-gd", "004-rates-momentum"),
        ),
        Group("004-batch-sizes-gd", "gradient descent, rate 0.1", GD, {"batch_size": BATCHES}),
        Group("004-batch-sizes-momentum", "momentum 0.9, rate 0.05", MOMENTUM, {"batch_size": BATCHES}),
        Group(
            "004-batch-sizes-adam",
            "Adam, rate 0.001",
            ADAM,
            {"batch_size": BATCHES},
            [0.94],
            draw="swept",
            beside=("004-batch-sizes-gd", "004-batch-sizes-momentum"),
        ),
        Group(
            "004-losses", "Adam, cross-entropy against L2 loss", ADAM, {"loss": ["cross_entropy", "mse"]}, draw="curves"
        ),
        Group(
            "004-widths",
            "Adam, rate falling along a cosine",
            WIDE,
            {"hidden": [[64, 10], [256, 30], [512, 64], [1024, 128], [2048, 256]]},
            [None, None, None, None, 0.98],
            show=("train", "test"),
        ),
        Group(
            "004-width-10240",
            "one hidden layer of 10240 units, Adam",
            ADAM.replace(hidden=[10240], epochs=2, train_accuracy_samples=2000),
            fraction="2 of 10 epochs",
            show=("train", "test"),
        ),
        Group(
            "004-widest-at-its-best",
            "784-2048-256-10, dropout 0.3, rate falling along a cosine, 12 epochs",
            WIDEST,
            report=[0.98],
            target=0.983,
            show=("train", "test"),
            draw="weights",
        ),
        Group(
            "004-depths",
            "two to five layers, Adam, 10 epochs",
            ADAM,
            {"hidden": [[256], [256, 30], [256, 64, 30], [256, 128, 64, 30]]},
            show=("train", "test"),
        ),
        Group(
            "004-regularisers",
            "batch norm, dropout and L2, alone and combined, 784-512-64-10, Adam",
            REGULARISED,
            {"batch_norm": [False, True], "dropout": [0.0, 0.3], "l2": [0.0, 1e-4]},
            show=("train", "test"),
        ),
        Group(
            "004-l2",
            "weight of L2, 784-512-64-10, Adam",
            REGULARISED,
            {"l2": [0.0, 1e-5, 1e-4, 1e-3, 1e-2]},
            show=("train", "test"),
            draw="swept",
        ),
        Group(
            "004-dropout",
            "share of units dropped, 784-512-64-10, Adam",
            REGULARISED,
            {"dropout": [0.0, 0.1, 0.3, 0.5, 0.7, 0.9]},
            show=("train", "test"),
            draw="swept",
        ),
        Group(
            "004-betas",
            "Adam, rate 0.001, batch 64",
            ADAM,
            {"betas": [[0.0, 0.999], [0.5, 0.999], [0.9, 0.9], [0.9, 0.99], [0.9, 0.999], [0.99, 0.999]]},
        ),
        Task("004-best-optimizer", best_optimizer({"GD": GD, "momentum": MOMENTUM, "Adam": ADAM}, BATCHES, RATES)),
        Task("004-saved-and-loaded", saved_and_loaded(ADAM)),
        Task("004-in-parallel", in_parallel(ADAM.replace(epochs=3))),
        Task("004-handwriting", handwriting(WIDEST)),
    ],
    [
        "The report finds Adam best. The rows 004-best-optimizer compare all three by validation: at one rate for all "
        "it depends on the rate, and with a rate of its own for each (by batch size) they are close together.",
        "The 10240-wide net runs 2 of 10 epochs; its accuracy is what it has then.",
        "The report's handwriting is not at hand: ours is drawn by the program, in four styles by five hands, and goes "
        "the way that `tinygrad-lab predict` takes.",
    ],
)
