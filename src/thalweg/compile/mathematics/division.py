"""Division with a floor, its remainder, and powers of integers, in the emitter's words.

In: an emitter and two values of one dtype. Out: the value that NumPy's function of the name gives, special values
included. An integer divided by zero, or to a negative power, is recorded in the status word.
"""

from __future__ import annotations

from typing import Any

from thalweg.compile.values import NotEmittable, Value, Word, literal
from thalweg.dtype import bool_, int32, int64, uint8


def floor_divide(e: Any, a: Value, b: Value) -> Value:
    """Rounded towards minus infinity; integers of two operands that differ in sign are corrected by one."""
    if a.dtype.is_floating_point:
        return _floor_of_floats(e, a, b)
    if isinstance(a, Word) and _is_small(b):
        return Word(e, e.binary("udiv", a.held, Value(b.name, int32)), ((2**a.bits - 1) // int(b.name)).bit_length())
    quotient = _guarded(e, "div", a, b)
    if a.dtype is uint8:
        return quotient
    rest = e.subtract(a, e.multiply(quotient, b))
    return e.select(_is_rounded_up(e, rest, b), e.subtract(quotient, literal(1, a.dtype)), quotient)


def remainder(e: Any, a: Value, b: Value) -> Value:
    """a - b floor(a / b), which has the sign of b."""
    if a.dtype.is_floating_point:
        return _remainder_of_floats(e, a, b)
    if isinstance(a, Word) and _is_small(b):
        return Word(e, e.binary("urem", a.held, Value(b.name, int32)), min(a.bits, (int(b.name) - 1).bit_length()))
    rest = _guarded(e, "rem", a, b)
    return rest if a.dtype is uint8 else e.select(_is_rounded_up(e, rest, b), e.add(rest, b), rest)


def _is_small(b: Value) -> bool:
    """Whether the divisor is a stated number from 1 on that 32 bits hold."""
    return b.name.isdecimal() and 0 < int(b.name) < 2**31


def _is_rounded_up(e: Any, rest: Value, b: Value) -> Value:
    zero = literal(0, b.dtype)
    differs = e.compare("not_equal", e.compare("less", rest, zero), e.compare("less", b, zero))
    return e.bitwise("bitwise_and", e.compare("not_equal", rest, zero), differs)


def _guarded(e: Any, instruction: str, a: Value, b: Value) -> Value:
    """Integer division that cannot trap: a zero divisor is recorded, and -1 (which could overflow) negates."""
    if a.dtype is bool_:
        raise NotEmittable(f"{instruction} of {a.dtype.name}")
    sign = "u" if a.dtype is uint8 else "s"
    if not b.name.startswith("%") and not e.is_number(b, 0) and not e.is_number(b, -1):
        return e.binary(sign + instruction, a, b)  # a stated divisor that is harmless
    is_zero = e.compare("equal", b, literal(0, b.dtype))
    e.record_any(is_zero, e.cast(b, int64), e.integer(0))
    safe = e.select(is_zero, literal(1, b.dtype), b)
    if a.dtype is uint8:
        return e.binary(sign + instruction, a, safe)
    is_minus_one = e.compare("equal", b, literal(-1, b.dtype))
    divided = e.binary(sign + instruction, a, e.select(is_minus_one, literal(1, b.dtype), safe))
    return e.select(is_minus_one, e.negative(a) if instruction == "div" else literal(0, a.dtype), divided)


# --- floats: the steps of NumPy's npy_divmod, so that the signs of zeros and the special values are its own ----------


def _floor_of_floats(e: Any, a: Value, b: Value) -> Value:
    rest = e.binary("frem", a, b)
    quotient, zero = e.divide(e.subtract(a, rest), b), literal(0, a.dtype)
    quotient = e.select(_is_rounded_up(e, rest, b), e.subtract(quotient, literal(1, a.dtype)), quotient)
    whole = e.call("floor", quotient)
    is_short = e.compare("less", literal(0.5, a.dtype), e.subtract(quotient, whole))
    whole = e.select(is_short, e.add(whole, literal(1, a.dtype)), whole)
    ratio = e.divide(a, b)
    whole = e.select(e.compare("not_equal", quotient, zero), whole, e.copysign(zero, ratio))
    return e.select(e.compare("equal", b, zero), ratio, whole)


def _remainder_of_floats(e: Any, a: Value, b: Value) -> Value:
    rest, zero = e.binary("frem", a, b), literal(0, a.dtype)
    signed = e.select(e.compare("not_equal", rest, zero), rest, e.copysign(zero, b))
    signed = e.select(_is_rounded_up(e, rest, b), e.add(rest, b), signed)
    return e.select(e.compare("equal", b, zero), rest, signed)


# --- powers ----------------------------------------------------------------------------------------------------------


def power_of_integers(e: Any, x: Value, exponent: Value) -> Value:
    """By squaring, for every bit of the exponent; products wrap around as NumPy's do."""
    if x.dtype is bool_:
        raise NotEmittable("power of bool")
    lanes, dtype = max(x.lanes, exponent.lanes), x.dtype
    if dtype is not uint8:
        is_negative = e.compare("less", exponent, literal(0, dtype))
        e.record_any(is_negative, e.cast(exponent, int64), e.integer(0))
    zero, one = literal(0, dtype), literal(1, dtype)

    def step(_: Value, values: list[Value]) -> list[Value]:
        result, base, left = values
        is_odd = e.compare("not_equal", e.bitwise("bitwise_and", left, one), zero)
        return [e.select(is_odd, e.multiply(result, base), result), e.multiply(base, base), e.shift_right(left, 1)]

    start = [e.spread(each, lanes) for each in (one, x, exponent)]
    return e.repeat(8 * dtype.itemsize, start, step)[0]
