"""What this machine can do at the most, measured: multiply-adds in registers, and bytes copied.

In: nothing but the target. Out: operations a second, and bytes a second for working sets that lie in a cache or in
memory; measured once in a process, by kernels that our own emitter writes.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from thalweg.compile.codegen import load
from thalweg.compile.emitter import Emitter
from thalweg.compile.inside.cost import Cost
from thalweg.compile.target import current_target
from thalweg.dtype import DType, float32

# Bytes that a kernel touches: where they lie between two kernels decides how fast they come.
_WORKING_SETS = (1 << 18, 1 << 21, 1 << 24, 1 << 27)
_ROUNDS = 20_000
_ACROSS = 4  # vectors copied in one turn of the loop


@dataclass(frozen=True)
class Peak:
    """Rates a second: of floating-point operations, and of bytes by working set."""

    flops: float
    bandwidth: tuple[tuple[int, float], ...]

    def bytes_per_second(self, size: int) -> float:
        return next((rate for limit, rate in self.bandwidth if size <= limit), self.bandwidth[-1][1])

    def shortest(self, cost: Cost) -> float:
        """Seconds that no kernel of this cost can beat."""
        return max(cost.flops / self.flops, cost.bytes / self.bytes_per_second(cost.bytes))


@cache
def measured_peak(dtype: DType = float32) -> Peak:
    """The peak of one core for this dtype."""
    return Peak(_most_flops(dtype), tuple((size, _most_bytes(size)) for size in _WORKING_SETS))


def _most_flops(dtype: DType) -> float:
    """Independent multiply-adds, enough to hide their latency, in registers."""
    target = current_target()
    lanes, count = target.vector_bytes // dtype.itemsize, target.registers * 3 // 4

    def write(e: Emitter) -> None:
        totals = [e.load("%in", e.integer(i * lanes), dtype, lanes) for i in range(count)]
        factor = e.spread(e.number(0.5, dtype), lanes)
        totals = e.repeat(_ROUNDS, totals, lambda _, held: [e.multiply_add(factor, x, factor) for x in held])
        for i, total in enumerate(totals):
            e.store("%out", e.integer(i * lanes), total)

    array = np.linspace(1, 2, lanes * count).astype(dtype.numpy)
    return 2 * lanes * count * _ROUNDS / _shortest(write, array, 1, 20)


def _most_bytes(size: int) -> float:
    """A copy whose two arrays are together of this size."""
    target = current_target()
    lanes = target.vector_bytes // 4

    def write(e: Emitter) -> None:
        with e.loop(size // 2 // target.vector_bytes // _ACROSS) as i:
            starts = [e.add(e.multiply(i, e.integer(_ACROSS * lanes)), e.integer(k * lanes)) for k in range(_ACROSS)]
            for place, value in [(each, e.load("%in", each, float32, lanes)) for each in starts]:
                e.store("%out", place, value)

    times = max(1, _WORKING_SETS[-1] // size // 4)
    return size / _shortest(write, np.ones(size // 8, np.float32), times, 5)


_GO = """define void @go(ptr %in, ptr %out) {{
entry:
  br label %again
again:
  %i = phi i64 [0, %entry], [%j, %again]
  call void @body(ptr %in, ptr %out)
  %j = add i64 %i, 1
  %more = icmp ult i64 %j, {times}
  br i1 %more, label %again, label %done
done:
  ret void
}}"""


def _shortest(write: Callable[[Emitter], None], array: np.ndarray, times: int, rounds: int) -> float:
    """The shortest time of a kernel from one array to another of the same kind, which a call runs some times."""
    e = Emitter()
    write(e)
    body = e.function("body", ["ptr noalias %in", "ptr noalias %out"])
    kept, address = load("\n".join([*sorted(e.declarations), body, _GO.format(times=times)]), "go")
    go, result = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address), np.empty_like(array)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        go(array.ctypes.data, result.ctypes.data)
        best = min(best, (time.perf_counter() - start) / times)
    assert kept
    return best
