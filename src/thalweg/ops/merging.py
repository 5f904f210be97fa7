"""Movements of movements, made one: what the records of `move` know about reading each other.

In: a movement whose input may be another movement. Out: an equal node with fewer movements, or None. Every rule is
exact: entries are only moved, never computed.
"""

from __future__ import annotations

from thalweg.graph import Node, Shape, full, size_of
from thalweg.ops.rules import op

Ints = tuple[int, ...]


def simpler_reshape(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    return op("reshape")(x.inputs[0], shape=node.shape) if x.op is node.op else None


def simpler_permute(node: Node) -> Node | None:
    """Where only axes of size 1 change places, the entries stay in order."""
    (x,), order = node.inputs, node.attributes["order"]
    if x.op is node.op:
        first = x.attributes["order"]
        return op("permute")(x.inputs[0], order=tuple(first[axis] for axis in order))
    long = [axis for axis in order if x.shape[axis] != 1]
    return op("reshape")(x, shape=node.shape) if long == sorted(long) else None


def simpler_broadcast(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    return op("broadcast")(x.inputs[0], shape=node.shape) if x.op is node.op else None


def simpler_flip(node: Node) -> Node | None:
    (x,), axes = node.inputs, node.attributes["axes"]
    if x.op is node.op:
        once = set(axes) ^ set(x.attributes["axes"])
        return op("flip")(x.inputs[0], axes=tuple(sorted(once)))
    long = tuple(axis for axis in axes if x.shape[axis] > 1)
    if not long:
        return x
    return op("flip")(x, axes=long) if long != axes else None


def simpler_concatenate(node: Node) -> Node | None:
    axis = node.attributes["axis"]
    parts = [each for each in node.inputs if each.shape[axis]] or list(node.inputs[:1])
    if len(parts) == len(node.inputs) > 1:
        return None
    return parts[0] if len(parts) == 1 else op("concatenate")(*parts, axis=axis)


def simpler_pad(node: Node) -> Node | None:
    (x,), widths = node.inputs, node.attributes
    if x.shape == node.shape:
        return x
    if x.op is not node.op or any(widths["interior"]) or repr(x.attributes["value"]) != repr(widths["value"]):
        return None
    inner = x.attributes
    low = _sum(inner["low"], widths["low"])
    return op("pad")(x.inputs[0], **{**inner, "low": low, "high": _sum(inner["high"], widths["high"])})


def simpler_slice(node: Node) -> Node | None:
    """A slice of a slice, of a padding, of a joined or of a repeated array reads that array's own entries."""
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    reader = x.op.identities.get("sliced")
    return reader(node, x) if reader else None


def joined_paddings(node: Node) -> Node | None:
    """A sum of paddings with zeros of which each place has one entry: what the gradients of all slices come to."""
    parts = _summed_paddings(node)
    axes = {axis for each in parts for axis, widths in enumerate(_widths(each)) if any(widths)}
    if len(parts) < 2 or len(axes) != 1:
        return None
    (axis,) = axes
    parts.sort(key=lambda each: each.attributes["low"][axis])
    begin = 0
    for each in parts:
        if each.attributes["low"][axis] != begin:
            return None
        begin += each.inputs[0].shape[axis]
    return op("concatenate")(*[each.inputs[0] for each in parts], axis=axis) if begin == node.shape[axis] else None


def _summed_paddings(node: Node) -> list[Node]:
    """The paddings with zeros, and nothing in between, that a sum of sums adds up; none where it adds another thing."""
    found, stack = list[Node](), [node]
    while stack:
        each = stack.pop()
        if each.op is node.op:
            stack += each.inputs
        elif each.op is op("pad") and each.attributes["value"] == 0 and not any(each.attributes["interior"]):
            found.append(each)
        else:
            return []
    return found


def _widths(padding: Node) -> list[tuple[int, int]]:
    return list(zip(padding.attributes["low"], padding.attributes["high"], strict=True))


# --- what a slice of each movement is --------------------------------------------------------------------------------


def sliced_slice(node: Node, x: Node) -> Node:
    a, b = x.attributes, node.attributes
    step = tuple(i * j for i, j in zip(a["step"], b["step"], strict=True))
    start = tuple(i + j * k for i, j, k in zip(a["start"], b["start"], a["step"], strict=True))
    return _slice(x.inputs[0], start, step, node.shape)


def sliced_pad(node: Node, x: Node) -> Node | None:
    """The entries that were padded, or only padding; where a slice cuts across the edge, it stays."""
    (source,), low, interior = x.inputs, x.attributes["low"], x.attributes["interior"]
    start, step = node.attributes["start"], node.attributes["step"]
    if start == low and node.shape == source.shape and step == tuple(gap + 1 for gap in interior):
        return source
    if any(interior) or not node.size:
        return None
    shifted = tuple(i - before for i, before in zip(start, low, strict=True))
    last = tuple(i + (n - 1) * j for i, n, j in zip(shifted, node.shape, step, strict=True))
    if all(i >= 0 and end < extent for i, end, extent in zip(shifted, last, source.shape, strict=True)):
        return _slice(source, shifted, step, node.shape)
    is_outside = any(end < 0 or i >= extent for i, end, extent in zip(shifted, last, source.shape, strict=True))
    return full(node.shape, x.attributes["value"], node.dtype) if is_outside else None


def sliced_concatenate(node: Node, x: Node) -> Node | None:
    axis, start = x.attributes["axis"], node.attributes["start"]
    offset = 0
    for part in x.inputs:
        first = start[axis] - offset
        last = first + (node.shape[axis] - 1) * node.attributes["step"][axis]
        if node.size and first >= 0 and last < part.shape[axis]:
            moved = (*start[:axis], first, *start[axis + 1 :])
            return _slice(part, moved, node.attributes["step"], node.shape)
        offset += part.shape[axis]
    return None


def sliced_broadcast(node: Node, x: Node) -> Node | None:
    (source,) = x.inputs
    if not node.size:
        return None
    repeated = [extent == 1 for extent in source.shape]
    start = tuple(0 if is_one else i for is_one, i in zip(repeated, node.attributes["start"], strict=True))
    shape = tuple(1 if is_one else n for is_one, n in zip(repeated, node.shape, strict=True))
    return op("broadcast")(_slice(source, start, node.attributes["step"], shape), shape=node.shape)


def _slice(x: Node, start: Ints, step: Ints, shape: Shape) -> Node:
    """The slice of that shape: as few entries are read as it needs."""
    if not size_of(shape):
        return op("slice")(x, start=(0,) * x.ndim, stop=shape, step=(1,) * x.ndim)
    step = tuple(stride if n > 1 else 1 for stride, n in zip(step, shape, strict=True))
    stop = tuple(i + (n - 1) * j + 1 for i, n, j in zip(start, shape, step, strict=True))
    return op("slice")(x, start=start, stop=stop, step=step)


def _sum(a: Ints, b: Ints) -> Ints:
    return tuple(i + j for i, j in zip(a, b, strict=True))
