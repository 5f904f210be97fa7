"""What the losses of detection and segmentation compute: overlap of boxes, focal loss, Dice.

In: nodes of predictions and targets, and `reduction`. Out: the node of the loss. As with the other losses the shapes
must fit exactly, and all are compositions of primitives, so that their gradients are the chain rule.
"""

from __future__ import annotations

from typing import NamedTuple

from thalweg import ops
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node
from thalweg.nn.expressions import need_floating
from thalweg.nn.loss_expressions import check_reduction, counted_labels, floating_pair, reduce
from thalweg.tensor import indexing, reductions
from thalweg.tensor.arithmetic import (
    add,
    clamp,
    convert,
    divide,
    equal,
    logsigmoid,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    square,
    subtract,
    where,
)
from thalweg.tensor.shaping import movedim, unbind, unsqueeze

# --- boxes -----------------------------------------------------------------------------------------------------------


class _Overlap(NamedTuple):
    """Two rows of boxes, pair by pair: areas, and the smallest box around both."""

    iou: Node
    union: Node
    width: Node
    height: Node


def box_iou_loss(boxes1: Node, boxes2: Node, reduction: str, eps: float) -> Node:
    a, b = _boxes("box_iou_loss", boxes1, boxes2, reduction)
    return reduce_or_zero(subtract(1.0, _overlap(a, b, eps).iou), reduction)


def generalized_box_iou_loss(boxes1: Node, boxes2: Node, reduction: str, eps: float) -> Node:
    a, b = _boxes("generalized_box_iou_loss", boxes1, boxes2, reduction)
    over = _overlap(a, b, eps)
    around = multiply(over.width, over.height)
    waste = divide(subtract(around, over.union), add(around, eps))
    return reduce_or_zero(add(subtract(1.0, over.iou), waste), reduction)


def distance_box_iou_loss(boxes1: Node, boxes2: Node, reduction: str, eps: float) -> Node:
    a, b = _boxes("distance_box_iou_loss", boxes1, boxes2, reduction)
    over = _overlap(a, b, eps)
    diagonal = add(add(square(over.width), square(over.height)), eps)
    apart = add(square(_half_difference(a, b, 0)), square(_half_difference(a, b, 1)))
    return reduce_or_zero(add(subtract(1.0, over.iou), divide(apart, diagonal)), reduction)


def _half_difference(a: list[Node], b: list[Node], axis: int) -> Node:
    """How far the centres lie apart along x (0) or y (1)."""
    return multiply(subtract(add(a[axis], a[axis + 2]), add(b[axis], b[axis + 2])), 0.5)


def _overlap(a: list[Node], b: list[Node], eps: float) -> _Overlap:
    shared = multiply(_positive(_shared(a, b, 0)), _positive(_shared(a, b, 1)))
    union = subtract(add(_area(a), _area(b)), shared)
    width, height = (subtract(maximum(a[i + 2], b[i + 2]), minimum(a[i], b[i])) for i in (0, 1))
    return _Overlap(divide(shared, add(union, eps)), union, width, height)


def _shared(a: list[Node], b: list[Node], axis: int) -> Node:
    return subtract(minimum(a[axis + 2], b[axis + 2]), maximum(a[axis], b[axis]))


def _positive(length: Node) -> Node:
    """Boxes that lie apart share nothing, and no gradient says otherwise."""
    return clamp(length, min=0.0)


def _area(box: list[Node]) -> Node:
    return multiply(subtract(box[2], box[0]), subtract(box[3], box[1]))


def _boxes(name: str, boxes1: Node, boxes2: Node, reduction: str) -> tuple[list[Node], list[Node]]:
    """x1, y1, x2, y2 of both."""
    check_reduction(name, reduction)
    need_floating(name, boxes1)
    if boxes1.shape != boxes2.shape or not boxes1.ndim or boxes1.shape[-1] != 4:
        raise ShapeError(
            explain(
                f"{name} compares boxes pair by pair",
                received=f"boxes1 {boxes1.shape}, boxes2 {boxes2.shape}",
                expected="equal shapes (..., 4): x1, y1, x2, y2",
                remedy="for every box against every other use thalweg.data.box_overlaps.box_iou",
            )
        )
    second = boxes2 if boxes2.dtype.is_floating_point else convert(boxes2, boxes1.dtype)
    return unbind(boxes1, -1), unbind(second, -1)


def reduce_or_zero(loss: Node, reduction: str) -> Node:
    """As in torchvision the mean over no boxes is 0 and not 0 / 0: an image without objects is no fault."""
    return reduce(loss, "sum" if reduction == "mean" and not loss.size else reduction)


# --- focal loss ------------------------------------------------------------------------------------------------------


def sigmoid_focal_loss(inputs: Node, targets: Node, alpha: float, gamma: float, reduction: str) -> Node:
    x, t = floating_pair("sigmoid_focal_loss", inputs, targets, reduction)
    if alpha > 1 or gamma < 0:
        received, expected = f"alpha={alpha}, gamma={gamma}", "alpha of at most 1 (negative: no balance), gamma >= 0"
        raise ArgumentError(explain("sigmoid_focal_loss: out of range", received=received, expected=expected))
    p = ops.sigmoid(x)
    # 1 - p_t, the probability that was given to the wrong answer
    missed = add(multiply(subtract(1.0, p), t), multiply(p, subtract(1.0, t)))
    cost = add(multiply(subtract(1.0, t), x), ops.softplus(negative(x)))
    loss = multiply(cost, power(missed, gamma))
    if alpha >= 0:
        loss = multiply(loss, add(multiply(t, 2 * alpha - 1), 1 - alpha))
    return reduce(loss, reduction)


def heatmap_focal_loss(inputs: Node, targets: Node, alpha: float, beta: float, reduction: str) -> Node:
    x, t = floating_pair("heatmap_focal_loss", inputs, targets, reduction)
    p = ops.sigmoid(x)
    at_centre = multiply(power(subtract(1.0, p), alpha), logsigmoid(x))
    around = multiply(multiply(power(subtract(1.0, t), beta), power(p, alpha)), logsigmoid(negative(x)))
    return reduce(negative(where(equal(t, 1.0), at_centre, around)), reduction)


# --- Dice ------------------------------------------------------------------------------------------------------------


def dice_loss(input: Node, target: Node, smooth: float, from_logits: bool, ignore_index: int, reduction: str) -> Node:
    check_reduction("dice_loss", reduction)
    need_floating("dice_loss", input)
    if smooth < 0:
        raise ArgumentError(explain("dice_loss: smooth must not be negative", received=smooth, expected="smooth >= 0"))
    p, t = _dice_pair(input, target, from_logits, ignore_index)
    axes = tuple(range(2, p.ndim))
    shared, total = (_over(each, axes) for each in (multiply(p, t), add(p, t)))
    score = divide(add(multiply(shared, 2.0), smooth), add(total, smooth))
    return reduce(subtract(1.0, score), reduction)


def _over(x: Node, axes: tuple[int, ...]) -> Node:
    return reductions.sum_(x, axes) if axes else x


def _dice_pair(input: Node, target: Node, from_logits: bool, ignore_index: int) -> tuple[Node, Node]:
    """Probabilities and truth, both (N, C, ...): labels are classes that exclude each other, the rest are yes or no."""
    if input.ndim < 2:
        expected = "(N, C, ...)"
        raise ShapeError(explain("dice_loss: the input has no class axis", received=input.shape, expected=expected))
    if target.shape == input.shape:
        truth = target if target.dtype.is_floating_point else convert(target, input.dtype)
        return (ops.sigmoid(input) if from_logits else input), truth
    _check_dice_labels(input, target)
    p = reductions.softmax(input, 1) if from_logits else input
    label, counts = counted_labels(target, ignore_index)
    seen = convert(unsqueeze(counts, 1), p.dtype)
    truth = movedim(convert(indexing.one_hot(label, input.shape[1]), p.dtype), -1, 1)
    return multiply(p, seen), multiply(truth, seen)


def _check_dice_labels(input: Node, target: Node) -> None:
    spatial = (input.shape[0], *input.shape[2:])
    if target.shape != spatial:
        raise ShapeError(
            explain(
                "dice_loss: the target does not fit the input",
                received=f"input {input.shape}, target {target.shape}",
                expected=f"labels of shape {spatial}, or truths of shape {input.shape}",
                remedy="for one class against the background add the channel axis: target.unsqueeze(1)",
            )
        )
    if target.dtype.is_floating_point:
        raise DTypeError(
            explain("dice_loss: class labels must be integers", received=target.dtype.name, expected="int64",
                    remedy="convert the labels with .long()")
        )  # fmt: skip
