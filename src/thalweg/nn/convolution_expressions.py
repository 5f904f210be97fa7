"""What convolutions compute, on the one record `convolution`; and windows laid out as columns.

In: nodes (N, C, *S), or one sample (C, *S), and one integer for each spatial axis. Out: nodes. Padding comes as
(low, high) for each axis, the first axis first. A transposed convolution is the same record: its input is spread by
the stride, its weight turned round.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from thalweg import ops
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, size_of
from thalweg.nn.expressions import along_channels, need_dtype_of, need_floating, need_shape
from thalweg.ops.convolution import exchanged
from thalweg.tensor.arithmetic import add
from thalweg.tensor.shaping import reshape, stack

Ints = tuple[int, ...]


def convolution(
    x: Node, weight: Node, bias: Node | None, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Node:
    """Every output channel is the weighted sum of a window of its group's input channels, plus its bias."""
    axes = len(stride)
    name, pairs = f"conv{axes}d", pairs_of(padding)
    _check_operands(name, x, weight, bias, axes)
    outputs, inputs, *kernel = weight.shape
    _check_channels(name, x, bias, inputs * groups, outputs, groups, axes)
    _check_room(name, x, tuple(kernel), dilation, pairs)
    result = ops.convolution(
        batched(x, axes), weight, stride=stride, padding=pairs, input_dilation=(1,) * axes, window_dilation=dilation,
        feature_groups=groups, batch_groups=1,
    )  # fmt: skip
    return _finished(result, bias, x)


def transposed_convolution(
    x: Node, weight: Node, bias: Node | None, stride: Ints, padding: Ints, output_padding: Ints, groups: int,
    dilation: Ints,
) -> Node:  # fmt: skip
    """The transpose of a convolution with this weight, (in_channels, out_channels / groups, *kernel): its gradient."""
    axes = len(stride)
    name = f"conv_transpose{axes}d"
    _check_operands(name, x, weight, bias, axes)
    inputs, outputs, *kernel = weight.shape
    _check_channels(name, x, bias, inputs, outputs * groups, groups, axes)
    check_output_padding(name, output_padding, stride, dilation)
    reach = [gap * (extent - 1) for gap, extent in zip(dilation, kernel, strict=True)]
    pairs = tuple(
        (each - cut, each - cut + more) for each, cut, more in zip(reach, padding, output_padding, strict=True)
    )
    _check_result(name, x, stride, pairs, reach)
    result = ops.convolution(
        batched(x, axes), exchanged(weight, groups), stride=(1,) * axes, padding=pairs, input_dilation=stride,
        window_dilation=dilation, feature_groups=groups, batch_groups=1,
    )  # fmt: skip
    return _finished(result, bias, x)


def pairs_of(padding: Ints) -> tuple[tuple[int, int], ...]:
    """(low, high, low, high, ...) as pairs."""
    return tuple(zip(padding[::2], padding[1::2], strict=True))


def batched(x: Node, axes: int) -> Node:
    """With a batch axis, of one sample where there was none."""
    return x if x.ndim == axes + 2 else reshape(x, (1, *x.shape))


def _finished(result: Node, bias: Node | None, x: Node) -> Node:
    """With its bias, and without the batch axis that the input did not have."""
    result = result if bias is None else add(result, along_channels(result, bias))
    return result if result.ndim == x.ndim else reshape(result, result.shape[1:])


# --- checks ----------------------------------------------------------------------------------------------------------


def need_channels_and_space(name: str, x: Node, axes: int) -> None:
    """(N, C, *S) or (C, *S)."""
    if x.ndim not in (axes + 1, axes + 2):
        space = ("L", "H, W", "D, H, W")[axes - 1]
        raise ShapeError(
            explain(
                f"{name} takes a batch of {('signals', 'images', 'volumes')[axes - 1]}, or one",
                received=f"shape {x.shape}",
                expected=f"(N, C, {space}) or (C, {space})",
                remedy="add the missing axis, for example x.unsqueeze(1) for a batch without a channel axis",
            )
        )


def _check_operands(name: str, x: Node, weight: Node, bias: Node | None, axes: int) -> None:
    need_channels_and_space(name, x, axes)
    need_floating(name, x)
    if weight.ndim != axes + 2:
        raise ShapeError(
            explain(f"{name}: the weight has another rank", received=f"weight of shape {weight.shape}",
                    expected=f"{axes + 2} axes: channels, channels of a group, and the kernel")
        )  # fmt: skip
    need_dtype_of(name, x, weight)
    need_dtype_of(name, x, bias)


def _check_channels(name: str, x: Node, bias: Node | None, inputs: int, outputs: int, groups: int, axes: int) -> None:
    have, is_single = x.shape[-axes - 1], x.ndim == axes + 1
    if have != inputs or inputs % groups or outputs % groups:
        in_groups = f", and groups that divide them and the {outputs} outputs: {groups} do not"
        raise ShapeError(
            explain(
                f"{name}: the input's channels do not fit the weight",
                received=f"{have} channels ({'one sample' if is_single else 'input'} of shape {x.shape})",
                expected=f"{inputs} channels" + (in_groups if have == inputs else f" (groups={groups})" * (groups > 1)),
                remedy="give the layer in_channels equal to the channels of its input"
                + ", or a batch without a channel axis one with x.unsqueeze(1)" * is_single,
            )
        )
    need_shape(name, "bias", bias, (outputs,))


def _check_result(name: str, x: Node, stride: Ints, pairs: tuple[tuple[int, int], ...], reach: Sequence[int]) -> None:
    """A transposed convolution cuts its padding off; something must be left."""
    spread = [(extent - 1) * step + 1 for extent, step in zip(x.shape[-len(stride) :], stride, strict=True)]
    left = [have + low + high - each for have, (low, high), each in zip(spread, pairs, reach, strict=True)]
    if min(left) < 1:
        raise ShapeError(
            explain(
                f"{name}: the output would be empty",
                received=f"extents {tuple(left)} for an input of shape {x.shape}",
                expected="at least one entry along each axis",
                remedy="less padding",
            )
        )


def _check_room(name: str, x: Node, kernel: Ints, dilation: Ints, pairs: tuple[tuple[int, int], ...]) -> None:
    room = tuple(extent + low + high for extent, (low, high) in zip(x.shape[-len(kernel) :], pairs, strict=True))
    need = tuple(gap * (extent - 1) + 1 for gap, extent in zip(dilation, kernel, strict=True))
    if any(each < least for each, least in zip(room, need, strict=True)):
        raise ShapeError(
            explain(
                f"{name}: the window is larger than the padded input",
                received=f"{room} entries along the spatial axes (input of shape {x.shape})",
                expected=f"at least {need}",
                remedy="a smaller kernel or dilation, more padding, or fewer strided layers before this one",
            )
        )


def check_output_padding(name: str, output_padding: Ints, stride: Ints, dilation: Ints) -> None:
    limits = tuple(map(max, stride, dilation))
    if any(not 0 <= each < limit for each, limit in zip(output_padding, limits, strict=True)):
        raise ArgumentError(
            explain(f"{name}: output_padding chooses among the inputs of one output size", received=output_padding,
                    expected=f"at least 0, and below the stride or the dilation: {limits}")
        )  # fmt: skip


# --- windows as columns ----------------------------------------------------------------------------------------------


def _columns(extents: Ints, kernel: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Ints:
    """How many places the window takes along each axis."""
    return tuple(
        (extent + 2 * edge - gap * (size - 1) - 1) // step + 1
        for extent, size, gap, edge, step in zip(extents, kernel, dilation, padding, stride, strict=True)
    )


def unfold(x: Node, kernel: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Node:
    """(N, C, H, W) to (N, C * window, places): each column is what the window sees at one place."""
    need_channels_and_space("unfold", x, 2)
    whole = batched(x, 2)
    places = _columns(whole.shape[2:], kernel, dilation, padding, stride)
    _check_room("unfold", whole, kernel, dilation, tuple((each, each) for each in padding))
    edges = (0, 0, *padding)
    whole = ops.pad(whole, low=edges, high=edges, interior=(0,) * 4, value=0) if any(padding) else whole
    taken = [
        ops.slice_(whole, **_window_at(whole.shape[:2], offset, places, dilation, stride))
        for offset in itertools.product(*map(range, kernel))
    ]
    columns = reshape(stack(taken, 2), (whole.shape[0], whole.shape[1] * size_of(kernel), size_of(places)))
    return columns if x.ndim == 4 else reshape(columns, columns.shape[1:])


def _window_at(leading: Ints, offset: Ints, places: Ints, dilation: Ints, stride: Ints) -> dict[str, Ints]:
    """The slice of the padded input that holds what one entry of the window sees."""
    start = tuple(each * gap for each, gap in zip(offset, dilation, strict=True))
    stop = tuple(low + (count - 1) * step + 1 for low, count, step in zip(start, places, stride, strict=True))
    return {"start": (0, 0, *start), "stop": (*leading, *stop), "step": (1, 1, *stride)}


def fold(x: Node, output_size: Ints, kernel: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Node:
    """The transpose of `unfold`: the columns added up where their windows lie."""
    places = _columns(output_size, kernel, dilation, padding, stride)
    count, window = size_of(places), size_of(kernel)
    if x.ndim not in (2, 3) or x.shape[-1] != count or x.shape[-2] % window:
        raise ShapeError(
            explain("fold: the columns do not fit", received=f"shape {x.shape}",
                    expected=f"(N, C * {window}, {count}) for output_size {output_size}")
        )  # fmt: skip
    leading = (x.shape[0] if x.ndim == 3 else 1, x.shape[-2] // window)
    parts = reshape(x, (*leading, window, *places))
    total: Node | None = None
    for number, offset in enumerate(itertools.product(*map(range, kernel))):
        start = (0, 0, number, 0, 0)
        part = ops.slice_(parts, start=start, stop=(*leading, number + 1, *places), step=(1,) * 5)
        spread = _spread(reshape(part, (*leading, *places)), offset, output_size, dilation, padding, stride)
        total = spread if total is None else add(total, spread)
    assert total is not None
    cut = ops.slice_(
        total, start=(0, 0, *padding), step=(1,) * 4,
        stop=(*leading, *[edge + extent for edge, extent in zip(padding, output_size, strict=True)]),
    )  # fmt: skip
    return cut if x.ndim == 3 else reshape(cut, cut.shape[1:])


def _spread(part: Node, offset: Ints, size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Node:
    """One entry of every window at its places in the padded result."""
    low = tuple(each * gap for each, gap in zip(offset, dilation, strict=True))
    high = tuple(
        extent + 2 * edge - first - ((count - 1) * step + 1)
        for extent, edge, first, count, step in zip(size, padding, low, part.shape[2:], stride, strict=True)
    )
    gaps = tuple(step - 1 for step in stride)
    return ops.pad(part, low=(0, 0, *low), high=(0, 0, *high), interior=(0, 0, *gaps), value=0)
