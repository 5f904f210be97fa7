"""What every schedule promises, for every class that there is, and the values that each is known by.

In: the classes of `thalweg.optim.schedules`, found by discovery, and examples of each. Out: the same values for
numbers, tensors and arrays; a configuration that survives JSON. A class that is in no table fails.
"""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import ArgumentError, ConfigurationError
from thalweg.optim.schedules import (
    Chained,
    Constant,
    CosineAnnealing,
    CosineWarmRestarts,
    Cyclical,
    Exponential,
    InverseTime,
    LinearWarmup,
    MultiStep,
    OneCycle,
    Piecewise,
    Polynomial,
    Product,
    Schedule,
    StepDecay,
    from_config,
)

# Examples of each class, each with values that the formula gives at chosen steps.
EXAMPLES = [
    (Constant(0.1), {0: 0.1, 10**9: 0.1}),
    (Constant(0), {5: 0.0}),
    (StepDecay(1.0, step_size=10, gamma=0.5), {0: 1.0, 9: 1.0, 10: 0.5, 29: 0.25, 30: 0.125}),
    (StepDecay(0.1, step_size=1), {2: 0.001}),
    (MultiStep(1.0, milestones=[5, 8], gamma=0.1), {4: 1.0, 5: 0.1, 7: 0.1, 8: 0.01, 100: 0.01}),
    (MultiStep(1.0, milestones=()), {100: 1.0}),
    (MultiStep(1.0, milestones=(3, 3), gamma=0.5), {2: 1.0, 3: 0.25}),
    (Exponential(2.0, gamma=0.9), {0: 2.0, 3: 2 * 0.9**3}),
    (Exponential(1.0, gamma=1.1), {2: 1.21}),
    (Polynomial(1.0, total_steps=10), {0: 1.0, 5: 0.5, 10: 0.0, 11: 0.0}),
    (Polynomial(1.0, total_steps=10, power=2.5, end=0.1), {0: 1.0, 5: 0.1 + 0.9 * 0.5**2.5, 10: 0.1, 99: 0.1}),
    (InverseTime(1.0, decay_rate=0.5), {0: 1.0, 2: 0.5, 6: 0.25}),
    (InverseTime(1.0, decay_rate=1.0, decay_steps=10, staircase=True), {9: 1.0, 10: 0.5, 19: 0.5, 20: 1 / 3}),
    (LinearWarmup(1.0, warmup_steps=4, start_factor=0.0), {0: 0.0, 1: 0.25, 4: 1.0, 5: 1.0}),
    (LinearWarmup(3.0, warmup_steps=5), {0: 1.0, 5: 3.0, 1000: 3.0}),
    (CosineAnnealing(1.0, T_max=10, eta_min=0.2), {0: 1.0, 5: 0.6, 10: 0.2, 15: 0.2, 20: 0.2}),
    (CosineWarmRestarts(1.0, T_0=4), {0: 1.0, 2: 0.5, 4: 1.0, 6: 0.5, 4000: 1.0}),
    (CosineWarmRestarts(1.0, T_0=3, T_mult=2, eta_min=0.5), {0: 1.0, 3: 1.0, 6: 0.75, 9: 1.0, 21: 1.0, 45: 1.0}),
    (CosineWarmRestarts(1.0, T_0=1, T_mult=10), {0: 1.0, 1: 1.0, 6: 0.5, 11: 1.0, 111: 1.0, 1111: 1.0}),
    (Cyclical(0.1, 0.5, step_size_up=4), {0: 0.1, 2: 0.3, 4: 0.5, 6: 0.3, 8: 0.1, 12: 0.5}),
    (Cyclical(0.0, 1.0, step_size_up=2, step_size_down=4), {1: 0.5, 2: 1.0, 4: 0.5, 6: 0.0, 8: 1.0}),
    (Cyclical(0.0, 1.0, step_size_up=2, mode="triangular2"), {2: 1.0, 6: 0.5, 10: 0.25}),
    (Cyclical(0.0, 1.0, step_size_up=2, mode="exp_range", gamma=0.9), {2: 0.81, 6: 0.9**6}),
    (OneCycle(1.0, total_steps=100), {0: 0.04, 29: 1.0, 99: 4e-6, 200: 4e-6}),
    (OneCycle(1.0, total_steps=100, anneal_strategy="linear", three_phase=True, pct_start=0.4), {39: 1.0, 78: 0.04}),
    (OneCycle(1.0, total_steps=10, pct_start=0.1), {0: 1.0, 9: 4e-6}),
    (OneCycle(1.0, total_steps=10, pct_start=0.0), {9: 4e-6}),
    (OneCycle(1.0, total_steps=1), {0: 4e-6}),
    (Piecewise((2, 6, 6, 8), (0.4, 0.8, 0.2, 0.1)), {0: 0.4, 2: 0.4, 4: 0.6, 6: 0.8, 7: 0.15, 8: 0.1, 99: 0.1}),
    (Piecewise((0, 4), (0.4, 0.8), anneal_strategy="linear"), {0: 0.4, 1: 0.5, 4: 0.8}),
    (Piecewise((3,), (0.4,)), {0: 0.4, 9: 0.4}),
    (CosineAnnealing(1.0, T_max=10, rises_again=True), {0: 1.0, 10: 0.0, 15: 0.5, 20: 1.0}),
    (LinearWarmup(1.0, warmup_steps=4, start_factor=1.0, end_factor=0.5), {0: 1.0, 2: 0.75, 4: 0.5, 9: 0.5}),
    (Chained([LinearWarmup(1.0, 5, 0.0), Exponential(1.0, 0.5)], milestones=[5]), {0: 0.0, 4: 0.8, 5: 1.0, 7: 0.25}),
    (Chained([Constant(1.0), StepDecay(0.5, 2), Constant(0.1)], (3, 9)), {2: 1.0, 3: 0.5, 5: 0.05, 9: 0.1}),
    (Product([CosineAnnealing(0.5, 10), LinearWarmup(1.0, 4, 0.5)]), {0: 0.25, 5: 0.25, 10: 0.0}),
    (Product([Constant(0.5), Chained([Constant(2.0), Constant(4.0)], [2])]), {1: 1.0, 2: 2.0}),
]
SCHEDULES = [schedule for schedule, _ in EXAMPLES]
every = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)


def schedule_classes() -> dict[str, type[Schedule]]:
    return {name: kind for name, kind in Schedule.kinds.items() if kind.__module__.startswith("thalweg.")}


def test_every_schedule_is_in_the_table_and_in_the_public_room():
    classes = schedule_classes()
    assert set(classes.values()) == set(map(type, SCHEDULES))
    assert classes.keys() <= set(tw.optim.schedules.__all__)
    assert all(each.__name__ in classes for each in Schedule.__subclasses__() if each.__module__.startswith("thalweg."))


@pytest.mark.parametrize(("schedule", "known"), EXAMPLES, ids=[repr(each) for each, _ in EXAMPLES])
def test_known_values(schedule, known):
    for step, value in known.items():
        assert schedule(step) == pytest.approx(value, rel=1e-12, abs=1e-15), step


@every
def test_a_number_gives_a_float_and_a_tensor_a_tensor_with_the_same_bits(schedule):
    for step in (0, 1, 7, 50):
        value = schedule(step)
        assert type(value) is float
        found = schedule(tw.tensor(step))
        assert found.dtype is tw.float64
        assert found.shape == ()
        assert not found.requires_grad
        assert found.item() == value
        assert schedule(np.int64(step)) == value


@every
def test_values_are_those_of_the_single_steps(schedule):
    values = schedule.values(60)
    assert values.dtype == np.float64
    assert values.tolist() == pytest.approx([schedule(step) for step in range(60)], rel=1e-14)
    assert schedule.values([3, 59]).tolist() == pytest.approx([values[3], values[59]], rel=1e-14)
    assert schedule.values(0).shape == (0,)


@every
def test_values_are_finite_and_never_negative(schedule):
    values = schedule.values(3000)
    assert np.isfinite(values).all()
    assert (values >= 0).all()


@every
def test_the_configuration_survives_json(schedule):
    restored = from_config(json.loads(json.dumps(schedule.to_config())))
    assert restored == schedule
    assert hash(restored) == hash(schedule)
    assert repr(restored) == repr(schedule)


@every
def test_a_compiled_step_computes_it(schedule):
    evaluated = tw.compile(lambda step: schedule(step))
    for step in (0, 1, 7, 50):
        assert evaluated(tw.tensor(step)).item() == pytest.approx(schedule(step), rel=1e-12, abs=1e-15)


@every
def test_schedules_cannot_be_changed(schedule):
    with pytest.raises(AttributeError):
        schedule.lr = 1.0


@pytest.mark.parametrize("kind", schedule_classes().values())
def test_docstrings_have_an_example(kind):
    assert ">>> " in inspect.getdoc(kind)


@given(st.integers(1, 50), st.integers(2, 12), st.integers(0, 11))
def test_warm_restarts_start_exactly_where_the_periods_do(first, factor, count):
    """The logarithm that finds the period is off by one at some restarts; the correction must catch them all."""
    start = first * (factor**count - 1) // (factor - 1)
    schedule = CosineWarmRestarts(1.0, T_0=first, T_mult=factor)
    assert schedule(start) == 1.0
    if start > 1:
        last = first * factor ** (count - 1)
        assert schedule(start - 1) == pytest.approx(0.5 * (1 + math.cos(math.pi * (last - 1) / last)), abs=1e-12)


def test_integer_settings_stay_floating_point():
    assert tw.tensor(3) is not None
    assert Constant(1)(tw.tensor(3)).dtype is tw.float64
    assert CosineAnnealing(1, 10)(tw.tensor(3)).dtype is tw.float64


def test_a_schedule_of_ones_own_takes_part():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Sawtooth(Schedule):
        lr: float

        def formula(self, t):
            return self.lr * (1.0 - t / 4.0 + (t / 4.0).floor())

    try:
        schedule = Product([Sawtooth(1.0), Constant(0.5)])
        assert schedule.values(5).tolist() == [0.5, 0.375, 0.25, 0.125, 0.5]
        assert from_config(schedule.to_config()) == schedule
    finally:
        del Schedule.kinds["Sawtooth"]


BAD = [
    (lambda: Constant(-1), "Constant: lr"),
    (lambda: Constant("0.1"), "Constant: lr"),
    (lambda: Constant(True), "Constant: lr"),
    (lambda: Constant(math.nan), "Constant: lr"),
    (lambda: Constant(math.inf), "Constant: lr"),
    (lambda: StepDecay(0.1, step_size=0), "step_size .*\n.*0\n.*whole number of at least 1"),
    (lambda: StepDecay(0.1, step_size=1.5), "step_size"),
    (lambda: StepDecay(0.1, 2, gamma=-0.1), "gamma"),
    (lambda: MultiStep(0.1, milestones=[0.5]), "milestones"),
    (lambda: Polynomial(0.1, total_steps=0), "total_steps"),
    (lambda: Polynomial(0.1, 10, power=-1), "power"),
    (lambda: InverseTime(0.1, decay_rate=-1), "decay_rate"),
    (lambda: LinearWarmup(0.1, warmup_steps=0), "warmup_steps"),
    (lambda: CosineAnnealing(0.1, T_max=0), "T_max"),
    (lambda: CosineWarmRestarts(0.1, T_0=0), "T_0"),
    (lambda: CosineWarmRestarts(0.1, T_0=1, T_mult=0), "T_mult"),
    (lambda: Cyclical(0.1, 0.2, mode="square"), "mode .*\n.*'square'\n.*triangular, triangular2, exp_range"),
    (lambda: Cyclical(0.1, 0.2, step_size_down=0), "step_size_down"),
    (lambda: OneCycle(0.1, 100, pct_start=1.5), "pct_start"),
    (lambda: OneCycle(0.1, 100, anneal_strategy="cosine"), "anneal_strategy"),
    (lambda: OneCycle(0.1, 100, div_factor=0), "div_factor"),
    (lambda: Chained([Constant(1.0), Constant(2.0)], []), "milestones .*\n.*\n.*1 rising steps"),
    (lambda: Chained([Constant(1.0)] * 3, [5, 5]), "milestones"),
    (lambda: Chained([], []), "made of schedules"),
    (lambda: Chained([0.1, Constant(1.0)], [5]), "schedules.Constant"),
    (lambda: Product(Constant(1.0)), "made of schedules"),
    (lambda: Constant(0.1)(-1), "function of the step"),
    (lambda: Constant(0.1)("1"), "function of the step"),
    (lambda: Constant(0.1).values([1, -2]), "function of the step"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"schedule": "Cosine", "lr": 0.1}, "unknown schedule"),
        ({"lr": 0.1}, "unknown schedule"),
        ("Constant", "unknown schedule"),
        ({"schedule": ["Constant"]}, "unknown schedule"),
        ({"schedule": "Constant", "lr": 0.1, "rate": 3}, "no such setting"),
        ({"schedule": "Constant"}, "lacks a setting"),
    ],
)
def test_bad_configurations_are_refused(config, message):
    with pytest.raises(ConfigurationError, match=message):
        from_config(config)
