"""`tinygrad-lab gradcheck` and `diagnose` on students' files: right, wrong, in plain NumPy, broken in every way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_lab.cli import main

pytest.importorskip("typer")

TENSORS = """
import numpy as np
import tinygrad_lab as torch
import tinygrad_lab.nn.functional as F

rng = np.random.default_rng(0)
X, y, lam = rng.normal(size=(12, 7)), rng.integers(0, 5, 12), 0.03


def make_params(seed):
    rng = np.random.default_rng(seed)
    return {"W": rng.normal(size=(7, 5)), "b": rng.normal(size=5)}


def loss(params):
    logits = torch.tensor(X) @ params["W"] + params["b"]
    return F.cross_entropy(logits, torch.tensor(y)) + lam / 2 * (params["W"] ** 2).sum()


def grad(params):
    z = X @ params["W"] + params["b"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    dz = p.copy()
    dz[np.arange(12), y] -= 1
    dz /= 12
    dW = X.T @ dz + lam * params["W"]
    return {"dW": dW, "db": dz.sum(axis=0)}
"""
NUMPY = """
import numpy as np

rng = np.random.default_rng(0)
X, y = rng.normal(size=(12, 7)), rng.integers(0, 5, 12)
params = [rng.normal(size=(7, 5)), rng.normal(size=5)]


def probabilities(params):
    z = X @ params[0] + params[1]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(params):
    return -np.log(probabilities(params)[np.arange(12), y]).mean()


def grad(params):
    dz = probabilities(params)
    dz[np.arange(12), y] -= 1
    return X.T @ dz / 12, dz.sum(axis=0) / 12
"""


class Ran:
    """A command on a file of this text: exit code, output, errors."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, command: str, text: str, *options: str, function: str = "") -> tuple[int, str, str]:
        path = self.folder / "homework.py"
        path.write_text(text)
        with pytest.raises(SystemExit) as stopped:
            main([command, f"{path}{function}", *options])
        out, err = self.capsys.readouterr()
        return int(stopped.value.code or 0), out, err


@pytest.fixture
def ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    return Ran(tmp_path, capsys)


@pytest.mark.parametrize("text", [TENSORS, NUMPY], ids=["tensors", "numpy"])
def test_a_right_gradient_has_exit_code_0(ran: Ran, text: str) -> None:
    code, out, _ = ran("diagnose", text)
    assert code == 0 and "The gradient is correct." in out
    for function in ("", ":loss", ":grad"):
        code, out, _ = ran("gradcheck", text, function=function)
        assert code == 0 and "every gradient is right" in out and "35 ok" in out


def test_a_wrong_gradient_is_explained_and_its_line_named(ran: Ran) -> None:
    wrong = TENSORS.replace('dW = X.T @ dz + lam * params["W"]', "dW = X.T @ dz")
    code, out, _ = ran("diagnose", wrong)
    assert code == 1 and "-> missing penalty (W)" in out
    number = wrong.splitlines().index("    dW = X.T @ dz") + 1
    assert f"line {number}" in out and "dW = X.T @ dz" in out
    code, out, _ = ran("diagnose", wrong, "--language", "zh")
    assert code == 1 and "缺少惩罚项" in out
    code, out, _ = ran("gradcheck", wrong, "--mode", "fast", "--seed", "3")
    assert code == 1 and "WRONG GRADIENT" in out and "fast mode" in out


def test_a_wrong_gradient_in_plain_numpy(ran: Ran) -> None:
    wrong = NUMPY.replace("-= 1", "-= 0")
    code, out, _ = ran("gradcheck", wrong)
    assert code == 1 and "WRONG GRADIENT" in out
    code, out, _ = ran("diagnose", NUMPY.replace("return X.T", "return -X.T"))
    assert code == 1 and "-> sign (0)" in out


def test_the_argument_may_have_another_name_than_params(ran: Ran) -> None:
    text = TENSORS.replace("(params)", "(theta)").replace("params[", "theta[")
    for command in ("diagnose", "gradcheck"):
        assert ran(command, text)[0] == 0
        assert ran(command, text + "params = make_params(0)\ndel make_params\n")[0] == 0
        assert ran(command, text + "make_theta, make_params = make_params, None\n")[0] == 0  # its own name comes first
        code, _, err = ran(command, text.replace("def make_params", "def made"))
        said = "has no 'theta' and no 'params' to call loss with: define params = ..., or make_params(seed)"
        assert code == 2 and said in err


def test_without_a_gradient_by_hand_autograd_is_checked(ran: Ran) -> None:
    text = "import tinygrad_lab as torch\nx = torch.ones(3)\ndef f(x): return (x.exp() * torch.arange(3.0)).sum()\n"
    code, out, _ = ran("gradcheck", text, function=":f")
    assert code == 0 and "autograd's gradient was checked, none derived by hand: homework.py has no grad_f\n" in out
    assert ran("gradcheck", text + "def f_grad(x): return x\n", function=":f")[0] == 1
    code, _, err = ran("gradcheck", "import numpy as np\nx = np.ones(3)\ndef f(x): return np.sum(x)\n", function=":f")
    assert code == 2 and "define grad_f(x), derived by hand" in err


def test_a_gradient_by_hand_under_another_name_is_not_said_to_be_right(ran: Ran) -> None:
    for name in ("gradd", "gradient", "loss_gard"):
        text = TENSORS.replace("def grad", f"def {name}")
        code, out, _ = ran("gradcheck", text)
        assert code == 0 and f"none derived by hand: homework.py has no grad (is {name} meant?)" in out
        assert f"the gradient of loss (is {name} meant?)" in ran("diagnose", text)[2]
        code, _, err = ran("gradcheck", NUMPY.replace("def grad", f"def {name}"))
        assert code == 2 and f"derived by hand (is {name} meant?)" in err
    assert "autograd" not in ran("gradcheck", TENSORS)[1]


def test_a_model_as_params(ran: Ran) -> None:
    text = (
        "import tinygrad_lab as torch\nfrom tinygrad_lab import nn\nparams = nn.Linear(3, 2)\nX = torch.randn(4, 3)\n"
        "def loss(model): return model(X).square().mean()\nmake_model = lambda seed: params\n"
    )
    code, out, _ = ran("gradcheck", text)
    assert code == 0 and "weight (2, 3): 6 ok" in out and "autograd's gradient was checked" in out


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


BROKEN = TENSORS.replace("def grad(params):", "def grad(params:")
TUPLE = TENSORS.replace("return F.cross_entropy(logits", "return logits, F.cross_entropy(logits")
VECTOR = NUMPY.replace(".mean()", "")
SILENT = TENSORS.replace('return {"dW": dW', '{"dW": dW')
FAILS = TENSORS.replace("X.T @ dz", "X @ dz")
CLOSES = TENSORS.replace("torch.tensor(X) @", "torch.tensor(X) @ foo +")


@pytest.mark.parametrize("command", ["gradcheck", "diagnose"])
@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (BROKEN, 2, f"homework.py does not load: line {line_of(BROKEN, 'def grad')}: '(' was never closed"),
        ("x = 1\nimport nnumpy\n", 2, "does not load: line 2: ModuleNotFoundError: No module named 'nnumpy'"),
        ("x = 1\n\nexit(3)\n", 2, "does not load: line 3: SystemExit: 3"),
        ("x = '\x00'\n", 2, "homework.py does not load: "),
        ("", 2, "homework.py has no function 'loss'"),
        ("loss = 3\ndef lossy(params): pass\n", 2, "homework.py has no function 'loss'; it has lossy"),
        ("def loss(W, b): pass\ndef grad(W, b): pass\n", 2, "loss takes 2 arguments (W, b): let it take one"),
        (TENSORS.replace("def make_params", "def made"), 2, "no 'params' to call loss with: define params = ..."),
        (TENSORS.replace("rng.normal(size=5)", "np.arange(5)"), 2, "params must hold floating arrays, 'b' is int64"),
        (TENSORS.replace('"db":', '"dB":'), 2, "there is no gradient for parameter 'b' among ['dW', 'dB']"),
        (TUPLE, 2, "loss must return one number, it returned a tuple of 2: return the loss alone"),
        (VECTOR, 2, "loss must return one number, it returned an array of shape (12,): reduce it (.mean() or .sum())"),
        (SILENT, 2, "grad returned None: is a return missing?"),
        (FAILS, 1, f"homework.py, line {line_of(FAILS, 'X @ dz')}, in grad: ValueError: matmul"),
        (CLOSES, 1, f"homework.py, line {line_of(CLOSES, '@ foo')}, in loss: NameError: name 'foo' is not defined"),
    ],
)
def test_a_broken_file_gets_one_clear_line(ran: Ran, command: str, text: str, code: int, said: str) -> None:
    found, out, err = ran(command, text)
    assert (found, out) == (code, "") and said in err and len(err.strip().splitlines()) == 1


def test_functions_that_take_or_return_the_wrong_thing_get_one_line(ran: Ran) -> None:
    code, _, err = ran("diagnose", TENSORS.replace("return F.", "return 0 * logits.detach().sum()\n    return F."))
    assert code == 2 and "homework.py: diagnose: the loss does not depend on the parameters" in err
    for command in ("diagnose", "gradcheck"):
        code, _, err = ran(command, TENSORS.replace("make_params(seed)", "make_params()"))
        assert code == 2 and "homework.py: make_params() takes 0 positional arguments but 1 was given" in err


def test_other_misuse(ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran("diagnose", TENSORS.replace("def grad", "def gradient"))
    assert code == 2 and "homework.py has no function 'grad': define grad(params), the gradient of loss" in err
    code, _, err = ran("diagnose", TENSORS, "--language", "fr")
    assert code == 2 and "language must be 'en' or 'zh', got 'fr'" in err
    code, _, err = ran("gradcheck", TENSORS, function=":los")
    assert code == 2 and "has no function 'los'; it has make_params, loss, grad" in err
    code, _, err = ran("gradcheck", TENSORS, "--mode", "slow")
    assert code == 2 and "mode must be 'auto', 'full' or 'fast'" in err
    with pytest.raises(SystemExit) as stopped:
        main(["diagnose", str(tmp_path / "absent.py")])
    assert stopped.value.code == 2 and "there is no file" in capsys.readouterr().err


def test_what_stands_beside_the_file_can_be_imported_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "course_data.py").write_text("scale = 2.0\n")
    text = "from course_data import scale\nparams = {'w': __import__('numpy').ones(2)}\n"
    text += "def loss(params): return scale * (params['w'] ** 2).sum()\n"
    text += "def grad(params): return {'w': 4 * params['w']}\n"
    (tmp_path / "homework.py").write_text(text)
    command = [sys.executable, "-B", "-m", "tinygrad_lab", "diagnose", "homework.py", "--language", "zh"]
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout.startswith("??"), done.stderr  # a terminal without Chinese
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course_data.py", "homework.py"]
