"""What the tests of this room share: undecorated code is evaluated on NumPy throughout.

In: nothing. Out: a threshold that pending work does not reach, so that two runs in one process agree bit for bit. (A
structure that returns often is otherwise compiled half-way, and the last bit may change there.)
"""

from __future__ import annotations

import pytest

from thalweg.tensor import lazy


@pytest.fixture(autouse=True)
def _numpy_evaluation(monkeypatch):
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 10**12)
