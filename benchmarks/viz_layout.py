"""`python -m benchmarks.viz_layout [--write FILE]`: our layout beside Graphviz's, a Markdown table.

Twenty graphs of different kinds (`viz_graphs`) are laid out by `tinygrad_lab.viz.layout` and by `dot`. One counter, on
the geometry alone, counts for both: crossings that a reader sees, pairs of edges that cross, lines through boxes,
boxes that overlap. Then: time over size. Without `dot` its columns stay empty. Exits with 1 where something overlaps,
or where our crossings are more than a fifth above `dot`'s.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.viz_graphs import Sketch, graphs
from tinygrad_lab.viz.layout import Link, Point, Rect, lay_out

SAMPLES = 12  # straight pieces that stand for one Bezier curve

Routes = dict[str, list[Point]]


def with_dot(sketch: Sketch) -> tuple[dict[str, Rect], Routes, float]:
    """Boxes, routes and seconds of Graphviz's layout, with its default settings, top to bottom, y downwards."""
    lines = ["digraph {", 'node [shape=box fixedsize=true label=""];']
    children: dict[str | None, list[str]] = {}
    for cluster in sketch.clusters:
        children.setdefault(cluster.parent, []).append(cluster.id)

    def write(cluster: str | None) -> None:
        for box in sketch.boxes:
            if box.cluster == cluster:
                lines.append(f"{box.id} [width={box.width / 72} height={box.height / 72}];")
        for child in children.get(cluster, []):
            lines.append(f"subgraph cluster_{child} {{")
            write(child)
            lines.append("}")

    write(None)
    lines += [f"{link.source} -> {link.target} [id={link.id}];" for link in sketch.links] + ["}"]
    begin = time.perf_counter()
    done = subprocess.run(["dot", "-Tjson"], input="\n".join(lines), capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    found = json.loads(done.stdout)
    sizes = {box.id: (box.width, box.height) for box in sketch.boxes}
    boxes = {}
    for thing in found["objects"]:
        if thing["name"] in sizes:
            x, y = map(float, thing["pos"].split(","))
            width, height = sizes[thing["name"]]
            boxes[thing["name"]] = Rect(x - width / 2, -y - height / 2, width, height)
    routes = {}
    for edge in found.get("edges", []):
        parts = edge["pos"].split(" ")
        end = next((part[2:] for part in parts if part.startswith("e,")), None)
        points = [tuple(map(float, part.split(","))) for part in parts if not part.startswith("e,")]
        if end is not None:
            last = tuple(map(float, end.split(",")))
            points += [points[-1], last, last]
        routes[edge["id"]] = [(x, -y) for x, y in points]
    return boxes, routes, seconds


def polyline(points: list[Point]) -> np.ndarray:
    """Points on a chain of Bezier curves."""
    array = np.asarray(points)
    t = np.arange(SAMPLES)[:, None] / SAMPLES
    pieces = []
    for start in range(0, len(array) - 1, 3):
        a, b, c, d = array[start : start + 4]
        pieces.append(a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3)
    return np.concatenate([*pieces, array[-1:]])


def crossings(routes: Routes, links: list[Link]) -> tuple[int, int]:
    """(places, pairs): places where lines cross, those of lines drawn on top of each other counted once; and pairs of
    edges whose curves cross. Edges with a common end are not counted, nor are curves that run together."""
    starts, ends, owners = [], [], []
    for owner, link in enumerate(links):
        line = polyline(routes[link.id])
        starts.append(line[:-1])
        ends.append(line[1:])
        owners.append(np.full(len(line) - 1, owner))
    p, q, owner = np.concatenate(starts), np.concatenate(ends), np.concatenate(owners)
    top, bottom = np.minimum(p[:, 1], q[:, 1]), np.maximum(p[:, 1], q[:, 1])
    order = np.argsort(top, kind="stable")
    p, q, owner, top, bottom = p[order], q[order], owner[order], top[order], bottom[order]
    pairs, places = set(), set()
    for index in range(len(p)):
        until = int(np.searchsorted(top, bottom[index], side="right"))
        others = np.arange(index + 1, until)
        others = others[owner[others] != owner[index]]
        if not len(others):
            continue
        a, b, c, d = p[index], q[index], p[others], q[others]
        hits = (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)
        for other in others[hits]:
            one, two = sorted((int(owner[index]), int(owner[other])))
            if {links[one].source, links[one].target} & {links[two].source, links[two].target}:
                continue
            pairs.add((one, two))
            x, y = _meeting(a, b, p[other], q[other])
            places.add((links[one].source, links[two].source, round(x), round(y)))
    return len(places), len(pairs)


def _meeting(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    along, other = b - a, d - c
    t = ((c[0] - a[0]) * other[1] - (c[1] - a[1]) * other[0]) / (along[0] * other[1] - along[1] * other[0])
    return a + t * along


def _side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    turn = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    return np.where(np.abs(turn) < 1e-6, 0.0, np.sign(turn))


def overlaps(boxes: dict[str, Rect]) -> int:
    """Pairs of boxes that share more than a border."""
    rects = list(boxes.values())
    return sum(
        a.x < b.right - 0.1 and b.x < a.right - 0.1 and a.y < b.bottom - 0.1 and b.y < a.bottom - 0.1
        for index, a in enumerate(rects)
        for b in rects[:index]
    )


def lines_through_boxes(boxes: dict[str, Rect], routes: Routes, links: list[Link]) -> int:
    """Pairs of an edge and a box that it does not end at, where the edge goes more than a pixel into the box."""
    names = list(boxes)
    corners = np.array([(r.x + 1, r.y + 1, r.right - 1, r.bottom - 1) for r in boxes.values()])
    total = 0
    for link in links:
        x, y = polyline(routes[link.id]).T
        inside = (
            (x[:, None] > corners[:, 0])
            & (x[:, None] < corners[:, 2])
            & (y[:, None] > corners[:, 1])
            & (y[:, None] < corners[:, 3])
        ).any(axis=0)
        total += sum(
            bool(hit) and name not in (link.source, link.target) for hit, name in zip(inside, names, strict=True)
        )
    return total


def compared() -> Iterator[dict[str, object]]:
    """One row for each graph."""
    has_dot = shutil.which("dot") is not None
    for name, sketch in graphs():
        begin = time.perf_counter()
        drawing = lay_out(sketch.boxes, sketch.links, sketch.clusters)
        seconds = time.perf_counter() - begin
        row: dict[str, object] = {
            "graph": name,
            "boxes": len(sketch.boxes),
            "edges": len(sketch.links),
            "crossings": (ours := crossings(drawing.routes, sketch.links))[0],
            "pairs": ours[1],
            "overlaps": overlaps(drawing.boxes),
            "through boxes": lines_through_boxes(drawing.boxes, drawing.routes, sketch.links),
            "ms": 1000 * seconds,
        }
        if has_dot:
            boxes, routes, dot_seconds = with_dot(sketch)
            row |= {
                "dot: crossings": (theirs := crossings(routes, sketch.links))[0],
                "dot: pairs": theirs[1],
                "dot: through boxes": lines_through_boxes(boxes, routes, sketch.links),
                "dot: ms": 1000 * dot_seconds,
            }
        yield row


def timed() -> Iterator[dict[str, object]]:
    """Processor seconds over size, the least of three runs: chains, recurrences, and graphs with forks everywhere."""
    for count in (500, 1_000, 2_000, 5_000):
        chain = Sketch()
        chain.chain(chain.op(), count - 1)
        unrolled = Sketch()
        h = unrolled.op()
        for _ in range((count - 1) // 4):
            h = unrolled.op(unrolled.op(unrolled.op(), unrolled.op(h)))
        row: dict[str, object] = {"boxes": count}
        for name, sketch in (("chain, s", chain), ("recurrence, s", unrolled), ("random, s", _large(count))):
            times = []
            for _ in range(3):
                begin = time.process_time()
                lay_out(sketch.boxes, sketch.links)
                times.append(time.process_time() - begin)
            row[name] = min(times)
        yield row


def _large(count: int) -> Sketch:
    sketch = Sketch()
    made = [sketch.op()]
    for index in range(1, count):
        made.append(
            sketch.op(*dict.fromkeys((made[-1 - index * 7 % min(index, 5)], made[-1 - index * 3 % min(index, 9)])))
        )
    return sketch


def markdown(rows: list[dict[str, object]]) -> str:
    def cell(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'|'.join(' --- ' for _ in names)}|"]
    lines += [f"| {' | '.join(cell(row.get(name, '')) for name in names)} |" for row in rows]
    return "\n".join(lines)


def report(rows: list[dict[str, object]], times: list[dict[str, object]]) -> str:
    names = ("crossings", "pairs", "dot: crossings", "dot: pairs")
    total = {name: sum(int(str(row.get(name, 0))) for row in rows) for name in names}
    said = f"In all: {total['crossings']} crossings between {total['pairs']} pairs of edges"
    if "dot: ms" in rows[0]:
        said += f"; Graphviz {total['dot: crossings']} between {total['dot: pairs']}"
    return (
        "# Drawings, measured\n\n"
        "Written by `python -m benchmarks.viz_layout --write docs/drawing-measured.md`. Crossings are counted on the\n"
        "geometry, by the same code for both layouts, where a reader sees them: lines from one box that run as one,\n"
        'as ours do until they part, count once. "Pairs" are the pairs of edges that cross. Edges with a common end\n'
        'are not counted. "Through boxes" are pairs of an edge and a box that it goes through without ending there.\n'
        "Times of `dot` are of its whole process.\n\n"
        f"{markdown(rows)}\n\n{said}.\n\n## Time over size\n\nProcessor seconds, the least of three runs.\n\n"
        f"{markdown(times)}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--write", help="the Markdown file to write; printed otherwise")
    options = parser.parse_args(arguments)
    rows, times = list(compared()), list(timed())
    text = report(rows, times)
    if options.write:
        with open(options.write, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text)
    bad = any(row["overlaps"] or row["through boxes"] for row in rows)
    ours = sum(int(str(row["crossings"])) for row in rows)
    theirs = sum(int(str(row.get("dot: crossings", row["crossings"]))) for row in rows)
    return int(bad or ours > 1.2 * theirs)


if __name__ == "__main__":
    sys.exit(main())
