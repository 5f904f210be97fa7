"""What a program needs before it runs: bytes of its arena by line, and an error where there is no room.

In: a layout, and what this process may still take. Out: a `MemoryUse`; a `MemoryLimitError` before anything is
allocated, with the largest values by layer and line, and a batch size that would fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from thalweg.compile.layout import Layout
from thalweg.compile.limits import available_memory
from thalweg.errors import MemoryLimitError, explain
from thalweg.graph import Node, Origin, describe

_WORTH_ASKING = 1 << 26  # bytes: less than that is not worth reading files of the system
_MARGIN = 0.95  # of what is left: a batch that fits today should fit tomorrow
_MOST_SHOWN = 8
_MOST_PLANS = 6


@dataclass(frozen=True)
class Value:
    """One intermediate value, or several from the same line, at the moment when the arena is fullest."""

    bytes: int
    what: str
    layer: str = ""
    line: str = ""
    count: int = 1

    def __str__(self) -> str:
        where = ", ".join(each for each in (self.layer and f"layer {self.layer}", self.line) if each)
        several = f"{self.count} values, such as " if self.count > 1 else ""
        return f"{told_bytes(self.bytes)}: {several}{self.what}" + (f" ({where})" if where else "")


@dataclass(frozen=True)
class MemoryUse:
    """Bytes that a step needs. All are known before it runs; `needed` is what has yet to be allocated.

    Attributes:
        arena: intermediate values, activations kept for the backward pass among them.
        scratch: room that single kernels need.
        parameters: tensors that require a gradient.
        state: the other cells: the optimizer's state, running statistics, gradients that are kept, counts, keys.
        batch: the arguments.
        results: what the step returns and gradients that it writes out.
        largest: what fills the arena when it is fullest, largest first, together for each line.
    """

    arena: int
    scratch: int
    parameters: int = 0
    state: int = 0
    batch: int = 0
    results: int = 0
    largest: tuple[Value, ...] = field(default=(), repr=False)

    @property
    def needed(self) -> int:
        return self.arena + self.scratch + self.results

    @property
    def total(self) -> int:
        return self.needed + self.parameters + self.state + self.batch

    def __str__(self) -> str:
        names = ("arena", "scratch", "parameters", "state", "batch", "results")
        parts = [f"{told_bytes(getattr(self, name))} {name}" for name in names if getattr(self, name)]
        rows = [f"  {each}" for each in self.largest[:_MOST_SHOWN]]
        return "\n".join([f"{told_bytes(self.total)}: {', '.join(parts)}", *rows])


def memory_use(layout: Layout, parameters: int = 0, state: int = 0, batch: int = 0) -> MemoryUse:
    """Of a program whose inputs are so many bytes of each kind."""
    results = sum(
        nbytes(node) for index, node in enumerate(layout.outputs) if index not in layout.writes and not node.op.multiple
    )
    return MemoryUse(layout.arena, layout.scratch, parameters, state, batch, results, _by_line(at_peak(layout)))


def at_peak(layout: Layout) -> list[Node]:
    """The values that lie in the arena when it is fullest."""
    births, deaths = layout.lives
    times = range(len(layout.kernels))
    most = max(times, key=lambda t: _live_bytes(layout, births, deaths, t), default=0)
    return [node for node in layout.offsets if births[node] <= most <= deaths[node]]


def _live_bytes(layout: Layout, births: dict[Node, int], deaths: dict[Node, int], time: int) -> int:
    return sum(nbytes(node) for node in layout.offsets if births[node] <= time <= deaths[node])


def _by_line(nodes: Sequence[Node]) -> tuple[Value, ...]:
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in nodes:
        line = node.origin.line if isinstance(node.origin, Origin) else ""
        groups.setdefault((str(node.origin or ""), line), []).append(node)
    found = []
    for (layer, line), members in groups.items():
        top = max(members, key=nbytes)
        what = f"{top.op.name} {describe(top.shape, top.dtype)}"
        found.append(Value(sum(map(nbytes, members)), what, layer, line, len(members)))
    return tuple(sorted(found, key=lambda each: -each.bytes))


def nbytes(node: Node) -> int:
    return node.size * node.dtype.itemsize


# --- is there room? --------------------------------------------------------------------------------------------------


def refuse_what_does_not_fit(layout: Layout) -> None:
    """Raise before the arena of a program is allocated if this process may not take so much."""
    if layout.arena + layout.scratch < _WORTH_ASKING:
        return
    use, limit = memory_use(layout), available_memory()
    if limit is not None and use.needed > limit:
        raise MemoryLimitError(_message(use, limit, "run fewer examples at a time"), layout, limit)


def with_batch(
    error: MemoryLimitError, name: str, batch: int | None, needed: Callable[[int], int] | None = None
) -> MemoryLimitError:
    """The same error, with the name of the step and how many examples at a time fit; `needed` plans for so many."""
    layout, limit = error.layout, error.limit
    remedy = "make the batch or the model smaller"
    if batch is not None and batch > 1 and needed is not None:
        fits = largest_batch(memory_use(layout).needed, limit, batch, needed)
        remedy = (
            f"a batch of at most {fits} (it is {batch})" if fits else f"even a batch of 1 (it is {batch}) is too much"
        )
    remedy += "; or tw.compile(recompute=True), which computes activations again instead of keeping them"
    return MemoryLimitError(_message(memory_use(layout), limit, remedy, name), layout, limit)


def largest_batch(most: int, limit: int, batch: int, needed: Callable[[int], int]) -> int:
    """A batch that fits and is near the largest that does; 0 if none is found.

    What a step needs is nearly a straight line between two sizes of which it is known.
    """
    (low, need_low), (high, need_high) = (0, 0), (batch, most)
    for _ in range(_MOST_PLANS):
        if high - low <= max(1, high // 16) or need_low > 0.85 * limit:
            break
        share = (_MARGIN * limit - need_low) / max(need_high - need_low, 1)
        size = min(max(int(low + share * (high - low)), low + 1), high - 1)
        need = needed(size)
        if need <= limit:
            low, need_low = size, need
        else:
            high, need_high = size, need
    return low


def _message(use: MemoryUse, limit: int, remedy: str, name: str = "the step") -> str:
    largest = "; ".join(map(str, use.largest[:3]))
    return explain(
        f"{name} needs {told_bytes(use.needed)} of memory, and {told_bytes(limit)} can be had",
        received=f"{told_bytes(use.arena)} of intermediate values, {told_bytes(use.results)} of results; {largest}",
        expected=f"at most {told_bytes(limit)}: what the machine, its control group and ulimit -v leave",
        remedy=remedy,
    )


def told_bytes(number: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"
