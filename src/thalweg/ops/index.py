"""Primitives whose positions are data: gather, scatter-add, index assignment, one-hot; and counting positions.

In: values and integer nodes of positions. Out: the picked, collected or overwritten values. Data are never trusted:
a position out of range raises, with its place and its value, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.dtype import INTEGER, DType, as_dtype
from thalweg.errors import IndexRangeError, ShapeError, explain
from thalweg.graph import Node, Primitive, Probe, Shape, register, zeros_like
from thalweg.ops.rules import NUMERIC, check_axis, check_category, check_same, quietly


def _check_indices(name: str, source: Shape, indices: tuple[Shape, ...]) -> None:
    if not indices or len(indices) > len(source) or any(shape != indices[0] for shape in indices):
        raise ShapeError(
            explain(
                f"{name}: the indices do not fit",
                received=f"shape {source} indexed by shapes {indices}",
                expected=f"1 to {len(source)} indices, one a leading axis, all of one shape",
            )
        )


_REMEDIES = {
    "class label": "labels count from 0: number the classes 0, 1, ..., or widen the last layer to one output a class",
    "embedding row": "set num_embeddings to the largest index plus 1, or map unknown entries to a row of their own",
}


def _check_range(indices: tuple[np.ndarray, ...], extents: Shape, role: str) -> None:
    for axis, (index, extent) in enumerate(zip(indices, extents, strict=False)):
        if index.size and (index.min() < 0 or index.max() >= extent):
            position = tuple(map(int, np.argwhere((index < 0) | (index >= extent))[0]))
            raise IndexRangeError(
                explain(
                    f"{role} out of range",
                    received=f"{int(index[position])} at position {position}",
                    expected=f"0 <= {role} < {extent}" + (f" (axis {axis})" if len(indices) > 1 else ""),
                    remedy=_REMEDIES.get(role),
                )
            )


def _integer_indices(name: str, indices: tuple[DType, ...]) -> None:
    for dtype in indices:
        check_category(f"{name} (index)", dtype, (INTEGER,))


def _positions(node: Node, first: int, extents: Shape) -> list[tuple[Node, int]]:
    """The indices of a node, each with the extent that it must stay below."""
    return list(zip(node.inputs[first:], extents, strict=False))


def _gather_shape(source: Shape, *indices: Shape, role: str) -> Shape:
    _check_indices("gather", source, indices)
    return indices[0] + source[len(indices) :]


def _gather_dtype(source: DType, *indices: DType, role: str) -> DType:
    _integer_indices("gather", indices)
    return source


def _gather(x: np.ndarray, *indices: np.ndarray, role: str) -> np.ndarray:
    _check_range(indices, x.shape, role)
    return x[indices]


def _gather_rule(g: Node, y: Node, x: Node, *indices: Node, role: str) -> tuple[Node | None, ...]:
    return (scatter_add(g, *indices, shape=x.shape, role=role), *[None] * len(indices))


def _emit_gather(e: Any, index: Sequence[Any], x: Any, *indices: Any, role: str) -> Any:
    depth = len(indices[0].shape)
    picked = [each.checked(index[:depth], extent) for each, extent in zip(indices, x.shape, strict=False)]
    return x.load([*picked, *index[depth:]]) if 0 not in x.shape else e.number(0, x.dtype)


gather = register(
    Primitive(
        "gather",
        "index",
        _gather_shape,
        _gather_dtype,
        _gather,
        _gather_rule,
        emit=_emit_gather,
        identities={"linear": True, "picks": True, "positions": lambda node: _positions(node, 1, node.inputs[0].shape)},
        probes=(
            Probe(((5, 3), (4,)), integers={1: 5}, attributes={"role": "index"}),
            Probe(((3, 4, 2), (2, 3), (2, 3)), integers={1: 3, 2: 4}, attributes={"role": "index"}),
            Probe(((7,), ()), integers={1: 7}, attributes={"role": "index"}),
            Probe(((3, 2), (0,)), integers={1: 3}, attributes={"role": "index"}),
        ),
    )
)


def _scatter_shape(updates: Shape, *indices: Shape, shape: Shape, role: str) -> Shape:
    _check_indices("scatter_add", shape, indices)
    if updates != indices[0] + shape[len(indices) :]:
        raise ShapeError(
            explain("scatter_add: updates do not fit", received=updates, expected=indices[0] + shape[len(indices) :])
        )
    return shape


def _scatter_dtype(updates: DType, *indices: DType, shape: Shape, role: str) -> DType:
    _integer_indices("scatter_add", indices)
    return updates


def _scatter_add(updates: np.ndarray, *indices: np.ndarray, shape: Shape, role: str) -> np.ndarray:
    _check_range(indices, shape, role)
    result = np.zeros(shape, updates.dtype)
    np.add.at(result, indices, updates)
    return result


scatter_add = register(
    Primitive(
        "scatter_add",
        "index",
        _scatter_shape,
        _scatter_dtype,
        _scatter_add,
        lambda g, y, updates, *indices, shape, role: (gather(g, *indices, role=role), *[None] * len(indices)),
        emit=lambda e, updates, *indices, shape, role: (None, updates, indices),
        identities={
            "linear": True,
            "form": "scatter",
            "collects": True,
            "positions": lambda node: _positions(node, 1, node.shape),
        },
        probes=(
            Probe(((4, 3), (4,)), integers={1: 5}, attributes={"shape": (5, 3), "role": "index"}),
            Probe(((6,), (6,), (6,)), integers={1: 2, 2: 3}, attributes={"shape": (2, 3), "role": "index"}),
            Probe(((), ()), integers={1: 7}, attributes={"shape": (7,), "role": "index"}),
            Probe(((0, 2), (0,)), integers={1: 3}, attributes={"shape": (3, 2), "role": "index"}),
        ),
    )
)


def _put_shape(source: Shape, values: Shape, *indices: Shape, role: str) -> Shape:
    return _scatter_shape(values, *indices, shape=source, role=role)


def _put_dtype(source: DType, values: DType, *indices: DType, role: str) -> DType:
    check_same("index_put", (source, values))
    _integer_indices("index_put", indices)
    return source


def _index_put(x: np.ndarray, values: np.ndarray, *indices: np.ndarray, role: str) -> np.ndarray:
    _check_range(indices, x.shape, role)
    result = x.copy()
    result[indices] = values
    return result


def _put_rule(g: Node, y: Node, x: Node, values: Node, *indices: Node, role: str) -> tuple[Node | None, ...]:
    by_values = gather(g, *indices, role=role)
    return (index_put(g, zeros_like(by_values), *indices, role=role), by_values, *[None] * len(indices))


# Where one position is written twice, which value stays is not defined, as in PyTorch and NumPy.
index_put = register(
    Primitive(
        "index_put",
        "index",
        _put_shape,
        _put_dtype,
        _index_put,
        _put_rule,
        emit=lambda e, x, values, *indices, role: (x, values, indices),
        identities={"linear": True, "form": "scatter", "positions": lambda node: _positions(node, 2, node.shape)},
        probes=(
            Probe(((5, 3), (2, 3), (2,)), fixed={2: [4, 1]}, integers={2: 5}, attributes={"role": "index"}),
            Probe(
                ((2, 3), (3,), (3,), (3,)),
                fixed={2: [0, 1, 1], 3: [2, 2, 0]},
                integers={2: 2, 3: 3},
                attributes={"role": "index"},
            ),
            Probe(((7,), (), ()), integers={2: 7}, attributes={"role": "index"}),
            Probe(((3, 2), (0, 2), (0,)), integers={2: 3}, attributes={"role": "index"}),
        ),
    )
)


def _one_hot(index: np.ndarray, *, size: int, dtype: str, role: str) -> np.ndarray:
    _check_range((index,), (size,), role)
    return (index[..., None] == np.arange(size)).astype(as_dtype(dtype).numpy)


def _one_hot_dtype(index: DType, *, size: int, dtype: str, role: str) -> DType:
    _integer_indices("one_hot", (index,))
    return as_dtype(dtype)


def _emit_one_hot(e: Any, index: Sequence[Any], x: Any, *, size: int, dtype: str, role: str) -> Any:
    return e.cast(e.compare("equal", x.checked(index[:-1], size), index[-1]), dtype)


one_hot = register(
    Primitive(
        "one_hot",
        "index",
        lambda shape, *, size, dtype, role: (*shape, size),
        _one_hot_dtype,
        _one_hot,
        emit=_emit_one_hot,
        identities={"positions": lambda node: [(node.inputs[0], node.attributes["size"])]},
        probes=(
            Probe(((3, 2),), integers={0: 4}, attributes={"size": 4, "dtype": "float32", "role": "index"}),
            Probe(((),), integers={0: 7}, attributes={"size": 7, "dtype": "int64", "role": "index"}),
            Probe(((0,),), integers={0: 1}, attributes={"size": 1, "dtype": "bool", "role": "index"}),
        ),
    )
)


def _iota_shape(*, shape: Shape, axis: int, dtype: str) -> Shape:
    check_axis("iota", axis, len(shape))
    return shape


def _iota_dtype(*, shape: Shape, axis: int, dtype: str) -> DType:
    check_category("iota", as_dtype(dtype), NUMERIC)
    return as_dtype(dtype)


@quietly
def _iota(*, shape: Shape, axis: int, dtype: str) -> np.ndarray:
    along = np.arange(shape[axis]).astype(as_dtype(dtype).numpy)
    return np.broadcast_to(along.reshape([shape[axis] if i == axis else 1 for i in range(len(shape))]), shape)


# 0, 1, 2, ... along one axis
iota = register(
    Primitive(
        "iota",
        "index",
        _iota_shape,
        _iota_dtype,
        _iota,
        emit=lambda e, index, *, shape, axis, dtype: e.cast(index[axis], dtype),
        identities={"counts": True},
        probes=(
            Probe((), attributes={"shape": (3, 4), "axis": 1, "dtype": "int64"}),
            Probe((), attributes={"shape": (7, 0), "axis": 0, "dtype": "float32"}),
            Probe((), attributes={"shape": (3, 1), "axis": 0, "dtype": "uint8"}),
        ),
    )
)
