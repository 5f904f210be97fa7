"""`scan`: a loop as a primitive, whose chain rule is another `scan` (backpropagation through time).

In: the initial carries, the sequences (leading axis T) and the constants of a body program. Out: for each carry its
history of T + 1 values, the initial one first, and for each per-step result the T values stacked. The histories are
the residuals of the reverse loop, which therefore repeats none of the forward work that led to a carry.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
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
    toposort,
    zeros_like,
)
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

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One step on NumPy."""
        values: dict[Node, Any] = dict(zip(self.inputs, arrays, strict=True))
        for node in self.order:
            values[node] = evaluate_node(node, [values[each] for each in node.inputs])
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
class _Reverse:
    """The body of the reverse loop, and which positions of the forward loop its parts belong to.

    Its carries are the cotangents of the forward `carries` and the sums of the `constants`' cotangents; its sequences
    the forward carries, the forward sequences and the cotangents that `arriving` outputs receive from outside; its
    results the cotangents of the `sequences`' entries.
    """

    body: Body
    carries: list[int]
    constants: list[int]
    sequences: list[int]
    arriving: list[int]


def _reverse_body(
    body: Body, carries: int, sequences: int, arriving: list[int], wanted: Sequence[bool],
    gradients: Callable[..., list[Node | None]],
) -> _Reverse:  # fmt: skip
    """The body's own gradient program, with the cotangents of the new carries and the results as inputs."""
    entries, first = body.inputs[: carries + sequences], carries + sequences
    is_float = [node.dtype.is_floating_point for node in body.inputs]
    by_carry = [i for i in range(carries) if is_float[i]]
    by_sequence = [i for i in range(carries, first) if is_float[i] and wanted[i]]
    by_constant = [i for i in range(first, len(body.inputs)) if is_float[i] and wanted[i]]
    carried = {i: _placeholder(body.inputs[i]) for i in by_carry}
    summed = {i: _placeholder(body.inputs[i]) for i in by_constant}
    arrived = {i: _placeholder(body.outputs[i]) for i in arriving}
    seeds = [_sum_of(carried.get(i) if i < carries else None, arrived.get(i)) for i in range(len(body.outputs))]
    targets = [*by_carry, *by_constant, *by_sequence]
    found = gradients(body.outputs, seeds, [body.inputs[i] for i in targets])
    derived = {i: each or zeros_like(body.inputs[i]) for i, each in zip(targets, found, strict=True)}
    outputs = (
        *(derived[i] for i in by_carry),
        *(summed[i] + derived[i] for i in by_constant),
        *(derived[i] for i in by_sequence),
    )
    inputs = (*carried.values(), *summed.values(), *entries, *arrived.values(), *body.inputs[first:])
    return _Reverse(Body(inputs, outputs), by_carry, by_constant, by_sequence, arriving)


def _sum_of(a: Node | None, b: Node | None) -> Node | None:
    return a + b if a is not None and b is not None else a or b


def _scan_rule(
    g: Sequence[Node | None], y: Node, *inputs: Node, body: Body, carries: int, sequences: int, length: int,
    gradients: Callable[..., list[Node | None]], wanted: Sequence[bool],
) -> tuple[Node | None, ...]:  # fmt: skip
    """Backpropagation through time: one scan over the flipped histories, sequences and cotangents."""
    arriving = [i for i, each in enumerate(g) if each is not None]
    reverse = _reverse_body(body, carries, sequences, arriving, wanted, gradients)
    started = [*reverse.carries, *reverse.constants]
    histories = [_backwards(_rows(output(y, index=i), 0, length)) for i in range(carries)]
    entries = [_backwards(each) for each in inputs[carries : carries + sequences]]
    arrived = [_backwards(_rows(g[i], 1, length + 1) if i < carries else g[i]) for i in arriving]  # type: ignore[arg-type]
    loop = scan(
        *[zeros_like(body.inputs[i]) for i in started], *histories, *entries, *arrived, *inputs[carries + sequences :],
        body=reverse.body, carries=len(started), sequences=carries + sequences + len(arriving), length=length,
    )  # fmt: skip
    answer: list[Node | None] = [None] * len(inputs)
    for position, i in enumerate(started):
        answer[i] = _row(output(loop, index=position), length)
    for i in set(reverse.carries) & set(arriving):
        answer[i] = answer[i] + _row(g[i], 0)  # type: ignore[operator,arg-type]
    for position, i in enumerate(reverse.sequences, start=len(started)):
        answer[i] = _backwards(output(loop, index=position))
    return tuple(answer)


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


# One result of a primitive that has several; the reverse sweep collects its cotangents for the whole.
output = register(
    Primitive(
        "output",
        "loop",
        lambda shapes, *, index: _output_of(shapes, index),
        lambda dtypes, *, index: _output_of(dtypes, index),
        lambda results, *, index: results[index],
        identities={"projection": True},
    )
)
