"""Every op, by family: importing this package declares them all."""

from tinygrad_lab.ops import (  # noqa: F401  (imported for their declarations, in an order in which each finds what it uses)
    arithmetic,
    shape,
    reduce,
    linalg,
    elementwise,
    softmax,
    index,
    convert,
    inplace,
)
