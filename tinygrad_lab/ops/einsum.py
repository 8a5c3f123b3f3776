"""einsum: sums of products of tensors, written with subscripts.

What this file lets you do: call `einsum("ij,jk->ik", a, b)`. The composition of that name reads the equation, takes
diagonals and sums out what only one operand knows; the op `contract` does the rest. Its vjp rule swaps subscripts: the
cotangent takes the place of the operand, the operand's subscripts that of the output.
"""

from __future__ import annotations

import math
import string

import numpy as np

from tinygrad_lab.ops.declare import composition, op
from tinygrad_lab.ops.index import getitem
from tinygrad_lab.ops.reduce import sum_
from tinygrad_lab.ops.samples import Sample, normal
from tinygrad_lab.ops.shape import permute, reshape
from tinygrad_lab.tensor import Tensor

__all__ = ["contract", "einsum"]


def _swapped(g, operands, subscripts, output):
    """One contribution per operand: the contraction of the cotangent with the other operands, onto its subscripts."""
    contributions = []
    for k, target in enumerate(subscripts):
        others = [i for i in range(len(subscripts)) if i != k]
        contributions.append(
            contract((g, *(operands[i] for i in others)), (output, *(subscripts[i] for i in others)), target)
        )
    return contributions


def _pair(a, b, in_a, in_b, output):
    """The contraction of two arrays as one (batched) matrix product, which BLAS does."""
    sizes = dict((*zip(in_a, a.shape, strict=True), *zip(in_b, b.shape, strict=True)))
    both = [letter for letter in in_a if letter in in_b]
    batch = [letter for letter in both if letter in output]
    inner = [letter for letter in both if letter not in output]
    rows = [letter for letter in in_a if letter not in both]
    columns = [letter for letter in in_b if letter not in both]
    shapes = [[sizes[letter] for letter in letters] for letters in (batch, rows, inner, columns)]
    n_rows, n_inner, n_columns = (math.prod(shape) for shape in shapes[1:])
    left = a.transpose([in_a.index(letter) for letter in (*batch, *rows, *inner)]).reshape(*shapes[0], n_rows, n_inner)
    right = b.transpose([in_b.index(letter) for letter in (*batch, *inner, *columns)]).reshape(
        *shapes[0], n_inner, n_columns
    )
    product = np.matmul(left, right) if inner else np.multiply(left, right)
    made = [*batch, *rows, *columns]
    return product.reshape([sizes[letter] for letter in made]).transpose([made.index(letter) for letter in output])


@op(
    {"operands": _swapped},
    formula=r"Y_{\text{out}} = \textstyle\sum \prod_k A^{(k)}_{s_k}",
    vjp_formula={"operands": r"\bar A^{(k)}_{s_k} = \textstyle\sum \bar Y_{\text{out}} \prod_{l \ne k} A^{(l)}_{s_l}"},
    samples=[
        Sample([normal(3, 4), normal(4, 2)], ("ij", "jk"), "ik"),
        Sample([normal(5, 3, 4), normal(5, 4, 2)], ("bij", "bjk"), "kbi"),
        Sample([normal(3), normal(3, 4), normal(4)], ("i", "ij", "j"), ""),
    ],
    sequence=True,
    faces="",
)
def contract(operands, subscripts, output):
    """The sum over all subscripts that are not in `output` of the products of the operands.

    No subscript occurs twice in one operand, each has one size, and each occurs in the output or in another operand;
    `einsum` sees to that.
    """
    if len(operands) == 2:
        return _pair(operands[0], operands[1], subscripts[0], subscripts[1], output)
    return np.array(np.einsum(f"{','.join(subscripts)}->{output}", *operands, optimize=True), operands[0].dtype)


def _parse(equation, shapes):
    """(subscripts per operand, subscripts of the output), with letters in the place of every ellipsis."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise RuntimeError(
            f"einsum: the equation {equation!r} has {len(parts)} operands, but {len(shapes)} were given: {shapes}"
        )
    spare = [letter for letter in string.ascii_letters if letter not in equation]
    hidden = [len(shape) - len(part.replace("...", "")) for part, shape in zip(parts, shapes, strict=True)]
    most = max((n for n, part in zip(hidden, parts, strict=True) if "..." in part), default=0)
    dots = "".join(spare[: max(most, 0)])
    for part, shape, n in zip(parts, shapes, hidden, strict=True):
        named = part.replace("...", "", 1)
        if not all(letter in string.ascii_letters for letter in named):
            raise RuntimeError(
                f"einsum: subscripts are letters and at most one '...' per operand, got {part!r} in {equation!r}"
            )
        if n < 0 or (n > 0 and "..." not in part):
            raise RuntimeError(
                f"einsum: the subscripts {part!r} name {len(named)} dimensions, but the operand has shape {shape}; "
                f"'...' stands for dimensions without a name"
            )
    parts = [part.replace("...", dots[len(dots) - n :] if n else "") for part, n in zip(parts, hidden, strict=True)]
    if arrow:
        output = right.replace("...", dots)
    else:  # implicit: the ellipsis, then the letters that occur once, in alphabetical order
        named = "".join(parts)
        output = dots + "".join(
            sorted(letter for letter in set(named) if named.count(letter) == 1 and letter not in dots)
        )
    unknown = [letter for letter in output if letter not in "".join(parts)]
    if unknown or len(set(output)) < len(output):
        raise RuntimeError(
            f"einsum: each subscript of the output {right!r} must occur in an operand and only once in the output"
        )
    return parts, output


def _sizes(equation, parts, shapes):
    """{subscript: size}; RuntimeError if two operands disagree (a size of 1 is broadcast)."""
    known: dict[str, int] = {}
    for part, shape in zip(parts, shapes, strict=True):
        for letter, size in zip(part, shape, strict=True):
            if known.setdefault(letter, size) == 1:
                known[letter] = size
            elif size not in (1, known[letter]):
                raise RuntimeError(
                    f"einsum: subscript {letter!r} in {equation!r} has size {size} in an operand of shape {shape}, but "
                    f"{known[letter]} in an earlier one; all shapes: {shapes}"
                )
    return known


def _plain(x, letters, sizes):
    """`x` with repeated subscripts taken along their diagonal, and without the dimensions of size 1 to be broadcast."""
    if any(size != sizes[letter] for letter, size in zip(letters, x.shape, strict=True)):
        kept = [i for i, letter in enumerate(letters) if x.shape[i] == sizes[letter]]
        x, letters = reshape(x, tuple(x.shape[i] for i in kept)), "".join(letters[i] for i in kept)
    once = "".join(dict.fromkeys(letters))
    if len(once) == len(letters):
        return x, letters
    ranges = [np.arange(sizes[letter]).reshape([-1 if other == letter else 1 for other in once]) for letter in letters]
    return getitem(x, tuple(ranges)), once


@composition(
    formula=r"Y_{\text{out}} = \textstyle\sum \prod_k A^{(k)}_{s_k}",
    samples=[
        Sample("ij,jk->ik", normal(3, 4), normal(4, 2)),
        Sample("bij,bjk", normal(2, 3, 4), normal(2, 4, 5)),
        Sample("ii->i", normal(3, 3)),
        Sample("ii", normal(3, 3)),
        Sample("iij,j->ij", normal(3, 3, 2), normal(2)),
        Sample("ij->ji", normal(3, 4)),
        Sample("ij->", normal(3, 4)),
        Sample("i,j", normal(3), normal(4)),
        Sample("...ij,...jk->...ik", normal(2, 1, 3, 4), normal(5, 4, 2)),
        Sample("bn,anm,bm->ba", normal(2, 5), normal(3, 5, 4), normal(2, 4)),
        Sample("ij,jk->k", normal(3, 4), normal(4, 2)),
        Sample("ij,ij->i", normal(3, 1), normal(3, 4)),
        Sample("ij,ij", normal(0, 4), normal(0, 4)),
    ],
    faces="torch",
)
def einsum(equation, *operands):
    """Sums of products of the operands, as `equation` says: "ij,jk->ik" is a matrix product.

    Each letter names a dimension; those missing after "->" are summed over. A letter twice in one operand takes its
    diagonal, "..." stands for further dimensions, which broadcast. Without "->" the output has the letters that occur
    once, in alphabetical order. The operands may be given as one list. RuntimeError if letters and shapes do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.einsum.html

    >>> torch.einsum("ij,j->i", torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 10.0]))
    tensor([21., 43.])
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise TypeError(
            f"einsum: the first argument must be the equation, such as 'ij,jk->ik', got {type(equation).__name__}"
        )
    if not operands or not all(isinstance(x, (Tensor, np.ndarray)) for x in operands):
        raise TypeError(f"einsum: the operands must be one or more Tensors, got {[type(x).__name__ for x in operands]}")
    shapes = [tuple(x.shape) for x in operands]
    parts, output = _parse(equation, shapes)
    dtypes = {str(getattr(x, "array", x).dtype) for x in operands}
    if len(dtypes) > 1:
        raise RuntimeError(f"einsum: expected operands of one dtype, got {sorted(dtypes)}: convert with .to(dtype)")
    sizes = _sizes(equation, parts, shapes)
    plain = [_plain(x, letters, sizes) for x, letters in zip(operands, parts, strict=True)]
    for i, (x, letters) in enumerate(plain):
        elsewhere = output + "".join(other for k, (_, other) in enumerate(plain) if k != i)
        alone = tuple(axis for axis, letter in enumerate(letters) if letter not in elsewhere)
        if alone:
            plain[i] = sum_(x, alone), "".join(letter for letter in letters if letter in elsewhere)
    if len(plain) == 1:
        x, letters = plain[0]
        return permute(x, tuple(letters.index(letter) for letter in output)) if output else x
    return contract([x for x, _ in plain], tuple(letters for _, letters in plain), output)
