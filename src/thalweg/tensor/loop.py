"""`tw.scan`: a loop over the leading axis as one operation, differentiated by backpropagation through time.

In: a function of (carry, entry), an initial carry, sequences. Out: the last carry and the stacked results. The function
runs once, on stand-ins; tensors that it closes over become constants of the loop, and gradients flow to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.errors import ArgumentError, DTypeError, ShapeError, TraceError, explain
from thalweg.graph import Node, input_leaf, make_input, toposort
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor
from thalweg.tensor.modes import modes, set_recording
from thalweg.tensor.shaping import flip, reshape, take_range
from thalweg.tensor.trace import Trace
from thalweg.tensor.tree import Structure, flatten, unflatten


def scan(
    body: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Run `carry, y = body(carry, x)` for each entry x of `xs` along the leading axis; one operation, whatever T is.

    - `init`: the first carry, a tensor or nested tuples, lists or dictionaries of them; shapes and dtypes stay.
    - `xs`: what is looped over, nested likewise, each of shape (T, ...); None with `length=T` for a loop of T steps.
    - `body`: tensor operations only: no `.item()`, no `if` on values. Tensors that it closes over take part with their
      gradients; cells that it writes in place (a running statistic, the random generator) are carried along.
    - `reverse`: from the last entry to the first; results stand where their entries stand.

    Returns (the last carry, the results stacked along a new leading axis T). Differentiable to any order.
    Raises ShapeError and DTypeError for carries that change, ArgumentError for sequences of different lengths,
    TraceError where the body looks at a value.

    Source: the scan of JAX (jax.lax.scan).

    >>> import thalweg as tw
    >>> rate = tw.tensor(0.5, requires_grad=True)
    >>> last, path = tw.scan(lambda h, x: (h * rate + x, h), tw.tensor(0.0), tw.tensor([1.0, 2.0, 3.0]))
    >>> last.item(), path.tolist()
    (4.25, [0.0, 1.0, 2.5])
    >>> last.backward()
    >>> rate.grad
    tensor(3.)
    """
    first, carry_structure = _tensors(init)
    sequences, sequence_structure = _tensors(xs) if xs is not None else ([], None)
    steps = _length(sequences, length)
    if reverse:
        sequences = [_move(each, flip(each.node, 0)) for each in sequences]
    loop = _trace(body, first, carry_structure, sequences, sequence_structure)
    histories, stacked = _run(loop, first, sequences, steps)
    for cell, history in zip(loop.cells, histories[len(first) :], strict=True):
        with set_recording(False):
            cell._assign(_last(history, steps))
    flags = loop.requires_grad or any(each.requires_grad for each in (*first, *sequences))
    is_recorded = flags and modes.grad_enabled
    last = [Tensor._result(_last(each, steps), is_recorded) for each in histories[: len(first)]]
    results = [flip(each, 0) if reverse else each for each in stacked]
    ys = iter(Tensor._result(each, is_recorded) for each in results)
    filled = [next(ys) if is_result else None for is_result in loop.is_result]
    return unflatten(carry_structure, last), unflatten(loop.results, filled)


@dataclass(frozen=True)
class Loop:
    """A traced body: the program of one step, what it closes over, and how its results are nested."""

    body: ops.Body
    cells: list[Tensor]
    constants: list[Node]
    requires_grad: bool
    results: Structure
    is_result: list[bool]
    places: list[int]  # of each result, its index among the outputs of the body


# --- arguments -------------------------------------------------------------------------------------------------------


def _tensors(value: Any) -> tuple[list[Tensor], Structure]:
    leaves, structure = flatten(value)
    return [as_tensor(each) for each in leaves], structure


def _move(tensor: Tensor, node: Node) -> Tensor:
    return Tensor._result(node, tensor._requires_grad and modes.grad_enabled)


def _length(sequences: Sequence[Tensor], length: int | None) -> int:
    found = [each.shape[0] if each.ndim else -1 for each in sequences] + ([length] if length is not None else [])
    if len(set(found)) != 1 or found[0] < 0:
        raise ArgumentError(
            explain("scan: the number of steps is not clear", received=f"leading extents {found} (-1: a 0-d tensor)",
                    expected="sequences with one leading extent T in common, or length=T without sequences")
        )  # fmt: skip
    return found[0]


# --- the body as a program -------------------------------------------------------------------------------------------


def _trace(
    body: Callable[[Any, Any], tuple[Any, Any]], first: list[Tensor], carry_structure: Structure,
    sequences: list[Tensor], sequence_structure: Structure | None,
) -> Loop:  # fmt: skip
    carries = [make_input(each.shape, each.dtype) for each in first]
    entries = [make_input(each.shape[1:], each.dtype) for each in sequences]
    outer, trace = modes.trace, Trace()
    modes.trace, trace.is_of_loop = trace, True
    try:
        # Stand-ins count as results that require a gradient, so that no_grad inside the body is honoured.
        arguments = [Tensor._result(node, True) for node in (*carries, *entries)]
        x = unflatten(sequence_structure, arguments[len(carries) :]) if sequence_structure is not None else None
        answer = body(unflatten(carry_structure, arguments[: len(carries)]), x)
        new, results, structure, is_result = _answer(answer, carry_structure)
    finally:
        modes.trace = outer
    _refuse_backward(trace)
    cells = [tensor for tensor, _ in trace.values.values()]
    inputs = [*carries, *[trace.inputs[id(cell)][1] for cell in cells], *entries]
    outputs = [*new, *[node for _, node in trace.values.values()]]
    outputs += [node for node in dict.fromkeys(results) if node not in outputs]  # a carry has a history already
    places = [outputs.index(node) for node in results]
    read = [(source, node) for source, node in trace.inputs.values() if not any(source is cell for cell in cells)]
    literals = _literals(outputs, {*inputs, *(node for _, node in read)})
    program = ops.Body((*inputs, *(node for _, node in read), *literals), tuple(outputs))
    constants = [_constant(source) for source, _ in read] + literals
    requires_grad = any(isinstance(source, Tensor) and source.requires_grad for source, _ in read)
    return Loop(program, cells, constants, requires_grad, structure, is_result, places)


def _answer(answer: Any, expected: Structure) -> tuple[list[Node], list[Node], Structure, list[bool]]:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise DTypeError(
            explain("scan: the body returns two things", received=type(answer).__name__, expected="(carry, result)",
                    remedy="return (carry, None) if a step has no result")
        )  # fmt: skip
    new, structure = _tensors(answer[0])
    if structure != expected:
        raise ShapeError(
            explain("scan: the body returns a carry that is nested in another way", received=structure,
                    expected=expected)
        )  # fmt: skip
    leaves, nesting = flatten(answer[1])
    is_result = [each is not None for each in leaves]
    results = [as_tensor(each) for each in leaves if each is not None]
    return [each.node for each in new], [each.node for each in results], nesting, is_result


def _refuse_backward(trace: Trace) -> None:
    if trace.gradients:
        raise TraceError(
            explain("scan: the body called backward()", received="a write to .grad",
                    expected="a body without side effects on gradients", remedy="use tw.grad inside the body")
        )  # fmt: skip


def _literals(outputs: list[Node], known: set[Node]) -> list[Node]:
    """Leaves with a value of their own, such as the positions of an index list."""
    order = toposort(outputs, is_leaf=known.__contains__)
    return [node for node in order if node.op is input_leaf and node not in known]


def _constant(source: Any) -> Node:
    if isinstance(source, Tensor):
        return source.node
    if modes.trace is not None:
        return modes.trace.read_array(source)  # type: ignore[no-any-return]
    return Tensor(np.array(source)).node


# --- the loop --------------------------------------------------------------------------------------------------------


def _run(loop: Loop, first: list[Tensor], sequences: list[Tensor], steps: int) -> tuple[list[Node], list[Node]]:
    """The histories of the carries (the users' and the cells'), and the stacked results."""
    starts = [each.node for each in (*first, *loop.cells)]
    node = ops.scan(
        *starts, *[each.node for each in sequences], *loop.constants,
        body=loop.body, carries=len(starts), sequences=len(sequences), length=steps,
    )  # fmt: skip
    parts = [ops.output(node, index=index) for index in range(len(loop.body.outputs))]
    stacked = [take_range(parts[i], 0, 1, steps + 1) if i < len(starts) else parts[i] for i in loop.places]
    return parts[: len(starts)], stacked


def _last(history: Node, steps: int) -> Node:
    return reshape(take_range(history, 0, steps, steps + 1), history.shape[1:])
