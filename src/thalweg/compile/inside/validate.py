"""THALWEG_VALIDATE=1: every kernel of every native run is compared with the NumPy meaning of its operations.

In: a native program and its tables. Out: the program's results, or a `ValidationError` that names the kernel, its
operations, the lines they come from, and the entry that is furthest off. Inputs of a kernel are what native code made,
so that an error is found where it arises.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import numpy as np

from thalweg.compile.fuse import Kernel, is_number
from thalweg.compile.inside.listing import extent_of, names_of, operations_of, sources_of
from thalweg.compile.inside.variants import run_rows
from thalweg.compile.modules import arguments_of
from thalweg.compile.native import NativeProgram, Table
from thalweg.compile.reference import evaluate
from thalweg.compile.runtime import STATUS
from thalweg.errors import ValidationError, explain
from thalweg.graph import Node, describe

# |a - b| <= tolerance * max|b| over one tensor.
_TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
_SLACK = 64  # times what float32 and float64 differ by, where a result is the small rest of large numbers


class ValidatedStep:
    """What stands in the place of a program's walk: row by row on the same table, with a look at each kernel."""

    def __init__(self, native: NativeProgram) -> None:
        self.native = native
        self.names = names_of(native.layout)
        self.checked = 0  # kernels so far: a number for tests

    def __call__(self, address: int) -> None:
        """One step on the table that lies there."""
        table = self.native.new_table()
        size = ctypes.sizeof(table.words)
        ctypes.memmove(table.words, address, size)
        self._kernels(table)
        ctypes.memmove(address, table.words, size)

    def _kernels(self, table: Table) -> None:
        layout = self.native.layout
        for number, kernel in enumerate(layout.kernels):
            if number == layout.checks and table.words[STATUS]:
                return
            self._run(number, kernel, table)
        if not table.words[STATUS]:
            run_rows(self.native, table, len(layout.kernels), len(self.native.rows) - len(layout.kernels))

    def _run(self, number: int, kernel: Kernel, table: Table) -> None:
        """One kernel; the meaning gets copies of its inputs, because it may overwrite them."""
        wanted = [node for node in arguments_of(kernel)[len(kernel.outputs) :] if not is_number(node)]
        known = {node: self._memory(node, table).copy() for node in wanted}
        run_rows(self.native, table, number, 1)
        if table.words[STATUS]:
            return  # bad data: the step ends before anything is written
        for node in kernel.outputs:
            fault = difference(node, self._memory(node, table), known)
            if fault:
                raise _error(kernel, self.names[number], node, fault)
        self.checked += 1

    def _memory(self, node: Node, table: Table) -> np.ndarray:
        """The entries of a value, wherever they lie."""
        start, size = table.words[self.native.slot_of(node)], node.size * node.dtype.itemsize
        if not size:
            return np.empty(node.shape, node.dtype.numpy)
        return np.frombuffer((ctypes.c_char * size).from_address(start), node.dtype.numpy).reshape(node.shape)


def difference(node: Node, found: np.ndarray, known: Mapping[Node, np.ndarray]) -> str:
    """What is wrong with a value that was computed natively from known inputs; nothing if it is right."""
    with np.errstate(all="ignore"):
        (meant,) = evaluate([node], known)
        if not node.dtype.is_floating_point:
            return "" if np.array_equal(found, meant) else _worst(found, meant, found != meant)
        allowed = _TOLERANCE[node.dtype.name] * _largest(meant)
        off = _distance(found, meant)
        if not (off > allowed).any():
            return ""
        (exact,) = evaluate([node], {leaf: _wider(array) for leaf, array in known.items()})
        allowed += _SLACK * float(np.max(_distance(meant, exact), initial=0.0))
        return _worst(found, meant, off) if (off > allowed).any() else ""


def _wider(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    return array.astype(np.longdouble if array.dtype == np.float64 else np.float64)


def _largest(x: np.ndarray) -> float:
    return float(np.max(np.abs(x), where=np.isfinite(x), initial=0.0))


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b|; none where both are the same infinity or both are NaN, infinite where only one is."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _worst(found: np.ndarray, meant: np.ndarray, off: np.ndarray) -> str:
    place = tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
    return (
        f"{found[place]!r} at {list(place)}, where NumPy gives {meant[place]!r}; {int((off > 0).sum())} entries differ"
    )


def _error(kernel: Kernel, name: str, node: Node, fault: str) -> ValidationError:
    return ValidationError(
        explain(
            f"kernel {name} does not compute what its operations mean",
            received=fault,
            expected=f"{node.op.name} {describe(node.shape, node.dtype)}, over {extent_of(kernel)}: "
            + operations_of(kernel),
            where="; ".join(sources_of(kernel)) or None,
            remedy="this is a mistake in Thalweg: please report it with the loop text that THALWEG_DEBUG=3 prints",
        )
    )
