"""One row for each name in the tables of `thalweg.tensor.methods`: the calls that its contract test makes.

In: nothing. Out: `ROWS`, name -> cases. Floating-point arrays are differentiated; integer and bool arrays are not.
`test_functions.py` fails for a name without a row.
"""

from __future__ import annotations

import numpy as np

from tests.tensor.cases import Case, case, distinct, flat, mask, positive, real, whole
from tests.tensor.more_rows import MORE_ROWS
from tests.tensor.ordering_rows import ORDERING_ROWS

R34, R4, R31, R234 = real(3, 4), real(4), real(3, 1), real(2, 3, 4)
P34 = positive(3, 4)
D34 = distinct(3, 4)
I34, B34 = whole(3, 4), mask(3, 4)
U34 = whole(3, 4, dtype=np.uint8)
ROUGH = np.array([-2.5, -1.5, -0.6, 0.2, 0.5, 1.5, 2.5, 2.7])
WITH_ZEROS = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.5], [1.0, 2.0, 0.5]])
EQUAL_ROWS = np.ones((2, 3))
TIES = np.array([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
SPECIAL = np.array([1.0, np.nan, np.inf, -np.inf, 0.0])
HALF = np.array(0.5)

arithmetic = [
    case(R34, R4),
    case(R34, R31),
    case(R34, 2.5),
    case(R34, HALF),
    case(I34, 3),
    case(I34, R34),
    case(R34, 2),
]
compare = [case(I34, I34.T.copy().reshape(3, 4)), case(R34, 0.0), case(I34, R4), case(I34, 2.5), case(B34, 1)]
logic = [case(B34, mask(4)), case(I34, U34), case(R34, B34)]
bits = [case(B34, mask(4)), case(I34, whole(4)), case(I34, 3), case(U34, I34)]
smooth = [case(R34), case(np.array(0.3)), case(I34), case(R234)]
defined_above_zero = [case(P34), case(np.array(0.3)), case(I34 + 1)]
stepped = [flat(ROUGH), flat(np.array(-1.2)), case(I34)]
reduced = [case(R234), case(R234, 1), case(R234, -1, True), case(R234, dim=(0, 2)), case(R234, dim=[0, 2],
keepdim=True),
           case(np.array(2.0))]  # fmt: skip
extreme = [case(D34), case(D34, 1), case(TIES, 1), case(D34, dim=(0, 1), keepdim=True), case(I34, 0), case(B34)]
along = [case(R34, 1), case(R34, dim=0), case(R234, -2), case(np.array(0.7), 0), case(I34, 1)]
placed = [case(D34), case(D34, 1), case(D34, dim=0, keepdim=True), case(I34 * 7 + np.arange(4), 1), case(np.array(3.0))]

ROWS: dict[str, list[Case]] = {
    "add": [*arithmetic, case(R34, R4, alpha=2), case(B34, B34), case(U34, 300)],
    "sub": [*arithmetic, case(R34, R4, alpha=0.5), case(U34, 7)],
    "mul": [*arithmetic, case(B34, R4), case(U34, U34)],
    "div": [case(R34, P34), case(R34, 2), case(I34, 2), case(I34, I34 + 1), case(R34, P34[:1]),
            Case((R34, P34), {"rounding_mode": "floor"}, True), Case((R34, P34), {"rounding_mode": "trunc"}, True),
            case(I34 - 3, 2, rounding_mode="floor"), case(I34 - 3, 2, rounding_mode="trunc")],
    "true_divide": [case(R34, P34), case(I34, 2)],
    "floor_divide": [flat(R34, P34), case(I34 - 3, 2), case(I34 - 3, -2), flat(real(4) * 0.1 + 1, 0.1)],
    "remainder": [case(R34, P34), case(I34 - 3, 2), case(I34 - 3, -2), case(R34, 0.7), case(R34, -0.7)],
    "pow": [*(case(R34, p) for p in (0, 1, 2, 3, 4, -1, -2)), case(P34, 0.5), case(P34, -0.5), case(P34, 1.7),
            case(P34, R34), case(P34, R4), case(I34, 2), case(I34, 0.5), case(I34, I34), case(WITH_ZEROS, 2),
            case(WITH_ZEROS, 3.5), case(U34, 2)],
    "maximum": [case(R34, R4), case(TIES, 2 * TIES[:1]), case(I34, whole(4)), case(TIES, TIES), case(I34, R34)],
    "minimum": [case(R34, R4), case(TIES, 2 * TIES[:1]), case(I34, whole(4)), case(TIES, TIES), case(I34, R34)],
    "neg": [case(R34), case(I34), case(U34)],
    "abs": [case(R34), case(I34 - 3), case(U34), case(np.array([0.0, -1.0]))],
    "sign": [flat(R34), case(I34 - 3), flat(np.array([0.0, -1.0]))],
    "exp": smooth, "expm1": smooth, "sin": smooth, "cos": smooth, "tan": smooth, "atan": smooth, "sinh": smooth,
    "cosh": smooth, "tanh": smooth, "sigmoid": smooth, "erf": smooth,
    "log": defined_above_zero, "log1p": defined_above_zero, "log2": defined_above_zero, "log10": defined_above_zero,
    "sqrt": defined_above_zero, "rsqrt": defined_above_zero, "reciprocal": defined_above_zero,
    "square": [case(R34), case(I34)],
    "relu": [case(R34), case(I34 - 3), case(np.array([0.0, -0.0, 1.0]))],
    "floor": stepped, "ceil": stepped, "round": stepped, "trunc": stepped,
    "clamp": [case(R34, -1, 1), case(R34, min=0.0), case(R34, max=0.5), case(I34, 1, 3),
        case(np.array([-1.0, 0.0, 1.0]), 0, 1),
              case(R34, R4, R4 + 1), case(R34, 1.0, -1.0), case(I34, 1.5)],
    "clip": [case(R34, -1, 1)],
    "masked_fill": [case(R34, B34, 0.5), case(R34, mask(4), -np.inf), case(I34, B34, 7), case(R34, B34, HALF)],
    "eq": compare, "ne": compare, "lt": compare, "le": compare, "gt": compare, "ge": compare,
    "logical_and": logic, "logical_or": logic, "logical_xor": logic,
    "logical_not": [case(B34), case(I34), case(R34)],
    "bitwise_and": bits, "bitwise_or": bits, "bitwise_xor": bits,
    "bitwise_not": [case(B34), case(I34), case(U34)],
    "isnan": [case(SPECIAL), case(I34)], "isinf": [case(SPECIAL), case(I34)], "isfinite": [case(SPECIAL), case(I34)],
    "sum": [*reduced, case(I34), case(B34, 1), case(U34), case(R34, dim=()), case(R34, 1, dtype="float64"),
            case(I34, dtype="float64"), case(np.zeros((0, 3)), 0)],
    "mean": [*reduced, case(I34, 1, dtype="float64")],
    "var": [case(R234), case(R234, 1), case(R234, (0, 2), keepdim=True), case(R34, unbiased=False), case(R34, False),
            case(R34, 1, correction=0), case(EQUAL_ROWS, 1), case(R34, dim=1, unbiased=False)],
    "std": [case(R234), case(R234, 1), case(R34, unbiased=False), case(EQUAL_ROWS, 1), case(R34, dim=0, correction=2)],
    "prod": [case(R34), case(R34, 1), case(R234, 1, True), case(WITH_ZEROS, 1), case(WITH_ZEROS), case(I34, 1),
             case(np.array(2.0)), case(np.zeros((0, 3)), 0), case(real(5), 0)],
    "amax": extreme, "amin": extreme,
    "any": [case(B34), case(B34, 1), case(I34, 0), case(R34, 1, True), case(np.zeros((0, 3), bool)),
        case(np.zeros((0, 3)), 0)],
    "all": [case(B34), case(B34, 1), case(I34, 0), case(R34, 1, True), case(np.zeros((0, 3), bool)),
        case(np.zeros((0, 3)), 0)],
    "argmax": placed, "argmin": placed,
    "cumsum": [*along, case(B34, 0), case(U34, 1)],
    "softmax": [case(R34, 1), case(R34, dim=0), case(R234, -2), case(np.array(0.7), 0), case(R34 * 500, 1)],
    "log_softmax": [case(R34, 1), case(R34, dim=0), case(R234, -2), case(np.array(0.7), 0), case(R34 * 500, 1)],
    "logsumexp": [case(R34, 1), case(R234, (0, 2)), case(R34, 0, True), case(R34 * 500, 1), case(np.array(0.7), 0)],
    "norm": [case(R34), case(R34, 2, 1), case(R34, 1), case(R34, np.inf, 1), case(R34, -np.inf, 1), case(R34, 3, 0),
             case(R34, 0.5), case(R34, "fro"), case(R34, 2, dim=(0, 1), keepdim=True), case(EQUAL_ROWS * 0),
             case(WITH_ZEROS, 3), flat(R34, 0)],
    "median": [case(D34), case(distinct(5)), case(D34, 1), case(D34, 0, True), case(distinct(2, 3, 5), -1)],
    "max": [case(D34), case(D34, 1), case(D34, 0, True), case(R34, R4), case(I34 * 7 + np.arange(4), 1), case(TIES),
        case(np.array(2.0), 0)],
    "min": [case(D34), case(D34, 1), case(D34, 0, True), case(R34, R4), case(I34 * 7 + np.arange(4), 1), case(TIES),
        case(np.array(2.0), 0)],
    "argsort": [case(D34), case(D34, 0), case(D34, 1, True), case(D34, dim=0, descending=True)],
    "sort": [case(D34), case(D34, 0), case(D34, 1, True), case(D34, dim=0, descending=True), case(np.array(2.0))],
    "topk": [case(D34, 2), case(D34, 2, 0), case(D34, 3, 1, False), case(D34, 0), case(D34, k=1, dim=0, largest=False)],
    "matmul": [case(R34, real(4, 2)), case(R4, real(4)), case(R34, R4), case(real(3), R34), case(R234, real(4, 2)),
               case(R234, real(2, 4, 5)), case(real(2, 1, 3, 4), real(5, 4, 2)), case(real(3), real(2, 3, 4)),
               case(R234, R4), case(I34, whole(4, 2)), case(real(3, 0), real(0, 2)), case(real(2, 3, 4),
               real(2, 1, 4, 2))],
    "mm": [case(R34, real(4, 2))], "mv": [case(R34, R4)], "bmm": [case(R234, real(2, 4, 5))],
    "dot": [case(R4, real(4))], "outer": [case(R4, real(3))],
    "gather": [case(R34, 1, whole(3, 2, high=4)), case(R34, 0, whole(2, 4, high=3)),
        case(R234, -1, whole(1, 2, 6, high=4)),
               case(I34, 1, whole(3, 2, high=4))],
    "scatter_add": [case(R34, 1, whole(3, 2, high=4), real(3, 2)), case(R34, 0, whole(5, 4, high=3), real(5, 4)),
                    flat(R34, 1, whole(2, 2, high=4), real(3, 3)), case(I34, 0, whole(1, 4, high=3), whole(1, 4))],
    "scatter": [case(R34, 1, np.array([[0, 2], [1, 3], [3, 0]]), real(3, 2)), flat(R34, 0, np.array([[0, 2, 1, 0]]),
        real(3, 4)),
                case(R34, 1, np.array([[0], [2], [1]]), 1.5), case(I34, 1, np.array([[0], [2], [1]]), value=1)],
    "index_select": [case(R34, 1, whole(5, high=4)), case(R34, 0, whole(2, high=3)), case(R234, -1, np.array([0, 0]))],
    "tril": [case(R34), case(R234, 1), case(R34, diagonal=-1), case(I34)],
    "triu": [case(R34), case(R234, 1), case(R34, diagonal=-1), case(I34)],
    "diag": [case(R4), case(R34), case(R4, 1), case(R4, -2), case(R34, 1), case(R34, -1), case(I34)],
    "diagonal": [case(R34), case(R234), case(R234, 1, 1, 2), case(R234, -1, dim1=-2, dim2=-1), case(R234, 0, 2, 0)],
    "flip": [case(R34, 0), case(R34, [0, 1]), case(R34, 0, 1), case(R234, dims=(2,))],
    "roll": [case(R34, 1), case(R34, 1, 0), case(R34, (1, -2), (0, 1)), case(R34, shifts=-1, dims=1)],
    "repeat": [case(R34, 2, 1), case(R34, 2, 1, 3), case(R4, (2, 2))],
    "repeat_interleave": [case(R34, 2), case(R34, 3, 1), case(R34, 2, dim=0)],
    "addcmul": [case(R34, R4, R31, value=0.5), case(R34, R34, R4)],
    "addcdiv": [case(R34, R4, P34, value=0.5), case(R34, R34, P34)],
    "lerp": [case(R34, real(3, 4), 0.3), case(R34, real(3, 4), real(3, 4))],
    # views
    "reshape": [case(R34, 2, 6), case(R34, (4, -1)), case(R34, -1), case(np.array(2.0), (1, 1)),
        case(np.zeros((0, 3)), (3, 0))],
    "view": [case(R34, 2, 6), case(R34, (4, -1)), case(R34, -1)],
    "flatten": [case(R234), case(R234, 1), case(R234, 0, 1), case(np.array(2.0)), case(R234, start_dim=-2)],
    "unflatten": [case(R34, 1, (2, 2)), case(R34, -1, (2, -1))],
    "permute": [case(R234, 2, 0, 1), case(R234, (0, 2, 1)), case(R234, -1, 0, 1)],
    "transpose": [case(R234, 0, 1), case(R234, -1, 0), case(R234, 1, 1)],
    "t": [case(R34), case(R4), case(np.array(1.0))],
    "movedim": [case(R234, 0, 2), case(R234, -1, 0), case(R234, (0, 1), (2, 0))],
    "squeeze": [case(real(1, 3, 1)), case(real(1, 3, 1), 0), case(real(1, 3, 1), 1), case(real(1, 3, 1), (0, 2)),
        case(np.array(1.0))],
    "unsqueeze": [case(R34, 0), case(R34, -1), case(R34, 1), case(np.array(1.0), 0)],
    "expand": [case(R31, 3, 4), case(R31, (2, -1, 5)), case(np.array(1.0), 3), case(R34, -1, -1)],
    "expand_as": [case(R31, R34)],
    "broadcast_to": [case(R31, (3, 4)), case(R4, (2, 3, 4))],
    "narrow": [case(R34, 1, 1, 2), case(R34, 0, -2, 2), case(R34, 0, 0, 0)],
    "split": [case(R34, 2, 1), case(R34, 3, dim=1), case(R34, [1, 3], 1), case(R34, 1)],
    "chunk": [case(R34, 2, 1), case(R34, 3, dim=1), case(R34, 5, 0)],
    "unbind": [case(R34), case(R34, 1)],
    # functions only
    "where": [case(B34, R34, R4), case(B34, R34, 0.5), case(B34, 1.0, R34), case(B34, I34, R34), case(mask(4), I34, 2)],
    "cat": [case([R34, real(2, 4)]), case([R34, R31], 1), case([R34, R34], dim=-1), case([I34, R34]),
        case([R34, np.zeros(0)])],
    "concat": [case([R34, real(2, 4)])],
    "stack": [case([R34, R34]), case([R34, R34], 1), case([R4, R4], dim=-1), case([I34, R34], -1)],
    "einsum": [case("ij,jk->ik", R34, real(4, 2)), case("bij,bj->bi", R234, real(2, 4))],
    "broadcast_tensors": [case(R31, R4), case(R34, np.array(1.0))],
    "nonzero": [case(I34), case(WITH_ZEROS), case(B34)],
    "grad": [],  # tests/tensor/test_backward.py
    **MORE_ROWS,
    **ORDERING_ROWS,
}  # fmt: skip
