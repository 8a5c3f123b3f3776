"""How often `verify.check_steps` names the line that was changed: `python -m benchmarks.verify_steps`.

Every derivation of `verify_derivations` is mutated; mutants that fail, or whose gradients are still right, do not
count.
"""

from __future__ import annotations

import argparse
import linecache
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.verify_derivations import DERIVATIONS, globals_of, mutants, text_of
from tinygrad_lab import verify

_serial = iter(range(10**9))


def compiled(source: str, model: Any) -> Any:
    """The function `backward` of a source, with its lines known to `inspect`."""
    file = f"<derivation {next(_serial)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = globals_of(model)
    exec(compile(source, file, "exec"), namespace)
    return namespace["backward"]


def effective(name: str, model: Any, limit: int, rng: np.random.Generator) -> Iterator[tuple[str, int]]:
    """Mutants that run and give a wrong gradient of the right shapes, at most `limit`, drawn at random."""
    right = compiled(text_of(name), model)(model.params)
    found = list(mutants(text_of(name)))
    for i in rng.permutation(len(found)):
        source, line = found[i]
        try:
            grads = compiled(source, model)({k: v.copy() for k, v in model.params.items()})
            arrays = {key: np.asarray(grads[key], np.float64) for key in right}
        except Exception:
            continue
        if any(arrays[k].shape != right[k].shape or not np.isfinite(arrays[k]).all() for k in right):
            continue
        if all(np.allclose(arrays[k], right[k], rtol=1e-7, atol=1e-10) for k in right):
            continue
        yield source, line
        limit -= 1
        if not limit:
            return


def locate(name: str, seed: int, limit: int, show: bool = False) -> tuple[int, int, int]:
    """(mutants, lines named rightly, wrongly); the rest name no line."""
    model = DERIVATIONS[name][0](seed)
    cases = right = wrong = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source, line in effective(name, model, limit, np.random.default_rng(seed)):
            found = verify.check_steps(model.loss, model.params, compiled(source, model))
            cases += 1
            right += found.line == line
            wrong += found.line not in (0, line)
            if show and found.line != line:
                text = source.splitlines()
                print(
                    f"  {name}: line {line}: {text[line - 1].strip()}  -> named {found.line}: {found.text}", flush=True
                )
    return cases, right, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=40, help="mutants per derivation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print those that were missed")
    options = parser.parse_args()
    print(f"{'derivation':<38}{'mutants':>8}{'located':>9}{'elsewhere':>11}")
    total = np.zeros(3, int)
    for name in DERIVATIONS:
        counts = np.array(locate(name, options.seed, options.limit, options.show))
        total += counts
        print(
            f"{name:<38}{counts[0]:>8}{100 * counts[1] / counts[0]:>8.1f}%{100 * counts[2] / counts[0]:>10.1f}%",
            flush=True,
        )
    print(f"{'all':<38}{total[0]:>8}{100 * total[1] / total[0]:>8.1f}%{100 * total[2] / total[0]:>10.1f}%")


if __name__ == "__main__":
    main()
