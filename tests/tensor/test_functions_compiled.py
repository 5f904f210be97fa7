"""Every function of tensors, compiled, gives what NumPy evaluation gives: two derivatives included, in place too.

In: the rows of `function_table`. Out: agreement in value, shape and dtype; programs that run on NumPy are those listed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.support.compiled import arrays_of, assert_all_agree, eagerly, executables, is_real, with_derivatives
from tests.support.fallbacks import FUNCTIONS as FALLBACKS
from tests.support.sweep import sweep
from tests.tensor.function_table import ROWS, Case
from tests.tensor.test_functions import AT_A_KINK, IN_PLACE, NAMES, is_differentiated
from thalweg.errors import TraceError

VALUES_DECIDE_SHAPES = {"nonzero", "argwhere", "unique", "unique_consecutive", "bincount", "histc"}
CASES = [(name, i, case) for name in NAMES for i, case in enumerate(ROWS[name])]
IN_PLACE_CASES = [(name, i, case) for name in IN_PLACE for i, case in enumerate(ROWS[name])]
every_float = pytest.mark.parametrize("dtype", ["float32", "float64"])
TOLERANCE = {"float32": 1e-4, "float64": 1e-11}


def tensor_of(value: Any, dtype: str) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [tensor_of(each, dtype) for each in value]
    if not isinstance(value, np.ndarray):
        return value
    result = tw.tensor(value.astype(dtype) if value.dtype.kind == "f" else value)
    return result.requires_grad_() if is_differentiated(value) else result


def flat(values: Any) -> list[Any]:
    return [leaf for each in values for leaf in (each if isinstance(each, list) else [each])]


def run(name: str, case: Case, dtype: str, is_compiled: bool, in_place: bool = False) -> tuple[list[np.ndarray], Any]:
    args = [tensor_of(each, dtype) for each in case.args]
    kwargs = {key: getattr(tw, value) if key == "dtype" else value for key, value in case.kwargs.items()}

    def call(*given: Any) -> list[tw.Tensor]:
        # Python floats would become inputs: they are closed over, as what decides the computation must be.
        arguments = [next_of if isinstance(next_of, (tw.Tensor, list)) else fixed
                     for next_of, fixed in zip(given, args, strict=True)]  # fmt: skip
        if in_place:
            result = getattr(arguments[0].clone(), name + "_")(*arguments[1:], **kwargs)
        else:
            result = getattr(tw, name, getattr(tw.Tensor, name, None))(*arguments, **kwargs)
        results = result if isinstance(result, (tuple, list)) else [result]
        leaves = [each for each in flat(arguments) if is_real(each) and each.requires_grad]
        return with_derivatives(list(results), leaves)

    chosen = tw.compile(call) if is_compiled else call
    with np.errstate(all="ignore"):
        return arrays_of(chosen(*[None if isinstance(each, float) else each for each in args])), chosen


def assert_same(name: str, case: Case, dtype: str, monkeypatch: pytest.MonkeyPatch, in_place: bool = False) -> None:
    try:
        meant, _ = eagerly(monkeypatch, lambda: run(name, case, dtype, is_compiled=False, in_place=in_place))
    except tw.ThalwegError as error:
        with pytest.raises(type(error)):
            run(name, case, dtype, is_compiled=True, in_place=in_place)
        return
    found, step = run(name, case, dtype, is_compiled=True, in_place=in_place)
    # exp of whole numbers is float32 whatever the others are
    narrowest = "float32" if any(array.dtype == np.float32 for array in meant) else dtype
    assert_all_agree(found, meant, TOLERANCE[narrowest], is_joint=True)
    for executable in executables(step):
        assert executable.is_native or name in FALLBACKS


@pytest.mark.parametrize(
    ("name", "position", "case"), sweep([c for c in CASES if c[0] not in VALUES_DECIDE_SHAPES], fraction=0.2, seed=21)
)
@every_float
def test_a_compiled_function_equals_numpy(
    name: str, position: int, case: Case, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (name, position) in AT_A_KINK and dtype == "float32":
        return
    assert_same(name, case, dtype, monkeypatch)


@pytest.mark.parametrize(("name", "position", "case"), sweep(IN_PLACE_CASES, fraction=0.15, seed=22))
def test_a_compiled_write_in_place_equals_numpy(
    name: str, position: int, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(name, case, "float64", monkeypatch, in_place=True)


def test_what_is_stated_to_run_on_numpy_does() -> None:
    for name in FALLBACKS:
        steps = [run(name, case, "float64", is_compiled=True)[1] for case in ROWS[name]]
        found = {executable.is_native for step in steps for executable in executables(step)}
        assert False in found, f"{name} has become native: take it out of tests/support/fallbacks.py"


@pytest.mark.parametrize("name", sorted(VALUES_DECIDE_SHAPES))
def test_what_has_no_shape_before_its_values_are_known_raises(name: str) -> None:
    for case in ROWS[name]:
        with pytest.raises(TraceError):
            run(name, case, "float64", is_compiled=True)
