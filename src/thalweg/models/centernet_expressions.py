"""What a centre-point detector is trained on: heat maps of centres and the boxes predicted there, as expressions.

In: nodes of the network's output (N, C + 4, H, W) and of true boxes (N, M, 5) as rows x1, y1, x2, y2, label in pixels,
negative labels for padding. Out: nodes: targets, and the loss. Targets are made in the graph, so that the step that
uses them is one program, and what data loaders carry is small.
"""

from __future__ import annotations

from typing import NamedTuple

from thalweg import ops
from thalweg.dtype import DType, int64
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node, full
from thalweg.nn.vision_expressions import generalized_box_iou_loss, heatmap_focal_loss
from thalweg.tensor import indexing
from thalweg.tensor.arithmetic import (
    absolute,
    add,
    clamp,
    convert,
    divide,
    floor,
    less_equal,
    logical_and,
    maximum,
    minimum,
    multiply,
    negative,
    square,
    subtract,
    where,
)
from thalweg.tensor.arithmetic import greater as is_greater
from thalweg.tensor.arithmetic import greater_equal as is_at_least
from thalweg.tensor.reductions import amax, sum_
from thalweg.tensor.shaping import expand, reshape, stack, take_range, unbind, unsqueeze

OVERLAP = 0.7
"""A heat map is warm as far from a centre as a box may be moved and still have this IoU."""
LARGEST = 6.0
"""e^6 = 403 cells: a box predicted larger than that in a bad step must not overflow."""


class Truth(NamedTuple):
    """True boxes on the grid of the output."""

    heat: Node  # (N, C, H, W): 1 at the cell of each centre, less around it
    cells: Node  # (N, M) int64: the cell of each centre, counted by rows
    corners: Node  # (N, M, 4): the boxes in cells
    present: Node  # (N, M): 1 for boxes, 0 for padding and boxes without area


def loss(output: Node, boxes: Node, stride: int, box_weight: float) -> Node:
    """Focal loss of the heat map plus `box_weight` times the GIoU loss of the boxes, over the number of boxes."""
    check_boxes(boxes, output)
    classes = output.shape[1] - 4
    truth = truths(boxes, classes, output.shape[2:], stride, output.dtype)
    found = predicted_at(output, truth.cells, classes)
    count = maximum(sum_(truth.present), 1.0)
    heat = heatmap_focal_loss(take_range(output, 1, 0, classes), truth.heat, 2, 4, "sum")
    misfit = sum_(multiply(generalized_box_iou_loss(found, truth.corners, "none", 1e-7), truth.present))
    return divide(add(heat, multiply(misfit, box_weight)), count)


def check_boxes(boxes: Node, output: Node) -> None:
    if boxes.ndim != 3 or boxes.shape[-1] != 5 or boxes.shape[0] != output.shape[0]:
        raise ShapeError(
            explain(
                "CenterNetLoss: these are no boxes",
                received=f"targets {boxes.shape}, output {output.shape}",
                expected=f"({output.shape[0]}, M, 5): rows of x1, y1, x2, y2, label; label -1 for padding",
                remedy="make them with thalweg.data.boxes.padded_boxes",
            )
        )


# --- targets ---------------------------------------------------------------------------------------------------------


def truths(boxes: Node, classes: int, size: tuple[int, ...], stride: int, dtype: DType) -> Truth:
    """True boxes as heat map, cells and corners."""
    left, top, right, bottom, label = unbind(convert(boxes, dtype), -1)
    has_area = logical_and(is_greater(right, left), is_greater(bottom, top))
    present = logical_and(is_at_least(label, 0.0), has_area)
    in_cells = [divide(each, float(stride)) for each in (left, top, right, bottom)]
    left, top = (where(present, each, 0) for each in in_cells[:2])
    right, bottom = (where(present, each, 1) for each in in_cells[2:])
    column, row = (_cell(a, b, extent) for a, b, extent in ((left, right, size[1]), (top, bottom, size[0])))
    radius = _radius(subtract(right, left), subtract(bottom, top))
    across, down = _bell(column, radius, size[1]), _bell(row, radius, size[0])
    of_class = _of_class(label, present, classes, dtype)
    heat = _heat(of_class, across, down)
    cells = convert(add(multiply(row, float(size[1])), column), int64)
    return Truth(heat, cells, stack([left, top, right, bottom], -1), convert(present, dtype))


def _cell(low: Node, high: Node, extent: int) -> Node:
    """The column (or row) in which the centre lies; the last one for a centre on the border."""
    return clamp(floor(multiply(add(low, high), 0.5)), min=0, max=extent - 1)


def _radius(width: Node, height: Node) -> Node:
    """How far both corners may be off, in whole cells, before the IoU falls below `OVERLAP`. Law and Deng, 2018.

    The smallest solution of three quadratic equations: one corner in and one out, both in, both out.
    """
    around, area = add(width, height), multiply(width, height)
    mixed = _root(1.0, around, multiply(area, (1 - OVERLAP) / (1 + OVERLAP)))
    inside = _root(4.0, multiply(around, 2.0), multiply(area, 1 - OVERLAP))
    linear = multiply(around, 2 * OVERLAP)
    outer = ops.sqrt(add(square(linear), multiply(area, 16 * OVERLAP * (1 - OVERLAP))))
    outside = multiply(subtract(outer, linear), 1 / (8 * OVERLAP))
    return floor(clamp(minimum(minimum(mixed, inside), outside), min=0))


def _root(a: float, b: Node, c: Node) -> Node:
    """The smaller solution r of a r^2 - b r + c = 0."""
    inner = clamp(subtract(square(b), multiply(c, 4 * a)), min=0)
    return multiply(subtract(b, ops.sqrt(inner)), 1 / (2 * a))


def _bell(centre: Node, radius: Node, extent: int) -> Node:
    """exp(-d^2 / 2 s^2) along one axis (N, M, extent), with s = (2 radius + 1) / 6, and 0 beyond the radius."""
    places = convert(ops.iota(shape=(*centre.shape, extent), axis=centre.ndim, dtype="int64"), centre.dtype)
    distance = subtract(places, unsqueeze(centre, -1))
    spread = unsqueeze(multiply(add(multiply(radius, 2.0), 1.0), 1 / 6), -1)
    height = ops.exp(negative(divide(square(distance), multiply(square(spread), 2.0))))
    return where(less_equal(absolute(distance), unsqueeze(radius, -1)), height, 0)


def _of_class(label: Node, present: Node, classes: int, dtype: DType) -> Node:
    """(N, M, C): 1 for the class of each box that is there."""
    number = convert(where(present, label, 0), int64)
    return multiply(convert(indexing.one_hot(number, classes), dtype), unsqueeze(convert(present, dtype), -1))


def _heat(of_class: Node, across: Node, down: Node) -> Node:
    """The warmest of all boxes of the class, at every cell."""
    images, boxes, classes = of_class.shape
    shape = (images, classes, down.shape[2], across.shape[2])
    if not boxes:
        return full(shape, 0, of_class.dtype)
    bells = multiply(unsqueeze(down, -1), unsqueeze(across, -2))
    return amax(multiply(unsqueeze(bells, 2), reshape(of_class, (images, boxes, classes, 1, 1))), 1)


# --- predictions -----------------------------------------------------------------------------------------------------


def predicted_at(output: Node, cells: Node, classes: int) -> Node:
    """The boxes (N, M, 4) predicted at these cells, as corners counted in cells."""
    images, _, height, width = output.shape
    flat = reshape(take_range(output, 1, classes, classes + 4), (images, 4, height * width))
    index = expand(unsqueeze(cells, 1), (images, 4, cells.shape[1]))
    right, down, wide, high = unbind(indexing.gather(flat, 2, index), 1)
    place = convert(cells, output.dtype)
    row = floor(divide(add(place, 0.5), float(width)))
    column = subtract(place, multiply(row, float(width)))
    x, y = add(add(column, right), 0.5), add(add(row, down), 0.5)
    half_width, half_height = (multiply(ops.exp(clamp(each, max=LARGEST)), 0.5) for each in (wide, high))
    return stack([subtract(x, half_width), subtract(y, half_height), add(x, half_width), add(y, half_height)], -1)
