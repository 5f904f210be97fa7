"""A program as a user writes it, for type checkers: `mypy --strict` knows every method and function that it names.

In: nothing. Out: what `main` prints. `make lint` checks the types (a misspelt name must be found: its `type: ignore`
would otherwise be one too many), tests/tensor/test_declarations.py runs it.
"""

from __future__ import annotations

import numpy as np

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn, optim


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        logits: tw.Tensor = self.out(F.relu(self.norm(self.hidden(x))))
        return logits


def tensors(x: tw.Tensor) -> list[tw.Tensor]:
    """Operators, methods and functions: each has a type, and none is Any."""
    both: tw.Tensor = 2 * x + x @ x.T @ x - x / 3**-x
    mask: tw.Tensor = (x > 0) & ~(x == 1)
    values, places = x.sort(dim=1)
    largest: tw.Tensor = x.max()
    parts: tuple[tw.Tensor, ...] = x.split(2, dim=1)
    row = x[0, 1:].reshape(-1, 1).exp().sum(dim=0, keepdim=True).clamp(min=0.5)
    chosen = tw.where(mask, x, tw.zeros_like(x))
    joined = tw.cat([x, chosen], dim=1).mean((0, 1)).to(tw.float64)
    x.add_(1.0).mul_(0.5).zero_()
    return [both, largest, values, places, row, joined, tw.stack(parts).std(), tw.exp(x).float(), x.topk(2).indices]


def misspelt(x: tw.Tensor) -> None:
    """What is not there is found."""
    x.summ()  # type: ignore[attr-defined]
    tw.wheree(x)  # type: ignore[attr-defined]
    x.sum(dimension=1)  # type: ignore[call-arg]


def main() -> tuple[float, int]:
    tw.manual_seed(0)
    model = Network()
    optimizer = optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99))

    @tw.compile
    def step(x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    x, y = tw.randn(6, 4), tw.randint(0, 3, (6,))
    first: float = step(x, y).item()
    trainer = tw.Trainer(model, loss="cross_entropy", optimizer=optimizer, metrics=["accuracy"], progress=False)
    history = trainer.fit((np.asarray(x.numpy()), y.numpy()), epochs=1, batch_size=3,
                          callbacks=[tw.callbacks.EarlyStopping("loss", patience=2)])  # fmt: skip
    with tw.no_grad():
        made = tensors(x)
    return first, len(history.epoch) + len(made)
