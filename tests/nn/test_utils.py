"""Gradient clipping and parameters as a vector: the arithmetic, in eager and in compiled steps.

In: gradients. Out: PyTorch's results, and the same when the step is compiled.
"""

import itertools
import math

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import assert_close
from thalweg import nn
from thalweg.errors import NonFiniteError, TraceError
from thalweg.nn import utils


def with_gradients(arrays):
    parameters = [nn.Parameter(np.zeros_like(each)) for each in arrays]
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.grad = tw.tensor(array)
    return parameters


@pytest.mark.peer
@pytest.mark.parametrize(
    ("norm_type", "max_norm", "dtype"),
    list(itertools.product((2.0, 1.0, 3.0, math.inf, 0.5), (0.1, 1.0, 1e6), ("float64", "float32"))),
)
def test_clipping_by_norm_against_pytorch(norm_type, max_norm, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (1,), (5,), (2, 1, 3))]
    ours = with_gradients(arrays)
    theirs = [torch.nn.Parameter(torch.zeros(each.shape, dtype=getattr(torch, dtype))) for each in arrays]
    for parameter, array in zip(theirs, arrays, strict=True):
        parameter.grad = torch.tensor(array)
    total = utils.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert_close("norm", total.numpy(), expected.numpy(), dtype)
    for a, b in zip(ours, theirs, strict=True):
        assert_close("gradient", a.grad.numpy(), b.grad.numpy(), dtype)


def test_the_norm_is_that_of_all_gradients_together():
    parameters = with_gradients([np.array([3.0]), np.array([4.0])])
    assert utils.clip_grad_norm_(parameters, 1.0).item() == 5
    assert [each.grad.item() for each in parameters] == pytest.approx([0.6, 0.8], rel=1e-6)


def test_small_gradients_are_left_alone():
    parameters = with_gradients([np.array([0.3, 0.4])])
    utils.clip_grad_norm_(parameters, 1.0)
    assert parameters[0].grad.tolist() == [0.3, 0.4]


def test_generators_single_tensors_and_missing_gradients():
    net = nn.Linear(2, 1)
    assert utils.clip_grad_norm_(net.parameters(), 1.0).item() == 0
    net(tw.ones(1, 2)).sum().backward()
    assert utils.clip_grad_norm_(net.parameters(), 10.0).item() == pytest.approx(math.sqrt(3))
    assert utils.clip_grad_norm_(net.bias, 0.5).item() == 1
    assert net.bias.grad.item() == pytest.approx(0.5)


def test_a_gradient_that_is_not_finite_can_be_refused():
    parameters = with_gradients([np.array([1.0, math.nan])])
    with pytest.raises(NonFiniteError, match="not finite"):
        utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert parameters[0].grad.tolist()[0] == 1
    assert math.isnan(utils.clip_grad_norm_(parameters, 1.0).item())


def test_clipping_by_value():
    parameters = with_gradients([np.array([-3.0, 0.2, 5.0])])
    utils.clip_grad_value_(parameters, 0.5)
    assert parameters[0].grad.tolist() == [-0.5, 0.2, 0.5]


@pytest.mark.parametrize("clip", [lambda p: utils.clip_grad_norm_(p, 0.1), lambda p: utils.clip_grad_value_(p, 0.1)])
def test_clipping_in_a_compiled_step(clip):
    def run(compiled):
        tw.manual_seed(0)
        net, x = nn.Linear(3, 2), tw.randn(4, 3)

        def step(x):
            net.zero_grad()
            loss = (net(x) ** 2).sum()
            loss.backward()
            norm = clip(net.parameters())
            with tw.no_grad():
                for each in net.parameters():
                    each -= each.grad
            return loss if norm is None else norm

        chosen = tw.compile(step) if compiled else step
        return [chosen(x).item() for _ in range(3)], net.weight.detach().numpy()

    (a, x), (b, y) = run(True), run(False)
    assert a == pytest.approx(b, rel=1e-5)
    np.testing.assert_allclose(x, y, rtol=1e-5)


def test_refusing_bad_norms_cannot_be_compiled():
    parameters = with_gradients([np.array([1.0])])

    def step(x):
        return utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True) + x

    with pytest.raises(TraceError):
        tw.compile(step)(tw.ones(()))


def test_vectors():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (13,)
    (vector * vector).sum().backward()
    np.testing.assert_allclose(net[0].weight.grad.numpy(), 2 * net[0].weight.detach().numpy(), rtol=1e-6)
    utils.vector_to_parameters(tw.arange(13).float(), net.parameters())
    assert net[1].bias.item() == 12
    assert net[0].weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert net[0].weight.requires_grad
