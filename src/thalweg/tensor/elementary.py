"""Functions of single entries beyond the primitives: inverse trigonometric and hyperbolic ones, logarithms, signs.

In: nodes and Python scalars. Out: nodes. `FUNCTIONS` says under which names users find them: methods of tensors and
functions of the package. Each is a composition in a form that loses no digits where a textbook formula would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from thalweg import ops
from thalweg.dtype import bool_, float64
from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.graph import Node, full
from thalweg.tensor.arithmetic import (
    Operand,
    absolute,
    add,
    arctan,
    as_node,
    bitwise_or,
    clamp,
    convert,
    divide,
    equal,
    exp,
    floating,
    greater,
    greater_equal,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    meet,
    multiply,
    negative,
    not_equal,
    power,
    sign,
    sqrt,
    square,
    subtract,
    trunc,
    where,
)

# --- inverse trigonometric and hyperbolic functions ------------------------------------------------------------------


def arcsin(x: Node) -> Node:
    """The angle in [-pi/2, pi/2] whose sine is x; NaN outside [-1, 1]."""
    x = floating(x)
    return ops.arctan(divide(x, sqrt(multiply(subtract(1.0, x), add(x, 1.0)))))


def arccos(x: Node) -> Node:
    """The angle in [0, pi] whose cosine is x; NaN outside [-1, 1]."""
    x = floating(x)
    return multiply(ops.arctan(sqrt(divide(subtract(1.0, x), add(x, 1.0)))), 2.0)


def arctan2(y: Operand, x: Operand) -> Node:
    """The angle of the point (x, y), from -pi to pi."""
    y, x = meet("atan2", *(floating(each) for each in meet("atan2", y, x)))
    is_steep = less(absolute(x), absolute(y))
    flat_x = where(bitwise_or(is_steep, equal(x, 0)), 1.0, x)
    half = full((), math.pi, y.dtype)
    turn = where(less(x, 0), where(less(y, 0), negative(half), half), 0.0)
    flat = add(ops.arctan(divide(where(is_steep, 0.0, y), flat_x)), turn)
    quarter = where(less(y, 0), multiply(half, -0.5), multiply(half, 0.5))
    steep = subtract(quarter, ops.arctan(divide(x, where(is_steep, y, 1.0))))
    return where(is_steep, steep, flat)


def arcsinh(x: Node) -> Node:
    """log(x + sqrt(x^2 + 1)), by log1p of |x|: no digits are lost near 0 or far left."""
    x = floating(x)
    is_negative = less(x, 0)
    size = where(is_negative, negative(x), x)
    root = sqrt(add(square(size), 1.0))
    result = log1p(add(size, divide(square(size), add(root, 1.0))))
    return where(is_negative, negative(result), result)


def arccosh(x: Node) -> Node:
    """log(x + sqrt(x^2 - 1)) for x >= 1."""
    above = subtract(floating(x), 1.0)
    return log1p(add(above, sqrt(multiply(above, add(above, 2.0)))))


def arctanh(x: Node) -> Node:
    """(log(1 + x) - log(1 - x)) / 2 for |x| <= 1."""
    x = floating(x)
    return multiply(subtract(log1p(x), log1p(negative(x))), 0.5)


# --- exponentials and logarithms -------------------------------------------------------------------------------------


def exp2(x: Node) -> Node:
    """2^x."""
    return exp(multiply(floating(x), math.log(2)))


def logaddexp(a: Node, b: Node) -> Node:
    """log(e^a + e^b), without overflow."""
    a, b = meet("logaddexp", a, b)
    is_less = less(a, b)
    high, low = where(is_less, b, a), where(is_less, a, b)
    is_one_infinity = logical_and(equal(a, b), isinf(a))
    gap = where(is_one_infinity, 0, subtract(low, high))
    return where(is_one_infinity, a, add(high, log1p(exp(gap))))


def logaddexp2(a: Node, b: Node) -> Node:
    """log2(2^a + 2^b), without overflow."""
    natural = logaddexp(multiply(a, math.log(2)), multiply(b, math.log(2)))
    return multiply(natural, 1 / math.log(2))


def xlogy(x: Operand, y: Operand) -> Node:
    """x log y, 0 where x is 0 (and y no NaN)."""
    a, b = meet("xlogy", *(floating(each) for each in meet("xlogy", x, y)))
    is_zero = logical_and(equal(a, 0), not_equal(isnan(b), True))
    return where(is_zero, 0, multiply(a, log(where(is_zero, 1, b))))


def logit(x: Node, eps: float | None = None) -> Node:
    """log(x / (1 - x)), of x limited to [eps, 1 - eps] where `eps` is given."""
    x = floating(x)
    p = x if eps is None else clamp(x, eps, 1 - eps)
    return subtract(log(p), log1p(negative(p)))


def sinc(x: Node) -> Node:
    """sin(pi x) / (pi x), 1 at 0."""
    angle = multiply(floating(x), math.pi)
    is_zero = equal(angle, 0)
    return where(is_zero, 1, divide(ops.sin(angle), where(is_zero, 1, angle)))


def float_power(x: Operand, exponent: Operand) -> Node:
    """x^p in float64."""
    base = convert(as_node(x), float64)
    return power(base, convert(exponent, float64) if isinstance(exponent, Node) else float(exponent))


def ldexp(x: Node, other: Operand) -> Node:
    """x 2^n."""
    return multiply(x, power(2.0, floating(other)))


def hypot(a: Node, b: Node) -> Node:
    """sqrt(a^2 + b^2), without overflow; its gradient at (0, 0) is 0."""
    a, b = meet("hypot", a, b)
    scale = ops.detach(ops.maximum(absolute(a), absolute(b)))
    is_zero = equal(scale, 0)
    unit = where(bitwise_or(is_zero, isinf(scale)), 1, scale)
    total = add(square(divide(a, unit)), square(divide(b, unit)))
    return where(is_zero, 0, multiply(sqrt(where(is_zero, 1, total)), unit))


# --- the gamma function ----------------------------------------------------------------------------------------------

_SHIFT = 8  # from here on Stirling's series has 14 digits
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)


def _series(inverse_square: Node, terms: tuple[float, ...]) -> Node:
    """Horner's scheme, the first term being the constant."""
    total: Operand = terms[-1]
    for each in reversed(terms[:-1]):
        total = add(multiply(inverse_square, total), each)
    assert isinstance(total, Node)
    return total


def _lifted(x: Node) -> tuple[Node, Node]:
    """x where it is large, else x + 8; and where it was small."""
    is_small = less(x, float(_SHIFT))
    return where(is_small, add(x, float(_SHIFT)), x), is_small


def lgamma(x: Node) -> Node:
    """log |Gamma(x)|: Stirling's series from 8 on, by the recurrence below, by reflection for x < 1/2."""
    x = floating(x)
    is_left = less(x, 0.5)
    z = where(is_left, subtract(1.0, x), x)
    right = _lgamma_right(z)
    sine = absolute(ops.sin(multiply(subtract(x, ops.detach(ops.floor(x))), math.pi)))
    left = subtract(math.log(math.pi), add(log(where(is_left, sine, 1.0)), right))
    return where(is_left, left, right)


def _lgamma_right(z: Node) -> Node:
    large, is_small = _lifted(z)
    inverse = divide(1.0, large)
    series = multiply(inverse, _series(square(inverse), _STIRLING))
    result = add(subtract(multiply(subtract(large, 0.5), log(large)), large), add(series, 0.5 * math.log(2 * math.pi)))
    near = where(is_small, z, 1.0)
    product = near
    for step in range(1, _SHIFT):
        product = multiply(product, add(near, float(step)))
    return where(isinf(z), absolute(z), where(is_small, subtract(result, log(product)), result))


def digamma(x: Node) -> Node:
    """The derivative of `lgamma`, Gamma'(x) / Gamma(x)."""
    x = floating(x)
    is_left = less(x, 0.5)
    z = where(is_left, subtract(1.0, x), x)
    right = _digamma_right(z)
    angle = multiply(subtract(x, ops.detach(ops.floor(x))), math.pi)
    cotangent = divide(ops.cos(angle), where(is_left, ops.sin(angle), 1.0))
    return where(is_left, subtract(right, multiply(cotangent, math.pi)), right)


def _digamma_right(z: Node) -> Node:
    large, is_small = _lifted(z)
    inverse = divide(1.0, large)
    tail = multiply(square(inverse), _series(square(inverse), _DIGAMMA))
    result = add(subtract(log(large), multiply(inverse, 0.5)), tail)
    near, total = where(is_small, z, 1.0), None
    for step in range(_SHIFT):
        part = divide(1.0, add(near, float(step)))
        total = part if total is None else add(total, part)
    assert total is not None
    return where(is_small, subtract(result, total), result)


# --- the error function from the other side, and backwards -----------------------------------------------------------

# e^(x^2) erfc(x) (1 + 2x) for x >= 1/2 as a polynomial in s = (x - 5/2) / (x + 5/2) · 6/5 - 1/5, which lies in [-1, 1]:
# interpolated at Chebyshev's nodes with 50 digits; the largest relative error is 9e-16.
_ERFCX = (
    1.2423492448711544, -0.12000786868938904, -0.024899113240524604, 0.05674654966876823, -0.03662799043760799,
    0.012587446516850075, -0.0011965769232149073, -0.000884886069467466, 0.0002904648460476749, 6.401263391755602e-05,
    -4.116718852160905e-05, -7.071173073796379e-06, 5.783337803215547e-06, 1.2984720674425977e-06,
    -8.089513023659347e-07, -2.971550553460554e-07, 9.88411614734026e-08, 6.537971640336364e-08,
    -7.047535213532136e-09, -1.1321780442439423e-08, -5.269399511694885e-10, 1.092276837911133e-09,
    1.6016206432575034e-10,
)  # fmt: skip
_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def erfc(x: Node) -> Node:
    """1 - erf(x), to the last digits also far right, where it is small."""
    x = floating(x)
    values = _erfc(ops.detach(x))
    return ops.with_rule([values], [x], _erfc_rule, "erfc")[0]


def _erfc(x: Node) -> Node:
    right = where(less(0.5, x), x, 1.0)
    right = where(less(right, 30.0), right, 30.0)  # 0 in every dtype
    s = subtract(multiply(divide(subtract(right, 2.5), add(right, 2.5)), 1.2), 0.2)
    scaled = divide(_series(s, _ERFCX), add(multiply(right, 2.0), 1.0))
    near = multiply(ops.round_(multiply(right, 16.0)), 1 / 16)  # its square is exact, so that e^(-x^2) keeps its digits
    power = multiply(exp(negative(square(near))), exp(negative(multiply(subtract(right, near), add(right, near)))))
    return where(less(0.5, x), multiply(power, scaled), subtract(1.0, ops.erf(x)))


def _erfc_rule(node: Node, cotangents: Sequence[Node | None]) -> list[Node | None]:
    """erfc'(x) = -2/sqrt(pi) e^(-x^2)."""
    (g,) = cotangents
    assert g is not None
    return [ops.chain_product(g, multiply(exp(negative(square(node.inputs[1]))), -_TWO_OVER_ROOT_PI))]


def erfinv(y: Node) -> Node:
    """The x for which erf(x) = y; infinite at -1 and 1, NaN beyond.

    By two steps of Halley's from a guess that is right to 3 in 1,000: a series near 0, Winitzki's formula (2008) else.
    """
    y = floating(y)
    value = ops.detach(y)
    size = absolute(value)
    inside = where(less(size, 1), size, 0.5)
    is_near, rest = less(inside, 0.5), subtract(1.0, inside)
    x = where(is_near, _near_zero(inside), _near_one(inside, rest))
    for _ in range(2):
        miss = where(is_near, subtract(ops.erf(x), inside), subtract(rest, _erfc(x)))
        step = divide(multiply(miss, exp(square(x))), _TWO_OVER_ROOT_PI)
        x = subtract(x, divide(step, add(multiply(x, step), 1.0)))
    x = where(equal(size, 1), math.inf, where(less(size, 1), x, math.nan))
    return ops.with_rule([where(less(value, 0), negative(x), x)], [y], _erfinv_rule, "erfinv")[0]


def _near_zero(y: Node) -> Node:
    series = (1.0, math.pi / 12, 7 * math.pi**2 / 480, 127 * math.pi**3 / 40320)
    return multiply(multiply(y, _series(square(y), series)), 1 / _TWO_OVER_ROOT_PI)


def _near_one(y: Node, rest: Node) -> Node:
    a = 0.147
    logarithm = log(multiply(rest, add(y, 1.0)))
    half = add(multiply(logarithm, 0.5), 2 / (math.pi * a))
    return sqrt(subtract(sqrt(subtract(square(half), divide(logarithm, a))), half))


def _erfinv_rule(node: Node, cotangents: Sequence[Node | None]) -> list[Node | None]:
    """sqrt(pi)/2 e^(x^2), x being the result; from the result itself, so that it can be differentiated again."""
    (g,) = cotangents
    assert g is not None
    x = ops.output(node, index=0)
    return [ops.chain_product(g, multiply(exp(square(x)), 1 / _TWO_OVER_ROOT_PI))]


# --- signs, limits, remainders ---------------------------------------------------------------------------------------


def positive(x: Node) -> Node:
    """x itself."""
    if x.dtype is bool_:
        raise DTypeError(explain("positive is not defined for bool tensors", received="bool", expected="numbers"))
    return x


def signbit(x: Node) -> Node:
    """Whether the sign bit is set, that of -0.0 too (not that of a NaN)."""
    if not x.dtype.is_floating_point:
        return less(x, 0) if x.dtype is not bool_ else full(x.shape, False, bool_)
    return bitwise_or(less(x, 0), less(divide(1.0, where(equal(x, 0), x, 1.0)), 0))


def copysign(x: Operand, other: Operand) -> Node:
    """|x| with the sign of `other`."""
    a, b = meet("copysign", x, other)
    a, b = floating(a), floating(b)
    return where(not_equal(signbit(a), signbit(b)), negative(a), a)


def deg2rad(x: Node) -> Node:
    """Degrees as radians."""
    return multiply(floating(x), math.pi / 180)


def rad2deg(x: Node) -> Node:
    """Radians as degrees."""
    return multiply(floating(x), 180 / math.pi)


def frac(x: Node) -> Node:
    """x - trunc(x)."""
    return subtract(x, trunc(x))


def fmod(a: Operand, b: Operand) -> Node:
    """The remainder of division towards zero: it has the sign of the dividend."""
    a, b = meet("fmod", a, b)
    size = ops.remainder(absolute(a), absolute(b))
    return where(less(a, 0), negative(size), size)


def fmax(a: Node, b: Node) -> Node:
    """The larger, or the one that is no NaN; of a tie the first."""
    a, b = meet("fmax", a, b)
    return where(bitwise_or(greater_equal(a, b), isnan(b)), a, b)


def fmin(a: Node, b: Node) -> Node:
    """The smaller, or the one that is no NaN; of a tie the first."""
    a, b = meet("fmin", a, b)
    return where(bitwise_or(less_equal(a, b), isnan(b)), a, b)


def clamp_min(x: Node, min: Operand) -> Node:
    """Entries limited from below; the gradient at the limit is 1."""
    return clamp(x, min=min)


def clamp_max(x: Node, max: Operand) -> Node:
    """Entries limited from above; the gradient at the limit is 1."""
    return clamp(x, max=max)


def heaviside(x: Node, values: Node) -> Node:
    """0 left of 0, 1 right of it, `values` at 0."""
    x, values = meet("heaviside", x, values)
    return where(equal(x, 0), values, convert(less(0, x), x.dtype))


def nan_to_num(x: Node, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Node:
    """Other numbers for NaN (0), infinity (the largest of the dtype) and minus infinity (the smallest)."""
    if not x.dtype.is_floating_point:
        return x
    most = 1.7976931348623157e308 if x.dtype is float64 else 3.4028234663852886e38
    high, low = most if posinf is None else posinf, -most if neginf is None else neginf
    finite = where(equal(x, math.inf), high, where(equal(x, -math.inf), low, x))
    return where(isnan(x), nan, finite)


def rsub(x: Node, other: Operand, *, alpha: float = 1) -> Node:
    """other - alpha x."""
    return subtract(other, x if alpha == 1 else multiply(x, alpha))


# --- comparisons -----------------------------------------------------------------------------------------------------


def isclose(a: Node, b: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Node:
    """|a - b| <= atol + rtol |b|, entry by entry; infinities are close to themselves only."""
    if rtol < 0 or atol < 0:
        raise ArgumentError(explain("isclose: tolerances must not be negative", received=f"{rtol}, {atol}"))
    a, b = meet("isclose", a, b)
    same = equal(a, b)
    if not a.dtype.is_floating_point:
        return bitwise_or(same, less_equal(absolute(subtract(a, b)), add(multiply(floating(absolute(b)), rtol), atol)))
    gap = absolute(subtract(where(same, 0, a), where(same, 0, b)))
    near = logical_and(less_equal(gap, add(multiply(absolute(b), rtol), atol)), less(gap, math.inf))
    close = bitwise_or(same, near)
    return bitwise_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


def isposinf(x: Node) -> Node:
    """Whether an entry is infinity."""
    return equal(x, math.inf) if x.dtype.is_floating_point else full(x.shape, False, bool_)


def isneginf(x: Node) -> Node:
    """Whether an entry is minus infinity."""
    return equal(x, -math.inf) if x.dtype.is_floating_point else full(x.shape, False, bool_)


def isreal(x: Node) -> Node:
    """True everywhere: there are no complex numbers."""
    return full(x.shape, True, bool_)


FUNCTIONS: dict[str, Callable[..., Node]] = {
    "asin": arcsin, "arcsin": arcsin, "acos": arccos, "arccos": arccos, "atan2": arctan2, "arctan2": arctan2,
    "asinh": arcsinh, "arcsinh": arcsinh, "acosh": arccosh, "arccosh": arccosh, "atanh": arctanh, "arctanh": arctanh,
    "arctan": arctan, "exp2": exp2, "logaddexp": logaddexp, "logaddexp2": logaddexp2,
    "xlogy": xlogy, "logit": logit, "sinc": sinc, "float_power": float_power, "ldexp": ldexp, "hypot": hypot,
    "lgamma": lgamma, "digamma": digamma, "erfc": erfc, "erfinv": erfinv, "positive": positive,
    "signbit": signbit, "copysign": copysign,
    "deg2rad": deg2rad, "rad2deg": rad2deg, "frac": frac, "fix": trunc, "fmod": fmod, "fmax": fmax, "fmin": fmin,
    "clamp_min": clamp_min, "clamp_max": clamp_max, "heaviside": heaviside, "nan_to_num": nan_to_num, "rsub": rsub,
    "isclose": isclose, "isposinf": isposinf, "isneginf": isneginf, "isreal": isreal, "sgn": sign,
    "absolute": absolute, "negative": negative, "greater": greater, "greater_equal": greater_equal, "less": less,
    "less_equal": less_equal, "not_equal": not_equal,
}  # fmt: skip

# Those whose in-place form PyTorch has too.
IN_PLACE = (
    "asin", "arcsin", "acos", "arccos", "atan2", "arctan2",
    "arctan", "exp2", "xlogy", "logit", "sinc", "hypot", "lgamma", "digamma", "erfc", "erfinv", "copysign",
    "deg2rad", "rad2deg", "frac",
    "float_power", "ldexp", "fix", "fmod",
    "clamp_min", "clamp_max", "heaviside", "nan_to_num", "sgn", "absolute", "negative",
)  # fmt: skip
