"""Transforms of pictures: masks and boxes go where the pixels go, and chance is a function of the draws.

In: pictures with a painted rectangle, its mask and its box, from hypothesis.
Out: the rectangle, the mask and the box in one place still; the same bits in any company.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import (
    CenterCrop,
    ColorJitter,
    Compose,
    Draws,
    ImageTransform,
    Moment,
    Normalize,
    RandomAffine,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomQuarterTurn,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    Samples,
    ToFloat,
)
from thalweg.data.boxes import padded_boxes
from thalweg.data.rectangles import NUMBERS, random_rectangles
from thalweg.errors import ArgumentError, ConfigurationError, DataError

NORMALIZE = Normalize([0.5, 0.4, 0.3], [0.2, 0.2, 0.2])
EVERY = [
    CenterCrop(12),
    ColorJitter(0.4, 0.3, 0.2),
    Compose([RandomCrop(16, 2), RandomHorizontalFlip(), NORMALIZE]),
    NORMALIZE,
    RandomAffine(20, (0.1, 0.2), (0.8, 1.2), 10, "bilinear"),
    RandomApply(RandomErasing(1.0), 0.5),
    RandomCrop(14, padding=3, padding_mode="reflect"),
    RandomErasing(0.8, value="random"),
    RandomHorizontalFlip(),
    RandomQuarterTurn(),
    RandomResizedCrop(10),
    RandomRotation(30),
    RandomVerticalFlip(),
    Resize((9, 11)),
    ToFloat(),
]
WHOLE_PIXELS = [
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    RandomQuarterTurn(),
    RandomCrop(12, padding=4),
    RandomCrop((10, 14)),
    CenterCrop((8, 14)),
    Compose([RandomQuarterTurn(), RandomCrop(14, padding=2), RandomHorizontalFlip()]),
]


def ids(transform):
    return type(transform).__name__


def painted(corners, size=16, count=1):
    """Black pictures with one white rectangle each, its mask, and its box."""
    left, top, right, bottom = corners
    images = np.zeros((count, 3, size, size), dtype=np.uint8)
    images[..., top:bottom, left:right] = 255
    boxes = np.repeat(padded_boxes([corners], [1], 2)[None], count, axis=0)
    return Samples(images, (images[:, 0] // 255).astype(np.int64), boxes)


def draws(count=1, seed=0, epoch=0):
    return Draws(Moment(seed, (epoch,)), np.arange(count))


corners = st.tuples(st.integers(0, 14), st.integers(0, 14), st.integers(1, 16), st.integers(1, 16)).filter(
    lambda box: box[0] < box[2] and box[1] < box[3]
)


@pytest.mark.parametrize("transform", WHOLE_PIXELS, ids=ids)
@given(corners, st.integers(0, 2**32))
def test_masks_and_boxes_follow_the_pixels(transform, box, seed):
    before = painted(box, count=3)
    after = transform.apply(before, draws(3, seed))
    for image, mask, rows in zip(after.images, after.masks, after.boxes, strict=True):
        np.testing.assert_array_equal(np.where(mask < 0, 0, mask), image[0] // 255)
        rows_of, columns_of = (np.flatnonzero((mask == 1).any(axis=axis)) for axis in (1, 0))
        whole = (box[2] - box[0]) * (box[3] - box[1])
        if (mask == 1).sum() < 0.1 * whole:
            assert rows[0, 4] == -1
        else:
            seen = [columns_of[0], rows_of[0], columns_of[-1] + 1, rows_of[-1] + 1, 1]
            assert rows[0].tolist() == seen
        assert (rows[1] == -1).all()


@given(corners, st.integers(0, 2**32), st.floats(-180, 180))
def test_a_turned_box_holds_its_turned_pixels(box, seed, angle):
    after = RandomRotation((angle, angle)).apply(painted(box), draws(1, seed))
    y, x = np.nonzero(after.masks[0] == 1)
    if after.boxes[0, 0, 4] >= 0 and len(x):
        left, top, right, bottom = after.boxes[0, 0, :4]
        x, y = x + 0.5, y + 0.5  # a pixel is taken by its centre
        assert left - 1e-3 <= x.min() <= x.max() <= right + 1e-3
        assert top - 1e-3 <= y.min() <= y.max() <= bottom + 1e-3


@pytest.mark.parametrize("flip", [RandomHorizontalFlip(1.0), RandomVerticalFlip(1.0)], ids=ids)
@given(corners)
def test_flipped_twice_is_as_before(flip, box):
    before = painted(box, count=2)
    once = flip.apply(before, draws(2))
    twice = flip.apply(once, draws(2))
    for name in ("images", "masks", "boxes"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(before, name))


def test_turns_are_against_the_clock():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3)
    turned = RandomRotation((90, 90)).apply(Samples(image), draws()).images
    np.testing.assert_array_equal(turned[0], np.rot90(image[0]))
    quarter = {tuple(RandomQuarterTurn().apply(Samples(image), draws(1, seed)).images.ravel()) for seed in range(40)}
    assert quarter == {tuple(np.rot90(image[0], k).ravel()) for k in range(4)}


def test_quarter_turns_of_what_is_not_square_are_half_turns():
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    seen = {tuple(RandomQuarterTurn().apply(Samples(image), draws(1, seed)).images.ravel()) for seed in range(20)}
    assert seen == {tuple(image.ravel()), tuple(np.rot90(image[0], 2).ravel())}


@pytest.mark.parametrize("transform", EVERY, ids=ids)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_sample_becomes_the_same_in_any_company(transform, dtype):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5, 3, 16, 16)).astype(np.uint8)
    images = images if dtype is np.uint8 else (images / np.float32(255)).astype(np.float32)
    before = Samples(
        images, images[:, 0].astype(np.int64), np.repeat(padded_boxes([[2, 2, 9, 12]], [0], 2)[None], 5, 0)
    )
    together = transform.apply(before, draws(5, 3, 1))
    for i in range(5):
        alone = Samples(*(each[i : i + 1] for each in (before.images, before.masks, before.boxes)))
        result = transform.apply(alone, Draws(Moment(3, (1,)), [i]))
        for name in ("images", "masks", "boxes"):
            np.testing.assert_array_equal(getattr(result, name)[0], getattr(together, name)[i])
    np.testing.assert_array_equal(before.images, images)  # nothing is changed in place


@pytest.mark.parametrize("transform", EVERY, ids=ids)
def test_without_draws_there_is_no_chance_and_the_size_is_the_same(transform):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16)).astype(np.uint8)
    assert transform(images).tobytes() == transform(images).tobytes()
    drawn = transform.apply(Samples(images), draws(4)).images
    assert drawn.shape == transform(images).shape
    assert drawn.dtype == transform(images).dtype


@pytest.mark.parametrize("transform", EVERY, ids=ids)
def test_a_transform_comes_back_from_its_configuration(transform):
    again = ImageTransform.from_config(json.loads(json.dumps(transform.to_config())))
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16)).astype(np.uint8)
    first, second = (each.apply(Samples(images), draws(4)).images for each in (transform, again))
    np.testing.assert_array_equal(first, second)
    assert repr(again) == repr(transform)


def test_in_evaluation_the_random_ones_do_the_middle():
    images = np.arange(36, dtype=np.uint8).reshape(1, 6, 6)
    np.testing.assert_array_equal(RandomHorizontalFlip()(images), images)
    np.testing.assert_array_equal(RandomCrop(6, padding=2)(images), images)
    np.testing.assert_array_equal(RandomCrop(4)(images), images[:, 1:5, 1:5])
    np.testing.assert_array_equal(RandomRotation(90)(images), images)
    np.testing.assert_array_equal(RandomErasing(1.0)(images), images)
    assert RandomResizedCrop(3)(np.zeros((1, 6, 12), np.uint8)).shape == (1, 3, 3)


def test_crops_reach_every_place_evenly():
    images = np.zeros((4000, 6, 6), dtype=np.uint8)
    images[:] = np.arange(36).reshape(6, 6)
    corners_seen = np.bincount(RandomCrop(4).apply(Samples(images), draws(4000)).images[:, 0, 0], minlength=36)
    at = corners_seen.reshape(6, 6)[:3, :3]
    assert at.sum() == 4000
    assert (np.abs(at - 4000 / 9) < 90).all()


def test_flips_happen_as_often_as_asked():
    images = np.tile(np.array([[[0, 1]]], dtype=np.uint8), (5000, 1, 1))
    flipped = RandomHorizontalFlip(0.3).apply(Samples(images), draws(5000)).images[:, 0, 0]
    assert abs(flipped.mean() - 0.3) < 0.02


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_padding_is_numpys(mode):
    image = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    crop = RandomCrop((9, 7), padding=(1, 2), padding_mode=mode)  # left and right, top and bottom
    np.testing.assert_array_equal(crop(image), np.pad(image, [(0, 0), (2, 2), (1, 1)], mode=mode))


def test_masks_are_ignored_outside_their_picture():
    after = RandomCrop(8, padding=4).apply(painted((0, 0, 4, 4), size=8, count=50), draws(50))
    assert set(np.unique(after.masks)) == {-100, 0, 1}
    turned = RandomRotation((45, 45)).apply(painted((0, 0, 8, 8), size=8), draws())
    assert set(np.unique(turned.masks)) == {-100, 1}


def test_pad_if_needed_lets_small_pictures_through():
    small = np.zeros((1, 5, 20), dtype=np.uint8)
    assert RandomCrop(8, pad_if_needed=True)(small).shape == (1, 8, 8)


def test_pieces_have_the_area_and_shape_asked_for():
    rows, fits = random_rectangles(draws(2000).uniform(NUMBERS), 40, 60, (0.2, 0.5), (0.5, 2.0))
    assert fits.all()
    top, left, height, width = rows.T
    assert min(top.min(), left.min()) == 0
    assert (top + height).max() == 40
    assert (left + width).max() == 60
    shares, ratios = height * width / 2400, width / height
    assert (shares.min(), shares.max()) == (pytest.approx(0.2, abs=0.02), pytest.approx(0.5, abs=0.02))
    assert (ratios.min(), ratios.max()) == (pytest.approx(0.5, abs=0.04), pytest.approx(2.0, abs=0.1))


def test_a_piece_that_never_fits_is_the_middle():
    images = np.arange(100 * 4, dtype=np.float32).reshape(1, 4, 100)
    wide = RandomResizedCrop((4, 8), scale=(1.0, 1.0), ratio=(2.0, 2.0))
    np.testing.assert_array_equal(wide.apply(Samples(images), draws()).images, images[:, :, 46:54])


def test_random_apply_is_for_some_samples_and_never_in_evaluation():
    images = np.ones((200, 4, 4), dtype=np.uint8)
    step = RandomApply(RandomErasing(1.0, scale=(0.2, 0.3)), 0.25)
    changed = (step.apply(Samples(images), draws(200)).images == 0).any(axis=(1, 2))
    assert 20 < changed.sum() < 80
    np.testing.assert_array_equal(step(images), images)
    with pytest.raises(ArgumentError, match="must keep their size"):
        RandomApply(CenterCrop(2)).apply(Samples(images), draws(200))


MISUSE = [
    ("a probability of two", lambda: RandomHorizontalFlip(2), ArgumentError, "0 .. 1"),
    ("a size of zero", lambda: Resize(0), ArgumentError, "positive"),
    ("a size of text", lambda: CenterCrop("8"), ArgumentError, "received: '8'"),
    ("three sides of padding", lambda: RandomCrop(8, padding=(1, 2, 3)), ArgumentError, "padding"),
    ("an unknown padding", lambda: RandomCrop(8, padding_mode="wrap"), ArgumentError, "symmetric"),
    ("a piece larger than the picture", lambda: CenterCrop(9)(np.zeros((1, 8, 8), np.uint8)), DataError, "8 x 8"),
    ("a crop larger than the picture", lambda: RandomCrop(9)(np.zeros((1, 8, 8), np.uint8)), DataError, "padding="),
    ("a scale the wrong way round", lambda: RandomResizedCrop(8, scale=(0.9, 0.2)), ArgumentError, "scale"),
    ("an unknown interpolation", lambda: RandomRotation(5, "cubic"), ArgumentError, "bilinear"),
    ("shifts of more than the picture", lambda: RandomAffine(0, (2, 0)), ArgumentError, "translate"),
    ("negative brightness", lambda: ColorJitter(-1), ArgumentError, "brightness"),
    ("a std of zero", lambda: Normalize(0.5, 0.0), ArgumentError, "std above 0"),
    ("a mean alone", lambda: Normalize(0.5), ArgumentError, "belong together"),
    ("another number of channels", lambda: NORMALIZE(np.zeros((1, 1, 4, 4), np.uint8)), DataError, "1 channels"),
    ("a single picture", lambda: ToFloat()(np.zeros((4, 4), np.uint8)), DataError, "image[None]"),
    ("integers that are no bytes", lambda: ToFloat()(np.zeros((1, 4, 4), np.int64)), DataError, "uint8 or floating"),
    ("a function as a transform", lambda: Compose([lambda x: x]), ArgumentError, "apply(samples, draws)"),
    ("an unknown value to write", lambda: RandomErasing(value="noise"), ArgumentError, '"random"'),
    ("an unknown kind", lambda: ImageTransform.from_config({"kind": "Standardise"}), ConfigurationError, "RandomCrop"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
