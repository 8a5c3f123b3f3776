"""Training scripts as PyTorch's users write them: they run in both libraries, or say what is missing."""

from __future__ import annotations

import copy
import importlib
import io

import numpy as np
import pytest

import tinygrad_lab as lab


def both():
    """(library, nn, functional, utils.data) of ours and, where it is installed, of PyTorch."""
    for name in ("tinygrad_lab", "torch"):
        library = lab if name == "tinygrad_lab" else pytest.importorskip("torch")
        yield library, *(importlib.import_module(f"{name}.{part}") for part in ("nn", "nn.functional", "utils.data"))


def data(torch, rows=24, columns=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    return torch.tensor(x), torch.tensor((x[:, 0] > 0).astype(np.int64))


def filled(torch, module):
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.tensor(rng.normal(size=tuple(parameter.shape)) * 0.5))
    return module


def state(module):
    return [value.detach().numpy().astype(float).copy() for value in module.state_dict().values()]


def classifier(torch, nn, F, utils):
    device = torch.device(
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    model = filled(torch, nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)).double()).to(device)
    loader = utils.DataLoader(utils.TensorDataset(*data(torch)), batch_size=7, pin_memory=False, drop_last=True)
    groups = [{"params": model[0].parameters(), "lr": 1e-2}, {"params": model[2].parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=2e-2, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    norms = []
    for _ in range(3):
        model.train()
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(x.to(device)), y.to(device), label_smoothing=0.1).backward()
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.5).numpy())
            optimizer.step()
            scheduler.step()
    torch.cuda.empty_cache()
    return [*norms, *state(model)]


def adversaries(torch, nn, F, utils):
    G = filled(torch, nn.Sequential(nn.Linear(2, 6), nn.LeakyReLU(0.2), nn.Linear(6, 4), nn.Tanh()).double())
    D = filled(torch, nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Sigmoid()).double())
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.999)) for net in (G, D)]
    real, noise = data(torch)[0], torch.ones(24, 2, dtype=torch.float64)
    for _ in range(3):
        D.zero_grad()
        label = torch.full((24,), 1.0, dtype=torch.float64)
        F.binary_cross_entropy(D(real).view(-1), label).backward()
        fake = G(noise)
        F.binary_cross_entropy(D(fake.detach()).view(-1), label.fill_(0.0)).backward()
        optimizers[1].step()
        G.zero_grad()
        F.binary_cross_entropy(D(fake).view(-1), label.fill_(1.0)).backward()
        optimizers[0].step()
    return [*state(G), *state(D)]


def gradient_penalty(torch, nn, F, utils):
    D = filled(torch, nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 1)).double())
    x = data(torch)[0].requires_grad_(True)
    scores = D(x)
    (g,) = torch.autograd.grad(
        outputs=scores,
        inputs=x,
        grad_outputs=torch.ones(scores.size(), dtype=torch.float64),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )
    ((g.view(g.size(0), -1).norm(2, dim=1) - 1) ** 2).mean().backward()
    return [p.grad.numpy() for p in D.parameters() if p.grad is not None]


def averaged_weights(torch, nn, F, utils):
    model = filled(torch, nn.Linear(4, 2).double())
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = data(torch)
    for i in range(4):
        (F.cross_entropy(model(x), y) / 2).backward()
        if i % 2:
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
                    ours.lerp_(theirs, 0.1)
                    ours.mul_(0.9).add_(theirs, alpha=0.1)
    return state(average)


def variables(torch, nn, F, utils):
    from_autograd = importlib.import_module(f"{torch.__name__}.autograd").Variable
    x, w = data(torch)[0], torch.ones(4, dtype=torch.float64, requires_grad=True)
    leaf = from_autograd(x, requires_grad=True)
    still = from_autograd((leaf @ w).data * w.sum())
    ((leaf @ w) * still).sum().backward()
    assert not x.requires_grad and not still.requires_grad and leaf.is_leaf
    return [leaf.grad.numpy(), w.grad.numpy()]


def padded_sequences(torch, nn, F, utils):
    class Sequences(utils.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return {"x": torch.arange(i + 1.0), "y": i}

    def collate(batch):
        rows = [item["x"] for item in batch]
        lengths = torch.tensor([len(row) for row in rows])
        padded = rows[0].new_zeros(len(rows), int(lengths.max()))
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        mask = torch.arange(padded.size(1))[None, :] < lengths[:, None]
        return padded.masked_fill(~mask, -torch.inf), torch.as_tensor([item["y"] for item in batch])

    return [part.numpy() for batch in utils.DataLoader(Sequences(), 2, collate_fn=collate) for part in batch]


def early_stopping(torch, nn, F, utils):
    model = filled(torch, nn.Linear(4, 2).double())
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", patience=0, factor=0.5)
    x, y = data(torch)
    best = (float("inf"), None)
    for _ in range(6):
        loss = F.cross_entropy(model(x), y)
        if loss.item() < best[0]:
            best = (loss.item(), copy.deepcopy(model.state_dict()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss.item())
    file = io.BytesIO()
    torch.save({"epoch": 3, "model": best[1]}, file)
    file.seek(0)
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["model"])
    return [np.array(best[0]), np.array(optimizer.param_groups[0]["lr"]), *state(model)]


def signals(torch, nn, F, utils):
    x = data(torch)[0].reshape(2, 3, 16).requires_grad_()
    layers = [nn.MaxPool1d(2), nn.AvgPool1d(3, 2, 1), nn.AdaptiveAvgPool1d(4), nn.Dropout2d(0.3).eval()]
    assert [repr(layer) for layer in layers] == [
        "MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
        "AvgPool1d(kernel_size=(3,), stride=(2,), padding=(1,))",
        "AdaptiveAvgPool1d(output_size=4)",
        "Dropout2d(p=0.3, inplace=False)",
    ]
    outputs = [layer(x) for layer in layers[:3]] + [layers[3](x[None])]
    sum((y * y).sum() for y in outputs).backward()
    return [*(y.detach().numpy() for y in outputs), x.grad.numpy()]


SCRIPTS = [
    classifier,
    adversaries,
    gradient_penalty,
    averaged_weights,
    variables,
    padded_sequences,
    early_stopping,
    signals,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_scripts_give_pytorchs_numbers(script):
    ours, theirs = (script(*libraries) for libraries in both())
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


def test_channels_are_dropped_whole():
    lab.manual_seed(0)
    layer = lab.nn.Dropout2d(0.25)
    y = layer(lab.ones(100, 20, 2, 3))
    sums = y.sum((2, 3))
    assert sorted(set(sums.flatten().tolist())) == pytest.approx([0.0, 8.0])
    assert (sums == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        layer(lab.ones(3))


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda t: t.optim.LBFGS, r"tinygrad_lab.optim' has no attribute 'LBFGS': there are .*Adam, .*SGD"),
        (lambda t: t.compile, r"no attribute 'compile': there is no compiler: use the model as it is"),
        (lambda t: t.cuda.amp, r"tinygrad_lab.cuda' has no attribute 'amp': there is no mixed precision.*no GPU"),
        (lambda t: t.amp, r"no attribute 'amp': there is no mixed precision: leave autocast and GradScaler out"),
        (lambda t: t.autocast, "there is no mixed precision"),
        (lambda t: t.cuda.synchronize, r"no attribute 'synchronize'.*there is no GPU"),
        (lambda t: t.bfloat16, "dtypes are float16, float32"),
        (lambda t: t.nn.LSTM, "write it with nn.Linear and a Python loop over time"),
        (lambda t: t.nn.Liner, r"no attribute 'Liner': did you mean Linear\?"),
        (lambda t: t.nn.utils.clip_gradients, "there are clip_grad_norm_, clip_grad_value_"),
        (lambda t: t.cdist, r"no attribute 'cdist': write \(x1"),
        (lambda t: t.nn.ParameterList, "keep each by self.register_parameter"),
        (lambda t: t.nn.functional.interpolate, r"nn.functional' has no attribute 'interpolate': .*repeat_interleave"),
        (lambda t: t.autograd.gard, r"autograd' has no attribute 'gard': did you mean grad\?"),
        (lambda t: t.vmap, "if PyTorch has it, it is not built here"),
    ],
)
def test_what_is_missing_is_named(read, message):
    with pytest.raises(AttributeError, match=message):
        read(lab)


@pytest.mark.parametrize("name", ["compile", "amp", "nothing"])
def test_absent_names_can_be_asked_for(name):
    assert not hasattr(lab, name) and getattr(lab.nn, name, None) is None


def test_loading_for_another_device_is_refused(tmp_path):
    with open(tmp_path / "m.safetensors", "wb") as file:
        lab.save({"x": lab.ones(2)}, file)
    with open(tmp_path / "m.safetensors", "rb") as file:
        assert lab.load(file)["x"].tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="device 'cuda:0' is not available"):
        lab.load(tmp_path / "m.safetensors", map_location="cuda:0")
