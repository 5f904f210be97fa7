"""Making tensors: dtypes kept, defaults, what NumPy shares and what it does not, and data that cannot be a tensor.

In: Python data and arrays of every kind. Out: the tensor, or an error that says what was wrong with the data.
"""

from __future__ import annotations

import copy
import datetime

import numpy as np
import pytest

import thalweg as tw


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_an_array_keeps_its_dtype(dtype):
    array = np.ones((2, 3), dtype)
    for made in (tw.tensor(array), tw.from_numpy(array), tw.as_tensor(array), tw.Tensor(array)):
        assert made.dtype == dtype
        assert made.shape == (2, 3)
        assert made.numpy().dtype == dtype


@pytest.mark.parametrize(("source", "kept"), [("int8", "int32"), ("int16", "int32"), ("uint16", "int32"),
("uint32", "int64"),
                                              ("float16", "float32"), (">f4", "float32"),
                                              (">i8", "int64")])  # fmt: skip
def test_formats_that_widen(source, kept):
    made = tw.tensor(np.array([1, 2, 3], source))
    assert made.dtype == kept
    assert made.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (3, "int64", ()), (2.5, "float32", ()), (True, "bool", ()), ([1, 2.5], "float32", (2,)), ([True, 2],
        "int64", (2,)),
        ([], "float32", (0,)), ([[]], "float32", (1, 0)), (np.float64(1), "float64", ()), (np.int32(1), "int32", ()),
        (np.array(1.5, np.float32), "float32", ()), ([np.ones(2), np.zeros(2)], "float32", (2, 2)), (range(3),
        "int64", (3,)),
        (((1, 2), (3, 4)), "int64", (2, 2)), (np.zeros((0, 3), np.int32), "int32", (0, 3)), ([1e300], "float32", (1,)),
    ],
)  # fmt: skip
def test_python_data(data, dtype, shape):
    for make in (tw.tensor, tw.as_tensor):
        made = make(data)
        assert (made.dtype, made.shape) == (dtype, shape)


def test_nested_lists_of_tensors():
    made = tw.tensor([[tw.tensor(1.0), tw.tensor(2.0)], [tw.tensor(3.0), tw.tensor(4.0)]])
    assert made.tolist() == [[1, 2], [3, 4]]
    assert tw.tensor([tw.ones(2), tw.zeros(2)]).shape == (2, 2)


def test_a_dtype_may_be_named_in_every_way():
    for dtype in ("float64", np.float64, np.dtype("float64"), tw.float64, tw.double):
        assert tw.tensor([1, 2], dtype=dtype).dtype is tw.float64
        assert tw.zeros(2, dtype=dtype).dtype is tw.float64
        assert tw.ones(2).to(dtype).dtype is tw.float64
    assert tw.tensor([1, 2], dtype=float).dtype is tw.float32
    assert tw.tensor([1, 2], dtype=int).dtype is tw.int64
    assert tw.tensor([1, 0], dtype=bool).dtype == "bool"


def test_tensor_copies_and_from_numpy_shares():
    array = np.ones(3)
    copied, shared = tw.tensor(array), tw.from_numpy(array)
    array[0] = 5
    assert copied.tolist() == [1, 1, 1]
    assert shared.tolist() == [5, 1, 1]
    assert (shared * 2).tolist() == [10, 2, 2]


def test_what_leaves_a_tensor_is_a_copy():
    x = tw.ones(3)
    for array in (x.numpy(), np.asarray(x), np.array(x)):
        array[0] = 9
    assert x.tolist() == [1, 1, 1]


def test_tensor_of_a_tensor_is_a_detached_copy():
    x = tw.ones(2, requires_grad=True)
    y = tw.tensor(x)
    assert not y.requires_grad
    with tw.no_grad():
        x += 1
    assert y.tolist() == [1, 1]
    assert tw.as_tensor(x) is x
    assert tw.as_tensor(x, dtype="float64").dtype == "float64"


def test_filled():
    assert tw.zeros(2, 3).shape == tw.zeros((2, 3)).shape == tw.zeros([2, 3]).shape == (2, 3)
    assert tw.ones(2).dtype == tw.empty(2).dtype == tw.eye(2).dtype == "float32"
    assert (tw.full((2,), 7).dtype, tw.full((2,), 7.0).dtype, tw.full((2,), True).dtype) == ("int64", "float32", "bool")
    x = tw.ones(2, dtype="int32")
    assert [f(x).dtype for f in (tw.zeros_like, tw.ones_like)] == ["int32"] * 2
    assert tw.full_like(x, 5).tolist() == [5, 5]
    assert tw.zeros_like(x, dtype="float64").dtype == "float64"
    assert tw.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert tw.zeros().shape == ()
    assert tw.ones(2, requires_grad=True).is_leaf


@pytest.mark.peer
@pytest.mark.parametrize("arguments", [(5,), (2, 8, 3), (5.0,), (0, 1, 0.1), (3, -2, -1), (0,), (1, 2, 0.3), (-1.5, 2)])
def test_arange_is_that_of_pytorch(arguments):
    torch = pytest.importorskip("torch")
    mine, theirs = tw.arange(*arguments), torch.arange(*arguments)
    assert f"torch.{mine.dtype.name}" == str(theirs.dtype)
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6)


def test_ranges():
    assert tw.arange(np.int64(3)).dtype == "int64"
    assert tw.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert tw.linspace(0, 1, 1).tolist() == [0]
    assert tw.arange(3, dtype="float64").dtype == "float64"


def test_conversions():
    x = tw.tensor([0.5, -1.7, 2.0], requires_grad=True)
    assert x.long().tolist() == x.int().tolist() == [0, -1, 2]
    assert x.bool().tolist() == [True] * 3
    assert x.double().requires_grad
    assert not x.long().requires_grad
    x.double().sum().backward()
    assert x.grad.dtype == "float32"
    assert x.to("cpu") is x
    assert x.to(tw.float32) is x
    assert x.to("cpu", dtype="float64").dtype == "float64"
    assert x.type_as(tw.ones(1, dtype="float64")).dtype == "float64"


def test_a_deep_copy_is_a_leaf_of_its_own():
    x = tw.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    y = copy.deepcopy({"a": x, "b": x})
    assert y["a"] is y["b"]
    assert y["a"].requires_grad
    assert y["a"].grad.tolist() == [3, 3]
    y["a"].grad.zero_()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(tw.ThalwegError, match=r"\.detach\(\)\.clone\(\)"):
        copy.deepcopy(x * 2)


@pytest.mark.parametrize(("value", "text"), [
    (lambda: tw.tensor([1.0, 2.5]), "tensor([1. , 2.5])"), (lambda: tw.tensor(3), "tensor(3)"),
    (lambda: tw.tensor([True]), "tensor([ True])"),
    (lambda: tw.ones(1, dtype="float64"), "tensor([1.], dtype=thalweg.float64)"),
    (lambda: tw.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"), (lambda: tw.zeros(0),
    "tensor([])"),
])  # fmt: skip
def test_repr(value, text):
    assert repr(value()) == text


def test_format_of_a_number():
    x = tw.tensor(2.5)
    assert f"{x:.2f}" == "2.50"
    assert f"{x}" == "2.5"
    assert f"{tw.tensor([2.5]):.1f}" == "2.5"
    assert f"{tw.ones(2)}" == "tensor([1., 1.])"


BAD = {
    "ragged": ([[1, 2], [3]], ValueError, "not rectangular"),
    "string": ("abc", TypeError, "cannot become a tensor"),
    "strings": (["a", "b"], TypeError, "encode text"),
    "none": ([1.0, None], TypeError, "holds None"),
    "none alone": (None, TypeError, "cannot become a tensor"),
    "objects": ([object()], TypeError, "cannot become a tensor"),
    "dictionary": ({"a": 1}, TypeError, "dict"),
    "complex": ([1j], TypeError, "complex128"),
    "dates": (np.array(["2020-01-01"], "datetime64[D]"), TypeError, "datetime64"),
    "python dates": ([datetime.date(2020, 1, 1)], TypeError, "datetime.date"),
    "uint64": (np.ones(2, np.uint64), TypeError, "uint64"),
    "huge integer": ([2**70], TypeError, "cannot become a tensor"),
    "set": ({1, 2}, TypeError, "set"),
}


@pytest.mark.parametrize(("data", "kind", "message"), BAD.values(), ids=BAD)
def test_data_that_cannot_become_a_tensor(data, kind, message):
    with pytest.raises(tw.ThalwegError, match=message) as error:
        tw.tensor(data)
    assert isinstance(error.value, kind)
    if data is not None:
        with pytest.raises(tw.ThalwegError, match=message):
            tw.as_tensor(data)
