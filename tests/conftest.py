"""What every test shares: one environment, one Hypothesis profile, and peers that may be missing.

In: the environment that pytest was started in. Out: single-threaded BLAS, no `THALWEG_*` switch that was not asked for,
examples that are the same on every run, and `peer` tests skipped where PyTorch is not installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

# Before NumPy is imported: rounding and timings must not depend on how many threads BLAS likes here.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# Switches that a person may set for a whole run; any other would change what the tests mean.
KEPT_SWITCHES = frozenset({"THALWEG_SHARED_DATA", "THALWEG_SWEEP", "THALWEG_VALIDATE"})
for _variable in [name for name in os.environ if name.startswith("THALWEG_") and name not in KEPT_SWITCHES]:
    del os.environ[_variable]

os.environ["THALWEG_CACHE"] = "off"  # a test must not run code that an earlier version has left on disk

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Examples are derived from the test itself, not from chance: a red run is red again. `explore` looks for new ones.
settings.register_profile(
    "ci", derandomize=True, max_examples=50, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files and tables of budgets anew")


def pytest_report_header() -> str:
    kept = {name: os.environ[name] for name in sorted(KEPT_SWITCHES) if name in os.environ}
    return f"thalweg switches: {kept or 'none'}; hypothesis profile: {os.environ.get('HYPOTHESIS_PROFILE', 'ci')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("torch") is not None:
        return
    skip = pytest.mark.skip(reason="PyTorch is not installed; `make peers` installs it and runs this test")
    for item in items:
        if item.get_closest_marker("peer"):
            item.add_marker(skip)


def _switches() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("THALWEG_")}


@pytest.fixture(autouse=True)
def _switches_are_left_as_they_were() -> Iterator[None]:
    """A test that sets a `THALWEG_*` variable without `monkeypatch` must not change the tests after it."""
    before = _switches()
    yield
    for name in _switches().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Small file systems, by the options of tmpfs, for those who may mount them."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount file systems")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(params=["eager", "compiled"])
def through(request: pytest.FixtureRequest) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """What a step is put through: nothing, or `tw.compile`."""
    import thalweg as tw

    return tw.compile if request.param == "compiled" else lambda function: function
