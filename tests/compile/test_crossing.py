"""What goes from one kernel to another: one value in the place of several made of it; sums apart from entries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import thalweg.nn.functional as F
from tests.support.compiled import assert_all_agree, run_both
from thalweg import ops
from thalweg.compile import crossing, recomputing
from thalweg.compile.layout import Layout
from thalweg.compile.passes import run_passes
from thalweg.dtype import float32
from thalweg.gradient import gradients
from thalweg.graph import Node, full, make_input
from thalweg.tensor.core import Tensor

ROWS, INNER, WIDTH = 24, 8, 48
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "GELU": F.gelu, "SiLU": F.silu, "mish": lambda x: x * F.softplus(x).tanh(),
}  # fmt: skip


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputing, "_LARGE", 1000)


def feed_forward(activation: Callable[[Tensor], Tensor]) -> tuple[list[Node], list[Node]]:
    """Two linear layers with an activation between them: inputs, and loss and gradients."""
    x, w, b, v = (make_input(each, float32) for each in ((ROWS, INNER), (INNER, WIDTH), (WIDTH,), (WIDTH, INNER)))
    before = ops.matmul(x, w, transpose_a=False, transpose_b=False) + ops.broadcast(
        ops.reshape(b, shape=(1, WIDTH)), shape=(ROWS, WIDTH)
    )
    y = ops.matmul(activation(Tensor._result(before)).node, v, transpose_a=False, transpose_b=False)
    loss = ops.sum_(y * y, axes=(0, 1))
    return [x, w, b, v], [loss, *gradients([loss], [full((1, 1), 1.0, float32)], [w, b, v])]


def stored(layout: Layout) -> int:
    """How many values of the hidden layer lie in memory."""
    return sum(node.size == ROWS * WIDTH for kernel in layout.kernels for node in kernel.outputs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_its_input_result_and_gradient(name: str) -> None:
    inputs, outputs = feed_forward(ACTIVATIONS[name])
    assert stored(Layout(inputs, run_passes(outputs))) == 3


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_numbers_stay_the_same(name: str) -> None:
    inputs, outputs = feed_forward(ACTIVATIONS[name])
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(each.shape).astype(np.float32) for each in inputs]
    assert_all_agree(*run_both(inputs, outputs, arrays), 3e-5)


def test_the_chain_rule_of_an_activation_is_done_where_its_gradient_is_made() -> None:
    """The sums of the bias's gradient are a kernel of their own."""
    inputs, outputs = feed_forward(F.gelu)
    kernels = Layout(inputs, run_passes(outputs)).kernels
    assert any(each.epilogue and "erf" in {node.op.name for node in each.epilogue.nodes} for each in kernels)
    products = [each.nodes[0] for each in kernels if each.nodes[0].op is ops.matmul and each.epilogue]
    assert len(products) >= 2


def test_dear_values_for_many_readers_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossing, "_LINES_OF_A_VALUE", 0)
    inputs, outputs = feed_forward(F.gelu)
    assert stored(Layout(inputs, run_passes(outputs))) > 3


@pytest.mark.parametrize("is_read_again", [False, True])
def test_entries_that_sums_have_a_part_in_stay_with_them(is_read_again: bool) -> None:
    """A softmax behind a product, of which the powers are wanted too."""
    x, w = make_input((ROWS, INNER), float32), make_input((INNER, WIDTH), float32)
    powers = ops.exp(ops.matmul(x, w, transpose_a=False, transpose_b=False))
    total = ops.broadcast(ops.sum_(powers, axes=(1,)), shape=(ROWS, WIDTH))
    outputs = [powers, powers / total] if is_read_again else [powers / total]
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(each.shape).astype(np.float32) for each in (x, w)]
    assert_all_agree(*run_both([x, w], outputs, arrays), 3e-5)


# --- parts side by side ----------------------------------------------------------------------------------------------


def halves(x: Tensor) -> Tensor:
    """A gate, as its chain rule sees it: the gradients of two slices make one array."""
    a, b = x[:, :WIDTH], x[:, WIDTH:]
    return a.tanh() * b.sigmoid()


def test_the_gradients_of_all_slices_are_one_array_without_sums() -> None:
    x = make_input((ROWS, 2 * WIDTH), float32)
    (gradient,) = gradients([ops.sum_(halves(Tensor._result(x)).node, axes=(0, 1))], [full((1, 1), 1.0, float32)], [x])
    (kernel,) = Layout([x], run_passes([gradient])).kernels
    assert kernel.domain == (ROWS, WIDTH)
    assert {node.op.name for node in kernel.nodes} >= {"concatenate"}
    assert "add" not in {node.op.name for node in kernel.nodes}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("extent", [1, 3, 16, 21])
def test_parts_are_stored_where_they_belong(axis: int, extent: int) -> None:
    shape = tuple(extent if each == axis else 5 for each in range(3))
    x, y = make_input(shape, float32), make_input(shape, float32)
    joined = ops.concatenate(ops.tanh(x), x * y, ops.exp(y), axis=axis)
    turned = ops.concatenate(ops.permute(x, order=(0, 2, 1)), ops.permute(y, order=(0, 2, 1)), axis=axis)
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape).astype(np.float32) for _ in range(2)]
    assert_all_agree(*run_both([x, y], [joined, turned, joined * 2.0], arrays))


def test_paddings_that_overlap_or_leave_a_gap_are_summed_up() -> None:
    x = make_input((4, 8), float32)

    def padded(low: int) -> Node:
        return ops.pad(x, low=(0, low), high=(0, 16 - low), interior=(0, 0), value=0.0)

    for other in (4, 12):
        (lowered,) = run_passes([padded(0) + padded(other)])
        assert lowered.op is ops.add
    array = np.arange(32, dtype=np.float32).reshape(4, 8)
    assert_all_agree(*run_both([x], [padded(0) + padded(4), padded(0) + padded(8) + padded(16)], [array]))
