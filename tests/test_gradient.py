"""The reverse sweep: every path counted once, at any depth, only where it is needed; and the checker of chain rules."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gradient_check import check_gradients, evaluate, planted
from thalweg import ops
from thalweg.dtype import float32, float64, int64
from thalweg.errors import StructureError
from thalweg.gradient import gradients
from thalweg.graph import constant, full, make_input


def x(shape=(), dtype=float64):
    return make_input(shape, dtype)


def one(node):
    return full(node.shape, 1, node.dtype)


def derivative(build, at, order=1):
    node = x()
    result = build(node)
    for _ in range(order):
        (result,) = gradients([result], [one(result)], [node])
    return float(evaluate([result], {node: np.array(at)})[0])


# --- paths -----------------------------------------------------------------------------------------------------------


def test_a_node_used_twice_collects_from_both():
    assert derivative(lambda a: ops.exp(a) * a + a, 0.0) == 2.0


def test_an_operand_used_twice_by_one_operation():
    assert derivative(lambda a: a * a, 3.0) == 6.0
    assert derivative(lambda a: a * a, 3.0, order=2) == 2.0


def test_an_output_that_is_a_target_and_an_output_given_twice():
    a, seed = x(), x()
    assert gradients([a], [seed], [a]) == [seed]
    (twice,) = gradients([a, a], [seed, seed], [a])
    assert evaluate([twice], {seed: np.array(2.0)}) == [4.0]


def test_one_target_on_the_path_of_another():
    a = x()
    b = a * a
    by_a, by_b = gradients([b * b], [constant(1.0, float64)], [a, b])
    assert evaluate([by_a, by_b], {a: np.array(3.0)}) == [4 * 27.0, 18.0]


def test_an_input_that_is_not_used_has_no_gradient():
    a, unused = x(), x()
    result = ops.exp(a)
    assert gradients([result], [one(result)], [unused]) == [None]
    assert gradients([result], [None], [a]) == [None]


def test_nothing_flows_through_integers_or_constants_almost_everywhere():
    a = x((3,))
    for blocked in (ops.floor(a), ops.detach(a), ops.cast(ops.cast(a, dtype="int64"), dtype="float64")):
        assert gradients([blocked], [one(blocked)], [a]) == [None]


def test_ten_thousand_operations_deep():
    a = x()
    node = a
    for _ in range(10_000):
        node = ops.sin(node)
    (gradient,) = gradients([node], [one(node)], [a])
    assert np.isfinite(evaluate([gradient], {a: np.array(0.5)})[0])


def test_only_nodes_on_a_path_to_a_target_are_visited():
    visited = []

    def watching(record):
        def rule(g, y, *inputs, **attributes):
            visited.append(y)
            return record.chain_rule(g, y, *inputs, **attributes)

        return dataclasses.replace(record, chain_rule=rule)

    a, data = x(), x()
    prepared = watching(ops.exp)(data)
    hidden = watching(ops.multiply)(prepared, a)
    after = watching(ops.sin)(hidden)
    watching(ops.cos)(hidden)
    gradients([after], [one(after)], [a])
    assert visited == [after, hidden]
    visited.clear()
    gradients([after], [one(after)], [hidden])
    assert visited == [after]


# --- the types of cotangents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [x((2,)), x((3,), float32), x((3,), int64)], ids=repr)
def test_a_cotangent_of_another_shape_or_dtype_is_refused(wrong):
    a = x((3,))
    with pytest.raises(StructureError, match="the cotangent of exp is"):
        gradients([ops.exp(a)], [wrong], [a])


@pytest.mark.parametrize("answer", [x((2,)), x((3,), float32)], ids=repr)
def test_a_chain_rule_that_gives_another_shape_or_dtype_is_refused(answer):
    broken = dataclasses.replace(ops.exp, chain_rule=lambda g, y, x: (answer,))
    a = x((3,))
    result = broken(ops.sin(a))
    with pytest.raises(StructureError, match="the cotangent of sin is"):
        gradients([result], [one(result)], [a])


# --- singular points -------------------------------------------------------------------------------------------------


def test_second_derivative_where_the_first_cotangent_is_zero():
    """(log x)^2 at 1: the cotangent of log is 0 there, the second derivative is 2."""
    assert derivative(lambda a: ops.log(a) * ops.log(a), 1.0) == 0.0
    assert derivative(lambda a: ops.log(a) * ops.log(a), 1.0, order=2) == 2.0


def test_directional_derivative_by_differentiating_twice_at_a_zero_cotangent():
    """d/du (u^T J) v at u = 0 is J v: forward mode out of two reverse sweeps."""
    for record, slope in ((ops.log, 0.5), (ops.sqrt, 0.5 / np.sqrt(2.0)), (ops.exp, np.exp(2.0))):
        a, seed = x(), x()
        (by_a,) = gradients([record(a)], [seed], [a])
        (forward,) = gradients([by_a], [one(by_a)], [seed])
        np.testing.assert_allclose(evaluate([forward], {a: np.array(2.0), seed: np.array(0.0)})[0], slope, rtol=1e-15)


@pytest.mark.parametrize(
    ("order", "power", "expected"),
    [(1, 2.0, 0.0), (2, 2.0, 2.0), (3, 2.0, 0.0), (1, 1.0, 1.0), (2, 1.0, 0.0), (1, 0.0, 0.0), (2, 0.0, 0.0)],
)
def test_derivatives_of_a_power_at_zero(order, power, expected):
    assert derivative(lambda a: ops.power(a, constant(power, float64)), 0.0, order) == expected


# --- the checker itself ----------------------------------------------------------------------------------------------


def test_the_checker_accepts_a_right_rule_and_sees_a_first_order_error():
    rng = np.random.default_rng(0)
    for record, is_right in ((ops.sin, True), (planted(ops.sin, 0, 1.0), True), (planted(ops.sin, 0), False)):
        a = x((3,))
        arrays = [rng.uniform(-1, 1, 3)]
        if is_right:
            check_gradients([record(a)], [a], arrays, rng)
        else:
            with pytest.raises(AssertionError, match=r"chain rule for input 0 gives .* finite differences give"):
                check_gradients([record(a)], [a], arrays, rng)


def test_the_checker_sees_an_error_of_the_second_order_only():
    """The rule of sin is right in value, but the cosine in it has a rule that is 0.1 % wrong."""
    wrong_cos = planted(ops.cos, 0)
    sin = dataclasses.replace(ops.sin, chain_rule=lambda g, y, x: (g * wrong_cos(x),))
    rng = np.random.default_rng(0)
    a = x((3,))
    check_gradients([sin(a)], [a], [rng.uniform(0.5, 1, 3)], rng, order=1)
    with pytest.raises(AssertionError, match="the gradient of the program"):
        check_gradients([sin(a)], [a], [rng.uniform(0.5, 1, 3)], rng, order=2)


def test_the_checker_sees_a_missing_cotangent():
    forgetful = dataclasses.replace(ops.multiply, chain_rule=lambda g, y, a, b: (g * b, None))
    rng = np.random.default_rng(0)
    a, b = x((3,)), x((3,))
    with pytest.raises(AssertionError, match="chain rule for input 1 gives 0"):
        check_gradients([forgetful(a, b)], [a, b], [rng.uniform(1, 2, 3), rng.uniform(1, 2, 3)], rng)


# --- random programs -------------------------------------------------------------------------------------------------

UNARY = [
    ops.sin, ops.cos, ops.tanh, ops.sigmoid, ops.erf, ops.arctan, ops.softplus, ops.negative,
    lambda a: ops.exp(ops.tanh(a)),
    lambda a: ops.log(a * a + 1.0),
    lambda a: ops.sqrt(a * a + 1.0),
    lambda a: ops.cumsum(a, axis=1, reverse=False),
    lambda a: ops.flip(a, axes=(0,)),
    lambda a: ops.broadcast(ops.sum_(a, axes=(0,)), shape=a.shape) * 0.3,
    lambda a: ops.reshape(ops.permute(a, order=(1, 0)), shape=a.shape),
]  # fmt: skip
BINARY = [
    ops.add,
    ops.subtract,
    ops.multiply,
    lambda a, b: a / (b * b + 1.0),
    lambda a, b: ops.matmul(
        ops.matmul(a, b, transpose_a=False, transpose_b=True), a, transpose_a=False, transpose_b=False
    ),
    lambda a, b: ops.slice_(
        ops.concatenate(a, b, axis=0), start=(1, 0), stop=(1 + a.shape[0], a.shape[1]), step=(1, 1)
    ),
]
steps = st.lists(
    st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 20), st.integers(0, 20)),
    min_size=1,
    max_size=7,
)


@given(steps, st.integers(0, 2**32 - 1))
def test_random_programs_agree_with_finite_differences(steps, seed):
    inputs = [x((2, 3)), x((2, 3))]
    nodes = list(inputs)
    for operation, first, second in steps:
        a, b = nodes[first % len(nodes)], nodes[second % len(nodes)]
        made = UNARY[operation](a) if operation < len(UNARY) else BINARY[operation - len(UNARY)](a, b)
        nodes.append(ops.tanh(made))  # keeps values, and so the error of the difference quotient, small
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-1, 1, (2, 3)) for _ in inputs]
    check_gradients([nodes[-1]], inputs, arrays, rng, order=2, tolerance=1e-6)
