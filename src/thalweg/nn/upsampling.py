"""Layers that enlarge images and signals, or exchange channels for space. No parameters.

In: (N, C, L), (N, C, H, W) or (N, C, D, H, W). Out: the same rank, other extents. `Upsample` takes the
extents or their ratio; the modes are those of `F.interpolate`.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ShapeError, explain
from thalweg.nn import functional
from thalweg.nn.functional.resampling import INTERPOLATIONS, Factor
from thalweg.nn.module import Module
from thalweg.nn.settings import whole_number
from thalweg.tensor.core import Tensor, refuse_unknown


class Upsample(Module):
    """The input at other extents: `size`, or its own times `scale_factor`, rounded down.

    `mode` is "nearest", "nearest-exact", "area", "linear" for (N, C, L), "bilinear" or "bicubic" for (N, C, H, W),
    "trilinear" for (N, C, D, H, W); `align_corners` lays the outer entries of both onto each other. See
    `F.interpolate`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Upsample(scale_factor=2, mode="bilinear")(tw.ones(2, 8, 7, 7)).shape
    (2, 8, 14, 14)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: Factor | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        refuse_unknown(f"{type(self).__name__}: mode", INTERPOLATIONS, mode)
        self.size = size
        if isinstance(scale_factor, (list, tuple)):
            self.scale_factor: Factor | None = tuple(float(each) for each in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor is not None else None  # type: ignore[arg-type]
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return functional.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        by_factor = self.scale_factor is not None
        wanted = f"scale_factor={self.scale_factor!r}" if by_factor else f"size={self.size!r}"
        return f"{wanted}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Every pixel repeated: (N, C, H, W) enlarged by taking the nearest.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.UpsamplingNearest2d(scale_factor=2)(tw.ones(2, 8, 7, 7)).shape
    (2, 8, 14, 14)
    """

    def __init__(self, size: int | Sequence[int] | None = None, scale_factor: Factor | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(_image(self, input))


class UpsamplingBilinear2d(Upsample):
    """(N, C, H, W) enlarged by bilinear interpolation between corners that lie on each other.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.UpsamplingBilinear2d(size=(3, 3))(tw.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[[[1. , 1.5, 2. ],
              [2. , 2.5, 3. ],
              [3. , 3.5, 4. ]]]])
    """

    def __init__(self, size: int | Sequence[int] | None = None, scale_factor: Factor | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(_image(self, input))


def _image(module: Module, input: Tensor) -> Tensor:
    if hasattr(input, "shape") and len(input.shape) != 4:
        raise ShapeError(explain(f"{type(module).__name__} takes images", received=f"shape {tuple(input.shape)}",
                                 expected="(N, C, H, W)"))  # fmt: skip
    return input


class PixelShuffle(Module):
    """Channels become space: (*, C r r, H, W) to (*, C, H r, W r). Shi et al., CVPR 2016.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.PixelShuffle(2)(tw.ones(1, 8, 3, 3)).shape
    (1, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = whole_number("PixelShuffle: upscale_factor", upscale_factor, 1)

    def forward(self, input: Tensor) -> Tensor:
        return functional.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Space becomes channels: (*, C, H r, W r) to (*, C r r, H, W), the inverse of `PixelShuffle`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.PixelUnshuffle(2)(tw.ones(1, 2, 6, 6)).shape
    (1, 8, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = whole_number("PixelUnshuffle: downscale_factor", downscale_factor, 1)

    def forward(self, input: Tensor) -> Tensor:
        return functional.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
