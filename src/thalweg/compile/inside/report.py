"""What THALWEG_DEBUG prints about a program that has just been compiled.

In: an executable's native program, the stages of its compilation and a name. Out: text on the stream of `debug`, as
much as the level asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.compile.codegen import assembly
from thalweg.compile.inside.debug import ASSEMBLY, KERNELS, LLVM, LOOPS, settings, tell
from thalweg.compile.inside.explanation import ProgramExplanation, told
from thalweg.compile.inside.listing import names_of, print_kernels
from thalweg.compile.layout import Layout
from thalweg.compile.native import NativeProgram
from thalweg.dtype import DType
from thalweg.graph import Node, toposort


def report(native: NativeProgram | None, outputs: Sequence[Node], stages: Mapping[str, float]) -> None:
    """Everything that the level asks for."""
    name = settings.name or "pending values"
    if native is None:
        tell(f"thalweg: {name}: {len(toposort(outputs))} nodes, run by their NumPy meaning")
        return
    tell(summary(name, native.layout, outputs, stages))
    if settings.level >= KERNELS:
        arrays, destinations = stand_ins(native.layout)
        tell(str(ProgramExplanation(name, native, arrays, destinations, {})))
    if settings.level >= LOOPS:
        tell(print_kernels(native.layout))
    if settings.level >= LLVM:
        tell(native.text)
    if settings.level >= ASSEMBLY:
        tell("\n".join(assembly(module.text) for module in native.modules))


def summary(name: str, layout: Layout, outputs: Sequence[Node], stages: Mapping[str, float]) -> str:
    """One line about a program."""
    distinct = len(set(names_of(layout)))
    return (
        f"thalweg: {name}: {len(layout.inputs)} inputs, {len(outputs)} outputs, {len(toposort(outputs))} nodes, "
        f"{len(layout.kernels)} kernels ({distinct} distinct), arena {layout.arena} B, scratch {layout.scratch} B, "
        f"compiled in {told(stages)}"
    )


def stand_ins(layout: Layout, known: Mapping[int, np.ndarray] | None = None) -> tuple[list[np.ndarray], dict[int, Any]]:
    """Arrays to run a program on without touching anybody's: copies of those that are known, for the others numbers
    that are positions of something and divide nothing by zero; and where the program writes its cells."""
    known = known or {}
    generator = np.random.default_rng(0)
    arrays = [
        np.array(known[i], order="C") if i in known else _some(generator, node.shape, node.dtype)
        for i, node in enumerate(layout.inputs)
    ]
    return arrays, {output: arrays[cell] for output, cell in layout.writes.items()}


def _some(generator: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    if dtype.is_floating_point:
        return np.asarray(generator.uniform(0.1, 1.0, shape)).astype(dtype.numpy)
    return np.zeros(shape, dtype.numpy)
