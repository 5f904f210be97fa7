"""Backpropagation as users call it: accumulation, seeds, reuse of graphs, second derivatives, depth, errors, modes.

In: small programs. Out: what PyTorch gives (scenarios that run on both libraries), and what Thalweg promises beyond.
"""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import thalweg as tw

SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def leaf(lib, *shape, start=0.5):
    array = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape) * 0.3 + start
    return lib.tensor(array, requires_grad=True)


# --- accumulating ----------------------------------------------------------------------------------------------------


@scenario
def gradients_add_up_until_cleared(lib):
    w = leaf(lib, 3)
    for _ in range(2):
        (w * w).sum().backward()
    twice = w.grad.clone()
    w.grad.zero_()
    (w * 3).sum().backward()
    third = w.grad.clone()
    w.grad = None
    (w * 4).sum().backward()
    return twice, third, w.grad


@scenario
def accumulation_is_in_place(lib):
    w = leaf(lib, 3)
    (w * w).sum().backward()
    held = w.grad
    (w * w).sum().backward()
    return (held,)


@scenario
def a_gradient_can_be_set_and_scaled(lib):
    w = leaf(lib, 3)
    w.grad = lib.ones(3, dtype=lib.float64)
    (w * w).sum().backward()
    w.grad.mul_(0.5)
    w.grad += 1
    return (w.grad,)


@scenario
def a_result_used_twice_and_a_parameter_shared(lib):
    w, v = leaf(lib, 3, 3), leaf(lib, 3)
    h = (w @ v).tanh()
    g = (w @ h).tanh()
    (h * g + h).sum().backward()
    return w.grad, v.grad


@scenario
def an_unused_leaf_has_no_gradient(lib):
    w, v = leaf(lib, 3), leaf(lib, 3)
    _ = v * 2
    (w * 2).sum().backward()
    assert v.grad is None
    return (w.grad,)


@scenario
def the_leaf_itself(lib):
    w = leaf(lib)
    w.backward()
    return (w.grad,)


@scenario
def a_seed_for_a_vector(lib):
    w = leaf(lib, 3)
    (w * w).backward(gradient=lib.tensor([1.0, 0.0, -2.0], dtype=lib.float64))
    return (w.grad,)


@scenario
def a_vector_without_a_seed(lib):
    (leaf(lib, 3) * 2).backward()


@scenario
def a_seed_of_another_shape(lib):
    (leaf(lib, 3) * 2).backward(lib.ones(4, dtype=lib.float64))


@scenario
def one_entry_of_any_shape_is_a_scalar(lib):
    w = leaf(lib, 3)
    (w * w).sum().view(1, 1).backward()
    return (w.grad,)


@scenario
def a_result_that_requires_nothing(lib):
    lib.ones(3).sum().backward()


@scenario
def only_some_inputs_collect(lib):
    w, v = leaf(lib, 3), leaf(lib, 3)
    (w * v).sum().backward(inputs=[w])
    assert v.grad is None
    return (w.grad,)


@scenario
def retain_grad_on_a_result(lib):
    w = leaf(lib, 3)
    y = w * 2
    y.retain_grad()
    (y * y).sum().backward()
    return y.grad, w.grad


@scenario
def retain_grad_on_a_view(lib):
    w = leaf(lib, 3)
    y = (w * 2)[1:]
    y.retain_grad()
    (y * y).sum().backward()
    return y.grad, w.grad


# --- using a graph again ---------------------------------------------------------------------------------------------


@scenario
def twice_through_a_graph(lib):
    w = leaf(lib, 3)
    y = (w * w).sum()
    y.backward()
    y.backward()


@scenario
def twice_with_retain_graph(lib):
    w = leaf(lib, 3)
    y = (w * w).sum()
    y.backward(retain_graph=True)
    y.backward()
    return (w.grad,)


@scenario
def a_linear_graph_may_be_reused(lib):
    w = leaf(lib, 2, 3)
    y = (w.t() + 1).reshape(-1).sum() - w[0].mean()
    y.backward()
    y.backward()
    return (w.grad,)


@scenario
def two_losses_over_a_shared_trunk(lib):
    w = leaf(lib, 3)
    h = (w * w).tanh()
    h.sum().backward()
    (h * 2).sum().backward()


@scenario
def two_losses_over_a_retained_trunk(lib):
    w = leaf(lib, 3)
    h = (w * w).tanh()
    h.sum().backward(retain_graph=True)
    (h * 2).sum().backward()
    return (w.grad,)


@scenario
def the_sum_of_two_losses(lib):
    w = leaf(lib, 3)
    h = (w * w).tanh()
    (h.sum() + (h * h).mean()).backward()
    return (w.grad,)


# --- grad ------------------------------------------------------------------------------------------------------------


def grad(lib, *args, **kwargs):
    return lib.grad(*args, **kwargs) if lib is tw else lib.autograd.grad(*args, **kwargs)


@scenario
def grad_leaves_the_leaves_alone(lib):
    w, v = leaf(lib, 3), leaf(lib, 3)
    found = grad(lib, (w * v).sum(), [w, v])
    assert w.grad is None
    return found


@scenario
def grad_by_a_result(lib):
    w = leaf(lib, 3)
    h = w * w
    return grad(lib, h.exp().sum(), h)


@scenario
def grad_by_a_view_and_its_base(lib):
    w = leaf(lib, 2, 3)
    y = w * 1
    v = y[0]
    return grad(lib, (v * v).sum() + y.sum(), [v, y])


@scenario
def grad_by_the_same_input_twice(lib):
    w = leaf(lib, 3)
    return grad(lib, (w * w).sum(), [w, w])


@scenario
def grad_of_several_outputs(lib):
    w = leaf(lib, 3)
    seed = lib.tensor([1.0, 2.0, 3.0], dtype=lib.float64)
    return grad(lib, [w * w, w.sum()], [w], grad_outputs=[seed, None])


@scenario
def grad_by_an_unused_input(lib):
    w, v = leaf(lib, 3), leaf(lib, 3)
    return grad(lib, w.sum(), v)


@scenario
def grad_by_an_unused_input_that_is_allowed(lib):
    w, v = leaf(lib, 3), leaf(lib, 3)
    return grad(lib, w.sum(), [w, v], allow_unused=True)


@scenario
def grad_by_something_that_requires_none(lib):
    w = leaf(lib, 3)
    return grad(lib, w.sum(), lib.ones(3))


@scenario
def grad_by_an_overwritten_result(lib):
    w = leaf(lib, 3)
    h = w + 1
    y = h * 2
    h += 1
    return grad(lib, y.sum(), h)


@scenario
def gradient_penalty(lib):
    w, x = leaf(lib, 3, 3), leaf(lib, 3)
    y = (w @ x).tanh().sum()
    (g,) = grad(lib, y, x, create_graph=True)
    ((g * g).sum() + y).backward()
    return w.grad, x.grad


@scenario
def backward_with_create_graph(lib):
    w = leaf(lib, 3)
    (w**3).sum().backward(create_graph=True)
    first = w.grad
    w.grad = None
    (first * w).sum().backward()
    return first, w.grad


@scenario
def third_derivative(lib):
    w = leaf(lib, 3)
    y = (w**4 + w.exp()).sum()
    for _ in range(3):
        (y,) = grad(lib, y.sum(), w, create_graph=True)
    return (y,)


# --- singular points -------------------------------------------------------------------------------------------------


@scenario
def norm_at_zero(lib):
    w = lib.zeros(3, dtype=lib.float64, requires_grad=True)
    w.norm().backward()
    return (w.grad,)


@scenario
def std_of_equal_entries(lib):
    w = lib.ones(3, dtype=lib.float64, requires_grad=True)
    w.std().backward()
    return (w.grad,)


@scenario
def relu_abs_clamp_max_at_their_kinks(lib):
    w = lib.tensor([0.0, 1.0, 1.0, -1.0], dtype=lib.float64, requires_grad=True)
    (w.relu() + w.abs() + w.clamp(0, 1) + w.amax() + w.max() + w.min() + lib.maximum(w, w * 1)).sum().backward()
    return (w.grad,)


@scenario
def prod_with_zeros(lib):
    w = lib.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0]], dtype=lib.float64, requires_grad=True)
    (w.prod(1).sum() + w.prod()).backward()
    return (w.grad,)


@scenario
def power_of_zero(lib):
    w = lib.zeros(2, dtype=lib.float64, requires_grad=True)
    (w**2 + w**1 + w**0 + w**1.5).sum().backward()
    return (w.grad,)


# --- modes -----------------------------------------------------------------------------------------------------------


@scenario
def modes_nest_and_are_put_back(lib):
    w, seen = leaf(lib, 3), []
    with lib.no_grad():
        seen.append((w * 2).requires_grad)
        with lib.enable_grad():
            seen.append((w * 2).requires_grad)
        seen.append((w * 2).requires_grad)
    seen.append((w * 2).requires_grad)
    with lib.set_grad_enabled(False):
        seen.append((w * 2).requires_grad)
    lib.set_grad_enabled(False)
    seen.append((w * 2).requires_grad)
    lib.set_grad_enabled(True)
    seen.append(lib.is_grad_enabled())
    return (lib.tensor(seen),)


@scenario
def modes_decorate_functions(lib):
    w = leaf(lib, 3)

    @lib.no_grad()
    def silent():
        return w * 2

    @lib.no_grad
    def silent_without_parentheses():
        return w * 2

    @lib.enable_grad()
    def recorded():
        return w * 2

    @lib.set_grad_enabled(False)
    def off():
        return w * 2

    with lib.no_grad():
        inside = recorded().requires_grad
    return (lib.tensor([silent().requires_grad, silent_without_parentheses().requires_grad, inside, off().requires_grad,
                        lib.is_grad_enabled()]),)  # fmt: skip


@scenario
def modes_decorate_generators(lib):
    w = leaf(lib, 3)

    @lib.no_grad()
    def pieces():
        yield (w * 2).requires_grad
        yield (w * 3).requires_grad

    found = []
    for piece in pieces():
        found += [piece, (w * 2).requires_grad]
    return (lib.tensor(found),)


@scenario
def a_mode_is_put_back_after_an_error(lib):
    try:
        with lib.no_grad():
            raise KeyError
    except KeyError:
        pass
    return (lib.tensor([lib.is_grad_enabled()]),)


@scenario
def constants_made_in_no_grad(lib):
    w = leaf(lib, 3)
    with lib.no_grad():
        c = w * 2
    (w * c).sum().backward()
    return (w.grad,)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_ends_as_in_pytorch(name):
    torch = pytest.importorskip("torch")
    mine, theirs = outcome(SCENARIOS[name], tw), outcome(SCENARIOS[name], torch)
    if isinstance(theirs, Exception):
        assert isinstance(mine, tw.ThalwegError), (mine, theirs)
        return
    assert not isinstance(mine, Exception), mine
    for a, b in zip(mine, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def outcome(function, lib):
    try:
        results = function(lib)
        return [None if each is None else each.detach().numpy() for each in results or ()]
    except (RuntimeError, ValueError, TypeError) as error:
        return error
    finally:
        lib.set_grad_enabled(True)


# --- a zero cotangent stays zero -------------------------------------------------------------------------------------

MASKED = {
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "division": lambda x: 1 / x,
    "power": lambda x: x**-1.5,
    "power by tensor": lambda x: x ** (x * 0 - 1),
    "norm": lambda x: x * x.norm(),
    "rsqrt": lambda x: x.rsqrt(),
    "log of a negative": lambda x: (x - 1).log(),
    "0 / 0": lambda x: x / x,
    "softmax of infinities": lambda x: (x / 0).softmax(0),
}


@pytest.mark.parametrize("function", MASKED.values(), ids=MASKED)
def test_gradient_through_the_unselected_branch_is_zero(function):
    x = tw.tensor([0.0, 0.0], requires_grad=True)
    tw.where(x > 1, function(x), x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_sqrt_at_zero_with_a_zero_cotangent():
    x = tw.tensor([0.0, 4.0], requires_grad=True)
    (x.sqrt() * tw.tensor([0.0, 1.0])).sum().backward()
    assert x.grad.tolist() == [0, 0.25]


def test_masked_entries_that_are_nan():
    x = tw.tensor([float("nan"), 2.0], requires_grad=True)
    tw.where(x.isnan(), 0.0, x * x).sum().backward()
    assert x.grad.tolist() == [0, 4]


# --- second derivatives of compositions ------------------------------------------------------------------------------

COMPOSITIONS = {
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(0),
    "logsumexp": lambda x: x.logsumexp(-1),
    "layer norm": lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt(),
    "norm": lambda x: x / x.norm(dim=-1, keepdim=True),
    "gelu": lambda x: x * 0.5 * (1 + tw.erf(x * 0.7071)),
    "cumulative product of sigmoids": lambda x: x.sigmoid().cumsum(1).prod(1),
    "std": lambda x: x.std(0),
    "attention": lambda x: ((x @ x.mT) / 2).softmax(-1) @ x,
    "power": lambda x: (x * x + 1) ** 1.5,
    "where": lambda x: tw.where(x > 0, x**3, x.exp()),
    "in place": lambda x: (x * 2).mul_(x).tanh_().view(-1)[1:] ** 2,
    "sinh and cosh": lambda x: x.sinh() / x.cosh() + x.tan(),
    "sort": lambda x: (x**3).sort(-1).values * x.sort(-1, descending=True).values,
    "einsum": lambda x: tw.einsum("ij,kj->ik", x.tanh(), x),
    "extremes": lambda x: x.amax(1) ** 2 * x.min(1).values,
}


@pytest.mark.parametrize("function", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_second_derivatives_of_compositions(function):
    tw.manual_seed(4)
    assert tw.gradcheck(function, tw.randn(2, 3), order=2)


# --- depth -----------------------------------------------------------------------------------------------------------


def test_ten_thousand_operations_deep():
    x = tw.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y * 1.0001
    y.backward(retain_graph=True)
    assert float(x.grad) == pytest.approx(1.0001**10_000, rel=1e-2)
    assert "requires_grad" in repr(y)
    (g,) = tw.grad(y, x)
    assert float(g) == pytest.approx(1.0001**10_000, rel=1e-2)
    del y, g
    gc.collect()


def test_ten_thousand_pending_operations_without_gradient_and_never_computed():
    y = tw.ones(2)
    for _ in range(10_000):
        y = y + 1
    z = y * 2
    del y, z
    y = tw.ones(2)
    for _ in range(10_000):
        y += 1
    assert y.tolist() == [10_001, 10_001]


def test_a_deep_chain_of_views_and_writes():
    x = tw.zeros(4)
    view = x
    for _ in range(30):
        view = view.view(2, 2).t().reshape(4)
        view += 1
    assert x.tolist() == [30] * 4


# --- threads ---------------------------------------------------------------------------------------------------------


def test_the_grad_mode_belongs_to_the_thread():
    seen = []
    with tw.no_grad():
        thread = threading.Thread(target=lambda: seen.append(tw.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_differentiate_side_by_side():
    results = {}

    def work(i):
        w = tw.full((3,), float(i), requires_grad=True)
        for _ in range(20):
            (w * w).sum().backward()
        results[i] = w.grad.tolist()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [40.0 * i] * 3 for i in range(4)}


# --- errors say what to do -------------------------------------------------------------------------------------------


def test_errors_name_the_remedy():
    w = tw.ones(3, requires_grad=True)
    with pytest.raises(tw.ThalwegError, match=r"\.mean\(\) or \.sum\(\)"):
        (w * 2).backward()
    with pytest.raises(tw.ThalwegError, match="set requires_grad=True"):
        tw.ones(3).sum().backward()
    y = (w * w).sum()
    y.backward()
    with pytest.raises(tw.ThalwegError, match="retain_graph=True"):
        y.backward()
    with pytest.raises(tw.ThalwegError, match="allow_unused=True"):
        tw.grad(w.sum(), tw.ones(2, requires_grad=True))
    with pytest.raises(tw.ThalwegError, match="no parameter requires a gradient"):
        w.floor().sum().backward()
    with pytest.raises(tw.ThalwegError, match="one entry for each output"):
        tw.grad([w.sum(), w.sum()], w, grad_outputs=[None])
    with pytest.raises(tw.ThalwegError, match="shape and dtype of its tensor"):
        w.grad = tw.ones(4)
    with pytest.raises(tw.ThalwegError, match="a tensor or None"):
        w.grad = 3.0
