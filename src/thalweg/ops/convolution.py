"""Convolution in the closed form: one record whose derivatives are itself, with other attributes.

In: `x` (N, C, *S) and `w` (O, C / feature_groups, *K), any number of spatial axes. Out: (N / batch_groups, O, *P).
Along each spatial axis: put `input_dilation` - 1 zeros between the entries of `x` and `window_dilation` - 1 between
those of `w`, add `padding` = (low, high) zeros at the ends (negative: cut off), and slide the window by `stride`.
Channels (`feature_groups`) or the batch (`batch_groups`) are split into groups, each of which meets its part of `w`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thalweg.dtype import FLOATING
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node, Primitive, Probe, Shape, register
from thalweg.ops.move import flip, permute, reshape
from thalweg.ops.rules import quietly, same_dtype

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """The attributes of one convolution."""

    stride: Ints
    padding: tuple[tuple[int, int], ...]
    input_dilation: Ints
    window_dilation: Ints
    feature_groups: int = 1
    batch_groups: int = 1

    @property
    def groups(self) -> int:
        return self.feature_groups * self.batch_groups

    def apply(self, x: Node, w: Node) -> Node:
        return convolution(x, w, **vars(self))


def _spread(shape: Shape, dilation: Ints) -> Ints:
    """The extents once zeros stand between the entries."""
    return tuple((extent - 1) * gap + 1 if extent else 0 for extent, gap in zip(shape[2:], dilation, strict=True))


def _places(shape: Shape, window: Shape, form: Form) -> Ints:
    """How many positions the window takes along each axis."""
    spread = zip(_spread(shape, form.input_dilation), _spread(window, form.window_dilation), strict=True)
    room = [have + low + high - need for (have, need), (low, high) in zip(spread, form.padding, strict=True)]
    return tuple(max(0, each // stride + 1) for each, stride in zip(room, form.stride, strict=True))


# --- the shape rule --------------------------------------------------------------------------------------------------


def _convolution_shape(x: Shape, w: Shape, **attributes: Any) -> Shape:
    form = Form(**attributes)
    _check_ranks(x, w, form)
    _check_groups(x, w, form)
    return (x[0] // form.batch_groups, w[0], *_places(x, w, form))


def _check_ranks(x: Shape, w: Shape, form: Form) -> None:
    if len(x) < 3 or len(w) != len(x):
        raise ShapeError(
            explain(
                "convolution: the input and the weight differ in rank",
                received=f"input {x}, weight {w}",
                expected="(batch, channels, *spatial) and (out_channels, in_channels, *kernel)",
                remedy="add the missing axis, for example x.unsqueeze(1) for images without a channel axis",
            )
        )
    for name in ("stride", "padding", "input_dilation", "window_dilation"):
        given = getattr(form, name)
        if len(given) != len(x) - 2 or (name != "padding" and min(given) < 1):
            raise ShapeError(
                explain(
                    f"convolution: {name} does not fit",
                    received=given,
                    where=f"input {x}, weight {w}",
                    expected=f"{len(x) - 2} entries" + ("" if name == "padding" else " of at least 1"),
                )
            )


def _check_groups(x: Shape, w: Shape, form: Form) -> None:
    if min(form.feature_groups, form.batch_groups) < 1 or 1 not in (form.feature_groups, form.batch_groups):
        raise ShapeError(
            explain(
                "convolution: groups of channels or groups of the batch, not both",
                expected="one of them 1",
                received=f"feature_groups {form.feature_groups}, batch_groups {form.batch_groups}",
            )
        )
    if x[1] != w[1] * form.feature_groups:
        raise ShapeError(
            explain(
                "convolution: the input's channels do not fit the weight",
                where=f"input {x}, weight {w}",
                received=f"{x[1]} channels",
                expected=f"{w[1] * form.feature_groups} channels"
                + (f" ({w[1]} in each of {form.feature_groups} groups)" if form.feature_groups > 1 else ""),
                remedy="give the layer in_channels equal to the channels of its input",
            )
        )
    if x[0] % form.batch_groups or w[0] % form.groups:
        raise ShapeError(
            explain(
                "convolution: the groups do not divide evenly",
                received=f"input {x}, weight {w}",
                expected=f"output channels, and for batch groups the batch, divisible by {form.groups}",
            )
        )


# --- the NumPy meaning -----------------------------------------------------------------------------------------------


def _prepared(x: np.ndarray, form: Form) -> np.ndarray:
    """The input with its zeros in between and at the ends; negative padding cuts off."""
    spread = _spread(x.shape, form.input_dilation)
    full = tuple(max(0, low + extent + high) for extent, (low, high) in zip(spread, form.padding, strict=True))
    result = np.zeros((*x.shape[:2], *full), x.dtype)
    source, target = [slice(None)] * 2, [slice(None)] * 2
    for extent, total, (low, _), gap in zip(x.shape[2:], full, form.padding, form.input_dilation, strict=True):
        # entry i lies at low + i * gap: keep those with 0 <= that < total
        first = max(0, -(low // gap))
        stop = max(first, min(extent, -((low - total) // gap)))
        source.append(slice(first, stop))
        target.append(slice(low + first * gap, low + first * gap + (stop - first) * gap, gap))
    if all(each.stop is None or each.start < each.stop for each in target):
        result[tuple(target)] = x[tuple(source)]
    return result


@quietly
def _convolution(x: np.ndarray, w: np.ndarray, **attributes: Any) -> np.ndarray:
    """Gather the windows as rows of a matrix, one matrix a group, and multiply (im2col)."""
    form = Form(**attributes)
    places, kernel = _places(x.shape, w.shape, form), w.shape[2:]
    batch, group = x.shape[0] // form.batch_groups, form.groups
    shape = (batch, w.shape[0], *places)
    if 0 in (*shape, *w.shape):
        return np.zeros(shape, x.dtype)
    rows = _windows(_prepared(x, form), places, kernel, form).reshape(group, batch * np.prod(places, dtype=int), -1)
    product = np.matmul(rows, w.reshape(group, w.shape[0] // group, -1).swapaxes(1, 2))
    by_place = product.reshape(group, batch, *places, -1)
    return np.moveaxis(np.moveaxis(by_place, 0, 1), -1, 2).reshape(shape)


def _windows(padded: np.ndarray, places: Ints, kernel: Ints, form: Form) -> np.ndarray:
    """A view of what each window sees: (batch groups, feature groups, N, *places, C, *kernel)."""
    (samples, channels), strides = padded.shape[:2], padded.strides
    batch, depth = samples // form.batch_groups, channels // form.feature_groups
    shape = (form.batch_groups, form.feature_groups, batch, *places, depth, *kernel)
    step = [stride * each for stride, each in zip(form.stride, strides[2:], strict=True)]
    inside = [gap * each for gap, each in zip(form.window_dilation, strides[2:], strict=True)]
    jumps = (batch * strides[0], depth * strides[1], strides[0], *step, strides[1], *inside)
    return np.lib.stride_tricks.as_strided(padded, shape, jumps, writeable=False)


# --- the chain rule --------------------------------------------------------------------------------------------------


def _convolution_rule(g: Node, y: Node, x: Node, w: Node, **attributes: Any) -> tuple[Node, Node]:
    form = Form(**attributes)
    return _by_input(g, x, w, form), _by_weight(g, x, w, form)


def _by_input(g: Node, x: Node, w: Node, form: Form) -> Node:
    """Slide the flipped window over the cotangent spread by the stride: stride and input dilation change places."""
    have, need = _spread(x.shape, form.input_dilation), _spread(w.shape, form.window_dilation)
    arrived = _spread(g.shape, form.stride)
    low = [window - 1 - before for window, (before, _) in zip(need, form.padding, strict=True)]
    padding = tuple(
        (before, total + window - 1 - spread - before)
        for before, total, window, spread in zip(low, have, need, arrived, strict=True)
    )
    turned = Form(form.input_dilation, padding, form.stride, form.window_dilation, feature_groups=form.groups)
    by_x = turned.apply(g, exchanged(w, form.groups))
    return by_x if form.batch_groups == 1 else _groups_to_batch(by_x, x.shape, form.batch_groups)


def exchanged(w: Node, groups: int) -> Node:
    """The weight with its output and input channels exchanged in each group, and its window flipped."""
    outer, inner, *kernel = w.shape
    split = reshape(w, shape=(groups, outer // groups, inner, *kernel))
    order = (0, 2, 1, *range(3, split.ndim))
    joined = reshape(permute(split, order=order), shape=(groups * inner, outer // groups, *kernel))
    return flip(joined, axes=tuple(range(2, joined.ndim)))


def _groups_to_batch(by_x: Node, shape: Shape, groups: int) -> Node:
    """(N, groups * C, *S) to (groups * N, C, *S)."""
    split = reshape(by_x, shape=(shape[0] // groups, groups, shape[1], *shape[2:]))
    return reshape(permute(split, order=(1, 0, *range(2, split.ndim))), shape=shape)


def _by_weight(g: Node, x: Node, w: Node, form: Form) -> Node:
    """Slide the cotangent over the input, batch and channels exchanged: stride and window dilation change places."""
    have, arrived = _spread(x.shape, form.input_dilation), _spread(g.shape, form.stride)
    padding = tuple(
        (low, (extent - 1) * gap + spread - total - low)
        for (low, _), extent, gap, spread, total in zip(
            form.padding, w.shape[2:], form.window_dilation, arrived, have, strict=True
        )
    )
    exchange = (1, 0, *range(2, x.ndim))
    turned = replace(form, stride=form.window_dilation, window_dilation=form.stride, padding=padding,
                     feature_groups=form.batch_groups, batch_groups=form.feature_groups)  # fmt: skip
    by_w = turned.apply(permute(x, order=exchange), permute(g, order=exchange))
    return permute(by_w, order=exchange)


def _probe(
    x: Shape, w: Shape, stride: Ints = (), padding: tuple[tuple[int, int], ...] = (), input_dilation: Ints = (),
    window_dilation: Ints = (), feature_groups: int = 1, batch_groups: int = 1,
) -> Probe:  # fmt: skip
    ones = (1,) * (len(x) - 2)
    form = Form(stride or ones, padding or ((0, 0),) * len(ones), input_dilation or ones, window_dilation or ones,
                feature_groups, batch_groups)  # fmt: skip
    return Probe((x, w), attributes=vars(form))


convolution = register(
    Primitive(
        "convolution",
        "contract",
        _convolution_shape,
        same_dtype("convolution", (FLOATING,)),
        _convolution,
        _convolution_rule,
        identities={"multilinear": True},
        probes=(
            _probe((2, 3, 7), (4, 3, 3)),
            _probe((1, 2, 8), (3, 2, 3), stride=(2,), padding=((2, 1),)),
            _probe((1, 1, 8), (1, 1, 2), stride=(3,), padding=((-1, 2),), window_dilation=(2,)),
            _probe((1, 2, 4), (2, 2, 3), stride=(2,), padding=((1, 3),), input_dilation=(3,), window_dilation=(2,)),
            _probe((2, 4, 5), (6, 2, 2), padding=((1, 0),), feature_groups=2),
            _probe((4, 2, 5), (6, 2, 3), stride=(2,), padding=((0, 2),), batch_groups=2),
            _probe((1, 3, 4, 5), (3, 1, 3, 2), padding=((1, 1), (0, 1)), feature_groups=3),
            _probe((2, 2, 5, 4), (2, 2, 2, 3), stride=(2, 1), padding=((1, 0), (2, 1)), window_dilation=(1, 2)),
            _probe((1, 1, 3, 2), (2, 1, 2, 2), padding=((-1, 1), (2, -1)), input_dilation=(2, 3)),
            _probe((1, 1, 1), (1, 1, 1)),
            _probe((1, 1, 2), (1, 1, 3)),
            _probe((0, 2, 5), (3, 2, 2)),
            _probe((1, 1, 2, 2, 3), (1, 1, 2, 1, 2), padding=((0, 0), (0, 1), (0, 0))),
        ),
    )
)
