"""Layers: which row each box stands in.

Longest paths from the top, with clusters as blocks: all that feeds a cluster is above its first row, all that uses it
below its last one. Boxes with more users than operands are then pulled down to their users, which shortens edges, and
with them chains from a source that nothing else uses; parallel branches stay side by side.
"""

from __future__ import annotations

from collections import deque

__all__ = ["cluster_paths", "rank"]


def cluster_paths(parents: list[int]) -> list[tuple[int, ...]]:
    """For each cluster (given its parent's index, -1 for none, parents first) the clusters from the outermost to it."""
    paths: list[tuple[int, ...]] = []
    for cluster, parent in enumerate(parents):
        paths.append((*paths[parent], cluster) if parent >= 0 else (cluster,))
    return paths


def rank(count: int, edges: list[tuple[int, int]], inside: list[int], parents: list[int]) -> list[int] | None:
    """The row of each of `count` boxes, from 0; None if clusters make a cycle, so that they cannot be blocks.

    edges: (source, target); inside: each box's cluster or -1; parents: each cluster's parent or -1, parents first.
    """
    paths = [*cluster_paths(parents), ()]  # [-1] is the root
    top, bottom = count, count + len(parents)
    out: list[list[tuple[int, int]]] = [[] for _ in range(count + 2 * len(parents))]
    for cluster, parent in enumerate(parents):
        if parent >= 0:
            out[top + parent].append((top + cluster, 0))
            out[bottom + cluster].append((bottom + parent, 0))
    for box, cluster in enumerate(inside):
        if cluster >= 0:
            out[top + cluster].append((box, 0))
            out[box].append((bottom + cluster, 0))
    balance, users = [0] * count, [0] * count  # users minus operands
    for source, target in edges:
        a, b = paths[inside[source]], paths[inside[target]]
        common = 0
        while common < len(a) and common < len(b) and a[common] == b[common]:
            common += 1
        start = bottom + a[common] if common < len(a) else source
        end = top + b[common] if common < len(b) else target
        out[start].append((end, 1))
        balance[source] += 1
        users[source] += 1
        balance[target] -= 1

    waiting = [0] * len(out)
    for targets in out:
        for target, _ in targets:
            waiting[target] += 1
    ready = deque(vertex for vertex in range(len(out)) if not waiting[vertex])
    rows, order = [0] * len(out), []
    while ready:
        vertex = ready.popleft()
        order.append(vertex)
        for target, length in out[vertex]:
            rows[target] = max(rows[target], rows[vertex] + length)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if len(order) < len(out):
        return None
    loose = [True] * count  # all that feeds it feeds nothing else
    for source, target in sorted(edges):
        loose[target] &= loose[source] and users[source] == 1
    for vertex in reversed(order):
        if vertex < count and (balance[vertex] > 0 or (balance[vertex] == 0 and loose[vertex])):
            rows[vertex] = min((rows[target] - length for target, length in out[vertex]), default=rows[vertex])
    lowest = min(rows[:count], default=0)
    return [row - lowest for row in rows[:count]]
