"""Images and signals enlarged or shrunk, and channels exchanged for space.

In: tensors or arrays (N, C, L), (N, C, H, W) or (N, C, D, H, W). Out: tensors of the same rank, with other extents.
The batch axis is needed here, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn import resampling_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.nn.settings import per_axis, whole_number
from thalweg.tensor.core import Tensor, refuse_unknown

INTERPOLATIONS = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
_SMOOTH = {"linear": (3,), "bilinear": (4,), "trilinear": (5,), "bicubic": (4,)}
Factor = float | Sequence[float]


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The input at other extents: `size`, or its own times `scale_factor`, rounded down.

    `mode`: "nearest" takes entry floor(i * old / new), "nearest-exact" floor((i + 1/2) * old / new); "linear" for
    (N, C, L), "bilinear" for (N, C, H, W) and "trilinear" for (N, C, D, H, W) weight the two neighbours along each axis
    of (i + 1/2) * old / new - 1/2, or with `align_corners` of i * (old - 1) / (new - 1); "bicubic" for (N, C, H, W)
    four of them (Keys, 1981); "area" is adaptive average pooling. With `antialias`, for "bilinear" and "bicubic", an
    image that becomes smaller is averaged over what each entry stands for, as in Pillow. Coordinates use the scale
    factor as it is given; with `recompute_scale_factor` the ratio of the extents.

    >>> import thalweg as tw
    >>> interpolate(tw.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    >>> interpolate(tw.tensor([[[1.0, 2.0]]]), size=4, mode="linear")
    tensor([[[1.  , 1.25, 1.75, 2.  ]]])
    """
    refuse_unknown("interpolate: mode", INTERPOLATIONS, mode)
    shape = tuple(getattr(input, "shape", (1, 1, 1)))
    _check_mode(shape, mode, align_corners)
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(explain("interpolate: antialias is for images that are averaged",
                                    received=f"mode {mode!r}", expected="bilinear or bicubic"))  # fmt: skip
    sizes, scales = _sizes_and_scales(shape[2:], size, scale_factor)
    if recompute_scale_factor or mode == "area":
        scales = (None,) * len(sizes)
    return apply(
        expressions.interpolate, input, sizes=sizes, scales=scales, mode=mode, align_corners=bool(align_corners),
        antialias=bool(antialias),
    )  # fmt: skip


def _check_mode(shape: tuple[int, ...], mode: str, align_corners: bool | None) -> None:
    wanted = _SMOOTH.get(mode, (3, 4, 5))
    if len(shape) not in wanted or 0 in shape[1:]:
        shapes = {3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"}
        raise ShapeError(
            explain(f"interpolate: mode {mode!r} takes another shape", received=f"shape {shape}",
                    expected=" or ".join(shapes[each] for each in wanted) + ", not empty")
        )  # fmt: skip
    if align_corners is not None and mode not in _SMOOTH:
        raise ArgumentError(
            explain("interpolate: align_corners means nothing in this mode", received=f"mode {mode!r}",
                    expected=", ".join(_SMOOTH), remedy="leave align_corners out")
        )  # fmt: skip


def _sizes_and_scales(
    extents: tuple[int, ...], size: int | Sequence[int] | None, scale_factor: Factor | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    axes = len(extents)
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            explain("interpolate: size or scale_factor, one of them", expected="the new extents, or their ratio",
                    received=f"size={size}, scale_factor={scale_factor}")
        )  # fmt: skip
    if size is not None:
        return per_axis("interpolate: size", size, axes, 1), (None,) * axes
    factors: tuple[Any, ...] = (
        tuple(scale_factor) if isinstance(scale_factor, (list, tuple)) else (scale_factor,) * axes
    )
    if len(factors) != axes or not all(isinstance(each, (int, float)) and 0 < each < math.inf for each in factors):
        raise ArgumentError(
            explain("interpolate: scale_factor is a positive number, or one an axis", received=repr(scale_factor),
                    expected=f"a number > 0, or {axes} of them")
        )  # fmt: skip
    sizes = tuple(math.floor(extent * each) for extent, each in zip(extents, factors, strict=True))
    if min(sizes) < 1:
        raise ShapeError(
            explain("interpolate: nothing would be left", received=f"extents {extents} times {scale_factor}",
                    expected="at least one entry along each axis")
        )  # fmt: skip
    return sizes, tuple(float(each) for each in factors)


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: Factor | None = None
) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: Factor | None = None
) -> Tensor:
    """`interpolate` with mode "bilinear" between corners that lie on each other."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels become space: (*, C r r, H, W) to (*, C, H r, W r). Shi et al., CVPR 2016.

    >>> import thalweg as tw
    >>> pixel_shuffle(tw.arange(4.0).reshape(4, 1, 1), 2)
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    factor = whole_number("pixel_shuffle: upscale_factor", upscale_factor, 1)
    return apply(expressions.pixel_shuffle, input, factor=factor)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Space becomes channels: (*, C, H r, W r) to (*, C r r, H, W), the inverse of `pixel_shuffle`.

    >>> import thalweg as tw
    >>> pixel_unshuffle(tw.ones(1, 4, 6), 2).shape
    (4, 2, 3)
    """
    factor = whole_number("pixel_unshuffle: downscale_factor", downscale_factor, 1)
    return apply(expressions.pixel_unshuffle, input, factor=factor)
