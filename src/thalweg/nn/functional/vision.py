"""The losses of detection and segmentation: overlap of boxes, focal loss, Dice.

In: predictions and targets. Out: a tensor; each has `reduction`, "mean", "sum" or "none". Names, arguments and defaults
are torchvision's where it has the loss: there one number an entry ("none") is the default.
"""

from __future__ import annotations

from thalweg.nn import vision_expressions as vision
from thalweg.nn.applying import apply_loss
from thalweg.tensor.core import Tensor


def box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - IoU for pairs of boxes (..., 4) as x1, y1, x2, y2 with x1 < x2, y1 < y2: one number a pair.

    IoU = area of what both cover / area of what either covers. Boxes that lie apart have loss 1 and no gradient; for
    them use `generalized_box_iou_loss`. `eps` is added to the denominator. Yu et al., "UnitBox", 2016.

    >>> import thalweg as tw
    >>> box_iou_loss(tw.tensor([[0.0, 0.0, 2.0, 2.0]]), tw.tensor([[0.0, 0.0, 2.0, 1.0]]))
    tensor([0.5])
    """
    return apply_loss(vision.box_iou_loss, boxes1, boxes2, reduction=reduction, eps=eps)


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - IoU + (C - U) / C with the union U and the smallest box C around both: from 0 (equal) to 2 (far apart).

    Shapes as for `box_iou_loss`. Unlike there the gradient draws boxes together that do not touch. Rezatofighi et al.,
    CVPR 2019; torchvision's `generalized_box_iou_loss`.

    >>> import thalweg as tw
    >>> generalized_box_iou_loss(tw.tensor([[0.0, 0.0, 1.0, 1.0]]), tw.tensor([[3.0, 0.0, 4.0, 1.0]]))
    tensor([1.5])
    """
    return apply_loss(vision.generalized_box_iou_loss, boxes1, boxes2, reduction=reduction, eps=eps)


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - IoU + (d / c)^2 with the distance d of the centres and the diagonal c of the smallest box around both.

    Shapes as for `box_iou_loss`. Zheng et al., AAAI 2020; torchvision's `distance_box_iou_loss`.

    >>> import thalweg as tw
    >>> distance_box_iou_loss(tw.tensor([[0.0, 0.0, 3.0, 4.0]]), tw.tensor([[0.0, 0.0, 3.0, 4.0]]))
    tensor([0.])
    """
    return apply_loss(vision.distance_box_iou_loss, boxes1, boxes2, reduction=reduction, eps=eps)


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """a_t (1 - p_t)^gamma times the binary cross-entropy, which leaves out what is already known well.

    p_t is the probability sigmoid(x) of the right answer; a_t = alpha for targets of 1 and 1 - alpha for 0 (negative
    alpha: no balance). `inputs` are logits, `targets` of the same shape 0 or 1 (or between). Lin et al., ICCV 2017;
    torchvision's `sigmoid_focal_loss`.

    >>> import thalweg as tw
    >>> sigmoid_focal_loss(tw.tensor([0.0, 2.0]), tw.tensor([1.0, 1.0]), alpha=-1)
    tensor([0.1733, 0.0018])
    """
    return apply_loss(vision.sigmoid_focal_loss, inputs, targets, alpha=alpha, gamma=gamma, reduction=reduction)


def heatmap_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 2, beta: float = 4, reduction: str = "none"
) -> Tensor:
    """The focal loss for heat maps y with a 1 at every centre and less around it, so that near misses cost less.

    With p = sigmoid(x): -(1 - p)^alpha log p where y = 1, else -(1 - y)^beta p^alpha log(1 - p). `inputs` are logits,
    `targets` of the same shape in [0, 1]. Law and Deng, "CornerNet", ECCV 2018, who divide the sum by the number of
    centres.

    >>> import thalweg as tw
    >>> heatmap_focal_loss(tw.tensor([0.0, 0.0]), tw.tensor([1.0, 0.5]))
    tensor([0.1733, 0.0108])
    """
    return apply_loss(vision.heatmap_focal_loss, inputs, targets, alpha=alpha, beta=beta, reduction=reduction)


def dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: float = 1.0,
    from_logits: bool = True,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """1 - (2 sum p t + smooth) / (sum p + sum t + smooth): overlap of masks, whatever share of the image they take.

    Sums are over the pixels of one example and one class; "none" gives (N, C). `input` (N, C, ...) holds logits, or
    probabilities with `from_logits=False`. A `target` of the input's shape says yes or no for each class by itself
    (sigmoid); integer labels (N, ...) choose one class a pixel (softmax), and pixels labelled `ignore_index` count for
    nothing. A label out of range raises `IndexRangeError` when values are computed. Milletari et al., "V-Net", 3DV
    2016, without the squares in the denominator, as in Sudre et al., 2017.

    >>> import thalweg as tw
    >>> dice_loss(tw.tensor([[[90.0, 90.0, -90.0]]]), tw.tensor([[[1.0, 0.0, 0.0]]]), smooth=0.0)
    tensor(0.3333)
    """
    return apply_loss(
        vision.dice_loss, input, target,
        smooth=smooth, from_logits=from_logits, ignore_index=ignore_index, reduction=reduction,
    )  # fmt: skip
