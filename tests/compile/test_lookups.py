"""Products of rows that are looked up: what is multiplied, and that numbers, gradients and refusals stay the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import thalweg as tw
from tests.support.compiled import assert_all_agree, run_both
from thalweg import ops
from thalweg.compile.passes import run_passes
from thalweg.dtype import float32, int64
from thalweg.errors import ThalwegError
from thalweg.graph import Node, make_input, toposort

ROWS, WIDTH, OUT, SHAPE = 7, 40, 50, (6, 5)
COUNT = 30


def inputs(rows: int = ROWS) -> list[Node]:
    """A table, positions, a weight, and gradients of what comes out."""
    return [
        make_input((rows, WIDTH), float32), make_input(SHAPE, int64), make_input((WIDTH, OUT), float32),
        make_input((COUNT, OUT), float32),
    ]  # fmt: skip


def arrays(rows: int = ROWS) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    floats = [
        generator.standard_normal(each).astype(np.float32) for each in ((rows, WIDTH), (WIDTH, OUT), (COUNT, OUT))
    ]
    return [floats[0], generator.integers(0, rows, SHAPE), *floats[1:]]


def looked_up(table: Node, index: Node) -> Node:
    return ops.gather(table, index, role="index")


def flat(x: Node) -> Node:
    return ops.reshape(x, shape=(COUNT, x.shape[-1]))


def turned(x: Node) -> Node:
    return ops.permute(x, order=(1, 0, 2))


def product(a: Node, b: Node, transpose_a: bool = False, transpose_b: bool = False) -> Node:
    return ops.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def added_up(updates: Node, index: Node) -> Node:
    return ops.scatter_add(updates, index, shape=(ROWS, updates.shape[-1]), role="index")


PROGRAMS: dict[str, Callable[[Node, Node, Node, Node], Node]] = {
    "rows times a weight": lambda t, i, w, g: product(flat(looked_up(t, i)), w),
    "in another order": lambda t, i, w, g: product(flat(turned(looked_up(t, i))), w),
    "and back in shape": lambda t, i, w, g: ops.reshape(product(flat(looked_up(t, i)), w), shape=(*SHAPE, OUT)),
    "gradient of the weight": lambda t, i, w, g: product(flat(turned(looked_up(t, i))), g, transpose_a=True),
    "its other side": lambda t, i, w, g: product(g, flat(looked_up(t, i)), transpose_a=True),
    "gradient of the table": lambda t, i, w, g: added_up(
        turned(ops.reshape(product(g, w, transpose_b=True), shape=(5, 6, WIDTH))), i
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_the_rows_of_the_table_are_multiplied(name: str) -> None:
    """No product in the program has an extent for each position."""
    given = inputs()
    lowered = run_passes([PROGRAMS[name](*given)])
    products = [node for node in toposort(lowered) if node.op is ops.matmul]
    assert products
    assert all(COUNT not in (*node.shape, *node.inputs[0].shape, *node.inputs[1].shape) for node in products)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_numbers_stay_the_same(name: str) -> None:
    given = inputs()
    assert_all_agree(*run_both(given, [PROGRAMS[name](*given)], arrays()), 2e-5)


def test_a_table_with_many_rows_is_left_alone() -> None:
    """Of 16 rows at least 32 positions would have to be looked up, and there are 30."""
    given = inputs(rows=16)
    lowered = run_passes([PROGRAMS["rows times a weight"](*given)])
    assert any(node.op is ops.matmul and node.shape == (COUNT, OUT) for node in toposort(lowered))


def test_a_product_that_is_wanted_itself_is_left_alone() -> None:
    given = inputs()
    whole = product(given[3], given[2], transpose_b=True)
    lowered = run_passes([added_up(ops.reshape(whole, shape=(*SHAPE, WIDTH)), given[1]), whole])
    assert sum(node.op is ops.matmul for node in toposort(lowered)) == 1


def test_a_position_out_of_range_is_refused_as_before() -> None:
    linear = tw.compile(lambda table, index, weight: table[index] @ weight)
    table, index, weight = tw.ones(ROWS, WIDTH), tw.tensor([ROWS] * COUNT), tw.ones(WIDTH, OUT)
    with pytest.raises(ThalwegError, match=f"{ROWS}"):
        linear(table, index, weight).numpy()
