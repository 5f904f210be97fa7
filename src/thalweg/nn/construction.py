"""Where a module was made: the line of the user's own code, so that a finding about a layer can name it.

In: the module and the frame that its constructor was called from. Out: file and line number. Costs about a microsecond
a module; nothing is read from the file.
"""

from __future__ import annotations

import os
from types import FrameType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep


def construction_line(module: object, frame: FrameType | None) -> tuple[str, int] | None:
    """The innermost line outside Thalweg and outside the module's own constructors; None where there is no such line.

    >>> import sys
    >>> construction_line(object(), sys._getframe())[1]
    1
    """
    while frame is not None:
        code = frame.f_code
        is_own = code.co_name == "__init__" and code.co_argcount > 0 and _first_argument(frame) is module
        if not is_own and not code.co_filename.startswith(_PACKAGE):
            return code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def _first_argument(frame: FrameType) -> object:
    """The `self` of a constructor's frame; where a closure uses it, it is still found under its name."""
    return frame.f_locals.get(frame.f_code.co_varnames[0])
