"""How the work of a kernel is cut into pieces that threads claim.

In: how many cycles a kernel takes, and how many units it could be cut into. Out: how many units make a piece. That
depends on the kernel alone, never on threads; and no sum is cut, so that no bit depends on it either.
"""

from __future__ import annotations

from dataclasses import dataclass

# A piece should take far longer than claiming it (0.1 us) and than waiting for the last thread to end its own (0.3 us).
_CYCLES = 20_000
_MOST = 64


@dataclass(frozen=True)
class Pieces:
    """`count` pieces of `size` units each, the last of what is left of `units`."""

    units: int
    size: int

    @property
    def count(self) -> int:
        return -(-self.units // self.size)


def wanted_pieces(cycles: float) -> int:
    """Into how many pieces so much work should be cut: an even number, so that two threads end together."""
    return min(_MOST, even(int(cycles / _CYCLES)))


def even(pieces: int) -> int:
    """One piece, or the next even number of them.

    >>> [even(each) for each in (0, 1, 2, 3)]
    [1, 1, 2, 4]
    """
    return pieces + pieces % 2 if pieces > 1 else 1


def largest_divisor(extent: int, most: int) -> int:
    """The largest divisor of an extent that is not more than `most`.

    >>> [largest_divisor(48, most) for most in (0, 7, 20, 100)]
    [1, 6, 16, 48]
    """
    return next((each for each in range(min(extent, most), 1, -1) if extent % each == 0), 1)


def cut(units: int, pieces: int) -> Pieces:
    """At most so many pieces of equal size.

    >>> cut(10, 4), cut(10, 4).count
    (Pieces(units=10, size=3), 4)
    """
    return Pieces(units, max(1, -(-units // max(pieces, 1))))


WHOLE = Pieces(1, 1)
