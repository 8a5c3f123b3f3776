"""Satellites: boxes that stand beside another one, such as a weight beside the op that uses it, and take no row."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinygrad_lab.viz.layout.model import Box, Spacing

__all__ = ["Host", "hosts"]


@dataclass
class Host:
    """A box in cross and flow lengths, with its satellites: how far all reaches from the middle of the box."""

    cross: float
    length: float
    left: float = 0.0
    right: float = 0.0
    total: float = 0.0  # flow length, satellites among it
    satellites: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    # id -> (cross and flow of the near corner from the host's middle, cross length, flow length)


def hosts(boxes: list[Box], satellites: list[Box], number: dict[str, int], spacing: Spacing, flat: bool) -> list[Host]:
    """One Host for each box. Satellites go to the left (above, if flat) while they are not much longer than the host,
    then to the side with less."""
    held = []
    for box in boxes:
        cross, length = (box.height, box.width) if flat else (box.width, box.height)
        held.append(Host(cross, length))
    sides: list[tuple[list[Box], list[Box]]] = [([], []) for _ in boxes]
    for satellite in satellites:
        if satellite.beside is None or satellite.beside not in number:
            raise ValueError(f"{satellite.id!r} stands beside {satellite.beside!r}, which is no box of the layers")
        index = number[satellite.beside]
        left, right = sides[index]
        long = satellite.width if flat else satellite.height
        before = _stack(left, spacing, flat)
        if (
            not left
            or before + spacing.stack + long <= 1.75 * held[index].length
            or before <= _stack(right, spacing, flat)
        ):
            left.append(satellite)
        else:
            right.append(satellite)
    for host, (left, right) in zip(held, sides, strict=True):
        host.left = host.right = host.cross / 2
        host.total = host.length
        for side, own in ((-1, left), (1, right)):
            if not own:
                continue
            stack = _stack(own, spacing, flat)
            along = -stack / 2
            for satellite in own:
                wide, long = (satellite.height, satellite.width) if flat else (satellite.width, satellite.height)
                near = host.cross / 2 + spacing.satellite
                host.satellites[satellite.id] = (-near - wide if side < 0 else near, along, wide, long)
                along += long + spacing.stack
            reach = host.cross / 2 + spacing.satellite + max(box.height if flat else box.width for box in own)
            host.left, host.right = (reach, host.right) if side < 0 else (host.left, reach)
            host.total = max(host.total, stack)
    return held


def _stack(own: list[Box], spacing: Spacing, flat: bool) -> float:
    lengths = [box.width if flat else box.height for box in own]
    return sum(lengths) + spacing.stack * max(len(own) - 1, 0)
