"""What steps of real size cost: kernels, kernels that differ, bytes of arena, compilations.

In: nothing. Out: `STEPS`, and their costs, which `budgets.json` holds them to. Run as a program it prints the costs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.zoo import Block
from thalweg import nn, optim
from thalweg.compile import executable, native
from thalweg.compile.target import compiling_for
from thalweg.tensor.core import flush

TABLE = Path(__file__).with_name("budgets.json")
_TARGET = "x86-64-v4"  # the plan depends on the width of vectors, so it is made for one machine everywhere

Arrays = tuple[np.ndarray, ...]


@dataclass
class Subject:
    """A step, batches for it (the last one is ragged), and its optimizer, if it has one."""

    step: Callable[..., Any]
    batches: list[Arrays]
    optimizer: Any = None


def _batches(width: tuple[int, ...], sizes: Sequence[int], classes: int = 0) -> list[Arrays]:
    generator = np.random.default_rng(0)

    def one(n: int) -> Arrays:
        x = generator.normal(size=(n, *width)).astype(np.float32)
        return x, generator.integers(0, classes, n) if classes else generator.normal(size=(n, 1)).astype(np.float32)

    return [one(n) for n in sizes]


def _training(model: nn.Module, loss: Callable[..., Any], batches: list[Arrays], clips: bool = False,
              make: Callable[..., Any] = optim.Adam) -> Subject:  # fmt: skip
    optimizer = make(model.parameters(), lr=1e-3)

    def step(x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        if clips:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return value

    return Subject(step, batches, optimizer)


def dense(sizes: Sequence[int], activation: Callable[[], nn.Module], *between: Callable[[int], nn.Module]) -> nn.Module:
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise(sizes):
        if layers:
            layers += [*[make(n) for make in between[:1]], activation(), *[make(n) for make in between[1:]]]
        layers.append(nn.Linear(n, m))
    return nn.Sequential(*layers)


def mlp_13() -> Subject:
    return _training(dense([13, 32, 16, 1], nn.ReLU), F.mse_loss, _batches((13,), [32, 32, 7]))


def mlp_784() -> Subject:
    return _training(dense([784, 128, 10], nn.ReLU), F.cross_entropy, _batches((784,), [64, 64, 7], 10))


def mlp_512_norm_dropout() -> Subject:
    model = dense([784, 512, 512, 10], nn.ReLU, nn.BatchNorm1d, lambda _: nn.Dropout(0.2))
    return _training(model, F.cross_entropy, _batches((784,), [128, 128, 7], 10))


def deep_tanh() -> Subject:
    return _training(dense([*[64] * 25, 10], nn.Tanh), F.cross_entropy, _batches((64,), [64, 64, 7], 10))


def clipped_sgd() -> Subject:
    def sgd(parameters: Any, lr: float) -> Any:
        return optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=1e-4)

    return _training(dense([20, 32, 5], nn.GELU), F.cross_entropy, _batches((20,), [16, 16, 5], 5), True, sgd)


def layer_norm_network() -> Subject:
    model = dense([24, 32, 32, 1], nn.SiLU, nn.LayerNorm)
    return _training(model, F.huber_loss, _batches((24,), [16, 16, 5]))


def embedding_classifier() -> Subject:
    model = nn.Sequential(nn.Embedding(50, 16), nn.Flatten(), nn.Linear(8 * 16, 4))
    generator = np.random.default_rng(0)
    batches = [(generator.integers(0, 50, (n, 8)), generator.integers(0, 4, n)) for n in (16, 16, 3)]
    return _training(model, F.cross_entropy, batches)


def inference() -> Subject:
    model = dense([784, 128, 10], nn.ReLU).eval()

    def step(x: tw.Tensor) -> tw.Tensor:
        with tw.no_grad():
            return model(x).softmax(1)

    return Subject(step, [batch[:1] for batch in _batches((784,), [64, 64, 7])])


def cross_entropy() -> Subject:
    logits = nn.Parameter(tw.tensor(np.random.default_rng(0).normal(size=(128, 1000)).astype(np.float32)))

    def step(y: tw.Tensor) -> tw.Tensor:
        logits.grad = None
        loss = F.cross_entropy(logits, y)
        loss.backward()
        return loss

    return Subject(step, [(np.arange(128) + i,) for i in range(2)])


def layer_norm() -> Subject:
    norm = nn.LayerNorm(512)
    generator = np.random.default_rng(0)
    x = nn.Parameter(tw.tensor(generator.normal(size=(256, 512)).astype(np.float32)))

    def step(cotangent: tw.Tensor) -> tw.Tensor:
        x.grad = norm.weight.grad = norm.bias.grad = None
        y = norm(x)
        y.backward(cotangent)
        return y

    return Subject(step, [(generator.normal(size=(256, 512)).astype(np.float32),) for _ in range(2)])


def lenet() -> Subject:
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return _training(model, F.cross_entropy, _batches((1, 28, 28), [32, 32, 7], 10))


def residual_block() -> Subject:
    def with_momentum(parameters: Any, lr: float) -> Any:
        return optim.SGD(parameters, lr=lr, momentum=0.9)

    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), Block(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )
    return _training(model, F.cross_entropy, _batches((3, 16, 16), [16, 16, 5], 10), make=with_momentum)


def adam() -> Subject:
    parameters = [tw.ones(*shape, requires_grad=True) for shape in [(300, 200)] * 4 + [(17,)] * 2]
    for each in parameters:
        each.grad = tw.ones_like(each)
    optimizer = optim.Adam(parameters, lr=1e-3)
    return Subject(optimizer.step, [(), ()], optimizer)


STEPS: dict[str, Callable[[], Subject]] = {
    each.__name__: each
    for each in (mlp_13, mlp_784, mlp_512_norm_dropout, deep_tanh, clipped_sgd, layer_norm_network,
                 embedding_classifier, inference, cross_entropy, layer_norm, lenet, residual_block, adam)
}  # fmt: skip


# --- what they cost --------------------------------------------------------------------------------------------------


def plan(name: str) -> dict[str, int]:
    """The kernels and the arena of a step, planned for one machine whatever this one is."""
    tw.manual_seed(0)
    subject = STEPS[name]()
    step = tw.compile(subject.step)
    for batch in subject.batches[:1] * 2:  # in the first call an optimizer's state is made
        step(*map(tw.tensor, batch))
    compiled = list(step._programs.values())[-1].program
    with compiling_for(_TARGET):
        layout = executable.layout_of(compiled)
        modules = native.modules_of(layout)
    return {"kernels": len(modules), "distinct": len(set(modules)), "arena": layout.arena}


def compilations(name: str) -> dict[str, int]:
    """Programs compiled by a warm loop, by a new learning rate, by a ragged last batch, and when all of it returns."""
    tw.manual_seed(0)
    executable._cache.clear()
    subject = STEPS[name]()
    step, counts = tw.compile(subject.step), {}
    first, *others = [tuple(map(tw.tensor, batch)) for batch in subject.batches]

    def count(what: str, *batches: tuple[tw.Tensor, ...]) -> None:
        before = executable.compiled_count()
        for batch in batches:
            step(*batch)
        counts[what] = executable.compiled_count() - before

    count("warm", first, others[0], *[first] * 3)
    if subject.optimizer is not None:
        subject.optimizer.param_groups[0]["lr"] = 0.5
        count("new rate", first, first)
    if len(others) > 1:
        count("ragged", others[1], others[1])
    count("again", first, others[-1], first)
    return counts


def undecorated(name: str, steps: int = 400) -> dict[str, int]:
    """Programs compiled by a plain loop with its loss read at every step, and by as many steps more."""
    tw.manual_seed(0)
    executable._cache.clear()
    subject, counts = STEPS[name](), {}
    batch = tuple(map(tw.tensor, subject.batches[0]))
    for what in ("undecorated", "undecorated, later"):
        before = executable.compiled_count()
        for _ in range(steps):
            result = subject.step(*batch)
            flush()
            if isinstance(result, tw.Tensor):
                result.tolist()
        counts[what] = executable.compiled_count() - before
    return counts


PLAIN_LOOPS = ("mlp_13", "clipped_sgd", "inference")  # the others would only take longer


def costs(name: str) -> dict[str, int]:
    return plan(name) | compilations(name) | (undecorated(name) if name in PLAIN_LOOPS else {})


def table() -> dict[str, dict[str, int]]:
    return json.loads(TABLE.read_text()) if TABLE.exists() else {}


def measured() -> str:
    """All costs as the text of the table."""
    rows = [f"  {json.dumps(name)}: {json.dumps(costs(name))}" for name in STEPS]
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    print(measured(), end="")
