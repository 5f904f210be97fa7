"""erf.

In: one float32 value. Out: erf x. Near 0 an odd polynomial. Beyond, erf a = 1 - 1 / P(a)^8, the form of Hastings
(Approximations for Digital Computers, 1955; Abramowitz and Stegun 7.1.28) with a fit of our own: the eighth root of
1 / erfc is so smooth that degree 7 serves all of 1 ... 3.93, and a division costs less than an exponential.
Polynomials are minimax fits of our own (see `exponentials`).
"""

from __future__ import annotations

from thalweg.compile.mathematics.words import Emitter, Value, at_most, polynomial, signed_like
from thalweg.dtype import float32

_SWITCH = 1.0
_HIGHEST = 3.93  # erf is 1 in float32 from 3.92 on

# erf x / x = 1 + P(x^2), |x| <= 1: relative error 2^-24.6
_NEAR = (0.12837912142276764, -0.37612318992614746, 0.11280113458633423, -0.026709217578172684, 0.004914915654808283,
         -0.0005619965377263725)  # fmt: skip
# erfc(a)^(-1/8) = P(a), 1 <= a <= 3.93: error of 1 - 1 / P^8 2^-26.4
_FAR = (0.9963774681091309, 0.15972107648849487, 0.048415374010801315, 0.07480789721012115, -0.033705636858940125,
        0.01800045743584633, -0.00405246252194047, 0.0005479189567267895)  # fmt: skip


def erf(e: Emitter, x: Value) -> Value:
    """erf x."""
    magnitude, one = e.call("fabs", x), e.number(1, float32)
    near = e.multiply_add(x, polynomial(e, e.multiply(x, x), _NEAR), x)
    excess = polynomial(e, at_most(e, magnitude, _HIGHEST), (_FAR[0] - 1, *_FAR[1:]))
    # P^2 from P - 1, whose rounding errors are a quarter of those of P: the next squarings would make them too large
    power = e.multiply_add(excess, e.add(excess, e.number(2, float32)), one)
    for _ in range(2):
        power = e.multiply(power, power)
    far = signed_like(e, e.subtract(one, e.divide(one, power)), x)
    return e.select(e.compare("less", magnitude, e.number(_SWITCH, float32)), near, far)
