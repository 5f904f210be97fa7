"""What a repair changes in recurrent layers: weights that keep the size of the state, and gates in place of none.

In: small recurrent networks. Out: failures where a change alters more than it says, or not what it says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.diagnose.changes import Change, changed_model

X, Y = np.zeros((4, 5, 3), np.float32), np.zeros((4, 1), np.float32)


class Last(nn.Module):
    """A recurrent layer whose last outputs go on."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(8, 1)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        outputs, _ = self.layer(x)
        return self.head(outputs[:, -1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_drawn_anew_each_gate_keeps_the_size_of_the_state(kind: Any) -> None:
    model = changed_model(Last(kind(3, 8, num_layers=2, batch_first=True)), Change(fitted=True), X, Y)
    for name, own in model.layer.named_parameters():
        values = own.detach().numpy()
        if name.startswith("weight_hh"):
            for gate in values.reshape(-1, 8, 8):
                np.testing.assert_allclose(gate @ gate.T, np.eye(8), atol=1e-5)
        elif name.startswith("bias_ih") and kind is nn.LSTM:
            np.testing.assert_array_equal(values.reshape(4, 8), np.eye(4)[1][:, None].repeat(8, 1))
        elif name.startswith("bias"):
            assert not values.any()


def test_a_rectified_recurrence_starts_at_the_identity() -> None:
    model = changed_model(Last(nn.RNN(3, 8, nonlinearity="relu")), Change(fitted=True), X, Y)
    np.testing.assert_array_equal(model.layer.weight_hh_l0.detach().numpy(), np.eye(8))


def test_what_is_frozen_is_not_drawn() -> None:
    layer = nn.LSTM(3, 8)
    layer.weight_hh_l0.requires_grad_(False)
    before = np.array(layer.weight_hh_l0.detach().numpy())
    changed_model(Last(layer), Change(fitted=True), X, Y)
    np.testing.assert_array_equal(before, layer.weight_hh_l0.detach().numpy())


def test_gates_come_in_place_of_a_plain_recurrence_and_of_nothing_else() -> None:
    model = changed_model(Last(nn.RNN(3, 4, 2, batch_first=True, bidirectional=True)), Change(gated=True), X, Y)
    assert repr(model.layer) == repr(nn.GRU(3, 4, 2, batch_first=True, bidirectional=True))
    assert model(tw.tensor(X)).shape == (4, 1)
    kept = nn.LSTM(3, 8)
    assert changed_model(Last(kept), Change(gated=True), X, Y).layer is kept
