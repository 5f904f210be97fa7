"""The functions of `tw.*` that come from the tables of `methods.py`, by name; `functions.pyi` tells type checkers.

In: the tables. Out: one function for each entry. The stub is written from the tables by
`python -m tests.support.declarations`, and a test compares them.
"""

from thalweg.tensor.methods import functions as _functions

__all__ = [*_functions]
globals().update(_functions)
