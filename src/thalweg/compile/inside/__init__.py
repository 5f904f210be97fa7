"""Looking inside the compiler: loop text, costs, times, and the comparison of every kernel with the NumPy meaning.

In: kernels and programs. Out: text for people, numbers for `step.explain()`, and errors that name a wrong kernel.
Nothing here runs unless it is asked for: by THALWEG_DEBUG, THALWEG_VALIDATE, `step.explain()` or a test. So the files
that only then do something are imported then, when somebody first names them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_LATER = ("explanation", "report", "validate")

if TYPE_CHECKING:
    from thalweg.compile.inside import explanation as explanation
    from thalweg.compile.inside import report as report
    from thalweg.compile.inside import validate as validate
else:

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f"{__name__}.{name}")
