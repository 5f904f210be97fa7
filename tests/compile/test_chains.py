"""Kernels that are done sample by sample: which are, that nothing else is, and that no bit depends on it.

In: convolutional steps and single kernels. Out: chains where a sample's values can stay in the cache, the bits of the
same program without them, on any number of threads, and no piece that reads what another piece is still making.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.random_graphs import RandomImages
from thalweg import nn, ops, optim
from thalweg.compile import chains, executable, layout, modules, pieces
from thalweg.compile.chains import slabs_of
from thalweg.compile.executable import Executable
from thalweg.compile.fuse import Kernel
from thalweg.compile.layout import Layout
from thalweg.compile.native import NativeProgram
from thalweg.compile.passes import run_passes
from thalweg.compile.program import Program
from thalweg.dtype import float32
from thalweg.graph import Node, make_input


def forget() -> None:
    for memory in (modules._modules, executable._cache):
        memory.clear()


@pytest.fixture
def eager_chains(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chains of values of any size, cut as finely as can be, in programs that ask for the pool."""
    monkeypatch.setattr(chains, "_LINK", 1)
    monkeypatch.setattr(chains, "_FEWEST", 2)
    monkeypatch.setattr(pieces, "_CYCLES", 1)
    monkeypatch.setattr(NativeProgram, "_gains_from_threads", lambda _: True)
    before = tw.get_num_threads()
    forget()
    yield
    tw.set_num_threads(before)
    forget()


# --- which kernels follow their first axis ---------------------------------------------------------------------------


def kernel_of(result: Node, inputs: list[Node]) -> Kernel:
    """The only kernel of a program."""
    (kernel,) = Layout(inputs, run_passes([result])).kernels
    return kernel


X, ROW = (8, 6, 5, 16), (1, 6, 5, 16)
PLAIN = {
    "entry for entry": lambda x: ops.tanh(x),
    "behind a permutation of later axes": lambda x: ops.tanh(ops.permute(x, order=(0, 2, 1, 3))),
    "in another shape": lambda x: ops.tanh(ops.reshape(x, shape=(8, 30, 16))),
    "with other axes cut": lambda x: ops.tanh(ops.slice_(x, start=(0, 1, 0, 0), stop=X, step=(1, 2, 1, 1))),
    "widened at other axes": lambda x: ops.tanh(
        ops.pad(x, low=(0, 1, 1, 0), high=(0, 1, 1, 0), interior=(0, 0, 0, 0), value=0)
    ),
    "turned around along another axis": lambda x: ops.tanh(ops.flip(x, axes=(1,))),
    "summed up sample by sample": lambda x: ops.sum_(x, axes=(1, 2)),
}
MIXED = {
    "samples in another order": lambda x: ops.tanh(ops.flip(x, axes=(0,))),
    "one sample further": lambda x: ops.tanh(
        ops.pad(
            ops.slice_(x, start=(1, 0, 0, 0), stop=X, step=(1, 1, 1, 1)),
            low=(0, 0, 0, 0), high=(1, 0, 0, 0), interior=(0, 0, 0, 0), value=0,
        )
    ),
    "samples across": lambda x: ops.tanh(ops.reshape(ops.permute(x, order=(1, 0, 2, 3)), shape=X)),
    "the first sample for all": lambda x: ops.add(
        x, ops.broadcast(ops.slice_(x, start=(0, 0, 0, 0), stop=ROW, step=(1, 1, 1, 1)), shape=X)
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", PLAIN)
def test_a_kernel_that_reads_each_sample_by_itself_follows_it(form: str) -> None:
    x = make_input(X, float32)
    slabs = slabs_of(kernel_of(PLAIN[form](x), [x]))
    assert slabs is not None
    assert slabs.count == 8
    assert x in slabs.values


@pytest.mark.parametrize("form", MIXED)
def test_a_kernel_that_reads_other_samples_does_not(form: str) -> None:
    x = make_input(X, float32)
    slabs = slabs_of(kernel_of(MIXED[form](x), [x]))
    assert slabs is None or x not in slabs.values


def test_a_sum_over_samples_cannot_be_cut() -> None:
    x = make_input(X, float32)
    assert slabs_of(kernel_of(ops.sum_(x, axes=(0,)), [x])) is None


def test_a_convolution_follows_its_input_and_not_its_weight() -> None:
    x, w = make_input((8, 18, 18, 16), float32), make_input((3, 3, 16, 32), float32)
    y = ops.window_product(x, w, lead=0, stride=(1, 1), dilation=(1, 1), order=(0, 1, 2, 3))
    slabs = slabs_of(kernel_of(y, [x, w]))
    assert slabs is not None
    assert x in slabs.values
    assert w not in slabs.values


def test_the_parts_of_a_weights_gradient_follow_both() -> None:
    x, w = make_input((8, 16, 18, 18, 2), float32), make_input((8, 16, 16, 2, 32), float32)
    y = ops.window_product(x, w, lead=1, stride=(1, 1), dilation=(1, 1), order=(0, 1, 2, 3, 4))
    slabs = slabs_of(kernel_of(y, [x, w]))
    assert slabs is not None
    assert slabs.count == 8
    assert {x, w} <= slabs.values


# --- chains of a step ------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """A residual block, one that goes down by a stride, and what is behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm1, self.norm2, self.norm3 = nn.BatchNorm2d(16), nn.BatchNorm2d(16), nn.BatchNorm2d(32)
        self.second = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.down = nn.Conv2d(16, 32, 3, 2, 1, bias=False)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.pointwise = nn.Conv2d(32, 24, 1)
        self.last = nn.Linear(24, 5)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.norm1(self.first(x)))
        x = F.relu(self.norm2(self.second(x)) + x)
        x = F.max_pool2d(F.relu(self.norm3(self.down(x))), 2)
        return self.last(F.relu(self.pointwise(self.depthwise(x))).mean((2, 3)))


def trained(samples: int, size: int, steps: int = 2) -> tuple[list[bytes], NativeProgram]:
    """The weights' bytes after some steps, and the program that made them."""
    tw.manual_seed(0)
    model = Block()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    generator = np.random.default_rng(0)
    x = tw.tensor(generator.normal(size=(samples, 3, size, size)).astype(np.float32))
    y = tw.tensor(generator.integers(0, 5, samples))

    @tw.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(steps):
        step(x, y)
    native = max((each.native for each in executable._cache.values() if each.native), key=lambda each: len(each.rows))
    return [value.numpy().tobytes() for value in model.state_dict().values()], native


def lengths(native: NativeProgram) -> list[int]:
    return [kernel.links + 1 for kernel in native.layout.kernels if kernel.links]


def test_a_step_of_large_images_is_made_of_chains() -> None:
    forget()
    _, native = trained(16, 32, steps=1)
    assert max(lengths(native)) >= 3
    assert len(lengths(native)) >= 6


def test_small_values_are_not_worth_a_chain() -> None:
    forget()
    _, native = trained(16, 8, steps=1)
    assert lengths(native) == []


@pytest.mark.usefixtures("eager_chains")
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("samples", [4, 6, 7])
def test_the_bits_are_those_of_the_same_program_without_chains(
    samples: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tw.set_num_threads(threads)
    with_chains, native = trained(samples, 12)
    assert lengths(native)
    monkeypatch.setattr(layout, "chained", lambda kernels, replaced=(): list(kernels))
    forget()
    without, native = trained(samples, 12)
    assert not lengths(native)
    assert with_chains == without


@pytest.mark.usefixtures("eager_chains")
def test_values_of_a_chain_share_no_memory() -> None:
    _, native = trained(6, 12, steps=1)
    position, kernels = 0, native.layout.kernels
    while position < len(kernels):
        members = kernels[position : position + kernels[position].links + 1]
        values = list(dict.fromkeys(node for each in members for node in (*each.outputs, *each.inputs)))
        places = sorted((at, at + node.size * node.dtype.itemsize) for node in values
                        if (at := native.layout.offsets.get(node)) is not None)  # fmt: skip
        made = {node for each in members for node in each.outputs}
        if len(members) > 1 and made:
            assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
        position += len(members)


@pytest.mark.usefixtures("eager_chains")
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_random_programs_of_images_with_chains_have_the_bits_of_those_without(data: st.DataObject) -> None:
    graph = RandomImages(data.draw, float32, 10)
    arrays, outputs = graph.arrays, tuple(graph.nodes[-3:])
    chained = Executable(Program(tuple(graph.inputs), outputs))
    found = chained(arrays)
    usual: Callable[..., Any] = layout.chained
    layout.chained = lambda kernels, replaced=(): list(kernels)
    try:
        forget()
        assert [each.tobytes() for each in Executable(Program(tuple(graph.inputs), outputs))(arrays)] == [
            each.tobytes() for each in found
        ]
    finally:
        layout.chained = usual
