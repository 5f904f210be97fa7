"""`scan` against the same loop written out: values, first and second derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.gradient_check import check_gradients, evaluate, planted
from thalweg import ops
from thalweg.dtype import float32, float64, int64
from thalweg.errors import DTypeError, ShapeError, StructureError
from thalweg.gradient import gradients
from thalweg.graph import PRIMITIVES, constant, full, make_input, show, toposort
from thalweg.verify import verify


def x(shape=(), dtype=float64):
    return make_input(shape, dtype)


def product(a, b):
    return ops.matmul(a, b, transpose_a=False, transpose_b=False)


class Loop:
    """A body as a function, the shapes of its inputs, and both ways of running it."""

    def __init__(self, step, carries, sequences, constants, length, dtypes=None):
        self.step, self.length = step, length
        self.counts = {"carries": len(carries), "sequences": len(sequences)}
        shapes = [*carries, *sequences, *constants]
        self.dtypes = dtypes or [float64] * len(shapes)
        self.inside = tuple(x(shape, dtype) for shape, dtype in zip(shapes, self.dtypes, strict=True))
        self.body = ops.Body(self.inside, tuple(step(*self.inside)))
        outside = [*carries, *[(length, *shape) for shape in sequences], *constants]
        self.inputs = [x(shape, dtype) for shape, dtype in zip(outside, self.dtypes, strict=True)]

    def scanned(self):
        loop = ops.scan(*self.inputs, body=self.body, length=self.length, **self.counts)
        return [ops.output(loop, index=index) for index in range(len(self.body.outputs))]

    def unrolled(self):
        carries = self.counts["carries"]
        first = carries + self.counts["sequences"]
        state, stacks = self.inputs[:carries], [[each] for each in self.inputs[:carries]]
        stacks += [[] for _ in self.body.outputs[carries:]]
        for step in range(self.length):
            entries = [entry(each, step) for each in self.inputs[carries:first]]
            results = self.step(*state, *entries, *self.inputs[first:])
            state = results[:carries]
            for stack, result in zip(stacks, results, strict=True):
                stack.append(result)
        return [ops.concatenate(*[ops.reshape(e, shape=(1, *e.shape)) for e in stack], axis=0) for stack in stacks]

    def arrays(self, seed=0):
        rng = np.random.default_rng(seed)
        return [
            rng.uniform(-1, 1, node.shape) if node.dtype is float64 else rng.integers(0, 3, node.shape)
            for node in self.inputs
        ]


def entry(node, position):
    rest = node.shape[1:]
    row = ops.slice_(node, start=(position, *[0] * len(rest)), stop=(position + 1, *rest), step=(1,) * node.ndim)
    return ops.reshape(row, shape=rest)


def recurrent(h, x_t, w, u):
    """A recurrent layer: h' = tanh(x W + h U), which also gives a per-step result."""
    new = ops.tanh(product(x_t, w) + product(h, u))
    return new, ops.sum_(new * new, axes=(1,))


def two_carries(h, c, x_t, w):
    """Like an LSTM: two carries that feed each other."""
    gate = ops.sigmoid(product(x_t, w) + h)
    cell = gate * c + (1.0 - gate) * ops.tanh(h)
    return gate * ops.tanh(cell), cell, ops.exp(cell * 0.1)


def counting(h, count, x_t, steps_t, w):
    """An integer carry and an integer sequence decide what happens to the floating-point carry."""
    even = ops.equal(ops.remainder(count, full((2,), 2, int64)), full((2,), 0, int64))
    return ops.where(even, h * w + x_t, ops.sin(h)), count + steps_t, count


def unused_parts(h, idle, x_t, ignored_t, w, ignored):
    """A carry nobody reads, a sequence and a constant the body does not use."""
    return ops.tanh(h * w + x_t), idle, ops.sin(x_t)


def pass_through(h, x_t):
    """The new carry and the result are inputs themselves, and one node is two outputs."""
    return x_t, h, x_t


def no_sequences(h, w):
    return (ops.sin(h * w),)


def no_carries(x_t, w):
    return (ops.sin(x_t * w),)


LOOPS = {
    "recurrent": Loop(recurrent, [(2, 3)], [(2, 4)], [(4, 3), (3, 3)], 4),
    "two carries": Loop(two_carries, [(2, 3), (2, 3)], [(2, 2)], [(2, 3)], 3),
    "integers": Loop(counting, [(2,), (2,)], [(2,), (2,)], [(2,)], 5, [float64, int64, float64, int64, float64]),
    "unused parts": Loop(unused_parts, [(3,), (2,)], [(3,), (1,)], [(3,), (2,)], 3),
    "pass through": Loop(pass_through, [(2,)], [(2,)], [], 3),
    "no sequences": Loop(no_sequences, [(3,)], [], [(3,)], 4),
    "no carries": Loop(no_carries, [], [(3,)], [(3,)], 4),
    "0-d": Loop(lambda h, x_t, w: (ops.tanh(h * w + x_t), h * x_t), [()], [()], [()], 3),
    "one step": Loop(recurrent, [(2, 3)], [(2, 4)], [(4, 3), (3, 3)], 1),
    # the sequence has the shape that a constant would have, and the other way round
    "ambiguous ranks": Loop(lambda h, x_t, w: (h * w + x_t,), [(3,)], [(3,)], [(3,)], 3),
}
each_loop = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)


def values_of(loop, outputs, seed=0):
    return evaluate(outputs, dict(zip(loop.inputs, loop.arrays(seed), strict=True)))


@each_loop
def test_values_equal_those_of_the_unrolled_loop(loop):
    scanned, unrolled = loop.scanned(), loop.unrolled()
    verify(scanned)
    for a, b, node in zip(values_of(loop, scanned), values_of(loop, unrolled), scanned, strict=True):
        assert (a.shape, a.dtype) == (node.shape, node.dtype.numpy)
        np.testing.assert_array_equal(a, b)


@each_loop
def test_gradients_equal_those_of_the_unrolled_loop(loop):
    """For every output alone, so that missing cotangents are met, and for all together."""
    outputs = [(a, b) for a, b in zip(loop.scanned(), loop.unrolled(), strict=True) if a.dtype is float64]
    for chosen in [*[[pair] for pair in outputs], outputs]:
        found = []
        for side in range(2):
            seeds = [ops.sin(pair[side]) for pair in chosen]
            found.append(gradients([pair[side] for pair in chosen], seeds, loop.inputs))
        for a, b, node in zip(*found, loop.inputs, strict=True):
            assert (a is None) <= (b is None)
            if a is not None:
                verify([a])
                assert (a.shape, a.dtype) == (node.shape, node.dtype)
                expected = values_of(loop, [b])[0] if b is not None else np.zeros(node.shape)
                np.testing.assert_allclose(values_of(loop, [a])[0], expected, rtol=1e-12, atol=1e-12)


@each_loop
def test_first_and_second_derivatives_agree_with_finite_differences(loop):
    check_gradients(loop.scanned(), loop.inputs, loop.arrays(), np.random.default_rng(0), order=2)


def test_third_derivatives_agree_with_finite_differences():
    loop = LOOPS["0-d"]
    check_gradients(loop.scanned(), loop.inputs, loop.arrays(), np.random.default_rng(0), order=3)


@pytest.mark.parametrize("order", [1, 2])
def test_a_wrong_rule_inside_the_body_is_caught(order):
    wrong = planted(ops.sin, 0)
    if order == 2:
        wrong_cos = planted(ops.cos, 0)
        wrong = type(ops.sin)("sin", "elementwise", ops.sin.shape_rule, ops.sin.dtype_rule, ops.sin.numpy,
                              lambda g, y, x: (g * wrong_cos(x),))  # fmt: skip
    loop = Loop(lambda h, x_t: (wrong(h) + x_t,), [(2,)], [(2,)], [], 3)
    with pytest.raises(AssertionError, match="finite differences give"):
        check_gradients(loop.scanned(), loop.inputs, loop.arrays(), np.random.default_rng(0), order=order)


def test_a_loop_of_zero_steps():
    loop = Loop(recurrent, [(2, 3)], [(2, 4)], [(4, 3), (3, 3)], 0)
    history, results = loop.scanned()
    assert (history.shape, results.shape) == ((1, 2, 3), (0, 2, 1))
    seeds = [full(each.shape, 2, float64) for each in (history, results)]
    found = gradients([history, results], seeds, loop.inputs)
    values = values_of(loop, [history, results, *found])
    np.testing.assert_array_equal(values[0][0], loop.arrays()[0])
    np.testing.assert_array_equal(values[2], np.full((2, 3), 2.0))
    assert [value.shape for value in values[3:]] == [(0, 2, 4), (4, 3), (3, 3)]
    assert not any(value.any() for value in values[3:])


def test_only_what_is_wanted_is_computed():
    """The cotangents of data that no one asked for are not part of the reverse loop."""
    loop = LOOPS["recurrent"]
    history, _ = loop.scanned()
    (by_weight,) = gradients([history], [ops.sin(history)], [loop.inputs[2]])
    reverse = next(
        node for node in toposort([by_weight]) if node.op is ops.scan and node.attributes["body"] != loop.body
    )
    assert len(reverse.shape) == 2  # the carried cotangent and the sum for W: nothing for U, nothing for the sequence


def test_the_chain_rule_is_one_more_scan_and_the_forward_loop_is_not_repeated():
    loop = LOOPS["recurrent"]
    history, _ = loop.scanned()
    found = gradients([history], [ops.sin(history)], loop.inputs)
    assert sum(node.op is ops.scan for node in toposort(found)) == 2


# --- bodies ----------------------------------------------------------------------------------------------------------


def body_of(build, shape=(2,)):
    inside = x(shape)
    return ops.Body((inside,), (build(inside),))


def test_bodies_of_equal_structure_are_equal():
    assert body_of(ops.sin) == body_of(ops.sin)
    assert hash(body_of(ops.sin)) == hash(body_of(ops.sin))
    assert body_of(ops.sin) != body_of(ops.cos)
    assert body_of(ops.sin) != body_of(ops.sin, (3,))
    assert body_of(lambda a: a * 0.0) != body_of(lambda a: a * -0.0)
    assert body_of(ops.sin) != "body"
    assert repr(body_of(ops.sin)) == "<body of 1 operations>"


def test_equal_loops_print_alike():
    assert show(LOOPS["recurrent"].scanned()) == show(
        Loop(recurrent, [(2, 3)], [(2, 4)], [(4, 3), (3, 3)], 4).scanned()
    )


def test_a_body_that_reads_something_else_is_refused():
    inside, outside = x((2,)), x((2,))
    with pytest.raises(StructureError, match="not closed"):
        ops.Body((inside,), (inside * outside,))
    with pytest.raises(StructureError, match="not closed"):
        ops.Body((inside, inside), (inside,))
    ops.Body((inside,), (inside * 2.0, constant(1.0, float64)))  # numbers are part of the program


def scan(*inputs, body, **counts):
    return ops.scan(*inputs, body=body, **({"carries": 1, "sequences": 0, "length": 3} | counts))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda b: scan(x((3,)), body=b), ShapeError, r"input 0 does not fit its body\n  received: \(3,\)"),
        (lambda b: scan(x((2, 2)), body=b, carries=0, sequences=1), ShapeError, r"expected: \(3, 2\)"),
        (lambda b: scan(x((2,), float32), body=b), DTypeError, "received: float32"),
        (lambda b: scan(x((2,)), x((2,)), body=b), ShapeError, "received: 2 inputs"),
        (lambda b: scan(x((2,)), body=b, carries=2), ShapeError, "do not fit together"),
        (lambda b: scan(x((2,)), body=body_of(lambda a: ops.sum_(a, axes=(0,)))), ShapeError, "changes its shape"),
        (
            lambda b: scan(x((2,)), body=body_of(lambda a: ops.cast(a, dtype="float32"))),
            DTypeError,
            "changes its dtype",
        ),
        (lambda b: ops.output(scan(x((2,)), body=b), index=1), ShapeError, "no such result"),
    ],
)
def test_what_does_not_fit_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build(body_of(ops.sin))


def test_scan_is_registered_once():
    assert PRIMITIVES["scan"] is ops.scan


# --- what is left for after the loop ---------------------------------------------------------------------------------


def with_everything(h, x_t, w, u, b):
    """Constants in a product, through a part of one, in a sum, and scaled: all that a recurrent layer does."""
    part = ops.slice_(w, start=(0, 0), stop=(3, 3), step=(1, 1))
    before = product(x_t, u) + ops.matmul(h, part, transpose_a=False, transpose_b=True)
    new = ops.tanh(before + ops.broadcast(ops.reshape(b, shape=(1, 3)), shape=(2, 3)))
    return new, new * ops.broadcast(ops.reshape(b, shape=(1, 3)), shape=(2, 3))


def batched(h, x_t, w):
    """A product with batch axes, and the same constant in a second one, transposed."""
    new = ops.tanh(product(h, w) + x_t)
    return new, ops.matmul(w, new, transpose_a=True, transpose_b=True)


LATER = {
    "everything": Loop(with_everything, [(2, 3)], [(2, 4)], [(4, 3), (4, 3), (3,)], 5),
    "batch axes": Loop(batched, [(2, 2, 3)], [(2, 2, 3)], [(2, 3, 3)], 4),
    "no steps": Loop(with_everything, [(2, 3)], [(2, 4)], [(4, 3), (4, 3), (3,)], 0),
}


@pytest.mark.parametrize("loop", LATER.values(), ids=LATER)
def test_products_of_all_steps_give_the_sums_over_steps(loop):
    outputs = loop.scanned()
    found = gradients(outputs, [ops.sin(each) for each in outputs], loop.inputs)
    verify(found)
    if loop.length:
        check_gradients(outputs, loop.inputs, loop.arrays(), np.random.default_rng(0), order=2)
    else:
        assert not any(value.any() for value in values_of(loop, found[2:]))


def inner(nodes):
    """The operations of all loops that these nodes need, and those outside."""
    order = toposort(nodes)
    return [each for node in order if node.op is ops.scan for each in node.attributes["body"].order], order


def test_weight_gradients_are_one_product_after_the_loop():
    loop = LOOPS["recurrent"]
    history, _ = loop.scanned()
    found = gradients([history], [ops.sin(history)], loop.inputs[3:])
    inside, outside = inner(found)
    assert sum(node.op is ops.matmul for node in inside) == 2 + 1  # forward, and backward to the state before
    (after,) = [node for node in outside if node.op is ops.matmul]
    assert [each.shape for each in after.inputs] == [(4 * 2, 3), (4 * 2, 3)]  # steps times batch


def test_what_the_forward_loop_has_stacked_is_not_computed_again():
    """A body that also returns its activations goes backwards without its product and without its functions."""

    def step(h, x_t, w):
        gate = ops.sigmoid(product(h, w) + x_t)
        return gate * h, gate

    loop = Loop(step, [(2, 3)], [(2, 3)], [(3, 3)], 4)
    history, _ = loop.scanned()
    found = gradients([history], [ops.sin(history)], loop.inputs)
    forward, reverse = [node.attributes["body"] for node in toposort(found) if node.op is ops.scan]
    assert [node.op.name for node in forward.order].count("sigmoid") == 1
    assert "sigmoid" not in [node.op.name for node in reverse.order]
    assert [node.op.name for node in reverse.order].count("matmul") == 1
    check_gradients(loop.scanned(), loop.inputs, loop.arrays(), np.random.default_rng(0), order=2)


def test_large_values_of_a_step_are_not_stacked_to_be_contracted_later():
    """The point of such a loop is never to hold them all: its sums stay in a carry."""

    def step(x_t, w):
        return (product(ops.tanh(ops.matmul(x_t, w, transpose_a=False, transpose_b=True)), w),)

    loop = Loop(step, [], [(2, 3)], [(50, 3)], 4)
    outputs = loop.scanned()
    (by_constant,) = gradients(outputs, [ops.sin(each) for each in outputs], loop.inputs[1:])
    reverse = next(node for node in toposort([by_constant]) if node.op is ops.scan and node.attributes["carries"])
    assert reverse.shape == ((5, 50, 3),)
    check_gradients(outputs, loop.inputs, loop.arrays(), np.random.default_rng(0), order=1)


def test_a_step_on_numpy_forgets_what_nobody_reads():
    inside = x((1000,))
    node = inside
    for _ in range(6):
        node = ops.sin(node)
    body = ops.Body((inside,), (node,))
    (result,) = body.run([np.ones(1000)])
    expected = np.ones(1000)
    for _ in range(6):
        expected = np.sin(expected)
    np.testing.assert_array_equal(result, expected)
    assert [len(each) for each in body._last_reads] == [1] * 6
