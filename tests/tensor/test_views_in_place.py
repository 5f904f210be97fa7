"""Views and in-place writes: a table of scenarios whose outcome, value or error, is PyTorch's.

In: short programs that run on either library. Out: the same numbers, or an error on both sides. `OURS` lists where
Thalweg computes a right answer that PyTorch refuses to give.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import thalweg as tw

SCENARIOS = {}
# Scenarios that PyTorch refuses, and that have one right answer here, because a write makes a new value.
OURS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def more_permissive(expected):
    def add(function):
        OURS[function.__name__] = expected
        return scenario(function)

    return add


def leaf(lib, *shape, start=1.0):
    shape = shape or (2, 3)
    array = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape) + start
    return lib.tensor(array, requires_grad=True)


def plain(lib, *shape, start=1.0):
    return leaf(lib, *shape, start=start).detach().clone()


# --- writes reach bases and views ------------------------------------------------------------------------------------


@scenario
def a_write_to_the_base_is_seen_by_every_view(lib):
    x = plain(lib)
    views = [x.view(-1), x.t(), x[0], x[:, 1:], x.unsqueeze(0), x.reshape(3, 2), x.detach(), x.view(-1)[2:].view(2, 2)]
    x.mul_(10)
    return views


@scenario
def a_write_through_a_view_of_a_view_reaches_all(lib):
    x = plain(lib)
    other = x.view(6)
    x.t()[1:].t()[0, 1:].fill_(-1)
    return x, other


@scenario
def a_transposed_write(lib):
    x = plain(lib)
    x.t().add_(lib.tensor([[1.0, 2.0]], dtype=lib.float64))
    return (x,)


@scenario
def chunks_and_splits_are_views(lib):
    x = plain(lib, 4, 3)
    a, b = x.chunk(2)
    c, d = x.split([1, 2], 1)
    e = x.unbind(0)
    a.zero_()
    d += 100
    return (x, b, c, d, *e)


@scenario
def narrow_squeeze_movedim_diagonal_free_views(lib):
    x = plain(lib, 1, 4, 3)
    x.squeeze(0).narrow(0, 1, 2).movedim(0, 1).unflatten(0, (3, 1)).mul_(-1)
    return (x,)


@scenario
def writes_to_two_views_in_turn(lib):
    x = plain(lib)
    a, b = x[0], x[:, 0]
    a += 1
    b *= 2
    a -= 1
    return x, a, b


@scenario
def an_expanded_tensor_cannot_be_written(lib):
    x = plain(lib, 3, 1)
    x.expand(3, 4).add_(1)
    return (x,)


@scenario
def clone_is_no_view(lib):
    x = plain(lib)
    y, z = x.clone(), x.clone().view(-1)
    x.zero_()
    return y, z


@scenario
def copy_from_a_view_of_itself(lib):
    x = plain(lib, 3, 3)
    x.copy_(x.t().clone())
    return (x,)


@scenario
def a_copied_tensor_is_not_shared(lib):
    x, y = plain(lib), plain(lib, start=5.0)
    x.copy_(y)
    y.zero_()
    return x, y


@scenario
def data_and_detach_write_through_to_a_leaf(lib):
    w = leaf(lib)
    w.data.add_(1)
    w.detach().mul_(2)
    w.data[0] = 7
    (w * w).sum().backward()
    return w, w.grad


@scenario
def setting_data(lib):
    w = leaf(lib)
    w.data = plain(lib, start=10.0)
    (w * 2).sum().backward()
    return w, w.grad


@scenario
def setting_data_does_not_tie_gradients(lib):
    w, v = leaf(lib), leaf(lib, start=4.0)
    w.data = v
    (w * v).sum().backward()
    return w.grad, v.grad


# --- leaves ----------------------------------------------------------------------------------------------------------


@scenario
def a_leaf_is_not_written_outside_no_grad(lib):
    w = leaf(lib)
    w += 1
    return (w,)


@scenario
def a_view_of_a_leaf_is_not_written_outside_no_grad(lib):
    w = leaf(lib)
    w[0].add_(1)
    return (w,)


@scenario
def item_assignment_to_a_leaf(lib):
    w = leaf(lib)
    w[0, 0] = 1.0
    return (w,)


@scenario
def a_leaf_written_inside_no_grad_stays_a_leaf(lib):
    w = leaf(lib)
    with lib.no_grad():
        w -= 0.5
        w[0] = 3.0
        w.view(-1)[4:].zero_()
    assert w.requires_grad
    assert w.is_leaf
    (w * w).sum().backward()
    return w, w.grad


@scenario
def gradient_descent_on_a_view_that_became_a_leaf(lib):
    base = plain(lib, 6)
    w = base.view(2, 3).requires_grad_()
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        with lib.no_grad():
            w -= 0.1 * w.grad
    assert w.requires_grad
    assert w.is_leaf
    return w, w.grad, base


@scenario
def gradient_descent_on_a_detached_tensor_that_became_a_leaf(lib):
    start = leaf(lib)
    w = start.detach().requires_grad_()
    for _ in range(2):
        w.grad = None
        (w * w * start).sum().backward()
        with lib.no_grad():
            w.sub_(0.01 * w.grad)
    return w, w.grad, start, start.grad


@scenario
def requires_grad_later_does_not_reach_back(lib):
    x, w = plain(lib), leaf(lib, start=3.0)
    early = x * w
    x.requires_grad_()
    (early * x).sum().backward()
    return x.grad, w.grad


@scenario
def requires_grad_later_on_a_known_or_written_tensor(lib):
    x, z = lib.tensor([1.0, 2.0, 3.0], dtype=lib.float64), lib.tensor([1.0, 2.0, 3.0], dtype=lib.float64)
    w = leaf(lib, 3)
    early, other = x * w, z + w
    z += 1
    x.requires_grad_()
    z.requires_grad_()
    (early * x + other * z).sum().backward()
    return x.grad, z.grad, w.grad


@scenario
def frozen_for_a_while(lib):
    w, v = leaf(lib), leaf(lib, start=2.0)
    before = w * v
    w.requires_grad_(False)
    during = w * w * v
    w.requires_grad_(True)
    (before + during + w * v).sum().backward()
    return w.grad, v.grad


@scenario
def requires_grad_after_pending_writes(lib):
    x = plain(lib)
    x += 1
    x *= 2
    x.requires_grad_()
    (x * x).sum().backward()
    return x, x.grad


@scenario
def requires_grad_off_and_on(lib):
    w = leaf(lib)
    w.requires_grad_(False)
    y = (w * 2).sum()
    assert not y.requires_grad
    w.requires_grad_(True)
    (w * 3).sum().backward()
    return (w.grad,)


@scenario
def requires_grad_cannot_be_switched_off_on_a_result(lib):
    y = leaf(lib) * 2
    y.requires_grad_(False)
    return (y,)


@scenario
def only_floating_point_tensors_require_gradients(lib):
    return (lib.tensor([1, 2]).requires_grad_(),)


@scenario
def a_recorded_value_makes_a_plain_tensor_part_of_the_graph(lib):
    x, w = lib.zeros(2, 3, dtype=lib.float64), leaf(lib)
    x += w * w
    assert x.requires_grad
    assert not x.is_leaf
    x.sum().backward()
    return (w.grad,)


@scenario
def copying_a_leaf_leads_back_to_it(lib):
    x, w = lib.zeros(2, 3, dtype=lib.float64), leaf(lib)
    x.copy_(w)
    (x * x + w).sum().backward()
    return (w.grad,)


@scenario
def assigning_a_leaf_leads_back_to_it(lib):
    x, w = lib.zeros(2, 3, dtype=lib.float64), leaf(lib)
    x[:] = w
    (x * x + w).sum().backward()
    return (w.grad,)


@scenario
def rows_assigned_one_by_one(lib):
    x, w = lib.zeros(2, 3, dtype=lib.float64), leaf(lib, 3)
    early = x.view(-1)
    for i in range(2):
        x[i] = w * (i + 1)
    (early * early).sum().backward()
    return w.grad, early


# --- in place on results ---------------------------------------------------------------------------------------------


@scenario
def exp_in_place(lib):
    w = leaf(lib)
    y = (w * 0.1).exp_()
    y.sum().backward()
    return y, w.grad


@scenario
def relu_tanh_sigmoid_sqrt_in_place(lib):
    w = leaf(lib)
    y = (w - 3.5).relu_()
    z = (w * 0.1).tanh_().sigmoid_().sqrt_()
    (y * z).sum().backward()
    return (w.grad,)


@scenario
def a_saved_result_overwritten(lib):
    w = leaf(lib)
    y = (w * 0.1).exp()
    y.add_(1)
    y.sum().backward()
    return (w.grad,)


@scenario
def a_saved_operand_overwritten(lib):
    w = leaf(lib)
    y = w * 1
    z = y * y
    y += 1
    z.sum().backward()
    return (w.grad,)


@scenario
def a_saved_operand_overwritten_through_a_view(lib):
    w = leaf(lib)
    y = w * 1
    z = y * y
    y[0].zero_()
    z.sum().backward()
    return (w.grad,)


@scenario
def a_saved_view_whose_base_is_overwritten(lib):
    w = leaf(lib)
    y = w * 1
    v = y[0]
    z = v * v
    y.zero_()
    z.sum().backward()
    return (w.grad,)


@scenario
def a_saved_view_overwritten_through_another_view(lib):
    w = leaf(lib)
    y = w * 1
    z = y.t().exp() * y.view(3, 2)
    y[1] *= 2
    z.sum().backward()
    return (w.grad,)


@scenario
def a_saved_scale_overwritten_that_was_broadcast(lib):
    w, scale = leaf(lib), plain(lib, 3)
    z = w * scale
    scale += 1
    z.sum().backward()
    return (w.grad,)


@scenario
def a_weight_updated_before_backward(lib):
    w, v = leaf(lib, 3, 3), leaf(lib, 3, 3, start=2.0)
    y = plain(lib) @ w @ v
    with lib.no_grad():
        v -= 1
    y.sum().backward()
    return (w.grad,)


@scenario
def the_first_weight_updated_before_backward_is_not_needed(lib):
    w, v = leaf(lib, 3, 3), leaf(lib, 3, 3, start=2.0)
    y = plain(lib) @ w @ v
    with lib.no_grad():
        w -= 1
    y.sum().backward()
    return w.grad, v.grad


@scenario
def a_sum_does_not_need_its_operands(lib):
    w = leaf(lib)
    y = w * 2
    z = y.sum() + (y + 1).mean()
    y.zero_()
    z.backward()
    return (w.grad,)


@scenario
def a_clone_protects_what_was_saved(lib):
    w = leaf(lib)
    y = w * 1
    z = y.clone() ** 2
    y.zero_()
    z.sum().backward()
    return (w.grad,)


@scenario
def mul_by_a_recorded_tensor_in_place(lib):
    w, v = leaf(lib), leaf(lib, start=2.0)
    y = w + 0
    y *= v
    y += v
    y.sum().backward()
    return w.grad, v.grad


@scenario
def write_through_a_view_of_a_result(lib):
    w, v = leaf(lib), leaf(lib, 3, start=5.0)
    y = w * 2
    y[0] *= v
    y.t()[1:].mul_(3)
    (y * y).sum().backward()
    return y, w.grad, v.grad


@scenario
def a_view_made_before_a_write_to_its_base_follows(lib):
    w, v = leaf(lib), leaf(lib, 3, start=5.0)
    y = w * 2
    view = y[0]
    y.mul_(v)
    view.sum().backward()
    return view, w.grad, v.grad


@scenario
def a_view_of_a_plain_tensor_that_becomes_recorded(lib):
    x, w = lib.zeros(2, 3, dtype=lib.float64), leaf(lib, 3)
    view, other = x.view(6), x[1]
    x[0] = w * w
    assert view.requires_grad
    (view * 2).sum().backward()
    return view, other, w.grad


@scenario
def masked_writes_and_gradients(lib):
    w = leaf(lib)
    y = w * w
    y[y > 10] = 0
    y.masked_fill_(y < 3, 2.0)
    y.clamp_(0, 5)
    y.sum().backward()
    return y, w.grad


@scenario
def scatter_in_place(lib):
    w, v = leaf(lib), leaf(lib, 2, 1, start=7.0)
    y = w * 1
    y.scatter_(1, lib.tensor([[0], [2]]), v)
    y.scatter_add_(1, lib.tensor([[1], [1]]), v)
    (y * y).sum().backward()
    return y, w.grad, v.grad


@scenario
def writing_a_result_inside_no_grad_keeps_its_history(lib):
    w = leaf(lib)
    y = w * 3
    with lib.no_grad():
        y.zero_()
        y[0] += 1
    y.sum().backward()
    return y, w.grad


@scenario
def a_shape_cannot_change_in_place(lib):
    x = plain(lib, 3)
    x += plain(lib)
    return (x,)


@scenario
def a_higher_category_cannot_be_stored_in_place(lib):
    x = lib.tensor([1, 2, 3])
    x /= 2
    return (x,)


@scenario
def a_detached_view_is_not_recorded(lib):
    w = leaf(lib)
    y = w * 2
    d = y.detach()
    d += 100
    assert not d.requires_grad
    y.sum().backward()
    return y, w.grad


@scenario
def a_view_made_in_no_grad(lib):
    w = leaf(lib)
    with lib.no_grad():
        v = w[0]
        v.zero_()
    return v, w


@scenario
def retained_gradient_after_a_write_is_that_of_the_new_value(lib):
    w = leaf(lib)
    y = w * 2
    y.retain_grad()
    y += 1
    (y * y).sum().backward()
    return y.grad, w.grad


@scenario
def swapping_rows(lib):
    x = plain(lib)
    x[0], x[1] = x[1].clone(), x[0].clone()
    x[[0, 1]] = x[[1, 0]]
    return (x,)


# --- where Thalweg gives the answer ----------------------------------------------------------------------------------


@more_permissive([[12.0, 12.0, 12.0], [6.0, 6.0, 6.0]])
def writing_to_one_chunk_of_a_recorded_tensor(lib):
    w = leaf(lib)
    y = w * 6
    a, _ = y.chunk(2)
    a.mul_(2)
    y.sum().backward()
    return (w.grad,)


@more_permissive([[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]])
def multiplying_a_tensor_by_itself_in_place(lib):
    w = leaf(lib)
    y = w * 1
    y.mul_(y)
    y.sum().backward()
    return (w.grad,)


@pytest.mark.peer
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in OURS])
def test_scenario_ends_as_in_pytorch(name):
    torch = pytest.importorskip("torch")
    mine, theirs = outcome(SCENARIOS[name], tw), outcome(SCENARIOS[name], torch)
    if isinstance(theirs, Exception):
        assert isinstance(mine, tw.ThalwegError), f"PyTorch raises {theirs!r}, Thalweg gives {mine!r}"
        return
    assert not isinstance(mine, Exception), mine
    for a, b in zip(mine, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", OURS)
def test_scenario_that_only_we_answer(name):
    (gradient,) = outcome(SCENARIOS[name], tw)
    np.testing.assert_allclose(gradient, OURS[name])


def outcome(function, lib):
    try:
        return [None if each is None else each.detach().numpy() for each in function(lib)]
    except (RuntimeError, ValueError, TypeError) as error:
        return error


# --- what has no counterpart in PyTorch ------------------------------------------------------------------------------


def test_a_view_backwards_is_written_through():
    x = tw.arange(6)
    x[::-2][1:] = 0
    assert x.tolist() == [0, 0, 2, 0, 4, 5]


def test_the_error_for_an_overwritten_value_says_what_and_how():
    w = tw.ones(3, requires_grad=True)
    y = w * 1
    z = (y * y).sum()
    y += 1
    with pytest.raises(tw.ThalwegError, match="overwritten in place") as error:
        z.backward()
    assert "multiply" in str(error.value)
    assert "clone" in str(error.value)


def test_a_recorded_value_is_not_written_through_a_detached_view():
    x, w = tw.zeros(3), tw.ones(3, requires_grad=True)
    with pytest.raises(tw.ThalwegError, match="detached view"):
        x.detach().add_(w)


def test_a_view_keeps_its_base_alive_and_a_base_not_its_views():
    x = tw.zeros(3)
    view = x[1:]
    base = weakref.ref(x)
    del x
    view += 1
    assert view.tolist() == [1, 1]
    assert base() is not None
    reference = weakref.ref(view)
    del view
    gc.collect()
    assert reference() is None


def test_a_loss_that_is_kept_does_not_keep_its_graph():
    """Only what the user holds survives: the activations of 50 steps are gone although their losses are kept."""
    w, losses, alive = tw.ones(4, requires_grad=True), [], []
    for _ in range(50):
        hidden = (w * tw.randn(4)).tanh()
        alive.append(weakref.ref(hidden.node))
        loss = (hidden * hidden).sum()
        del hidden
        loss.backward()
        loss.item()
        w.grad.numpy()
        w.grad = None
        losses.append(loss)
    gc.collect()
    assert sum(each() is not None for each in alive) <= 1
    with pytest.raises(tw.ThalwegError, match="a second time"):
        losses[0].backward()


def test_a_running_statistic_does_not_grow_without_end():
    mean = tw.zeros(3)
    for i in range(100):
        mean.mul_(0.9).add_(0.1 * i)
    assert mean._waiting <= 33
    expected = 0.0
    for i in range(100):
        expected = expected * 0.9 + 0.1 * i
    np.testing.assert_allclose(mean.numpy(), np.full(3, expected), rtol=1e-5)
