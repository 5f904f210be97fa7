"""Views: movements as strides, for any chain of them, beside NumPy's own views.

In: chains of movements drawn by Hypothesis. Out: the entries that start and strides lead to are those of the value; as
much of a chain is seen through as NumPy can do without a copy; what has to be copied is not called a view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import ops
from thalweg.compile.reference import evaluate
from thalweg.compile.views import reshaped_strides, view_of
from thalweg.dtype import float32
from thalweg.graph import Node, Shape, full, make_input, size_of

Draw = Callable[[Any], Any]
EXTENTS = st.sampled_from([1, 1, 2, 3, 4, 6])


def factored(draw: Draw, size: int) -> Shape:
    """Some shape with so many entries."""
    shape = []
    while size > 1 and len(shape) < 3:
        shape.append(draw(st.sampled_from([each for each in range(1, size + 1) if size % each == 0])))
        size //= shape[-1]
    return (*shape, size)


def sliced(draw: Draw, x: Node) -> Node:
    start = tuple(draw(st.integers(0, extent - 1)) for extent in x.shape)
    stop = tuple(draw(st.integers(low + 1, extent)) for low, extent in zip(start, x.shape, strict=True))
    return ops.slice_(x, start=start, stop=stop, step=tuple(draw(st.integers(1, 3)) for _ in x.shape))


def repeated(draw: Draw, x: Node) -> Node:
    return ops.broadcast(x, shape=tuple(draw(st.integers(1, 3)) if extent == 1 else extent for extent in x.shape))


MOVEMENTS: dict[str, Callable[[Draw, Node], Node]] = {
    "reshape": lambda draw, x: ops.reshape(x, shape=factored(draw, x.size)),
    "permute": lambda draw, x: ops.permute(x, order=tuple(draw(st.permutations(range(x.ndim))))),
    "slice": sliced,
    "flip": lambda draw, x: ops.flip(x, axes=tuple(axis for axis in range(x.ndim) if draw(st.booleans()))),
    "broadcast": repeated,
}


def entries(node: Node, memory: np.ndarray) -> np.ndarray:
    """What a kernel finds that walks through the memory behind the node by start and strides."""
    view = view_of(node)
    strides = [each * memory.itemsize for each in view.strides]
    first = memory.reshape(-1)[view.start :]
    return np.lib.stride_tricks.as_strided(first, node.shape, strides, writeable=False)


@given(data=st.data())
def test_start_and_strides_lead_to_the_entries(data: st.DataObject) -> None:
    x = node = make_input(tuple(data.draw(st.lists(EXTENTS, max_size=4))), float32)
    chain = [x]
    for _ in range(data.draw(st.integers(0, 6))):
        node = data.draw(st.sampled_from(sorted(MOVEMENTS)).map(MOVEMENTS.__getitem__))(data.draw, node)
        chain.append(node)
    source, known = view_of(node).source, {x: np.arange(x.size, dtype=np.float32).reshape(x.shape)}
    assert source in chain
    meant, memory = evaluate([node, source], known)
    np.testing.assert_array_equal(entries(node, np.ascontiguousarray(memory)), meant)


@given(data=st.data())
def test_a_chain_is_seen_through_wherever_numpy_makes_no_copy(data: st.DataObject) -> None:
    x = node = make_input(tuple(data.draw(st.lists(EXTENTS, min_size=1, max_size=4))), float32)
    array = held = np.zeros(x.shape, np.float32)
    for _ in range(data.draw(st.integers(0, 6))):
        node = data.draw(st.sampled_from(sorted(MOVEMENTS)).map(MOVEMENTS.__getitem__))(data.draw, node)
        array = node.op.numpy(array, **node.attributes)
    assert (view_of(node).source is x) == np.may_share_memory(array, held)


@given(shape=st.lists(EXTENTS, min_size=1, max_size=4), data=st.data())
def test_strides_of_a_reshape_are_those_of_numpy(shape: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    array = np.zeros(shape, np.uint8).transpose(order)[
        tuple(slice(None, None, data.draw(st.integers(1, 2))) for _ in shape)
    ]
    new = factored(data.draw, array.size)
    found = reshaped_strides(array.shape, array.strides, new)
    reshaped = array.reshape(new)
    assert (found is not None) == np.may_share_memory(reshaped, array)
    if found is not None:
        long = [axis for axis, extent in enumerate(new) if extent > 1]
        assert [found[axis] for axis in long] == [reshaped.strides[axis] for axis in long]


X = make_input((4, 6), float32)


@pytest.mark.parametrize(
    "node",
    [
        ops.tanh(X),
        ops.contiguous(X),
        ops.pad(X, low=(1, 0), high=(0, 0), interior=(0, 0), value=0),
        ops.concatenate(X, X, axis=0),
        ops.slice_(X, start=(4, 0), stop=(4, 6), step=(1, 1)),
    ],
    ids=lambda node: node.op.name,
)
def test_what_is_not_moved_in_its_own_memory_is_its_own_source(node: Node) -> None:
    view = view_of(node)
    assert (view.source, view.start) == (node, 0)


def test_where_a_reshape_would_copy_the_copy_is_the_source() -> None:
    turned = ops.permute(X, order=(1, 0))
    view = view_of(ops.flip(ops.reshape(turned, shape=(24,)), axes=(0,)))
    assert (view.source, view.start, view.strides) == (turned, 23, (-1,))


def test_one_number_everywhere_has_no_strides() -> None:
    view = view_of(full((3, 5), 2.0, float32))
    assert view.source.shape == ()
    assert view.strides == (0, 0)
    assert size_of(view.source.shape) == 1
