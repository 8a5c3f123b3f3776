"""Where entries stand across the layers: straight lines first, then close together, never overlapping.

Each cluster is solved by itself, inner ones first; for the cluster around it, it is then one rigid item that spans its
rows, as is each trunk. Entries aligned with a neighbour in the next row form blocks that move as one (Brandes and
Koepf 2002); connections between boxes align before lines that pass by, so the main path is straight and a residual
line runs beside it. Four solutions (from above and below, packed left and right) are averaged, which balances forks.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence

from tinygrad_lab.viz.layout.model import Spacing

__all__ = ["Item", "Tie", "solve"]


class Item:
    """A rigid thing: how far it reaches to the left and right of its zero, and the rows that it spans."""

    __slots__ = ("last", "left", "right", "thin", "top")

    def __init__(self, left: float, right: float, top: int, last: int, thin: bool = False) -> None:
        self.left, self.right, self.top, self.last, self.thin = left, right, top, last, thin


class Tie:
    """A connection from item `a`, in this row, at offset `at`, to item `b`, which begins in the next, at offset `to`.

    `main`: it joins two boxes, with no line between that passes others, and is on a longest path.
    """

    __slots__ = ("a", "at", "b", "main", "row", "to", "weight")

    def __init__(self, row: int, a: int, at: float, b: int, to: float) -> None:
        self.row, self.a, self.at, self.b, self.to = row, a, at, b, to
        self.set_main(False)

    def set_main(self, main: bool) -> None:
        self.main = main
        self.weight = 3.0 if main else 1.0


Rowed = dict[int, list[int]]  # row -> items from left to right


def solve(items: list[Item], rowed: Rowed, ties: list[Tie], spacing: Spacing) -> list[float]:
    """Where each item's zero goes. `rowed` must be consistent: two items that share rows are in one order in all."""
    if len(items) == 1:
        return [0.0]
    gaps = _gaps(items, rowed, spacing)
    places = {row: {item: index for index, item in enumerate(row_items)} for row, row_items in rowed.items()}
    spans: dict[int, list[tuple[int, int]]] = {row: [] for row in rowed}
    for row, row_items in rowed.items():
        for item in row_items:
            if items[item].last > row:
                spans[row].append((places[row][item], places[row + 1][item]))
    solutions = []
    for down in (True, False):
        for leftwards in (True, False):
            aligned = _align(items, places, spans, ties, down, leftwards)
            blocks = _Blocks(len(items), aligned, gaps, ties)
            solutions.append(blocks.pack(leftwards))
    middle = _average(solutions, items)
    straight = [tie for tie in ties if abs(middle[tie.a] + tie.at - middle[tie.b] - tie.to) < 1e-6]
    blocks = _Blocks(len(items), _align(items, places, spans, straight, True, True), gaps, ties)
    return blocks.settle(middle, 6)


def _gaps(items: list[Item], rowed: Rowed, spacing: Spacing) -> dict[tuple[int, int], float]:
    """Least distances between the zeros of items next to each other."""
    gaps: dict[tuple[int, int], float] = {}
    for row in sorted(rowed):
        for a, b in zip(rowed[row], rowed[row][1:], strict=False):
            if (a, b) not in gaps:
                room = spacing.lines if items[a].thin or items[b].thin else spacing.boxes
                gaps[a, b] = items[a].right + room + items[b].left
    return gaps


def _align(
    items: list[Item],
    places: dict[int, dict[int, int]],
    spans: dict[int, list[tuple[int, int]]],
    ties: list[Tie],
    down: bool,
    leftwards: bool,
) -> list[tuple[int, int, float]]:
    """Pairs (a, b, shift of b) to put in one line, at most one above and one below each item, none crossing."""
    groups: dict[int, dict[int, list[Tie]]] = {}  # row of a -> the one who chooses -> its ties
    for tie in ties:
        if tie.row == items[tie.a].last:  # else the trunk itself goes on straight below
            groups.setdefault(tie.row, {}).setdefault(tie.b if down else tie.a, []).append(tie)
    aligned = []
    for row in sorted(groups):
        here, below = places[row], places[row + 1]
        taken = sorted(spans[row])
        used: set[int] = set()
        own = below if down else here
        choosers = sorted(groups[row], key=own.__getitem__, reverse=not leftwards)
        for main in (True, False):
            for chooser in choosers:
                if chooser in used:
                    continue
                options = [tie for tie in groups[row][chooser] if tie.main == main]
                if not options:
                    continue
                options.sort(key=lambda tie: (here[tie.a], tie.at, below[tie.b], tie.to))
                middle = (len(options) - 1) // 2 if leftwards else len(options) // 2
                second = len(options) - 1 - middle
                for index in dict.fromkeys((middle, second)):
                    tie = options[index]
                    pair = (here[tie.a], below[tie.b])
                    at = bisect_left(taken, pair)
                    if at and (taken[at - 1][0] >= pair[0] or taken[at - 1][1] >= pair[1]):
                        continue
                    if at < len(taken) and (taken[at][0] <= pair[0] or taken[at][1] <= pair[1]):
                        continue
                    insort(taken, pair)
                    used.add(chooser)
                    aligned.append((tie.a, tie.b, tie.at - tie.to))
                    break
    return aligned


class _Blocks:
    """Items that move as one, and the least distances between them."""

    def __init__(
        self,
        count: int,
        aligned: Sequence[tuple[int, int, float]],
        gaps: dict[tuple[int, int], float],
        ties: list[Tie],
    ) -> None:
        self.block, self.shift = _joined(count, aligned)
        number = max(self.block) + 1
        self.right: list[dict[int, float]] = [{} for _ in range(number)]
        self.left: list[dict[int, float]] = [{} for _ in range(number)]
        for (a, b), gap in gaps.items():
            i, j = self.block[a], self.block[b]
            if i == j:
                continue
            least = gap + self.shift[a] - self.shift[b]
            if least > self.right[i].get(j, -1e18):
                self.right[i][j] = self.left[j][i] = least
        self.order = _sorted(self.right)
        self.pulls: list[list[tuple[int, float, float]]] = [[] for _ in range(number)]  # (block, distance, weight)
        for tie in ties:
            i, j = self.block[tie.a], self.block[tie.b]
            if i != j:
                distance = self.shift[tie.a] + tie.at - self.shift[tie.b] - tie.to  # x_j - x_i of a straight line
                self.pulls[i].append((j, -distance, tie.weight))
                self.pulls[j].append((i, distance, tie.weight))

    def pack(self, leftwards: bool) -> list[float]:
        """As far to one side as goes, then each block towards its neighbours."""
        x = [0.0] * len(self.right)
        for block in self.order if leftwards else reversed(self.order):
            if leftwards:
                x[block] = max((x[other] + gap for other, gap in self.left[block].items()), default=0.0)
            else:
                x[block] = min((x[other] - gap for other, gap in self.right[block].items()), default=0.0)
        self._pull(x, 3, leftwards)
        return [x[block] + shift for block, shift in zip(self.block, self.shift, strict=True)]

    def settle(self, start: list[float], rounds: int) -> list[float]:
        x = [0.0] * len(self.right)
        for item in range(len(start) - 1, -1, -1):
            x[self.block[item]] = start[item] - self.shift[item]
        self._pull(x, rounds, True)
        return [x[block] + shift for block, shift in zip(self.block, self.shift, strict=True)]

    def _pull(self, x: list[float], rounds: int, from_right: bool) -> None:
        """Moves each block to the weighted median of where its lines would be straight, as far as others let it."""
        for turn in range(rounds * 2):
            moved = False
            for block in reversed(self.order) if (turn % 2 == 0) == from_right else self.order:
                if not self.pulls[block]:
                    continue
                low = max((x[other] + gap for other, gap in self.left[block].items()), default=-1e18)
                high = min((x[other] - gap for other, gap in self.right[block].items()), default=1e18)
                wanted = _nearest_median(
                    [(x[other] + way, weight) for other, way, weight in self.pulls[block]], x[block]
                )
                wanted = min(max(wanted, low), high)
                if abs(wanted - x[block]) > 1e-9 and low <= high:
                    x[block] = wanted
                    moved = True
            if not moved:
                return


def _joined(count: int, aligned: Sequence[tuple[int, int, float]]) -> tuple[list[int], list[float]]:
    """Numbers of the blocks, by their first item, and each item's shift in its block."""
    near: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for a, b, shift in aligned:
        near[a].append((b, shift))
        near[b].append((a, -shift))
    block, shifts, number = [-1] * count, [0.0] * count, 0
    for item in range(count):
        if block[item] >= 0:
            continue
        stack = [item]
        block[item] = number
        while stack:
            at = stack.pop()
            for other, shift in near[at]:
                if block[other] < 0:
                    block[other], shifts[other] = number, shifts[at] + shift
                    stack.append(other)
        number += 1
    return block, shifts


def _sorted(right: list[dict[int, float]]) -> list[int]:
    """Blocks from left to right."""
    waiting = [0] * len(right)
    for others in right:
        for other in others:
            waiting[other] += 1
    ready = deque(block for block in range(len(right)) if not waiting[block])
    order = []
    while ready:
        block = ready.popleft()
        order.append(block)
        for other in right[block]:
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    assert len(order) == len(right), "rows are not consistent"
    return order


def _nearest_median(wishes: list[tuple[float, float]], now: float) -> float:
    """The point with the least weighted sum of distances to the wishes; of an interval of such points the nearest."""
    wishes.sort()
    half = sum(weight for _, weight in wishes) / 2
    total = 0.0
    for index, (place, weight) in enumerate(wishes):
        total += weight
        if total > half + 1e-9:
            return place
        if total > half - 1e-9:
            return min(max(now, place), wishes[index + 1][0])
    return now


def _average(solutions: list[list[float]], items: list[Item]) -> list[float]:
    """Solutions aligned with the narrowest, those packed left by their left edge, right by their right; the mean of the
    two middle places of each item. Least distances hold in each, so they hold in the order statistics too."""
    lows = [min(x - item.left for x, item in zip(xs, items, strict=True)) for xs in solutions]
    highs = [max(x + item.right for x, item in zip(xs, items, strict=True)) for xs in solutions]
    widths = [high - low for low, high in zip(lows, highs, strict=True)]
    best = widths.index(min(widths))
    for index, xs in enumerate(solutions):
        move = lows[best] - lows[index] if index % 2 == 0 else highs[best] - highs[index]
        solutions[index] = [x + move for x in xs]
    return [sum(sorted(places)[1:3]) / 2 for places in zip(*solutions, strict=True)]
