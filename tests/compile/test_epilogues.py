"""Elementwise nests inside products: which are joined, what is left in memory, and that the numbers stay the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.compiled import assert_compiled_equals_numpy
from thalweg import ops
from thalweg.compile import tiling
from thalweg.compile.executable import Executable
from thalweg.compile.fuse import Kernel
from thalweg.compile.layout import Layout
from thalweg.compile.program import Program
from thalweg.compile.target import LEVELS, compiling_for
from thalweg.graph import make_input

Function = Callable[..., tw.Tensor]

JOINED: dict[str, Function] = {
    "bias": lambda x, w, b, r: x @ w + b,
    "bias and activation": lambda x, w, b, r: (x @ w + b).tanh(),
    "residual": lambda x, w, b, r: r + (x @ w).relu(),
    "two operands": lambda x, w, b, r: (x @ w) * r + r.exp(),
    "a mask": lambda x, w, b, r: tw.where(r > 0, x @ w, 0.0),
    "both are wanted": lambda x, w, b, r: (x @ w, (x @ w).tanh()),
    "read twice": lambda x, w, b, r: (x @ w).sin() + (x @ w) * 2,
    "in another shape": lambda x, w, b, r: (x @ w).reshape(1, *r.shape) + b,
    "transposed operands": lambda x, w, b, r: (x.T.contiguous().T @ w.T.contiguous().T + b).tanh(),
}
APART: dict[str, Function] = {
    "read turned over": lambda x, w, b, r: (x @ w).T + (x @ w).T.exp(),
    "read backwards": lambda x, w, b, r: (x @ w).flip(0) + 1,
    "summed up": lambda x, w, b, r: (x @ w).exp().sum(1),
    "a kernel between": lambda x, w, b, r: (x @ w) - (x @ w).sum(),
    "three operands": lambda x, w, b, r: (x @ w) * r + r.flip(0).contiguous() * (r + 1).sum(0) + r.flip(1).exp(),
    "may be refused": lambda x, w, b, r: (x @ w) + (r.long() // (r > -9).long()).float(),
}
SHAPES = [(1, 1, 1), (5, 7, 16), (33, 20, 50), (16, 784, 10), (130, 3, 1), (7, 0, 5), (0, 4, 8)]


def arguments(shape: tuple[int, int, int], dtype: tw.DType = tw.float32) -> list[tw.Tensor]:
    rows, inner, columns = shape
    generator = np.random.default_rng(0)
    extents = [(rows, inner), (inner, columns), (columns,), (rows, columns)]
    return [tw.tensor(generator.standard_normal(each), dtype=dtype) for each in extents]


def traced(function: Function, values: list[tw.Tensor]) -> tuple[list[np.ndarray], Layout]:
    """What the compiled function gives, and its kernels."""
    step = tw.compile(function)
    with tw.no_grad():
        results = step(*values)
    (compiled,) = step._programs.values()
    several = results if isinstance(results, tuple) else (results,)
    return [each.numpy() for each in several], compiled.executable.native.layout


def epilogues(layout: Layout) -> list[Kernel]:
    return [kernel for kernel in layout.kernels if kernel.epilogue is not None]


@pytest.mark.parametrize("name", JOINED)
def test_one_kernel_computes_the_product_and_what_follows(name: str) -> None:
    _, layout = traced(JOINED[name], arguments((33, 20, 50)))
    assert len(layout.kernels) == 1
    assert len(epilogues(layout)) == 1


@pytest.mark.parametrize("name", APART)
def test_what_is_not_read_entry_for_entry_stays_apart(name: str) -> None:
    _, layout = traced(APART[name], arguments((33, 20, 50)))
    assert not epilogues(layout)


@pytest.mark.parametrize("target", LEVELS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [tw.float32, tw.float64], ids=str)
def test_the_numbers_are_those_of_numpy(shape: tuple[int, int, int], dtype: tw.DType, target: str) -> None:
    values = arguments(shape, dtype)
    tolerance = 1e-4 if dtype is tw.float32 else 1e-11
    with compiling_for(target):
        for name, function in {**JOINED, **APART}.items():
            found, _ = traced(function, values)
            meant = function(*values)
            for a, b in zip(found, meant if isinstance(meant, tuple) else (meant,), strict=True):
                np.testing.assert_allclose(a, b.numpy(), rtol=tolerance, atol=tolerance, err_msg=name)


def test_the_product_itself_needs_no_memory() -> None:
    _, layout = traced(JOINED["bias and activation"], arguments((33, 20, 50)))
    assert layout.arena == 0


def test_sums_made_in_parts_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "_LONGEST", 64)
    tiling.choose_tiling.cache_clear()
    values = arguments((40, 100, 37))
    found, layout = traced(JOINED["bias and activation"], values)
    tiling.choose_tiling.cache_clear()
    assert epilogues(layout)
    assert layout.arena >= 40 * 37 * 4
    np.testing.assert_allclose(found[0], JOINED["bias and activation"](*values).numpy(), rtol=1e-4, atol=1e-5)


def test_batches_have_epilogues_too() -> None:
    generator = np.random.default_rng(0)
    a, b, bias = (tw.tensor(generator.standard_normal(s), dtype=tw.float32) for s in [(3, 9, 5), (3, 5, 20), (20,)])
    (found,), layout = traced(lambda a, b, bias: (a @ b + bias).sigmoid(), [a, b, bias])
    assert len(layout.kernels) == 1
    np.testing.assert_allclose(found, (a @ b + bias).sigmoid().numpy(), rtol=1e-5, atol=1e-6)


def test_a_weight_is_updated_where_its_gradient_is_made() -> None:
    x, w, g = arguments((30, 20, 40))[0], *arguments((20, 9, 40))[3:], arguments((30, 9, 40))[3]
    expected = w.numpy() - 0.1 * (x.numpy().T @ g.numpy())

    @tw.compile
    def update() -> None:
        w.sub_(0.1 * (x.T @ g))

    update()
    (compiled,) = update._programs.values()
    assert len(compiled.executable.native.layout.kernels) == 1
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_weight_that_its_own_product_reads_is_not_overwritten_meanwhile() -> None:
    w = arguments((40, 40, 40))[0]
    expected = w.numpy() - 0.1 * (w.numpy() @ w.numpy())

    @tw.compile
    def update() -> None:
        w.sub_(0.1 * (w @ w))

    update()
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-4, atol=1e-5)


# --- after window products -------------------------------------------------------------------------------------------


def convolved(x: tw.Tensor, w: tw.Tensor, groups: int = 1) -> tw.Tensor:
    return F.conv2d(x, w, padding=1, groups=groups)


WINDOWED: dict[str, Function] = {
    "bias": lambda x, w, b, r: F.conv2d(x, w, b, padding=1),
    "bias and activation": lambda x, w, b, r: F.conv2d(x, w, b, padding=1).relu(),
    "residual": lambda x, w, b, r: (convolved(x, w) + r).relu(),
    "a mask": lambda x, w, b, r: tw.where(r > 0, convolved(x, w), 0.0),
    "both are wanted": lambda x, w, b, r: (convolved(x, w), convolved(x, w).tanh()),
    "read twice": lambda x, w, b, r: convolved(x, w).sin() + convolved(x, w) * 2,
    "depthwise": lambda x, w, b, r: F.conv2d(x, w[:, :1], b, padding=1, groups=16).relu() if w.shape[0] == 16 else r,
}
NOT_WINDOWED: dict[str, Function] = {
    "summed up": lambda x, w, b, r: convolved(x, w).exp().sum((0, 2, 3)),
    "read backwards": lambda x, w, b, r: convolved(x, w).flip(2) + 1,
    "in the order of the user": lambda x, w, b, r: convolved(x, w).flatten(1).exp(),
}


def image_arguments(outputs: int, dtype: tw.DType = tw.float32) -> list[tw.Tensor]:
    generator = np.random.default_rng(0)
    shapes = [(3, 16, 7, 6), (outputs, 16, 3, 3), (outputs,), (3, outputs, 7, 6)]
    return [tw.tensor(generator.standard_normal(each), dtype=dtype) for each in shapes]


@pytest.mark.parametrize("name", WINDOWED)
def test_what_follows_a_window_product_is_done_in_it(name: str) -> None:
    _, layout = traced(WINDOWED[name], image_arguments(16))
    (joined,) = epilogues(layout)
    assert joined.nodes[0].op.name == "window_product"
    assert sum(kernel.nodes[0].op.name == "window_product" for kernel in layout.kernels) == 1


@pytest.mark.parametrize("name", NOT_WINDOWED)
def test_what_is_read_otherwise_than_a_window_product_is_made_stays_apart(name: str) -> None:
    _, layout = traced(NOT_WINDOWED[name], image_arguments(16))
    assert not epilogues(layout)


@pytest.mark.parametrize("target", ["x86-64", *LEVELS])
@pytest.mark.parametrize("outputs", [1, 5, 16, 33])
@pytest.mark.parametrize("dtype", [tw.float32, tw.float64], ids=str)
def test_the_numbers_after_a_window_product_are_those_of_numpy(outputs: int, dtype: tw.DType, target: str) -> None:
    values = image_arguments(outputs, dtype)
    tolerance = 1e-4 if dtype is tw.float32 else 1e-11
    with compiling_for(target):
        for name, function in {**WINDOWED, **NOT_WINDOWED}.items():
            found, _ = traced(function, values)
            meant = function(*values)
            for a, b in zip(found, meant if isinstance(meant, tuple) else (meant,), strict=True):
                np.testing.assert_allclose(a, b.numpy(), rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("order", [(1, 2, 3, 0, 4), (1, 2, 3, 4, 0), (0, 1, 2, 3, 4), (4, 1, 2, 3, 0)], ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
def test_lanes_along_another_axis_than_the_last(order: tuple[int, ...], outputs: int) -> None:
    """Groups with one output each stand side by side in a vector; an axis of one entry may come behind them."""
    lead = 18
    inputs = [make_input(each, tw.float32) for each in [(2, 6, 5, 1, lead), (3, 2, 1, outputs, lead)]]
    turned = [ops.permute(each, order=(4, 0, 1, 2, 3)) for each in inputs]
    y = ops.window_product(*turned, lead=1, stride=(1, 1), dilation=(1, 1), order=order)
    other = make_input(y.shape, tw.float32)
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(np.float32) for each in (*inputs, other)]
    outputs_of = [ops.tanh(ops.add(y, other)), ops.multiply(y, other)]
    assert_compiled_equals_numpy([*inputs, other], outputs_of, arrays, tolerance=2e-5)


def test_a_window_product_kept_in_blocks_has_no_epilogue() -> None:
    """Its totals lie in memory until the last block: what follows reads them there."""
    x, w = make_input((3, 40, 40, 8), tw.float32), make_input((38, 38, 8, 16), tw.float32)
    y = ops.window_product(x, w, lead=0, stride=(1, 1), dilation=(1, 1), order=(0, 1, 2, 3))
    assert not epilogues(Layout([x, w], [ops.tanh(y)]))
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(np.float32) for each in (x, w)]
    assert_compiled_equals_numpy([x, w], [ops.tanh(y)], arrays, tolerance=1e-4)


def test_a_cell_that_a_window_product_reads_is_not_overwritten_meanwhile() -> None:
    """The update of x by a convolution of x."""
    x, w = make_input((2, 6, 5, 16), tw.float32), make_input((1, 1, 16, 16), tw.float32)
    y = ops.window_product(x, w, lead=0, stride=(1, 1), dilation=(1, 1), order=(0, 1, 2, 3))
    program = Executable(Program((x, w), (ops.add(x, y * 0.1),), ((0, 0),)))
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(np.float32) for each in (x, w)]
    (meant,), cell = program.interpret(arrays), arrays[0].copy()
    program([cell, arrays[1]], {0: cell})
    np.testing.assert_allclose(cell, meant, rtol=1e-5, atol=1e-5)
