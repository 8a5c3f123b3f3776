"""Every schedule against PyTorch's values, alone, in combination, and resumed from its state_dict."""

import inspect
import json
import warnings

import numpy as np
import pytest

from tinygrad_lab import optim
from tinygrad_lab.optim import lr_scheduler
from tinygrad_lab.tensor import Tensor, wrap

ABSTRACT = lr_scheduler.LRScheduler
SCHEDULES = {
    name
    for name, cls in vars(lr_scheduler).items()
    if inspect.isclass(cls) and issubclass(cls, ABSTRACT) and cls is not ABSTRACT
}


class Halving:
    def __init__(self, period):
        self.period = period

    def __call__(self, epoch):
        return 0.5 ** (epoch // self.period)


def make(name, /, *args, **options):
    """A builder that works for our module and for PyTorch's."""
    return lambda module, optimizer: getattr(module, name)(optimizer, *args, **options)


def sequence(*builders, milestones):
    def build(module, optimizer):
        parts = [builder(module, optimizer) for builder in builders]
        return module.SequentialLR(optimizer, parts, milestones=milestones)

    return build


CASES = {
    "step": make("StepLR", 7),
    "step every epoch": make("StepLR", 1, gamma=0.97),
    "multistep": make("MultiStepLR", [3, 20, 20, 45], gamma=0.3),
    "multistep at zero": make("MultiStepLR", [0, 5]),
    "constant": make("ConstantLR"),
    "constant long": make("ConstantLR", factor=0.7, total_iters=30),
    "linear": make("LinearLR"),
    "linear down": make("LinearLR", start_factor=1.0, end_factor=0.0, total_iters=40),
    "linear up": make("LinearLR", start_factor=0.1, end_factor=0.9, total_iters=25),
    "exponential": make("ExponentialLR", 0.93),
    "cosine": make("CosineAnnealingLR", 20),
    "cosine with floor": make("CosineAnnealingLR", 17, eta_min=0.01),
    "cosine of one epoch": make("CosineAnnealingLR", 1, eta_min=0.01),
    "warm restarts": make("CosineAnnealingWarmRestarts", 7),
    "longer and longer": make("CosineAnnealingWarmRestarts", 5, T_mult=2, eta_min=0.001),
    "lambda": make("LambdaLR", lambda epoch: 0.95**epoch),
    "lambdas": make("LambdaLR", [lambda epoch: 1 / (1 + epoch), Halving(9)]),
    "polynomial": make("PolynomialLR"),
    "polynomial cubed": make("PolynomialLR", total_iters=50, power=3.0),
    "one cycle": make("OneCycleLR", max_lr=0.3, total_steps=61),
    "one cycle, linear": make("OneCycleLR", [0.3, 0.1], epochs=7, steps_per_epoch=10, anneal_strategy="linear"),
    "one cycle, three phases": make("OneCycleLR", 0.3, total_steps=70, three_phase=True, pct_start=0.2, div_factor=5),
    "one cycle, own momenta": make("OneCycleLR", 0.3, 65, base_momentum=[0.8, 0.7], max_momentum=0.99, pct_start=0.0),
    "one cycle, fixed momentum": make("OneCycleLR", 0.3, 65, cycle_momentum=False, final_div_factor=10.0),
    "warm-up, then cosine": sequence(
        make("LinearLR", start_factor=0.1, total_iters=5), make("CosineAnnealingLR", 30), milestones=[5]
    ),
    "four in sequence": sequence(
        make("ConstantLR", 0.5, 3),
        make("ExponentialLR", 0.9),
        make("StepLR", 3),
        make("PolynomialLR", 20),
        milestones=[4, 11, 30],
    ),
    "others in sequence": sequence(
        make("MultiStepLR", [0, 4]),
        make("CosineAnnealingWarmRestarts", 4, 2),
        make("LambdaLR", lambda epoch: 0.9**epoch),
        make("LinearLR", 0.2),
        make("CosineAnnealingWarmRestarts", 3),
        milestones=[6, 20, 30, 31],
    ),
    "first one skipped": sequence(make("ConstantLR", 0.5), make("ExponentialLR", 0.9), milestones=[0]),
    "cycle in sequence": sequence(
        make("ConstantLR", 0.5), make("OneCycleLR", 0.3, 60, cycle_momentum=False), milestones=[10]
    ),
}
OPTIMIZERS = {"SGD": {"lr": 0.1, "momentum": 0.6}, "Adam": {"lr": 0.1}}


def ours(name):
    params = [Tensor(3), Tensor(2)]
    return getattr(optim, name)([{"params": params[:1]}, {"params": params[1:], "lr": 0.02}], **OPTIMIZERS[name])


def theirs(torch, name):
    params = [torch.zeros(3), torch.zeros(2)]
    return getattr(torch.optim, name)([{"params": params[:1]}, {"params": params[1:], "lr": 0.02}], **OPTIMIZERS[name])


def options(optimizer):
    momenta = [group.get("momentum", group.get("betas", [0])) for group in optimizer.param_groups]
    return np.array([[group["lr"], np.ravel(m)[0]] for group, m in zip(optimizer.param_groups, momenta, strict=True)])


def assert_equal(schedule, optimizer, other, reference):
    np.testing.assert_allclose(options(optimizer), options(reference), rtol=0, atol=1e-12)
    np.testing.assert_allclose(schedule.get_last_lr(), other.get_last_lr(), rtol=0, atol=1e-12)
    assert schedule.last_epoch == other.last_epoch


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
def test_values_are_pytorchs(case, name):
    torch = pytest.importorskip("torch")
    optimizer, reference = ours(name), theirs(torch, name)
    schedule = CASES[case](lr_scheduler, optimizer)
    other = CASES[case](torch.optim.lr_scheduler, reference)
    assert_equal(schedule, optimizer, other, reference)
    for epoch in range(60):
        for each in (optimizer, reference, schedule, other):
            each.step()
        if epoch == 40 and "cycle" not in case:  # a rate set by hand
            for group in (*optimizer.param_groups, *reference.param_groups):
                group["lr"] *= 0.5
        else:
            assert_equal(schedule, optimizer, other, reference)


def test_cases_cover_every_schedule():
    built = set()
    for build in CASES.values():
        schedule = build(lr_scheduler, ours("SGD"))
        built |= {type(each).__name__ for each in (schedule, *getattr(schedule, "_schedulers", []))}
    assert built | {"ReduceLROnPlateau"} == SCHEDULES


@pytest.mark.parametrize("case", CASES)
def test_state_dict_resumes_and_is_plain_data(case):
    optimizer = ours("Adam")
    schedule = CASES[case](lr_scheduler, optimizer)
    expected = []
    for epoch in range(60):
        if epoch == 23:
            saved = json.loads(json.dumps([schedule.state_dict(), optimizer.state_dict()["param_groups"]]))
        optimizer.step()
        schedule.step()
        expected.append(options(optimizer))
    optimizer = ours("Adam")
    schedule = CASES[case](lr_scheduler, optimizer)
    schedule.load_state_dict(saved[0])
    optimizer.load_state_dict({"state": {}, "param_groups": saved[1]})
    for epoch in range(23, 60):
        optimizer.step()
        schedule.step()
        np.testing.assert_array_equal(options(optimizer), expected[epoch])


PLATEAU = [
    {},
    {"patience": 3, "factor": 0.5},
    {"mode": "max", "patience": 2, "cooldown": 3},
    {"threshold_mode": "abs", "threshold": 0.05, "patience": 1, "min_lr": 0.001},
    {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 0, "min_lr": [0.01, 0.0], "eps": 1e-3},
]


@pytest.mark.parametrize("arguments", PLATEAU)
def test_plateau(arguments):
    torch = pytest.importorskip("torch")
    metrics = np.abs(np.random.default_rng(3).normal(size=60)) + 1 / np.arange(1, 61)
    metrics[30] = np.nan
    optimizer, reference = ours("SGD"), theirs(torch, "SGD")
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, **arguments)
    for epoch, metric in enumerate(metrics):
        schedule.step(wrap(np.array(metric)))
        other.step(metric)
        assert_equal(schedule, optimizer, other, reference)
        assert schedule.num_bad_epochs == other.num_bad_epochs and schedule.best == other.best
        if epoch == 23:
            saved = json.loads(json.dumps(schedule.state_dict()))
            schedule = lr_scheduler.ReduceLROnPlateau(optimizer)
            schedule.load_state_dict(saved)


def test_two_schedules_on_one_optimizer():
    torch = pytest.importorskip("torch")
    pairs = []
    for module, optimizer in ((lr_scheduler, ours("SGD")), (torch.optim.lr_scheduler, theirs(torch, "SGD"))):
        both = [
            module.ConstantLR(optimizer, 0.5, 6),
            module.ExponentialLR(optimizer, 0.9),
            module.CosineAnnealingLR(optimizer, 9),
        ]
        rates = []
        for _ in range(30):
            optimizer.step()
            for each in both:
                each.step()
            rates.append(options(optimizer))
        pairs.append(rates)
    np.testing.assert_allclose(*pairs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", ["step", "linear", "exponential", "cosine", "polynomial", "longer and longer"])
def test_last_epoch_resumes(case):
    torch = pytest.importorskip("torch")
    optimizer, reference = ours("SGD"), theirs(torch, "SGD")
    for each in (*optimizer.param_groups, *reference.param_groups):
        each["initial_lr"] = 0.4

    def resumed(module, target):
        names = {"step": ("StepLR", 7), "linear": ("LinearLR",), "exponential": ("ExponentialLR", 0.9)}
        names |= {"cosine": ("CosineAnnealingLR", 9), "polynomial": ("PolynomialLR", 20)}
        names |= {"longer and longer": ("CosineAnnealingWarmRestarts", 5, 2)}
        name, *args = names[case]
        return getattr(module, name)(target, *args, last_epoch=3)

    schedule, other = resumed(lr_scheduler, optimizer), resumed(torch.optim.lr_scheduler, reference)
    for _ in range(20):
        for each in (optimizer, reference, schedule, other):
            each.step()
        assert_equal(schedule, optimizer, other, reference)


@pytest.mark.parametrize("arguments", [(5,), (5, 2, 0.01), (3, 3)])
def test_warm_restarts_by_fractions_of_an_epoch(arguments):
    torch = pytest.importorskip("torch")
    optimizer, reference = ours("SGD"), theirs(torch, "SGD")
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, *arguments)
    other = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(reference, *arguments)
    for step in range(240):
        schedule.step(step / 4)
        other.step(step / 4)
        assert_equal(schedule, optimizer, other, reference)


def test_a_schedule_of_ones_own():
    class Inverse(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [lr / (1 + self.last_epoch) for lr in self.base_lrs]

    optimizer = optim.SGD([Tensor(2)], lr=1.0)
    schedule = Inverse(optimizer)
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.5]


def test_warns_when_stepped_before_the_optimizer():
    optimizer = ours("SGD")
    schedule = lr_scheduler.StepLR(optimizer, 3)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()
    optimizer = ours("SGD")
    schedule = lr_scheduler.StepLR(optimizer, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        schedule.step()
        schedule.step()


# Groups that come later, and numbers that are no int


@pytest.mark.filterwarnings("ignore:Detected call")
def test_plateau_reduces_groups_that_were_added_later():
    optimizer = optim.SGD([Tensor(1)], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, min_lr=0.3)
    optimizer.add_param_group({"params": [Tensor(1)], "lr": 4.0})
    for _ in range(3):
        scheduler.step(1.0)
    assert scheduler.get_last_lr() == [0.3, 1.0]


@pytest.mark.filterwarnings("ignore:Detected call")
def test_groups_that_a_schedule_does_not_know_are_named():
    optimizer = optim.SGD([Tensor(1)], lr=1.0)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    restarts = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.1])
    plateau.step(1.0)
    optimizer.add_param_group({"params": [Tensor(1)]})
    for step in (schedule.step, restarts.step):
        with pytest.raises(ValueError, match="made for 1 parameter groups, and the optimizer now has 2"):
            step()
    with pytest.raises(RuntimeError, match=r"min_lr was given for 1 parameter groups.*now has 2"):
        plateau.step(1.0)
    plateau.min_lrs.append(0.0)
    plateau.step(1.0)


@pytest.mark.filterwarnings("ignore:Detected call")
@pytest.mark.parametrize("period", [np.int64(4), 4.0, 2.5])
def test_periods_may_be_any_positive_number(period):
    cosine = optim.SGD([Tensor(1)], lr=1.0)
    annealing = lr_scheduler.CosineAnnealingLR(cosine, period, eta_min=0.2)
    steps = optim.SGD([Tensor(1)], lr=1.0)
    stepped = lr_scheduler.StepLR(steps, period, gamma=0.5)
    assert type(annealing.state_dict()["T_max"]) in (int, float) and type(stepped.step_size) in (int, float)
    for epoch in range(1, 12):
        annealing.step()
        stepped.step()
        closed = 0.2 + 0.8 * (1 + np.cos(np.pi * epoch / period)) / 2
        np.testing.assert_allclose(annealing.get_last_lr(), [closed], rtol=1e-12)
        if period == 4:
            assert stepped.get_last_lr() == [0.5 ** (epoch // 4)]
