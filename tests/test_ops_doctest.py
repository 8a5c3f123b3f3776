"""The examples in docstrings are run: those of every op (found through the registry, because the functions of ops are
generated) and those of every module. They may use `torch` (this package), `F` (its nn.functional) and `np`, and in a
module's own docstrings the names of that module.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from op_cases import entries

import tinygrad_lab
from tinygrad_lab.ops.declare import registry

FLAGS = doctest.ELLIPSIS

MODULES = [
    "tinygrad_lab",
    *(module.name for module in pkgutil.walk_packages(tinygrad_lab.__path__, "tinygrad_lab.")),
]


def names() -> dict[str, object]:
    return {"torch": tinygrad_lab, "F": tinygrad_lab.nn.functional, "np": np}


def run(test: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    tinygrad_lab.manual_seed(0)
    result = runner.run(test, out=report.append)
    assert not result.failed, "".join(report)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_examples_of_an_op(entry):
    test = doctest.DocTestParser().get_doctest(entry.__doc__ or "", names(), entry.name, None, 0)
    if not entry.faces:
        run(test)
        return
    assert test.examples, f"the docstring of {entry.name} has no example"
    run(test)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_of_a_module(name):
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder().find(module, extraglobs=names()):
        if test.name.rpartition(".")[2] not in registry:
            run(test)


def test_a_wrong_example_is_found():
    wrong = doctest.DocTestParser().get_doctest(">>> torch.tensor([1.0])\ntensor([2.])\n", names(), "wrong", None, 0)
    with pytest.raises(AssertionError, match=r"Expected"):
        run(wrong)
