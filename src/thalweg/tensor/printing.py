"""How a tensor's numbers read.

In: an array. Out: NumPy's layout with four digits and commas, in scientific notation where the numbers are far apart or
far from 1; long arrays are shortened in the middle.
"""

from __future__ import annotations

import numpy as np


def format_array(array: np.ndarray) -> str:
    with np.printoptions(precision=4, suppress=bool(array.size and _is_tame(array)), threshold=1000, edgeitems=3):
        return np.array2string(array, separator=", ", prefix="tensor(")


def _is_tame(array: np.ndarray) -> bool:
    if array.dtype.kind != "f":
        return True
    finite = np.abs(array[np.isfinite(array) & (array != 0)])
    return not finite.size or (finite.max() < 1e5 and finite.min() > 1e-4)
