"""A program to be compiled: its inputs, its outputs, and which inputs it overwrites.

In: nodes. Out: a `Program`, and an `Executable` that runs it: natively where every primitive can be emitted, otherwise
by the NumPy meaning. Equal structures share one executable.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from thalweg.compile import native
from thalweg.compile.passes import run_passes
from thalweg.compile.reference import evaluate
from thalweg.graph import Node, make_input, structure_key, substitute, toposort


@dataclass(frozen=True, eq=False)
class Program:
    """`writes` holds pairs (output, input): that output is the new value of the cell which that input reads."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    writes: tuple[tuple[int, int], ...] = ()

    @cached_property
    def key(self) -> Hashable:
        return (structure_key(self.outputs, self.inputs), self.writes)


class Executable:
    """A program that can be called with arrays."""

    def __init__(self, program: Program) -> None:
        program = _with_own_inputs(program)
        self.program = program
        # A loop is run by its NumPy meaning until the passes know primitives of several results.
        has_loop = any(node.op.multiple for node in toposort(program.outputs))
        self.outputs = list(program.outputs) if has_loop else run_passes(program.outputs)
        self.native = None if has_loop else native.build(program.inputs, self.outputs, dict(program.writes))

    @property
    def is_native(self) -> bool:
        return self.native is not None

    def __call__(
        self, arrays: Sequence[np.ndarray], destinations: Mapping[int, np.ndarray] | None = None
    ) -> list[np.ndarray]:
        """The values of all outputs; one that has a destination is written there, the rest are new arrays."""
        destinations = destinations or {}
        if self.native is not None:
            results = self.native(arrays, destinations)
            if results is not None:
                return results
            # The native program met bad data and changed nothing; the NumPy meaning raises the error for it.
        results = self.interpret(arrays)
        for index, array in destinations.items():
            np.copyto(array, results[index])
            results[index] = array
        return results

    def interpret(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same by the NumPy meaning of each primitive."""
        known = dict(zip(self.program.inputs, arrays, strict=True))
        return evaluate(self.program.outputs, known)


def _with_own_inputs(program: Program) -> Program:
    """Inputs that are leaves: a pending value's graph goes on behind a known node, where no pass may look.

    It also keeps the cache from holding on to the values of whoever came first.
    """
    inputs = tuple(make_input(node.shape, node.dtype) for node in program.inputs)
    outputs = substitute(program.outputs, dict(zip(program.inputs, inputs, strict=True)))
    return Program(inputs, tuple(outputs), program.writes)


_cache: dict[Hashable, Executable] = {}
_lock = threading.Lock()


def executable_for(program: Program) -> Executable:
    """The executable of that structure, compiled at most once."""
    with _lock:
        found = _cache.get(program.key)
        if found is None:
            found = _cache[program.key] = Executable(program)
        return found


def compiled_count() -> int:
    """How many programs have been compiled: a number that tests hold down."""
    return len(_cache)
