"""From LLVM text to machine code that can be called: the passes that are worth their time, code generation, linking.

In: the text of a module, the name of a function in it. Out: its address, with what must be kept alive while it is
called; or its assembly, to be looked at. LLVM is not re-entrant, so one text at a time.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.compile.cache import cache, key_of
from thalweg.compile.inside.debug import stage
from thalweg.compile.modules import Module
from thalweg.compile.runtime import runtime_text
from thalweg.compile.target import Target, compiling_for, current_name, current_target, refuse_foreign

_lock = threading.Lock()
_numbers = itertools.count()

# What the emitter leaves to LLVM: local variables become registers, loops are turned so that they test at their end,
# arithmetic on indices is made simple. Loops are vectorised and blocked already, and the code generator hoists, shares
# and strength-reduces addresses by itself. It takes a sixth of the time of the O2 pipeline, and steps run as fast.
_PASSES = ("sroa", "simplify_cfg", "loop_rotate", "instruction_combine")


def load(text: str, function: str) -> tuple[object, int]:
    """Compile and link a module: what must be kept, and the address of the function."""
    kept, addresses = link(image_of(text), [function])
    return kept, addresses[0]


def image_of(text: str) -> bytes:
    """The object code of a module for the current target: from the cache on disk, or compiled and left there."""
    target, store = current_target(), cache()
    refuse_foreign(target)
    if store is None:
        return _compiled(text, target)
    key = key_of(text, repr(target), *_versions())
    image = store.get(key)
    if image is None:
        image = _compiled(text, target)
        store.put(key, image)
    return image


def _compiled(text: str, target: Target) -> bytes:
    with _lock:
        machine = target.machine()
        with stage("LLVM"):
            module = _optimised(text, machine)
        with stage("code"):
            image: bytes = machine.emit_object(module)
        _compiled_count[0] += 1
        return image


def compiled_kernels() -> int:
    """How many modules this process has compiled, rather than found in the cache on disk."""
    return _compiled_count[0]


_compiled_count = [0]


@functools.cache
def _versions() -> tuple[str, ...]:
    """What else decides what a text becomes. The text itself changes with whatever writes it."""
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


# --- what programs share ---------------------------------------------------------------------------------------------

_entries: dict[tuple[str, Module], tuple[object, int]] = {}


def entry_of(module: Module) -> int:
    """The address of a kernel's function; it is compiled once in a process."""
    key = current_name(), module
    if key not in _entries:
        _entries[key] = load(module.text, module.symbol)
    return _entries[key][1]


@dataclass(frozen=True)
class Shared:
    """The functions of `runtime`, as Python calls them or by their addresses."""

    alone: Callable[[int], None]
    timed: Callable[[int], None]
    lead: Callable[[int, int], None]
    serve: Callable[[int, int, int], int]
    copy: int
    take: int
    keep: int
    watch: int
    kept: object


def shared() -> Shared:
    """The runtime of the current target."""
    return _shared(current_name())


@functools.cache
def _shared(name: str) -> Shared:
    with compiling_for(name) as target:
        text = runtime_text(target.triple.partition("-")[0], target.clock)
        names = ["alone", "timed", "lead", "serve", "copy", "take", "keep", "watch"]
        kept, (alone, timed, lead, serve, copy, take, keep, watch) = link(image_of(text), names)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    return Shared(
        ctypes.CFUNCTYPE(None, pointer)(alone),
        ctypes.CFUNCTYPE(None, pointer)(timed),
        ctypes.CFUNCTYPE(None, pointer, pointer)(lead),
        ctypes.CFUNCTYPE(number, pointer, number, number)(serve),
        copy,
        take,
        keep,
        watch,
        kept,
    )


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
