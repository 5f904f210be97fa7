"""Compiled programs beside their NumPy meaning: one judgement for all tests that compare the two.

In: nodes and arrays, or functions of tensors. Out: nothing, or a failure that names the first result that differs.
Judged per tensor, as the contract says: |a - b| <= tolerance * max|b|, with NaN and infinities in the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import thalweg as tw
from thalweg.compile.codegen import assembly
from thalweg.compile.executable import Executable
from thalweg.compile.layout import Layout
from thalweg.compile.native import modules_of
from thalweg.compile.program import Program
from thalweg.compile.target import host
from thalweg.gradient import gradients
from thalweg.graph import Node, make_input
from thalweg.tensor import lazy
from thalweg.tensor.core import flush

# Sums in another order and multiply-adds that round once: a few units in the last place of the largest entry.
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}

LANES = host().vector_bytes // 4  # float32 entries of one vector; a float64 vector has half as many

# 1, primes, the vector width and its neighbours, empty.
AWKWARD = (0, 1, 2, 3, 7, 13, LANES // 2 - 1, LANES // 2 + 1, LANES - 1, LANES, LANES + 1, 2 * LANES + 1)


def largest(array: Any) -> float:
    """The largest finite magnitude in an array."""
    array = np.asarray(array)
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) if array.dtype.kind == "f" else 0.0


def assert_agree(compiled: Any, meant: Any, tolerance: float | None = None, what: str = "", scale: float = 0.0) -> None:
    """One array against another; `scale` is that of the terms it is a sum of, where they may cancel."""
    compiled, meant = np.asarray(compiled), np.asarray(meant)
    assert (compiled.shape, compiled.dtype) == (meant.shape, meant.dtype), what
    if meant.dtype.kind != "f":
        np.testing.assert_array_equal(compiled, meant, err_msg=what)
        return
    tolerance = TOLERANCE[meant.dtype.name] if tolerance is None else tolerance
    same = (compiled == meant) | (np.isnan(compiled) & np.isnan(meant))
    with np.errstate(invalid="ignore", over="ignore"):
        scale = max(scale, largest(meant))
        is_close = same | (np.isfinite(meant) & (np.abs(compiled - meant) <= tolerance * scale))
    if not is_close.all():
        np.testing.assert_allclose(compiled, meant, rtol=tolerance, atol=tolerance * scale, err_msg=what)
        raise AssertionError(f"{what}: {compiled} is not {meant}")


def assert_all_agree(
    compiled: Sequence[Any],
    meant: Sequence[Any],
    tolerance: float | None = None,
    what: Sequence[str] = (),
    is_joint: bool = False,
) -> None:
    """Several arrays; if `is_joint`, on the scale of the largest: some gradients are 0 but for rounding."""
    assert len(compiled) == len(meant)
    scale = max(map(largest, meant), default=0.0) if is_joint else 0.0
    for index, (a, b) in enumerate(zip(compiled, meant, strict=True)):
        assert_agree(a, b, tolerance, what[index] if what else f"result {index}", scale)


# --- programs --------------------------------------------------------------------------------------------------------


def run_both(
    inputs: Sequence[Node], outputs: Sequence[Node], arrays: Sequence[np.ndarray], is_native: bool | None = True
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The results of the compiled program and of NumPy; and whether it is native is what was expected."""
    executable = Executable(Program(tuple(inputs), tuple(outputs)))
    assert is_native is None or executable.is_native == is_native, "native" if executable.is_native else "not native"
    with np.errstate(all="ignore"):
        return executable(arrays), executable.interpret(arrays)


def assert_compiled_equals_numpy(
    inputs: Sequence[Node],
    outputs: Sequence[Node],
    arrays: Sequence[np.ndarray],
    *,
    is_native: bool | None = True,
    tolerance: float | None = None,
    what: Sequence[str] = (),
) -> None:
    assert_all_agree(*run_both(inputs, outputs, arrays, is_native), tolerance, what)


def with_gradients(
    outputs: Sequence[Node], targets: Sequence[Node], order: int = 2
) -> tuple[list[Node], list[Node], list[str]]:
    """Cotangents to be fed, the outputs followed by their gradients up to that order, and what each of them is."""
    seeds: list[Node] = []
    found, names, last = list(outputs), ["value"] * len(outputs), list(outputs)
    targets = [node for node in targets if node.dtype.is_floating_point]
    for degree in range(1, order + 1):
        last = [node for node in last if node.dtype.is_floating_point]
        fresh = [make_input(node.shape, node.dtype) for node in last]
        last = [node for node in gradients(last, fresh, [*targets, *seeds]) if node is not None]
        seeds += fresh
        found += last
        names += [f"gradient {index} of order {degree}" for index in range(len(last))]
    return seeds, found, names


def cotangents(seeds: Sequence[Node], generator: np.random.Generator) -> list[np.ndarray]:
    """Values for the cotangents."""
    return [np.asarray(generator.uniform(0.5, 1.5, node.shape)).astype(node.dtype.numpy) for node in seeds]


# --- steps -----------------------------------------------------------------------------------------------------------


def executables(step: Any) -> list[Executable]:
    """What a compiled function has been compiled to, one a signature."""
    return [compiled.executable for compiled in step._programs.values()]


def arrays_of(values: Any) -> list[np.ndarray]:
    """Every tensor of a result, in order, as arrays; None stays out."""
    if isinstance(values, (list, tuple)):
        return [array for each in values for array in arrays_of(each)]
    if isinstance(values, dict):
        return arrays_of(list(values.values()))
    return [values.detach().numpy()] if isinstance(values, tw.Tensor) else []


def eagerly(monkeypatch: Any, function: Callable[[], Any]) -> Any:
    """What the function gives when every operation is evaluated on NumPy as it is made: the switch THALWEG_EAGER=1."""
    with monkeypatch.context() as patch:
        patch.setattr(lazy, "eager", True)
        result = function()
        flush()
        return result


def is_real(value: Any) -> bool:
    return isinstance(value, tw.Tensor) and value.is_floating_point()


def with_derivatives(results: Any, leaves: Sequence[tw.Tensor]) -> list[tw.Tensor]:
    """The results, the gradients of a weighted sum of their squares, and the gradients of those, all as plain values.

    Weights that differ from entry to entry, so that no derivative vanishes by symmetry (as the sum of a softmax does).
    """
    found = [each for each in (results if isinstance(results, (list, tuple)) else [results]) if each is not None]
    last = [each for each in found if is_real(each) and each.requires_grad]
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    for _ in range(2):
        if not last or not leaves:
            break
        start = tw.zeros((), dtype=last[0].dtype)
        total = sum(((each * (each + weights_like(each))).sum() for each in last), start=start)
        last = [each for each in tw.grad(total, leaves, create_graph=True, allow_unused=True) if each is not None]
        found += last
        last = [each for each in last if each.requires_grad]
    return [each.detach() for each in found]


def weights_like(x: tw.Tensor) -> tw.Tensor:
    return tw.arange(x.numel(), dtype=x.dtype).reshape(x.shape) * 0.1 + 1.0


def assembly_of(layout: Layout) -> str:
    """The assembly of the distinct kernels of a program, for the current target."""
    return "\n".join(assembly(module.text) for module in dict.fromkeys(modules_of(layout)))
