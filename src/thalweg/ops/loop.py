"""`scan`: a loop as a primitive, whose chain rule is another `scan` (backpropagation through time).

In: the initial carries, the sequences (leading axis T) and the constants of a body program. Out: for each carry its
history of T + 1 values, the initial one first, and for each per-step result the T values stacked. The histories are
the residuals of the reverse loop, which therefore repeats none of the forward work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.dtype import DType
from thalweg.errors import ShapeError, explain
from thalweg.graph import (
    Node,
    Primitive,
    Shape,
    make_input,
    register,
    structure_key,
    toposort,
    zeros_like,
)
from thalweg.ops.move import flip, reshape, slice_


@dataclass(frozen=True, eq=False)
class Body:
    """The program of one step: (carries, sequence entries, constants) -> (new carries, per-step results)."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]

    def __hash__(self) -> int:
        return hash(structure_key(self.outputs, self.inputs))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Body):
            return NotImplemented
        return structure_key(self.outputs, self.inputs) == structure_key(other.outputs, other.inputs)

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One step on NumPy."""
        values: dict[Node, Any] = dict(zip(self.inputs, arrays, strict=True))
        for node in toposort(self.outputs, is_leaf=values.__contains__):
            if node not in values:
                values[node] = evaluate_node(node, [values[each] for each in node.inputs])
        return [values[node] for node in self.outputs]


def _scan_shape(*shapes: Shape, body: Body, carries: int, length: int) -> tuple[Shape, ...]:
    for given, inside in zip(shapes[:carries], body.outputs, strict=False):
        if given != inside.shape:
            raise ShapeError(
                explain("scan: the carry changes its shape", received=f"{given} in, {inside.shape} out",
                        expected="the same shape after every step")
            )
    histories = tuple((length + 1, *node.shape) for node in body.outputs[:carries])
    return histories + tuple((length, *node.shape) for node in body.outputs[carries:])


def _scan_dtype(*dtypes: DType, body: Body, carries: int, length: int) -> tuple[DType, ...]:
    return tuple(node.dtype for node in body.outputs)


def _sequence_count(body: Body, inputs: Sequence[Any], carries: int, length: int) -> int:
    """How many inputs are sequences: those with one axis more than the body sees."""
    return sum(each.ndim == inside.ndim + 1 for each, inside in zip(inputs, body.inputs, strict=True))


def _scan(*arrays: np.ndarray, body: Body, carries: int, length: int) -> tuple[np.ndarray, ...]:
    count = _sequence_count(body, arrays, carries, length)
    state, sequences, constants = list(arrays[:carries]), arrays[carries : carries + count], arrays[carries + count :]
    outputs = [
        np.empty(shape, node.dtype.numpy)
        for shape, node in zip(
            _scan_shape(*[a.shape for a in arrays], body=body, carries=carries, length=length), body.outputs, strict=True
        )
    ]
    for history, initial in zip(outputs, state, strict=False):
        history[0] = initial
    for step in range(length):
        results = body.run([*state, *[each[step] for each in sequences], *constants])
        state = results[:carries]
        for index, (output, result) in enumerate(zip(outputs, results, strict=True)):
            output[step + 1 if index < carries else step] = result
    return tuple(outputs)


def _rows(node: Node, start: int, stop: int) -> Node:
    """Entries start..stop of the leading axis."""
    rest = node.shape[1:]
    return slice_(node, start=(start, *[0] * len(rest)), stop=(stop, *rest), step=(1,) * node.ndim)


def _backwards(node: Node) -> Node:
    return flip(node, axes=(0,))


def scan_rule(
    g: Sequence[Node | None], y: Node, *inputs: Node, body: Body, carries: int, length: int,
    gradients: Callable[..., list[Node | None]],
) -> tuple[Node | None, ...]:  # fmt: skip
    """Backpropagation through time: one scan over the flipped sequences.

    Its carries are the cotangents of the forward carries and the sums of the constants' cotangents; at each step the
    body's own gradient program takes (cotangent of new carries, of results) to (cotangent of carries, entries,
    constants).
    """
    count = _sequence_count(body, inputs, carries, length)
    is_active = [each.dtype.is_floating_point for each in body.inputs]
    kinds = ["carry"] * carries + ["sequence"] * count + ["constant"] * (len(inputs) - carries - count)
    active = {kind: [i for i, each in enumerate(kinds) if each == kind and is_active[i]] for kind in set(kinds)}
    wanted = [*active.get("carry", []), *active.get("constant", []), *active.get("sequence", [])]

    cotangents = [None if each is None else each for each in g]
    float_outputs = [i for i, each in enumerate(body.outputs) if each.dtype.is_floating_point]
    arriving = {i: make_input(body.outputs[i].shape, body.outputs[i].dtype) for i in float_outputs if cotangents[i]}
    carried = {i: make_input(body.inputs[i].shape, body.inputs[i].dtype) for i in active.get("carry", [])}
    collected = {i: make_input(body.inputs[i].shape, body.inputs[i].dtype) for i in active.get("constant", [])}

    seeds: list[Node | None] = []
    for i in range(len(body.outputs)):
        terms = [each for each in (carried.get(i) if i < carries else None, arriving.get(i)) if each is not None]
        seeds.append(None if not terms else terms[0] if len(terms) == 1 else terms[0] + terms[1])
    inner = gradients(body.outputs, seeds, [body.inputs[i] for i in wanted])
    derived = {
        i: zeros_like(body.inputs[i]) if each is None else each for i, each in zip(wanted, inner, strict=True)
    }

    new_carries = [derived[i] for i in carried] + [collected[i] + derived[i] for i in collected]
    results = [derived[i] for i in active.get("sequence", [])]
    forward_entries = list(body.inputs[: carries + count])
    constants = list(body.inputs[carries + count :])
    reverse_body = Body(
        (*carried.values(), *collected.values(), *forward_entries, *arriving.values(), *constants),
        (*new_carries, *results),
    )
    start = [zeros_like(node) for node in (*carried.values(), *collected.values())]
    histories = [_backwards(_rows(output(y, index=i), 0, length)) for i in range(carries)]
    sequences = [_backwards(each) for each in inputs[carries : carries + count]]
    arrived = [
        _backwards(_rows(cotangents[i], 1, length + 1) if i < carries else cotangents[i])  # type: ignore[arg-type]
        for i in arriving
    ]
    reverse = scan(
        *start, *histories, *sequences, *arrived, *inputs[carries + count :],
        body=reverse_body, carries=len(start), length=length,
    )  # fmt: skip

    answer: list[Node | None] = [None] * len(inputs)
    for position, i in enumerate([*carried, *collected]):
        answer[i] = _last(output(reverse, index=position), length)
        if i in carried and cotangents[i] is not None:
            answer[i] = answer[i] + reshape(_rows(cotangents[i], 0, 1), shape=inputs[i].shape)  # type: ignore[operator,arg-type]
    for position, i in enumerate(active.get("sequence", [])):
        answer[i] = _backwards(output(reverse, index=len(start) + position))
    return tuple(answer)


def _last(history: Node, length: int) -> Node:
    return reshape(_rows(history, length, length + 1), shape=history.shape[1:])


scan = register(
    Primitive("scan", "loop", _scan_shape, _scan_dtype, _scan, scan_rule, multiple=True,
              identities={"takes_gradients": True})
)


def _output_dtype(dtypes: Any, *, index: int) -> DType:
    return dtypes[index]


# One result of a primitive that has several; the reverse sweep collects its cotangents for the whole.
output = register(
    Primitive("output", "loop", lambda shapes, *, index: shapes[index], _output_dtype,
              lambda results, *, index: results[index], identities={"projection": True})
)

