"""The detector's targets, loss and decoder: beside naive twins, by their own laws, and in a Trainer.

In: random boxes with padding, boxes without area, centres on borders and in one cell. Out: equal heat maps and losses,
boxes that come back out of an ideal output, and a network that learns to find squares.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import thalweg as tw
from thalweg.data.box_overlaps import box_iou
from thalweg.data.boxes import padded_boxes
from thalweg.dtype import float64
from thalweg.errors import IndexRangeError, ShapeError
from thalweg.graph import make_input
from thalweg.models import CenterNet, CenterNetDecoder, CenterNetLoss, centernet_expressions
from thalweg.tensor import Tensor
from thalweg.tensor.core import flush
from thalweg.train.metrics import MeanAveragePrecision

STRIDE, HEIGHT, WIDTH, CLASSES = 4, 10, 12, 3


def random_boxes(seed, images=3, most=6):
    """Padded rows (images, most, 5) in pixels; some without area, some that reach beyond the border."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(images):
        count = int(rng.integers(0, most + 1))
        corner = rng.uniform(-3, [WIDTH * STRIDE - 4, HEIGHT * STRIDE - 4], (count, 2))
        size = rng.uniform(1, 30, (count, 2)) * (rng.random((count, 1)) > 0.15)
        rows.append(padded_boxes(np.concatenate([corner, corner + size], 1), rng.integers(0, CLASSES, count), most))
    return np.stack(rows).astype(np.float64)


# --- the targets -----------------------------------------------------------------------------------------------------


def naive_radius(width, height, overlap=0.7):
    """The solutions of CornerNet's three equations, as mmdetection writes them."""
    b, c = height + width, width * height * (1 - overlap) / (1 + overlap)
    one = (b - math.sqrt(b**2 - 4 * c)) / 2
    b, c = 2 * (height + width), (1 - overlap) * width * height
    two = (b - math.sqrt(b**2 - 16 * c)) / 8
    a, b, c = 4 * overlap, -2 * overlap * (height + width), (overlap - 1) * width * height
    three = (b + math.sqrt(b**2 - 4 * a * c)) / (2 * a)
    return max(0, math.floor(min(one, two, three)))


def naive_truth(boxes):
    heat = np.zeros((len(boxes), CLASSES, HEIGHT, WIDTH))
    for image, rows in enumerate(boxes):
        for x1, y1, x2, y2, label in rows:
            if label < 0 or x2 <= x1 or y2 <= y1:
                continue
            column = min(max(math.floor((x1 + x2) / 2 / STRIDE), 0), WIDTH - 1)
            row = min(max(math.floor((y1 + y2) / 2 / STRIDE), 0), HEIGHT - 1)
            radius = naive_radius((x2 - x1) / STRIDE, (y2 - y1) / STRIDE)
            spread = (2 * radius + 1) / 6
            for i in range(max(0, row - radius), min(HEIGHT, row + radius + 1)):
                for j in range(max(0, column - radius), min(WIDTH, column + radius + 1)):
                    warm = math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * spread**2))
                    heat[image, int(label), i, j] = max(heat[image, int(label), i, j], warm)
    return heat


def truth_of(boxes):
    node = make_input(boxes.shape, float64, boxes)
    truth = centernet_expressions.truths(node, CLASSES, (HEIGHT, WIDTH), STRIDE, float64)
    tensors = [Tensor._result(each) for each in truth]
    flush(*tensors)
    return [each.numpy() for each in tensors]


@pytest.mark.parametrize("seed", range(12))
def test_heat_maps_are_those_of_a_naive_twin(seed):
    boxes = random_boxes(seed)
    heat, cells, corners, present = truth_of(boxes)
    np.testing.assert_allclose(heat, naive_truth(boxes), atol=1e-12)
    real = (boxes[..., 4] >= 0) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    np.testing.assert_array_equal(present, real)
    for image, place in np.argwhere(real):
        row, column = divmod(int(cells[image, place]), WIDTH)
        assert heat[image, int(boxes[image, place, 4]), row, column] == 1.0
        np.testing.assert_allclose(corners[image, place] * STRIDE, boxes[image, place, :4])


@pytest.mark.parametrize("sides", [(1.0, 1.0), (9.0, 9.0), (30.0, 12.0), (8.0, 50.0)])
def test_a_box_moved_by_the_radius_still_overlaps_enough(sides):
    width, height = sides
    radius = naive_radius(width, height)
    moved = [
        [radius, radius, width + radius, height + radius],  # both corners the same way
        [radius, radius, width - radius, height - radius],  # inside
        [-radius, -radius, width + radius, height + radius],  # outside
    ]
    assert box_iou([[0, 0, width, height]], moved).min() >= 0.7 - 1e-9


# --- the loss --------------------------------------------------------------------------------------------------------


def ideal_output(boxes, warmth=12.0):
    """What a perfect network would say: sharp peaks at the centres, and the boxes there."""
    output = np.full((len(boxes), CLASSES + 4, HEIGHT, WIDTH), -warmth)
    output[:, CLASSES:] = 0
    for image, rows in enumerate(boxes):
        for x1, y1, x2, y2, label in rows[rows[:, 4] >= 0]:
            x, y = (x1 + x2) / 2 / STRIDE, (y1 + y2) / 2 / STRIDE
            column, row = min(int(x), WIDTH - 1), min(int(y), HEIGHT - 1)
            output[image, int(label), row, column] = warmth
            sizes = np.log([(x2 - x1) / STRIDE, (y2 - y1) / STRIDE])
            output[image, CLASSES:, row, column] = x - column - 0.5, y - row - 0.5, *sizes
    return output


def separate_boxes():
    """Two images: one with boxes of two classes, one with a single box at the border and padding."""
    first = [[2, 3, 15, 14, 0], [20, 18, 40, 33, 2], [30, 2, 44, 9, 0]]
    return np.array([first, [[36, 30, 48, 40, 1], [-1] * 5, [-1] * 5]], dtype=np.float64)


def naive_loss(output, boxes, weight):
    heat, logits = naive_truth(boxes), output[:, :CLASSES]
    p = 1 / (1 + np.exp(-logits))
    focal = -np.where(heat == 1, (1 - p) ** 2 * np.log(p), (1 - heat) ** 4 * p**2 * np.log(1 - p)).sum()
    count, misfit = 0, 0.0
    for image, rows in enumerate(boxes):
        for x1, y1, x2, y2, label in rows:
            if label < 0 or x2 <= x1 or y2 <= y1:
                continue
            true = np.array([x1, y1, x2, y2]) / STRIDE
            column = min(max(math.floor((true[0] + true[2]) / 2), 0), WIDTH - 1)
            row = min(max(math.floor((true[1] + true[3]) / 2), 0), HEIGHT - 1)
            right, down, wide, high = output[image, CLASSES:, row, column]
            x, y, w, h = column + 0.5 + right, row + 0.5 + down, math.exp(min(wide, 6)), math.exp(min(high, 6))
            found = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            around = np.maximum(found[2:], true[2:]) - np.minimum(found[:2], true[:2])
            iou = box_iou([found], [true])[0, 0]
            area = (found[2:] - found[:2]).prod() + (true[2:] - true[:2]).prod()
            union = area / (1 + iou)
            misfit += 1 - iou + (around.prod() - union) / around.prod()
            count += 1
    return (focal + weight * misfit) / max(count, 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_loss_is_that_of_a_naive_twin(seed, weight):
    rng = np.random.default_rng(seed)
    boxes, output = random_boxes(seed), rng.normal(size=(3, CLASSES + 4, HEIGHT, WIDTH))
    ours = CenterNetLoss(STRIDE, weight)(tw.tensor(output), tw.tensor(boxes)).item()
    assert ours == pytest.approx(naive_loss(output, boxes, weight), rel=1e-6)


def test_the_gradient_of_the_loss_agrees_with_finite_differences():
    rng = np.random.default_rng(0)
    output = tw.tensor(rng.normal(size=(2, CLASSES + 4, HEIGHT, WIDTH)) * 0.5, requires_grad=True)
    boxes = tw.tensor(separate_boxes())
    assert tw.gradcheck(lambda x: CenterNetLoss(STRIDE)(x, boxes), (output,))


def test_the_compiled_loss_is_the_one_on_numpy():
    rng = np.random.default_rng(1)
    output, boxes = rng.normal(size=(3, CLASSES + 4, HEIGHT, WIDTH)).astype("f4"), random_boxes(1).astype("f4")

    def step(x, boxes):
        x = x.detach().requires_grad_()
        loss = CenterNetLoss(STRIDE)(x, boxes)
        loss.backward()
        return loss, x.grad

    meant = step(tw.tensor(output), tw.tensor(boxes))
    compiled = tw.compile(step)(tw.tensor(output), tw.tensor(boxes))
    for ours, theirs in zip(compiled, meant, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_perfect_output_costs_next_to_nothing_and_an_empty_image_is_no_fault():
    boxes = separate_boxes()
    assert CenterNetLoss(STRIDE)(tw.tensor(ideal_output(boxes)), tw.tensor(boxes)).item() < 1e-3
    nothing = np.full((2, 3, 5), -1.0)
    for empty in (nothing, nothing[:, :0]):
        x = tw.zeros(2, CLASSES + 4, HEIGHT, WIDTH, requires_grad=True)
        loss = CenterNetLoss(STRIDE)(x, tw.tensor(empty.astype("f4")))
        loss.backward()
        assert np.isfinite(loss.item())
        assert np.isfinite(x.grad.numpy()).all()


# --- the decoder -----------------------------------------------------------------------------------------------------


def test_boxes_come_back_out_of_an_ideal_output():
    boxes = separate_boxes()
    found = CenterNetDecoder(CLASSES, STRIDE)(ideal_output(boxes))
    assert found.shape == (2, 100, 6)
    for rows, true in zip(found, boxes, strict=True):
        rows, true = rows[rows[:, 5] >= 0], true[true[:, 4] >= 0]
        order = np.lexsort(rows[:, :2].T), np.lexsort(true[:, :2].T)
        np.testing.assert_allclose(rows[order[0]][:, [0, 1, 2, 3, 5]], true[order[1]], atol=1e-4)
        assert (rows[:, 4] > 0.99).all()
    metric = MeanAveragePrecision("coco", decode=CenterNetDecoder(CLASSES, STRIDE))
    metric.update(ideal_output(boxes), boxes)
    assert metric.compute() == pytest.approx(1.0)


def test_the_decoder_keeps_peaks_and_drops_what_overlaps():
    output = np.full((1, 5, 4, 4), -9.0)
    output[:, 1:] = 0
    output[0, 0, 1, 1], output[0, 0, 1, 2], output[0, 0, 3, 3] = 3.0, 2.0, 1.0
    assert (CenterNetDecoder(1, 4)(output)[0, :, 5] >= 0).sum() == 2  # the neighbour is no peak
    output[0, 0, 1, 2] = -9.0
    output[0, 3:, 1, 1] = output[0, 3:, 3, 3] = np.log(20.0)  # both as large as the image
    assert (CenterNetDecoder(1, 4)(output)[0, :, 5] >= 0).sum() == 1
    assert (CenterNetDecoder(1, 4, iou_threshold=1.0)(output)[0, :, 5] >= 0).sum() == 2
    assert CenterNetDecoder(1, 4, max_detections=1, iou_threshold=1.0)(output).shape == (1, 1, 6)
    found = CenterNetDecoder(1, 4)(output)[0, 0]
    assert found[:4].tolist() == [0, 0, 16, 16]  # cut off at the border
    assert (CenterNetDecoder(1, 4, score_threshold=0.99)(output)[0, :, 5] < 0).all()


def test_extreme_outputs_overflow_nowhere():
    output = np.full((1, 5, 3, 3), 1e4, dtype=np.float32)
    assert np.isfinite(CenterNetDecoder(1, 4)(output)).all()
    boxes = tw.tensor([[[0.0, 0.0, 4.0, 4.0, 0.0]]])
    x = tw.tensor(output, requires_grad=True)
    loss = CenterNetLoss(4)(x, boxes)
    loss.backward()
    assert np.isfinite(loss.item())
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda: CenterNetLoss()(tw.zeros(1, 5, 4, 4), tw.zeros(1, 3, 4)), ShapeError, ("(1, M, 5)", "padded_boxes")),
        (lambda: CenterNetLoss()(tw.zeros(1, 5, 4, 4), tw.zeros(2, 3, 5)), ShapeError, ("(2, 3, 5)",)),
        (lambda: CenterNetLoss()(tw.zeros(1, 4, 4, 4), tw.zeros(1, 3, 5)), ShapeError, ("classes + 4",)),
        (lambda: CenterNetLoss()(tw.zeros(1, 5, 4, 4), tw.tensor([[[0.0, 0, 4, 4, 1]]])).item(), IndexRangeError,
         ("class label",)),
        (lambda: CenterNetDecoder(2)(np.zeros((1, 5, 4, 4))), ShapeError, ("(N, 6, H, W)",)),
    ],
)  # fmt: skip
def test_misuse_is_named(action, error, words):
    with pytest.raises(error) as caught:
        action()
    assert all(word in str(caught.value) for word in words), caught.value


# --- learning --------------------------------------------------------------------------------------------------------


def squares(count, seed):
    """Images of 24 x 32 with one or two bright squares; the class is the colour."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3, 24, 32)).astype("float32") * 0.1
    rows = np.full((count, 2, 5), -1.0, dtype=np.float32)
    for image in range(count):
        for half in range(int(rng.integers(1, 3))):
            side, label = int(rng.integers(6, 12)), int(rng.integers(0, 2))
            left, top = int(rng.integers(0, 16 - side)) + 16 * half, int(rng.integers(0, 24 - side))
            x[image, label, top : top + side, left : left + side] += 2.0
            rows[image, half] = left, top, left + side, top + side, label
    return x, rows


def test_a_trainer_trains_it():
    tw.manual_seed(0)
    model = CenterNet(num_classes=2, base=8, stride=4, depth=3)
    metric = MeanAveragePrecision(decode=model.decoder)
    trainer = tw.Trainer(model, loss=CenterNetLoss(4), optimizer=tw.optim.Adam(model.parameters(), lr=1e-2),
                         metrics=[metric], seed=0)  # fmt: skip
    history = trainer.fit(squares(64, 0), validation=squares(16, 1), epochs=12, batch_size=16)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_map_50"][-1] > 0.5
