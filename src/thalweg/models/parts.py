"""What the networks share: convolutions with or without normalisation, how weights start, and checks of arguments.

In: channels, and `norm`, a function from a number of channels to a module, or None for none.
Out: modules, initialised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from thalweg import nn
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn import init
from thalweg.tensor import Tensor
from thalweg.tensor.methods import functions

Norm: TypeAlias = Callable[[int], nn.Module] | None
"""`nn.BatchNorm2d`, or for example ``lambda channels: nn.GroupNorm(8, channels)``; None leaves normalisation out."""


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """The module; the identity for None, so that the layers behind it keep their names."""
    return nn.Identity() if norm is None else norm(channels)


def convolution(
    inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1, groups: int = 1, norm: Norm = None
) -> nn.Conv2d:
    """Padded so that stride 1 keeps the size. No bias where a normalisation follows: it would subtract it again."""
    padding = kernel_size // 2
    return nn.Conv2d(inputs, outputs, kernel_size, stride, padding, groups=groups, bias=norm is None)


def layer(
    inputs: int,
    outputs: int,
    kernel_size: int = 3,
    stride: int = 1,
    groups: int = 1,
    norm: Norm = nn.BatchNorm2d,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(
        convolution(inputs, outputs, kernel_size, stride, groups, norm), normalisation(norm, outputs), activation()
    )


def side_by_side(*parts: Tensor) -> Tensor:
    """The channels of several images of one size, one after the other."""
    return functions["cat"](parts, 1)  # type: ignore[no-any-return]


def start_weights(model: nn.Module, linear_std: float | None = None) -> None:
    """Weights for layers that a ReLU follows: normal with variance 2 / fan_out, biases 0. He et al., ICCV 2015.

    fan_out is the number of outputs that one input reaches, so in a convolution with groups those of its group.
    Linear layers become normal with `linear_std`, or stay as `nn.Linear` starts them.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = init.fans(module.weight)[1] // module.groups
            init.normal_(module.weight, 0.0, math.sqrt(2 / fan_out))
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear_std is not None:
            init.normal_(module.weight, 0.0, linear_std)
            if module.bias is not None:
                init.zeros_(module.bias)


def refuse_choice(where: str, value: object, *allowed: object) -> None:
    """Nothing if `value` is one of those allowed."""
    if value not in allowed:
        expected = ", ".join(map(repr, allowed))
        raise ArgumentError(explain("unknown choice", received=repr(value), expected=expected, where=where))


def need_images(where: str, x: Tensor, channels: int, multiple: int = 1) -> None:
    """Refuse what is not (N, channels, H, W), or whose height and width cannot be halved as often as is needed."""
    if len(x.shape) != 4 or x.shape[1] != channels:
        remedy = "add the channel axis with x.unsqueeze(1)" if len(x.shape) == 3 else f"{where}(in_channels=...)"
        expected = f"(N, {channels}, H, W)"
        raise ShapeError(explain(f"{where} takes images", received=tuple(x.shape), expected=expected, remedy=remedy))
    if x.shape[2] % multiple or x.shape[3] % multiple:
        raise ShapeError(
            explain(
                f"{where} halves images until {multiple} pixels are one",
                received=f"height {x.shape[2]}, width {x.shape[3]}",
                expected=f"multiples of {multiple}",
                remedy="pad or resize the images, or choose a smaller depth",
            )
        )
