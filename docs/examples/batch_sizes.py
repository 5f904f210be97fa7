"""Batch, stochastic and mini-batch gradient descent: one loop, with batch sizes N, 1 and m.

Run it with `python docs/examples/batch_sizes.py`; `--picture FILE` draws the losses (needs matplotlib).
In: the digits that come with Thalweg. Out: for each batch size the updates, the time, the losses, the accuracy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn, optim


@dataclass
class Run:
    """What one batch size did: the loss of each step, and what came of it."""

    name: str
    batch_size: int
    rate: float
    losses: list[float]
    seconds: float
    accuracy: float

    @property
    def updates(self) -> int:
        return len(self.losses)


def descend(name: str, batch_size: int, rate: float, x: np.ndarray, y: np.ndarray, epochs: int) -> Run:
    """Gradient descent. Nothing in it depends on the batch size but the number of examples in a step."""
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = optim.SGD(model.parameters(), lr=rate)

    @tw.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)  # the mean over the batch
        loss.backward()
        optimizer.step()
        return loss

    order = np.random.default_rng(0)
    losses, start = [], time.perf_counter()
    for _ in range(epochs):
        shuffled = order.permutation(len(x))
        for first in range(0, len(x), batch_size):
            rows = shuffled[first : first + batch_size]
            losses.append(step(x[rows], y[rows]).item())
    return Run(name, batch_size, rate, losses, time.perf_counter() - start, accuracy(model))


def accuracy(model: nn.Module) -> float:
    images, labels = tw.data.digits().test
    with tw.no_grad():
        predicted = model(tw.tensor(images.reshape(-1, 64))).argmax(1)
    return float((predicted.numpy() == labels).mean())


def compare(epochs: int = 20, examples: int | None = None, mini: int = 32) -> list[Run]:
    """The three, over the same examples and epochs. The noisier the gradient, the smaller the rate."""
    images, labels = tw.data.digits().train
    x, y = images.reshape(-1, 64)[:examples], labels[:examples]
    return [
        descend("batch", len(x), 0.5, x, y, epochs),
        descend("stochastic", 1, 0.02, x, y, epochs),
        descend("mini-batch", mini, 0.2, x, y, epochs),
    ]


def smoothed(losses: Sequence[float], count: int) -> np.ndarray:
    """The mean of the losses over the last `count` steps: single examples jump about."""
    sums = np.cumsum([0.0, *losses])
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(0, ends - count)
    return (sums[ends] - sums[starts]) / (ends - starts)


def table(runs: Sequence[Run]) -> str:
    lines = [
        f"{'':<11}{'batch size':>10}{'rate':>7}{'updates':>9}{'seconds':>9}{'last losses':>13}{'test accuracy':>15}"
    ]
    for run in runs:
        last = np.mean(run.losses[-max(1, len(run.losses) // 20) :])
        lines.append(
            f"{run.name:<11}{run.batch_size:>10}{run.rate:>7}{run.updates:>9}{run.seconds:>9.2f}{last:>13.4f}{run.accuracy:>15.4f}"
        )
    return "\n".join(lines)


def draw(runs: Sequence[Run], path: str, examples: int) -> None:
    """The loss against the examples seen, so that the three can be compared at equal work."""
    from matplotlib.figure import Figure  # noqa: PLC0415, an extra that only the drawing needs

    axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
    for run in runs:
        per_epoch = -(-examples // run.batch_size)
        curve = smoothed(run.losses, max(1, per_epoch // 5))
        axes.plot(np.arange(1, len(curve) + 1) / per_epoch, curve, label=f"{run.name} ({run.batch_size})")
    axes.set(xlabel="epochs", ylabel="loss", yscale="log", title="One loop, three batch sizes")
    axes.legend()
    figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--picture", metavar="FILE", help="draw the losses here")
    parser.add_argument("--quick", action="store_true", help="a run of a second, to see that it works")
    arguments = parser.parse_args(argv)
    examples = 96 if arguments.quick else None
    runs = compare(1 if arguments.quick else arguments.epochs, examples)
    print(table(runs))
    if arguments.picture:
        draw(runs, arguments.picture, runs[0].batch_size)


if __name__ == "__main__":
    main()
