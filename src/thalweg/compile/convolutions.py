"""A convolution as window products and movements, with the channels last.

In: a `convolution` node, its input with the channels last, its weight. Out: the result with the channels last. Padding
becomes a movement, the zeros between the entries of a dilated input become several smaller products, groups and the
parts of a long sum become leading axes, and what has no window at all becomes a matrix product.
"""

from __future__ import annotations

from dataclasses import replace

from thalweg.compile.pieces import largest_divisor
from thalweg.compile.target import current_target
from thalweg.compile.views import view_of
from thalweg.graph import Node, full
from thalweg.ops import broadcast, concatenate, contiguous, matmul, pad, permute, reshape, slice_, sum_, window_product
from thalweg.ops.convolution import Form

Ints = tuple[int, ...]


def lowered(node: Node, x: Node, w: Node) -> Node:
    """The result (N, *P, O) of the convolution `node` of x (N, *S, C) and w (O, C, *K)."""
    form, places = Form(**node.attributes), node.shape[2:]
    if not node.size or not w.size or not x.size:
        return full((node.shape[0], *places, node.shape[1]), 0, node.dtype)
    if form.groups == 1 and _is_pointwise(x, w, form):
        return _pointwise(x, w, form)
    if form.groups == 1 and _is_total(x, w, form, places):
        return _total(x, w, len(places))
    if any(gap > 1 for gap in form.input_dilation):
        return _dilated(x, w, form, places)
    return _product(_padded(x, w, form, places), w, form)


def permuted(x: Node, order: Ints) -> Node:
    """x with its axes in that order, in one movement."""
    if x.op is permute:
        before = x.attributes["order"]
        x, order = x.inputs[0], tuple(before[axis] for axis in order)
    return x if order == tuple(range(len(order))) else permute(x, order=order)


# --- padding and dilation --------------------------------------------------------------------------------------------


def _padded(x: Node, w: Node, form: Form, places: Ints) -> Node:
    """What the windows see and nothing more: equal for the convolution and its gradient by the weight."""
    low, high = [0], [0]
    for axis, (before, _) in enumerate(form.padding):
        span = (w.shape[2 + axis] - 1) * form.window_dilation[axis] + 1
        seen = (places[axis] - 1) * form.stride[axis] + span
        low.append(before)
        high.append(seen - before - x.shape[1 + axis])
    return widened(x, (*low, 0), (*high, 0))


def widened(x: Node, low: Ints, high: Ints) -> Node:
    """Zeros at the ends of axes, or entries cut off; where x is only turned over, what it is made of is widened."""
    if x.op is permute:
        order = x.attributes["order"]
        place = [order.index(axis) for axis in range(len(order))]
        inner = widened(x.inputs[0], tuple(low[each] for each in place), tuple(high[each] for each in place))
        return permuted(inner, order)
    low, high = _within(low, high, x.shape), _within(high, low, x.shape)
    start = tuple(max(0, -each) for each in low)
    stop = tuple(extent - max(0, -each) for extent, each in zip(x.shape, high, strict=True))
    if any(start) or stop != x.shape:
        x = slice_(x, start=start, stop=stop, step=(1,) * x.ndim)
    low, high = tuple(max(0, each) for each in low), tuple(max(0, each) for each in high)
    return pad(x, low=low, high=high, interior=(0,) * x.ndim, value=0) if any((*low, *high)) else x


def _within(widths: Ints, others: Ints, extents: Ints) -> Ints:
    """Widths at one end of axes that cut off no more than there is; the other end's cut into them."""
    result = []
    for width, other, extent in zip(widths, others, extents, strict=True):
        beyond = min(0, other + extent)  # what the other end cuts off past this one
        result.append(max(width, -extent) + beyond)
    return tuple(result)


def _dilated(x: Node, w: Node, form: Form, places: Ints) -> Node:
    """Zeros between the entries of x: for each remainder of a place, the part of the window that meets entries."""
    if any(step > 1 for step in form.stride) or any(gap > 1 for gap in form.window_dilation):
        return _with_zeros(x, w, form, places)
    low, high = _widths(x, w, form, places)
    x = widened(x, (0, *low, 0), (0, *high, 0))
    shifted = [
        (before - width * gap, 0)
        for (before, _), width, gap in zip(form.padding, low, form.input_dilation, strict=True)
    ]
    return _by_remainder(x, w, replace(form, padding=tuple(shifted)), places, 0)


def _widths(x: Node, w: Node, form: Form, places: Ints) -> tuple[Ints, Ints]:
    """How many entries before the first and behind the last one any of the smaller products sees."""
    low, high = [], []
    for axis, (gap, (before, _)) in enumerate(zip(form.input_dilation, form.padding, strict=True)):
        seen = [place + k - before for place in (0, places[axis] - 1) for k in (0, w.shape[2 + axis] - 1)]
        low.append(max(0, -(min(seen) // gap)))
        high.append(max(0, max(seen) // gap - x.shape[1 + axis] + 1))
    return tuple(low), tuple(high)


def _with_zeros(x: Node, w: Node, form: Form, places: Ints) -> Node:
    interior = (0, *(gap - 1 for gap in form.input_dilation), 0)
    spread = pad(x, low=(0,) * x.ndim, high=(0,) * x.ndim, interior=interior, value=0)
    ones = (1,) * len(places)
    plain = Form(form.stride, form.padding, ones, form.window_dilation, form.feature_groups, form.batch_groups)
    return _product(_padded(spread, w, plain, places), w, plain)


def _by_remainder(x: Node, w: Node, form: Form, places: Ints, axis: int) -> Node:
    """Along this axis and those after it."""
    if axis == len(places):
        return _product(_padded(x, w, form, places), w, form)
    gap = form.input_dilation[axis]
    if gap == 1:
        return _by_remainder(x, w, form, places, axis + 1)
    count = -(-places[axis] // gap)
    fewer = (*places[:axis], count, *places[axis + 1 :])
    parts = [_of_remainder(x, w, form, fewer, axis, rest) for rest in range(gap)]
    shape = (parts[0].shape[0], *parts[0].shape[1 : axis + 2], 1, *parts[0].shape[axis + 2 :])
    joined = concatenate(*[reshape(part, shape=shape) for part in parts], axis=axis + 2)
    whole = reshape(joined, shape=(*shape[: axis + 1], count * gap, *shape[axis + 3 :]))
    return slice_(
        whole,
        start=(0,) * whole.ndim,
        stop=(*whole.shape[: axis + 1], places[axis], *whole.shape[axis + 2 :]),
        step=(1,) * whole.ndim,
    )


def _of_remainder(x: Node, w: Node, form: Form, places: Ints, axis: int, rest: int) -> Node:
    """The places gap q + rest: place q of the window's entries that are a gap apart, from the first that meets x."""
    gap, low = form.input_dilation[axis], form.padding[axis][0]
    first = (low - rest) % gap
    if first >= w.shape[2 + axis]:
        batch = x.shape[0] // form.batch_groups
        return full((batch, *places, w.shape[0]), 0, x.dtype)
    start, step = [0] * w.ndim, [1] * w.ndim
    start[2 + axis], step[2 + axis] = first, gap
    part = slice_(w, start=tuple(start), stop=w.shape, step=tuple(step))
    padding, dilation = list(form.padding), list(form.input_dilation)
    padding[axis], dilation[axis] = ((low - rest - first) // gap, 0), 1
    less = replace(form, padding=tuple(padding), input_dilation=tuple(dilation))
    return _by_remainder(x, part, less, places, axis + 1)


# --- products --------------------------------------------------------------------------------------------------------


def _product(x: Node, w: Node, form: Form) -> Node:
    """The windows of x, where nothing needs padding any more."""
    rank, groups = len(form.stride), form.groups
    x, w = _grouped_x(x, form), _grouped_w(w, groups)
    if groups > 1 and w.shape[-1] == 1:  # one output a group: a vector has one of several groups
        x, w = _side_by_side(x), _side_by_side(w)
    parts = _parts(x, w, form)
    if parts > 1:
        x, w = _split(x, x.ndim - 1, parts), _split(w, w.ndim - 2, parts)
    panel = _panel(w, parts, groups)
    if panel:
        w = _split(w, w.ndim - 1, w.shape[-1] // panel)
        x = broadcast(reshape(x, shape=(1, *x.shape)), shape=(w.shape[0], *x.shape))
    lead = w.ndim - rank - 2
    summed = 1 if parts > 1 else 0
    # The parts of the sum stay in front; groups and panels come right before the outputs.
    order = [*range(summed), *range(lead, lead + 1 + rank), *range(summed, lead)]
    # A single output comes before the groups: they are then what stands side by side.
    order.insert(len(order) - (lead - summed) * (w.shape[-1] == 1), lead + rank + 1)
    y = window_product(x, w, lead=lead, stride=form.stride, dilation=form.window_dilation, order=tuple(order))
    if summed:
        y = reshape(sum_(y, axes=(0,)), shape=y.shape[1:])
    return reshape(y, shape=(*y.shape[: 1 + rank], groups * w.shape[-1] * (w.shape[0] if panel else 1)))


def _grouped_x(x: Node, form: Form) -> Node:
    """(N, *S, C) with the groups of channels, or of the batch, as a leading axis."""
    rank = x.ndim - 2
    if form.feature_groups > 1:
        split = reshape(x, shape=(*x.shape[:-1], form.groups, x.shape[-1] // form.groups))
        return permuted(split, (rank + 1, *range(rank + 1), rank + 2))
    if form.batch_groups > 1:
        return _split(x, 0, form.groups)
    return x


def _grouped_w(w: Node, groups: int) -> Node:
    """(O, C, *K) as (*K, C, O), with the groups of outputs as a leading axis."""
    spatial = w.ndim - 2
    if groups == 1:
        return permuted(w, (*range(2, w.ndim), 1, 0))
    return permuted(_split(w, 0, groups), (0, *range(3, 3 + spatial), 2, 1))


def _side_by_side(x: Node) -> Node:
    """The same with the leading axis last in memory."""
    if view_of(x).strides[0] == 1:
        return x
    last = contiguous(permuted(x, (*range(1, x.ndim), 0)))
    return permuted(last, (x.ndim - 1, *range(x.ndim - 1)))


def _split(x: Node, axis: int, count: int) -> Node:
    """An axis cut into so many equal parts, which become the leading axis."""
    shape = (*x.shape[:axis], count, x.shape[axis] // count, *x.shape[axis + 1 :])
    if x.op is permute:  # what x is made of is split, so that it is read where it lies
        order = x.attributes["order"]
        inner = x.inputs[0]
        place = order[axis]
        within = reshape(inner, shape=(*inner.shape[:place], *shape[axis : axis + 2], *inner.shape[place + 1 :]))
        moved = [each + (each > place) for each in order]
        moved[axis] = place + 1
        return permuted(within, (place, *moved))
    return permuted(reshape(x, shape=shape), (axis, *(each for each in range(x.ndim + 1) if each != axis)))


_LONG = 4096  # products in one sum, from which on it is worth several parts
_FEW = 8 * 256  # results, too few to be cut among threads
_PARTS = 64
_WORTH = 4  # times as much is read as the parts' results come to


def _parts(x: Node, w: Node, form: Form) -> int:
    """Into how many parts a long sum over the channels is cut: threads share them, and each part stays in the cache.

    The sums of a weight's gradient run over the batch, which is the channels here, and over all places.
    """
    channels, depth = w.shape[-2], w.shape[-2]
    for extent in w.shape[-2 - len(form.stride) : -2]:
        depth *= extent
    if depth < _LONG or channels == 1:
        return 1
    lead = w.ndim - len(form.stride) - 2
    result = w.size // depth * x.shape[lead]
    for axis, (step, gap) in enumerate(zip(form.stride, form.window_dilation, strict=True)):
        result *= (x.shape[lead + 1 + axis] - (w.shape[lead + axis] - 1) * gap - 1) // step + 1
    most = min(channels, _PARTS)
    if result >= _FEW:
        most = min(most, (x.size + w.size) // (_WORTH * result))
    return largest_divisor(channels, most)


_WIDE = 512  # bytes: rows of w this far apart fall into few sets of the caches


def _panel(w: Node, parts: int, groups: int) -> int:
    """How many outputs stand side by side in w where all of them together lie too far apart; 0 for all."""
    width = 2 * current_target().vector_bytes // w.dtype.itemsize
    is_wide = w.shape[-1] * w.dtype.itemsize >= _WIDE and w.shape[-1] % width == 0 and w.shape[-1] > width
    is_wide = is_wide and w.size * w.dtype.itemsize > _STAYS and view_of(w).strides[-1] != 1  # it is copied anyway
    return width if is_wide and parts == 1 and groups == 1 else 0


# --- matrix products -------------------------------------------------------------------------------------------------


_STAYS = 1 << 18  # bytes: a smaller w stays in the cache as it lies, while the results go by sample after sample


def _is_pointwise(x: Node, w: Node, form: Form) -> bool:
    """Whether this is the product of a matrix of places with one of channels, large enough for w to be packed."""
    is_large = w.size * w.dtype.itemsize > _STAYS or set(x.shape[1:-1]) == {1}
    return is_large and all(extent == 1 for extent in w.shape[2:]) and set(form.input_dilation) == {1}


def _pointwise(x: Node, w: Node, form: Form) -> Node:
    rank = len(form.stride)
    low = (0, *(before for before, _ in form.padding), 0)
    high = (0, *(after for _, after in form.padding), 0)
    x = widened(x, low, high)
    if any(step > 1 for step in form.stride):
        x = slice_(x, start=(0,) * x.ndim, stop=x.shape, step=(1, *form.stride, 1))
    rows = reshape(x, shape=(x.size // x.shape[-1], x.shape[-1]))
    y = matmul(rows, reshape(w, shape=w.shape[:2]), transpose_a=False, transpose_b=True)
    return reshape(y, shape=(*x.shape[: 1 + rank], w.shape[0]))


def _is_total(x: Node, w: Node, form: Form, places: Ints) -> bool:
    """Whether the window is all of x: the gradient of a pointwise convolution by its weight."""
    is_whole = w.shape[2:] == x.shape[1:-1] and set(places) == {1} and set(form.input_dilation) == {1}
    return is_whole and all(pair == (0, 0) for pair in form.padding)


def _total(x: Node, w: Node, rank: int) -> Node:
    """Both with the batch of the sum first: x (N, *S, C) is read as (C, *S, N)."""
    spatial = range(1, 1 + rank)
    a = permuted(x, (1 + rank, *spatial, 0))
    b = permuted(w, (1, *range(2, 2 + rank), 0))
    a, b = (reshape(each, shape=(each.size // each.shape[-1], each.shape[-1])) for each in (a, b))
    parts = next((count for count in (16, 8, 4, 2) if a.shape[0] % count == 0 and a.shape[0] >= count * _LONG // 4), 1)
    if parts > 1 and a.shape[1] * b.shape[1] * parts <= a.size + b.size:
        a, b = (reshape(each, shape=(parts, each.shape[0] // parts, each.shape[1])) for each in (a, b))
        y = reshape(sum_(matmul(a, b, transpose_a=True, transpose_b=False), axes=(0,)), shape=(a.shape[2], b.shape[2]))
    else:
        y = matmul(a, b, transpose_a=True, transpose_b=False)
    return reshape(y, shape=(y.shape[0], *(1,) * rank, y.shape[1]))
