"""Images read at places that data say: `grid_sample`, and the grid of an affine map.

In: images (N, C, H, W) or volumes (N, C, D, H, W), and places (N, ..., axes) in [-1, 1], x first. Out: what stands at
the places. Spatial transformer networks: Jaderberg et al., NeurIPS 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ShapeError, explain
from thalweg.nn import sampling_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.shaping import flat_ints


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The input at the places of the grid: (N, C, H, W) and (N, H', W', 2) give (N, C, H', W'); volumes alike.

    Args:
        grid: places, x (along W) first, -1 and 1 being the edges of the image, or with `align_corners` the middles of
            its outer entries.
        mode: "bilinear" (of volumes trilinear), "nearest", or for images "bicubic".
        padding_mode: what stands outside: "zeros", the "border", or the image mirrored ("reflection").

    Gradients flow to the image, and to the grid but for "nearest".

    >>> import thalweg as tw
    >>> grid_sample(tw.tensor([[[[1.0, 3.0]]]]), tw.zeros(1, 1, 1, 2))
    tensor([[[[2.]]]])
    """
    refuse_unknown("grid_sample: mode", expressions.MODES, mode)
    refuse_unknown("grid_sample: padding_mode", expressions.PADDINGS, padding_mode)
    return apply(
        expressions.grid_sample, input, grid,
        mode=mode, padding_mode=padding_mode, align_corners=bool(align_corners),
    )  # fmt: skip


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places that an affine map sends the entries of an image to, for `grid_sample`.

    Shapes: theta (N, 2, 3) with size (N, C, H, W) gives (N, H, W, 2); (N, 3, 4) with (N, C, D, H, W) (N, D, H, W, 3).

    >>> import thalweg as tw
    >>> affine_grid(tw.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2))
    tensor([[[[-0.5,  0. ],
              [ 0.5,  0. ]]]])
    """
    wanted = flat_ints((tuple(size),))
    if len(wanted) not in (4, 5):
        raise ShapeError(explain("affine_grid: size is that of images or volumes", received=wanted,
                                 expected="(N, C, H, W) or (N, C, D, H, W)"))  # fmt: skip
    return apply(expressions.affine_grid, theta, size=wanted, align_corners=bool(align_corners))
