"""What a row is: plain data that every side builds from its own parts, and the numbers that all of them start from.

In: nothing. Out: `Workload`; batches, weights and entries from fixed seeds. Which rows there are stands in
bench/rows.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.peers import ONE_THREAD, Setting

TORCH = ("torch", "torch.compile")
EVERYONE = (*TORCH, "jax")
BATCHES = 8  # different ones, fed in turn, so that no side may keep its arguments from call to call


@dataclass(frozen=True)
class Workload:
    """One row. `family` names the builder; the rest is what it needs.

    `floor` is the ratio to the better PyTorch time that a row must reach, `floors` what it must reach against other
    sides (1 where nothing is said), `limit` the most seconds that it may take.
    """

    name: str
    title: str
    family: str
    sizes: tuple[int, ...]
    batch: int = 0
    activation: str = "relu"
    loss: str = "cross_entropy"
    has_batch_norm: bool = False
    dropout: float = 0.0
    is_compiled: bool = True  # on our side; False: the plain loop, undecorated
    transposes: tuple[bool, bool] = (False, False)
    floor: float | None = None
    floors: tuple[tuple[str, float], ...] = ()
    limit: float | None = None
    peers: tuple[str, ...] = EVERYONE
    table: str = "single"  # where the row stands in the document
    setting: Setting = ONE_THREAD
    examples: int = 0  # of a training set that is generated; 0: MNIST's training part
    unit: str = "seconds"  # or "bytes", "kernels": what one call costs
    rounds: int | None = None  # at least so many, instead of the plan's
    seconds: float | None = None  # for the rounds, instead of the plan's
    network: str = ""  # of bench/images.py: `sizes` are those of an image and the classes; or of bench/sequences.py

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each dense layer."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def parameter_count(self) -> int:
        norms = sum(2 * width for width in self.sizes[1:-1]) if self.has_batch_norm else 0
        return sum(n * m + m for n, m in self.layers) + norms

    @property
    def needs_data(self) -> bool:
        """Whether it trains on MNIST."""
        return self.family in ("fit", "memory") and not self.examples

    def floor_against(self, side: str) -> float | None:
        """What is asked for against this side alone."""
        return dict(self.floors).get(side, self.floor if side in TORCH else 1.0)


# --- the numbers that every side starts from -------------------------------------------------------------------------


def batches(workload: Workload) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets: labels, or numbers for the mean squared error."""
    random = np.random.default_rng(1)
    return [_examples(workload, random, workload.batch) for _ in range(BATCHES)]


def generated(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """A training set of the row's number of examples."""
    return _examples(workload, np.random.default_rng(1), workload.examples)


def _examples(workload: Workload, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    first, last = workload.sizes[0], workload.sizes[-1]
    x = random.standard_normal((count, first)).astype(np.float32)
    labels = random.integers(0, last, count)
    numbers = random.standard_normal((count, last)).astype(np.float32)
    return x, labels if workload.loss == "cross_entropy" else numbers


def weights(workload: Workload) -> list[tuple[np.ndarray, np.ndarray]]:
    """First weight (outputs, inputs) and bias of each layer: the same on every side, so that losses can be compared."""
    random = np.random.default_rng(2)
    return [
        ((random.standard_normal((m, n)) / n**0.5).astype(np.float32), np.zeros(m, np.float32))
        for n, m in workload.layers
    ]


def labels_and_logits(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    rows, classes = workload.sizes
    random = np.random.default_rng(3)
    return random.integers(0, classes, rows), random.standard_normal((rows, classes)).astype(np.float32)


def entries(workload: Workload, seed: int) -> np.ndarray:
    """Normal numbers of the row's sizes."""
    return np.random.default_rng(seed).standard_normal(workload.sizes, dtype=np.float32)
