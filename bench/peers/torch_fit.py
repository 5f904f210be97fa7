"""Whole epochs in PyTorch: the loop that its users write, over shuffled arrays or over a DataLoader.

In: a row of the family "fit" and one of `SIDES["torch"].variants["fit"]`. Out: a function that trains for some epochs
and gives the first one's mean loss. The loss is summed as a tensor and read once an epoch, so no step waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from bench.datasets import examples
from bench.framework import LEARNING_RATE
from bench.models import network
from bench.peers.torch_framework import FRAMEWORK
from bench.workloads import Workload

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


class Slices:
    """Both arrays shuffled at the start of an epoch, batches are views of them."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, size: int) -> None:
        self.x, self.y, self.size = x, y, size

    def __iter__(self) -> Batches:
        order = torch.randperm(len(self.x))
        return iter(zip(self.x[order].split(self.size), self.y[order].split(self.size), strict=True))


class Gathered:
    """Each batch is picked out of the arrays when it is needed; needs no second copy of them."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, size: int) -> None:
        self.x, self.y, self.size = x, y, size

    def __iter__(self) -> Batches:
        return ((self.x[rows], self.y[rows]) for rows in torch.randperm(len(self.x)).split(self.size))


def _loader(x: torch.Tensor, y: torch.Tensor, size: int) -> DataLoader:
    return DataLoader(TensorDataset(x, y), batch_size=size, shuffle=True)


FEEDS: dict[str, Callable[[torch.Tensor, torch.Tensor, int], Iterable]] = {
    "slices of shuffled arrays": Slices,
    "rows gathered batch by batch": Gathered,
    "DataLoader": _loader,
}


def fit_of(workload: Workload, variant: str) -> Callable[[int], float]:
    x, y = map(torch.from_numpy, examples(workload))
    model = network(FRAMEWORK, workload)
    optimizer = FRAMEWORK.adam(model.parameters(), LEARNING_RATE)
    criterion = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss}[workload.loss]
    feed = FEEDS[variant](x, y, workload.batch)

    def epoch() -> float:
        total = torch.zeros(())
        for inputs, targets in feed:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(inputs)
        return total.item() / len(x)

    def fit(epochs: int) -> float:
        losses = [epoch() for _ in range(epochs)]
        return losses[0]

    return fit
