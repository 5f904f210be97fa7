"""Pictures at another size: Pillow's antialiased bilinear filter, within a rounding; masks by the nearest pixel.

In: random pictures, sizes from hypothesis. Out: Pillow's answer; constants stay constant.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.resampling import mapped_bilinear, mapped_nearest, resized, resized_nearest, triangle_weights

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(sizes, sizes, st.integers(0, 2**32))
def test_resizing_is_pillows(before, after, seed):
    image_of = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(seed).integers(0, 256, before).astype(np.uint8)
    expected = image_of.fromarray(image).resize(after[::-1], image_of.Resampling.BILINEAR)
    received = resized(image[None], *after)[0]
    assert np.abs(received.astype(int) - np.asarray(expected)).max() <= 1


@given(sizes, sizes)
def test_a_constant_stays_what_it_is(before, after):
    np.testing.assert_allclose(resized(np.full((2, *before), 0.7, np.float32), *after), 0.7, rtol=1e-5)
    np.testing.assert_allclose(triangle_weights(before[0], after[0]).sum(axis=1), 1, rtol=1e-5)


@given(sizes, sizes)
def test_masks_keep_their_classes(before, after):
    mask = np.random.default_rng(0).choice([-100, 0, 7], (1, *before))
    small = resized_nearest(mask, *after)
    assert small.shape == (1, *after)
    assert set(np.unique(small)) <= set(np.unique(mask))


def test_twice_the_size_repeats_each_class():
    mask = np.arange(6).reshape(1, 2, 3)
    np.testing.assert_array_equal(resized_nearest(mask, 4, 6), mask.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("mapped", [mapped_nearest, mapped_bilinear])
def test_a_map_that_moves_whole_pixels_moves_whole_pixels(mapped):
    images = np.random.default_rng(0).integers(1, 256, (2, 3, 5, 6)).astype(np.uint8)
    stay = np.array([[1.0, 0, 0], [0, 1, 0]])
    moved = mapped(images, np.array([stay, stay + [[0, 0, -2], [0, 0, -1]]]), 0)
    np.testing.assert_array_equal(moved[0], images[0])
    np.testing.assert_array_equal(moved[1, :, 1:, 2:], images[1, :, :-1, :-2])
    assert (moved[1, :, 0] == 0).all()


def test_half_a_pixel_is_the_mean_of_two():
    images = np.array([[[0.0, 2.0, 4.0]]], dtype=np.float32)
    moved = mapped_bilinear(images, np.array([[[1.0, 0, 0.5], [0, 1, 0]]]), 10.0)
    assert moved.tolist() == [[[1.0, 3.0, 7.0]]]
