"""An extent cut into pieces of at most two sizes, as strips and panels of a product are: in plans and in code.

In: an extent and how it is to be cut. Out: `Runs`; and for a piece whose number is only known when the program runs, in
the emitter's words, its extent, where it begins, and the code for each extent that it may have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from thalweg.compile.emitter import Emitter
from thalweg.compile.values import Extent, Value

Runs = Sequence[tuple[int, int]]  # (extent, how many such pieces follow each other): at most two


def nearly_equal(extent: int, count: int) -> list[tuple[int, int]]:
    """So many pieces that differ by one at most, the longer first.

    >>> nearly_equal(10, 4), nearly_equal(8, 4)
    ([(3, 2), (2, 2)], [(2, 4)])
    """
    low, tall = divmod(extent, count)
    return [run for run in ((low + 1, tall), (low, count - tall)) if run[1]]


def whole_and_rest(extent: int, size: int) -> list[tuple[int, int]]:
    """Pieces of that size, then what is left.

    >>> whole_and_rest(10, 4), whole_and_rest(8, 4)
    ([(4, 2), (2, 1)], [(4, 2)])
    """
    whole, rest = divmod(extent, size)
    return [run for run in ((size, whole), (rest, 1)) if all(run)]


def extent_at(e: Emitter, runs: Runs, index: Value) -> Extent:
    """The extent of piece `index`."""
    if len(runs) == 1:
        return runs[0][0]
    (extent, count), (other, _) = runs
    return e.select(e.compare("less", index, e.integer(count)), e.integer(extent), e.integer(other))


def begin_of(e: Emitter, runs: Runs, index: Value) -> Value:
    """Where piece `index` begins, if the second size is one less than the first or that of a single piece."""
    (extent, count), *others = runs
    begin = e.multiply(index, e.integer(extent))
    if not others or others[0][1] == 1:
        return begin
    return e.subtract(begin, e.maximum(e.integer(0), e.subtract(index, e.integer(count))))


def choices(e: Emitter, runs: Runs, index: Value) -> list[tuple[int, Callable[[], AbstractContextManager[None]]]]:
    """(extent, where the code for it stands) for each extent that piece `index` may have."""
    if len(runs) == 1:
        return [(runs[0][0], nullcontext)]
    is_first = e.compare("less", index, e.integer(runs[0][1]))
    return [(runs[0][0], lambda: e.when(is_first)), (runs[1][0], lambda: e.when(e.invert(is_first)))]
