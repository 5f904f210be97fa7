"""Packed and padded sequences: round trips, what is known when, and what is refused.

In: sequences of any lengths. Out: the same sequences back; equality with PyTorch is held by
test_packed_sequences_against_pytorch.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg import nn
from thalweg.errors import ArgumentError, ShapeError, TraceError
from thalweg.nn.utils import rnn

lengths_of_batches = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def sequences_of(lengths):
    return [tw.arange(length).reshape(length, 1) + 10 * number for number, length in enumerate(lengths)]


def same(found, expected):
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(found, expected, strict=True))


@given(lengths_of_batches)
def test_packing_and_unpacking_gives_the_sequences_back(lengths):
    sequences = sequences_of(lengths)
    assert same(rnn.unpack_sequence(rnn.pack_sequence(sequences, enforce_sorted=False)), sequences)


@given(lengths_of_batches, st.booleans())
def test_padding_and_cutting_gives_the_sequences_back(lengths, batch_first):
    sequences = sequences_of(lengths)
    padded = rnn.pad_sequence(sequences, batch_first)
    assert same(rnn.unpad_sequence(padded, lengths, batch_first), sequences)


@given(lengths_of_batches)
def test_a_packed_sequence_can_be_taken_apart_and_made_again(lengths):
    packed = rnn.pack_sequence(sequences_of(lengths), enforce_sorted=False)
    again = rnn.PackedSequence(*packed)
    assert same(rnn.unpack_sequence(again), rnn.unpack_sequence(packed))


@given(lengths_of_batches)
def test_data_that_is_replaced_keeps_its_places(lengths):
    packed = rnn.pack_sequence(sequences_of(lengths), enforce_sorted=False)
    doubled = packed._replace(data=packed.data * 2)
    assert same(rnn.unpack_sequence(doubled), [each * 2 for each in sequences_of(lengths)])


def test_a_layer_returns_a_packed_sequence_and_the_states_of_the_last_entries():
    tw.manual_seed(0)
    layer = nn.GRU(2, 3, batch_first=True)
    sequences = [tw.randn(length, 2) for length in (2, 4)]
    output, h_n = layer(rnn.pack_sequence(sequences, enforce_sorted=False))
    assert isinstance(output, rnn.PackedSequence)
    for number, (sequence, found) in enumerate(zip(sequences, rnn.unpack_sequence(output), strict=True)):
        alone, state = layer(sequence)
        np.testing.assert_allclose(found.detach(), alone.detach(), atol=1e-6)
        np.testing.assert_allclose(h_n[:, number].detach(), state.detach(), atol=1e-6)


def test_a_compiled_step_takes_and_returns_packed_sequences_without_tracing_again_for_other_lengths():
    layer = nn.RNN(2, 3)
    traces = []

    @tw.compile
    def run(packed):
        traces.append(packed)
        return layer(packed)

    padded = tw.ones(4, 2, 2)
    for lengths in ([4, 2], [1, 4], [3, 3]):
        packed = rnn.PackedSequence(padded=padded, lengths=tw.tensor(lengths))
        output, _ = run(packed)
        expected, _ = layer(packed)
        np.testing.assert_allclose(output.padded.detach(), expected.padded.detach(), atol=1e-6)
    assert len(traces) == 1


def test_lengths_that_are_data_are_unknown_in_a_compiled_step():
    with pytest.raises(TraceError, match="_replace"):
        tw.compile(lambda x, lengths: rnn.pack_padded_sequence(x, lengths).data)(tw.ones(3, 2), tw.tensor([3, 2]))


def test_conversion_and_representation():
    packed = rnn.pack_sequence([tw.tensor([1, 2]), tw.tensor([3])])
    assert packed.double().data.dtype == "float64"
    assert packed.cpu() is packed
    assert repr(packed) == (
        "PackedSequence(data=tensor([1, 3, 2]), batch_sizes=tensor([2, 1]), sorted_indices=None, unsorted_indices=None)"
    )


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: rnn.pack_padded_sequence(tw.ones(3, 2), [2, 3]), ArgumentError, "enforce_sorted"),
        (lambda: rnn.pack_padded_sequence(tw.ones(3, 2), [4, 3]), ArgumentError, "1 to 3"),
        (lambda: rnn.pack_padded_sequence(tw.ones(3, 2), [3, 0]), ArgumentError, "0 for sequence 1"),
        (lambda: rnn.pack_padded_sequence(tw.ones(3, 2), [3]), ShapeError, r"\(2,\)"),
        (lambda: rnn.pack_padded_sequence(tw.ones(3), [3]), ShapeError, r"\(T, N, \*\)"),
        (lambda: rnn.pad_sequence([]), ArgumentError, "one sequence"),
        (lambda: rnn.pad_sequence([tw.ones(2, 3), tw.ones(2, 4)]), ShapeError, "further axes"),
        (lambda: rnn.pad_sequence([tw.ones(2)], padding_side="middle"), ArgumentError, "middle"),
        (lambda: rnn.pad_packed_sequence(rnn.pack_sequence([tw.ones(3)]), total_length=2), ArgumentError, "total"),
        (lambda: rnn.PackedSequence(tw.ones(3), tw.tensor([2, 2])), ShapeError, "4 entries"),
        (lambda: nn.RNN(2, 3)(rnn.pack_sequence([tw.ones(3, 2)]), lengths=[3]), ArgumentError, "lengths"),
        (lambda: nn.RNN(2, 3)(rnn.pack_sequence([tw.ones(3, 4)])), ShapeError, "input_size"),
    ],
)
def test_what_cannot_be_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()
