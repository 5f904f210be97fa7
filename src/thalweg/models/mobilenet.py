"""MobileNets: a convolution taken apart into one of each channel by itself and one of the channels among each other.

In: images (N, 3, H, W). Out: class scores (N, classes). Nine times fewer operations than 3x3 convolutions of as many
channels.
"""

from __future__ import annotations

from typing import Any

from thalweg import nn
from thalweg.models.parts import Norm, convolution, layer, need_images, normalisation, start_weights
from thalweg.tensor import Tensor

SMALL = 64
"""Up to this size the first convolution (in version 2 also the third stage) keeps the size instead of halving it."""


class MobileNetV1(nn.Module):
    """MobileNet: 13 depthwise separable convolutions: 4,231,976 parameters with 1,000 classes.

    Args:
        num_classes: default 1000.
        width_mult: factor on all channels, default 1.0.
        image_size: default 224; images of up to 64 pixels are halved once less.
        norm: default `nn.BatchNorm2d`; None leaves it out.
        in_channels: default 3.

    >>> import thalweg as tw
    >>> from thalweg.models import MobileNetV1
    >>> model = MobileNetV1(num_classes=10, width_mult=0.25, image_size=32)
    >>> model(tw.zeros(1, 3, 32, 32)).shape
    (1, 10)

    Source: Howard et al., "MobileNets", 2017, table 1.
    """

    STAGES = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        image_size: int = 224,
        norm: Norm = nn.BatchNorm2d,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        inputs = _divisible(32 * width_mult)
        layers: list[nn.Module] = [layer(in_channels, inputs, stride=1 if image_size <= SMALL else 2, norm=norm)]
        for channels, stride in self.STAGES:
            outputs = _divisible(channels * width_mult)
            layers += [
                layer(inputs, inputs, stride=stride, groups=inputs, norm=norm),
                layer(inputs, outputs, kernel_size=1, norm=norm),
            ]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, num_classes)
        start_weights(self, linear_std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        need_images("MobileNetV1", x, self.in_channels)
        scores: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return scores


class MobileNetV2(nn.Module):
    """MobileNet V2: inverted residuals, which add where the channels are few: 3,504,872 parameters with 1,000 classes.

    Args:
        num_classes: default 1000.
        width_mult: factor on all channels, which are rounded to multiples of 8; default 1.0.
        dropout: before the last layer, default 0.2.
        image_size: default 224; images of up to 64 pixels are halved twice less.
        norm: default `nn.BatchNorm2d`; None leaves it out.
        skip: False leaves the additions out.
        in_channels: default 3.

    Takes torchvision's `mobilenet_v2` states.

    >>> import thalweg as tw
    >>> from thalweg.models import MobileNetV2
    >>> model = MobileNetV2(num_classes=10, width_mult=0.25, image_size=32)
    >>> model(tw.zeros(1, 3, 32, 32)).shape
    (1, 10)

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2.
    """

    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        dropout: float = 0.2,
        image_size: int = 224,
        norm: Norm = nn.BatchNorm2d,
        skip: bool = True,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        is_small = image_size <= SMALL
        inputs, last = _divisible(32 * width_mult), _divisible(1280 * max(1.0, width_mult))
        layers: list[nn.Module] = [
            layer(in_channels, inputs, stride=1 if is_small else 2, norm=norm, activation=nn.ReLU6)
        ]
        for number, (expansion, channels, count, stride) in enumerate(self.STAGES):
            outputs = _divisible(channels * width_mult)
            first = 1 if is_small and number == 1 else stride
            for place in range(count):
                layers.append(_InvertedResidual(inputs, outputs, first if place == 0 else 1, expansion, norm, skip))
                inputs = outputs
        layers.append(layer(inputs, last, kernel_size=1, norm=norm, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        start_weights(self, linear_std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        need_images("MobileNetV2", x, self.in_channels)
        scores: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return scores


class _InvertedResidual(nn.Module):
    """More channels, a convolution of each by itself, few channels again without activation; plus the input."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, norm: Norm, skip: bool) -> None:
        super().__init__()
        options: dict[str, Any] = {"norm": norm, "activation": nn.ReLU6}
        inner = inputs * expansion
        self.conv = nn.Sequential(
            *([layer(inputs, inner, kernel_size=1, **options)] if expansion != 1 else []),
            layer(inner, inner, stride=stride, groups=inner, **options),
            convolution(inner, outputs, 1, norm=norm),
            normalisation(norm, outputs),
        )
        self.adds = skip and stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.conv(x)
        return x + inside if self.adds else inside


def _divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of 8 that is no more than a tenth too small, as in the authors' code."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def mobilenet_v1(**options: Any) -> MobileNetV1:
    """`MobileNetV1` by the name that torchvision's style gives it."""
    return MobileNetV1(**options)


def mobilenet_v2(**options: Any) -> MobileNetV2:
    """`MobileNetV2` by the name that torchvision gives it."""
    return MobileNetV2(**options)
