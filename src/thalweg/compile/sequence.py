"""In which order the kernels of a program run: so that two threads seldom wait, and one finds operands in its cache.

In: kernels and what each waits for; which values replace old ones that others still read. Out: the kernels in an order
in which they can run. Two threads are played through with rough costs: whoever is free takes a kernel that need not
wait, of those the one that most of the program hangs on. A weight's gradient and its update so come right after the
gradient of their layer, in the gaps of the chain that leads back to the first layer. Where values are computed again
to save memory, what gives memory back comes first instead. No bit depends on the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from thalweg.compile.fuse import Kernel, is_checked
from thalweg.graph import Node, size_of

_CALL, _LANES = 300.0, 16  # cycles of a row, and entries in a vector
_DIVISIBLE = 40_000.0  # cycles from which on several threads share a kernel
_LAST_PIECE = 0.1  # of a kernel's cycles: so long it takes until the last that shared it has ended


def in_order(kernels: Sequence[Kernel], replaced: Mapping[Node, Node] | None = None) -> list[Kernel]:
    """An order that respects `after`; kernels that bad data can stop, and what they need, come first.

    `replaced` maps new values to cells whose old value is gone from then on: whoever reads it comes before, if it can.
    """
    writers = {kernel for kernel in kernels if any(node in (replaced or {}) for node in kernel.outputs)}
    return _Play(kernels, _readers_before(kernels, replaced or {}), writers).run()


def saves_memory(kernels: Sequence[Kernel]) -> bool:
    """Whether values are computed again to save memory: then it goes before time."""
    return any(node.op.identities.get("waits") for kernel in kernels for node in kernel.nodes)


def _readers_before(kernels: Sequence[Kernel], replaced: Mapping[Node, Node]) -> dict[Kernel, set[Kernel]]:
    """For each kernel that replaces cells, those that read them and do not need its own results."""
    readers: dict[Node, set[Kernel]] = {}
    for kernel in kernels:
        for node in kernel.inputs:
            readers.setdefault(node, set()).add(kernel)
    return {
        kernel: {
            reader
            for node in kernel.outputs
            if node in replaced
            for reader in readers.get(replaced[node], ())
            if reader is not kernel and kernel not in reader.after
        }
        for kernel in kernels
    }


class _Play:
    """Two threads and the kernels that are left."""

    def __init__(self, kernels: Sequence[Kernel], readers: Mapping[Kernel, set[Kernel]], writers: Set[Kernel]) -> None:
        self.readers, self.writers = readers, writers
        self.place = {kernel: index for index, kernel in enumerate(kernels)}
        self.left = {kernel: len(kernel.after) for kernel in kernels}  # how many must still be taken before each
        self.waiting: dict[Kernel, list[Kernel]] = {kernel: [] for kernel in kernels}
        for kernel in kernels:
            for each in kernel.after:
                self.waiting[each].append(kernel)
        self.cycles = {kernel: cycles_of(kernel) for kernel in kernels}
        self.hanging = self._hanging()
        wanted = {kernel for kernel in kernels if is_checked(kernel)}
        self.first = wanted.union(*(kernel.after for kernel in wanted))
        self.free = [0.0, 0.0]  # when each thread is
        self.known: dict[Kernel, float] = {}  # when whoever waits for a kernel may begin
        self.unread = _readers_of(kernels)  # how many kernels have yet to read each value
        self.saves_memory = saves_memory(kernels)
        self.begin: dict[Kernel, float] = {}  # when a kernel need not wait any longer: asked once, of all it waits for

    def _hanging(self) -> dict[Kernel, float]:
        """The longest chain from each kernel to the end of the program."""
        longest: dict[Kernel, float] = {}
        for kernel in sorted(self.left, key=lambda each: -len(each.after)):
            rest = max((longest[each] for each in self.waiting[kernel]), default=0.0)
            longest[kernel] = rest + self.cycles[kernel]
        return longest

    def run(self) -> list[Kernel]:
        result: list[Kernel] = []
        ready = [kernel for kernel, count in self.left.items() if not count]
        self.begin = dict.fromkeys(ready, 0.0)
        taken: set[Kernel] = set()
        while ready:
            kernel = min(ready, key=lambda each: self._rank(each, taken))
            self._take(kernel)
            ready.remove(kernel)
            taken.add(kernel)
            result.append(kernel)
            for each in self.waiting[kernel]:
                self.left[each] -= 1
                if not self.left[each]:
                    ready.append(each)
                    self.begin[each] = max(map(self.known.__getitem__, each.after))
        return result

    def _rank(self, kernel: Kernel, taken: set[Kernel]) -> tuple[bool, bool, float, float, int]:
        """The least comes next."""
        is_early = not self.readers[kernel] <= taken
        if self.saves_memory:
            is_behind = kernel in self.writers and kernel not in self.first
            return is_early, is_behind, self._growth(kernel), self.place[kernel], 0
        begin = max(min(self.free), self.begin[kernel])
        return is_early, kernel not in self.first, begin, -self.hanging[kernel], self.place[kernel]

    def _growth(self, kernel: Kernel) -> float:
        """Bytes that are taken from then on, less those that nobody needs any longer; 0 if it is both or neither."""
        freed = sum(_bytes(each) for each in kernel.inputs if each.inputs and self.unread[each] == 1)
        return min(0.0, sum(map(_bytes, kernel.outputs)) - freed)

    def _take(self, kernel: Kernel) -> None:
        for each in kernel.inputs:
            self.unread[each] -= 1
        cycles, ready = self.cycles[kernel], self.begin[kernel]
        begins = [max(each, ready) for each in self.free]
        if cycles < _DIVISIBLE:
            thread = begins.index(min(begins))
            end = self.free[thread] = begins[thread] + cycles
        else:
            end = max((sum(begins) + cycles) / 2, max(begins))
            self.free = [end, end]
        self.known[kernel] = end + _LAST_PIECE * cycles


def _readers_of(kernels: Sequence[Kernel]) -> dict[Node, int]:
    found: dict[Node, int] = {}
    for kernel in kernels:
        for node in kernel.inputs:
            found[node] = found.get(node, 0) + 1
    return found


def _bytes(node: Node) -> int:
    return 0 if node.op.multiple else node.size * node.dtype.itemsize


def cycles_of(kernel: Kernel) -> float:
    """What a kernel costs on any machine, very roughly: the order should be the same on all."""
    node, count = kernel.nodes[0], len(kernel.nodes)
    if node.op.kind == "contract":
        a, b = (each.size for each in node.inputs[:2])
        inner = (a * b / max(node.size, 1)) ** 0.5  # (m k) (k n) / (m n) = k^2; for a convolution it is near enough
        return _CALL + node.size * (inner + count) / _LANES
    return _CALL + size_of(kernel.domain) * count / _LANES
