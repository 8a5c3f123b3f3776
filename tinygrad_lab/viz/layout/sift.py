"""Taking one chain out of its rows and putting it back where it crosses least: gets past places that sweeps do not.

A chain is a run of entries in successive rows with nothing between but one line from each to the next: a branch, or a
line that passes rows. Its best place in all its rows at once is a shortest path over pairs of places (p in one row, q
in the next), where a step costs the lines that a line from p to q would cross.
"""

from __future__ import annotations

import numpy as np

from tinygrad_lab.viz.layout.rows import Rows

__all__ = ["sift"]

NEVER = 1e9  # cost of what would break a rigid thing: a trunk or a cluster crossing another in the middle


def sift(rows: Rows, rounds: int = 4) -> bool:
    """Moves chains while that saves crossings; True if it did."""
    chains = _chains(rows)
    ever = False
    for _ in range(rounds):
        improved = False
        for chain in chains:
            improved |= _reinsert(rows, chain)
        ever |= improved
        if not improved:
            break
    return ever


def _chains(rows: Rows) -> list[list[int]]:
    follows = {}
    for entry, below in enumerate(rows.below):
        if rows.to_below[entry] >= 0:
            follows[entry] = rows.to_below[entry]
        elif len(below) == 1 and len(rows.above[below[0][0]]) == 1 and rows.region[entry] == rows.region[below[0][0]]:
            follows[entry] = below[0][0]
    starts = sorted(set(range(len(rows.row_of))) - set(follows.values()))
    chains = []
    for entry in starts:
        chain = [entry]
        while chain[-1] in follows:
            chain.append(follows[chain[-1]])
        chains.append(chain)
    return chains


def _reinsert(rows: Rows, chain: list[int]) -> bool:
    """The cheapest places for a chain, if they are cheaper than where it is."""
    top, region = rows.row_of[chain[0]], rows.region[chain[0]]
    own = set(chain)
    kept = {}
    for number in range(max(top - 1, 0), min(top + len(chain) + 1, len(rows.rows))):
        kept[number] = [entry for entry in rows.rows[number] if entry not in own]
    places = {number: {entry: at for at, entry in enumerate(row)} for number, row in kept.items()}
    now = [rows.place[entry] for entry in chain]
    costs, back = np.zeros(0), []
    for index, entry in enumerate(chain):
        number = rows.row_of[entry]
        here = _slots(rows, kept[number], region, now[index])
        if index:
            rigid = rows.to_below[chain[index - 1]] == entry
            between = _crossed(rows, kept, places, number - 1, region if rigid else None)
            weight = next(weight for other, weight in rows.below[chain[index - 1]] if other == entry)
            total = costs[:, None] + weight * between
            back.append(total.argmin(axis=0))
            costs = total.min(axis=0)
        for other, weight in rows.above[entry]:
            if index and other == chain[index - 1]:
                continue
            costs = _plus(costs, weight * _from_fixed(rows, kept, places, number - 1, other, True))
        for other, weight in rows.below[entry]:
            if index + 1 < len(chain) and other == chain[index + 1]:
                continue
            costs = _plus(costs, weight * _from_fixed(rows, kept, places, number, other, False))
        costs = _plus(costs, here)
    best = int(costs.argmin())
    path = [best]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    path.reverse()
    if path == now or costs[best] >= _cost_of(now, rows, chain, kept, places) - 0.5:
        return False
    for entry, at in zip(chain, path, strict=True):
        number = rows.row_of[entry]
        row = kept[number]
        row.insert(at, entry)
        rows.rows[number] = row
        for place, other in enumerate(row):
            rows.place[other] = place
    return True


def _plus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return b if not a.size else a + b


def _cost_of(
    now: list[int], rows: Rows, chain: list[int], kept: dict[int, list[int]], places: dict[int, dict[int, int]]
) -> float:
    """What the chain crosses where it is."""
    total = 0.0
    for index, entry in enumerate(chain):
        number = rows.row_of[entry]
        if index:
            weight = next(weight for other, weight in rows.below[chain[index - 1]] if other == entry)
            total += weight * _crossed(rows, kept, places, number - 1, None)[now[index - 1], now[index]]
        for other, weight in rows.above[entry]:
            if not (index and other == chain[index - 1]):
                total += weight * _from_fixed(rows, kept, places, number - 1, other, True)[now[index]]
        for other, weight in rows.below[entry]:
            if not (index + 1 < len(chain) and other == chain[index + 1]):
                total += weight * _from_fixed(rows, kept, places, number, other, False)[now[index]]
    return total


def _slots(rows: Rows, row: list[int], region: int, now: int) -> np.ndarray:
    """0 where an entry of this region may stand among a row, NEVER elsewhere: outside its cluster, inside another."""
    allowed = np.full(len(row) + 1, NEVER)
    depth = len(rows.paths[region])
    inside = [at for at, entry in enumerate(row) if not depth or rows.paths[region] == rows.path(entry)[:depth]]
    if not inside:
        allowed[now if depth else slice(None)] = 0
        return allowed
    for at in range(inside[0], inside[-1] + 2):
        if inside[0] < at <= inside[-1]:
            left, right = rows.path(row[at - 1]), rows.path(row[at])
            if len(left) > depth and len(right) > depth and left[depth] == right[depth]:
                continue
        allowed[at] = 0
    return allowed


def _lines(
    rows: Rows, kept: dict[int, list[int]], places: dict[int, dict[int, int]], number: int, trunk_in: int | None
) -> np.ndarray:
    """How many lines go from each place of a row to each place of the next, what is taken out left out; for a trunk of
    a region, other trunks and the region's clusters weigh so much that it never crosses them."""
    matrix = np.zeros((len(kept[number]), len(kept[number + 1])))
    below = places[number + 1]
    for at, entry in enumerate(kept[number]):
        for other, weight in rows.below[entry]:
            if other in below:
                matrix[at, below[other]] += weight
                if trunk_in is not None and rows.to_below[entry] == other:
                    matrix[at, below[other]] += NEVER
    if trunk_in is not None:
        depth = len(rows.paths[trunk_in])
        last = {rows.path(entry)[depth]: at for entry, at in below.items() if len(rows.path(entry)) > depth}
        for at, entry in enumerate(kept[number]):
            if len(rows.path(entry)) > depth and rows.path(entry)[depth] in last:
                matrix[at, last[rows.path(entry)[depth]]] += NEVER
    return matrix


def _sums(matrix: np.ndarray) -> np.ndarray:
    sums = np.zeros((matrix.shape[0] + 1, matrix.shape[1] + 1))
    sums[1:, 1:] = matrix.cumsum(axis=0).cumsum(axis=1)
    return sums


def _crossed(
    rows: Rows, kept: dict[int, list[int]], places: dict[int, dict[int, int]], number: int, trunk_in: int | None
) -> np.ndarray:
    """[p, q]: lines crossed by one from before place p of a row to before place q of the next."""
    sums = _sums(_lines(rows, kept, places, number, trunk_in))
    return sums[:, -1:] + sums[-1:, :] - 2 * sums


def _from_fixed(
    rows: Rows, kept: dict[int, list[int]], places: dict[int, dict[int, int]], number: int, fixed: int, above: bool
) -> np.ndarray:
    """[q]: lines crossed by one between an entry that stays and before place q of the row below (above: it stays in
    the upper row; else the place is in the upper row); lines of that entry itself do not count."""
    matrix = _lines(rows, kept, places, number, None)
    if not above:
        matrix = matrix.T
    at = places[number if above else number + 1][fixed]
    to_left = np.concatenate([[0.0], matrix[at + 1 :].sum(axis=0).cumsum()])
    before = matrix[:at].sum(axis=0)
    passed = np.concatenate([[0.0], before.cumsum()])
    return to_left + passed[-1] - passed
