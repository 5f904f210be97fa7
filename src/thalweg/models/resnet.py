"""Residual networks: blocks that add their input to what they compute, so that gradients reach the first layers.

In: images (N, 3, H, W). Out: class scores (N, classes). `skip=False` leaves the additions out and `norm=None` the
normalisation: the same depth then shows what each is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg import nn
from thalweg.models.parts import Norm, convolution, need_images, normalisation, refuse_choice, start_weights
from thalweg.nn import functional as F
from thalweg.nn import init
from thalweg.tensor import Tensor


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and the input added to their result: relu(F(x) + x).

    Where the block halves the size or changes the channels, the shortcut does too: ``"A"`` takes every second pixel and
    adds channels of zeros, ``"B"`` is a 1x1 convolution with normalisation. `skip=False` leaves the shortcut out.

    >>> import thalweg as tw
    >>> from thalweg.models import BasicBlock
    >>> BasicBlock(16, 32, stride=2)(tw.zeros(1, 16, 8, 8)).shape
    (1, 32, 4, 4)

    Source: He, Zhang, Ren and Sun, CVPR 2016, figure 5 and section 3.3.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        shortcut: str = "B",
        norm: Norm = nn.BatchNorm2d,
        skip: bool = True,
    ) -> None:
        super().__init__()
        refuse_choice("BasicBlock(shortcut)", shortcut, "A", "B")
        self.conv1 = convolution(inputs, outputs, 3, stride, norm=norm)
        self.bn1 = normalisation(norm, outputs)
        self.relu = nn.ReLU()
        self.conv2 = convolution(outputs, outputs, norm=norm)
        self.bn2 = normalisation(norm, outputs)
        self.skip = skip
        self.downsample: nn.Module | None = None
        if skip and (stride != 1 or inputs != outputs):
            self.downsample = (
                _PaddedShortcut(outputs - inputs, stride)
                if shortcut == "A"
                else nn.Sequential(convolution(inputs, outputs, 1, stride, norm=norm), normalisation(norm, outputs))
            )

    def forward(self, x: Tensor) -> Tensor:
        inside = self.relu(self.bn1(self.conv1(x)))
        inside = self.bn2(self.conv2(inside))
        if self.skip:
            inside = inside + (x if self.downsample is None else self.downsample(x))
        result: Tensor = self.relu(inside)
        return result


class _PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, and channels of zeros behind the others: a shortcut without parameters."""

    def __init__(self, more_channels: int, stride: int) -> None:
        super().__init__()
        self.more_channels, self.stride = more_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        seen = x[:, :, :: self.stride, :: self.stride]
        return F.pad(seen, (0, 0, 0, 0, 0, self.more_channels))

    def extra_repr(self) -> str:
        return f"more_channels={self.more_channels}, stride={self.stride}"


class ResNet(nn.Module):
    """A residual network of `BasicBlock`s: see `resnet20` and `resnet18` for those with names.

    Args:
        layers: blocks in each stage; every stage but the first halves the size.
        widths: channels of each stage.
        num_classes: default 10.
        stem: ``"small"`` (default), a 3x3 convolution, for images of about 32 pixels; ``"large"``, a 7x7 convolution of
            stride 2 and a pooling, for images of 224.
        shortcut: ``"A"`` (default) or ``"B"``, see `BasicBlock`.
        norm: default `nn.BatchNorm2d`; None leaves it out, and convolutions then have biases.
        skip: False leaves the shortcuts out: a plain network of the same depth.
        zero_init_residual: the last normalisation of each block starts with weight 0, so that every block starts as
            the identity. Goyal et al., 2017. Default False.
        in_channels: default 3.

    Weights start normal with variance 2 / fan_out. Names of layers are torchvision's.

    Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def __init__(
        self,
        layers: Sequence[int],
        widths: Sequence[int] = (16, 32, 64),
        num_classes: int = 10,
        stem: str = "small",
        shortcut: str = "A",
        norm: Norm = nn.BatchNorm2d,
        skip: bool = True,
        zero_init_residual: bool = False,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        refuse_choice("ResNet(stem)", stem, "small", "large")
        self.in_channels = in_channels
        self.conv1 = convolution(in_channels, widths[0], *((7, 2) if stem == "large" else (3, 1)), norm=norm)
        self.bn1 = normalisation(norm, widths[0])
        self.relu = nn.ReLU()
        self.maxpool: nn.Module = nn.MaxPool2d(3, 2, 1) if stem == "large" else nn.Identity()
        self.stages = len(layers)
        inputs = widths[0]
        for number, (blocks, width) in enumerate(zip(layers, widths, strict=True), start=1):
            stage = _stage(inputs, width, blocks, 1 if number == 1 else 2, shortcut=shortcut, norm=norm, skip=skip)
            self.add_module(f"layer{number}", stage)
            inputs = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, num_classes)
        start_weights(self)
        if zero_init_residual:
            _start_as_identity(self)

    def forward(self, x: Tensor) -> Tensor:
        need_images("ResNet", x, self.in_channels)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, self.stages + 1):
            x = getattr(self, f"layer{number}")(x)
        scores: Tensor = self.fc(self.avgpool(x).flatten(1))
        return scores


def _stage(inputs: int, outputs: int, blocks: int, stride: int, **options: Any) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride, **options)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, **options) for _ in range(blocks - 1)))


def _start_as_identity(model: nn.Module) -> None:
    for module in model.modules():
        weight = getattr(module.bn2, "weight", None) if isinstance(module, BasicBlock) else None
        if weight is not None:
            init.zeros_(weight)


def _cifar(depth: int, options: dict[str, Any]) -> ResNet:
    """6n + 2 layers: the stem, three stages of n blocks of two, the linear layer."""
    return ResNet([(depth - 2) // 6] * 3, **options)


def resnet20(**options: Any) -> ResNet:
    """20 layers for images of 32 x 32: 269,722 parameters, or 272,474 with `shortcut="B"`. Options as for `ResNet`.

    >>> import thalweg as tw
    >>> from thalweg.models import resnet20
    >>> model = resnet20()
    >>> sum(each.numel() for each in model.parameters()), model(tw.zeros(1, 3, 32, 32)).shape
    (269722, (1, 10))
    """
    return _cifar(20, options)


def resnet32(**options: Any) -> ResNet:
    """32 layers for images of 32 x 32: 464,154 parameters. Options as for `ResNet`."""
    return _cifar(32, options)


def resnet44(**options: Any) -> ResNet:
    """44 layers for images of 32 x 32: 658,586 parameters. Options as for `ResNet`."""
    return _cifar(44, options)


def resnet56(**options: Any) -> ResNet:
    """56 layers for images of 32 x 32: 853,018 parameters. Options as for `ResNet`."""
    return _cifar(56, options)


def resnet110(**options: Any) -> ResNet:
    """110 layers for images of 32 x 32: 1,727,962 parameters. Options as for `ResNet`."""
    return _cifar(110, options)


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """18 layers for images of 224 x 224: 11,689,512 parameters. Options as for `ResNet`; `stem="small"` for 32 x 32.

    Takes torchvision's `resnet18` states.
    """
    standard = {"stem": "large", "shortcut": "B"}
    return ResNet([2, 2, 2, 2], (64, 128, 256, 512), num_classes, **{**standard, **options})
