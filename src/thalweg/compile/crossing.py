"""Fewer values between a forward kernel and those of the backward pass: what one value determines goes as that value.

In: the kernels of a program, before nests join products. Out: the same with fewer values in memory. The chain rule of a
smooth activation reads several things that the forward kernel knows (of GELU: the error function, an exponential, a
half of the input). Written and read they cost more than to be computed again from the one value they are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from thalweg.compile.fuse import Kernel, is_number, memory_of
from thalweg.compile.recomputing import Recomputing, is_large, reads_entries, source_of
from thalweg.compile.schedule import emission_lines
from thalweg.graph import Node

# Lines of code, for one vector, that take as long as to write and to read one: some 35 cycles from beyond the second
# cache, two lines a cycle.
_LINES_OF_A_VALUE = 64


def spare(kernels: Sequence[Kernel], outputs: Iterable[Node]) -> list[Kernel]:
    """The kernels, with fewer values that go from one to another; `outputs` are those of the program."""
    return _Sparing(kernels, outputs).run()


class _Sparing(Recomputing):
    """One run."""

    def run(self) -> list[Kernel]:
        for kernel in self.kernels:
            if kernel.is_nest and sum(map(self._may_go, kernel.outputs)) > 1:
                for base, recipes in self._groups(kernel).items():
                    self._consider_group(kernel, base, recipes)
        return self.kernels

    def _may_go(self, node: Node) -> bool:
        return node.op.kind == "elementwise" and is_large(node) and node not in self.shown

    def _groups(self, kernel: Kernel) -> dict[Node, dict[Node, list[Node]]]:
        """For each value that is in memory before the kernel runs: the outputs that it determines, with recipes."""
        groups: dict[Node, dict[Node, list[Node]]] = {}
        for node in filter(self._may_go, kernel.outputs):
            base, recipe = self._way(kernel, node)
            readers = self.readers(kernel, node)
            if base is not None and all(reads_entries(reader, each) for reader in readers for each in recipe):
                groups.setdefault(base, {})[node] = recipe
        return groups

    def _way(self, kernel: Kernel, node: Node) -> tuple[Node | None, list[Node]]:
        """What the node is made of in the kernel, and the operations; None where that is not a single value."""
        members, bases, stack = set[Node](), set[Node](), [node]
        while stack:
            each = stack.pop()
            if each in members:
                continue
            if each.op.kind != "elementwise":
                return None, []
            members.add(each)
            for operand in each.inputs:
                source = source_of(operand)
                if is_number(operand) or not is_large(source):
                    continue
                if operand in kernel.nodes:
                    stack.append(operand)
                elif memory_of(operand, [source]) is source and (source.op.kind == "leaf" or source in self.home):
                    bases.add(source)
                else:
                    return None, []
        return (bases.pop() if len(bases) == 1 else None), sorted(members, key=self.place.__getitem__)

    def _consider_group(self, kernel: Kernel, base: Node, recipes: dict[Node, list[Node]]) -> None:
        readers = {node: self.readers(kernel, node) for node in recipes}
        work = {reader: dict.fromkeys(each for node in recipes for each in recipes[node] if reader in readers[node])
                for reader in dict.fromkeys(each for found in readers.values() for each in found)}  # fmt: skip
        lines = sum(emission_lines(each) for members in work.values() for each in members)
        if lines > _LINES_OF_A_VALUE * (len(recipes) - self._must_be_stored(kernel, base)):
            return
        for node, found in readers.items():
            for reader in found:
                self.put(reader, node, recipes[node])
            kernel.outputs.remove(node)
        self._prune(kernel)

    def _must_be_stored(self, kernel: Kernel, base: Node) -> bool:
        """Whether the value would else be there for the kernel alone, which could be done where it is made."""
        home = self.home.get(base)
        return home is not None and not home.is_nest and not self.readers(kernel, base) and base not in self.shown

    def _prune(self, kernel: Kernel) -> None:
        """Without what no output needs any more."""
        needed, stack = set[Node](), list(kernel.outputs)
        while stack:
            each = stack.pop()
            if each not in needed:
                needed.add(each)
                stack += [x for x in each.inputs if x in kernel.nodes]
                stack += [x for operand in each.inputs for x in self.sources(operand, needed) if x in kernel.nodes]
        kernel.nodes = [each for each in kernel.nodes if each in needed]
        read = {x for each in kernel.nodes for operand in each.inputs for x in self.sources(operand, needed)}
        kernel.inputs = [each for each in kernel.inputs if each in read]
        if kernel.axes is not None and not any(each.op.kind == "reduce" for each in kernel.nodes):
            kernel.axes = None
