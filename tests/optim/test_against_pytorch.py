"""Optimizers and schedules against PyTorch's, over 100 steps on equal gradients.

In: the same parameters, gradients and options for both. Out: the same parameters and state: float64 to 1e-9, float32
to 1e-5, judged per tensor as |a - b| <= tolerance * max|b|.
"""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import pytest

import thalweg as tw
from tests.support.sweep import sweep
from thalweg.optim import schedules

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
# A single float32 number passes through 0 as gradients cancel, where no relative tolerance holds: 0-d is for float64.
SHAPES = {"float32": [(5, 3), (4,), (2, 2, 3)], "float64": [(5, 3), (4,), ()]}
STEPS = 100


def product(**choices):
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


CONFIGURATIONS = [
    *(
        ("SGD", options)
        for options in product(
            lr=[0.1, 1e-3],
            momentum=[0.0, 0.5, 0.9],
            dampening=[0.0, 0.3],
            weight_decay=[0.0, 0.05],
            nesterov=[False, True],
            maximize=[False, True],
        )
        if not options["nesterov"] or (options["momentum"] and not options["dampening"])
    ),
    *(
        ("Adagrad", options)
        for options in product(
            lr=[0.1, 1e-2],
            lr_decay=[0.0, 0.05],
            weight_decay=[0.0, 0.05],
            initial_accumulator_value=[0.0, 0.2],
            eps=[1e-10, 1e-3],
            maximize=[False, True],
        )
    ),
    *(
        ("RMSprop", options)
        for options in product(
            lr=[0.1, 1e-2],
            alpha=[0.99, 0.7],
            eps=[1e-8, 1e-3],
            weight_decay=[0.0, 0.05],
            momentum=[0.0, 0.9],
            centered=[False, True],
            maximize=[False, True],
        )
    ),
    *(
        (name, options)
        for name in ("Adam", "AdamW")
        for options in product(
            lr=[0.1, 1e-3],
            betas=[(0.9, 0.999), (0.5, 0.7), (0.0, 0.9)],
            eps=[1e-8, 1e-3],
            weight_decay=[0.0, 0.05],
            amsgrad=[False, True],
            maximize=[False, True],
        )
    ),
    *(
        ("NAdam", options)
        for options in product(
            lr=[0.1, 1e-3],
            weight_decay=[0.0, 0.05],
            momentum_decay=[4e-3, 0.1],
            decoupled_weight_decay=[False, True],
        )
    ),
    *(
        ("RAdam", options)
        for options in product(
            betas=[(0.9, 0.999), (0.5, 0.7), (0.0, 0.5)],
            eps=[1e-8, 1e-3],
            weight_decay=[0.0, 0.05],
            decoupled_weight_decay=[False, True],
        )
    ),
    *(("Adadelta", options) for options in product(rho=[0.9, 0.5, 1.0], eps=[1e-6, 1e-3], weight_decay=[0.0, 0.05])),
    *(
        ("Adamax", options)
        for options in product(betas=[(0.9, 0.999), (0.5, 0.7)], eps=[1e-8, 1e-3], weight_decay=[0.0, 0.05])
    ),
    *(
        ("ASGD", options)
        for options in product(lambd=[1e-4, 0.1], alpha=[0.75, 0.5], t0=[1e6, 0, 20], weight_decay=[0.0, 0.05])
    ),
    *(
        ("Rprop", options)
        for options in product(
            lr=[0.1, 1e-3], etas=[(0.5, 1.2), (0.3, 1.5)], step_sizes=[(1e-6, 50), (1e-3, 0.2)], maximize=[False, True]
        )
    ),
    *(
        ("Adafactor", options)
        for options in product(
            beta2_decay=[-0.8, -0.5],
            eps=[(None, 1e-3), (1e-2, 0.1)],
            d=[1.0, 2.0],
            weight_decay=[0.0, 0.05],
        )
    ),
]
CASES = [(*case, dtype) for dtype in TOLERANCE for case in sweep(CONFIGURATIONS, seed=len(dtype))]
NAMES = sorted({name for name, _ in CONFIGURATIONS})
DEFAULTS = [(name, {}, dtype) for name in NAMES for dtype in TOLERANCE]


@pytest.fixture(autouse=True)
def _wide_counts():
    """PyTorch keeps the numbers beside the averages (NAdam's product, ASGD's rate) in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def assert_close(found, expected, dtype, what):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, what
    worst, scale = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    assert worst <= TOLERANCE[dtype] * scale, f"{what}: {worst} at a scale of {scale}"


def start(dtype, seed=0):
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES[dtype]]
    ours = [tw.tensor(value, requires_grad=True) for value in values]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    return ours, theirs, rng


def give_gradients(ours, theirs, rng, step):
    """Gradients of changing size; every seventh step some are 0, every eleventh one is missing."""
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        value = (rng.standard_normal(a.shape) * (1 + step % 5)).astype(b.detach().numpy().dtype)
        value = value * (rng.random(a.shape) > 0.5) if step % 7 == 3 else value
        is_missing = step % 11 == 5 and index == 1
        a.grad = None if is_missing else tw.tensor(np.asarray(value, b.detach().numpy().dtype))
        b.grad = None if is_missing else torch.tensor(value, dtype=b.dtype)


def assert_equal_state(ours, theirs, mine, other, dtype, what):
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a.detach().numpy(), b.detach().numpy(), dtype, what)
        for name, value in mine.state[a].items():
            known = other.state[b]
            if name in known:
                assert_close(value.numpy(), known[name].numpy(), dtype, f"{what}: {name}")


@pytest.mark.parametrize(("name", "options", "dtype"), CASES + DEFAULTS, ids=str)
def test_optimizers_over_a_hundred_steps(name, options, dtype):
    ours, theirs, rng = start(dtype)
    mine, other = getattr(tw.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(STEPS):
        give_gradients(ours, theirs, rng, step)
        mine.step()
        other.step()
        if step in (0, 1, 10, STEPS - 1):
            assert_equal_state(ours, theirs, mine, other, dtype, f"{name} {options} step {step}")


@pytest.mark.parametrize(("name", "options", "dtype"), DEFAULTS, ids=str)
def test_names_and_defaults(name, options, dtype):
    ours, theirs, _ = start(dtype)
    mine, other = getattr(tw.optim, name)(ours), getattr(torch.optim, name)(theirs)
    not_ours = {"foreach", "fused", "capturable", "differentiable", "params"}
    wanted = {key: value for key, value in other.param_groups[0].items() if key not in not_ours}
    assert {key: value for key, value in mine.param_groups[0].items() if key != "params"} == wanted
    lines = (re.sub(r"(\d)\.0\b", r"\1", line.strip()) for line in repr(other).splitlines())
    shown = {line for line in lines if line.split(":")[0] not in not_ours}
    assert {line.strip() for line in repr(mine).splitlines()} == shown


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}),
        ("Adagrad", {"lr_decay": 0.1}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
        ("Adam", {"amsgrad": True, "betas": (0.8, 0.9)}),
        ("AdamW", {"weight_decay": 0.1}),
        ("SGD", {"lr": 0.1}),
        ("NAdam", {"momentum_decay": 0.1}),
        ("RAdam", {"betas": (0.8, 0.9)}),
        ("Adadelta", {"rho": 0.8}),
        ("Adamax", {"lr": 0.1}),
        ("ASGD", {"lr": 0.1, "t0": 3}),
        ("Rprop", {"lr": 0.1, "etas": (0.4, 1.3)}),
        ("Adafactor", {"lr": 0.1, "eps": (1e-3, 0.1)}),
    ],
)
def test_a_state_that_pytorch_saved_continues_here(name, options):
    ours, theirs, rng = start("float64")
    other = getattr(torch.optim, name)(theirs, **options)
    for step in range(10):
        give_gradients(ours, theirs, rng, step)
        other.step()
    with tw.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            a.copy_(tw.tensor(b.detach().numpy()))
    mine = getattr(tw.optim, name)(ours)
    mine.load_state_dict(other.state_dict())
    for step in range(10, 20):
        give_gradients(ours, theirs, rng, step)
        mine.step()
        other.step()
    assert_equal_state(ours, theirs, mine, other, "float64", name)


# --- schedules --------------------------------------------------------------------------------------------------------

LR = torch.optim.lr_scheduler
SCHEDULES = [
    *(
        (schedules.StepDecay(0.3, step_size=size, gamma=gamma), lambda o, s=size, g=gamma: LR.StepLR(o, s, g))
        for size, gamma in itertools.product([1, 7, 30], [0.1, 0.9])
    ),
    *(
        (schedules.MultiStep(0.3, milestones=m, gamma=0.3), lambda o, m=m: LR.MultiStepLR(o, list(m), 0.3))
        for m in [(5, 20, 90), (3, 3, 50), ()]
    ),
    *(
        (schedules.Exponential(0.3, gamma=gamma), lambda o, g=gamma: LR.ExponentialLR(o, g))
        for gamma in (0.9, 0.999, 1.01)
    ),
    *(
        (schedules.Polynomial(0.3, total_steps=n, power=p), lambda o, n=n, p=p: LR.PolynomialLR(o, n, p))
        for n, p in itertools.product([10, 150], [0.5, 1.0, 2.0])
    ),
    *(
        (schedules.LinearWarmup(0.3, n, start_factor=f), lambda o, n=n, f=f: LR.LinearLR(o, f, total_iters=n))
        for n, f in itertools.product([5, 60, 200], [1 / 3, 0.01])
    ),
    (schedules.LinearWarmup(0.3, 5), lambda o: LR.LinearLR(o)),
    *(
        (schedules.CosineAnnealing(0.3, T_max=120, eta_min=m), lambda o, m=m: LR.CosineAnnealingLR(o, 120, m))
        for m in (0.0, 0.01)
    ),
    *(
        (
            schedules.CosineWarmRestarts(0.3, T_0=n, T_mult=k, eta_min=m),
            lambda o, n=n, k=k, m=m: LR.CosineAnnealingWarmRestarts(o, n, k, m),
        )
        for n, k, m in itertools.product([1, 7, 10], [1, 2, 3], [0.0, 0.01])
    ),
    *(
        (
            schedules.Cyclical(0.01, 0.3, up, down, mode, gamma),
            lambda o, u=up, d=down, m=mode, g=gamma: LR.CyclicLR(
                o, 0.01, 0.3, u, d, mode=m, gamma=g, cycle_momentum=False
            ),
        )
        for up, down, (mode, gamma) in itertools.product(
            [5, 12], [None, 20], [("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.98)]
        )
    ),
    *(
        (
            schedules.OneCycle(0.3, 121, pct_start=p, anneal_strategy=a, div_factor=d, three_phase=t),
            lambda o, p=p, a=a, d=d, t=t: LR.OneCycleLR(
                o, 0.3, 121, pct_start=p, anneal_strategy=a, div_factor=d, three_phase=t, cycle_momentum=False
            ),
        )
        for p, a, d, t in itertools.product([0.3, 0.45], ["cos", "linear"], [25.0, 4.0], [False, True])
    ),
    (
        schedules.Chained([schedules.LinearWarmup(0.3, 20, 0.1), schedules.Exponential(0.3, 0.97)], milestones=[20]),
        lambda o: LR.SequentialLR(o, [LR.LinearLR(o, 0.1, total_iters=20), LR.ExponentialLR(o, 0.97)], [20]),
    ),
    (
        schedules.Product([schedules.LinearWarmup(0.3, 20, 0.1), schedules.Exponential(1.0, 0.97)]),
        lambda o: LR.ChainedScheduler([LR.LinearLR(o, 0.1, total_iters=20), LR.ExponentialLR(o, 0.97)]),
    ),
]


@pytest.mark.parametrize(("schedule", "make"), SCHEDULES, ids=[repr(schedule) for schedule, _ in SCHEDULES])
def test_schedules_over_a_hundred_and_twenty_steps(schedule, make):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    expected = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        for _ in range(120):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    np.testing.assert_allclose(schedule.values(120), expected, rtol=1e-9, atol=1e-12)


def test_training_with_a_schedule_is_training_with_pytorchs_scheduler():
    ours, theirs, rng = start("float64")
    mine = tw.optim.Adam(ours, lr=schedules.OneCycle(0.1, 100))
    other = torch.optim.Adam(theirs, lr=0.1)
    scheduler = LR.OneCycleLR(other, 0.1, 100, cycle_momentum=False)
    for step in range(99):
        give_gradients(ours, theirs, rng, step)
        mine.step()
        other.step()
        scheduler.step()
    assert_equal_state(ours, theirs, mine, other, "float64", "Adam with OneCycle")


def test_an_l2_penalty_is_pytorchs_weight_decay():
    ours, theirs, rng = start("float64")
    mine = tw.optim.SGD(ours, lr=0.1)
    other = torch.optim.SGD(theirs, lr=0.1, weight_decay=0.2)
    penalty = tw.optim.L2(0.2, ours)
    for _ in range(20):
        gradients = [rng.standard_normal(shape) for shape in SHAPES["float64"]]
        mine.zero_grad()
        (sum((p * tw.tensor(g)).sum() for p, g in zip(ours, gradients, strict=True)) + penalty()).backward()
        mine.step()
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = torch.tensor(g, dtype=p.dtype)
        other.step()
    assert_equal_state(ours, theirs, mine, other, "float64", "L2")
