"""Random small networks learn the same, compiled, undecorated and compiled, and op by op on NumPy.

In: architectures, losses, optimizers and batches drawn by Hypothesis. Out: equal losses, weights, buffers, optimizer
state and random numbers after some steps; with a penalty on gradients, so that second derivatives take part, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import thalweg as tw
import thalweg.nn.functional as F
from tests.optim.test_optimizer_contract import CASES as OPTIMIZERS
from tests.optim.test_optimizer_contract import CLASSES
from tests.support.compiled import LANES, arrays_of, assert_all_agree, executables
from tests.support.sweep import is_full_sweep
from thalweg import nn
from thalweg.errors import ShapeError
from thalweg.optim import schedules
from thalweg.tensor import lazy

EXAMPLES = 10 if is_full_sweep() else 1
ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.Softplus, nn.LeakyReLU,
               nn.Hardtanh, nn.LogSigmoid, nn.ReLU6, lambda: nn.GELU("tanh"), lambda: nn.Softmax(dim=-1)]  # fmt: skip
WIDTHS = [1, 2, 3, 5, 8, LANES - 1, LANES, LANES + 1]
Layers = list[Callable[[], nn.Module]]


class Residual(nn.Module):
    """x + f(x): a node that is shared by two paths."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        return x + self.inner(x).tanh()


def draw_layers(draw: Any, width: int, out: int) -> Layers:
    layers: Layers = []
    for _ in range(draw(st.integers(0, 2))):
        wide, kind = draw(st.sampled_from(WIDTHS)), draw(st.sampled_from(["plain", "batch", "layer", "residual"]))
        # Without a bias before a batch norm: its gradient would be 0 but for rounding, which adaptive steps amplify.
        layers.append(lambda a=width, b=wide, k=kind: nn.Linear(a, b, bias=k != "batch"))
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "residual": Residual}
        if kind in norms and (kind != "layer" or wide > 2):  # two numbers that are normalised are always 1 and -1
            layers.append(lambda make=norms[kind], b=wide: make(b))
        layers.append(draw(st.sampled_from(ACTIVATIONS)))
        rate = draw(st.sampled_from([0.0, 0.0, 0.3]))
        if rate:
            layers.append(lambda p=rate: nn.Dropout(p))
        width = wide
    return [*layers, lambda a=width: nn.Linear(a, out)]


class ImageResidual(nn.Module):
    """x + f(x) on images."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        return x + self.inner(x).tanh()


CHANNELS = [1, 2, 3, 4, LANES + 1]
BETWEEN: list[Callable[[int], nn.Module]] = [
    lambda _: nn.MaxPool2d(2), lambda _: nn.AvgPool2d(2, padding=1), lambda _: nn.Upsample(scale_factor=2),
    lambda c: nn.Conv2d(c, c, 3, groups=c, padding=1), lambda c: nn.ConvTranspose2d(c, c, 2, stride=2), ImageResidual,
    lambda c: nn.GroupNorm(1, c), lambda _: nn.Dropout2d(0.3), lambda _: nn.Identity(),
]  # fmt: skip


def draw_image_layers(draw: Any, shape: tuple[int, ...], out: int) -> Layers:
    """Convolutions with what stands between them, then a linear layer on all entries."""
    layers: Layers = []
    width = shape[0]
    for _ in range(draw(st.integers(1, 2))):
        wide, kernel, stride = (draw(st.sampled_from(each)) for each in (CHANNELS, (1, 2, 3), (1, 1, 2)))
        padding, normed = draw(st.integers(0, 1)), draw(st.booleans())
        layers.append(lambda a=width, b=wide, k=kernel, s=stride, p=padding, n=normed: nn.Conv2d(
            a, b, k, stride=s, padding=p, bias=not n))  # fmt: skip
        if normed:
            layers.append(lambda b=wide: nn.BatchNorm2d(b))
        layers.append(draw(st.sampled_from([each for each in ACTIVATIONS if isinstance(each, type)])))
        between = draw(st.sampled_from(BETWEEN))
        layers.append(lambda make=between, b=wide: make(b))
        width = wide
    layers.append(nn.Flatten)
    try:
        flat = nn.Sequential(*[make() for make in layers]).eval()(tw.zeros(2, *shape)).shape[1]
    except ShapeError:  # too many strides: nothing is left
        reject()
    return [*layers, lambda: nn.Linear(flat, out)]


LOSSES: dict[str, Callable[[tw.Tensor, tw.Tensor], tw.Tensor]] = {
    "mse": lambda z, y: F.mse_loss(z, y),
    "huber": lambda z, y: F.huber_loss(z, y, delta=0.5),
    "bce": lambda z, y: F.binary_cross_entropy_with_logits(z, y.sigmoid()),
    "cross_entropy": lambda z, y: F.cross_entropy(z, y.argmax(1)),
    "smoothed": lambda z, y: F.cross_entropy(z, y.argmax(1), label_smoothing=0.1),
    "soft": lambda z, y: F.cross_entropy(z, y.softmax(1)),
    "nll": lambda z, y: F.nll_loss(z.log_softmax(1), y.argmax(1)),
    "kl": lambda z, y: F.kl_div(z.log_softmax(1), y.softmax(1), reduction="sum"),
}
WAYS = ["eager", "lazy", "compiled"]


class Problem:
    """What Hypothesis draws: everything that a training run depends on."""

    def __init__(self, draw: Any) -> None:
        self.out = draw(st.sampled_from([1, 2, 3, LANES + 1]))
        self.shape, self.layers = self.draw_network(draw)
        self.loss = LOSSES[draw(st.sampled_from(sorted(LOSSES)))]
        self.optimizer, self.options = draw(st.sampled_from(OPTIMIZERS))
        if draw(st.booleans()):
            self.options = {**self.options, "lr": schedules.Cyclical(1e-3, 0.02, step_size_up=3)}
        self.has_penalty, self.clips = draw(st.booleans()), draw(st.booleans())
        sizes = [draw(st.sampled_from([3, 7, LANES + 1])), draw(st.sampled_from([3, 4]))]
        self.sizes = [sizes[0], sizes[0], sizes[1], sizes[0]]
        self.mode = draw(st.sampled_from(["train", "train", "eval"]))
        self.seed = draw(st.integers(0, 1000))

    def draw_network(self, draw: Any) -> tuple[tuple[int, ...], Layers]:
        """The shape of a sample, and the layers."""
        width = draw(st.sampled_from(WIDTHS))
        return (width,), draw_layers(draw, width, self.out)

    def batches(self, dtype: str) -> list[tuple[tw.Tensor, tw.Tensor]]:
        generator = np.random.default_rng(self.seed)
        shapes = [((n, *self.shape), (n, self.out)) for n in self.sizes]
        return [tuple(tw.tensor(generator.normal(size=s).astype(dtype)) for s in pair) for pair in shapes]  # type: ignore[misc]

    def step_of(self, model: nn.Module, optimizer: Any) -> Callable[..., tw.Tensor]:
        def step(x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
            optimizer.zero_grad()
            loss = self.loss(model(x), y)
            if self.has_penalty:
                found = tw.grad(loss, list(model.parameters()), create_graph=True, allow_unused=True)
                loss = loss + 0.01 * sum((g * g).sum() for g in found if g is not None)
            loss.backward()
            if self.clips:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            return loss

        return step

    def train(self, dtype: str, way: str) -> list[np.ndarray]:
        tw.manual_seed(self.seed)
        model = getattr(nn.Sequential(*[make() for make in self.layers]).to(dtype), self.mode)()
        optimizer = CLASSES[self.optimizer](model.parameters(), **self.options)
        step = self.step_of(model, optimizer)
        chosen = tw.compile(step) if way == "compiled" else step
        losses = [chosen(x, y).item() for x, y in self.batches(dtype)]
        if way == "compiled":
            assert all(executable.is_native for executable in executables(chosen))
        state = [value for each in model.parameters() for value in optimizer.state.get(each, {}).values()]
        tensors = [*model.parameters(), *model.buffers(), *state, tw.rand(2)]
        return [np.array(losses), *arrays_of(tensors)]


class ImageProblem(Problem):
    """The same with images."""

    def draw_network(self, draw: Any) -> tuple[tuple[int, ...], Layers]:
        shape = draw(st.sampled_from([(1, 9, 8), (3, 7, 10), (2, 8, 8)]))
        return shape, draw_image_layers(draw, shape, self.out)


problems = pytest.mark.parametrize("kind", [Problem, ImageProblem])


def train_in(monkeypatch: pytest.MonkeyPatch, problem: Problem, dtype: str, way: str) -> list[np.ndarray]:
    with monkeypatch.context() as patch:
        patch.setattr(lazy, "eager", way == "eager")
        patch.setattr(lazy, "COMPILE_AFTER", 0)
        return problem.train(dtype, way)


@problems
@given(data=st.data())
@settings(max_examples=8 * EXAMPLES, deadline=None)
def test_training_is_the_same_in_every_way(kind: type[Problem], data: st.DataObject) -> None:
    problem = kind(data.draw)
    with pytest.MonkeyPatch.context() as monkeypatch:
        meant, pending, compiled = (train_in(monkeypatch, problem, "float64", way) for way in WAYS)
    assert_all_agree(pending, meant, 1e-8, is_joint=True)
    assert_all_agree(compiled, meant, 1e-8, is_joint=True)


@problems
@given(data=st.data())
@settings(max_examples=6 * EXAMPLES, deadline=None)
def test_single_precision_follows_within_its_rounding(kind: type[Problem], data: st.DataObject) -> None:
    problem = kind(data.draw)
    problem.optimizer, problem.options = "SGD", {"lr": 0.01, "momentum": 0.9}  # nothing divides by small gradients
    with pytest.MonkeyPatch.context() as monkeypatch:
        meant, compiled = (train_in(monkeypatch, problem, "float32", way) for way in ("eager", "compiled"))
    assert_all_agree(compiled, meant, 1e-3, is_joint=True)
