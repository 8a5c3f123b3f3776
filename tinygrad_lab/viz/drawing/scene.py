"""What of a picture is drawn where: its cards, each leaf beside the ops that use it, and their layout.

A leaf that a single op uses, and a parameter of a module, is drawn once for each op that uses it, as a chip beside it:
a weight used five hundred times would otherwise pull the whole drawing together. Data, and leaves outside modules, with
a handful of users stay one card, so that the fork is seen. Knows pictures and the layout, nothing of SVG.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinygrad_lab.viz.drawing.cards import Card, make_card, not_finite
from tinygrad_lab.viz.drawing.metrics import elide, width
from tinygrad_lab.viz.layout import Box, Cluster, Drawing, Link, lay_out
from tinygrad_lab.viz.picture import ModuleCall, Picture, PictureEdge, PictureNode

__all__ = ["Arranged", "arrange"]

OPS = ("op", "loss", "fold")
LEAVES = ("input", "target", "parameter", "constant")  # what rather stands in the flow comes first
FEW = 4  # users of data, or of a number, that may stay one card
LABEL = 10.5  # font size of a cluster's label


@dataclass
class Arranged:
    """A picture ready to be drawn.

    cards     what each box shows: its id is the node's, or "n3>n7" for the chip of leaf n3 beside op n7
    labels    of the calls that are drawn as clusters
    missing   why ops show no gradient (and no value), where all have one reason: said once, not on every card
    """

    picture: Picture
    direction: str
    blame: str  # what of the picture is not finite first: "value", "gradient" or ""
    cards: dict[str, Card]
    labels: dict[str, str]
    drawing: Drawing
    missing: str = ""


def arrange(picture: Picture, *, direction: str = "TB", values: bool = True) -> Arranged:
    """Cards and layout of a picture. Raises ValueError for a direction other than "TB" and "LR"."""
    blame, guilty = _first_not_finite(picture)
    missing = _missing(picture) if values else ""
    made: dict[str, Card] = {}

    def card(node: PictureNode) -> Card:
        if node.id not in made:
            silent = bool(missing) and node.kind in OPS
            made[node.id] = make_card(node, values=values, blame=blame, first=node.id == guilty, silent=silent)
        return made[node.id]

    calls = {call.id: call for call in picture.calls}
    nodes = {node.id: node for node in picture.nodes}
    once, flowing = _plan(picture, nodes)
    boxes: dict[str, Box] = {}
    cards: dict[str, Card] = {}
    chips: list[Box] = []
    ends: dict[str, tuple[str, str]] = {}
    coming: dict[str, list[PictureEdge]] = {}
    for edge in picture.edges:
        coming.setdefault(edge.target, []).append(edge)
    used = {edge.source for edge in picture.edges}
    for node in picture.nodes:
        edges = coming.get(node.id, [])
        for edge in edges:
            source = nodes[edge.source]
            if source.kind not in LEAVES or source.id in once:
                ends[edge.id] = (source.id, node.id)
                continue
            box = f"{source.id}>{node.id}"
            ends[edge.id] = (box, node.id)
            if box in cards:
                continue
            cards[box] = card(source)
            if box in flowing:
                boxes[box] = Box(box, cards[box].width, cards[box].height, _home(source, [node], calls))
            else:
                chips.append(Box(box, cards[box].width, cards[box].height, None, beside=node.id))
        if node.kind in LEAVES and node.id not in once:
            if node.id not in used:
                cards[node.id] = card(node)
                boxes[node.id] = Box(node.id, cards[node.id].width, cards[node.id].height)
            continue
        cards[node.id] = card(node)
        home = _home(node, once[node.id], calls) if node.id in once else node.call
        boxes[node.id] = Box(node.id, cards[node.id].width, cards[node.id].height, home if home in calls else None)
    clusters, labels = _clusters(picture, boxes, calls)
    links = [Link(edge.id, *ends[edge.id]) for edge in picture.edges]
    drawing = lay_out([*boxes.values(), *chips], links, clusters, direction)
    return Arranged(picture, direction, blame, cards, labels, drawing, missing)


def _plan(picture: Picture, nodes: dict[str, PictureNode]) -> tuple[dict[str, list[PictureNode]], set[str]]:
    """Leaves that stay one card, with their users; and chips "n3>n7" that stand in the flow, above their op: one for
    each op that nothing else flows into, data before parameters; data also beside a parameter that stays one card."""
    users: dict[str, dict[str, PictureNode]] = {}
    coming: dict[str, list[PictureNode]] = {}
    for edge in picture.edges:
        users.setdefault(edge.source, {})[edge.target] = nodes[edge.target]
        coming.setdefault(edge.target, []).append(nodes[edge.source])
    once: dict[str, list[PictureNode]] = {}
    for node in picture.nodes:
        own = list(users.get(node.id, {}).values())
        if node.kind == "input":
            stays = 2 <= len(own) <= FEW
        elif node.kind == "parameter" and all(user.call is None for user in own):
            stays = 2 <= len(own) <= (2 if node.shape else FEW)
        else:
            stays = False
        if stays:
            once[node.id] = own
    flowing = set()
    for target, sources in coming.items():
        beside = [source for source in sources if source.id not in once]
        if beside and all(source.kind in LEAVES for source in sources):
            first = min(beside, key=lambda source: LEAVES.index(source.kind))
            if len(beside) == len(sources) or first.kind == "input":
                flowing.add(f"{first.id}>{target}")
    return once, flowing


def _home(leaf: PictureNode, users: list[PictureNode], calls: dict[str, ModuleCall]) -> str | None:
    """The call to draw a leaf in: a parameter's is its users', another's the one it was made in, if all users are."""
    if leaf.kind == "parameter" and len(users) == 1:
        return users[0].call
    if leaf.call is None:
        return None
    for user in users:
        at = user.call
        while at is not None and at != leaf.call:
            at = calls[at].parent if at in calls else None
        if at is None:
            return None
    return leaf.call


def _clusters(
    picture: Picture, boxes: dict[str, Box], calls: dict[str, ModuleCall]
) -> tuple[list[Cluster], dict[str, str]]:
    """Calls that have something drawn in them, parents before children, and their labels."""
    drawn: set[str] = set()
    for box in boxes.values():
        at = box.cluster
        while at is not None and at in calls and at not in drawn:
            drawn.add(at)
            at = calls[at].parent
    clusters, labels = [], {}
    placed: set[str] = set()

    def place(call: ModuleCall) -> None:
        line = []
        at: ModuleCall | None = call
        while at is not None and at.id not in placed:
            line.append(at)
            at = calls.get(at.parent) if at.parent is not None else None
        for one in reversed(line):
            placed.add(one.id)
            parent = calls.get(one.parent) if one.parent is not None else None
            path = one.path
            if parent is not None and path.startswith(f"{parent.path}."):
                path = path[len(parent.path) + 1 :]
            label = elide(path, 22) if path == one.type else f"{elide(path, 22)} : {elide(one.type, 20)}"
            labels[one.id] = label
            clusters.append(Cluster(one.id, parent.id if parent is not None else None, width(label, LABEL)))

    for call in picture.calls:
        if call.id in drawn:
            place(call)
    return clusters, labels


def _missing(picture: Picture) -> str:
    """The one reason why no op but the last shows a gradient, unless it is that backward has not run."""
    ops = [node for node in picture.nodes if node.kind in OPS and node.requires_grad]
    inner = [node for node in ops if node.id not in picture.outputs]
    gradients = {node.no_gradient if node.gradient is None else "" for node in ops}
    if len(inner) < 2 or len(gradients) != 1 or gradients & {"", "grad not computed"}:
        return ""
    reasons = {node.no_value for node in inner if node.value is None}
    return ", ".join([*sorted(reasons), *gradients])


def _first_not_finite(picture: Picture) -> tuple[str, str]:
    """("value", id) of the first node in creation order whose value is not finite; if there is none, ("gradient", id)
    of the first whose gradient is not, in the order of the backward pass; else two empty texts."""
    for node in picture.nodes:
        if not_finite(node.value):
            return "value", node.id
    for node in reversed(picture.nodes):
        if not_finite(node.gradient):
            return "gradient", node.id
    return "", ""
