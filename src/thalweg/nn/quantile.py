"""The inverse of the normal distribution function, which draws truncated normal numbers from uniform ones.

In: probabilities as a float64 array. Out: the quantiles, to about 1e-15 relative.
Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988), PPND16.
"""

from __future__ import annotations

import math

import numpy as np

_CENTRE_P = (3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
             45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727)  # fmt: skip
_CENTRE_Q = (1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077, 21213.794301586595867,
             39307.895800092710610, 28729.085735721942674, 5226.4952788528545610)  # fmt: skip
_TAIL_P = (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
           1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833,
           7.74545014278341407640e-4)  # fmt: skip
_TAIL_Q = (1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550, 0.148103976427480074590,
           0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9)  # fmt: skip
_FAR_P = (6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
          0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5,
          2.01033439929228813265e-7)  # fmt: skip
_FAR_Q = (1.0, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
          7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
          2.04426310338993978564e-15)  # fmt: skip


def _ratio(r: np.ndarray, p: tuple[float, ...], q: tuple[float, ...]) -> np.ndarray:
    return np.polynomial.polynomial.polyval(r, p) / np.polynomial.polynomial.polyval(r, q)  # type: ignore[no-any-return]


def normal_quantile(probability: np.ndarray) -> np.ndarray:
    """The x below which a standard normal number lies with the given probability, 0 < probability < 1.

    >>> normal_quantile(np.array([0.5, 0.975]))
    array([0.        , 1.95996398])
    """
    centred = np.asarray(probability, np.float64) - 0.5
    is_centre = np.abs(centred) <= 0.425
    near = centred * _ratio(0.180625 - centred * centred, _CENTRE_P, _CENTRE_Q)
    smaller = np.where(is_centre, 0.25, np.minimum(probability, 1 - np.asarray(probability)))
    r = np.sqrt(-np.log(np.maximum(smaller, 1e-300)))
    tail = np.where(r <= 5, _ratio(r - 1.6, _TAIL_P, _TAIL_Q), _ratio(r - 5, _FAR_P, _FAR_Q))
    return np.where(is_centre, near, np.copysign(tail, centred))


def normal_probability(x: float) -> float:
    """The probability that a standard normal number is below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2))
