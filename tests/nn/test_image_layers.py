"""What the layers for images promise beyond PyTorch's numbers: repeatability, whole channels, views of what they say.

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


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, groups=2),
        nn.GroupNorm(2, 8), nn.SiLU(), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip


def gradients():
    tw.manual_seed(3)
    net, x = network(), tw.randn(4, 1, 8, 8)
    loss = F.cross_entropy(net(x), tw.tensor([0, 1, 2, 0]))
    loss.backward()
    return [loss.item(), *[each.grad.numpy() for each in net.parameters()]]


def test_a_seed_decides_weights_and_every_bit_of_a_step():
    for a, b in zip(gradients(), gradients(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("layer", "shape"), [(nn.Dropout1d, (20, 30, 5)), (nn.Dropout2d, (20, 30, 4, 3))])
def test_channels_are_dropped_as_a_whole(layer, shape):
    y = layer(0.3)(tw.ones(*shape)).numpy().reshape(20 * 30, -1)
    np.testing.assert_array_equal(y.min(1), y.max(1))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.7)}
    assert np.mean(y[:, 0] != 0) == pytest.approx(0.7, abs=0.06)


def test_a_convolution_that_starts_as_identity():
    layer = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight)
    x = tw.randn(2, 3, 5, 4)
    np.testing.assert_array_equal(layer(x).detach().numpy(), x.numpy())


def test_a_transposed_convolution_is_the_gradient_of_the_convolution():
    x, w = tw.zeros(2, 3, 9, 8, requires_grad=True), tw.randn(4, 3, 3, 2)
    g = tw.randn(2, 4, 4, 4)
    F.conv2d(x, w, stride=2).backward(g)
    enlarged = F.conv_transpose2d(g, w, stride=2)
    np.testing.assert_allclose(enlarged.numpy(), x.grad.numpy()[:, :, :9, :8], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", [2, 3, 5, (1, 7)])
@pytest.mark.parametrize("stride", [None, 1, 2])
def test_of_a_tie_the_first_in_reading_order_gets_the_whole_gradient(kernel, stride):
    x = tw.zeros(1, 1, 7, 7, requires_grad=True)
    y = F.max_pool2d(x, kernel, stride)
    y.sum().backward()
    height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    step = (height, width) if stride is None else (stride, stride)
    expected = np.zeros((7, 7))
    for i, j in np.ndindex(y.shape[2:]):
        expected[i * step[0], j * step[1]] += 1
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], expected)


def test_averages_of_channels_are_means():
    x = tw.randn(3, 4, 5, 6)
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, 1).numpy()[..., 0, 0], x.numpy().mean((2, 3)), rtol=1e-5)


def test_what_is_shuffled_comes_back():
    x = tw.randn(2, 8, 3, 5)
    np.testing.assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).numpy(), x.numpy())


def test_windows_as_columns_times_the_weight_are_the_convolution():
    x, w = tw.randn(2, 3, 6, 5), tw.randn(4, 3, 3, 2)
    columns = F.unfold(x, (3, 2), padding=1, stride=2)
    meant = F.conv2d(x, w, padding=1, stride=2)
    np.testing.assert_allclose((w.reshape(4, -1) @ columns).numpy(), meant.reshape(2, 4, -1).numpy(), atol=1e-5)


def test_a_small_network_learns_where_a_bar_stands():
    images, labels = np.zeros((40, 1, 8, 8), "float32"), np.arange(40) % 2
    for index, label in enumerate(labels):
        place = index % 8
        images[index, 0, place if label else slice(None), slice(None) if label else place] = 1
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    x, y = tw.tensor(images), tw.tensor(labels)
    losses = []
    for _ in range(60):
        net.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        with tw.no_grad():
            for each in net.parameters():
                each -= 0.3 * each.grad
        losses.append(loss.item())
    assert losses[-1] < 0.3 < losses[0]
