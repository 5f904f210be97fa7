"""What PyTorch and Thalweg share by name, so that a network and its training step are written once for both.

In: nothing. Out: `Framework`, filled in by bench/peers/torch_framework.py and bench/peers/thalweg_framework.py. What a
parameter starts as follows from its name and shape, so that all sides start from the same numbers.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# So small that thousands of timed steps do not wander off to saturated units and denormal numbers.
LEARNING_RATE = 1e-6

Call = Callable[[], Any]


def unchanged(given: Any) -> Any:
    return given


@dataclass(frozen=True)
class Framework:
    """What the two share by name, and the few things that each does its own way."""

    nn: Any
    functional: Any
    no_grad: Any
    tensor: Callable[[np.ndarray], Any]
    adam: Callable[[Any, float], Any]
    compile_step: Callable[[Callable], Callable]  # the whole step, where that is how it is done
    compile_forward: Callable[[Callable], Callable]  # or only the forward pass and the loss
    concatenate: Callable[[list, int], Any]
    arrange: Callable[[Any], Any] = unchanged  # a network or images: in the memory order of a variant


# --- the numbers that every side starts from -------------------------------------------------------------------------


def initial(name: str, shape: Sequence[int]) -> np.ndarray:
    """A parameter's first value, or a running statistic's: around what it usually is, so that a mix-up is seen."""
    numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape), np.float32)
    if len(shape) > 1:
        return numbers * np.float32(math.sqrt(2 / math.prod(shape[1:])))
    centre = 1 if name.endswith(("weight", "running_var")) else 0  # of a batch norm or a layer norm
    return np.float32(centre) + np.float32(0.1) * numbers


def with_initial_values(framework: Framework, model: Any) -> Any:
    """The network, with all parameters and running statistics set to these."""
    with framework.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if not name.endswith("num_batches_tracked"):
                value.copy_(framework.tensor(initial(name, value.shape)))
    return framework.arrange(model)


# --- steps -----------------------------------------------------------------------------------------------------------


def training_step(framework: Framework, model: Any, criterion: Any, pairs: Iterable[tuple], is_compiled: bool) -> Call:
    """A training step, as one writes it, on batches in turn; it ends with its loss read."""
    optimizer = framework.adam(model.parameters(), LEARNING_RATE)
    forward = framework.compile_forward(lambda x, y: criterion(model(x), y))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss

    if is_compiled:
        step = framework.compile_step(step)
    feed = itertools.cycle(list(pairs))
    return lambda: step(*next(feed)).item()
