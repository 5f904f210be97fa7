"""Parametrized tensors: what the module looks like, what is written where, and what is refused.

In: layers with small parametrizations of their own. Out: names, identities, values and errors; equality with PyTorch is
held by test_parametrizations_against_pytorch.py.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError, StateError
from thalweg.nn.utils import parametrizations, parametrize


class Doubled(nn.Module):
    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return x * 2.0

    def right_inverse(self, x):
        return x / 2.0


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T


class Summed(nn.Module):
    """A tensor out of two."""

    def forward(self, a, b):
        return a + b

    def right_inverse(self, x):
        return x * 0.25, x * 0.75


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


def doubled(layer=None):
    return parametrize.register_parametrization(layer or nn.Linear(3, 2), "weight", Doubled())


def test_the_value_stays_where_there_is_an_inverse_and_the_original_is_the_same_parameter():
    layer = nn.Linear(3, 2)
    parameter, before = layer.weight, layer.weight.detach().numpy().copy()
    doubled(layer)
    assert layer.parametrizations.weight.original is parameter
    np.testing.assert_allclose(layer.weight.detach(), before)


def test_the_state_has_the_original_in_the_place_of_the_tensor():
    layer = doubled()
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert type(layer) is nn.Linear


def test_several_originals_are_new_parameters():
    layer = parametrize.register_parametrization(nn.Linear(3, 2), "weight", Summed())
    assert [name for name, _ in layer.named_parameters()][1:] == [
        "parametrizations.weight.original0", "parametrizations.weight.original1",
    ]  # fmt: skip


def test_a_second_parametrization_maps_the_result_of_the_first():
    layer = doubled(nn.Linear(3, 3))
    parametrize.register_parametrization(layer, "weight", Symmetric())
    weight = layer.weight.detach().numpy()
    np.testing.assert_array_equal(weight, weight.T)
    assert len(layer.parametrizations.weight) == 2


def test_gradients_reach_the_original():
    layer = doubled()
    layer.weight.sum().backward()
    np.testing.assert_array_equal(layer.parametrizations.weight.original.grad, np.full((2, 3), 2.0))


def test_assigning_writes_what_the_inverse_gives():
    layer = doubled()
    layer.weight = tw.ones(2, 3)
    np.testing.assert_array_equal(layer.parametrizations.weight.original.detach(), np.full((2, 3), 0.5))


def test_assigning_without_an_inverse_says_so():
    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    with pytest.raises(StateError, match="right_inverse"):
        layer.weight = tw.ones(3, 3)


def test_buffers_can_be_parametrized():
    norm = nn.BatchNorm1d(3)
    parametrize.register_parametrization(norm, "running_var", Doubled())
    assert "parametrizations.running_var.original" in norm.state_dict()
    np.testing.assert_array_equal(norm.running_var, np.ones(3))


def test_cached_computes_once():
    layer, Doubled.calls = doubled(), 0
    with parametrize.cached(), parametrize.cached():
        assert layer.weight is layer.weight
        assert Doubled.calls == 1
    assert layer.weight is not layer.weight


@pytest.mark.parametrize("leave", [True, False])
def test_removing_leaves_the_value_or_the_original(leave):
    layer = doubled()
    kept, value = layer.parametrizations.weight.original, layer.weight.detach().numpy().copy()
    parametrize.remove_parametrizations(layer, "weight", leave)
    assert layer.weight is kept
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer.weight.detach(), value if leave else value / 2)
    assert not parametrize.is_parametrized(layer)


def test_removing_what_has_several_originals_makes_a_new_parameter():
    layer = parametrize.register_parametrization(nn.Linear(3, 2), "weight", Summed())
    with pytest.raises(ArgumentError, match="2 tensors"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, nn.Parameter)
    assert layer.weight.requires_grad


def test_a_deep_copy_is_independent():
    layer = doubled()
    twin = copy.deepcopy(layer)
    twin.weight = tw.zeros(2, 3)
    assert layer.weight.detach().numpy().any()
    assert not twin.weight.detach().numpy().any()


def test_modes_and_dtypes_reach_the_parametrization():
    layer = parametrizations.spectral_norm(nn.Linear(3, 2)).eval().double()
    assert not layer.parametrizations.weight[0].training
    assert layer.weight.dtype == "float64"


@pytest.mark.parametrize(
    ("register", "error", "text"),
    [
        (lambda: parametrize.register_parametrization(nn.Linear(2, 2), "wheight", Doubled()), ArgumentError, "wheight"),
        (lambda: parametrize.register_parametrization(nn.Linear(2, 2, bias=False), "bias", Doubled()), ArgumentError,
         "bias"),
        (lambda: parametrize.register_parametrization(nn.Linear(3, 2), "weight", nn.Flatten(0)), ShapeError, "unsafe"),
        (lambda: parametrize.remove_parametrizations(nn.Linear(3, 2), "weight"), ArgumentError, "none"),
        (lambda: parametrizations.spectral_norm(nn.Linear(3, 2), n_power_iterations=0), ArgumentError, "positive"),
        (lambda: parametrizations.spectral_norm(nn.Linear(3, 2), dim=2), IndexRangeError, "dim=2"),
        (lambda: parametrizations.weight_norm(nn.Linear(3, 2), dim=2), IndexRangeError, "dim=2"),
        (lambda: parametrizations.orthogonal(nn.Linear(3, 2), "bias"), ShapeError, "two axes"),
        (lambda: parametrizations.orthogonal(nn.Linear(3, 2), orthogonal_map="svd"), ArgumentError, "svd"),
        (lambda: nn.utils.remove_weight_norm(nn.Linear(3, 2)), ArgumentError, "weight_norm"),
        (lambda: nn.utils.remove_spectral_norm(nn.utils.weight_norm(nn.Linear(3, 2))), ArgumentError, "spectral_norm"),
        (lambda: parametrize.ParametrizationList([], tw.ones(2)), ArgumentError, "one module"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(register, error, text):
    with pytest.raises(error, match=text):
        register()


def test_an_inverse_that_gives_no_tensor_is_refused():
    class Wrong(nn.Module):
        def forward(self, x):
            return x

        def right_inverse(self, x):
            return 1.0

    with pytest.raises(DTypeError, match="float"):
        parametrize.register_parametrization(nn.Linear(2, 2), "weight", Wrong())


def test_assigning_to_an_older_form_says_what_to_write_to():
    layer = nn.utils.weight_norm(nn.Linear(3, 2))
    with pytest.raises(StateError, match="weight_g"):
        layer.weight = tw.ones(2, 3)


@pytest.mark.parametrize("remove", [False, True])
def test_the_older_forms_keep_the_value_and_can_be_removed(remove):
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().numpy().copy()
    nn.utils.weight_norm(layer)
    if remove:
        nn.utils.remove_weight_norm(layer)
        assert sorted(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer.weight.detach(), before, rtol=1e-6)


def test_removing_an_older_spectral_norm_takes_its_hook_off():
    layer = nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(3, 2)))
    assert not layer._forward_pre_hooks
    assert sorted(layer.state_dict()) == ["bias", "weight"]


def test_a_state_of_the_older_weight_norm_can_be_loaded():
    older, newer = nn.utils.weight_norm(nn.Linear(3, 2)), parametrizations.weight_norm(nn.Linear(3, 2))
    nn.Sequential(newer).load_state_dict(nn.Sequential(older).state_dict())
    np.testing.assert_array_equal(newer.weight.detach(), older.weight.detach())


def test_spectral_norm_moves_its_vectors_in_training_mode_alone():
    layer = parametrizations.spectral_norm(nn.Linear(30, 20))
    layer.parametrizations.weight.original.detach().copy_(tw.randn(20, 30))
    u = layer.parametrizations.weight[0]._u
    before = u.numpy().copy()
    layer.eval()(tw.ones(1, 30))
    np.testing.assert_array_equal(u, before)
    layer.train()(tw.ones(1, 30))
    assert (u.numpy() != before).any()


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
def test_weights_are_orthogonal_after_steps_and_for_large_numbers(orthogonal_map, shape):
    layer = parametrizations.orthogonal(nn.Linear(shape[1], shape[0], dtype="float64"), orthogonal_map=orthogonal_map)
    free = layer.parametrizations.weight.original
    free.detach().add_(tw.randn(*shape, dtype="float64") * 30.0)
    q = layer.weight.detach().numpy()
    product = q.T @ q if shape[0] >= shape[1] else q @ q.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-9)


@pytest.mark.parametrize("trivial", [True, False])
def test_householder_starts_from_the_weight_made_orthogonal(trivial):
    layer = nn.Linear(3, 5, dtype="float64")
    nn.init.orthogonal_(layer.weight)
    before = layer.weight.detach().numpy().copy()
    parametrizations.orthogonal(layer, use_trivialization=trivial)
    np.testing.assert_allclose(layer.weight.detach(), before, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
def test_derivatives_of_the_maps(kind, order):
    layer = parametrizations.orthogonal(nn.Linear(3, 3, dtype="float64"), orthogonal_map=kind)

    def value(x):  # the diagonal of householder's numbers is signs, which no gradient flows to
        return layer.parametrizations.weight[0](x.tril(-1) - tw.eye(3, dtype="float64"))

    assert tw.gradcheck(value, [tw.randn(3, 3, dtype="float64", requires_grad=True)], order=order)


def test_a_parametrized_recurrent_weight_is_computed_once_a_pass():
    layer = nn.LSTM(3, 4)
    parametrize.register_parametrization(layer, "weight_hh_l0", Doubled())
    Doubled.calls = 0
    layer(tw.ones(6, 2, 3))
    assert Doubled.calls == 1


def test_attention_reads_a_parametrized_projection():
    layer = nn.MultiheadAttention(4, 2)
    x = tw.randn(3, 2, 4)
    before = layer(x, x, x)[0].detach().numpy().copy()
    parametrizations.weight_norm(layer, "in_proj_weight")
    np.testing.assert_allclose(layer(x, x, x)[0].detach(), before, atol=1e-6)
