"""The contract of every module class, found by discovery: what users may rely on for each of them alike.

In: the table of configurations in `catalogue`. Out: shapes, dtypes, state round trips, copies, modes, gradients and
learning; that compiled equals NumPy is held by test_compiled.py. A class that is in no row fails.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn
from tests.nn.catalogue import CASES, first
from thalweg import nn

CALLED = [case for case in CASES if case.is_called]


def number(cases):
    return [f"{case.name}-{index}" for index, case in enumerate(cases)]


def discover() -> set[type]:
    """Every public module class of the room, whether it is exported or not; what `utils` makes itself is no layer."""
    found = set()
    for info in pkgutil.walk_packages(thalweg.nn.__path__, "thalweg.nn."):
        if info.name.startswith("thalweg.nn.utils."):
            continue
        for _, kind in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
            if (
                issubclass(kind, nn.Module)
                and kind.__module__.startswith("thalweg.nn")
                and not kind.__name__.startswith("_")
            ):
                found.add(kind)
    return found - {nn.Module}


every_case = pytest.mark.parametrize("case", CASES, ids=number(CASES))
every_called = pytest.mark.parametrize("case", CALLED, ids=number(CALLED))


def test_every_class_is_in_the_table():
    assert discover() == {type(case.build()) for case in CASES}


def test_every_class_is_exported_and_documented_with_an_example():
    for kind in discover():
        assert kind.__name__ in nn.__all__, kind
        assert ">>>" in (kind.__doc__ or ""), kind


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


@every_called
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_output_shape_and_dtype(case, dtype):
    module = case.build().to(dtype)
    result = first(module(*case.inputs(dtype)))
    assert result.shape == case.output
    assert result.dtype == dtype


@every_called
def test_arrays_are_taken_like_tensors(case):
    module, inputs = case.build().eval(), case.inputs()
    expected = first(module(*inputs)).detach().numpy()
    found = first(module(*[each.numpy() for each in inputs]))
    found = found.detach().numpy() if isinstance(found, tw.Tensor) else found
    np.testing.assert_array_equal(found, expected)


@every_case
def test_state_round_trip_without_pickle(case, tmp_path):
    module = case.build()
    if case.is_called:
        module(*case.inputs())  # running statistics move
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    np.savez(tmp_path / "state.npz", **state)
    other = case.build()
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        assert str(other.load_state_dict(dict(stored))) == "<All keys matched successfully>"
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name])
        assert value.dtype == state[name].dtype


@every_case
def test_representation_names_the_class(case):
    module = case.build()
    assert repr(module).startswith(f"{type(module).__name__}(")
    assert repr(copy.deepcopy(module)) == repr(module)


@every_case
def test_a_deep_copy_is_equal_and_independent(case):
    module = case.build()
    for parameter in list(module.parameters())[:1]:
        parameter.requires_grad_(False)
    twin = copy.deepcopy(module)
    assert type(twin) is type(module)
    assert [(a, b.requires_grad) for a, b in twin.named_parameters()] == [
        (a, b.requires_grad) for a, b in module.named_parameters()
    ]
    assert all(isinstance(each, nn.Parameter) for each in twin.parameters())
    assert not {id(each) for each in twin.parameters()} & {id(each) for each in module.parameters()}
    before = {name: value.numpy() for name, value in module.state_dict().items()}
    with tw.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    if case.is_called:
        assert first(twin(*case.inputs())).shape == case.output


@every_case
def test_modes_reach_every_module(case):
    module = case.build()
    assert all(each.training for each in module.modules())
    assert module.eval() is module
    assert not any(each.training for each in module.modules())
    assert all(each.training for each in module.train().modules())


@every_called
def test_evaluation_mode_is_deterministic_and_writes_nothing(case):
    module, inputs = case.build(), case.inputs()
    module(*inputs)
    module.eval()
    before = {name: value.numpy() for name, value in module.state_dict().items()}
    once, again = (first(module(*inputs)).detach().numpy() for _ in range(2))
    np.testing.assert_array_equal(once, again)
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


@every_case
def test_conversion_keeps_the_tensors_and_what_is_whole(case):
    module = case.build()
    parameters, kinds = list(module.parameters()), {name: value.dtype for name, value in module.named_buffers()}
    assert module.double() is module
    assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
    assert all(each.dtype == "float64" for each in module.parameters())
    for name, buffer in module.named_buffers():
        assert buffer.dtype == ("float64" if kinds[name] == "float32" else kinds[name])
    assert all(each.dtype == "float32" for each in module.float().parameters())


@every_called
def test_gradients_agree_with_finite_differences(case):
    module, inputs = case.build(), case.inputs("float64")
    if any(each.is_floating_point() for each in inputs) or list(module.parameters()):
        assert tw.gradcheck(module, inputs)


@every_called
def test_a_step_of_gradient_descent_lowers_a_loss(case):
    module, inputs = case.build().double(), case.inputs("float64")
    trained = list(module.parameters())
    if not trained:
        inputs[0] = inputs[0].detach().requires_grad_()
        trained = inputs[:1]

    def loss():
        tw.manual_seed(1)  # the same mask before and after
        result = first(module(*inputs))
        return ((result - 10.0) ** 2).mean()

    before = loss()
    before.backward()
    with tw.no_grad():
        for each in trained:
            each -= 1e-3 * each.grad
    if any((each.grad != 0).any() for each in trained):
        assert loss().item() < before.item()
    else:
        assert isinstance(module, nn.BatchNorm1d)  # without weights its output does not know its input's scale
