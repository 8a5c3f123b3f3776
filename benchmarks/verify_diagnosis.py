"""How often the diagnosis of hand-derived gradients is right, wrong or silent, by kind of model: `python -m
benchmarks.verify_diagnosis`.

Slips are made in NumPy derivations (`verify_models`, `verify_models_more`), alone and in pairs. Right: some exact
explanation names just the slips that were made. Wrong: an explanation was claimed and none does. Silent: "no known
pattern".
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.verify_models import Model, Slip
from benchmarks.verify_models_more import ALL
from tinygrad_lab import verify

# Names for one and the same array: a mean over the batch for a sum over it, a factor at the only term there is.
SAME = {"= for += (this array)": "= for +=", "mean for sum": "times 1/N"}
TERMS = {
    "data term times N": "times N",
    "sign of the data term": "sign",
    "data term times 1/N": "times 1/N",
    "data term times 2": "times 2",
}


def plain(name: str) -> str:
    name = SAME.get(name, name)
    return TERMS.get(name, name)


def outcome(model: Model, slips: tuple[Slip, ...]) -> tuple[str, Any]:
    """("right" | "wrong" | "silent" | "no effect", diagnosis) for a model with these slips."""
    with np.errstate(all="ignore"):
        hand, right = model.hand(*slips), model.hand()
        alone = [model.hand(slip) for slip in slips]
        others = [(slip, model.hand(slip)) for slip in model.places()] if len(slips) > 1 else []
    if any(same(hand, other) for other in [right, *(alone if len(slips) > 1 else [])]):
        return "no effect", None  # two slips that cancel, or of which one does nothing
    if any(one(hand[n], right[n]) and not all(one(a[n], right[n]) for a in alone) for n in hand):
        return "no effect", None  # they cancel in one array
    accepted = [slips, *((slip,) for slip, arrays in others if same(hand, arrays))]  # one slip may give the same arrays
    diagnosis = verify.diagnose(model.loss, model.params, hand)
    if not diagnosis.explanations:
        return "silent", diagnosis
    right_one = any(says(e.causes, model, each) for e in diagnosis.explanations for each in accepted)
    return ("right" if right_one else "wrong"), diagnosis


def one(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(one(a[name], b[name]) for name in a)


def says(causes: list[Any], model: Model, slips: tuple[Slip, ...]) -> bool:
    """Whether the causes are just these slips, each at its parameter where it was made at one."""
    if {plain(cause.name) for cause in causes} != {plain(name) for name, _ in slips}:
        return False
    for name, place in slips:
        where = {a for c in causes if plain(c.name) == plain(name) for a in (*c.arrays, *c.layer.split(", "))}
        if place in model.params and place not in where:
            return False
    return True


def clash(a: Slip, b: Slip) -> bool:
    """Whether two slips would be made at the same place, so that one hides the other."""
    return a[1].strip("'") == b[1].strip("'")


def samples(model: Model, pairs: int, rng: np.random.Generator) -> list[tuple[Slip, ...]]:
    places = model.places()
    found: list[tuple[Slip, ...]] = [(slip,) for slip in places]
    while len(found) < len(places) + pairs:
        i, j = rng.integers(len(places), size=2)
        if not clash(places[i], places[j]):
            found.append((places[i], places[j]))
    return found


def table(seeds: int, pairs: int, show: bool = False) -> dict[str, dict[str, int]]:
    """{kind (alone or in pairs): {outcome: count}}"""
    counts: dict[str, dict[str, int]] = {}
    for make in ALL:
        for seed in range(seeds):
            rng = np.random.default_rng(seed + 1000)
            model = make(seed)
            for slips in samples(model, pairs, rng):
                result, diagnosis = outcome(model, slips)
                if result == "no effect":
                    continue
                row = counts.setdefault(
                    f"{model.kind}, {'alone' if len(slips) == 1 else 'pairs'}", {"right": 0, "wrong": 0, "silent": 0}
                )
                row[result] += 1
                if show and result != "right":
                    said = [[(c.name, c.arrays) for c in e.causes] for e in diagnosis.explanations]
                    partial = [(c.name, c.arrays) for c in diagnosis.partial]
                    print(f"  {result}: {model.kind} {seed} {slips} -> {said} partial {partial}", flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=30, help="pairs of slips per model and seed")
    parser.add_argument("--show", action="store_true", help="print every one that was not right")
    options = parser.parse_args()
    counts = table(options.seeds, options.pairs, options.show)
    print(f"{'model':<24}{'cases':>7}{'right':>8}{'wrong':>8}{'silent':>8}")
    total = {"right": 0, "wrong": 0, "silent": 0}
    for kind, row in [*counts.items(), ("all", total)]:
        cases = sum(row.values())
        print(
            f"{kind:<24}{cases:>7}"
            + "".join(f"{100 * row[key] / cases:>7.1f}%" for key in ("right", "wrong", "silent"))
        )
        for key in row:
            if kind != "all":
                total[key] += row[key]


if __name__ == "__main__":
    main()
