"""Can this process run machine code at all? Asked once, before the first program is compiled.

In: nothing: LLVM, the platform and the rules for this process's memory are looked at. Out: yes or no; where it is no,
one line has said what was found, what it means and the remedy, and programs run by their NumPy meaning.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
import sys

from thalweg.compile.codegen import versions
from thalweg.compile.library import shared
from thalweg.compile.notices import notice

_MEANING = "programs are evaluated with NumPy: as right, and slower"


@functools.cache
def runs_machine_code() -> bool:
    """Whether programs can be compiled here; if not, that is said, once."""
    problem = _problem()
    if problem is None:
        return True
    found, remedy = problem
    notice(f"nothing is compiled: {found}", _MEANING, remedy)
    return False


def _problem() -> tuple[str, str] | None:
    """What is in the way, and what helps. A wrong THALWEG_TARGET is the user's to hear of and stays an error."""
    try:
        versions()
    except (ImportError, OSError) as error:
        return f"llvmlite cannot be imported ({_line(error)})", f"install it: {sys.executable} -m pip install llvmlite"
    if not _memory_may_hold_code():
        return (
            "this process may not make memory executable",
            "allow it (systemd: MemoryDenyWriteExecute=no; SELinux: the permission execmem)",
        )
    try:
        shared()
    except (RuntimeError, OSError, AttributeError) as error:
        remedy = "install a build of llvmlite for this platform, or report the line above"
        return f"LLVM makes no code that runs on {_platform()} ({_line(error)})", remedy
    return None


def _memory_may_hold_code() -> bool:
    """Whether memory that was written can be made executable, as a linker does it; what cannot be tried counts as yes.

    LLVM would say the same in words that nobody understands.
    """
    if sys.platform != "linux":  # elsewhere such memory has to be asked for in other ways, which LLVM knows
        return True
    with contextlib.suppress(OSError, AttributeError, ValueError):
        page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
        start = ctypes.c_char.from_buffer(page)
        refused = ctypes.CDLL(None).mprotect(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC
        )
        del start
        page.close()
        return not refused
    return True


def _platform() -> str:
    return f"{sys.platform} {os.uname().machine}" if hasattr(os, "uname") else sys.platform


def _line(error: BaseException) -> str:
    """The error in a line that is not too long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 160 else f"{text[:157]}..."
