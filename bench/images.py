"""Convolutional networks and their steps, written once for PyTorch and Thalweg; bench/peers/jax_images.py is JAX's.

In: a `Framework` and a row that names a network. Out: a callable that runs one timed call: a training step, or the
forward pass alone in evaluation mode.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.framework import Call, Framework, training_step, with_initial_values
from bench.workloads import BATCHES, Workload

CHANNELS, BLOCKS = (16, 32, 64), 3  # ResNet-20: three stages of three blocks
SEPARABLE = ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))  # inputs, outputs, stride
WIDTHS = (16, 32, 64, 128, 256)  # U-Net of base 16 and depth 4


# --- networks --------------------------------------------------------------------------------------------------------


def lenet(framework: Framework) -> Any:
    """Two convolutions with pooling, two linear layers."""
    nn = framework.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def resnet20(framework: Framework) -> Any:
    """He et al. 2016, section 4.2, with a 1x1 convolution where the shape changes (their option B)."""
    nn, F = framework.nn, framework.functional

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
            self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
            self.shortcut = nn.Identity() if inputs == outputs else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, CHANNELS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(CHANNELS[0])
            self.blocks = nn.Sequential(*(Block(*each) for each in residual_blocks()))
            self.head = nn.Linear(CHANNELS[-1], 10)

        def forward(self, x: Any) -> Any:
            x = self.blocks(F.relu(self.bn(self.conv(x))))
            return self.head(x.mean((2, 3)))

    return ResNet()


def residual_blocks() -> list[tuple[int, int, int]]:
    """(inputs, outputs, stride) of each block."""
    blocks, inputs = [], CHANNELS[0]
    for outputs in CHANNELS:
        for _ in range(BLOCKS):
            blocks.append((inputs, outputs, 1 if inputs == outputs else 2))
            inputs = outputs
    return blocks


def mobilenet(framework: Framework) -> Any:
    """Howard et al. 2017, table 1 shortened for images of 32x32: depthwise 3x3, then 1x1, each with batch norm."""
    nn = framework.nn

    class MeanOverPlaces(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3))

    def normalised(convolution: Any, outputs: int) -> list[Any]:
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    layers = normalised(nn.Conv2d(3, SEPARABLE[0][0], 3, 1, 1, bias=False), SEPARABLE[0][0])
    for inputs, outputs, stride in SEPARABLE:
        layers += normalised(nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), inputs)
        layers += normalised(nn.Conv2d(inputs, outputs, 1, bias=False), outputs)
    return nn.Sequential(*layers, MeanOverPlaces(), nn.Linear(SEPARABLE[-1][1], 10))


def unet(framework: Framework) -> Any:
    """Ronneberger et al. 2015, with padding and batch norm: down by pooling, up by transposed convolutions."""
    nn = framework.nn

    def double(inputs: int, outputs: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = list(zip((1, *WIDTHS), WIDTHS, strict=False))
            self.down = nn.ModuleList([double(*each) for each in pairs[:-1]])
            self.pool, self.bottom = nn.MaxPool2d(2), double(*pairs[-1])
            self.up = nn.ModuleList([nn.ConvTranspose2d(2 * width, width, 2, 2) for width in WIDTHS[-2::-1]])
            self.join = nn.ModuleList([double(2 * width, width) for width in WIDTHS[-2::-1]])
            self.head = nn.Conv2d(WIDTHS[0], 2, 1)

        def forward(self, x: Any) -> Any:
            kept = []
            for layer in self.down:
                kept.append(layer(x))
                x = self.pool(kept[-1])
            x = self.bottom(x)
            for up, join, skipped in zip(self.up, self.join, reversed(kept), strict=True):
                x = join(framework.concatenate([skipped, up(x)], 1))
            return self.head(x)

    return UNet()


NETWORKS: dict[str, Callable[[Framework], Any]] = {
    "lenet": lenet, "resnet-20": resnet20, "mobilenet": mobilenet, "unet": unet,
}  # fmt: skip


# --- steps -----------------------------------------------------------------------------------------------------------


def image_batches(workload: Workload) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images (N, C, H, W) and labels: one for each image, or for each of its places where the network segments."""
    random = np.random.default_rng(1)
    *shape, classes = workload.sizes
    places = shape[1:] if workload.network == "unet" else ()
    return [
        (random.standard_normal((workload.batch, *shape), np.float32),
         random.integers(0, classes, (workload.batch, *places)))
        for _ in range(BATCHES)
    ]  # fmt: skip


def network(framework: Framework, workload: Workload) -> Any:
    return with_initial_values(framework, NETWORKS[workload.network](framework))


def image_step(framework: Framework, workload: Workload) -> Call:
    """A training step of the network."""
    pairs = [(framework.arrange(framework.tensor(x)), framework.tensor(y)) for x, y in image_batches(workload)]
    model, criterion = network(framework, workload), framework.functional.cross_entropy
    return training_step(framework, model, criterion, pairs, workload.is_compiled)


def image_inference(framework: Framework, workload: Workload) -> Call:
    """The network's answers, in evaluation mode and without a graph for gradients."""
    forward = framework.compile_forward(network(framework, workload).eval())

    def answer(x: Any) -> Any:
        with framework.no_grad():
            return forward(x)

    answer = framework.compile_step(answer)
    feed = itertools.cycle([framework.arrange(framework.tensor(x)) for x, _ in image_batches(workload)])
    return lambda: answer(next(feed))


BUILDERS: dict[str, Callable[[Framework, Workload], Call]] = {
    "image_step": image_step,
    "image_inference": image_inference,
}
