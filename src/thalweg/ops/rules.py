"""What many records share: shape and dtype rules, IEEE results without warnings, the product of the chain rule.

In: shapes, dtypes, nodes. Out: the inferred shape or dtype, or an error that says what did not fit. Implicit
broadcasting and promotion happen above, in the tensor layer: here everything must agree already.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg.dtype import BOOL, FLOATING, INTEGER, DType, bool_
from thalweg.errors import DTypeError, ShapeError, explain
from thalweg.graph import PRIMITIVES, Node, Shape, constant_leaf

NUMERIC = (INTEGER, FLOATING)
ANY = (BOOL, INTEGER, FLOATING)


def same_shape(*shapes: Shape, **_: Any) -> Shape:
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(
            explain(
                "operands of one primitive differ in shape",
                received=" and ".join(map(str, shapes)),
                expected="equal shapes",
                remedy="broadcast them first",
            )
        )
    return shapes[0]


def same_dtype(name: str, categories: tuple[int, ...] = ANY) -> Callable[..., DType]:
    """All inputs have one dtype of an allowed category, and so has the result."""

    def rule(*dtypes: DType, **_: Any) -> DType:
        check_same(name, dtypes)
        check_category(name, dtypes[0], categories)
        return dtypes[0]

    return rule


def predicate_dtype(name: str, categories: tuple[int, ...] = ANY) -> Callable[..., DType]:
    """All inputs have one dtype; the result is bool."""
    same = same_dtype(name, categories)

    def rule(*dtypes: DType, **_: Any) -> DType:
        same(*dtypes)
        return bool_

    return rule


def check_same(name: str, dtypes: tuple[DType, ...]) -> None:
    if any(dtype is not dtypes[0] for dtype in dtypes):
        raise DTypeError(
            explain(
                f"{name}: operands of one primitive differ in dtype",
                received=", ".join(dtype.name for dtype in dtypes),
                expected="one dtype",
                remedy="convert with .to(dtype)",
            )
        )


def check_category(name: str, dtype: DType, categories: tuple[int, ...]) -> None:
    if dtype.category not in categories:
        wanted = " or ".join(("bool", "integer", "floating-point")[each] for each in categories)
        raise DTypeError(
            explain(
                f"{name} is not defined for this dtype",
                received=dtype.name,
                expected=f"a {wanted} dtype",
                remedy="convert the tensor first, for example with .float()",
            )
        )


def check_axis(name: str, axis: int, ndim: int) -> None:
    if not 0 <= axis < ndim:
        expected = f"0 <= axis < {ndim}" if ndim else "a tensor with at least one dimension"
        raise ShapeError(explain(f"{name}: axis out of range", received=f"axis {axis}", expected=expected))


def check_axes(name: str, axes: tuple[int, ...], ndim: int) -> None:
    for axis in axes:
        check_axis(name, axis, ndim)
    if len(set(axes)) != len(axes):
        raise ShapeError(explain(f"{name}: an axis is named twice", received=f"axes {axes}", expected="each axis once"))


def check_rank(name: str, shape: Shape, **attributes: tuple[int, ...]) -> None:
    """Each attribute has one entry an axis."""
    for attribute, given in attributes.items():
        if len(given) != len(shape):
            raise ShapeError(
                explain(
                    f"{name}: {attribute} needs one entry an axis",
                    received=f"{given} for shape {shape}",
                    expected=f"{len(shape)} entries",
                )
            )


def quietly(numpy: Callable[..., Any]) -> Callable[..., Any]:
    """IEEE results without NumPy's warnings: log(0) is -inf, 0/0 is NaN, as in the compiled program."""

    @functools.wraps(numpy)
    def meaning(*arrays: Any, **attributes: Any) -> Any:
        with np.errstate(all="ignore"):
            return numpy(*arrays, **attributes)

    return meaning


def chained(g: Node, derivative: Node) -> Node:
    """The chain rule's product of a cotangent and a local derivative: 0 where `g` is 0, whatever the derivative is."""
    return op("multiply" if _is_finite_number(derivative) else "chain_product")(g, derivative)


def _is_finite_number(node: Node) -> bool:
    """Whether the node is one finite constant in every place, so that 0 times it is 0 anyway."""
    number = known_number(node)
    return number is not None and math.isfinite(number)


def known_number(node: Node) -> Any:
    """The number that stands in every place of the node, if that is known; else None."""
    while node.op.kind == "move" and node.op.identities.get("linear") and len(node.inputs) == 1:
        node = node.inputs[0]
    return node.attributes["value"] if node.op is constant_leaf else None


def op(name: str) -> Any:
    """The record of that name; chain rules look records up when they run, so their order of definition is free."""
    return PRIMITIVES[name]
