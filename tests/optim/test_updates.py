"""An optimizer's step outside of a compiled one comes to run as a program, in place, and stays live in every respect.

In: loops whose updates are compiled after few steps, and the same ones evaluated. Out: equal weights; what users change
in between takes effect.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pytest

import thalweg as tw
from thalweg import optim
from thalweg.graph import next_serial
from thalweg.optim import schedules, updates
from thalweg.tensor import lazy
from thalweg.tensor.trace import Step


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Updates are compiled when they come for the third time; a note of each that ran as a program."""
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 0)
    found: list[str] = []
    call = Step.__call__
    monkeypatch.setattr(Step, "__call__", lambda self, *args: (found.append(self.name), call(self, *args))[1])
    return found


def parameters() -> list[tw.Tensor]:
    return [tw.tensor(np.array(each), requires_grad=True) for each in ([3.0, -4.0, 1.0], [[0.5], [2.0]])]


def differentiate(params: list[tw.Tensor]) -> None:
    sum(((each - 1) ** 2).sum() for each in params).backward()


def descend(optimizer: optim.Optimizer, params: list[tw.Tensor], steps: int = 6, between=lambda i: None) -> list:
    for index in range(steps):
        between(index)
        optimizer.zero_grad()
        differentiate(params)
        optimizer.step()
    return [each.tolist() for each in params]


def both_ways(monkeypatch: pytest.MonkeyPatch, run) -> None:
    """The run with compiled updates, and evaluated."""
    compiled = run()
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 10**12)
    for a, b in zip(compiled, run(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


OPTIMIZERS = {
    "adam": lambda p: optim.Adam(p, lr=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.1),
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.1, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1),
    "scheduled": lambda p: optim.Adam(p, lr=schedules.Exponential(0.1, 0.9)),
    "maximize": lambda p: optim.SGD(p, lr=0.01, maximize=True),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_gives_the_same_weights(make, calls, monkeypatch) -> None:
    def run() -> list:
        params = parameters()
        return descend(make(params), params)

    both_ways(monkeypatch, run)
    assert calls


def test_parameters_and_state_are_written_in_place(calls) -> None:
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    descend(optimizer, params)
    nodes = [each._node for each in (*params, *optimizer.state[params[0]].values())]
    arrays, before = [id(each.value) for each in nodes], params[0].tolist()
    del nodes
    descend(optimizer, params, 2)
    assert [id(each._node.value) for each in (*params, *optimizer.state[params[0]].values())] == arrays
    assert params[0].tolist() != before


def test_who_holds_an_old_value_keeps_it(calls) -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)
    descend(optimizer, params)
    pending, known = params[0] * 1, params[0].tolist()
    descend(optimizer, params, 3)
    assert pending.tolist() == known
    assert params[0].tolist() != known


def test_a_step_makes_few_nodes(calls) -> None:
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    descend(optimizer, params)
    differentiate(params)
    before = next_serial()
    optimizer.step()
    assert next_serial() - before <= 5


CHANGES = {
    "rate": lambda o, p: o.param_groups[0].update(lr=0.5),
    "schedule": lambda o, p: o.param_groups[0].update(lr=schedules.Exponential(0.5, 0.5)),
    "switched on": lambda o, p: o.param_groups[0].update(weight_decay=0.3),
    "switch": lambda o, p: o.param_groups[0].update(amsgrad=True),
    "betas": lambda o, p: o.param_groups[0].update(betas=(0.5, 0.6)),
    "state written": lambda o, p: o.state[p[0]]["exp_avg"].zero_(),
    "state replaced": lambda o, p: o.state[p[0]].update(exp_avg=tw.ones(3, dtype="float64")),
    "state loaded": lambda o, p: o.load_state_dict(optim.Adam(p, lr=0.2).state_dict()),
    "weights written": lambda o, p: p[0].data.fill_(2.0),
    "weights replaced": lambda o, p: setattr(p[0], "data", tw.ones(3, dtype="float64")),
    "another parameter": lambda o, p: o.add_param_group({"params": [p[0].detach().clone().requires_grad_()]}),
    "versions": lambda o, p: tw.nn.Linear(2, 2).train(False),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_changed_in_between_takes_effect(change, calls, monkeypatch) -> None:
    def run() -> list:
        params = parameters()
        optimizer = optim.Adam(params, lr=0.1)
        return descend(optimizer, params, 10, lambda i: change(optimizer, params) if i == 5 else None)

    both_ways(monkeypatch, run)
    assert calls


def test_a_parameter_without_a_gradient_is_left_alone(calls, monkeypatch) -> None:
    def run() -> list:
        params = parameters()
        optimizer = optim.Adam(params, lr=0.1)
        for index in range(12):
            optimizer.zero_grad()
            differentiate(params if index % 2 else params[:1])
            optimizer.step()
        return [each.tolist() for each in params]

    both_ways(monkeypatch, run)
    assert calls


def test_versions_alone_do_not_trace_again(calls, monkeypatch) -> None:
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    descend(optimizer, params)
    monkeypatch.setattr(Step, "_trace", lambda *_: pytest.fail("traced again"))
    descend(optimizer, params, 3, lambda _: tw.nn.Linear(2, 2).train(False))


def test_an_update_that_counts_in_python_keeps_counting(calls) -> None:
    class Counting(optim.Optimizer):
        count = 0

        def update(self, grad, param, state, hyper):
            self.count += 1
            return param - 0.0 * grad + self.count, state

    w = tw.tensor([0.0], requires_grad=True)
    descend(Counting([w], {}), [w], 10)
    assert w.tolist() == [55.0]
    assert not calls
    assert not updates.is_pure(Counting([w], {}))


def test_a_schedule_that_looks_at_values_is_evaluated(calls) -> None:
    @dataclass(frozen=True)
    class Cliff(schedules.Schedule):
        def formula(self, t):
            return t * 0 + (0.5 if t.item() < 4 else 0.0)

    w = tw.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=Cliff())
    found = [descend(optimizer, [w], 1)[0][0] for _ in range(8)]
    assert found[3:] == [found[3]] * 5


def test_a_copy_updates_its_own(calls) -> None:
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    descend(optimizer, params)
    other = copy.deepcopy(optimizer)
    mine, theirs = params[0].tolist(), other.param_groups[0]["params"]
    descend(other, theirs, 3)
    assert params[0].tolist() == mine
    assert theirs[0].tolist() != mine


def test_a_bad_gradient_changes_nothing(calls) -> None:
    w, positions = tw.tensor([1.0, 2.0, 3.0], requires_grad=True), tw.tensor([0, 1])
    optimizer = optim.Adam([w], lr=0.1)

    def step(positions: tw.Tensor) -> None:
        optimizer.zero_grad()
        (w[positions + 0] * 2).sum().backward()
        optimizer.step()

    for _ in range(5):
        step(positions)
    before, count = w.tolist(), optimizer.step_count
    with pytest.raises(IndexError, match="index out of range"):
        step(tw.tensor([0, 7]))
    assert (w.tolist(), optimizer.step_count) == (before, count)
    step(positions)
    assert w.tolist() != before
