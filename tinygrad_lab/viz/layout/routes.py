"""The way of each arrow: straight through rows and the frames that begin or end there, bent only between them, so
that it crosses no box, no label and no frame that it does not enter."""

from __future__ import annotations

from tinygrad_lab.viz.layout.frames import Frames
from tinygrad_lab.viz.layout.model import Point, Rect
from tinygrad_lab.viz.layout.rows import Rows
from tinygrad_lab.viz.layout.satellites import Host

__all__ = ["route", "satellite_route"]


def route(
    index: int,
    edge: tuple[int, int],
    rows: Rows,
    cross: list[float],
    port: float,
    held: list[Host],
    frames: Frames,
) -> list[Point]:
    """From the middle of the source's lower side to `port` on the target's upper side, in cross and flow."""
    source, target = edge
    row = rows.row_of[source]
    stops = [(cross[source], frames.middle(row) + held[source].length / 2, frames.leave[row])]
    taken = rows.steps[index]
    starts = [rows.row_of[rows.trunks[number][0]] for number in taken]
    for number, start, following in zip(taken, starts, [*starts, rows.row_of[target]][1:], strict=True):
        stops.append((cross[rows.trunks[number][0]], frames.enter[start], frames.leave[following - 1]))
    row = rows.row_of[target]
    stops.append((cross[target] + port, frames.enter[row], frames.middle(row) - held[target].length / 2))
    points: list[Point] = [stops[0][:2]]
    at, _, end = stops[0]
    for x, top, bottom in stops[1:]:
        if abs(x - at) < 0.01:  # goes on straight
            end = bottom
            continue
        _line(points, (at, end))
        half = (top - end) / 2
        points += [(at, end + half), (x, top - half), (x, top)]
        at, end = x, bottom
    _line(points, (at, end))
    return points


def _line(points: list[Point], to: Point) -> None:
    start = points[-1]
    if abs(start[0] - to[0]) + abs(start[1] - to[1]) > 0.01:
        points += [
            ((2 * start[0] + to[0]) / 3, (2 * start[1] + to[1]) / 3),
            ((start[0] + 2 * to[0]) / 3, (start[1] + 2 * to[1]) / 3),
            to,
        ]


def satellite_route(satellite: Rect, host: Rect, off: float) -> list[Point]:
    """From a satellite's near side to its host's, `off` its middle: straight, or bent where it stands past the host."""
    on_left = satellite.x < host.x
    start = (satellite.right if on_left else satellite.x, satellite.y + satellite.height / 2 + off)
    end = (host.x if on_left else host.right, min(max(start[1], host.y + 6 + off), host.bottom - 6 + off))
    if start[1] == end[1]:
        points: list[Point] = [start]
        _line(points, end)
        return points
    middle = (start[0] + end[0]) / 2
    return [start, (middle, start[1]), (middle, end[1]), end]
