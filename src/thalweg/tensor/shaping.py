"""Expressions that change shape or place: reshape, transpose, squeeze, expand, cat, stack, split, pad, and the like.

In: nodes and the axes as PyTorch users write them (negative, -1 for "the rest"). Out: nodes of the move primitives,
or lists of them. All of these are views in the tensor layer where PyTorch has views.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg import ops
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node, Shape, size_of
from thalweg.tensor.arithmetic import broadcast_shapes, common_dtype, convert, expand_to


def axis_of(dim: int, ndim: int, name: str = "dim") -> int:
    """A non-negative axis from a possibly negative one."""
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise DTypeError(explain(f"{name} must be an integer", received=repr(dim), expected="an axis such as 0 or -1"))
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise ShapeError(
            explain(
                f"{name} is not an axis of this tensor",
                received=dim,
                expected=f"{-ndim} <= {name} < {ndim}" if ndim else "no axis: the tensor is 0-d",
            )
        )
    return dim % ndim if ndim else 0


def axes_of(dims: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction names; None means all."""
    if dims is None:
        return tuple(range(ndim))
    named = tuple(dims) if isinstance(dims, (list, tuple)) else (dims,)
    axes = tuple(axis_of(dim, ndim) for dim in named)
    if not ndim:  # a number has one entry and no axis; dim 0 and -1 are allowed, as in PyTorch
        return ()
    if len(set(axes)) != len(axes):
        raise ShapeError(explain("an axis is named twice", received=named, expected="each axis once"))
    return tuple(sorted(axes)) if axes else tuple(range(ndim))


def flat_ints(sizes: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise DTypeError(explain("a size must be an integer", received=repr(size), expected="integers"))
    return tuple(size.__index__() for size in sizes)  # type: ignore[union-attr]


def resolve_shape(shape: Shape, total: int) -> Shape:
    """Fill in the one extent that is -1."""
    unknown = [i for i, extent in enumerate(shape) if extent == -1]
    known = size_of(tuple(extent for extent in shape if extent != -1))
    if len(unknown) > 1 or any(extent < -1 for extent in shape):
        raise ShapeError(explain("at most one extent may be -1", received=shape, expected="non-negative extents"))
    if unknown and (known == 0 or total % known):
        raise _cannot_reshape(shape, total)
    result = tuple(total // known if extent == -1 else extent for extent in shape)
    if size_of(result) != total:
        raise _cannot_reshape(shape, total)
    return result


def _cannot_reshape(shape: Shape, total: int) -> ShapeError:
    return ShapeError(
        explain(
            "this tensor cannot have that shape",
            received=f"{total} entries for shape {shape}",
            expected="a shape with as many entries",
            remedy="use -1 for one extent to have it computed",
        )
    )


def reshape(x: Node, *shape: int | Sequence[int]) -> Node:
    """The same entries in another shape, as a view; one extent may be -1, which is then found."""
    resolved = resolve_shape(flat_ints(shape), x.size)
    return x if resolved == x.shape else ops.reshape(x, shape=resolved)


def flatten(x: Node, start_dim: int = 0, end_dim: int = -1) -> Node:
    """The axes from `start_dim` to `end_dim` as one."""
    if not x.ndim:
        return reshape(x, 1)
    start, end = axis_of(start_dim, x.ndim, "start_dim"), axis_of(end_dim, x.ndim, "end_dim")
    if start > end:
        raise ShapeError(explain("flatten: start_dim comes after end_dim", received=f"{start_dim} > {end_dim}"))
    return reshape(x, (*x.shape[:start], size_of(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def unflatten(x: Node, dim: int, sizes: Sequence[int]) -> Node:
    """The axis `dim` as several of the given sizes, one of which may be -1. A view."""
    axis = axis_of(dim, x.ndim)
    inner = resolve_shape(tuple(sizes), x.shape[axis])
    return reshape(x, (*x.shape[:axis], *inner, *x.shape[axis + 1 :]))


def permute(x: Node, *order_: int | Sequence[int], dims: Sequence[int] | None = None) -> Node:
    """The axes in another order, as a view."""
    dims = flat_ints(order_ if dims is None else (dims,))
    order = tuple(axis_of(dim, x.ndim) for dim in dims)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(
            explain("permute needs every axis exactly once", received=dims, expected=f"{x.ndim} different axes")
        )
    return x if order == tuple(range(x.ndim)) else ops.permute(x, order=order)


def transpose(x: Node, dim0: int, dim1: int) -> Node:
    """Two axes exchanged, as a view."""
    order = list(range(x.ndim))
    a, b = axis_of(dim0, x.ndim, "dim0"), axis_of(dim1, x.ndim, "dim1")
    if order:
        order[a], order[b] = order[b], order[a]
    return permute(x, order)


def reverse_axes(x: Node) -> Node:
    return permute(x, tuple(reversed(range(x.ndim))))


def matrix_transpose(x: Node) -> Node:
    """The transpose of a matrix; a vector or a number stays what it is."""
    if x.ndim > 2:
        raise ShapeError(
            explain("t() takes at most two axes", received=f"shape {x.shape}",
                    remedy="use .transpose(dim0, dim1), or .mT for a batch of matrices")
        )  # fmt: skip
    return reverse_axes(x)


def movedim(x: Node, source: int | Sequence[int], destination: int | Sequence[int]) -> Node:
    """The axes `source` moved to the places `destination`; the others keep their order."""
    taken = [axis_of(dim, x.ndim, "source") for dim in ([source] if isinstance(source, int) else source)]
    places = [
        axis_of(dim, x.ndim, "destination") for dim in ([destination] if isinstance(destination, int) else destination)
    ]
    if len(set(taken)) != len(taken) or len(set(places)) != len(places) or len(taken) != len(places):
        raise ShapeError(
            explain("movedim needs as many different places as axes", received=f"{source} to {destination}",
                    expected="each axis once on both sides")
        )  # fmt: skip
    order = [axis for axis in range(x.ndim) if axis not in taken]
    for place, axis in sorted(zip(places, taken, strict=True)):
        order.insert(place, axis)
    return permute(x, order)


def squeeze(x: Node, dim: int | Sequence[int] | None = None) -> Node:
    """Without the axes of extent 1: all of them, or those that `dim` names. A view."""
    axes = axes_of(dim, x.ndim)
    return reshape(x, tuple(extent for axis, extent in enumerate(x.shape) if not (axis in axes and extent == 1)))


def unsqueeze(x: Node, dim: int) -> Node:
    """With a new axis of extent 1 at `dim`. A view."""
    axis = axis_of(dim, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def expand(x: Node, *sizes: int | Sequence[int]) -> Node:
    """The entries repeated to a larger shape, as a view; -1 keeps an axis. Only axes of extent 1 can grow."""
    wanted = flat_ints(sizes)
    if len(wanted) < x.ndim:
        raise ShapeError(explain("expand cannot drop axes", received=wanted, expected=f"at least {x.ndim} extents"))
    own = (1,) * (len(wanted) - x.ndim) + x.shape
    shape = tuple(b if a == -1 else a for a, b in zip(wanted, own, strict=True))
    if any(b not in (1, a) for a, b in zip(shape, own, strict=True)):
        raise ShapeError(
            explain("expand repeats axes of size 1 only", received=f"{x.shape} to {wanted}", expected="extents of 1")
        )
    return expand_to(x, shape)


def expand_as(x: Node, other: Node) -> Node:
    """The entries repeated to the shape of `other`."""
    return expand(x, other.shape)


def broadcast_tensors(*nodes: Node) -> list[Node]:
    """All of them, repeated to the shape in which they meet."""
    shape = broadcast_shapes(*[node.shape for node in nodes])
    return [expand_to(node, shape) for node in nodes]


def _several(name: str, tensors: Sequence[Node]) -> list[Node]:
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(each, Node) for each in tensors):
        kinds = sorted({type(each).__name__ for each in tensors}) if isinstance(tensors, (list, tuple)) else "no list"
        raise DTypeError(
            explain(f"{name} takes a list or tuple of tensors", received=kinds, expected="tensors only",
                    remedy=f"write tw.{name}([a, b], dim)")
        )  # fmt: skip
    if not tensors:
        raise ArgumentError(explain(f"{name} needs at least one tensor", received="an empty sequence"))
    return list(tensors)


def cat(tensors: Sequence[Node], dim: int = 0) -> Node:
    """The tensors joined along an axis that they have."""
    nodes = _several("cat", tensors)
    if any(node.ndim == 0 for node in nodes):
        raise ShapeError(explain("cat cannot join 0-d tensors", received="a 0-d tensor", remedy="use stack"))
    dtype = common_dtype(nodes)
    nodes = [node for node in nodes if node.shape != (0,)] or nodes[:1]  # nothing is joined to anything, as in PyTorch
    axis = axis_of(dim, nodes[0].ndim)
    for node in nodes:
        if node.ndim != nodes[0].ndim or any(
            a != b for i, (a, b) in enumerate(zip(node.shape, nodes[0].shape, strict=True)) if i != axis
        ):
            raise ShapeError(
                explain("cat: shapes differ outside the joined axis", received=", ".join(str(n.shape) for n in nodes),
                        expected=f"equal extents except on axis {axis}", remedy="use stack for a new axis")
            )  # fmt: skip
    return ops.concatenate(*[convert(node, dtype) for node in nodes], axis=axis)


def stack(tensors: Sequence[Node], dim: int = 0) -> Node:
    """The tensors joined along a new axis."""
    nodes = _several("stack", tensors)
    if any(node.shape != nodes[0].shape for node in nodes):
        raise ShapeError(
            explain(
                "stack: shapes differ", received=", ".join(str(node.shape) for node in nodes), expected="equal shapes"
            )
        )
    axis = axis_of(dim, nodes[0].ndim + 1)
    return cat([unsqueeze(node, axis) for node in nodes], axis)


def narrow(x: Node, dim: int, start: int, length: int) -> Node:
    """The entries from `start` on along `dim`, `length` of them, as a view."""
    axis = axis_of(dim, x.ndim)
    first = start + x.shape[axis] if start < 0 else start
    if first < 0 or length < 0 or first + length > x.shape[axis]:
        raise ShapeError(
            explain(
                "narrow goes over the edge",
                received=f"start {start}, length {length}",
                expected=f"within 0..{x.shape[axis]} on axis {axis}",
            )
        )
    return take_range(x, axis, first, first + length)


def take_range(x: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """Entries start, start + step, ... below stop along one axis."""
    return ops.slice_(
        x,
        start=tuple(start if i == axis else 0 for i in range(x.ndim)),
        stop=tuple(stop if i == axis else extent for i, extent in enumerate(x.shape)),
        step=tuple(step if i == axis else 1 for i in range(x.ndim)),
    )


def split(x: Node, split_size_or_sections: int | Sequence[int], dim: int = 0) -> list[Node]:
    """Views of `split_size_or_sections` entries along `dim`, the last perhaps smaller, or of the listed sizes."""
    axis = axis_of(dim, x.ndim)
    extent = x.shape[axis]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 1:
            raise ArgumentError(explain("split: the size must be positive", received=size, expected="at least 1"))
        sections = [min(size, extent - start) for start in range(0, extent, size)] or [0]
    else:
        sections = list(split_size_or_sections)
    if sum(sections) != extent:
        raise ShapeError(explain("split: sections do not add up", received=sections, expected=f"a sum of {extent}"))
    starts = [sum(sections[:i]) for i in range(len(sections))]
    return [take_range(x, axis, start, start + size) for start, size in zip(starts, sections, strict=True)]


def chunk(x: Node, chunks: int, dim: int = 0) -> list[Node]:
    """`chunks` parts along `dim`, views of one size but for the last; fewer where they do not suffice."""
    if chunks < 1:
        raise ArgumentError(explain("chunk: the number of chunks must be positive", received=chunks))
    extent = x.shape[axis_of(dim, x.ndim)]
    return split(x, max(1, -(-extent // chunks)), dim)


def unbind(x: Node, dim: int = 0) -> list[Node]:
    """The slices along `dim`, without that axis. Views."""
    axis = axis_of(dim, x.ndim)
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    return [reshape(take_range(x, axis, i, i + 1), rest) for i in range(x.shape[axis])]


def flip(x: Node, *axes: int | Sequence[int], dims: Sequence[int] | None = None) -> Node:
    """The entries in reverse order along the axes given."""
    wanted = flat_ints(axes if dims is None else (dims,))
    return ops.flip(x, axes=axes_of(wanted, x.ndim)) if wanted else x


def roll(x: Node, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Node:
    """The entries moved along their axes; what leaves at one end comes in at the other."""
    if dims is None:
        return reshape(roll(reshape(x, -1), shifts, 0), x.shape)
    steps, axes = ((each,) if isinstance(each, int) else tuple(each) for each in (shifts, dims))
    if len(steps) != len(axes):
        raise ShapeError(explain("roll needs one shift an axis", received=f"shifts {steps}, dims {axes}"))
    for shift, dim in zip(steps, axes, strict=True):
        axis = axis_of(dim, x.ndim)
        extent = x.shape[axis]
        if extent and shift % extent:
            cut = extent - shift % extent
            x = cat([take_range(x, axis, cut, extent), take_range(x, axis, 0, cut)], axis)
    return x


def repeat(x: Node, *sizes: int | Sequence[int]) -> Node:
    """Copies of the whole tensor along each axis."""
    counts = flat_ints(sizes)
    if len(counts) < x.ndim:
        raise ShapeError(explain("repeat needs a count for every axis", received=counts, expected=f"{x.ndim} or more"))
    if any(count < 0 for count in counts):
        raise ArgumentError(explain("a number of copies cannot be negative", received=counts, expected="at least 0"))
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    interleaved = tuple(each for extent in shape for each in (1, extent))
    repeated = tuple(each for count, extent in zip(counts, shape, strict=True) for each in (count, extent))
    expanded = expand_to(reshape(x, interleaved), repeated)
    return reshape(expanded, tuple(count * extent for count, extent in zip(counts, shape, strict=True)))


def repeat_interleave(x: Node, repeats: int, dim: int | None = None) -> Node:
    """Each entry repeated in place along one axis."""
    if dim is None:
        return repeat_interleave(reshape(x, -1), repeats, 0)
    axis = axis_of(dim, x.ndim)
    expanded = expand_to(unsqueeze(x, axis + 1), (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :]))
    return reshape(expanded, (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))


def pad(x: Node, pad: Sequence[int], value: float = 0) -> Node:
    """Constant padding, widths given from the last axis backwards as (low, high) pairs; negative widths crop."""
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ShapeError(
            explain("pad takes (low, high) pairs", received=tuple(pad), expected=f"at most {x.ndim} pairs")
        )
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    for axis, (low, high) in enumerate(widths):
        if low < 0 or high < 0:
            x = take_range(x, axis, max(0, -low), x.shape[axis] - max(0, -high))
    lows = tuple(max(0, each[0]) for each in widths)
    highs = tuple(max(0, each[1]) for each in widths)
    if not any(lows) and not any(highs):
        return x
    return ops.pad(x, low=lows, high=highs, interior=(0,) * x.ndim, value=value)
