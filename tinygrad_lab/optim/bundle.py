"""Small parameters side by side in one array, so that one update of a dozen NumPy calls serves them all.

It knows the memory of parameters and the state that an optimizer keeps of them; the rule itself it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_lab.memory import empty_aligned
from tinygrad_lab.tensor import Tensor, wrap

__all__ = ["Bundle", "Member"]

Member = tuple[Tensor, np.ndarray, np.ndarray, dict[str, Any]]
"""A parameter, its values, its gradient, and what an optimizer remembers of it."""

# State kept once per parameter. It keeps its own dtype when state is loaded, so that counting resumes to the bit.
COUNTS = ("step", "mu_product")


class Bundle:
    """Members of one dtype whose states are alike: all empty, or with the same counts (see `possible`).

    `state` holds what a rule remembers of all of them together. Each member's own state is of views into it, so it can
    be read, changed in place and saved as ever; `fits` notices what was replaced.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._arrays = [values for _, values, _, _ in members]
        self._own = [state for _, _, _, state in members]
        ends = np.cumsum([0] + [array.size for array in self._arrays]).tolist()
        self.values, self.gradient = (empty_aligned((ends[-1],), self._arrays[0].dtype) for _ in range(2))
        self._parts = [(slice(*ends), array.shape) for ends, array in zip(pairwise(ends), self._arrays, strict=True)]
        self._pairs = [(self._part(self.values, i), self._part(self.gradient, i)) for i in range(len(members))]
        self.state: dict[str, Any] = {name: self._joined(name) for name in self._own[0]}
        self._counts: list[tuple[np.ndarray, np.ndarray]] = []  # one count for each member, and that of the bundle
        self._linked: list[tuple[dict[str, Any], str, np.ndarray]] = []
        if self.state:
            self._link()

    @staticmethod
    def possible(members: Sequence[Member]) -> bool:
        """Whether the members may share an update: one dtype, memory of their own, and equal counts of steps."""
        first = members[0][3]
        buffers = {id(values if values.base is None else values.base) for _, values, _, _ in members}
        return 1 < len(members) == len(buffers) and all(
            values.dtype is members[0][1].dtype
            and state.keys() == first.keys()
            and all(isinstance(value, Tensor) for value in state.values())
            and all(state[name].array == first[name].array for name in COUNTS if name in first)
            for _, values, _, state in members
        )

    def fits(self, members: Sequence[Member]) -> bool:
        """Whether these are still the members, with memory and state that nobody has replaced, and equal counts."""
        if len(members) != len(self._arrays):
            return False
        for (_, values, _, state), array, own in zip(members, self._arrays, self._own, strict=True):
            if values is not array or state is not own:
                return False
        return all(name in own and own[name].array is array for own, name, array in self._linked) and all(
            counts.tolist().count(count.item()) == len(members) for counts, count in self._counts
        )

    def update(self, members: Sequence[Member], rule: Callable[[Any, np.ndarray, np.ndarray], None]) -> None:
        """Run `rule(self, values, gradient)` for all members at once, and give them their new values."""
        for (_, values, gradient, _), (own_values, own_gradient) in zip(members, self._pairs, strict=True):
            np.copyto(own_values, values)
            np.copyto(own_gradient, gradient)
        rule(self, self.values, self.gradient)
        for (_, values, _, _), (own_values, _) in zip(members, self._pairs, strict=True):
            np.copyto(values, own_values)
        if not self._linked:
            self._link()
        for counts, count in self._counts:
            counts.fill(count.item())

    def _part(self, joined: np.ndarray, member: int) -> np.ndarray:
        where, shape = self._parts[member]
        return joined[where].reshape(shape)

    def _joined(self, name: str) -> Tensor:
        """The members' state `name` as one: their arrays side by side, or the count that they agree on."""
        if name in COUNTS:
            return wrap(self._own[0][name].array.copy())
        joined = empty_aligned(self.values.shape, self._own[0][name].array.dtype)
        for member, own in enumerate(self._own):
            self._part(joined, member)[...] = own[name].array
        return wrap(joined)

    def _link(self) -> None:
        """Make each member's own state a view into the bundle's."""
        for name, value in self.state.items():
            counts = np.full(len(self._own), value.array) if name in COUNTS else None
            if counts is not None:
                self._counts.append((counts, value.array))
            for member, own in enumerate(self._own):
                view = self._part(value.array, member) if counts is None else counts[member : member + 1].reshape(())
                own[name] = wrap(view)
                self._linked.append((own, name, view))
