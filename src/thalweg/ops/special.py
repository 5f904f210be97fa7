"""Mathematical functions that NumPy lacks, as their NumPy meaning.

In: floating-point arrays. Out: arrays of the same dtype, accurate to about one unit in the last place of float64
(computed in float64, rounded once). No gradients here: those are in the records that use these functions.
"""

from __future__ import annotations

import numpy as np

# Rational approximations of W. J. Cody, "Rational Chebyshev approximations for the error function",
# Mathematics of Computation 23 (1969), in the three ranges of |x|.
_SMALL_P = (3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03,
            1.85777706184603153e-1)  # fmt: skip
_SMALL_Q = (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03)
_MIDDLE_P = (5.64188496988670089e-1, 8.88314979438837594e00, 6.61191906371416295e01, 2.98635138197400131e02,
             8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03,
             2.15311535474403846e-8)  # fmt: skip
_MIDDLE_Q = (1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
             3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03,
            1.23033935480374942e03)  # fmt: skip
_LARGE_P = (3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
            6.58749161529837803e-4, 1.63153871373020978e-2)  # fmt: skip
_LARGE_Q = (2.56852019228982242e00, 1.87295284992346047e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
            2.33520497626869185e-3)  # fmt: skip


def _ratio(t: np.ndarray, p: tuple[float, ...], q: tuple[float, ...]) -> np.ndarray:
    numerator, denominator = p[-1] * t, t
    for a, b in zip(p[:-2], q[:-1], strict=True):
        numerator, denominator = (numerator + a) * t, (denominator + b) * t
    return (numerator + p[-2]) / (denominator + q[-1])


def _scaled_tail(magnitude: np.ndarray) -> np.ndarray:
    """exp(-x^2) with the rounding error of x^2 taken out."""
    head = np.floor(magnitude * 16) / 16
    return np.exp(-head * head) * np.exp(-(magnitude - head) * (magnitude + head))


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    >>> erf(np.array([0.0, 0.5, -7.0]))
    array([ 0.        ,  0.52049988, -1.        ])
    """
    wide = np.asarray(x, np.float64)
    magnitude = np.minimum(np.abs(wide), 6.5)
    result = np.empty_like(magnitude)
    small, large = magnitude <= 0.46875, magnitude > 4
    middle = ~(small | large)
    t = magnitude[small]
    result[small] = t * _ratio(t * t, _SMALL_P, _SMALL_Q)
    t = magnitude[middle]
    result[middle] = 1 - _scaled_tail(t) * _ratio(t, _MIDDLE_P, _MIDDLE_Q)
    t = magnitude[large]
    inverse = 1 / (t * t)
    result[large] = 1 - _scaled_tail(t) * (1 / np.sqrt(np.pi) - inverse * _ratio(inverse, _LARGE_P, _LARGE_Q)) / t
    return np.copysign(result, wide).astype(x.dtype, copy=False)
