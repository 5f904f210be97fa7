"""What type checkers are told of `Tensor`: the methods that come from tables, in `declared.pyi` beside this file.

In: nothing. Out: a class without anything, from which `Tensor` is derived. The stub is
written from the tables by `python -m tests.support.declarations`, and a test compares them.
"""


class Declared:
    """Stands for the methods that `thalweg.tensor.methods` adds to `Tensor`."""

    __slots__ = ()
