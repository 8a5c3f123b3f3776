"""Who may import whom: the arrows of the house point one way, and the package loads nothing heavier than NumPy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_lab

ROOT = Path(tinygrad_lab.__file__).parent

# Rooms of the core from the ground up: a file imports from rooms on its own level or below. `ops.declare` comes before
# the ops, which it does not know; `random` and `creation` before the face.
LEVELS = [
    ["absent", "backends", "dtypes", "cuda", "grad_mode", "hooks", "callers", "memory"],
    ["graph"],
    ["tensor"],
    ["printing"],
    ["ops.samples"],
    ["ops.call"],
    ["ops.declare"],
    ["ops", "random"],
    ["creation"],
    ["autograd"],
    ["serialization"],
    ["nn", "optim", "utils"],
]
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

# They use the public face, and nothing in the core or among themselves but what is listed may import them.
OUTSIDE = {"verify", "viz", "datasets", "experiments", "commands", "cli", "__main__"}
ALLOWED_OUTSIDE = {
    "cli": {"commands"},
    "commands": {"experiments", "datasets", "verify", "viz"},
    "__main__": {"cli"},
    "experiments": {"datasets", "viz", "verify"},
    "verify": {"viz"},
}

# Imports that run later, inside a function, to lend the lower file something of the upper one.
LATE = {("tensor", "printing"), ("autograd", "verify"), ("autograd", "viz"), ("nn", "viz")}


def room(module: str) -> str:
    """'tinygrad_lab.ops.declare' -> 'ops.declare'; 'tinygrad_lab.nn.linear' -> 'nn'; '' for the face."""
    parts = module.split(".")[1:]
    while parts and ".".join(parts) not in LEVEL_OF and ".".join(parts) not in OUTSIDE:
        parts.pop()
    return ".".join(parts) or (module.split(".")[1] if "." in module else "")


def imports(source: str) -> list[tuple[str, bool]]:
    """(module of this package that is imported, whether inside a function), from the text of a file."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, late: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, late) for alias in node.names if alias.name.split(".")[0] == "tinygrad_lab")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            if node.module and node.module.split(".")[0] == "tinygrad_lab":
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    found.append((name if is_module(name) else node.module, late))
        inside = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), False)
    return found


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split(".")[1:])
    return path.name in OUTSIDE or path.with_suffix(".py").exists() or path.is_dir()


def wrong_arrows(module: str, source: str) -> list[str]:
    """What is wrong with the imports of one file, in words."""
    own, wrong = room(module), []
    for imported, late in imports(source):
        target = room(imported)
        if own == target:
            continue
        if target in OUTSIDE:
            if target not in ALLOWED_OUTSIDE.get(own, set()) and not (late and (own, target) in LATE):
                wrong.append(f"{module} imports {imported}: nothing below may know {target}")
        elif own in OUTSIDE or module == "tinygrad_lab":
            continue
        elif own not in LEVEL_OF:
            wrong.append(f"{module} belongs to no room: add it to LEVELS")
        elif target == "" and own not in OUTSIDE:
            wrong.append(f"{module} imports the face, {imported}: name the file instead")
        elif LEVEL_OF[target] > LEVEL_OF[own] and not (late and (own, target) in LATE):
            wrong.append(f"{module} imports {imported}: {target} is above {own}")
        elif LEVEL_OF[target] == LEVEL_OF[own] and {own, target} == {"nn", "optim"}:
            wrong.append(f"{module} imports {imported}: nn and optim do not know each other")
    return wrong


def modules() -> list[tuple[str, Path]]:
    names = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("tinygrad_lab", *path.relative_to(ROOT).with_suffix("").parts)
        names.append((".".join(parts).removesuffix(".__init__"), path))
    return names


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_one_way(module, path):
    assert not wrong_arrows(module, path.read_text())


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("tinygrad_lab.graph", "from tinygrad_lab.tensor import Tensor", "tensor is above graph"),
        ("tinygrad_lab.tensor", "def f():\n    from tinygrad_lab.ops.arithmetic import add", "ops is above tensor"),
        ("tinygrad_lab.ops.shape", "import tinygrad_lab.nn.functional", "nn is above ops"),
        ("tinygrad_lab.ops.declare", "from tinygrad_lab.ops import arithmetic", "ops is above ops.declare"),
        ("tinygrad_lab.nn.linear", "from tinygrad_lab import viz", "nothing below may know viz"),
        ("tinygrad_lab.nn.linear", "from tinygrad_lab.datasets.mnist import MNIST", "nothing below may know datasets"),
        ("tinygrad_lab.nn.linear", "import tinygrad_lab as torch", "imports the face"),
        ("tinygrad_lab.optim.sgd", "from tinygrad_lab.nn.module import Module", "do not know each other"),
        ("tinygrad_lab.datasets.mnist", "from tinygrad_lab import experiments", "nothing below may know experiments"),
    ],
)
def test_a_wrong_arrow_is_found(module, source, complaint):
    assert complaint in "".join(wrong_arrows(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tinygrad_lab.tensor", "from tinygrad_lab import dtypes, graph"),
        ("tinygrad_lab.tensor", "def f():\n    from tinygrad_lab.printing import tensor_text"),
        ("tinygrad_lab.ops.softmax", "from tinygrad_lab.ops.declare import op\nimport numpy as np"),
        ("tinygrad_lab.datasets.mnist", "import tinygrad_lab as torch"),
        ("tinygrad_lab", "from tinygrad_lab.nn import Module"),
    ],
)
def test_right_arrows_pass(module, source):
    assert wrong_arrows(module, source) == []


def test_no_imports_for_type_checkers_only():
    for module, path in modules():
        text = path.read_text()
        assert "import TYPE_CHECKING" not in text and "typing.TYPE_CHECKING" not in text, module


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a statement loads in a fresh interpreter, beyond what the interpreter itself has."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavier_than_numpy():
    extra = loaded_by("import tinygrad_lab") - loaded_by("import numpy.random") - {"tinygrad_lab"}
    beyond_python = {name for name in extra if name not in sys.stdlib_module_names}
    assert not beyond_python, f"import tinygrad_lab also loads {sorted(beyond_python)}"
    heavy = {"asyncio", "unittest", "multiprocessing", "http", "email", "xml", "sqlite3", "doctest"}
    assert not extra & heavy, f"import tinygrad_lab also loads {sorted(extra & heavy)}"
