"""VGG: 3x3 convolutions one after the other, the size halved and the channels doubled between them.

In: images (N, 3, 224, 224), or smaller ones with `image_size=32`. Out: class scores (N, classes). Without normalisation
and without skip connections it is also what shows how gradients fade with depth.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg import nn
from thalweg.models.parts import Norm, convolution, need_images, normalisation, start_weights
from thalweg.tensor import Tensor

POOL = 0
CONFIGURATIONS: dict[int, tuple[int, ...]] = {
    11: (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL),
    16: (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL),
}
HIDDEN = 4096
"""Units of each hidden layer in the head for large images."""
SMALL = 32
"""Up to this size five halvings leave one pixel, and one linear layer reads it."""


class VGG(nn.Module):
    """A VGG network: see `vgg11` and `vgg16`, which say how many parameters each has.

    Args:
        configuration: the channels of each convolution, 0 for a pooling that halves the size.
        num_classes: default 1000.
        image_size: default 224, with the paper's head: two hidden layers of 4,096 with dropout. For images of up to 32
            pixels a single linear layer reads the last pixel.
        norm: normalisation after each convolution; default None, as published. `nn.BatchNorm2d` makes it torchvision's
            `vgg11_bn` or `vgg16_bn`.
        dropout: in the head of large images, default 0.5.
        in_channels: default 3.

    Weights start as in torchvision, normal with variance 2 / fan_out. Names of layers are torchvision's.

    Source: Simonyan and Zisserman, ICLR 2015. The head for small images is common use for CIFAR.
    """

    def __init__(
        self,
        configuration: Sequence[int],
        num_classes: int = 1000,
        image_size: int = 224,
        norm: Norm = None,
        dropout: float = 0.5,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.features = _features(configuration, norm, in_channels)
        last = [each for each in configuration if each != POOL][-1]
        self.avgpool: nn.Module = nn.AdaptiveAvgPool2d(1 if image_size <= SMALL else 7)
        self.classifier: nn.Module = (
            nn.Linear(last, num_classes) if image_size <= SMALL else _published_head(last, num_classes, dropout)
        )
        start_weights(self, linear_std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        need_images("VGG", x, self.in_channels)
        scores: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return scores


def _features(configuration: Sequence[int], norm: Norm, inputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for outputs in configuration:
        if outputs == POOL:
            layers.append(nn.MaxPool2d(2))
            continue
        # a bias even before a normalisation, as in torchvision, so that counts and states are the published ones
        layers.append(convolution(inputs, outputs))
        layers += [] if norm is None else [normalisation(norm, outputs)]
        layers.append(nn.ReLU())
        inputs = outputs
    return nn.Sequential(*layers)


def _published_head(inputs: int, num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs * 7 * 7, HIDDEN), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(HIDDEN, num_classes),
    )  # fmt: skip


def vgg11(
    num_classes: int = 1000, image_size: int = 224, norm: Norm = None, dropout: float = 0.5, in_channels: int = 3
) -> VGG:
    """VGG with 8 convolutions, the paper's configuration A: 132,863,336 parameters; arguments as for `VGG`.

    >>> from thalweg.models import vgg11
    >>> sum(each.numel() for each in vgg11(10, image_size=32).parameters())
    9225610
    """
    return VGG(CONFIGURATIONS[11], num_classes, image_size, norm, dropout, in_channels)


def vgg16(
    num_classes: int = 1000, image_size: int = 224, norm: Norm = None, dropout: float = 0.5, in_channels: int = 3
) -> VGG:
    """VGG with 13 convolutions, the paper's configuration D: 138,357,544 parameters; arguments as for `VGG`."""
    return VGG(CONFIGURATIONS[16], num_classes, image_size, norm, dropout, in_channels)
