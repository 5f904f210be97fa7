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

every_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


def images(case, seed=0):
    return tw.tensor(np.random.default_rng(seed).normal(size=case.shape).astype("float32"))


@every_case
def test_shapes_and_gradients_of_all_parameters(name):
    case = CASES[name]
    model = case.build()
    output = model(images(case))
    assert output.shape == case.output
    (output**2).mean().backward()
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
def test_a_compiled_step_is_the_one_on_numpy(name):
    case = CASES[name]
    model = case.build()
    x = images(case)

    def step(x):
        model.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        return loss, *[parameter.grad for parameter in model.parameters()]

    meant = [each.detach().numpy() for each in step(x)]
    compiled = [each.detach().numpy() for each in tw.compile(step)(x)]
    scale = max(np.abs(each).max() for each in meant)
    for ours, theirs in zip(compiled, meant, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * scale)


# --- what can be left out ---------------------------------------------------------------------------------------------


def gradient_ratio(**options):
    """How large the gradient of the first convolution is beside that of the last, in a network of 56 layers."""
    tw.manual_seed(0)
    model = models.ResNet([9, 9, 9], (4, 8, 16), **options)
    x = tw.tensor(np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype("float32"))
    nn.functional.cross_entropy(model(x), tw.tensor(np.arange(8))).backward()
    first, last = model.conv1.weight.grad.numpy(), model.layer3[8].conv2.weight.grad.numpy()
    return np.abs(first).mean() / np.abs(last).mean()


def test_without_skips_and_normalisation_gradients_do_not_keep_their_size():
    with_skips, without = gradient_ratio(), gradient_ratio(skip=False, norm=None)
    assert 0.1 < with_skips < 100
    assert not 0.1 < without < 100 or abs(np.log(without)) > abs(np.log(with_skips))


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
