"""A look against the same numbers computed by hand, and that nobody notices it.

In: small networks. Out: what each layer puts out and which gradient it gets.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.diagnose.looks import Look, Looker, Sample, look
from thalweg.tensor.holding import Version

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(20, 1)).astype(np.float32)


def made() -> nn.Sequential:
    tw.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))


def seen(model: nn.Module, penalties: tuple[object, ...] = ()) -> Look:
    return look(model, nn.MSELoss(), Sample(X, Y), 0, penalties)


def arrays(model: nn.Module) -> list[np.ndarray]:
    return [each.detach().numpy().astype(np.float64) for each in model.parameters()]


def test_numbers_of_a_layer_are_those_computed_by_hand() -> None:
    model = made()
    w1, b1, w2, b2, w3, b3 = arrays(model)
    h1 = np.maximum(X @ w1.T + b1, 0)
    h2 = np.tanh(h1 @ w2.T + b2)
    error = h2 @ w3.T + b3 - Y
    found = seen(model)
    assert [each.path for each in found.layers] == ["0", "3", "5"]
    first, second, last = found.layers
    assert found.loss == pytest.approx((error**2).mean(), rel=1e-4)
    assert first.weight == pytest.approx(np.sqrt((w1**2).mean()), rel=1e-5)
    assert first.dead == pytest.approx((h1 == 0).all(0).mean())
    assert first.output == pytest.approx(np.sqrt((h1**2).mean()), rel=1e-4)
    assert second.saturated == pytest.approx((np.abs(h2) > 0.9).mean())
    assert second.variation == pytest.approx(h2.var(0).mean() / (h2**2).mean(), rel=1e-3)
    g3 = 2 * error / len(error)
    own = np.concatenate([(g3.T @ h2).reshape(-1), g3.sum(0)])
    assert last.gradient == pytest.approx(np.sqrt((own**2).mean()), rel=1e-3)


@pytest.mark.parametrize("compiles", [True, False])
def test_a_looker_sees_what_single_looks_see_and_leaves_compiled_steps_alone(compiles: bool) -> None:
    model = made()
    penalties = (tw.optim.L2(0.1, model.named_parameters()),)
    looker = Looker(model, nn.MSELoss(), Sample(X, Y), penalties, compiles)
    for epoch in range(3):
        with tw.no_grad():
            model[0].weight.mul_(1.5)
        before = Version.number
        found = looker.look(epoch)
        assert Version.number == before
        single = look(model, nn.MSELoss(), Sample(X, Y), epoch, penalties)
        assert found.loss == pytest.approx(single.loss, rel=1e-5)
        assert found.penalty_gradient == pytest.approx(single.penalty_gradient, rel=1e-4)
        np.testing.assert_allclose(found.outputs, single.outputs, rtol=1e-4, atol=1e-6)
        for one, other in zip(found.layers, single.layers, strict=True):
            assert one.layer == other.layer
            for name in ("weight", "gradient", "output", "variation", "dead", "saturated", "equal_units"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("compiles", [True, False])
def test_the_gradient_over_time_is_that_of_each_step_by_hand(batch_first: bool, compiles: bool) -> None:
    """Of a plain recurrence whose last state goes on: dL/dx_t = W_ihᵀ a_t, with a_t = (1 - h_t²) (W_hhᵀ a_(t+1))."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.RNN(3, 4, batch_first=batch_first), nn.Linear(4, 1)

        def forward(self, x: tw.Tensor) -> tw.Tensor:
            _, last = self.rnn(x if batch_first else x.transpose(0, 1))
            return self.head(last[0])

    tw.manual_seed(0)
    model = Last()
    x = np.random.default_rng(2).normal(size=(20, 6, 3)).astype(np.float32)
    w_ih, w_hh, b_ih, b_hh, w, b = arrays(model)
    states = [np.zeros((20, 4))]
    for t in range(6):
        states.append(np.tanh(x[:, t] @ w_ih.T + states[-1] @ w_hh.T + b_ih + b_hh))
    arriving, sizes = 2 * (states[-1] @ w.T + b - Y) / len(Y) @ w, []
    for state in reversed(states[1:]):
        before = arriving * (1 - state**2)
        sizes.append(np.sqrt(((before @ w_ih) ** 2).mean()))
        arriving = before @ w_hh
    layer = Looker(model, nn.MSELoss(), Sample(x, Y), (), compiles).look(0).layers[0]
    assert (layer.path, layer.layer.activation, layer.layer.is_branch) == ("rnn", "Tanh", False)
    np.testing.assert_allclose(layer.over_time, sizes[::-1], rtol=1e-3)
    assert layer.output == pytest.approx(np.sqrt(np.mean(np.square(states[1:]))), rel=1e-4)


def test_a_looker_notices_what_is_frozen_later() -> None:
    model = made()
    looker = Looker(model, nn.MSELoss(), Sample(X, Y))
    assert looker.look(0).layers[0].is_trainable
    model[0].requires_grad_(False)
    assert not looker.look(1).layers[0].is_trainable


def test_a_model_that_decides_by_values_is_looked_at() -> None:
    class Branching(nn.Sequential):
        def forward(self, x: tw.Tensor) -> tw.Tensor:
            y = super().forward(x)
            return y if y.sum().item() > 0 else -y

    model = Branching(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    assert len(Looker(model, nn.MSELoss(), Sample(X, Y)).look(0).layers) == 2


def test_units_that_are_equal_are_counted() -> None:
    model = made()
    with tw.no_grad():
        model[0].weight[0].copy_(model[0].weight[1])
    assert seen(model).layers[0].equal_units == pytest.approx(1 / 5)
    nn.init.constant_(model[0].weight, 0.1)
    assert seen(model).layers[0].equal_units == pytest.approx(4 / 5)


def test_units_below_a_large_negative_bias_are_dead() -> None:
    model = made()
    nn.init.constant_(model[0].bias, -50.0)
    assert seen(model).layers[0].dead == 1
    assert seen(model).layers[1].gradient > 0  # its bias still learns


def test_the_share_of_a_penalty_is_that_of_its_gradient() -> None:
    model = made()
    strong, weak = (seen(model, (tw.optim.L2(each, model.named_parameters()),)) for each in (1.0, 1e-3))
    assert strong.penalty_gradient == pytest.approx(1000 * weak.penalty_gradient, rel=1e-3)
    assert seen(model).penalty_gradient == 0


def test_a_look_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 1)).eval()
    before = {name: np.array(each.numpy()) for name, each in model.state_dict().items()}
    state = tw.get_rng_state() if hasattr(tw, "get_rng_state") else None
    seen(model)
    assert not model.training
    assert all(each.grad is None for each in model.parameters())
    for name, each in model.state_dict().items():
        np.testing.assert_array_equal(before[name], each.numpy())
    if state is not None:
        np.testing.assert_array_equal(np.asarray(state), np.asarray(tw.get_rng_state()))


@pytest.mark.parametrize(
    ("last", "bounds"),
    [(nn.Sigmoid(), (0, 1)), (nn.Softmax(1), (1, 1)), (nn.Tanh(), (-1, 1)), (nn.ReLU(), (0, np.inf))],
)
def test_bounds_of_the_output_are_those_of_the_last_activation(last: nn.Module, bounds: tuple[float, float]) -> None:
    """Softmax over a single unit is the constant 1."""
    assert seen(nn.Sequential(nn.Linear(3, 1), last)).output_bounds == bounds
    assert seen(nn.Sequential(nn.Linear(3, 1), last, nn.Linear(1, 1))).output_bounds == (-np.inf, np.inf)


def test_normalised_inputs_are_noticed() -> None:
    assert seen(nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 1))).has_normalised_input
    assert not seen(made()).has_normalised_input
