"""Packed sequences through recurrent layers against PyTorch: data, outputs, last states, all gradients.

In: layers with the same weights, padded batches, lengths sorted and not. Out: agreement in float64, evaluated on NumPy
and compiled, with lengths that are fixed and lengths that are data.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import assert_close, share_state
from tests.support.sweep import sweep
from thalweg import nn

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

STEPS, BATCH, INPUTS, HIDDEN = 6, 4, 3, 4  # one step more than any sequence has
LENGTHS = {True: [5, 3, 3, 1], False: [3, 5, 1, 3]}


def functions(rnn, layer, batch_first, is_sorted):
    """What is compared, written once for both libraries."""

    def run(x, lengths, hx):
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=is_sorted)
        output, last = layer(packed, hx)
        padded, found = rnn.pad_packed_sequence(output, batch_first, padding_value=0.5, total_length=STEPS)
        states = last if isinstance(last, tuple) else (last,)
        loss = (padded**3).sum() + sum((each**2).sum() for each in states)
        return packed, [loss, padded, found, *states]

    return run


@pytest.mark.parametrize(
    ("kind", "batch_first", "is_sorted", "both", "way"),
    sweep(itertools.product(("RNN", "GRU", "LSTM"), (False, True), (True, False), (False, True),
                            ("eager", "fixed", "data")), fraction=0.35, seed=5),
)  # fmt: skip
def test_layers(kind, batch_first, is_sorted, both, way):
    rng = np.random.default_rng(0)
    options = {"num_layers": 2, "batch_first": batch_first, "bidirectional": both}
    theirs = getattr(torch.nn, kind)(INPUTS, HIDDEN, dtype=torch.float64, **options)
    ours = getattr(nn, kind)(INPUTS, HIDDEN, dtype="float64", **options)
    share_state(ours, theirs)
    x = rng.normal(size=(BATCH, STEPS, INPUTS) if batch_first else (STEPS, BATCH, INPUTS))
    state = rng.normal(size=(2 * (1 + both), BATCH, HIDDEN))

    given = [torch.tensor(each, requires_grad=True) for each in (x, state)]
    hx = (given[1], given[1] * 2) if kind == "LSTM" else given[1]
    lengths = LENGTHS[is_sorted]
    _, expected = functions(torch.nn.utils.rnn, theirs, batch_first, is_sorted)(given[0], torch.tensor(lengths), hx)
    wanted = torch.autograd.grad(expected[0], [*given, *theirs.parameters()])

    run = functions(nn.utils.rnn, ours, batch_first, is_sorted)

    def step(x, lengths, state):
        hx = (state, state * 2) if kind == "LSTM" else state
        _, results = run(x, lengths, hx)
        return [each.detach() for each in results], tw.grad(results[0], [x, state, *ours.parameters()])

    step = step if way == "eager" else tw.compile(step)
    mine = [tw.tensor(each, requires_grad=True) for each in (x, state)]
    results, gradients = step(mine[0], tw.tensor(lengths) if way == "data" else lengths, mine[1])
    for index, (a, b) in enumerate(zip(results, expected, strict=True)):
        assert_close(f"result {index}", a.numpy(), b.detach().numpy(), "float64")
    for index, (a, b) in enumerate(zip(gradients, wanted, strict=True)):
        assert_close(f"gradient {index}", a.numpy(), b.numpy(), "float64")


@pytest.mark.parametrize("is_sorted", [True, False])
def test_what_a_packed_sequence_shows(is_sorted):
    x = np.random.default_rng(0).normal(size=(STEPS, BATCH, INPUTS))
    theirs = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), torch.tensor(LENGTHS[is_sorted]),
                                                     enforce_sorted=is_sorted)  # fmt: skip
    ours = nn.utils.rnn.pack_padded_sequence(tw.tensor(x), LENGTHS[is_sorted], enforce_sorted=is_sorted)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(("first", "side"), [*itertools.product((False, True), ("left", "right"))])
def test_pad_sequence(first, side):
    arrays = [np.random.default_rng(0).normal(size=(length, 2)) for length in (2, 4, 1)]
    ours = nn.utils.rnn.pad_sequence([tw.tensor(each) for each in arrays], first, -1.0, side)
    theirs = torch.nn.utils.rnn.pad_sequence([torch.tensor(each) for each in arrays], first, -1.0, side)
    assert np.array_equal(ours.numpy(), theirs.numpy())
