"""The door to the compiler: what tensors ask of it, imported when it is first asked for.

In: a name. Out: what it names, and with it the passes, the emitter and all that writes machine code: forty files, which
`import thalweg` does not wait for, since it compiles nothing. `tests/test_face.py` counts them.
"""

from typing import TYPE_CHECKING

from thalweg.later import later

if TYPE_CHECKING:
    from thalweg.compile.calling import Caller as Caller
    from thalweg.compile.calling import Results as Results
    from thalweg.compile.calling import StepLoop as StepLoop
    from thalweg.compile.calling import results_of as results_of
    from thalweg.compile.executable import Executable as Executable
    from thalweg.compile.executable import executable_for as executable_for
    from thalweg.compile.executable import explain_program as explain_program
    from thalweg.compile.executable import layout_of as layout_of
    from thalweg.compile.executable import least_within as least_within
    from thalweg.compile.memory_use import MemoryUse as MemoryUse
    from thalweg.compile.memory_use import memory_use as memory_use
    from thalweg.compile.memory_use import with_batch as with_batch

# Name -> module, and the attribute.
_LATER = {
    "Caller": ("thalweg.compile.calling", "Caller"),
    "Executable": ("thalweg.compile.executable", "Executable"),
    "Results": ("thalweg.compile.calling", "Results"),
    "StepLoop": ("thalweg.compile.calling", "StepLoop"),
    "executable_for": ("thalweg.compile.executable", "executable_for"),
    "explain_program": ("thalweg.compile.executable", "explain_program"),
    "layout_of": ("thalweg.compile.executable", "layout_of"),
    "least_within": ("thalweg.compile.executable", "least_within"),
    "MemoryUse": ("thalweg.compile.memory_use", "MemoryUse"),
    "memory_use": ("thalweg.compile.memory_use", "memory_use"),
    "results_of": ("thalweg.compile.calling", "results_of"),
    "with_batch": ("thalweg.compile.memory_use", "with_batch"),
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = later(__name__, _LATER)
