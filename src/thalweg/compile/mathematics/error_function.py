"""erf.

In: one float32 value. Out: erf x. Near 0 an odd polynomial. Beyond, erf a = 1 - 1 / P(a)^8, the form of Hastings
(Approximations for Digital Computers, 1955; Abramowitz and Stegun 7.1.28) with a fit of our own: the eighth root of
1 / erfc is so smooth that degree 7 serves all of 0.92 ... 3.93, and a division costs less than an exponential.
Polynomials are minimax fits of our own (see `exponentials`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thalweg.compile.mathematics.words import at_most, polynomial, signed_like
from thalweg.dtype import float32

if TYPE_CHECKING:
    from thalweg.compile.emitter import Emitter, Value

_SWITCH = 0.92
_HIGHEST = 3.93  # erf is 1 in float32 from 3.92 on

# erf x / x = 1 + P(x^2), |x| <= 0.92: relative error 2^-26.0
_NEAR = (0.12837915122509003, -0.3761250078678131, 0.11281877011060715, -0.026768580079078674, 0.004995853640139103,
         -0.0006003800663165748)  # fmt: skip
# erfc(a)^(-1/8) = P(a), 0.92 <= a <= 3.93: error of 1 - 1 / P^8 2^-25.9
_FAR = (0.9977322816848755, 0.15341410040855408, 0.06077500805258751, 0.06159985065460205, -0.02539810910820961,
        0.014926735311746597, -0.0034333241637796164, 0.0004955627373419702)  # fmt: skip


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
