"""Convolutions, poolings, normalisations, padding and enlarging against PyTorch: eager and compiled, two derivatives.

In: the configurations of `image_layers`, with PyTorch's weights. Out: outputs, gradients and gradients of gradients of
inputs and parameters, and running statistics, equal to 1e-9 in float64 and 1e-5 in float32; or errors on both sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.nn.image_layers import CONFIGURATIONS, Configuration
from tests.nn.peers import DTYPES, assert_close, compare, draw, share_state
from tests.support.compiled import executables
from tests.support.sweep import sweep
from thalweg import nn
from thalweg.errors import ThalwegError

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")


def build(configuration: Configuration, dtype: str) -> tuple[Any, Any]:
    """Both sides with the same weights; None where PyTorch refuses the arguments."""
    arguments = dict(configuration.arguments)
    kind = getattr(torch.nn, configuration.name)
    takes_dtype = (
        configuration.name.startswith(("Conv", "BatchNorm", "GroupNorm", "Inst")) and "Pad" not in kind.__name__
    )
    options = [{"dtype": each} if takes_dtype else {} for each in (dtype, getattr(torch, dtype))]
    try:
        theirs = kind(**arguments, **options[1])
    except (ValueError, RuntimeError):
        theirs = None
    try:
        ours = getattr(nn, configuration.name)(**arguments, **options[0])
    except ThalwegError:
        return None, theirs
    if theirs is not None:
        with torch.no_grad():
            for number, parameter in enumerate(theirs.parameters()):
                parameter.copy_(torch.tensor(draw(np.random.default_rng(number), parameter.shape, dtype)))
        share_state(ours, theirs)
    return ours, theirs


def data(configuration: Configuration, dtype: str) -> np.ndarray:
    """Uniform numbers; with ties, what a ReLU leaves of few different ones."""
    x = draw(np.random.default_rng(7), configuration.shape, dtype)
    return np.maximum(np.round(x), 0).astype(dtype) if configuration.has_ties else x


def refuses(function: Any, *arguments: Any) -> bool:
    try:
        result = function(*arguments)
    except (ThalwegError, ValueError, RuntimeError, NotImplementedError):
        return True
    return bool(0 in result.shape)


def floor_of(configuration: Configuration) -> float:
    """The scale of terms that cancel in the gradient of a normalisation of nearly equal entries."""
    return 10.0 if "Norm" in configuration.name else 0.0


def derivatives(library: Any, module: Any, x: Any) -> list[Any]:
    """The output, the gradients of a weighted sum of its squares, and the gradients of such a sum of those."""
    gradient = library.autograd.grad if library is torch else library.grad
    leaves = [x, *module.parameters()]
    found = last = [module(x)]
    for _ in range(2):
        total = sum((each * (each + weights(library, each))).sum() for each in last if each.requires_grad)
        if isinstance(total, int):
            break
        last = gradient(total, leaves, create_graph=True, allow_unused=True)
        found, last = [*found, *last], [each for each in last if each is not None]
    return found


def weights(library: Any, like: Any) -> Any:
    count = int(np.prod(tuple(like.shape)))
    return library.arange(count, dtype=like.dtype).reshape(tuple(like.shape)) * 0.1 + 1.0


def compare_derivatives(ours: list[Any], theirs: list[Any], dtype: str, floor: float, what: str) -> None:
    assert len(ours) == len(theirs)
    for position, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        given = [np.asarray(each.detach().numpy()) if each is not None else np.zeros(1) for each in (a, b)]
        if not any(each.any() for each in given):
            continue  # None and zeros mean the same
        scale = max(floor, 1e-3 * largest(theirs))
        assert_close(f"{what} {position}", *given, dtype, scale)


def largest(values: list[Any]) -> float:
    return max(float(np.abs(each.detach().numpy()).max(initial=0)) for each in values if each is not None)


def run(configuration: Configuration) -> None:
    floor = floor_of(configuration)
    for dtype in DTYPES:
        ours, theirs = build(configuration, dtype)
        x = data(configuration, dtype)
        if ours is None or theirs is None or refuses(theirs, torch.tensor(x)):
            assert ours is None or refuses(ours, tw.tensor(x)), f"only PyTorch refuses {configuration}"
            return
        share_state(ours, theirs)
        compare(torch, ours, theirs, [x], dtype, np.random.default_rng(0), floor)
        for name, buffer in theirs.named_buffers():
            assert_close(name, ours.get_buffer(name).numpy(), buffer.numpy(), dtype)
    # float64 from here, where rounding cannot hide a wrong derivative
    share_state(ours, theirs)
    meant = derivatives(torch, theirs, torch.tensor(x, requires_grad=True))
    own = derivatives(tw, ours, tw.tensor(x, requires_grad=True))
    compare_derivatives(own, meant, dtype, floor, "eager")

    def step(given: tw.Tensor) -> list[Any]:
        return [each if each is None else each.detach() for each in derivatives(tw, ours, given)]

    compiled = tw.compile(step)
    compare_derivatives(compiled(tw.tensor(x, requires_grad=True)), meant, dtype, floor, "compiled")
    assert len(executables(compiled)) == 1


@pytest.fixture(autouse=True)
def seeded() -> None:
    tw.manual_seed(0)
    torch.manual_seed(0)


def numbered(group: str, seed: int) -> Any:
    return pytest.mark.parametrize("configuration", sweep(CONFIGURATIONS[group], seed=seed), ids=str)


@numbered("convolution", 11)
def test_convolution(configuration):
    run(configuration)


@numbered("transposed", 12)
def test_transposed_convolution(configuration):
    run(configuration)


@numbered("pooling", 13)
def test_pooling(configuration):
    run(configuration)


@numbered("normalisation", 14)
def test_normalisation(configuration):
    run(configuration)


@numbered("shape", 15)
def test_padding_and_enlarging(configuration):
    run(configuration)


def test_there_are_enough_configurations():
    counts = {group: len(rows) for group, rows in CONFIGURATIONS.items()}
    assert counts["convolution"] + counts["transposed"] >= 300
    assert counts["pooling"] >= 200
    assert counts["normalisation"] >= 60
