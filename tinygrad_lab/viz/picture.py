"""The model of a picture: a recorded graph as plain data, which every drawing, page and table is made from.

What this file holds: `Picture` with its `PictureNode`s, `PictureEdge`s and `ModuleCall`s, and nothing that depends on
how they are drawn. `reading.graphs` makes one from a loss. Ids are "n0", "n1", ... in creation order, "c0", "c1", ...
for calls and "f0", "f1", ... for folds, never `id()`, so that the same program gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["ModuleCall", "Picture", "PictureEdge", "PictureNode", "SourceLine"]

KINDS = ("op", "parameter", "input", "target", "constant", "loss", "fold")


@dataclass
class SourceLine:
    """A line of the user's program: file (name as given to Python), number from 1, text stripped."""

    file: str
    number: int
    text: str


@dataclass
class ModuleCall:
    """One call of a module. A module that is called twice has two of them."""

    id: str
    path: str  # "block.fc2" as the model that was named knows it, else the class's name
    type: str  # "Linear"
    parent: str | None = None  # id of the call it ran in
    parameters: int | None = 0  # how many numbers its parameters and its children's hold; None if it has died since


@dataclass
class PictureNode:
    """One op with its output, one leaf, or (kind "fold") a whole module call with its output.

    kind      "op", "loss" (the op whose output is what was asked for, where that is a scalar), "fold", or for leaves:
              "parameter" (a nn.Parameter, or a leaf that requires a gradient), "input" (floating data), "target"
              (integer labels), "constant" (numbers and small arrays written into the program)
    op        the op's name in the registry; "" for leaves and folds
    symbol    what the header shows: "@", "+", "relu", "log_softmax"
    name      parameter's path, variable's name or "t3"
    frozen    a parameter with requires_grad False
    held      a nn.Parameter, which a module holds
    value     output, or None where it is not known; gradient likewise (None: not computed, which is never shown as 0)
    saved     names of the values that the op's rules saved for backward ("input", "y", ...)
    no_value, no_gradient   what to write in their place where they are None: "value freed", "grad not computed"
    dtype     "" (and shape ()) where the graph knows that there is an operand, and no more
    """

    id: str
    kind: str
    op: str
    symbol: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    requires_grad: bool
    call: str | None = None  # id of the innermost ModuleCall it was made in
    frozen: bool = False
    held: bool = False
    shared: bool = False  # a parameter that the model knows by several names
    uses: int = 0  # edges that leave it
    value: np.ndarray | None = None
    gradient: np.ndarray | None = None
    saved: tuple[str, ...] = ()
    source: SourceLine | None = None
    contents: tuple[str, ...] = ()  # of a fold: ids of the nodes inside
    repeats: int = 1  # of a fold: how many identical calls, one after another, it stands for
    note: str = ""  # one more line of the card: "803 parameters", "dim=1", "also decoder.weight"
    no_value: str = "value not kept"
    no_gradient: str = "grad not computed"


@dataclass
class PictureEdge:
    """One use of `source` as an operand of `target`; `x + x` has two."""

    id: str  # "e0", "e1", ... in the order of the targets and of their operands
    source: str
    target: str
    argument: str  # the op's argument it is handed to: "input", "other", "weight", "tensors[1]"
    position: int  # 0 for the first operand
    ordered: bool  # whether exchanging operands would change the result, so that drawings must tag the position
    gradient_flows: bool


@dataclass
class Picture:
    """A graph as plain data. Nodes are in creation order: operands before their users."""

    title: str = ""
    nodes: list[PictureNode] = field(default_factory=list)
    edges: list[PictureEdge] = field(default_factory=list)
    calls: list[ModuleCall] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)  # ids of what was asked for
    remarks: list[str] = field(default_factory=list)  # "12 modules folded to stay below 150 cards"
    _by_id: dict[str, PictureNode] = field(default_factory=dict, init=False, repr=False, compare=False)

    def node(self, id: str) -> PictureNode:
        """The node with this id. KeyError if there is none."""
        if len(self._by_id) != len(self.nodes):
            self._by_id = {node.id: node for node in self.nodes}
        return self._by_id[id]
