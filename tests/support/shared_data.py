"""Where the real data sets are that lie beside the repository and not in it.

In: the name of a folder of `../shared/data`. Out: its path; or the test is skipped, with the reason, where it is not
there. `THALWEG_SHARED_DATA` names another place.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "THALWEG_SHARED_DATA"


def shared_data_root(start: Path = REPOSITORY) -> Path | None:
    """The folder of all data sets: the variable's, or the first `shared/data` above the repository."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    candidates = (folder / "shared" / "data" for folder in start.parents)
    return next((folder for folder in candidates if folder.is_dir()), None)


def shared_data(name: str) -> Path:
    """The folder of one data set; skips the test that asks if it is not on this machine."""
    root = shared_data_root()
    if root is None:
        pytest.skip(f"no ../shared/data beside the repository (set {VARIABLE} to name it): {name} is not tested")
    if not (root / name).is_dir():
        pytest.skip(f"{root} has no {name}")
    return root / name
