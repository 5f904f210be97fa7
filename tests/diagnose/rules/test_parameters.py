"""What is trained and what is not: each rule on real networks whose run stays behind, and silence where it does not.

In: trainers with a fault planted in one layer, and made-up numbers of a run. Out: findings with the layer and its line.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.diagnose.rules.synthetic import FAILING, FINE, layer_look, synthetic_run
from thalweg import nn
from thalweg.diagnose.judge import judge, problems
from thalweg.diagnose.rules import RULES
from thalweg.diagnose.run import Run


class Network(nn.Module):
    """Four layers; `way` says what `forward` does wrong."""

    def __init__(self, way: str = "") -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 8), nn.Linear(8, 8)
        self.third, self.last = nn.Linear(8, 8), nn.Linear(8, 1)
        self.way = way

    def forward(self, x: Any) -> Any:
        hidden = self.first(x).tanh()
        if self.way != "forgets second":
            hidden = self.second(hidden).tanh()
        if self.way == "detaches":
            hidden = hidden.detach()
        if self.way != "forgets third":
            hidden = self.third(hidden).tanh()
        hidden = self.last(hidden)
        return tw.tensor(hidden.detach().numpy()) + self.last.bias if self.way == "goes through NumPy" else hidden


def trained(way: str = "", frozen: tuple[str, ...] = (), optimised: tuple[str, ...] = ()) -> tw.Trainer:
    model = Network(way)
    for name in frozen:
        getattr(model, name).requires_grad_(False)
    chosen = [each for name in optimised or ("first", "second", "third", "last")
              for each in getattr(model, name).parameters()]  # fmt: skip
    return tw.Trainer(model, "mse", tw.optim.SGD(chosen, lr=0.1), progress=False)


def replaced_last() -> tw.Trainer:
    trainer = trained()
    trainer.model.last = nn.Linear(8, 1)
    return trainer


def run_of(trainer: tw.Trainer, skill: float = FAILING, **changed: Any) -> Run:
    layers = [layer_look(name) for name in ("first", "second", "third", "last")]
    run = synthetic_run([layers] * 3, skill, losses=[0.01 if skill == FINE else 1.0] * 12, **changed)
    run.copies = SimpleNamespace(trainer=trainer)  # type: ignore[assignment]
    run.may_probe = False
    return run


FAULTS = {
    "frozen output": ("frozen_parameter", "last", lambda: trained(frozen=("last",))),
    "frozen output and middle": ("frozen_parameter", "last", lambda: trained(frozen=("second", "last"))),
    "all frozen": ("frozen_parameter", "last", lambda: trained(frozen=("first", "second", "third", "last"))),
    "second layer not called": ("unused_parameter", "second", lambda: trained("forgets second")),
    "third layer not called": ("unused_parameter", "third", lambda: trained("forgets third")),
    "last layer not optimised": (
        "untouched_parameter", "last", lambda: trained(optimised=("first", "second", "third")),
    ),
    "middle not optimised": ("untouched_parameter", "second", lambda: trained(optimised=("first", "last"))),
    "last layer replaced": ("untouched_parameter", "last", replaced_last),
    "detached in the middle": ("untouched_parameter", "second", lambda: trained("detaches")),
    "through NumPy": ("unused_parameter", "first", lambda: trained("goes through NumPy")),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_parameter_that_nothing_moves_is_found_with_its_layer_and_line(name: str) -> None:
    problem, layer, make = FAULTS[name]
    found = judge(run_of(make()))
    one = next(each for each in found if each.problem == problem)
    assert one.layer == layer
    assert str(one.line).rpartition(":")[0].endswith("test_parameters.py")
    assert one.evidence[-1].what.startswith("skill")
    assert found[0] is one


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_said_of_a_run_that_reaches_the_reference(name: str) -> None:
    assert judge(run_of(FAULTS[name][2](), FINE)) == []


@pytest.mark.parametrize("kept", [("first",), ("first", "second"), ("first", "second", "third")])
def test_beginnings_that_are_kept_as_in_transfer_learning_are_not_blamed(kept: tuple[str, ...]) -> None:
    rest = tuple(name for name in ("first", "second", "third", "last") if name not in kept)
    for trainer in (trained(frozen=kept), trained(optimised=rest)):
        names = problems(judge(run_of(trainer)))
        assert not {"frozen_parameter", "untouched_parameter", "unused_parameter"} & set(names)


def test_a_healthy_network_that_fails_has_all_its_parameters() -> None:
    names = problems(judge(run_of(trained())))
    assert not [each for each in names if each.endswith("_parameter")]


def zeros(names: tuple[str, ...], **also: Any) -> list[Any]:
    return [layer_look(name, **({"gradient": 0.0, **also} if name in names else {}))
            for name in ("first", "second", "third", "last")]  # fmt: skip


@pytest.mark.parametrize("names", [("first", "second"), ("first",)])
def test_gradients_that_are_exactly_zero_at_every_look_are_found(names: tuple[str, ...]) -> None:
    run = synthetic_run([zeros(names)] * 3)
    rule = next(each for each in RULES if each.name == "gradient_is_always_zero")
    found = rule(run)
    assert found is not None
    assert (found.problem, found.layer) == ("untouched_parameter", names[-1])
    assert rule(synthetic_run([zeros(names), zeros(()), zeros(names)])) is None
    assert rule(synthetic_run([zeros(names)] * 3, skill=FINE, losses=[0.01] * 12)) is None
    for harm in ({"dead": 1.0}, {"weight": 0.0}, {"is_trainable": False}):
        assert rule(synthetic_run([zeros(names, **harm)] * 3)) is None


def test_a_layer_whose_gradient_is_tiny_is_not_called_untouched() -> None:
    layers = [layer_look(str(number), gradient=1e-30) for number in range(4)]
    assert "untouched_parameter" not in problems(judge(synthetic_run([layers] * 3)))


def test_looking_at_parameters_draws_no_random_number_and_writes_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    trainer = tw.Trainer(model, "mse", progress=False)
    before = {name: each.numpy().copy() for name, each in model.state_dict().items()}
    tw.manual_seed(3)
    expected = tw.randn(2).numpy()
    tw.manual_seed(3)
    facts = run_of(trainer).parameters
    assert np.array_equal(tw.randn(2).numpy(), expected)
    assert all(np.array_equal(each.numpy(), before[name]) for name, each in model.state_dict().items())
    assert all(each.is_used and each.gets_gradient and each.is_optimised for each in facts)
    assert sum(each.entries for each in facts) == sum(math.prod(each.shape) for each in model.parameters())
