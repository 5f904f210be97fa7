"""Functions of float64 that neither LLVM nor libm has, from those that they have.

In: an `Emitter` and float64 values. Out: the value, by formulas that overflow in neither tail. The float32 ones are
polynomials of their own.
"""

from __future__ import annotations

from typing import Any

from thalweg.compile.values import Value, literal


def sigmoid(e: Any, x: Value) -> Value:
    """1 / (1 + t) or t / (1 + t) with t = e^-|x|."""
    one, t = literal(1, x.dtype), e.call("exp", e.negative(e.call("fabs", x)))
    return e.divide(e.select(e.compare("less", x, literal(0, x.dtype)), t, one), e.add(one, t))


def softplus(e: Any, x: Value) -> Value:
    """max(x, 0) + log(1 + e^-|x|)."""
    tail = e.call("log1p", e.call("exp", e.negative(e.call("fabs", x))))
    return e.add(e.maximum(x, literal(0, x.dtype)), tail)
