"""The machine code that all programs of a process share: kernels, and the functions that walk through rows of them.

In: modules of kernels. Out: their addresses. What is in no program yet comes from the cache on disk, and what is not
there either is compiled: all that one program lacks together, since LLVM takes as long to begin as for a small kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thalweg.compile.cache import CodeCache, cache, key_of
from thalweg.compile.codegen import image_of, images_of, link, versions
from thalweg.compile.cores import get_num_threads
from thalweg.compile.looping import loop_text
from thalweg.compile.modules import Module
from thalweg.compile.runtime import flushing_mode, runtime_text
from thalweg.compile.target import compiling_for, current_name, current_target

_entries: dict[tuple[str, Module], int] = {}
_groups: dict[str, dict[str, int]] = {}  # of modules that were compiled together: the address of each symbol
_kept: list[object] = []
_lock = threading.RLock()
_compiled = [0]
_FORM = "groups"  # what an entry of the cache on disk is
_RUNTIME = "runtime"  # what the entry of the functions that walk is
_SHARE = 100_000  # characters of text that are worth a thread: they take 50 ms


def entries_of(modules: Sequence[Module]) -> list[int]:
    """The addresses of the kernels' functions."""
    name = current_name()
    with _lock:
        missing = [each for each in dict.fromkeys(modules) if (name, each) not in _entries]
        if missing:
            _load(missing)
        return [_entries[name, each] for each in modules]


def compiled_kernels() -> int:
    """How many kernels this process has compiled, rather than found in the cache on disk."""
    return _compiled[0]


def _load(modules: Sequence[Module]) -> None:
    target, store = repr(current_target()), cache()
    digests = {each: key_of(each.text, target, _FORM, *versions()) for each in modules}
    wanted = [each for each, digest in digests.items() if not _find(each, digest, store)]
    if not wanted:
        return
    shares = _shares(wanted, get_num_threads())
    _compiled[0] += len(wanted)
    for share, image in zip(shares, images_of([_together(each, digests) for each in shares]), strict=True):
        group = key_of("".join(digests[each] for each in share), target, _FORM, *versions())
        symbols = [_symbol(each, digests[each]) for each in share]
        _put(group, symbols, image)
        if store is not None:
            store.put(group, " ".join(symbols).encode() + b"\n" + image)
            for each in share:
                store.put(digests[each], group.encode())
        for each, symbol in zip(share, symbols, strict=True):
            _entries[current_name(), each] = _groups[group][symbol]


def _shares(modules: Sequence[Module], most: int) -> list[list[Module]]:
    """The modules in as many parts as threads can compile side by side, of about equal length."""
    lengths = {each: len(each.text) for each in modules}
    shares = [list[Module]() for _ in range(max(1, min(most, sum(lengths.values()) // _SHARE)))]
    for each in sorted(modules, key=lengths.__getitem__, reverse=True):
        min(shares, key=lambda share: sum(map(lengths.__getitem__, share))).append(each)
    return shares


def _find(module: Module, digest: str, store: CodeCache | None) -> bool:
    """Whether the cache on disk has the kernel: a note which group it was compiled with, and the code of the group."""
    note = None if store is None else store.get(digest)
    if store is None or note is None:
        return False
    group = note.decode("ascii", "replace")
    if group not in _groups:
        found = store.get(group)
        if found is None:
            return False
        symbols, _, image = found.partition(b"\n")
        try:
            _put(group, symbols.decode().split(), image)
        except (RuntimeError, UnicodeDecodeError):  # whole, but no code that can be linked: compiled anew
            return False
    address = _groups[group].get(_symbol(module, digest))
    if address is not None:
        _entries[current_name(), module] = address
    return address is not None


def _put(group: str, symbols: Sequence[str], image: bytes) -> None:
    kept, addresses = link(image, symbols)
    _kept.append(kept)
    _groups[group] = dict(zip(symbols, addresses, strict=True))


def _symbol(module: Module, digest: str) -> str:
    return f"{module.symbol}_{digest[:16]}"


def _together(modules: Sequence[Module], digests: dict[Module, str]) -> str:
    """One text of several modules: what they declare once, and their functions under names of their own."""
    helpers = dict.fromkeys(helper for module in modules for helper in module.helpers)
    functions = [
        re.sub(rf"@(body|part\d+|{module.symbol})\(", rf"@\1_{digests[module][:16]}(", module.functions)
        for module in modules
    ]
    return "\n".join([*helpers, *functions])


# --- the functions that walk -----------------------------------------------------------------------------------------


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
    loop: int
    flushing: int  # the bits of a table's `MODE` for programs that write cells
    kept: object


def _linked(text: str, names: Sequence[str]) -> tuple[object, list[int]]:
    """What the functions of a text need, and their addresses: from the cache on disk, or compiled and kept there."""
    store, key = cache(), key_of(text, repr(current_target()), _RUNTIME, *versions())
    found = None if store is None else store.get(key)
    if found is not None:
        with contextlib.suppress(RuntimeError):  # whole, but no code that can be linked: compiled anew
            return link(found, names)
    image = image_of(text)
    linked = link(image, names)
    if store is not None:
        store.put(key, image)
    return linked


def shared() -> Shared:
    """The runtime of the current target."""
    return _shared(current_name())


@functools.cache
def _shared(name: str) -> Shared:
    with compiling_for(name) as target:
        architecture = target.triple.partition("-")[0]
        text = runtime_text(architecture, target.clock) + loop_text()
        names = ["alone", "timed", "lead", "serve", "copy", "take", "keep", "watch", "loop"]
        kept, (alone, timed, lead, serve, copy, take, keep, watch, loop) = _linked(text, names)
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
        loop,
        flushing_mode(architecture),
        kept,
    )
