"""The simplify pass does less and gives the same: property tests on random graphs, and small graphs by their text.

In: graphs full of numbers, movements and special values. Out: equal values, bit for bit where the pass promises it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import ops
from thalweg.compile.passes import PASSES
from thalweg.compile.reference import evaluate
from thalweg.compile.simplify import pass_simplify
from thalweg.dtype import bool_, float32, float64, int32, int64, uint8
from thalweg.gradient import gradients
from thalweg.graph import Node, constant, full, make_input, show, toposort
from thalweg.verify import verify

NAN, INF = float("nan"), float("inf")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, INF, -INF, NAN]
SHAPE = (3, 2)
EXACT_UNARY = [ops.negative, ops.absolute, ops.sign, ops.floor, ops.detach]
EXACT_BINARY = [ops.add, ops.subtract, ops.multiply, ops.divide, ops.maximum, ops.minimum, ops.chain_product]


def number(value: float) -> Node:
    return full(SHAPE, value, float32)


def random_node(draw: Callable, nodes: list[Node]) -> Node:
    """Any of the exact operations, on earlier nodes or on numbers, all of one shape."""
    x, y = draw(st.sampled_from(nodes)), draw(st.sampled_from(nodes))
    kind = draw(st.sampled_from(["number", "unary", "binary", "where", "cast", "move", "amax"]))
    if kind == "number":
        return number(draw(st.sampled_from(SPECIAL)))
    if kind == "unary":
        return draw(st.sampled_from(EXACT_UNARY))(x)
    if kind == "binary":
        return draw(st.sampled_from(EXACT_BINARY))(x, y)
    if kind == "where":
        question = draw(st.sampled_from([ops.less, ops.less_equal, ops.equal, ops.not_equal]))(x, y)
        question = ops.bitwise_not(question) if draw(st.booleans()) else question
        return ops.where(question, draw(st.sampled_from(nodes)), draw(st.sampled_from(nodes)))
    if kind == "cast":
        return ops.cast(ops.cast(x, dtype=draw(st.sampled_from(["float64", "bool"]))), dtype="float32")
    if kind == "amax":
        return ops.broadcast(ops.amax(x, axes=draw(st.sampled_from([(0,), (1,), (0, 1)]))), shape=SHAPE)
    return moved(draw, x, y)


def moved(draw: Callable, x: Node, y: Node) -> Node:
    """There and back again, by several ways."""
    way = draw(st.sampled_from(["turn", "reshape", "flip", "pad", "join", "stride", "repeat"]))
    if way == "turn":
        return ops.permute(ops.permute(x, order=(1, 0)), order=(1, 0))
    if way == "reshape":
        return ops.reshape(ops.reshape(x, shape=(2, 1, 3)), shape=SHAPE)
    if way == "flip":
        return ops.flip(ops.flip(x, axes=(0,)), axes=draw(st.sampled_from([(0,), (1,), (0, 1)])))
    if way == "repeat":
        return ops.broadcast(ops.slice_(x, start=(1, 0), stop=(2, 2), step=(1, 1)), shape=SHAPE)
    if way == "stride":
        padded = ops.pad(x, low=(1, 0), high=(0, 2), interior=(1, 0), value=draw(st.sampled_from([0.0, NAN])))
        return ops.slice_(padded, start=(1, 0), stop=(6, 2), step=(2, 1))
    row = draw(st.integers(0, 3))
    if way == "pad":
        wide = ops.pad(ops.pad(x, low=(1, 0), high=(0, 0), interior=(0, 0), value=7.0),
                       low=(1, 0), high=(1, 0), interior=(0, 0), value=7.0)  # fmt: skip
    else:
        wide = ops.concatenate(x, y, axis=0)
    return ops.slice_(wide, start=(row, 0), stop=(row + 3, 2), step=(1, 1))


def assert_same_bits(found: np.ndarray, meant: np.ndarray) -> None:
    assert (found.shape, found.dtype) == (meant.shape, meant.dtype)
    np.testing.assert_array_equal(found, meant)
    if meant.dtype.kind == "f":
        known = ~np.isnan(meant)
        np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(meant)[known])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_random_graphs_of_exact_operations_keep_every_bit(data: st.DataObject) -> None:
    nodes = [make_input(SHAPE, float32), make_input(SHAPE, float32)]
    inputs = list(nodes)
    for _ in range(data.draw(st.integers(2, 14))):
        nodes.append(random_node(data.draw, nodes))
    values = data.draw(st.lists(st.sampled_from(SPECIAL), min_size=12, max_size=12))
    feeds = dict(zip(inputs, np.array(values, np.float32).reshape(2, *SHAPE), strict=True))
    outputs = nodes[-2:]
    for each in PASSES:
        changed = each.run(outputs)
        verify(changed)
        for found, meant in zip(evaluate(changed, feeds), evaluate(outputs, feeds), strict=True):
            assert_same_bits(found, meant)
        assert each.run(changed) == changed or len(toposort(each.run(changed))) == len(toposort(changed))
        outputs = changed


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_gradients_of_random_graphs_keep_their_values(data: st.DataObject) -> None:
    nodes = [make_input(SHAPE, float32), make_input(SHAPE, float32)]
    inputs = list(nodes)
    for _ in range(data.draw(st.integers(2, 8))):
        nodes.append(random_node(data.draw, nodes))
    found = [each for each in gradients(nodes[-1:], [number(1.0)], inputs) if each is not None]
    values = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    feeds = dict(zip(inputs, values, strict=True))
    for a, b in zip(evaluate(pass_simplify(found), feeds), evaluate(found, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


# --- small graphs ----------------------------------------------------------------------------------------------------


def text(node: Node) -> str:
    """The simplified program without the numbers of its lines' shapes."""
    (result,) = pass_simplify([node])
    verify([result])
    return show([result])


def names(node: Node) -> list[str]:
    (result,) = pass_simplify([node])
    verify([result])
    return [each.op.name for each in toposort([result]) if each.op.name != "input"]


X = make_input(SHAPE, float32)
WHOLE = make_input(SHAPE, int64)
YES = make_input(SHAPE, bool_)


@pytest.mark.parametrize(
    "node",
    [
        X * 1.0, 1.0 * X, X - 0.0, X / 1.0, X + number(-0.0), ops.power(X, number(1.0)), ops.negative(-X),
        ops.maximum(X, X), ops.maximum(X, number(-INF)), ops.minimum(X, number(INF)), ops.chain_product(X, number(1.0)),
        ops.detach(X), ops.cast(X, dtype="float32"), ops.cast(ops.cast(X, dtype="float64"), dtype="float32"),
        ops.where(full(SHAPE, True, bool_), X, -X), ops.where(YES, X, X), ops.where(ops.bitwise_not(YES), X, X),
        ops.sum_(X, axes=()), ops.amax(X, axes=()),
        ops.slice_(X, start=(0, 0), stop=SHAPE, step=(1, 1)), ops.reshape(-ops.reshape(-X, shape=(6,)), shape=SHAPE),
        ops.pad(X, low=(0, 0), high=(0, 0), interior=(0, 0), value=1),
        ops.permute(X, order=(0, 1)), ops.flip(X, axes=()), ops.concatenate(X, axis=0),
    ],
    ids=str,
)  # fmt: skip
def test_what_changes_nothing_disappears(node: Node) -> None:
    assert pass_simplify([node]) == [X]


@pytest.mark.parametrize(
    "node",
    [WHOLE + 0, WHOLE * 1, ops.bitwise_or(WHOLE, full(SHAPE, 0, int64)), ops.bitwise_not(ops.bitwise_not(WHOLE)),
     ops.cast(ops.cast(WHOLE, dtype="int64"), dtype="int64")],
    ids=str,
)  # fmt: skip
def test_integers_may_more(node: Node) -> None:
    assert pass_simplify([node]) == [WHOLE]


def test_what_infinities_nan_and_negative_zero_forbid_stays() -> None:
    assert names(X + 0.0)[-1] == "add"  # -0.0 + 0.0 is 0.0
    assert names(X * 0.0)[-1] == "multiply"  # 0 times infinity is NaN
    assert names(X - X) == ["subtract"]
    assert names(0.0 - X)[-1] == "subtract"
    assert names(ops.chain_product(X, number(0.0)))[-1] == "multiply"
    assert names(ops.cast(ops.cast(WHOLE, dtype="float64"), dtype="int64")) == ["cast", "cast"]
    assert names(ops.cast(ops.cast(X, dtype="int32"), dtype="float32")) == ["cast", "cast"]


def test_a_zero_cotangent_is_zero_whatever_the_derivative() -> None:
    assert text(ops.chain_product(constant(0.0, float32), make_input((), float32))).endswith("return %0")
    assert names(WHOLE * 0) == ["constant", "reshape", "broadcast"]
    assert names(ops.bitwise_and(YES, full(SHAPE, False, bool_))) == ["constant", "reshape", "broadcast"]


def test_numbers_are_computed_once_and_for_all() -> None:
    assert text(ops.sqrt(number(16.0)) * number(0.5)).splitlines() == [
        "%0 = constant(value=2.0, dtype=thalweg.float32) : float32[]",
        "%1 = reshape(%0, shape=(1, 1)) : float32[1, 1]",
        "%2 = broadcast(%1, shape=(3, 2)) : float32[3, 2]",
        "return %2",
    ]
    assert names(ops.where(ops.less(number(1.0), number(2.0)), X, -X)) == []
    assert names(ops.flip(ops.permute(full((2, 3), 5, uint8), order=(1, 0)), axes=(0,)))[0] == "constant"
    zero = ops.floor_divide(full(SHAPE, 1, int32), full(SHAPE, 0, int32))
    assert names(zero)[-1] == "floor_divide", "the error belongs to the run"


def test_division_by_a_power_of_two_is_a_product() -> None:
    assert names(X / 4.0)[-1] == "multiply"
    assert names(X / 3.0)[-1] == "divide"
    assert names(X / 2.0**140)[-1] == "divide"


def test_small_powers_are_products() -> None:
    assert names(ops.power(X, number(2.0))) == ["multiply"]
    assert names(ops.power(X, number(3.0))) == ["multiply", "multiply"]
    assert names(ops.power(X, number(0.5)))[-1] == "power"  # of -0.0 and of -inf the root is another


def test_differences_for_negated_terms() -> None:
    y = make_input(SHAPE, float32)
    assert names(X + (-y)) == ["subtract"]
    assert names((-X) + y) == ["subtract"]
    assert names(X - (-y)) == ["add"]


def test_a_question_is_asked_once() -> None:
    y = make_input(SHAPE, float32)
    inner = ops.where(YES, X, y)
    assert names(ops.where(YES, inner, -y)) == ["negative", "where"]
    assert names(ops.where(YES, -y, inner)) == ["negative", "where"]
    assert pass_simplify([ops.where(YES, full(SHAPE, True, bool_), full(SHAPE, False, bool_))]) == [YES]


def test_movements_of_movements_are_one() -> None:
    row = make_input((1, 4), float32)
    wide = ops.broadcast(ops.broadcast(row, shape=(3, 4)), shape=(3, 4))
    assert names(wide) == ["broadcast"]
    assert names(ops.reshape(ops.reshape(X, shape=(6,)), shape=(2, 3))) == ["reshape"]
    assert names(ops.permute(row, order=(1, 0))) == ["reshape"], "the entries stay in order"
    assert names(ops.slice_(wide, start=(1, 1), stop=(3, 3), step=(1, 1))) == ["slice", "broadcast"]
    turned = ops.permute(make_input((2, 3, 4), float32), order=(2, 0, 1))
    assert names(ops.permute(turned, order=(1, 2, 0))) == []


def test_a_slice_of_joined_arrays_reads_one() -> None:
    y = make_input(SHAPE, float32)
    joined = ops.concatenate(X, y, axis=0)
    assert pass_simplify([ops.slice_(joined, start=(3, 0), stop=(6, 2), step=(1, 1))]) == [y]
    assert names(ops.slice_(joined, start=(2, 0), stop=(5, 2), step=(1, 1))) == ["concatenate", "slice"]


def test_reductions_walk_only_what_differs() -> None:
    flat = make_input((1, 5), float32)
    assert pass_simplify([ops.sum_(flat, axes=(0,))]) == [flat]
    assert text(ops.amax(flat, axes=(0, 1))).splitlines()[1].startswith("%1 = amax(%0, axes=(1,))")
    repeated = ops.broadcast(flat, shape=(8, 5))
    assert names(ops.sum_(repeated, axes=(0,)))[-1] == "multiply"
    assert pass_simplify([ops.amax(repeated, axes=(0,))]) == [flat]
    assert names(ops.sum_(number(2.0), axes=(0, 1)))[0] == "constant"
    empty = ops.broadcast(flat, shape=(0, 5))
    assert evaluate(pass_simplify([ops.sum_(empty, axes=(0,))]), {flat: np.full((1, 5), NAN, np.float32)})[0].sum() == 0


def test_sums_are_not_put_in_another_order() -> None:
    y, z = make_input(SHAPE, float32), make_input(SHAPE, float32)
    assert names((X + y) + z) == ["add", "add"]
    assert names(ops.sum_(ops.sum_(X, axes=(0,)), axes=(1,))) == ["sum", "sum"]


def test_the_largest_integer_survives() -> None:
    big = full((2,), 2**62 + 1, int64)
    (result,) = evaluate(pass_simplify([big + big * 0 + make_input((2,), int64, np.zeros(2, np.int64))]), {})
    assert result.tolist() == [2**62 + 1] * 2
    assert evaluate(pass_simplify([constant(1.0, float64) / 3.0]), {})[0] == 1 / 3


def test_a_sum_goes_through_a_chain_of_any_length() -> None:
    """Moving it inwards is a rewrite inside a rewrite: it stops at chains that are too long for that."""
    x = node = make_input((3, 4), float32)
    for _ in range(2000):
        node = ops.negative(node) * 0.999
    (lowered,) = pass_simplify([ops.sum_(node, axes=(0,))])
    verify([lowered])
    short = ops.sum_(ops.negative(x) * 0.5, axes=(0,))
    (moved,) = pass_simplify([short])
    assert moved.op.kind == "elementwise"
    assert moved.size == 4
