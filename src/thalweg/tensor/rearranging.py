"""Expressions that take, place and line up entries, beyond those of `shaping` and `indexing`.

In: nodes. Out: nodes. `FUNCTIONS` are those whose result is a new tensor, `VIEWS` those that show entries of their
operand, `OF_SEVERAL` those that take a list of tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, size_of
from thalweg.tensor.arithmetic import (
    Operand,
    add,
    as_node,
    broadcast_shapes,
    convert,
    equal,
    expand_to,
    less,
    multiply,
    where,
)
from thalweg.tensor.indexing import diag, diagonal, gather, one_hot, setitem
from thalweg.tensor.reductions import any_
from thalweg.tensor.shaping import (
    axis_of,
    cat,
    expand,
    flat_ints,
    flip,
    movedim,
    narrow,
    permute,
    repeat,
    reshape,
    split,
    squeeze,
    stack,
    take_range,
    transpose,
    unsqueeze,
)

Dims = int | Sequence[int]

# --- views -----------------------------------------------------------------------------------------------------------


def select(x: Node, dim: int, index: int) -> Node:
    """The entries at one place of an axis, which goes."""
    axis = axis_of(dim, x.ndim)
    if not -x.shape[axis] <= index < x.shape[axis]:
        raise ShapeError(explain("select: no such place", received=index,
                                 expected=f"{-x.shape[axis]} <= index < {x.shape[axis]}"))  # fmt: skip
    return squeeze(narrow(x, axis, index % x.shape[axis], 1), axis)


def ravel(x: Node) -> Node:
    """All entries in one row."""
    return reshape(x, -1)


def tensor_split(x: Node, indices_or_sections: int | Sequence[int], dim: int = 0) -> list[Node]:
    """As many parts as are asked for, as equal as can be; or parts between the places of a list."""
    axis = axis_of(dim, x.ndim)
    extent = x.shape[axis]
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        if count < 1:
            raise ArgumentError(explain("tensor_split: how many parts?", received=count, expected="at least 1"))
        sizes = [extent // count + (number < extent % count) for number in range(count)]
        cuts = list(itertools.accumulate(sizes))[:-1]
    else:
        cuts = [min(max(each + extent if each < 0 else each, 0), extent) for each in indices_or_sections]
    edges = [0, *cuts, extent]
    return [take_range(x, axis, start, max(start, stop)) for start, stop in itertools.pairwise(edges)]


def _split_along(name: str, x: Node, cuts: int | Sequence[int], dim: int, least: int) -> list[Node]:
    if x.ndim < least or (isinstance(cuts, int) and (cuts < 1 or x.shape[dim] % cuts)):
        raise ShapeError(explain(f"{name}: these parts do not fit", received=f"{cuts} of shape {x.shape}",
                                 expected=f"at least {least} axes, and equal parts of axis {dim}"))  # fmt: skip
    return tensor_split(x, cuts, dim)


def hsplit(x: Node, indices_or_sections: int | Sequence[int]) -> list[Node]:
    """Parts along axis 1, of a vector along axis 0."""
    return _split_along("hsplit", x, indices_or_sections, 1 if x.ndim > 1 else 0, 1)


def vsplit(x: Node, indices_or_sections: int | Sequence[int]) -> list[Node]:
    """Parts along axis 0."""
    return _split_along("vsplit", x, indices_or_sections, 0, 2)


def dsplit(x: Node, indices_or_sections: int | Sequence[int]) -> list[Node]:
    """Parts along axis 2."""
    return _split_along("dsplit", x, indices_or_sections, 2, 3)


def adjoint(x: Node) -> Node:
    """The last two axes exchanged (and conjugated, if there were complex numbers)."""
    return transpose(x, -2, -1)


def split_with_sizes(x: Node, split_sizes: Sequence[int], dim: int = 0) -> list[Node]:
    """Parts of the listed sizes along `dim`, as views."""
    return split(x, list(split_sizes), dim)


VIEWS: dict[str, Callable[..., Any]] = {
    "select": select, "ravel": ravel, "tensor_split": tensor_split, "hsplit": hsplit, "vsplit": vsplit,
    "dsplit": dsplit, "adjoint": adjoint, "swapaxes": transpose, "swapdims": transpose, "moveaxis": movedim,
    "split_with_sizes": split_with_sizes,
}  # fmt: skip

# --- turning, repeating ----------------------------------------------------------------------------------------------


def fliplr(x: Node) -> Node:
    """Columns in reverse order."""
    return flip(x, 1)


def flipud(x: Node) -> Node:
    """Rows in reverse order."""
    return flip(x, 0)


def rot90(x: Node, k: int = 1, dims: Sequence[int] = (0, 1)) -> Node:
    """Turned by k right angles, from the first axis towards the second."""
    first, second = (axis_of(each, x.ndim) for each in dims)
    if first == second:
        raise ShapeError(explain("rot90 turns in a plane", received=f"dims {tuple(dims)}", expected="two axes"))
    turns = k % 4
    if turns == 2:
        return flip(x, first, second)
    if turns == 1:
        return transpose(flip(x, second), first, second)
    return flip(transpose(x, first, second), second) if turns else x


def tile(x: Node, *dims: int | Sequence[int]) -> Node:
    """Copies side by side: `repeat`, with 1 for axes that are not named."""
    counts = flat_ints(dims)
    return repeat(x, (1,) * (x.ndim - len(counts)) + counts)


def unfold(x: Node, dimension: int, size: int, step: int) -> Node:
    """Windows along an axis, `step` apart, each as a new last axis."""
    axis = axis_of(dimension, x.ndim)
    extent = x.shape[axis] if x.ndim else 1
    if size < 0 or size > extent or step < 1:
        raise ShapeError(explain("unfold: the window does not fit", received=f"size {size}, step {step}",
                                 expected=f"size of at most {extent}, step of at least 1"))  # fmt: skip
    x = x if x.ndim else reshape(x, 1)
    places = (extent - size) // step + 1
    parts = [take_range(x, axis, first, first + (places - 1) * step + 1, step) for first in range(size)]
    return stack(parts, -1) if parts else expand(unsqueeze(take_range(x, axis, 0, places), -1), (*x.shape, 0))


# --- taking and placing ----------------------------------------------------------------------------------------------


def take(x: Node, index: Node) -> Node:
    """The entries at places of the flattened tensor."""
    return ops.gather(reshape(x, -1), _from_behind(index, x.size), role="index")


def _from_behind(index: Node, extent: int) -> Node:
    """Places counted from the end are negative."""
    places = convert(index, int64)
    return where(less(places, 0), add(places, extent), places)


def take_along_dim(x: Node, indices: Node, dim: int | None = None) -> Node:
    """The entries at places along an axis, shapes broadcasting; without `dim` of the flattened tensor."""
    if dim is None:
        return take(x, reshape(indices, -1))
    axis = axis_of(dim, x.ndim)
    others = [shape[:axis] + (1,) + shape[axis + 1 :] for shape in (x.shape, indices.shape)]
    common = broadcast_shapes(*others, name="take_along_dim")
    wide = [(*common[:axis], shape[axis], *common[axis + 1 :]) for shape in (x.shape, indices.shape)]
    return gather(expand_to(x, wide[0]), axis, _from_behind(expand_to(indices, wide[1]), x.shape[axis]))


def _in_front(x: Node, axis: int) -> Node:
    return permute(x, [axis, *(each for each in range(x.ndim) if each != axis)]) if x.ndim else reshape(x, 1)


def _back(x: Node, axis: int, shape: tuple[int, ...]) -> Node:
    return permute(x, [*range(1, axis + 1), 0, *range(axis + 1, x.ndim)]) if shape else reshape(x, ())


def index_add(x: Node, dim: int, index: Node, source: Node, *, alpha: float = 1) -> Node:
    """x with alpha times the slices of `source` added at the places `index` of an axis."""
    axis = axis_of(dim, x.ndim)
    front, given = _in_front(x, axis), _in_front(source, axis)
    given = given if alpha == 1 else multiply(given, alpha)
    places = reshape(convert(index, int64), -1)
    added = ops.scatter_add(convert(given, x.dtype), places, shape=front.shape, role="index")
    return _back(add(front, added), axis, x.shape)


def index_copy(x: Node, dim: int, index: Node, source: Node) -> Node:
    """x with the slices of `source` written at the places `index` of an axis."""
    axis = axis_of(dim, x.ndim)
    given = convert(_in_front(source, axis), x.dtype)
    put = ops.index_put(_in_front(x, axis), given, reshape(convert(index, int64), -1), role="index")
    return _back(put, axis, x.shape)


def index_fill(x: Node, dim: int, index: Node, value: Operand) -> Node:
    """x with one number at the places `index` of an axis."""
    axis = axis_of(dim, x.ndim)
    extent = x.shape[axis] if x.ndim else 1
    places = _from_behind(reshape(index, -1), extent)
    is_named = any_(one_hot(places, extent), 0)
    shape = tuple(extent if each == axis else 1 for each in range(x.ndim))
    return where(expand_to(reshape(is_named, shape), x.shape), as_node(value, x.dtype), x)


def index_put(x: Node, indices: Sequence[Node], values: Node, accumulate: bool = False) -> Node:
    """x with `values` written, or with `accumulate` added, at the places that the index tensors name together."""
    if not accumulate:
        return setitem(x, tuple(indices), values)
    shape = broadcast_shapes(*[each.shape for each in indices], name="index_put")
    places = [_from_behind(expand_to(each, shape), extent) for each, extent in zip(indices, x.shape, strict=False)]
    given = expand_to(convert(values, x.dtype), (*shape, *x.shape[len(places) :]))
    return add(x, ops.scatter_add(given, *places, shape=x.shape, role="index"))


def select_scatter(x: Node, src: Node, dim: int, index: int) -> Node:
    """x with `src` at one place of an axis."""
    axis = axis_of(dim, x.ndim)
    return slice_scatter(x, unsqueeze(src, axis), axis, index % x.shape[axis], index % x.shape[axis] + 1)


def slice_scatter(
    x: Node, src: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Node:
    """x with `src` at the places start, start + step, ... below `end` of an axis."""
    axis = axis_of(dim, x.ndim)
    places = range(*slice(start, end, step).indices(x.shape[axis]))
    index = tuple(slice(None) for _ in range(axis))
    return setitem(x, (*index, slice(places.start, max(places.start, places.stop), step)), src)


def diagonal_scatter(x: Node, src: Node, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
    """x with `src` on the diagonal of two axes."""
    first, second = axis_of(dim1, x.ndim), axis_of(dim2, x.ndim)
    order = [*(each for each in range(x.ndim) if each not in (first, second)), first, second]
    front = permute(x, order)
    row, column = (ops.iota(shape=front.shape, axis=front.ndim - each, dtype="int64") for each in (2, 1))
    is_on = equal(column, add(row, offset))
    written = where(is_on, _spread_diagonal(src, front.shape, offset), front)
    return permute(written, ops.inverse_order(tuple(order)))


def _spread_diagonal(src: Node, shape: tuple[int, ...], offset: int) -> Node:
    """The entries of a diagonal, wherever they may be in its row; what lies off it is not read."""
    down, across = max(0, -offset), max(0, offset)
    count = max(0, min(shape[-2] - down, shape[-1] - across))
    if src.shape != (*shape[:-2], count):
        raise ShapeError(explain("diagonal_scatter: src does not fit the diagonal", received=src.shape,
                                 expected=(*shape[:-2], count)))  # fmt: skip
    padded = ops.pad(src, low=(0,) * (src.ndim - 1) + (down,), high=(0,) * (src.ndim - 1) + (shape[-2] - down - count,),
                     interior=(0,) * src.ndim, value=0)  # fmt: skip
    return expand_to(unsqueeze(padded, -1), shape)


def diag_embed(x: Node, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Node:
    """The last axis as the diagonal of two new ones, zeros beside it."""
    first, second = axis_of(dim1, x.ndim + 1), axis_of(dim2, x.ndim + 1)
    if first == second:
        raise ShapeError(explain("diag_embed needs two different axes", received=f"dim1={dim1}, dim2={dim2}"))
    n = x.shape[-1] + abs(offset)
    row, column = (ops.iota(shape=(n, n), axis=each, dtype="int64") for each in (0, 1))
    low, high = max(0, -offset), max(0, offset)
    padded = ops.pad(x, low=(0,) * (x.ndim - 1) + (low,), high=(0,) * (x.ndim - 1) + (high,), interior=(0,) * x.ndim,
                     value=0)  # fmt: skip
    square = where(equal(column, add(row, offset)), unsqueeze(padded, -1), 0)
    return movedim(square, (x.ndim - 1, x.ndim), (first, second))


def diagflat(x: Node, offset: int = 0) -> Node:
    """All entries as the diagonal of a matrix."""
    return diag(reshape(x, -1), offset)


def trace(x: Node) -> Node:
    """The sum of the diagonal of a matrix."""
    if x.ndim != 2:
        raise ShapeError(explain("trace takes a matrix", received=f"shape {x.shape}", expected="two axes"))
    entries = diagonal(x)
    summed = convert(entries, int64) if not entries.dtype.is_floating_point else entries
    return reshape(ops.sum_(summed, axes=(0,)), ())


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "fliplr": fliplr, "flipud": flipud, "rot90": rot90, "tile": tile, "take": take, "take_along_dim": take_along_dim,
    "index_add": index_add, "index_copy": index_copy, "index_fill": index_fill, "index_put": index_put,
    "select_scatter": select_scatter, "slice_scatter": slice_scatter, "diagonal_scatter": diagonal_scatter,
    "diag_embed": diag_embed, "diagflat": diagflat, "trace": trace,
    "narrow_copy": narrow, "unfold": unfold,
}  # fmt: skip

# --- several ---------------------------------------------------------------------------------------------------------


def _at_least(x: Node, count: int) -> Node:
    if count == 3 and x.ndim == 2:
        return unsqueeze(x, -1)
    if x.ndim < count:
        return reshape(x, {1: (1,), 2: (1, x.size), 3: (1, x.size, 1)}[count])
    return x


def _each(count: int) -> Callable[..., Any]:
    def at_least(*tensors: Any) -> Any:
        given = tensors[0] if len(tensors) == 1 else tensors
        if isinstance(given, Node):
            return _at_least(given, count)
        return [_at_least(each, count) for each in given]

    at_least.__name__ = f"atleast_{count}d"
    at_least.__doc__ = f"Each tensor with at least {count} axes."
    return at_least


def hstack(tensors: Sequence[Node]) -> Node:
    """Joined along axis 1, vectors along axis 0."""
    nodes = [_at_least(each, 1) for each in tensors]
    return cat(nodes, 0 if nodes and nodes[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Node]) -> Node:
    """Joined along axis 0, vectors being rows."""
    return cat([_at_least(each, 2) for each in tensors], 0)


def dstack(tensors: Sequence[Node]) -> Node:
    """Joined along axis 2."""
    return cat([_at_least(each, 3) for each in tensors], 2)


def column_stack(tensors: Sequence[Node]) -> Node:
    """Joined along axis 1, vectors being columns."""
    return hstack([reshape(each, (each.size, 1)) if each.ndim < 2 else each for each in tensors])


def block_diag(*tensors: Node) -> Node:
    """The matrices along the diagonal of a larger one, zeros beside them."""
    nodes = [_at_least(each, 2) for each in tensors]
    width, left, rows = sum(each.shape[1] for each in nodes), 0, []
    for each in nodes:
        rows.append(ops.pad(each, low=(0, left), high=(0, width - left - each.shape[1]), interior=(0, 0), value=0))
        left += each.shape[1]
    return cat(rows, 0)


def meshgrid(*tensors: Any, indexing: str = "ij") -> list[Node]:
    """Of vectors, all their combinations as grids; ``indexing="xy"`` exchanges the first two axes."""
    given = list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Node) else list(tensors)
    if indexing not in ("ij", "xy"):
        raise ArgumentError(explain("meshgrid: unknown indexing", received=repr(indexing), expected="ij or xy"))
    shape = tuple(each.size for each in given)
    grids = [
        expand_to(reshape(each, tuple(each.size if axis == place else 1 for axis in range(len(given)))), shape)
        for place, each in enumerate(given)
    ]
    return [transpose(each, 0, 1) for each in grids] if indexing == "xy" and len(grids) > 1 else grids


def cartesian_prod(*tensors: Node) -> Node:
    """All combinations of the entries of vectors, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors)
    return stack([reshape(each, size_of(each.shape)) for each in grids], 1)


OF_SEVERAL: dict[str, Callable[..., Any]] = {
    "atleast_1d": _each(1), "atleast_2d": _each(2), "atleast_3d": _each(3), "hstack": hstack, "vstack": vstack,
    "row_stack": vstack, "dstack": dstack, "column_stack": column_stack, "concatenate": cat, "block_diag": block_diag,
    "meshgrid": meshgrid, "cartesian_prod": cartesian_prod,
}  # fmt: skip
