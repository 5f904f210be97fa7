"""Primitives that combine the entries along axes: sum, maximum, minimum, and the running sum.

In: a node and the static `axes`. Out: the same rank with those axes of size 1, so that the chain rule is one
`broadcast` back. Products are compositions of `multiply`, exact in every derivative also where factors are 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thalweg.dtype import DType, int64
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node, Primitive, Probe, Shape, register, select, size_of
from thalweg.ops.rules import ANY, NUMERIC, check_axes, check_axis, op, quietly, same_dtype

Axes = tuple[int, ...]


def _kept(shape: Shape, *, axes: Axes) -> Shape:
    check_axes("reduction", axes, len(shape))
    return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))


def _kept_not_empty(name: str) -> Callable[..., Shape]:
    def rule(shape: Shape, *, axes: Axes) -> Shape:
        check_axes(name, axes, len(shape))
        if any(shape[axis] == 0 for axis in axes):
            raise ShapeError(
                explain(
                    f"{name} over an axis of size 0 has no value",
                    received=f"shape {shape}, axes {axes}",
                    expected="at least one entry",
                    remedy="check that the data are not empty",
                )
            )
        return _kept(shape, axes=axes)

    return rule


# --- what a reduction knows of its operand ---------------------------------------------------------------------------


def _simpler_extreme(node: Node) -> Node | None:
    """Axes of size 1, and axes along which one entry is repeated, are not worth walking."""
    (x,), axes = node.inputs, node.attributes["axes"]
    left = tuple(axis for axis in axes if x.shape[axis] != 1)
    once = _once(x, left) if x.op.identities.get("repeats") else x
    left = tuple(axis for axis in left if once.shape[axis] != 1)
    if not left:
        return once
    return node.op(once, axes=left) if left != axes else None


def _simpler_sum(node: Node) -> Node | None:
    """The same, where n repetitions are a product with n."""
    (x,), axes = node.inputs, node.attributes["axes"]
    left = tuple(axis for axis in axes if x.shape[axis] != 1)
    if left != axes or not left:
        return sum_(x, axes=left) if left else x
    once = _once(x, axes) if x.op.identities.get("repeats") else x
    count = size_of(x.shape) // max(size_of(once.shape), 1)
    if once is x or not _holds(x.dtype, count):
        return _factored(x, axes)
    return sum_(once, axes=axes) * count


def _factored(x: Node, axes: Axes) -> Node | None:
    """The sum of products with one factor everywhere along the axes: that factor times the sum of the others."""
    known = x.op.identities
    if x.op.kind != "elementwise" or x.dtype is not x.inputs[0].dtype or _is_long_chain(x):
        return None
    if known.get("linear") and len(set(x.inputs)) == 1:
        total = sum_(x.inputs[0], axes=axes)
        return x.op(*[total] * len(x.inputs), **x.attributes)
    if not known.get("multilinear"):
        return None
    for place, each in enumerate(x.inputs):
        once = _once(each, axes) if each.op.identities.get("repeats") else each
        if all(once.shape[axis] == 1 for axis in axes):
            factors = [once if i == place else sum_(other, axes=axes) for i, other in enumerate(x.inputs)]
            return x.op(*factors, **x.attributes)
    return None


_LONGEST = 32  # operations through which a sum is moved: each is a rewrite inside the one before


def _is_long_chain(x: Node) -> bool:
    steps = 0
    while x.op.kind == "elementwise" and {"linear", "multilinear"} & x.op.identities.keys() and steps <= _LONGEST:
        x = next((each for each in x.inputs if not each.op.identities.get("repeats")), x.inputs[0])
        steps += 1
    return steps > _LONGEST


def _once(x: Node, axes: Axes) -> Node:
    """A repeated array with one entry along those axes along which all are the same."""
    (source,) = x.inputs
    gone = [axis for axis in axes if source.shape[axis] == 1 and x.shape[axis]]
    shape = tuple(1 if axis in gone else extent for axis, extent in enumerate(x.shape))
    return op("broadcast")(source, shape=shape) if shape != x.shape else x


def _holds(dtype: DType, count: int) -> bool:
    """Whether the dtype has this number, or one close to it."""
    return dtype.is_floating_point or count < 2 ** (8 * dtype.itemsize - 1)


def _sum(x: np.ndarray, *, axes: Axes) -> np.ndarray:
    return np.sum(x, axis=axes, keepdims=True, dtype=x.dtype)


def _sum_rule(g: Node, y: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    return (op("broadcast")(g, shape=x.shape),)


sum_ = register(
    Primitive(
        "sum",
        "reduce",
        _kept,
        same_dtype("sum", NUMERIC),
        quietly(_sum),
        _sum_rule,
        emit=lambda e, a, b: e.add(a, b),
        identities={"identity_element": 0, "linear": True, "by_axis": True, "simpler": _simpler_sum},
        probes=(
            Probe(((3, 4),), attributes={"axes": (0,)}),
            Probe(((2, 3, 4),), attributes={"axes": (0, 2)}),
            Probe(((),), attributes={"axes": ()}),
            Probe(((3, 2),), attributes={"axes": ()}),
            Probe(((0, 3),), attributes={"axes": (0,)}),
            Probe(((7, 1, 13),), attributes={"axes": (0, 1, 2)}),
        ),
    )
)


def _extreme_rule(g: Node, y: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    # Entries that tie share the cotangent equally.
    winners = op("equal")(x, op("broadcast")(y, shape=x.shape))
    ones = op("cast")(winners, dtype=x.dtype.name)
    share = op("broadcast")(g / sum_(ones, axes=axes), shape=x.shape)
    return (select(winners, share, 0),)


def _extreme(name: str, numpy: Callable[..., Any], combine: Callable[..., Any]) -> Primitive:
    return register(
        Primitive(
            name,
            "reduce",
            _kept_not_empty(name),
            same_dtype(name, ANY),
            quietly(lambda x, *, axes: numpy(x, axis=axes, keepdims=True)),
            _extreme_rule,
            emit=combine,
            identities={"idempotent": True, "by_axis": True, "simpler": _simpler_extreme},
            probes=(
                Probe(((3, 4),), attributes={"axes": (1,)}, distinct=True),
                Probe(((2, 3, 4),), attributes={"axes": (0, 1)}, distinct=True),
                Probe(((),), attributes={"axes": ()}),
                Probe(((3, 0),), attributes={"axes": (0,)}),
                Probe(((7, 1),), attributes={"axes": (0, 1)}, distinct=True),
            ),
        )
    )


amax = _extreme("amax", np.max, lambda e, a, b: e.maximum(a, b))
amin = _extreme("amin", np.min, lambda e, a, b: e.minimum(a, b))


# --- along one axis --------------------------------------------------------------------------------------------------


def _same_with_axis(shape: Shape, *, axis: int, **_: Any) -> Shape:
    check_axis("cumsum", axis, len(shape))
    return shape


def _cumsum(x: np.ndarray, *, axis: int, reverse: bool) -> np.ndarray:
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis, dtype=x.dtype), axis)
    return np.cumsum(x, axis, dtype=x.dtype)


# The derivative of sum_{j<=i} x_j by x_j reaches every later i: the running sum from the other end.
cumsum: Primitive = register(
    Primitive(
        "cumsum",
        "reduce",
        _same_with_axis,
        same_dtype("cumsum", NUMERIC),
        quietly(_cumsum),
        lambda g, y, x, *, axis, reverse: (cumsum(g, axis=axis, reverse=not reverse),),
        emit=lambda e, total, x: e.add(total, x),
        identities={"linear": True, "form": "running"},
        probes=(
            Probe(((3, 4),), attributes={"axis": 1, "reverse": False}),
            Probe(((3, 4),), attributes={"axis": 0, "reverse": True}),
            Probe(((2, 0),), attributes={"axis": 1, "reverse": True}),
            Probe(((1, 7, 2),), attributes={"axis": 1, "reverse": False}),
        ),
    )
)


def _one_axis_kept(name: str) -> Callable[..., Shape]:
    kept = _kept_not_empty(name)

    def rule(shape: Shape, *, axis: int) -> Shape:
        check_axis(name, axis, len(shape))
        return kept(shape, axes=(axis,))

    return rule


def _emit_position(is_before: Callable[..., Any], e: Any, index: Sequence[Any], x: Any, *, axis: int) -> Any:
    """The first entry that no later one beats; a NaN beats everything, as in NumPy."""

    def at(i: Any) -> Any:
        return x.load([i if each == axis else place for each, place in enumerate(index)])

    best, position = e.variable(x.dtype, at(e.integer(0))), e.variable(int64, e.integer(0))
    with e.loop(x.shape[axis]) as i:
        value, before = at(i), e.read(best, x.dtype)
        wins = is_before(e, value, before)
        if x.dtype.is_floating_point:
            is_new_nan = e.bitwise(
                "bitwise_and", e.compare("not_equal", value, value), e.compare("equal", before, before)
            )
            wins = e.bitwise("bitwise_or", wins, is_new_nan)
        e.write(best, e.select(wins, value, before))
        e.write(position, e.select(wins, i, e.read(position, int64)))
    return e.read(position, int64)


def _position_of(name: str, numpy: Callable[..., Any], is_before: Callable[..., Any]) -> Primitive:
    """The position of the first extreme entry along one axis, as int64."""
    return register(
        Primitive(
            name,
            "reduce",
            _one_axis_kept(name),
            lambda dtype, *, axis: int64,
            lambda x, *, axis: np.expand_dims(numpy(x, axis=axis), axis).astype(np.int64, copy=False),
            emit=functools.partial(_emit_position, is_before),
            probes=(
                Probe(((3, 4),), attributes={"axis": 1}, distinct=True),
                Probe(((1,),), attributes={"axis": 0}),
                Probe(((7, 0),), attributes={"axis": 0}),
            ),
        )
    )


argmax = _position_of("argmax", np.argmax, lambda e, a, b: e.compare("less", b, a))
argmin = _position_of("argmin", np.argmin, lambda e, a, b: e.compare("less", a, b))


def _order_shape(shape: Shape, *, axis: int, descending: bool) -> Shape:
    check_axis("argsort", axis, len(shape))
    return shape


def _argsort(x: np.ndarray, *, axis: int, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis=axis, kind="stable").astype(np.int64, copy=False)
    # Stable and descending: sort the reversed array, then read the order backwards.
    order = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    return (x.shape[axis] - 1 - order).astype(np.int64, copy=False)


def _emit_is_before(e: Any, a: Any, b: Any, *, axis: int, descending: bool) -> Any:
    """Whether a comes before b for sure; NaN counts as the largest number."""
    if descending:
        a, b = b, a
    is_less = e.compare("less", a, b)
    if not a.dtype.is_floating_point:
        return is_less
    is_number, is_nan = e.compare("equal", a, a), e.compare("not_equal", b, b)
    return e.bitwise("bitwise_or", is_less, e.bitwise("bitwise_and", is_number, is_nan))


argsort = register(
    Primitive(
        "argsort",
        "index",
        _order_shape,
        lambda dtype, *, axis, descending: int64,
        _argsort,
        emit=_emit_is_before,
        identities={"form": "order"},
        probes=(
            Probe(((3, 4),), attributes={"axis": 1, "descending": False}, distinct=True),
            Probe(((5,),), attributes={"axis": 0, "descending": True}, distinct=True),
            Probe(((2, 0),), attributes={"axis": 1, "descending": True}),
            Probe(((7, 1),), attributes={"axis": 1, "descending": False}),
        ),
    )
)
