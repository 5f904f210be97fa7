"""Which operations share a kernel: elementwise chains and reductions over the same entries become one loop nest.

In: the outputs of a program. Out: its kernels in an order in which they can run, each with what it reads and what it
must leave in memory. Movements (reshape, broadcast, slice, ...) are index maps on the reads of whoever uses them; they
become entries in memory only where someone needs them there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from thalweg.compile.loop_plan import LoopPlan
from thalweg.compile.operands import is_loop, read_from
from thalweg.compile.turning import turning_of
from thalweg.dtype import bool_
from thalweg.graph import Node, Shape, input_leaf, size_of, toposort
from thalweg.ops.rules import known_number

_ENTRYWISE = ("elementwise", "index", "random")
_FAR_LARGER = 8
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
    epilogue: Kernel | None = None  # a nest that is done where this product's tiles leave the registers
    parts: int = 0  # pieces along the first axis, where it is one of a chain; 0: as many as it likes
    links: int = 0  # how many kernels behind it go on with each piece
    loop: LoopPlan | None = None  # what a kernel that is a loop does in each step
    planned: tuple[Hashable, Any] | None = None  # what it was when its schedule was last found, and that

    @property
    def row_shape(self) -> Shape | None:
        return None if self.axes is None else _row_shape(self.domain, self.axes)

    def has_row(self, node: Node) -> bool:
        """Whether the node is a row of this nest rather than a full node."""
        return self.axes is not None and node.shape == self.row_shape and node.shape != self.domain

    def has_column(self, node: Node) -> bool:
        """Whether the node reduces the axes that the nest keeps: it is whole only when every row has been seen."""
        return node.op.kind == "reduce" and self.axes is not None and node.attributes["axes"] != self.axes

    def has_joined(self, node: Node) -> bool:
        """Whether the node puts parts side by side of which the nest has an entry of each at a time."""
        return self.is_nest and _joins_alike(node) and node.inputs[0].shape == self.domain

    def may_have_column(self, node: Node) -> bool:
        """Whether a reduction could be such a column: over all kept axes, while the innermost axis is in the rows."""
        wide = [axis for axis, extent in enumerate(self.domain) if extent != 1]
        kept = tuple(axis for axis in range(len(self.domain)) if axis not in (self.axes or ()))
        return bool(self.axes and wide) and wide[-1] in (self.axes or ()) and node.attributes["axes"] == kept


def _joins_alike(node: Node) -> bool:
    """Whether the node puts parts of one shape side by side, where vectors of a part stay vectors."""
    if not node.op.identities.get("joins") or len({each.shape for each in node.inputs}) > 1:
        return False
    lane = max((axis for axis, extent in enumerate(node.inputs[0].shape) if extent > 1), default=-1)
    return all(extent == 1 for extent in node.shape[lane + 1 :])


@lru_cache(maxsize=1024)
def _row_shape(domain: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if axis in axes else extent for axis, extent in enumerate(domain))


def is_move(node: Node) -> bool:
    return node.op.kind == "move"


def memory_of(node: Node, stop: Iterable[Node] = ()) -> Node:
    """What a node is a reshape of."""
    while node not in stop and node.op.identities.get("keeps_order"):
        node = node.inputs[0]
    return node


def is_checked(kernel: Kernel) -> bool:
    """Whether bad data can stop the kernel: it reads positions, or does what not every integer allows."""
    return any(may_be_refused(node) for node in kernel.nodes)


def may_be_refused(node: Node) -> bool:
    known = node.op.identities
    return "positions" in known or ("refuses" in known and known["refuses"](node))


class Fusion:
    """One run of the pass."""

    def __init__(self, outputs: Sequence[Node]) -> None:
        self.outputs = list(outputs)
        self.order = toposort(outputs)
        self.in_memory = self._needed_in_memory()
        self.repeated = {node for node in self.order if self._is_repeated(node)}
        self.computed = {node for node in self.order if self._has_code(node)}
        self._known_behind: dict[Node, tuple[Node, ...]] = {}
        self._known_sources: dict[Node, tuple[Node, ...]] = {}
        self.users = self._computed_users()
        self.place = {node: index for index, node in enumerate(self.order)}
        self.home: dict[Node, Kernel] = {}
        self.kernels: list[Kernel] = []
        self.age: dict[Kernel, int] = {}  # which came before which, as in `kernels`
        self.by_age: list[Kernel] = []
        self.before: list[int] = []  # by age: which kernels must have run, transitively; bit i is the kernel of age i
        self._far_larger: dict[int, int] = {}  # than a domain of so many entries: likewise as bits
        self.placed_users: dict[Node, list[Node]] = {}

    def run(self) -> list[Kernel]:
        for node in self.order:
            if self.is_computed(node):
                self._place(node)
        self._connect()
        return topological(self.kernels)

    # --- what is computed where --------------------------------------------------------------------------------------

    def _needed_in_memory(self) -> set[Node]:
        """Movements that somebody reads as a buffer: results, and the operands of kernels that are no nests."""
        needed = set(self.outputs)
        for node in self.order:
            if not self._may_nest(node) and not is_move(node):
                needed.update(read_from(node))
            elif self._may_nest(node):
                needed.update(each for operand in node.inputs for each in _turned(operand))
        for node in reversed(self.order):
            if node in needed and self.is_alias(node):
                needed.update(node.inputs)  # its memory is its input's
            elif node in needed and turning_of(node):
                needed.update(read_from(node))
        return needed

    def _computed_users(self) -> dict[Node, list[Node]]:
        """Which computed nodes read each one, through index maps or not."""
        users: dict[Node, list[Node]] = {}
        for node in filter(self.is_computed, self.order):
            for each in self.sources(node):
                users.setdefault(each, []).append(node)
        return users

    def _may_nest(self, node: Node) -> bool:
        if node.op.kind == "reduce":
            return node.op.emit is not None and "axes" in node.attributes
        return node.op.kind in _ENTRYWISE and node.op.emit is not None and "form" not in node.op.identities

    def is_computed(self, node: Node) -> bool:
        """Whether the node has code of its own; leaves, numbers, index maps and what is cheap to repeat have none."""
        return node in self.computed

    def _has_code(self, node: Node) -> bool:
        if node.op.kind == "leaf" or node in self.repeated:
            return False
        return not is_move(node) or (node in self.in_memory and not is_number(node) and not self.is_alias(node))

    def _is_repeated(self, node: Node) -> bool:
        """Whether each reader computes it anew, not loads it: positions, and questions about what is in memory."""
        if node in self.in_memory:
            return False
        if node.op.kind != "elementwise" or node.dtype is not bool_:
            return bool(node.op.identities.get("counts"))
        asked = [each for each in node.inputs if not is_number(each)]
        return len(asked) == 1 and (asked[0].op is input_leaf or (asked[0] in self.in_memory and not is_move(asked[0])))

    def is_alias(self, node: Node) -> bool:
        """A reshape of something in memory is the same memory."""
        return bool(node.op.identities.get("keeps_order"))

    def source(self, node: Node) -> tuple[Node, bool]:
        """The computed node or leaf behind index maps, and whether any map lies in between."""
        is_mapped = False
        while is_move(node) and not self.is_computed(node) and len(node.inputs) == 1:
            node, is_mapped = node.inputs[0], True
        return node, is_mapped

    def sources(self, node: Node) -> tuple[Node, ...]:
        """All computed nodes and leaves that are read when the node is computed."""
        found = self._known_sources.get(node)
        if found is None:
            read = read_from(node) if self.is_computed(node) and not self._may_nest(node) else node.inputs
            found = self._known_sources[node] = tuple([each for x in read for each in self._behind(x)])
        return found

    def _behind(self, node: Node) -> tuple[Node, ...]:
        if node.op.kind == "leaf" or node in self.computed:
            return (node,)
        found = self._known_behind.get(node)
        if found is None:
            found = self._known_behind[node] = tuple([each for x in node.inputs for each in self._behind(x)])
        return found

    # --- placing -----------------------------------------------------------------------------------------------------

    def _place(self, node: Node) -> None:
        if node.op.identities.get("projection"):
            self._place_with_loop(node)
            return
        kernel = self._home_of_parts(node) or next((k for k in self._candidates(node) if self._fits(node, k)), None)
        if kernel is None:
            kernel = self._new_kernel(node)
            self._add(kernel)
        else:
            kernel.nodes.append(node)
            if node.op.kind == "reduce" and kernel.axes is None:
                kernel.axes = node.attributes["axes"]
        self.home[node] = kernel
        for each in node.inputs:
            self.placed_users.setdefault(each, []).append(node)
        makers = {self.home[each] for each in self.sources(node) if each in self.home} - {kernel}
        self._depend(kernel, makers)
        for maker in sorted(makers, key=self.age.__getitem__):
            if self._may_merge(maker, kernel):
                self._merge(maker, kernel)

    def _add(self, kernel: Kernel) -> None:
        self.kernels.append(kernel)
        self.age[kernel] = age = len(self.by_age)
        self.by_age.append(kernel)
        self.before.append(0)
        entries = size_of(kernel.domain)
        for size in self._far_larger:
            if entries >= _FAR_LARGER * size:
                self._far_larger[size] |= 1 << age

    def _place_with_loop(self, node: Node) -> None:
        """A result of a loop, in the loop's own kernel."""
        kernel = self.home[node] = self.home[node.inputs[0]]
        kernel.nodes.append(node)

    def _home_of_parts(self, node: Node) -> Kernel | None:
        """The nest that computes all the parts of a node that joins them, so that it needs no copies."""
        kernel = self.home.get(node.inputs[0]) if node.inputs else None
        if kernel is None or kernel.axes is not None or not kernel.has_joined(node):
            return None
        is_here = all(self.home.get(each) is kernel and each.op.kind == "elementwise" for each in node.inputs)
        return kernel if is_here else None

    def _new_kernel(self, node: Node) -> Kernel:
        if is_loop(node):
            return Kernel([node], max(node.shape, key=size_of), None, is_nest=False)
        if node.op.kind == "reduce" and self._may_nest(node):
            return Kernel([node], node.inputs[0].shape, node.attributes["axes"])
        domain = node.inputs[0].shape if _joins_alike(node) else node.shape
        return Kernel([node], domain, None, self._may_nest(node) or (is_move(node) and not turning_of(node)))

    def _candidates(self, node: Node) -> list[Kernel]:
        """Nests that compute one of the node's inputs, the newest first; then nests that read one as it does.

        Single numbers share a nest whatever they read: a kernel of its own costs more than the number.
        """
        if not self._may_nest(node):
            return []
        sources = list(self.sources(node))
        makers = [self.home[each] for each in sources if each in self.home]
        direct = {each for each in node.inputs if each.shape == node.inputs[0].shape and each.shape}
        readers = self._newest_first(self.home[user] for each in direct for user in self.placed_users.get(each, ()))
        if node.shape == ():
            readers += [k for k in self.kernels if k.domain == ()]
        found = dict.fromkeys([*self._newest_first(makers), *readers])
        return [k for k in found if k.is_nest and len(k.nodes) < _MOST_NODES]

    def _newest_first(self, kernels: Iterable[Kernel]) -> list[Kernel]:
        return sorted(set(kernels), key=self.age.__getitem__, reverse=True)

    def _fits(self, node: Node, kernel: Kernel) -> bool:
        axes = kernel.axes
        if node.op.kind == "reduce":
            if any(map(kernel.has_joined, kernel.nodes)) or node.inputs[0].shape != kernel.domain:
                return False
            if axes not in (None, node.attributes["axes"]) and not kernel.may_have_column(node):
                return False
        elif node.shape != kernel.domain and node.shape != kernel.row_shape:
            return False
        if self._makes_circle(node, kernel) or self._waits_for_larger(node, kernel):
            return False
        return all(self._can_read(node, each, kernel) for each in node.inputs)

    def _can_read(self, node: Node, operand: Node, kernel: Kernel) -> bool:
        """Values of the same nest are read entry for entry, or as the row that a full node belongs to."""
        inside = [each for each in self._behind(operand) if self.home.get(each) is kernel]
        if not inside:
            return True
        source, is_mapped = self.source(operand)
        if len(inside) > 1 or source is not inside[0] or kernel.has_column(source):
            return False
        wants_full = node.op.kind == "reduce" or not kernel.has_row(node)
        if not is_mapped:
            return kernel.has_row(source) != wants_full
        return kernel.has_row(source) and wants_full and _only_broadcasts(operand, source)

    def _makes_circle(self, node: Node, kernel: Kernel) -> bool:
        others = {self.home[each] for each in self.sources(node) if each in self.home} - {kernel}
        age = self.age[kernel]
        return any(self.before[self.age[other]] >> age & 1 for other in others)

    def _waits_for_larger(self, node: Node, kernel: Kernel) -> bool:
        """Whether a small nest, or the node in it, would wait for a far larger one that it does not need.

        That one could then never be joined to their users: a count of labels is known before the softmax whose
        gradient it scales.
        """
        needed = self._with_before({self.home[each] for each in self.sources(node) if each in self.home})
        age = self.age[kernel]
        return bool((needed ^ self.before[age]) & ~(1 << age) & self._larger_than(kernel))

    def _larger_than(self, kernel: Kernel) -> int:
        """The kernels whose domain is far larger, whether they still are or have been merged."""
        size = size_of(kernel.domain)
        if size not in self._far_larger:
            larger = (age for age, other in enumerate(self.by_age) if size_of(other.domain) >= _FAR_LARGER * size)
            self._far_larger[size] = sum(1 << age for age in larger)
        return self._far_larger[size]

    def _with_before(self, kernels: Iterable[Kernel]) -> int:
        """These kernels and all that must have run before them."""
        found = 0
        for each in kernels:
            age = self.age[each]
            found |= 1 << age | self.before[age]
        return found

    def _depend(self, kernel: Kernel, others: set[Kernel]) -> None:
        needed, age = self._with_before(others), self.age[kernel]
        if not needed & ~self.before[age]:
            return
        self.before[age] |= needed
        self.before = [each | needed if each >> age & 1 else each for each in self.before]

    # --- merging -----------------------------------------------------------------------------------------------------

    def _may_merge(self, maker: Kernel, kernel: Kernel) -> bool:
        """Whether two nests over the same entries can be one: no third kernel must run between them."""
        if not (maker.is_nest and kernel.is_nest and maker.domain == kernel.domain and self._axes_agree(maker, kernel)):
            return False
        if len(maker.nodes) + len(kernel.nodes) > _MOST_NODES or any(map(is_move, (*maker.nodes, *kernel.nodes))):
            return False
        first, needed = self.age[maker], self.before[self.age[kernel]]
        if any(self.before[age] >> first & 1 for age in _ages(needed & ~self.before[first])):
            return False
        others = needed & ~self.before[first] & ~(1 << first)
        if others & self._larger_than(maker) and not self._is_only_for(kernel, maker):
            return False
        joint = Kernel([*maker.nodes, *kernel.nodes], kernel.domain, maker.axes or kernel.axes)
        homes = {node: self.home[node] for node in joint.nodes}
        self.home.update(dict.fromkeys(joint.nodes, joint))
        is_readable = all(self._can_read(node, each, joint) for node in joint.nodes for each in node.inputs)
        self.home.update(homes)
        return is_readable

    def _is_only_for(self, kernel: Kernel, maker: Kernel) -> bool:
        """Whether nobody else waits for what the maker computes."""
        return all(self.home.get(user) in (kernel, maker) for node in maker.nodes for user in self.users.get(node, ()))

    def _axes_agree(self, a: Kernel, b: Kernel) -> bool:
        return a.axes is None or b.axes is None or a.axes == b.axes

    def _merge(self, maker: Kernel, kernel: Kernel) -> None:
        kernel.nodes = sorted([*maker.nodes, *kernel.nodes], key=self.place.__getitem__)
        kernel.axes = maker.axes or kernel.axes
        self.home.update(dict.fromkeys(maker.nodes, kernel))
        self.kernels.remove(maker)
        gone, own = self.age[maker], self.age[kernel]
        needed = (self.before[own] | self.before[gone]) & ~(1 << gone)
        self.before[own], self.before[gone] = needed, 0
        needed |= 1 << own
        self.before = [each & ~(1 << gone) | needed if each >> gone & 1 else each for each in self.before]

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
            kernel.after = {self.by_age[age] for age in _ages(self.before[self.age[kernel]])}


def _ages(bits: int) -> Iterator[int]:
    """The places of the bits that are set, the oldest kernel's first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def is_number(node: Node) -> bool:
    """Whether the node is one known number in every place."""
    return known_number(node) is not None


def _only_broadcasts(operand: Node, source: Node) -> bool:
    node = operand
    while node is not source:
        if node.op.name != "broadcast":
            return False
        node = node.inputs[0]
    return True


def _turned(node: Node) -> list[Node]:
    """What is to be put in order in memory first, because it would be read across, perhaps more than once."""
    while not turning_of(node):
        if not (node.op.identities.get("repeats") or node.op.identities.get("keeps_order")):
            return []
        node = node.inputs[0]
    return [node]


def topological(kernels: Iterable[Kernel]) -> list[Kernel]:
    """The kernels, each behind all that it waits for: those wait for fewer."""
    return sorted(kernels, key=lambda each: len(each.after))


def fuse(outputs: Sequence[Node]) -> list[Kernel]:
    """The kernels of a program, in an order in which they can run."""
    return Fusion(outputs).run()
