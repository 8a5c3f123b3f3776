"""Rows of entries: the boxes of a ranked graph, and the trunks of lines that pass rows between their ends.

All lines from one box that pass through the same cluster share one trunk there, from the box down to the last row
that any of them passes. So there are at most as many entries as boxes times the rows a tensor lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Rows", "make_rows"]


@dataclass
class Rows:
    """Entries 0..n-1 are the boxes; others are pieces of trunks, or fillers that keep a row of a cluster open."""

    rows: list[list[int]]
    row_of: list[int]
    region: list[int]  # the entry's cluster, -1 for none
    paths: list[tuple[int, ...]]  # of each cluster; [-1] is ()
    born: list[int] = field(default_factory=list)  # a first order in rows: boxes by number, then trunks by source
    trunk: list[int] = field(default_factory=list)  # number of the trunk an entry belongs to, -1 for boxes
    place: list[int] = field(default_factory=list)  # index in its row
    above: list[list[tuple[int, int]]] = field(default_factory=list)  # (entry, how many lines)
    below: list[list[tuple[int, int]]] = field(default_factory=list)
    from_above: list[int] = field(default_factory=list)  # the entry of the same trunk in the row before, or -1
    to_below: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)  # of each edge: the entry it comes from at its target's row
    steps: list[list[int]] = field(default_factory=list)  # of each edge: trunks it takes, in order
    trunks: list[list[int]] = field(default_factory=list)  # entries of each trunk, from top to bottom

    def path(self, entry: int) -> tuple[int, ...]:
        return self.paths[self.region[entry]]


def make_rows(ranks: list[int], edges: list[tuple[int, int]], inside: list[int], paths: list[tuple[int, ...]]) -> Rows:
    """ranks and inside (cluster or -1) of each box; paths: each cluster's ancestors and itself, [-1] the empty one."""
    count = len(ranks)
    first, final = _spans(ranks, inside, paths)
    ends: dict[tuple[int, int], list[int]] = {}  # (source, region) -> [first row, last row]
    routes: list[list[tuple[int, int]]] = []
    for source, target in edges:
        route = []
        row = ranks[source] + 1
        for region, until in _regions(inside[source], inside[target], paths, first, final, ranks[target]):
            if row <= until:
                span = ends.setdefault((source, region), [row, until])
                span[1] = max(span[1], until)
                route.append((source, region))
                row = until + 1
        routes.append(route)

    rows = Rows([[] for _ in range(max(ranks, default=-1) + 1)], list(ranks), list(inside), paths)
    rows.born, rows.trunk = list(range(count)), [-1] * count
    numbers = {key: number for number, key in enumerate(ends)}
    for (source, region), (start, stop) in ends.items():
        rows.trunks.append(list(range(len(rows.row_of), len(rows.row_of) + stop - start + 1)))
        for row in range(start, stop + 1):
            _new_entry(rows, row, region, count + source, numbers[source, region])
    _fill(rows, first, final)
    size = len(rows.row_of)
    rows.from_above, rows.to_below = [-1] * size, [-1] * size
    rows.place = [0] * size
    for entry in range(size):
        rows.rows[rows.row_of[entry]].append(entry)
    _link(rows, edges, [[numbers[key] for key in route] for route in routes], ranks)
    for pieces in rows.trunks:
        for upper, lower in pairwise(pieces):
            rows.to_below[upper], rows.from_above[lower] = lower, upper
    return rows


def _link(rows: Rows, edges: list[tuple[int, int]], steps: list[list[int]], ranks: list[int]) -> None:
    """Neighbours of each entry, with the number of lines between; linear in edges plus entries."""
    rows.steps = steps
    weights: dict[tuple[int, int], int] = {}
    leaving = [[0] * len(pieces) for pieces in rows.trunks]  # lines that leave a trunk after each of its rows
    for (source, target), taken in zip(edges, steps, strict=True):
        before = source
        starts = [rows.row_of[rows.trunks[number][0]] for number in taken]
        for number, start, end in zip(taken, starts, [*starts, ranks[target]][1:], strict=True):
            weights[before, rows.trunks[number][0]] = weights.get((before, rows.trunks[number][0]), 0) + 1
            leaving[number][end - 1 - start] += 1
            before = rows.trunks[number][end - 1 - start]
        weights[before, target] = weights.get((before, target), 0) + 1
        rows.last.append(before)
    for pieces, left in zip(rows.trunks, leaving, strict=True):
        going = 0
        for index in range(len(pieces) - 1, 0, -1):
            going += left[index]
            weights[pieces[index - 1], pieces[index]] = going
    rows.above, rows.below = [[] for _ in rows.row_of], [[] for _ in rows.row_of]
    for (upper, lower), weight in weights.items():
        rows.below[upper].append((lower, weight))
        rows.above[lower].append((upper, weight))


def _new_entry(rows: Rows, row: int, region: int, born: int, trunk: int) -> None:
    rows.row_of.append(row)
    rows.region.append(region)
    rows.born.append(born)
    rows.trunk.append(trunk)


def _spans(ranks: list[int], inside: list[int], paths: list[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """First and last row of each cluster."""
    clusters = len(paths) - 1
    first, final = [len(ranks)] * clusters, [-1] * clusters
    for row, region in zip(ranks, inside, strict=True):
        for cluster in paths[region]:
            first[cluster], final[cluster] = min(first[cluster], row), max(final[cluster], row)
    return first, final


def _regions(
    source: int, target: int, paths: list[tuple[int, ...]], first: list[int], final: list[int], row: int
) -> list[tuple[int, int]]:
    """(region, last row in it) that a line from region `source` to row `row` of region `target` passes, in order."""
    a, b = paths[source], paths[target]
    common = 0
    while common < len(a) and common < len(b) and a[common] == b[common]:
        common += 1
    up = [(cluster, final[cluster]) for cluster in reversed(a[common:])]
    down = [*b[common:]]
    regions = [a[common - 1] if common else -1, *down]
    limits = [*(first[cluster] - 1 for cluster in down), row - 1]
    return [*up, *zip(regions, limits, strict=True)]


def _fill(rows: Rows, first: list[int], final: list[int]) -> None:
    """An empty entry for each row of a cluster that nothing else keeps open, so that its frame has a place there."""
    present = {(cluster, rows.row_of[entry]) for entry in range(len(rows.row_of)) for cluster in rows.path(entry)}
    for cluster in range(len(rows.paths) - 2, -1, -1):  # inner clusters first: they keep the outer ones open
        for row in range(first[cluster], final[cluster] + 1):
            if (cluster, row) not in present:
                _new_entry(rows, row, cluster, -1, -1)
                present.update((outer, row) for outer in rows.paths[cluster])
