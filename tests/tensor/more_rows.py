"""Rows of `function_table` for the rarer names; PyTorch's own samples go through them in tests/peers.

In: nothing. Out: `MORE_ROWS`, name -> cases.
"""

from __future__ import annotations

import numpy as np

from tests.tensor.cases import Case, case, distinct, flat, mask, positive, real, whole
from tests.tensor.ordering_rows import COMBINED

R34, R4, R234, P34 = real(3, 4), real(4), real(2, 3, 4), positive(3, 4)
INSIDE, ABOVE, UNIT = real(3, 4, low=-0.9, high=0.9), positive(3, 4) + 1.0, real(3, 4, low=0.05, high=0.95)
I34, B34 = whole(3, 4), mask(3, 4)
ROUGH = np.array([-2.5, -1.5, -0.6, 0.2, 0.5, 1.5, 2.5, 2.7])
SPECIAL = np.array([1.0, np.nan, np.inf, -np.inf, -0.0])
SQUARE = real(3, 3)
PLACES = np.array([2, 0])

everywhere = [case(R34), case(np.array(0.3))]
inside = [case(INSIDE), case(np.array(0.3))]
pairs = [case(R34, R4), case(R34, real(3, 1))]
compared = [case(R34, R4), case(I34, 2)]
looked_at = [case(SPECIAL), case(I34)]
stacked = [case([R34, real(3, 4)]), case([R4, real(4)])]

MORE_ROWS: dict[str, list[Case]] = {
    **dict.fromkeys(("asin", "arcsin", "acos", "arccos", "atanh", "arctanh"), inside),
    **dict.fromkeys(("asinh", "arcsinh", "arctan", "exp2", "sinc", "deg2rad", "rad2deg", "positive"), everywhere),
    **{key: [case(ABOVE)] for key in ("acosh", "arccosh")},
    **{key: [*pairs, case(np.array([0.0, 1.0]), np.array([-1.0, 0.0]))] for key in ("atan2", "arctan2")},
    "logaddexp": pairs, "logaddexp2": pairs, "hypot": pairs,
    "xlogy": [case(R34, P34), case(R34, 2.0)], "logit": [case(UNIT), case(UNIT, 0.1)],
    "float_power": [case(P34, 2), case(P34, positive(4))], "ldexp": [case(R34, whole(3, 4))],
    "lgamma": [case(P34), case(real(3, 4, low=-2.9, high=-2.1)), case(np.array([30.0, 0.5]))],
    "digamma": [case(P34), case(real(3, 4, low=-2.9, high=-2.1))],
    "signbit": [case(R34), case(I34)], "copysign": [flat(R34, R4), flat(R34, -1.0)],
    "frac": [case(ROUGH)], "fix": [flat(ROUGH)], "fmod": [case(R34, P34), case(R34, 0.7)],
    "fmax": [case(R34, R4), case(SPECIAL, np.zeros(5))], "fmin": [case(R34, R4), case(SPECIAL, np.zeros(5))],
    "clamp_min": [case(R34, 0.5), case(R34, R4)], "clamp_max": [case(R34, 0.5), case(R34, R4)],
    "heaviside": [flat(SPECIAL, np.full(5, 0.5))],
    "nan_to_num": [case(SPECIAL, posinf=2.0, neginf=-3.0)], "rsub": [case(R34, R4), case(R34, 2.0, alpha=0.5)],
    "isclose": [case(R34, R34 + 1e-9), case(SPECIAL, SPECIAL, equal_nan=True), case(I34, I34)],
    "isposinf": looked_at, "isneginf": looked_at, "isreal": looked_at, "sgn": [flat(R34)],
    "absolute": [case(R34), case(I34)], "negative": [case(R34), case(I34)],
    **dict.fromkeys(("greater", "greater_equal", "less", "less_equal", "not_equal"), compared),
    "multiply": [case(R34, R4)], "subtract": [case(R34, R4, alpha=2)],
    "divide": [case(R34, P34), Case((R34, P34), {"rounding_mode": "floor"}, True)],
    # views
    "select": [case(R34, 1, -1), case(R34, 0, 2)], "ravel": [case(R34)],
    "tensor_split": [case(R34, 3, 1), case(R34, (1, 3), dim=1)],
    "hsplit": [case(R34, 2), case(R4, [1, 3])], "vsplit": [case(R34, 3)], "dsplit": [case(R234, 2)],
    "adjoint": [case(R34), case(R234)], "swapaxes": [case(R234, 0, 2)], "swapdims": [case(R234, 0, 2)],
    "moveaxis": [case(R234, 0, 2)], "split_with_sizes": [case(R34, [1, 3], 1)],
    # taking and placing
    "fliplr": [case(R34)], "flipud": [case(R34)], "rot90": [case(R34, k) for k in range(4)],
    "tile": [case(R34, (2,)), case(R4, (2, 3))], "take": [case(R34, np.array([0, 5, -1]))],
    "take_along_dim": [case(R34, whole(3, 2, high=4), 1), case(R34, whole(5, high=12))],
    "index_add": [case(R34, 0, PLACES, real(2, 4)), case(R34, 1, PLACES, real(3, 2), alpha=0.5)],
    "index_copy": [case(R34, 0, PLACES, real(2, 4))], "index_fill": [case(R34, 1, PLACES, 0.5)],
    "index_put": [],  # tests/peers: its indices are a tuple of tensors
    "select_scatter": [case(R34, R4, 0, 1)], "slice_scatter": [case(R34, real(3, 2), 1, 1, 3)],
    "diagonal_scatter": [case(R34, real(3)), case(R34, real(2), -1)],
    "diag_embed": [case(R34), case(R4, 1), case(R4, -2)], "diagflat": [case(R34), case(R4, 1)],
    "trace": [case(R34), case(I34)], "narrow_copy": [case(R34, 1, 1, 2)],
    "unfold": [case(R34, 1, 2, 1), case(R34, 0, 3, 2)],
    "scatter_reduce": [case(R34, 1, whole(3, 2, high=4), real(3, 2), "sum"),
                       case(R34, 0, whole(2, 4, high=3), real(2, 4), "mean", include_self=False), *COMBINED],
    # several
    "hstack": stacked, "vstack": stacked, "row_stack": stacked, "dstack": stacked, "column_stack": stacked,
    "concatenate": stacked[:1], "block_diag": [case(R34, R4)], "meshgrid": [case(R4, real(3), indexing="ij")],
    "cartesian_prod": [case(R4, real(3))],
    "atleast_1d": [case(np.array(1.0))], "atleast_2d": [case(R4)], "atleast_3d": [case(R34), case(R4)],
    # counting, averaging, accumulating
    "aminmax": [case(distinct(3, 4)), case(distinct(3, 4), dim=1, keepdim=True)],
    "nansum": [case(R34), case(SPECIAL[:2]), case(R34, 1)], "nanmean": [case(R34), case(R34, 1), case(SPECIAL[:2])],
    "count_nonzero": [case(I34), case(I34, 1)], "std_mean": [case(R34, 1)], "var_mean": [case(R34), case(R34, 0)],
    "cov": [case(R34), case(R4), case(R34, correction=0)], "corrcoef": [case(R34)],
    "dist": [case(R34, real(3, 4)), case(R34, real(3, 4), 3.0)], "renorm": [case(R34, 2.0, 0, 1.0)],
    "msort": [case(distinct(3, 4))], "kthvalue": [case(distinct(3, 4), 2), case(distinct(3, 4), 1, 0, True)],
    "cumprod": [case(R34, 1), case(I34, 0)], "logcumsumexp": [case(R34, 1), case(R34 * 300, 0)],
    "diff": [case(R34), case(R34, 2, 0), case(R34, 1, 1, real(3, 1)), case(B34)],
    "trapezoid": [case(R34), case(R34, dx=0.5, dim=0), case(R34, R4)], "trapz": [case(R34)],
    "cumulative_trapezoid": [case(R34), case(R34, R4)],
    # products
    "addmm": [case(real(3, 2), R34, real(4, 2), beta=0.5, alpha=2)], "addmv": [case(real(3), R34, R4)],
    "addr": [case(R34, real(3), R4)], "baddbmm": [case(real(2, 3, 5), R234, real(2, 4, 5))],
    "addbmm": [case(real(3, 5), R234, real(2, 4, 5), alpha=0.5)],
    "inner": [case(R34, real(2, 4)), case(R4, real(4))],
    "tensordot": [case(R234, real(3, 4, 2), 2), case(R34, real(2, 3), dims=([0], [1]))],
    "vdot": [case(R4, real(4))], "kron": [case(R34, real(2, 1)), case(R4, R34)],
    "cross": [case(real(4, 3), real(4, 3), dim=1)],
    "matrix_power": [case(SQUARE, n) for n in (1, 2, 5)],
    "cdist": [case(R34, real(2, 4)), case(R234, real(2, 5, 4), 1.0)], "vander": [],
    "ger": [case(R4, real(3))],
}  # fmt: skip
