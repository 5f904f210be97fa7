"""Derivatives of functions are PyTorch's, in shape, nesting and value."""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.autograd import functional
from thalweg.errors import ArgumentError, GradientError, ShapeError

POINTS = (np.array([0.2, 0.7]), np.array([1.2, -0.3]))
VECTORS = (np.array([0.1, 0.2]), np.array([0.4, 0.5]))


def two(x, y):
    return (x * y).sin(), (x**3).sum()


def number(x, y):
    return (x * y * y).sum() * x.sum()


def flat(value):
    return [leaf for each in value for leaf in flat(each)] if isinstance(value, tuple) else [value]


CALLS = {
    "jacobian": (two, ()), "hessian": (number, ()), "vhp": (number, VECTORS), "hvp": (number, VECTORS),
    "jvp": (two, VECTORS), "vjp": (two, (VECTORS[0], np.array(0.3))),
}  # fmt: skip


@pytest.mark.peer
@pytest.mark.parametrize("name", CALLS)
def test_against_pytorch(name):
    torch = pytest.importorskip("torch")
    function, vectors = CALLS[name]
    found = []
    for library in (tw, torch):
        extra = (tuple(map(library.tensor, vectors)),) if vectors else ()
        result = getattr(library.autograd.functional, name)(function, tuple(map(library.tensor, POINTS)), *extra)
        found.append([each.detach().numpy() for each in flat(result)])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


def test_a_tensor_alone_gives_a_tensor_alone():
    assert functional.jacobian(lambda x: x * x, tw.ones(2)).shape == (2, 2)


def test_with_create_graph_the_jacobian_is_differentiated():
    x = tw.tensor([1.0, 2.0], requires_grad=True)
    functional.jacobian(lambda each: each**3, x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_a_result_that_does_not_depend_gives_zeros_or_raises():
    assert functional.jacobian(lambda x: tw.ones(2), tw.ones(3)).tolist() == [[0.0] * 3] * 2
    with pytest.raises(GradientError, match="does not depend"):
        functional.jacobian(lambda x: tw.ones(2), tw.ones(3), strict=True)


def test_a_vector_must_fit():
    with pytest.raises(ShapeError, match="does not fit"):
        functional.jvp(lambda x: x * x, tw.ones(2), tw.ones(3))
    with pytest.raises(ArgumentError, match="needs a vector"):
        functional.vjp(lambda x: x * x, tw.ones(2))


def test_backward_from_several_tensors():
    x = tw.tensor([1.0, 2.0], requires_grad=True)
    tw.autograd.backward((x.sum(), x * x), (None, tw.ones(2)))
    assert x.grad.tolist() == [3.0, 5.0]


def test_backward_needs_a_gradient_for_each_tensor():
    x = tw.ones(2, requires_grad=True)
    with pytest.raises(ArgumentError, match="one entry for each"):
        tw.autograd.backward((x.sum(), x.sum()), (None,))
