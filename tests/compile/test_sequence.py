"""The order of kernels: nothing before what it waits for, nothing written that is still read, gaps of the chain filled.

In: made-up kernels, and the layers of a network. Out: failures where the order cannot run, or leaves a thread waiting.
"""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from tests.support.zoo import ZOO, program_of
from thalweg.compile.executable import layout_of
from thalweg.compile.fuse import Kernel
from thalweg.compile.sequence import in_order
from thalweg.dtype import float32
from thalweg.graph import Node, make_input
from thalweg.ops.elementwise import exp

EDGES = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)))


def kernels_with(edges: set[tuple[int, int]], sizes: list[int]) -> list[Kernel]:
    """A kernel for each size; the later end of an edge waits for the earlier, and for all that this one waits for."""
    kernels: list[Kernel] = []
    for index, size in enumerate(sizes):
        before = {kernels[min(edge)] for edge in edges if max(edge) == index and min(edge) < index}
        kernel = Kernel([exp(make_input((size,), float32))], (size,))
        kernel.after = before.union(*(each.after for each in before))
        kernels.append(kernel)
    return kernels


@given(EDGES, st.lists(st.sampled_from([1, 100, 1 << 20]), min_size=12, max_size=12), st.randoms())
def test_a_kernel_comes_behind_all_that_it_waits_for(edges, sizes, random) -> None:  # type: ignore[no-untyped-def]
    kernels = kernels_with(edges, sizes)
    mixed = random.sample(kernels, len(kernels))
    found = in_order(mixed)
    assert sorted(map(id, found)) == sorted(map(id, kernels))
    assert all(kernel.after <= set(found[:index]) for index, kernel in enumerate(found))


def test_who_reads_a_cell_comes_before_its_new_value() -> None:
    cell = make_input((8,), float32)
    writer, *readers = kernels_with(set(), [1 << 20, 8, 8])
    writer.outputs = list(writer.nodes)
    for each in readers:
        each.inputs = [cell]
    assert in_order([writer, *readers], {writer.nodes[0]: cell})[-1] is writer


def test_cells_that_each_need_the_other_first_still_have_an_order() -> None:
    cells = [make_input((8,), float32) for _ in range(2)]
    kernels = kernels_with(set(), [8, 8])
    for kernel, cell in zip(kernels, reversed(cells), strict=True):
        kernel.outputs, kernel.inputs = list(kernel.nodes), [cell]
    replaced: dict[Node, Node] = {kernel.nodes[0]: cell for kernel, cell in zip(kernels, cells, strict=True)}
    assert len(in_order(kernels, replaced)) == 2


def test_a_thread_that_would_wait_for_the_chain_takes_what_is_ready() -> None:
    """A chain of large kernels, each with a large one hanging on it: the hanging ones fill the gaps."""
    links = [(0, 1), (1, 2), (2, 3)]
    kernels = kernels_with({*links, (0, 4), (1, 5), (2, 6)}, [1 << 20] * 7)
    names = {id(kernel): number for number, kernel in enumerate(kernels)}
    order = [names[id(each)] for each in in_order(kernels)]
    assert all(pair not in itertools.pairwise(order) for pair in links[1:]), order


def test_a_weight_is_updated_before_the_gradients_of_far_earlier_layers() -> None:
    assert "deep_tanh" in ZOO
    layout = layout_of(program_of("deep_tanh"))
    written = {layout.source(layout.outputs[index]) for index in layout.writes}
    products = [i for i, kernel in enumerate(layout.kernels) if kernel.nodes[0].op.kind == "contract"]
    updates = [i for i, kernel in enumerate(layout.kernels) if written & set(kernel.outputs)]
    assert sum(update < products[-1] for update in updates) > len(updates) // 2


def test_the_update_of_a_weight_is_written_in_place() -> None:
    """No copy stands at the end of a step: each new value is made after the last read of the old one."""
    model, x = tw.nn.Sequential(tw.nn.Linear(64, 64), tw.nn.Tanh(), tw.nn.Linear(64, 64)), tw.ones(32, 64)
    optimizer = tw.optim.SGD(model.parameters(), lr=0.1)

    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step(x)
    (compiled,) = step._programs.values()
    native = compiled.executable.native
    assert len(native.rows) == len(native.layout.kernels)
