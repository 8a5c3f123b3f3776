"""What goes into a layout and what comes out: boxes, links, clusters; rectangles, routes, a size.

What this file must not know: what the boxes show. All lengths are in pixels, x to the right, y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Box", "Cluster", "Drawing", "Link", "Point", "Rect", "Spacing"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Something that takes room. `beside` names the box that it stands next to, for a satellite outside the layers."""

    id: str
    width: float
    height: float
    cluster: str | None = None
    beside: str | None = None


@dataclass(frozen=True)
class Link:
    """An arrow from one box to a later one. Several may join the same two boxes."""

    id: str
    source: str
    target: str


@dataclass(frozen=True)
class Cluster:
    """A frame around boxes and other clusters, with a label of the given width in its upper left corner."""

    id: str
    parent: str | None = None
    label_width: float = 0.0


@dataclass(frozen=True)
class Spacing:
    """Distances, in pixels."""

    rows: float = 27.0  # between layers: where arrows bend
    boxes: float = 22.0  # between boxes of one layer
    lines: float = 13.0  # beside a line that passes a layer
    satellite: float = 17.0  # between a satellite and its host: room for an arrow
    stack: float = 8.0  # between satellites on one side
    frame: float = 11.0  # between a cluster's frame and what is in it
    label: float = 17.0  # height of a cluster's label
    port: float = 20.0  # between the ends of arrows that meet one box
    margin: float = 14.0


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass
class Drawing:
    """Where everything is. A route is a chain of cubic Bezier curves: its end points and their control points between
    them, 3k + 1 points in all; straight pieces have their control points on the line."""

    boxes: dict[str, Rect] = field(default_factory=dict)
    clusters: dict[str, Rect] = field(default_factory=dict)
    routes: dict[str, list[Point]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0
