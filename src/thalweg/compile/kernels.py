"""Kernel forms of what is no nest: products, scatters, positions of an extreme; by the kind of the record.

In: a node that `fuse` left by itself. Out: the text of one LLVM function that computes it from its inputs' buffers. The
scalar in the innermost loop is the record's own emission.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from thalweg.compile.contraction import Area, Finish, emit_product
from thalweg.compile.emitter import Emitter
from thalweg.compile.fuse import Kernel
from thalweg.compile.operands import Operand, read_from, reads_windows
from thalweg.compile.ordering import form_order, form_running, scratch_of_order
from thalweg.compile.packing import share_of_piece
from thalweg.compile.pieces import WHOLE, Pieces, cut, wanted_pieces
from thalweg.compile.scattering import Updates, emit_scatter, scattering_of
from thalweg.compile.schedule import choose_schedule
from thalweg.compile.target import current_target
from thalweg.compile.tiling import Grid, Product, Tiling, Vectors, choose_grid, choose_tiling
from thalweg.compile.turning import emit_turning, turning_of
from thalweg.compile.values import RUN_PARAMETERS, NotEmittable, Value, literal
from thalweg.compile.window_kernel import Memory, emit_windows
from thalweg.compile.window_kernel import Product as WindowProduct
from thalweg.compile.window_tiling import operand_views, window_tiling_of, windows_of
from thalweg.graph import Node, Shape, attribute_key, size_of


def kernel_key(node: Node, numbers: Sequence[Value | None]) -> Hashable:
    """Equal for nodes that the same machine code computes."""
    operands = tuple((each.shape, each.dtype.name, number) for each, number in zip(node.inputs, numbers, strict=True))
    turning = turning_of(node)
    if turning is not None:
        return (node.op.kind, turning, node.dtype.name)
    places = [windows_of(node), *[view.start for view in operand_views(node)]] if reads_windows(node) else ()
    return (node.op.name, attribute_key(node), operands, node.shape, node.dtype.name, *places)


def emit_kernel(
    name: str, node: Node, numbers: Sequence[Value | None], e: Emitter | None = None, parts: int = 0
) -> tuple[str, set[str]]:
    """The function `name(out, inputs..., status, kernel)` for a node, and the declarations that it needs.

    `parts` is how many pieces there are along the first axis, for one of a chain.
    """
    form = FORMS_OF_RECORDS.get(node.op.identities.get("form", ""), FORMS.get(node.op.kind))
    if form is None or node.op.multiple:
        raise NotEmittable(node.op.name)
    e = e or Emitter()
    operands = operands_from(e, node, numbers)
    if parts:
        form_windows(e, node, operands, parts=parts)
    else:
        form(e, node, operands)
    pointers = ["%out", *[f"%in{i}" for i in range(len(operands))]]
    parameters = [
        *[f"ptr noalias {each}" for each in pointers],
        RUN_PARAMETERS,
    ]
    return e.function(name, parameters), e.declarations


def operands_from(e: Emitter, node: Node, numbers: Sequence[Value | None]) -> list[Operand]:
    """The node's inputs: where each lies, or the number that it is everywhere."""
    return [
        Operand(e, f"%in{i}", each.shape, each.dtype, number)
        for i, (each, number) in enumerate(zip(read_from(node), numbers, strict=True))
    ]


# --- the forms -------------------------------------------------------------------------------------------------------


def form_pull(e: Emitter, node: Node, operands: Sequence[Operand]) -> None:
    """For each index of the result, what the record says it is made of."""
    emission = node.op.emit
    if emission is None:
        raise NotEmittable(node.op.name)

    def body(index: list[Value]) -> None:
        e.store("%out", e.linear(index, node.shape), emission(e, index, *operands, **node.attributes))

    e.loops(node.shape, body)


def form_scatter(e: Emitter, node: Node, operands: Sequence[Operand]) -> None:
    """Start from zeros or from a copy; then each update, in order, goes where its index says."""
    emission = node.op.emit
    assert emission is not None
    base, updates, indices = emission(e, *operands, **node.attributes)
    depth = len(indices[0].shape)

    def picked(index: list[Value]) -> list[Value]:
        return [each.checked(index[:depth], extent) for each, extent in zip(indices, node.shape, strict=False)]

    emit_scatter(e, node, Updates(base, updates, depth, picked))


def form_contract(e: Emitter, node: Node, operands: Sequence[Operand]) -> None:
    """A batch of products, each in register tiles; integers by plain loops."""
    if "transpose_a" not in node.attributes:
        raise NotEmittable(node.op.name)
    if node.dtype.is_floating_point:
        form_product(e, node, operands, "%out")
    else:
        form_product_of_integers(e, node, operands)


def form_windows(
    e: Emitter,
    node: Node,
    operands: Sequence[Operand],
    out: str | None = "%out",
    finish_at: Callable[[Sequence[Value]], Finish] | None = None,
    parts: int = 0,
) -> None:
    """A convolution or one of its gradients, in register tiles."""
    if node.size:
        lane = windows_of(node).lane
        if lane.extent > 1 and lane.in_y != 1:
            raise NotEmittable("a window product whose outputs are not side by side")  # `simpler` puts them so
        views = zip(operands, operand_views(node), strict=True)
        x, w = (Memory(each.pointer, view.start, each.number) for each, view in views)
        tiling = window_tiling_of(node)
        pieces = cut(tiling.tiles // tiling.unit, parts) if parts else tiling.pieces
        emit_windows(e, WindowProduct(tiling, x, w, out, finish_at([]) if finish_at else None, pieces))


def form_turned(e: Emitter, node: Node, operands: Sequence[Operand]) -> None:
    """A copy with other entries side by side, in square blocks."""
    turning = turning_of(node)
    if turning is None:
        raise NotEmittable(node.op.name)
    emit_turning(e, node, turning, operands[0].pointer)


def form_product(
    e: Emitter,
    node: Node,
    operands: Sequence[Operand],
    out: str | None,
    finish_at: Callable[[Sequence[Value]], Finish] | None = None,
) -> None:
    """Products of floats, left in `out` if there is one; `finish_at(index)` is what follows at a place of the batch."""
    tiling = tiling_of(node)
    if tiling is None:
        return
    if any(each.number is not None for each in operands):
        raise NotEmittable("a product with one number everywhere")

    def place(pointer: str, shape: Shape, index: list[Value]) -> str:
        return e.advance(pointer, e.multiply(e.linear(index, shape[:-2]), e.integer(size_of(shape[-2:]))), node.dtype)

    def body(index: list[Value]) -> None:
        a, b = (place(each.pointer, each.shape, index) for each in operands)
        c = None if out is None else place(out, node.shape, index)
        finish = finish_at(index) if finish_at else None
        emit_product(e, a, b, c, "%scratch", tiling, finish, _area(e, share.grid) if share.grid else None)

    share = share_of(node)
    _over_batch(e, node.shape[:-2], share, body)


@dataclass(frozen=True)
class Share:
    """How a kernel is cut into pieces: a batch of products along one axis or each of them by a grid, others as told."""

    axis: int | None = None
    pieces: Pieces = WHOLE
    grid: Grid | None = None
    cycles: float = 0.0  # of the whole kernel, roughly

    @property
    def count(self) -> int:
        return self.grid.count if self.grid else self.pieces.count


def share_of(node: Node) -> Share:
    """The pieces of what is no nest, by its cost; a kernel of which nothing is known is one piece."""
    planned = window_tiling_of(node) if reads_windows(node) else scattering_of(node) or turning_of(node)
    if planned is not None:
        return Share(pieces=planned.pieces, cycles=planned.cycles)
    tiling, batch = tiling_of(node), node.shape[:-2]
    if tiling is None or not node.dtype.is_floating_point:
        return Share()
    cycles = size_of(batch) * tiling.cost * max(tiling.product.inner, 1)
    wanted = wanted_pieces(cycles)
    axis = max(range(len(batch)), key=batch.__getitem__, default=None)
    if wanted == 1:
        return Share(cycles=cycles)
    if axis is not None and batch[axis] >= min(wanted, _ENOUGH):
        return Share(axis, cut(batch[axis], wanted), cycles=cycles)
    grid = choose_grid(tiling, wanted)
    return Share(grid=grid if grid.count > 1 else None, cycles=cycles)


_ENOUGH = 8  # pieces: threads end at nearly the same time


def _area(e: Emitter, grid: Grid) -> Area:
    """The strips and panels of this piece."""
    across = grid.panels.count
    of_strips, of_panels = e.quotient(e.piece(), across), e.modulo(e.piece(), across)
    if across == 1:
        of_strips, of_panels = e.piece(), e.integer(0)
    if grid.strips.count == 1:
        of_strips, of_panels = e.integer(0), e.piece()
    strips, panels = share_of_piece(e, of_strips, grid.strips), share_of_piece(e, of_panels, grid.panels)
    return Area(strips.first, strips.count, panels.first, panels.count)


def _over_batch(e: Emitter, batch: Shape, share: Share, body: Callable[[list[Value]], None]) -> None:
    """Every product of the batch; of the axis that is cut, those of this piece."""
    if share.axis is None:
        e.loops(batch, body)
        return
    before, after, pieces = batch[: share.axis], batch[share.axis + 1 :], share.pieces
    share_here = share_of_piece(e, e.piece(), pieces)
    with e.loop(share_here.count) as i:
        here, depth = e.add(share_here.first, i), len(before)
        e.loops((*before, *after), lambda index: body([*index[:depth], here, *index[depth:]]))


def cycles_of(kernel: Kernel) -> float:
    """What the kernel costs, roughly: to decide whether threads pay."""
    if kernel.is_nest:
        return choose_schedule(kernel).cycles
    if kernel.loop:
        return kernel.loop.length * kernel.loop.parts * sum(map(cycles_of, kernel.loop.layout.kernels))
    own = share_of(kernel.nodes[0]).cycles
    return own + (choose_schedule(kernel.epilogue).cycles if kernel.epilogue else 0.0)


def pieces_of(kernel: Kernel) -> int:
    """Into how many pieces the kernel's function is cut."""
    if kernel.loop:
        return kernel.loop.pieces
    if kernel.parts:
        return kernel.parts
    if kernel.is_nest:
        return choose_schedule(kernel).pieces.count
    return share_of(kernel.nodes[0]).count


def takes_epilogue(node: Node) -> bool:
    """Whether the kernel can do more with a tile that has just left the registers."""
    if not reads_windows(node):
        return tiling_of(node) is not None
    tiling = window_tiling_of(node)
    return tiling.blocks.count == 1 and tiling.windows.lane.place == node.ndim - 1


def keeps_totals(node: Node) -> bool:
    """Whether sums are made in several parts, between which they lie in memory."""
    tiling = tiling_of(node)
    return tiling is not None and tiling.parts > 1


def tiling_of(node: Node) -> Tiling | None:
    """How the product is cut for this machine; None where there is nothing to compute."""
    if node.op.kind != "contract" or "transpose_a" not in node.attributes or not node.size:
        return None
    rows, columns = node.shape[-2:]
    inner = node.inputs[0].shape[-2 if node.attributes["transpose_a"] else -1]
    flags = node.attributes["transpose_a"], node.attributes["transpose_b"]
    target = current_target()
    vectors = Vectors(target.vector_bytes // node.dtype.itemsize, target.registers)
    return choose_tiling(Product(rows, columns, inner, *flags, node.dtype), vectors)


def scratch_bytes(node: Node) -> int:
    """Room that the node's kernel needs while it runs."""
    if node.op.identities.get("form") == "order":
        return scratch_of_order(node)
    tiling = tiling_of(node) if node.dtype.is_floating_point else None
    return tiling.scratch * node.dtype.itemsize if tiling else 0


def form_product_of_integers(e: Emitter, node: Node, operands: Sequence[Operand]) -> None:
    """C[m, n] = sum over k of A[m, k] B[k, n], in order."""
    a, b = operands
    transpose_a, transpose_b = node.attributes["transpose_a"], node.attributes["transpose_b"]
    inner = a.shape[-2 if transpose_a else -1]

    def body(index: list[Value]) -> None:
        *outer, m, n = index
        total = e.variable(node.dtype, literal(0, node.dtype))
        with e.loop(inner) as k:
            left = a.load([*outer, k, m] if transpose_a else [*outer, m, k])
            right = b.load([*outer, n, k] if transpose_b else [*outer, k, n])
            e.write(total, e.multiply_add(left, right, e.read(total, node.dtype)))
        e.store("%out", e.linear(index, node.shape), e.read(total, node.dtype))

    e.loops(node.shape, body)


# Where a record asks for a form of its own, and for the others by their kind.
FORMS_OF_RECORDS: dict[str, Callable[[Emitter, Node, Sequence[Operand]], None]] = {
    "scatter": form_scatter,
    "running": form_running,
    "order": form_order,
    "windows": form_windows,
}
FORMS: dict[str, Callable[[Emitter, Node, Sequence[Operand]], None]] = {
    "index": form_pull,
    "reduce": form_pull,
    "contract": form_contract,
    "move": form_turned,
}
