"""log, log1p and pow.

In: float32 values. Out: the function of them. x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), taken from the bits,
so that log x = k ln2 + log(1 + f) has no cancellation and f is exact. Polynomials are minimax fits of our own (see
`exponentials`); their errors stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable

from thalweg.compile.mathematics.exponentials import exponential_of
from thalweg.compile.mathematics.words import (
    INFINITY,
    MANTISSA_BITS,
    NAN,
    ONE_BITS,
    Emitter,
    Value,
    polynomial,
    power_of_two,
    sign_of,
    signed_like,
)
from thalweg.dtype import float32, float64, int32, int64

_LN2 = 0.6931471805599453  # its float32 is 2^-28 of it too large, so no second part is needed beside k
_ROOT_HALF_BITS = 0x3F3504F3
_EXPONENT_FIELD = 0xFF800000

# log(1 + f) = f + f^2 P(f), sqrt(1/2) <= 1 + f <= sqrt(2): relative error 2^-25.0
_LOG = (-0.49999991059303284, 0.3333394527435303, -0.25001776218414307, 0.19962240755558014, -0.1657031774520874,
        0.1491633951663971, -0.14307664334774017, 0.0873875766992569)  # fmt: skip
# the same to 2^-35.7, the first three coefficients in float64, the others, whose share of the sum is 2^-7, in float32
_LOG_HEAD = (-0.5000000002152934, 0.3333333404366493, -0.24999994828403949)
_LOG_TAIL = (0.19999897480010986, -0.16666926443576813, 0.1429060697555542, -0.12497492134571075,
             0.11009033024311066, -0.09925597906112671, 0.10017628222703934, -0.09882830828428268,
             0.053673066198825836)  # fmt: skip


def _exponent_bits(e: Emitter, x: Value) -> Value:
    """k 2^23 as an integer, for a normal positive x."""
    centred = e.subtract(e.bits(x, int32), e.number(_ROOT_HALF_BITS, int32))
    return e.bitwise("bitwise_and", centred, e.number(_EXPONENT_FIELD, int32))


def _split(e: Emitter, x: Value) -> tuple[Value, Value]:
    """k 2^23 as a float, and f, of a positive finite x; subnormal numbers are scaled by 2^23 first."""
    is_tiny = e.compare("less", x, e.number(2.0**-126, float32))
    scaled = e.select(is_tiny, e.multiply(x, e.number(2.0**23, float32)), x)
    exponent = _exponent_bits(e, scaled)
    mantissa = e.bits(e.subtract(e.bits(scaled, int32), exponent), float32)
    taken_back = e.subtract(exponent, e.number(MANTISSA_BITS << MANTISSA_BITS, int32))
    exponent = e.select(is_tiny, taken_back, exponent)
    return e.cast(exponent, float32), e.subtract(mantissa, e.number(1, float32))


def _at_the_edges(e: Emitter, y: Value, x: Value, pole: float) -> Value:
    """y with infinity for infinity, minus infinity at the pole, and NaN below it and for NaN."""
    y = e.select(e.compare("less", x, e.number(INFINITY, float32)), y, x)
    y = e.select(e.compare("equal", x, e.number(pole, float32)), e.number(-INFINITY, float32), y)
    return e.select(e.compare("less", x, e.number(pole, float32)), e.number(NAN, float32), y)


def log(e: Emitter, x: Value) -> Value:
    """log x = k ln2 + (f + f^2 P(f))."""
    k, f = _split(e, x)
    rest = e.multiply_add(e.multiply(f, f), polynomial(e, f, _LOG), f)
    return _at_the_edges(e, e.multiply_add(k, e.number(_LN2 / 2**23, float32), rest), x, 0.0)


def log1p(e: Emitter, x: Value) -> Value:
    """log(1 + x) with k from the rounded sum 1 + x, but f = x 2^-k + (2^-k - 1) from x itself.

    All is done with 4f and 4 2^-k, because 2^-128 is no normal number.
    """
    one, four = e.number(1, float32), e.number(4, float32)
    exponent = _exponent_bits(e, e.add(x, one))
    scale = e.bits(e.subtract(e.number(ONE_BITS + (2 << MANTISSA_BITS), int32), exponent), float32)
    f = e.multiply_add(x, scale, e.subtract(scale, four))
    coefficients = [0.25, *(c / 4 ** (degree + 2) for degree, c in enumerate(_LOG))]
    k = e.multiply(e.cast(exponent, float32), e.number(_LN2 / 2**23, float32))
    y = e.multiply_add(f, polynomial(e, f, coefficients), k)
    return _at_the_edges(e, signed_like(e, y, x), x, -1.0)


# --- powers ----------------------------------------------------------------------------------------------------------

_ROUNDER_64 = 1.5 * 2.0**52 + 127.0  # as ROUNDER, for float64
_FURTHEST = 110.0  # e^+-110 is beyond float32 either way


def _wide_log(e: Emitter, x: Value) -> Value:
    """log x in float64 with a relative error of 2^-31, for x >= 0: p log x needs the digits before its point too."""
    k, f = _split(e, x)
    k = e.select(e.compare("less", x, e.number(INFINITY, float32)), k, x)
    k = e.select(e.compare("equal", x, e.number(0, float32)), e.number(-INFINITY, float32), k)
    wide = e.cast(f, float64)
    total = e.cast(polynomial(e, f, _LOG_TAIL), float64)
    for coefficient in (*reversed(_LOG_HEAD), 1.0):
        total = e.multiply_add(total, wide, e.number(coefficient, float64))
    return e.multiply_add(e.cast(k, float64), e.number(_LN2 / 2**23, float64), e.multiply(total, wide))


def _narrow_exp(e: Emitter, z: Value) -> Value:
    """e^z in float32 for a float64 z, whose integer part is taken off before it is rounded."""
    low, high = e.number(-_FURTHEST, float64), e.number(_FURTHEST, float64)
    z = e.select(e.compare("less", z, low), low, z)
    z = e.select(e.compare("less", high, z), high, z)
    rounded = e.multiply_add(z, e.number(0.5 / _LN2, float64), e.number(_ROUNDER_64, float64))
    m = e.subtract(rounded, e.number(_ROUNDER_64, float64))
    r = e.cast(e.multiply_add(m, e.number(-2 * _LN2, float64), z), float32)
    power = power_of_two(e, e.cast(e.bits(rounded, int64), int32))
    return e.multiply(e.multiply(exponential_of(e, r), power), power)


def _is_odd(e: Emitter, p: Value, is_integer: Value) -> Value:
    half = e.multiply(p, e.number(0.5, float32))
    return e.bitwise("bitwise_and", is_integer, e.compare("not_equal", e.call("round", half), half))


# Exponents that a program states as numbers: cheaper, and nearer to the exact power.
_STATED: dict[float, Callable[[Emitter, Value], Value]] = {
    1.0: lambda e, x: x,
    2.0: lambda e, x: e.multiply(x, x),
    3.0: lambda e, x: e.multiply(e.multiply(x, x), x),
    -1.0: lambda e, x: e.divide(e.number(1, float32), x),
}


def power(e: Emitter, x: Value, p: Value) -> Value:
    """x^p = e^(p log |x|), negated for a negative x and an odd p; NaN for a negative x and a p that is no integer.

    The special cases are those of C99, annex F.9.4.4: x^0 = 1^p = 1 even for NaN, (-1)^inf = 1, and so on.
    """
    for exponent, stated in _STATED.items():
        if e.is_number(p, exponent):
            return stated(e, e.spread(x, max(x.lanes, p.lanes)))
    zero, one, magnitude = e.number(0, float32), e.number(1, float32), e.call("fabs", x)
    y = _narrow_exp(e, e.multiply(e.cast(p, float64), _wide_log(e, magnitude)))
    is_one = e.bitwise("bitwise_or", e.compare("equal", x, one), e.compare("equal", p, zero))
    is_infinite = e.compare("equal", e.call("fabs", p), e.number(INFINITY, float32))
    is_unit = e.bitwise("bitwise_and", e.compare("equal", magnitude, one), is_infinite)
    y = e.select(e.bitwise("bitwise_or", is_one, is_unit), one, y)
    is_integer = e.compare("equal", e.call("round", p), p)
    sign = e.select(_is_odd(e, p, is_integer), sign_of(e, x), e.number(0, int32))
    y = e.bits(e.bitwise("bitwise_xor", e.bits(y, int32), sign), float32)
    is_root = e.bitwise("bitwise_and", e.compare("less", x, zero), e.invert(is_integer))
    is_root = e.bitwise("bitwise_and", is_root, e.compare("less", e.number(-INFINITY, float32), x))
    return e.select(is_root, e.number(NAN, float32), y)
