"""Indexing as NumPy and PyTorch users write it: integers, slices, None, Ellipsis, integer arrays, bool masks.

In: a node and the index expression (tensors in it as nodes). Out: the picked node, or for an assignment the whole
node with that part replaced. Slices and integers are views; arrays gather; masks become positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.dtype import bool_, int64
from thalweg.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError, explain
from thalweg.graph import Node, full, make_input
from thalweg.tensor.arithmetic import Operand, as_node, broadcast_shapes, convert, expand_to, less, need_tensor, where
from thalweg.tensor.reductions import pick
from thalweg.tensor.shaping import axis_of, flip, permute, reshape


def is_basic(index: object) -> bool:
    """Whether the index gives a view: integers, slices, None and Ellipsis only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, slice) or _is_integer(part) for part in parts)


def _is_integer(part: object) -> bool:
    return isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_))


def getitem(x: Node, index: Any) -> Node:
    """x[index]."""
    viewed, advanced = _apply_basic(x, _normalise(x, index))
    if not advanced:
        return viewed
    order, picked = _to_front(viewed, advanced)
    nodes = _positions(viewed, advanced)
    result = ops.gather(order, *nodes, role="index")
    return _place_back(result, picked, nodes[0].ndim)


def setitem(x: Node, index: Any, value: Node) -> Node:
    """x with x[index] replaced by `value`, which broadcasts to it."""
    value = convert(value, x.dtype)
    parts = _normalise(x, index)
    mask = _only_mask(parts)
    if mask is not None and value.ndim == 0:
        return where(_mask_shape(x, mask), value, x)
    viewed, advanced = _apply_basic(x, parts)
    if advanced:
        ordered, axes = _to_front(viewed, advanced)
        nodes = _positions(viewed, advanced)
        picked_shape = nodes[0].shape + ordered.shape[len(nodes) :]
        moved = _take_apart(value, axes, nodes[0].ndim, picked_shape)
        replaced = ops.index_put(ordered, moved, *nodes, role="index")
        part = _undo_front(replaced, axes, viewed.ndim)
    else:
        part = _fit(value, viewed.shape)
    return part if viewed is x else write_through(x, viewed, part)


def write_through(base: Node, viewed: Node, part: Node) -> Node:
    """The base with the entries that `viewed` shows replaced by `part`: the transpose of the view puts them back."""
    placed, covered = part, full(part.shape, True, bool_)
    node = viewed
    while node is not base:
        if node.op is ops.broadcast:
            raise ExpandedWriteError.make()
        source = node.inputs[0]
        placed, covered = _transpose_move(node, placed, source), _transpose_move(node, covered, source)
        node = source
    # A view shows no entry twice, so one as large as its base shows all of it.
    return placed if viewed.size == base.size else ops.where(covered, placed, base)


class ExpandedWriteError(ShapeError):
    """An expanded view shows one entry in many places, so it cannot be written through."""

    @classmethod
    def make(cls) -> ExpandedWriteError:
        return cls(
            explain(
                "an expanded tensor cannot be written in place",
                received="a view made by expand",
                expected="a tensor that owns each of its entries",
                remedy="call .clone() first",
            )
        )


def _transpose_move(node: Node, placed: Node, source: Node) -> Node:
    if node.op.chain_rule is None:  # detach: the same entries
        return placed
    shadow = make_input(source.shape, placed.dtype)
    return node.op.chain_rule(placed, node, shadow, **node.attributes)[0]  # type: ignore[return-value]


# --- the parts of an index -------------------------------------------------------------------------------------------


def _normalise(x: Node, index: Any) -> list[Any]:
    """One entry an axis, None for new axes; Ellipsis filled in; lists and masks as nodes."""
    parts = [_as_part(part) for part in (index if isinstance(index, tuple) else (index,))]
    used = sum(part.ndim if _is_mask(part) else 1 for part in parts if part is not None and part is not Ellipsis)
    if sum(part is Ellipsis for part in parts) > 1:
        raise IndexRangeError(explain("an index may hold one Ellipsis", received="two or more"))
    if used > x.ndim:
        raise IndexRangeError(
            explain("too many indices", received=f"{used} for shape {x.shape}", expected=f"at most {x.ndim}")
        )
    fill = [slice(None)] * (x.ndim - used)
    if Ellipsis not in [part if part is Ellipsis else None for part in parts]:
        return [*parts, *fill]
    at = next(i for i, part in enumerate(parts) if part is Ellipsis)
    return [*parts[:at], *fill, *parts[at + 1 :]]


def _as_part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if _is_integer(part):
        return int(part)
    if isinstance(part, (list, tuple, range, np.ndarray, bool, np.bool_)):
        array = _index_array(part)
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.int64)
        if array.dtype.kind not in "biu":
            raise DTypeError(explain("an index array must hold integers or bools", received=f"dtype {array.dtype}"))
        kept = array if array.dtype.kind == "b" else array.astype(np.int64)
        return make_input(kept.shape, bool_ if array.dtype.kind == "b" else int64, kept)
    if isinstance(part, Node):
        if part.dtype.is_floating_point:
            raise DTypeError(
                explain("an index must hold integers or bools", received=part.dtype.name, remedy="convert with .long()")
            )
        return part
    raise DTypeError(
        explain(
            "this cannot index a tensor",
            received=type(part).__name__,
            expected="integers, slices, None, ..., lists, arrays or tensors",
        )
    )


def _index_array(part: Any) -> np.ndarray:
    try:
        return np.asarray([known_value(each) if isinstance(each, Node) else each for each in part]
                          if isinstance(part, (list, tuple)) else part)  # fmt: skip
    except ValueError as error:
        raise ShapeError(
            explain("an index list must be rectangular", received=str(error), expected="rows of equal length")
        ) from None


def _is_mask(part: Any) -> bool:
    return isinstance(part, Node) and part.dtype is bool_


def _only_mask(parts: Sequence[Any]) -> Node | None:
    """The mask of an index such as x[mask] or x[mask, :], which masks leading axes and nothing else."""
    is_alone = bool(parts) and _is_mask(parts[0]) and parts[0].ndim > 0
    return parts[0] if is_alone and all(isinstance(p, slice) and p == slice(None) for p in parts[1:]) else None


def _mask_shape(x: Node, mask: Node) -> Node:
    if x.shape[: mask.ndim] != mask.shape:
        raise _mask_mismatch(x.shape, mask.shape)
    return expand_to(reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim)), x.shape)


def _mask_mismatch(shape: tuple[int, ...], mask: tuple[int, ...]) -> IndexRangeError:
    return IndexRangeError(
        explain("a mask must have the shape of what it masks", received=f"mask {mask} for {shape}", expected=str(shape))
    )


def _apply_basic(x: Node, parts: Sequence[Any]) -> tuple[Node, list[tuple[int, Node]]]:
    """Slices, integers and new axes applied; what is left are (axis, integer node) pairs."""
    start, stop, step, flips, shape = [], [], [], [], []
    advanced: list[tuple[int, Node]] = []
    axis = 0
    for part in parts:
        if part is None:
            shape.append(1)
            continue
        if _is_mask(part) and not part.ndim:  # x[True] and x[False]: a new axis with one entry or none
            advanced.append((len(shape), _known_positions(np.zeros(int(known_value(part)), np.int64))))
            shape.append(1)
            continue
        for each in _expand_mask(part, x.shape, axis):
            extent = x.shape[axis]
            low, high, stride, is_flipped = 0, extent, 1, False
            if isinstance(each, int):
                low = _check_integer(each, extent, axis)
                high = low + 1
            elif isinstance(each, slice):
                low, high, stride, is_flipped = _slice_bounds(each, extent)
                shape.append(max(0, -(-(high - low) // stride)))
            else:
                advanced.append((len(shape), each))
                shape.append(extent)
            start.append(low)
            stop.append(high)
            step.append(stride)
            flips += [axis] if is_flipped else []
            axis += 1
    return _view(x, start, stop, step, flips, tuple(shape)), advanced


def _view(
    x: Node, start: list[int], stop: list[int], step: list[int], flips: list[int], shape: tuple[int, ...]
) -> Node:
    node = x
    if any(start) or any(step_ != 1 for step_ in step) or tuple(stop) != x.shape:
        node = ops.slice_(node, start=tuple(start), stop=tuple(stop), step=tuple(step))
    if flips:
        node = flip(node, flips)
    return reshape(node, shape)


def _check_integer(index: int, extent: int, axis: int) -> int:
    if not -extent <= index < extent:
        raise IndexRangeError(
            explain("index out of range", received=f"{index} on axis {axis}", expected=f"{-extent} <= index < {extent}")
        )
    return index % extent


def _slice_bounds(part: slice, extent: int) -> tuple[int, int, int, bool]:
    """Bounds with a positive step; a negative step is the same entries, flipped."""
    low, high, step = part.indices(extent)
    count = len(range(low, high, step))
    if count == 0:
        return 0, 0, 1, False
    if step > 0:
        return low, low + (count - 1) * step + 1, step, False
    last = low + (count - 1) * step
    return last, low + 1, -step, True


def _expand_mask(part: Any, shape: tuple[int, ...], axis: int) -> list[Any]:
    """A mask of n axes is n arrays of positions; their number depends on the values, so it must be known."""
    if not _is_mask(part):
        return [part]
    if part.shape != shape[axis : axis + part.ndim]:
        raise _mask_mismatch(shape[axis : axis + part.ndim], part.shape)
    return [_known_positions(each) for each in np.nonzero(known_value(part))]


def _known_positions(array: np.ndarray) -> Node:
    return make_input(array.shape, int64, array)


def known_value(node: Node) -> np.ndarray:
    """The value of a node whose value is needed to know a shape; the tensor layer makes sure that it is there."""
    if node.value is None:
        raise ShapeError(
            explain(
                "the shape of this result depends on values",
                received="a bool mask whose values are not known yet",
                expected="static shapes inside a compiled step",
                remedy="use tw.where or masked_fill",
            )
        )
    return np.asarray(node.value)


# --- gathering -------------------------------------------------------------------------------------------------------


def _positions(x: Node, advanced: Sequence[tuple[int, Node]]) -> list[Node]:
    """The index arrays in one shape, negative positions counted from the end."""
    shape = broadcast_shapes(*[node.shape for _, node in advanced], name="index arrays")
    return [expand_to(_from_start(node, x.shape[axis], axis), shape) for axis, node in advanced]


def _from_start(node: Node, extent: int, axis: int) -> Node:
    """Positions counted from the start; if their values are known already, a wrong one is refused at once."""
    if node.value is None:
        node = convert(node, int64)
        from_end = node + extent
        # One that is too far out stays as it is, so that the error shows the number that was given.
        return where(less(node, 0), where(less(from_end, 0), node, from_end), node)
    array = np.asarray(node.value).astype(np.int64, copy=False)
    for bad in array[(array < -extent) | (array >= extent)][:1]:
        _check_integer(int(bad), extent, axis)
    return _known_positions(np.where(array < 0, array + extent, array))


def _to_front(x: Node, advanced: Sequence[tuple[int, Node]]) -> tuple[Node, list[int]]:
    axes = [axis for axis, _ in advanced]
    return permute(x, [*axes, *[i for i in range(x.ndim) if i not in axes]]), axes


def _is_adjacent(axes: Sequence[int]) -> bool:
    return list(axes) == list(range(axes[0], axes[0] + len(axes)))


def _place_back(result: Node, axes: Sequence[int], count: int) -> Node:
    """Adjacent index arrays put their axes where they stood; separated ones leave them in front (NumPy's rule)."""
    if not _is_adjacent(axes) or axes[0] == 0:
        return result
    at = axes[0]
    rest = list(range(count, result.ndim))
    return permute(result, [*rest[:at], *range(count), *rest[at:]])


def _take_apart(value: Node, axes: Sequence[int], count: int, picked: tuple[int, ...]) -> Node:
    """The value to assign, broadcast to what is picked, with the gathered axes in front."""
    at = axes[0] if _is_adjacent(axes) else 0
    rest = picked[count:]
    value = _fit(value, (*rest[:at], *picked[:count], *rest[at:]))
    return permute(value, [*range(at, at + count), *range(at), *range(at + count, value.ndim)])


def _undo_front(x: Node, axes: Sequence[int], ndim: int) -> Node:
    order = [*axes, *[i for i in range(ndim) if i not in axes]]
    return permute(x, ops.inverse_order(tuple(order)))


def _fit(value: Node, shape: tuple[int, ...]) -> Node:
    """`value` broadcast to `shape`, leading axes of size 1 dropped as NumPy's assignment does."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = reshape(value, value.shape[1:])
    if value.ndim > len(shape) or broadcast_shapes(value.shape, shape, name="assignment") != shape:
        raise ShapeError(explain("the value does not fit what it is assigned to", received=value.shape, expected=shape))
    return expand_to(value, shape)


# --- the named forms -------------------------------------------------------------------------------------------------


def gather(x: Node, dim: int, index: Node) -> Node:
    """torch.gather: out[i][j] = x[index[i][j]][j] for dim 0; index may be smaller than x on the other axes."""
    axis = axis_of(dim, x.ndim)
    _check_gather("gather", x, axis, index)
    return pick(x, convert(index, int64), axis)


def _check_gather(name: str, x: Node, axis: int, index: Node) -> None:
    need_tensor(f"{name} (index)", index)
    if index.dtype.is_floating_point or index.dtype is bool_:
        raise DTypeError(explain(f"{name} needs integer positions", received=index.dtype.name, remedy="use .long()"))
    fits = index.ndim == x.ndim and all(
        a <= b for i, (a, b) in enumerate(zip(index.shape, x.shape, strict=True)) if i != axis
    )
    if not fits:
        raise ShapeError(
            explain(
                f"{name}: the index must have as many axes and no larger extents",
                received=index.shape,
                expected=f"at most {x.shape}, except on axis {axis}",
            )
        )


def _grid(index: Node, axis: int) -> list[Node]:
    return [index if i == axis else ops.iota(shape=index.shape, axis=i, dtype="int64") for i in range(index.ndim)]


def scatter_add(x: Node, dim: int, index: Node, src: Node) -> Node:
    """x with src added at the positions of index along `dim`; positions that repeat collect."""
    axis = axis_of(dim, x.ndim)
    _check_gather("scatter_add", x, axis, index)
    src = _source("scatter_add", src, x, index)
    added = ops.scatter_add(src, *_grid(convert(index, int64), axis), shape=x.shape, role="index")
    return ops.add(x, added)


def scatter(x: Node, dim: int, index: Node, src: Operand | None = None, *, value: float | None = None) -> Node:
    """x with src, a tensor or a number, written at the positions of index along `dim`."""
    axis = axis_of(dim, x.ndim)
    _check_gather("scatter", x, axis, index)
    given = value if src is None else src
    if given is None:
        raise ArgumentError(explain("scatter has nothing to write", received="neither src nor value"))
    return ops.index_put(x, _source("scatter", given, x, index), *_grid(convert(index, int64), axis), role="index")


def _source(name: str, src: Operand, x: Node, index: Node) -> Node:
    """What is written: a number everywhere, or as much of a tensor as index has entries."""
    if not isinstance(src, Node):
        return expand_to(as_node(src, x.dtype), index.shape)
    if src.dtype is not x.dtype:
        raise DTypeError(
            explain(f"{name}: src has another dtype than the tensor", received=src.dtype.name, expected=x.dtype.name,
                    remedy="convert it with .to(dtype)")
        )  # fmt: skip
    if src.shape == index.shape:
        return src
    if src.ndim != index.ndim or any(a < b for a, b in zip(src.shape, index.shape, strict=True)):
        raise ShapeError(
            explain(f"{name}: src is smaller than index", received=src.shape, expected=f"at least {index.shape}")
        )
    return ops.slice_(src, start=(0,) * src.ndim, stop=index.shape, step=(1,) * src.ndim)


def index_select(x: Node, dim: int, index: Node) -> Node:
    """The entries of x at `index`, a vector of positions, along `dim`."""
    axis = axis_of(dim, x.ndim)
    need_tensor("index_select (index)", index)
    if index.dtype.is_floating_point or index.dtype is bool_ or index.ndim > 1:
        raise DTypeError(
            explain("index_select needs a vector of integer positions",
                    received=f"{index.dtype.name} of shape {index.shape}", expected="int64 of shape (n,)")
        )  # fmt: skip
    index = reshape(index, -1)
    front = permute(x, [axis, *[i for i in range(x.ndim) if i != axis]])
    rows = ops.gather(front, convert(index, int64), role="index")
    return permute(rows, [*range(1, axis + 1), 0, *range(axis + 1, x.ndim)])


def embedding(index: Node, weight: Node) -> Node:
    """The rows of `weight` (num_embeddings, embedding_dim) at `index` (*): (*, embedding_dim)."""
    need_tensor("embedding", index, weight)
    if index.dtype.is_floating_point or index.dtype is bool_:
        raise DTypeError(
            explain(
                "embedding needs integer indices",
                received=index.dtype.name,
                expected="int32 or int64",
                remedy="convert the indices with .long()",
            )
        )
    return ops.gather(weight, convert(index, int64), role="embedding row")


def one_hot(index: Node, num_classes: int) -> Node:
    return ops.one_hot(convert(index, int64), size=num_classes, dtype="int64", role="class label")


def _need_matrix(name: str, x: Node) -> None:
    if x.ndim < 2:
        raise ShapeError(explain(f"{name} needs at least two axes", received=f"shape {x.shape}"))


def tril_mask(rows: int, columns: int, diagonal: int) -> Node:
    """True on and below the diagonal."""
    i = ops.iota(shape=(rows, columns), axis=0, dtype="int64")
    j = ops.iota(shape=(rows, columns), axis=1, dtype="int64")
    return ops.less_equal(j, i + diagonal)


def tril(x: Node, diagonal: int = 0) -> Node:
    """x with 0 above the diagonal of its last two axes."""
    _need_matrix("tril", x)
    return where(expand_to(tril_mask(x.shape[-2], x.shape[-1], diagonal), x.shape), x, 0)


def triu(x: Node, diagonal: int = 0) -> Node:
    """x with 0 below the diagonal of its last two axes."""
    _need_matrix("triu", x)
    return where(expand_to(tril_mask(x.shape[-2], x.shape[-1], diagonal - 1), x.shape), 0, x)


def diagonal(x: Node, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
    """The diagonal of two axes as the last axis; a positive `offset` lies above the main one."""
    first, second = axis_of(dim1, x.ndim, "dim1"), axis_of(dim2, x.ndim, "dim2")
    if first == second:
        raise ShapeError(explain("diagonal needs two different axes", received=f"dim1={dim1}, dim2={dim2}"))
    down, across = max(0, -offset), max(0, offset)
    count = max(0, min(x.shape[first] - down, x.shape[second] - across))
    position = ops.iota(shape=(count,), axis=0, dtype="int64")
    front = permute(x, [first, second, *[axis for axis in range(x.ndim) if axis not in (first, second)]])
    rows = ops.gather(front, position + down, position + across, role="index")
    return permute(rows, [*range(1, rows.ndim), 0])


def diag(x: Node, diagonal: int = 0) -> Node:
    """A vector as a diagonal matrix, or the diagonal of a matrix."""
    if x.ndim not in (1, 2):
        raise ShapeError(
            explain("diag takes a vector or a matrix", received=f"shape {x.shape}", remedy="use diagonal for batches")
        )
    if x.ndim == 2:
        return _diagonal(x, diagonal)
    n = x.shape[0] + abs(diagonal)
    row = ops.iota(shape=(x.shape[0],), axis=0, dtype="int64")
    down, across = row + max(0, -diagonal), row + max(0, diagonal)
    return ops.scatter_add(x, down, across, shape=(n, n), role="index")


_diagonal = diagonal
