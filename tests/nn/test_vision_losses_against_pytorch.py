"""The losses of detection and segmentation against torchvision's formulas, written in PyTorch.

In: swept shapes, reductions and options, with ties, boxes that lie apart and boxes inside others. Out: equal values and
gradients. torchvision itself is no peer: its wheels bring CUDA, and each formula is a few lines.
"""

import itertools

import numpy as np
import pytest

from tests.nn.peers import DTYPES, compare, draw
from tests.support.sweep import sweep
from thalweg.nn import functional as F

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

REDUCTIONS = ("none", "mean", "sum")


def reduced(loss, reduction):
    if reduction == "mean":
        return loss.mean() if loss.numel() > 0 else 0.0 * loss.sum()
    return loss.sum() if reduction == "sum" else loss


def overlap(a, b, eps):
    """torchvision.ops._box_iou_loss: IoU, union, and width and height around both."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.unbind(-1), b.unbind(-1)
    x1, y1, x2, y2 = torch.max(ax1, bx1), torch.max(ay1, by1), torch.min(ax2, bx2), torch.min(ay2, by2)
    shared = torch.where((y2 > y1) & (x2 > x1), (x2 - x1) * (y2 - y1), torch.zeros_like(x1))
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
    around = torch.max(ax2, bx2) - torch.min(ax1, bx1), torch.max(ay2, by2) - torch.min(ay1, by1)
    return shared / (union + eps), union, around


def giou(a, b, reduction, eps):
    iou, union, (width, height) = overlap(a, b, eps)
    return reduced(1 - (iou - (width * height - union) / (width * height + eps)), reduction)


def diou(a, b, reduction, eps):
    iou, _, (width, height) = overlap(a, b, eps)
    centres = (a[..., :2] + a[..., 2:]) / 2 - (b[..., :2] + b[..., 2:]) / 2
    return reduced(1 - iou + (centres**2).sum(-1) / (width**2 + height**2 + eps), reduction)


def iou(a, b, reduction, eps):
    return reduced(1 - overlap(a, b, eps)[0], reduction)


BOX_LOSSES = {F.box_iou_loss: iou, F.generalized_box_iou_loss: giou, F.distance_box_iou_loss: diou}


@pytest.mark.parametrize(
    ("ours", "shape", "reduction", "dtype"),
    sweep(itertools.product(BOX_LOSSES, [(7,), (0,), (2, 3), ()], REDUCTIONS, DTYPES), fraction=0.4, seed=61),
)
def test_box_losses(ours, shape, reduction, dtype):
    rng = np.random.default_rng(0)
    corners = [draw(rng, (*shape, 2), dtype, 0, 8) for _ in range(2)]
    pair = [np.concatenate([each, each + draw(rng, (*shape, 2), dtype, 0.5, 6)], axis=-1) for each in corners]
    theirs = BOX_LOSSES[ours]
    compare(torch, lambda a, b: ours(a, b, reduction, 1e-7), lambda a, b: theirs(a, b, reduction, 1e-7), pair, dtype,
            rng)  # fmt: skip


@pytest.mark.parametrize("ours", BOX_LOSSES)
@pytest.mark.parametrize("other", [[0, 0, 4, 4], [1, 1, 3, 3], [10, 10, 12, 12], [4, 0, 8, 4], [0, 0, 4, 2]])
def test_boxes_that_are_equal_inside_apart_and_touching(ours, other):
    pair = [np.array([[0.0, 0, 4, 4]]), np.array([other], float)]
    theirs = BOX_LOSSES[ours]
    if other == [4, 0, 8, 4]:  # where they touch, the derivative has two sides: ours is half way, torchvision's is 0
        np.testing.assert_allclose(
            ours(*pair).numpy(), theirs(*map(torch.tensor, pair), "none", 1e-7).numpy(), atol=1e-9
        )
        return
    rng = np.random.default_rng(0)
    compare(torch, lambda a, b: ours(a, b), lambda a, b: theirs(a, b, "none", 1e-7), pair, "float64", rng)


def focal(x, t, alpha, gamma, reduction):
    """torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(x)
    cost = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    loss = cost * ((1 - (p * t + (1 - p) * (1 - t))) ** gamma)
    return reduced((alpha * t + (1 - alpha) * (1 - t)) * loss if alpha >= 0 else loss, reduction)


@pytest.mark.parametrize(
    ("shape", "alpha", "gamma", "reduction", "labels", "dtype"),
    sweep(
        itertools.product([(5,), (2, 3, 4)], [-1, 0.25, 1.0], [0.0, 2, 1.5], REDUCTIONS, ("hard", "soft"), DTYPES),
        fraction=0.2,
        seed=62,
    ),
)
def test_focal_loss(shape, alpha, gamma, reduction, labels, dtype):
    rng = np.random.default_rng(0)
    x, t = draw(rng, shape, dtype, -4, 4), draw(rng, shape, dtype, 0, 1)
    t = np.round(t) if labels == "hard" else t
    compare(
        torch,
        lambda a: F.sigmoid_focal_loss(a, t, alpha, gamma, reduction),
        lambda b: focal(b, torch.tensor(t), alpha, gamma, reduction),
        [x], dtype, rng,
    )  # fmt: skip


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dice_loss_of_labels(smooth, dtype):
    rng = np.random.default_rng(0)
    x, labels = draw(rng, (2, 3, 4, 5), dtype), rng.integers(0, 3, (2, 4, 5))

    def theirs(x):
        p = x.softmax(1)
        t = torch.nn.functional.one_hot(torch.tensor(labels), 3).movedim(-1, 1).to(p.dtype)
        shared, total = (p * t).sum((2, 3)), (p + t).sum((2, 3))
        return (1 - (2 * shared + smooth) / (total + smooth)).mean()

    compare(torch, lambda a: F.dice_loss(a, labels, smooth=smooth), theirs, [x], dtype, rng)
