"""What entrywise records know about their operands: the algebra that makes a program smaller.

In: a node. Out: an equal node with less work, or None. Each rule keeps every bit, also of infinities, NaN and -0.0,
but for three: a small whole power becomes a product, which rounds once more, the payload of a NaN is not kept, and
where paddings with 0.0 are summed up a -0.0 stays one.
"""

from __future__ import annotations

import math

from thalweg.dtype import DType
from thalweg.graph import Node, full
from thalweg.ops import merging
from thalweg.ops.rules import known_number, op

# --- arithmetic ------------------------------------------------------------------------------------------------------


def simpler_sum(node: Node) -> Node | None:
    """a + (-b) = a - b; paddings with zeros that complete each other are parts put side by side."""
    a, b = node.inputs
    if b.op is op("pad"):
        return merging.joined_paddings(node)
    if b.op is op("negative"):
        return op("subtract")(a, b.inputs[0])
    return op("subtract")(b, a.inputs[0]) if a.op is op("negative") else None


def simpler_difference(node: Node) -> Node | None:
    """a - (-b) = a + b."""
    a, b = node.inputs
    return op("add")(a, b.inputs[0]) if b.op is op("negative") else None


def simpler_quotient(node: Node) -> Node | None:
    """a / 2^n = a 2^-n: the same number before rounding, so the same after it."""
    a, b = node.inputs
    divisor = known_number(b)
    if divisor is None or not math.isfinite(divisor) or abs(math.frexp(divisor)[0]) != 0.5:
        return None
    if not 2.0**-120 < abs(divisor) < 2.0**120:
        return None  # its reciprocal might not exist in float32
    return op("multiply")(a, full(node.shape, 1 / divisor, node.dtype))


def simpler_chain_product(node: Node) -> Node | None:
    """A product as usual, where the cotangent is never 0 or where 0 times the derivative is 0 anyway."""
    g, d = node.inputs
    cotangent, derivative = known_number(g), known_number(d)
    is_never_zero = cotangent is not None and cotangent != 0
    is_harmless = derivative is not None and math.isfinite(derivative) and math.copysign(1, derivative) > 0
    return op("multiply")(g, d) if is_never_zero or is_harmless else None


def simpler_power(node: Node) -> Node | None:
    x, exponent = node.inputs[0], known_number(node.inputs[1])
    if exponent == 2:
        return op("multiply")(x, x)
    if exponent == 3:
        return op("multiply")(op("multiply")(x, x), x)
    if exponent == -1 and x.dtype.is_floating_point:
        return op("divide")(full(x.shape, 1.0, x.dtype), x)
    return None


# --- choice ----------------------------------------------------------------------------------------------------------


def simpler_choice(node: Node) -> Node | None:
    condition, yes, no = node.inputs
    known = known_number(condition)
    if known is not None:
        return yes if known else no
    if yes is no:
        return yes
    if condition.op is op("bitwise_not"):
        return node.op(condition.inputs[0], no, yes)
    if known_number(yes) is True and known_number(no) is False:
        return condition
    inner_yes, inner_no = _chosen(node, yes, 1), _chosen(node, no, 2)
    return None if inner_yes is yes and inner_no is no else node.op(condition, inner_yes, inner_no)


def _chosen(node: Node, branch: Node, side: int) -> Node:
    """A branch that asks the same question again knows the answer."""
    return branch.inputs[side] if branch.op is node.op and branch.inputs[0] is node.inputs[0] else branch


# --- conversion ------------------------------------------------------------------------------------------------------


def simpler_cast(node: Node) -> Node | None:
    """None to the same dtype; one instead of two where the first loses nothing."""
    (x,) = node.inputs
    if x.dtype is node.dtype:
        return x
    if x.op is not node.op or not _is_kept(x.inputs[0].dtype, x.dtype):
        return None
    (source,) = x.inputs
    is_direct = source.dtype is node.dtype or not x.dtype.is_floating_point or node.dtype.is_floating_point
    return op("cast")(source, dtype=node.attributes["dtype"]) if is_direct else None


_WHOLE_BITS = {"bool": 1, "uint8": 8, "int32": 32, "int64": 64, "float32": 24, "float64": 53}


def _is_kept(source: DType, to: DType) -> bool:
    """Whether every value of `source` exists in `to`."""
    if source.name == "bool":
        return True
    if to.name in ("bool", "uint8") or (source.is_floating_point and not to.is_floating_point):
        return False
    return _WHOLE_BITS[source.name] <= _WHOLE_BITS[to.name]
