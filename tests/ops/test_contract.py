"""The contract that every primitive keeps, checked from its record: no list of names, so a new record is tested too."""

from __future__ import annotations

import itertools
import warnings
import zlib

import numpy as np
import pytest

import thalweg.ops  # noqa: F401  (registers the records)
from tests.support.gradient_check import apply, check_record, evaluate, is_index, planted, sample
from thalweg.dtype import ALL_DTYPES, BOOL, FLOATING, INTEGER_DTYPES, dtype_of_array, float32, float64
from thalweg.errors import DTypeError, ThalwegError
from thalweg.gradient import gradients
from thalweg.graph import PRIMITIVES, full, make_input
from thalweg.verify import verify

# Records that no probe can describe, and where they are tested instead.
EXEMPT = {
    "input": "a leaf without a value: tests/test_graph.py",
    "constant": "a leaf without inputs: tests/test_graph.py",
    "scan": "takes a program as an attribute: tests/ops/test_loop.py",
    "loop": "takes a program as an attribute: tests/compile/test_loops.py",
    "output": "reads the results of scan: tests/ops/test_loop.py",
    "custom": "has a rule of its own in every node: tests/autograd/test_function.py",
}
KNOWN_IDENTITIES = {
    "by_axis", "view", "commutative", "identity_element", "idempotent", "involution", "linear", "multilinear",
    "stops_gradient",
    "takes_gradients", "projection", "keeps_order", "form", "right_identity", "absorbing_element", "chooses", "repeats",
    "simpler", "sliced", "refuses", "picks", "collects", "positions", "counts", "joins", "passes_on",
    "waits",
}  # fmt: skip
RECORDS = [record for record in PRIMITIVES.values() if record.probes]
CASES = [
    pytest.param(record, probe, id=f"{record.name}-{position}")
    for record in RECORDS
    for position, probe in enumerate(record.probes)
]
DIFFERENTIABLE = [case for case in CASES if case.values[0].chain_rule is not None]
ELEMENTWISE = [record for record in RECORDS if record.kind == "elementwise"]
SHAPES = [(), (1,), (7,), (0,), (3, 0, 2), (1, 1), (13, 5)]


def rng_for(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def with_identity(*names):
    return [record for record in RECORDS if any(name in record.identities for name in names)]


def ids(record):
    return record.name


def run(record, arrays, attributes):
    """The record on these arrays, with NumPy's warnings as errors and its inputs guarded against writing."""
    arrays = [np.asarray(array).view() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    inputs, outputs = apply(record, type(record.probes[0])(attributes=attributes), arrays)
    verify(outputs)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        (result,) = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    assert isinstance(result, np.ndarray)
    assert (result.shape, dtype_of_array(result)) == (outputs[0].shape, outputs[0].dtype)
    return result


def allows(record, probe, dtype):
    """Whether the record takes that dtype; if not, its error says what it got."""
    arrays = sample(record, probe, rng_for("allows"), dtype)
    message = ""
    try:
        apply(record, probe, arrays)
    except DTypeError as error:
        message = str(error)
    assert not message or ("received:" in message and "expected:" in message)
    return not message


@pytest.mark.parametrize("record", PRIMITIVES.values(), ids=ids)
def test_every_record_has_probes_or_a_stated_exemption(record):
    assert bool(record.probes) != (record.name in EXEMPT)
    assert set(record.identities) <= KNOWN_IDENTITIES


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(("record", "probe"), CASES)
def test_rules_agree_with_the_numpy_meaning(record, probe, dtype):
    if allows(record, probe, dtype):
        run(record, sample(record, probe, rng_for(record.name), dtype), probe.attributes)


@pytest.mark.parametrize("record", RECORDS, ids=ids)
def test_every_record_takes_some_dtype_and_refuses_others_clearly(record):
    taken = [dtype for dtype in ALL_DTYPES if allows(record, record.probes[0], dtype)]
    assert taken
    if record.chain_rule is not None:
        assert {float32, float64} <= set(taken)


@pytest.mark.parametrize("dtype", INTEGER_DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(("record", "probe"), [case for case in CASES if case.values[0].kind == "index"])
def test_positions_may_have_any_integer_dtype(record, probe, dtype):
    arrays = sample(record, probe, rng_for(record.name))
    cast = [x.astype(dtype.numpy) if is_index(record, probe, i) else x for i, x in enumerate(arrays)]
    expected = run(record, arrays, probe.attributes)
    np.testing.assert_array_equal(run(record, cast, probe.attributes), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("record", ELEMENTWISE, ids=ids)
def test_elementwise_records_take_any_shape(record, shape):
    probe = record.probes[0]
    rng = rng_for(record.name, shape)
    for dtype in ALL_DTYPES:
        if allows(record, probe, dtype):
            pools = sample(record, probe, rng, dtype)
            run(record, [rng.choice(pool.reshape(-1), shape) * pool.dtype.type(1) for pool in pools], probe.attributes)


@pytest.mark.parametrize(("record", "probe"), CASES)
def test_non_contiguous_inputs_give_the_same(record, probe):
    arrays = sample(record, probe, rng_for(record.name))
    expected = run(record, arrays, probe.attributes)
    for spread in (lambda x: np.repeat(x, 2, -1)[..., ::2], np.asfortranarray, lambda x: np.flip(np.flip(x).copy())):
        moved = [spread(x) if x.ndim else x for x in arrays]
        np.testing.assert_allclose(run(record, moved, probe.attributes), expected, rtol=1e-12, atol=1e-14)


# --- derivatives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "probe"), [case for case in CASES if "stops_gradient" not in case.values[0].identities]
)
def test_the_chain_rule_agrees_with_finite_differences(record, probe):
    """First and second order; a record without a rule must be constant around its probes."""
    for trial in range(3):
        check_record(record, probe, rng_for(record.name, trial), order=2)


@pytest.mark.parametrize("record", with_identity("stops_gradient"), ids=ids)
def test_no_gradient_passes_a_record_that_stops_it(record):
    inputs, outputs = apply(record, record.probes[0], sample(record, record.probes[0], rng_for(record.name)))
    assert gradients(outputs, outputs, inputs) == [None] * len(inputs)


@pytest.mark.parametrize(("record", "probe"), DIFFERENTIABLE)
def test_a_rule_that_is_a_thousandth_wrong_is_caught(record, probe):
    arrays = sample(record, probe, rng_for(record.name))
    inputs, outputs = apply(record, probe, arrays)
    for position, cotangent in enumerate(gradients(outputs, outputs, inputs)):
        if cotangent is not None and outputs[0].dtype is float64 and _is_not_zero(cotangent, inputs, arrays):
            with pytest.raises(AssertionError, match=f"chain rule for input {position}"):
                _check_thrice(planted(record, position), probe)


def _is_not_zero(cotangent, inputs, arrays):
    return np.any(evaluate([cotangent], dict(zip(inputs, arrays, strict=True)))[0])


def _check_thrice(record, probe):
    for trial in range(3):
        check_record(record, probe, rng_for(record.name, trial), order=1)


@pytest.mark.parametrize(("record", "probe"), DIFFERENTIABLE)
def test_gradients_keep_shape_and_dtype_in_float32(record, probe):
    if not allows(record, probe, float32):
        pytest.skip("takes no float32")
    arrays = sample(record, probe, rng_for(record.name), float32)
    inputs, outputs = apply(record, probe, arrays)
    if not outputs[0].dtype.is_floating_point:
        return
    for each, cotangent in zip(inputs, gradients(outputs, outputs, inputs), strict=True):
        if cotangent is not None:
            (value,) = evaluate([cotangent], dict(zip(inputs, arrays, strict=True)))
            assert (value.shape, dtype_of_array(value)) == (each.shape, each.dtype)
            verify([cotangent])


# --- special values --------------------------------------------------------------------------------------------------


def special_points(record, probe, dtype):
    """Every combination of the probe's special values, one vector an input; conditions take both values."""
    pools = [(False, True) if _is_bool(probe, i) else probe.also for i in range(len(probe.shapes))]
    columns = zip(*itertools.product(*pools), strict=True)
    with np.errstate(all="ignore"):
        return [np.array(column).astype(dtype.numpy if not isinstance(column[0], bool) else bool) for column in columns]


def _is_bool(probe, position):
    return position in probe.fixed and np.array(probe.fixed[position]).dtype == np.bool_


SPECIAL = [case for case in CASES if case.values[1].also]


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(("record", "probe"), SPECIAL)
def test_special_values_are_well_defined(record, probe, dtype):
    arrays = special_points(record, probe, dtype)
    result = run(record, arrays, probe.attributes)
    # an entry depends on nothing but itself
    for position in range(len(arrays[0])):
        alone = run(record, [x[position : position + 1].copy() for x in arrays], probe.attributes)
        np.testing.assert_allclose(alone[0], result[position], rtol=1e-6)


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(("record", "probe"), [case for case in SPECIAL if case.values[0].chain_rule is not None])
def test_a_zero_cotangent_stays_zero_whatever_the_derivative_is(record, probe, dtype):
    """Also for log, sqrt, divide and power at 0, for overflow, and for NaN; in the second derivative, too."""
    arrays = special_points(record, probe, dtype)
    inputs, outputs = apply(record, probe, arrays)
    if not outputs[0].dtype.is_floating_point:
        return
    seed = make_input(outputs[0].shape, outputs[0].dtype)
    first = [node for node in gradients(outputs, [seed], inputs) if node is not None]
    zeros = [full(node.shape, 0, node.dtype) for node in first]
    second = [node for node in gradients(first, zeros, [*inputs, seed]) if node is not None]
    feeds = dict(zip(inputs, arrays, strict=True)) | {seed: np.zeros(seed.shape, seed.dtype.numpy)}
    with np.errstate(all="raise"):
        for value in evaluate([*first, *second], feeds):
            np.testing.assert_array_equal(value, 0)


@pytest.mark.parametrize("record", [r for r in ELEMENTWISE if r.chain_rule and r.name != "where"], ids=ids)
def test_gradient_through_the_unselected_branch_is_zero(record):
    """where(mask, f(x), 0): exactly 0 for f(x) infinite or NaN, unlike the frameworks that multiply 0 by infinity."""
    probe = record.probes[0]
    if record.dtype_rule(*[float64] * len(probe.shapes), **probe.attributes).category != FLOATING:
        return
    arrays = special_points(record, probe, float64)
    inputs, (result,) = apply(record, probe, arrays)
    mask = full(result.shape, False, PRIMITIVES["equal"](inputs[0], inputs[0]).dtype)
    chosen = PRIMITIVES["where"](mask, result, full(result.shape, 1, result.dtype))
    one = full(result.shape, 1, result.dtype)
    found = [node for node in gradients([chosen], [one], inputs) if node is not None]
    assert found
    for value in evaluate(found, dict(zip(inputs, arrays, strict=True))):
        np.testing.assert_array_equal(value, 0)


# --- identities ------------------------------------------------------------------------------------------------------


def value_dtypes(record):
    return [dtype for dtype in ALL_DTYPES if allows(record, record.probes[0], dtype)]


@pytest.mark.parametrize("record", with_identity("commutative"), ids=ids)
def test_commutative(record):
    for dtype in value_dtypes(record):
        a, b = sample(record, record.probes[0], rng_for(record.name), dtype)
        np.testing.assert_array_equal(run(record, [a, b], {}), run(record, [b, a], {}))


@pytest.mark.parametrize("record", with_identity("identity_element"), ids=ids)
def test_identity_element(record):
    element = record.identities["identity_element"]
    for dtype in value_dtypes(record):
        x = sample(record, record.probes[0], rng_for(record.name), dtype)[0]
        if record.kind == "reduce":
            assert run(record, [x[:0]], {"axes": (0,)}).ravel().tolist() == [element] * x.shape[1]
        else:
            e = np.full_like(x, element)
            np.testing.assert_array_equal(run(record, [x, e], {}), x)
            np.testing.assert_array_equal(run(record, [e, x], {}), x)


@pytest.mark.parametrize("record", with_identity("idempotent"), ids=ids)
def test_idempotent(record):
    probe = record.probes[0]
    for dtype in value_dtypes(record):
        arrays = sample(record, probe, rng_for(record.name), dtype)
        if len(arrays) == 2:
            np.testing.assert_array_equal(run(record, [arrays[0], arrays[0]], {}), arrays[0])
        else:
            once = run(record, arrays, probe.attributes)
            np.testing.assert_array_equal(run(record, [once], probe.attributes), once)


@pytest.mark.parametrize("record", with_identity("involution"), ids=ids)
def test_involution(record):
    for probe, dtype in itertools.product(record.probes, value_dtypes(record)):
        (x,) = sample(record, probe, rng_for(record.name), dtype)
        once = run(record, [x], probe.attributes)
        np.testing.assert_array_equal(run(record, [once], probe.attributes), x)


LINEAR = [case for case in CASES if {"linear", "multilinear"} & set(case.values[0].identities)]


@pytest.mark.parametrize(("record", "probe"), LINEAR)
def test_the_chain_rule_of_a_linear_record_is_its_exact_transpose(record, probe):
    """<A x, g> = <x, A^T g>: for all inputs together, or for a multilinear record for each with the others fixed."""
    rng = rng_for(record.name)
    arrays = sample(record, probe, rng)
    inputs, (result,) = apply(record, probe, arrays)
    seed = make_input(result.shape, result.dtype)
    g = rng.normal(size=result.shape)
    found = gradients([result], [seed], inputs)
    feeds = dict(zip(inputs, arrays, strict=True)) | {seed: g}
    forward = np.sum(evaluate([result], feeds)[0] * g)
    parts = [np.sum(evaluate([each], feeds)[0] * x) for each, x in zip(found, arrays, strict=True) if each is not None]
    for part in [sum(parts)] if record.identities.get("linear") else parts:
        np.testing.assert_allclose(part, forward, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("record", "probe"), [case for case in LINEAR if case.values[0].identities.get("linear")])
def test_linear_records_are_linear(record, probe):
    rng = rng_for(record.name)
    first = sample(record, probe, rng)
    second = [x if i in probe.integers else np.array(rng.normal(size=x.shape)) for i, x in enumerate(first)]
    mixed = [x if i in probe.integers else 2 * x - 3 * z for i, (x, z) in enumerate(zip(first, second, strict=True))]
    expected = 2 * run(record, first, probe.attributes) - 3 * run(record, second, probe.attributes)
    np.testing.assert_allclose(run(record, mixed, probe.attributes), expected, rtol=1e-12, atol=1e-12)


# --- errors ----------------------------------------------------------------------------------------------------------


SEVERAL = [r for r in ELEMENTWISE if len(r.probes[0].shapes) > 1 and not r.identities.get("waits")]


@pytest.mark.parametrize("record", SEVERAL, ids=ids)
def test_operands_of_different_shapes_or_dtypes_are_refused(record):
    arity = len(record.probes[0].shapes)
    dtype = next(dtype for dtype in reversed(ALL_DTYPES) if allows(record, record.probes[0], dtype))
    other = next(each for each in ALL_DTYPES if each is not dtype and each.category != BOOL)
    first = [make_input((3,), dtype_of_array(x)) for x in sample(record, record.probes[0], rng_for(0), dtype)]
    for last in (make_input((4,), first[-1].dtype), make_input((3,), other)):
        with pytest.raises(ThalwegError, match="received"):
            record(*first[: arity - 1], last)
