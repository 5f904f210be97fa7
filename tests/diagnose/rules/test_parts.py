"""Parts that share examples, labels that no output stands for, and modes that disagree.

In: made-up runs with one fault planted, and data in which equal rows are natural. Out: findings, or silence.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.diagnose.rules.synthetic import FINE, outputs_of_skill, regression, synthetic_run
from thalweg import nn
from thalweg.diagnose.judge import judge, problems
from thalweg.diagnose.leakage import leakage
from thalweg.diagnose.looks import Sample
from thalweg.diagnose.rules.data import labels_out_of_range
from thalweg.diagnose.run import Run
from thalweg.diagnose.tasks import task_of
from thalweg.nn import functional as F

random = np.random.default_rng(0)
GOOD = [1 / (i + 1) for i in range(12)]


def healthy(x: np.ndarray, x_validation: np.ndarray) -> Run:
    _, y = regression(len(x))
    run = synthetic_run(skill=FINE, losses=GOOD, data=(x, y))
    run.sample = Sample(x, y, x_validation, y[: len(x_validation)])
    for each in run.looks:
        each.validation_outputs = each.validation_outputs[: len(x_validation)]  # type: ignore[index]
    run.__dict__["reference_validation_skill"] = run.__dict__["reference_skill"] = 1.0
    return run


X = random.normal(size=(200, 3)).astype(np.float32)
IMAGES = random.integers(0, 256, (200, 1, 6, 6)).astype(np.float32)
BITS = random.integers(0, 2, (200, 6)).astype(np.float32)
LEAKS = {
    "all": (X, X[:50]),
    "a tenth": (X, np.concatenate([X[:5], X[:45] * 1.5])),
    "images": (IMAGES, np.concatenate([IMAGES[100:104], IMAGES[:60] + 0.5])),
    "copies made before the split": (np.tile(X[:100], (2, 1)), X[:50]),
    "zeros of either sign": (X * np.float32([0, 1, 1]), X[:40] * np.float32([-0.0, 1, 1])),
}
APART = {
    "nothing in common": (X, X[:50] * 1.5),
    "one of many": (X, np.concatenate([X[:1], X[:199] * 1.5])),
    "few rows are possible": (BITS, BITS[:50]),
    "categories that repeat": (np.repeat(BITS[:40], 5, axis=0) * 3, np.repeat(BITS[:40], 5, axis=0)[:50] * 3),
    "no examples": (X, X[:0]),
    "another width": (X, IMAGES[:50]),
}


@pytest.mark.parametrize("name", LEAKS)
def test_examples_in_both_parts_are_found_however_well_the_run_does(name: str) -> None:
    found = judge(healthy(*LEAKS[name]))
    assert [each.problem for each in found] == ["data_leakage"]
    assert found[0].evidence[0].value >= 0.01


@pytest.mark.parametrize("name", APART)
def test_parts_of_their_own_are_not_blamed(name: str) -> None:
    x, x_validation = APART[name]
    found = leakage(x, x_validation)
    assert found.share < 0.01 or found.count < 2 or found.is_natural


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_the_share_is_that_of_a_naive_search(share: float) -> None:
    count = int(share * 60)
    x_validation = np.concatenate([X[:count], X[: 60 - count] * 2])
    naive = np.mean([any((row == each).all() for each in X) for row in x_validation])
    assert leakage(X, x_validation).share == pytest.approx(naive)
    assert leakage((X, X), (x_validation, x_validation)).share == pytest.approx(naive)


# --- labels ----------------------------------------------------------------------------------------------------------


def labelled(y: np.ndarray, outputs: int = 3, objective: Any = None) -> Run:
    x = random.normal(size=(len(y), 3)).astype(np.float32)
    shown = np.eye(outputs, dtype=np.float32)[np.clip(y, 0, outputs - 1)]

    def clipped(p: Any, t: Any) -> Any:
        return F.cross_entropy(p, t.clamp(0, outputs - 1))

    return synthetic_run(
        data=(x, y), task=task_of(y, outputs), shown=shown, objective=objective or clipped, losses=GOOD
    )


THREE = np.arange(120) % 3


@pytest.mark.parametrize(("y", "said"), [(THREE + 1, "counted from 1"), (np.where(THREE == 2, 7, THREE), "to 7"),
                                         (THREE - 1, "from -1")])  # fmt: skip
def test_labels_that_no_output_stands_for_are_found(y: np.ndarray, said: str) -> None:
    found = judge(labelled(y))
    one = next(each for each in found if each.problem == "label_range")
    assert said in one.explanation
    assert one.evidence[0].value == pytest.approx(((y < 0) | (y > 2)).mean())
    assert one.layer == "3"


def test_labels_in_range_and_labels_that_are_ignored_are_not_blamed() -> None:
    assert "label_range" not in problems(judge(labelled(THREE)))
    run = labelled(np.where(np.arange(120) < 9, -100, THREE))
    run.objective = SimpleNamespace(ignored=-100)
    assert labels_out_of_range(run) is None


# --- modes -----------------------------------------------------------------------------------------------------------


def normalised(evaluated_skill: float, model: nn.Module, own: float = FINE) -> Run:
    run = synthetic_run(skill=own, losses=GOOD)
    trainer = SimpleNamespace(model=model, predict=lambda x: outputs_of_skill(run.y, evaluated_skill))
    run.copies = SimpleNamespace(trainer=trainer)  # type: ignore[assignment]
    run.__dict__["_parameters"] = []
    return run


@pytest.mark.parametrize(("evaluated", "is_found"), [(0.1, True), (-3.0, True), (0.75, True), (0.95, False)])
def test_running_statistics_that_do_not_fit_are_found_with_their_layer(evaluated: float, is_found: bool) -> None:
    found = judge(normalised(evaluated, nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))))
    assert [(each.problem, each.layer) for each in found] == [("train_eval_disagreement", "1")] * is_found
    if is_found:
        assert "test_parts.py" in str(found[0].line)


def test_without_running_statistics_the_modes_are_not_compared() -> None:
    assert judge(normalised(0.1, nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)))) == []


def test_a_real_network_with_a_momentum_that_is_too_small_is_found_by_its_doctor() -> None:
    x = random.normal(2.0, 3.0, (256, 4)).astype(np.float32)
    y = (x[:, :1] - x[:, 1:2]).astype(np.float32)
    for momentum, is_found in ((1e-5, True), (0.1, False)):
        tw.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=momentum), nn.ReLU(), nn.Linear(8, 1))
        doctor = tw.callbacks.Doctor("watch", show=False)
        tw.Trainer(model, "mse", lr=0.02, callbacks=[doctor], progress=False).fit((x, y), epochs=30)
        assert ("train_eval_disagreement" in problems(doctor.findings)) is is_found
