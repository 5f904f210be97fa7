"""The layers of the networks in bench/images.py as plain numbers: what they multiply, how many parameters they have.

In: the name of a network. Out: a `Layer` for each convolution and each linear layer, in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.images import SEPARABLE, WIDTHS, residual_blocks

_BIAS, _NORM = 1, 2  # parameters for each output, beside the weight


@dataclass(frozen=True)
class Layer:
    """A window of `window` x `window` that meets `places` places of an image. A linear layer has one place."""

    inputs: int
    outputs: int
    window: int = 1
    places: int = 1
    groups: int = 1
    more: int = _BIAS

    @property
    def weights(self) -> int:
        return self.outputs * self.inputs // self.groups * self.window**2

    @property
    def parameters(self) -> int:
        return self.weights + self.more * self.outputs

    @property
    def flops(self) -> int:
        """For one image."""
        return 2 * self.places * self.weights


def layers_of(network: str) -> list[Layer]:
    return _LAYERS[network]()


def _lenet() -> list[Layer]:
    return [Layer(1, 32, 5, 28**2), Layer(32, 64, 3, 14**2), Layer(64 * 7**2, 128), Layer(128, 10)]


def _resnet20() -> list[Layer]:
    layers, extent = [Layer(3, 16, 3, 32**2, more=_NORM)], 32
    for inputs, outputs, stride in residual_blocks():
        extent //= stride
        layers += [Layer(each, outputs, 3, extent**2, more=_NORM) for each in (inputs, outputs)]
        layers += [Layer(inputs, outputs, 1, extent**2, more=_NORM)] if inputs != outputs else []
    return [*layers, Layer(64, 10)]


def _mobilenet() -> list[Layer]:
    layers, extent = [Layer(3, 32, 3, 32**2, more=_NORM)], 32
    for inputs, outputs, stride in SEPARABLE:
        extent //= stride
        layers += [Layer(inputs, inputs, 3, extent**2, inputs, _NORM), Layer(inputs, outputs, 1, extent**2, more=_NORM)]
    return [*layers, Layer(256, 10)]


def _unet() -> list[Layer]:
    layers, extent = [], 128
    for inputs, width in zip((1, *WIDTHS), WIDTHS, strict=False):
        layers += _double(inputs, width, extent)
        extent //= 2
    extent *= 2
    for width in WIDTHS[-2::-1]:
        layers.append(Layer(2 * width, width, 2, extent**2))  # each place becomes 2 x 2
        extent *= 2
        layers += _double(2 * width, width, extent)
    return [*layers, Layer(WIDTHS[0], 2, 1, extent**2)]


def _double(inputs: int, outputs: int, extent: int) -> list[Layer]:
    return [Layer(each, outputs, 3, extent**2, more=_NORM) for each in (inputs, outputs)]


_LAYERS = {"lenet": _lenet, "resnet-20": _resnet20, "mobilenet": _mobilenet, "unet": _unet}
