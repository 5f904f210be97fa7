"""Hooks have PyTorch's semantics, and compiled steps follow when they come and go."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import DTypeError, ThalwegError, TraceError
from thalweg.nn import hooks
from thalweg.tensor.holding import Version


def log_of(module: nn.Module, **options: bool) -> tuple[list, nn.hooks.RemovableHandle]:
    seen: list = []
    return seen, module.register_forward_hook(lambda *arguments: seen.append(arguments), **options)


def test_a_hook_sees_module_arguments_and_result_until_it_is_removed():
    layer = nn.Linear(3, 2)
    seen, handle = log_of(layer)
    x = tw.ones(4, 3)
    y = layer(x)
    handle.remove()
    handle.remove()
    layer(x)
    assert len(seen) == 1
    assert seen[0][0] is layer
    assert seen[0][1] == (x,)
    assert seen[0][2] is y


def test_what_a_hook_returns_replaces_the_result_and_the_arguments():
    layer = nn.ReLU()
    layer.register_forward_pre_hook(lambda module, args: args[0] - 1.0)
    layer.register_forward_hook(lambda module, args, result: result * 10.0)
    assert layer(tw.tensor([3.0, 0.5])).numpy().tolist() == [20.0, 0.0]


def test_hooks_run_in_the_order_of_registration_and_prepend_comes_first():
    layer, order = nn.ReLU(), []
    layer.register_forward_hook(lambda *_: order.append("first"))
    layer.register_forward_hook(lambda *_: order.append("second"))
    layer.register_forward_hook(lambda *_: order.append("before"), prepend=True)
    layer(tw.ones(1))
    assert order == ["before", "first", "second"]


def test_hooks_with_kwargs_see_and_replace_them():
    class Scaled(nn.Module):
        def forward(self, x, factor=1.0):
            return x * factor

    layer = Scaled()
    layer.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {"factor": kwargs["factor"] * 2}), with_kwargs=True
    )
    seen, _ = log_of(layer, with_kwargs=True)
    assert layer(tw.tensor(3.0), factor=2.0).item() == 12.0
    assert seen[0][2] == {"factor": 4.0}
    layer.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(DTypeError, match="args, kwargs"):
        layer(tw.tensor(3.0), factor=2.0)


def test_only_hooks_that_ask_for_it_hear_of_a_failure():
    layer = nn.Linear(3, 2)
    quiet, _ = log_of(layer)
    always, _ = log_of(layer, always_call=True)
    with pytest.raises(ThalwegError):
        layer(tw.ones(4, 5))
    assert not quiet
    assert always[0][2] is None


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_hook_is_part_of_a_step_and_a_compiled_one_follows_when_it_goes(is_compiled):
    layer = nn.Linear(3, 2)

    def step(x):
        return layer(x).sum()

    run = tw.compile(step) if is_compiled else step
    x = tw.ones(4, 3)
    plain = run(x).item()
    with layer.register_forward_hook(lambda module, args, result: result * 2.0):
        assert run(x).item() == pytest.approx(2.0 * plain)
    assert run(x).item() == plain


def test_a_hook_cannot_be_added_by_the_step_that_is_compiled():
    layer = nn.ReLU()

    @tw.compile
    def step(x):
        layer.register_forward_hook(lambda *_: None)
        return layer(x)

    with pytest.raises(TraceError):
        step(tw.ones(2))


def test_a_gradient_flows_through_what_a_hook_does():
    layer, x = nn.ReLU(), tw.tensor([1.0, 2.0], requires_grad=True)
    layer.register_forward_hook(lambda module, args, result: result * result)
    layer(x).sum().backward()
    assert x.grad.numpy().tolist() == [2.0, 4.0]


def test_a_copy_has_hooks_of_its_own():
    layer = nn.ReLU()
    seen, handle = log_of(layer)
    twin = copy.deepcopy(layer)
    handle.remove()
    twin(tw.ones(1))
    assert len(seen) == 1
    assert not layer._forward_hooks


def test_something_that_is_no_function_is_refused():
    with pytest.raises(DTypeError, match="callable"):
        nn.ReLU().register_forward_hook(3)


def test_a_module_knows_the_line_that_made_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(3, 2)

    first = inspect.currentframe().f_lineno + 1
    net = Net()
    layers = nn.Sequential(
        nn.Linear(2, 2),
        nn.Tanh(),
    )
    assert Path(net._made_at[0]).name == Path(__file__).name
    assert net._made_at[1] == first
    assert net.hidden._made_at[1] == first - 3
    assert [each._made_at[1] for each in layers] == [first + 2, first + 3]
    assert np.all([each._made_at[0] == __file__ for each in layers])


def test_observing_ends_with_its_block_and_no_compiled_step_hears_of_it():
    net, seen = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), []
    before = Version.number
    with hooks.observed(net.modules(), lambda module, result: seen.append((module, result.shape))):
        result = net(tw.ones(4, 3))
    net(tw.ones(4, 3))
    assert Version.number == before
    assert seen == [(net[0], (4, 2)), (net[1], (4, 2)), (net, (4, 2))]
    assert result.shape == (4, 2)  # what an observer returns replaces nothing


# --- in the backward pass --------------------------------------------------------------------------------------------


def backward_log(library, wrap):
    """What hooks hear of a module with two arguments and two results, called twice, and the gradients that come out."""
    modules = library.nn

    class Two(modules.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = modules.Linear(3, 4), modules.Linear(3, 4)

        def forward(self, x, y):
            h, k = library.tanh(self.a(x)), library.sigmoid(self.b(y))
            return h * k, h + k

    def shapes(gradients):
        return [None if each is None else tuple(each.shape) for each in gradients]

    log, model = [], Two()
    for i, p in enumerate(model.parameters()):
        with library.no_grad():
            p.copy_(library.tensor(np.random.default_rng(i).normal(size=tuple(p.shape)), dtype=library.float32))
    for name, module in (("two", model), ("a", model.a), ("b", model.b)):
        module.register_full_backward_hook(
            lambda module, by_args, by_results, name=name: log.append((name, shapes(by_args), shapes(by_results)))
        )
    model.register_full_backward_hook(lambda module, by_args, by_results: tuple(each * 2 for each in by_args))
    model.register_full_backward_pre_hook(
        lambda module, by_results: tuple(None if each is None else each * 3 for each in by_results)
    )
    for name, p in model.named_parameters():
        p.register_hook(lambda grad, name=name: log.append(name))
    x, y = (library.tensor(np.arange(6.0).reshape(2, 3) / n, dtype=library.float32, requires_grad=True) for n in (7, 5))

    def step():
        first, _ = model(x * 1, y * 1)
        ((first * first).sum() + model(x * 2, y * 3)[1].sum()).backward()

    wrap(step)()
    return log, [np.array(each.grad.detach().numpy()) for each in (x, y, *model.parameters())]


@pytest.mark.peer
@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_backward_hooks_hear_what_those_of_pytorch_hear(is_compiled):
    torch = pytest.importorskip("torch")
    wrap = (lambda step: tw.compile(step, keep_gradients=True)) if is_compiled else (lambda step: step)
    (mine, my_gradients), (theirs, their_gradients) = backward_log(tw, wrap), backward_log(torch, lambda step: step)
    assert mine == theirs
    for found, expected in zip(my_gradients, their_gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_backward_hook_without_arguments_to_differentiate_sees_the_results():
    layer, seen = nn.Linear(3, 2), []
    layer.register_full_backward_hook(lambda module, by_args, by_results: seen.append((by_args, by_results[0].shape)))
    layer(tw.ones(4, 3)).sum().backward()
    assert seen == [((None,), (4, 2))]


def test_a_backward_hook_that_is_removed_is_not_called():
    layer, seen = nn.Linear(3, 2), []
    with layer.register_full_backward_hook(lambda *heard: seen.append(heard)):
        pass
    layer(tw.ones(4, 3)).sum().backward()
    assert not seen


def test_a_backward_hook_returns_as_many_gradients_as_it_was_given():
    layer = nn.Linear(3, 2)
    layer.register_full_backward_hook(lambda module, by_args, by_results: (None, None))
    x = tw.ones(4, 3, requires_grad=True)
    with pytest.raises(ThalwegError, match="number of gradients"):
        layer(x).sum().backward()


def test_a_backward_hook_needs_a_function():
    with pytest.raises(DTypeError, match="callable"):
        nn.Linear(3, 2).register_full_backward_hook(None)
