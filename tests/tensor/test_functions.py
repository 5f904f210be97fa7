"""Every function and method of tensors, by discovery, against PyTorch: values, dtypes, gradients, and writes.

In: the tables of `thalweg.tensor.methods`, the rows of `function_table`. Out: a failure for a name without a row,
and for any value or gradient that differs by more than 1e-9 in float64 or 1e-5 in float32, judged per tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.support.sweep import sweep
from tests.tensor.function_table import ROWS, Case
from thalweg.tensor.methods import FUNCTIONS, IN_PLACE, VIEWS, functions

TOLERANCE = {np.float64: 1e-9, np.float32: 1e-5}
NAMES = sorted({*FUNCTIONS, *VIEWS, *functions} - {"grad"})
CASES = [pytest.param(name, case, id=f"{name}-{i}") for name in NAMES for i, case in enumerate(ROWS.get(name, []))]
FLOATS = (np.float64, np.float32)
pytestmark = pytest.mark.filterwarnings("ignore:index_reduce.. is in beta")


def test_every_name_has_a_row():
    assert {*FUNCTIONS, *VIEWS, *functions} == set(ROWS)
    assert set(IN_PLACE) <= set(ROWS)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *VIEWS}))
def test_every_name_is_a_method(name):
    assert callable(getattr(tw.Tensor, name))


def is_differentiated(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isnan(value).any()


def convert(value: Any, make: Any, dtype: Any, leaves: list[Any]) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [convert(each, make, dtype, leaves) for each in value]
    if not isinstance(value, np.ndarray):
        return value
    tensor = make(value.astype(dtype) if value.dtype.kind == "f" else value)
    if is_differentiated(value):
        leaves.append(tensor.requires_grad_())
    return tensor


def run(library: Any, name: str, case: Case, dtype: Any, as_method: bool) -> tuple[list[Any], list[Any]]:
    """The results and the leaves of one call."""
    make = tw.tensor if library is tw else library.tensor
    leaves: list[Any] = []
    args = [convert(each, make, dtype, leaves) for each in case.args]
    kwargs = {key: getattr(library, value) if key == "dtype" else value for key, value in case.kwargs.items()}
    result = getattr(args[0], name)(*args[1:], **kwargs) if as_method else getattr(library, name)(*args, **kwargs)
    return list(result) if isinstance(result, (tuple, list)) else [result], leaves


def close(mine: np.ndarray, theirs: np.ndarray, tolerance: float) -> bool:
    tolerance = max(tolerance, TOLERANCE.get(mine.dtype.type, 0.0))  # exp of integers is float32
    if mine.dtype.kind != "f" or not mine.size:
        return bool((mine == theirs).all())
    same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)
        return bool((same | (np.abs(mine - theirs) <= tolerance * scale)).all())


def compare_results(mine: list[Any], theirs: list[Any], tolerance: float) -> None:
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == tuple(b.shape)
        assert f"torch.{a.dtype.name}" == str(b.dtype)
        assert close(a.detach().numpy(), b.detach().numpy(), tolerance), (a, b)


def weighted_sum(results: list[Any], make: Any) -> Any:
    rng = np.random.default_rng(3)
    total = None
    for each in results:
        if each.requires_grad:
            weight = make(rng.uniform(0.5, 1.5, tuple(each.shape)).astype(each.detach().numpy().dtype))
            part = (each * weight).sum()
            total = part if total is None else total + part
    return total


def compare_gradients(mine: Any, my_leaves: list[Any], theirs: Any, their_leaves: list[Any], tolerance: float) -> None:
    assert (mine is None) == (theirs is None)
    if mine is None:
        return
    mine.backward()
    theirs.backward()
    for a, b in zip(my_leaves, their_leaves, strict=True):
        expected = np.zeros(a.shape) if b.grad is None else b.grad.numpy()
        found = np.zeros(a.shape, a.dtype.numpy) if a.grad is None else a.grad.numpy()
        assert close(found, expected, tolerance), (a.grad, b.grad)


def is_written_with_single_integers(name: str, case: Case) -> bool:
    """x.permute(2, 0, 1): PyTorch has this form for methods only."""
    return name in ("permute", "reshape", "flip", "repeat", "expand") and isinstance((*case.args, None)[1], int)


def has_method(torch: Any, name: str, case: Case) -> bool:
    if name == "where":  # x.where(condition, y): another order
        return False
    return isinstance(case.args[0], np.ndarray) and hasattr(torch.Tensor, name) and hasattr(tw.Tensor, name)


@pytest.mark.peer
@pytest.mark.parametrize("dtype", FLOATS, ids=["float64", "float32"])
@pytest.mark.parametrize(("name", "case"), CASES)
def test_against_pytorch(name, case, dtype):
    torch = pytest.importorskip("torch")
    tolerance = TOLERANCE[dtype]
    if name == "logcumsumexp" and dtype is np.float32:
        tolerance = 1e-4  # PyTorch's own gradient is 5e-5 off what it gives in float64; ours 1e-7
    as_methods = [True] if not hasattr(torch, name) or name not in functions else [False]
    if as_methods == [False] and has_method(torch, name, case):
        as_methods = [True] if is_written_with_single_integers(name, case) else [False, True]
    for as_method in as_methods:
        mine, my_leaves = run(tw, name, case, dtype, as_method)
        theirs, their_leaves = run(torch, name, case, dtype, as_method)
        compare_results(mine, theirs, tolerance)
        if not case.is_flat:
            compare_gradients(weighted_sum(mine, tw.tensor), my_leaves, weighted_sum(theirs, torch.tensor),
            their_leaves,
                              tolerance)  # fmt: skip


IN_PLACE_CASES = [
    pytest.param(name, case, id=f"{name}_-{i}")
    for name in sorted({*IN_PLACE, "addcmul", "addcdiv", "lerp"})
    for i, case in enumerate(ROWS[name])
]


@pytest.mark.peer
@pytest.mark.parametrize(("name", "case"), IN_PLACE_CASES)
def test_in_place_against_pytorch(name, case):
    """The in-place form of a result of an operation: the same value, gradients, and refusals."""
    torch = pytest.importorskip("torch")
    outcomes = []
    for library in (tw, torch):
        make = tw.tensor if library is tw else torch.tensor
        leaves: list[Any] = []
        args = [convert(each, make, np.float64, leaves) for each in case.args]
        target = args[0].clone()
        try:
            result = getattr(target, name + "_")(*args[1:], **case.kwargs)
        except (ValueError, TypeError, RuntimeError) as error:
            outcomes.append(error)
            continue
        assert result is target
        outcomes.append((target, leaves))
    mine, theirs = outcomes
    assert isinstance(mine, Exception) == isinstance(theirs, Exception), (mine, theirs)
    if isinstance(mine, Exception):
        assert isinstance(mine, tw.ThalwegError)
        return
    compare_results([mine[0]], [theirs[0]], 1e-9)
    if case.is_flat:
        return
    compare_gradients(
        weighted_sum([mine[0]], tw.tensor), mine[1], weighted_sum([theirs[0]], torch.tensor), theirs[1], 1e-9
    )


# Finite differences cannot see a kink, a point without a derivative, or an infinity; PyTorch's convention holds there.
AT_A_KINK = {("amax", 2), ("amin", 2), ("max", 5), ("min", 5), ("maximum", 1), ("maximum", 3), ("minimum", 1),
             ("minimum", 3), ("abs", 3), ("relu", 2), ("clamp", 4), ("norm", 9), ("norm", 10), ("std", 3),
             ("pow", 16), ("masked_fill", 1), ("fmin", 1), ("fmax", 1), ("atan2", 2),
             ("arctan2", 2), ("cummax", 2), ("cummin", 2)}  # fmt: skip
CHECKABLE = [
    (name, i, case) for name in NAMES for i, case in enumerate(ROWS.get(name, []))
    if any(is_differentiated(each) for each in case.args) and (name, i) not in AT_A_KINK and not case.is_flat
    and name in functions and name not in ("nonzero", "argmax", "argmin", "argsort") and "dtype" not in case.kwargs
]  # fmt: skip


@pytest.mark.parametrize(("name", "position", "case"), sweep(CHECKABLE, fraction=0.3, seed=5))
def test_gradients_against_finite_differences(name, position, case):
    given = [
        each.astype(np.float64)
        if is_differentiated(each)
        else tw.tensor(each)
        if isinstance(each, np.ndarray)
        else each
        for each in case.args
    ]

    def call(*args):
        result = getattr(tw, name)(*args, **case.kwargs)
        results = result if isinstance(result, (tuple, list)) else [result]
        return [each for each in results if each.dtype.is_floating_point]

    sample = [tw.tensor(each, requires_grad=True) if is_differentiated(each) else each for each in given]
    if call(*sample):
        assert tw.gradcheck(call, given)
