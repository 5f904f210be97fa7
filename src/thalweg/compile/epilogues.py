"""Which elementwise nests are done inside the product whose entries they read: bias, activation, residual, chain rule.

In: the kernels of a program. Out: the same with some of them joined in pairs, in an order in which they can run; and
the text of such a pair. What the nest reads of the product is a tile that has just left the registers, and the product
itself reaches memory only where somebody else needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from thalweg.compile.contraction import Finish, Vector
from thalweg.compile.emitter import Emitter
from thalweg.compile.fuse import Kernel, is_checked, is_move, is_number, memory_of, topological
from thalweg.compile.kernels import form_product, form_windows, keeps_totals, operands_from, takes_epilogue
from thalweg.compile.nest import NestEmitter
from thalweg.compile.operands import reads_windows
from thalweg.compile.places import Place
from thalweg.compile.recomputing import is_large
from thalweg.compile.schedule import choose_schedule, emission_lines, members_behind
from thalweg.compile.values import RUN_PARAMETERS, Counting, Value
from thalweg.graph import Node, Shape

# Other operands as large as the product, at most. Tiles go through them in short rows far apart; an optimizer's update,
# which reads three, is faster as streams.
_MOST_OPERANDS = 2
_BESIDE = 4  # vectors that are worked on side by side
_BODY = 240  # lines of code of them, at most


def attach(kernels: Sequence[Kernel], outputs: Iterable[Node]) -> list[Kernel]:
    """The kernels, each product with the first nest that can be its epilogue; `outputs` are those of the program."""
    result, shown = list(kernels), set(map(memory_of, outputs))
    products = [each for each in kernels if not each.is_nest and not each.nodes[0].op.multiple]
    for nest in kernels:
        product = next((each for each in products if each in nest.after and _fits(each, nest, result)), None)
        if product is not None:
            _join(product, nest, result, shown)
        elif nest.axes is not None and (cut := _without_sums(nest)) is not None:
            _attach_first(products, nest, *cut, result, shown)
    return topological(result)


def _fits(product: Kernel, nest: Kernel, kernels: Sequence[Kernel]) -> bool:
    """Whether the nest can be done tile by tile while the product is made."""
    if product not in nest.after or product.is_nest or product.epilogue or not nest.is_nest or nest.axes is not None:
        return False
    (node,) = product.nodes
    if node.size != nest.nodes[0].size or node.shape[-1:] != nest.domain[-1:] or not _has_lanes_of(node, nest):
        return False
    if is_checked(nest) or any(each.op.kind != "elementwise" for each in nest.nodes) or not takes_epilogue(node):
        return False
    if sum(each.size == node.size for each in nest.inputs if each is not node) > _MOST_OPERANDS:
        return False
    if any(product in other.after and other in nest.after for other in kernels):
        return False
    return _names_of(node, nest) is not None


def _has_lanes_of(node: Node, nest: Kernel) -> bool:
    """Whether a vector of the nest is a vector of the product."""
    return all(each.dtype is node.dtype for each in nest.nodes if each.dtype.is_floating_point)


def _names_of(product: Node, nest: Kernel) -> list[Node] | None:
    """The nodes that a nest reads as the product, entry for entry; None if it also reads it in another way."""
    names: list[Node] = []
    stop = {*nest.nodes, *nest.inputs} - {product}
    stack = [each for node in nest.nodes for each in node.inputs]
    while stack:
        each = stack.pop()
        if memory_of(each, stop) is product:
            names.append(each)
        elif each not in stop:
            if is_move(each) and not each.op.identities.get("keeps_order") and _reads(each, product, stop):
                return None
            stack.extend(each.inputs)
    return names


def _reads(node: Node, product: Node, stop: set[Node]) -> bool:
    return node is product or (node not in stop and any(_reads(each, product, stop) for each in node.inputs))


def _join(product: Kernel, nest: Kernel, kernels: list[Kernel], shown: set[Node]) -> None:
    """The nest becomes the product's epilogue, and leaves the list."""
    (node,) = product.nodes
    is_read = any(node in other.inputs for other in kernels if other not in (product, nest))
    is_stored = is_read or node in shown or keeps_totals(node)
    product.epilogue = nest
    product.nodes = [node, *nest.nodes]
    product.inputs = list(dict.fromkeys([*product.inputs, *operands_of(product)]))
    product.outputs = [*[node] * is_stored, *nest.outputs]
    product.after = (product.after | nest.after) - {product}
    kernels.remove(nest)
    for other in kernels:
        if nest in other.after or product in other.after:  # who reads the product waits for the epilogue's operands
            other.after.discard(nest)
            other.after |= product.after
            other.after.add(product)


# --- a nest that also sums up ----------------------------------------------------------------------------------------


def _without_sums(nest: Kernel) -> tuple[Kernel, Kernel] | None:
    """The nest in two: its entries, which no sum has a part in, and the sums of those that are stored anyway."""
    behind, members = set[Node](), set(nest.nodes)
    for node in nest.nodes:
        if node.op.kind == "reduce" or behind.intersection(members_behind(node, members)):
            behind.add(node)
    entries, sums = ([each for each in nest.nodes if (each in behind) is later] for later in (False, True))
    is_whole = [node.shape == nest.domain for node in entries]
    if not all(is_whole) or any(node.shape == nest.domain and node.op.kind != "reduce" for node in sums):
        return None
    stored = [each for each in entries if each in nest.outputs]
    if not stored or any(
        not (each in stored or each in behind or is_number(each)) for node in sums for each in node.inputs
    ):
        return None
    first = Kernel(entries, nest.domain, None, inputs=nest.inputs, outputs=stored, after=set(nest.after))
    read = [each for each in stored if any(each in node.inputs for node in sums)]
    rest = [each for each in nest.outputs if each not in stored]
    return first, Kernel(sums, nest.domain, nest.axes, inputs=read, outputs=rest, after={*nest.after, first})


def _attach_first(
    products: Sequence[Kernel], nest: Kernel, first: Kernel, sums: Kernel, kernels: list[Kernel], shown: set[Node]
) -> None:
    """The entries become an epilogue and the sums a nest, where the product itself then needs no memory."""
    product = next((each for each in products if _fits(each, first, kernels)), None)
    if product is None or reads_windows(product.nodes[0]) or not is_large(product.nodes[0]):
        return
    (node,) = product.nodes
    if node in shown or keeps_totals(node):
        return
    if any(node in each.inputs for each in kernels if each not in (product, nest)):
        return
    kernels[kernels.index(nest) : kernels.index(nest) + 1] = [first, sums]
    for other in kernels:
        if nest in other.after:
            other.after = (other.after - {nest}) | {first, sums}
    _join(product, first, kernels, shown)


def operands_of(kernel: Kernel) -> list[Node]:
    """What an epilogue reads besides the product."""
    return [each for each in kernel.epilogue.inputs if each is not kernel.nodes[0]] if kernel.epilogue else []


# --- emission --------------------------------------------------------------------------------------------------------


def emit_with_epilogue(
    name: str, kernel: Kernel, numbers: Sequence[Value | None], e: Emitter | None = None
) -> tuple[str, set[str]]:
    """The function `name(outputs..., operands of the product, of the epilogue..., status, kernel, scratch)`."""
    e, product = e or Emitter(), kernel.nodes[0]
    pointers = {node: f"%out{i}" for i, node in enumerate(kernel.outputs)}
    pointers |= {node: f"%in{i + len(product.inputs)}" for i, node in enumerate(operands_of(kernel))}
    operands = operands_from(e, product, numbers)
    out, finish_at = pointers.get(product), _Epilogue(e, kernel, pointers).finish_at
    if reads_windows(product):
        form_windows(e, product, operands, out, finish_at, kernel.parts)
    else:
        form_product(e, product, operands, out, finish_at)
    parameters = [
        *[f"ptr {each}" for each in pointers.values() if each.startswith("%out")],
        *[f"ptr {each.pointer}" for each in operands],
        *[f"ptr {each}" for each in pointers.values() if each.startswith("%in")],
        RUN_PARAMETERS,
    ]
    return e.function(name, parameters), e.declarations


class _Epilogue:
    """A nest that gets its places from a product, and the product's entries in registers."""

    def __init__(self, e: Emitter, kernel: Kernel, pointers: Mapping[Node, str]) -> None:
        assert kernel.epilogue is not None
        self.e, self.product, self.kernel = e, kernel.nodes[0], kernel.epilogue
        self.domain = kernel.epilogue.domain
        self.memory = {node: pointer for node, pointer in pointers.items() if node is not self.product}
        self.schedule = replace(choose_schedule(kernel.epilogue), is_stream=False)
        self.names = _names_of(self.product, kernel.epilogue) or []

    def finish_at(self, index: Sequence[Value]) -> Finish:
        """What is done with each vector of the product at that index of its batch."""
        lines = sum(map(emission_lines, self.kernel.nodes))
        beside = max(1, min(_BESIDE, _BODY // max(lines, 1)))
        shape = self.product.shape
        alike = [pointer for node, pointer in self.memory.items() if node.size == self.product.size]

        def touched(row: Value, column: Value) -> list[tuple[str, Value]]:
            return [(pointer, self.e.linear([*index, row, column], shape)) for pointer in alike]

        return Finish(self._write, list(self.memory.values()), index, beside, touched)

    def _write(self, pointers: Sequence[str], index: Sequence[Value], vectors: Sequence[Vector]) -> None:
        nest = NestEmitter(self.kernel, dict(zip(self.memory, pointers, strict=True)), self.e, self.schedule)
        nest.entries([self._place(index, each) for each in vectors])

    def _place(self, index: Sequence[Value], vector: Vector) -> Place:
        lanes = vector.value.lanes
        last = Counting(self.e, vector.column, 1, lanes) if lanes > 1 else vector.column
        place = Place([*self._outer([*index, vector.row]), last], vector.mask, lanes)
        place.rows = dict.fromkeys(self.names, vector.value)
        return place

    def _outer(self, index: list[Value]) -> list[Value]:
        """The index of a row of the product, in the shape of the nest."""
        e, shape = self.e, self.domain[:-1]
        if _long(shape) == _long(self.product.shape[:-1]):
            steps = iter([i for i, extent in zip(index, self.product.shape[:-1], strict=True) if extent != 1])
            return [e.integer(0) if extent == 1 else next(steps) for extent in shape]
        place, result = e.linear(index, self.product.shape[:-1]), list[Value]()
        for extent in reversed(shape[1:]):
            result.append(e.modulo(place, extent))
            place = e.quotient(place, extent)
        return [*[place] * bool(shape), *reversed(result)]


def _long(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)
