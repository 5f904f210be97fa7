"""From LLVM text to machine code that can be called: the passes that are worth their time, code generation, linking.

In: the text of a module, the name of a function in it. Out: its address, with what must be kept alive while it is
called; or its assembly, to be looked at. One text at a time, but for code generation, which is most of the time: texts
that have contexts of their own go through it side by side.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
from collections.abc import Callable, Sequence
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
    return images_of([text])[0]


def images_of(texts: Sequence[str]) -> list[bytes]:
    """The object code of each text, each in a thread; what a text becomes does not depend on the others."""
    target = current_target()
    refuse_foreign(target)
    with _lock:
        machines = [target.machine() for _ in texts]
        with stage("LLVM"):
            modules = [_optimised(*each) for each in zip(texts, machines, strict=True)]
        with stage("code"):
            return _side_by_side(_image, list(zip(machines, modules, strict=True)))


def _side_by_side(make: Callable[..., bytes], given: Sequence[tuple[Any, ...]]) -> list[bytes]:
    """`make(*each)` for all that is given, the first here and each other one in a thread of its own."""
    results: list[Any] = [None] * len(given)

    def work(place: int) -> None:
        try:
            results[place] = make(*given[place])
        except BaseException as error:  # raised below, where somebody hears of it
            results[place] = error

    threads = [threading.Thread(target=work, args=(place,)) for place in range(1, len(given))]
    for each in threads:
        each.start()
    work(0)
    for each in threads:
        each.join()
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return results


def _image(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)` without llvmlite's lock, which lets one thread at a time into all of LLVM.

    LLVM asks only that threads share no context (its Programmer's Manual, "Achieving Isolation with LLVMContext").
    Where llvmlite looks different inside, its own function is used, and threads wait.
    """
    import llvmlite.binding as llvm

    library = llvm.ffi.lib
    emit = getattr(library.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if emit is None:
        locked: bytes = machine.emit_object(module)
        return locked
    with llvm.ffi.OutputString() as problem:
        buffer = emit(machine, module, 1, problem)
        if not buffer:
            raise RuntimeError(str(problem))
    try:
        return ctypes.string_at(library.LLVMPY_GetBufferStart(buffer), library.LLVMPY_GetBufferSize(buffer))
    finally:
        library.LLVMPY_DisposeMemoryBuffer(buffer)


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
    """The parsed module after the passes, in a context of its own."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text, llvm.create_context())
    module.verify()
    manager = llvm.create_new_module_pass_manager()
    for name in _PASSES:
        getattr(manager, f"add_{name}_pass")()
    manager.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2)))
    return module
