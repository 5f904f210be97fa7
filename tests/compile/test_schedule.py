"""Schedules cut loops completely, keep what is dear, and walk through memory in one go where they can.

In: kernels of small graphs. Out: claims about their schedules.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import ops
from thalweg.compile.fuse import Kernel, fuse
from thalweg.compile.schedule import choose_schedule, merged_extents, runs_of
from thalweg.compile.target import compiling_for
from thalweg.dtype import float32, int64
from thalweg.graph import Node, full, make_input


def only_kernel(*outputs: Node) -> Kernel:
    (kernel,) = fuse(outputs)
    return kernel


def repeated(node: Node, shape: tuple[int, ...]) -> Node:
    return ops.broadcast(node, shape=shape)


@given(st.integers(0, 300), st.sampled_from([1, 4, 16]), st.integers(1, 5), st.integers(1, 7))
def test_runs_reach_every_entry_once(extent: int, unit: int, group: int, longest: int) -> None:
    seen: list[int] = []
    for run in runs_of(extent, unit, group, longest):
        assert run.count <= longest
        for number in range(run.blocks * run.count):
            for step in range(run.size):
                lanes = run.last if step == run.size - 1 else unit
                start = run.first + (number * run.size + step) * unit
                seen += range(start, start + lanes)
    assert seen == list(range(extent))


def test_a_sweep_over_a_matrix_is_one_loop() -> None:
    p, g, rate = (make_input(shape, float32) for shape in ((1000, 1000), (1000, 1000), (1, 1)))
    kernel = only_kernel(ops.subtract(p, ops.multiply(g, repeated(rate, p.shape))))
    assert merged_extents(kernel) == (1, 1_000_000)
    assert choose_schedule(kernel).is_stream


def test_axes_with_a_repeated_row_stay_apart() -> None:
    x, bias = make_input((4, 5, 6), float32), make_input((1, 1, 6), float32)
    assert merged_extents(only_kernel(ops.add(x, repeated(bias, x.shape)))) == (1, 20, 6)


def test_a_turned_operand_keeps_axes_apart() -> None:
    x, y = make_input((4, 6), float32), make_input((6, 4), float32)
    assert merged_extents(only_kernel(ops.add(x, ops.permute(y, order=(1, 0))))) == (4, 6)


@pytest.mark.parametrize(("shape", "axes", "expected"), [((4, 5, 6), (2,), (1, 20, 6)), ((4, 5, 6), (1, 2), (4, 1, 30)),
                                                         ((4, 5, 6), (1,), (4, 5, 6)), ((4, 1, 6), (2,), (4, 1, 6)),
                                                         ((4, 1, 6), (1,), (1, 1, 24))])  # fmt: skip
def test_axes_merge_if_all_are_reduced_or_none(
    shape: tuple[int, ...], axes: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert merged_extents(only_kernel(ops.sum_(make_input(shape, float32), axes=axes))) == expected


def test_reductions_run_several_chains_of_additions() -> None:
    for shape, axes in [((100_000,), (0,)), ((300, 200), (1,)), ((300, 200), (0,)), ((5000, 3), (0,))]:
        schedule = choose_schedule(only_kernel(ops.sum_(make_input(shape, float32), axes=axes)))
        assert schedule.group * schedule.chains >= 4, (shape, axes)


def test_exponentials_are_kept_and_sums_of_two_are_not() -> None:
    x = make_input((8, 100), float32)
    for full_node, kept in [(ops.exp(x), 1), (ops.add(x, full(x.shape, 1.0, float32)), 0)]:
        total = repeated(ops.sum_(full_node, axes=(1,)), x.shape)
        schedule = choose_schedule(only_kernel(ops.divide(full_node, total)))
        assert sum(len(sweep.keeps) for sweep in schedule.sweeps) == kept


def test_rows_that_no_cache_would_hold_are_computed_again() -> None:
    x = make_input((2, 1_000_000), float32)
    powers = ops.exp(x)
    schedule = choose_schedule(only_kernel(ops.divide(powers, repeated(ops.sum_(powers, axes=(1,)), x.shape))))
    assert not any(sweep.keeps for sweep in schedule.sweeps)


def test_columns_wait_for_a_pass_that_runs_anyway() -> None:
    x = make_input((8, 100), float32)
    back = ops.multiply(x, repeated(ops.sum_(x, axes=(1,)), x.shape))
    schedule = choose_schedule(only_kernel(back, ops.sum_(back, axes=(0,)), ops.sum_(x, axes=(0,))))
    assert [len(sweep.columns) for sweep in schedule.sweeps] == [1, 1]


def dropped(x: Node) -> Node:
    bits = ops.random_bits(make_input((2,), int64), shape=x.shape)
    kept = ops.less(ops.cast(bits, dtype="float32"), full(x.shape, 1e9, float32))
    return ops.where(kept, ops.tanh(x), full(x.shape, 0.0, float32))


levels = pytest.mark.parametrize(("level", "vectors"), [("x86-64-v3", 8), ("x86-64-v4", 4)])


@levels
def test_vectors_that_share_random_bits_are_worked_on_side_by_side(level: str, vectors: int) -> None:
    x = make_input((64, 512), float32)
    with compiling_for(level):
        assert choose_schedule(only_kernel(dropped(x))).group == vectors
        total = choose_schedule(only_kernel(repeated(ops.sum_(dropped(x), axes=(0,)), x.shape) * x))
        assert (total.group_axis, total.group, total.chains) == (1, vectors, 1)
        along = choose_schedule(only_kernel(repeated(ops.sum_(dropped(x), axes=(1,)), x.shape) * x))
        assert (along.group, along.chains) == (1, vectors)


@levels
def test_rows_that_part_the_draws_change_no_schedule(level: str, vectors: int) -> None:
    x = make_input((64, 500), float32)
    with compiling_for(level):
        schedule = choose_schedule(only_kernel(repeated(ops.sum_(dropped(x), axes=(0,)), x.shape) * x))
        assert schedule.group == (4 if level == "x86-64-v4" else 2)
        assert choose_schedule(only_kernel(dropped(x))).group == vectors, "one long row"
