"""One table of the networks, small enough to be run in tests: how each is built and what it maps to what.

In: nothing. Out: `CASES`, by name: the function's name, its options, the shapes of input and output. Every network
comes as published and with each of the things that can be left out.
"""

from __future__ import annotations

from typing import NamedTuple

from thalweg import models


class Case(NamedTuple):
    """`getattr(models, maker)(**options)` maps `shape` to `output`."""

    maker: str
    options: dict[str, object]
    shape: tuple[int, ...]
    output: tuple[int, ...]

    def build(self, room=models):
        """In `room`, this library or its twin."""
        return getattr(room, self.maker)(**self.options)


TINY_RESNET = {"layers": [1, 1, 1], "widths": (4, 8, 16)}
CASES = {
    "lenet": Case("LeNet5", {}, (2, 1, 28, 28), (2, 10)),
    "vgg": Case("VGG", {"configuration": (4, 0, 8, 8, 0, 8, 0, 8, 0, 8, 0), "num_classes": 5, "image_size": 32},
                (2, 3, 32, 32), (2, 5)),
    "resnet_a": Case("ResNet", TINY_RESNET, (3, 3, 16, 16), (3, 10)),
    "resnet_b": Case("ResNet", {**TINY_RESNET, "shortcut": "B", "zero_init_residual": True}, (3, 3, 16, 16), (3, 10)),
    "resnet_large": Case("ResNet", {**TINY_RESNET, "stem": "large", "shortcut": "B"}, (2, 3, 64, 64), (2, 10)),
    "resnet_plain": Case("ResNet", {**TINY_RESNET, "skip": False}, (3, 3, 16, 16), (3, 10)),
    "resnet_bare": Case("ResNet", {**TINY_RESNET, "skip": False, "norm": None}, (3, 3, 16, 16), (3, 10)),
    "mobilenet_v1": Case("MobileNetV1", {"num_classes": 4, "width_mult": 0.25, "image_size": 32},
                         (2, 3, 32, 32), (2, 4)),
    "mobilenet_v2": Case("MobileNetV2", {"num_classes": 4, "width_mult": 0.1, "image_size": 32, "dropout": 0.0},
                         (2, 3, 32, 32), (2, 4)),
    "mobilenet_v2_plain": Case("MobileNetV2", {"num_classes": 4, "width_mult": 0.1, "image_size": 32, "dropout": 0.0,
                                               "skip": False}, (2, 3, 32, 32), (2, 4)),
    "unet": Case("UNet", {"base": 4, "depth": 2}, (2, 1, 16, 24), (2, 2, 16, 24)),
    "unet_bilinear": Case("UNet", {"base": 4, "depth": 2, "upsample": "bilinear"}, (2, 1, 16, 24), (2, 2, 16, 24)),
    "unet_bare": Case("UNet", {"base": 4, "depth": 2, "skip": False, "norm": None, "upsample": "nearest"},
                      (2, 1, 16, 24), (2, 2, 16, 24)),
    "centernet": Case("CenterNet", {"num_classes": 3, "base": 4, "depth": 3}, (2, 3, 32, 40), (2, 7, 8, 10)),
    "centernet_fine": Case("CenterNet", {"num_classes": 2, "base": 4, "depth": 2, "stride": 1}, (2, 3, 12, 16),
                           (2, 6, 12, 16)),
    "centernet_bare": Case("CenterNet", {"num_classes": 3, "base": 4, "depth": 3, "skip": False, "norm": None},
                           (2, 3, 32, 40), (2, 7, 8, 10)),
}  # fmt: skip
