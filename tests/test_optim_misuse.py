"""Misuse of optimizers and schedules: PyTorch's exception class, and a text that names what is wrong."""

import inspect

import numpy as np
import pytest

from tinygrad_lab import optim
from tinygrad_lab.ops.arithmetic import mul
from tinygrad_lab.optim import lr_scheduler
from tinygrad_lab.tensor import wrap


def p():
    return wrap(np.ones((2, 3))).requires_grad_()


def sgd(**options):
    return optim.SGD([p()], lr=0.1, **options)


SHARED = p()
NEGATIVE = {
    "lr": "Invalid learning rate: -1",
    "eps": "Invalid epsilon value: -1",
    "weight_decay": "Invalid weight_decay value: -1",
    "momentum": "Invalid momentum value: -1",
    "alpha": "Invalid alpha value: -1",
    "lr_decay": "Invalid lr_decay value: -1",
    "initial_accumulator_value": "Invalid initial_accumulator_value value: -1",
    "momentum_decay": "Invalid momentum_decay value: -1",
    "rho": "Invalid rho value: -1",
    "l1": "Invalid l1 value: -1",
    "l2": "Invalid l2 value: -1",
}
CLASSES = [cls for cls in vars(optim).values() if inspect.isclass(cls) and cls is not optim.Optimizer]


@pytest.mark.parametrize("cls", CLASSES)
def test_negative_options_are_named(cls):
    known = [name for name in NEGATIVE if name in inspect.signature(cls).parameters]
    assert "lr" in known and {"weight_decay", "l2"} & set(known)
    for name in known:
        with pytest.raises(ValueError, match=NEGATIVE[name] + rf" \({name} must be at least 0"):
            cls([p()], **{name: -1})
        with pytest.raises(ValueError, match="nan"):
            cls([p()], **{name: float("nan")})
        with pytest.raises(ValueError, match=NEGATIVE[name]):  # PyTorch does not look into groups
            cls([{"params": [p()], name: -1}])
        with pytest.raises(TypeError, match=f"{name} must be a number, got str"):
            cls([p()], **{name: "0.1"})
    with pytest.raises(TypeError, match="lr must be a number, got Tensor: use its"):
        cls([p()], lr=wrap(np.array(0.1)))


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if "betas" in inspect.signature(cls).parameters])
@pytest.mark.parametrize(
    ("betas", "text"),
    [
        ((1.0, 0.9), r"Invalid beta parameter at index 0: 1.0 \(betas\[0\] must be at least 0 and below 1"),
        ((0.9, -0.1), "Invalid beta parameter at index 1: -0.1"),
        ((0.9, float("nan")), "Invalid beta parameter at index 1: nan"),
        ((0.9,), r"betas must be a pair of numbers such as \(0.9, 0.999\), got \(0.9,\)"),
        (0.9, "betas must be a pair"),
    ],
)
def test_betas(cls, betas, text):
    with pytest.raises(ValueError, match=text):
        cls([p()], betas=betas)


MISUSE = {
    "no parameters": (lambda: optim.SGD([]), ValueError, "empty parameter list"),
    "used-up generator": (lambda: optim.Adam(iter(())), ValueError, "generator that was already used up"),
    "a single tensor": (lambda: optim.SGD(p()), TypeError, r"iterable of Tensors or dicts.*\(2, 3\)"),
    "a set": (lambda: optim.SGD({p()}), TypeError, "ordering of tensors in sets"),
    "a set in a group": (lambda: optim.SGD([{"params": {p()}}]), TypeError, "ordering of tensors in sets"),
    "an array": (lambda: optim.SGD([p(), np.ones(2)]), TypeError, r"one of the params is ndarray \(number 1 of"),
    "group is no dict": (lambda: sgd().add_param_group([p()]), TypeError, "must be a dict, but got list"),
    "group without params": (lambda: sgd().add_param_group({"lr": 1}), KeyError, "needs the key 'params'"),
    "two groups": (
        lambda: optim.SGD([{"params": [SHARED]}, {"params": [p(), SHARED]}]),
        ValueError,
        r"more than one parameter group: parameter 1 \(shape \(2, 3\)\) of group 1",
    ),
    "some names": (lambda: optim.SGD([("a", p()), p()]), ValueError, "names are missing: 1 names for 2 parameters"),
    "names in one group": (
        lambda: optim.SGD([{"params": [("a", p())]}, {"params": [p()]}]),
        ValueError,
        "cannot add param group without names",
    ),
    "nesterov alone": (lambda: sgd(nesterov=True), ValueError, "Nesterov momentum requires a momentum.*momentum=0"),
    "nesterov damped": (
        lambda: sgd(nesterov=True, momentum=0.9, dampening=0.5),
        ValueError,
        "zero dampening, got momentum=0.9, dampening=0.5",
    ),
    "rho above 1": (lambda: optim.Adadelta([p()], rho=1.5), ValueError, "Invalid rho value: 1.5.*at most 1"),
    "unknown option": (lambda: sgd(fused=True), TypeError, "fused"),
    "no rule": (lambda: stepped(optim.Optimizer([with_grad()], {})), NotImplementedError, "must define _rule"),
    "other number of groups": (
        lambda: sgd().load_state_dict(optim.SGD([{"params": [p()]}, {"params": [p()]}]).state_dict()),
        ValueError,
        "different number of parameter groups: 2, the optimizer has 1",
    ),
    "other group size": (
        lambda: sgd().load_state_dict(optim.SGD([p(), p()]).state_dict()),
        ValueError,
        r"doesn't match the size of optimizer's group: sizes are \[2\] in the state dict, \[1\] in the optimizer",
    ),
    "no optimizer": (lambda: lr_scheduler.StepLR(p(), 3), TypeError, "Tensor is not an Optimizer"),
    "nothing to resume": (
        lambda: lr_scheduler.StepLR(sgd(), 3, last_epoch=4),
        KeyError,
        "'initial_lr' is not specified in param_groups\\[0\\].*last_epoch=4",
    ),
    "base schedule": (lambda: lr_scheduler.LRScheduler(sgd()), NotImplementedError, "must define get_lr"),
    "constant factor": (lambda: lr_scheduler.ConstantLR(sgd(), 1.5), ValueError, "between 0 and 1, got 1.5"),
    "start factor": (lambda: lr_scheduler.LinearLR(sgd(), 0), ValueError, "greater than 0.*got 0"),
    "end factor": (lambda: lr_scheduler.LinearLR(sgd(), 1, 2), ValueError, "between 0 and 1, got 2"),
    "T_0": (lambda: lr_scheduler.CosineAnnealingWarmRestarts(sgd(), 0), ValueError, "positive integer T_0, but got 0"),
    "T_mult": (lambda: lr_scheduler.CosineAnnealingWarmRestarts(sgd(), 5, 0.5), ValueError, "T_mult >= 1, but got 0.5"),
    "negative epoch": (
        lambda: lr_scheduler.CosineAnnealingWarmRestarts(sgd(), 5).step(-1),
        ValueError,
        "non-negative epoch, but got -1",
    ),
    "lambdas": (lambda: lr_scheduler.LambdaLR(sgd(), [abs, abs]), ValueError, "lr_lambda.* 2 values for 1 groups"),
    "cycle without steps": (lambda: lr_scheduler.OneCycleLR(sgd(), 1), ValueError, "either total_steps OR"),
    "cycle of 0 steps": (lambda: lr_scheduler.OneCycleLR(sgd(), 1, 0), ValueError, "integer total_steps, but got 0"),
    "cycle of half epochs": (
        lambda: lr_scheduler.OneCycleLR(sgd(), 1, epochs=0.5, steps_per_epoch=10),
        ValueError,
        "positive integer epochs, but got 0.5",
    ),
    "pct_start": (lambda: lr_scheduler.OneCycleLR(sgd(), 1, 9, pct_start=1.5), ValueError, "pct_start, but got 1.5"),
    "anneal": (lambda: lr_scheduler.OneCycleLR(sgd(), 1, 9, anneal_strategy="sin"), ValueError, "instead got sin"),
    "max_lr": (lambda: lr_scheduler.OneCycleLR(sgd(), [1, 2], 9), ValueError, "max_lr.* 2 values for 1 groups"),
    "no momentum": (
        lambda: lr_scheduler.OneCycleLR(optim.Adagrad([p()]), 1, 9),
        ValueError,
        "must support momentum or beta1.*Adagrad does not",
    ),
    "cycle is over": (lambda: stepped(lr_scheduler.OneCycleLR(stepped(sgd()), 1, 3), 4), ValueError, "Tried to step 4"),
    "plateau factor": (lambda: lr_scheduler.ReduceLROnPlateau(sgd(), factor=1.0), ValueError, "< 1.0, got 1.0"),
    "plateau mode": (lambda: lr_scheduler.ReduceLROnPlateau(sgd(), "up"), ValueError, "mode up is unknown"),
    "threshold mode": (
        lambda: lr_scheduler.ReduceLROnPlateau(sgd(), threshold_mode="no"),
        ValueError,
        "threshold mode no is unknown",
    ),
    "min_lr": (lambda: lr_scheduler.ReduceLROnPlateau(sgd(), min_lr=[0, 0]), ValueError, "min_lr.* 2 values for 1"),
    "no metric": (lambda: lr_scheduler.ReduceLROnPlateau(sgd()).step(), TypeError, "metrics"),
    "empty sequence": (lambda: lr_scheduler.SequentialLR(sgd(), [], []), ValueError, "at least one scheduler"),
    "milestones": (
        lambda: sequence(lr_scheduler.StepLR, milestones=[3]),
        ValueError,
        "number of schedulers 1 and number of milestones 1",
    ),
    "plateau in sequence": (
        lambda: sequence(lr_scheduler.ReduceLROnPlateau),
        ValueError,
        r"does not support ReduceLROnPlateau \(at index 0\)",
    ),
    "no schedule in sequence": (
        lambda: lr_scheduler.SequentialLR(sgd(), [3], []),
        TypeError,
        "got int at index 0|should have `optimizer`",
    ),
    "foreign schedule": (
        lambda: lr_scheduler.SequentialLR(sgd(), [lr_scheduler.ExponentialLR(sgd(), 0.9)], []),
        ValueError,
        "same optimizer, but ExponentialLR at index 0",
    ),
}


def with_grad():
    param = p()
    param.grad = p()
    return param


def stepped(thing, steps=1):
    for _ in range(steps):
        thing.step()
    return thing


def sequence(cls, milestones=()):
    optimizer = sgd()
    schedule = cls(optimizer, 3) if cls is lr_scheduler.StepLR else cls(optimizer)
    return lr_scheduler.SequentialLR(optimizer, [schedule], list(milestones))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", MISUSE)
def test_misuse(case):
    action, error, text = MISUSE[case]
    with pytest.raises(error, match=text):
        action()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", MISUSE)
def test_the_class_is_pytorchs(case, monkeypatch):
    torch = pytest.importorskip("torch")
    action, error, _ = MISUSE[case]
    here = globals()
    monkeypatch.setitem(here, "optim", torch.optim)
    monkeypatch.setitem(here, "lr_scheduler", torch.optim.lr_scheduler)
    monkeypatch.setitem(here, "p", lambda: torch.ones(2, 3, requires_grad=True))
    monkeypatch.setitem(here, "SHARED", torch.ones(2, 3))
    if case in ("unknown option", "a set"):
        pytest.skip("PyTorch has fused updates, and notices a set only within a group")
    with pytest.raises(error):
        action()


@pytest.mark.parametrize(
    ("build", "text"),
    [  # PyTorch fails later, with a division by zero
        (lambda: lr_scheduler.StepLR(sgd(), 0), "Expected positive number step_size, but got 0"),
        (lambda: lr_scheduler.CosineAnnealingLR(sgd(), 0), "Expected positive number T_max, but got 0"),
    ],
)
def test_periods_must_be_positive(build, text):
    with pytest.raises(ValueError, match=text):
        build()


def test_a_sequence_in_a_sequence_is_refused():
    optimizer = sgd()
    inner = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.ExponentialLR(optimizer, 0.9)], [])
    with pytest.raises(ValueError, match="can be written as one list"):
        lr_scheduler.SequentialLR(optimizer, [inner], [])


def test_non_leaf():
    x = p()
    y = mul(x, 2)
    with pytest.raises(ValueError, match=r"can't optimize a non-leaf Tensor: parameter 1 \(shape \(2, 3\)\)"):
        optim.SGD([x, y])
    y.retain_grad()
    optim.SGD([x, y])


def test_duplicates_in_one_group_warn():
    x = p()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([x, x])


def test_state_of_another_shape_is_refused():
    y = wrap(np.ones(4)).requires_grad_()
    saved = stepped(optim.Adam([with_grad()])).state_dict()
    fresh = optim.Adam([y])
    with pytest.raises(
        ValueError, match=r"'exp_avg' of parameter 0 has shape \(2, 3\), the parameter has shape \(4,\)"
    ):
        fresh.load_state_dict(saved)
    assert not fresh.state  # a refused state leaves the optimizer as it was
