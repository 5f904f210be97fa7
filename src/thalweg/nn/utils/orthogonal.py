"""From any matrix to one with orthonormal columns: three maps, of products and sums alone.

In: (..., n, k) with n >= k, of which the entries on and below the diagonal count. Out: the same shape, Q^T Q = I. All
take the same number of steps for any entries, so that they can be part of a compiled step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import eye, zeros
from thalweg.tensor.functions import cat, where
from thalweg.tensor.loop import scan
from thalweg.tensor.modes import set_recording

SQUARINGS = 10  # norms up to 2^10; the exponential of larger matrices loses digits
_BLOCK, _BLOCKS = 5, 4  # powers up to 19: for a norm of 1 what is left out is below 1/20! = 4e-19


def orthogonal_by_exponential(x: Any) -> Any:
    """exp(A), the first k columns; A is skew-symmetric with x below its diagonal."""
    return matrix_exponential(_skew(x))[..., : x.shape[-1]]


def orthogonal_by_cayley(x: Any) -> Any:
    """(I - A/2)^-1 (I + A/2), the first k columns; A as above."""
    half = _skew(x) * 0.5
    identity = eye(half.shape[-1], dtype=x.dtype)
    return (inverse(identity - half) @ (identity + half))[..., : x.shape[-1]]


def orthogonal_by_reflections(x: Any) -> Any:
    """The first k columns of H_1 ... H_k, each with the sign of its diagonal entry of x.

    H_i = I - 2 v v^T / v^T v with v = (0, ..., 0, 1, x below the diagonal). Their product is I - V T V^T (Schreiber and
    Van Loan, 1989), where T^-1 is V^T V above the diagonal and half of it on the diagonal.
    """
    n, k = x.shape[-2:]
    identity = eye(n, k, dtype=x.dtype)
    v = x.tril(-1) + identity
    gram = v.transpose(-2, -1) @ v
    t = inverse(gram.triu(1) + 0.5 * gram * eye(k, dtype=x.dtype))
    signs = (x.detach() * identity).sum(-2, keepdim=True).sign()
    return (identity - v @ (t @ v.transpose(-2, -1)[..., :k])) * signs


def _skew(x: Any) -> Any:
    """A - A^T for A = x on and below the diagonal, with columns of zeros until it is square."""
    n, k = x.shape[-2:]
    lower = x.tril()
    if n != k:
        lower = cat([lower, zeros(*x.shape[:-1], n - k, dtype=x.dtype)], -1)
    return lower - lower.transpose(-2, -1)


def matrix_exponential(a: Any) -> Any:
    """exp(a) by Taylor's series of a / 2^s, squared s times (Moler and Van Loan, 2003); s is 0 to `SQUARINGS`.

    Always 7 + `SQUARINGS` products: which squarings count is a choice among values, not of the program.
    """
    columns = a.detach().abs().sum(-2, keepdim=True).amax(-1, keepdim=True)  # the 1-norm
    count = columns.clamp(1.0).log2().ceil().clamp(max=float(SQUARINGS))
    a = a * (2.0**-count)
    powers = [eye(a.shape[-1], dtype=a.dtype), a]
    while len(powers) <= _BLOCK:
        powers.append(powers[-1] @ a)
    factors = 1.0 / np.cumprod([1.0, *range(1, _BLOCK * _BLOCKS)])
    blocks = [
        sum((float(c) * p for c, p in zip(row[1:], powers[1:-1], strict=True)), float(row[0]) * powers[0])
        for row in factors.reshape(_BLOCKS, _BLOCK)
    ]
    result = blocks[-1]
    for block in reversed(blocks[:-1]):
        result = result @ powers[-1] + block
    for step in range(SQUARINGS):
        result = where(count > step, result @ result, result)
    return result


def inverse(matrix: Any) -> Any:
    """The inverse, where elimination needs no exchange of rows: triangular matrices, and I + a skew-symmetric one.

    Elimination in n steps gives its value, which nothing is recorded of. Two steps of X (2 I - M X) (Newton, Schulz
    1933) then change nothing but the last digits, and carry the derivatives up to the third.
    """
    identity = eye(matrix.shape[-1], dtype=matrix.dtype)
    with set_recording(False):
        x = _eliminated(matrix.detach(), identity)
    for _ in range(2):
        x = x @ (2.0 * identity - matrix @ x)
    return x


def _eliminated(matrix: Tensor, identity: Tensor) -> Any:
    """Gauss and Jordan's elimination in place: what the k-th step solves for takes the place of the k-th column."""

    def step(a: Any, at: Any) -> tuple[Any, None]:
        row, column = (a * at.unsqueeze(-1)).sum(-2, keepdim=True), (a * at).sum(-1, keepdim=True)
        pivot = (row * at).sum(-1, keepdim=True)
        rest = where(at.unsqueeze(-1) > 0, row / pivot, a - column * row / pivot)
        corner = where(at.unsqueeze(-1) > 0, 1.0 / pivot, -column / pivot)
        return where(at > 0, corner, rest), None

    return scan(step, matrix, identity)[0]
