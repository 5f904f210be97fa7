"""The networks of bench/images.py in JAX: pure functions of their parameters, on images in the order NHWC.

In: a row of the families "image_step" and "image_inference". Out: a callable that runs one timed call. Parameters have
the names that they have in PyTorch and Thalweg, and so the same first values. In the order NCHW, steps of LeNet,
MobileNet and ResNet took 1.2 to 2 times as long on a CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.framework import initial
from bench.images import SEPARABLE, WIDTHS, image_batches, residual_blocks
from bench.workloads import Workload

Values = dict[str, Any]
Update = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
_MOMENTUM, _EPSILON = 0.1, 1e-5


class Pass:
    """One pass through a network: layers that find their parameters by name, and make them where there are none."""

    def __init__(self, parameters: Values, running: Values, is_training: bool, count: Any = 1) -> None:
        self.parameters, self.running, self.is_training = parameters, running, is_training
        self.count = count  # of the step, which random numbers follow from
        self.updated: Values = {}

    def parameter(self, name: str, shape: Sequence[int], axes: Sequence[int] | None = None) -> Any:
        if name not in self.parameters:
            value = initial(name, shape)
            self.parameters[name] = value if axes is None else np.ascontiguousarray(value.transpose(axes))
        return self.parameters[name]

    def convolution(
        self, name: str, x: Any, outputs: int, window: int, stride: int = 1, groups: int = 1, bias: bool = False
    ) -> Any:
        kernel = self.parameter(f"{name}.weight", (outputs, x.shape[-1] // groups, window, window), (2, 3, 1, 0))
        padding = (window // 2, window // 2)
        y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), (padding, padding), feature_group_count=groups,
                                         dimension_numbers=("NHWC", "HWIO", "NHWC"))  # fmt: skip
        return y + self.parameter(f"{name}.bias", (outputs,)) if bias else y

    def norm(self, name: str, x: Any) -> Any:
        """Batch norm; the variance as the mean square less the squared mean, in one pass, as Flax has it."""
        shape, axes = x.shape[-1:], (0, 1, 2)
        weight, bias = (self.parameter(f"{name}.{each}", shape) for each in ("weight", "bias"))
        mean, variance = (self._statistic(f"{name}.{each}", shape) for each in ("running_mean", "running_var"))
        if self.is_training:
            old, count = (mean, variance), x.size // x.shape[-1]
            mean = x.mean(axes)
            variance = (x * x).mean(axes) - mean * mean
            new = (mean, variance * (count / (count - 1)))
            for each, before, now in zip(("running_mean", "running_var"), old, new, strict=True):
                self.updated[f"{name}.{each}"] = before + _MOMENTUM * (now - before)
        scale = weight * jax.lax.rsqrt(variance + _EPSILON)
        return x * scale + (bias - mean * scale)

    def _statistic(self, name: str, shape: Sequence[int]) -> Any:
        if name not in self.running:
            self.running[name] = initial(name, shape)
        return self.running[name]

    def linear(self, name: str, x: Any, outputs: int) -> Any:
        kernel = self.parameter(f"{name}.weight", (outputs, x.shape[-1]), (1, 0))
        return x @ kernel + self.parameter(f"{name}.bias", (outputs,))

    def flattened_linear(self, name: str, x: Any, outputs: int) -> Any:
        """Of an image's values; the weight's rows lie in the order of (H, W, C), which is (C, H, W) elsewhere."""
        _, height, width, channels = x.shape
        inner = height * width * channels
        if f"{name}.weight" not in self.parameters:
            weight = initial(f"{name}.weight", (outputs, inner)).reshape(outputs, channels, height, width)
            self.parameters[f"{name}.weight"] = weight.transpose(2, 3, 1, 0).reshape(inner, outputs)
        return self.linear(name, x.reshape(len(x), inner), outputs)

    def doubled(self, name: str, x: Any, outputs: int) -> Any:
        """A transposed convolution of 2 x 2 with stride 2: a product, faster than conv_transpose."""
        count, height, width, inputs = x.shape
        kernel = self.parameter(f"{name}.weight", (inputs, outputs, 2, 2))
        y = jnp.einsum("nhwi,iokl->nhkwlo", x, kernel).reshape(count, 2 * height, 2 * width, outputs)
        return y + self.parameter(f"{name}.bias", (outputs,))


def pool(x: Any) -> Any:
    """The largest of 2 x 2, as a reduction: LeNet's step took twice as long with reduce_window."""
    count, height, width, channels = x.shape
    return x.reshape(count, height // 2, 2, width // 2, 2, channels).max((2, 4))


# --- networks --------------------------------------------------------------------------------------------------------


def lenet(p: Pass, x: Any) -> Any:
    x = pool(jax.nn.relu(p.convolution("0", x, 32, 5, bias=True)))
    x = pool(jax.nn.relu(p.convolution("3", x, 64, 3, bias=True)))
    return p.linear("9", jax.nn.relu(p.flattened_linear("7", x, 128)), 10)


def resnet20(p: Pass, x: Any) -> Any:
    x = jax.nn.relu(p.norm("bn", p.convolution("conv", x, 16, 3)))
    for number, (inputs, outputs, stride) in enumerate(residual_blocks()):
        name, skipped = f"blocks.{number}", x
        y = jax.nn.relu(p.norm(f"{name}.bn1", p.convolution(f"{name}.conv1", x, outputs, 3, stride)))
        y = p.norm(f"{name}.bn2", p.convolution(f"{name}.conv2", y, outputs, 3))
        if inputs != outputs:
            skipped = p.norm(f"{name}.shortcut.1", p.convolution(f"{name}.shortcut.0", x, outputs, 1, stride))
        x = jax.nn.relu(y + skipped)
    return p.linear("head", x.mean((1, 2)), 10)


def mobilenet(p: Pass, x: Any) -> Any:
    number = itertools.count(step=3)  # a convolution, its norm, its activation

    def normalised(x: Any, outputs: int, window: int, stride: int = 1, groups: int = 1) -> Any:
        first = next(number)
        return jax.nn.relu(p.norm(f"{first + 1}", p.convolution(f"{first}", x, outputs, window, stride, groups)))

    x = normalised(x, SEPARABLE[0][0], 3)
    for inputs, outputs, stride in SEPARABLE:
        x = normalised(normalised(x, inputs, 3, stride, inputs), outputs, 1)
    return p.linear(f"{next(number) + 1}", x.mean((1, 2)), 10)


def unet(p: Pass, x: Any) -> Any:
    def double(name: str, x: Any, outputs: int) -> Any:
        for first in (0, 3):
            x = jax.nn.relu(p.norm(f"{name}.{first + 1}", p.convolution(f"{name}.{first}", x, outputs, 3)))
        return x

    kept = []
    for number, width in enumerate(WIDTHS[:-1]):
        kept.append(double(f"down.{number}", x, width))
        x = pool(kept[-1])
    x = double("bottom", x, WIDTHS[-1])
    for number, (width, skipped) in enumerate(zip(WIDTHS[-2::-1], reversed(kept), strict=True)):
        x = jnp.concatenate([skipped, p.doubled(f"up.{number}", x, width)], -1)
        x = double(f"join.{number}", x, width)
    return p.convolution("head", x, 2, 1, bias=True)


NETWORKS = {"lenet": lenet, "resnet-20": resnet20, "mobilenet": mobilenet, "unet": unet}


# --- steps -----------------------------------------------------------------------------------------------------------


Network = Callable[[Any, Any], Any]  # of a pass and the inputs


def state_of(network: Network, x: Any, kind: type[Pass] = Pass) -> tuple[Values, Values]:
    """Parameters and running statistics, found by walking through the network once without computing it."""
    parameters: Values = {}
    running: Values = {}
    jax.eval_shape(lambda x: network(kind(parameters, running, False), x), x)
    return jax.tree.map(jnp.array, parameters), jax.tree.map(jnp.array, running)


def training_step(
    network: Network, batches: Sequence[tuple[Any, Any]], update: Update, kind: type[Pass] = Pass
) -> Callable[[], float]:
    """A step on batches in turn, with cross-entropy in the mean over all labels; it ends with its loss read."""

    def loss_of(parameters: Values, running: Values, count: Any, x: Any, y: Any) -> tuple[Any, Values]:
        current = kind(parameters, running, is_training=True, count=count)
        picked = jnp.take_along_axis(jax.nn.log_softmax(network(current, x)), y[..., None], -1)
        return -picked.mean(), current.updated

    def step(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        parameters, running, moments, count = state
        (loss, running), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters, running, count, x, y)
        parameters, moments = update(parameters, gradients, moments, count)
        return (parameters, running, moments, count + 1), loss

    compiled, feed = jax.jit(step, donate_argnums=0), itertools.cycle(batches)
    parameters, running = state_of(network, batches[0][0], kind)
    moments = tuple(jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
    state = (parameters, running, moments, jnp.float32(1))

    def call() -> float:
        nonlocal state
        state, loss = compiled(state, *next(feed))
        return loss.item()

    return call


def _batches(workload: Workload) -> list[tuple[Any, Any]]:
    return [(jnp.array(x.transpose(0, 2, 3, 1)), jnp.array(y)) for x, y in image_batches(workload)]


def image_step(workload: Workload, update: Update) -> Callable[[], float]:
    return training_step(NETWORKS[workload.network], _batches(workload), update)


def image_inference(workload: Workload) -> Callable[[], Any]:
    def answer(parameters: Values, running: Values, x: Any) -> Any:
        return NETWORKS[workload.network](Pass(parameters, running, is_training=False), x)

    images = [x for x, _ in _batches(workload)]
    compiled, state = jax.jit(answer), state_of(NETWORKS[workload.network], images[0])
    feed = itertools.cycle(images)
    return lambda: compiled(*state, next(feed)).block_until_ready()
