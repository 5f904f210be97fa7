"""Recurrent layers: the loop written out with cells, lengths, the form of the program, what users get wrong.

In: small layers, drawn anew. Out: what a Python loop over single steps gives, for sequences alone and in a batch.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn, ops
from thalweg.gradient import gradients
from thalweg.graph import full, toposort

KINDS = ("RNN", "GRU", "LSTM")
every_kind = pytest.mark.parametrize("kind", KINDS)
STEPS, BATCH = 4, 3


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


def make(kind, **options):
    return getattr(nn, kind)(2, 3, **options).double()


def draw(*shape, seed=0):
    return tw.tensor(np.random.default_rng(seed).normal(size=shape))


def array(result):
    return result.detach().numpy()


@every_kind
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_its_cell_step_by_step(kind, bias):
    layer, cell = make(kind, bias=bias), getattr(nn, f"{kind}Cell")(2, 3, bias).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = draw(STEPS, BATCH, 2)
    outputs, last = layer(x)
    state = None
    for step in range(STEPS):
        state = cell(x[step], state)
        h = state[0] if kind == "LSTM" else state
        np.testing.assert_allclose(array(outputs[step]), array(h), rtol=1e-12)
    ends = zip(last, state, strict=True) if kind == "LSTM" else [(last, state)]
    for mine, theirs in ends:
        np.testing.assert_allclose(array(mine[0]), array(theirs), rtol=1e-12)


@every_kind
def test_with_lengths_each_sequence_is_as_if_it_were_alone(kind):
    layer = make(kind, num_layers=2, bidirectional=True, batch_first=True)
    x, lengths = draw(BATCH, STEPS, 2), [4, 1, 2]
    outputs, last = layer(x, lengths=tw.tensor(lengths))
    last = last if kind == "LSTM" else (last,)
    for row, length in enumerate(lengths):
        alone, its_last = layer(x[row : row + 1, :length])
        np.testing.assert_allclose(array(outputs[row, :length]), array(alone[0]), rtol=1e-12)
        np.testing.assert_array_equal(array(outputs[row, length:]), 0)
        for mine, theirs in zip(last, its_last if kind == "LSTM" else (its_last,), strict=True):
            np.testing.assert_allclose(array(mine[:, row]), array(theirs[:, 0]), rtol=1e-12)


@every_kind
def test_nothing_behind_a_length_has_an_effect_or_a_gradient(kind):
    layer = make(kind, bidirectional=True)
    x = draw(STEPS, 1, 2).requires_grad_()
    output, _ = layer(x, lengths=[2])
    (output * output).sum().backward()
    assert not x.grad.numpy()[2:].any()
    assert x.grad.numpy()[:2].all()
    poisoned = x.detach().numpy().copy()
    poisoned[2:] = np.nan
    np.testing.assert_array_equal(array(layer(poisoned, lengths=[2])[0]), array(output))


def test_an_empty_sequence_keeps_its_initial_state():
    layer = make("GRU")
    start = draw(1, 2, 3)
    output, last = layer(draw(STEPS, 2, 2), start, lengths=[0, 4])
    np.testing.assert_array_equal(array(last)[:, 0], start.numpy()[:, 0])
    assert not array(output)[:, 0].any()


def test_dropout_lies_between_layers_and_only_in_training():
    layer = make("GRU", num_layers=2, dropout=0.5)
    x = draw(STEPS, BATCH, 2)
    a, b = (array(layer(x)[1]) for _ in range(2))
    np.testing.assert_array_equal(a[0], b[0])  # the first layer's state
    assert (a[1] != b[1]).any()
    layer.eval()
    np.testing.assert_array_equal(array(layer(x)[0]), array(layer(x)[0]))


# --- the form of the program -----------------------------------------------------------------------------------------


def program(kind, steps):
    """All nodes of the gradients of a layer's output, and the bodies of its loops."""
    layer = make(kind)
    x = draw(steps, BATCH, 2)
    output, _ = layer(x)
    seed = full(output.shape, 1.0, output.dtype)
    order = toposort(gradients([output.node], [seed], [each.node for each in layer.parameters()]))
    return order, [node.attributes["body"] for node in order if node.op is ops.scan]


@every_kind
def test_a_step_has_one_product_each_way_and_all_others_stand_outside(kind):
    order, bodies = program(kind, 5)
    assert [sum(node.op is ops.matmul for node in body.order) for body in bodies] == [1, 1]
    products = [node for node in order if node.op is ops.matmul]
    assert len(products) == 1 + 2  # the inputs of all steps; the gradients of both matrices
    assert all(max(node.inputs[0].shape) == 5 * BATCH for node in products)
    names = {node.op.name for node in bodies[1].order}
    assert not names & {"sigmoid"}  # gates are read, not computed again


@every_kind
def test_the_program_has_one_size_for_all_lengths(kind):
    sizes = {
        (len(order), *[len(body.order) for body in bodies]) for order, bodies in (program(kind, n) for n in (3, 40))
    }
    assert len(sizes) == 1


# --- what users get wrong --------------------------------------------------------------------------------------------

X = tw.zeros(STEPS, BATCH, 2)
BAD = {
    "axes": (lambda: nn.RNN(2, 3)(tw.zeros(2)), ValueError, r"\(T, N, C\) or \(T, C\)"),
    "batch first": (lambda: nn.GRU(2, 3, batch_first=True)(tw.zeros(4, 3, 5)), ValueError, "input_size"),
    "state": (lambda: nn.GRU(2, 3)(X, tw.zeros(1, 2, 3)), ValueError, r"h_0 does not fit.*\(1, 3, 3\)"),
    "cell state": (lambda: nn.LSTM(2, 3)(X, tw.zeros(1, 3, 3)), ValueError, "the state is a pair"),
    "lengths": (lambda: nn.RNN(2, 3)(X, lengths=[1, 2]), ValueError, r"one number a sequence.*\(3,\)"),
    "too long": (lambda: nn.RNN(2, 3)(X, lengths=[1, 5, 2]), ValueError, "5 for sequence 1"),
    "negative": (lambda: nn.RNN(2, 3)(X, lengths=[1, 4, -1]), ValueError, "-1 for sequence 2"),
    "fractions": (lambda: nn.RNN(2, 3)(X, lengths=[1.0, 2.0, 3.0]), TypeError, "whole numbers"),
    "dtype": (lambda: nn.RNN(2, 3)(X.double()), TypeError, r"\.float\(\)"),
    "integers": (lambda: nn.LSTM(2, 3)(X.long()), TypeError, "float32"),
    "nonlinearity": (lambda: nn.RNN(2, 3, nonlinearity="gelu"), ValueError, "tanh, relu"),
    "no layers": (lambda: nn.RNN(2, 3, 0), ValueError, "num_layers"),
    "no numbers": (lambda: nn.LSTM(2, 0), ValueError, "hidden_size"),
    "probability": (lambda: nn.GRU(2, 3, 2, dropout=1.5), ValueError, "0 <= p <= 1"),
    "cell input": (lambda: nn.LSTMCell(2, 3)(tw.zeros(1, 4)), ValueError, "input_size"),
    "cell state shape": (lambda: nn.GRUCell(2, 3)(tw.zeros(1, 2), tw.zeros(3)), ValueError, r"hx does not fit"),
    "layer is named": (lambda: nn.Sequential(nn.Linear(2, 4), nn.RNN(2, 3))(X), ValueError, "layer:.*RNN"),
}


@pytest.mark.parametrize(("action", "kind", "message"), BAD.values(), ids=BAD)
def test_misuse(action, kind, message):
    with pytest.raises(kind, match=f"(?s){message}") as error:
        action()
    assert isinstance(error.value, tw.ThalwegError)


def test_dropout_without_a_second_layer_is_warned_of():
    with pytest.warns(UserWarning, match="does nothing with num_layers=1"):
        nn.GRU(2, 3, dropout=0.5)
