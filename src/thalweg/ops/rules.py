"""Shape and dtype rules that many records share, and the guard for singular derivatives.

In: shapes, dtypes, nodes. Out: the inferred shape or dtype, or an error that says what did not fit. Implicit
broadcasting and promotion happen above, in the tensor layer: here everything must agree already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.dtype import BOOL, FLOATING, INTEGER, DType, bool_
from thalweg.errors import DTypeError, ShapeError, explain
from thalweg.graph import PRIMITIVES, Node, Shape, is_zero, select

NUMERIC = (INTEGER, FLOATING)
ANY = (BOOL, INTEGER, FLOATING)


def same_shape(*shapes: Shape, **_: Any) -> Shape:
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(explain("operands of one primitive differ in shape", received=shapes, expected="equal shapes"))
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
        raise ShapeError(explain(f"{name}: axis out of range", received=axis, expected=f"0 <= axis < {ndim}"))


def guarded(g: Node, product: Node) -> Node:
    """The chain-rule product, except that a zero cotangent stays zero where the derivative is infinite or NaN."""
    return select(is_zero(g), 0, product)


def op(name: str) -> Any:
    """The record of that name; chain rules look records up when they run, so their order of definition is free."""
    return PRIMITIVES[name]
