"""`scan`: a loop as a primitive, whose chain rule is another `scan` (backpropagation through time).

In: the initial carries, the sequences (leading axis T) and the constants of a body program. Out: for each carry its
history of T + 1 values, the initial one first, and for each per-step result the T values stacked. All of these are
residuals of the reverse loop: what the forward loop has stacked is read there and not computed a second time, so a body
that also returns the result of its matrix product has a reverse loop without that product.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from thalweg.dtype import DType
from thalweg.errors import DTypeError, ShapeError, StructureError, explain
from thalweg.graph import (
    Node,
    Primitive,
    Shape,
    evaluate_node,
    input_leaf,
    make_input,
    register,
    structure_key,
    substitute,
    toposort,
    zeros_like,
)
from thalweg.ops.after_loop import Term, terms_of, varying
from thalweg.ops.move import flip, reshape, slice_


@dataclass(frozen=True, eq=False, repr=False)
class Body:
    """The program of one step: (carries, sequence entries, constants) -> (new carries, per-step results).

    It is closed: whatever it reads is one of its inputs or a number. Two bodies are equal if their structure is.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]

    def __post_init__(self) -> None:
        free = [node for node in self.order if node.op is input_leaf]
        if free or len(set(self.inputs)) != len(self.inputs):
            raise StructureError(
                explain(
                    "the body of a scan is not closed",
                    expected="each leaf exactly once among its inputs",
                    received=f"{len(free)} leaves that are not inputs, {len(self.inputs)} inputs",
                    remedy="pass what the body reads as a constant of the scan",
                )
            )

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """The operations of one step, in the order in which they run."""
        leaves = set(self.inputs)
        return tuple(each for each in toposort(self.outputs, is_leaf=leaves.__contains__) if each not in leaves)

    @cached_property
    def key(self) -> Hashable:
        return structure_key(self.outputs, self.inputs)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Body) else NotImplemented

    def __repr__(self) -> str:
        return f"<body of {len(self.order)} operations>"

    @cached_property
    def _last_reads(self) -> list[list[Node]]:
        """For each operation what nobody reads after it."""
        kept, found = set(self.outputs), list[list[Node]]()
        for node in reversed(self.order):
            found.append([each for each in dict.fromkeys((node, *node.inputs)) if each not in kept])
            kept.update(node.inputs, (node,))
        return found[::-1]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One step on NumPy; a value is forgotten after its last use."""
        values: dict[Node, Any] = dict(zip(self.inputs, arrays, strict=True))
        for node, done in zip(self.order, self._last_reads, strict=True):
            values[node] = evaluate_node(node, [values[each] for each in node.inputs])
            for each in done:
                del values[each]
        return [values[node] for node in self.outputs]


# --- shapes and dtypes -----------------------------------------------------------------------------------------------


def _scan_shape(*shapes: Shape, body: Body, carries: int, sequences: int, length: int) -> tuple[Shape, ...]:
    _check_count(len(shapes), body, carries, sequences)
    for position, (given, inside) in enumerate(zip(shapes, body.inputs, strict=True)):
        leading = (length,) if carries <= position < carries + sequences else ()
        if given != leading + inside.shape:
            raise ShapeError(
                explain(
                    f"scan: input {position} does not fit its body", received=given, expected=leading + inside.shape
                )
            )
    for position, (before, after) in enumerate(zip(body.inputs[:carries], body.outputs, strict=False)):
        if before.shape != after.shape:
            raise ShapeError(
                explain(
                    f"scan: carry {position} changes its shape",
                    received=f"{before.shape} in, {after.shape} out",
                    expected="the same shape after every step",
                )
            )
    return tuple(
        ((length + 1 if position < carries else length), *node.shape) for position, node in enumerate(body.outputs)
    )


def _check_count(given: int, body: Body, carries: int, sequences: int) -> None:
    if given != len(body.inputs) or not carries <= len(body.outputs) or carries + sequences > given:
        raise ShapeError(
            explain(
                "scan: inputs, carries and body do not fit together",
                expected=f"{len(body.inputs)} inputs",
                received=f"{given} inputs, of which {carries} carries and {sequences} sequences; "
                f"{len(body.outputs)} outputs of the body",
            )
        )


def _scan_dtype(*dtypes: DType, body: Body, carries: int, sequences: int, length: int) -> tuple[DType, ...]:
    for position, (given, inside) in enumerate(zip(dtypes, body.inputs, strict=True)):
        if given is not inside.dtype:
            raise DTypeError(
                explain(
                    f"scan: input {position} does not fit its body", received=given.name, expected=inside.dtype.name
                )
            )
    for position, (before, after) in enumerate(zip(body.inputs[:carries], body.outputs, strict=False)):
        if before.dtype is not after.dtype:
            raise DTypeError(
                explain(
                    f"scan: carry {position} changes its dtype",
                    received=f"{before.dtype} in, {after.dtype} out",
                    expected="the same dtype after every step",
                    remedy="convert it with .to(dtype) in the body",
                )
            )
    return tuple(node.dtype for node in body.outputs)


# --- the NumPy meaning -----------------------------------------------------------------------------------------------


def _scan(*arrays: np.ndarray, body: Body, carries: int, sequences: int, length: int) -> tuple[np.ndarray, ...]:
    state, constants = list(arrays[:carries]), arrays[carries + sequences :]
    outputs = tuple(
        np.empty(((length + 1 if position < carries else length), *node.shape), node.dtype.numpy)
        for position, node in enumerate(body.outputs)
    )
    for history, initial in zip(outputs, state, strict=False):
        history[0] = initial
    for step in range(length):
        entries = [np.asarray(each[step]) for each in arrays[carries : carries + sequences]]
        results = body.run([*state, *entries, *constants])
        state = results[:carries]
        for position, (stacked, result) in enumerate(zip(outputs, results, strict=True)):
            stacked[step + 1 if position < carries else step] = result
    return outputs


# --- the chain rule --------------------------------------------------------------------------------------------------


def _rows(node: Node, start: int, stop: int) -> Node:
    """Entries start..stop of the leading axis."""
    rest = node.shape[1:]
    return slice_(node, start=(start, *[0] * len(rest)), stop=(stop, *rest), step=(1,) * node.ndim)


def _row(node: Node, position: int) -> Node:
    return reshape(_rows(node, position, position + 1), shape=node.shape[1:])


def _backwards(node: Node) -> Node:
    return flip(node, axes=(0,))


def _placeholder(node: Node) -> Node:
    return make_input(node.shape, node.dtype)


@dataclass(frozen=True)
class _Step:
    """One step of the reverse loop, on nodes of its body: stand-ins for what comes in, and the cotangents that go out.

    `carried`: of a forward carry, the cotangent that the step after left; `stacks`: what differs from step to step and
    is known outside, with all its values (forward carries, sequences, what the forward loop stacked, cotangents that
    arrive from outside); `derived`: the cotangent of each input of the forward body, None for zero.
    """

    carried: dict[int, Node]
    stacks: dict[Node, Node]
    arrived: list[Node]
    derived: dict[int, Node | None]


def _reverse_step(
    g: Sequence[Node | None], y: Node, inputs: Sequence[Node], body: Body, counts: Mapping[str, int],
    gradients: Callable[..., list[Node | None]], wanted: Sequence[bool],
) -> _Step:  # fmt: skip
    """The body's own gradient program. Where it reads what the forward loop has stacked, that takes its place."""
    carries, length, first = counts["carries"], counts["length"], counts["carries"] + counts["sequences"]
    is_float = [node.dtype.is_floating_point for node in body.inputs]
    carried = {i: _placeholder(body.inputs[i]) for i in range(carries) if is_float[i]}
    arrived = {i: _placeholder(body.outputs[i]) for i, each in enumerate(g) if each is not None}
    seeds = [_sum_of(carried.get(i) if i < carries else None, arrived.get(i)) for i in range(len(body.outputs))]
    targets = [*carried, *[i for i in range(carries, len(inputs)) if is_float[i] and wanted[i]]]
    found = gradients(body.outputs, seeds, [body.inputs[i] for i in targets])
    known = {node: _placeholder(node) for node in body.outputs if node.op.kind != "leaf"}
    read = iter(substitute([each for each in found if each is not None], known))
    derived = {i: None if each is None else next(read) for i, each in zip(targets, found, strict=True)}

    def rows(node: Node, position: int, start: int) -> Node:
        return _rows(node, start, start + length) if position < carries else node

    stacks = {body.inputs[i]: rows(output(y, index=i), i, 0) for i in range(carries)}
    stacks |= {body.inputs[i]: inputs[i] for i in range(carries, first)}
    for i, node in reversed(list(enumerate(body.outputs))):  # of several outputs that are one node the first
        if node in known:
            stacks[known[node]] = rows(output(y, index=i), i, 1)
    stacks |= {node: rows(g[i], i, 1) for i, node in arrived.items()}  # type: ignore[arg-type]
    return _Step(carried, stacks, list(arrived.values()), derived)


def _sum_of(a: Node | None, b: Node | None) -> Node | None:
    return a + b if a is not None and b is not None else a or b


@dataclass(frozen=True)
class _Sums:
    """How the cotangents of constants are added up: by terms after the loop, the rest step by step in a carry."""

    later: dict[int, list[Term]]
    in_steps: dict[int, Node]
    stacked: list[Node]


def _divide_sums(step: _Step, stacked: Iterable[Node], constants: Iterable[int]) -> _Sums:
    """What is best left for after the loop: a product whose operands are stacked anyway, or take little more room.

    The bound keeps a loop that computes large values piece by piece, so as not to hold them, from holding them now.
    """
    found = {i: node for i in constants if (node := step.derived[i]) is not None}
    terms = {i: terms_of(node) for i, node in found.items()}
    order = toposort([each for each in step.derived.values() if each is not None])
    moving = varying(order, [*step.stacks, *step.carried.values()])
    at_hand, added = {*step.stacks, *stacked}, list[Node]()
    room = 2 * sum(node.size for node in (*step.carried.values(), *step.arrived, *stacked))
    later: dict[int, list[Term]] = {i: [] for i in terms}
    for i, term in [(i, term) for i, each in terms.items() for term in each if term.is_product]:
        new = [each for each in dict.fromkeys(term.operands) if each not in at_hand]
        size = sum(each.size for each in new)
        if size <= room and moving.issuperset(term.operands):
            room -= size
            later[i].append(term)
            at_hand.update(new)
            added += new
    for i, each in terms.items():
        later[i] += [term for term in each if not term.is_product and term.core in at_hand]
    rest = {i: [term for term in each if term not in later[i]] for i, each in terms.items()}
    parts = {i: [term.in_step() for term in each] if later[i] else [found[i]] for i, each in rest.items() if each}
    return _Sums(later, {i: total for i, each in parts.items() if (total := _total(each)) is not None}, added)


def _total(nodes: Sequence[Node]) -> Node | None:
    total: Node | None = None
    for node in nodes:
        total = _sum_of(total, node)
    return total


def _scan_rule(
    g: Sequence[Node | None], y: Node, *inputs: Node, body: Body, carries: int, sequences: int, length: int,
    gradients: Callable[..., list[Node | None]], wanted: Sequence[bool],
) -> tuple[Node | None, ...]:  # fmt: skip
    """Backpropagation through time: one scan over the flipped histories, sequences and cotangents.

    Its carries are the cotangents of the forward carries, and the sums of those cotangents of constants that are added
    up in the loop; its results the cotangents of the sequences' entries, and what is contracted after the loop.
    """
    counts = {"carries": carries, "sequences": sequences, "length": length}
    step = _reverse_step(g, y, inputs, body, counts, gradients, wanted)
    first = carries + sequences
    by_sequence = {i: each for i, each in step.derived.items() if carries <= i < first and each is not None}
    stacked = [each for each in dict.fromkeys(by_sequence.values()) if each not in step.stacks]
    sums = _divide_sums(step, stacked, [i for i in step.derived if i >= first])
    last, stacks = _reverse_loop(step, sums, stacked + sums.stacked, body.inputs, inputs, length)
    answer: list[Node | None] = [last.get(i) for i in range(len(inputs))]
    for i in step.carried:
        answer[i] = _sum_of(answer[i], None if g[i] is None else _row(g[i], 0))  # type: ignore[arg-type]
    for i, each in by_sequence.items():
        answer[i] = stacks[each]
    for i, terms in sums.later.items():
        answer[i] = _total([*filter(None, (answer[i],)), *[term.over_steps(stacks) for term in terms]])
    return tuple(answer)


def _reverse_loop(
    step: _Step, sums: _Sums, stacked: list[Node], inside: Sequence[Node], inputs: Sequence[Node], length: int
) -> tuple[dict[int, Node], dict[Node, Node]]:
    """The last value of each carry, by the input it belongs to, and the stacks of per-step values, in forward order."""
    running = {i: _placeholder(inside[i]) for i in sums.in_steps}
    carries = {**step.carried, **running}
    new = [step.derived[i] or zeros_like(node) for i, node in step.carried.items()]
    outputs = (*new, *[running[i] + each for i, each in sums.in_steps.items()], *stacked)
    used = set(toposort(outputs))
    entries = [node for node in step.stacks if node in used]
    constants = [i for i, node in enumerate(inside) if node in used and node not in step.stacks]
    if not outputs:
        return {}, step.stacks
    loop = scan(
        *[zeros_like(node) for node in carries.values()],
        *[_backwards(step.stacks[node]) for node in entries],
        *[inputs[i] for i in constants],
        body=Body((*carries.values(), *entries, *[inside[i] for i in constants]), outputs),
        carries=len(carries), sequences=len(entries), length=length,
    )  # fmt: skip
    last = {i: _row(output(loop, index=position), length) for position, i in enumerate(carries)}
    found = {node: _backwards(output(loop, index=index)) for index, node in enumerate(stacked, start=len(carries))}
    return last, step.stacks | found


# scan(*initial_carries, *sequences, *constants, body=, carries=, sequences=, length=): `carries` and `sequences` count.
scan = register(
    Primitive(
        "scan", "loop", _scan_shape, _scan_dtype, _scan, _scan_rule, multiple=True, identities={"takes_gradients": True}
    )
)


def _output_of(parts: tuple[Any, ...], index: int) -> Any:
    if not 0 <= index < len(parts):
        raise ShapeError(explain("output: no such result", received=index, expected=f"0 <= index < {len(parts)}"))
    return parts[index]


def _passed_on(node: Node) -> Node | None:
    (source,) = node.inputs
    return source.inputs[node.attributes["index"]] if source.op.identities.get("passes_on") else None


# One result of a primitive that has several; the reverse sweep collects its cotangents for the whole.
output = register(
    Primitive(
        "output",
        "loop",
        lambda shapes, *, index: _output_of(shapes, index),
        lambda dtypes, *, index: _output_of(dtypes, index),
        lambda results, *, index: results[index],
        identities={"projection": True, "simpler": _passed_on},
    )
)
