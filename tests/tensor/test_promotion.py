"""What dtype a mixture has: every pair of dtypes, with and without dimensions, and Python numbers, against PyTorch.

In: operations of two operands. Out: the dtype, shape and values that PyTorch gives, or an error where it gives one.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import thalweg as tw
from tests.support.sweep import sweep

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")
KINDS = [*itertools.product(DTYPES, ((2, 3), ())), (True, "number"), (2, "number"), (1.5, "number")]
OPERATIONS = (
    "add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "maximum", "eq", "lt", "ge", "logical_and",
    "bitwise_or", "where", "stack", "matmul", "masked_fill", "copy_", "add_", "mul_", "div_", "setitem",
)  # fmt: skip
PAIRS = [(a, b) for a, b in itertools.product(KINDS, KINDS) if not a[1] == b[1] == "number"]
EVERYTHING = list(itertools.product(OPERATIONS, PAIRS))


def operand(kind, library, seed):
    value, shape = kind
    if shape == "number":
        return value
    array = np.random.default_rng(seed).integers(1, 4, shape)
    array = np.asarray(array).astype(value)
    return library.tensor(array) if library is tw else library.from_numpy(array.copy())


def apply(operation, library, a, b):
    is_tensor = isinstance(a, tw.Tensor) or hasattr(a, "numpy")
    if operation == "where":
        return library.where(library.tensor([True, False, True]), a, b)
    if operation == "stack":
        return library.stack([a, b])
    if operation == "masked_fill":
        return a.masked_fill(a == a, b)
    if operation == "setitem":
        a[...] = b
        return a
    if operation.endswith("_"):
        return getattr(a, operation)(b)
    if is_tensor:
        return getattr(a, operation)(b)
    return PYTHON[operation](a, b)


PYTHON = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "floor_divide": lambda a, b: a // b, "remainder": lambda a, b: a % b, "pow": lambda a, b: a**b,
    "eq": lambda a, b: a == b, "lt": lambda a, b: a < b, "ge": lambda a, b: a >= b, "bitwise_or": lambda a, b: a | b,
}  # fmt: skip


def is_meaningful(operation, a, b):
    """PyTorch takes numbers in places where they make sense, and some functions take tensors only."""
    numbers = [each[1] == "number" for each in (a, b)]
    if operation == "pow" and a[0] in ("bool", True) and b[0] in ("bool", True):
        return False
    if operation in ("stack", "matmul", "maximum", "logical_and"):
        return not any(numbers)
    if operation in ("masked_fill", "copy_", "setitem") or operation.endswith("_"):
        return not numbers[0] and not (operation == "copy_" and numbers[1])
    return not numbers[0] or operation in PYTHON or operation == "where"


def outcome(operation, library, a, b):
    try:
        return apply(operation, library, operand(a, library, 1), operand(b, library, 2))
    except (TypeError, ValueError, RuntimeError) as error:
        return error


CASES = [(operation, a, b) for operation, (a, b) in EVERYTHING if is_meaningful(operation, a, b)]


@pytest.mark.peer
@pytest.mark.parametrize(("operation", "a", "b"), sweep(CASES, fraction=0.1, seed=11))
def test_promotion_is_that_of_pytorch(operation, a, b):
    torch = pytest.importorskip("torch")
    mine, theirs = outcome(operation, tw, a, b), outcome(operation, torch, a, b)
    if isinstance(theirs, Exception):
        # Thalweg may take a mixture that PyTorch refuses (matmul of two dtypes, stack of two dtypes); if it
        # refuses, it says so in its own words.
        assert not isinstance(mine, Exception) or isinstance(mine, tw.ThalwegError), mine
        return
    assert not isinstance(mine, Exception), mine
    assert (f"torch.{mine.dtype.name}", mine.shape) == (str(theirs.dtype), tuple(theirs.shape))
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize(("number", "dtype"), [(np.float64(2), "float32"), (np.float32(2), "float32"),
                                              (np.int64(2), "int64"), (np.bool_(True), "int64")])  # fmt: skip
def test_a_numpy_number_is_as_weak_as_a_python_number(number, dtype):
    assert (tw.tensor([1, 2]) + number).dtype == dtype
    assert (number + tw.tensor([1, 2])).dtype == dtype
    assert (tw.tensor([1.0, 2.0]) * number).dtype == "float32"


def test_integer_arithmetic_wraps_and_comparison_does_not():
    x = tw.tensor([1, 255], dtype="uint8")
    assert (x + 300).tolist() == [45, 43]
    assert (x < 300).tolist() == [True, True]
    assert (x > -1).tolist() == [True, True]
    assert (tw.tensor([5], dtype="int32") < 2**40).tolist() == [True]


def test_a_result_of_a_higher_category_is_not_stored_in_place():
    with pytest.raises(tw.ThalwegError, match="cannot be stored in place"):
        tw.tensor([1, 2]).mul_(1.5)
