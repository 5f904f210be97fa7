"""Lazy values: shapes, dtypes and errors at once; values when needed, each once; old values stay; anomalies named.

In: programs whose evaluations are counted. Out: how many operations ran and when, and the same numbers in eager mode.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import thalweg as tw
from thalweg.graph import scope
from thalweg.tensor import core, lazy


@pytest.fixture
def evaluated(monkeypatch):
    """The operations that have been evaluated so far, in order."""
    names: list[str] = []
    run = lazy._run

    def counted(pending, keep, keep_all):
        names.extend(node.op.name for node in pending)
        run(pending, keep, keep_all)

    monkeypatch.setattr(lazy, "_run", counted)
    return names


def test_shapes_dtypes_and_errors_are_known_without_a_value(evaluated):
    x, w = tw.ones(4, 3), tw.ones(3, 2, dtype="float64", requires_grad=True)
    y = (x @ w).softmax(-1)[1:, 0]
    assert (y.shape, y.dtype, y.ndim, len(y), y.requires_grad) == ((3,), "float64", 1, 3, True)
    y.sum().backward()
    assert w.grad.shape == (3, 2)
    for wrong in (
        lambda: x @ x,
        lambda: x + w,
        lambda: x.view(5, 3),
        lambda: x.sum(2),
        lambda: x[4],
        lambda: tw.cat([x, w]),
    ):
        with pytest.raises(tw.ThalwegError):
            wrong()
    assert evaluated == []


@pytest.mark.parametrize("look", [
    lambda y: y.sum().item(), lambda y: y.numpy(), lambda y: repr(y), lambda y: bool(y[0] > 0), lambda y: y.tolist(),
    lambda y: float(y[0]), lambda y: np.asarray(y), lambda y: f"{y[0]:.2f}", lambda y: 3.0 in y, lambda y: y.nonzero(),
    lambda y: y[y > 0], lambda y: tw.tensor(y),
])  # fmt: skip
def test_looking_at_a_value_computes_it(evaluated, look):
    y = tw.ones(3).exp()
    assert evaluated == []
    look(y)
    assert evaluated.count("exp") == 1
    look(y)
    assert evaluated.count("exp") == 1


def test_only_what_is_needed_is_computed(evaluated):
    x = tw.ones(3)
    y, z = x.exp(), x.sin()
    y.tolist()
    assert evaluated == ["exp"]
    z.tolist()
    assert evaluated == ["exp", "sin"]


def test_live_results_on_the_way_are_kept_and_dead_ones_are_not(evaluated):
    x = tw.ones(3)
    y = x.exp()
    z = (y.sin() + 1).cos()
    z.tolist()
    count = len(evaluated)
    y.tolist()
    assert len(evaluated) == count
    assert y.node.value is not None


def test_a_loss_and_its_gradient_share_the_forward_pass(evaluated):
    w = tw.ones(3, requires_grad=True)
    loss = w.exp().sum()
    loss.backward()
    loss.item()
    w.grad.tolist()
    assert evaluated.count("exp") == 1


def test_a_pending_value_keeps_what_it_read(evaluated):
    x = tw.tensor([1.0, 2.0])
    y = x * 10
    x += 5
    x[0] = 0
    assert evaluated == []
    assert y.tolist() == [10, 20]
    assert x.tolist() == [0, 7]


def test_a_pending_value_keeps_the_parameter_that_it_read():
    w = tw.ones(2, requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    with tw.no_grad():
        w -= w.grad
    core.flush()
    assert loss.item() == 2
    assert w.tolist() == [-1, -1]


def test_an_array_is_copied_when_it_is_used():
    array = np.ones(2)
    y = tw.zeros(2) + array
    array[0] = 7
    assert y.tolist() == [1, 1]


def test_flush_computes_all_writes_at_once(evaluated, monkeypatch):
    calls = []
    compute = lazy.compute
    monkeypatch.setattr(lazy, "compute", lambda wanted, *rest: (calls.append(len(wanted)), compute(wanted, *rest)))
    a, b = tw.zeros(2), tw.zeros(2)
    a += 1
    b += a
    core.flush()
    assert calls == [2] or calls[:1] == [2]
    assert evaluated.count("add") == 2
    assert a.node.value is not None
    assert not a.node.inputs  # settled: how it was made is forgotten


def test_no_result_is_computed_twice_by_views_of_it(evaluated):
    y = tw.ones(2, 2).exp()
    first, second = y[0], y.t()
    first.tolist()
    second.tolist()
    y.tolist()
    assert evaluated.count("exp") == 1


def test_a_value_error_comes_when_the_value_is_needed_and_again_when_asked_again():
    bad = tw.tensor([1, 2]) // tw.tensor([1, 0])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            bad.tolist()


def test_a_step_that_fails_writes_no_cell():
    w, mean = tw.ones(3, requires_grad=True), tw.zeros(3)

    def step(positions):
        w.grad = None
        loss = (w[tw.tensor(positions) + 0] * 2).sum()
        loss.backward()
        with tw.no_grad():
            mean.mul_(0.5).add_(1)
            w.sub_(0.1 * w.grad)
        core.flush()
        return loss

    step([0, 1])
    with pytest.raises(IndexError, match="index out of range"):
        step([0, 7])
    np.testing.assert_allclose(w.tolist(), [0.8, 0.8, 1.0], rtol=1e-6)
    step([0, 2])
    np.testing.assert_allclose(w.tolist(), [0.6, 0.8, 0.8], rtol=1e-6)
    np.testing.assert_allclose(mean.tolist(), [1.75] * 3)  # a write that could be computed stays


def test_a_write_that_fails_is_taken_back_when_it_is_looked_at():
    x = tw.tensor([6, 7])
    x //= tw.tensor([1, 0])
    with pytest.raises(ZeroDivisionError):
        x.tolist()
    assert x.tolist() == [6, 7]
    x += 1
    assert x.tolist() == [7, 8]


# --- eager mode ------------------------------------------------------------------------------------------------------


def test_eager_mode_computes_each_operation_when_it_is_made(evaluated, monkeypatch):
    monkeypatch.setattr(lazy, "eager", True)
    x = tw.ones(3, requires_grad=True)
    y = x.exp()
    assert evaluated == ["exp"]
    x2 = tw.zeros(3)
    x2 += 2
    assert "add" in evaluated
    (y * x2).sum().backward()
    assert x.grad.node.value is not None
    count = len(evaluated)
    assert x.grad.tolist() == pytest.approx([2 * np.e] * 3)
    assert len(evaluated) == count
    with pytest.raises(ZeroDivisionError):
        tw.tensor([1]) // 0


def test_the_switch_turns_eager_mode_on():
    code = "import thalweg as tw; y = tw.ones(2).exp(); print(y.node.value is not None)"
    for value, expected in (("1", "True"), ("0", "False")):
        environment = {**os.environ, "THALWEG_EAGER": value, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


# --- anomalies -------------------------------------------------------------------------------------------------------


def in_layer(path, function):
    before, scope.path = scope.path, path
    try:
        return function()
    finally:
        scope.path = before


def test_the_first_operation_that_makes_a_nan_is_named_with_its_layer():
    x = tw.tensor([1.0, -1.0])
    with tw.detect_anomaly():
        h = in_layer("encoder.0", lambda: x * 2)
        with pytest.raises(FloatingPointError, match="log gave the first value") as error:
            in_layer("encoder.1", lambda: h.log() + 1)
    assert "encoder.1" in str(error.value)
    assert "nan at position (1,)" in str(error.value)
    assert "[-2, 2]" in str(error.value)


def test_an_overflow_is_named():
    with tw.detect_anomaly(), pytest.raises(FloatingPointError, match="exp gave"):
        tw.tensor([1000.0]).exp()


def test_a_nan_in_the_backward_pass_is_named_with_its_layer():
    x = tw.tensor([0.0, 1.0], requires_grad=True)
    with tw.detect_anomaly():
        h = in_layer("head", lambda: x.sqrt())
        with pytest.raises(FloatingPointError, match="not finite") as error:
            h.sum().backward()
    assert "head" in str(error.value)


def test_a_nan_in_the_data_is_named():
    with tw.detect_anomaly(), pytest.raises(FloatingPointError, match="an input holds"):
        tw.tensor([1.0, float("nan")]) * 2


def test_what_users_write_down_or_mask_is_no_anomaly():
    x = tw.tensor([[0.0, 1.0]], requires_grad=True)
    with tw.detect_anomaly():
        scores = x.masked_fill(x > 0, -float("inf")).softmax(-1)
        safe = tw.where(x > 0, x, 1.0).log()
        (scores + safe + x.norm()).sum().backward()
        zero = tw.zeros(3, requires_grad=True)
        zero.norm().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_anomalies_pass_outside_the_block():
    with tw.detect_anomaly(False):
        assert np.isnan(tw.tensor([-1.0]).log().item())
    assert np.isnan(tw.tensor([-1.0]).log().item())
