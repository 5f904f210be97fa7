"""Chain rules against finite differences: along random directions, in float64, to any order.

In: a program (or any pair of functions that compute values and cotangents of arrays) and a point. Out: nothing, or an
`AssertionError` that says which input's derivative is wrong and by how much.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.dtype import DType, dtype_of_array, float32, float64
from thalweg.gradient import gradients
from thalweg.graph import Node, Primitive, Probe, evaluate_node, make_input, toposort

Arrays = list[np.ndarray]

# Five-point stencil: the error is of the order of STEP^4, about 1e-12, and rounding about 1e-13 of the values.
STEP = 1e-3
TOLERANCE = 1e-7
# How far a point keeps from a kink, and two `distinct` values from each other: the stencil reaches 2 * STEP.
MARGIN = 10 * STEP


def evaluate(outputs: Sequence[Node], feeds: Mapping[Node, np.ndarray]) -> list[Any]:
    """The NumPy meaning of a program."""
    values: dict[Node, Any] = dict(feeds)
    for node in toposort(outputs, is_leaf=values.__contains__):
        if node not in values:
            known = node.value
            values[node] = known if known is not None else evaluate_node(node, [values[each] for each in node.inputs])
    return [values[node] for node in outputs]


# --- any pair of functions -------------------------------------------------------------------------------------------


def directional_derivative(function: Callable[[Arrays], Arrays], point: Arrays, direction: Arrays) -> Arrays:
    """d/dt function(point + t direction) at t = 0, for each result."""

    def at(t: float) -> Arrays:
        return [
            np.asarray(each, float) for each in function([x + t * d for x, d in zip(point, direction, strict=True)])
        ]

    near, far = zip(at(STEP), at(-STEP), strict=True), zip(at(2 * STEP), at(-2 * STEP), strict=True)
    return [(8 * (a - b) - (c - d)) / (12 * STEP) for (a, b), (c, d) in zip(near, far, strict=True)]


def check_cotangents(
    forward: Callable[[Arrays], Arrays],
    cotangents_of: Callable[[Arrays, Arrays], Sequence[np.ndarray | None]],
    point: Arrays,
    rng: np.random.Generator,
    *,
    what: str = "the function",
    names: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """`cotangents_of(point, u)` must be the transpose of the derivative of `forward`, applied to `u`.

    Each input is moved by itself, so that the message can say which one is wrong. None stands for zero.
    """
    weights = [rng.uniform(0.5, 1.5, np.shape(each)) for each in forward(point)]
    found = cotangents_of(point, weights)
    for position, x in enumerate(point):
        name = names[position] if names else f"input {position}"
        direction = [np.zeros_like(each) for each in point]
        direction[position] = rng.uniform(0.5, 1.0, x.shape) * rng.choice((-1.0, 1.0), x.shape)
        moved = directional_derivative(forward, point, direction)
        expected = sum((float(np.sum(a * b)) for a, b in zip(weights, moved, strict=True)), start=0.0)
        terms = np.zeros_like(x) if found[position] is None else found[position] * direction[position]
        assert terms.shape == x.shape, f"{what}: the cotangent of {name} has shape {terms.shape}, not {x.shape}"
        error, scale = abs(float(terms.sum()) - expected), max(1.0, float(np.abs(terms).sum()))
        assert error <= tolerance * scale, (
            f"{what}: the chain rule for {name} gives {terms.sum():.10g} along a random direction, "
            f"finite differences give {expected:.10g} (relative error {error / scale:.2g})"
        )


# --- programs --------------------------------------------------------------------------------------------------------


def check_gradients(
    outputs: Sequence[Node],
    inputs: Sequence[Node],
    arrays: Arrays,
    rng: np.random.Generator,
    *,
    order: int = 2,
    what: str = "the program",
    tolerance: float = TOLERANCE,
) -> None:
    """`gradients` of the program against finite differences; for `order` 2 also the gradients of its gradients.

    Inputs that are not floating point are left alone; outputs that are not are ignored.
    """
    outputs = [node for node in outputs if node.dtype.is_floating_point]
    seeds = [make_input(node.shape, node.dtype) for node in outputs]
    moving = [position for position, node in enumerate(inputs) if node.dtype.is_floating_point]
    targets = [inputs[position] for position in moving]
    found = gradients(outputs, seeds, targets)

    def feeds(point: Arrays) -> dict[Node, np.ndarray]:
        whole = list(arrays)
        for position, x in zip(moving, point, strict=True):
            whole[position] = x
        return dict(zip(inputs, whole, strict=True))

    def cotangents_of(point: Arrays, weights: Arrays) -> list[np.ndarray | None]:
        known = feeds(point) | dict(zip(seeds, weights, strict=True))
        values = iter(evaluate([node for node in found if node is not None], known))
        return [None if node is None else next(values) for node in found]

    check_cotangents(lambda point: evaluate(outputs, feeds(point)), cotangents_of, [arrays[i] for i in moving], rng,
                     what=what, names=[f"input {i}" for i in moving], tolerance=tolerance)  # fmt: skip
    derived = [node for node in found if node is not None]
    if order > 1 and derived:
        weights = [rng.uniform(0.5, 1.5, node.shape) for node in seeds]
        check_gradients(derived, [*inputs, *seeds], [*arrays, *weights], rng, order=order - 1,
                        what=f"the gradient of {what}", tolerance=tolerance)  # fmt: skip


# --- records and their probes ----------------------------------------------------------------------------------------


def is_index(record: Primitive, probe: Probe, position: int) -> bool:
    """Whether that input holds positions (or bits), whose dtype does not follow that of the values."""
    return position in probe.integers and record.kind != "elementwise"


def sample(record: Primitive, probe: Probe, rng: np.random.Generator, dtype: DType = float64) -> Arrays:
    """Values for each input of a record, as its probe asks for them; value inputs get `dtype`."""
    return [_sample_one(record, probe, position, rng, dtype) for position in range(len(probe.shapes))]


def _sample_one(record: Primitive, probe: Probe, position: int, rng: np.random.Generator, dtype: DType) -> np.ndarray:
    shape = probe.shapes[position]
    if position in probe.fixed:
        return _fixed(record, probe, position, dtype)
    if position in probe.integers:
        kept = np.dtype(np.int64) if is_index(record, probe, position) or dtype.is_floating_point else dtype.numpy
        return rng.integers(0, probe.integers[position], shape).astype(kept)
    if not dtype.is_floating_point:
        low, high = max(0, int(np.ceil(probe.low))) if dtype.name in ("uint8", "bool") else probe.low, probe.high
        return rng.integers(int(np.ceil(low)), int(np.floor(high)) + 1, shape).astype(dtype.numpy)
    return _floats(probe, shape, rng).astype(dtype.numpy)


def _fixed(record: Primitive, probe: Probe, position: int, dtype: DType) -> np.ndarray:
    literal = np.array(probe.fixed[position])
    if literal.dtype == np.bool_ or is_index(record, probe, position):
        return literal
    return np.abs(literal).astype(dtype.numpy) if dtype.name in ("uint8", "bool") else literal.astype(dtype.numpy)


def _floats(probe: Probe, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    for _ in range(1000):
        x = rng.uniform(probe.low, probe.high, shape)
        if not _is_near_kink(probe, x):
            return x
    raise AssertionError(f"no point of {probe} keeps away from its kinks")


def _is_near_kink(probe: Probe, x: np.ndarray) -> bool:
    if any(np.any(np.abs(x - kink) < MARGIN) for kink in probe.kinks):
        return True
    return probe.distinct and x.size > 1 and float(np.diff(np.sort(x, axis=None)).min()) < MARGIN


def apply(record: Primitive, probe: Probe, arrays: Arrays) -> tuple[list[Node], list[Node]]:
    """Inputs that match the arrays, and the record's outputs on them."""
    inputs = [make_input(array.shape, dtype_of_array(array)) for array in arrays]
    return inputs, [record(*inputs, **probe.attributes)]


def check_record(
    record: Primitive, probe: Probe, rng: np.random.Generator, *, order: int = 2, tolerance: float = TOLERANCE
) -> None:
    """The chain rule of one record at one probe, in float64."""
    arrays = sample(record, probe, rng)
    inputs, outputs = apply(record, probe, arrays)
    if outputs[0].dtype is float32:  # a conversion: the difference quotient itself is rounded
        tolerance = max(tolerance, 2e-3)
    check_gradients(outputs, inputs, arrays, rng, order=order, what=f"{record.name} {dict(probe.attributes)}",
                    tolerance=tolerance)  # fmt: skip


def planted(record: Primitive, position: int, factor: float = 1.001) -> Primitive:
    """The same record, except that its chain rule is wrong by `factor` for one input."""
    assert record.chain_rule is not None
    right = record.chain_rule

    def wrong(g: Node, y: Node, *inputs: Node, **attributes: Any) -> tuple[Node | None, ...]:
        answer = list(right(g, y, *inputs, **attributes))
        answer[position] = None if answer[position] is None else answer[position] * factor  # type: ignore[operator]
        return tuple(answer)

    return dataclasses.replace(record, chain_rule=wrong)
