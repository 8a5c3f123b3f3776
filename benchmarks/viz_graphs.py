"""Twenty graphs of different kinds, as boxes and links, on which layouts are compared; all made by rules, none random
but for a fixed generator of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tinygrad_lab.viz.layout import Box, Cluster, Link


@dataclass
class Sketch:
    """A graph being written down: `op` adds a box with links from its operands and returns its id."""

    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    inside: str | None = None

    def op(self, *operands: str) -> str:
        number = len(self.boxes)
        self.boxes.append(Box(f"n{number}", 90 + 6.0 * (number * 7 % 5), 56 + 8.0 * (number * 5 % 3), self.inside))
        for operand in operands:
            self.links.append(Link(f"e{len(self.links)}", operand, f"n{number}"))
        return f"n{number}"

    def leaves(self, number: int) -> list[str]:
        return [self.op() for _ in range(number)]

    def call(self) -> Cluster:
        cluster = Cluster(f"c{len(self.clusters)}", self.inside, 60.0)
        self.clusters.append(cluster)
        return cluster

    def chain(self, start: str, length: int) -> str:
        for _ in range(length):
            start = self.op(start)
        return start


def mlp(s: Sketch) -> None:
    h = s.op()
    for _ in range(3):
        weight, bias = s.leaves(2)
        h = s.op(s.op(s.op(h, weight), bias))
    s.op(h, s.op())


def residual(s: Sketch) -> None:
    h = s.op()
    for _ in range(6):
        h = s.op(s.chain(h, 4), h)


def attention(s: Sketch) -> None:
    x = s.op()
    q, k, v = (s.op(s.op(x, s.op()), s.op()) for _ in range(3))
    scores = s.op(s.op(s.op(q, s.op(k)), s.op()))
    x = s.op(s.op(s.op(scores, v), s.op()), x)
    x = s.op(s.op(s.op(s.op(x, s.op())), s.op()), x)


def heads(s: Sketch) -> None:
    x = s.op()
    found = []
    for _ in range(4):
        q, k, v = (s.op(x, s.op()) for _ in range(3))
        found.append(s.op(s.op(s.op(q, s.op(k))), v))
    s.op(s.op(*found), x)


def recurrent(s: Sketch) -> None:
    h = s.op()
    for _ in range(12):
        a, b = s.op(s.op()), s.op(h)
        h = s.op(s.op(a, b))


def two_layers_recurrent(s: Sketch) -> None:
    lower, upper = s.leaves(2)
    for _ in range(8):
        lower = s.op(s.op(s.op()), lower)
        upper = s.op(s.op(lower), upper)
    s.op(upper)


def gated(s: Sketch) -> None:
    h = s.op()
    for _ in range(4):
        x = s.op()
        z, r = s.op(s.op(x, h)), s.op(s.op(x, h))
        candidate = s.op(s.op(x, s.op(r, h)))
        h = s.op(s.op(s.op(z), h), s.op(z, candidate))


def lstm(s: Sketch) -> None:
    h, c = s.leaves(2)
    for _ in range(4):
        joined = s.op(s.op(), h)
        i, f, g, o = (s.op(s.op(joined)) for _ in range(4))
        c = s.op(s.op(f, c), s.op(i, g))
        h = s.op(o, s.op(c))


def ladder(s: Sketch) -> None:
    x = s.op()
    for _ in range(10):
        x = s.op(s.op(x), s.op(x))


def dense(s: Sketch) -> None:
    found = [s.op()]
    for _ in range(7):
        found.append(s.op(*found))


def inception(s: Sketch) -> None:
    x = s.op()
    for _ in range(3):
        x = s.op(*(s.chain(x, length) for length in (1, 2, 3, 2)))


def tied(s: Sketch) -> None:
    weight, x = s.leaves(2)
    h = s.op(x, weight)
    for _ in range(4):
        h = s.op(s.op(h, weight))
    s.op(h, weight)


def fan_in(s: Sketch) -> None:
    s.op(*(s.op(leaf) for leaf in s.leaves(24)))


def fan_out(s: Sketch) -> None:
    x = s.op()
    losses = [s.chain(x, 1 + number % 3) for number in range(16)]
    total = losses[0]
    for loss in losses[1:]:
        total = s.op(total, loss)


def siamese(s: Sketch) -> None:
    weights = s.leaves(3)
    ends = []
    for leaf in s.leaves(2):
        h = leaf
        for weight in weights:
            h = s.op(s.op(h, weight))
        ends.append(h)
    s.op(s.op(*ends))


def u_net(s: Sketch) -> None:
    h, skips = s.op(), []
    for _ in range(5):
        h = s.chain(h, 2)
        skips.append(h)
        h = s.op(h)
    for skip in reversed(skips):
        h = s.chain(s.op(s.op(h), skip), 2)


def ensemble(s: Sketch) -> None:
    x = s.op()
    s.op(*(s.chain(x, 5) for _ in range(7)))


def random_sparse(s: Sketch) -> None:
    _random(s, 60, 2, 8, 1)


def random_wide(s: Sketch) -> None:
    _random(s, 50, 2, 50, 2)


def modules(s: Sketch) -> None:
    """Calls in calls: a transformer's blocks, as clusters for both layouts."""
    x = s.op()
    for _ in range(3):
        block = s.call()
        s.inside = block.id
        norm = s.op(x)
        parts = []
        for _ in range(3):
            s.inside = block.id
            s.inside = s.call().id
            parts.append(s.op(s.op(norm)))
        s.inside = block.id
        x = s.op(s.op(s.op(s.op(parts[0], parts[1])), parts[2]), x)
        s.inside = s.call().id
        inner = s.chain(x, 4)
        s.inside = block.id
        x = s.op(inner, x)
        s.inside = None


def _random(s: Sketch, count: int, most: int, reach: int, seed: int) -> None:
    """Each box uses up to `most` of the `reach` before it; a fixed linear congruential generator chooses."""
    state = seed * 2_654_435_761 % 2**32

    def draw(below: int) -> int:
        nonlocal state
        state = (1_664_525 * state + 1_013_904_223) % 2**32
        return (state >> 8) % below

    made = [s.op()]
    for _ in range(count - 1):
        near = made[-reach:]
        chosen = {draw(len(near)): None for _ in range(1 + draw(most))}
        made.append(s.op(*(near[index] for index in chosen)))


KINDS: list[Callable[[Sketch], None]] = [
    mlp, residual, attention, heads, recurrent, two_layers_recurrent, gated, lstm, ladder, dense, inception,
    tied, fan_in, fan_out, siamese, u_net, ensemble, random_sparse, random_wide, modules,
]  # fmt: skip


def graphs() -> Iterator[tuple[str, Sketch]]:
    for kind in KINDS:
        sketch = Sketch()
        kind(sketch)
        yield kind.__name__.replace("_", " "), sketch
