"""The networks of bench/sequences.py as plain numbers: what their step multiplies, how many parameters they have.

In: a row that names a network. Out: matrix products of one sequence, going forward, and the number of parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.sequences import WINDOWS
from bench.workloads import Workload


@dataclass(frozen=True)
class Work:
    """Of one sequence: `flops` of all products going forward, `unneeded` ones of those whose inputs are data."""

    flops: int
    parameters: int
    unneeded: int = 0

    @property
    def step(self) -> int:
        """Going forward and backward: two gradients cost what the product does, and data need none."""
        return 3 * self.flops - self.unneeded


def work_of(workload: Workload) -> Work:
    return _WORK[workload.network](workload.sizes)


def _product(rows: int, inner: int, columns: int) -> int:
    return 2 * rows * inner * columns


def _char_lstm(sizes: Sequence[int]) -> Work:
    steps, vocabulary, width = sizes
    flops = _product(steps, width, 4 * width) * 2 + _product(steps, width, vocabulary)
    return Work(flops, vocabulary * width + _recurrent(4, width, width) + _linear(width, vocabulary))


def _gru(sizes: Sequence[int]) -> Work:
    steps, inputs, width, classes = sizes
    given = _product(steps, inputs, 3 * width)
    flops = given + _product(steps, width, 3 * width) + _product(1, width, classes)
    return Work(flops, _recurrent(3, inputs, width) + _linear(width, classes), given)


def _gpt(sizes: Sequence[int]) -> Work:
    context, vocabulary, width, _, layers = sizes
    block = _product(context, width, 12 * width) + 2 * pairs_flops(context, width, is_causal=True)
    parameters = layers * (12 * width**2 + 2 * width) + width * (vocabulary + context + 1)
    return Work(layers * block + _product(context, width, vocabulary), parameters)


def _translator(sizes: Sequence[int]) -> Work:
    tokens, vocabulary, width, _, layers, hidden = sizes
    scores = [pairs_flops(tokens, width, is_causal) for is_causal in (False, True, False)]
    projections, feed = 3 * _product(tokens, width, 4 * width), 2 * _product(tokens, width, hidden)
    flops = layers * (projections + 2 * sum(scores) + 2 * feed) + _product(tokens, width, vocabulary)
    attention, norm = 4 * _linear(width, width), 2 * width
    feeding = _linear(width, hidden) + _linear(hidden, width)
    stacks = layers * (3 * attention + 2 * feeding + 5 * norm) + 2 * norm
    return Work(flops, width * (2 * vocabulary + tokens) + stacks + _linear(width, vocabulary))


def _sentence_cnn(sizes: Sequence[int]) -> Work:
    tokens, vocabulary, width, filters, classes = sizes
    flops = sum(_product(tokens - window + 1, window * width, filters) for window in WINDOWS)
    parameters = vocabulary * width + sum(_linear(window * width, filters) for window in WINDOWS)
    features = len(WINDOWS) * filters
    return Work(flops + _product(1, features, classes), parameters + _linear(features, classes))


def _linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def _recurrent(gates: int, inputs: int, width: int) -> int:
    """Two matrices and two biases."""
    return gates * width * (inputs + width + 2)


def pairs_flops(tokens: int, width: int, is_causal: bool) -> int:
    """The scores of all heads, or the sums by them: of causal ones only the pairs that are looked at."""
    pairs = tokens * (tokens + 1) // 2 if is_causal else tokens**2
    return 2 * pairs * width


_WORK = {"char-lstm": _char_lstm, "gru": _gru, "gpt": _gpt, "translator": _translator, "sentence-cnn": _sentence_cnn}
