"""Programs as data: their order, rewriting, key and printed form."""

from __future__ import annotations

import numpy as np
import pytest

from thalweg import ops
from thalweg.dtype import float32, float64, int64
from thalweg.errors import StructureError
from thalweg.graph import (
    PRIMITIVES,
    Primitive,
    constant,
    evaluate_node,
    full,
    make_input,
    register,
    scope,
    show,
    structure_key,
    substitute,
    toposort,
)


def x(shape=(2, 3), dtype=float32):
    return make_input(shape, dtype)


def network(width=3, slope=0.5):
    a, b = x((2, width)), x((2, width))
    hidden = ops.tanh(a * b)
    return (a, b), [hidden * slope + a, ops.sum_(hidden, axes=(1,))]


def test_nodes_know_their_shape_and_dtype_at_once():
    node = ops.sum_(ops.exp(x((4, 5), float64)), axes=(1,))
    assert (node.shape, node.dtype, node.ndim, node.size) == ((4, 1), float64, 2, 4)
    assert repr(node) == "<sum float64[4, 1]>"


def test_a_second_record_of_one_name_is_refused():
    with pytest.raises(StructureError, match="two records"):
        register(Primitive("add", "elementwise", len, len, len))


# --- toposort --------------------------------------------------------------------------------------------------------


def test_toposort_puts_inputs_before_users_and_each_node_once():
    _, outputs = network()
    order = toposort(outputs)
    assert len(order) == len(set(order))
    place = {node: position for position, node in enumerate(order)}
    assert all(place[each] < place[node] for node in order for each in node.inputs)


def test_toposort_is_deterministic():
    names = [[node.op.name for node in toposort(network()[1])] for _ in range(5)]
    assert names.count(names[0]) == 5
    inputs, outputs = network()
    assert toposort(outputs) == toposort(outputs)
    assert toposort(outputs)[:2] == list(inputs)


def test_toposort_does_not_look_behind_leaves():
    (a, b), outputs = network()
    hidden = outputs[0].inputs[0].inputs[0]
    assert b not in toposort(outputs, is_leaf=lambda node: node is hidden)
    assert a in toposort(outputs, is_leaf=lambda node: node is hidden)


def test_a_program_of_any_depth_is_all_right():
    node = x(())
    for _ in range(100_000):
        node = ops.negative(node)
    assert len(toposort([node])) == 100_001
    assert len(substitute([node], {toposort([node])[0]: x(())})) == 1
    del node  # its release must not overflow the stack either


# --- substitute ------------------------------------------------------------------------------------------------------


def test_substitute_shares_what_it_does_not_touch():
    a, b = x(), x()
    kept, changed = ops.exp(a), ops.log(b)
    c = x()
    (result,) = substitute([kept + changed], {b: c})
    assert result.inputs[0] is kept
    assert result.inputs[1] is not changed
    assert result.inputs[1].inputs == (c,)


def test_substitute_of_nothing_is_the_same_program():
    _, outputs = network()
    assert substitute(outputs, {}) == outputs


def test_substitute_copies_a_shared_node_once():
    a, b = x(), x()
    shared = ops.exp(a)
    left, right = substitute([ops.sin(shared), ops.cos(shared)], {a: b})
    assert left.inputs[0] is right.inputs[0]


# --- structure_key ---------------------------------------------------------------------------------------------------


def test_programs_of_equal_structure_have_equal_keys():
    first, second = network(), network()
    assert structure_key(first[1], first[0]) == structure_key(second[1], second[0])
    assert hash(structure_key(first[1], first[0])) == hash(structure_key(second[1], second[0]))


def key_of(build):
    a, b = x(), x()
    return structure_key([build(a, b)], [a, b])


@pytest.mark.parametrize(
    "build",
    [
        lambda a, b: a - b,
        lambda a, b: b - a,
        lambda a, b: a - a,
        lambda a, b: a,
        lambda a, b: b,
        lambda a, b: a * 0.0,
        lambda a, b: a * -0.0,
        lambda a, b: a * float("nan"),
        lambda a, b: a * 1.0,
        lambda a, b: ops.sum_(a, axes=(0,)),
        lambda a, b: ops.sum_(a, axes=(1,)),
        lambda a, b: constant(1, int64),
        lambda a, b: constant(1, float32),
        lambda a, b: constant(1, float64),
        lambda a, b: constant(True),
    ],
)
def test_programs_of_different_structure_have_different_keys(build):
    others = test_programs_of_different_structure_have_different_keys.pytestmark[0].args[1]
    mine = key_of(build)
    assert key_of(build) == mine  # also for NaN
    assert sum(key_of(other) == mine for other in others) == 1


def padding(value):
    return key_of(lambda a, b: ops.pad(a, low=(1, 0), high=(0, 0), interior=(0, 0), value=value))


def test_keys_tell_attributes_apart_by_their_bits():
    """An attribute that is a number: 0.0 is not -0.0, 1 is not True, and NaN is NaN."""
    values = [0.0, -0.0, 0, 1, 1.0, True, float("nan"), float("inf")]
    assert len({padding(value) for value in values}) == len(values)
    assert padding(float("nan")) == padding(float("nan"))


def test_the_order_of_the_leaves_is_part_of_the_key():
    (a, b), outputs = network()
    assert structure_key(outputs, [a, b]) != structure_key(outputs, [b, a])


def test_the_shapes_and_dtypes_of_leaves_are_part_of_the_key():
    keys = set()
    for shape, dtype in [((2, 3), float32), ((3, 2), float32), ((2, 3), float64)]:
        a = x(shape, dtype)
        keys.add(structure_key([ops.exp(a)], [a]))
    assert len(keys) == 3


# --- values and printing ---------------------------------------------------------------------------------------------


def test_leaves():
    number = constant(2.5, float64)
    assert evaluate_node(number, []).dtype == np.float64
    assert constant(3).dtype is int64
    assert constant(3.0).dtype is float32
    assert x((2,)).value is None
    assert full((2, 2), 1, float32).shape == (2, 2)


def test_evaluate_node_always_gives_arrays():
    for record in (ops.exp, ops.negative, ops.floor):
        value = evaluate_node(record(x(())), [np.array(1.0, np.float32)])
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float32


def test_the_printed_form():
    a, w = x((2, 3)), x((4, 3))
    scope.path = "encoder.0"
    try:
        product = ops.matmul(a, w, transpose_a=False, transpose_b=True)
    finally:
        scope.path = ""
    assert show([ops.tanh(product), ops.sum_(product * 0.5, axes=(0, 1))]) == (
        "%0 = input() : float32[2, 3]\n"
        "%1 = input() : float32[4, 3]\n"
        "%2 = matmul(%0, %1, transpose_a=False, transpose_b=True) : float32[2, 4]    # encoder.0\n"
        "%3 = tanh(%2) : float32[2, 4]\n"
        "%4 = constant(value=0.5, dtype=thalweg.float32) : float32[]\n"
        "%5 = reshape(%4, shape=(1, 1)) : float32[1, 1]\n"
        "%6 = broadcast(%5, shape=(2, 4)) : float32[2, 4]\n"
        "%7 = multiply(%2, %6) : float32[2, 4]\n"
        "%8 = sum(%7, axes=(0, 1)) : float32[1, 1]\n"
        "return %3, %8"
    )


def test_a_loop_prints_on_one_line():
    inside = x((3,))
    body = ops.Body((inside,), (ops.exp(inside),))
    loop = ops.scan(x((3,)), body=body, carries=1, sequences=0, length=2)
    assert "scan(%0, body=<body of 1 operations>, carries=1, sequences=0, length=2) : (float32[3, 3])" in show([loop])


def test_every_record_has_a_kind_the_compiler_knows():
    assert {record.kind for record in PRIMITIVES.values()} == {
        "leaf", "elementwise", "reduce", "move", "contract", "index", "random", "loop",
    }  # fmt: skip
