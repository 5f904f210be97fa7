"""A convolution with its axes in the order in which memory is read best: what the compiler makes of `convolution`.

In: `x` (*L, B, *S, C) and `w` (*L, *K, C, O), with `lead` axes L that both have. Out, with its axes put in `order`:

    y[l, b, p, o] = sum over k and c of x[l, b, stride p + dilation k, c] w[l, k, c, o]

There is no padding (a movement does it) and no group (they are axes L). A convolution, its gradient by the input and by
the weight are this with other axes as B, C and O, so one kernel form serves all three.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.dtype import FLOATING
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node, Primitive, Probe, Shape, register, size_of
from thalweg.ops.convolution import convolution
from thalweg.ops.move import inverse_order, permute, reshape
from thalweg.ops.rules import same_dtype

Ints = tuple[int, ...]


def _shape(x: Shape, w: Shape, *, lead: int, stride: Ints, dilation: Ints, order: Ints) -> Shape:
    rank = len(stride)
    if len(x) != lead + rank + 2 or len(w) != lead + rank + 2 or x[:lead] != w[:lead] or x[-1] != w[-2]:
        raise ShapeError(
            explain(
                "window_product: the operands do not fit each other",
                received=f"{x} and {w}, of which {lead} axes lead",
                expected="(*lead, batch, *spatial, channels) and (*lead, *window, channels, outputs)",
            )
        )
    spans = [(extent - 1) * gap + 1 for extent, gap in zip(w[lead : lead + rank], dilation, strict=True)]
    room = [have - span for have, span in zip(x[lead + 1 : -1], spans, strict=True)]
    places = tuple(max(0, each // step + 1) for each, step in zip(room, stride, strict=True))
    natural = (*x[: lead + 1], *places, w[-1])
    return tuple(natural[axis] for axis in order)


def _orders(lead: int, rank: int) -> tuple[Ints, Ints, Ints]:
    """How x, w and y are permuted to have the axes of a convolution, the leading ones before the channels."""
    leading, spatial = range(lead), range(lead + 1, lead + 1 + rank)
    of_x = (lead, *leading, lead + 1 + rank, *spatial)
    of_w = (*leading, lead + rank + 1, lead + rank, *range(lead, lead + rank))
    return of_x, of_w, of_x


def _forms(x: Shape, w: Shape, lead: int, stride: Ints, dilation: Ints) -> tuple[Shape, Shape, dict[str, Any]]:
    """The shapes of x and w as a convolution takes them, and its attributes."""
    groups, ones = size_of(x[:lead]), (1,) * len(stride)
    shape_x = (x[lead], groups * x[-1], *x[lead + 1 : -1])
    shape_w = (groups * w[-1], w[-2], *w[lead:-2])
    return shape_x, shape_w, {
        "stride": stride, "padding": ((0, 0),) * len(stride), "input_dilation": ones, "window_dilation": dilation,
        "feature_groups": groups, "batch_groups": 1,
    }  # fmt: skip


def _numpy(x: np.ndarray, w: np.ndarray, *, lead: int, stride: Ints, dilation: Ints, order: Ints) -> np.ndarray:
    of_x, of_w, of_y = _orders(lead, len(stride))
    shape_x, shape_w, attributes = _forms(x.shape, w.shape, lead, stride, dilation)
    shape = _shape(x.shape, w.shape, lead=lead, stride=stride, dilation=dilation, order=tuple(range(len(order))))
    if 0 in (*shape, *w.shape):
        return np.zeros([shape[axis] for axis in order], x.dtype)
    y = convolution.numpy(x.transpose(of_x).reshape(shape_x), w.transpose(of_w).reshape(shape_w), **attributes)
    return y.reshape([shape[axis] for axis in of_y]).transpose(inverse_order(of_y)).transpose(order)


def _rule(g: Node, y: Node, x: Node, w: Node, *, lead: int, stride: Ints, dilation: Ints, order: Ints) -> Any:
    """The chain rule of the convolution that it is."""
    of_x, of_w, of_y = _orders(lead, len(stride))
    shape_x, shape_w, attributes = _forms(x.shape, w.shape, lead, stride, dilation)
    x1, w1 = permute(x, order=of_x), permute(w, order=of_w)
    x2, w2 = reshape(x1, shape=shape_x), reshape(w1, shape=shape_w)
    y2 = convolution(x2, w2, **attributes)
    g2 = reshape(permute(permute(g, order=inverse_order(order)), order=of_y), shape=y2.shape)
    by_x, by_w = convolution.chain_rule(g2, y2, x2, w2, **attributes)  # type: ignore[misc]
    assert by_x is not None
    assert by_w is not None
    return (
        permute(reshape(by_x, shape=x1.shape), order=inverse_order(of_x)),
        permute(reshape(by_w, shape=w1.shape), order=inverse_order(of_w)),
    )


def _simpler(node: Node) -> Node | None:
    """The outputs last, and turned over afterwards: kernels write vectors of them."""
    order, outputs = node.attributes["order"], node.ndim - 1
    place = order.index(outputs)
    if node.shape[place] == 1 or set(node.shape[place + 1 :]) <= {1}:
        return None
    last = (*(axis for axis in order if axis != outputs), outputs)
    y = window_product(*node.inputs, **{**node.attributes, "order": last})
    return permute(y, order=tuple(last.index(axis) for axis in order))


def _probe(x: Shape, w: Shape, lead: int = 0, stride: Ints = (), dilation: Ints = (), order: Ints = ()) -> Probe:
    ones, plain = (1,) * (len(x) - lead - 2), tuple(range(len(x)))
    attributes = {"lead": lead, "stride": stride or ones, "dilation": dilation or ones, "order": order or plain}
    return Probe((x, w), attributes=attributes)


window_product: Primitive = register(
    Primitive(
        "window_product",
        "contract",
        _shape,
        same_dtype("window_product", (FLOATING,)),
        _numpy,
        _rule,
        identities={"multilinear": True, "form": "windows", "simpler": _simpler},
        probes=(
            _probe((2, 7, 3), (3, 3, 4)),
            _probe((2, 6, 5, 3), (3, 2, 3, 4), stride=(2, 1), dilation=(1, 2)),
            _probe((2, 1, 5, 4, 3), (2, 2, 2, 3, 5), lead=1, order=(1, 2, 3, 0, 4)),
            _probe((3, 2, 6, 6, 1), (3, 3, 3, 1, 1), lead=1, order=(1, 2, 3, 0, 4)),
            _probe((2, 3, 2, 4, 2), (2, 3, 2, 2, 3), lead=2, stride=(2,)),
            _probe((1, 4, 1), (4, 1, 1)),
            _probe((0, 5, 2), (2, 2, 3)),
        ),
    )
)
