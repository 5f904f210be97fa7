"""What the tests of training share: undecorated steps are evaluated on NumPy from the first to the last.

In: nothing. Out: the same bits for two trainings in one process. Without this the second would find its structure
compiled already, and compiled programs and NumPy agree closely, not to the bit.
"""

from __future__ import annotations

import pytest

from thalweg.tensor import lazy


@pytest.fixture(autouse=True)
def _structures_stay_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 10**12)
