"""exp, expm1, and the saturating functions made of them: tanh, sigmoid, softplus.

In: one float32 value. Out: the function of it. The reduction is Cody and Waite's (Software Manual for the Elementary
Functions, 1980): x = m 2 ln2 + r with |r| <= ln2, so that e^x = 2^m 2^m e^r. Steps of 2 ln2, not ln2, cost one degree
more and save the halving of the exponent: both factors are the same power of two, which is in range wherever e^x is,
subnormal results included. Polynomials are minimax fits of our own (weighted Chebyshev approximation on 400 nodes,
coefficients rounded to float32 one after the other, each time fitting the rest again); their errors stand beside them.
"""

from __future__ import annotations

from thalweg.compile.mathematics.words import (
    ROUNDER,
    Emitter,
    Value,
    at_least,
    at_most,
    polynomial,
    power_of_two,
    reciprocal_of_power,
    signed_like,
)
from thalweg.dtype import float32

# 2 ln2 in two parts: |m| <= 75 times the first is exact in the fused multiply-add, because r has no finer bits.
_STEP, _STEP_REST = 1.3862943649291992, -3.809308599915536e-09
_PER_STEP = 0.7213475204444817  # 1 / (2 ln2)
# Beyond these e^x rounds to 0 and to infinity, and |m| <= 75.
_LOWEST, _HIGHEST = -104.0, 89.0

# e^r = 1 + r + r^2 P(r), |r| <= ln2: relative error 2^-26.0
_EXP = (0.5000003576278687, 0.166666179895401, 0.041661228984594345, 0.008335934951901436, 0.0014104777947068214,
        0.00019629749294836074)  # fmt: skip
# e^r - 1 = r + r^2 P(r), |r| <= ln2: relative error 2^-24.9
_EXPM1 = (0.5000002384185791, 0.16666647791862488, 0.0416620709002018, 0.00833426509052515, 0.001409184536896646,
          0.00019851606339216232)  # fmt: skip
# the same for |r| <= ln2 / 2: relative error 2^-26.1
_EXPM1_HALF = (0.4999999701976776, 0.1666654646396637, 0.04166743531823158, 0.008366265334188938,
               0.0013870680704712868)  # fmt: skip
# log(1 + t) / t = 1 + t P(t), 0 <= t <= 1: relative error 2^-24.9
_LOG1P_RATIO = (-0.49999648332595825, 0.33321329951286316, -0.24857217073440552, 0.1915384829044342,
                -0.13754189014434814, 0.07920888811349869, -0.030068377032876015, 0.005365454126149416)  # fmt: skip


def exponential_of(e: Emitter, r: Value) -> Value:
    """e^r for |r| <= ln2."""
    return polynomial(e, r, (1.0, 1.0, *_EXP))


def _reduced(e: Emitter, x: Value) -> tuple[Value, Value]:
    """r and 2^m of x = m 2 ln2 + r."""
    rounded = e.multiply_add(x, e.number(_PER_STEP, float32), e.number(ROUNDER, float32))
    m = e.subtract(rounded, e.number(ROUNDER, float32))
    r = e.multiply_add(m, e.number(-_STEP, float32), x)
    return e.multiply_add(m, e.number(-_STEP_REST, float32), r), power_of_two(e, rounded)


def exp(e: Emitter, x: Value) -> Value:
    """e^x = (e^r 2^m) 2^m."""
    r, power = _reduced(e, at_most(e, at_least(e, x, _LOWEST), _HIGHEST))
    return e.multiply(e.multiply(exponential_of(e, r), power), power)


def expm1(e: Emitter, x: Value) -> Value:
    """e^x - 1 = 2^m ((e^r - 1) 2^m + (2^m - 2^-m)): for m = 0 the difference is 0 and small x keep all their bits."""
    r, power = _reduced(e, at_most(e, at_least(e, x, -18.0), _HIGHEST))
    rest = e.multiply_add(e.multiply(r, r), polynomial(e, r, _EXPM1), r)
    difference = e.subtract(power, reciprocal_of_power(e, power))
    return signed_like(e, e.multiply(power, e.multiply_add(rest, power, difference)), x)


def tanh(e: Emitter, x: Value) -> Value:
    """tanh |x| = d / (d + 1) with d = (e^2|x| - 1) / 2, whose own error the quotient never magnifies.

    Here 2|x| = n ln2 + 2r, |r| <= ln2 / 4, and d = q 2^n + (2^n - 1) / 2 with q = (e^2r - 1) / 2.
    """
    bounded = at_most(e, e.call("fabs", x), 9.1)  # where the quotient is 1
    rounded = e.multiply_add(bounded, e.number(4 * _PER_STEP, float32), e.number(ROUNDER, float32))
    n = e.subtract(rounded, e.number(ROUNDER, float32))
    r = e.multiply_add(n, e.number(-_STEP / 4, float32), bounded)
    r = e.multiply_add(n, e.number(-_STEP_REST / 4, float32), r)
    scaled = [coefficient * 2 ** (degree + 1) for degree, coefficient in enumerate(_EXPM1_HALF)]
    q, power = e.multiply_add(e.multiply(r, r), polynomial(e, r, scaled), r), power_of_two(e, rounded)
    d = e.multiply_add(q, power, e.multiply_add(power, e.number(0.5, float32), e.number(-0.5, float32)))
    y = e.divide(d, e.add(d, e.number(1, float32)))
    # y = d (1 - y) once more, where d < 1/2 makes the errors of the sum and of the quotient smaller
    again = e.multiply_add(e.negative(d), y, d)
    return signed_like(e, e.select(e.compare("less", d, e.number(0.5, float32)), again, y), x)


def sigmoid(e: Emitter, x: Value) -> Value:
    """1 / (1 + e^-x) = 2^-m / (2^-m + e^r 2^m) with -x = m 2 ln2 + r: neither tail overflows before the quotient."""
    r, power = _reduced(e, e.negative(at_most(e, at_least(e, x, _LOWEST), -_LOWEST)))
    reciprocal = reciprocal_of_power(e, power)
    return e.divide(reciprocal, e.multiply_add(exponential_of(e, r), power, reciprocal))


def softplus(e: Emitter, x: Value) -> Value:
    """log(1 + e^x) = max(x, 0) + log(1 + t) with t = e^-|x| in 0 ... 1."""
    r, power = _reduced(e, at_least(e, e.negative(e.call("fabs", x)), _LOWEST))
    t = e.multiply(e.multiply(exponential_of(e, r), power), power)
    return e.multiply_add(t, polynomial(e, t, (1.0, *_LOG1P_RATIO)), at_least(e, x, 0.0))
