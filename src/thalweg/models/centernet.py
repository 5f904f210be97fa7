"""A one-stage detector: every object is a point, the centre of its box, and what is predicted there.

In: images (N, 3, H, W), true boxes (N, M, 5). Out: heat maps of centres with the boxes predicted at every cell; a loss
for `Trainer(loss=...)`; and boxes with scores, as `MeanAveragePrecision(decode=...)` takes them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.data.box_overlaps import batched_nms, clip_boxes_to_image
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.models import centernet_expressions
from thalweg.models.parts import Norm, layer, need_images, side_by_side, start_weights
from thalweg.models.resnet import BasicBlock
from thalweg.nn import init
from thalweg.nn.applying import apply_loss
from thalweg.tensor import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


class CenterNet(nn.Module):
    """A detector of boxes by their centres: one pass, no anchors.

    A residual network halves the image `depth` times, doubling the channels; a second way leads back up to a grid with
    one cell for `stride` x `stride` pixels, adding what was seen on the way down. The output is
    (N, num_classes + 4, H / stride, W / stride): for each class the logit of a centre in this cell, then the centre's
    distance from the middle of the cell and the logarithms of the box's width and height, all in cells.

    Args:
        num_classes: classes of objects, without a background.
        in_channels: default 3.
        base: channels at half the size, default 16.
        stride: pixels a cell, a power of two; default 4. The smallest objects should measure a cell or more.
        depth: how often the image is halved at the deepest, default 4; height and width must be multiples of 2^depth.
        norm: default `nn.BatchNorm2d`; None leaves it out.
        skip: False leaves out the additions, within the blocks and across.

    Heat maps start at a probability of 0.1, so that the first steps are not spent on the empty background.

    >>> import thalweg as tw
    >>> from thalweg.models import CenterNet
    >>> model = CenterNet(num_classes=3, base=8, depth=3)
    >>> output = model(tw.zeros(2, 3, 32, 64))
    >>> output.shape, model.decoder(output).shape
    ((2, 7, 8, 16), (2, 100, 6))

    Source: Zhou, Wang and Krähenbühl, "Objects as Points", 2019; the size is trained by the generalised IoU instead of
    the L1 distance. The way back up is that of Lin et al., "Feature Pyramid Networks", CVPR 2017.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        base: int = 16,
        stride: int = 4,
        depth: int = 4,
        norm: Norm = nn.BatchNorm2d,
        skip: bool = True,
    ) -> None:
        super().__init__()
        _check_stride(stride, depth)
        self.num_classes, self.in_channels, self.stride, self.depth, self.skip = (
            num_classes, in_channels, stride, depth, skip,
        )  # fmt: skip
        self.stem = layer(in_channels, base, stride=min(2, stride), norm=norm)
        first = 1 if stride > 1 else 0  # how often the stem has halved the image
        widths = [base * 2**level for level in range(depth - first + 1)]
        blocks = [BasicBlock(a, b, 2, norm=norm, skip=skip) for a, b in itertools.pairwise(widths)]
        self.down = nn.ModuleList(blocks)
        self.levels_up = depth - stride.bit_length() + 1
        neck = 2 * base
        used = widths[::-1][: self.levels_up + 1]
        self.across = nn.ModuleList([nn.Conv2d(each, neck, 1) for each in (used if skip else used[:1])])
        self.up = nn.ModuleList([layer(neck, neck, norm=norm) for _ in range(self.levels_up)])
        self.enlarge = nn.Upsample(scale_factor=2)
        self.heat, self.boxes = (layer(neck, neck, norm=norm) for _ in range(2))
        start_weights(self)
        self.heat_head, self.box_head = (_head(neck, each) for each in (num_classes, 4))
        init.constant_(self.heat_head.bias, -float(np.log(9)))  # type: ignore[arg-type]  # sigmoid: 0.1

    def forward(self, x: Tensor) -> Tensor:
        need_images("CenterNet", x, self.in_channels, 2**self.depth)
        seen = [self.stem(x)]
        for block in self.down:
            seen.append(block(seen[-1]))
        x = self.across[0](seen.pop())
        for place, smooth in enumerate(self.up, start=1):
            x = self.enlarge(x)
            x = smooth(x + self.across[place](seen.pop()) if self.skip else x)
        return side_by_side(self.heat_head(self.heat(x)), self.box_head(self.boxes(x)))

    @property
    def decoder(self) -> CenterNetDecoder:
        """What makes boxes out of this model's output."""
        return CenterNetDecoder(self.num_classes, self.stride)


def _check_stride(stride: int, depth: int) -> None:
    if stride < 1 or stride & (stride - 1) or stride > 2**depth:
        expected = f"a power of two, at most {2**depth} for depth {depth}"
        raise ArgumentError(explain("CenterNet: stride", received=stride, expected=expected))


def _head(inputs: int, outputs: int) -> nn.Conv2d:
    head = nn.Conv2d(inputs, outputs, 1)
    init.normal_(head.weight, 0.0, 0.001)
    assert head.bias is not None
    init.zeros_(head.bias)
    return head


class CenterNetLoss(nn.Module):
    """The loss of a `CenterNet`: (focal loss of the heat maps + box_weight · GIoU loss of the boxes) / boxes.

    Called as ``loss(output, boxes)`` with true boxes (N, M, 5): rows of x1, y1, x2, y2 in pixels of the image and a
    label; rows with a negative label are padding, boxes without area are left out. The target of the heat map of a
    class is 1 in the cell of each centre and falls off around it as a bell whose width follows the size of the box
    (CornerNet's radius for an IoU of 0.7); `nn.functional.heatmap_focal_loss` compares. Boxes are compared where the
    centres are. Sums are divided by the number of boxes in the batch, at least 1.

    Args:
        stride: that of the model.
        box_weight: default 2.0.

    Raises:
        ShapeError: targets of another form.
        IndexRangeError: a label that the model has no map for, when values are computed.

    >>> import thalweg as tw
    >>> from thalweg.models import CenterNet, CenterNetLoss
    >>> model, loss = CenterNet(num_classes=1, base=4, depth=3), CenterNetLoss(stride=4)
    >>> loss(model(tw.zeros(1, 3, 32, 32)), tw.tensor([[[4.0, 8.0, 20.0, 24.0, 0.0]]])).shape
    ()

    Source: Zhou, Wang and Krähenbühl, 2019; Law and Deng, ECCV 2018; Rezatofighi et al., CVPR 2019.
    """

    def __init__(self, stride: int = 4, box_weight: float = 2.0) -> None:
        super().__init__()
        self.stride, self.box_weight = stride, box_weight

    def forward(self, output: Tensor, boxes: Tensor) -> Tensor:
        if len(output.shape) != 4 or output.shape[1] < 5:
            received, expected = tuple(output.shape), "(N, classes + 4, H, W), as a CenterNet gives it"
            raise ShapeError(explain("CenterNetLoss: no detector's output", received=received, expected=expected))
        return apply_loss(
            centernet_expressions.loss, output, boxes, stride=self.stride, box_weight=self.box_weight
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"stride={self.stride}, box_weight={self.box_weight}"


@dataclass(frozen=True)
class CenterNetDecoder:
    """Boxes out of the output of a `CenterNet`: an array (N, max_detections, 6) of x1, y1, x2, y2, score, label.

    Takes the cells whose score is the highest among their eight neighbours and at least `score_threshold`, the best
    `max_detections` of each image, cuts their boxes off at the border of the image, and drops those that overlap a
    better one of their class by more than `iou_threshold`. Rows are sorted by score; those left over have label -1.

    >>> import numpy as np
    >>> output = np.full((1, 5, 4, 4), -9.0)
    >>> output[0, :, 1, 2] = 2.0, 0.0, 0.0, np.log(2.0), 0.0
    >>> np.round(CenterNetDecoder(1, stride=4, max_detections=1)(output), 2)
    array([[[ 6.  ,  4.  , 14.  ,  8.  ,  0.88,  0.  ]]], dtype=float32)
    """

    num_classes: int
    stride: int = 4
    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    max_detections: int = 100

    def __call__(self, output: Any) -> Array:
        array = np.asarray(output.detach().numpy() if isinstance(output, Tensor) else output)
        if array.ndim != 4 or array.shape[1] != self.num_classes + 4:
            expected = f"(N, {self.num_classes + 4}, H, W)"
            raise ShapeError(explain("CenterNetDecoder: no detector's output", received=array.shape, expected=expected))
        found = np.full((len(array), self.max_detections, 6), -1.0, dtype=np.float32)
        for place, each in enumerate(array):
            rows = self._of_image(each)
            found[place, : len(rows)] = rows
        return found

    def _of_image(self, output: Array) -> Array:
        logits = output[: self.num_classes].astype(np.float64)
        scores = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        places = np.flatnonzero(_is_peak(logits) & (scores >= self.score_threshold))
        places = places[np.argsort(-scores.flat[places], kind="stable")[: self.max_detections]]
        labels, rows, columns = np.unravel_index(places, logits.shape)
        boxes = self._boxes(output[self.num_classes :, rows, columns].astype(np.float64), rows, columns)
        boxes = clip_boxes_to_image(boxes, [each * self.stride for each in output.shape[1:]])
        kept = batched_nms(boxes, scores.flat[places], labels, self.iou_threshold)
        return np.concatenate([boxes, scores.flat[places][:, None], labels[:, None]], axis=1)[kept]

    def _boxes(self, predicted: Array, rows: Array, columns: Array) -> Array:
        right, down, wide, high = predicted
        x, y = columns + 0.5 + right, rows + 0.5 + down
        limit = centernet_expressions.LARGEST
        half_width, half_height = np.exp(np.minimum(wide, limit)) / 2, np.exp(np.minimum(high, limit)) / 2
        return np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1) * self.stride


def _is_peak(logits: Array) -> Array:
    """Which entries (C, H, W) are the largest of the 3 x 3 around them."""
    padded = np.pad(logits, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    _, height, width = logits.shape
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.asarray(logits == np.max(shifted, axis=0))
