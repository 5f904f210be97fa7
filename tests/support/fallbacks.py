"""The programs that run by their NumPy meaning, on purpose: the whole list, so that a new one fails a test.

In: nothing. Out: for each primitive, layer and function of tensors that has no native form, the dtypes for which it has
none. An entry that has become native fails, too: take it out.
"""

from __future__ import annotations

FLOATS = frozenset({"float32", "float64"})

# None: everything is native.
PRIMITIVES: dict[str, frozenset[str]] = {}


def is_native(primitive: str, dtype: str) -> bool:
    """Whether a program of this primitive on values of this dtype is expected to be native."""
    return dtype not in PRIMITIVES.get(primitive, ())


# Layers, and functions of `thalweg.nn.functional`, whose compiled steps run on NumPy.
MODULES: frozenset[str] = frozenset()
FUNCTIONALS: frozenset[str] = frozenset()

# Functions and methods of tensors of which some form runs on NumPy.
FUNCTIONS: frozenset[str] = frozenset()
