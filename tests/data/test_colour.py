"""Values of pixels: the formulas of torchvision, in bytes and in floating numbers.

In: pictures of random pixels. Out: what the formula gives, written again naively; noise with the moments it should
have; means and deviations that the real data sets publish.
"""

import numpy as np
import pytest

from tests.support.shared_data import shared_data
from thalweg.data import ColorJitter, Draws, Moment, Normalize, RandomErasing, Samples, ToFloat, fashion_mnist
from thalweg.errors import DataError, StateError

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 3, 8, 9)).astype(np.uint8)


def draws(count=6, seed=0):
    return Draws(Moment(seed, (0,)), np.arange(count))


def test_bytes_become_numbers_in_0_to_1():
    np.testing.assert_array_equal(ToFloat()(IMAGES), IMAGES.astype(np.float32) / np.float32(255))
    assert ToFloat()(IMAGES.astype(np.float64)).dtype == np.float32


def test_normalisation_is_the_same_from_bytes_and_from_numbers():
    step = Normalize([0.1, 0.5, 0.9], [0.2, 0.3, 0.4])
    expected = (IMAGES / 255 - np.reshape([0.1, 0.5, 0.9], (3, 1, 1))) / np.reshape([0.2, 0.3, 0.4], (3, 1, 1))
    for given in (IMAGES, ToFloat()(IMAGES)):
        np.testing.assert_allclose(step(given), expected, rtol=0, atol=2e-6)
    assert step(IMAGES).dtype == np.float32


def test_normalisation_fits_each_channel():
    step = Normalize().fit(IMAGES)
    np.testing.assert_allclose(step.mean_, IMAGES.mean(axis=(0, 2, 3)) / 255, atol=1e-7)
    np.testing.assert_allclose(step.std_, IMAGES.std(axis=(0, 2, 3)) / 255, atol=1e-7)
    assert np.abs(step(IMAGES).mean(axis=(0, 2, 3))).max() < 1e-5
    given = Normalize(0.5, 0.25).fit(IMAGES)
    assert given.mean_ == 0.5
    with pytest.raises(StateError):
        Normalize()(IMAGES)
    with pytest.raises(DataError, match="at least one"):
        Normalize().fit(IMAGES[:0])
    assert (Normalize().fit(np.zeros((2, 4, 4), np.uint8)).std_ == 1).all()


def test_fashion_mnist_has_the_published_moments():
    step = Normalize().fit(fashion_mnist(shared_data("fashion_mnist"), raw=True, verify=False).train.images[:6000])
    assert step.mean_.item() == pytest.approx(0.2860, abs=5e-3)
    assert step.std_.item() == pytest.approx(0.3530, abs=5e-3)


def blend(image, other, factor):
    return np.clip(factor * image + (1 - factor) * other, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_as_in_torchvision(channels):
    images = IMAGES[:, :channels] / 255
    step, uniform = ColorJitter(0.4, (0.5, 1.5), 0.6), draws().uniform(3)
    result = step.apply(Samples(images.astype(np.float32)), draws()).images
    for i, image in enumerate(images):
        bright, contrast, saturation = 0.6 + 0.8 * uniform[i, 0], 0.5 + uniform[i, 1], 0.4 + 1.2 * uniform[i, 2]
        expected = np.clip(image * bright, 0, 1)
        expected = blend(expected, grey(expected).mean(), contrast)
        expected = blend(expected, grey(expected), saturation) if channels == 3 else expected
        np.testing.assert_allclose(result[i], expected, atol=1e-5)


def grey(image):
    return np.tensordot([0.299, 0.587, 0.114], image, 1) if len(image) == 3 else image[0]


def test_no_change_of_colour_changes_no_byte():
    np.testing.assert_array_equal(ColorJitter().apply(Samples(IMAGES), draws()).images, IMAGES)


def test_a_rectangle_of_the_right_area_is_erased():
    images = np.ones((400, 3, 32, 32), dtype=np.float32)
    after = RandomErasing(0.5, scale=(0.1, 0.3), value=[0.0, 2.0, 3.0]).apply(Samples(images), draws(400)).images
    changed = (after != 1).any(axis=1)
    shares = changed.mean(axis=(1, 2))
    assert abs((shares > 0).mean() - 0.5) < 0.08
    assert shares[shares > 0].min() > 0.08
    assert shares.max() < 0.33
    for image, at in zip(after[shares > 0], changed[shares > 0], strict=True):
        rows, columns = np.flatnonzero(at.any(axis=1)), np.flatnonzero(at.any(axis=0))
        assert at[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert [set(channel[at]) for channel in image] == [{0.0}, {2.0}, {3.0}]


def test_noise_is_normal_in_numbers_and_even_in_bytes():
    step = RandomErasing(1.0, scale=(0.3, 0.3), value="random")
    noise = step.apply(Samples(np.full((60, 3, 32, 32), 9.0, np.float32)), draws(60)).images
    noise = noise[noise != 9]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    bytes_ = step.apply(Samples(np.full((60, 3, 32, 32), 0, np.uint8)), draws(60)).images
    assert abs(bytes_[bytes_ > 0].mean() - 128) < 2
