"""Each rule on made-up runs: it finds what it is for, in the layer where it is, and is silent on a run that learns.

In: `synthetic` runs. Out: findings, or none. What the loss is multiplied by never matters.
"""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.diagnose.rules.synthetic import FINE, layer_look, outputs_of_skill, regression, synthetic_run
from thalweg.diagnose.judge import LEADS_TO, ORDER, judge, problems
from thalweg.diagnose.problems import PROBLEMS
from thalweg.diagnose.rules import RULES
from thalweg.diagnose.tasks import task_of
from thalweg.nn import functional as F

HIDDEN = ("0", "2", "4", "6", "8")


def network(**faulty: Any) -> list[Any]:
    """Five layers; `faulty` gives the fields of some, by number, as ``_2={...}``."""
    return [layer_look(path, **faulty.get(f"_{number}", {})) for number, path in enumerate(HIDDEN)]


def same(layers: list[Any]) -> list[list[Any]]:
    return [layers] * 3


def vanishing() -> list[list[Any]]:
    return same([layer_look(path, gradient=10.0 ** (number - 4)) for number, path in enumerate(HIDDEN)])


def recurrent(kind: str, step: float) -> list[list[Any]]:
    """A layer over 30 steps, on each of which a gradient on its way back is multiplied by this."""
    sizes = tuple(step**number for number in reversed(range(30)))
    return same([layer_look("0", kind=kind, activation="Tanh", over_time=sizes), layer_look("2")])


def unit_regression() -> tuple[np.ndarray, np.ndarray]:
    x, y = regression()
    return x, ((y - y.min()) / (y.max() - y.min())).astype(np.float32)


CASES: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "gradient falls by ten a layer": ("vanishing_gradient", "0", {"layers": vanishing()}),
    "gradient falls by two a step": ("vanishing_gradient", "0", {"layers": recurrent("RNN", 0.5)}),
    "gradient of gates falls": ("vanishing_gradient", "0", {"layers": recurrent("LSTM", 0.5)}),
    "gradient grows by two a step": ("exploding_gradient", None, {"layers": recurrent("RNN", 2.0)}),
    "equal units": ("bad_initialization", "4", {"layers": same(network(_2={"equal_units": 0.97}))}),
    "weights far too large": ("bad_initialization", "6", {"layers": same(network(_3={"weight": 3.0}))}),
    "weights far too small": ("bad_initialization", "2", {"layers": same(network(_1={"weight": 0.002}))}),
    "dead units": ("dying_relu", "4", {"layers": same(network(_2={"dead": 0.9}))}),
    "saturated units": (
        "saturated_activation", "2", {"layers": same(network(_1={"saturated": 0.8, "activation": "Tanh"}))},
    ),
    "constant signal": ("degenerate_signal", "6", {"layers": same(network(_3={"variation": 1e-5}))}),
    "gradient grows by time": (
        "exploding_gradient", "0", {"layers": [network(), network(_0={"gradient": 5e3}), network()]},
    ),
    "not finite": ("non_finite", None, {"is_finite": False}),
    "swings": ("oscillating_loss", None, {"losses": [1.0, 0.7] * 6}),
    "falls slowly": ("slow_convergence", None, {"losses": [5 - 0.05 * i for i in range(12)]}),
    "penalty": ("over_regularized", None, {"penalty_gradient": 0.5}),
    "maximises": ("wrong_loss", None, {"optimizer": SimpleNamespace(param_groups=[{"maximize": True}])}),
    "shapes broadcast": ("wrong_loss", None, {"objective": lambda p, t: ((p - t.reshape(-1)) ** 2).mean()}),
    "cross-entropy of numbers": (
        "wrong_loss", None,
        {"objective": lambda p, t: -(t * p.clamp(1e-10, 1.0).log()).mean(), "data": unit_regression()},
    ),
    "bounded output": (
        "wrong_output_activation", "8",
        {"layers": same(network()), "output_bounds": (0.0, 1.0), "output_activation": "Sigmoid"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_fault_is_found_in_its_layer_whatever_the_loss_is_multiplied_by(name: str, scale: float) -> None:
    problem, layer, changed = CASES[name]
    found = [one for rule in RULES if (one := rule(synthetic_run(scale=scale, **changed))) is not None]
    named = [one for one in found if one.problem == problem]
    assert named, [one.problem for one in found]
    if layer is not None:
        assert named[0].layer == layer
        assert named[0].line == "net.py:7"
    assert named[0].evidence


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("not finite",)])
def test_the_same_numbers_are_no_problem_in_a_run_that_reaches_the_reference(name: str) -> None:
    changed = {"losses": [0.01] * 12} | CASES[name][2]
    if "losses" in CASES[name][2]:
        changed["losses"] = [each * 0.01 for each in CASES[name][2]["losses"]]
    assert judge(synthetic_run(skill=FINE, **changed)) == []


def test_a_gradient_that_keeps_its_size_over_time_is_no_problem() -> None:
    for step in (1.1, 0.9):
        found = problems(judge(synthetic_run(recurrent("RNN", step))))
        assert not {"vanishing_gradient", "exploding_gradient"} & set(found)


@pytest.mark.parametrize(("kind", "is_certain"), [("RNN", True), ("LSTM", False), ("GRU", False)])
def test_closed_gates_are_no_cause_that_is_certain_from_the_start(kind: str, is_certain: bool) -> None:
    """They learn to open, so whatever keeps them from learning comes first."""
    (found,) = [each for each in judge(synthetic_run(recurrent(kind, 0.5))) if each.problem == "vanishing_gradient"]
    assert (found.epoch is None) is is_certain
    assert "gated_recurrence" in [each.name for each in found.remedies]


def test_a_healthy_run_has_no_findings() -> None:
    assert judge(synthetic_run(skill=FINE, losses=[1 / (i + 1) for i in range(12)])) == []


@pytest.mark.parametrize("widened", [1, 2, 8])
def test_doubled_widths_change_no_verdict(widened: int) -> None:
    layers = [dataclasses.replace(each, fan_in=32 * widened, units=32 * widened, weight=math.sqrt(2 / 32 / widened))
              for each in vanishing()[0]]  # fmt: skip
    assert problems(judge(synthetic_run(same(layers))))[0] == "vanishing_gradient"


def test_branches_are_not_compared_with_the_trunk() -> None:
    """A residual branch that starts at zero has a tiny gradient, and is healthy."""
    layers = network()
    branch = [layer_look(f"{path}.branch", gradient=1e-9, is_branch=True) for path in HIDDEN]
    found = problems(judge(synthetic_run(same([*branch, *layers]))))
    assert "vanishing_gradient" not in found


def test_frozen_layers_are_not_blamed_for_having_no_gradient() -> None:
    found = problems(judge(synthetic_run(same(network(_0={"gradient": 0.0, "is_trainable": False})))))
    assert "vanishing_gradient" not in found


@pytest.mark.parametrize(("factor", "is_found"), [(255.0, True), (1 / 255, True), (2.0, False), (0.5, False)])
def test_inputs_far_from_unit_size_are_found(factor: float, is_found: bool) -> None:
    x, y = regression()
    assert ("unscaled_input" in problems(judge(synthetic_run(data=(x * factor, y))))) is is_found


def test_features_of_unequal_size_are_found() -> None:
    x, y = regression()
    assert "unscaled_input" in problems(judge(synthetic_run(data=(x * np.array([1.0, 1e-3, 3.0], np.float32), y))))


def test_unscaled_inputs_behind_a_normalisation_are_no_problem() -> None:
    x, y = regression()
    found = problems(judge(synthetic_run(data=(x * 255, y), has_normalised_input=True)))
    assert "unscaled_input" not in found


def test_large_targets_are_found() -> None:
    x, y = regression()
    assert "unscaled_input" in problems(judge(synthetic_run(data=(x, y * 1000))))


def test_overfitting_needs_a_validation_loss_that_has_turned() -> None:
    _, y = regression()
    falling = [1 / (i + 1) for i in range(12)]
    turned = [0.5, 0.4, 0.4, 0.5, *[0.6 + 0.1 * i for i in range(8)]]
    for validation, is_found in ((turned, True), ([0.4] * 12, False)):
        run = synthetic_run(skill=FINE, losses=falling, validation_losses=validation)
        for seen in run.looks:
            seen.validation_outputs = outputs_of_skill(y, 0.5)
        run.__dict__["reference_validation_skill"] = 0.5
        assert ("overfitting" in problems(judge(run))) is is_found


def imbalanced(rare: int, rare_found: bool) -> Any:
    y = np.array([0] * 200 + [1] * rare)
    x = np.random.default_rng(0).normal(size=(len(y), 2)).astype(np.float32)
    shown = np.eye(2, dtype=np.float32)[y if rare_found else 0 * y]
    return synthetic_run(data=(x, y), task=task_of(y, 2), shown=shown, objective=F.cross_entropy)


@pytest.mark.parametrize(("rare", "rare_found", "is_found"), [(10, False, True), (10, True, False), (80, False, False)])
def test_imbalance_needs_skewed_counts_and_rare_classes_that_are_not_found(
    rare: int, rare_found: bool, is_found: bool
) -> None:
    assert ("class_imbalance" in problems(judge(imbalanced(rare, rare_found)))) is is_found


def test_causes_come_before_what_they_lead_to() -> None:
    x, y = regression()
    layers = same(network(_2={"dead": 1.0}))
    found = judge(synthetic_run(layers, data=(x * 255, y)))
    assert [each.problem for each in found] == ["unscaled_input"]
    assert "dying_relu" in [each.problem for each in found[0].consequences]


def test_every_problem_of_the_rules_has_a_name_and_a_place() -> None:
    for each in RULES:
        assert each.problem in PROBLEMS
        assert each.problem in ORDER
        assert len(each.reason) > 30
    for cause, effects in LEADS_TO.items():
        assert {cause, *effects} <= set(PROBLEMS)
    assert len({each.name for each in RULES}) == len(RULES)
