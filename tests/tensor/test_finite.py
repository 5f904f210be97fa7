"""A compiled step with a policy for values that are not finite: all of its writes take place, or none."""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn, optim
from thalweg.errors import ArgumentError, NonFiniteError
from thalweg.tensor import random
from thalweg.tensor.trace import MOST_SKIPPED

NAN, INFINITY = float("nan"), float("inf")


def network():
    tw.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.3), nn.Linear(40, 3))


def batch(size=4):
    generator = np.random.default_rng(size)
    return tw.tensor(generator.normal(size=(size, 6)).astype(np.float32)), tw.tensor(generator.integers(0, 3, size))


def training(nonfinite, make=optim.Adam, model=None, clips=False):
    model = network() if model is None else model
    optimizer = make(model.parameters(), lr=0.01)

    @tw.compile(nonfinite=nonfinite)
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if clips:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step, model, optimizer


def cells(model, optimizer):
    state = [value for each in optimizer.state.values() for value in each.values()]
    found = [*model.state_dict().values(), *state]
    return [each.detach().numpy() for each in found] + [optimizer.step_count, *random.default_generator.get_state()]


def all_finite(found):
    return all(np.isfinite(each).all() for each in found if getattr(each, "ndim", 0) and each.dtype.kind == "f")


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def spoilt(value, at=(1, 2)):
    x, y = batch()
    array = x.numpy()
    array[at] = value
    return tw.tensor(array), y


@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize(
    "make", [optim.SGD, lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), optim.Adam, optim.RMSprop]
)
def test_a_policy_changes_no_bit_of_steps_that_are_finite(make, clips):
    found = []
    for policy in (None, "skip_step"):
        step, model, optimizer = training(policy, make, clips=clips)
        for _ in range(3):
            step(*batch())
        found.append(cells(model, optimizer))
    assert same(*found)


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
def test_a_step_that_is_left_out_touches_nothing(value):
    step, model, optimizer = training("skip_step")
    for _ in range(3):
        step(*batch())
        before = cells(model, optimizer)
        loss = step(*spoilt(value)).item()
        assert same(before, cells(model, optimizer))
        assert loss != loss
    assert step.skipped == 3
    step(*batch())
    assert step.skipped_in_a_row == 0


def test_in_one_native_call_of_many_steps_it_ends_the_call():
    step, model, optimizer = training("skip_step", model=nn.Sequential(nn.Linear(6, 3)))
    step(*batch(4))
    step(*batch(4))
    array, labels = (each.numpy() for each in batch(40))
    array[18, 0] = NAN
    done, losses = step.many([array, labels], np.arange(40), 4)
    assert done == 5
    assert np.isnan(losses[-1])
    assert np.isfinite(losses[:-1]).all()
    assert step.skipped_in_a_row == 1
    assert optimizer.step_count == 6
    assert all_finite(cells(model, optimizer))


def test_a_gradient_that_is_infinite_while_the_loss_is_not():
    w = tw.tensor([0.0, 4.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)

    @tw.compile(nonfinite="skip_step")
    def step(target):
        optimizer.zero_grad()
        loss = (w.sqrt() * target).sum()
        loss.backward()
        optimizer.step()
        return loss

    assert step(tw.tensor([1.0, 1.0])).item() == 2.0
    assert step.skipped == 1
    assert w.tolist() == [0.0, 4.0]


@pytest.mark.parametrize("scale", [1e12, 3e19])
def test_a_gradient_whose_square_is_out_of_range_reaches_no_second_moment(scale):
    """Also that of a large matrix, which is asked about by its factors."""
    model = nn.Linear(30, 50)
    optimizer = optim.Adam(model.parameters())

    @tw.compile(nonfinite="skip_step")
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) * scale).sum()
        loss.backward()
        optimizer.step()
        return loss

    step(tw.ones(2, 30))
    assert step.skipped == (scale > 1e18)
    assert all_finite(cells(model, optimizer))


def test_running_statistics_count_although_loss_and_gradients_are_finite():
    step, model, optimizer = training("skip_step")
    step(*batch())
    before = cells(model, optimizer)
    step(*spoilt(1e30, at=(0, 0)))  # the variance overflows, the normalised values are 0
    assert step.skipped == 1
    assert same(before, cells(model, optimizer))


def test_raising_leaves_everything_as_it_was():
    step, model, optimizer = training("raise")
    step(*batch())
    before = cells(model, optimizer)
    with pytest.raises(NonFiniteError, match="no weight and no state was changed"):
        step(*spoilt(NAN))
    assert same(before, cells(model, optimizer))


def test_too_many_in_a_row_raise():
    step, *_ = training("skip_step", model=nn.Linear(6, 3))
    for _ in range(MOST_SKIPPED - 1):
        step(*spoilt(NAN))
    with pytest.raises(NonFiniteError, match=f"{MOST_SKIPPED} times in a row"):
        step(*spoilt(NAN))


def test_an_update_is_still_one_pass_over_a_large_weight():
    """The gradient of a large matrix is not looked at, so no new value waits in memory for the answer."""
    arenas = []
    for policy in (None, "skip_step"):
        step, *_ = training(policy, model=nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3)))
        step(tw.ones(16, 300), tw.tensor(np.zeros(16, np.int64)))
        (compiled,) = step._programs.values()
        arenas.append(compiled.executable.native.layout.arena)
    assert arenas[1] <= 1.05 * arenas[0]


def test_a_forward_pass_alone_has_nothing_to_guard():
    model = nn.Linear(6, 3)
    step = tw.compile(model, nonfinite="raise")
    assert np.isnan(step(spoilt(NAN)[0]).detach().numpy()).any()


def test_an_unknown_policy_is_refused():
    with pytest.raises(ArgumentError, match="skip_step"):
        tw.compile(nonfinite="ignore")(lambda x: x)
