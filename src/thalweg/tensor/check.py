"""`tw.gradcheck`: is the gradient of a function or a module right? Its Jacobian against central differences.

In: a function of tensors (or a module) and a point. Out: True, or a `GradientError` that names the worst entry. Works
in float64 on copies, replays the random numbers, and checks the module's parameters as well as the inputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.dtype import float64
from thalweg.errors import ArgumentError, DTypeError, GradientError, explain
from thalweg.tensor.backward import grad
from thalweg.tensor.core import Tensor
from thalweg.tensor.modes import enable_grad, no_grad
from thalweg.tensor.random import default_generator
from thalweg.tensor.tree import flatten

Outputs = Callable[[], list[Tensor]]


@dataclass(frozen=True)
class Leaf:
    """Something to differentiate by: its name in messages, and the cell that holds it."""

    name: str
    tensor: Tensor


def gradcheck(
    fn_or_module: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    order: int = 1,
) -> bool:
    """Compare the gradient that backpropagation gives with central differences, entry by entry, in float64.

    For each output y_i and each entry x_j of the floating-point inputs (and of the parameters, for a module),
    dy_i/dx_j must agree with (y_i(x_j + eps) - y_i(x_j - eps)) / (2 eps) within atol + rtol |dy_i/dx_j|.

    - `fn_or_module`: a function of tensors that returns tensors, or a module. A module is copied and converted by
      `double()`; its own parameters and buffers are left alone. Random numbers (dropout) are the same in every run.
    - `inputs`: a tensor or array, or a sequence of them; floating-point ones are copied in float64.
    - `order=2` checks the gradient of the gradient too.

    Returns True. Raises `GradientError` with the worst entry: which input or parameter, the position, both values, the
    difference and the tolerance; `ArgumentError` if there is nothing to check.

    Source: the method of torch.autograd.gradcheck.

    >>> import thalweg as tw
    >>> tw.gradcheck(lambda x, y: (x * y).tanh(), [tw.randn(2, 3), tw.randn(3)])
    True
    """
    function, leaves, evaluate = _prepare(fn_or_module, inputs)
    _compare(evaluate, leaves, eps, atol, rtol, f"gradient of {function}")
    if order > 1:
        derived, extended = _differentiated(evaluate, leaves)
        _compare(derived, extended, eps, atol, rtol, f"second derivative of {function}")
    return True


# --- the point and the function --------------------------------------------------------------------------------------


def _prepare(fn: Any, inputs: Any) -> tuple[str, list[Leaf], Outputs]:
    given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    arguments = [_argument(each) for each in given]
    leaves = [Leaf(f"input {i}", each) for i, each in enumerate(arguments) if _is_float(each)]
    if hasattr(fn, "named_parameters"):
        fn = copy.deepcopy(fn).double()
        leaves += [Leaf(f"parameter {name!r}", each) for name, each in fn.named_parameters() if each.requires_grad]
    if not leaves:
        raise ArgumentError(
            explain("gradcheck has nothing to check", received=f"{len(given)} inputs, none floating point",
                    expected="a floating-point input, or a module with parameters")
        )  # fmt: skip
    name = getattr(fn, "__name__", type(fn).__name__)
    return name, leaves, _replayed(name, fn, arguments)


def _argument(value: Any) -> Any:
    if not isinstance(value, (Tensor, np.ndarray)):
        return value
    array = value._array() if isinstance(value, Tensor) else np.asarray(value)
    is_float = array.dtype.kind == "f"
    tensor = Tensor(array.astype(np.float64) if is_float else array)
    return tensor.requires_grad_() if is_float else tensor


def _is_float(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype is float64


def _replayed(name: str, fn: Any, arguments: list[Any]) -> Outputs:
    """A function that gives the same outputs whenever it is called at the same point."""
    state = default_generator.get_state()
    buffers = [(each, each._array()) for _, each in getattr(fn, "named_buffers", list)()]

    def evaluate() -> list[Tensor]:
        now = default_generator.get_state()
        default_generator.set_state(state)
        for cell, array in buffers:
            with no_grad():
                cell.copy_(Tensor(array))
        try:
            outputs = [each for each in flatten(fn(*arguments))[0] if isinstance(each, Tensor)]
        finally:
            default_generator.set_state(now)
        return _checked(name, [each for each in outputs if each.dtype.is_floating_point])

    return evaluate


def _checked(name: str, outputs: list[Tensor]) -> list[Tensor]:
    if not outputs:
        raise ArgumentError(
            explain(f"{name} returned no floating-point tensor", expected="a tensor, or a tuple of them")
        )
    for each in outputs:
        if each.dtype is not float64:
            raise DTypeError(
                explain(f"{name} computed in {each.dtype.name} although its inputs are float64",
                        expected="float64 outputs: central differences of anything less are too rough",
                        remedy="do not convert inside, and make the tensors that the function closes over float64")
            )  # fmt: skip
    return outputs


def _differentiated(evaluate: Outputs, leaves: list[Leaf]) -> tuple[Outputs, list[Leaf]]:
    """The gradient as a function of the same leaves and of the cotangents of the outputs."""
    rng = np.random.default_rng(0)
    seeds = [
        Leaf(f"cotangent of output {i}", Tensor(rng.uniform(0.5, 1.5, each.shape), requires_grad=True))
        for i, each in enumerate(evaluate())
    ]

    def gradient() -> list[Tensor]:
        with enable_grad():
            outputs = evaluate()
            pairs = [(y, seed.tensor) for y, seed in zip(outputs, seeds, strict=True) if y.requires_grad]
            if not pairs:
                return []
            found = grad(
                [y for y, _ in pairs], [leaf.tensor for leaf in leaves], [seed for _, seed in pairs],
                create_graph=True, allow_unused=True,
            )  # fmt: skip
            return [each for each in found if each is not None]

    return gradient, [*leaves, *seeds]


# --- the comparison --------------------------------------------------------------------------------------------------


def _compare(evaluate: Outputs, leaves: list[Leaf], eps: float, atol: float, rtol: float, what: str) -> None:
    analytic = _analytic(evaluate, leaves)
    worst: tuple[float, str] = (1.0, "")
    for column, leaf in enumerate(leaves):
        numeric = _numeric(evaluate, leaf.tensor, eps)
        for row, expected in enumerate(numeric):
            worst = max(worst, _worst(analytic[row][column], expected, atol, rtol, row, leaf), key=lambda pair: pair[0])
    if worst[1]:
        raise GradientError(f"gradcheck: the {what} is wrong\n{worst[1]}")


def _analytic(evaluate: Outputs, leaves: list[Leaf]) -> list[list[np.ndarray]]:
    """The Jacobian (entries of the output, entries of the leaf) by backpropagation of one unit cotangent at a time."""
    targets = [leaf.tensor for leaf in leaves]
    with enable_grad():
        outputs = evaluate()
    result = []
    for output in outputs:
        blocks = [np.zeros((output.numel(), each.numel())) for each in targets]
        for entry, unit in enumerate(_units(output.shape) if output.requires_grad else ()):
            found = grad(output, targets, unit, retain_graph=True, allow_unused=True)
            for block, cotangent in zip(blocks, found, strict=True):
                if cotangent is not None:
                    block[entry] = cotangent._array().reshape(-1)
        result.append(blocks)
    return result


def _units(shape: Sequence[int]) -> Iterator[Tensor]:
    for entry in range(int(np.prod(shape))):
        unit = np.zeros(shape)
        unit.reshape(-1)[entry] = 1.0
        yield Tensor(unit)


def _numeric(evaluate: Outputs, cell: Tensor, eps: float) -> list[np.ndarray]:
    """The same Jacobian for one leaf by central differences."""
    start = cell._array().copy()
    columns: list[list[np.ndarray]] = []
    for entry in range(start.size):
        above, below = (_values(evaluate, cell, _moved(start, entry, step)) for step in (eps, -eps))
        columns.append([(a - b) / (2 * eps) for a, b in zip(above, below, strict=True)])
    outputs = _values(evaluate, cell, start)
    return [
        np.stack([each[row] for each in columns], axis=1) if columns else np.zeros((outputs[row].size, 0))
        for row in range(len(outputs))
    ]


def _moved(start: np.ndarray, entry: int, step: float) -> np.ndarray:
    array = start.copy()
    array.reshape(-1)[entry] += step
    return array


def _values(evaluate: Outputs, cell: Tensor, array: np.ndarray) -> list[np.ndarray]:
    with no_grad():
        cell.copy_(Tensor(array))
        return [each._array().reshape(-1) for each in evaluate()]


def _worst(
    analytic: np.ndarray, numeric: np.ndarray, atol: float, rtol: float, row: int, leaf: Leaf
) -> tuple[float, str]:
    """How far the worst entry lies beyond its tolerance, and its description."""
    if not numeric.size:
        return 0.0, ""
    with np.errstate(invalid="ignore"):
        tolerance = atol + rtol * np.abs(numeric)
        excess = np.abs(analytic - numeric) / tolerance
    excess = np.where(np.isnan(excess), np.inf, excess)
    i, j = np.unravel_index(int(excess.argmax()), excess.shape)
    shape = leaf.tensor.shape
    position = [int(each) for each in np.unravel_index(int(j), shape)] if shape else []
    return float(excess[i, j]), explain(
        f"  worst entry: d output {row}, entry {i}, by {leaf.name}{position if shape else ''}",
        received=f"{analytic[i, j]:.9g} by backpropagation",
        expected=f"{numeric[i, j]:.9g} by central differences, within {tolerance[i, j]:.3g}",
        where=f"{leaf.name} of shape {shape}, at {position}; difference {abs(analytic[i, j] - numeric[i, j]):.3g}",
        remedy="check the rule, or whether the point lies on a kink of the function",
    )
