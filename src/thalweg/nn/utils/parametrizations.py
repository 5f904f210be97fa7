"""Ready parametrizations: weight normalisation, spectral normalisation, orthogonal weights.

In: a module and the name of its weight. Out: the module, whose weight is computed from free numbers whenever it is read
(`parametrize`), with PyTorch's names in the state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.errors import ShapeError, explain
from thalweg.nn.functional import normalize
from thalweg.nn.module import Module
from thalweg.nn.utils import norms
from thalweg.nn.utils.orthogonal import orthogonal_by_cayley, orthogonal_by_exponential, orthogonal_by_reflections
from thalweg.nn.utils.parametrize import register_parametrization, tensor_of
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.random import randn

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, g: Tensor, v: Tensor) -> Any:
        return norms.weight_of(g, v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norms.norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """The weight becomes g v / |v|: its length and its direction are learned apart. Returns the module.

    |v| is the 2-norm of each slice along `dim` (default 0: one for each output), with ``dim=None`` that of all entries.
    State: ``parametrizations.weight.original0`` (g, extent 1 on all axes but `dim`) and ``original1`` (v); a state of
    the older `nn.utils.weight_norm` (``weight_g``, ``weight_v``) can be loaded too. The weight keeps its value.
    Salimans and Kingma, NeurIPS 2016.

    >>> from thalweg import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> list(layer.state_dict())
    ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']
    """
    register_parametrization(module, name, _WeightNorm(norms.WHOLE if dim is None else dim), unsafe=True)
    new = f"parametrizations.{name}.original"
    module.__dict__.setdefault("_older_names", {}).update({f"{name}_g": f"{new}0", f"{name}_v": f"{new}1"})
    return module


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        self.dim = norms.checked(n_power_iterations, dim, weight.ndim)
        self.n_power_iterations, self.eps = n_power_iterations, eps
        if weight.ndim > 1:
            matrix = norms.as_matrix(weight, self.dim)
            for buffer, length in zip(("_u", "_v"), matrix.shape, strict=True):
                self.register_buffer(buffer, norms.random_direction(length, weight, eps))
            norms.iterate(matrix, self._u, self._v, 15, eps, u_first=True)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = norms.as_matrix(weight, self.dim)
        if self.training:
            norms.iterate(matrix, self._u, self._v, self.n_power_iterations, self.eps, u_first=True)
        return weight / norms.largest_singular_value(matrix, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """The weight becomes W / sigma(W), sigma its largest singular value, so that it stretches nothing.

    sigma = u^T W v, where u and v are kept in buffers and follow W by `n_power_iterations` steps of the power method
    whenever the weight is read in training mode, also inside a compiled step; they start after 15. W is a matrix with
    one row for each entry of axis `dim`: the first, for a transposed convolution the second. A vector is divided by its
    2-norm; `eps` keeps norms from 0. Returns the module.
    State: ``parametrizations.weight.original``, ``parametrizations.weight.0._u`` and ``_v``. Raises ArgumentError for
    fewer than one step, IndexRangeError for an axis that is not there. Miyato et al., ICLR 2018.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.detach().copy_(tw.tensor([[3.0, 0.0], [0.0, 1.0]]))
    >>> nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=9).weight.detach()
    tensor([[1.    , 0.    ],
            [0.    , 0.3333]])
    """
    axis = norms.default_axis(module) if dim is None else dim
    made = _SpectralNorm(tensor_of(module, name), n_power_iterations, axis, eps)
    return register_parametrization(module, name, made)


_MAPS = {
    "matrix_exp": orthogonal_by_exponential,
    "cayley": orthogonal_by_cayley,
    "householder": orthogonal_by_reflections,
}


class _Orthogonal(Module):
    base: Tensor | None

    def __init__(self, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.orthogonal_map, self.use_trivialization = orthogonal_map, use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        is_wide = x.shape[-2] < x.shape[-1]
        q = _MAPS[self.orthogonal_map](x.transpose(-2, -1) if is_wide else x)
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return q.transpose(-2, -1) if is_wide else q

    def right_inverse(self, value: Tensor) -> Tensor:
        array = value._array()
        is_wide = array.shape[-2] < array.shape[-1]
        tall = array.swapaxes(-2, -1) if is_wide else array
        if self.use_trivialization:
            self.base = Tensor(_completed(tall))
            return Tensor(np.broadcast_to(-np.eye(*array.shape[-2:], dtype=array.dtype), array.shape).copy())
        if self.orthogonal_map != "householder":
            raise NotImplementedError(f"{self.orthogonal_map} has no inverse without use_trivialization=True")
        free = _reflections(tall)
        return Tensor(free.swapaxes(-2, -1).copy() if is_wide else free)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """The weight becomes orthogonal and stays so: Q^T Q = I, or Q Q^T = I with more columns than rows.

    Q = B f(X) with the free numbers X. The map f, for a skew-symmetric A with the entries of X below its diagonal:

    - ``"matrix_exp"``: exp(A); the default of square weights. Always 17 products of n x n matrices, exact up to a norm
      of A of 1,024.
    - ``"cayley"``: (I - A/2)^-1 (I + A/2). One elimination in n steps and five products.
    - ``"householder"``: k reflections, whose vectors are the columns of X below the diagonal; the default of others.

    With `use_trivialization` B is the weight at registration, made orthogonal (and completed to a square with random
    columns), and f(X) starts as the identity. Otherwise there is no B: "householder" starts from the weight made
    orthogonal, and the other two take it for X and cannot be assigned to.

    Of a weight (..., n, k) the last two axes are the matrix. State: ``parametrizations.weight.original`` and
    ``parametrizations.weight.0.base``. Raises ShapeError for a vector, ArgumentError for another map. Lezcano-Casado,
    NeurIPS 2019.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> q = nn.utils.parametrizations.orthogonal(nn.Linear(3, 4)).weight
    >>> bool(((q.T @ q - tw.eye(3)).abs() < 1e-5).all())
    True
    """
    weight = tensor_of(module, name)
    if weight.ndim < 2:
        raise ShapeError(
            explain("orthogonal takes a matrix, or several", received=f"{name} of shape {weight.shape}",
                    expected="two axes or more")
        )  # fmt: skip
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    refuse_unknown("orthogonal: orthogonal_map", tuple(_MAPS), orthogonal_map)
    return register_parametrization(module, name, _Orthogonal(orthogonal_map, use_trivialization), unsafe=True)


def _completed(tall: np.ndarray) -> np.ndarray:
    """A square orthogonal matrix whose first columns are those of `tall`, made orthonormal if they are not."""
    n, k = tall.shape[-2:]
    if n == k:
        limit = 10 * n * np.finfo(tall.dtype).eps
        if np.allclose(tall.swapaxes(-2, -1) @ tall, np.eye(n), atol=limit):
            return tall.copy()
    else:
        more = randn(*tall.shape[:-1], n - k, dtype=tall.dtype.name)._array()
        tall = np.concatenate([tall, more], axis=-1)
    q, r = np.linalg.qr(tall)
    return np.asarray(q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :])


def _reflections(tall: np.ndarray) -> np.ndarray:
    """LAPACK's reflections below the diagonal, and on it the signs that make R's diagonal positive."""
    flat = tall.reshape(-1, *tall.shape[-2:])
    results = np.empty_like(flat)
    for matrix, result in zip(flat, results, strict=True):
        found, factors = np.linalg.qr(matrix, mode="raw")
        result[:] = found.T
        signs = np.sign(np.diagonal(result)) * np.where(factors == 0, -1, 1)
        np.fill_diagonal(result, signs)
    return results.reshape(tall.shape)
