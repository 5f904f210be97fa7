"""Which kernels are done sample by sample, one after the other, so that what one leaves the next finds in the cache.

In: the kernels of a program in their order. Out: the same with chains in it: neighbours that are cut into the same
pieces along their first axis, each of which reads of the others' results only its own piece. A thread that claims a
piece does it in all of them: normalised values are padded, convolved and summed up before the next sample is touched.
How they are cut depends on shapes alone, so no bit depends on threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thalweg.compile.fuse import Kernel, is_checked, is_move, is_number
from thalweg.compile.operands import reads_windows
from thalweg.compile.pieces import largest_divisor
from thalweg.compile.schedule import choose_schedule
from thalweg.compile.views import keeps_slabs, step_of
from thalweg.compile.window_tiling import operand_views, window_tiling_of
from thalweg.graph import Node

_LINK = 1 << 19  # bytes: a smaller value stays in the cache as a whole
_NEAR = 3 << 19  # bytes of one piece of all values of a chain: three quarters of a second-level cache
_FEWEST, _MOST = 8, 64  # pieces


@dataclass(frozen=True)
class Slabs:
    """A kernel that can be cut along its first axis: into so many slabs, and whose values it touches slab by slab."""

    count: int
    values: frozenset[Node]


def chained(kernels: Sequence[Kernel], replaced: Iterable[Node] = ()) -> list[Kernel]:
    """The kernels with the members of each chain behind each other. `replaced` are values that overwrite cells."""
    cells = set(replaced)
    found = {each: slabs_of(each) for each in kernels if any(map(_is_large, (*each.inputs, *each.outputs)))}
    slabs = {each: slab for each, slab in found.items() if slab and not cells.intersection(each.outputs)}
    left, result = dict.fromkeys(kernels), list[Kernel]()
    done: set[Kernel] = set()
    while left:
        chain = [next(iter(left))]
        while (following := _next(chain, left, slabs, done)) is not None:
            chain.append(following)
        _cut(chain, slabs)
        result += chain
        done.update(chain)
        for each in chain:
            del left[each]
    return result


def _next(
    chain: Sequence[Kernel], left: Iterable[Kernel], slabs: Mapping[Kernel, Slabs], done: set[Kernel]
) -> Kernel | None:
    """The first kernel that can go on with a piece of what the chain has made, and waits for nothing else."""
    if chain[-1] not in slabs:
        return None
    made = {node for each in chain for node in each.outputs}
    for kernel in left:
        if kernel in slabs and kernel not in chain and kernel.after <= done.union(chain):
            links = made.intersection(kernel.inputs)
            if any(map(_is_large, links)) and links <= slabs[kernel].values and _pieces([*chain, kernel], slabs):
                return kernel
    return None


def _is_large(node: Node) -> bool:
    return _bytes(node) >= _LINK


def _bytes(node: Node) -> int:
    return node.size * node.dtype.itemsize


def _pieces(chain: Sequence[Kernel], slabs: Mapping[Kernel, Slabs]) -> int:
    """Into how many pieces all of them are cut; 0 where that would be too few, or a piece too large for the cache."""
    pieces = largest_divisor(math.gcd(*(slabs[each].count for each in chain)), _MOST)
    near = sum(map(_bytes, frozenset().union(*(slabs[each].values for each in chain)))) // pieces
    return pieces if pieces >= _FEWEST and near <= _NEAR else 0


def _cut(chain: Sequence[Kernel], slabs: Mapping[Kernel, Slabs]) -> None:
    if len(chain) > 1:
        pieces = _pieces(chain, slabs)
        for kernel in chain:
            kernel.parts = pieces
        chain[0].links = len(chain) - 1


# --- what a kernel touches -------------------------------------------------------------------------------------------


def slabs_of(kernel: Kernel) -> Slabs | None:
    """How a kernel can be cut along the first axis of its results; None where it cannot."""
    if is_checked(kernel) or any(not node.shape for node in kernel.outputs):
        return None
    if kernel.is_nest:
        return _slabs_of_nest(kernel)
    return _slabs_of_windows(kernel) if reads_windows(kernel.nodes[0]) else None


def _slabs_of_nest(kernel: Kernel) -> Slabs | None:
    samples = kernel.domain[0] if kernel.domain else 0
    if samples < _FEWEST or 0 in (kernel.axes or ()) or any(node.shape[:1] != (samples,) for node in kernel.nodes):
        return None
    schedule = choose_schedule(kernel)
    if 0 in (schedule.axis, schedule.group_axis) or any(sweep.columns for sweep in schedule.sweeps):
        return None
    return Slabs(samples, frozenset([*kernel.outputs, *_followed(kernel, kernel.inputs, samples)]))


def _slabs_of_windows(kernel: Kernel) -> Slabs | None:
    node, nest = kernel.nodes[0], kernel.epilogue
    count, tiling = node.shape[0], window_tiling_of(node)
    outer = tiling.windows.outer
    is_outermost = bool(outer) and outer[0].place == 0 and tiling.axis > 0
    if not is_outermost or (tiling.unit == 1 and (tiling.panels_first or tiling.blocks.count > 1)):
        return None
    if nest and any(each.shape[:1] != (count,) for each in nest.nodes):
        return None
    values = _operands_followed(node, count)
    if nest:
        values.update(_followed(nest, [each for each in nest.inputs if each is not node], count))
    return Slabs(outer[0].extent, frozenset([*kernel.outputs, *values]))


def _operands_followed(node: Node, count: int) -> set[Node]:
    """The operands of a window product that have the first axis of its result, the batch or one in front of it."""
    first, lead = node.attributes["order"][0], node.attributes["lead"]
    followed, elsewhere = set[Node](), set[Node]()
    for operand, view, last in zip(node.inputs, operand_views(node), (lead, lead - 1), strict=True):
        shape, strides = (_moved_first(each, first) for each in (operand.shape, view.strides))
        is_even = first <= last and shape[0] == count and view.source.size % count == 0
        is_followed = is_even and keeps_slabs(view.start, strides, shape, view.source.size // count)
        (followed if is_followed else elsewhere).add(view.source)
    return followed - elsewhere


def _moved_first(values: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (values[axis], *values[:axis], *values[axis + 1 :])


def _followed(nest: Kernel, inputs: Iterable[Node], samples: int) -> list[Node]:
    """The inputs of which index i of the first axis reads nothing but slab i."""
    memory, elsewhere, seen = set(inputs), set[Node](), set[tuple[Node, bool]]()
    stack = [(node, True) for node in nest.nodes]
    while stack:
        node, keeps = stack.pop()
        for each in node.inputs:
            kept = keeps and _keeps_first(node, each, samples)
            if each in memory and not kept:
                elsewhere.add(each)
            elif each not in memory and not is_number(each) and (each, kept) not in seen:
                seen.add((each, kept))
                stack.append((each, kept))
    return [each for each in memory if each not in elsewhere and each.shape[:1] == (samples,)]


def _keeps_first(node: Node, operand: Node, samples: int) -> bool:
    """Whether entries at index i of the node's first axis are made of those at index i of the operand's."""
    if node.shape[:1] != (samples,) or operand.shape[:1] != (samples,):
        return False
    if not is_move(node):
        return node.op.kind in ("elementwise", "reduce")
    view = step_of(node)
    if view is not None:
        return keeps_slabs(view.start, view.strides, node.shape, operand.size // samples)
    return bool(node.op.identities.get("by_axis"))  # an axis that is as long as before is as before
