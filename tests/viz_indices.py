"""Formulas with indices as numbers: an evaluator by brute force, independent of how ops are computed.

`evaluate_indexed(formula, values, shape)` makes one axis of a grid for every index letter and reads y_{ij} = ... there;
`indexed_call` says what the letters of an op's formula are in one call (which dimension comes first, strides, padding).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_lab.viz.algebra import trees as f
from tinygrad_lab.viz.algebra.evaluate import FUNCTIONS, combine, key


def _letters(items: tuple[f.Tree, ...]) -> list[f.Tree]:
    """One tree per index: a_{ij} has two, X_{c, ps+i} has two."""
    found: list[f.Tree] = []
    for item in items:
        if isinstance(item, f.Product) and all(how == "" for how, _ in item.factors):
            found += [factor for _, factor in item.factors]
        else:
            found.append(item)
    return found


class _Grid:
    def __init__(self, values: dict[str, Any], sizes: dict[str, int]) -> None:
        self.values, self.sizes = values, sizes
        self.names = list(sizes)

    def axis(self, name: str) -> int:
        return self.names.index(name) - len(self.names)

    def variable(self, name: str) -> np.ndarray:
        shape = [1] * len(self.names)
        shape[self.axis(name)] = self.sizes[name]
        return np.arange(self.sizes[name]).reshape(shape)

    def of(self, tree: f.Tree) -> Any:
        name = key(tree)
        if isinstance(tree, f.Number):
            return float(tree.text) if "." in tree.text else int(tree.text)
        if name in self.sizes:
            return self.variable(name)
        if name in self.values:
            value = np.asarray(self.values[name])
            return value.reshape(value.shape + (1,) * len(self.names)) if value.ndim else value
        if isinstance(tree, f.Index):
            return self.read(np.asarray(self.values[key(tree.base)]), self.positions(tree))
        if isinstance(tree, f.Fence):
            return {"abs": np.abs}.get(tree.kind, lambda x: x)(self.of(tree.items[0]))
        if isinstance(tree, f.Frac):
            return self.of(tree.top) / self.of(tree.bottom)
        if isinstance(tree, f.Power):
            return (
                np.exp(self.of(tree.exponent))
                if tree.base == f.Symbol("e")
                else self.of(tree.base) ** self.of(tree.exponent)
            )
        if isinstance(tree, f.Relation):
            compare = {"=": np.equal, "le": np.less_equal, "ge": np.greater_equal, "ne": np.not_equal}
            return compare[tree.relations[0]](self.of(tree.items[0]), self.of(tree.items[1]))
        if isinstance(tree, f.Terms | f.Product):
            (sign, first), *rest = tree.terms if isinstance(tree, f.Terms) else tree.factors
            total = -self.of(first) if sign == "-" else self.of(first)
            for how, part in rest:
                total = combine(how, total, self.of(part))
            return total
        if isinstance(tree, f.Big):
            return self.big(tree)
        if isinstance(tree, f.Apply):
            return FUNCTIONS[tree.name](*map(self.of, tree.arguments))
        raise NotImplementedError(tree)

    def positions(self, tree: f.Index) -> list[Any]:
        return [self.of(index) for index in _letters(tree.indices)]

    def read(self, array: np.ndarray, positions: list[Any]) -> np.ndarray:
        """array[..., i, j]: 0 where an index is out of range; the dimensions before come first."""
        if not array.size:
            return np.zeros((1,) * len(self.names))
        inside: Any = True
        places = []
        for axis, position in enumerate(positions, array.ndim - len(positions)):
            position = np.asarray(position)
            inside = inside & (position >= 0) & (position < array.shape[axis])
            places.append(np.clip(position, 0, array.shape[axis] - 1))
        places = np.broadcast_arrays(*places, np.zeros((1,) * len(self.names), int))[:-1]
        return np.where(inside, array[(..., *places)], 0)

    def big(self, tree: f.Big) -> Any:
        over, condition = [], True
        for item in _letters(tree.below):
            if isinstance(item, f.Relation):
                condition = condition & self.of(item)
                item = item.items[0]
            over.append(key(item))
        body = np.where(condition, self.of(tree.body), 0 if tree.kind == "sum" else 1)
        full = np.broadcast_to(body, np.broadcast_shapes(body.shape, self.span(over)))
        reduce = np.sum if tree.kind == "sum" else np.prod
        return reduce(full, axis=tuple(self.axis(name) for name in dict.fromkeys(over)), keepdims=True)

    def span(self, names: list[str]) -> tuple[int, ...]:
        return tuple(self.sizes[name] if name in names else 1 for name in self.names)


def _sizes(tree: f.Formula, values: dict[str, Any], given: dict[str, int]) -> dict[str, int]:
    sizes = dict(given)
    for part in f.walk(tree):
        if isinstance(part, f.Index) and key(part.base) in values:
            array, letters = np.asarray(values[key(part.base)]), _letters(part.indices)
            for axis, letter in enumerate(letters, array.ndim - len(letters)):
                if isinstance(letter, f.Symbol) and letter.name not in values:
                    sizes.setdefault(letter.name, array.shape[axis])
    return sizes


def evaluate_indexed(tree: f.Formula, values: dict[str, Any], result: np.ndarray, sizes: dict[str, int] | None = None):
    """What the formula says its left side is, given the arrays of all symbols; `result` gives shapes, and what is there
    already where the formula refers to itself (y_{i-1})."""
    left_key = key(tree.left.base if isinstance(tree.left, f.Index) else tree.left)
    known = {**values, left_key: result}
    grid = _Grid(known, _sizes(tree, known, sizes or {}))
    made = np.zeros(result.shape)
    more = [(equation.items[0], equation.relations[0], equation.items[1]) for equation in tree.more]
    for left, how, right in [(tree.left, tree.relation, tree.right), *more]:
        if not isinstance(left, f.Index):
            if isinstance(right, f.Index) and right.indices == (_AT,):
                made = np.array(np.broadcast_to(values_at(right, values), result.shape))
                continue
            value = np.asarray(grid.of(right), float)
            made = np.array(value.reshape(value.shape[: value.ndim - len(grid.names)]) if value.ndim else value)
            made = np.array(np.broadcast_to(made, result.shape))
            continue
        if left.indices == (_AT,):
            place: Any = values["i"]
            value = values_at(right, values)
        else:
            positions = np.broadcast_arrays(*grid.positions(left), np.zeros((1,) * len(grid.names), int))[:-1]
            value = np.asarray(grid.of(right))
            batch = value.shape[: max(value.ndim - len(grid.names), 0)]
            own = value.shape[value.ndim - len(grid.names) :] if value.ndim else ()
            shape = np.broadcast_shapes(own, positions[0].shape)
            value = np.broadcast_to(value, (*batch, *shape))
            _write(made, how, [np.broadcast_to(position, shape) for position in positions], value)
            continue
        if how == "+=":
            np.add.at(made, place, value)
        else:
            made[place] = value
    return made


def _write(made: np.ndarray, how: str, positions: list[np.ndarray], value: np.ndarray) -> None:
    """made[..., i, j] = or += value, where the indices are in range."""
    first = made.ndim - len(positions)
    wide = np.zeros((*made.shape[:first], *(size + 1 for size in made.shape[first:])))  # one more row: out of range
    inner = tuple(slice(size) for size in made.shape)
    wide[inner] = made
    places = [
        np.where((position >= 0) & (position < size), position, size)
        for position, size in zip(positions, made.shape[first:], strict=True)
    ]
    if how == "+=":
        np.add.at(wide, (..., *places), value)
    else:
        wide[(..., *places)] = value
    made[...] = wide[inner]


_AT = f.Fence("iverson", (f.Symbol("i"),))  # [i] in getitem and its like


def values_at(tree: f.Tree, values: dict[str, Any]) -> Any:
    """x or x_{[i]}, whole arrays."""
    if isinstance(tree, f.Index):
        return np.asarray(values[key(tree.base)])[values["i"]]
    return float(tree.text) if isinstance(tree, f.Number) else values[key(tree)]


_SCALARS = {"setitem", "put", "getitem", "add_at"}

# What the letters of an op's formula are in one call


def indexed_call(name: str, values: dict[str, Any], symbols: dict[str, Any]) -> Any:
    """(values of symbols, sizes of letters, how arrays are turned so that the formula's dimensions come last) for a
    call, or None where the formula does not cover it (groups, 0-d)."""
    arrays = [values.get("index", ()), *(symbols[symbol] for symbol in ("a", "b") if symbol in symbols)]
    if name not in _SCALARS and any(np.ndim(value) == 0 for value in arrays if not isinstance(value, tuple)):
        return None
    if name in ("getitem", "add_at", "setitem"):
        index = values["index"] if isinstance(values["index"], tuple) else (values["index"],)
        arrays = [item for item in index if isinstance(item, (np.ndarray, list))]
        if arrays and any(isinstance(item, int) for item in index):
            return None  # NumPy counts the int among the arrays, PyTorch does not
        return {**symbols, "i": values["index"]}, {}, None
    if name in ("index_select", "index_add", "add_slices"):
        return {**symbols, "k": values["index"]}, {}, _last(values["dim"], skip=("k",))
    if name in ("gather", "scatter_add", "put", "add_elements"):
        shapes = {np.shape(v)[1:] for s, v in symbols.items() if np.ndim(v)} | {values["index"].shape[1:]}
        if values["dim"] != 0 or values["index"].ndim != 2 or len(shapes) > 1:
            return None
        return {**symbols, "k": values["index"]}, {}, None
    if name == "embedding":
        return {**symbols, "t": values["input"].reshape(-1)}, {}, _embedded
    if name in ("cumsum", "cumprod", "recurrence"):
        return symbols, {}, _last(values["dim"])
    if name == "prod":
        dim = values["dim"]
        return symbols, {}, _last(dim, scalar=("y", r"\bar y"), keepdim=values.get("keepdim"))
    if name in ("diagonal", "on_diagonal"):
        return {**symbols, "k": values["offset"]}, {}, _diagonal(values, name)
    if name == "contract":
        return symbols, {}, None
    return _windows(name, values, symbols)


def _last(dim: Any, skip: tuple[str, ...] = (), scalar: tuple[str, ...] = (), keepdim: Any = False):
    def turn(symbol: str, array: Any) -> Any:
        array = np.asarray(array)
        if symbol in skip or not array.ndim:
            return array
        if dim is None:
            return array.reshape(-1) if symbol not in scalar else array.reshape(())
        if symbol in scalar:
            return np.squeeze(array, dim) if keepdim else array
        return np.moveaxis(array, dim, -1)

    return turn


def _embedded(symbol: str, array: Any) -> Any:
    array = np.asarray(array)
    return array if symbol == "t" else np.moveaxis(array.reshape(-1, array.shape[-1]), 0, -1)


def _diagonal(values: dict[str, Any], name: str):
    wide = ("a", r"\bar a") if name == "diagonal" else ("y", r"\bar y")

    def turn(symbol: str, array: Any) -> Any:
        array = np.asarray(array)
        if symbol == "k" or symbol not in wide:
            return array
        return np.moveaxis(array, (values["dim1"], values["dim2"]), (-2, -1))

    return turn


def _windows(name: str, values: dict[str, Any], symbols: dict[str, Any]):
    """Convolution and pooling without groups, with equal strides, paddings and dilations in both dimensions."""
    if values.get("groups", 1) != 1 or not {"s", "d", "r"} <= symbols.keys() or name in _ARGMAX:
        return None
    kernel = values.get("kernel_size", ())
    kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    return symbols, dict(zip("ij", kernel, strict=False)), _batched if name.startswith("conv") else None


_ARGMAX = {"max_pool2d", "max_at", "place_max"}  # i^* is the place of a maximum


def _batched(symbol: str, array: Any) -> Any:
    array = np.asarray(array)
    return array[None] if array.ndim == 3 else array


def check_indexed(step: Any, argument: str, tree: f.Formula, meant: Any, values: dict[str, Any], result: Any) -> Any:
    """Whether an index formula gives `result`; None where the call is not covered."""
    symbols = {s: v for s, v in meant.values.items() if v is not None and not isinstance(v, (list, tuple))}
    for letter in ("n", "N"):
        symbols.pop(letter, None)
    if step.op.name == "contract":
        symbols |= dict(zip("ABCDEFGH", values["operands"], strict=False))
    if step.op.name == "recurrence" and argument == "factor":
        needed = {name: values[name] for name in step.op.needs["input"]}
        symbols[r"\bar b"] = step.op.vjp("input", meant.values[r"\bar y"], **needed)
    call = indexed_call(step.op.name, values, symbols)
    if call is None:
        return None
    known, sizes, turn = call
    left = key(tree.left.base if isinstance(tree.left, f.Index) else tree.left)
    known.pop(left, None)
    goal = np.asarray(result)
    if not goal.size:
        return True
    if turn is not None:
        known = {symbol: turn(symbol, value) for symbol, value in known.items()}
        goal = turn(left, goal)
    made = evaluate_indexed(tree, known, goal, sizes)
    scale = max(float(np.max(np.abs(goal), initial=0)), 1.0)
    assert made.shape == goal.shape, (made.shape, goal.shape)
    np.testing.assert_allclose(made, goal, rtol=1e-11, atol=1e-12 * scale)
    return True
