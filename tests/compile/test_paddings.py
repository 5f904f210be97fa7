"""What a convolution wants padded is computed with its zeros around it: no copy, and others see the middle.

In: elementwise values that window products read padded. Out: programs without a padding of what is computed; the same
values; and the traps: two paddings of one value, chains, what bad data can stop, what is known to be a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.support.compiled import assert_all_agree, assert_compiled_equals_numpy
from thalweg import ops
from thalweg.compile.channels_last import pass_channels_last
from thalweg.compile.executable import Executable
from thalweg.compile.layout import Layout
from thalweg.compile.paddings import pass_paddings
from thalweg.compile.passes import run_passes
from thalweg.compile.program import Program
from thalweg.compile.reference import evaluate
from thalweg.dtype import bool_, float32, float64, int64
from thalweg.gradient import gradients
from thalweg.graph import Node, full, make_input
from thalweg.ops.convolution import Form
from thalweg.verify import verify

X, W, V = (make_input(each, float64) for each in [(2, 3, 9), (4, 3, 3), (4, 3, 2)])
ROW = make_input((1, 3, 1), float64)
INPUTS = [X, W, V, ROW]


def conv(x: Node, w: Node, low: int = 1, high: int = 1, stride: int = 1) -> Node:
    return Form((stride,), ((low, high),), (1,), (1,)).apply(x, w)


def relu(x: Node) -> Node:
    zeros = full(x.shape, 0.0, x.dtype)
    return ops.where(ops.less_equal(x, zeros), zeros, x)


def row_of(x: Node) -> Node:
    return ops.broadcast(ROW, shape=x.shape)


def check(outputs: Sequence[Node], inputs: Sequence[Node] = INPUTS) -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape) if each.dtype is float64 else generator.integers(1, 5, each.shape)
              for each in inputs]  # fmt: skip
    assert_compiled_equals_numpy(inputs, outputs, arrays, tolerance=1e-12)


def copies(outputs: Sequence[Node]) -> int:
    """Kernels that only move entries of images."""
    layout = Layout(INPUTS, run_passes(outputs))
    return sum(all(node.op.kind == "move" for node in kernel.nodes) and kernel.nodes[0].size > W.size
               for kernel in layout.kernels)  # fmt: skip


INSIDE: dict[str, Callable[[Node], Node]] = {
    "a function": ops.tanh,
    "one that is not 0 at 0": lambda x: ops.cos(x) + 3.0,
    "one that has no value at 0": ops.log,
    "rows": lambda x: ops.subtract(x, row_of(x)) * 2.0,
    "relu": relu,
    "a sum of two": lambda x: ops.add(ops.tanh(x), ops.sin(x)),
    "a normalisation": lambda x: ops.divide(x, ops.broadcast(ops.sum_(ops.multiply(x, x), axes=(0, 2)), shape=x.shape)),
    "a choice by row": lambda x: ops.where(
        ops.broadcast(ops.less(ROW, full((1, 3, 1), 0.0, float64)), shape=x.shape), x, ops.negative(x)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INSIDE)
def test_it_is_computed_with_its_zeros(name: str) -> None:
    outputs = [conv(INSIDE[name](ops.exp(X)), W)]
    lowered = pass_paddings(pass_channels_last(outputs))
    verify(lowered)
    generator = np.random.default_rng(0)
    known = {each: generator.normal(size=each.shape) for each in INPUTS}
    assert_all_agree(evaluate(lowered, known), evaluate(outputs, known), 1e-12)
    assert copies(outputs) == 1, "the result in the user's order"
    check(outputs)


@pytest.mark.parametrize("name", INSIDE)
def test_others_see_the_middle(name: str) -> None:
    y = INSIDE[name](ops.exp(X))
    check([conv(y, W), ops.sum_(y, axes=(1,)), ops.tanh(y), ops.flip(y, axes=(2,)), y])


def test_zeros_and_not_what_the_function_gives_at_the_ends() -> None:
    """cos(0) is 1; the padding is 0."""
    y = ops.cos(X)
    (found,) = Executable(Program((X, W), (conv(y, W),)))([np.zeros(X.shape), np.ones(W.shape)])
    assert found[0, 0].tolist() == [6, *[9] * 7, 6]


def test_an_input_is_copied_with_its_zeros() -> None:
    assert copies([conv(X, W)]) == 2
    check([conv(X, W)])


def test_without_padding_nothing_changes() -> None:
    outputs = pass_channels_last([conv(ops.tanh(X), W, 0, 0)])
    assert pass_paddings(outputs) == outputs


# --- traps -----------------------------------------------------------------------------------------------------------


def test_two_paddings_of_one_value() -> None:
    """The wider one is computed in place, the other one is cut out of it or copied."""
    y = ops.tanh(X)
    check([conv(y, W, 1, 1), conv(y, W, 3, 2), conv(y, V, 0, 1), conv(y, W, 0, 0)])


@pytest.mark.parametrize("ends", [((1, 0), (0, 1)), ((0, 1), (1, 0)), ((2, 1), (1, 2)), ((1, 1), (1, 1))], ids=str)
def test_values_of_each_other_with_their_zeros_at_other_ends(ends: tuple[tuple[int, int], ...]) -> None:
    """Both are as long, but their first entries lie at other places."""
    y = ops.tanh(X)
    check([conv(y, W, *ends[0]), conv(ops.sin(y), W, *ends[1])])


def test_a_chain_of_any_length() -> None:
    y = X
    for _ in range(700):
        y = ops.negative(y * 0.999)
    check([conv(y, W), ops.sum_(y, axes=(0,))])


def test_convolutions_in_a_chain() -> None:
    w = make_input((3, 3, 3), float64)
    y = relu(conv(X, w))
    y = ops.add(relu(conv(y, w)), y)
    check([conv(relu(y), W, 2, 0), y], [*INPUTS, w])


def test_what_bad_data_can_stop_does_not_see_the_zeros() -> None:
    """A division by zero at the ends would stop a program whose data are good."""
    n = make_input(X.shape, int64)
    quotient = ops.cast(ops.floor_divide(ops.cast(X * 9.0, dtype="int64"), n), dtype="float64")
    program = Executable(Program((X, W, n), (conv(quotient, W),)))
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=X.shape), generator.normal(size=W.shape), generator.integers(1, 5, X.shape)]
    assert program.native is not None
    assert program.native(arrays, {}) is not None
    check([conv(quotient, W)], [X, W, n])


def test_random_numbers_are_those_of_the_middle() -> None:
    """Dropout before a padded convolution draws for the entries, not for the zeros."""
    key = make_input((2,), int64)
    drawn = ops.cast(ops.random_bits(key, shape=X.shape), dtype="float64") * 2.0**-32
    y = ops.where(ops.less(drawn, full(X.shape, 0.5, float64)), full(X.shape, 0.0, float64), ops.tanh(X))
    check([conv(y, W), y], [X, W, key])


def test_one_number_everywhere_is_padded_too() -> None:
    check([conv(full(X.shape, 2.0, float64), W), conv(ops.tanh(full(X.shape, 2.0, float64)), W)])


def test_a_cell_gets_the_middle() -> None:
    y = ops.tanh(X)
    program = Executable(Program((X, W), (y, conv(y, W)), ((0, 0),)))
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape) for each in (X, W)]
    meant, cell = program.interpret(arrays), arrays[0].copy()
    found = program([cell, arrays[1]], {0: cell})
    assert found[0] is cell
    assert_all_agree(found, meant, 1e-12)


# --- masks of what is padded -----------------------------------------------------------------------------------------


def test_a_mask_is_asked_of_the_padded_output() -> None:
    """The backward pass of a ReLU between two convolutions stores no bools beside the output that is kept anyway."""
    x, w = make_input((2, 3, 9), float32), make_input((3, 3, 3), float32)
    y = conv(relu(conv(x, w)), w)
    seed = make_input(y.shape, float32)
    found = [each for each in gradients([y], [seed], [x, w]) if each is not None]
    layout = Layout([x, w, seed], run_passes([y, *found]))
    assert not any(node.dtype is bool_ for kernel in layout.kernels for node in kernel.outputs)
    wide = [node for kernel in layout.kernels for node in kernel.outputs if node.shape == (2, 11, 3)]
    assert wide, "the output lies in memory with its zeros"
    names = [{node.op.name for node in kernel.nodes} for kernel in layout.kernels if wide[0] in kernel.inputs]
    assert any("where" in each for each in names), f"and is what the backward pass asks: {names}"
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(np.float32) for each in (x, w, seed)]
    assert_compiled_equals_numpy([x, w, seed], [y, *found], arrays, tolerance=2e-5)
