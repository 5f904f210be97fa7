"""A loop of which only what somebody reads is kept: what the compiler makes of `scan`.

In: as for `scan`. Out: for each carry its history or, where nobody reads that, its last value; for each per-step result
the values of all steps stacked, in the order of the steps or backwards, as its readers want it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.dtype import DType
from thalweg.graph import Node, Primitive, Shape, register
from thalweg.ops.loop import Body, scan


def _shape(
    *shapes: Shape, body: Body, carries: int, sequences: int, length: int, kept: tuple[bool, ...],
    backwards: tuple[bool, ...],
) -> tuple[Shape, ...]:  # fmt: skip
    whole = scan.shape_rule(*shapes, body=body, carries=carries, sequences=sequences, length=length)
    lasts = [shape if is_kept else shape[1:] for shape, is_kept in zip(whole, kept, strict=False)]
    return (*lasts, *whole[carries:])


def _dtype(*dtypes: DType, kept: tuple[bool, ...], backwards: tuple[bool, ...], **loop: Any) -> tuple[DType, ...]:
    return scan.dtype_rule(*dtypes, **loop)


def _numpy(
    *arrays: np.ndarray, kept: tuple[bool, ...], backwards: tuple[bool, ...], **loop: Any
) -> tuple[np.ndarray, ...]:
    results, carries = scan.numpy(*arrays, **loop), loop["carries"]
    lasts = [each if is_kept else each[-1] for each, is_kept in zip(results, kept, strict=False)]
    stacked = zip(results[carries:], backwards, strict=True)
    return (*lasts, *[each[::-1] if is_backwards else each for each, is_backwards in stacked])


def _refuses(node: Node) -> bool:
    """Whether some data make a step of it an error."""
    known = [(each, each.op.identities) for each in node.attributes["body"].order]
    return any("positions" in each or ("refuses" in each and each["refuses"](inner)) for inner, each in known)


# loop(*initial_carries, *sequences, *constants, body=, carries=, sequences=, length=, kept=, backwards=)
loop = register(
    Primitive("loop", "loop", _shape, _dtype, _numpy, multiple=True, identities={"form": "loop", "refuses": _refuses})
)
