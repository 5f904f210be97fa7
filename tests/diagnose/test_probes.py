"""Which copies go on, and when it is enough: probes and repairs on made-up trials, without any training.

In: trials whose skill after so many epochs is written down. Out: who was trained for how long, and who is kept.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.diagnose.rules.synthetic import outputs_of_skill, synthetic_run
from thalweg.diagnose.changes import Change
from thalweg.diagnose.finding import Finding
from thalweg.diagnose.probes import Copies, Trial
from thalweg.diagnose.repair import Contest, repair
from thalweg.diagnose.run import Run


class Written(Trial):
    """Goes to `final` in a straight line over its epochs, at most to 0.93; NaN at once if that is NaN."""

    def __init__(self, change: Change, final: float, most: int, targets: np.ndarray) -> None:
        model = SimpleNamespace(state_dict=dict, load_state_dict=lambda state: None)
        super().__init__(SimpleNamespace(model=model), change, (None, None), 32, most, None)
        self.final, self.targets = final, targets

    def train(self, until: int) -> None:
        self.epochs = until
        level = min(self.final * until / self.most, 0.93) if math.isfinite(self.final) else math.nan
        self.losses = np.append(self.losses, 1 - level)
        self.outputs = outputs_of_skill(self.targets, level if math.isfinite(level) else 0.0)


def run_with(finals: dict[Change, float]) -> tuple[Run, list[Written]]:
    """A run of 40 epochs with a skill of 0.1, whose copies reach these skills, others 0."""
    run = synthetic_run(losses=[1.0] * 40)
    made: list[Written] = []

    def trial(change: Change, rate: float, epochs: int, sample: Any, rows: Any = None, least: float = 0.0) -> Written:
        targets = run.sample.y if rows is None else Contest(run).run.y[Contest(run).held_out]
        made.append(Written(change, finals.get(change, 0.0), 40, targets))
        return made[-1]

    run.epochs = 40
    run.copies = SimpleNamespace(trial=trial, is_sample=False)  # type: ignore[assignment]
    return run, made


LOWER = [Change(rate=0.1), Change(rate=0.01), Change(rate=1e-3)]


def enough(run: Run) -> Any:
    return lambda trial: run.gain(trial) >= 0.5


def test_a_probe_stops_as_soon_as_it_has_come_far_enough() -> None:
    run, made = run_with({LOWER[0]: 1.0})
    found = run.probe(LOWER[0])
    assert found is made[0]
    assert 0.5 < found.skill < 1.0
    assert found.epochs < 40


def test_of_several_probes_all_begin_and_the_best_goes_on() -> None:
    run, made = run_with({LOWER[0]: 0.2, LOWER[1]: 0.7, LOWER[2]: 0.1})
    assert run.probes(LOWER, enough(run)) is made[1]
    assert [each.epochs for each in made] == [10, 40, 10]
    assert run.best_rate == 0.01


def test_the_first_probe_that_is_enough_ends_the_search() -> None:
    run, made = run_with({LOWER[0]: 3.0})
    assert run.probes(LOWER, enough(run)) is made[0]
    assert [each.epochs for each in made[1:]] == [0, 0]


def test_a_probe_that_is_lost_is_not_trained_on() -> None:
    run, made = run_with({LOWER[0]: math.nan})
    run.probe(LOWER[0])
    assert made[0].epochs == 5


def test_a_run_that_may_not_probe_trains_nothing() -> None:
    run, made = run_with({})
    run.may_probe = False
    assert run.probes(LOWER, enough(run)) is None
    assert made == []


TOO_LOW = Finding("learning_rate_too_low")


def test_a_repair_goes_on_with_what_is_promising_and_keeps_the_best() -> None:
    base = Change(adaptive=1e-3)
    run, made = run_with({base: 0.97})
    found = repair(run, [TOO_LOW])
    (kept,) = [each for each in found.attempts if each.kept]
    assert kept.change == base
    assert kept.skill > 0.9
    assert found.trainer is not None
    assert max(each.epochs for each in made if each.change != base) == 10


def test_the_less_intrusive_of_two_equal_repairs_is_kept() -> None:
    run, _ = run_with({Change(rate=10.0): 1.4, Change(adaptive=1e-3): 2.0})
    found = repair(run, [TOO_LOW])
    (kept,) = [each for each in found.attempts if each.kept]
    assert kept.change == Change(rate=10.0)


def test_a_repair_that_is_no_better_than_the_run_is_not_kept() -> None:
    run, _ = run_with({Change(rate=10.0): 0.12})
    found = repair(run, [TOO_LOW])
    assert found.trainer is None
    assert not any(each.kept for each in found.attempts)


def test_a_run_that_learns_by_heart_is_repeated_up_to_its_best_moment() -> None:
    run, _ = run_with({})

    def rises_and_falls(trial: Written, until: int) -> None:
        Written.train(trial, until)
        trial.outputs = outputs_of_skill(trial.targets, 0.8 if until <= 10 else 0.2)

    trial, repeated = run.copies.trial, []  # type: ignore[union-attr]

    def made_trial(*arguments: Any, **options: Any) -> Written:
        one: Written = trial(*arguments, **options)  # type: ignore[assignment]
        one.train = lambda until: rises_and_falls(one, until)  # type: ignore[method-assign]
        return one

    def on_all(change: Change, rate: float, epochs: int) -> Any:
        repeated.append(epochs)
        return SimpleNamespace(predict=lambda x: np.zeros(1))

    run.copies = SimpleNamespace(trial=made_trial, on_all=on_all)  # type: ignore[assignment]
    found = repair(run, [Finding("overfitting")])
    assert [(each.change, each.kept) for each in found.attempts] == [(Change(epochs=10), True)]
    assert repeated == [10]


@pytest.mark.parametrize(("cost", "steps"), [(1.0, 4000), (1e6, 156), (1e9, 100)])
def test_a_large_network_is_probed_for_fewer_steps(cost: float, steps: int) -> None:
    assert Copies(None, {}, np.empty((3, 1)), np.empty(3), 32, cost=cost).steps == steps
