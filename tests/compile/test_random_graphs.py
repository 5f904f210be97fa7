"""Random programs mean, compiled, what their graphs mean: values, two derivatives, written cells, bad data.

In: graphs from `tests/support/random_graphs.py`. Out: agreement with NumPy; after each pass, too, so that a failure
names the pass that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.compiled import (
    assert_all_agree,
    assert_compiled_equals_numpy,
    cotangents,
    with_gradients,
)
from tests.support.random_graphs import KINDS, RandomGraph, RandomImages, used_primitives
from tests.support.sweep import is_full_sweep
from thalweg.compile import recomputing
from thalweg.compile.executable import Executable
from thalweg.compile.passes import PASSES
from thalweg.compile.program import Program
from thalweg.compile.reference import evaluate
from thalweg.dtype import float32, float64, int64
from thalweg.errors import IndexRangeError
from thalweg.graph import PRIMITIVES, Node
from thalweg.verify import verify

EXAMPLES = 10 if is_full_sweep() else 1
TOLERANCE = {"float32": 2e-4, "float64": 1e-10}
# What is not drawn: sorting and loops run on NumPy, and no chain rule makes a window product.
NOT_DRAWN = {"input", "constant", "scan", "loop", "output", "custom", "argsort", "cumsum", "window_product",
             "bitwise_and", "bitwise_or", "bitwise_not", "after"}  # fmt: skip


def results(data: st.DataObject, graph: RandomGraph) -> list[Node]:
    """The newest nodes and any others, one of them perhaps twice, perhaps an input."""
    return [*graph.nodes[-2:], *data.draw(st.lists(st.sampled_from(graph.nodes), max_size=3))]


def test_all_primitives_are_drawn() -> None:
    found: set[str] = set()

    @given(data=st.data())
    @settings(max_examples=300, deadline=None)
    def collect(data: st.DataObject) -> None:
        found.update(used_primitives(RandomGraph(data.draw, float64, 16)))

    collect()
    assert found | NOT_DRAWN >= set(PRIMITIVES), set(PRIMITIVES) - found - NOT_DRAWN


graphs = pytest.mark.parametrize("kind", [RandomGraph, RandomImages])


@graphs
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
@given(data=st.data())
@settings(max_examples=60 * EXAMPLES, deadline=None)
def test_values_agree(kind, dtype, data) -> None:
    graph = kind(data.draw, dtype, data.draw(st.integers(3, 24)))
    outputs = results(data, graph)
    assert_compiled_equals_numpy(graph.inputs, outputs, graph.arrays, tolerance=TOLERANCE[dtype.name])


@graphs
@given(data=st.data())
@settings(max_examples=40 * EXAMPLES, deadline=None)
def test_values_agree_where_all_that_is_cheap_is_computed_again(kind, data) -> None:
    graph = kind(data.draw, float64, data.draw(st.integers(6, 24)))
    outputs = results(data, graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recomputing, "_LARGE", 1)
        assert_compiled_equals_numpy(graph.inputs, outputs, graph.arrays, tolerance=TOLERANCE["float64"])


@graphs
@given(data=st.data())
@settings(max_examples=60 * EXAMPLES, deadline=None)
def test_first_and_second_gradients_agree(kind, data) -> None:
    graph = kind(data.draw, float64, data.draw(st.integers(2, 9)))
    outputs = graph.nodes[-2:]
    seeds, found, names = with_gradients(outputs, graph.inputs)
    fed = [*graph.arrays, *cotangents(seeds, graph.generator)]
    executable = Executable(Program((*graph.inputs, *seeds), tuple(found)))
    assert executable.is_native
    with np.errstate(all="ignore"):
        assert_all_agree(executable(fed), executable.interpret(fed), 1e-9, names, is_joint=True)


@graphs
@given(data=st.data())
@settings(max_examples=30 * EXAMPLES, deadline=None)
def test_every_pass_keeps_the_meaning(kind, data) -> None:
    graph = kind(data.draw, float64, data.draw(st.integers(2, 8)))
    seeds, outputs, _ = with_gradients(graph.nodes[-2:], graph.inputs, order=1)
    known = dict(zip((*graph.inputs, *seeds), (*graph.arrays, *cotangents(seeds, graph.generator)), strict=True))
    with np.errstate(all="ignore"):
        meant = evaluate(outputs, known)
        for each in PASSES:
            outputs = each.run(outputs)
            verify(outputs)
            assert_all_agree(evaluate(outputs, known), meant, 1e-9, [each.name] * len(meant), is_joint=True)


# --- cells -----------------------------------------------------------------------------------------------------------


def cells_to_write(data: st.DataObject, graph: RandomGraph) -> dict[int, Node]:
    """For some inputs, the new value of the cell that they read."""
    chosen = {}
    for position, cell in enumerate(graph.inputs):
        fits = [node for node in graph.nodes if node.shape == cell.shape and node.dtype is cell.dtype]
        if fits and data.draw(st.booleans()):
            chosen[position] = data.draw(st.sampled_from(fits))
    return chosen


def program_that_writes(data: st.DataObject, graph: RandomGraph) -> tuple[Executable, dict[int, np.ndarray]]:
    """A program whose first outputs are new values of cells, and copies of the cells to be overwritten."""
    cells = cells_to_write(data, graph)
    writes = tuple((index, position) for index, position in enumerate(cells))
    executable = Executable(Program(tuple(graph.inputs), (*cells.values(), *results(data, graph)), writes))
    return executable, {index: graph.arrays[position].copy() for index, position in writes}


@graphs
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
@given(data=st.data())
@settings(max_examples=60 * EXAMPLES, deadline=None)
def test_cells_are_written_in_place_and_nothing_else_changes(kind, dtype, data) -> None:
    graph = kind(data.draw, dtype, data.draw(st.integers(2, 16)))
    executable, cells = program_that_writes(data, graph)
    writes = dict(executable.program.writes)
    arrays = [array.copy() for array in graph.arrays]
    for index, cell in cells.items():
        arrays[writes[index]] = cell
    with np.errstate(all="ignore"):
        meant = executable.interpret(graph.arrays)
        found = executable(arrays, cells)
    assert all(found[index] is cell for index, cell in cells.items())
    assert_all_agree(found, meant, TOLERANCE[dtype.name])
    for position in set(range(len(arrays))) - set(writes.values()):
        np.testing.assert_array_equal(arrays[position], graph.arrays[position])


@given(data=st.data())
@settings(max_examples=40 * EXAMPLES, deadline=None)
def test_a_bad_position_raises_what_numpy_raises_and_writes_no_cell(data) -> None:
    graph = RandomGraph(data.draw, float64, data.draw(st.integers(2, 12)))
    graph.nodes += [graph.gathered(), graph.unary()]
    executable, cells = program_that_writes(data, graph)
    spoiled = [np.array(array, copy=True) for array in graph.arrays]
    for array in spoiled:
        if array.dtype == int64.numpy and array.shape != (2,) and array.size:
            place = data.draw(st.integers(0, array.size - 1))
            array.reshape(-1)[place] = data.draw(st.sampled_from([-1, 99, -(2**63)]))
    arrays = list(spoiled)
    for index, position in executable.program.writes:
        arrays[position] = cells[index] = spoiled[position].copy()
    with np.errstate(all="ignore"):
        meant = results_or_error(lambda: executable.interpret(spoiled))
        found = results_or_error(lambda: executable(arrays, cells))
    if isinstance(meant, str):
        assert found == meant
        assert all((array == kept).all() for array, kept in zip(arrays, spoiled, strict=True))
    else:
        assert_all_agree(found, meant, 1e-9)


def results_or_error(run: Callable[[], list[np.ndarray]]) -> list[np.ndarray] | str:
    """What it gives, or the first line of the error for the bad position."""
    try:
        return run()
    except IndexRangeError as error:
        return str(error).splitlines()[0]


def test_the_kinds_are_many() -> None:
    assert len(set(KINDS)) >= 20
