"""Looking inside the compiler: loop text, costs, times, and the comparison of every kernel with the NumPy meaning.

In: kernels and programs. Out: text for people, numbers for `step.explain()`, and errors that name a wrong kernel.
Nothing here runs unless it is asked for: by THALWEG_DEBUG, THALWEG_VALIDATE, `step.explain()` or a test. So the files
that only then do something are imported then, when somebody first names them.
"""

from typing import TYPE_CHECKING

from thalweg.later import later

if TYPE_CHECKING:
    from thalweg.compile.inside import explanation as explanation
    from thalweg.compile.inside import report as report
    from thalweg.compile.inside import validate as validate

_LATER = {name: (f"{__name__}.{name}", "") for name in ("explanation", "report", "validate")}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = later(__name__, _LATER)
