"""The layered layout: nothing overlaps, frames hold only what is theirs, lines cross no box, the same every time."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import viz_layout
from benchmarks.viz_graphs import KINDS, Sketch, graphs
from tinygrad_lab.viz.layout import Box, Cluster, Drawing, Link, Rect, Spacing, lay_out
from tinygrad_lab.viz.layout.order import crossings, order
from tinygrad_lab.viz.layout.ranks import cluster_paths, rank
from tinygrad_lab.viz.layout.rows import make_rows


def check(
    drawing: Drawing,
    boxes: list[Box],
    links: list[Link],
    clusters: list[Cluster],
    *,
    framed: bool = True,
    labels: bool = True,
) -> None:
    """Everything that a drawing promises. labels: left to right, a line may cross a frame between two of its rows, and
    a long label there; random graphs do it once in hundreds."""
    assert set(drawing.boxes) == {box.id for box in boxes} and set(drawing.routes) == {link.id for link in links}
    assert viz_layout.overlaps(drawing.boxes) == 0
    assert viz_layout.lines_through_boxes(drawing.boxes, drawing.routes, links) == 0
    for rect in [*drawing.boxes.values(), *drawing.clusters.values()]:
        assert rect.x > 0 and rect.y > 0 and rect.right < drawing.width and rect.bottom < drawing.height
    for points in drawing.routes.values():
        assert len(points) % 3 == 1
        assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in points)
    for link in links:  # lines end at the borders of their boxes
        for name, (x, y) in ((link.source, drawing.routes[link.id][0]), (link.target, drawing.routes[link.id][-1])):
            rect = drawing.boxes[name]
            assert rect.x - 0.1 <= x <= rect.right + 0.1 and rect.y - 0.1 <= y <= rect.bottom + 0.1
    if not framed:
        return
    if labels:
        check_labels(drawing, clusters)
    parents = {cluster.id: cluster.parent for cluster in clusters}
    homes = {box.id: box.cluster for box in boxes}

    def within(name: str | None, cluster: str) -> bool:
        while name is not None and name != cluster:
            name = parents[name]
        return name == cluster

    for cluster, frame in drawing.clusters.items():
        for box in boxes:
            home = homes[box.beside] if box.beside else box.cluster
            rect = drawing.boxes[box.id]
            if within(home, cluster):
                assert rect.x > frame.x and rect.right < frame.right, (box, cluster)
                assert rect.y > frame.y and rect.bottom < frame.bottom, (box, cluster)
            else:
                apart = rect.x >= frame.right or rect.right <= frame.x
                assert apart or rect.y >= frame.bottom or rect.bottom <= frame.y, (box.id, cluster)
        for other, inner in drawing.clusters.items():
            if cluster != other and not within(other, cluster) and not within(cluster, other):
                apart = inner.x >= frame.right or inner.right <= frame.x
                assert apart or inner.y >= frame.bottom or inner.bottom <= frame.y, (cluster, other)


def check_labels(drawing: Drawing, clusters: list[Cluster]) -> None:
    """No line goes through a label, and labels fit their frames (a drawing shortens those of frames too short)."""
    names, corners = [cluster for cluster in clusters if cluster.label_width and cluster.id in drawing.clusters], {}
    for cluster in names:
        frame = drawing.clusters[cluster.id]
        width = min(cluster.label_width, frame.width - 16)
        corners[cluster.id] = Rect(frame.x + 9, frame.y + 4, width, 13)
        assert viz_layout.overlaps({"label": corners[cluster.id], **drawing.boxes}) == 0
    nobody = [Link(link, "", "") for link in drawing.routes]
    assert not corners or viz_layout.lines_through_boxes(corners, drawing.routes, nobody) == 0


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize(("name", "sketch"), list(graphs()), ids=lambda value: value if isinstance(value, str) else "")
def test_twenty_graphs_of_different_kinds(name, sketch, direction):
    assert len(KINDS) == 20
    drawing = lay_out(sketch.boxes, sketch.links, sketch.clusters, direction)
    check(drawing, sketch.boxes, sketch.links, sketch.clusters)


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
@pytest.mark.slow
def test_crossings_are_at_most_a_fifth_above_those_of_graphviz():
    rows = list(viz_layout.compared())
    ours, theirs = (sum(row[name] for row in rows) for name in ("crossings", "dot: crossings"))
    assert ours <= 1.2 * theirs
    assert sum(row["pairs"] for row in rows) <= 1.2 * sum(row["dot: pairs"] for row in rows)


def random_graph(seed: int, count: int, *, satellites: bool = False, nested: bool = True) -> Sketch:
    """Boxes of random sizes in clusters that are contiguous in order, as calls of modules are."""
    draw = random.Random(seed)
    sketch = Sketch()
    open_clusters: list[str | None] = [None]
    for index in range(count):
        move = draw.random()
        if nested and move < 0.15 and len(open_clusters) < 5:
            parent = open_clusters[-1]
            sketch.clusters.append(Cluster(f"c{len(sketch.clusters)}", parent, draw.choice([0.0, 40.0, 150.0])))
            open_clusters.append(sketch.clusters[-1].id)
        elif move < 0.3 and len(open_clusters) > 1:
            open_clusters.pop()
        size = (20 + 120 * draw.random(), 15 + 90 * draw.random())
        sketch.boxes.append(Box(f"n{index}", *size, open_clusters[-1]))
        for _ in range(draw.choice([0, 1, 1, 2, 2, 3])):
            if index:
                source = draw.randrange(max(0, index - 15), index)
                sketch.links.append(Link(f"e{len(sketch.links)}", f"n{source}", f"n{index}"))
        for _ in range(draw.choice([0, 0, 1, 2, 3]) if satellites else 0):
            name = f"s{len(sketch.boxes)}"
            sketch.boxes.append(Box(name, 30 + 60 * draw.random(), 20 + 50 * draw.random(), None, f"n{index}"))
            sketch.links.append(Link(f"e{len(sketch.links)}", name, f"n{index}"))
    return sketch


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.booleans(), st.sampled_from(["TB", "LR"]))
def test_random_graphs_in_random_clusters(seed, count, satellites, direction):
    sketch = random_graph(seed, count, satellites=satellites)
    drawing = lay_out(sketch.boxes, sketch.links, sketch.clusters, direction)
    check(drawing, sketch.boxes, sketch.links, sketch.clusters, labels=direction == "TB")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_large_random_graphs(seed):
    sketch = random_graph(seed, 150, satellites=seed % 2 == 0)
    drawing = lay_out(sketch.boxes, sketch.links, sketch.clusters, "TB" if seed % 3 else "LR")
    check(drawing, sketch.boxes, sketch.links, sketch.clusters, labels=bool(seed % 3))


def test_the_check_finds_what_is_wrong():
    sketch = random_graph(1, 25)
    drawing = lay_out(sketch.boxes, sketch.links, sketch.clusters)
    names = list(drawing.boxes)
    drawing.boxes[names[3]] = replace(drawing.boxes[names[4]])
    with pytest.raises(AssertionError):
        check(drawing, sketch.boxes, sketch.links, sketch.clusters)


def test_a_chain_is_one_straight_line_and_its_residual_runs_beside_it():
    sketch = Sketch()
    start = sketch.op()
    end = sketch.op(sketch.chain(start, 5), start)
    drawing = lay_out(sketch.boxes, sketch.links)
    middles = {round(rect.x + rect.width / 2, 1) for rect in drawing.boxes.values()}
    assert len(middles) == 1
    widest = max(rect.right for rect in drawing.boxes.values())
    residual = drawing.routes[sketch.links[-1].id]
    assert sketch.links[-1].source == start and sketch.links[-1].target == end
    assert widest < max(x for x, _ in residual) < widest + 30


def test_the_state_of_a_recurrence_runs_straight():
    sketch = Sketch()
    h, states = sketch.op(), []
    for _ in range(6):
        h = sketch.op(sketch.op(h), sketch.op(sketch.op()))
        states.append(h)
    drawing = lay_out(sketch.boxes, sketch.links)
    assert len({round(drawing.boxes[name].x + drawing.boxes[name].width / 2, 1) for name in states[1:]}) == 1


def test_a_diamond_is_symmetric():
    boxes = [Box(name, 80, 40) for name in "abcd"]
    links = [Link("1", "a", "b"), Link("2", "a", "c"), Link("3", "b", "d"), Link("4", "c", "d")]
    drawing = lay_out(boxes, links)
    a, b, c, d = (drawing.boxes[name] for name in "abcd")
    assert a.x == d.x and b.y == c.y
    assert abs((b.x + c.x) / 2 - a.x) < 0.1


def test_two_links_between_the_same_boxes_end_apart():
    drawing = lay_out([Box("x", 80, 40), Box("y", 80, 40)], [Link("1", "x", "y"), Link("2", "x", "y")])
    assert abs(drawing.routes["1"][-1][0] - drawing.routes["2"][-1][0]) > 8
    chip = [Box("w", 40, 40, None, "y"), Box("y", 80, 40)]
    drawing = lay_out(chip, [Link("1", "w", "y"), Link("2", "w", "y")])
    assert abs(drawing.routes["1"][-1][1] - drawing.routes["2"][-1][1]) > 8


def test_left_to_right_exchanges_the_axes():
    boxes = [Box("a", 80, 40), Box("b", 80, 40), Box("w", 50, 20, None, "b")]
    links = [Link("1", "a", "b"), Link("2", "w", "b")]
    down, across = lay_out(boxes, links, direction="TB"), lay_out(boxes, links, direction="LR")
    assert down.boxes["a"].bottom < down.boxes["b"].y and down.boxes["w"].right < down.boxes["b"].x
    assert across.boxes["a"].right < across.boxes["b"].x and across.boxes["w"].bottom < across.boxes["b"].y


def test_lines_from_one_box_run_as_one_until_they_part():
    """So a tensor that hundreds of later ops use costs one column, and time linear in the rows."""
    sketch = Sketch()
    x = sketch.op()
    h = x
    for _ in range(300):
        h = sketch.op(sketch.op(h), x)
    drawing = lay_out(sketch.boxes, sketch.links)
    assert drawing.width < 260


def test_a_chain_of_two_thousand_needs_no_recursion():
    sketch = Sketch()
    sketch.chain(sketch.op(), 1_999)
    assert len(lay_out(sketch.boxes, sketch.links).boxes) == 2_000


def test_deeply_nested_clusters():
    clusters = [Cluster(f"c{depth}", f"c{depth - 1}" if depth else None, 30.0) for depth in range(60)]
    boxes = [Box("a", 40, 20, "c59"), Box("b", 40, 20, "c59"), Box("c", 40, 20)]
    links = [Link("1", "a", "b"), Link("2", "b", "c")]
    check(lay_out(boxes, links, clusters), boxes, links, clusters)


def test_clusters_that_make_a_cycle_are_left_out():
    boxes = [Box("a", 40, 20, "c"), Box("b", 40, 20), Box("d", 40, 20, "c")]
    links = [Link("1", "a", "b"), Link("2", "b", "d")]
    drawing = lay_out(boxes, links, [Cluster("c")])
    assert drawing.clusters == {}
    check(drawing, boxes, links, [], framed=False)


def test_nothing_and_single_boxes():
    assert lay_out([], []).boxes == {}
    drawing = lay_out([Box("a", 40, 20)], [], spacing=Spacing(margin=10))
    assert (drawing.width, drawing.height) == (60, 40)
    boxes = [Box(f"n{index}", 40, 20) for index in range(5)]
    check(lay_out(boxes, []), boxes, [], [])


@pytest.mark.parametrize(
    ("boxes", "links", "options", "words"),
    [
        ([Box("a", 1, 1)], [], {"direction": "RL"}, "direction must be 'TB'"),
        ([Box("a", 1, 1)], [Link("e", "a", "z")], {}, "'z', which is no box"),
        ([Box("a", 1, 1), Box("b", 1, 1)], [Link("e", "b", "a")], {}, "goes back"),
        ([Box("a", 1, 1)], [Link("e", "a", "a")], {}, "goes back"),
        ([Box("a", 1, 1), Box("w", 1, 1, None, "z")], [], {}, "'z', which is no box"),
        ([Box("a", 1, 1), Box("b", 1, 1), Box("w", 1, 1, None, "a")], [Link("e", "w", "b")], {}, "only to its host"),
    ],
)
def test_misuse(boxes, links, options, words):
    with pytest.raises(ValueError, match=words):
        lay_out(boxes, links, **options)


def test_ranks_keep_clusters_in_one_piece():
    """1 -> 2 in a cluster, 0 feeds 2 only: it is above the cluster's first row all the same, but no higher."""
    assert rank(4, [(1, 2), (0, 2), (2, 3)], [-1, 0, 0, -1], [-1]) == [0, 1, 2, 3]
    assert rank(3, [(0, 1), (1, 2)], [0, -1, 0], [-1]) is None


def test_the_counter_of_rows_agrees_with_geometry():
    sketch = next(sketch for name, sketch in graphs() if name == "random wide")
    edges = [(int(link.source[1:]), int(link.target[1:])) for link in sketch.links]
    inside = [-1] * len(sketch.boxes)
    rows = make_rows(rank(len(inside), edges, inside, []), edges, inside, [*cluster_paths([]), ()])
    order(rows)
    drawing = lay_out(sketch.boxes, sketch.links)
    _, pairs = viz_layout.crossings(drawing.routes, sketch.links)
    assert abs(crossings(rows) - pairs) <= 3  # lines that share an end, or a trunk's row, are counted differently
