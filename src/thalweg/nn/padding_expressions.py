"""What padding computes: a number at the edges, or entries of the input itself, mirrored, repeated or from the far end.

In: a node, and (low, high) for the last axis, then for the one before it, and so on. Out: the larger node (negative
widths cut off). Only movements: the compiler reads each entry where it lies.
"""

from __future__ import annotations

from collections.abc import Callable

from thalweg import ops
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node
from thalweg.tensor import shaping
from thalweg.tensor.arithmetic import expand_to
from thalweg.tensor.shaping import take_range

Ints = tuple[int, ...]
Fill = Callable[[Node, int, int, int], tuple[Node, Node]]


def pad(x: Node, pad: Ints, mode: str, value: float) -> Node:
    if mode == "constant":
        return shaping.pad(x, pad, value)
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ShapeError(
            explain(
                "pad takes (low, high) pairs", received=pad, expected=f"at most {x.ndim} pairs, the last axis first"
            )
        )
    for number in range(len(pad) // 2):
        x = _along(x, x.ndim - 1 - number, pad[2 * number], pad[2 * number + 1], mode)
    return x


def _along(x: Node, axis: int, low: int, high: int, mode: str) -> Node:
    """One axis; what is to be cut off goes first."""
    if min(low, high) < 0:
        x = take_range(x, axis, max(0, -low), max(max(0, -low), x.shape[axis] + min(0, high)))
    low, high = max(0, low), max(0, high)
    _check_widths(x, axis, low, high, mode)
    before, after = _FILLS[mode](x, axis, low, high)
    parts = [part for part, width in ((before, low), (x, 1), (after, high)) if width]
    return ops.concatenate(*parts, axis=axis) if len(parts) > 1 else x


def _check_widths(x: Node, axis: int, low: int, high: int, mode: str) -> None:
    """A mirror shows each entry once, and not the one it stands on; the far end has no more than all entries."""
    extent = x.shape[axis]
    most = {"reflect": extent - 1, "replicate": max(low, high) if extent else 0, "circular": extent}[mode]
    if max(low, high) > most:
        raise ShapeError(
            explain(
                f"pad: mode {mode!r} has no entries for that width",
                received=f"widths {low} and {high} on axis {axis} of shape {x.shape}",
                expected=f"at most {most}",
                remedy="narrower padding, or mode='replicate', which repeats the last entry",
            )
        )


def _mirrored(x: Node, axis: int, low: int, high: int) -> tuple[Node, Node]:
    extent = x.shape[axis]
    before, after = take_range(x, axis, 1, low + 1), take_range(x, axis, extent - 1 - high, extent - 1)
    return ops.flip(before, axes=(axis,)), ops.flip(after, axes=(axis,))


def _repeated(x: Node, axis: int, low: int, high: int) -> tuple[Node, Node]:
    extent = x.shape[axis]
    ends = (take_range(x, axis, 0, 1), low), (take_range(x, axis, extent - 1, extent), high)
    before, after = (expand_to(end, (*x.shape[:axis], width, *x.shape[axis + 1 :])) for end, width in ends)
    return before, after


def _from_the_far_end(x: Node, axis: int, low: int, high: int) -> tuple[Node, Node]:
    return take_range(x, axis, x.shape[axis] - low, x.shape[axis]), take_range(x, axis, 0, high)


_FILLS: dict[str, Fill] = {"reflect": _mirrored, "replicate": _repeated, "circular": _from_the_far_end}
PAD_MODES = ("constant", *_FILLS)
