"""The configurations of convolutions, poolings, normalisations and the like that are swept against PyTorch.

In: nothing. Out: `CONFIGURATIONS`, over 300 of them: the class, its arguments, the shape of its input, and whether the
input has ties (as after a ReLU), where a derivative could go several ways.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Configuration:
    name: str
    arguments: tuple[tuple[str, Any], ...]
    shape: tuple[int, ...]
    has_ties: bool = False

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.arguments)}) of {self.shape}"


def some(count: int, seed: int, choices: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """So many of all combinations, the same ones everywhere."""
    everything = list(choices)
    return random.Random(seed).sample(everything, min(count, len(everything)))


def row(name: str, shape: Sequence[int], has_ties: bool = False, **arguments: Any) -> Configuration:
    return Configuration(name, tuple(arguments.items()), tuple(shape), has_ties)


CHANNELS = ((1, 1, 1), (2, 3, 1), (4, 6, 2), (3, 3, 3), (2, 4, 2), (4, 2, 2))  # in, out, groups


def convolutions() -> list[Configuration]:
    rows = []
    modes = ("zeros", "reflect", "replicate", "circular")
    plane = itertools.product(
        CHANNELS, (1, 2, 3, (2, 3), (3, 1)), (1, 2, (1, 2), 3), (0, 1, (1, 0), "same", "valid"), (1, 2, (2, 1)),
        modes, (True, False), ((2, 7, 6), (1, 8, 5), (7, 7)),
    )  # fmt: skip
    for (i, o, groups), kernel, stride, padding, dilation, mode, bias, size in some(170, 1, plane):
        if padding != "same" or stride == 1:
            rows.append(row("Conv2d", (*size[:-2], i, *size[-2:]), in_channels=i, out_channels=o, kernel_size=kernel,
                            stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias,
                            padding_mode=mode))  # fmt: skip
    line = itertools.product(
        CHANNELS, (1, 2, 3, 4), (1, 2, 3), (0, 1, 2, "same"), (1, 2), modes, (True, False), ((2, 9), (1, 7), (8,))
    )
    for (i, o, groups), kernel, stride, padding, dilation, mode, bias, size in some(70, 2, line):
        if padding != "same" or stride == 1:
            rows.append(row("Conv1d", (*size[:-1], i, size[-1]), in_channels=i, out_channels=o, kernel_size=kernel,
                            stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias,
                            padding_mode=mode))  # fmt: skip
    return rows[:200]


def transposed() -> list[Configuration]:
    rows = []
    plane = itertools.product(
        CHANNELS, (1, 2, 3, (2, 3)), (1, 2, (2, 1), 3), (0, 1, (0, 1)), (0, 1, (1, 0)), (1, 2), (True, False),
        ((2, 4, 3), (1, 3, 5), (4, 4)),
    )  # fmt: skip
    for (i, o, groups), kernel, stride, padding, more, dilation, bias, size in some(80, 3, plane):
        rows.append(row("ConvTranspose2d", (*size[:-2], i, *size[-2:]), in_channels=i, out_channels=o,
                        kernel_size=kernel, stride=stride, padding=padding, output_padding=more, groups=groups,
                        bias=bias, dilation=dilation))  # fmt: skip
    line = itertools.product(CHANNELS, (1, 2, 4), (1, 2, 3), (0, 1), (0, 1), (1, 2), (True, False), ((2, 5), (4,)))
    for (i, o, groups), kernel, stride, padding, more, dilation, bias, size in some(40, 4, line):
        rows.append(row("ConvTranspose1d", (*size[:-1], i, size[-1]), in_channels=i, out_channels=o,
                        kernel_size=kernel, stride=stride, padding=padding, output_padding=more, groups=groups,
                        bias=bias, dilation=dilation))  # fmt: skip
    return rows


def poolings() -> list[Configuration]:
    rows = []
    plane = list(itertools.product(
        (1, 2, 3, 4, 5, (2, 3), (3, 2), (1, 6)), (None, 1, 2, 3, (2, 1)), (0, 1, (0, 1), 2), (True, False),
        (True, False), ((2, 2, 7, 6), (1, 1, 9, 10), (3, 5, 8), (2, 1, 12, 6)),
    ))  # fmt: skip
    for kernel, stride, padding, ceil, ties, shape in some(60, 5, plane):
        for dilation in (1, 2) if ceil != ties else (1,):
            rows.append(row("MaxPool2d", shape, ties, kernel_size=kernel, stride=stride, padding=padding,
                            dilation=dilation, ceil_mode=ceil))  # fmt: skip
    for kernel, stride, padding, ceil, include, shape in some(50, 6, plane):
        rows.append(row("AvgPool2d", shape, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=ceil,
                        count_include_pad=include, divisor_override=None if kernel != 3 else 5))  # fmt: skip
    line = list(itertools.product((1, 2, 3, 5, 6), (None, 1, 2, 4), (0, 1), (True, False), (True, False),
                                  ((2, 3, 12), (1, 7), (2, 1, 10))))  # fmt: skip
    for kernel, stride, padding, ceil, flag, shape in some(24, 7, line):
        rows.append(row("MaxPool1d", shape, flag, kernel_size=kernel, stride=stride, padding=padding,
                        dilation=1 + flag, ceil_mode=ceil))  # fmt: skip
        rows.append(row("AvgPool1d", shape, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=ceil,
                        count_include_pad=flag))  # fmt: skip
    sizes = (1, 2, 3, 5, 7, (2, 3), (None, 1), (4, None))
    for size, shape, ties in itertools.product(sizes, ((2, 2, 7, 6), (1, 12, 10), (2, 1, 4, 5)), (True, False)):
        rows.append(row("AdaptiveMaxPool2d", shape, ties, output_size=size))
        rows.append(row("AdaptiveAvgPool2d", shape, output_size=size))
    for size, shape in itertools.product((1, 2, 3, 5, 8), ((2, 3, 12), (2, 7))):
        rows += [row("AdaptiveMaxPool1d", shape, True, output_size=size),
                 row("AdaptiveAvgPool1d", shape, output_size=size)]  # fmt: skip
    return rows


def normalisations() -> list[Configuration]:
    rows = []
    for shape, eps, momentum, affine, tracks in itertools.product(
        ((2, 3, 4, 5), (3, 1, 2, 2), (5, 2, 1, 1)), (1e-5, 1e-2), (0.1, None), (True, False), (True, False)
    ):
        rows.append(row("BatchNorm2d", shape, num_features=shape[1], eps=eps, momentum=momentum, affine=affine,
                        track_running_stats=tracks))  # fmt: skip
    for shape, groups, affine in itertools.product(
        ((2, 4, 3, 3), (1, 6, 5), (3, 4), (2, 12, 2, 2)), (1, 2, 4, 6, 12), (True, False)
    ):
        if shape[1] % groups == 0 and shape[1:] != (groups,):
            rows.append(row("GroupNorm", shape, num_groups=groups, num_channels=shape[1], affine=affine))
    for shape, affine, tracks in itertools.product(
        ((2, 3, 4, 5), (1, 2, 3, 3), (2, 4, 3)), (True, False), (True, False)
    ):
        rows.append(row("InstanceNorm2d", shape, num_features=shape[-3], affine=affine, track_running_stats=tracks))
    for shape, affine, tracks in itertools.product(((2, 3, 5), (1, 1, 4), (3, 6)), (True, False), (True, False)):
        rows.append(row("InstanceNorm1d", shape, num_features=shape[-2], affine=affine, track_running_stats=tracks))
    return rows


def shapes() -> list[Configuration]:
    """Padding, enlarging, channels for space, windows as columns."""
    rows = []
    for kind, widths in itertools.product(
        ("Zero", "Reflection", "Replication", "Circular"), (1, (2, 1), (0, 3), (-1, 2), (2, -1))
    ):
        rows += [row(f"{kind}Pad1d", shape, padding=widths) for shape in ((2, 3, 5), (2, 4))]
        wide = widths if isinstance(widths, int) else (*widths, 1, 2)
        rows += [row(f"{kind}Pad2d", shape, padding=wide) for shape in ((2, 1, 4, 5), (2, 5, 4))]
    rows += [row("ConstantPad1d", (2, 3, 5), padding=(2, -1), value=0.5),
             row("ConstantPad2d", (2, 3, 5), padding=2, value=-1.0)]  # fmt: skip
    factors = (2, 3, 1, 0.5, 1.5, 2.7, 11)
    for mode, corners in (("nearest", None), ("nearest-exact", None), ("linear", False), ("linear", True)):
        mode2 = mode.replace("linear", "bilinear")
        options = {} if corners is None else {"align_corners": corners}
        rows += [row("Upsample", (2, 1, 5), scale_factor=each, mode=mode, **options) for each in factors]
        rows += [row("Upsample", (1, 2, 5), size=each, mode=mode, **options) for each in (1, 3, 5, 8, 10, 20)]
        rows += [row("Upsample", (2, 2, 4, 3), scale_factor=each, mode=mode2, **options)
                 for each in (2, (2, 1), (1.5, 0.7), (4, 2))]  # fmt: skip
        rows += [row("Upsample", (1, 2, 4, 3), size=each, mode=mode2, **options) for each in (6, (8, 6), (3, 7))]
        rows.append(row("Upsample", (1, 1, 5, 4), scale_factor=1.7, mode=mode2, recompute_scale_factor=True, **options))
    rows += [row("Upsample", (1, 1, 65 + each), scale_factor=each, mode="linear") for each in (2, 3, 4)]
    rows += [row("Upsample", (1, 2, 5, 4), size=(2, 3), mode="area"),
             row("Upsample", (1, 2, 5, 4), scale_factor=1.5, mode="area")]  # fmt: skip
    for each in (2, 3):
        rows += [row("UpsamplingNearest2d", (2, 1, 3, 4), scale_factor=each),
                 row("UpsamplingBilinear2d", (2, 1, 3, 4), scale_factor=each),
                 row("PixelShuffle", (2, 2 * each**2, 2, 3), upscale_factor=each),
                 row("PixelUnshuffle", (2, 1, 2 * each, each), downscale_factor=each)]  # fmt: skip
    for kernel, dilation, padding, stride in some(
        12, 8, itertools.product((1, 2, (2, 3)), (1, 2, (1, 2)), (0, 1, (1, 0)), (1, 2, (2, 1)))
    ):
        rows.append(row("Unfold", (2, 2, 6, 5), kernel_size=kernel, dilation=dilation, padding=padding, stride=stride))
    # fmt: off
    rows += [row("Fold", (2, 8, 4), output_size=4, kernel_size=2, stride=2),
             row("Fold", (2, 8, 9), output_size=(4, 4), kernel_size=2),
             row("Fold", (9, 8), output_size=(4, 2), kernel_size=3, padding=1),
             row("Fold", (1, 6, 10), output_size=(6, 5), kernel_size=(3, 1), dilation=2, padding=(1, 0), stride=(2, 1))]
    # fmt: on
    return rows


CONFIGURATIONS = {
    "convolution": convolutions(),
    "transposed": transposed(),
    "pooling": poolings(),
    "normalisation": normalisations(),
    "shape": shapes(),
}
