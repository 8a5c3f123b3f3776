"""The order of what stands in each row, with few crossings.

Rows hold *entries*: boxes, and one entry for each row that a line passes (lines from one box share a *trunk*, so that
a tensor used a hundred times costs one column). Sweeps up and down sort each row by the mean or median place of the
neighbours in the row before, then adjacent entries are exchanged while that saves crossings (Gansner and others 1993).
Clusters stay together: a row is sorted by cluster first, and a cluster or a trunk that goes on from the row before
keeps its place among the others that do, so that neither ever crosses another.
"""

from __future__ import annotations

from tinygrad_lab.viz.layout.rows import Rows
from tinygrad_lab.viz.layout.sift import sift

__all__ = ["order"]


def order(rows: Rows) -> None:
    """Sorts `rows.rows` in place."""
    size = len(rows.row_of)
    rounds = 24 if size < 1_500 else 8 if size < 6_000 else 3
    best, fewest = None, -1
    for start in ("creation", "depth", "reverse") if size < 1_500 else ("creation", "depth"):
        _start(rows, start)
        idle = 0
        for turn in range(rounds):
            use_median = turn % 4 >= 2
            _sweep(rows, down=turn % 2 == 0, use_median=use_median)
            if turn == 0:
                _sweep(rows, down=True, use_median=False)
            if turn % 2 and size < 6_000:
                _transpose(rows, 1, equal=True)
            _transpose(rows, 6 if size < 6_000 else 2)
            count = crossings(rows)
            if fewest < 0 or count < fewest:
                best, fewest, idle = [list(row) for row in rows.rows], count, 0
            else:
                idle += 1
            if fewest == 0 or idle > 7:
                break
        if fewest == 0:
            break
    if best is not None:
        rows.rows = best
    _place(rows)
    if fewest > 0 and size < 1_500:
        while sift(rows):
            _transpose(rows, 6)


def _place(rows: Rows) -> None:
    for row in rows.rows:
        for index, entry in enumerate(row):
            rows.place[entry] = index


def _start(rows: Rows, how: str) -> None:
    """A first order: as created, or as a walk in depth from the sources finds them."""
    key = list(rows.born)
    if how == "reverse":
        key = [-number for number in key]
    if how == "depth":
        found = 0
        seen = [False] * len(key)
        for source in sorted(range(len(key)), key=lambda entry: (rows.row_of[entry], rows.born[entry])):
            stack = [source]
            while stack:
                entry = stack.pop()
                if seen[entry]:
                    continue
                seen[entry] = True
                key[entry] = found
                found += 1
                stack.extend(reversed([below for below, _ in rows.below[entry]]))
    for row in rows.rows:
        values = [float(key[entry]) for entry in row]
        _sort(rows, row, values, {}, [key[entry] for entry in row])
    _place(rows)


def _sort(rows: Rows, row: list[int], values: list[float], fixed: dict[int, float], ties: list[int]) -> None:
    """Sorts one row by value, clusters as blocks; `fixed` holds the values of clusters that go on."""
    sums: dict[int, list[float]] = {}
    for entry, value, tie in zip(row, values, ties, strict=True):
        for cluster in rows.path(entry):
            found = sums.setdefault(cluster, [0.0, 0, tie])
            found[0] += value
            found[1] += 1
            found[2] = min(found[2], tie)
    keys = {}
    for entry, value, tie in zip(row, values, ties, strict=True):
        key: list[float] = []
        for cluster in rows.path(entry):
            total, number, first = sums[cluster]
            key += (fixed.get(cluster, total / number), first, cluster)
        keys[entry] = (*key, value, tie, -1)
    row.sort(key=keys.__getitem__)


def _sweep(rows: Rows, *, down: bool, use_median: bool) -> None:
    numbers = range(1, len(rows.rows)) if down else range(len(rows.rows) - 2, -1, -1)
    near = rows.above if down else rows.below
    goes_on = rows.from_above if down else rows.to_below
    place = rows.place
    for number in numbers:
        row = rows.rows[number]
        before = rows.rows[number - 1 if down else number + 1]
        if len(row) > 1:
            sums: dict[int, list[float]] = {}
            for entry in before:
                for cluster in rows.path(entry):
                    found = sums.setdefault(cluster, [0.0, 0])
                    found[0] += place[entry]
                    found[1] += 1
            values = []
            for entry in row:
                other = goes_on[entry]
                if other >= 0:
                    values.append(float(place[other]))
                elif near[entry]:
                    values.append(_median(near[entry], place) if use_median else _mean(near[entry], place))
                else:
                    values.append(float(place[entry]))
            fixed = {cluster: total / number_of for cluster, (total, number_of) in sums.items()}
            _sort(rows, row, values, fixed, [place[entry] for entry in row])
        for index, entry in enumerate(row):
            place[entry] = index


def _mean(near: list[tuple[int, int]], place: list[int]) -> float:
    return sum(place[other] * weight for other, weight in near) / sum(weight for _, weight in near)


def _median(near: list[tuple[int, int]], place: list[int]) -> float:
    places = sorted(place[other] for other, weight in near for _ in range(weight))
    middle = len(places) // 2
    if len(places) % 2:
        return float(places[middle])
    if len(places) == 2:
        return (places[0] + places[1]) / 2
    left, right = places[middle - 1] - places[0], places[-1] - places[middle]
    return (places[middle - 1] * right + places[middle] * left) / (left + right) if left + right else places[middle]


def crossings(rows: Rows) -> int:
    """How many pairs of lines cross between rows, lines that share a trunk counted each."""
    return sum(_between(rows, number) for number in range(len(rows.rows) - 1))


def _between(rows: Rows, number: int) -> int:
    row, width = rows.rows[number], len(rows.rows[number + 1])
    if len(row) < 2 or width < 2:
        return 0
    place, tree, total, seen = rows.place, [0] * (width + 1), 0, 0
    for entry in row:
        ends = [(place[other], weight) for other, weight in rows.below[entry]]
        for end, weight in ends:  # lines seen so far that end to the right of this one's end cross it
            index, left = end + 1, 0
            while index:
                left += tree[index]
                index &= index - 1
            total += weight * (seen - left)
        for end, weight in ends:
            seen += weight
            index = end + 1
            while index <= width:
                tree[index] += weight
                index += index & -index
    return total


def _transpose(rows: Rows, rounds: int, equal: bool = False) -> None:
    """Exchanges neighbours in a row, or trunks that run side by side in all rows that they share, where that helps;
    with `equal` also where it costs nothing, to get past places where no single exchange helps."""
    for _ in range(rounds):
        improved = False
        for row in rows.rows:
            for index in range(len(row) - 1):
                a, b = row[index], row[index + 1]
                if rows.region[a] == rows.region[b] and not (rows.from_above[a] >= 0 and rows.from_above[b] >= 0):
                    improved |= _exchange(rows, a, b, 0 if equal else 1)
        if not improved:
            return


def _exchange(rows: Rows, a: int, b: int, least: int) -> bool:
    """Exchanges b, the right neighbour of a, with it, down to the last row that both go on to; False if that does not
    save at least so many crossings."""
    place, pairs = rows.place, []
    saved = _pair(rows.above[a], rows.above[b], place)
    while True:
        if place[b] != place[a] + 1:
            return False
        pairs.append((a, b))
        next_a, next_b = rows.to_below[a], rows.to_below[b]
        if next_a < 0 or next_b < 0:
            break
        saved += _pair(rows.below[a], rows.below[b], place)
        both = dict(rows.below[a])[next_a] * dict(rows.below[b])[next_b]
        saved += both if place[next_a] < place[next_b] else -both  # these two stay as they are to each other
        a, b = next_a, next_b
    saved += _pair(rows.below[a], rows.below[b], place)
    if saved < least:
        return False
    for a, b in pairs:
        row = rows.rows[rows.row_of[a]]
        row[place[a]], row[place[b]] = b, a
        place[a], place[b] = place[b], place[a]
    return True


def _pair(left: list[tuple[int, int]], right: list[tuple[int, int]], place: list[int]) -> int:
    """Crossings between the lines of two neighbours, minus those after exchanging them."""
    saved = 0
    if len(left) * len(right) > 400:  # rare, and the sweeps do most of the work
        return 0
    for a, weight_a in left:
        for b, weight_b in right:
            if place[a] > place[b]:
                saved += weight_a * weight_b
            elif place[a] < place[b]:
                saved -= weight_a * weight_b
    return saved
