"""Which values are computed again where they are read, instead of being stored by one kernel and loaded by others.

In: the kernels of a program. Out: the same with fewer values in memory. A large value that takes a few cheap operations
from one that is in memory anyway, and from rows (a mean, a scale), costs a reader no more than loading it would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from thalweg.compile.fuse import Kernel, is_move, is_number, memory_of
from thalweg.compile.schedule import emission_lines
from thalweg.graph import Node, toposort

_LARGE = 1 << 18  # bytes: what is smaller stays in the caches from one kernel to the next
_MOST_LINES = 12  # of code for one vector
_DEAR = 2  # lines of one operation: a division or a function is not done twice
_FAR_SMALLER = 8


def recompute(kernels: Sequence[Kernel], outputs: Iterable[Node]) -> list[Kernel]:
    """The kernels, with cheap values computed where they are read; `outputs` are those of the program."""
    return Recomputing(kernels, outputs).run()


class Recomputing:
    """One run; `thalweg.compile.crossing` has another."""

    def __init__(self, kernels: Sequence[Kernel], outputs: Iterable[Node]) -> None:
        outputs = list(outputs)
        self.kernels = list(kernels)
        self.place = {node: i for i, node in enumerate(toposort(outputs))}
        self.home = {node: kernel for kernel in kernels for node in kernel.nodes}
        self.shown = set(map(memory_of, outputs))

    def run(self) -> list[Kernel]:
        for kernel in list(self.kernels):
            for node in list(kernel.outputs) if kernel.is_nest else ():
                self._consider(kernel, node)
            if not kernel.outputs:
                self._drop(kernel)
        return self.kernels

    def _consider(self, kernel: Kernel, node: Node) -> None:
        if node.op.kind != "elementwise" or not is_large(node) or node in self.shown:
            return
        recipe = self._recipe(node)
        if recipe is None:
            return
        readers = self.readers(kernel, node)
        if not readers:
            return
        if not all(reads_entries(reader, each) for reader in readers for each in recipe):
            return
        for reader in readers:
            self.put(reader, node, recipe)
        kernel.outputs.remove(node)

    def readers(self, kernel: Kernel, node: Node) -> list[Kernel]:
        """The other kernels that read a value of this one."""
        return [each for each in self.kernels if each is not kernel and node in each.inputs]

    def _recipe(self, node: Node) -> list[Node] | None:
        """The operations from what is in memory to the node, in order; None where they are no bargain."""
        members: dict[Node, None] = {}
        bases: set[Node] = set()
        stack = [node]
        while stack:
            each = stack.pop()
            if each in members:
                continue
            if emission_lines(each) > _DEAR:
                return None
            members[each] = None
            for operand in each.inputs:
                source = source_of(operand)
                if is_number(operand) or _FAR_SMALLER * source.size <= node.size:
                    continue
                if source is operand and source.op.kind == "elementwise" and not self._is_stored(source):
                    stack.append(source)
                else:
                    bases.add(source)
        lines = sum(map(emission_lines, members))
        if len(bases) != 1 or lines > _MOST_LINES or not all(self._is_stored(base) for base in bases):
            return None
        return sorted(members, key=self.place.__getitem__)

    def _is_stored(self, node: Node) -> bool:
        """Whether the value lies in memory in any case: a leaf, a product, or what a product reads."""
        if node.op.kind == "leaf":
            return True
        home = self.home.get(node)
        if home is None or node not in home.outputs:
            return False
        is_read = any(node in each.inputs for each in self.kernels if not each.is_nest)
        return not home.is_nest or node in self.shown or is_read

    def put(self, reader: Kernel, node: Node, recipe: Sequence[Node]) -> None:
        """The reader computes the node itself."""
        new = [each for each in recipe if each not in reader.nodes]
        inputs = [each for each in reader.inputs if each not in new and each is not node]
        for each in new:
            for operand in each.inputs:
                for source in self.sources(operand, {*reader.nodes, *new}):
                    self._store(source)
                    inputs.append(source)
        reader.inputs = list(dict.fromkeys(inputs))
        reader.nodes = sorted([*new, *reader.nodes], key=self.place.__getitem__)

    def sources(self, node: Node, members: set[Node]) -> list[Node]:
        """What is read from memory when the operand is read: what has no code of its own is computed on the way."""
        if is_number(node) or node in members:
            return []
        if node.op.kind == "leaf" or node in self.home:
            return [node]
        return [source for each in node.inputs for source in self.sources(each, members)]

    def _store(self, source: Node) -> None:
        home = self.home.get(source)
        if home is not None and source not in home.outputs:
            home.outputs = [each for each in home.nodes if each in home.outputs or each is source]

    def _drop(self, kernel: Kernel) -> None:
        self.kernels.remove(kernel)
        for each in self.kernels:
            each.after.discard(kernel)


def is_large(node: Node) -> bool:
    return node.size * node.dtype.itemsize >= _LARGE


def source_of(node: Node) -> Node:
    """What movements of one operand show."""
    while is_move(node) and len(node.inputs) == 1:
        node = node.inputs[0]
    return node


def reads_entries(kernel: Kernel, node: Node) -> bool:
    """Whether the kernel is a nest over the node's entries that reads it nowhere else than at the entry itself."""
    if not kernel.is_nest or kernel.domain != node.shape or any(map(is_move, kernel.nodes)):
        return False
    return not any(is_move(each) and source_of(each) is node for member in kernel.nodes for each in member.inputs)
