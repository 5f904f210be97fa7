"""Which operations share a kernel: elementwise chains and reductions over the same entries become one loop nest.

In: the outputs of a program. Out: its kernels in an order in which they can run, each with what it reads and what it
must leave in memory. Movements (reshape, broadcast, slice, ...) are index maps on the reads of whoever uses them; they
become entries in memory only where someone needs them there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from thalweg.graph import Node, Shape, constant_leaf, toposort

_ENTRYWISE = ("elementwise", "index", "random")
_MOST_NODES = 256  # of one kernel: what its code and registers can hold


@dataclass(eq=False)
class Kernel:
    """A set of operations that run together.

    A nest iterates over `domain`; where `axes` are given they are reduced, and the nodes are full (of the domain's
    shape) or rows (of size 1 on those axes). Any other kernel holds one node.
    """

    nodes: list[Node]
    domain: Shape = ()
    axes: tuple[int, ...] | None = None
    is_nest: bool = True
    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    after: set[Kernel] = field(default_factory=set)  # every kernel that must have run before, transitively

    @property
    def row_shape(self) -> Shape | None:
        if self.axes is None:
            return None
        return tuple(1 if axis in self.axes else extent for axis, extent in enumerate(self.domain))

    def has_row(self, node: Node) -> bool:
        """Whether the node is a row of this nest rather than a full node."""
        return self.axes is not None and node.shape == self.row_shape and node.shape != self.domain


def is_move(node: Node) -> bool:
    return node.op.kind == "move"


def is_checked(kernel: Kernel) -> bool:
    """Whether bad data can stop the kernel: it reads positions, or divides integers."""
    return any(node.op.kind == "index" or node.op.name in ("floor_divide", "remainder") for node in kernel.nodes)


class Fusion:
    """One run of the pass."""

    def __init__(self, outputs: Sequence[Node]) -> None:
        self.outputs = list(outputs)
        self.order = toposort(outputs)
        self.in_memory = self._needed_in_memory()
        self.home: dict[Node, Kernel] = {}
        self.kernels: list[Kernel] = []

    def run(self) -> list[Kernel]:
        for node in self.order:
            if self.is_computed(node):
                self._place(node)
        self._connect()
        return self._sorted()

    # --- what is computed where --------------------------------------------------------------------------------------

    def _needed_in_memory(self) -> set[Node]:
        """Movements that somebody reads as a buffer: results, and the operands of kernels that are no nests."""
        needed = set(self.outputs)
        for node in self.order:
            if not self._may_nest(node) and not is_move(node):
                needed.update(node.inputs)
        return needed

    def _may_nest(self, node: Node) -> bool:
        if node.op.kind == "reduce":
            return node.op.emit is not None and "axes" in node.attributes
        return node.op.kind in _ENTRYWISE and node.op.emit is not None and "form" not in node.op.identities

    def is_computed(self, node: Node) -> bool:
        """Whether the node has code of its own; leaves, numbers and index maps have none."""
        if node.op.kind == "leaf":
            return False
        return not is_move(node) or (node in self.in_memory and not is_number(node) and not self.is_alias(node))

    def is_alias(self, node: Node) -> bool:
        """A reshape of something in memory is the same memory."""
        return bool(node.op.identities.get("keeps_order"))

    def source(self, node: Node) -> tuple[Node, bool]:
        """The computed node or leaf behind index maps, and whether any map lies in between."""
        is_mapped = False
        while is_move(node) and not self.is_computed(node) and len(node.inputs) == 1:
            node, is_mapped = node.inputs[0], True
        return node, is_mapped

    def sources(self, node: Node) -> Iterable[Node]:
        """All computed nodes and leaves that are read when the node is computed."""
        for each in node.inputs:
            yield from self._behind(each)

    def _behind(self, node: Node) -> Iterable[Node]:
        if is_move(node) and not self.is_computed(node):
            for each in node.inputs:
                yield from self._behind(each)
        else:
            yield node

    # --- placing -----------------------------------------------------------------------------------------------------

    def _place(self, node: Node) -> None:
        kernel = next((k for k in self._candidates(node) if self._fits(node, k)), None)
        if kernel is None:
            kernel = self._new_kernel(node)
            self.kernels.append(kernel)
        else:
            kernel.nodes.append(node)
            if node.op.kind == "reduce":
                kernel.axes = node.attributes["axes"]
        self.home[node] = kernel
        makers = {self.home[each] for each in self.sources(node) if each in self.home} - {kernel}
        self._depend(kernel, makers)
        for maker in sorted(makers, key=self.kernels.index):
            if self._may_merge(maker, kernel):
                self._merge(maker, kernel)

    def _new_kernel(self, node: Node) -> Kernel:
        if node.op.kind == "reduce" and self._may_nest(node):
            return Kernel([node], node.inputs[0].shape, node.attributes["axes"])
        return Kernel([node], node.shape, None, self._may_nest(node) or is_move(node))

    def _candidates(self, node: Node) -> list[Kernel]:
        """Nests that compute one of the node's inputs, the newest first; then nests that read one as it does."""
        if not self._may_nest(node):
            return []
        sources = list(self.sources(node))
        makers = [self.home[each] for each in sources if each in self.home]
        direct = {each for each in node.inputs if each.shape == node.inputs[0].shape and each.shape}
        readers = [k for k in reversed(self.kernels) if k.is_nest and any(direct & set(n.inputs) for n in k.nodes)]
        seen: dict[Kernel, None] = dict.fromkeys(sorted(makers, key=self.kernels.index, reverse=True))
        return [k for k in {**seen, **dict.fromkeys(readers)} if k.is_nest and len(k.nodes) < _MOST_NODES]

    def _fits(self, node: Node, kernel: Kernel) -> bool:
        axes = kernel.axes
        if node.op.kind == "reduce":
            if node.inputs[0].shape != kernel.domain or axes not in (None, node.attributes["axes"]):
                return False
        elif node.shape != kernel.domain and node.shape != kernel.row_shape:
            return False
        return all(self._can_read(node, each, kernel) for each in node.inputs) and not self._makes_circle(node, kernel)

    def _can_read(self, node: Node, operand: Node, kernel: Kernel) -> bool:
        """Values of the same nest are read entry for entry, or as the row that a full node belongs to."""
        inside = [each for each in self._behind(operand) if self.home.get(each) is kernel]
        if not inside:
            return True
        source, is_mapped = self.source(operand)
        if len(inside) > 1 or source is not inside[0]:
            return False
        wants_full = node.op.kind == "reduce" or not kernel.has_row(node)
        if not is_mapped:
            return kernel.has_row(source) != wants_full
        return kernel.has_row(source) and wants_full and _only_broadcasts(operand, source)

    def _makes_circle(self, node: Node, kernel: Kernel) -> bool:
        others = {self.home[each] for each in self.sources(node) if each in self.home} - {kernel}
        return any(kernel in other.after for other in others)

    def _depend(self, kernel: Kernel, others: set[Kernel]) -> None:
        before = set(others).union(*(other.after for other in others))
        if before <= kernel.after:
            return
        for each in self.kernels:
            if each is kernel or kernel in each.after:
                each.after |= before

    # --- merging -----------------------------------------------------------------------------------------------------

    def _may_merge(self, maker: Kernel, kernel: Kernel) -> bool:
        """Whether two nests over the same entries can be one: no third kernel must run between them."""
        if not (maker.is_nest and kernel.is_nest and maker.domain == kernel.domain and self._axes_agree(maker, kernel)):
            return False
        if len(maker.nodes) + len(kernel.nodes) > _MOST_NODES or any(is_move(node) for node in maker.nodes):
            return False
        if any(maker in each.after and each in kernel.after for each in self.kernels):
            return False
        joint = Kernel([*maker.nodes, *kernel.nodes], kernel.domain, maker.axes or kernel.axes)
        homes = {node: self.home[node] for node in joint.nodes}
        self.home.update(dict.fromkeys(joint.nodes, joint))
        is_readable = all(self._can_read(node, each, joint) for node in joint.nodes for each in node.inputs)
        self.home.update(homes)
        return is_readable

    def _axes_agree(self, a: Kernel, b: Kernel) -> bool:
        return a.axes is None or b.axes is None or a.axes == b.axes

    def _merge(self, maker: Kernel, kernel: Kernel) -> None:
        place = {node: index for index, node in enumerate(self.order)}
        kernel.nodes = sorted([*maker.nodes, *kernel.nodes], key=place.__getitem__)
        kernel.axes = maker.axes or kernel.axes
        kernel.after = (kernel.after | maker.after) - {maker}
        self.home.update(dict.fromkeys(maker.nodes, kernel))
        self.kernels.remove(maker)
        for each in self.kernels:
            if maker in each.after:
                each.after = (each.after - {maker}) | kernel.after | ({kernel} if each is not kernel else set())

    # --- the result --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """What each kernel reads from memory and what it must leave there."""
        read_by_others: set[Node] = {each for node in self.outputs for each in self._behind(node)}
        for kernel in self.kernels:
            inputs: dict[Node, None] = {}
            for node in kernel.nodes:
                for each in self.sources(node):
                    if self.home.get(each) is not kernel and not is_number(each):
                        inputs[each] = None
            kernel.inputs = list(inputs)
            read_by_others.update(inputs)
        for kernel in self.kernels:
            kernel.outputs = [node for node in kernel.nodes if node in read_by_others]

    def _sorted(self) -> list[Kernel]:
        """An order that respects `after`; kernels that bad data can stop come as early as they can."""
        done: set[Kernel] = set()
        left, result = list(self.kernels), []
        while left:
            ready = [k for k in left if k.after <= done]
            wanted = {k for k in left if is_checked(k)}
            needed = wanted.union(*(k.after for k in wanted)) if wanted else set()
            kernel = next((k for k in ready if k in needed), ready[0])
            left.remove(kernel)
            done.add(kernel)
            result.append(kernel)
        return result


def is_number(node: Node) -> bool:
    """Whether the node is one known number in every place."""
    while is_move(node) and node.op.identities.get("linear") and len(node.inputs) == 1:
        node = node.inputs[0]
    return node.op is constant_leaf


def _only_broadcasts(operand: Node, source: Node) -> bool:
    node = operand
    while node is not source:
        if node.op.name != "broadcast":
            return False
        node = node.inputs[0]
    return True


def fuse(outputs: Sequence[Node]) -> list[Kernel]:
    """The kernels of a program, in order."""
    return Fusion(outputs).run()
