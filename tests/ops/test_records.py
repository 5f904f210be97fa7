"""What single records promise beyond the common contract: special values, empty data, errors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.gradient_check import evaluate
from thalweg import ops
from thalweg.dtype import as_dtype, bool_, float32, float64, int32, int64, uint8
from thalweg.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError, ThalwegError
from thalweg.gradient import gradients
from thalweg.graph import full, make_input
from thalweg.ops.special import erf

NAN, INF = float("nan"), float("inf")


def node_of(array):
    return make_input(array.shape, as_dtype(array.dtype))


def run(record, *arrays, of=None, **attributes):
    arrays = [np.array(array, of.numpy if of else None) for array in arrays]
    inputs = [node_of(array) for array in arrays]
    return evaluate([record(*inputs, **attributes)], dict(zip(inputs, arrays, strict=True)))[0]


def gradient_of(record, *arrays, seed=1.0, **attributes):
    arrays = [np.array(array, float) for array in arrays]
    inputs = [node_of(array) for array in arrays]
    result = record(*inputs, **attributes)
    found = gradients([result], [full(result.shape, seed, result.dtype)], inputs)
    return evaluate(found, dict(zip(inputs, arrays, strict=True)))


def same(value, expected):
    np.testing.assert_array_equal(value, expected)


# --- elementwise -----------------------------------------------------------------------------------------------------


def test_maximum_and_minimum_keep_nan():
    same(run(ops.maximum, [NAN, 1.0, NAN], [1.0, NAN, NAN]), [NAN] * 3)
    same(run(ops.minimum, [NAN, 1.0, NAN], [1.0, NAN, NAN]), [NAN] * 3)


def test_maximum_shares_the_cotangent_of_a_tie():
    by_a, by_b = gradient_of(ops.maximum, [1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    same(by_a, [0.0, 0.5, 1.0])
    same(by_b, [1.0, 0.5, 0.0])


def test_sign():
    same(run(ops.sign, [-2.0, -0.0, 0.0, INF, NAN]), [-1, 0, 0, 1, NAN])
    same(run(ops.sign, [0, 200], of=uint8), [0, 1])


@pytest.mark.parametrize(
    "record", [ops.negative, ops.absolute, ops.sign, ops.subtract, ops.floor_divide, ops.power], ids=repr
)
def test_arithmetic_that_has_no_meaning_for_bool_is_refused(record):
    inputs = [make_input((2,), bool_)] * len(record.probes[0].shapes)
    with pytest.raises(DTypeError, match="received: bool"):
        record(*inputs)


def test_bool_arithmetic_is_logic():
    same(run(ops.add, [True, True, False], [True, False, False]), [True, True, False])
    same(run(ops.multiply, [True, True, False], [True, False, False]), [True, False, False])
    same(run(ops.maximum, [True, False], [False, False]), [True, False])


def test_unsigned_integers_wrap():
    same(run(ops.negative, [1, 0], of=uint8), [255, 0])
    same(run(ops.add, [250], [10], of=uint8), [4])
    same(run(ops.multiply, [16], [17], of=uint8), [16])


def test_rounding_goes_to_even():
    same(run(ops.round_, [0.5, 1.5, 2.5, -0.5]), [0, 2, 2, 0])


@pytest.mark.parametrize("record", [ops.floor_divide, ops.remainder], ids=repr)
def test_integer_division_by_zero_names_the_place(record):
    for error in (ArgumentError, ZeroDivisionError):
        with pytest.raises(error, match=r"integer division by zero\n  received: divisor 0 at position \(1,\)"):
            run(record, [4, 5], [2, 0])
    same(run(record, [], [], of=int64), [])


def test_division_and_remainder_follow_python():
    pairs = [(7, 3), (-7, 3), (7, -3), (-7, -3)]
    a, b = zip(*pairs, strict=True)
    for dtype in (int32, int64, float32, float64):
        same(run(ops.floor_divide, a, b, of=dtype), [x // y for x, y in pairs])
        same(run(ops.remainder, a, b, of=dtype), [x % y for x, y in pairs])


def test_floating_division_by_zero_is_ieee():
    same(run(ops.divide, [1.0, -1.0, 0.0], [0.0, 0.0, 0.0]), [INF, -INF, NAN])
    same(run(ops.remainder, [1.0], [0.0]), [NAN])


def test_the_most_negative_integer_divided_by_minus_one_wraps():
    lowest = np.iinfo(np.int32).min
    same(run(ops.floor_divide, [lowest], [-1], of=int32), [lowest])
    same(run(ops.remainder, [lowest], [-1], of=int32), [0])


def test_an_integer_to_a_negative_power_is_refused():
    with pytest.raises(ArgumentError, match=r"received: -1 at position \(1,\)"):
        run(ops.power, [2, 2], [1, -1])
    same(run(ops.power, [2, 0, 5], [10, 0, 0]), [1024, 1, 1])
    same(run(ops.power, [2], [3], of=uint8), [8])


def test_power_at_its_corners():
    same(run(ops.power, [0.0, 0.0, -8.0, 1.0, INF], [0.0, -1.0, 1 / 3, NAN, 0.0]), [1, INF, NAN, 1, 1])
    by_base, by_exponent = gradient_of(ops.power, [0.0, 0.0, 0.0, 2.0], [2.0, 1.0, 0.0, 0.0])
    same(by_base, [0, 1, 0, 0])
    np.testing.assert_allclose(by_exponent, [0, 0, 0, np.log(2)])


def test_where_gives_the_unselected_branch_exactly_zero():
    """Through log of a negative number, a square root at 0, an overflow, and a product with infinity."""
    for unsafe in (ops.log, ops.sqrt, ops.exp, lambda x: x * (1.0 / x), lambda x: ops.power(x, x * 0.0 + 0.5)):
        for point in (-1.0, 0.0, -0.0, 1e5, INF, NAN):
            x = make_input((1,), float64)
            chosen = ops.where(full((1,), False, bool_), unsafe(x), x * 2.0)
            (first,) = gradients([chosen], [full((1,), 1, float64)], [x])
            (second,) = gradients([first], [full((1,), 1, float64)], [x])
            same(evaluate([first], {x: np.array([point])})[0], [2.0])
            if second is not None and np.isfinite(point):
                same(evaluate([second], {x: np.array([point])})[0], [0.0])


def test_sigmoid_and_softplus_do_not_overflow():
    same(run(ops.sigmoid, [-1e4, 1e4, -INF, INF, NAN], of=float32), [0, 1, 0, 1, NAN])
    same(run(ops.softplus, [-1e4, 1e4, -INF, INF, NAN], of=float32), [0, 1e4, 0, INF, NAN])
    assert run(ops.sigmoid, [-80.0], of=float32)[0] > 0


def test_erf_against_its_integral():
    """The trapezoidal rule, whose error for exp(-t^2) is negligible at this step."""
    for x in (0.1, 0.46875, 0.5, 1.0, 2.0, 3.9, 4.1, 5.5):
        t = np.linspace(0, x, 200_001)
        integral = np.trapezoid(np.exp(-t * t), t) * 2 / np.sqrt(np.pi)
        np.testing.assert_allclose(erf(np.array([x, -x])), [integral, -integral], rtol=1e-9)
    same(erf(np.array([0.0, INF, -INF, NAN])), [0, 1, -1, NAN])
    assert erf(np.array([0.5], np.float32)).dtype == np.float32


def test_casts():
    same(run_cast([0.0, -0.5, NAN], "bool"), [False, True, True])
    same(run_cast([-1.7, 1.7], "int32"), [-1, 1])
    same(run_cast([True, False], "float32"), [1, 0])
    same(run_cast([1, 300], "uint8"), [1, 44])
    run_cast([NAN, INF, 1e300], "int64")  # whatever the machine gives, without a warning
    assert gradients_of_cast("float32") is not None
    assert gradients_of_cast("int64") is None


def run_cast(values, target):
    array = np.array(values)
    node = node_of(array)
    with np.errstate(all="raise"):
        return evaluate([ops.cast(node, dtype=target)], {node: array})[0]


def gradients_of_cast(target):
    x = make_input((2,), float64)
    node = ops.cast(x, dtype=target)
    return gradients([node], [full((2,), 1, node.dtype)], [x])[0]


# --- reductions ------------------------------------------------------------------------------------------------------


def test_empty_reductions():
    same(run(ops.sum_, np.zeros((0, 3)), axes=(0,)), np.zeros((1, 3)))
    same(run(ops.amax, np.zeros((0, 3)), axes=(1,)), np.zeros((0, 1)))
    for record, attributes in ((ops.amax, {"axes": (0,)}), (ops.amin, {"axes": (0, 1)}), (ops.argmax, {"axis": 0})):
        with pytest.raises(ShapeError, match="has no value"):
            record(make_input((0, 3), float32), **attributes)


def test_sum_of_small_integers_wraps_in_their_own_dtype():
    value = run(ops.sum_, [200, 100], of=uint8, axes=(0,))
    assert value.dtype == np.uint8
    same(value, [44])


def test_sum_of_bools_is_refused():
    with pytest.raises(DTypeError, match="sum is not defined"):
        ops.sum_(make_input((2,), bool_), axes=(0,))


def test_sums_that_overflow_do_so_quietly():
    with np.errstate(all="raise"):
        same(run(ops.sum_, [3e38, 3e38], of=float32, axes=(0,)), [INF])
        same(run(ops.cumsum, [INF, -INF], axis=0, reverse=False), [INF, NAN])
        same(run(ops.matmul, [[INF, 1.0]], [[0.0], [1.0]], transpose_a=False, transpose_b=False), [[NAN]])


def test_extremes_keep_nan_and_their_ties_share():
    same(run(ops.amax, [[1.0, NAN], [2.0, 3.0]], axes=(1,)), [[NAN], [3.0]])
    same(run(ops.amax, [[True, False], [False, False]], axes=(1,)), [[True], [False]])
    (by_x,) = gradient_of(ops.amax, [[2.0, 2.0, 1.0]], axes=(1,))
    same(by_x, [[0.5, 0.5, 0.0]])


def test_positions_of_extremes_take_the_first_and_nan():
    same(run(ops.argmax, [[1.0, 3.0, 3.0], [NAN, 9.0, NAN]], axis=1), [[1], [0]])
    same(run(ops.argmin, [[1.0, 1.0, 3.0], [5.0, NAN, 2.0]], axis=1), [[0], [1]])
    same(run(ops.argmax, [False, True, True], axis=0), [1])


def test_sorting_is_stable_both_ways_and_nan_is_the_largest():
    values = [2.0, NAN, 1.0, 2.0, INF]
    same(run(ops.argsort, values, axis=0, descending=False), [2, 0, 3, 4, 1])
    same(run(ops.argsort, values, axis=0, descending=True), [1, 4, 0, 3, 2])
    same(run(ops.argsort, [3, 200, 3], of=uint8, axis=0, descending=True), [1, 0, 2])
    same(run(ops.argsort, [True, False, True], axis=0, descending=True), [0, 2, 1])


@pytest.mark.parametrize(
    ("record", "attributes"),
    [
        (ops.sum_, {"axes": (2,)}),
        (ops.sum_, {"axes": (0, 0)}),
        (ops.amax, {"axes": (-1,)}),
        (ops.flip, {"axes": (5,)}),
        (ops.cumsum, {"axis": 2, "reverse": False}),
        (ops.argmax, {"axis": 2}),
        (ops.argsort, {"axis": 2, "descending": False}),
        (ops.reshape, {"shape": (5,)}),
        (ops.reshape, {"shape": (-2, -3)}),
        (ops.permute, {"order": (0, 0)}),
        (ops.broadcast, {"shape": (2, 4)}),
        (ops.slice_, {"start": (0, 0), "stop": (3, 3), "step": (1, 1)}),
        (ops.slice_, {"start": (0,), "stop": (2,), "step": (1,)}),
        (ops.pad, {"low": (-1, 0), "high": (0, 0), "interior": (0, 0), "value": 0}),
        (ops.pad, {"low": (1,), "high": (0,), "interior": (0,), "value": 0}),
        (ops.concatenate, {"axis": 2}),
    ],
)
def test_attributes_that_do_not_fit_are_refused(record, attributes):
    with pytest.raises(ShapeError, match=r"received:(.|\n)*expected:"):
        record(make_input((2, 3), float32), **attributes)


def test_cumsum_of_a_scalar_says_that_it_needs_an_axis():
    with pytest.raises(ShapeError, match="at least one dimension"):
        ops.cumsum(make_input((), float32), axis=0, reverse=False)


# --- movement, matmul ------------------------------------------------------------------------------------------------


def test_padding_values_must_exist_in_the_dtype():
    width = {"low": (1,), "high": (0,), "interior": (0,)}
    same(run(ops.pad, [1.0], **width, value=-INF), [-INF, 1.0])
    same(run(ops.pad, [1], of=int64, **width, value=7), [7, 1])
    for value, dtype in ((-INF, int64), (NAN, int32), (0.5, int64), (-1, uint8), (300, uint8)):
        with pytest.raises(DTypeError, match="does not exist"):
            ops.pad(make_input((1,), dtype), **width, value=value)


def test_concatenate_of_nothing():
    with pytest.raises(ShapeError, match="nothing to join"):
        ops.concatenate(axis=0)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [((3,), (3, 4), "matrices"), ((2, 3, 4), (3, 4, 5), "batch axes differ"), ((3, 4), (3, 5), "4 against 3"),
     ((1, 3, 4), (4, 5), "batch axes differ")],
)  # fmt: skip
def test_matrices_that_do_not_fit(a, b, message):
    with pytest.raises(ShapeError, match=message):
        ops.matmul(make_input(a, float32), make_input(b, float32), transpose_a=False, transpose_b=False)


# --- indexing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 3])
def test_positions_out_of_range_name_place_and_value(bad):
    message = rf"class label out of range\n  received: {bad} at position \(1,\)\n  expected: 0 <= class label < 3"
    with pytest.raises(IndexRangeError, match=message):
        run(ops.gather, [1.0, 2.0, 3.0], [0, bad], role="class label")
    with pytest.raises(IndexRangeError, match=message):
        run(ops.scatter_add, [1.0, 2.0], [0, bad], shape=(3,), role="class label")
    with pytest.raises(IndexRangeError, match=message):
        run(ops.one_hot, [0, bad], size=3, dtype="float32", role="class label")
    with pytest.raises(IndexRangeError, match=message):
        run(ops.index_put, [1.0, 2.0, 3.0], [1.0, 2.0], [0, bad], role="class label")


def test_gather_from_nothing_is_refused_and_gathering_nothing_is_not():
    with pytest.raises(IndexRangeError, match="0 <= row < 0"):
        run(ops.gather, np.zeros((0, 2)), [0], role="row")
    assert run(ops.gather, np.zeros((0, 2)), np.zeros(0, int), role="row").shape == (0, 2)


def test_scatter_add_collects_repeated_positions():
    same(run(ops.scatter_add, [1.0, 2.0, 4.0], [2, 0, 2], shape=(3,), role="row"), [2, 0, 5])


@pytest.mark.parametrize(
    "build",
    [
        lambda: ops.gather(make_input((3,), float32), make_input((2,), float32), role="row"),
        lambda: ops.gather(make_input((3,), float32), make_input((2,), int64), make_input((2,), int64), role="row"),
        lambda: ops.scatter_add(make_input((2, 2), float32), make_input((2,), int64), shape=(3, 4), role="row"),
        lambda: ops.index_put(
            make_input((3,), float32), make_input((2,), float64), make_input((2,), int64), role="row"
        ),
        lambda: ops.one_hot(make_input((2,), float32), size=3, dtype="float32", role="row"),
        lambda: ops.iota(shape=(), axis=0, dtype="int64"),
        lambda: ops.iota(shape=(3,), axis=0, dtype="bool"),
        lambda: ops.where(make_input((3,), int64), make_input((3,), float32), make_input((3,), float32)),
    ],
)
def test_index_records_refuse_what_does_not_fit(build):
    with pytest.raises(ThalwegError, match="received:"):
        build()
