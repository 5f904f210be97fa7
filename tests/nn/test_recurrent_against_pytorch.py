"""Recurrent layers and cells against PyTorch on the same weights: outputs, last states, all gradients.

In: configurations swept over layers, directions, biases, dropout-free options, states and lengths; a packed sequence is
PyTorch's side of `lengths`. Out: agreement per tensor, in float64 to 1e-9.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import assert_close, compare_gradients, draw, share_state
from tests.support.sweep import sweep
from thalweg import nn
from thalweg.tensor.core import flush

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

INPUTS, HIDDEN, BATCH, STEPS = 3, 4, 3, 5
KINDS = ("RNN", "relu", "GRU", "LSTM", "projected")
LENGTHS = (None, (5, 5, 5), (2, 5, 1))


def pair(kind, **options):
    if kind == "relu":
        kind, options = "RNN", options | {"nonlinearity": "relu"}
    if kind == "projected":
        kind, options = "LSTM", options | {"proj_size": 2}
    ours = getattr(nn, kind)(INPUTS, HIDDEN, dtype="float64", **options)
    theirs = getattr(torch.nn, kind)(INPUTS, HIDDEN, dtype=torch.float64, **options)
    share_state(ours, theirs)
    return ours, theirs


def states_of(theirs, rng, count, batch):
    """Fitting initial states."""
    sizes = [theirs.proj_size or HIDDEN, HIDDEN] if isinstance(theirs, torch.nn.LSTM) else [HIDDEN]
    return [draw(rng, (count, *batch, size), "float64") for size in sizes]


def as_state(tensors):
    return tuple(tensors) if len(tensors) > 1 else tensors[0] if tensors else None


def flat(output, last):
    return [output, *(last if isinstance(last, tuple) else (last,))]


def run_theirs(theirs, x, states, lengths):
    if lengths is None:
        return flat(*theirs(x, as_state(states)))
    first = theirs.batch_first
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=first, enforce_sorted=False)
    output, last = theirs(packed, as_state(states))
    padded, _ = rnn.pad_packed_sequence(output, batch_first=first, total_length=STEPS)
    return flat(padded, last)


def compare_layer(ours, theirs, x, states, lengths, run=None):
    a = [tw.tensor(each, requires_grad=True) for each in (x, *states)]
    b = [torch.tensor(each, requires_grad=True) for each in (x, *states)]
    options = {} if lengths is None else {"lengths": list(lengths)}
    found = flat(*(run or ours)(a[0], as_state(a[1:]), **options))
    expected = run_theirs(theirs, b[0], b[1:], lengths)
    for index, (mine, theirs_) in enumerate(zip(found, expected, strict=True)):
        assert_close(f"result {index}", mine.detach().numpy(), theirs_.detach().numpy(), "float64")
    sum((each * each.sin()).sum() for each in found).backward()
    sum((each * each.sin()).sum() for each in expected).backward()
    own = dict(ours.named_parameters())
    flush(*[each.grad for each in (*a, *own.values()) if each.grad is not None])
    for index, (mine, other) in enumerate(zip(a, b, strict=True)):
        compare_gradients(f"input {index}", mine, other, "float64", 0.0)
    for name, parameter in theirs.named_parameters():
        compare_gradients(name, own[name], parameter, "float64", 0.0)


@pytest.mark.parametrize(
    ("kind", "layers", "both", "bias", "first", "has_states", "lengths"),
    sweep(
        itertools.product(KINDS, (1, 2, 3), (False, True), (True, False), (False, True), (False, True), LENGTHS),
        fraction=0.08, seed=11,
    ),
)  # fmt: skip
def test_layers(kind, layers, both, bias, first, has_states, lengths):
    rng = np.random.default_rng(0)
    ours, theirs = pair(kind, num_layers=layers, bidirectional=both, bias=bias, batch_first=first)
    shape = (BATCH, STEPS, INPUTS) if first else (STEPS, BATCH, INPUTS)
    states = states_of(theirs, rng, layers * (1 + both), (BATCH,)) if has_states else []
    compare_layer(ours, theirs, draw(rng, shape, "float64"), states, lengths)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_sequence_without_a_batch_axis(kind):
    rng = np.random.default_rng(1)
    ours, theirs = pair(kind, num_layers=2, bidirectional=True)
    compare_layer(ours, theirs, draw(rng, (STEPS, INPUTS), "float64"), states_of(theirs, rng, 4, ()), None)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_compiled(kind):
    rng = np.random.default_rng(2)
    ours, theirs = pair(kind, num_layers=2, bidirectional=True)
    states = states_of(theirs, rng, 4, (BATCH,))
    x = draw(rng, (STEPS, BATCH, INPUTS), "float64")
    compare_layer(ours, theirs, x, states, (2, 5, 1), run=tw.compile(lambda *given, **options: ours(*given, **options)))


@pytest.mark.parametrize(
    ("kind", "bias", "batch", "has_state"),
    sweep(itertools.product(("RNN", "relu", "GRU", "LSTM"), (True, False), ((), (3,)), (True, False)), 0.3, seed=12),
)
def test_cells(kind, bias, batch, has_state):
    rng = np.random.default_rng(3)
    options = {"bias": bias} | ({"nonlinearity": "relu"} if kind == "relu" else {})
    name = {"relu": "RNN"}.get(kind, kind) + "Cell"
    ours = getattr(nn, name)(INPUTS, HIDDEN, dtype="float64", **options)
    theirs = getattr(torch.nn, name)(INPUTS, HIDDEN, dtype=torch.float64, **options)
    share_state(ours, theirs)
    count = (2 if kind == "LSTM" else 1) * has_state
    arrays = [draw(rng, (*batch, INPUTS), "float64"), *[draw(rng, (*batch, HIDDEN), "float64") for _ in range(count)]]
    a = [tw.tensor(each, requires_grad=True) for each in arrays]
    b = [torch.tensor(each, requires_grad=True) for each in arrays]
    found, expected = ours(a[0], as_state(a[1:])), theirs(b[0], as_state(b[1:]))
    found = found if isinstance(found, tuple) else (found,)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for mine, other in zip(found, expected, strict=True):
        assert_close("state", mine.detach().numpy(), other.detach().numpy(), "float64")
    sum((each * each).sum() for each in found).backward()
    sum((each * each).sum() for each in expected).backward()
    own = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        compare_gradients(name, own[name], parameter, "float64", 0.0)
    for mine, other in zip(a, b, strict=True):
        compare_gradients("input", mine, other, "float64", 0.0)
