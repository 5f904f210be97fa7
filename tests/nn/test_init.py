"""Initialisation: the moments and bounds that the formulas promise, orthogonality, repeatability.

In: large tensors and seeds. Out: means and deviations within five standard errors, bounds exactly kept.
"""

import math

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.nn import init
from thalweg.nn.quantile import normal_quantile

FAN_IN, FAN_OUT = 300, 200
WINDOW = (40, 20, 3, 5)  # fan_in 300, fan_out 600


def weight(shape=(FAN_OUT, FAN_IN), dtype="float32"):
    return tw.zeros(*shape, dtype=dtype)


UNIFORM = [
    (lambda t: init.xavier_uniform_(t), math.sqrt(6 / (FAN_IN + FAN_OUT))),
    (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
    (lambda t: init.kaiming_uniform_(t), math.sqrt(6 / FAN_IN)),
    (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(FAN_IN)),
    (lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="relu"), math.sqrt(6 / FAN_OUT)),
    (lambda t: init.kaiming_uniform_(t, nonlinearity="tanh"), 5 / 3 * math.sqrt(3 / FAN_IN)),
    (lambda t: init.lecun_uniform_(t), math.sqrt(3 / FAN_IN)),
    (lambda t: init.uniform_(t, -0.5, 0.5), 0.5),
]
NORMAL = [
    (lambda t: init.xavier_normal_(t), math.sqrt(2 / (FAN_IN + FAN_OUT))),
    (lambda t: init.kaiming_normal_(t), math.sqrt(2 / FAN_IN)),
    (lambda t: init.kaiming_normal_(t, a=1.0, mode="fan_out"), math.sqrt(1 / FAN_OUT)),
    (lambda t: init.kaiming_normal_(t, nonlinearity="selu"), 0.75 / math.sqrt(FAN_IN)),
    (lambda t: init.lecun_normal_(t), math.sqrt(1 / FAN_IN)),
    (lambda t: init.normal_(t, std=3.0), 3.0),
]


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("fill", "bound"), UNIFORM)
def test_uniform_bounds_and_moments(fill, bound, dtype):
    given = weight(dtype=dtype)
    assert fill(given) is given
    x = given.numpy().astype("float64")
    assert np.abs(x).max() <= bound * (1 + 1e-6)
    assert np.abs(x).max() > 0.999 * bound
    check_moments(x, 0, bound / math.sqrt(3), kurtosis=1.8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("fill", "std"), NORMAL)
def test_normal_moments(fill, std, dtype):
    x = fill(weight(dtype=dtype)).numpy().astype("float64")
    check_moments(x, 0, std, kurtosis=3.0)
    assert np.mean(np.abs(x) < std) == pytest.approx(0.6827, abs=0.01)


def check_moments(x, mean, std, kurtosis):
    """Within five standard errors; that of a variance is sqrt((kurtosis - 1) / n) of it."""
    assert abs(x.mean() - mean) < 5 * std / math.sqrt(x.size)
    assert abs(x.var() / std**2 - 1) < 5 * math.sqrt((kurtosis - 1) / x.size)


def test_windows_count_in_the_fans():
    assert init.fans(weight(WINDOW)) == (300, 600)
    x = init.kaiming_uniform_(weight(WINDOW), mode="fan_out").numpy()
    assert np.abs(x).max() == pytest.approx(math.sqrt(6 / 600), rel=1e-3)


def test_mean_of_a_normal():
    check_moments(init.normal_(weight(), mean=4.0, std=0.5).numpy().astype("float64"), 4, 0.5, 3.0)


@pytest.mark.parametrize(("a", "b", "mean", "std"), [(-2, 2, 0, 1), (-0.5, 3, 1, 2), (0, 0.1, 0, 0.05), (5, 6, 0, 1)])
def test_truncated_normal(a, b, mean, std):
    x = init.trunc_normal_(weight(), mean, std, a, b).numpy().astype("float64")
    assert a - 1e-6 <= x.min()
    assert x.max() <= b + 1e-6
    low, high = (a - mean) / std, (b - mean) / std

    def density(t):
        return math.exp(-t * t / 2) / math.sqrt(2 * math.pi)

    mass = 0.5 * (math.erfc(-high / math.sqrt(2)) - math.erfc(-low / math.sqrt(2)))
    shift = (density(low) - density(high)) / mass
    expected = mean + std * shift
    spread = std * math.sqrt(1 + (low * density(low) - high * density(high)) / mass - shift**2)
    check_moments(x, expected, spread, 3.0)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1), (4, 2, 3), (2, 3, 5)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal(shape, gain):
    x = init.orthogonal_(weight(shape, "float64"), gain).numpy().reshape(shape[0], -1)
    small = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(small, gain**2 * np.eye(len(small)), atol=1e-12)


def test_orthogonal_matrices_are_uniform():
    signs = [np.sign(init.orthogonal_(weight((2, 2))).numpy()[0, 0]) for _ in range(200)]
    assert 60 < signs.count(1) < 140


def test_constants():
    assert (init.zeros_(tw.ones(2, 2)) == 0).all()
    assert (init.ones_(tw.zeros(2, 2)) == 1).all()
    assert (init.constant_(tw.zeros(2), 0.25) == 0.25).all()
    np.testing.assert_array_equal(init.eye_(tw.ones(3, 2)).numpy(), np.eye(3, 2))


def test_quantiles_invert_the_distribution_function():
    x = np.concatenate([np.linspace(-8, 8, 321), [-30.0, -37.0]])
    probability = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in x])
    inside = probability < 0.999
    np.testing.assert_allclose(normal_quantile(probability[inside]), x[inside], rtol=1e-10, atol=1e-12)


def test_the_seed_and_the_generator_decide():
    tw.manual_seed(3)
    a = init.kaiming_normal_(weight()).numpy()
    tw.manual_seed(3)
    np.testing.assert_array_equal(init.kaiming_normal_(weight()).numpy(), a)
    for fill in (
        init.normal_,
        init.uniform_,
        init.xavier_normal_,
        init.orthogonal_,
        init.trunc_normal_,
        init.lecun_normal_,
    ):
        first = fill(weight((4, 4)), generator=tw.Generator(5)).numpy()
        np.testing.assert_array_equal(fill(weight((4, 4)), generator=tw.Generator(5)).numpy(), first)
        assert (fill(weight((4, 4)), generator=tw.Generator(6)).numpy() != first).any()


def test_two_layers_differ_and_one_seed_makes_the_same_network():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    assert (net[0].weight != net[1].weight).any()
    tw.manual_seed(0)
    again = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    assert (net[1].bias == again[1].bias).all()


@pytest.mark.parametrize("looks", ["weights", "gradients"])
def test_a_seed_means_the_same_bits_however_many_networks_were_made_before(looks):
    """Structures that return are compiled, and a compiled draw differs from NumPy's in its last bits."""

    def bits():
        tw.manual_seed(3)
        net = nn.Sequential(nn.Linear(7, 7), nn.Tanh(), nn.Linear(7, 7))
        for layer in (net[0], net[2]):
            init.normal_(layer.weight, 0.0, 0.05)
        if looks == "gradients":  # forward and backward pass run at once, with the weights still to be drawn
            net(tw.ones(2, 7)).sum().backward()
        return net[0].weight.detach().numpy().tobytes(), net[0].bias.detach().numpy().tobytes()

    first = bits()
    assert all(bits() == first for _ in range(60 if looks == "gradients" else 250))


def test_parameters_that_require_a_gradient_can_be_written():
    layer = nn.Linear(4, 3)
    assert init.xavier_uniform_(layer.weight) is layer.weight
    assert layer.weight.requires_grad
    assert layer.weight.is_leaf
    layer(tw.ones(1, 4)).sum().backward()
    layer(tw.ones(1, 4)).sum().backward()  # what was written does not belong to a graph that is used up
    assert layer.weight.grad.numpy()[0, 0] == 2


def test_empty_layers():
    assert nn.Linear(0, 3)(tw.zeros(2, 0)).shape == (2, 3)
    assert nn.Linear(3, 0)(tw.zeros(2, 3)).shape == (2, 0)


@pytest.mark.peer
def test_gains_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.1, 20), (0.333, 67), (1.0, 200)])
def test_sparse_has_the_share_of_zeros_in_every_column(sparsity, zeros):
    given = weight()
    assert init.sparse_(given, sparsity, std=3.0) is given
    assert ((given.numpy() == 0).sum(0) == zeros).all()


def test_sparse_draws_the_rest_from_a_normal_distribution():
    given = weight(dtype="float64")
    init.sparse_(given, 0.5, std=2.0)
    values = given.numpy()
    check_moments(values[values != 0], 0, 2.0, kurtosis=3.0)


@pytest.mark.parametrize(("shape", "sparsity"), [((3,), 0.1), ((2, 3, 4), 0.1), ((2, 3), 1.5)])
def test_sparse_refuses_what_is_no_matrix_or_no_share(shape, sparsity):
    with pytest.raises(ValueError, match="sparse_"):
        init.sparse_(tw.zeros(*shape), sparsity)
