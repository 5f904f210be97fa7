"""What every network keeps: shapes, gradients for all parameters, the same start from the same seed, states, compiling.

In: the table in `catalogue`. Out: the contract for each; and that skip connections and normalisation do for gradients
what they were made for.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.models.catalogue import CASES
from thalweg import models, nn
from thalweg.errors import ArgumentError, ShapeError
from thalweg.tensor.core import flush

every_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


def images(case, dtype="float32"):
    return tw.tensor(np.random.default_rng(0).normal(size=case.shape).astype(dtype))


@every_case
def test_shapes_and_gradients_of_all_parameters(name):
    case = CASES[name]
    model = case.build()
    output = model(images(case))
    assert output.shape == case.output
    (output**2).mean().backward()
    flush(*[parameter.grad for parameter in model.parameters()])
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert np.isfinite(parameter.grad.numpy()).all(), path


@every_case
def test_the_same_seed_gives_the_same_network(name):
    tw.manual_seed(7)
    first = CASES[name].build().state_dict()
    tw.manual_seed(7)
    second = CASES[name].build().state_dict()
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[key].numpy())


@every_case
def test_a_state_carries_over(name):
    case = CASES[name]
    one, other = case.build().eval(), case.build().eval()
    assert str(other.load_state_dict(one.state_dict())) == "<All keys matched successfully>"
    np.testing.assert_array_equal(one(images(case)).detach().numpy(), other(images(case)).detach().numpy())


@pytest.mark.parametrize("name", ["lenet", "resnet_a", "mobilenet_v2", "unet", "centernet"])
def test_a_compiled_step_is_the_one_on_numpy(name, monkeypatch):
    monkeypatch.setattr(models.MobileNetV2, "STAGES", ((1, 8, 1, 1), (6, 8, 2, 2)))  # one block of each kind
    case = CASES[name]
    model = case.build().double()
    x = images(case, "float64")

    def step(x):
        model.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        return loss, *[parameter.grad for parameter in model.parameters()]

    results = step(x)
    flush(*results)
    meant = [each.detach().numpy() for each in results]
    compiled = [each.detach().numpy() for each in tw.compile(step)(x)]
    scale = max(np.abs(each).max() for each in meant)
    for ours, theirs in zip(compiled, meant, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10 * scale)


# --- what can be left out ---------------------------------------------------------------------------------------------


def gradient_norms(**options):
    """Of the first convolution and of the last, in a network of 56 layers before training."""
    tw.manual_seed(0)
    model = models.ResNet([9, 9, 9], (4, 8, 16), **options)
    x = tw.tensor(np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype("float32"))
    nn.functional.cross_entropy(model(x), tw.tensor(np.arange(8))).backward()
    ends = model.conv1.weight.grad, model.layer3[8].conv2.weight.grad
    flush(*ends)
    return [np.linalg.norm(each.numpy()) for each in ends]


def test_skip_connections_and_normalisation_keep_gradients_alive():
    """Measured: 7.6 and 0.6 with both, 4,206 and 0.5 without skips, 7e-7 and 2e-8 without either."""
    first, last = gradient_norms()
    assert 1 < first / last < 50
    assert 0.1 < last < 10
    plain_first, plain_last = gradient_norms(skip=False)  # it explodes: He et al. cannot train it well at 110 layers
    assert plain_first / plain_last > 500
    bare_first, bare_last = gradient_norms(skip=False, norm=None)  # it vanishes
    assert max(bare_first, bare_last) < 1e-4


def test_any_normalisation_may_be_given():
    model = models.resnet20(norm=lambda channels: nn.GroupNorm(4, channels))
    assert isinstance(model.bn1, nn.GroupNorm)
    assert model(tw.zeros(1, 3, 8, 8)).shape == (1, 10)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in model.modules())


def test_lenet_may_have_other_parts():
    model = models.LeNet5(activation=nn.ReLU, pooling=nn.MaxPool2d, norm=nn.BatchNorm2d)
    assert [type(each).__name__ for each in model.features[:4]] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda: models.LeNet5()(tw.zeros(28, 28)), ShapeError, ("(28, 28)", "(N, 1, H, W)")),
        (lambda: models.LeNet5()(tw.zeros(2, 28, 28)), ShapeError, ("unsqueeze(1)",)),
        (lambda: models.resnet20()(tw.zeros(2, 1, 32, 32)), ShapeError, ("in_channels",)),
        (lambda: models.UNet(base=2)(tw.zeros(1, 1, 30, 32)), ShapeError, ("height 30", "multiples of 16", "pad")),
        (lambda: models.CenterNet(1, base=2)(tw.zeros(1, 3, 32, 40)), ShapeError, ("width 40",)),
        (lambda: models.CenterNet(1, stride=3), ArgumentError, ("power of two",)),
        (lambda: models.CenterNet(1, stride=8, depth=2), ArgumentError, ("at most 4",)),
        (lambda: models.resnet20(shortcut="C"), ArgumentError, ("'A', 'B'",)),
        (lambda: models.resnet20(stem="tiny"), ArgumentError, ("'small', 'large'",)),
        (lambda: models.UNet(upsample="cubic"), ArgumentError, ("'bilinear'",)),
    ],
)
def test_misuse_is_named(action, error, words):
    with pytest.raises(error) as caught:
        action()
    assert all(word in str(caught.value) for word in words), caught.value
