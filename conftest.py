"""For pytest: the face is imported first, so that `tw.tensor` is the function also where a doctest runs alone.

In: nothing. Out: the package `thalweg`, whole. Importing one module of `thalweg.tensor` by itself would leave the room
of that name in the place of the function.
"""

import thalweg  # noqa: F401
