"""The door to the compiler: what tensors ask of it, imported when it is first asked for.

In: a name. Out: what it names, and with it the passes, the emitter and all that writes machine code: forty files, which
`import thalweg` does not wait for, since it compiles nothing. `tests/test_face.py` counts them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.compile.calling import Caller as Caller
    from thalweg.compile.calling import Results as Results
    from thalweg.compile.calling import StepLoop as StepLoop
    from thalweg.compile.calling import results_of as results_of
    from thalweg.compile.executable import Executable as Executable
    from thalweg.compile.executable import executable_for as executable_for
    from thalweg.compile.executable import explain_program as explain_program

# Name -> module, and the attribute.
_LATER = {
    "Caller": ("thalweg.compile.calling", "Caller"),
    "Executable": ("thalweg.compile.executable", "Executable"),
    "Results": ("thalweg.compile.calling", "Results"),
    "StepLoop": ("thalweg.compile.calling", "StepLoop"),
    "executable_for": ("thalweg.compile.executable", "executable_for"),
    "explain_program": ("thalweg.compile.executable", "explain_program"),
    "results_of": ("thalweg.compile.calling", "results_of"),
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room, attribute = _LATER[name]
        value = globals()[name] = getattr(import_module(room), attribute)
        return value
