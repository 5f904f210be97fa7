"""Which parameters are trained: what requires a gradient, what the loss depends on, what the optimizer moves.

In: a `Trainer` and a few examples. Out: a `ParameterFacts` for each parameter. The forward and the backward pass are
only written down as graphs, on a copy: nothing is computed, no random number is drawn.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from thalweg.diagnose.layers import line_of, without_passages
from thalweg.diagnose.looks import Sample, forward, settle
from thalweg.graph import toposort
from thalweg.tensor import from_numpy, grad
from thalweg.tensor.random import default_generator

EXAMPLES = 4


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter: `layer` is the path of its module, `line` where that was made."""

    name: str
    layer: str
    line: str | None
    shape: tuple[int, ...]
    is_trainable: bool = True
    """Whether it requires a gradient."""
    is_used: bool = True
    """Whether the forward pass reads it on its way to the loss."""
    gets_gradient: bool = True
    """Whether the chain rule leads from the loss to it."""
    is_optimised: bool = True
    """Whether the optimizer has it."""

    @property
    def entries(self) -> int:
        return math.prod(self.shape)


def parameter_facts(trainer: Any, sample: Sample) -> list[ParameterFacts]:
    """The facts about every parameter of a trainer's model, in the order of `named_parameters`.

    >>> import numpy as np, thalweg as tw
    >>> from thalweg import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> trainer = tw.Trainer(model, "mse", tw.optim.SGD(model[2].parameters(), lr=0.1), progress=False)
    >>> sample = Sample(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))
    >>> [each.name for each in parameter_facts(trainer, sample) if not each.is_optimised]
    ['0.weight', '0.bias']
    """
    model = copy.deepcopy(trainer.model)
    without_passages(model)
    settle(model)
    known = dict(model.named_parameters())
    with random_numbers_kept():
        loss = trainer.objective(forward(model, _first(sample.x)), from_numpy(sample.y[:EXAMPLES]))
        nodes = set(toposort([loss.node]))
        reached = _reached(loss, known)
    moved = optimised(trainer.optimizer)
    modules = dict(trainer.model.named_modules())
    return [
        ParameterFacts(name, layer := name.rpartition(".")[0], line_of(modules[layer]), tuple(own.shape),
                       own.requires_grad, known[name].node in nodes, name in reached, id(own) in moved)
        for name, own in trainer.model.named_parameters()
    ]  # fmt: skip


def foreign_parameters(trainer: Any) -> int:
    """How many tensors the optimizer moves that are no parameters of the model: it was made for another one."""
    return len(optimised(trainer.optimizer) - {id(each) for each in trainer.model.parameters()})


def optimised(optimizer: Any) -> set[int]:
    """The identities of what an optimizer moves."""
    return {id(each) for group in optimizer.param_groups for each in group["params"]}


def named(facts: Sequence[ParameterFacts], most: int = 4) -> str:
    """Their names, the first few of many."""
    names = [each.name for each in facts[:most]]
    return ", ".join(names) + (f" and {len(facts) - most} more" if len(facts) > most else "")


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Whatever is drawn inside, what comes behind draws as if nothing had been."""
    before = default_generator.get_state()
    try:
        yield
    finally:
        default_generator.set_state(before)


def _first(x: Any) -> Any:
    return tuple(each[:EXAMPLES] for each in x) if isinstance(x, tuple) else x[:EXAMPLES]


def _reached(loss: Any, known: dict[str, Any]) -> set[str]:
    names = [name for name, each in known.items() if each.requires_grad]
    if not loss.requires_grad or not names:
        return set()
    found = grad(loss, [known[name] for name in names], allow_unused=True)
    return {name for name, each in zip(names, found, strict=True) if each is not None}
