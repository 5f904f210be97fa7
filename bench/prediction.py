"""What a row must cost at least: its arithmetic at the measured rate of matrix products, its bytes at the bandwidth.

In: a workload, and the rates that `calibrate` measured. Out: floating-point operations, bytes and a floor time, the
longer of the two. A floor counts only what cannot be avoided: matrix products, and each value once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.image_layers import layers_of
from bench.peers import CONVOLUTIONS
from bench.rows_of_sequences import ATTENTIONS
from bench.sequence_layers import pairs_flops, work_of
from bench.workloads import Workload

FLOAT = 4
_ADAM_STEP = 6 * FLOAT  # bytes a parameter: value and both moments, read and written; its gradient stays in registers


@dataclass(frozen=True)
class Rates:
    """What this machine reaches: floating-point operations a second, and bytes a second for a size of working set."""

    flops: float
    bandwidths: Mapping[int, float]  # bytes of the working set -> bytes a second

    def bandwidth(self, size: float) -> float:
        """The rate measured with the smallest working set that is not smaller than this one."""
        fitting = [each for each in sorted(self.bandwidths) if each >= size]
        return self.bandwidths[fitting[0] if fitting else max(self.bandwidths)]


@dataclass(frozen=True)
class Prediction:
    """The arithmetic and the traffic of one call."""

    flops: float
    bytes: float

    def floor(self, rates: Rates) -> float:
        """Seconds, if arithmetic and traffic overlap perfectly and a call costs nothing."""
        return max(self.flops / rates.flops, self.bytes / rates.bandwidth(self.bytes))


def predict(workload: Workload) -> Prediction | None:
    """None for a row that is nothing but overhead."""
    formula = _FORMULAS.get(workload.family)
    return formula(workload) if formula else None


def _dense(workload: Workload) -> Prediction:
    # Y = X W, dW = X^T dY and dX = dY W^T cost the same; nobody needs the first layer's dX.
    products = [2 * workload.batch * n * m for n, m in workload.layers]
    inputs = FLOAT * workload.batch * workload.sizes[0]
    return Prediction(3 * sum(products) - products[0], _ADAM_STEP * workload.parameter_count + inputs)


def _product(workload: Workload) -> Prediction:
    m, k, n = workload.sizes
    return Prediction(2 * m * k * n, FLOAT * (m * k + k * n + m * n))


def _image_step(workload: Workload) -> Prediction:
    # As for dense layers: forward and two gradients cost the same, and nobody needs the first layer's data gradient.
    layers = layers_of(workload.network)
    flops = workload.batch * (3 * sum(each.flops for each in layers) - layers[0].flops)
    return Prediction(flops, _ADAM_STEP * sum(each.parameters for each in layers) + _image_bytes(workload))


def _image_inference(workload: Workload) -> Prediction:
    layers = layers_of(workload.network)
    flops = workload.batch * sum(each.flops for each in layers)
    return Prediction(flops, FLOAT * sum(each.parameters for each in layers) + _image_bytes(workload))


def _image_bytes(workload: Workload) -> int:
    return FLOAT * workload.batch * math.prod(workload.sizes[:-1])


def _convolution(workload: Workload) -> Prediction:
    count, inputs, outputs, extent = workload.sizes
    places, weights = count * extent**2, 9 * inputs * outputs
    return Prediction(2 * places * weights, FLOAT * (places * (inputs + outputs) + weights))


def _sequence_step(workload: Workload) -> Prediction:
    work = work_of(workload)
    return Prediction(workload.batch * work.step, _ADAM_STEP * work.parameters)


def _attention(workload: Workload) -> Prediction:
    # Scores and sums, and two gradients of each; queries, keys, values, sums and the cotangents of all four.
    heads, context, width = workload.sizes
    flops = 6 * pairs_flops(context, heads * width, is_causal=workload.family == ATTENTIONS[1])
    return Prediction(flops, 8 * FLOAT * heads * context * width)


def _entrywise(passes: int) -> Callable[[Workload], Prediction]:
    """Operations that only move `passes` arrays of the row's sizes."""

    def formula(workload: Workload) -> Prediction:
        return Prediction(0, passes * FLOAT * math.prod(workload.sizes))

    return formula


_FORMULAS: dict[str, Callable[[Workload], Prediction]] = {
    "dense": _dense,
    "fit": _dense,
    "product": _product,
    "matmul": _product,
    "image_step": _image_step,
    "image_inference": _image_inference,
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    "sequence_step": _sequence_step,
    **dict.fromkeys(ATTENTIONS, _attention),
    "cross_entropy": _entrywise(2),  # logits read, their gradient written
    "layer_norm": _entrywise(4),  # x and the cotangent read, y and the gradient of x written
    "adam": _entrywise(7),  # value, gradient and two moments read, all but the gradient written
}
