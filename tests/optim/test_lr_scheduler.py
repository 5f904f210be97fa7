"""The schedulers of `torch.optim.lr_scheduler`: the same rates and momenta, step for step; states; misuse.

In: constructors that both libraries take. Out: equal rates over 40 steps, in groups with rates of their own, alone, in
chains, in sequence, and after a state was saved and loaded.
"""

from __future__ import annotations

import inspect
import json
import warnings

import numpy as np
import pytest

import thalweg as tw
from thalweg.optim import lr_scheduler

STEPS = 40


class Halves:
    """A callable object, whose state is saved."""

    def __init__(self):
        self.base = 0.5

    def __call__(self, epoch):
        return self.base ** (epoch % 3)


# Each makes a scheduler from the module of schedulers and an optimizer.
MAKERS = {
    "lambda": lambda LR, o: LR.LambdaLR(o, lambda t: 0.9**t),
    "lambda-each": lambda LR, o: LR.LambdaLR(o, [lambda t: 1 / (1 + t), lambda t: 1.0]),
    "lambda-object": lambda LR, o: LR.LambdaLR(o, Halves()),
    "multiplicative": lambda LR, o: LR.MultiplicativeLR(o, lambda t: 0.9 if t % 2 else 1.05),
    "step": lambda LR, o: LR.StepLR(o, 7, 0.5),
    "multi-step": lambda LR, o: LR.MultiStepLR(o, [20, 3, 3, 9], gamma=0.5),
    "constant": lambda LR, o: LR.ConstantLR(o, 0.25, total_iters=6),
    "linear": lambda LR, o: LR.LinearLR(o, 0.25, 0.8, total_iters=9),
    "linear-default": lambda LR, o: LR.LinearLR(o),
    "exponential": lambda LR, o: LR.ExponentialLR(o, 0.93),
    "polynomial": lambda LR, o: LR.PolynomialLR(o, total_iters=12, power=2.0),
    "cosine": lambda LR, o: LR.CosineAnnealingLR(o, T_max=9, eta_min=0.01),
    "restarts": lambda LR, o: LR.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.001),
    "restarts-even": lambda LR, o: LR.CosineAnnealingWarmRestarts(o, 4),
    "cyclic": lambda LR, o: LR.CyclicLR(o, 0.01, 0.3, 5, 8),
    "cyclic-2": lambda LR, o: LR.CyclicLR(o, [0.01, 0.02], 0.3, 5, mode="triangular2", base_momentum=0.5),
    "cyclic-exp": lambda LR, o: LR.CyclicLR(o, 0.01, 0.3, 5, mode="exp_range", gamma=0.97, max_momentum=0.95),
    "cyclic-fn": lambda LR, o: LR.CyclicLR(o, 0.01, 0.3, 5, scale_fn=lambda n: 1 / n, cycle_momentum=False),
    "cyclic-fn-steps": lambda LR, o: LR.CyclicLR(o, 0.01, 0.3, 5, scale_fn=lambda n: 0.9**n, scale_mode="iterations"),
    "one-cycle": lambda LR, o: LR.OneCycleLR(o, 0.5, total_steps=41),
    "one-cycle-3": lambda LR, o: LR.OneCycleLR(
        o, [0.5, 0.2], epochs=7, steps_per_epoch=6, pct_start=0.4, three_phase=True, anneal_strategy="linear"
    ),
    "one-cycle-rate": lambda LR, o: LR.OneCycleLR(o, 0.5, 41, cycle_momentum=False, div_factor=4, final_div_factor=9),
    "sequence": lambda LR, o: LR.SequentialLR(
        o,
        [LR.LinearLR(o, 0.1, total_iters=6), LR.CosineAnnealingLR(o, 20), LR.ExponentialLR(o, 0.9)],
        milestones=[6, 26],
    ),
    "sequence-restarts": lambda LR, o: LR.SequentialLR(
        o, [LR.ConstantLR(o, 0.1, 9), LR.CosineAnnealingWarmRestarts(o, 4, 2)], milestones=[8]
    ),
    "chain": lambda LR, o: LR.ChainedScheduler(
        [LR.LinearLR(o, 0.1, total_iters=6), LR.MultiStepLR(o, [10, 20]), LR.ExponentialLR(o, 0.95)]
    ),
    "chain-cosine": lambda LR, o: LR.ChainedScheduler(
        [LR.ConstantLR(o, 0.1, 4), LR.CosineAnnealingLR(o, 9, 0.001)], optimizer=o
    ),
    "sequence-of-chains": lambda LR, o: LR.SequentialLR(
        o, [LR.StepLR(o, 2), LR.PolynomialLR(o, 20, 0.5)], milestones=[5]
    ),
}
# ChainedScheduler with a cosine goes through 0 and back, where PyTorch's recursion loses its digits.
TOLERANCE = {"chain-cosine": 1e-6}


def groups_of(module):
    weights = [module.zeros(2, requires_grad=True) for _ in range(2)]
    return [{"params": [weights[0]], "lr": 0.4}, {"params": [weights[1]], "lr": 0.05}]


def walk(scheduler, optimizer, steps=STEPS):
    """Rates and momenta of both groups at each step."""
    rows = []
    for _ in range(steps):
        rows.append([each[name] for each in optimizer.param_groups for name in ("lr", "momentum")])
        optimizer.step()
        scheduler.step()
        np.testing.assert_array_equal(scheduler.get_last_lr(), [each["lr"] for each in optimizer.param_groups])
    return np.array(rows)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.peer
@pytest.mark.parametrize("name", MAKERS)
def test_rates_and_momenta_are_pytorchs(name, torch):
    mine = tw.optim.SGD(groups_of(tw), momentum=0.9)
    other = torch.optim.SGD(groups_of(torch), momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's SequentialLR warns about itself
        expected = walk(MAKERS[name](torch.optim.lr_scheduler, other), other)
    found = walk(MAKERS[name](lr_scheduler, mine), mine)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE.get(name, 1e-9), atol=1e-12)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["cyclic", "one-cycle"])
def test_adams_first_beta_cycles_as_in_pytorch(name, torch):
    mine, other = tw.optim.Adam(groups_of(tw)), torch.optim.Adam(groups_of(torch))
    schedulers = MAKERS[name](lr_scheduler, mine), MAKERS[name](torch.optim.lr_scheduler, other)
    for _ in range(STEPS):
        for optimizer, scheduler in zip((mine, other), schedulers, strict=True):
            optimizer.step()
            scheduler.step()
        assert mine.param_groups[1]["betas"] == pytest.approx(other.param_groups[1]["betas"], rel=1e-12)


@pytest.mark.peer
@pytest.mark.parametrize("name", sorted(lr_scheduler.__all__))
def test_arguments_and_defaults_are_pytorchs(name, torch):
    ours = inspect.signature(getattr(lr_scheduler, name)).parameters
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    assert [(each, one.default) for each, one in ours.items()] == [
        (each, pytest.approx(one.default) if isinstance(one.default, float) else one.default)
        for each, one in theirs.items()
    ]


@pytest.mark.peer
def test_every_scheduler_of_pytorch_is_there(torch):
    assert set(torch.optim.lr_scheduler.__all__) <= set(lr_scheduler.__all__)


@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_state_continues(name):
    whole = tw.optim.SGD(groups_of(tw), momentum=0.9)
    expected = walk(MAKERS[name](lr_scheduler, whole), whole)
    first = tw.optim.SGD(groups_of(tw), momentum=0.9)
    scheduler = MAKERS[name](lr_scheduler, first)
    walk(scheduler, first, 15)
    saved = json.loads(json.dumps([scheduler.state_dict(), first.state_dict()]))
    second = tw.optim.SGD(groups_of(tw), momentum=0.9)
    restored = MAKERS[name](lr_scheduler, second)
    second.load_state_dict(saved[1])
    restored.load_state_dict(saved[0])
    np.testing.assert_allclose(walk(restored, second, STEPS - 15), expected[15:], rtol=1e-12)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["step", "multi-step", "cosine", "one-cycle", "cyclic", "chain", "restarts", "lambda"])
def test_a_state_that_pytorch_saved_continues_here(name, torch):
    other = torch.optim.SGD(groups_of(torch), momentum=0.9)
    theirs = MAKERS[name](torch.optim.lr_scheduler, other)
    walk(theirs, other, 15)
    mine = tw.optim.SGD(groups_of(tw), momentum=0.9)
    ours = MAKERS[name](lr_scheduler, mine)
    state = other.state_dict()
    for group in state["param_groups"]:
        group.pop("differentiable", None)
    mine.load_state_dict(state)
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(walk(ours, mine, 20), walk(theirs, other, 20), rtol=1e-9, atol=1e-12)


@pytest.mark.peer
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"mode": "max", "patience": 1, "factor": 0.5, "cooldown": 2},
        {"threshold_mode": "abs", "threshold": 0.1, "patience": 0, "min_lr": [0.01, 0.02]},
        {"mode": "max", "threshold_mode": "abs", "patience": 0, "eps": 0.05},
    ],
    ids=str,
)
def test_a_plateau_is_found_as_in_pytorch(options, torch):
    mine, other = tw.optim.SGD(groups_of(tw)), torch.optim.SGD(groups_of(torch))
    ours = lr_scheduler.ReduceLROnPlateau(mine, **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    for index, value in enumerate(np.random.default_rng(0).normal(size=30).round(1)):
        ours.step(tw.tensor(value) if index % 2 else float(value))
        theirs.step(float(value))
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12)
        if index == 12:
            again = lr_scheduler.ReduceLROnPlateau(mine)
            again.load_state_dict(json.loads(json.dumps(ours.state_dict())))
            ours = again


@pytest.mark.peer
def test_steps_to_a_given_epoch_are_pytorchs(torch):
    mine, other = tw.optim.SGD(groups_of(tw)), torch.optim.SGD(groups_of(torch))
    for module, optimizer in ((lr_scheduler, mine), (torch.optim.lr_scheduler, other)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler = module.CosineAnnealingWarmRestarts(optimizer, 3, 2)
            for epoch in (0.5, 1.75, 4.2, 11.0):
                scheduler.step(epoch)
            scheduler.step()
            module.StepLR(optimizer, 2, 0.5).step(5)
    np.testing.assert_allclose(
        [each["lr"] for each in mine.param_groups], [each["lr"] for each in other.param_groups], rtol=1e-9
    )


def test_a_compiled_step_takes_the_new_rate_without_a_second_compilation():
    w = tw.tensor([1.0, 2.0], requires_grad=True)
    optimizer = tw.optim.SGD([w], lr=1.0)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.0)
    traces = []

    @tw.compile
    def step():
        traces.append(1)
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()

    step()
    step()
    traced, before = len(traces), w.tolist()
    scheduler.step()
    step()
    assert w.tolist() == before
    assert len(traces) == traced


def test_a_step_of_the_scheduler_before_the_optimizers_is_reported():
    scheduler = lr_scheduler.StepLR(tw.optim.SGD(groups_of(tw)), 2)
    with pytest.warns(UserWarning, match=r"before optimizer\.step"):
        scheduler.step()


def _sgd(**options):
    return tw.optim.SGD(groups_of(tw), **options)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: lr_scheduler.StepLR("sgd", 2), "an optimizer"),
        (lambda: lr_scheduler.StepLR(_sgd(), 0), "step_size"),
        (lambda: lr_scheduler.StepLR(tw.optim.SGD(groups_of(tw)[0]["params"], lr=tw.optim.schedules.Constant(1.0)), 2),
         "belongs to a schedule"),
        (lambda: lr_scheduler.StepLR(_sgd(), 2, last_epoch=3), "initial_lr"),
        (lambda: lr_scheduler.LambdaLR(_sgd(), [lambda t: 1.0]), "one for each of 2"),
        (lambda: lr_scheduler.LambdaLR(_sgd(), 0.5), "a function"),
        (lambda: lr_scheduler.ConstantLR(_sgd(), 1.5), "factor"),
        (lambda: lr_scheduler.LinearLR(_sgd(), 0.0), "start_factor"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(_sgd(), 0), "T_0"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(_sgd(), 3).step(-1.0), "negative"),
        (lambda: lr_scheduler.OneCycleLR(_sgd(), 0.5), "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(_sgd(), 0.5, 10, pct_start=2.0), "pct_start"),
        (lambda: lr_scheduler.OneCycleLR(tw.optim.Rprop(groups_of(tw)), 0.5, 10), "cycle_momentum"),
        (lambda: lr_scheduler.OneCycleLR(_sgd(momentum=0.9), 0.5, 10).step(11), "after its cycle"),
        (lambda: lr_scheduler.CyclicLR(_sgd(), 0.1, [0.2]), "max_lr"),
        (lambda: lr_scheduler.CyclicLR(_sgd(), 0.1, 0.2, mode="square"), "mode"),
        (lambda: lr_scheduler.SequentialLR(_sgd(), [], []), "at least one"),
        (lambda: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(_sgd())]), "take its turn"),
        (lambda: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(_sgd(), 2), lr_scheduler.StepLR(_sgd(), 2)]),
         "several optimizers"),
        (lambda: lr_scheduler.ReduceLROnPlateau(_sgd(), factor=1.0), "reduces nothing"),
        (lambda: lr_scheduler.ReduceLROnPlateau(_sgd(), mode="up"), "mode"),
        (lambda: lr_scheduler.StepLR(_sgd(), 2).load_state_dict({}), "state"),
        (lambda: tw.compile(lr_scheduler.StepLR(_sgd(), 2).step)(), "compiled"),
    ],
)  # fmt: skip
def test_misuse_is_explained(make, match):
    with pytest.raises(tw.ThalwegError, match=match):
        make()
