"""What single layers promise beyond PyTorch's numbers: dropout's statistics, padding rows, running averages, views.

In: layers and seeds. Out: the properties that their docstrings state.
"""

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expected_value(p):
    x = F.dropout(tw.ones(200, 300), p).numpy()
    kept = x != 0
    assert kept.mean() == pytest.approx(1 - p, abs=0.01)
    np.testing.assert_allclose(x[kept], 1 / (1 - p), rtol=1e-6)


def test_the_gradient_of_dropout_is_its_mask():
    x = tw.ones(50, requires_grad=True)
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropped_entries_are_zero_even_where_the_input_is_not_finite():
    assert np.isfinite(F.dropout(tw.full((100,), float("inf")), 1.0).numpy()).all()


def test_masks_differ_from_call_to_call_and_repeat_with_the_seed():
    layer, x = nn.Dropout(0.5), tw.ones(40)
    first, second = layer(x).numpy(), layer(x).numpy()
    assert (first != second).any()
    tw.manual_seed(0)
    np.testing.assert_array_equal(layer(x).numpy(), first)


def test_dropout_hands_its_input_on_outside_training():
    x = tw.ones(3)
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_in_place():
    x = tw.ones(100)
    assert nn.Dropout(0.5, inplace=True)(x) is x
    assert 0 < (x == 0).long().sum().item() < 100


def test_the_padding_row_is_zero_and_learns_nothing():
    layer = nn.Embedding(4, 3, padding_idx=-1)
    assert layer.padding_idx == 3
    assert (layer.weight[3] == 0).all()
    layer(tw.tensor([[3, 1], [1, 3]])).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), np.outer([0, 2, 0, 0], np.ones(3)))


def test_a_pretrained_table():
    table = np.arange(6, dtype="float64").reshape(3, 2)
    frozen = nn.Embedding.from_pretrained(tw.tensor(table))
    assert not frozen.weight.requires_grad
    assert frozen.weight.dtype == "float64"
    assert frozen(tw.tensor([2])).tolist() == [[4, 5]]
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


def test_the_plain_average_of_running_statistics():
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [np.random.default_rng(i).normal(size=(6, 2)).astype("float32") for i in range(3)]
    for batch in batches:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean([b.mean(0) for b in batches], 0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), np.mean([b.var(0, ddof=1) for b in batches], 0), rtol=1e-5)
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    assert (layer.running_var == 1).all()


def test_no_gradient_flows_through_running_statistics():
    layer, first = nn.BatchNorm1d(2), tw.randn(4, 2, requires_grad=True)
    layer(first)
    assert not layer.running_mean.requires_grad
    layer.eval()(tw.randn(4, 2)).sum().backward()
    assert first.grad is None


def test_statistics_move_without_recording_too():
    layer = nn.BatchNorm1d(2)
    with tw.no_grad():
        layer(tw.ones(4, 2) * 10)
    np.testing.assert_allclose(layer.running_mean.numpy(), 1.0)


def test_flatten_is_a_view():
    x = tw.zeros(2, 2, 2)
    nn.Flatten()(x).fill_(1.0)
    assert (x == 1).all()


def test_derivatives_at_zero_are_those_that_pytorch_takes():
    for layer, expected in ((nn.ReLU(), 0), (nn.LeakyReLU(0.1), 0.1), (nn.ELU(2.0), 2), (nn.Hardtanh(0.0, 1.0), 0)):
        x = tw.zeros(1, requires_grad=True)
        layer(x).backward()
        assert x.grad.item() == pytest.approx(expected)


def test_a_classifier_learns():
    x = tw.randn(64, 4)
    y = (x[:, 0] * x[:, 1] > 0).long()
    net = nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 2))
    losses = []
    for _ in range(60):
        net.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        with tw.no_grad():
            for each in net.parameters():
                each -= 0.5 * each.grad
        losses.append(loss.item())
    assert losses[-1] < 0.3 < losses[0]
