"""What users get wrong with the layers for images, and the message that each mistake must give.

In: one row a misuse. Out: the class of the error, and the words that say what was received, expected, and the remedy.
"""

# ruff: noqa: E501  (one row a misuse reads as a table)

from __future__ import annotations

import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.nn.test_misuse import Misuse
from thalweg import nn
from thalweg.errors import ArgumentError, DTypeError, ShapeError
from thalweg.nn import init

IMAGES = tw.zeros(2, 3, 6, 5)
SIGNALS = tw.zeros(2, 3, 6)
KERNEL = tw.zeros(4, 3, 3, 3)

MISUSES = [
    # convolutions
    Misuse("images without a channel axis", lambda: nn.Conv2d(1, 4, 3)(tw.zeros(8, 28, 28)), ShapeError, ("8 channels", "(8, 28, 28)", "x.unsqueeze(1)", "layer:")),
    Misuse("a flat image", lambda: nn.Conv2d(1, 4, 3)(tw.zeros(8, 784)), ShapeError, ("(8, 784)", "(N, C, H, W)", "unsqueeze(1)")),
    Misuse("a signal for images", lambda: nn.Conv1d(3, 4, 3)(IMAGES), ShapeError, ("(2, 3, 6, 5)", "(N, C, L)")),
    Misuse("other channels", lambda: nn.Conv2d(1, 4, 3)(IMAGES), ShapeError, ("3 channels", "1 channels", "in_channels")),
    Misuse("other channels, transposed", lambda: nn.ConvTranspose2d(4, 4, 3)(IMAGES), ShapeError, ("3 channels", "4 channels", "in_channels")),
    Misuse("integer images", lambda: nn.Conv2d(3, 4, 3)(IMAGES.long()), DTypeError, ("int64", ".float()")),
    Misuse("uint8 images", lambda: F.conv2d(IMAGES.to("uint8"), KERNEL), DTypeError, ("uint8", ".float()")),
    Misuse("float64 images", lambda: nn.Conv2d(3, 4, 3)(IMAGES.double()), DTypeError, ("float64 input", ".float()", ".double()")),
    Misuse("a list", lambda: nn.Conv2d(3, 4, 3)([1.0]), DTypeError, ("list", "tw.tensor")),
    Misuse("a window larger than the image", lambda: nn.Conv2d(3, 4, 7)(IMAGES), ShapeError, ("(6, 5)", "(7, 7)", "smaller kernel")),
    Misuse("a dilated window larger than the image", lambda: nn.Conv1d(3, 4, 3, dilation=3)(SIGNALS), ShapeError, ("at least (7,)",)),
    Misuse("groups that do not divide", lambda: nn.Conv2d(3, 4, 3, groups=2), ArgumentError, ("in_channels", "groups=2")),
    Misuse("outputs that groups do not divide", lambda: nn.Conv2d(4, 3, 3, groups=2), ArgumentError, ("out_channels",)),
    Misuse("groups that do not fit the weight", lambda: F.conv2d(IMAGES, tw.zeros(4, 1, 3, 3), groups=2), ShapeError, ("3 channels", "groups")),
    Misuse("no groups", lambda: nn.Conv2d(3, 4, 3, groups=0), ArgumentError, ("groups", "at least 1")),
    Misuse("a kernel of size 0", lambda: nn.Conv2d(3, 4, 0), ArgumentError, ("kernel_size", "at least 1")),
    Misuse("a kernel for three axes", lambda: nn.Conv2d(3, 4, (3, 3, 3)), ArgumentError, ("kernel_size", "2 of them")),
    Misuse("a fractional kernel", lambda: nn.Conv2d(3, 4, 2.5), ArgumentError, ("kernel_size", "2.5")),
    Misuse("stride 0", lambda: nn.Conv1d(3, 4, 3, stride=0), ArgumentError, ("stride", "at least 1")),
    Misuse("negative padding", lambda: nn.Conv2d(3, 4, 3, padding=-1), ArgumentError, ("padding", "-1")),
    Misuse("unknown padding", lambda: nn.Conv2d(3, 4, 3, padding="full"), ArgumentError, ("'full'", "valid, same")),
    Misuse("same with a stride", lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), ArgumentError, ("stride (2, 2)", "kernel_size // 2")),
    Misuse("unknown padding mode", lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ArgumentError, ("'mirror'", "zeros, reflect")),
    Misuse("padding mode of a transpose", lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), ArgumentError, ("padding_mode", "zeros")),
    Misuse("padding of a transpose in words", lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), ArgumentError, ("'same'", "integer")),
    Misuse("output padding without a stride", lambda: nn.ConvTranspose1d(3, 4, 3, output_padding=1), ArgumentError, ("output_padding", "below the stride")),
    Misuse("a size that no stride gives", lambda: nn.ConvTranspose2d(3, 4, 3, 2)(IMAGES, output_size=(20, 20)), ShapeError, ("(20, 20)", "(13, 11)", "(14, 12)")),
    Misuse("a transpose that leaves nothing", lambda: F.conv_transpose1d(tw.zeros(1, 1, 2), tw.zeros(1, 1, 2), padding=2), ShapeError, ("empty",)),
    Misuse("a weight of another rank", lambda: F.conv2d(IMAGES, tw.zeros(4, 3, 3)), ShapeError, ("(4, 3, 3)", "4 axes")),
    Misuse("a bias of another size", lambda: F.conv2d(IMAGES, KERNEL, tw.zeros(3)), ShapeError, ("bias", "(4,)")),
    Misuse("columns that do not fit", lambda: F.fold(tw.zeros(1, 8, 5), 3, 2), ShapeError, ("(1, 8, 5)", "4)")),
    # pooling
    Misuse("pooling a vector", lambda: nn.MaxPool2d(2)(tw.zeros(3, 4)), ShapeError, ("(3, 4)", "(N, C, H, W)", "layer:")),
    Misuse("a pool larger than the image", lambda: nn.MaxPool2d(7)(IMAGES), ShapeError, ("(2, 3, 6, 5)", "smaller window")),
    Misuse("an average larger than the image", lambda: nn.AvgPool1d(7)(SIGNALS), ShapeError, ("at least one place",)),
    Misuse("padding of more than half", lambda: nn.MaxPool2d(2, padding=2)(IMAGES), ArgumentError, ("half of the window", "at most 1")),
    Misuse("an average of whole numbers", lambda: nn.AvgPool2d(2)(IMAGES.long()), DTypeError, ("int64", ".float()")),
    Misuse("a pool of size 0", lambda: nn.MaxPool2d(0), ArgumentError, ("kernel_size", "at least 1")),
    Misuse("a divisor of 0", lambda: nn.AvgPool2d(2, divisor_override=0), ArgumentError, ("divisor_override",)),
    Misuse("adaptive sizes for three axes", lambda: F.adaptive_avg_pool2d(IMAGES, (1, 1, 1)), ArgumentError, ("output_size", "2 of them")),
    Misuse("a negative adaptive size", lambda: nn.AdaptiveAvgPool2d(-1), ArgumentError, ("output_size", "-1")),
    Misuse("adaptive pooling of an empty image", lambda: nn.AdaptiveMaxPool2d(1)(tw.zeros(1, 2, 0, 3)), ShapeError, ("at least one entry",)),
    # normalisation
    Misuse("batch norm of a signal", lambda: nn.BatchNorm2d(3)(SIGNALS), ShapeError, ("(N, C, H, W)",)),
    Misuse("batch norm of other channels", lambda: nn.BatchNorm2d(4)(IMAGES), ShapeError, ("3 channels", "num_features")),
    Misuse("groups that do not divide channels", lambda: nn.GroupNorm(2, 3), ArgumentError, ("3 channels, 2 groups",)),
    Misuse("group norm of other channels", lambda: nn.GroupNorm(2, 4)(IMAGES), ShapeError, ("(N, 4, ...)", "num_channels")),
    Misuse("group norm as a function", lambda: F.group_norm(IMAGES, 2), ShapeError, ("divisible by 2", "divisors")),
    Misuse("instance norm of one value", lambda: nn.InstanceNorm2d(3)(tw.zeros(2, 3, 1, 1)), ShapeError, ("more than one value", "GroupNorm")),
    Misuse("instance norm of other channels", lambda: nn.InstanceNorm1d(4)(SIGNALS), ShapeError, ("4 channels", "num_features")),
    Misuse("instance norm without statistics", lambda: F.instance_norm(SIGNALS, use_input_stats=False), ArgumentError, ("use_input_stats=True",)),
    # padding, enlarging, dropout
    Misuse("a mirror too wide", lambda: nn.ReflectionPad2d(5)(IMAGES), ShapeError, ("widths 5", "at most 4", "replicate")),
    Misuse("once around too far", lambda: nn.CircularPad1d(7)(SIGNALS), ShapeError, ("'circular'", "at most 6")),
    Misuse("padding of two edges", lambda: nn.ZeroPad2d((1, 2)), ArgumentError, ("(left, right, top, bottom)",)),
    Misuse("padding of a vector", lambda: nn.ZeroPad2d(1)(tw.zeros(3, 4)), ShapeError, ("(C, H, W)",)),
    Misuse("unknown mode of padding", lambda: F.pad(IMAGES, (1, 1), mode="mirror"), ArgumentError, ("'mirror'", "constant, reflect, replicate, circular")),
    Misuse("half a pair of widths", lambda: F.pad(IMAGES, (1, 1, 1), mode="reflect"), ShapeError, ("pairs",)),
    Misuse("fractional widths", lambda: F.pad(IMAGES, (0.5, 1)), ArgumentError, ("0.5", "an integer")),
    Misuse("neither size nor factor", lambda: F.interpolate(IMAGES), ArgumentError, ("size or scale_factor",)),
    Misuse("size and factor", lambda: nn.Upsample(3, 2.0)(IMAGES), ArgumentError, ("size=3, scale_factor=2.0",)),
    Misuse("unknown interpolation", lambda: nn.Upsample(scale_factor=2, mode="lanczos"), ArgumentError, ("'lanczos'", "bilinear")),
    Misuse("linear for images", lambda: F.interpolate(IMAGES, 3, mode="linear"), ShapeError, ("(N, C, L)",)),
    Misuse("corners of the nearest", lambda: F.interpolate(IMAGES, 3, align_corners=True), ArgumentError, ("align_corners",)),
    Misuse("a factor of 0", lambda: F.interpolate(IMAGES, scale_factor=0), ArgumentError, ("scale_factor",)),
    Misuse("nothing left", lambda: F.interpolate(IMAGES, scale_factor=0.1), ShapeError, ("nothing would be left",)),
    Misuse("channels that are no square", lambda: nn.PixelShuffle(2)(IMAGES), ShapeError, ("divisible by 4",)),
    Misuse("planes that do not divide", lambda: nn.PixelUnshuffle(2)(IMAGES), ShapeError, ("divisible by 2",)),
    Misuse("dropping channels of a vector", lambda: nn.Dropout2d()(SIGNALS), ShapeError, ("(N, C, H, W)", "single entries")),
    Misuse("dropout1d of images", lambda: F.dropout1d(IMAGES), ShapeError, ("(N, C, L)",)),
    Misuse("channel dropout above 1", lambda: nn.Dropout2d(1.5), ArgumentError, ("Dropout2d", "0 <= p <= 1")),
    Misuse("dirac of a matrix", lambda: init.dirac_(tw.zeros(2, 2)), ShapeError, ("(2, 2)", "window")),
]  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSES, ids=[each.name for each in MISUSES])
def test_misuse(misuse):
    with pytest.raises(misuse.error) as caught:
        misuse.action()
    assert type(caught.value) is misuse.error
    for word in misuse.words:
        assert word in str(caught.value), str(caught.value)
    assert not str(caught.value).endswith("None")
