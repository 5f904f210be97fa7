"""Window products compiled: values in every order of axes, tiles, blocks of long sums, edges, threads and targets.

In: shapes with leading axes, strides and dilations, operands that are movements or numbers. Out: agreement with NumPy;
loops that never leave their buffers; tiles that fit the registers and cover each result once; the same bits always.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.compile.test_loop_text import assert_text_means_the_kernel, layout_of_nodes
from tests.support.compiled import LANES, assert_agree, assert_compiled_equals_numpy, run_both
from tests.support.sweep import sweep
from thalweg import ops
from thalweg.compile import executable, modules, pieces
from thalweg.compile.executable import Executable
from thalweg.compile.layout import Layout
from thalweg.compile.native import NativeProgram
from thalweg.compile.passes import run_passes
from thalweg.compile.program import Program
from thalweg.compile.target import LEVELS, compiling_for, host
from thalweg.compile.tiling import Vectors
from thalweg.compile.window_tiling import WindowTiling, choose_window_tiling, window_tiling_of, windows_of
from thalweg.dtype import DType, float32, float64
from thalweg.errors import ShapeError
from thalweg.graph import Node, Shape, full, make_input, size_of

TOLERANCE = {"float32": 2e-5, "float64": 1e-13}
Case = tuple[
    Shape, Shape, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]
]  # x, w, lead, stride, dilation, order


def product(x: Node, w: Node, lead: int = 0, **attributes: tuple[int, ...]) -> Node:
    ones, plain = (1,) * (x.ndim - lead - 2), tuple(range(x.ndim))
    return ops.window_product(x, w, lead=lead, **({"stride": ones, "dilation": ones, "order": plain} | attributes))


def leaves(x: Shape, w: Shape, dtype: DType = float32) -> list[Node]:
    return [make_input(x, dtype), make_input(w, dtype)]


def check(inputs: list[Node], *outputs: Node) -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(each.dtype.numpy) for each in inputs]
    tolerance = TOLERANCE[inputs[0].dtype.name] if inputs else None
    assert_compiled_equals_numpy(inputs, outputs, arrays, tolerance=tolerance)


# --- values ----------------------------------------------------------------------------------------------------------


def drawn(count: int) -> list[Case]:
    """Cases of one to three spatial and up to two leading axes, the same ones everywhere."""
    choose, cases = random.Random(0), []
    widths = (1, 2, 3, 7, LANES - 1, LANES, LANES + 1, 2 * LANES + 3)
    while len(cases) < count:
        rank, lead = choose.choice((1, 1, 2, 2, 3)), choose.choice((0, 0, 1, 2))
        leading = tuple(choose.choice((1, 2, LANES + 1) if lead == 1 else (1, 2, 3)) for _ in range(lead))
        spatial, window = (
            tuple(choose.choice((1, 3, 6, 9)) for _ in range(rank)),
            tuple(choose.choice((1, 2, 3)) for _ in range(rank)),
        )
        channels, outputs, batch = choose.choice((1, 2, 5, LANES + 1)), choose.choice(widths), choose.choice((1, 2, 5))
        stride, dilation = (tuple(choose.choice((1, 1, 2, 3)) for _ in range(rank)) for _ in range(2))
        order = tuple(choose.sample(range(lead + rank + 2), lead + rank + 2))
        case = (
            (*leading, batch, *spatial, channels),
            (*leading, *window, channels, outputs),
            lead,
            stride,
            dilation,
            order,
        )
        if 0 < size_of(leading) * outputs * channels * size_of(spatial) < 60_000:
            cases.append(case)
    return cases


@pytest.mark.parametrize("case", sweep(drawn(150), seed=3), ids=str)
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda each: each.name)
def test_values_are_those_of_numpy(case: Case, dtype: DType) -> None:
    x, w, lead, stride, dilation, order = case
    inputs = leaves(x, w, dtype)
    check(inputs, product(*inputs, lead, stride=stride, dilation=dilation, order=order))


@pytest.mark.parametrize(
    ("x", "w", "lead"),
    [((2, 6, 3), (3, 3, 5), 0), ((2, 2, 6, 3), (2, 3, 3, 5), 1), ((LANES + 2, 2, 6, 1), (LANES + 2, 3, 1, 1), 1)],
    ids=["plain", "groups", "depthwise"],
)
def test_every_order_of_axes(x: Shape, w: Shape, lead: int) -> None:
    inputs = leaves(x, w)
    check(inputs, *[product(*inputs, lead, order=order) for order in itertools.permutations(range(len(x)))])


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((0, 5, 2), (2, 2, 3)), ((2, 5, 0), (2, 0, 3)), ((2, 5, 2), (0, 2, 3)), ((2, 5, 2), (2, 2, 0)),
        ((2, 1, 2), (2, 2, 3)), ((1, 1, 1), (1, 1, 1)),
        ((1, 4, 1), (4, 1, 1)), ((1, 1, 40), (1, 40, 1)), ((5, 1, 1), (1, 1, 1)),
    ],
    ids=str,
)  # fmt: skip
def test_extents_of_0_and_1(x: Shape, w: Shape) -> None:
    inputs = leaves(x, w)
    check(inputs, product(*inputs))


def test_operands_that_are_one_number_everywhere() -> None:
    x, w = leaves((2, 9, 3), (3, 3, LANES + 2))
    ones, twos = full(x.shape, 1.0, float32), full(w.shape, 2.0, float32)
    check([x], product(x, twos))
    check([w], product(ones, w))
    check([], product(ones, twos))
    deep = leaves((LANES + 2, 2, 6, 1), (LANES + 2, 3, 1, 1))
    check(deep[:1], product(deep[0], full(deep[1].shape, 0.5, float32), 1, order=(1, 2, 3, 0)))
    check(deep[1:], product(full(deep[0].shape, 0.5, float32), deep[1], 1, order=(1, 2, 3, 0)))


def test_operands_are_read_where_they_lie() -> None:
    """Turned over, cut, backwards, repeated: no kernel but the product itself, and no byte of arena."""
    x, w, v = (make_input(each, float32) for each in [(2, 3, 12), (LANES + 1, 3, 3), (3, 3, LANES + 1)])
    backwards = ops.flip(ops.permute(x, order=(0, 2, 1)), axes=(1,))
    cut = ops.slice_(backwards, start=(0, 1, 0), stop=(2, 12, 3), step=(1, 2, 1))
    turned = ops.permute(w, order=(2, 1, 0))
    once = ops.broadcast(ops.reshape(x, shape=(1, 24, 3)), shape=(4, 24, 3))
    for node, weight, kernels in [
        (product(cut, v), v, 1),
        (product(once, v), v, 1),
        (product(ops.permute(x, order=(0, 2, 1)), turned), w, 2),  # the outputs are not side by side: w is copied
    ]:
        assert len(Layout([x, weight], run_passes([node])).kernels) == kernels
        check([x, weight], node)


def test_operands_that_do_not_fit_are_refused() -> None:
    for x, w in [((2, 5, 3), (3, 4, 5)), ((2, 5, 3), (3, 3, 3, 5)), ((2, 5), (3, 5))]:
        with pytest.raises(ShapeError, match="window_product: the operands do not fit"):
            ops.window_product(*leaves(x, w), lead=0, stride=(1,), dilation=(1,), order=(0, 1, 2))


# --- long sums -------------------------------------------------------------------------------------------------------

LONG = [
    ((3, 40, 40, 8), (38, 38, 8, 16), 0), ((3, 9, 9, 64), (8, 8, 64, LANES + 1), 0),
    ((2, 1, 700, 3), (2, 690, 3, 5), 1), ((1, 5000, 1), (5000, 1, 1), 0),
    ((2, 999, 1), (991, 1, 2 * LANES + 1), 0), ((2, 3, 1, 1500), (2, 1, 1500, 7), 1),
    ((4, 16, 18, 18, 4), (4, 16, 16, 4, 4 * LANES), 1), ((2, 3, 5, 42, 2), (2, 3, 40, 2, 3 * LANES), 1),
]  # fmt: skip


@pytest.mark.parametrize("target", [*LEVELS, "x86-64"])
@pytest.mark.parametrize(("x", "w", "lead"), LONG, ids=str)
def test_long_sums_are_made_in_blocks(x: Shape, w: Shape, lead: int, target: str) -> None:
    inputs = leaves(x, w)
    with compiling_for(target):
        check(inputs, product(*inputs, lead))


def test_blocks_cover_the_sum_once() -> None:
    found = []
    for x, w, lead in LONG:
        tiling = window_tiling_of(product(*leaves(x, w), lead))
        blocks, inner = tiling.blocks, [axis.extent for axis in tiling.windows.inner]
        if blocks.count > 1:
            parts = -(-inner[blocks.place] // blocks.size)
            assert blocks.count == parts * size_of(tuple(inner[: blocks.place]))
            assert (parts - 1) * blocks.size < inner[blocks.place] <= parts * blocks.size
        found.append(blocks.count)
    assert max(found) > 4


def test_a_piece_of_products_with_long_sums_is_whole_products() -> None:
    """A thread then reads the operands of its products once, and not all operands for each few results."""
    tiling = window_tiling_of(product(*leaves((8, 32, 18, 18, 8), (8, 16, 16, 8, 64)), 1))
    assert tiling.windows.parts == (8,)
    assert tiling.blocks.count > 1
    assert tiling.pieces.units == 8
    assert tiling.unit * 8 == tiling.tiles


def test_a_long_sum_is_not_one_chain_of_roundings() -> None:
    """The gradient of a weight over a large batch stays as exact as NumPy's."""
    inputs = leaves((2, 64, 64, 32), (62, 62, 32, 3))
    generator = np.random.default_rng(0)
    arrays = [generator.uniform(0.5, 1.5, each.shape).astype(np.float32) for each in inputs]
    (found,), _ = run_both(inputs, [product(*inputs)], arrays)
    exact = product(*leaves(*[each.shape for each in inputs], float64))
    meant = exact.op.numpy(*[each.astype(np.float64) for each in arrays], **exact.attributes)
    np.testing.assert_allclose(found, meant, rtol=3e-6)


# --- tiles -----------------------------------------------------------------------------------------------------------

VECTORS = [Vectors(16, 32), Vectors(8, 16), Vectors(4, 16), Vectors(2, 16), Vectors(8, 32)]


def tilings() -> Iterator[WindowTiling]:
    for x, w, lead, stride, dilation, order in drawn(60):
        node = product(*leaves(x, w), lead, stride=stride, dilation=dilation, order=order)
        if node.size:
            yield from (choose_window_tiling(windows_of(node), vectors) for vectors in VECTORS)
    for x, w, lead in LONG:
        yield from (choose_window_tiling(windows_of(product(*leaves(x, w), lead)), vectors) for vectors in VECTORS)


def test_a_tile_fits_the_registers() -> None:
    for tiling in tilings():
        results = len(tiling.rows(tiling.strip)) * tiling.panel
        assert results + tiling.panel + 1 <= tiling.vectors.registers
        assert tiling.lanes in (1, tiling.vectors.lanes)


def test_tiles_cover_each_result_once() -> None:
    for tiling in tilings():
        windows = tiling.windows
        assert sum(extent * count for extent, count in tiling.strips) == tiling.along.extent
        assert sum(extent * count for extent, count in tiling.panels) == windows.lane.extent
        assert sum(count for _, count in tiling.strips) == tiling.strip_count
        assert sum(count for _, count in tiling.panels) == tiling.panel_count
        places = [place for _, place in tiling.rows(tiling.along.extent)]
        assert len(set(places)) == len(places)
        before = size_of(tuple(axis.extent for axis in windows.outer[: tiling.axis]))
        results = size_of(tuple(axis.extent for axis in windows.outer))
        assert before * len(places) == results
        assert tiling.tiles == before * tiling.strip_count * tiling.panel_count


def test_rows_of_a_tile_meet_the_same_weights() -> None:
    for tiling in tilings():
        assert all(axis.in_w == 0 for axis in tiling.windows.outer[tiling.axis :])


def test_the_choice_depends_on_the_product_and_the_vector_unit_alone() -> None:
    node = product(*leaves((8, 30, 30, 16), (3, 3, 16, 32)))
    before = tw.get_num_threads()
    try:
        found = set()
        for count in (1, 2, 8):
            tw.set_num_threads(count)
            choose_window_tiling.cache_clear()
            tiling = choose_window_tiling(windows_of(node), VECTORS[0])
            found.add((tiling, tiling.pieces, tiling.blocks))
        assert len(found) == 1
    finally:
        tw.set_num_threads(before)


def test_an_axis_of_any_length_is_tiled_at_once() -> None:
    tiling = window_tiling_of(product(*leaves((1, 10_000_000, 1), (3, 1, 1))))
    assert tiling.strip <= tiling.vectors.registers


# --- loops and edges -------------------------------------------------------------------------------------------------

SMALL: list[tuple[Shape, Shape, int, dict[str, Any]]] = [
    ((2, 7, 3), (3, 3, 5), 0, {}),
    ((1, 6, 5, 2), (3, 2, 2, 17), 0, {"stride": (2, 1), "dilation": (1, 2)}),
    ((5, 2, 6, 1), (5, 3, 1, 1), 1, {"order": (1, 2, 3, 0)}),
    ((18, 2, 6, 1), (18, 3, 1, 1), 1, {"order": (1, 2, 3, 0)}),
    ((2, 1, 5, 4, 3), (2, 2, 2, 3, 5), 1, {"order": (1, 2, 3, 0, 4)}),
    ((2, 60, 4), (58, 4, 9), 0, {}),
]  # fmt: skip


@pytest.mark.parametrize("target", LEVELS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_loop_text_run_in_python_gives_the_values_and_stays_in_its_buffers(case: Any, target: str) -> None:
    x, w, lead, attributes = case
    with compiling_for(target):
        layout = layout_of_nodes(product(*leaves(x, w), lead, **attributes))
        for kernel in layout.kernels:
            assert_text_means_the_kernel(kernel, layout.scratch)


@pytest.mark.parametrize("outputs", [1, LANES - 1, LANES, LANES + 1, 3 * LANES + 5], ids=str)
def test_nothing_beyond_the_edges_is_written(outputs: int) -> None:
    """The result lies between numbers that must stay."""
    inputs = leaves((2, 11, 3), (3, 3, outputs))
    node = product(*inputs)
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(np.float32) for each in inputs]
    room = np.full(node.size + 128, 7, np.float32)
    middle = room[64:-64].reshape(node.shape)
    program = Executable(Program((*inputs, cell := make_input(node.shape, float32)), (node,), ((0, 2),)))
    program([*arrays, middle], {0: middle})
    assert_agree(middle, node.op.numpy(*arrays, **node.attributes), 2e-5)
    assert (room[:64] == 7).all()
    assert (room[-64:] == 7).all()
    assert cell.shape == node.shape


@pytest.mark.parametrize("target", ["x86-64", "x86-64-v2", *LEVELS])
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda each: each.name)
def test_on_every_vector_unit(target: str, dtype: DType) -> None:
    with compiling_for(target):
        for x, w, lead, attributes in SMALL:
            inputs = leaves(x, w, dtype)
            check(inputs, product(*inputs, lead, **attributes))


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cut_finely(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every kernel in as many pieces as it can be cut into, and every program asks for the pool."""
    monkeypatch.setattr(pieces, "_CYCLES", 1)
    monkeypatch.setattr(NativeProgram, "_gains_from_threads", lambda _: True)
    before = tw.get_num_threads()
    for memory in (modules._modules, executable._cache):
        memory.clear()
    yield
    tw.set_num_threads(before)
    for memory in (modules._modules, executable._cache):
        memory.clear()


@pytest.mark.usefixtures("cut_finely")
@pytest.mark.parametrize(
    "case",
    [
        *SMALL[:4],
        ((4, 30, 30, 8), (3, 3, 8, 40), 0, {}),
        (*LONG[0], {}),
        (*LONG[1], {}),
        (*LONG[2], {}),
        (*LONG[-1], {}),
    ],
    ids=str,
)
def test_the_bits_are_the_same_on_any_number_of_threads(case: Any) -> None:
    x, w, lead, attributes = case
    inputs = leaves(x, w)
    program = Executable(Program(tuple(inputs), (ops.tanh(product(*inputs, lead, **attributes)),)))
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(np.float32) for each in inputs]
    found = []
    for count in (1, 2, 3, 8):
        tw.set_num_threads(count)
        found += [program(arrays)[0].tobytes() for _ in range(3)]
    assert len(set(found)) == 1


def test_the_machine_of_these_tests_is_known() -> None:
    assert host().vector_bytes >= 16
