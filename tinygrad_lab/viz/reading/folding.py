"""Smaller pictures of large graphs: module calls as one card, repeated calls rolled up, long chains summarised.

What this file lets you do: `fold` a picture to a depth of modules, or to at most so many cards. It works on plain data
and must not know the graph.

A fold is a run of ops that were made one after another. What is used was made before what uses it, so putting such runs
in the place of their ops makes no cycle, and the order of creation stays a topological one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from tinygrad_lab.viz.picture import ModuleCall, Picture, PictureEdge, PictureNode
from tinygrad_lab.viz.words import counted

__all__ = ["fold"]

_LONGEST_PERIOD = 40  # ops or modules of a pattern that is looked for
_MANY_LEAVES = 4  # leaves of one kind and shape that one fold alone uses, before they are drawn as one


@dataclass
class _Unit:
    """One card to be: a run of ops, or one op by itself (`open`)."""

    members: list[PictureNode]
    parent: str | None  # id of the call it stands in
    kind: Hashable  # equal for units that look alike
    call: ModuleCall | None = None  # the call that it folds
    repeats: int = 1
    symbol: str = ""

    @property
    def open(self) -> bool:
        return self.call is None and len(self.members) == 1


def fold(picture: Picture, depth: int | None = None, max_cards: int = 150) -> Picture:
    """A picture with fewer cards; `picture` stays as it is.

    depth      how many levels of modules are shown open: 0 makes every outermost call one card; None opens all
    max_cards  at most so many ops and folds: the deepest modules are folded first, then patterns that repeat, then long
               chains. What was done stands in `remarks`

    ValueError for a negative depth or fewer than one card; TypeError if they are no ints.
    """
    for name, number in (("depth", 0 if depth is None else depth), ("max_cards", max_cards)):
        if not isinstance(number, int):
            raise TypeError(f"{name} must be an int, got {type(number).__name__}")
    if depth is not None and depth < 0:
        raise ValueError(f"depth must be 0 or more, or None, got {depth}")
    if max_cards < 1:
        raise ValueError(f"max_cards must be at least 1, got {max_cards}")
    ops = [node for node in picture.nodes if node.kind in ("op", "loss")]
    chains = _Chains(picture.calls)
    deepest = max((len(chains.of(node)) for node in ops), default=0)
    remarks = list(picture.remarks)

    chosen = deepest if depth is None else min(depth, deepest)
    units = _rolled(_at_depth(ops, chains, chosen))
    wanted = chosen
    while len(units) > max_cards and chosen:
        chosen -= 1
        units = _rolled(_at_depth(ops, chains, chosen))
    if chosen < wanted:
        count = sum(unit.repeats for unit in units if unit.call is not None)
        remarks.append(
            f"{count} module calls folded (depth={chosen}): all {len(ops)} ops are more than max_cards={max_cards}"
        )
    if len(units) > max_cards:
        outputs = set(picture.outputs)
        units = _patterns(units, outputs, max_cards)
        units = _long_chains(units, outputs, max_cards)
        units = _pieces(units, outputs, max_cards)
        remarks.append(f"{len(ops)} ops summarised in {len(units)} cards: more than max_cards={max_cards}")
    if all(unit.open and unit.parent == unit.members[0].call for unit in units):
        return picture if not remarks else replace(picture, remarks=remarks)
    return _build(picture, units, chains, remarks)


class _Chains:
    """The calls that a node was made in, outermost first."""

    def __init__(self, calls: list[ModuleCall]) -> None:
        self.by_id = {call.id: call for call in calls}
        self._of: dict[str, tuple[ModuleCall, ...]] = {}
        for call in calls:  # parents come first
            above = self._of[call.parent] if call.parent is not None else ()
            self._of[call.id] = (*above, call)

    def of(self, node: PictureNode) -> tuple[ModuleCall, ...]:
        return () if node.call is None else self._of[node.call]


def _at_depth(ops: list[PictureNode], chains: _Chains, depth: int) -> list[_Unit]:
    """Every call below `depth` as one unit. A call that ran one op and has no parameters is that op."""
    units: list[_Unit] = []
    for node in ops:
        chain = chains.of(node)
        call = chain[depth] if len(chain) > depth else None
        if call is not None and units and units[-1].call is call:
            units[-1].members.append(node)
            continue
        parent = call.parent if call is not None else node.call
        units.append(_Unit([node], parent, None, call))
    for unit in units:
        call = unit.call
        if call is not None and len(unit.members) == 1 and not call.parameters:
            unit.call = None
        last = unit.members[-1]
        unit.kind = (last.symbol if unit.call is None else unit.call.type, len(unit.members), last.shape, last.dtype)
        unit.symbol = last.symbol if unit.call is None else unit.call.type
    return units


def _rolled(units: list[_Unit]) -> list[_Unit]:
    """Three or more calls of one module in a row as one unit."""
    rolled: list[_Unit] = []
    start = 0
    for i in range(1, len(units) + 1):
        first = units[start]
        if i < len(units) and first.call is not None:
            call, parent = units[i].call, units[i].parent
            if call is not None and (call.path, call.type, parent) == (first.call.path, first.call.type, first.parent):
                continue
        rolled += [_joined(units[start:i], i - start)] if i - start >= 3 else units[start:i]
        start = i
    return rolled


def _joined(units: list[_Unit], repeats: int = 1) -> _Unit:
    """Units one after another as one: `repeats` times the same, or (1) a stretch of whatever there was."""
    first, period = units[0], len(units) // repeats
    members = [node for unit in units for node in unit.members]
    if repeats == 1:
        symbol = f"{len(members):,} ops"
    elif period <= 4:
        symbol = ", ".join(unit.symbol for unit in units[:period])
    else:
        symbol = f"{len(members) // repeats:,} ops"
    same = period == 1 and first.call is not None and all(u.call and u.call.path == first.call.path for u in units)
    return _Unit(
        members,
        first.parent,
        ("joined", len(members), members[-1].shape),
        first.call if same else None,
        repeats if period > 1 or repeats == 1 else sum(unit.repeats for unit in units),
        symbol,
    )


def _patterns(units: list[_Unit], outputs: set[str], most: int) -> list[_Unit]:
    """The longest stretches in which a few units repeat, one after another, each as one unit: until few enough."""
    for _ in range(20):  # each takes time linear in the units
        if len(units) <= most:
            break
        best = (0, 0, 0, 0)  # cards saved, -period, start, repeats
        kinds = [None if _holds(unit, outputs) else (unit.kind, unit.parent) for unit in units]
        for period in range(1, min(_LONGEST_PERIOD, len(units) // 3) + 1):
            start = 0
            for i in range(len(units) - period + 1):
                same = i + period < len(units) and kinds[i] is not None and kinds[i] == kinds[i + period]
                if not same:
                    repeats = (i - start) // period + 1
                    if repeats >= 3:
                        best = max(best, (repeats * period - 1, -period, start, repeats))
                    start = i + 1
        saved, period, start, repeats = best[0], -best[1], best[2], best[3]
        if saved <= len(units) // 20 + 4:  # by chance
            break
        end = start + period * repeats
        units = [*units[:start], _joined(units[start:end], repeats), *units[end:]]
    return units


def _holds(unit: _Unit, outputs: set[str]) -> bool:
    return any(node.id in outputs for node in unit.members)


def _long_chains(units: list[_Unit], outputs: set[str], most: int) -> list[_Unit]:
    """The longest stretches of ops that nobody named, each as one unit: until few enough."""
    stretches: list[tuple[int, int]] = []
    start = 0
    for i in range(len(units) + 1):
        if i < len(units) and _is_nameless(units[i]) and not _holds(units[i], outputs):
            continue
        if i - start >= 3:
            stretches.append((start, i))
        start = i + 1
    count, chosen = len(units), []
    for start, end in sorted(stretches, key=lambda stretch: stretch[0] - stretch[1]):
        if count <= most:
            break
        chosen.append((start, end))
        count -= end - start - 1
    return _with_joined(units, sorted(chosen))


def _is_nameless(unit: _Unit) -> bool:
    return unit.call is None and all(node.name == f"t{node.id[1:]}" for node in unit.members)


def _with_joined(units: list[_Unit], stretches: Iterable[tuple[int, int]]) -> list[_Unit]:
    result: list[_Unit] = []
    done = 0
    for start, end in stretches:
        result += [*units[done:start], _joined(units[start:end])]
        done = end
    return [*result, *units[done:]]


def _pieces(units: list[_Unit], outputs: set[str], most: int) -> list[_Unit]:
    """Whatever there is in pieces of equal length, the last unit apart if it is an output."""
    if len(units) <= most:
        return units
    apart = most > 1 and _holds(units[-1], outputs)
    end = len(units) - apart
    length = -(-end // (most - apart))
    return _with_joined(
        units, [(i, min(i + length, end)) for i in range(0, end, length) if min(i + length, end) - i > 1]
    )


def _build(picture: Picture, units: list[_Unit], chains: _Chains, remarks: list[str]) -> Picture:
    """The picture in which every unit is one node."""
    stand_in: dict[str, PictureNode] = {}  # for every node of `picture` that is shown, by id
    after: dict[str, PictureNode] = {}  # the node that follows the last member of a fold
    used_outside = _used_outside(picture, units)
    for unit in units:
        if unit.open:
            node = replace(unit.members[0], call=unit.parent)
        else:
            node = _fold_node(unit, f"f{len(after)}", used_outside, chains)
            after[unit.members[-1].id] = node
        stand_in.update((member.id, node) for member in unit.members)
    users: dict[str, list[PictureNode]] = {}
    for edge in picture.edges:
        users.setdefault(edge.source, []).append(stand_in[edge.target])

    nodes: list[PictureNode] = []
    crowds: dict[Hashable, PictureNode] = {}  # leaves that look alike and go into one fold
    sizes: dict[Hashable, int] = {}
    for leaf in picture.nodes:
        sizes[_crowd(leaf, users)] = sizes.get(_crowd(leaf, users), 0) + 1
    for node in picture.nodes:
        if node.kind in ("op", "loss"):
            shown = stand_in[node.id]
            if shown.kind != "fold":
                nodes.append(shown)
            elif node.id in after:
                nodes.append(after[node.id])
            continue
        if _is_hidden(node, users.get(node.id, [])):
            continue
        crowd = _crowd(node, users)
        if crowd is None or sizes[crowd] <= _MANY_LEAVES:
            stand_in[node.id] = replace(node)
            nodes.append(stand_in[node.id])
        elif crowd in crowds:
            stand_in[node.id] = crowds[crowd]
            crowds[crowd].contents += (node.id,)
        else:
            name = f"{sizes[crowd]} {node.kind}s"
            one = replace(node, name=name, value=None, no_value="", contents=(node.id,), repeats=sizes[crowd])
            crowds[crowd] = stand_in[node.id] = one
            nodes.append(one)

    edges = _edges(picture, stand_in)
    for node in nodes:
        node.uses = 0
    by_id = {node.id: node for node in nodes}
    for edge in edges:
        by_id[edge.source].uses += 1
    open_calls = {call.id for node in nodes for call in chains.of(node)}
    outputs = list(dict.fromkeys(stand_in[id].id for id in picture.outputs))
    calls = [call for call in picture.calls if call.id in open_calls]
    return Picture(picture.title, nodes, edges, calls, outputs, remarks)


def _used_outside(picture: Picture, units: list[_Unit]) -> set[str]:
    """The ids of nodes whose output leaves their unit."""
    unit_of = {member.id: i for i, unit in enumerate(units) for member in unit.members}
    leaving = {edge.source for edge in picture.edges if unit_of.get(edge.source) != unit_of.get(edge.target)}
    return leaving | set(picture.outputs)


def _fold_node(unit: _Unit, id: str, outside: set[str], chains: _Chains) -> PictureNode:
    """The card of a unit: it has the output of the last of its ops whose output is used outside."""
    output = next((node for node in reversed(unit.members) if node.id in outside), unit.members[-1])
    if unit.call is not None:
        calls = [unit.call]
    else:
        calls = [chain[0] for node in unit.members if (chain := chains.of(node)) and unit.parent is None]
    parameters = sum({call.path: call.parameters or 0 for call in calls}.values())
    note = counted(parameters, "parameter") if parameters else counted(len(unit.members), "op")
    return replace(
        output,
        id=id,
        kind="fold",
        op="",
        symbol=unit.symbol,
        name=output.name if unit.call is None else unit.call.path,
        call=unit.parent,
        saved=(),
        source=None,
        contents=tuple(node.id for node in unit.members),
        repeats=unit.repeats,
        note=note,
    )


def _is_hidden(leaf: PictureNode, users: list[PictureNode]) -> bool:
    """A fold holds its constants, and the fold of a module its parameters, which the note of its card counts."""
    inside = bool(users) and all(user.kind == "fold" for user in users)
    if leaf.kind == "parameter":
        return inside and leaf.held and all("parameter" in user.note for user in users)
    return inside and leaf.kind == "constant"


def _crowd(leaf: PictureNode, users: dict[str, list[PictureNode]]) -> Hashable:
    """What leaves have in common that can be drawn as one; None for others."""
    using = {user.id: user.kind for user in users.get(leaf.id, ())}
    if leaf.kind not in ("input", "target") or list(using.values()) != ["fold"]:
        return None
    return leaf.kind, leaf.shape, leaf.dtype, *using


def _edges(picture: Picture, stand_in: dict[str, PictureNode]) -> list[PictureEdge]:
    """The edges between what is shown: all of those into an op, and one from each operand into a fold."""
    edges: list[PictureEdge] = []
    into_folds: dict[tuple[str, str], PictureEdge] = {}
    operands: dict[str, int] = {}
    for edge in picture.edges:
        if edge.source not in stand_in:
            continue
        source, target = stand_in[edge.source], stand_in[edge.target]
        if source is target:
            continue
        if target.kind != "fold":
            edges.append(replace(edge, source=source.id, target=target.id))
        elif (source.id, target.id) in into_folds:
            found = into_folds[source.id, target.id]
            found.gradient_flows = found.gradient_flows or edge.gradient_flows
        else:
            position = operands[target.id] = operands.get(target.id, -1) + 1
            made = replace(edge, source=source.id, target=target.id, position=position, ordered=False)
            into_folds[source.id, target.id] = made
            edges.append(made)
    order = {node.id: i for i, node in enumerate(stand_in.values())}
    edges.sort(key=lambda edge: (order[edge.target], edge.position))
    for i, edge in enumerate(edges):
        edge.id = f"e{i}"
    return edges
