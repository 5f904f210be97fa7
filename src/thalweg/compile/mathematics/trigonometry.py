"""sin, cos and arctan.

In: one float32 value. Out: the function of it. sin x = (-1)^n sin r and cos x = (-1)^n sin r' with r = x - n pi and
r' = x - (n - 1/2) pi, both in -pi/2 ... pi/2, so one odd polynomial serves both and no quadrant is chosen. Up to 1e5
the reduction is Cody and Waite's with pi in three parts; beyond, all bits of 1/pi that matter are multiplied, as Payne
and Hanek do ("Radian reduction for trigonometric functions", SIGNUM Newsletter 18, 1983), but in float64 products that
are exact, and only if some lane asks for it. Polynomials are minimax fits of our own (see `exponentials`).
"""

from __future__ import annotations

import math

from thalweg.compile.mathematics.words import ROUNDER, Emitter, Value, at_most, polynomial, signed_like
from thalweg.dtype import float32, float64, int32, int64

# Parts of 24 bits, all from below, so that -0 stays -0: |n| < 2^15 times the first is exact in the fused multiply-add.
_PI = (3.141592502593994, 1.5099578831723193e-07, 1.078060505991553e-14)
_FAR = 1e5
# The first 196 bits of 1/pi in groups of 28: a group times a float32 is exact in float64. The last bits of a number
# near 2^128 reach 128 places down, near misses of a multiple of pi need 31 more, the result 24.
_GROUP = 28
_INVERSE_PI = 0x517CC1B727220A94FE13ABE8FA9A6EE06DB14ACC9E21C820F
_GROUPS = [
    float((_INVERSE_PI >> (_GROUP * (6 - place))) % 2**_GROUP) * 2.0 ** (-_GROUP * (place + 1)) for place in range(7)
]

# sin r / r = 1 + r^2 P(r^2), |r| <= pi/2: relative error 2^-25.9. The last coefficient is 1e-4 of itself below the best
# fit (2^-27.3), so that no rounded sine exceeds 1.
_SIN = (-0.16666659712791443, 0.008333069272339344, -0.00019809776858892292, 2.6058351068058982e-06)
# arctan w / w = 1 + w^2 P(w^2), 0 <= w <= 1: relative error 2^-25.8
_ARCTAN = (-0.33333152532577515, 0.19993767142295837, -0.14211003482341766, 0.10665787756443024, -0.07551740854978561,
           0.043206289410591125, -0.016364576295018196, 0.0029198830015957355)  # fmt: skip


def sin(e: Emitter, x: Value) -> Value:
    """sin x, which keeps -0 by the sign of r."""
    r = _reduced(e, x, 0.0)
    return signed_like(e, _sine(e, r), r)


def cos(e: Emitter, x: Value) -> Value:
    """cos x = sin(x + pi/2)."""
    return _sine(e, _reduced(e, x, 0.5))


def _sine(e: Emitter, r: Value) -> Value:
    """sin r for |r| <= pi/2."""
    square = e.multiply(r, r)
    return e.multiply_add(e.multiply(r, square), polynomial(e, square, _SIN), r)


def _reduced(e: Emitter, x: Value, shift: float) -> Value:
    """r with sin r = sin(x + shift pi)."""
    is_far = e.compare("less", e.number(_FAR, float32), e.call("fabs", x))
    return e.rarely(is_far, _near(e, x, shift), lambda: _far(e, x, shift))


def _near(e: Emitter, x: Value, shift: float) -> Value:
    """(-1)^n (x - (n - shift) pi) for |x| <= 1e5."""
    per_half_turn, rounder = e.number(1 / math.pi, float32), e.number(ROUNDER, float32)
    if shift:
        rounded = e.add(e.multiply_add(x, per_half_turn, e.number(shift, float32)), rounder)
        n = e.subtract(e.subtract(rounded, rounder), e.number(shift, float32))
    else:
        rounded = e.multiply_add(x, per_half_turn, rounder)
        n = e.subtract(rounded, rounder)
    r = x
    for part in _PI:
        r = e.multiply_add(n, e.number(-part, float32), r)
    # ROUNDER is odd, so n is odd where the lowest bit of the sum is 0
    flipped = e.bitwise("bitwise_xor", e.bits(rounded, int32), e.number(1, int32))
    return e.bits(e.bitwise("bitwise_xor", e.bits(r, int32), e.shift_left(flipped, 31)), float32)


def _far(e: Emitter, x: Value, shift: float) -> Value:
    """The same for any x, NaN for infinity: x/pi is a sum of exact products, from each of which 2 is taken as often
    as it is contained."""
    wide, two = e.cast(x, float64), e.number(-2, float64)
    terms = []
    for group in _GROUPS:
        term = e.multiply(wide, e.number(group, float64))
        turns = e.call("round", e.multiply(term, e.number(0.5, float64)))
        terms.append(e.multiply_add(turns, two, term))
    total = e.number(shift, float64)
    for term in reversed(terms):
        total = e.add(total, term)
    n = e.call("round", total)
    rest = e.subtract(e.number(shift, float64), n)
    for term in terms:  # from the largest: what cancels against n cancels without rounding
        rest = e.add(rest, term)
    r = e.cast(e.multiply(rest, e.number(math.pi, float64)), float32)
    parity = e.cast(e.bits(e.add(n, e.number(1.5 * 2.0**52, float64)), int64), int32)
    return e.bits(e.bitwise("bitwise_xor", e.bits(r, int32), e.shift_left(parity, 31)), float32)


def arctan(e: Emitter, x: Value) -> Value:
    """arctan |x| = arctan w up to 1 and pi/2 - arctan w beyond, with w = min(|x|, 1) / max(|x|, 1)."""
    one, magnitude = e.number(1, float32), e.call("fabs", x)
    is_beyond = e.compare("less", one, magnitude)
    w = e.divide(at_most(e, magnitude, 1.0), e.select(is_beyond, magnitude, one))
    square = e.multiply(w, w)
    y = e.multiply_add(e.multiply(w, square), polynomial(e, square, _ARCTAN), w)
    y = e.select(is_beyond, e.subtract(e.number(math.pi / 2, float32), y), y)
    return signed_like(e, y, x)
