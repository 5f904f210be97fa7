"""What a cheap model reaches on the same data: a linear fit on random features, in closed form.

In: inputs and targets of the training part. Out: predictions for the training part, each made without its own example,
and for other inputs. It has no learning rate, no depth and no luck, so what it reaches is there to be had: a run that
stays far behind has a problem, whatever its loss looks like.

Rahimi and Recht 2007, "Random features for large-scale kernel machines"; rectified features: Cho and Saul 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDTH = 600
MOST_EXAMPLES = 2000
FEW_INPUTS = 64
"""Up to so many inputs go in as they are too; more would cost more than they add."""
STRENGTHS = np.logspace(-10, 0, 21)
"""Candidates for the ridge, relative to the largest eigenvalue."""
FURTHEST = 5.0


@dataclass
class Reference:
    """The fit: `left_out` are its predictions for the examples it was made of, each from the others alone."""

    left_out: np.ndarray
    chosen: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    offset: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        features = _features(_standardised(x, self.mean, self.spread), len(self.chosen))
        return np.asarray(features @ self.weights + self.offset)


def fit_reference(x: np.ndarray, targets: np.ndarray, seed: int = 0) -> Reference:
    """Ridge regression on random rectified features; its strength is the one that predicts left-out examples best.

    With H the features, T the centred targets, HᵀH = V diag(e) Vᵀ and Z = H V: fit = Z diag(1/(e + λ)) Zᵀ T, and the
    prediction for an example from the others alone is T − (T − fit) / (1 − leverage) (Allen 1974, PRESS), where its
    leverage is Σ z² / (e + λ). The eigenvalues of so small a matrix cost a fraction of the singular values of H.

    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 100)[:, None]
    >>> reference = fit_reference(x, np.sin(3 * x))
    >>> bool(np.abs(reference.left_out - np.sin(3 * x)).max() < 0.1)
    True
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[:MOST_EXAMPLES])
    rows = _flat(x)[chosen]
    mean, spread = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    features = _features(_standardised(rows, mean, spread), len(chosen))
    offset = targets[chosen].mean(0)
    centred = targets[chosen] - offset
    eigenvalues, vectors = np.linalg.eigh(features.T @ features)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    turned = features @ vectors
    projected, leverages = turned.T @ centred, turned**2
    residuals = [_left_out_residual(turned, leverages, projected, centred, 1 / (eigenvalues + each * eigenvalues[-1]))
                 for each in STRENGTHS]  # fmt: skip
    best = int(np.argmin([(each**2).sum() for each in residuals]))
    kept = 1 / (eigenvalues + STRENGTHS[best] * eigenvalues[-1])
    weights = vectors @ (kept[:, None] * projected)
    return Reference(centred - residuals[best] + offset, chosen, mean, spread, weights, offset)


def _left_out_residual(
    turned: np.ndarray, leverages: np.ndarray, projected: np.ndarray, t: np.ndarray, kept: np.ndarray
) -> np.ndarray:
    leverage = np.minimum(leverages @ kept, 1 - 1e-9)
    found: np.ndarray = (t - turned @ (kept[:, None] * projected)) / (1 - leverage)[:, None]
    return found


def _flat(x: np.ndarray) -> np.ndarray:
    """Many inputs in single precision, which is enough for random projections of them."""
    rows = np.asarray(x).reshape(len(x), -1)
    return rows.astype(np.float64 if rows.shape[1] <= FEW_INPUTS else np.float32)


def _standardised(x: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Mean 0, spread 1; inputs that never change say nothing, and one rare value does not outweigh all others."""
    flat = _flat(x)
    flat -= mean.astype(flat.dtype)
    flat *= np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0).astype(flat.dtype)
    return np.clip(flat, -FURTHEST, FURTHEST, out=flat)


def _features(z: np.ndarray, examples: int) -> np.ndarray:
    """A constant, the inputs where they are few, and rectified random projections of unit spread."""
    random = np.random.default_rng(0)
    width = min(WIDTH, max(50, examples))
    directions = (random.normal(size=(z.shape[1], width)) / np.sqrt(z.shape[1])).astype(z.dtype)
    corners = random.uniform(-1.5, 1.5, width)
    own = z if z.shape[1] <= FEW_INPUTS else z[:, :0]
    return np.concatenate([np.ones((len(z), 1)), own, np.maximum(z @ directions + corners, 0)], axis=1)
