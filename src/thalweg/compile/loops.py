"""Loops before they are lowered: what does not change in a step is done once, and nothing is kept that nobody reads.

In: the outputs of a program with `scan`s in it. Out: the same with `loop`s in their place, whose histories, results and
operands are only those that somebody needs. Values that a loop computes and the loop of its chain rule would compute
again are kept by the first for the second, where they are dear and not too large.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thalweg import ops
from thalweg.compile.remembered_steps import remember_steps
from thalweg.compile.rewriting import Sharing, rewrite, rewrite_into, users_of
from thalweg.compile.simplify import pass_simplify
from thalweg.compile.summing_steps import sum_after_steps
from thalweg.graph import Node, full, make_input, substitute, toposort
from thalweg.ops.rules import known_number


def pass_loops(outputs: Sequence[Node]) -> list[Node]:
    """Every `scan` as a `loop`."""
    if not any(node.op is ops.scan for node in toposort(outputs)):
        return list(outputs)
    opened = rewrite(outputs, lambda node: _lightened(node) if node.op is ops.scan else node)
    shared = rewrite(opened, Sharing())
    return _Lowering(rewrite(sum_after_steps(remember_steps(shared)), Sharing())).run()


# --- a step without what does not change in it -----------------------------------------------------------------------


@dataclass
class _Steps:
    """A scan in pieces: for each input of its body what it is inside and outside."""

    inside: list[Node]
    outside: list[Node]
    outputs: list[Node]
    carries: int
    sequences: int
    length: int

    @classmethod
    def of(cls, scan: Node) -> _Steps:
        known = scan.attributes
        body = known["body"]
        return cls(
            list(body.inputs), list(scan.inputs), list(body.outputs), known["carries"], known["sequences"],
            known["length"],
        )  # fmt: skip

    @property
    def first_constant(self) -> int:
        return self.carries + self.sequences

    def scan(self) -> Node:
        return ops.scan(
            *self.outside, body=ops.Body(tuple(self.inside), tuple(self.outputs)), carries=self.carries,
            sequences=self.sequences, length=self.length,
        )  # fmt: skip

    def add_constant(self, outside: Node) -> Node:
        """What stands for it inside."""
        self.inside.append(make_input(outside.shape, outside.dtype))
        self.outside.append(outside)
        return self.inside[-1]

    def drop_unread(self) -> None:
        """Sequences and constants that no step reads."""
        read = set(toposort(self.outputs))
        kept = [i for i, each in enumerate(self.inside) if i < self.carries or each in read]
        self.sequences = sum(self.carries <= i < self.first_constant for i in kept)
        self.inside, self.outside = [self.inside[i] for i in kept], [self.outside[i] for i in kept]


def _lightened(scan: Node) -> Node:
    steps = _Steps.of(scan)
    _put_numbers_inside(steps)
    steps.outputs = pass_simplify(rewrite(steps.outputs, Sharing()))
    _hoist(steps)
    steps.drop_unread()
    lighter = steps.scan()
    lighter.origin = scan.origin
    return lighter


def _put_numbers_inside(steps: _Steps) -> None:
    """What is one known number everywhere, and what stands among the inputs twice."""
    seen: dict[tuple[bool, Node], Node] = {}
    new: dict[Node, Node] = {}
    for i in range(steps.carries, len(steps.inside)):
        inside, outside = steps.inside[i], steps.outside[i]
        number = known_number(outside)
        if number is not None:
            new[inside] = full(inside.shape, number, inside.dtype)
        else:
            first = seen.setdefault((i < steps.first_constant, outside), inside)
            if first is not inside:
                new[inside] = first
    steps.outputs = substitute(steps.outputs, new)


def _hoist(steps: _Steps) -> None:
    """Values that are the same in every step become constants; products read weights that lie as they read them."""
    fixed = set(steps.inside[steps.first_constant :])
    outside = dict(zip(steps.inside, steps.outside, strict=True))
    hoisted: dict[Node, Node] = {}

    def inside_of(node: Node) -> Node:
        if node not in hoisted:
            (there,) = substitute([node], {each: outside[each] for each in toposort([node]) if each in outside})
            hoisted[node] = steps.add_constant(there)
        return hoisted[node]

    new: dict[Node, Node] = {}

    def make(node: Node) -> Node:
        if node in fixed or not node.inputs or known_number(node) is not None:
            return _renewed(node, new)
        is_fixed = all(each in fixed or known_number(each) is not None for each in node.inputs)
        if is_fixed and not node.op.multiple and node.op.kind != "random" and not node.op.identities.get("repeats"):
            fixed.add(node)
            return node
        node = _with_upright_weight(node, fixed)
        return _renewed(node, new, lambda each: inside_of(each) if each in fixed and each.inputs else None)

    steps.outputs = [
        inside_of(old) if old in fixed and old.inputs else each
        for old, each in zip(steps.outputs, rewrite_into(new, steps.outputs, make), strict=True)
    ]


def _renewed(node: Node, new: dict[Node, Node], instead: Any = lambda _: None) -> Node:
    inputs = tuple([instead(each) or new.get(each, each) for each in node.inputs])
    return node if inputs == node.inputs else type(node)(node.form, inputs)


def _with_upright_weight(node: Node, fixed: set[Node]) -> Node:
    """The product with a fixed operand turned over beforehand, not in every step; a single row reads it as it lies."""
    if node.op is not ops.matmul or not node.attributes["transpose_b"] or node.inputs[1] not in fixed:
        return node
    if node.shape[-2] == 1:
        return node
    a, b = node.inputs
    turned = ops.permute(b, order=(*range(b.ndim - 2), b.ndim - 1, b.ndim - 2))
    fixed.add(turned)
    return ops.matmul(a, turned, transpose_a=node.attributes["transpose_a"], transpose_b=False)


# --- only what is read -----------------------------------------------------------------------------------------------


@dataclass
class _Reading:
    """How the outside reads a scan: by index of its outputs."""

    histories: set[int]
    lasts: set[int]
    results: set[int]
    forwards: set[int]  # of the results, those that somebody reads in the order of the steps


class _Lowering:
    """One run over a program."""

    def __init__(self, outputs: Sequence[Node]) -> None:
        self.outputs = list(outputs)
        self.order = toposort(outputs)
        self.users = users_of(self.order)
        self.shown = set(outputs)
        self.places: dict[Node, dict[int, int]] = {}  # scan -> which output of its loop each of its outputs has become
        self.readings: dict[Node, _Reading] = {}

    def run(self) -> list[Node]:
        new: dict[Node, Node] = {}
        return rewrite_into(new, self.outputs, lambda node: self._made(node, new))

    def _made(self, node: Node, new: dict[Node, Node]) -> Node:
        if node.op is ops.scan:
            return self._loop(node, [new[each] for each in node.inputs])
        source, index = _projected(node)
        if source is None:
            return _renewed(node, new)
        reading, loop = self.readings[source], new[source]
        carries, is_end = source.attributes["carries"], node.op is not ops.output
        if index >= carries:
            return self._result(node, source, index, loop, is_end)
        if index in reading.histories:
            if is_end:
                return _renewed(node, new)
            return ops.output(loop, index=self.places[source][index])
        if not is_end:
            return node  # only its last value is read, by the next lines
        return ops.reshape(ops.output(loop, index=self.places[source][index]), shape=node.shape)

    def _result(self, node: Node, source: Node, index: int, loop: Node, is_end: bool) -> Node:
        """A stacked result; `is_end` where the node is the result backwards."""
        twin, forwards = self._twin(source, index), index in self.readings[source].forwards
        if twin is not None:
            history = ops.output(loop, index=self.places[source][twin])
            stacked = _rows(history, 1, history.shape[0])
            return ops.flip(stacked, axes=(0,)) if is_end else stacked
        stacked = ops.output(loop, index=self.places[source][index])
        return ops.flip(stacked, axes=(0,)) if is_end and forwards else stacked

    def _twin(self, scan: Node, index: int) -> int | None:
        """The carry that a result is equal to: its history then has it."""
        known, new = scan.attributes, scan.attributes["body"].outputs
        carries = range(known["carries"])
        return next((i for i in carries if new[i] is new[index]), None) if index >= len(carries) else None

    def _loop(self, scan: Node, operands: Sequence[Node]) -> Node:
        reading = self.readings[scan] = self._reading(scan)
        steps = replace(_Steps.of(scan), outside=list(operands))
        carried = _live_carries(steps, reading)
        results = sorted(reading.results)
        kept_places = [*carried, *results]
        self.places[scan] = {old: place for place, old in enumerate(kept_places)}
        others = range(steps.carries, len(steps.inside))
        positions = [*carried, *others]
        trimmed = _Steps(
            [steps.inside[i] for i in positions], [steps.outside[i] for i in positions],
            [steps.outputs[i] for i in kept_places], len(carried), steps.sequences, steps.length,
        )  # fmt: skip
        trimmed.drop_unread()
        return ops.loop(
            *trimmed.outside, body=ops.Body(tuple(trimmed.inside), tuple(trimmed.outputs)),
            carries=trimmed.carries, sequences=trimmed.sequences, length=trimmed.length,
            kept=tuple(i in reading.histories for i in carried),
            backwards=tuple(i not in reading.forwards for i in results),
        )  # fmt: skip

    def _reading(self, scan: Node) -> _Reading:
        length, carries = scan.attributes["length"], scan.attributes["carries"]
        reading = _Reading(set(), set(), set(), set())
        for each in self.users.get(scan, ()):
            index, users = each.attributes["index"], self.users.get(each, ())
            is_shown = each in self.shown
            if index < carries:
                is_last = not is_shown and all(_is_row(user, length) for user in users)
                (reading.lasts if is_last else reading.histories).add(index)
            elif (twin := self._twin(scan, index)) is not None:
                reading.histories.add(twin)
            else:
                reading.results.add(index)
                if is_shown or not all(_is_backwards(user) for user in users):
                    reading.forwards.add(index)
        return reading


def _projected(node: Node) -> tuple[Node | None, int]:
    """The scan that a node reads an output of, alone or only its last row or backwards; and which output."""
    read = node if node.op is ops.output else node.inputs[0] if node.inputs else node
    if read.op is not ops.output or read.inputs[0].op is not ops.scan:
        return None, 0
    scan, index = read.inputs[0], read.attributes["index"]
    is_carry, length = index < scan.attributes["carries"], scan.attributes["length"]
    is_read = node is read or (_is_row(node, length) if is_carry else _is_backwards(node))
    return (scan, index) if is_read else (None, 0)


def _is_row(node: Node, position: int) -> bool:
    known = node.attributes
    return node.op is ops.slice_ and known["start"][0] == position and node.shape[1:] == node.inputs[0].shape[1:]


def _is_backwards(node: Node) -> bool:
    return node.op is ops.flip and node.attributes["axes"] == (0,)


def _rows(node: Node, start: int, stop: int) -> Node:
    rest = node.shape[1:]
    return ops.slice_(node, start=(start, *[0] * len(rest)), stop=(stop, *rest), step=(1,) * node.ndim)


def _live_carries(steps: _Steps, reading: _Reading) -> list[int]:
    """The carries that are read outside, or that something needs which is."""
    live = reading.histories | reading.lasts
    wanted: Iterable[int] = live | reading.results
    position = {node: i for i, node in enumerate(steps.inside[: steps.carries])}
    while wanted:
        reached = {position[each] for each in toposort([steps.outputs[i] for i in wanted]) if each in position}
        wanted = reached - live
        live |= reached
    return sorted(live)
