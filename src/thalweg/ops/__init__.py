"""The closed set of primitives, one record each, grouped by kind.

In: nothing. Out: the records, by name here and in `thalweg.graph.PRIMITIVES`; a pass asks a record, never a list of
names. Everything else in Thalweg (layers, losses, optimizers) is a composition of these.
"""

from thalweg.ops.contract import matmul
from thalweg.ops.convolution import convolution
from thalweg.ops.custom import Rule, custom, with_rule
from thalweg.ops.elementwise import (
    absolute,
    add,
    after,
    arctan,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    cast,
    ceil,
    chain_product,
    cos,
    detach,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    less,
    less_equal,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    remainder,
    round_,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    subtract,
    tanh,
    trunc,
    where,
)
from thalweg.ops.index import gather, index_put, iota, one_hot, scatter_add
from thalweg.ops.loop import Body, output, scan
from thalweg.ops.looping import loop
from thalweg.ops.move import broadcast, concatenate, contiguous, flip, inverse_order, pad, permute, reshape, slice_
from thalweg.ops.random import random_bits
from thalweg.ops.reduce import amax, amin, argmax, argmin, argsort, cumsum, sum_
from thalweg.ops.windows import window_product

__all__ = [
    "Body", "Rule", "absolute", "add", "after", "amax", "amin", "arctan", "argmax", "argmin", "argsort", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "broadcast", "cast", "ceil", "chain_product", "concatenate",
    "contiguous", "convolution", "cos", "cumsum", "custom", "detach", "divide", "equal", "erf", "exp", "expm1", "flip",
    "floor", "floor_divide", "gather", "index_put", "inverse_order", "iota", "less", "less_equal", "log", "log1p",
    "loop", "matmul", "maximum", "minimum", "multiply", "negative", "not_equal", "one_hot", "output", "pad", "permute",
    "power", "random_bits", "remainder", "reshape", "round_", "scan", "scatter_add", "sigmoid", "sign", "sin", "slice_",
    "softplus", "sqrt", "subtract", "sum_", "tanh", "trunc", "where",
    "window_product", "with_rule",
]  # fmt: skip
