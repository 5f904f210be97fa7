"""How a nest is cut for the machine: which axis the lanes follow, what is worked on side by side, what is kept at hand.

In: a fused kernel and a target. Out: a `Schedule`, plain data that `nest` follows. It depends on shapes and on the
target alone, never on threads, so the order of every sum, and with it every bit, is fixed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from thalweg.compile.emitter import Emitter
from thalweg.compile.fuse import Kernel, is_move, is_number
from thalweg.compile.pieces import WHOLE, Pieces, cut, wanted_pieces
from thalweg.compile.target import Target, current_target
from thalweg.compile.values import NotEmittable, Value
from thalweg.graph import Node, Shape, attribute_key, size_of

_IN_FLIGHT = 4  # chains of additions side by side: an addition takes four cycles and its load half of one
_SIDE_BY_SIDE = 8  # vectors of kept entries under which rows are summed up: more of each line in memory is used at once
LONGEST = 1 << 10  # groups that a total takes up before it is added to a total of totals: fewer roundings in a row
_FEW_TOTALS = 3
_BODY = 400  # lines of the innermost body: a longer one fills registers and compile time, not the processor
_DRAWN = 64  # random entries that share their rounds, see `mathematics/philox.py`
_ROUNDS = 1600  # lines of a body that draws: longer than others, as every vector on its own would do all the rounds
_WORTH_KEEPING = 4  # lines that are computed again as fast as they are stored and loaded
_NEAR = 16 << 10  # bytes of rows side by side: they and what is kept of them should stay in the first-level cache
_CACHES = 4 << 20  # bytes that are surely not in the second-level cache
_SCRATCH = 48 << 10  # bytes kept for later passes: the row should still be in the first-level cache, or just behind it


@dataclass(frozen=True)
class Run:
    """`blocks` times `count` groups of `size` neighbouring steps of an axis, from entry `first` on.

    `last` is how many lanes the last step of a group has; less than all only where there is one group.
    """

    first: int
    blocks: int
    count: int
    size: int
    last: int


@dataclass(frozen=True)
class Sweep:
    """One pass over the reduced entries: what it sums up, in rows or in columns, what it leaves in memory or keeps for
    later passes, and which rows are known then."""

    reductions: tuple[Node, ...]
    columns: tuple[Node, ...]
    stores: tuple[Node, ...]
    keeps: tuple[Node, ...]
    rows: tuple[Node, ...]


@dataclass(frozen=True)
class Schedule:
    """A nest's loops: `extents` steps of each axis, where axes that lie behind one another are walked as one.

    Along `group_axis` `group` places are worked on side by side; along the innermost reduced axis `chains` steps are,
    each with totals of its own, so that no addition waits for the one before it.
    """

    extents: Shape
    axis: int | None
    width: int
    group_axis: int | None
    group: int
    chains: int
    sweeps: tuple[Sweep, ...]
    is_stream: bool  # once through more memory than the caches hold
    cut_axis: int | None = None  # the kept axis that is cut into pieces
    pieces: Pieces = WHOLE  # of groups of that axis
    cycles: float = 0.0  # of the whole nest, roughly

    def runs(self, axis: int, group: int, longest: int = 1 << 62) -> list[Run]:
        """The steps of an axis in groups."""
        return runs_of(self.extents[axis], self.width if axis == self.axis else 1, group, longest)


def runs_of(extent: int, unit: int, group: int, longest: int = 1 << 62) -> list[Run]:
    """Steps of `unit` entries in whole groups, `longest` groups at most in one block; then what is left.

    >>> runs_of(1000, 16, 4)
    [Run(first=0, blocks=1, count=15, size=4, last=16), Run(first=960, blocks=1, count=1, size=3, last=8)]
    """
    steps, rest = divmod(extent, unit)
    groups, left = divmod(steps, group)
    blocks, single = divmod(groups, longest)
    runs = [Run(0, blocks, longest, group, unit)] if blocks else []
    if single:
        runs.append(Run(blocks * longest * group * unit, 1, single, group, unit))
    if left or rest:
        runs.append(Run(groups * group * unit, 1, 1, left + bool(rest), rest or unit))
    return runs


def choose_schedule(kernel: Kernel, target: Target | None = None) -> Schedule:
    """The schedule of a kernel for a target; for the one that is compiled for if none is given.

    It is asked by whoever cuts, orders, writes or counts a kernel, and found once for what the kernel then is.
    """
    about = (
        target or current_target(), kernel.domain, kernel.axes, kernel.parts,
        tuple(kernel.nodes), tuple(kernel.inputs), tuple(kernel.outputs),
    )  # fmt: skip
    if kernel.planned is None or kernel.planned[0] != about:
        kernel.planned = about, _schedule(kernel, about[0])
    found: Schedule = kernel.planned[1]
    return found


def _schedule(kernel: Kernel, target: Target) -> Schedule:
    extents = merged_extents(kernel)
    axis = next((each for each in reversed(range(len(extents))) if extents[each] > 1), None)
    width = _lanes(kernel, target) if axis is not None else 1
    lines = sum(emission_lines(node) for node in kernel.nodes if not kernel.has_row(node))
    room = max(1, min(_IN_FLIGHT if target.registers >= 32 else _IN_FLIGHT // 2, _BODY // max(lines, 1)))
    group_axis = _group_axis(kernel, extents, axis)
    draw = _vectors_of_draw(kernel, extents, axis, width)
    if draw > 1:
        room = min(draw, max(room, _ROUNDS // max(lines, 1)))
    beside = room
    if kernel.axes and axis not in kernel.axes and target.registers >= 32:
        beside = max(room, min(_SIDE_BY_SIDE, _BODY // (2 * max(lines, 1))))
    group = min(beside, _steps(extents, group_axis, axis, width)) if group_axis is not None else 1
    if axis in (kernel.axes or ()):
        row = _full_bytes(kernel) * size_of(tuple(kernel.domain[each] for each in kernel.axes or ()))
        group = max(1, min(group, _NEAR // max(row, 1))) if draw == 1 else 1  # neighbours are along the reduced axis
    if kernel.axes is None and lines * group > _BODY // 4 and draw == 1:
        group = 1  # nothing to wait for: a long body fills the processor by itself
    innermost = max((each for each in kernel.axes or () if extents[each] != 1), default=None)
    steps = _steps(extents, innermost, axis, width) if innermost is not None else 1
    chains = max(1, min(2 * room // group if group == 1 and draw == 1 else room // group, steps))
    sweeps = _sweeps(kernel, size_of(tuple(extents[each] for each in kernel.axes or ())) * group, width)
    totals = max((len(each.reductions) for each in sweeps), default=0)
    # More totals would not stay in registers; where there are many, so are the values between them (six of a watched
    # update, four side by side: 2 % of a perceptron's step went into registers that were stored and loaded again).
    held = target.registers * 3 // 4 if totals <= _FEW_TOTALS else target.registers // 2
    chains = max(1, min(chains, held // max(totals, 1)))
    is_stream = kernel.axes is None and _full_bytes(kernel) * size_of(kernel.domain) > _CACHES
    schedule = Schedule(extents, axis, width, group_axis, group, chains, sweeps, is_stream)
    return _cut(kernel, schedule, lines)


def _cut(kernel: Kernel, schedule: Schedule, lines: int) -> Schedule:
    """The schedule with a kept axis cut into pieces, the outermost that is long enough or else the longest.

    Columns take up every row, one after the other, and are not cut.
    """
    kept = [axis for axis in range(len(kernel.domain)) if axis not in (kernel.axes or ())]
    entries = size_of(kernel.domain)
    cycles = entries * max(lines / (2 * schedule.width), _full_bytes(kernel) / 16)
    schedule, wanted = replace(schedule, cycles=cycles), wanted_pieces(cycles)
    if kernel.parts:
        return replace(schedule, cut_axis=0, pieces=cut(schedule.extents[0], kernel.parts))
    if wanted == 1 or any(sweep.columns for sweep in schedule.sweeps):
        return schedule
    groups = {axis: _groups_of(schedule, axis) for axis in kept}
    axis = next((each for each in kept if groups[each] >= wanted), max(kept, key=groups.__getitem__, default=None))
    if axis is None or groups[axis] < 2:
        return schedule
    return replace(schedule, cut_axis=axis, pieces=cut(groups[axis], wanted))


def _groups_of(schedule: Schedule, axis: int) -> int:
    """How many whole groups of steps an axis has."""
    first = next(iter(schedule.runs(axis, schedule.group if axis == schedule.group_axis else 1)), None)
    return first.count if first else 0


def _full_bytes(kernel: Kernel) -> int:
    """Bytes that are read and written for each entry."""
    return sum(each.dtype.itemsize for each in (*kernel.inputs, *kernel.outputs) if each.shape == kernel.domain)


def _vectors_of_draw(kernel: Kernel, extents: Shape, axis: int | None, width: int) -> int:
    """How many neighbouring vectors share the rounds of their random bits, if they begin where a draw does."""
    if axis is None or not any(node.op.kind == "random" for node in kernel.nodes):
        return 1
    is_even = extents[axis] % _DRAWN == 0 or size_of(extents) == extents[axis]
    return max(1, _DRAWN // width) if is_even else 1


def _steps(extents: Shape, axis: int | None, vector_axis: int | None, width: int) -> int:
    extent = extents[axis] if axis is not None else 1
    return max(1, -(-extent // width) if axis == vector_axis else extent)


def _group_axis(kernel: Kernel, extents: Shape, axis: int | None) -> int | None:
    """The kept axis whose neighbours are worked on together: that of the lanes, or the innermost one."""
    kept = [each for each in range(len(extents)) if each not in (kernel.axes or ()) and extents[each] > 1]
    return axis if axis in kept else max(kept, default=None)


def _lanes(kernel: Kernel, target: Target) -> int:
    """As many as a register holds of the widest floating-point number in the nest."""
    sizes = [node.dtype.itemsize for node in kernel.nodes if node.dtype.is_floating_point]
    return target.vector_bytes // max(sizes, default=8)


# --- axes that are one -----------------------------------------------------------------------------------------------


def merged_extents(kernel: Kernel) -> Shape:
    """The steps of each axis after merging: of axes that every read walks through as one, the last has them all.

    Rows of 1,000 would end in a masked half vector each; a million entries in a row end in none.
    """
    extents = list(kernel.domain)
    axes = [axis for axis, extent in enumerate(extents) if extent != 1]
    reduced, stored = kernel.axes or (), set(kernel.inputs)
    for a, b in pairwise(axes):
        if a == 0 and kernel.parts:
            continue  # cut there
        if (a in reduced) == (b in reduced) and all(_is_read_as_one(node, a, b, stored) for node in kernel.nodes):
            extents[a], extents[b] = 1, extents[a] * extents[b]
    return tuple(extents)


def _is_read_as_one(node: Node, a: int, b: int, stored: set[Node]) -> bool:
    """Whether a member reads its inputs only by the row-major place in axes a and b taken together."""
    if node.op.kind in ("elementwise", "reduce"):
        return all(_is_mapped_as_one(each, a, b, stored) for each in node.inputs)
    if is_move(node):
        return _is_mapped_as_one(node, a, b, stored)
    return node.op.kind == "random"  # entry i is a function of i


def _is_mapped_as_one(node: Node, a: int, b: int, stored: set[Node]) -> bool:
    while is_move(node) and not is_number(node) and node not in stored:
        identities, source = node.op.identities, node.inputs[0]
        if identities.get("keeps_order"):
            return not is_move(source) or source in stored
        if not identities.get("repeats"):
            return False
        extents = source.shape[a], source.shape[b]
        if extents == (1, 1):
            return True
        if extents != (node.shape[a], node.shape[b]):
            return False
        node = source
    return not node.op.identities.get("counts")  # a position is along one axis


# --- passes ----------------------------------------------------------------------------------------------------------


def levels_of(kernel: Kernel) -> dict[Node, int]:
    """The pass in which each node is computed: one more for every reduction whose result it reads."""
    levels: dict[Node, int] = {}
    members = set(kernel.nodes)
    for node in kernel.nodes:
        level = 0
        for each in members_behind(node, members):
            is_row = each.op.kind == "reduce" or kernel.has_row(each)
            here = node.op.kind == "reduce" or not kernel.has_row(node)
            level = max(level, levels[each] + (1 if is_row and here else 0))
        levels[node] = level
    return levels


def members_behind(node: Node, members: set[Node]) -> list[Node]:
    """The members that a node reads, also through movements."""
    found, stack = [], list(node.inputs)
    while stack:
        each = stack.pop()
        if each in members:
            found.append(each)
        elif is_move(each):
            stack.extend(each.inputs)
    return found


def _sweeps(kernel: Kernel, entries: int, width: int) -> tuple[Sweep, ...]:
    """The passes of a kernel that walk over so many entries side by side."""
    if kernel.axes is None:
        return (Sweep((), (), tuple(kernel.outputs), (), ()),)
    levels = levels_of(kernel)
    last = max(levels.values())
    reductions: list[list[Node]] = [[] for _ in range(last + 1)]
    columns, stores, rows = ([list[Node]() for _ in range(last + 1)] for _ in range(3))
    for node in kernel.nodes:
        if node.op.kind == "reduce" and not kernel.has_column(node):
            reductions[levels[node]].append(node)
    for node in kernel.nodes:
        # What nobody waits for is done in a pass that runs anyway, if there is one.
        passing = next((each for each in range(levels[node], last + 1) if reductions[each]), last)
        if kernel.has_column(node):
            columns[passing].append(node)
        elif node.op.kind != "reduce" and kernel.has_row(node):
            rows[levels[node]].append(node)
        elif is_full(kernel, node) and node in kernel.outputs:
            stores[passing].append(node)
    sums = [[*a, *b] for a, b in zip(reductions, columns, strict=True)]
    keeps = _kept(kernel, levels, sums, stores, entries + width)
    return tuple(Sweep(*map(tuple, each)) for each in zip(reductions, columns, stores, keeps, rows, strict=True))


def is_full(kernel: Kernel, node: Node) -> bool:
    return node.op.kind != "reduce" and not kernel.has_row(node)


def _kept(
    kernel: Kernel,
    levels: Mapping[Node, int],
    sums: Sequence[Sequence[Node]],
    stores: Sequence[Sequence[Node]],
    room: int,
) -> list[list[Node]]:
    """For each pass the values to be kept for later ones: those that would cost more to compute again.

    `room` is how many entries a value has in all places side by side. A value that only a later pass needs is kept by
    the pass before that knows its parts: one store and one load instead of a few of each.
    """
    keeps: list[list[Node]] = [[] for _ in stores]
    members, first, known, bytes_left = set(kernel.nodes), dict[Node, int](), set[Node](), _SCRATCH
    for level, (summed, written) in enumerate(zip(sums, stores, strict=True)):
        stack = [*[node.inputs[0] for node in summed], *written]
        while stack:
            node = stack.pop()
            if node not in members or not is_full(kernel, node) or node in known:
                continue
            earlier = _earlier_pass(kernel, node, levels, first, level)
            size = room * node.dtype.itemsize
            if earlier is not None and size <= bytes_left and _price(kernel, node, known) > _WORTH_KEEPING:
                keeps[earlier].append(node)
                known.add(node)
                bytes_left -= size
            else:
                first.setdefault(node, level)
                stack.extend(node.inputs)
        known.update(written)
    return keeps


def _earlier_pass(
    kernel: Kernel, node: Node, levels: Mapping[Node, int], first: Mapping[Node, int], level: int
) -> int | None:
    """The pass before this one that computes the node or, knowing what it needs, some of its parts."""
    if node in first:
        return first[node] if first[node] < level else None
    parts = [first[each] for each in node.inputs if each in first and is_full(kernel, each)]
    latest = max((each for each in parts if each < level), default=-1)
    return latest if latest >= levels[node] else None


def _price(kernel: Kernel, node: Node, known: set[Node]) -> int:
    """Lines of computing a node from memory, from rows, and from what is known."""
    members, seen, total, stack = set(kernel.nodes), set[Node](), 0, [node]
    while stack:
        each = stack.pop()
        if each in seen or is_number(each):
            continue
        seen.add(each)
        if each not in members or each in known:
            total += 0 if kernel.has_row(_behind_repeats(each)) else 1
        elif is_full(kernel, each):
            total += emission_lines(each)
            stack.extend(each.inputs)
    return total


def _behind_repeats(node: Node) -> Node:
    while node.op.identities.get("repeats"):
        node = node.inputs[0]
    return node


# --- what a node costs -----------------------------------------------------------------------------------------------

_UNSEEN = {"random": 30, "index": 8, "reduce": 1, "move": 2}  # lines, roughly, where the emission reads memory itself


def emission_lines(node: Node) -> int:
    """How much code a node is: the lines of its own emission for one vector."""
    if node.op.kind != "elementwise":
        return _UNSEEN.get(node.op.kind, 8)
    key = (node.op.name, attribute_key(node), tuple(each.dtype for each in node.inputs))
    if key not in _counted:
        _counted[key] = _count_lines(node)
    return _counted[key]


_counted: dict[Hashable, int] = {}


def _count_lines(node: Node) -> int:
    e = Emitter()
    operands = [Value(f"%x{i}", each.dtype, 16) for i, each in enumerate(node.inputs)]
    try:
        node.op.emit(e, *operands, **node.attributes)  # type: ignore[misc]
    except NotEmittable:
        return 1
    return len(e.lines)
