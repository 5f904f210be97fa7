"""The networks of the recipes for pictures, as plain values from which a run folder builds them again.

In: settings, the shape of a picture and the number of classes. Out: a `PictureNetwork`: a small convolutional network,
ResNet-20, U-Net or CenterNet; its modules; a check that weights are its own before anything of its size is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from thalweg import models, nn
from thalweg.errors import ConfigurationError, FileFormatError, explain
from thalweg.recipes.network import described, plain_values
from thalweg.recipes.problem import CLASSIFICATION, DETECTION, SEGMENTATION
from thalweg.recipes.settings import CENTERNET, CONVOLUTIONAL, PERCEPTRON, RESNET, UNET, Settings

FITTING_NETWORKS = {
    CLASSIFICATION: (CONVOLUTIONAL, RESNET, PERCEPTRON),
    SEGMENTATION: (UNET,),
    DETECTION: (CENTERNET,),
}
USUAL_BASE = {CONVOLUTIONAL: 32, RESNET: 16, UNET: 16, CENTERNET: 16}
SMALL_PICTURE = 48
"""Longest side up to which a ResNet begins with a 3x3 convolution instead of 7x7 and a pooling."""
DEPTH = {UNET: 3, CENTERNET: 3}
DETECTOR_STRIDE = 2
FIRST_AND_LAST = {
    CONVOLUTIONAL: ("conv_1", "output"),
    RESNET: ("conv1", "fc"),
    UNET: ("encoder.0.0.0", "head"),
    CENTERNET: ("stem.0", "heat_head"),
}
"""The first and the last layer of each kind, whose weights tell the size of the network."""
LARGEST = 1 << 16


@dataclass(frozen=True)
class PictureNetwork:
    """A network for pictures in plain values: what config.json says about it.

    >>> PictureNetwork(kind="convolutional", input_shape=(1, 28, 28), outputs=10, base=16).parameters
    20586
    """

    kind: str
    input_shape: tuple[int, int, int]
    outputs: int
    base: int
    dropout: float = 0.0

    @cached_property
    def parameters(self) -> int:
        return sum(each.numel() for each in self.build().parameters())

    @property
    def channels(self) -> int:
        return self.input_shape[0]

    def __str__(self) -> str:
        channels, height, width = self.input_shape
        return f"{self.kind}, {self.base} channels, for {channels} x {height} x {width}"

    def build(self) -> nn.Module:
        """The network, freshly initialised from the default generator."""
        if self.kind == CONVOLUTIONAL:
            return self._convolutional()
        if self.kind == RESNET:
            widths = (self.base, 2 * self.base, 4 * self.base)
            stem = "small" if max(self.input_shape[1:]) <= SMALL_PICTURE else "large"
            return models.ResNet([3, 3, 3], widths, self.outputs, stem, in_channels=self.channels)
        if self.kind == UNET:
            return models.UNet(self.channels, self.outputs, self.base, DEPTH[UNET])
        return models.CenterNet(self.outputs, self.channels, self.base, DETECTOR_STRIDE, DEPTH[CENTERNET])

    def _convolutional(self) -> nn.Sequential:
        """Two 3x3 convolutions, each normalised and pooled, and one linear layer."""
        channels, height, width = self.input_shape
        modules: dict[str, nn.Module] = {}
        for number, inputs, outputs in ((1, channels, self.base), (2, self.base, 2 * self.base)):
            modules |= {
                f"conv_{number}": nn.Conv2d(inputs, outputs, 3, padding=1),
                f"norm_{number}": nn.BatchNorm2d(outputs),
                f"relu_{number}": nn.ReLU(),
                f"pool_{number}": nn.MaxPool2d(2),
            }
        modules["flatten"] = nn.Flatten()
        if self.dropout:
            modules["dropout"] = nn.Dropout(self.dropout)
        modules["output"] = nn.Linear(2 * self.base * (height // 4) * (width // 4), self.outputs)
        return nn.Sequential(modules)

    def decoder(self) -> models.CenterNetDecoder:
        """What makes boxes out of a detector's output."""
        return models.CenterNetDecoder(self.outputs, DETECTOR_STRIDE)

    def check_weights(self, arrays: Mapping[str, np.ndarray], where: str) -> None:
        """Refuse weights that are not of this network, before a network of a size that a damaged file names is made."""
        first, last = (f"{name}.weight" for name in FIRST_AND_LAST[self.kind])
        expected = {first: (self.base, self.channels), last: (self.outputs,)}
        for name, shape in expected.items():
            weight = arrays.get(name)
            if weight is None or weight.shape[: len(shape)] != shape:
                raise FileFormatError(
                    explain(
                        "the weights are not those of the network that config.json describes",
                        received=f"{name} {'missing' if weight is None else f'of shape {weight.shape}'}",
                        expected=f"shape ({', '.join(map(str, shape))}, ...)",
                        where=where,
                        remedy="the files are of different runs: train again, or put the right ones together",
                    )
                )

    def to_config(self) -> dict[str, Any]:
        return plain_values(self)

    @classmethod
    def from_config(cls, config: Any, where: str) -> PictureNetwork:
        """The network that `to_config` described. Raises FileFormatError for anything else."""
        return described(cls, config, where, ("input_shape",), cls._is_valid)

    def _is_valid(self) -> bool:
        numbers = (*self.input_shape, self.outputs, self.base)
        whole = all(type(number) is int and 0 < number <= LARGEST for number in numbers)
        return whole and len(self.input_shape) == 3 and self.kind in FIRST_AND_LAST and 0 <= self.dropout < 1


def picture_network(settings: Settings, input_shape: tuple[int, ...], outputs: int) -> PictureNetwork:
    """What the settings say about the network, for pictures of this shape."""
    assert settings.network is not None
    assert settings.base is not None
    channels, height, width = input_shape
    _check_size(settings.network, height, width)
    return PictureNetwork(
        settings.network, (channels, height, width), outputs, settings.base, settings.dropout or 0.0
    )  # fmt: skip


def check_network(settings: Settings, task: str) -> None:
    """Refuse a network that does another task."""
    if settings.network is not None and settings.network not in FITTING_NETWORKS[task]:
        raise ConfigurationError(
            explain(
                f"this network does no {task}",
                received=settings.network,
                expected=", ".join(FITTING_NETWORKS[task]),
                where="--network",
                remedy="leave --network out",
            )
        )


def _check_size(kind: str, height: int, width: int) -> None:
    multiple = 2 ** DEPTH[kind] if kind in DEPTH else 1
    least = max(multiple, 4)
    if height % multiple or width % multiple or min(height, width) < least:
        raise ConfigurationError(
            explain(
                f"pictures of this size do not fit the network {kind}",
                received=f"{height} x {width}",
                expected=f"at least {least} x {least}" + (f", multiples of {multiple}" if multiple > 1 else ""),
                where="--image-size",
            )
        )
