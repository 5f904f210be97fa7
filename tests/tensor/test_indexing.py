"""Indexing and assignment in every form, against NumPy and PyTorch: values, views of views, gradients, errors.

In: random shapes and index expressions. Out: NumPy's result (PyTorch's where an integer meets index arrays), gradients
that are the transpose of the picking, and errors where the index does not fit.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import thalweg as tw

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


def numbers(shape, offset=0):
    return np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape) + offset


@st.composite
def basic(draw):
    """A shape and an index of integers, slices (also backwards), None and Ellipsis."""
    shape = draw(SHAPES)
    index = draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    return shape, index


def index_array(draw, extent, shape):
    values = draw(
        st.lists(st.integers(-extent, extent - 1), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
    )
    return np.array(values, np.int64).reshape(shape)


@st.composite
def advanced(draw, with_none=True):
    """A shape and an index that mixes slices and integer arrays, lists, masks, None; Ellipsis at most once."""
    shape = draw(SHAPES)
    together = draw(st.sampled_from([(2,), (3,), (2, 2), (), (0,)]))
    parts, axis, has_mask = [], 0, False
    while axis < len(shape) and draw(st.integers(0, 5)):
        kind = draw(st.sampled_from(["slice", "array", "list", "mask", "none", "array", "flat mask"]))
        if kind == "slice":
            start, stop = draw(st.integers(-5, 5)), draw(st.none() | st.integers(-5, 5))
            parts.append(slice(start, stop, draw(st.sampled_from([1, 2, -1, None]))))
        elif kind == "none" and with_none:
            parts.append(None)
            continue
        elif kind in ("mask", "flat mask") and not has_mask and together in ((), (2,), (3,)):
            depth = 1 if kind == "flat mask" else draw(st.integers(1, len(shape) - axis))
            part = draw(hnp.arrays(bool, shape[axis : axis + depth]))
            if together != () and part.sum() not in (1, *together):
                continue
            parts.append(part)
            axis += depth - 1
            has_mask = True
        else:
            array = index_array(draw, shape[axis], together if draw(st.booleans()) else ())
            parts.append(array.tolist() if kind == "list" and array.ndim else array)
        axis += 1
    if axis < len(shape) and draw(st.booleans()):
        parts.append(Ellipsis)
    if not any(isinstance(each, (np.ndarray, list)) for each in parts):
        parts.insert(0, np.array(draw(st.lists(st.integers(0, shape[0] - 1), max_size=3)), np.int64))
        parts = parts[:1]
    return shape, tuple(parts)


def as_tensors(index):
    return tuple(tw.tensor(each) if isinstance(each, np.ndarray) else each for each in index)


@given(basic())
def test_basic_indexing_is_that_of_numpy_and_gives_a_view(case):
    shape, index = case
    array = numbers(shape)
    found = tw.tensor(array)[index]
    np.testing.assert_array_equal(found.numpy(), array[index])
    assert found.shape == array[index].shape


@given(basic())
def test_basic_assignment_reaches_base_and_views(case):
    shape, index = case
    array = numbers(shape)
    x = tw.tensor(array)
    flat, view = x.view(-1), x[index]
    value = numbers(array[index].shape, 100)
    x[index] = tw.tensor(value)
    array[index] = value
    np.testing.assert_array_equal(x.numpy(), array)
    np.testing.assert_array_equal(flat.numpy(), array.reshape(-1))
    np.testing.assert_array_equal(view.numpy(), array[index])
    view += 1  # and through the view
    array[index] += 1
    np.testing.assert_array_equal(x.numpy(), array)
    np.testing.assert_array_equal(flat.numpy(), array.reshape(-1))


@given(advanced())
def test_advanced_indexing_is_that_of_numpy(case):
    shape, index = case
    array = numbers(shape)
    for form in (index, as_tensors(index)):
        found = tw.tensor(array)[form]
        np.testing.assert_array_equal(found.numpy(), array[index])
        assert found.shape == array[index].shape


@given(advanced(), st.sampled_from(["same", "scalar", "row", "integer"]))
def test_advanced_assignment_is_that_of_numpy(case, kind):
    shape, index = case
    array = numbers(shape)
    x = tw.tensor(array)
    picked = array[index].shape
    value = {"same": np.full(picked, 7.5), "scalar": np.array(7.5), "row": np.full(picked[-1:], 7.5),
             "integer": np.full(picked, 7)}[kind]  # fmt: skip
    x[as_tensors(index)] = tw.tensor(value)
    array[index] = value
    np.testing.assert_array_equal(x.numpy(), array)


@given(basic(), st.data())
def test_assignment_through_a_view_of_a_view(case, data):
    shape, index = case
    array = numbers(shape)
    x = tw.tensor(array)
    outer_view, array_view = x[index], array[index]
    if not array_view.ndim:
        return
    inner = data.draw(hnp.basic_indices(array_view.shape))
    outer_view.view(-1).view(outer_view.shape)[inner] = 5.0
    array_view[inner] = 5.0
    np.testing.assert_array_equal(x.numpy(), array)
    np.testing.assert_array_equal(outer_view.numpy(), array_view)


@given(st.one_of(basic(), advanced()))
def test_the_gradient_of_picking_adds_where_entries_were_picked(case):
    shape, index = case
    array = numbers(shape)
    x = tw.tensor(array, requires_grad=True)
    picked = x[as_tensors(index) if isinstance(index, tuple) else index]
    weights = np.random.default_rng(0).uniform(1, 2, picked.shape)
    picked.backward(tw.tensor(weights))
    expected = np.zeros(shape)
    np.add.at(expected, index, weights)
    np.testing.assert_allclose(x.grad.numpy(), expected)


@given(st.one_of(basic(), advanced()))
def test_the_gradient_of_assignment_goes_to_the_value_and_not_to_what_was_overwritten(case):
    shape, index = case
    array = numbers(shape)
    picked = array[index]
    positions = np.arange(array.size).reshape(shape)[index]
    if len(np.unique(positions)) < positions.size:
        return  # which of two values stays is not defined
    x = tw.tensor(array, requires_grad=True)
    value = tw.tensor(numbers(picked.shape, 3), requires_grad=True)
    y = x * 1
    y[as_tensors(index) if isinstance(index, tuple) else index] = value
    weights = np.random.default_rng(0).uniform(1, 2, shape)
    y.backward(tw.tensor(weights))
    np.testing.assert_allclose(value.grad.numpy(), weights[index])
    expected = weights.copy()
    expected[index] = 0
    found = np.zeros(shape) if x.grad is None else x.grad.numpy()  # None: every entry was overwritten
    np.testing.assert_allclose(found, expected)


@pytest.mark.peer
@given(advanced(with_none=False))
def test_advanced_indexing_is_that_of_pytorch(case):
    torch = pytest.importorskip("torch")
    shape, index = case
    if any(isinstance(each, slice) and (each.step or 1) < 0 for each in index):
        return  # PyTorch has no negative steps
    if any(isinstance(each, np.ndarray) and each.ndim == 0 and each.dtype.kind == "i" for each in index):
        return  # PyTorch takes a 0-d tensor for an integer, NumPy (and Thalweg) for an index array
    array = numbers(shape)
    theirs = torch.tensor(array)[tuple(torch.tensor(e) if isinstance(e, np.ndarray) else e for e in index)]
    np.testing.assert_array_equal(tw.tensor(array)[as_tensors(index)].numpy(), theirs.numpy())


@pytest.mark.peer
def test_an_integer_beside_index_arrays_is_applied_first_as_in_pytorch():
    torch = pytest.importorskip("torch")
    array = numbers((2, 3, 4))
    expected = torch.tensor(array)[0, :, [0, 1]]
    assert tuple(expected.shape) == (3, 2)  # NumPy: (2, 3)
    np.testing.assert_array_equal(tw.tensor(array)[0, :, [0, 1]].numpy(), expected.numpy())


# --- single forms ----------------------------------------------------------------------------------------------------

FORMS = {
    "integer": 1, "negative": -1, "slice": slice(1, 3), "step": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "none": None, "ellipsis": Ellipsis, "list": [0, 2], "nested list": [[0, 1], [1, 2]], "tuple of lists": ([0, 1],
    [1, 2]),
    "empty list": [], "true": True, "false": False, "range": range(2), "tuple in a tuple": ((0, 2),),
    "list of bools": [True, False, True], "mask": np.arange(12).reshape(3, 4) % 2 == 0, "numpy integer": np.int64(2),
    "array and slice": (np.array([0, 1]), slice(1, 3)), "slice and mask": (slice(None),
    np.array([True, False, True, True])),
    "mask and integer array": (np.array([True, False, True]), np.array([0, 3])),
    "none and array": (None, np.array([0, 1])),
    "array, none, array": (np.array([0, 1]), None, np.array([0, 1])), "true and slice": (True, slice(1, 2)),
    "0-d array": np.array(1), "broken slice": slice(5, 1), "uint8": np.array([0, 1], np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("index", FORMS.values(), ids=FORMS)
def test_every_form_reads_and_writes_as_numpy_does(index):
    array = numbers((3, 4))
    x = tw.tensor(array)
    np.testing.assert_array_equal(x[index].numpy(), array[index])
    x[index] = -1.0
    array[index] = -1.0
    np.testing.assert_array_equal(x.numpy(), array)


def test_tensors_index_alone_in_lists_and_as_bounds():
    x = tw.arange(12).view(3, 4)
    assert x[tw.tensor(1)].tolist() == [4, 5, 6, 7]
    assert x[[tw.tensor(0), tw.tensor(2)]].tolist() == x[[0, 2]].tolist()
    assert x[tw.tensor(1) : tw.tensor(3)].tolist() == x[1:3].tolist()
    assert x[x > 7].tolist() == [8, 9, 10, 11]
    assert x[x[:, 0] > 3, 1].tolist() == [5, 9]


def test_a_pending_mask_is_computed_where_its_values_decide_the_shape():
    x = tw.tensor([1.0, 2.0, 3.0])
    mask = (x * 2) > 3
    assert x[mask].shape == (2,)
    x[mask] = tw.tensor([7.0, 8.0])
    assert x.tolist() == [1, 7, 8]


def test_assignment_of_one_number_under_a_mask_needs_no_values():
    x = tw.tensor([1.0, 2.0, 3.0])
    x[x > 1] = 0
    x[(x == 0).bool()] = tw.tensor(4.0)
    assert x.tolist() == [1, 4, 4]


def test_assignment_converts_the_dtype():
    x = tw.tensor([1, 2, 3])
    x[0] = 2.7
    x[1:] = tw.tensor([5.9, -5.9])
    assert x.dtype == "int64"
    assert x.tolist() == [2, 5, -5]


def test_augmented_assignment_to_a_part():
    x = tw.tensor([[1.0, 2.0], [3.0, 4.0]])
    x[0] += 10
    x[:, 1] *= 2
    x[[0, 1], [0, 0]] -= 1
    assert x.tolist() == [[10, 24], [2, 8]]


def test_second_derivative_through_getitem_and_setitem():
    def function(x, v):
        y = x * x
        y[1:, ::2] = v * v * v
        return y[[0, 1, 1], [0, 2, 2]] * y[:1, 0]

    assert tw.gradcheck(function, [tw.randn(3, 4), tw.randn(2, 2)], order=2)


BAD = {
    "too many": ((0, 0, 0), "too many indices", IndexError),
    "integer": (3, "index out of range", IndexError),
    "negative integer": (-4, "index out of range", IndexError),
    "list": ([0, 5], "index out of range", IndexError),
    "second axis": ((slice(None), [4]), "on axis 1", IndexError),
    "float": (1.5, "cannot index a tensor", TypeError),
    "float array": (np.array([1.5]), "integers or bools", TypeError),
    "string": ("a", "cannot index a tensor", TypeError),
    "mask of another shape": (np.ones((2, 4), bool), "mask", IndexError),
    "two ellipses": ((..., ...), "one Ellipsis", IndexError),
    "lists that do not broadcast": (([0, 1], [0, 1, 2]), "index arrays", ValueError),
    "ragged list": ([[0], [0, 1]], "rectangular", ValueError),
}


@pytest.mark.parametrize(("index", "message", "kind"), BAD.values(), ids=BAD)
def test_an_index_that_does_not_fit_is_refused_at_once(index, message, kind):
    x = tw.tensor(numbers((3, 4)))
    with pytest.raises(tw.ThalwegError, match=message):
        x[index]
    with pytest.raises(tw.ThalwegError, match=message):
        x[index] = 0.0
    with pytest.raises(kind):
        x[index]


def test_a_value_that_does_not_fit_is_refused():
    x = tw.tensor(numbers((3, 4)))
    for index in (0, [0, 1], np.arange(12).reshape(3, 4) > 5):
        with pytest.raises(ValueError, match=r"fit|broadcast"):
            x[index] = tw.zeros(5)
    with pytest.raises(tw.ThalwegError, match="operand of this type"):
        x[0] = "a"


def test_a_computed_position_out_of_range_is_reported_with_its_place():
    with pytest.raises(IndexError, match=r"9 at position \(1,\)"):
        tw.zeros(3)[tw.tensor([0, 8]) + 1].numpy()
