"""Values that are computed again where they are read: fewer in memory, the same numbers, and the traps.

In: programs whose kernels leave something large that takes little. Out: which values are stored; agreement with NumPy;
nothing is computed again where a reader needs it elsewhere than at its own place, or where it is a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.support.compiled import assert_all_agree, run_both
from thalweg import ops
from thalweg.compile import recomputing
from thalweg.compile.epilogues import attach
from thalweg.compile.executable import Executable
from thalweg.compile.fuse import Kernel, fuse
from thalweg.compile.layout import Layout
from thalweg.compile.passes import run_passes
from thalweg.compile.program import Program
from thalweg.dtype import float32
from thalweg.graph import Node, full, make_input
from thalweg.ops.convolution import Form

SHAPE = (4, 8, 6, 6)
PLANE = Form((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1))


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputing, "_LARGE", 1)


class Graph:
    """A convolution's result, which lies in memory, and rows to scale it with."""

    def __init__(self) -> None:
        self.x, self.w, self.row = (make_input(each, float32) for each in (SHAPE, (8, 8, 3, 3), (1, 8, 1, 1)))
        self.inputs = [self.x, self.w, self.row]
        self.y = PLANE.apply(self.x, self.w)

    def along(self, row: Node) -> Node:
        return ops.broadcast(row, shape=SHAPE)

    def total(self, x: Node, *axes: int) -> Node:
        return ops.sum_(x, axes=axes)


def kernels_of(outputs: Sequence[Node]) -> tuple[list[Kernel], list[Kernel]]:
    """The kernels of a program without computing anything again, and with it."""
    lowered = run_passes(outputs)
    return attach(fuse(lowered), lowered), recomputing.recompute(attach(fuse(lowered), lowered), lowered)


def stored(kernels: Sequence[Kernel]) -> int:
    """How many values as large as the image lie in memory."""
    return sum(node.size >= 4 * 8 * 6 * 6 for kernel in kernels for node in kernel.outputs)


def check(graph: Graph, outputs: Sequence[Node]) -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(np.float32) for each in graph.inputs]
    assert_all_agree(*run_both(graph.inputs, outputs, arrays), 2e-5)


def scaled(g: Graph) -> Node:
    return g.y * 2.0 + g.along(g.row)


def normalised(g: Graph) -> Node:
    """What is made of a mean over each channel, and of the image."""
    return ops.subtract(g.y, g.along(g.total(g.y, 0, 2, 3) * (1 / 144)))


def rectified(g: Graph) -> Node:
    zeros = full(SHAPE, 0.0, float32)
    return ops.where(ops.less_equal(g.y, zeros), zeros, g.y)


def chosen_by_row(g: Graph) -> Node:
    """A question about a row, which has no code of its own."""
    question = ops.less(g.row, full(g.row.shape, 0.0, float32))
    return ops.where(g.along(question), g.y * 2.0, g.y)


CHEAP: dict[str, Callable[[Graph], Node]] = {
    each.__name__: each for each in (scaled, normalised, rectified, chosen_by_row)
}


def two_readers(g: Graph, x: Node) -> list[Node]:
    """Reductions over different axes: two kernels."""
    return [g.total(ops.multiply(x, x), 0, 2, 3), ops.amax(x, axes=(1,))]


@pytest.mark.parametrize("name", CHEAP)
def test_what_takes_little_is_computed_by_each_reader(name: str) -> None:
    graph = Graph()
    outputs = [*two_readers(graph, CHEAP[name](graph)), graph.y]
    before, after = kernels_of(outputs)
    assert stored(after) == stored(before) - 1
    check(graph, outputs)


def test_a_kernel_that_leaves_nothing_is_gone() -> None:
    graph = Graph()
    x = scaled(graph)
    before, after = kernels_of([*two_readers(graph, x), graph.y])
    assert len(after) <= len(before)
    for kernel in after:
        assert kernel.outputs
        assert kernel.after <= set(after)


def test_what_small_values_take_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputing, "_LARGE", 1 << 18)
    graph = Graph()
    before, after = kernels_of([*two_readers(graph, scaled(graph)), graph.y])
    assert stored(after) == stored(before)


# --- traps: here it must be stored, and the numbers stay right -------------------------------------------------------


def dear(g: Graph, x: Node) -> list[Node]:
    return two_readers(g, ops.tanh(x))


def shown(g: Graph, x: Node) -> list[Node]:
    return [*two_readers(g, x), x]


def shown_in_another_shape(g: Graph, x: Node) -> list[Node]:
    return [*two_readers(g, x), ops.reshape(x, shape=(4, 8, 36))]


def read_backwards(g: Graph, x: Node) -> list[Node]:
    back = ops.flip(x, axes=(2,))
    return [*two_readers(g, x), g.total(ops.multiply(back, g.y), 3)]


def read_backwards_as_a_question(g: Graph, x: Node) -> list[Node]:
    negative = ops.cast(ops.less(x, full(SHAPE, 0.0, float32)), dtype="float32")
    return [*two_readers(g, x), g.total(ops.multiply(ops.flip(negative, axes=(0,)), x), 0, 2, 3)]


def read_a_step_further(g: Graph, x: Node) -> list[Node]:
    twice = ops.concatenate(x, x, axis=3)
    later = ops.slice_(twice, start=(0, 0, 0, 2), stop=(4, 8, 6, 8), step=(1, 1, 1, 1))
    return [*two_readers(g, x), g.total(ops.multiply(later, later), 0, 2, 3)]


def read_padded(g: Graph, x: Node) -> list[Node]:
    wide = ops.pad(x, low=(0, 0, 1, 1), high=(0, 0, 1, 1), interior=(0,) * 4, value=0)
    return [*two_readers(g, x), g.total(ops.multiply(wide, wide), 0, 2)]


def read_by_a_product(g: Graph, x: Node) -> list[Node]:
    return [*two_readers(g, x), PLANE.apply(x, g.w)]


def read_by_a_matrix_product(g: Graph, x: Node) -> list[Node]:
    rows = ops.reshape(x, shape=(32, 36))
    return [*two_readers(g, x), ops.matmul(rows, rows, transpose_a=False, transpose_b=True)]


def of_two_values_in_memory(g: Graph, x: Node) -> list[Node]:
    return [*two_readers(g, ops.add(x, g.x)), ops.add(g.x, g.y)]


def summed_along_two_ways(g: Graph, x: Node) -> list[Node]:
    """A reader with a row and a column."""
    rows = g.total(ops.exp(x * 0.1), 3)
    return [*two_readers(g, x), rows, g.total(ops.multiply(x, ops.broadcast(rows, shape=SHAPE)), 0, 1, 2)]


TRAPS: dict[str, Callable[[Graph, Node], list[Node]]] = {
    each.__name__: each
    for each in (
        dear, shown, shown_in_another_shape, read_backwards, read_backwards_as_a_question, read_a_step_further,
        read_padded, read_by_a_product, read_by_a_matrix_product, of_two_values_in_memory, summed_along_two_ways,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize("trap", TRAPS)
def test_the_numbers_are_those_of_numpy_whoever_reads(trap: str, name: str) -> None:
    graph = Graph()
    outputs = TRAPS[trap](graph, CHEAP[name](graph))
    check(graph, [*outputs, graph.y])
    check(graph, outputs)


@pytest.mark.parametrize("trap", ["dear", "shown", "shown_in_another_shape"])
def test_what_is_dear_or_a_result_is_stored(trap: str) -> None:
    graph = Graph()
    before, after = kernels_of([*TRAPS[trap](graph, scaled(graph)), graph.y])
    assert stored(after) == stored(before)


# --- cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "through a row", "itself"])
def test_a_cell_that_is_overwritten_is_read_before(name: str) -> None:
    """What is computed again is made of a cell's old value, though the cell gets a new one in the same step."""
    cell, g = make_input(SHAPE, float32), make_input(SHAPE, float32)
    x = cell * 3.0
    if name == "through a row":
        x = ops.subtract(x, ops.broadcast(ops.sum_(cell, axes=(1,)) * 0.1, shape=SHAPE))
    new = ops.subtract(cell, g if name == "plain" else ops.multiply(x, g))
    outputs = [new, ops.sum_(ops.multiply(x, x), axes=(0, 2, 3)), ops.amax(x, axes=(1,))]
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=SHAPE).astype(np.float32) for _ in range(2)]
    program = Executable(Program((cell, g), tuple(outputs), ((0, 0),)))
    assert program.is_native
    meant = program.interpret(arrays)
    held = arrays[0].copy()
    found = program([held, arrays[1]], {0: held})
    assert found[0] is held
    assert_all_agree(found, meant, 2e-5)


def test_kernels_run_after_what_they_read() -> None:
    """In the order of the layout every value is there before a kernel reads it."""
    for make in CHEAP.values():
        for trap in TRAPS.values():
            graph = Graph()
            layout = Layout(graph.inputs, run_passes(trap(graph, make(graph))))
            known = set(graph.inputs)
            for kernel in layout.kernels:
                assert known.issuperset(kernel.inputs)
                known.update(kernel.outputs)
