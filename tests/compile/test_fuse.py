"""Fused programs mean what their graphs mean, and fuse as much as they should.

In: the usual compositions, forward and backward (random graphs: test_random_graphs.py). Out: agreement with the NumPy
meaning, and which operations share a kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import thalweg as tw
from thalweg import ops
from thalweg.compile.fuse import fuse
from thalweg.compile.passes import run_passes
from thalweg.dtype import float32
from thalweg.graph import Node, constant, make_input

COMPOSITIONS: dict[str, Callable[[tw.Tensor], tw.Tensor]] = {
    "softmax": lambda x: (tw.softmax(x, 1) * x).sum(),
    "log_softmax": lambda x: (tw.log_softmax(x, 1) * x).sum(),
    "softmax over rows": lambda x: (tw.softmax(x, 0) * x).sum(),
    "layer norm": lambda x: (((x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt()) ** 3).sum(),
    "batch norm": lambda x: (((x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()) ** 3).sum(),
    "logsumexp": lambda x: tw.logsumexp(x, 1).sum(),
    "norm": lambda x: x.norm() * x.norm(dim=1).sum(),
    "mean of squares": lambda x: (x * x).mean(),
    "transposed product": lambda x: (x.T @ x).tanh().sum(),
    "amax and argmax": lambda x: x.amax(1).sum() + x[:, 0].sum() * x.argmax(1).float().sum(),
    "cat and slices": lambda x: (tw.cat([x, x * 2], 1)[:, 1::3] * 3).sin().sum(),
    "gather": lambda x: x.gather(1, x.argsort(1)[:, :1]).exp().sum(),
}


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 16), (3, 37)], ids=str)
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_compositions_and_their_gradients_agree(name: str, shape: tuple[int, int]) -> None:
    function = COMPOSITIONS[name]
    x = tw.tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)

    @tw.compile(keep_gradients=True)
    def step() -> tw.Tensor:
        x.grad = None
        loss = function(x)
        loss.backward()
        return loss

    if name in ("batch norm", "layer norm") and 1 in shape[:1] + shape[1:]:
        return
    found, gradient = step().item(), x.grad.numpy()
    x.grad = None
    loss = function(x)
    loss.backward()
    assert found == pytest.approx(loss.item(), rel=1e-10)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-8, atol=1e-10)


def kernels(outputs: list[Node]) -> list[list[str]]:
    return [[node.op.name for node in kernel.nodes] for kernel in fuse(run_passes(outputs))]


def test_a_chain_is_one_kernel() -> None:
    x, y = make_input((8, 8), float32), make_input((8, 8), float32)
    assert kernels([ops.tanh(ops.add(ops.exp(x), y))]) == [["exp", "add", "tanh"]]


def test_softmax_is_one_kernel_of_three_passes() -> None:
    x = make_input((8, 10), float32)
    shifted = ops.subtract(x, ops.broadcast(ops.amax(x, axes=(1,)), shape=(8, 10)))
    powers = ops.exp(shifted)
    total = ops.broadcast(ops.sum_(powers, axes=(1,)), shape=(8, 10))
    assert len(kernels([ops.divide(powers, total)])) == 1


def test_a_product_ends_a_kernel_and_a_number_needs_none() -> None:
    x = make_input((8, 8), float32)
    product = ops.matmul(ops.exp(x), ops.exp(x), transpose_a=False, transpose_b=False)
    two = ops.broadcast(ops.reshape(constant(2.0, float32), shape=(1, 1)), shape=(8, 8))
    assert kernels([ops.multiply(product, two)]) == [["exp"], ["matmul"], ["multiply"]]


def test_kernels_that_need_each_other_in_turn_stay_apart() -> None:
    x = make_input((8, 8), float32)
    first = ops.exp(x)
    product = ops.matmul(first, first, transpose_a=False, transpose_b=False)
    assert kernels([ops.add(product, first)]) == [["exp"], ["matmul"], ["add"]]


def test_adam_is_one_kernel_a_parameter() -> None:
    parameter, gradient, m, v = (tw.tensor(np.ones((40, 30)), requires_grad=False) for _ in range(4))

    @tw.compile
    def update() -> None:
        m.mul_(0.9).add_(0.1 * gradient)
        v.mul_(0.999).add_(0.001 * gradient * gradient)
        parameter.sub_(0.1 * m / (v.sqrt() + 1e-8))

    update()
    (compiled,) = update._programs.values()
    layout = compiled.executable.native.layout
    assert len(layout.kernels) == 1
    assert layout.arena == 0, "all three cells are written in place"
    assert len(compiled.executable.native.rows) == 1, "and nothing is copied"
