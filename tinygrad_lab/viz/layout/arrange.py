"""The steps of a layout, one after another: satellites, rows, order, ends of arrows, coordinates, frames, routes.

Inside, a layout has a *cross* axis, along a row, and a *flow* axis, from row to row. Direction "TB" makes them x and
y; "LR" makes them y and x.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_lab.viz.layout.coordinates import Item, Tie, solve
from tinygrad_lab.viz.layout.frames import Frames
from tinygrad_lab.viz.layout.model import Box, Cluster, Drawing, Link, Rect, Spacing
from tinygrad_lab.viz.layout.order import order
from tinygrad_lab.viz.layout.ranks import cluster_paths, rank
from tinygrad_lab.viz.layout.routes import route, satellite_route
from tinygrad_lab.viz.layout.rows import Rows, make_rows
from tinygrad_lab.viz.layout.satellites import Host, hosts

__all__ = ["lay_out"]


def lay_out(
    boxes: Sequence[Box],
    links: Sequence[Link],
    clusters: Sequence[Cluster] = (),
    direction: str = "TB",
    spacing: Spacing | None = None,
) -> Drawing:
    """Places `boxes`, in an order in which every link goes from an earlier box to a later one.

    boxes      those with `beside` stand next to that box, in its cluster, and may have a link to it but to no other
    links      for a box's incoming links, their order is the order of operands
    clusters   parents before children; if they make a cycle with the links, so that no cluster could be in one piece,
               they are left out
    direction  "TB" or "LR"
    Raises ValueError for another direction, a link that goes back, or an unknown id.
    """
    if direction not in ("TB", "LR"):
        raise ValueError(f"direction must be 'TB' (top to bottom) or 'LR' (left to right), not {direction!r}")
    flat = direction == "LR"
    spacing = spacing or Spacing()
    main = [box for box in boxes if box.beside is None]
    number = {box.id: index for index, box in enumerate(main)}
    satellites = {box.id: box for box in boxes if box.beside is not None}
    if not main:
        return Drawing(width=2 * spacing.margin, height=2 * spacing.margin)
    edges, edge_ids = _edges(links, number, satellites)
    held = hosts(main, list(satellites.values()), number, spacing, flat)

    numbered = {cluster.id: index for index, cluster in enumerate(clusters)}
    parents = [numbered[cluster.parent] if cluster.parent is not None else -1 for cluster in clusters]
    inside = [numbered[box.cluster] if box.cluster is not None else -1 for box in main]
    ranks = rank(len(main), edges, inside, parents)
    if ranks is None:
        clusters, parents, inside = (), [], [-1] * len(main)
        ranks = rank(len(main), edges, inside, parents) or []
    rows = make_rows(ranks, edges, inside, [*cluster_paths(parents), ()])
    order(rows)
    ways = _Ways(len(main), edges)
    direct = [index for index, last in enumerate(rows.last) if rows.trunk[last] < 0]
    straight = ways.main([(index, *edges[index]) for index in direct])
    ports = _ports(rows, edges, straight, held, spacing)
    frames = Frames(clusters, parents, rows, spacing, flat)
    cross = _solve(rows, edges, ways, ports, held, frames, spacing)

    frames.set_rows(held, _shifts(rows, edges, cross, ports))
    drawing = Drawing()
    for index, box in enumerate(main):
        host = held[index]
        middle = frames.middle(rows.row_of[index])
        drawing.boxes[box.id] = _rect(cross[index] - host.cross / 2, middle - host.length / 2, host.cross, host.length)
        for satellite, (at, along, wide, long) in host.satellites.items():
            drawing.boxes[satellite] = _rect(cross[index] + at, middle + along, wide, long)
    for index, cluster in enumerate(clusters):
        if frames.last[index] >= 0:
            drawing.clusters[cluster.id] = frames.rect(index)
    for index, name in enumerate(edge_ids):
        drawing.routes[name] = route(index, edges[index], rows, cross, ports[index], held, frames)
    leaving: dict[str, list[Link]] = {}
    for link in links:
        if link.source in satellites:
            leaving.setdefault(link.source, []).append(link)
    for name, own in leaving.items():
        for index, link in enumerate(own):
            drawing.routes[link.id] = satellite_route(
                drawing.boxes[name], drawing.boxes[link.target], (index - (len(own) - 1) / 2) * spacing.port / 2
            )
    drawing.routes = {link.id: drawing.routes[link.id] for link in links}
    drawing.boxes = {box.id: drawing.boxes[box.id] for box in boxes}
    return _placed(drawing, spacing.margin, flat)


def _rect(cross: float, flow: float, wide: float, long: float) -> Rect:
    return Rect(cross, flow, wide, long)


def _edges(
    links: Sequence[Link], number: dict[str, int], satellites: dict[str, Box]
) -> tuple[list[tuple[int, int]], list[str]]:
    edges, names = [], []
    for link in links:
        for end in (link.source, link.target):
            if end not in number and end not in satellites:
                raise ValueError(f"link {link.id!r} ends at {end!r}, which is no box")
        if link.source in satellites:
            if satellites[link.source].beside != link.target:
                raise ValueError(
                    f"{link.source!r} stands beside {satellites[link.source].beside!r} and has a link "
                    f"{link.id!r} to {link.target!r}: only to its host can it have one"
                )
            continue
        if link.target in satellites or number[link.source] >= number[link.target]:
            raise ValueError(
                f"link {link.id!r} goes back, from {link.source!r} to {link.target!r}: boxes must be "
                "given in an order in which links go forward"
            )
        edges.append((number[link.source], number[link.target]))
        names.append(link.id)
    return edges, names


class _Ways:
    """How long the longest ways to and from each box are, to tell the main way from what joins it.

    Of what meets at a box or at a cluster, what is on about the longest way is main, and should be straight: in an
    unrolled recurrence that is the state's way, not the middle between state and input.
    """

    def __init__(self, count: int, edges: list[tuple[int, int]]) -> None:
        self.edges = edges
        self.depth, self.height = [0] * count, [0] * count
        for source, target in sorted(edges):
            self.depth[target] = max(self.depth[target], self.depth[source] + 1)
        for source, target in sorted(edges, reverse=True):
            self.height[source] = max(self.height[source], self.height[target] + 1)

    def main(self, candidates: list[tuple[int, int, int]]) -> set[int]:
        """Of (edge, where it starts, where it ends) those that are main at both ends."""
        deepest: dict[int, int] = {}
        highest: dict[int, int] = {}
        for edge, start, end in candidates:
            source, target = self.edges[edge]
            deepest[end] = max(deepest.get(end, 0), self.depth[source])
            highest[start] = max(highest.get(start, 0), self.height[target])
        return {
            edge
            for edge, start, end in candidates
            if self.depth[self.edges[edge][0]] > deepest[end] - 2
            and self.height[self.edges[edge][1]] > highest[start] - 2
        }


def _ports(rows: Rows, edges: list[tuple[int, int]], main: set[int], held: list[Host], spacing: Spacing) -> list[float]:
    """Where, from the middle of its target, each edge ends: in the order in which they come, so that they do not
    cross; the main one in the middle, if there is one such, so that it stays straight."""
    ports = [0.0] * len(edges)
    coming: dict[int, list[int]] = {}
    for index, (_, target) in enumerate(edges):
        coming.setdefault(target, []).append(index)
    for target, indices in coming.items():
        if len(indices) < 2:
            continue
        indices.sort(key=lambda index: (rows.place[rows.last[index]], index))
        direct = [at for at, index in enumerate(indices) if index in main]
        middle = float(direct[0]) if len(direct) == 1 else (len(indices) - 1) / 2
        reach = max(middle, len(indices) - 1 - middle)
        step = min(spacing.port, max(held[target].cross / 2 - 9, 1.0) / reach)
        for at, index in enumerate(indices):
            ports[index] = (at - middle) * step
    return ports


def _solve(
    rows: Rows,
    edges: list[tuple[int, int]],
    ways: _Ways,
    ports: list[float],
    held: list[Host],
    frames: Frames,
    spacing: Spacing,
) -> list[float]:
    """The cross coordinate of each entry; also tells `frames` how wide each cluster is and where it stands."""
    count = len(held)
    regions = len(rows.paths)  # clusters, and at the end the root
    items: list[list[Item]] = [[] for _ in range(regions)]
    local: list[dict[tuple[str, int], int]] = [{} for _ in range(regions)]
    rowed: list[dict[int, list[int]]] = [{} for _ in range(regions)]
    for row, entries in enumerate(rows.rows):
        for entry in entries:
            chain = (-1, *rows.path(entry))
            for depth, region in enumerate(chain):
                if depth + 1 < len(chain):
                    key = ("cluster", chain[depth + 1])
                else:
                    trunk = rows.trunk[entry]
                    key = ("trunk", trunk) if trunk >= 0 else ("entry", entry)
                item = local[region].setdefault(key, len(local[region]))
                in_row = rowed[region].setdefault(row, [])
                if not in_row or in_row[-1] != item:
                    in_row.append(item)

    joints: list[list[tuple[int, int, float, int]]] = [
        [] for _ in range(regions)
    ]  # entries above, below; port; edge or -1
    known: set[tuple[int, int]] = set()
    for index, (source, target) in enumerate(edges):
        before = source
        for number, following in zip(rows.steps[index], [*rows.steps[index], None][1:], strict=True):
            piece = rows.trunks[number][0]
            if (before, piece) not in known:
                known.add((before, piece))
                joints[frames.common(before, piece)].append((before, piece, 0.0, -1))
            if following is not None:
                before = rows.trunks[number][rows.row_of[rows.trunks[following][0]] - 1 - rows.row_of[piece]]
        joints[frames.common(rows.last[index], target)].append(
            (rows.last[index], target, ports[index], index if rows.trunk[rows.last[index]] < 0 else -1)
        )

    ends: dict[int, float] = {}
    for (_, target), port in zip(edges, ports, strict=True):
        ends[target] = min(ends.get(target, port), port)
    cross = [0.0] * len(rows.row_of)
    for region in [*range(regions - 2, -1, -1), -1]:
        for kind, which in local[region]:
            if kind == "cluster":
                items[region].append(frames.item(which))
            elif kind == "trunk":
                pieces = rows.trunks[which]
                items[region].append(Item(0, 0, rows.row_of[pieces[0]], rows.row_of[pieces[-1]], thin=True))
            else:
                row = rows.row_of[which]
                left, right = (held[which].left, held[which].right) if which < count else (0.0, 0.0)
                items[region].append(Item(left, right, row, row, thin=which >= count))
        ties, direct = [], []
        for above, below, port, edge in joints[region]:
            a, at = _seen_from(region, above, rows, local[region], cross, frames)
            b, to = _seen_from(region, below, rows, local[region], cross, frames)
            ties.append((edge, Tie(rows.row_of[above], a, at, b, to + port)))
            if edge >= 0:
                direct.append((edge, a, b))
        main = ways.main(direct)
        for edge, tie in ties:
            tie.set_main(edge in main)
        placed = solve(items[region], rowed[region], [tie for _, tie in ties], spacing)
        for (kind, which), x in zip(local[region], placed, strict=True):
            if kind == "cluster":
                frames.at[which] = x
            elif kind == "trunk":
                for entry in rows.trunks[which]:
                    cross[entry] = x
            else:
                cross[which] = x
        if region >= 0:
            frames.set_width(region, items[region], placed, cross, ends)
    frames.make_absolute()
    return [x + frames.origin(rows.region[entry]) for entry, x in enumerate(cross)]


def _seen_from(
    region: int, entry: int, rows: Rows, local: dict[tuple[str, int], int], cross: list[float], frames: Frames
) -> tuple[int, float]:
    """The item of a region that an entry belongs to, and the entry's place from the item's zero."""
    path = rows.path(entry)
    depth = len(rows.paths[region])
    if len(path) == depth:
        trunk = rows.trunk[entry]
        return local[("trunk", trunk) if trunk >= 0 else ("entry", entry)], 0.0
    return local["cluster", path[depth]], cross[entry] + sum(frames.at[cluster] for cluster in path[depth + 1 :])


def _shifts(rows: Rows, edges: list[tuple[int, int]], cross: list[float], ports: list[float]) -> list[float]:
    """How far the widest bend after each row goes."""
    widest = [0.0] * len(rows.rows)
    for index, (source, target) in enumerate(edges):
        last = rows.last[index]
        row = rows.row_of[last]
        widest[row] = max(widest[row], abs(cross[last] - cross[target] - ports[index]))
        if rows.steps[index]:
            row = rows.row_of[source]
            widest[row] = max(widest[row], abs(cross[source] - cross[rows.trunks[rows.steps[index][0]][0]]))
    return widest


def _placed(drawing: Drawing, margin: float, flat: bool) -> Drawing:
    """Moves everything so that the upper left corner of all is at the margin; exchanges axes for "LR"."""
    rects = [*drawing.boxes.values(), *drawing.clusters.values()]
    points = [point for points in drawing.routes.values() for point in points]
    left = min([rect.x for rect in rects] + [x for x, _ in points]) - margin
    top = min([rect.y for rect in rects] + [y for _, y in points]) - margin
    right = max([rect.right for rect in rects] + [x for x, _ in points]) + margin
    bottom = max([rect.bottom for rect in rects] + [y for _, y in points]) + margin

    def rect_at(rect: Rect) -> Rect:
        x, y = round(rect.x - left, 2), round(rect.y - top, 2)
        wide, high = round(rect.width, 2), round(rect.height, 2)
        return Rect(y, x, high, wide) if flat else Rect(x, y, wide, high)

    def point_at(point: tuple[float, float]) -> tuple[float, float]:
        x, y = round(point[0] - left, 2), round(point[1] - top, 2)
        return (y, x) if flat else (x, y)

    wide, high = round(right - left, 2), round(bottom - top, 2)
    return Drawing(
        {name: rect_at(rect) for name, rect in drawing.boxes.items()},
        {name: rect_at(rect) for name, rect in drawing.clusters.items()},
        {name: [point_at(point) for point in points] for name, points in drawing.routes.items()},
        high if flat else wide,
        wide if flat else high,
    )
