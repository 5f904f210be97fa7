"""Rows of `function_table` for what orders, counts and combines entries, and for the error function's relatives.

In: nothing. Out: `ORDERING_ROWS`, name -> cases, and `COMBINED`, cases of `scatter_reduce`. Names without cases
answer with a bool or a number of Python; test_counting.py has them.
"""

from __future__ import annotations

import numpy as np

from tests.tensor.cases import Case, case, flat

rng = np.random.default_rng(29)
R34, S34 = rng.uniform(-2, 2, (3, 4)), rng.uniform(-2, 2, (3, 4))
W34 = rng.integers(0, 4, (3, 4))
TIES = W34.astype(np.float64)
HALVES = TIES + 0.5
WITH_NAN = np.where(R34 > 1, np.nan, R34)
PLACES = rng.integers(0, 3, (3, 4))
MASK = R34 > 0
ROW = np.array([1.0, 1.0, 3.0, 2.0, 2.0, 2.0])

COMBINED = [
    case(start, 0, PLACES, entries, reduce, include_self=included)
    for reduce in ("sum", "prod", "mean", "amax", "amin")
    for included in (True, False)
    for start, entries in ((R34, S34), (W34 + 7, W34), (HALVES if not included else TIES, TIES))
]
indexed = [
    case(R34, 1, np.array([2, 0, 2]), S34[:, :3], reduce, include_self=included)
    for reduce in ("prod", "mean", "amax", "amin")
    for included in (True, False)
]
running = [case(R34, 1), case(R34, dim=0), case(TIES, -1), case(W34, 0), flat(WITH_NAN, 1), case(np.array(2.0), 0)]
parts = [
    case(R34, 0.3), case(R34, 0.5, 1, True), case(R34, 0.25, dim=0), case(WITH_NAN, 0.4, dim=1),
    *(case(R34, 0.4, dim=1, interpolation=way) for way in ("lower", "higher", "nearest", "midpoint")),
]  # fmt: skip

ORDERING_ROWS: dict[str, list[Case]] = {
    "index_reduce": indexed,
    "put": [case(R34, np.array([0, 5, -1]), ROW[:3]), case(R34, np.array([0, 5, 0]), ROW[:3], accumulate=True)],
    "masked_scatter": [case(R34, MASK, S34), case(R34, MASK[:, :1], S34), case(W34, MASK, W34)],
    "cummax": running, "cummin": running,
    "mode": [case(W34[:1]), case(W34[:1], 1, True), case(np.array([2, 1, 2, 1, 0]))],
    "quantile": parts, "nanquantile": parts,
    "nanmedian": [case(R34), case(R34, 1), case(WITH_NAN), case(W34, 0, True)],
    "erfc": [case(R34), case(np.array([5.0, 20.0])), case(W34)],
    "erfinv": [case(R34 * 0.49), case(np.array([0.999, -0.5]))],
    "argwhere": [case(TIES), case(MASK), case(np.array(3.0))],
    "unique": [case(W34), flat(TIES, return_inverse=True, return_counts=True), case(W34[:, :2], dim=0)],
    "unique_consecutive": [flat(ROW), flat(ROW, return_inverse=True, return_counts=True), case(W34, dim=1)],
    "bincount": [case(W34[0]), case(W34[0], minlength=7), case(W34[0][:0])],
    "histc": [flat(R34, 4, -1, 1), flat(R34, 5)],
    "clone": [case(R34)],
    **{name: [] for name in ("masked_select", "allclose", "equal", "is_nonzero", "is_same_size", "numel",
                             "is_floating_point")},
}  # fmt: skip
