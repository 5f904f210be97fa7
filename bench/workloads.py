"""What is timed: one row each, as plain data that every side builds from its own parts.

In: nothing. Out: `WORKLOADS`, from the smallest training step to single operations, and `PRODUCTS`. `floor` is the
ratio to the better PyTorch time that a row must reach, `limit` the most seconds that it may take.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

TORCH = ("torch", "torch.compile")
EVERYONE = (*TORCH, "jax")
BATCHES = 8  # different ones, fed in turn, so that no side may keep its arguments from call to call


@dataclass(frozen=True)
class Workload:
    """One row. `family` names the builder; the rest is what it needs."""

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
    limit: float | None = None
    peers: tuple[str, ...] = EVERYONE

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each dense layer."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def parameter_count(self) -> int:
        norms = sum(2 * width for width in self.sizes[1:-1]) if self.has_batch_norm else 0
        return sum(n * m + m for n, m in self.layers) + norms


def _dense(name: str, title: str, sizes: Iterable[int], batch: int, floor: float, **rest) -> Workload:
    return Workload(name, title, "dense", tuple(sizes), batch, floor=floor, **rest)


STEPS = (
    _dense("mlp-13", "MLP 13-32-16-1, batch 32, one call a step", (13, 32, 16, 1), 32, 15, loss="mse"),
    _dense("mlp-784", "MLP 784-128-10, batch 64", (784, 128, 10), 64, 2),
    _dense("mlp-784-plain", "the same as a plain PyTorch-style loop, undecorated", (784, 128, 10), 64, 1,
           is_compiled=False, peers=("torch",)),
    _dense("mlp-512", "MLP 784-512-512-10, batch norm and dropout, batch 128", (784, 512, 512, 10), 128, 1.3,
           has_batch_norm=True, dropout=0.2),
    _dense("deep-tanh", "24 layers of 64, tanh, batch 64", (*[64] * 25, 10), 64, 5, activation="tanh"),
)  # fmt: skip

OPERATIONS = (
    Workload("cross-entropy", "softmax cross-entropy, forward and backward, 128 x 1,000", "cross_entropy",
             (128, 1000), floor=1.5),
    Workload("cross-entropy-10", "softmax cross-entropy, forward and backward, 64 x 10", "cross_entropy",
             (64, 10), floor=1.5),
    Workload("layer-norm", "layer norm, forward and backward, 256 x 512", "layer_norm", (256, 512), floor=1.5),
    Workload("adam", "Adam on 10 million parameters (10 of 1,000 x 1,000)", "adam", (10, 1000, 1000), floor=1.0),
)  # fmt: skip

OVERHEADS = (
    Workload("call", "call of a compiled step of 2 arguments, 1 cell, 1 result, of one number each", "overhead", (1,),
             limit=5e-6, peers=("torch.compile", "jax")),
    Workload("call-and-read", "the same with its result read", "overhead_read", (1,),
             peers=("torch.compile", "jax")),
)  # fmt: skip

WORKLOADS = (*STEPS, *OPERATIONS, *OVERHEADS)

EXTENTS = (*((n, n, n) for n in (64, 128, 256, 512, 1024, 2048)), (64, 784, 128), (128, 512, 784))
PRODUCT_FLOOR, PRODUCT_MEAN_FLOOR = 0.85, 0.95


def _product(extents: tuple[int, ...], transposes: tuple[bool, bool]) -> Workload:
    letters = "".join("NT"[flag] for flag in transposes)
    name = "x".join(map(str, extents))
    return Workload(f"product-{name}-{letters}", name, "product", extents, transposes=transposes,
                    floor=PRODUCT_FLOOR, peers=("torch",))  # fmt: skip


PRODUCTS = tuple(_product(extents, (a, b)) for extents in EXTENTS for a in (False, True) for b in (False, True))


def chosen(patterns: Iterable[str]) -> list[Workload]:
    """The rows that are asked for by name or by the start of a name; all if nothing is asked for.

    >>> [each.name for each in chosen(["mlp-784", "call"])]
    ['mlp-784', 'call']
    >>> len(chosen(["product-64x64*"]))
    4
    """
    patterns, rows = list(patterns), (*WORKLOADS, *PRODUCTS)
    found = [row for row in rows if any(_fits(row.name, each) for each in patterns)] if patterns else list(rows)
    unknown = [each for each in patterns if not any(_fits(row.name, each) for row in rows)]
    if unknown:
        raise ValueError(f"no workload {', '.join(unknown)}; there are {', '.join(row.name for row in rows)}")
    return found


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


# --- the numbers that every side starts from -------------------------------------------------------------------------


def batches(workload: Workload) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets: the same on every side."""
    random = np.random.default_rng(1)
    first, last = workload.sizes[0], workload.sizes[-1]
    result = []
    for _ in range(BATCHES):
        x = random.standard_normal((workload.batch, first)).astype(np.float32)
        labels = random.integers(0, last, workload.batch)
        numbers = random.standard_normal((workload.batch, last)).astype(np.float32)
        result.append((x, labels if workload.loss == "cross_entropy" else numbers))
    return result


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
