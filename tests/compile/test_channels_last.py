"""Which values are computed with the channels last, and where they are turned over: at the edges of a network only.

In: small graphs around convolutions, and the blocks that networks for images are made of. Out: equal values; one
movement for each edge; how many kernels and copies a block takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.compiled import assert_all_agree, assert_compiled_equals_numpy, eagerly, executables
from thalweg import nn, ops
from thalweg.compile.channels_last import is_convolution, last_order, pass_channels_last
from thalweg.compile.fuse import Kernel
from thalweg.compile.passes import run_passes
from thalweg.compile.reference import evaluate
from thalweg.dtype import float32, float64
from thalweg.graph import Node, Shape, full, make_input, toposort
from thalweg.ops.convolution import Form
from thalweg.verify import verify

X, W, ROW = (make_input(each, float64) for each in [(2, 4, 5, 6), (4, 4, 3, 3), (1, 4, 1, 1)])
INPUTS = [X, W, ROW]
IMAGE = X.size


def conv(x: Node, w: Node = W) -> Node:
    return Form((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1)).apply(x, w)


def row(x: Node) -> Node:
    return ops.broadcast(ROW, shape=x.shape)


def turned(outputs: Sequence[Node]) -> int:
    """How many movements turn something as large as the image over, in the lowered program."""
    return sum(node.op is ops.permute and node.size > W.size for node in toposort(run_passes(outputs)))


def sliced(x: Node) -> Node:
    return ops.slice_(x, start=(0, 1, 0, 2), stop=(2, 4, 5, 6), step=(1, 1, 2, 1))


def padded(x: Node) -> Node:
    return ops.pad(x, low=(0, 0, 1, 2), high=(0, 1, 0, 0), interior=(0, 0, 1, 0), value=0.5)


# What follows a convolution: how often an image is turned over. Once for the convolution's input, which is padded
# on the way, once for the result where it is an image, and once for the input where it is added.
KEPT: dict[str, tuple[int, Callable[[Node], Node]]] = {
    "nothing": (2, lambda y: y),
    "functions": (2, lambda y: ops.tanh(y * 2.0)),
    "rows": (2, lambda y: ops.add(y, row(y))),
    "a residual": (3, lambda y: ops.add(y, X)),
    "a second convolution": (2, lambda y: conv(ops.tanh(conv(y)))),
    "a sum over the places": (1, lambda y: ops.sum_(y, axes=(2, 3))),
    "a sum over batch and places": (1, lambda y: ops.sum_(y, axes=(0, 2, 3))),
    "an extreme over the channels": (1, lambda y: ops.amax(y, axes=(1,))),
    "a sum over everything": (1, lambda y: ops.sum_(y, axes=(0, 1, 2, 3))),
    "a normalisation": (2, lambda y: ops.subtract(y, ops.broadcast(ops.sum_(y, axes=(0, 2, 3)), shape=y.shape))),
    "a cut": (1, lambda y: ops.sum_(sliced(y), axes=(2,))),
    "a padding": (2, padded),
    "backwards": (2, lambda y: ops.flip(y, axes=(1, 3))),
    "another one beside it": (2, lambda y: conv(ops.slice_(ops.concatenate(ops.tanh(y), y, axis=1), start=(0, 2, 0, 0),
                                                           stop=(2, 6, 5, 6), step=(1,) * 4))),
    "places in a row": (2, lambda y: ops.tanh(ops.reshape(y, shape=(2, 4, 30)))),
    "places in squares": (1, lambda y: ops.amax(ops.reshape(y, shape=(2, 4, 5, 3, 2)), axes=(4, 1))),
    "a choice": (2, lambda y: ops.where(ops.less(y, full(y.shape, 0.0, float64)), y * 0.1, y)),
    "a number": (2, lambda y: ops.multiply(y, full(y.shape, 3.0, float64))),
}  # fmt: skip
# What needs the user's order: it gets it, by one movement.
LEFT: dict[str, Callable[[Node], Node]] = {
    "the entries in a row": lambda y: ops.reshape(y, shape=(2, 120)),
    "channels and places in one": lambda y: ops.reshape(y, shape=(2, 20, 6)),
    "a running sum": lambda y: ops.cumsum(y, axis=1, reverse=False),
    "a position": lambda y: ops.argmax(y, axis=1),
    "an order": lambda y: ops.argsort(y, axis=2, descending=False),
    "another order of axes": lambda y: ops.permute(y, order=(1, 0, 3, 2)),
    "a matrix product": lambda y: ops.matmul(y, y, transpose_a=False, transpose_b=True),
}


def check(outputs: Sequence[Node]) -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape) for each in INPUTS]
    lowered = pass_channels_last(outputs)
    verify(lowered)
    assert not any(map(is_convolution, toposort(lowered)))
    known = dict(zip(INPUTS, arrays, strict=True))
    assert_all_agree(evaluate(lowered, known), evaluate(outputs, known), 1e-12)
    assert_compiled_equals_numpy(INPUTS, outputs, arrays, tolerance=1e-12)


@pytest.mark.parametrize("name", KEPT)
def test_it_stays_channels_last(name: str) -> None:
    times, following = KEPT[name]
    outputs = [following(conv(X))]
    check(outputs)
    assert turned(outputs) == times


@pytest.mark.parametrize("name", LEFT)
def test_what_needs_the_order_of_the_user_gets_it(name: str) -> None:
    check([LEFT[name](conv(X))])


@pytest.mark.parametrize("name", KEPT)
def test_a_value_wanted_in_both_orders(name: str) -> None:
    y = KEPT[name][1](conv(X))
    check([y, ops.reshape(y, shape=(y.size,)), ops.tanh(y)])


def test_a_program_without_convolutions_is_left_as_it_is() -> None:
    outputs = [ops.tanh(X), ops.sum_(X, axes=(1,))]
    assert pass_channels_last(outputs) == outputs


def test_the_order_of_axes() -> None:
    assert [last_order(rank) for rank in (3, 4, 5)] == [(0, 2, 1), (0, 2, 3, 1), (0, 2, 3, 4, 1)]


def test_lines_and_volumes_too() -> None:
    for shape in [(2, 4, 9), (2, 4, 3, 4, 5)]:
        dims = len(shape) - 2
        x, w = make_input(shape, float64), make_input((4, 4, *(2,) * dims), float64)
        y = Form((1,) * dims, ((1, 0),) * dims, (1,) * dims, (1,) * dims).apply(x, w)
        outputs = [ops.sum_(ops.tanh(y), axes=(1,)), ops.add(y, x)]
        generator = np.random.default_rng(0)
        assert_compiled_equals_numpy([x, w], outputs, [generator.normal(size=each.shape) for each in (x, w)])


# --- blocks of networks ----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Two convolutions with batch norm, and the input added to the result."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        y = self.norms[0](self.first(x)).relu()
        return (self.norms[1](self.second(y)) + x).relu()


class Joined(nn.Module):
    """Down, up again, and the way around it beside it, as in a U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.below = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.up, self.after = nn.ConvTranspose2d(32, 16, 2, stride=2), nn.Conv2d(32, 16, 3, padding=1)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        y = self.before(x).relu()
        z = self.up(self.below(F.max_pool2d(y, 2)).relu())
        return self.after(tw.cat([y, z], 1)).relu()


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def inverted_bottleneck() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(16, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU6(),
        nn.Conv2d(96, 96, 3, padding=1, groups=96, bias=False), nn.BatchNorm2d(96), nn.ReLU6(),
        nn.Conv2d(96, 16, 1, bias=False), nn.BatchNorm2d(16),
    )  # fmt: skip


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "cnn": small_cnn, "residual": lambda: Block(16), "bottleneck": inverted_bottleneck, "joined": Joined,
}  # fmt: skip
# Kernels that only move entries of images: the input is turned over and padded, the result turned back; a padding of
# what was joined is one more, and so is the residual.
COPIES = {"cnn": 1, "residual": 3, "bottleneck": 1, "joined": 3}
PRODUCTS = {"cnn": 3, "residual": 2, "bottleneck": 3, "joined": 7}


def kernels_of(model: nn.Module, shape: Shape) -> tuple[list[Kernel], list[Shape]]:
    """The kernels of the network's forward pass, and the shapes of its weights."""
    step = tw.compile(lambda x: model(x))
    with tw.no_grad():
        step(tw.tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32)))
    (executable,) = executables(step)
    assert executable.native is not None
    return executable.native.layout.kernels, [each.shape for each in model.parameters()]


def is_of_weights(kernel: Kernel, weights: Sequence[Shape]) -> bool:
    leaves = [node for node in toposort(kernel.nodes) if not node.inputs and node.shape]
    return all(node.shape in weights for node in leaves)


@pytest.mark.parametrize("name", BLOCKS)
def test_images_are_copied_at_the_edges_only(name: str) -> None:
    tw.manual_seed(0)
    kernels, weights = kernels_of(BLOCKS[name]().eval(), (4, 16, 8, 8))
    images = [each for each in kernels if not is_of_weights(each, weights)]
    assert sum(all(node.op.kind == "move" for node in kernel.nodes) for kernel in images) == COPIES[name]
    assert sum(kernel.nodes[0].op.kind == "contract" for kernel in kernels) == PRODUCTS[name]
    assert not any(
        kernel.nodes[0].op is ops.window_product and kernel.nodes[0].dtype is not float32 for kernel in kernels
    )


@pytest.mark.parametrize("name", BLOCKS)
def test_biases_norms_and_activations_are_done_in_the_products(name: str) -> None:
    """In evaluation a block is its products, the copies, and what cannot be inside them: poolings, joins, paddings."""
    tw.manual_seed(0)
    kernels, weights = kernels_of(BLOCKS[name]().eval(), (4, 16, 8, 8))
    nests = [each for each in kernels if each.is_nest and any(node.op.kind != "move" for node in each.nodes)]
    large = [each for each in nests if not is_of_weights(each, weights) and max(n.size for n in each.nodes) > 512]
    assert len(large) <= {"cnn": 2, "residual": 1, "bottleneck": 1, "joined": 2}[name]
    assert any(kernel.epilogue is not None for kernel in kernels)


@pytest.mark.parametrize("name", BLOCKS)
def test_training_of_blocks_is_that_of_numpy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = tw.tensor(np.random.default_rng(0).normal(size=(4, 16, 8, 8)))

    def trained(compiled: bool) -> list[np.ndarray]:
        tw.manual_seed(0)
        model = BLOCKS[name]().to("float64")
        optimizer = tw.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

        def step(x: tw.Tensor) -> tw.Tensor:
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = tw.compile(step) if compiled else step
        losses = [run(x).item() for _ in range(3)]
        if compiled:
            assert all(each.is_native for each in executables(run))
        return [np.array(losses), *[each.detach().numpy() for each in (*model.parameters(), *model.buffers())]]

    assert_all_agree(trained(True), eagerly(monkeypatch, lambda: trained(False)), 1e-9, is_joint=True)
