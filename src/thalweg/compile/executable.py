"""From a program to something that can be called with arrays: the passes, native code, and the cache of both.

In: a `Program`. Out: an `Executable` that runs it: natively where every primitive can be emitted, otherwise by the
NumPy meaning. Equal structures share one executable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from thalweg.compile import inside, native
from thalweg.compile.availability import runs_machine_code
from thalweg.compile.inside.debug import settings, watch
from thalweg.compile.layout import Layout
from thalweg.compile.passes import run_passes
from thalweg.compile.program import Program
from thalweg.compile.reference import evaluate
from thalweg.compile.target import current_name
from thalweg.graph import make_input, substitute

if TYPE_CHECKING:
    from thalweg.compile.inside.explanation import ProgramExplanation


class Executable:
    """A program that can be called with arrays."""

    def __init__(self, program: Program) -> None:
        program = _with_own_inputs(program)
        self.program = program
        is_meant = not runs_machine_code()
        with watch() as self.seconds:
            self.outputs = list(program.outputs) if is_meant else run_passes(program.outputs)
            self.native = None if is_meant else native.build(program.inputs, self.outputs, dict(program.writes))
        if settings.validate and self.native is not None:
            self.native.walk_by(inside.validate.ValidatedStep(self.native))
        if settings.level:
            inside.report.report(self.native, self.outputs, self.seconds)

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
        results = [_apart(each, destinations) for each in self.interpret(arrays)]
        for index, array in destinations.items():
            np.copyto(array, results[index])
            results[index] = array
        return results

    def interpret(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same by the NumPy meaning of each primitive."""
        known = dict(zip(self.program.inputs, arrays, strict=True))
        return evaluate(self.program.outputs, known)


def _apart(result: np.ndarray, destinations: Mapping[int, np.ndarray]) -> np.ndarray:
    """A result that shows a cell's old value, as a copy: the cell is about to be overwritten."""
    is_shown = any(np.may_share_memory(result, array) for array in destinations.values())
    return result.copy() if is_shown else result


def layout_of(program: Program) -> Layout:
    """The kernels of a program and where its values lie, before any code is generated."""
    own = _with_own_inputs(program)
    return Layout(own.inputs, run_passes(own.outputs), dict(own.writes))


def explain_program(
    program: Program, name: str, known: Mapping[int, np.ndarray], stages: Mapping[str, float]
) -> ProgramExplanation:
    """What a native program consists of and where its time goes.

    `known` maps inputs to arrays, which are copied; the others get numbers of no importance. The program is lowered
    again, so that the lines are those of whoever asks, not of whoever compiled an equal program first.
    """
    layout = layout_of(program)
    arrays, destinations = inside.report.stand_ins(layout, known)
    lowered = native.NativeProgram(layout, native.modules_of(layout))
    return inside.explanation.ProgramExplanation(name, lowered, arrays, destinations, stages)


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
    """The executable of that structure, compiled at most once for each target."""
    with _lock:
        key = (program.key, current_name(), settings.validate)
        found = _cache.get(key)
        if found is None:
            found = _cache[key] = Executable(program)
        return found


def compiled_count() -> int:
    """How many programs have been compiled: a number that tests hold down."""
    return len(_cache)


# --- time for memory ------------------------------------------------------------------------------------------------


def least_within(limit: int, program: Program, made: Callable[[int], Program], most: int) -> Program:
    """The program with the fewest segments whose arena fits; the one that needs least if none does.

    `made(n)` is the program in n segments, of which `most` are worth it.
    """
    found = [(_room(program), program)]
    segments = 2
    while found[-1][0] > limit and segments <= most:
        candidate = made(segments)
        found.append((_room(candidate), candidate))
        segments = most if segments < most < 2 * segments else 2 * segments
    return found[-1][1] if found[-1][0] <= limit else min(found, key=lambda each: each[0])[1]


def _room(program: Program) -> int:
    layout = layout_of(program)
    return layout.arena + layout.scratch
