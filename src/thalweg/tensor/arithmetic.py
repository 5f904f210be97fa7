"""Elementwise expressions as users write them: implicit broadcasting, promotion, Python scalars, compositions.

In: nodes and Python scalars. Out: nodes in which broadcasting and conversion are explicit. Formulas that are not
primitives (softplus, GELU, clamp, ...) are written here once, in a numerically safe form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from thalweg import ops
from thalweg.dtype import BOOL, INTEGER, DType, as_dtype, bool_, float32, int64, result_dtype, scalar_dtype
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node, Primitive, Shape, constant, full

Operand = Node | bool | int | float


# --- meeting in one shape and dtype ----------------------------------------------------------------------------------


def broadcast_shapes(*shapes: Shape, name: str = "operands") -> Shape:
    """The shape in which all meet: aligned at the right, where 1 stretches to anything.

    >>> broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    result = []
    for extents in zip(*padded, strict=True):
        wanted = {extent for extent in extents if extent != 1} or {1}
        if len(wanted) > 1:
            raise ShapeError(
                explain(
                    f"{name}: shapes do not broadcast together",
                    received=" and ".join(map(str, shapes)),
                    expected="extents that are equal or 1, aligned at the right",
                    remedy="reshape one of them, for example with unsqueeze",
                )
            )
        result.append(wanted.pop())
    return tuple(result)


def expand_to(node: Node, shape: Shape) -> Node:
    """The node repeated to `shape`, which must be a broadcast of its own."""
    if node.shape == shape:
        return node
    if node.ndim < len(shape):
        node = ops.reshape(node, shape=(1,) * (len(shape) - node.ndim) + node.shape)
    return node if node.shape == shape else ops.broadcast(node, shape=shape)


def convert(node: Node, dtype: DType) -> Node:
    return node if node.dtype is dtype else ops.cast(node, dtype=dtype.name)


def common_dtype(operands: Sequence[Operand]) -> DType:
    """Promotion as PyTorch does it: tensors with dimensions before 0-d tensors before Python scalars."""
    nodes = [each for each in operands if isinstance(each, Node)]
    first: DType | None = nodes[0].dtype if nodes else None
    if len(nodes) == len(operands) and all(node.dtype is first for node in nodes):
        assert first is not None
        return first
    return result_dtype(
        [node.dtype for node in nodes if node.shape],
        [node.dtype for node in nodes if not node.shape],
        [scalar_dtype(_python(each)) for each in operands if not isinstance(each, Node)],
    )


def _python(scalar: object) -> bool | int | float:
    """A NumPy scalar is as weak as a Python number."""
    return scalar.item() if isinstance(scalar, np.generic) else scalar  # type: ignore[return-value]


def as_node(operand: Operand, dtype: DType | None = None) -> Node:
    if isinstance(operand, Node):
        return operand if dtype is None else convert(operand, dtype)
    operand = _python(operand)
    if isinstance(operand, (bool, int, float)):
        return constant(operand if dtype is None or dtype.is_floating_point else _wrapped(operand, dtype), dtype)
    raise DTypeError(
        explain(
            "an operand of this type cannot take part in tensor arithmetic",
            received=type(operand).__name__,
            expected="a tensor, a NumPy array or a Python number",
            remedy="convert it with tw.tensor(...)",
        )
    )


def _wrapped(value: float, dtype: DType) -> bool | int:
    """A number as an integer format stores it: cut to a whole number, modulo the format's range."""
    if isinstance(value, float) and not math.isfinite(value):
        raise DTypeError(
            explain("this number has no integer value", received=value, expected=f"a value of {dtype.name}",
                    remedy="use a floating-point tensor")
        )  # fmt: skip
    if dtype is bool_:
        return bool(value)
    low, _ = _limits(dtype)
    return (int(value) - low) % int(2 ** (8 * dtype.itemsize)) + low


def _limits(dtype: DType) -> tuple[int, int]:
    limits = np.iinfo(dtype.numpy.name)
    return int(limits.min), int(limits.max)


def need_tensor(name: str, *operands: object, remedy: str = "convert it with tw.tensor(...)") -> None:
    """Refuse what is not a tensor, for functions that need axes."""
    for each in operands:
        if not isinstance(each, Node):
            raise DTypeError(
                explain(f"{name} takes a tensor here", received=type(each).__name__, expected="a tensor", remedy=remedy)
            )


def meet(name: str, *operands: Operand, dtype: DType | None = None) -> list[Node]:
    """All operands in one shape and one dtype."""
    dtype = dtype or common_dtype(operands)
    nodes = [as_node(each, dtype) for each in operands]
    shape = broadcast_shapes(*[node.shape for node in nodes], name=name)
    return [expand_to(node, shape) for node in nodes]


def meet_dtype(name: str, *nodes: Node) -> list[Node]:
    """All in one dtype, each in its own shape."""
    dtype = common_dtype(nodes)
    return [convert(node, dtype) for node in nodes]


def floating(operand: Operand) -> Node:
    """As a floating-point node: integers and bools become float32, PyTorch's default dtype."""
    node = as_node(operand)
    return node if node.dtype.is_floating_point else convert(node, float32)


# --- binary ----------------------------------------------------------------------------------------------------------


def _binary(primitive: Primitive, about: str) -> Callable[[Operand, Operand], Node]:
    def function(a: Operand, b: Operand) -> Node:
        return primitive(*meet(primitive.name, a, b))

    function.__name__, function.__doc__ = primitive.name, about
    return function


def _comparison(primitive: Primitive, about: str) -> Callable[[Operand, Operand], Node]:
    """A number that the tensor's integer format cannot hold is compared as what it is, not wrapped."""

    def function(a: Operand, b: Operand) -> Node:
        dtype = common_dtype((a, b))
        if dtype.category == INTEGER and not all(_fits(each, dtype) for each in (a, b)):
            dtype = int64
        return primitive(*meet(primitive.name, a, b, dtype=dtype))

    function.__name__, function.__doc__ = primitive.name, about
    return function


def _fits(operand: Operand, dtype: DType) -> bool:
    low, high = _limits(dtype)
    return isinstance(operand, Node) or low <= operand <= high


add = _binary(ops.add, "a + b. Operands broadcast, and meet in the dtype that PyTorch gives them.")
multiply = _binary(ops.multiply, "a * b, entry by entry. Operands broadcast.")
maximum = _binary(ops.maximum, "The larger of the two, entry by entry; equal ones share the gradient.")
minimum = _binary(ops.minimum, "The smaller of the two, entry by entry; equal ones share the gradient.")
remainder = _binary(ops.remainder, "What is left of a when b is taken away as often as it fits; it has the sign of b.")
equal = _comparison(ops.equal, "True where a = b.")
not_equal = _comparison(ops.not_equal, "True where a and b differ; NaN differs from itself.")
less = _comparison(ops.less, "True where a < b.")
less_equal = _comparison(ops.less_equal, "True where a <= b.")
bitwise_and = _binary(ops.bitwise_and, "The bits that both have; of booleans, a and b.")
bitwise_or = _binary(ops.bitwise_or, "The bits that either has; of booleans, a or b.")
bitwise_xor = _binary(ops.bitwise_xor, "The bits that exactly one has; of booleans, whether they differ.")


def subtract(a: Operand, b: Operand) -> Node:
    """a - b. Operands broadcast; booleans are refused."""
    left, right = meet("subtract", a, b)
    if left.dtype is bool_:
        raise DTypeError(
            explain(
                "subtract is not defined for bool tensors",
                received="bool - bool",
                expected="numbers",
                remedy="use ^ or ~ for logic, or convert with .int()",
            )
        )
    return ops.subtract(left, right)


def greater(a: Operand, b: Operand) -> Node:
    """True where a > b."""
    return less(b, a)


def greater_equal(a: Operand, b: Operand) -> Node:
    """True where a >= b."""
    return less_equal(b, a)


def divide(a: Operand, b: Operand, rounding_mode: str | None = None) -> Node:
    """True division, always floating point; ``rounding_mode="floor"`` or ``"trunc"`` as in PyTorch."""
    if rounding_mode not in (None, "floor", "trunc"):
        raise ArgumentError(
            explain("unknown rounding_mode", received=repr(rounding_mode), expected="None, floor, trunc")
        )
    if rounding_mode == "floor":
        return floor_divide(a, b)
    dtype = common_dtype((a, b))
    quotient = ops.divide(*meet("divide", a, b, dtype=dtype if dtype.is_floating_point else float32))
    if rounding_mode == "trunc":
        return convert(ops.trunc(quotient), dtype)
    return quotient


def floor_divide(a: Operand, b: Operand) -> Node:
    """a / b, rounded down to a whole number."""
    return ops.floor_divide(*meet("floor_divide", a, b))


def power(a: Operand, b: Operand) -> Node:
    """x^p; small whole exponents become products, 0.5 a square root: exact, fast, defined at 0."""
    b = b if isinstance(b, Node) else _python(b)
    if isinstance(b, (int, float)) and not isinstance(b, bool) and isinstance(a, Node):
        if isinstance(b, int) and b < 0 and not a.dtype.is_floating_point:
            raise DTypeError(
                explain("an integer to a negative power is not an integer", received=f"{a.dtype.name} ** {b}",
                        expected="a floating-point base", remedy="convert it first with .float()")
            )  # fmt: skip
        base = convert(a, common_dtype((a, b)))
        short = _short_power(base, b)
        if short is not None:
            return short
        a = base
    return ops.power(*meet("power", a, b))


def _short_power(x: Node, p: float) -> Node | None:
    if p == 1:
        return multiply(x, 1)
    if p == 2:
        return ops.multiply(x, x)
    if p == 3:
        return ops.multiply(ops.multiply(x, x), x)
    if not x.dtype.is_floating_point:
        return None
    if p == 0.5:
        return ops.sqrt(x)
    if p == -1:
        return divide(1.0, x)
    if p == -0.5:
        return divide(1.0, ops.sqrt(x))
    return None


def where(condition: Node, yes: Operand, no: Operand) -> Node:
    """`yes` where the condition holds, else `no`; the branch not taken gets a gradient of exactly 0."""
    need_tensor("where (condition)", condition)
    if condition.dtype is not bool_:
        raise DTypeError(
            explain(
                "where needs a bool condition",
                received=condition.dtype.name,
                expected="bool",
                remedy="compare first, for example x > 0",
            )
        )
    dtype = common_dtype((yes, no))
    a, b = as_node(yes, dtype), as_node(no, dtype)
    shape = broadcast_shapes(condition.shape, a.shape, b.shape, name="where")
    return ops.where(expand_to(condition, shape), expand_to(a, shape), expand_to(b, shape))


# --- unary -----------------------------------------------------------------------------------------------------------


def _floating_unary(primitive: Primitive, about: str) -> Callable[[Operand], Node]:
    def function(x: Operand) -> Node:
        return primitive(floating(x))

    function.__name__, function.__doc__ = primitive.name, about
    return function


exp = _floating_unary(ops.exp, "e^x.")
expm1 = _floating_unary(ops.expm1, "e^x - 1, exact also for small x.")
log = _floating_unary(ops.log, "The natural logarithm; NaN below 0, -inf at 0.")
log1p = _floating_unary(ops.log1p, "log(1 + x), exact also for small x.")
sqrt = _floating_unary(ops.sqrt, "The square root; NaN below 0.")
sin = _floating_unary(ops.sin, "The sine of an angle in radians.")
cos = _floating_unary(ops.cos, "The cosine of an angle in radians.")
tanh = _floating_unary(ops.tanh, "(e^x - e^-x) / (e^x + e^-x), between -1 and 1.")
arctan = _floating_unary(ops.arctan, "The angle in (-pi/2, pi/2) whose tangent is x.")
sigmoid = _floating_unary(ops.sigmoid, "1 / (1 + e^-x), between 0 and 1.")
erf = _floating_unary(ops.erf, "The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.")


def _rounding(primitive: Primitive, about: str) -> Callable[[Node], Node]:
    def function(x: Node) -> Node:
        return primitive(x) if x.dtype.is_floating_point else x

    function.__name__, function.__doc__ = primitive.name, about
    return function


floor = _rounding(ops.floor, "Rounded down to a whole number; the derivative is 0.")
ceil = _rounding(ops.ceil, "Rounded up to a whole number; the derivative is 0.")
trunc = _rounding(ops.trunc, "Rounded towards 0; the derivative is 0.")


def round_(x: Node, *, decimals: int = 0) -> Node:
    """To the nearest integer, halves to the even one; with `decimals` to so many digits behind the point."""
    if not x.dtype.is_floating_point or not decimals:
        return ops.round_(x) if x.dtype.is_floating_point else x
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return divide(ops.round_(multiply(x, scale)), scale)
    return multiply(ops.round_(divide(x, scale)), scale)


def negative(x: Node) -> Node:
    """-x."""
    return ops.negative(x)


def absolute(x: Node) -> Node:
    """|x|; its derivative at 0 is 0."""
    return ops.absolute(x)


def sign(x: Node) -> Node:
    """-1, 0 or 1; its derivative is 0."""
    return ops.sign(x)


def rsqrt(x: Node) -> Node:
    """1 / sqrt(x)."""
    return divide(1.0, sqrt(x))


def reciprocal(x: Node) -> Node:
    """1 / x."""
    return divide(1.0, x)


def square(x: Node) -> Node:
    """x^2."""
    return ops.multiply(x, x)


def tan(x: Node) -> Node:
    """The tangent, sin x / cos x."""
    return ops.divide(sin(x), cos(x))


def log2(x: Node) -> Node:
    """The logarithm to base 2."""
    return multiply(log(x), 1 / math.log(2))


def log10(x: Node) -> Node:
    """The logarithm to base 10."""
    return multiply(log(x), 1 / math.log(10))


def sinh(x: Node) -> Node:
    """(e^x - e^-x) / 2."""
    x = floating(x)
    return multiply(subtract(expm1(x), expm1(negative(x))), 0.5)  # by expm1, so that a small x loses no digits


def cosh(x: Node) -> Node:
    """(e^x + e^-x) / 2."""
    return multiply(add(exp(x), exp(negative(floating(x)))), 0.5)


def logical_not(x: Node) -> Node:
    """True where x is 0."""
    return ops.bitwise_not(truth(x))


def bitwise_not(x: Node) -> Node:
    """Every bit turned over; of booleans, not x."""
    return ops.bitwise_not(x)


def truth(x: Operand) -> Node:
    """As bool: whether each entry is not zero."""
    node = as_node(x)
    return node if node.dtype.category == BOOL else not_equal(node, 0)


def logical_and(a: Operand, b: Operand) -> Node:
    """True where neither is 0."""
    return bitwise_and(truth(a), truth(b))


def logical_or(a: Operand, b: Operand) -> Node:
    """True where one of them is not 0."""
    return bitwise_or(truth(a), truth(b))


def logical_xor(a: Operand, b: Operand) -> Node:
    """True where exactly one of them is not 0."""
    return bitwise_xor(truth(a), truth(b))


def isnan(x: Node) -> Node:
    """True where x is NaN."""
    return not_equal(x, x)


def isinf(x: Node) -> Node:
    """True where x is infinite, of either sign."""
    return equal(absolute(x), math.inf) if x.dtype.is_floating_point else full(x.shape, False, bool_)


def isfinite(x: Node) -> Node:
    """True where x is neither NaN nor infinite."""
    return less(absolute(x), math.inf) if x.dtype.is_floating_point else full(x.shape, True, bool_)


def clamp(x: Node, min: Operand | None = None, max: Operand | None = None) -> Node:
    """Entries limited to [min, max]; the gradient is 1 inside and at the limits, 0 outside, as in PyTorch."""
    if min is None and max is None:
        raise ShapeError(
            explain("clamp needs a limit", received="neither min nor max", remedy="pass min=, max= or both")
        )
    result = x
    if min is not None:
        result = where(less(x, min), min, result)
    if max is not None:
        result = where(less(max, result), max, result)
    return result


def cast(x: Node, dtype: DType) -> Node:
    return convert(x, as_dtype(dtype))


def masked_fill(x: Node, mask: Node, value: Operand) -> Node:
    """x, with `value` where the mask is True. The mask broadcasts to x; no gradient flows to what was replaced."""
    need_tensor("masked_fill", x, mask)
    shape = broadcast_shapes(x.shape, mask.shape, name="masked_fill")
    return where(mask, as_node(value, x.dtype), expand_to(x, shape))


# --- activations -----------------------------------------------------------------------------------------------------


def relu(x: Node) -> Node:
    """max(x, 0); the derivative at 0 is 0. NaN stays NaN."""
    return where(less_equal(x, 0), 0, x)


def relu6(x: Node) -> Node:
    return clamp(relu(x), max=6)


def leaky_relu(x: Node, negative_slope: float = 0.01) -> Node:
    return where(less(0, x), x, multiply(x, negative_slope))


def elu(x: Node, alpha: float = 1.0) -> Node:
    """x for x > 0, else alpha (e^x - 1)."""
    is_positive = less(0, x)  # where, not minimum: at 0 the derivative is alpha, not half of it
    return where(is_positive, x, multiply(expm1(where(is_positive, 0, x)), alpha))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x: Node) -> Node:
    return multiply(elu(x, SELU_ALPHA), SELU_SCALE)


def gelu(x: Node, approximate: str = "none") -> Node:
    """x times the normal distribution function of x, by erf or by its tanh approximation."""
    if approximate == "tanh":
        inner = multiply(add(x, multiply(power(x, 3), 0.044715)), math.sqrt(2 / math.pi))
        return multiply(multiply(x, 0.5), add(tanh(inner), 1.0))
    return multiply(multiply(x, 0.5), add(erf(multiply(x, math.sqrt(0.5))), 1.0))


def silu(x: Node) -> Node:
    return multiply(x, sigmoid(x))


def softplus(x: Node, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """log(1 + e^(beta x)) / beta, and x itself beyond the threshold, as in PyTorch."""
    scaled = multiply(x, beta)
    is_beyond = less(threshold, scaled)
    smooth = divide(ops.softplus(where(is_beyond, threshold, scaled)), beta)
    return where(is_beyond, x, smooth)


def logsigmoid(x: Node) -> Node:
    """log of the sigmoid, -softplus(-x)."""
    return negative(ops.softplus(negative(x)))
