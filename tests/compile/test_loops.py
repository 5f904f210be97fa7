"""Loops as machine code: the same as their NumPy meaning, whatever of them is read, whole or in parts of the batch.

In: loops of every kind, as graphs and as functions of tensors. Out: agreement with the meaning; and what the passes are
for: invariants outside, nothing kept that nobody reads, gates computed once.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.support.compiled import assert_all_agree
from tests.tensor.test_loop import CASES, run
from thalweg import ops
from thalweg.compile.executable import Executable, layout_of
from thalweg.compile.native import modules_of
from thalweg.compile.passes import run_passes
from thalweg.compile.program import Program
from thalweg.dtype import float64
from thalweg.gradient import gradients
from thalweg.graph import Node, full, input_leaf, make_input, toposort

STEPS, BATCH, WIDTH = 6, 32, 16


def leaf(*shape: int, dtype=float64) -> Node:
    return make_input(shape, dtype)


def arrays_for(leaves, seed=0):
    draw = np.random.default_rng(seed)
    return [np.asarray(draw.normal(size=each.shape) * 0.5).astype(each.dtype.numpy) for each in leaves]


def check(outputs: list[Node], arrays=None) -> Executable:
    """The program runs natively and means what NumPy says."""
    leaves = [each for each in toposort(outputs) if each.op is input_leaf]
    executable = Executable(Program(tuple(leaves), tuple(outputs)))
    assert executable.is_native
    arrays = arrays_for(leaves) if arrays is None else arrays
    assert_all_agree(executable(arrays), executable.interpret(arrays), tolerance=1e-12)
    return executable


def cell(width: int = WIDTH, batch: int = BATCH) -> tuple[ops.Body, list[Node]]:
    """h' = tanh(x + h W), and the outside of it: carry, sequence, weight."""
    h, x, w = leaf(batch, width), leaf(batch, width), leaf(width, width)
    new = ops.tanh(x + ops.matmul(h, w, transpose_a=False, transpose_b=False))
    return ops.Body((h, x, w), (new, new)), [leaf(batch, width), leaf(STEPS, batch, width), leaf(width, width)]


def loop_of(body: ops.Body, operands: list[Node], carries: int = 1, sequences: int = 1, length: int = STEPS) -> Node:
    return ops.scan(*operands, body=body, carries=carries, sequences=sequences, length=length)


def rows(node: Node, start: int, stop: int) -> Node:
    rest = node.shape[1:]
    return ops.slice_(node, start=(start, *[0] * len(rest)), stop=(stop, *rest), step=(1,) * node.ndim)


READ = {
    "the history": lambda h, y: [h],
    "the last carry": lambda h, y: [rows(h, STEPS, STEPS + 1)],
    "the results": lambda h, y: [y],
    "the results backwards": lambda h, y: [ops.flip(y, axes=(0,))],
    "the results both ways": lambda h, y: [y + ops.flip(y, axes=(0,))],
    "all of it": lambda h, y: [h, y, rows(h, STEPS, STEPS + 1), ops.flip(y, axes=(0,))],
    "a row in the middle": lambda h, y: [rows(h, 2, 3), rows(h, STEPS, STEPS + 1)],
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize("is_twin", [True, False], ids=["result is the carry", "result is its own"])
def test_a_loop_is_its_meaning_whatever_of_it_is_read(read, is_twin):
    body, operands = cell()
    if not is_twin:
        body = ops.Body(body.inputs, (body.outputs[0], ops.exp(body.outputs[0])))
    loop = loop_of(body, operands)
    check(read(ops.output(loop, index=0), ops.output(loop, index=1)))


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)
def test_a_compiled_scan_with_its_gradients_of_two_orders_is_the_uncompiled_one(arguments):
    def step(_):
        return [each for part in run(tw.scan, arguments) for each in part]

    meant = step(None)
    found = tw.compile(step)(tw.tensor(0.0))
    for a, b in zip(found, meant, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 3, 64])
def test_an_even_and_an_odd_number_of_steps_leave_the_carry_in_its_place(length):
    h, x = leaf(3, 4), leaf(3, 4)
    loop = loop_of(ops.Body((h, x), (h * 0.5 + x,)), [leaf(3, 4), leaf(length, 3, 4)], length=length)
    check([rows(ops.output(loop, index=0), length, length + 1)])


def test_a_carry_that_begins_as_a_number_everywhere():
    body, (_, xs, w) = cell()
    loop = loop_of(body, [full((BATCH, WIDTH), 0.25, float64), xs, w])
    check([ops.output(loop, index=0)])


def test_sequences_that_are_cut_turned_over_or_not_in_order_in_memory():
    body, (h, _, w) = cell()
    xs = leaf(BATCH, STEPS + 3, WIDTH)
    turned = ops.flip(rows(ops.permute(xs, order=(1, 0, 2)), 2, 2 + STEPS), axes=(0,))
    check([ops.output(loop_of(body, [h, turned, w]), index=0)])
    check([ops.output(loop_of(body, [h, ops.flip(rows(leaf(9, BATCH, WIDTH), 3, 9), axes=(0,)), w]), index=1)])


def test_two_carries_that_trade_places():
    a, b = leaf(3), leaf(3)
    loop = loop_of(ops.Body((a, b), (b, a * 2.0)), [leaf(3), leaf(3)], carries=2, sequences=0)
    check([ops.output(loop, index=0), rows(ops.output(loop, index=1), STEPS, STEPS + 1)])


def test_a_carry_that_nothing_reads_is_not_there():
    a, b = leaf(3), leaf(3)
    loop = loop_of(ops.Body((a, b), (a * 2.0, ops.exp(b))), [leaf(3), leaf(3)], carries=2, sequences=0)
    outputs = [ops.output(loop, index=0)]
    check(outputs)
    assert [each.attributes["carries"] for each in loops_in(run_passes(outputs))] == [1]


def test_a_loop_in_a_loop():
    x, h = leaf(4), leaf(4)
    inner = loop_of(ops.Body((y := leaf(4), z := leaf(4)), (ops.sin(y) + z,)), [h, x], sequences=0, length=3)
    last = ops.reshape(rows(ops.output(inner, index=0), 3, 4), shape=(4,))
    check([ops.output(loop_of(ops.Body((h, x), (last, last * 2.0)), [leaf(4), leaf(STEPS, 4)]), index=1)])


def test_positions_out_of_range_in_a_step_are_an_error_and_change_nothing():
    table = tw.tensor(np.arange(12.0).reshape(4, 3))
    total = tw.zeros(3)

    @tw.compile
    def step(indices):
        last, _ = tw.scan(lambda h, i: (h + table[i], None), tw.zeros(3, dtype="float64"), indices)
        total.add_(last)
        return last

    good = step(tw.tensor([0, 3, 1]))
    assert good.tolist() == [12.0, 15.0, 18.0]
    with pytest.raises(tw.errors.IndexRangeError):
        step(tw.tensor([0, 4, 1])).tolist()
    assert total.tolist() == [12.0, 15.0, 18.0]


# --- what the passes are for -----------------------------------------------------------------------------------------


def loops_in(outputs) -> list[Node]:
    return [each for each in toposort(outputs) if each.op is ops.loop]


def operations_in(loop: Node) -> list[str]:
    return [each.op.name for each in loop.attributes["body"].order]


def test_what_does_not_change_in_a_step_is_done_before_the_loop():
    h, w = leaf(BATCH, WIDTH), leaf(WIDTH, WIDTH)
    new = ops.matmul(h, ops.exp(w), transpose_a=False, transpose_b=True)
    loop = loop_of(ops.Body((h, w), (new,)), [leaf(BATCH, WIDTH), leaf(WIDTH, WIDTH)], sequences=0)
    outputs = [ops.output(loop, index=0)]
    check(outputs)
    (lowered,) = loops_in(run_passes(outputs))
    assert operations_in(lowered) == ["matmul"]
    assert not lowered.attributes["body"].order[0].attributes["transpose_b"]


def test_the_loop_of_the_chain_rule_computes_no_gate_again():
    body, operands = cell()
    h = ops.output(loop_of(body, operands), index=1)
    wanted = [each for each in gradients([h], [leaf(*h.shape)], operands) if each is not None]
    check([h, *wanted])
    forward, backward = loops_in(run_passes([h, *wanted]))
    assert operations_in(forward).count("tanh") == 1
    assert "tanh" not in operations_in(backward)
    assert operations_in(backward).count("matmul") == 1


def test_the_gradient_of_a_bias_is_summed_up_behind_the_loop():
    h, x, b = leaf(64, 64), leaf(64, 64), leaf(64)
    new = ops.tanh(x * h + ops.broadcast(ops.reshape(b, shape=(1, 64)), shape=(64, 64)))
    operands = [leaf(64, 64), leaf(400, 64, 64), leaf(64)]
    h = ops.output(loop_of(ops.Body((h, x, b), (new,)), operands, length=400), index=0)
    wanted = [each for each in gradients([h], [leaf(*h.shape)], operands) if each is not None]
    check(wanted)
    lowered = loops_in(run_passes(wanted))
    assert all("sum" not in operations_in(each) for each in lowered)
    assert len(lowered) == 2


def test_scores_far_larger_than_what_the_loop_holds_are_computed_again():
    q, k = leaf(4, 2), leaf(256, 2)
    scores = ops.exp(ops.matmul(q, k, transpose_a=False, transpose_b=True))
    y = ops.matmul(scores, k, transpose_a=False, transpose_b=False)
    operands = [leaf(STEPS, 4, 2), leaf(256, 2)]
    loop = loop_of(ops.Body((q, k), (y,)), operands, carries=0)
    y = ops.output(loop, index=0)
    wanted = [each for each in gradients([y], [leaf(*y.shape)], operands) if each is not None]
    check([y, *wanted])
    forward, backward = loops_in(run_passes([y, *wanted]))
    assert "exp" in operations_in(forward)
    assert "exp" in operations_in(backward)


@pytest.mark.parametrize(("batch", "parts"), [(32, 4), (12, 1), (64, 8), (7, 1)])
def test_a_batch_is_cut_into_parts_that_run_through_all_steps(batch, parts):
    body, (h, _, w) = cell(64, batch)
    operands = [h, leaf(40, batch, 64), w]
    loop = loop_of(body, operands, length=40)
    layout = layout_of(Program(tuple(operands), (ops.output(loop, index=0),)))
    (kernel,) = [each for each in layout.kernels if each.loop]
    assert kernel.loop.parts == parts


def test_a_batch_whose_entries_are_mixed_is_not_cut():
    h = leaf(64, 64)
    mixed = h + ops.broadcast(ops.sum_(h, axes=(0,)), shape=h.shape)
    loop = loop_of(ops.Body((h,), (ops.tanh(mixed),)), [leaf(64, 64)], sequences=0, length=200)
    outputs = [ops.output(loop, index=0)]
    check(outputs)
    (kernel,) = [each for each in layout_of(Program((loop.inputs[0],), tuple(outputs))).kernels if each.loop]
    assert kernel.loop.parts == 1


@pytest.mark.parametrize(("steps", "pieces"), [(2, 1), (7, 3), (200, 50)])
def test_threads_share_the_steps_of_a_loop_that_carries_nothing(steps, pieces):
    x, w = leaf(32, 64), leaf(64, 64)
    y = ops.tanh(ops.matmul(ops.exp(x), w, transpose_a=False, transpose_b=False))
    operands = [leaf(steps, 32, 64), leaf(64, 64)]
    outputs = [ops.output(loop_of(ops.Body((x, w), (y,)), operands, carries=0, length=steps), index=0)]
    check(outputs)
    (kernel,) = [each for each in layout_of(Program(tuple(operands), tuple(outputs))).kernels if each.loop]
    assert kernel.loop.pieces == pieces


def test_the_code_is_the_same_for_every_number_of_steps():
    texts = set()
    for length in (64, 1024):
        body, (h, _, w) = cell(64, 32)
        operands = [h, leaf(length, 32, 64), w]
        y = ops.output(loop_of(body, operands, length=length), index=1)
        layout = layout_of(Program(tuple(operands), (y,)))
        (kernel,) = [each for each in layout.kernels if each.loop]
        texts.add(tuple(sorted(each.text for each in modules_of(kernel.loop.layout))))
    assert len(texts) == 1


def test_any_number_of_threads_gives_the_same_bits():
    body, operands = cell(64, 32)
    y = ops.output(loop_of(body, operands), index=1)
    executable, arrays = check([y]), arrays_for(operands)
    before, found = tw.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            tw.set_num_threads(threads)
            found.append(executable(arrays)[0].tobytes())
    finally:
        tw.set_num_threads(before)
    assert len(set(found)) == 1
