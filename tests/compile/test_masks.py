"""A backward pass asks the output that is kept anyway: no mask is stored beside it.

In: steps with ReLU and its relatives. Out: kernels that leave no bools in memory, and the gradients of NumPy evaluation
at the points where the question matters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn, ops
from thalweg.compile.fuse import fuse
from thalweg.compile.passes import run_passes
from thalweg.compile.reference import evaluate
from thalweg.dtype import bool_, float32
from thalweg.gradient import gradients
from thalweg.graph import Node, full, make_input, toposort
from thalweg.verify import verify

Activation = Callable[[Node], Node]
X, W = make_input((4, 5), float32), make_input((5, 3), float32)
POINTS = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 2.0] * 2, np.float32).reshape(4, 5)


def relu(x: Node) -> Node:
    return ops.where(ops.less_equal(x, full(x.shape, 0, x.dtype)), full(x.shape, 0, x.dtype), x)


def hard(x: Node) -> Node:
    return ops.where(ops.less(x, full(x.shape, 1, x.dtype)), x, full(x.shape, 1, x.dtype))


def backward(activation: Activation) -> list[Node]:
    computed = activation(ops.negative(X))
    product = ops.matmul(computed, W, transpose_a=False, transpose_b=False)
    return [product, *gradients([product], [full(product.shape, 1, float32)], [X])]


@pytest.mark.parametrize("activation", [relu, hard])
def test_no_mask_is_stored_where_a_product_keeps_the_output(activation: Activation) -> None:
    before = backward(activation)
    after = run_passes(before)
    verify(after)
    stored = {each for kernel in fuse(after) for each in kernel.outputs}
    assert not any(each.dtype is bool_ for each in stored)
    feeds = {X: POINTS, W: np.ones((5, 3), np.float32)}
    np.testing.assert_array_equal(evaluate(after, feeds)[1], evaluate(before, feeds)[1])


def test_where_the_answer_about_the_output_would_be_another_nothing_changes() -> None:
    def leaky(x: Node) -> Node:
        return ops.where(ops.less_equal(x, full(x.shape, 0, x.dtype)), x * 0.5, x)

    def lifted(x: Node) -> Node:  # 3 where x <= 0: the output does not tell
        return ops.where(ops.less_equal(x, full(x.shape, 0, x.dtype)), full(x.shape, 3, x.dtype), x)

    for activation in (leaky, lifted):
        asked = [node for node in toposort(run_passes(backward(activation))) if node.dtype is bool_]
        assert len(asked) == 1


def test_a_deep_network_trains_as_numpy_evaluation_says() -> None:
    def train(decorate: Callable) -> list[float]:
        tw.manual_seed(0)
        model = nn.Sequential(*[each for _ in range(4) for each in (nn.Linear(6, 6), nn.ReLU())], nn.Linear(6, 3))
        optimizer = tw.optim.SGD(model.parameters(), lr=0.1)

        def step(x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step = decorate(step)
        x = tw.tensor(np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32))
        return [step(x, tw.tensor(np.arange(9) % 3)).item() for _ in range(5)]

    np.testing.assert_allclose(train(tw.compile), train(lambda step: step), rtol=1e-5)
