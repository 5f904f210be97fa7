"""What compiled steps are told: that their meaning may have changed, and that somebody took hold of one of their cells.

In: changes of modes, flags and bindings; reads and writes of tensors. Out: two numbers that a step compares with those
it has seen, so that it looks at everything again only when there is something to be seen.
"""

from __future__ import annotations

from typing import Any

# What compiled steps know of a cell: none holds it by its address; one does, and is told when somebody takes hold of it
# or puts another in its place; or one has also found that nobody else holds it, so that it may be written in place.
FREE, WATCHED, OWNED = range(3)


class Version:
    """Raised by whatever can change the meaning of a compiled step: modes, `requires_grad`, rebinding."""

    number = 0


def bump_version() -> None:
    Version.number += 1


class Touches:
    """Raised when someone reads or rebinds a cell that a compiled step holds by its address."""

    number = 0


def release(tensor: Any) -> None:
    """Somebody else may hold the cell's value from now on: compiled steps must look before they write in place."""
    tensor._bound = FREE
    Touches.number += 1
