"""Frames around clusters, and where the rows are along the flow.

A frame's label stands in its upper left corner. From top to bottom, lines enter through the upper side, so the label
gets room to the left of them; from left to right it gets a strip above all that is in the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_lab.viz.layout.coordinates import Item
from tinygrad_lab.viz.layout.model import Cluster, Rect, Spacing
from tinygrad_lab.viz.layout.rows import Rows
from tinygrad_lab.viz.layout.satellites import Host

__all__ = ["Frames"]


class Frames:
    """Where clusters begin and end: rows, then reach on the cross axis, then places on the flow axis."""

    def __init__(
        self, clusters: Sequence[Cluster], parents: list[int], rows: Rows, spacing: Spacing, flat: bool
    ) -> None:
        self.rows, self.spacing, self.flat, self.parents = rows, spacing, flat, parents
        self.labels = [cluster.label_width for cluster in clusters]
        self.first, self.last = [len(rows.rows)] * len(clusters), [-1] * len(clusters)
        for entry, row in enumerate(rows.row_of):
            for cluster in rows.path(entry):
                self.first[cluster], self.last[cluster] = min(self.first[cluster], row), max(self.last[cluster], row)
        self.at = [0.0] * len(clusters)  # the cluster's zero, in its parent; after make_absolute, in the drawing
        self.left, self.right = [0.0] * len(clusters), [0.0] * len(clusters)  # reach from its zero
        self.before = [0.0] * len(clusters)  # from its first row to its frame, frames inside among it
        self.after = [0.0] * len(clusters)
        for cluster in range(len(clusters) - 1, -1, -1):
            self.before[cluster] += spacing.frame + (0 if flat or not self.labels[cluster] else spacing.label)
            self.after[cluster] += spacing.frame
            parent = parents[cluster]
            if parent >= 0 and self.first[parent] == self.first[cluster]:
                self.before[parent] = max(self.before[parent], self.before[cluster])
            if parent >= 0 and self.last[parent] == self.last[cluster]:
                self.after[parent] = max(self.after[parent], self.after[cluster])

    def common(self, a: int, b: int) -> int:
        """The innermost cluster that holds both entries, or -1."""
        found = -1
        for one, other in zip(self.rows.path(a), self.rows.path(b), strict=False):
            if one != other:
                break
            found = one
        return found

    def item(self, cluster: int) -> Item:
        return Item(self.left[cluster], self.right[cluster], self.first[cluster], self.last[cluster])

    def set_width(
        self, cluster: int, items: list[Item], placed: list[float], cross: list[float], ends: dict[int, float]
    ) -> None:
        """The reach of a solved cluster around what is in it, from its zero. ends: where the first of the
        lines to a box ends, from the box's middle."""
        left = min(x - item.left for x, item in zip(placed, items, strict=True)) - self.spacing.frame
        right = max(x + item.right for x, item in zip(placed, items, strict=True)) + self.spacing.frame
        label = self.labels[cluster]
        if label and self.flat:
            left -= self.spacing.label
        elif label:
            entries = [
                self._from_zero(cluster, entry, cross) + ends.get(entry, 0.0)
                for entry in self._first_entries(cluster)
                if self.rows.above[entry]
            ]
            if entries:
                left = min(left, min(entries) - label - 18)
            right = max(right, left + label + 16)
        self.left[cluster], self.right[cluster] = -left, right

    def _first_entries(self, cluster: int) -> list[int]:
        return [entry for entry in self.rows.rows[self.first[cluster]] if cluster in self.rows.path(entry)]

    def _from_zero(self, cluster: int, entry: int, cross: list[float]) -> float:
        path = self.rows.path(entry)
        return cross[entry] + sum(self.at[inner] for inner in path[path.index(cluster) + 1 :])

    def make_absolute(self) -> None:
        for cluster, parent in enumerate(self.parents):
            if parent >= 0:
                self.at[cluster] += self.at[parent]

    def origin(self, region: int) -> float:
        return self.at[region] if region >= 0 else 0.0

    def set_rows(self, held: list[Host], shifts: list[float]) -> None:
        """Rows along the flow: as long as the longest box, with room between for frames and for bends."""
        number = len(self.rows.rows)
        lengths, before, after = [0.0] * number, [0.0] * number, [0.0] * number
        for index, host in enumerate(held):
            row = self.rows.row_of[index]
            lengths[row] = max(lengths[row], host.total)
        for cluster, (first, last) in enumerate(zip(self.first, self.last, strict=True)):
            if last >= 0:
                before[first] = max(before[first], self.before[cluster])
                after[last] = max(after[last], self.after[cluster])
        self.start, self.end = [], []  # of rows
        self.enter, self.leave = [], []  # the same with the frames that begin or end there: lines bend only between
        flow = 0.0
        for row in range(number):
            clear = 4.0 if before[row] else 10.0  # a bend touches neither a frame's corner nor an arrow's head
            self.enter.append(flow)
            self.start.append(flow + clear + before[row])
            self.end.append(self.start[row] + lengths[row])
            self.leave.append(self.end[row] + after[row] + (4.0 if after[row] else 0.0))
            flow = self.leave[row] + self.spacing.rows + min(0.07 * shifts[row], 40.0)

    def middle(self, row: int) -> float:
        return (self.start[row] + self.end[row]) / 2

    def rect(self, cluster: int) -> Rect:
        start = self.start[self.first[cluster]] - self.before[cluster]
        end = self.end[self.last[cluster]] + self.after[cluster]
        left, right = self.at[cluster] - self.left[cluster], self.at[cluster] + self.right[cluster]
        return Rect(left, start, right - left, end - start)
