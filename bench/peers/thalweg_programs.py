"""Single products and convolutions on our side: a program of one, called again and again by a loop in machine code.

In: a row of the family "product" or of the `CONVOLUTIONS`. Out: something timed without any Python between two calls,
as in PyTorch's C++ timer. A convolution's images lie with the channels last, as they do within a network; its weight
and that one's gradient have PyTorch's order of axes, and zeros are put around the images within the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.peers import CONVOLUTIONS
from bench.peers.worker import Timed
from bench.workloads import Workload
from thalweg.compile.executable import executable_for
from thalweg.compile.native import NativeProgram
from thalweg.compile.program import Program
from thalweg.compile.runtime import STEPS
from thalweg.dtype import float32
from thalweg.graph import Node, make_input
from thalweg.ops import convolution as convolve
from thalweg.ops import matmul, permute

_CHANNELS_FIRST, _CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def product(workload: Workload) -> Timed:
    """One matrix product as a program of its own."""
    m, k, n = workload.sizes
    turn_a, turn_b = workload.transposes
    a, b = make_input((k, m) if turn_a else (m, k), float32), make_input((n, k) if turn_b else (k, n), float32)
    return _looped((a, b), matmul(a, b, transpose_a=turn_a, transpose_b=turn_b))


def convolution(workload: Workload) -> Timed:
    """One convolution, or one of its two gradients."""
    return _looped(*convolution_program(workload))


def convolution_program(workload: Workload) -> tuple[Sequence[Node], Node]:
    """Inputs and output: (N, H, W, C) for images and cotangents, (O, C, 3, 3) for weights."""
    count, inputs, outputs, extent = workload.sizes
    x_last, g_last = (make_input((count, extent, extent, channels), float32) for channels in (inputs, outputs))
    w, ones = make_input((outputs, inputs, 3, 3), float32), (1, 1)
    form = {"stride": ones, "padding": (ones, ones), "input_dilation": ones, "window_dilation": ones,
            "feature_groups": 1, "batch_groups": 1}  # fmt: skip
    x, g = (permute(each, order=_CHANNELS_FIRST) for each in (x_last, g_last))
    y = convolve(x, w, **form)
    if workload.family == CONVOLUTIONS[0]:
        return (x_last, w), permute(y, order=_CHANNELS_LAST)
    by_x, by_w = convolve.chain_rule(g, y, x, w, **form)
    if workload.family == CONVOLUTIONS[1]:
        return (g_last, w), permute(by_x, order=_CHANNELS_LAST)
    return (x_last, g_last), by_w


def _looped(inputs: Sequence[Node], output: Node) -> Timed:
    native = executable_for(Program(tuple(inputs), (output,))).native
    if native is None:
        raise RuntimeError("the program is not native")
    random = np.random.default_rng(0)
    arrays = [aligned(each.shape) for each in (*inputs, output)]
    for array in arrays[:-1]:
        array[...] = random.standard_normal(array.shape)
    return Timed(_loop(native, arrays), "a loop in machine code")


def _loop(native: NativeProgram, arrays: Sequence[np.ndarray]) -> Any:
    table = native.new_table()
    for index, array in enumerate(arrays):
        table.places[index] = array.ctypes.data

    def run(calls: int, held: Any = arrays) -> float:
        table.words[STEPS] = calls
        started = time.perf_counter()
        native.step(table.address)
        return time.perf_counter() - started

    return run


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """As PyTorch's allocator and our arena do: at a multiple of 64 bytes."""
    size = math.prod(shape)
    store = np.zeros(size + 16, np.float32)
    start = (-store.ctypes.data % 64) // 4
    return store[start : start + size].reshape(shape)
