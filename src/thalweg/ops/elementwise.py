"""Primitives that act on each entry by itself: arithmetic, comparison, logic, mathematics, choice, conversion.

In: nodes of one shape (broadcasting is explicit, elsewhere) and one dtype. Out: a node of that shape.
Each record states its chain rule with the answer `y` where that frees the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg.dtype import ALL_DTYPES, BOOL, FLOATING, INTEGER, DType, as_dtype
from thalweg.errors import ArgumentError, explain
from thalweg.graph import Node, Primitive, Probe, is_zero, like, register, select
from thalweg.ops import algebra
from thalweg.ops.rules import ANY, NUMERIC, chained, known_number, op, predicate_dtype, quietly, same_dtype, same_shape
from thalweg.ops.special import erf as numpy_erf


def elementwise(
    name: str,
    numpy: Callable[..., Any],
    *,
    chain_rule: Callable[..., tuple[Node | None, ...]] | None = None,
    emit: Callable[..., Any] | None = None,
    dtypes: tuple[int, ...] = NUMERIC,
    dtype_rule: Callable[..., DType] | None = None,
    probe: Probe | tuple[Probe, ...] = (),
    **identities: Any,
) -> Primitive:
    """Register one elementwise record."""
    probes = probe if isinstance(probe, tuple) else (probe,)
    return register(
        Primitive(
            name,
            "elementwise",
            same_shape,
            dtype_rule or same_dtype(name, dtypes),
            quietly(numpy),
            chain_rule,
            emit,
            identities,
            probes,
        )
    )


def _unary(low: float = -2.0, high: float = 2.0, also: tuple[float, ...] = (), kinks: tuple[float, ...] = ()) -> Probe:
    return Probe(((3, 4),), low, high, also=also, kinks=kinks)


def _binary(low: float = -2.0, high: float = 2.0, also: tuple[float, ...] = (), kinks: tuple[float, ...] = ()) -> Probe:
    return Probe(((3, 4), (3, 4)), low, high, also=also, kinks=kinks)


INFINITY = float("inf")
SPECIAL = (0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, float("nan"), 1e-40, 3e38, -3e38)

# --- arithmetic ------------------------------------------------------------------------------------------------------

add = elementwise(
    "add", np.add, dtypes=ANY, commutative=True, identity_element=0, linear=True, simpler=algebra.simpler_sum,
    chain_rule=lambda g, y, a, b: (g, g),
    emit=lambda e, a, b: e.add(a, b),
    probe=_binary(also=SPECIAL),
)  # fmt: skip

subtract = elementwise(
    "subtract", np.subtract, linear=True, right_identity=0, simpler=algebra.simpler_difference,
    chain_rule=lambda g, y, a, b: (g, -g),
    emit=lambda e, a, b: e.subtract(a, b),
    probe=_binary(also=SPECIAL),
)  # fmt: skip

multiply = elementwise(
    "multiply", np.multiply, dtypes=ANY, commutative=True, identity_element=1, absorbing_element=0,
    chain_rule=lambda g, y, a, b: (chained(g, b), chained(g, a)),
    emit=lambda e, a, b: e.multiply(a, b),
    multilinear=True,
    probe=_binary(also=SPECIAL),
)  # fmt: skip


def _chain_product_rule(c: Node, y: Node, g: Node, d: Node) -> tuple[Node, Node]:
    # By d: c g, which is 0 where c is 0 and, for an infinite c, where g is 0 (each branch depends on both).
    return chained(c, d), select(is_zero(g), chain_product(g, c), chained(c, g))


# The product that the chain rule is made of: g * d, but 0 wherever the cotangent g is 0, whatever the derivative d is.
# So the gradient through the unselected branch of `where` is exactly 0 also where that branch is infinite or NaN, and
# because only the value is masked, not the dependence on g, second derivatives at a zero cotangent stay right.
chain_product = elementwise(
    "chain_product", lambda g, d: np.where(g == 0, g, g * d), dtypes=(FLOATING,), identity_element=1,
    absorbing_element=0, simpler=algebra.simpler_chain_product,
    chain_rule=_chain_product_rule,
    emit=lambda e, g, d: e.select(e.compare("not_equal", g, e.number(0, g.dtype)), e.multiply(g, d), g),
    multilinear=True,
    probe=_binary(also=SPECIAL),
)  # fmt: skip

divide = elementwise(
    "divide", np.divide, dtypes=(FLOATING,), right_identity=1, simpler=algebra.simpler_quotient,
    chain_rule=lambda g, y, a, b: (chained(g, 1.0 / b), -chained(g, y / b)),
    emit=lambda e, a, b: e.divide(a, b),
    probe=_binary(0.5, 2.0, also=SPECIAL),
)  # fmt: skip

negative = elementwise(
    "negative", np.negative, linear=True, involution=True,
    chain_rule=lambda g, y, x: (-g,),
    emit=lambda e, x: e.negative(x),
    probe=_unary(also=SPECIAL),
)  # fmt: skip

absolute = elementwise(
    "absolute", np.abs, idempotent=True,
    chain_rule=lambda g, y, x: (chained(g, op("sign")(x)),),
    emit=lambda e, x: e.call("fabs", x),
    probe=_unary(also=SPECIAL, kinks=(0.0,)),
)  # fmt: skip

sign = elementwise(
    "sign", np.sign, idempotent=True,
    emit=lambda e, x: e.sign(x),
    probe=_unary(also=SPECIAL, kinks=(0.0,)),
)  # fmt: skip


def _floor_divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind in "iu":
        _refuse_integer_zero("floor_divide", b)
    return np.floor_divide(a, b)


def _remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind in "iu":
        _refuse_integer_zero("remainder", b)
    return np.remainder(a, b)


def _refuse_integer_zero(name: str, divisor: np.ndarray) -> None:
    if divisor.size and not divisor.all():
        where = tuple(map(int, np.argwhere(divisor == 0)[0]))
        raise IntegerDivisionError(
            explain(
                f"{name}: integer division by zero",
                received=f"divisor 0 at position {where}",
                expected="non-zero integers",
                remedy="mask the zeros, or divide floating-point tensors",
            )
        )


def _may_divide_by_zero(node: Node) -> bool:
    """Whether some data make the operation an error."""
    return not node.dtype.is_floating_point and not known_number(node.inputs[1])


class IntegerDivisionError(ArgumentError, ZeroDivisionError):
    """An integer was divided by zero; floating-point division gives infinity or NaN instead."""


floor_divide = elementwise(
    "floor_divide", _floor_divide, refuses=_may_divide_by_zero, emit=lambda e, a, b: e.call("floor_divide", a, b),
    probe=Probe(((3,), (3,)), fixed={0: [5.3, -2.2, 7.9], 1: [2.0, 1.5, -3.0]}, also=SPECIAL),
)  # fmt: skip

# d/da (a mod b) = 1, d/db (a mod b) = -floor(a / b), both away from the jumps
remainder = elementwise(
    "remainder", _remainder, refuses=_may_divide_by_zero, emit=lambda e, a, b: e.call("remainder", a, b),
    chain_rule=lambda g, y, a, b: (g, -chained(g, floor_divide(a, b))),
    probe=Probe(((3,), (3,)), fixed={0: [5.3, -2.2, 7.9], 1: [2.0, 1.5, -3.0]}, also=SPECIAL),
)  # fmt: skip


def _power(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "i" and p.size and p.min() < 0:
        where = tuple(map(int, np.argwhere(p < 0)[0]))
        raise ArgumentError(
            explain(
                "power: an integer to a negative power is not an integer",
                received=f"{p[where]} at position {where}",
                expected="exponents of at least 0",
                remedy="convert the base first, for example with .float()",
            )
        )
    return np.power(x, p)


def _may_be_negative_power(node: Node) -> bool:
    exponent = known_number(node.inputs[1])
    return not node.dtype.is_floating_point and (exponent is None or exponent < 0)


def _power_rule(g: Node, y: Node, x: Node, p: Node) -> tuple[Node, Node]:
    # p x^(p-1) is 0 for p = 0 whatever x is; x^p log x tends to 0 for x -> 0 and p >= 0.
    by_base = op("chain_product")(p, power(x, p - 1.0))
    vanishes = bitwise_and(is_zero(x), less_equal(like(p, 0), p))
    return chained(g, by_base), chained(g, select(vanishes, 0, y * log(x)))


power = elementwise(
    "power", _power, chain_rule=_power_rule, right_identity=1, simpler=algebra.simpler_power,
    refuses=_may_be_negative_power,
    emit=lambda e, x, p: e.call("pow", x, p),
    probe=_binary(0.5, 2.0, also=(0.0, 1.0, 2.0, -1.0, INFINITY, float("nan"))),
)  # fmt: skip


def _pick_rule(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    # Ties share the cotangent, as in PyTorch: the symmetric subgradient.
    half = select(op("equal")(a, b), g * 0.5, 0)
    return select(op("not_equal")(b, y), g, half), select(op("not_equal")(a, y), g, half)


maximum = elementwise(
    "maximum", np.maximum, dtypes=ANY, commutative=True, idempotent=True, chain_rule=_pick_rule,
    right_identity=-INFINITY,
    emit=lambda e, a, b: e.maximum(a, b),
    probe=_binary(also=SPECIAL),
)  # fmt: skip

minimum = elementwise(
    "minimum", np.minimum, dtypes=ANY, commutative=True, idempotent=True, chain_rule=_pick_rule,
    right_identity=INFINITY,
    emit=lambda e, a, b: e.minimum(a, b),
    probe=_binary(also=SPECIAL),
)  # fmt: skip

# --- mathematics -----------------------------------------------------------------------------------------------------


def _mathematics(
    name: str, numpy: Callable[..., Any], derivative: Callable[[Node, Node], Node], probe: Probe
) -> Primitive:
    """A function of one floating-point number with its `derivative(y, x)`; the emitter knows it by its own name."""
    return elementwise(
        name, numpy, dtypes=(FLOATING,), probe=probe,
        chain_rule=lambda g, y, x: (chained(g, derivative(y, x)),),
        emit=lambda e, x: e.call(name, x),
    )  # fmt: skip


exp = _mathematics("exp", np.exp, lambda y, x: y, _unary(also=(*SPECIAL, 88.0, -88.0)))
expm1 = _mathematics("expm1", np.expm1, lambda y, x: y + 1.0, _unary(also=(*SPECIAL, 88.0, -88.0)))
log = _mathematics("log", np.log, lambda y, x: 1.0 / x, _unary(0.3, 3.0, also=SPECIAL))
log1p = _mathematics("log1p", np.log1p, lambda y, x: 1.0 / (x + 1.0), _unary(-0.5, 3.0, also=SPECIAL))
sqrt = _mathematics("sqrt", np.sqrt, lambda y, x: 0.5 / y, _unary(0.3, 3.0, also=SPECIAL))
sin = _mathematics("sin", np.sin, lambda y, x: cos(x), _unary(-6.0, 6.0, also=(0.0, -0.0, INFINITY, 1e4)))
cos: Primitive = _mathematics("cos", np.cos, lambda y, x: -sin(x), _unary(-6.0, 6.0, also=(0.0, -0.0, INFINITY, 1e4)))
tanh = _mathematics("tanh", np.tanh, lambda y, x: 1.0 - y * y, _unary(-3.0, 3.0, also=(*SPECIAL, 40.0)))
arctan = _mathematics("arctan", np.arctan, lambda y, x: 1.0 / (x * x + 1.0), _unary(-3.0, 3.0, also=SPECIAL))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # exp of a non-positive number only, so neither tail overflows
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + t), t / (1 + t))


# s'(x) = s(x) (1 - s(x))
sigmoid = _mathematics("sigmoid", _sigmoid, lambda y, x: y * (1.0 - y), _unary(-4.0, 4.0, also=(*SPECIAL, 90.0)))

# log(1 + e^x), whose derivative is the sigmoid: a record of its own because max(x, 0) + log1p(e^-|x|) has a kink at 0
softplus = _mathematics(
    "softplus", lambda x: np.logaddexp(x.dtype.type(0), x), lambda y, x: sigmoid(x),
    _unary(-4.0, 4.0, also=(*SPECIAL, 90.0)),
)  # fmt: skip

# erf'(x) = 2/sqrt(pi) exp(-x^2)
erf = _mathematics(
    "erf", numpy_erf, lambda y, x: exp(-(x * x)) * (2.0 / math.sqrt(math.pi)), _unary(-3.0, 3.0, also=(*SPECIAL, 6.0))
)


def _step_function(name: str, numpy: Callable[..., Any]) -> Primitive:
    """Constant between its jumps, so no chain rule: its derivative is 0 wherever it exists."""
    return elementwise(
        name, numpy, dtypes=(FLOATING,), idempotent=True, emit=lambda e, x: e.call(name, x),
        probe=_unary(also=SPECIAL, kinks=(-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)),
    )  # fmt: skip


floor = _step_function("floor", np.floor)
ceil = _step_function("ceil", np.ceil)
round_ = _step_function("round", np.rint)
trunc = _step_function("trunc", np.trunc)

# --- comparison, logic, choice ---------------------------------------------------------------------------------------


def _predicate(name: str, numpy: Callable[..., Any], **identities: Any) -> Primitive:
    return elementwise(
        name, numpy, dtype_rule=predicate_dtype(name), emit=lambda e, a, b: e.compare(name, a, b),
        probe=_binary(also=SPECIAL), **identities,
    )  # fmt: skip


equal = _predicate("equal", np.equal, commutative=True)
not_equal = _predicate("not_equal", np.not_equal, commutative=True)
less = _predicate("less", np.less)
less_equal = _predicate("less_equal", np.less_equal)


def _bitwise(name: str, numpy: Callable[..., Any], **identities: Any) -> Primitive:
    return elementwise(
        name, numpy, dtypes=(BOOL, INTEGER), commutative=True, emit=lambda e, a, b: e.bitwise(name, a, b),
        probe=Probe(((3, 4), (3, 4)), integers={0: 7, 1: 7}), **identities,
    )  # fmt: skip


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, right_identity=True, absorbing_element=0, idempotent=True)
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, identity_element=0, absorbing_element=True, idempotent=True)
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, identity_element=0)
bitwise_not = elementwise(
    "bitwise_not", np.invert, dtypes=(BOOL, INTEGER), involution=True, emit=lambda e, x: e.invert(x),
    probe=Probe(((3, 4),), integers={0: 7}),
)  # fmt: skip


def _where_dtype(condition: DType, yes: DType, no: DType) -> DType:
    same_dtype("where (condition)", (BOOL,))(condition)
    return same_dtype("where")(yes, no)


# The branch that was not selected receives exactly 0, never 0 * NaN.
where = elementwise(
    "where", np.where, dtype_rule=_where_dtype, chooses=True, simpler=algebra.simpler_choice,
    chain_rule=lambda g, y, c, a, b: (None, select(c, g, 0), select(c, 0, g)),
    emit=lambda e, c, a, b: e.select(c, a, b),
    probe=Probe(((4,), (4,), (4,)), fixed={0: [True, False, False, True]}, also=SPECIAL),
)  # fmt: skip


# --- conversion ------------------------------------------------------------------------------------------------------


def _cast_rule(g: Node, y: Node, x: Node, *, dtype: str) -> tuple[Node | None]:
    return (cast(g, dtype=x.dtype.name) if x.dtype.is_floating_point and y.dtype.is_floating_point else None,)


cast = elementwise(
    "cast", lambda x, *, dtype: x.astype(as_dtype(dtype).numpy),
    dtype_rule=lambda source, *, dtype: as_dtype(dtype),
    simpler=algebra.simpler_cast,
    chain_rule=_cast_rule,
    emit=lambda e, x, *, dtype: e.cast(x, dtype),
    probe=tuple(Probe(((3, 4),), attributes={"dtype": each.name}) for each in ALL_DTYPES),
)  # fmt: skip

# The first operand, once the second is known: an order that data do not ask for. What is made of it is not shared with
# what is made of the operand itself, so that a value can be computed a second time.
after = elementwise(
    "after", lambda x, first: x, dtype_rule=lambda x, first: x,
    chain_rule=lambda g, y, x, first: (g, None),
    emit=lambda e, x, first: x,
    waits=True,
    probe=_binary(also=SPECIAL),
)  # fmt: skip

# The same value, through which no gradient flows.
detach = elementwise(
    "detach", lambda x: x, dtypes=ANY, emit=lambda e, x: x, idempotent=True, stops_gradient=True,
    probe=_unary(also=SPECIAL),
)  # fmt: skip
