"""What weight and spectral normalisation compute; `parametrizations` and the older functions both do it with this.

In: a weight's magnitude and direction; or a weight and two vectors that follow its largest singular value. Out: the
weight. A power iteration writes the vectors in place, as batch normalisation writes its statistics.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ArgumentError, IndexRangeError, explain
from thalweg.nn.applying import write
from thalweg.nn.functional import normalize
from thalweg.nn.settings import whole_number
from thalweg.tensor.core import Tensor
from thalweg.tensor.modes import set_recording
from thalweg.tensor.random import randn

WHOLE = -1  # the norm of all entries together


def norm_except(v: Any, dim: int) -> Any:
    """The 2-norm of each slice along `dim`, with all axes but that one of extent 1; of everything for `WHOLE`."""
    if dim == WHOLE:
        return v.norm()
    if not 0 <= dim < v.ndim:
        raise IndexRangeError(
            explain("weight_norm: there is no such axis", received=f"dim={dim}",
                    expected=f"0 <= dim < {v.ndim}, or None for the norm of all entries")
        )  # fmt: skip
    others = tuple(axis for axis in range(v.ndim) if axis != dim)
    return v.norm(dim=others, keepdim=True) if others else v.abs()


def weight_of(g: Any, v: Any, dim: int) -> Any:
    """g v / |v|."""
    return v * (g / norm_except(v, dim))


def as_matrix(weight: Any, dim: int) -> Any:
    """One row for each entry of axis `dim`."""
    if dim:
        weight = weight.permute(dim, *[axis for axis in range(weight.ndim) if axis != dim])
    return weight.reshape(weight.shape[0], -1)


def checked(n_power_iterations: int, dim: int, ndim: int) -> int:
    """The axis, counted from the first."""
    if whole_number("spectral_norm: n_power_iterations", n_power_iterations, None) < 1:
        raise ArgumentError(
            explain("spectral_norm: n_power_iterations must be positive", received=n_power_iterations, expected=">= 1")
        )
    if not -ndim <= dim < ndim:
        raise IndexRangeError(
            explain("spectral_norm: there is no such axis", received=f"dim={dim}", expected=f"{-ndim} <= dim < {ndim}")
        )
    return dim % ndim


def random_direction(length: int, like: Tensor, eps: float) -> Tensor:
    """A vector of length 1."""
    return normalize(randn(length, dtype=like.dtype), dim=0, eps=eps).detach()


def default_axis(module: Any) -> int:
    """The axis of a weight that counts outputs: a transposed convolution has them second."""
    return 1 if getattr(module, "is_transposed", False) else 0


def iterate(matrix: Any, u: Any, v: Any, times: int, eps: float, u_first: bool) -> None:
    """Steps of u = W v / |W v| and v = W^T u / |W^T u|, written into u and v. Nothing is recorded."""
    with set_recording(False):
        for _ in range(times):
            for is_u in (u_first, not u_first):
                cell, product = (u, matrix.mv(v)) if is_u else (v, matrix.T.mv(u))
                write(cell, normalize(product, dim=0, eps=eps).node)


def largest_singular_value(matrix: Any, u: Any, v: Any) -> Any:
    """u^T W v; gradients flow to W alone."""
    # Copies: the vectors are written again before a second forward pass, and the first one's backward pass may be due.
    return u.clone().dot(matrix.mv(v.clone()))
