"""PyTorch's own sample inputs, given to both libraries: what came out, and whether it is the same.

In: a function or module of PyTorch, the same of ours, and one sample of `torch.testing._internal` in float64. Out: None
where shapes, dtypes, values and first gradients agree (|a - b| <= 1e-9 max|b|, a tensor at a time), else what differs.
Imported where PyTorch is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import thalweg as tw
from tests.support.compiled import arrays_of

TOLERANCE = 1e-9
FLOOR = 1e-12  # of gradients that are 0 but for rounding
Function = Callable[..., Any]


class Different(AssertionError):
    """What differs between the two results."""


def is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def leaves_of(value: Any) -> list[torch.Tensor]:
    """Every tensor among the arguments, in order."""
    if is_tensor(value):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [leaf for child in children for leaf in leaves_of(child)]


def with_leaves(value: Any, replacements: Any, plain: Function = lambda each: each) -> Any:
    """The same arguments with other tensors, taken one after the other, and other plain values."""
    if is_tensor(value):
        return next(replacements)
    if isinstance(value, dict):
        return {name: with_leaves(child, replacements, plain) for name, child in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(with_leaves(child, replacements, plain) for child in value)
    return plain(value)


def separate(value: Any) -> Any:
    """The same arguments with tensors that no two places share, each a leaf."""
    copies = (leaf.detach().clone().requires_grad_(leaf.requires_grad) for leaf in leaves_of(value))
    return with_leaves(value, copies)


def as_ours(value: Any) -> Any:
    """A plain argument as we write it: dtypes, sizes, and functions among the arguments."""
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, torch.dtype):
        return getattr(tw, str(value).removeprefix("torch."))
    if isinstance(value, torch.nn.Module):
        return getattr(tw.nn, type(value).__name__)()
    name = getattr(value, "__name__", "")
    return getattr(tw.nn.functional, name) if callable(value) and hasattr(tw.nn.functional, name) else value


def ours_of(leaf: torch.Tensor) -> tw.Tensor:
    return tw.tensor(leaf.detach().numpy().copy(), requires_grad=leaf.requires_grad)


def results_of(value: Any) -> list[Any]:
    """Tensors and plain values of a result, in order; None where there is none."""
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return [each for child in value for each in results_of(child)]
    return [value]


def weights_of(shape: Sequence[int], number: int) -> np.ndarray:
    """By what the entries of a result are multiplied before they are summed up: no derivative vanishes by symmetry."""
    return np.random.default_rng(number).uniform(0.5, 1.5, tuple(shape))


def derivatives(results: Sequence[Any], leaves: Sequence[Any], make: Function, gradients: Function) -> list[Any]:
    """Of the weighted sum of all results, by every leaf that requires a gradient."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    total = None
    for number, each in enumerate(results):
        if hasattr(each, "requires_grad") and each.requires_grad:
            part = (each * make(weights_of(each.shape, number))).sum()
            total = part if total is None else total + part
    if total is None or not wanted:
        return []
    found = gradients(total, wanted, allow_unused=True)
    return [np.zeros(tuple(leaf.shape)) if each is None else each for each, leaf in zip(found, wanted, strict=True)]


def expected_of(function: Function, args: Any, kwargs: Any, extra: Sequence[torch.Tensor] = ()) -> list[Any]:
    """PyTorch's results and first gradients, by the tensors among the arguments and `extra` ones (parameters)."""
    results = results_of(function(*args, **kwargs))
    leaves = [*leaves_of([args, kwargs]), *extra]
    found = derivatives(results, leaves, torch.tensor, torch.autograd.grad)
    return [each.numpy(force=True) if is_tensor(each) else each for each in [*results, *found]]


def found_of(function: Function, args: Any, kwargs: Any, is_compiled: bool, extra: Sequence[tw.Tensor] = ()) -> Any:
    """The same of ours: evaluated as it is, or as one compiled program whose inputs are the tensors."""
    leaves = [ours_of(leaf) for leaf in leaves_of([args, kwargs])]

    def step(*given: tw.Tensor) -> list[Any]:
        own_args, own_kwargs = with_leaves([args, kwargs], iter(given), as_ours)
        results = results_of(function(*own_args, **own_kwargs))
        found = derivatives(results, [*given, *extra], tw.tensor, tw.grad)
        return [*(each.detach() if isinstance(each, tw.Tensor) else each for each in results),
                *(tw.tensor(each) if isinstance(each, np.ndarray) else each for each in found)]  # fmt: skip

    results = tw.compile(step)(*leaves) if is_compiled else step(*leaves)
    return [arrays_of(each)[0] if isinstance(each, tw.Tensor) else each for each in results]


def compare(found: Sequence[Any], expected: Sequence[Any], scale: float = 0.0) -> None:
    if len(found) != len(expected):
        raise Different(f"{len(found)} results, PyTorch has {len(expected)}")
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        if not isinstance(b, np.ndarray):
            if a != b:
                raise Different(f"result {number}: {a!r}, PyTorch has {b!r}")
            continue
        a = np.asarray(a)
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise Different(f"result {number}: {a.dtype}{a.shape}, PyTorch has {b.dtype}{b.shape}")
        compare_arrays(f"result {number}", a, b, scale)


def compare_arrays(what: str, a: np.ndarray, b: np.ndarray, scale: float) -> None:
    if b.dtype.kind != "f":
        if not np.array_equal(a, b):
            raise Different(f"{what}: {a}, PyTorch has {b}"[:300])
        return
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        largest = max(np.abs(b[np.isfinite(b)]).max(initial=0.0), scale)
        close = same | (np.abs(a - b) <= TOLERANCE * largest + FLOOR)
    if not close.all():
        raise Different(f"{what}: {a[~close][:4]}, PyTorch has {b[~close][:4]}")


def difference(ours: Function, theirs: Function, args: Any, kwargs: Any, is_compiled: bool) -> str | None:
    """What differs for one sample, in a few words; None if nothing does. PyTorch's own errors are no samples."""
    args, kwargs = separate([args, kwargs])
    expected = expected_of(theirs, args, kwargs)
    try:
        compare(found_of(ours, args, kwargs, is_compiled), expected)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:400]}"
    return None
