"""The losses of detection and segmentation: their formulas, degenerate boxes, gradients, and what they refuse.

In: random and degenerate boxes, logits and masks. Out: equality with naive twins in NumPy, with finite differences to
second order, and errors that name the remedy. PyTorch's side of it is in test_vision_losses_against_pytorch.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

BOX_LOSSES = [F.box_iou_loss, F.generalized_box_iou_loss, F.distance_box_iou_loss]


def boxes(rng, count, dtype="float64"):
    corner = rng.uniform(0, 10, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, 6, (count, 2))], axis=1).astype(dtype)


def naive_overlap(a, b):
    width, height = max(0.0, min(a[2], b[2]) - max(a[0], b[0])), max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    around = (max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1]))
    return width * height / union, union, around


def naive(loss, a, b):
    iou, union, (width, height) = naive_overlap(a, b)
    if loss is F.box_iou_loss:
        return 1 - iou
    if loss is F.generalized_box_iou_loss:
        return 1 - iou + (width * height - union) / (width * height)
    apart = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    return 1 - iou + apart / (width**2 + height**2)


@pytest.mark.parametrize("loss", BOX_LOSSES)
def test_box_losses_are_their_formulas(loss):
    rng = np.random.default_rng(0)
    a, b = boxes(rng, 50), boxes(rng, 50)
    expected = [naive(loss, *pair) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(loss(tw.tensor(a), tw.tensor(b)).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(loss(tw.tensor(a), tw.tensor(b), "mean").numpy(), np.mean(expected), atol=1e-6)
    np.testing.assert_allclose(loss(tw.tensor(a), tw.tensor(b), "sum").numpy(), np.sum(expected), atol=1e-5)


@pytest.mark.parametrize("loss", BOX_LOSSES)
def test_box_losses_of_equal_far_and_empty_boxes(loss):
    box = tw.tensor([[1.0, 2.0, 4.0, 6.0]], requires_grad=True)
    assert abs(loss(box, box.detach()).item()) < 1e-6
    far = loss(box, box.detach() + 1000.0)
    far.sum().backward()
    assert np.isfinite(box.grad.numpy()).all()
    assert (box.grad.numpy() != 0).any() == (loss is not F.box_iou_loss)
    point = tw.zeros(1, 4, requires_grad=True)
    loss(point, tw.zeros(1, 4)).sum().backward()  # no area on either side
    assert np.isfinite(point.grad.numpy()).all()
    assert loss(tw.zeros(0, 4), tw.zeros(0, 4), "mean").item() == 0.0


@pytest.mark.parametrize("loss", BOX_LOSSES)
def test_box_losses_differentiate_twice(loss):
    rng = np.random.default_rng(1)
    a = tw.tensor(boxes(rng, 6), requires_grad=True)
    b = tw.tensor(boxes(rng, 6), requires_grad=True)
    assert tw.gradcheck(loss, (a, b), order=2)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [-1, 0.25, 1.0])
def test_focal_loss_is_its_formula_and_differentiates_twice(alpha, gamma):
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=(4, 3)) * 3, rng.integers(0, 2, (4, 3)).astype(float)
    p = 1 / (1 + np.exp(-x))
    right = np.where(t == 1, p, 1 - p)
    balance = 1.0 if alpha < 0 else np.where(t == 1, alpha, 1 - alpha)
    expected = -balance * (1 - right) ** gamma * np.log(right)
    ours = F.sigmoid_focal_loss(tw.tensor(x), tw.tensor(t), alpha, gamma)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9, atol=1e-12)
    inputs = tw.tensor(x, requires_grad=True)
    assert tw.gradcheck(lambda x: F.sigmoid_focal_loss(x, tw.tensor(t), alpha, gamma), (inputs,), order=2)


def test_focal_losses_survive_extreme_logits():
    for loss in (F.sigmoid_focal_loss, F.heatmap_focal_loss):
        x = tw.tensor([-1e4, -100.0, 100.0, 1e4], requires_grad=True)
        values = loss(x, tw.tensor([1.0, 1.0, 0.0, 0.0]))
        values.sum().backward()
        assert np.isfinite(values.detach().numpy()).all()
        assert np.isfinite(x.grad.numpy()).all()


def test_heatmap_focal_loss_is_its_formula():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 3, 4)), rng.random((2, 3, 4))
    y[0, 0, 0] = y[1, 2, 3] = 1.0
    p = 1 / (1 + np.exp(-x))
    expected = np.where(y == 1, -((1 - p) ** 2) * np.log(p), -((1 - y) ** 4) * p**2 * np.log(1 - p))
    np.testing.assert_allclose(F.heatmap_focal_loss(tw.tensor(x), tw.tensor(y)).numpy(), expected, rtol=1e-9)
    assert tw.gradcheck(lambda x: F.heatmap_focal_loss(x, tw.tensor(y)), (tw.tensor(x, requires_grad=True),))


# --- Dice ------------------------------------------------------------------------------------------------------------


def naive_dice(p, t, smooth):
    """1 - Dice for one example and class after the other."""
    return np.array([
        [1 - (2 * (a * b).sum() + smooth) / (a.sum() + b.sum() + smooth) for a, b in zip(*pair, strict=True)]
        for pair in zip(p, t, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_dice_of_labels_and_of_masks(smooth):
    rng = np.random.default_rng(4)
    x, labels = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    truth = np.moveaxis(np.eye(3)[labels], -1, 1)
    softmax = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    by_label = F.dice_loss(tw.tensor(x), tw.tensor(labels), smooth=smooth, reduction="none")
    np.testing.assert_allclose(by_label.numpy(), naive_dice(softmax, truth, smooth), rtol=1e-9)
    by_mask = F.dice_loss(tw.tensor(x), tw.tensor(truth), smooth=smooth, reduction="none")
    np.testing.assert_allclose(by_mask.numpy(), naive_dice(1 / (1 + np.exp(-x)), truth, smooth), rtol=1e-9)
    known = F.dice_loss(tw.tensor(softmax), tw.tensor(labels), smooth=smooth, from_logits=False, reduction="none")
    np.testing.assert_allclose(known.numpy(), by_label.numpy(), rtol=1e-9)
    mean = F.dice_loss(tw.tensor(x), tw.tensor(labels), smooth=smooth)
    np.testing.assert_allclose(mean.numpy(), by_label.numpy().mean(), rtol=1e-9)


def test_dice_leaves_ignored_pixels_out():
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(1, 2, 6)), rng.integers(0, 2, (1, 6))
    labels[0, 3:] = -100
    whole = F.dice_loss(tw.tensor(x), tw.tensor(labels))
    part = F.dice_loss(tw.tensor(x[..., :3]), tw.tensor(labels[..., :3]))
    np.testing.assert_allclose(whole.numpy(), part.numpy())


def test_dice_of_an_empty_mask_is_zero_when_nothing_is_predicted():
    assert F.dice_loss(tw.full((1, 1, 4), -90.0), tw.zeros(1, 1, 4)).item() == pytest.approx(0.0)


def test_dice_differentiates_twice():
    rng = np.random.default_rng(6)
    x, labels = tw.tensor(rng.normal(size=(2, 3, 4)), requires_grad=True), tw.tensor(rng.integers(0, 3, (2, 4)))
    assert tw.gradcheck(lambda x: F.dice_loss(x, labels), (x,), order=2)


# --- compiled --------------------------------------------------------------------------------------------------------


def both(loss, *arrays):
    """Value and gradient of the first operand, compiled and not."""

    def run(first, *rest):
        first = first.detach().requires_grad_()
        value = loss(first, *rest)
        value.backward()
        return value, first.grad

    operands = [tw.tensor(each) for each in arrays]
    compiled = [each.numpy() for each in tw.compile(run)(*operands)]
    return compiled, [each.detach().numpy() for each in run(*operands)]


@pytest.mark.parametrize("loss", [*BOX_LOSSES, F.sigmoid_focal_loss, F.heatmap_focal_loss, F.dice_loss])
def test_compiled_losses_are_those_of_numpy(loss):
    rng = np.random.default_rng(7)
    if loss in BOX_LOSSES:
        arrays = boxes(rng, 20, "float32"), boxes(rng, 20, "float32")
    else:
        arrays = rng.normal(size=(4, 3, 5)).astype("float32"), rng.integers(0, 2, (4, 3, 5)).astype("float32")
    for ours, meant in zip(*both(lambda a, b: loss(a, b, reduction="mean"), *arrays), strict=True):
        np.testing.assert_allclose(ours, meant, rtol=1e-5, atol=1e-7)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda: F.box_iou_loss(tw.zeros(3, 4), tw.zeros(2, 4)), ShapeError, ("(3, 4)", "(2, 4)", "box_iou")),
        (lambda: F.generalized_box_iou_loss(tw.zeros(3, 5), tw.zeros(3, 5)), ShapeError, ("x1, y1, x2, y2",)),
        (lambda: F.distance_box_iou_loss(tw.zeros(4, dtype="int64"), tw.zeros(4)), DTypeError, (".float()",)),
        (lambda: F.box_iou_loss(tw.zeros(1, 4), tw.zeros(1, 4), "average"), ArgumentError, ("none, mean, sum",)),
        (lambda: F.sigmoid_focal_loss(tw.zeros(3, 1), tw.zeros(3)), ShapeError, ("(3, 1)", "squeeze")),
        (lambda: F.sigmoid_focal_loss(tw.zeros(3), tw.zeros(3), gamma=-1), ArgumentError, ("gamma=-1",)),
        (lambda: F.sigmoid_focal_loss(tw.zeros(3), tw.zeros(3), alpha=2), ArgumentError, ("alpha=2",)),
        (lambda: F.dice_loss(tw.zeros(3), tw.zeros(3)), ShapeError, ("(N, C, ...)",)),
        (lambda: F.dice_loss(tw.zeros(2, 3, 4), tw.zeros(2, 5, dtype="int64")), ShapeError, ("(2, 4)",)),
        (lambda: F.dice_loss(tw.zeros(2, 3, 4), tw.zeros(2, 4)), DTypeError, (".long()",)),
        (lambda: F.dice_loss(tw.zeros(2, 3), tw.zeros(2, 3), smooth=-1.0), ArgumentError, ("smooth >= 0",)),
        (lambda: F.dice_loss(tw.zeros(1, 2, 1), tw.tensor([[2]])).item(), IndexRangeError, ("class label",)),
    ],
)  # fmt: skip
def test_misuse_is_named(action, error, words):
    with pytest.raises(error) as caught:
        action()
    assert all(word in str(caught.value) for word in words), caught.value
