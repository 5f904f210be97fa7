"""What every approximation is built from: polynomials, limits, signs, and powers of two made from bits.

In: float32 values of any lanes. Out: the same. Each word is one to three instructions, none of which depends on the
number of lanes, so that a function gives the same bits for one number as for a vector of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.dtype import DType, float32, int32

# The emitter imports these functions, so they know it, as the records of `thalweg.ops` do, by its words alone.
Emitter = Any
Value = Any

INFINITY, NAN = float("inf"), float("nan")
SIGN_BIT = 0x80000000
ONE_BITS = 0x3F800000
MANTISSA_BITS = 23
# 1.5 * 2^23 + 127: adding it to |m| < 2^22 rounds m to an integer (floats there are 1 apart), and leaves m + 127,
# which is the exponent field of 2^m, in the low bits of the sum.
ROUNDER = 12582912.0 + 127.0


def polynomial(e: Emitter, x: Value, coefficients: Sequence[float], dtype: DType = float32) -> Value:
    """c0 + c1 x + c2 x^2 + ... by Horner's rule, one fused multiply-add a coefficient."""
    result = e.number(coefficients[-1], dtype)
    for coefficient in reversed(coefficients[:-1]):
        result = e.multiply_add(result, x, e.number(coefficient, dtype))
    return result


def at_most(e: Emitter, x: Value, limit: float) -> Value:
    """min(x, limit), and NaN for NaN: in this order of operands one instruction on x86."""
    bound = e.number(limit, x.dtype)
    return e.select(e.compare("less", bound, x), bound, x)


def at_least(e: Emitter, x: Value, limit: float) -> Value:
    """max(x, limit), and NaN for NaN."""
    bound = e.number(limit, x.dtype)
    return e.select(e.compare("less", x, bound), bound, x)


def sign_of(e: Emitter, x: Value) -> Value:
    """The sign bit alone."""
    return e.bitwise("bitwise_and", e.bits(x, int32), e.number(SIGN_BIT, int32))


def signed_like(e: Emitter, y: Value, x: Value) -> Value:
    """y with the sign of x, where y is already so or has no sign: odd functions keep -0 by it."""
    return e.bits(e.bitwise("bitwise_or", e.bits(y, int32), sign_of(e, x)), float32)


def power_of_two(e: Emitter, rounded: Value) -> Value:
    """2^m for a sum that `ROUNDER` took part in, -126 <= m <= 127."""
    return e.bits(e.shift_left(e.bits(rounded, int32), MANTISSA_BITS), float32)


def reciprocal_of_power(e: Emitter, power: Value) -> Value:
    """2^-m for 2^m, |m| <= 126."""
    return e.bits(e.subtract(e.number(2 * ONE_BITS, int32), e.bits(power, int32)), float32)
