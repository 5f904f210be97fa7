"""One comparison with PyTorch: the same weights, the same batch, outputs and all gradients judged per tensor.

In: a module (or function) of each side, and arrays. Out: nothing, or an `AssertionError` that says which tensor differs
and by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import thalweg as tw
from thalweg.tensor.core import flush

TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
DTYPES = tuple(TOLERANCES)


def assert_close(what: str, ours: Any, theirs: Any, dtype: str, floor: float = 0.0) -> None:
    """|ours - theirs| <= tolerance * max|theirs|; `floor` is the scale of terms that cancel, as in normalisation."""
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, PyTorch has {b.shape}"
    if not b.size:
        return
    assert np.array_equal(np.isfinite(a), np.isfinite(b)), f"{what}: {a}, PyTorch has {b}"
    finite = np.isfinite(b)
    assert np.array_equal(a[~finite], b[~finite], equal_nan=True), f"{what}: {a}, PyTorch has {b}"
    if not finite.any():
        return
    error, scale = np.abs(a - b)[finite].max(), max(np.abs(b[finite]).max(), floor)
    assert error <= TOLERANCES[dtype] * scale, f"{what}: differs by {error:.3g} at a scale of {scale:.3g}\n{a}\n{b}"


def draw(
    rng: np.random.Generator, shape: Sequence[int], dtype: str, low: float = -2.0, high: float = 2.0
) -> np.ndarray:
    return rng.uniform(low, high, tuple(shape)).astype(dtype)


def share_state(ours: Any, theirs: Any) -> None:
    """Give ours PyTorch's weights; names, order, shapes and integer dtypes of the two states must be the same."""
    state = {name: value.detach().numpy().copy() for name, value in theirs.state_dict().items()}
    own = ours.state_dict()
    assert list(own) == list(state)
    assert {name: value.shape for name, value in own.items()} == {name: value.shape for name, value in state.items()}
    ours.load_state_dict(state)


def compare(
    torch: Any,
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    dtype: str,
    rng: np.random.Generator,
    floor: float = 0.0,
) -> None:
    """Outputs, input gradients and parameter gradients of one call. Floating-point inputs require gradients."""
    a_inputs = [tw.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    b_inputs = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    a, b = ours(*a_inputs), theirs(*b_inputs)
    assert a.dtype == str(b.dtype).removeprefix("torch.")
    assert_close("output", a.detach().numpy(), b.detach().numpy(), dtype, floor)
    if not b.requires_grad:
        assert not a.requires_grad
        return
    seed = draw(rng, b.shape, dtype, 0.5, 1.5)
    a.backward(tw.tensor(seed))
    b.backward(torch.tensor(seed))
    held = [*a_inputs, *(ours.parameters() if hasattr(ours, "parameters") else ())]
    flush(*[each.grad for each in held if each.grad is not None])  # together, not one after the other
    for position, (x, y) in enumerate(zip(a_inputs, b_inputs, strict=True)):
        compare_gradients(f"gradient of input {position}", x, y, dtype, floor)
    if hasattr(theirs, "named_parameters"):
        own = dict(ours.named_parameters())
        for name, parameter in theirs.named_parameters():
            compare_gradients(f"gradient of {name}", own[name], parameter, dtype, floor)


def compare_gradients(what: str, ours: Any, theirs: Any, dtype: str, floor: float) -> None:
    """PyTorch gives None or zeros for what the result does not depend on, by operation; both mean the same."""
    if theirs.grad is None or ours.grad is None:
        others = [each.grad for each in (ours, theirs) if each.grad is not None]
        assert not any(np.asarray(each).any() for each in others), f"{what}: only one side has it"
        return
    assert_close(what, ours.grad.numpy(), theirs.grad.numpy(), dtype, floor)
