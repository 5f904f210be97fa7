"""Hooks of tensors have PyTorch's order and results, evaluated on NumPy and in compiled steps."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import DTypeError, GradientError, ShapeError, TraceError


def leaf(*values: float) -> tw.Tensor:
    return tw.tensor(values or (1.0, 2.0), dtype=tw.float64, requires_grad=True)


def test_what_a_hook_returns_goes_on(through):
    x = leaf()

    def step():
        y = x * 3
        y.register_hook(lambda grad: grad * 10)
        return tw.grad(y.sum(), x)[0]

    assert through(step)().tolist() == [30.0, 30.0]


def test_a_hook_is_called_once_with_the_whole_gradient():
    x, seen = leaf(), []
    y = x * 1
    y.register_hook(lambda grad: seen.append(grad.tolist()))
    (y * 2 + y * 3).sum().backward()
    assert seen == [[5.0, 5.0]]


def test_hooks_come_in_the_order_in_which_they_were_registered():
    x = leaf()
    x.register_hook(lambda grad: grad + 1)
    x.register_hook(lambda grad: grad * 10)
    x.sum().backward()
    assert x.grad.tolist() == [20.0, 20.0]


def test_a_hook_of_a_leaf_sees_every_backward_pass_also_those_that_have_become_programs():
    x, seen = leaf(*range(40)), []
    x.register_hook(lambda grad: seen.append(grad))
    for _ in range(60):
        x.grad = None
        ((x * 2).exp().sin().cos().tanh() * x).sum().backward()
        assert x.grad.isfinite().all()
    assert len(seen) == 60


def test_a_removed_hook_is_not_called_and_compiled_steps_follow():
    x = leaf()
    handle = x.register_hook(lambda grad: grad * 10)
    step = tw.compile(lambda: tw.grad((x * x).sum(), x)[0])
    before = step().tolist()
    handle.remove()
    handle.remove()
    assert (before, step().tolist()) == ([20.0, 40.0], [2.0, 4.0])


def test_a_hook_outlives_the_tensor_it_was_registered_on():
    x, seen = leaf(), []
    y = x * 2
    y.register_hook(seen.append)
    y = y.exp().sum()
    y.backward()
    assert len(seen) == 1


def test_a_gradient_that_a_hook_writes_in_place_goes_on():
    x = leaf()
    y = x * 1

    def scale(grad):
        grad.mul_(7)

    y.register_hook(scale)
    y.sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]


def test_with_create_graph_what_a_hook_computes_is_differentiated():
    x = leaf()
    y = x * x
    y.register_hook(lambda grad: grad * x)
    (first,) = tw.grad(y.sum(), x, create_graph=True)  # 2 x^2
    (second,) = tw.grad(first.sum(), x)
    assert second.tolist() == [4.0, 8.0]


def test_a_hook_of_a_result_that_was_overwritten_stays_with_the_value_before():
    x = leaf()
    y = x * 1
    y.register_hook(lambda grad: grad * 10)
    y.mul_(3)
    y.sum().backward()
    assert x.grad.tolist() == [30.0, 30.0]


def test_retained_gradients_are_those_after_the_hooks():
    x = leaf()
    y = x * 1
    y.retain_grad()
    y.register_hook(lambda grad: grad * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0, 10.0]


def test_an_update_in_the_backward_pass(through):
    w = leaf()

    def update(tensor):
        with tw.no_grad():
            tensor -= 0.5 * tensor.grad
        tensor.grad = None

    w.register_post_accumulate_grad_hook(update)
    step = through(lambda: (w * w).sum().backward())
    step()
    assert w.tolist() == [0.0, 0.0]
    assert w.grad is None


def test_post_accumulate_hooks_see_the_sum_and_are_not_called_by_grad():
    w, seen = leaf(), []
    w.register_post_accumulate_grad_hook(lambda tensor: seen.append(tensor.grad.tolist()))
    for _ in range(2):
        w.sum().backward()
    tw.grad(w.sum(), w)
    assert seen == [[1.0, 1.0], [2.0, 2.0]]


def test_a_graph_with_hooks_is_freed_without_the_garbage_collector():
    x = leaf()
    gc.collect()
    gc.disable()
    try:
        y = x * 2
        y.register_hook(lambda grad: grad * 2)
        node = weakref.ref(y.node)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("register", "error", "part"),
    [
        (lambda: tw.ones(2).register_hook(print), GradientError, "requires no gradient"),
        (lambda: leaf().register_hook(3), DTypeError, "callable"),
        (lambda: (leaf() * 2).register_post_accumulate_grad_hook(print), GradientError, "leaves"),
    ],
)
def test_what_cannot_have_a_hook_is_refused(register, error, part):
    with pytest.raises(error, match=part):
        register()


@pytest.mark.parametrize(("answer", "error"), [(lambda grad: 3.0, DTypeError), (lambda grad: grad.sum(), ShapeError)])
def test_another_kind_of_gradient_is_refused(answer, error):
    x = leaf()
    x.register_hook(answer)
    with pytest.raises(error, match="hook"):
        x.sum().backward()


def test_hooks_of_parameters_are_registered_outside_of_compiled_steps():
    x = leaf()
    with pytest.raises(TraceError, match="before the step is called"):
        tw.compile(lambda: x.register_hook(print))()


def test_hooks_in_the_body_of_a_scan_are_refused():
    with pytest.raises(TraceError, match="scan"):
        tw.scan(lambda h, x: ((h * x).register_hook(print), h), tw.tensor(1.0), tw.ones(2))


@pytest.mark.peer
def test_order_and_results_are_those_of_pytorch(through):
    torch = pytest.importorskip("torch")

    def log_of(library, wrap):
        log, rng = [], np.random.default_rng(0)
        make = [library.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(3)]
        for name, each in zip("abc", make, strict=True):
            each.register_hook(lambda grad, name=name: log.append(("grad", name)))
            each.register_post_accumulate_grad_hook(lambda tensor, name=name: log.append(("kept", name)))

        def step():
            a, b, c = make
            right = library.tanh(b @ c)
            left = library.exp(a * 0.1)
            right.register_hook(lambda grad: log.append(("grad", "right")))
            left.register_hook(lambda grad: log.append(("grad", "left")) or grad * 2)
            total = (right * left + left).sum()
            total.register_hook(lambda grad: log.append(("grad", "total")))
            total.backward()

        wrap(step)()
        return log, [each.grad.numpy() for each in make]

    mine, theirs = log_of(tw, through), log_of(torch, lambda function: function)
    assert mine[0] == theirs[0]
    for found, expected in zip(mine[1], theirs[1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
