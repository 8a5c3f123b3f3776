"""Small parameters that an optimizer updates together change, and are remembered, as if each were updated alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lab as torch
from tinygrad_lab import nn, optim

OPTIMIZERS: dict[str, Any] = {
    "Adam": lambda params: optim.Adam(params, weight_decay=0.1, amsgrad=True),
    "AdamW": lambda params: optim.AdamW(params, lr=0.01),
    "Adamax": lambda params: optim.Adamax(params, maximize=True),
    "NAdam": lambda params: optim.NAdam(params),
    "RMSprop": lambda params: optim.RMSprop(params, momentum=0.9, centered=True),
    "Adagrad": lambda params: optim.Adagrad(params, lr_decay=0.1),
    "Adadelta": lambda params: optim.Adadelta(params),
}
SHAPES = [(3, 4), (), (0, 2), (5,), (100, 120), (2, 2)]  # one too large to be joined

EVENTS = [
    "some gradients are missing",
    "the rate changes",
    "one tensor of state is replaced",
    "one tensor of state is changed in place",
    "one count is changed in place",
    "all state is dropped",
    "values are changed in place",
    "a parameter gets other memory",
    "state is saved and loaded",
    "the optimizer is copied",
    "a parameter is added",
]


def build(name: str, joins: bool) -> tuple[list[nn.Parameter], Any]:
    generator = np.random.default_rng(0)
    params = [nn.Parameter(torch.tensor(generator.standard_normal(shape), dtype=torch.float32)) for shape in SHAPES]
    optimizer = OPTIMIZERS[name](params)
    optimizer._joins = joins
    return params, optimizer


def happen(event: str, params: list[nn.Parameter], optimizer: Any, joins: bool) -> tuple[list[nn.Parameter], Any]:
    """Let `event` happen before a step."""
    state = optimizer.state.get(params[3], {})
    name = next((key for key in state if key != "step"), None)
    if event == "some gradients are missing":
        params[0].grad = params[5].grad = None
    elif event == "the rate changes":
        optimizer.param_groups[0]["lr"] *= 0.5
    elif event == "one tensor of state is replaced" and name:
        state[name] = torch.full_like(state[name], 0.25)
    elif event == "one tensor of state is changed in place" and name:
        state[name].mul_(0.5)
    elif event == "one count is changed in place" and "step" in state:
        state["step"].add_(1)
    elif event == "all state is dropped":
        optimizer.state.clear()
    elif event == "values are changed in place":
        with torch.no_grad():
            params[3].mul_(0.5)
    elif event == "a parameter gets other memory":
        params[0].data = params[0].data * 2
    elif event == "state is saved and loaded":
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    elif event == "the optimizer is copied":
        gradients = [None if p.grad is None else p.grad.numpy() for p in params]
        optimizer, params = copy.deepcopy((optimizer, params))
        optimizer._joins = joins
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = None if gradient is None else torch.tensor(gradient)
    elif event == "a parameter is added" and len(params) < 9:
        params.append(nn.Parameter(torch.ones(2)))
        params[-1].grad = torch.ones(2)
        optimizer.param_groups[0]["params"].append(params[-1])
    return params, optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(deadline=None, max_examples=25)
@given(events=st.lists(st.sampled_from(EVENTS), max_size=6))
def test_equal_to_the_bit(name: str, events: list[str]) -> None:
    together, alone = build(name, True), build(name, False)
    generator = np.random.default_rng(1)
    for event in ["", "", *events, "the rate changes"]:
        gradients = [generator.standard_normal(param.shape).astype(np.float32) for param in alone[0]]
        for params, _ in (together, alone):
            for param, gradient in zip(params, gradients, strict=True):
                param.grad = torch.tensor(gradient)
        together, alone = (
            happen(event, *together, True),
            happen(event, *alone, False),
        )
        for _, optimizer in (together, alone):
            optimizer.step()
        assert together[1]._bundles or event, "nothing was joined"
        for mine, other in zip(together[0], alone[0], strict=True):
            np.testing.assert_array_equal(mine.numpy(force=True), other.numpy(force=True), err_msg=event)
        mine, other = (optimizer.state_dict()["state"] for _, optimizer in (together, alone))
        assert list(mine) == list(other)
        for key in mine:
            assert list(mine[key]) == list(other[key])
            for entry, value in other[key].items():
                found = mine[key][entry].numpy()
                np.testing.assert_array_equal(found, value.numpy(), err_msg=f"{event}: {entry} of parameter {key}")
                assert found.shape == value.shape
                assert found.dtype == value.numpy().dtype


def test_options_are_read_again_when_a_list_of_them_changes() -> None:
    ends = []
    for change in (True, False):
        param = nn.Parameter(torch.ones(3))
        optimizer = optim.Adam([param], betas=[0.9, 0.99] if change else [0.5, 0.99])  # type: ignore[arg-type]
        for _ in range(2):
            if optimizer.state and change:
                optimizer.param_groups[0]["betas"][0] = 0.5
                optimizer.state[param]["exp_avg"].mul_(5)  # what 0.5 would have kept of the first gradient
            param.grad = torch.tensor([0.5, 1.0, 2.0])
            optimizer.step()
        ends.append(optimizer.state[param]["exp_avg"].numpy())
    np.testing.assert_allclose(*ends, rtol=1e-6)


def test_parameters_that_share_memory_are_updated_one_after_the_other() -> None:
    values = torch.ones(4)
    halves = [nn.Parameter(values[:3]), nn.Parameter(values[1:])]
    for half in halves:
        half.grad = torch.ones(3)
    optim.Adam(halves, lr=0.25).step()
    np.testing.assert_allclose(values.numpy(), [0.75, 0.5, 0.5, 0.75], rtol=1e-6)


def test_a_rule_that_looks_at_a_whole_parameter_is_not_joined() -> None:
    """A subclass with a rule of its own says again that it is elementwise, or each parameter is updated alone."""
    seen = []

    class Normalized(optim.Adam):
        def _rule(self, group: dict[str, Any], dtype: Any) -> Any:
            def update(param: Any, values: np.ndarray, grad: np.ndarray) -> None:
                seen.append(values.shape)
                values -= grad / np.linalg.norm(grad)

            return update

    params = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))]
    for param in params:
        param.grad = torch.ones_like(param)
    Normalized(params).step()
    assert seen == [(2,), (3,)]
