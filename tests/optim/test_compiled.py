"""Every optimizer with every schedule, compiled, moves parameters and state as NumPy evaluation does.

In: the tables of the contract tests. Out: equal losses, parameters and optimizer state after several steps, on tensors
of awkward shapes; one native program, compiled once.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.optim.test_optimizer_contract import CASES, CLASSES
from tests.optim.test_schedules import SCHEDULES
from tests.support.compiled import LANES, arrays_of, assert_agree, assert_all_agree, eagerly, executables
from tests.support.sweep import sweep
from thalweg import nn
from thalweg.optim.schedules import Schedule

SHAPES = [(), (1,), (13,), (0,), (LANES + 1, 3), (2, LANES - 1), (1, 2 * LANES + 1)]
PAIRS = [(name, options, schedule) for (name, options), schedule in itertools.product(CASES, [None, *SCHEDULES])]
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
# Gradients are differences of weights and goals of size one, which float32 knows to 1e-7: a small one to 2e-8 at best.
CANCELLED = {"float32": 1e-3, "float64": 0.0}


def train(
    name: str, options: dict[str, Any], dtype: str, is_compiled: bool, clips: bool = False, steps: int = 5
) -> tuple[list[np.ndarray], Any]:
    """Losses, parameters and state after steps on a loss that couples all parameters."""
    generator = np.random.default_rng(0)
    params = [tw.tensor(np.asarray(generator.normal(size=s)).astype(dtype), requires_grad=True) for s in SHAPES]
    goals = [tw.tensor(np.asarray(generator.normal(size=s)).astype(dtype)) for s in SHAPES]
    optimizer = CLASSES[name](params, **options)

    def step(scale: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        loss = sum((((p - g) * scale) ** 2).sum() for p, g in zip(params, goals, strict=True)).log1p()
        loss.backward()
        if clips:
            nn.utils.clip_grad_norm_(params, 0.5)
        optimizer.step()
        return loss

    chosen = tw.compile(step) if is_compiled else step
    scales = [tw.tensor(np.array(value).astype(dtype)) for value in np.linspace(0.5, 1.5, steps)]
    losses = [chosen(scale).item() for scale in scales]
    state = [value for param in params for value in optimizer.state.get(param, {}).values()]
    return [np.array(losses), *arrays_of([*params, *state])], chosen


@pytest.mark.parametrize(("name", "options", "schedule"), sweep(PAIRS, fraction=0.07, seed=13), ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_equals_numpy(
    name: str, options: dict[str, Any], schedule: Schedule | None, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options if schedule is None else {**options, "lr": schedule}
    found, step = train(name, options, dtype, is_compiled=True)
    assert [executable.is_native for executable in executables(step)] == [True]
    meant, _ = eagerly(monkeypatch, lambda: train(name, options, dtype, is_compiled=False))
    for index, (one, other) in enumerate(zip(found, meant, strict=True)):
        assert_agree(one, other, TOLERANCE[dtype], f"result {index}", CANCELLED[dtype])


@pytest.mark.parametrize(("name", "options"), CASES, ids=repr)
def test_clipped_updates_equal_numpy(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found, step = train(name, options, "float64", is_compiled=True, clips=True)
    assert [executable.is_native for executable in executables(step)] == [True]
    meant, _ = eagerly(monkeypatch, lambda: train(name, options, "float64", is_compiled=False, clips=True))
    assert_all_agree(found, meant, 1e-11)
