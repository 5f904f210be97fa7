"""From LLVM text to machine code that can be called: the passes that are worth their time, code generation, linking.

In: the text of a module, the name of a function in it. Out: its address, with what must be kept alive while it is
called; or its assembly, to be looked at. LLVM is not re-entrant, so one text at a time.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Sequence
from typing import Any

from thalweg.compile.inside.debug import stage
from thalweg.compile.target import Target, current_target, refuse_foreign

_lock = threading.Lock()
_numbers = itertools.count()

# What the emitter leaves to LLVM: local variables become registers, instructions that come to one become one. Loops are
# vectorised, blocked and turned already, indices are sums of few registers, and the code generator hoists, shares and
# strength-reduces addresses by itself. It takes a fifteenth of the time of the O2 pipeline, and steps run as fast.
_PASSES = ("sroa", "instruction_combine")


def load(text: str, function: str) -> tuple[object, int]:
    """Compile and link a module: what must be kept, and the address of the function."""
    kept, addresses = link(image_of(text), [function])
    return kept, addresses[0]


def image_of(text: str) -> bytes:
    """The object code of a module for the current target."""
    target = current_target()
    refuse_foreign(target)
    with _lock:
        machine = target.machine()
        with stage("LLVM"):
            module = _optimised(text, machine)
        with stage("code"):
            image: bytes = machine.emit_object(module)
            return image


@functools.cache
def versions() -> tuple[str, ...]:
    """What decides what a text becomes, besides the target. The text itself changes with whatever writes it."""
    import llvmlite
    import llvmlite.binding as llvm

    return llvmlite.__version__, ".".join(map(str, llvm.llvm_version_info)), *_PASSES


def link(image: bytes, functions: Sequence[str]) -> tuple[object, list[int]]:
    """Put object code where it can run: what must be kept, and the addresses of its functions."""
    import llvmlite.binding as llvm

    with _lock, stage("link"):
        builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        for each in functions:
            builder.export_symbol(each)
        engine = _engine(current_target())
        tracker = builder.link(engine, f"library{next(_numbers)}")
        return (engine, tracker), [tracker[each] for each in functions]


@functools.cache
def _engine(target: Target) -> Any:
    import llvmlite.binding as llvm

    return llvm.create_lljit_compiler(target.machine(), use_jit_link=False, suppress_errors=False)


def assembly(text: str, target: Target | None = None) -> str:
    """The assembly of the machine code that `load` would make."""
    with _lock:
        machine = (target or current_target()).machine()
        listing: str = machine.emit_assembly(_optimised(text, machine))
        return listing


def _optimised(text: str, machine: Any) -> Any:
    """The parsed module after the passes."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.verify()
    manager = llvm.create_new_module_pass_manager()
    for name in _PASSES:
        getattr(manager, f"add_{name}_pass")()
    manager.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2)))
    return module
