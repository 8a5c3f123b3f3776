"""Short programs as PyTorch's users write them, run by both libraries in float64: values, gradients, memory shared.

Each program is a function of the library and a NumPy generator, and returns what both must agree on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_lab

pytorch = pytest.importorskip("torch")


def leaf(torch: Any, values: Any) -> Any:
    return torch.tensor(np.asarray(values, np.float64), requires_grad=True)


def filled(torch: Any, module: Any, rng: np.random.Generator) -> Any:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.tensor(rng.normal(size=tuple(parameter.shape)) * 0.5))
    return module


def plain(result: Any) -> Any:
    """Tensors as arrays, in lists."""
    if isinstance(result, (tuple, list)):
        return [plain(item) for item in result]
    return result.detach().numpy().copy() if hasattr(result, "detach") else result


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-11, strict=True)
    else:
        assert ours == pytest.approx(theirs) if isinstance(theirs, float) else ours == theirs


# Gradients belong to their leaf alone


def recorded_gradients_of_two_leaves(torch, rng):
    x, y = leaf(torch, [1, 2]), leaf(torch, [3, 4])
    for _ in range(2):
        (x + y).sum().backward(create_graph=True)
    x.grad.add_(5)
    return x.grad, y.grad


def recorded_gradient_and_cotangent(torch, rng):
    x, v = leaf(torch, [1, 2]), torch.ones(2)
    for _ in range(2):
        (x + 0).backward(v, create_graph=True)
    return x.grad, v


def recorded_gradient_is_a_leaf(torch, rng):
    x, v = leaf(torch, [1, 2]), leaf(torch, [3, 4])
    (x + 0).backward(v, create_graph=True)
    (x.grad**2).sum().backward(inputs=[v])
    return x.grad, v.grad


def recorded_gradient_set_to_zero(torch, rng):
    x = leaf(torch, [1, 2])
    x.sum().backward(create_graph=True)
    x.grad.zero_()
    return x.grad


def hook_returns_a_constant(torch, rng):
    x, constant = leaf(torch, [1, 2]), torch.ones(2) * 5
    x.register_hook(lambda g: constant)
    for _ in range(3):
        (x * x).sum().backward()
    return x.grad, constant


def hook_keeps_what_it_sees(torch, rng):
    x = leaf(torch, [1, 2])
    seen: list[Any] = []
    x.register_hook(seen.append)
    for _ in range(3):
        (x * x).sum().backward()
    return x.grad, seen


def retain_grad_follows_changes_in_place(torch, rng):
    x = leaf(torch, [1, 2])
    y = x * 3
    y.retain_grad()
    y.mul_(2)
    with torch.no_grad():
        y[0] = 10
    (y**2).sum().backward()
    return y.grad, x.grad


# Single elements and numbers


def elements_are_views(torch, rng):
    x, y = torch.zeros(3), torch.zeros(2, 2)
    x[1].fill_(5)
    x[0].add_(2)
    y[1, 1].fill_(3)
    y[0][0] += 1
    last = x[2]
    x[2] = 7
    return x, y, last


def gradients_of_elements(torch, rng):
    x, y = leaf(torch, [1, 2, 3]), leaf(torch, [[1, 2], [3, 4]])
    (x[0] * x[1] ** 2 + x[-1] + y[0, 1] * y[1][0]).backward()
    (g,) = torch.autograd.grad(x[0] * x[1] * x[0], x, create_graph=True)
    (g[0] ** 2).backward()
    return x.grad, y.grad


def buffer_filled_element_by_element(torch, rng):
    x, h = leaf(torch, rng.normal(size=5)), torch.zeros(6)
    for i in range(5):
        h[i + 1] = h[i] * 0.5 + x[i] ** 2
        h[i] += x[i]
    h.sum().backward()
    return h, x.grad


def builtin_abs(torch, rng):
    x = leaf(torch, [1, -2])
    abs(x).sum().backward()
    return abs(x), x.grad


def zero_d_along_a_dimension(torch, rng):
    x = leaf(torch, 3)
    y = [torch.softmax(x, 0), torch.log_softmax(x, -1), x.mean(-1), x.sum(0), x.amax(-1), x.logsumexp(-1)]
    sum(y).backward()
    return y, x.grad


def mean_over_ignored_labels(torch, rng):
    F, results = torch.nn.functional, []
    ignored, weight = torch.tensor([-100, -100]), torch.ones(3)
    for loss in (
        lambda x: F.cross_entropy(x, ignored),
        lambda x: F.cross_entropy(x, ignored, weight),
        lambda x: F.cross_entropy(x, ignored, label_smoothing=0.1),
        lambda x: F.nll_loss(x.log_softmax(1), ignored, weight),
    ):
        x = leaf(torch, rng.normal(size=(2, 3)))
        value = loss(x)
        value.backward()
        results.append((value, x.grad))
    return results


# Programs


def rnn_with_truncation(torch, rng):
    W, U, out = leaf(torch, rng.normal(size=(3, 4))), leaf(torch, rng.normal(size=(4, 4)) * 0.3), torch.zeros(6, 2, 4)
    h, x = torch.zeros(2, 4), torch.tensor(rng.normal(size=(6, 2, 3)))
    for step in range(6):
        h = torch.tanh(x[step] @ W + h @ U)
        out[step] = h
        if step == 2:
            h = h.detach()
    (out**2).sum().backward()
    return out, W.grad, U.grad


def lstm(torch, rng):
    W, x = leaf(torch, rng.normal(size=(7, 16)) * 0.3), torch.tensor(rng.normal(size=(5, 2, 3)))
    h = c = torch.zeros(2, 4)
    for row in x:
        i, f, g, o = (torch.cat([row, h], 1) @ W).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    h.norm().backward()
    return h, W.grad


def gan_with_gradient_penalty(torch, rng):
    nn = torch.nn
    make = filled(torch, nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2)), rng)
    judge = filled(torch, nn.Sequential(nn.Linear(2, 5), nn.LeakyReLU(0.2), nn.Linear(5, 1)), rng)
    first = torch.optim.Adam(make.parameters(), lr=0.01, betas=(0.5, 0.9))
    second = torch.optim.RMSprop(judge.parameters(), lr=0.01)
    loss = nn.BCEWithLogitsLoss()
    for _ in range(10):
        fake, real = make(torch.tensor(rng.normal(size=(8, 2)))), torch.tensor(rng.normal(size=(8, 2)) + 2)
        second.zero_grad()
        share = torch.tensor(rng.uniform(size=(8, 1)))
        between = (share * real + (1 - share) * fake.detach()).requires_grad_(True)
        (slope,) = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
        penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
        told = loss(judge(real), torch.ones(8, 1)) + loss(judge(fake.detach()), torch.zeros(8, 1))
        (told + 10 * penalty).backward()
        second.step()
        first.zero_grad()
        loss(judge(fake), torch.ones(8, 1)).backward()
        first.step()
    return list(make.parameters()), list(judge.parameters()), [p.grad for p in judge.parameters()]


def freezing_and_thawing(torch, rng):
    nn = torch.nn
    model = filled(torch, nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), rng)
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    x = torch.tensor(rng.normal(size=(6, 3)))
    for step in range(6):
        if step == 3:
            model[0].requires_grad_(True)
            optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.01})
        optimizer.zero_grad(set_to_none=step % 2 == 0)
        model(x).pow(2).mean().backward()
        optimizer.step()
    return list(model.parameters()), [p.grad for p in model.parameters()]


def shared_weights(torch, rng):
    embed, head = torch.nn.Embedding(5, 4), torch.nn.Linear(4, 5, bias=False)
    head.weight = filled(torch, embed, rng).weight
    optimizer = torch.optim.SGD(embed.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        logits = head(embed(torch.tensor([1, 1, 3])))
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
        optimizer.step()
    return embed.weight, head.weight is embed.weight


def convolutions_then_evaluation(torch, rng):
    nn = torch.nn

    def build():
        return nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
        )

    model = filled(torch, build(), rng)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    x, labels = torch.tensor(rng.normal(size=(6, 2, 4, 4))), torch.tensor([0, 1, 0, 1, 1, 0])
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels, label_smoothing=0.1).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    other = build()
    other.load_state_dict(model.state_dict())
    return model.eval()(x), other.eval()(x), list(model.state_dict()), list(model.state_dict().values())


def moving_average_of_weights(torch, rng):
    model = filled(torch, torch.nn.Linear(2, 2), rng)
    average, optimizer = copy.deepcopy(model), torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for kept, now in zip(average.parameters(), model.parameters(), strict=True):
                kept.mul_(0.9).add_(now, alpha=0.1)
    return list(average.parameters()), list(model.parameters())


def meta_learning(torch, rng):
    w = leaf(torch, rng.normal(size=(3, 1)))
    x, y, fast = torch.tensor(rng.normal(size=(5, 3))), torch.tensor(rng.normal(size=(5, 1))), w
    for _ in range(3):
        (g,) = torch.autograd.grad(((x @ fast - y) ** 2).mean(), fast, create_graph=True)
        fast = fast - 0.1 * g
    ((x @ fast - y) ** 2).mean().backward()
    return w.grad


def differential_equation(torch, rng):
    x, W, V = (leaf(torch, rng.normal(size=size)) for size in ((5, 1), (1, 6), (6, 1)))
    u = torch.tanh(x @ W) @ V
    (slope,) = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)
    (bend,) = torch.autograd.grad(slope, x, torch.ones_like(slope), create_graph=True)
    ((bend + u * slope) ** 2).mean().backward()
    return W.grad, V.grad, x.grad


def causal_attention(torch, rng):
    q, k, v = (leaf(torch, rng.normal(size=(2, 4, 5))) for _ in range(3))
    scores = (q @ k.transpose(-2, -1)) / 5**0.5
    weights = scores.masked_fill(~torch.tril(torch.ones(4, 4)).bool(), float("-inf")).softmax(-1)
    ((weights @ v) ** 3).sum().backward()
    return q.grad, k.grad, v.grad


def advantages(torch, rng):
    """Generalised advantage estimation: each step assigns a tensor of shape (1,) to one element."""
    rewards, values, after = (torch.tensor(rng.normal(size=size)) for size in (5, 5, 1))
    result, last = torch.zeros_like(rewards), 0
    for t in reversed(range(5)):
        delta = rewards[t] + 0.9 * after - values[t]
        result[t] = last = delta + 0.8 * last
        after = values[t]
    return result


def values_with_leading_ones_are_assigned(torch, rng):
    results = []
    for shape in ((1,), (1, 1), (1, 3), (1, 1, 3)):
        for index in (0, (0, 1), slice(0, 2), torch.tensor([0, 1]), torch.tensor([[True, True, True], [False] * 3])):
            if isinstance(index, tuple) and shape[-1] == 3:
                continue
            for recorded in (True, False):
                x, value = torch.zeros(2, 3), leaf(torch, rng.normal(size=shape))
                x[index] = value if recorded else value.detach()
                if recorded:
                    (x**2).sum().backward()
                results.append((x, value.grad))
    return results


def reductions_in_numpys_words(torch, rng):
    x = leaf(torch, rng.normal(size=(3, 4)))
    e = (x - x.max(1, keepdims=True).values).exp()
    p = e / e.sum(axis=1, keepdims=True)
    (p * torch.log(p)).mean(axis=0).sum().backward()
    counts = [x.argmax(axis=1), (x > 0).any(axis=0), x.std(axis=1, keepdims=True), torch.cat([x, x], axis=1)]
    return x.grad, p, x.min(axis=0).indices, x.prod(dim=1, keepdims=True), torch.amax(x, axis=(0, 1)), counts


def perfect_predictions_and_constant_columns(torch, rng):
    """Means of ones are 1, and equal elements have the deviation 0: programs ask for both by ==."""
    results = []
    for n in range(40, 60):
        right = torch.arange(n) == torch.arange(n)
        columns = torch.tensor(np.stack([np.full(n, 0.1), rng.normal(size=n)], axis=1))
        std = columns.std(0)
        std[std == 0] = 1
        pooled = torch.nn.functional.avg_pool2d(torch.ones(1, n, n), n)
        loss = torch.nn.functional.mse_loss(torch.ones(n), torch.zeros(n))
        results.append(
            [(value == 1).item() for value in (right.float().mean(), loss, pooled, torch.ones(n, 3).mean(0)[0])]
        )
        results.append((columns - columns[0]) / std)
    return results


def losses_are_printed(torch, rng):
    loss = (leaf(torch, [0.25, 0.5]) ** 2).sum()
    count, flag = torch.tensor(3), torch.tensor(True)
    texts = [f"{loss}", f"{loss:.2f}", f"loss {count} {flag}", f"{torch.tensor([1, 2])}", f"{count!r}"]
    try:
        f"{torch.tensor([0.5, 0.25]):.2f}"
    except TypeError:
        texts.append("TypeError")
    return texts


def layer_and_optimizer_by_hand(torch, rng):
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(rng.normal(size=(3, 4))))
            self.fan_in, _ = torch.nn.init._calculate_fan_in_and_fan_out(self.weight)

        def forward(self, x):
            return torch.nn.functional.linear(x, self.weight / self.fan_in**0.5)

    class Belief(torch.optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad.data.is_sparse:
                        raise RuntimeError("dense gradients only")
                    state = self.state[p]
                    if len(state) == 0:
                        state["step"], state["mean"], state["var"] = 0, *(torch.zeros_like(p.data) for _ in range(2))
                    state["step"] += 1
                    rest = p.grad.data - state["mean"].mul_(0.9).add_(p.grad.data, alpha=0.1)
                    state["var"].mul_(0.99).addcmul_(rest, rest, value=0.01)
                    p.data.addcdiv_(state["mean"], state["var"].sqrt().add_(1e-8), value=-group["lr"])

    layer, x = Scaled(), torch.tensor(rng.normal(size=(5, 4)))
    optimizer = Belief(layer.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        (layer(x) ** 2).sum().backward()
        optimizer.step()
    return layer.weight, layer.fan_in, list(optimizer.state_dict()["state"][0].values())


PROGRAMS = [
    function
    for function in list(globals().values())
    if getattr(function, "__code__", None) is not None and function.__code__.co_varnames[:2] == ("torch", "rng")
]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    for library in (tinygrad_lab, pytorch):
        library.set_default_dtype(library.float64)
    yield
    for library in (tinygrad_lab, pytorch):
        library.set_default_dtype(library.float32)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_both_libraries_agree(program: Any) -> None:
    theirs = plain(program(pytorch, np.random.default_rng(0)))
    assert_same(plain(program(tinygrad_lab, np.random.default_rng(0))), theirs)


# A value written through a view into a tensor without history: PyTorch gives the tensor one, here reading it is refused


@pytest.mark.parametrize(
    "write",
    [
        lambda buffer, x: buffer[0].add_(x),
        lambda buffer, x: buffer[0].__setitem__(1, x[0]),
        lambda buffer, x: buffer.T.copy_(x),
    ],
)
@pytest.mark.parametrize("read", [lambda b: b * 2, lambda b: b[1], lambda b: tinygrad_lab.cat([b, b])])
def test_a_gradient_is_not_lost_through_a_view(write: Any, read: Any) -> None:
    buffer, x = tinygrad_lab.zeros(2, 2), leaf(tinygrad_lab, [1, 2])
    write(buffer, x)
    with pytest.raises(RuntimeError, match="through a view"):
        read(buffer)
    with tinygrad_lab.no_grad():
        read(buffer)
    assert not tinygrad_lab.zeros(2, 2).add(1).requires_grad  # other memory is not concerned


def test_a_view_that_got_a_value_may_be_used() -> None:
    x = leaf(tinygrad_lab, [1, 2])
    view = tinygrad_lab.zeros(2, 2)[0]
    view.add_(x)
    (view * view.detach()).sum().backward()
    assert x.grad.tolist() == [1, 2]
