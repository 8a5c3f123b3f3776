"""Experiment: every field is checked, and the same experiment has the same key wherever it comes from."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_lab.experiments import Experiment, parse_field, read_toml

MLP = {"model": "mlp", "hidden": (8,)}
MISUSE: list[tuple[dict[str, Any], str]] = [
    ({"dataset": "imagenet"}, "dataset must be one of digits, mnist, fashion-mnist, cifar10, got imagenet"),
    ({"preprocess": ("whiten",)}, "preprocess: "),
    ({"preprocess": "scale"}, "preprocess must be a list, each member text, got 'scale'"),
    ({"augment": ("rotate",)}, "augment: no augmentation is called 'rotate'; there are shift:PIXELS, flip"),
    ({"augment": ("flip",), "preprocess": ("hog",)}, "augment changes images: it cannot be used after"),
    ({"validation": -1}, "validation must be none or at least 0, got -1"),
    ({"model": "cnn"}, "model must be one of softmax, mlp, linear, got cnn"),
    ({"model": "mlp"}, "hidden must name at least one width for the model mlp"),
    ({"hidden": (3,)}, "hidden is for the model mlp; softmax regression has no hidden layers, got [3]"),
    ({"model": "mlp", "hidden": (8, 0)}, "hidden must be widths of at least 1, got [8, 0]"),
    ({"hidden": 3}, "hidden must be a list, each member a whole number, got 3"),
    ({"hidden": ("a",)}, "hidden must be a whole number, got 'a'"),
    ({"dropout": 0.5}, "dropout is for the model mlp"),
    ({"batch_norm": True, "model": "linear", "loss": "mse"}, "batch_norm is for the model mlp; a linear model has"),
    ({**MLP, "dropout": 1.0}, "dropout must be a number in [0, 1), got 1.0"),
    ({**MLP, "activation": "step"}, "activation must be one of relu, tanh, sigmoid"),
    ({**MLP, "batch_norm": True, "batch_size": 1}, "batch_size must be at least 2 with batch_norm"),
    ({"loss": "hinge"}, "loss must be one of cross_entropy, mse, got hinge"),
    ({"model": "linear"}, "loss must be mse for the model linear, got cross_entropy"),
    ({"optimizer": "sdg"}, "optimizer must be one of sgd, adam"),
    ({"lr": 0}, "lr must be a positive number, got 0.0"),
    ({"lr": float("nan")}, "lr must be a positive number, got nan"),
    ({"lr": float("inf")}, "lr must be a positive number, got inf"),
    ({"lr": "0.1"}, "lr must be a number, got '0.1'"),
    ({"lr": True}, "lr must be a number, got True"),
    ({"momentum": 1.0}, "momentum must be a number in [0, 1), got 1.0"),
    ({"momentum": 0.9, "optimizer": "adam"}, "momentum is an option of sgd and rmsprop, not of adam: leave it at 0.0"),
    ({"betas": (0.9,), "optimizer": "adam"}, "betas must be two numbers in [0, 1), got [0.9]"),
    ({"betas": (0.8, 0.9)}, "betas is an option of adam and adamw and adamax and nadam, not of sgd"),
    ({"nesterov": True}, "nesterov needs a momentum above 0"),
    ({"nesterov": True, "optimizer": "adam"}, "nesterov is an option of sgd, not of adam"),
    ({"l1": -1}, "l1 must be a number that is not negative, got -1.0"),
    ({"l2": float("inf")}, "l2 must be a number that is not negative, got inf"),
    ({"weight_decay": -0.1}, "weight_decay must be a number that is not negative"),
    ({"max_norm": 0}, "max_norm must be none or a positive number, got 0.0"),
    ({"proximal": True}, "proximal applies l1 and l2, and both are 0"),
    ({"proximal": True, "l1": 0.1, "optimizer": "adam"}, "proximal is an option of sgd, not of adam"),
    (
        {"proximal": True, "l1": 0.1, "weight_decay": 0.1},
        "proximal steps do not go with weight_decay: leave it out, or",
    ),
    ({"proximal": True, "l1": 0.1, "momentum": 0.9, "nesterov": True}, "proximal steps do not go with nesterov"),
    ({"schedule": "linear"}, "schedule must be one of constant, step:EVERY:FACTOR, inverse:DECAY, cosine, onecycle"),
    ({"schedule": "step:0:0.5"}, "schedule must be one of"),
    ({"schedule": "step:2"}, "schedule must be one of"),
    ({"schedule": "inverse:a"}, "schedule must be one of"),
    ({"schedule": "cosine:3"}, "schedule must be one of"),
    ({"batch_size": -1}, "batch_size must be at least 1, or 0 for the whole training set, got -1"),
    ({"batch_size": 1.5}, "batch_size must be a whole number, got 1.5"),
    ({"epochs": 0}, "epochs must be at least 1, got 0"),
    ({"patience": 0}, "patience must be none or at least 1, got 0"),
    ({"patience": 3, "validation": 0}, "patience looks at validation accuracy, and validation is 0"),
    ({"keep_best": True, "validation": 0}, "keep_best looks at validation accuracy"),
    ({"keep_best": 1}, "keep_best must be true or false, got 1"),
    ({"train_accuracy_samples": -1}, "train_accuracy_samples must be at least 1, or 0 for all"),
    ({"seed": "zero"}, "seed must be a whole number, got 'zero'"),
    ({"learning_rate": 0.1}, "learning_rate is no field of an experiment; there are dataset, model"),
]


@pytest.mark.parametrize(("fields", "said"), MISUSE, ids=[str(fields) for fields, _ in MISUSE])
def test_a_wrong_field_is_named_with_what_it_may_be(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        Experiment.from_dict(fields)
    assert str(caught.value).startswith(said)


def test_every_field_is_documented() -> None:
    text = Experiment.__doc__ or ""
    assert not [field.name for field in dataclasses.fields(Experiment) if field.name not in text]


def test_equal_experiments_are_equal_however_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('model = "mlp"\nhidden = [16, 8]\nlr = 1\nmax_norm = 2\n[sweep]\nlr = [1, 2]\n')
    read, swept = read_toml(path)
    made = Experiment(model="mlp", hidden=[16, 8], lr=np.float64(1), max_norm=2.0)  # type: ignore[arg-type]
    assert read == made == Experiment.from_toml(path) == Experiment.from_dict(made.as_dict())
    assert read.key == made.key and hash(read) == hash(made) and swept == {"lr": [1, 2]}
    assert made.replace(lr=2).lr == 2.0 and made.replace(seed=1).key != made.key


def test_the_key_is_the_same_in_another_process_and_version() -> None:
    """If this fails, results remembered by users are lost: that must be meant (raise KEY_FORMAT), or undone."""
    assert Experiment().key == "3f0a99256beeb89a"
    code = "from tinygrad_lab.experiments import Experiment as E; print(E(model='mlp', hidden=(4,), lr=0.01).key)"
    keys = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)}
    assert keys == {Experiment(model="mlp", hidden=(4,), lr=0.01).key + "\n"}


@given(
    st.fixed_dictionaries(
        {
            "lr": st.floats(1e-9, 1e9),
            "l2": st.floats(0, 1e3),
            "seed": st.integers(-(2**40), 2**40),
            "hidden": st.lists(st.integers(1, 5000), min_size=1, max_size=4),
            "dropout": st.floats(0, 0.99),
            "patience": st.none() | st.integers(1, 99),
            "keep_best": st.booleans(),
        }
    )
)
def test_text_and_data_say_the_same(fields: dict[str, Any]) -> None:
    made = Experiment.from_dict({"model": "mlp", **fields})
    assert Experiment.from_dict(made.as_dict()) == made
    for name, value in fields.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        assert parse_field(name, text) == getattr(made, name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr = ", "Invalid value"),
        ("lrr = 1", "lrr is no field of an experiment"),
        ("lr = -1", "lr must be a positive number, got -1.0"),
        ("lr = 'fast'", "lr must be a number, got 'fast'"),
        ("sweep = 3", "sweep must be a table"),
    ],
)
def test_a_wrong_file_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        Experiment.from_toml(path)
    assert str(caught.value).startswith(str(path))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*absent.toml: No such file"):
        Experiment.from_toml(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary.toml"):
        Experiment.from_toml(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("lr", "fast", "lr must be a number, got fast"),
        ("epochs", "1.5", "epochs must be a whole number, got 1.5"),
        ("batch_norm", "yes", "batch_norm must be true or false, got yes"),
        ("hidden", "12,b", "hidden must be a whole number, got b"),
        ("width", "3", "width is no field"),
    ],
)
def test_wrong_text(name: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_field(name, text)
