"""The native program: what it does with bad positions, aliases, written cells, equal kernels and its arena.

In: small programs. Out: facts about one compiled module and about the arrays that it was called with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from thalweg.compile import native
from thalweg.compile.library import shared
from thalweg.compile.reference import evaluate
from thalweg.dtype import bool_, float32, int64
from thalweg.graph import Node, constant, full, make_input
from thalweg.ops import (
    add,
    broadcast,
    cast,
    exp,
    flip,
    gather,
    less,
    matmul,
    multiply,
    permute,
    reshape,
    scatter_add,
    sum_,
)


def test_an_index_out_of_range_is_noticed_and_nothing_is_written() -> None:
    table, index = make_input((3, 2), float32), make_input((2,), int64)
    program = native.build([table, index], [gather(table, index, role="index"), add(table, table)], {1: 0})
    assert program is not None
    cell = np.full((3, 2), 7, np.float32)
    arrays = [cell, np.array([0, 3])]
    assert program(arrays, {1: cell}) is None
    assert (cell == 7).all()
    assert program([cell, np.array([0, 2])], {1: cell}) is not None
    assert (cell == 14).all()


def test_a_scatter_collects_repeated_positions() -> None:
    updates, index = make_input((4,), float32), make_input((4,), int64)
    program = native.build([updates, index], [scatter_add(updates, index, shape=(3,), role="index")])
    assert program is not None
    (result,) = program([np.arange(4, dtype=np.float32), np.array([2, 0, 2, 0])])
    assert result.tolist() == [4, 0, 2]


def test_a_number_in_every_place_needs_no_kernel() -> None:
    x = make_input((3, 4), float32)
    two = broadcast(reshape(constant(2.0, float32), shape=(1, 1)), shape=(3, 4))
    program = native.build([x], [multiply(x, two)])
    assert program is not None
    assert [[node.op.name for node in kernel.nodes] for kernel in program.layout.kernels] == [["multiply"]]


def test_an_output_that_is_an_input_or_a_number_is_copied() -> None:
    x = make_input((2,), float32)
    program = native.build([x], [x, constant(3.0, float32), exp(x), reshape(x, shape=(1, 2))])
    assert program is not None
    array = np.array([0, 1], np.float32)
    same, three, power, moved = program([array])
    assert same is not array
    assert (same == array).all()
    assert three == 3
    assert power[0] == 1
    assert moved.shape == (1, 2)


def test_equal_kernels_are_emitted_once() -> None:
    x = make_input((5, 5), float32)
    y: Node = x
    for _ in range(6):
        y = matmul(y, x, transpose_a=False, transpose_b=False)
    program = native.build([x], [y])
    assert program is not None
    assert len(program.modules) == 1


def test_the_arena_is_used_again_after_the_last_read() -> None:
    x, index = make_input((1024,), float32), make_input((1024,), int64)
    y: Node = x
    for _ in range(20):
        y = scatter_add(exp(y), index, shape=(1024,), role="index")
    program = native.build([x, index], [sum_(y, axes=(0,))])
    assert program is not None
    assert program.layout.arena <= 3 * 4096


def test_cells_that_trade_places_wait_in_the_arena() -> None:
    a, b, c = (make_input((5,), float32) for _ in range(3))
    program = native.build([a, b, c], [b, a, c, a], {0: 0, 1: 1, 2: 2})
    assert program is not None
    cells = [np.full(5, value, np.float32) for value in (1, 2, 3)]
    *_, old = program(cells, {0: cells[0], 1: cells[1], 2: cells[2]})
    assert [cell[0] for cell in cells] == [2, 1, 3]
    assert old[0] == 1
    assert set(program.layout.held) == {0, 1}


def test_a_cell_is_filled_with_a_number_where_it_stands() -> None:
    x, flag, nothing = make_input((3, 2), float32), make_input((), bool_), make_input((0,), int64)
    outputs = [full((3, 2), -0.5, float32), constant(True, bool_), full((0,), 7, int64)]
    program = native.build([x, flag, nothing], outputs, {0: 0, 1: 1, 2: 2})
    assert program is not None
    cells = [np.ones((3, 2), np.float32), np.array(False), np.zeros(0, np.int64)]
    program(cells, dict(enumerate(cells)))
    assert (cells[0] == -0.5).all()
    assert cells[1]


def test_a_cell_is_read_before_it_is_overwritten_in_the_same_kernel() -> None:
    x, cell = make_input((37,), float32), make_input((37,), float32)
    program = native.build([x, cell], [exp(x), add(x, cell)], {0: 1})
    assert program is not None
    assert len(program.layout.kernels) == 1
    arrays = [np.ones(37, np.float32), np.full(37, 5, np.float32)]
    _, total = program(arrays, {0: arrays[1]})
    assert (total == 6).all()
    np.testing.assert_allclose(arrays[1], np.e, rtol=1e-6)


ELSEWHERE: dict[str, Callable[[Node], Node]] = {
    "turned over": lambda x: permute(x, order=(1, 0)),
    "backwards": lambda x: flip(x, axes=(0,)),
    "added to itself backwards": lambda x: add(x, flip(x, axes=(1,))),
    "a question asked elsewhere": lambda x: add(
        x, cast(flip(less(x, full(x.shape, 0, float32)), axes=(0,)), dtype="float32")
    ),
}


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_cell_that_is_read_elsewhere_is_not_overwritten_meanwhile(name: str, size: int) -> None:
    cell = make_input((size, size), float32)
    new = ELSEWHERE[name](cell)
    program = native.build([cell], [new], {0: 0})
    assert program is not None
    array = np.random.default_rng(0).normal(size=cell.shape).astype(np.float32)
    (expected,) = evaluate([new], {cell: array.copy()})
    program([array], {0: array})
    np.testing.assert_array_equal(array, expected)


TINY = np.full(16, 1e-39, np.float32)  # below the smallest normal number


@pytest.mark.skipif(shared().flushing == 0, reason="this processor's mode is not known")
def test_a_program_that_writes_cells_takes_subnormal_results_for_zero() -> None:
    cell, x = make_input((16,), float32), make_input((16,), float32)
    program = native.build([cell, x], [add(cell, x), multiply(x, x)], {0: 0})
    assert program is not None
    array = np.zeros(16, np.float32)
    assert program([array, TINY], {0: array}) is not None
    assert (array == 0).all()
    assert (TINY + TINY != 0).all()  # the mode of whoever called is as it was


def test_a_program_that_writes_nothing_keeps_subnormal_numbers() -> None:
    x = make_input((16,), float32)
    program = native.build([x], [add(x, x)])
    assert program is not None
    results = program([TINY])
    assert results is not None
    assert (results[0] == TINY + TINY).all()
