"""Labels cost no pass over memory of their own, and a bad one is met as before.

In: gathers and scatters as losses make them, and as they must not be taken for. Out: the same values, the kernels that
are left, and the error of NumPy evaluation with nothing written.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.compiled import assert_agree
from thalweg import ops
from thalweg.compile.executable import Executable
from thalweg.compile.passes import run_passes
from thalweg.compile.picking import checks, pass_pick
from thalweg.compile.program import Program
from thalweg.compile.reference import evaluate
from thalweg.dtype import float32, float64, int64
from thalweg.errors import IndexRangeError
from thalweg.graph import Node, full, make_input, toposort

ROWS, CLASSES = 6, 5


def names(outputs: list[Node]) -> list[str]:
    return [node.op.name for node in toposort(outputs)]


def place(axis: int, shape: tuple[int, ...]) -> Node:
    return ops.iota(shape=shape, axis=axis, dtype="int64")


def log_softmax(x: Node) -> Node:
    shifted = x - ops.broadcast(ops.amax(x, axes=(1,)), shape=x.shape)
    return shifted - ops.broadcast(ops.log(ops.sum_(ops.exp(shifted), axes=(1,))), shape=x.shape)


X, LABEL = make_input((ROWS, CLASSES), float64), make_input((ROWS,), int64)
U = make_input((ROWS,), float64)
FEEDS = {
    X: np.random.default_rng(0).normal(size=X.shape),
    LABEL: np.array([0, 4, 2, 2, 1, 4]),
    U: np.arange(1.0, ROWS + 1),
}


def assert_same(before: list[Node], after: list[Node]) -> None:
    for a, b in zip(evaluate(after, FEEDS), evaluate(before, FEEDS), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert checks(before) <= checks(after)


def test_a_gather_goes_before_the_arithmetic() -> None:
    before = [ops.gather(log_softmax(X), place(0, (ROWS,)), LABEL, role="class label")]
    after = run_passes(before)
    assert_same(before, after)
    (picked,) = [node for node in toposort(after) if node.op.name == "gather"]
    assert picked.inputs[0] is X
    assert sum(node.op.name == "subtract" and node.shape == X.shape for node in toposort(after)) == 1  # for exp alone


def test_a_gather_of_what_is_the_same_in_all_classes_still_looks_at_the_label() -> None:
    rows = ops.broadcast(ops.reshape(U, shape=(ROWS, 1)), shape=X.shape)
    before = [ops.gather(ops.exp(rows), place(0, (ROWS,)), LABEL, role="class label")]
    after = run_passes(before)
    assert "gather" in names(after)
    assert_same(before, after)


def test_a_lookup_stays_a_lookup() -> None:
    index = make_input((40,), int64)
    (after,) = run_passes([ops.gather(ops.exp(X), index, role="embedding row")])
    assert [after.op.name, after.inputs[0].op.name] == ["gather", "exp"], "the table is smaller than what is picked"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_entry_a_row_is_chosen_by_comparison(axis: int) -> None:
    shape = (4, 3, 2)
    rows = (*shape[:axis], *shape[axis + 1 :])
    label, updates = make_input(rows, int64), make_input(rows, float32)
    grid = [place(i, rows) for i in range(2)]
    before = [ops.scatter_add(updates, *grid[:axis], label, *grid[axis:], shape=shape, role="class label")]
    after = run_passes(before)
    assert "scatter_add" not in names(after)
    random = np.random.default_rng(1)
    feeds = {label: random.integers(0, shape[axis], rows), updates: random.normal(size=rows).astype(np.float32)}
    np.testing.assert_array_equal(evaluate(after, feeds)[0], evaluate(before, feeds)[0])
    program = Executable(Program((label, updates), tuple(before)))
    assert program.is_native
    np.testing.assert_array_equal(program([feeds[label], feeds[updates]])[0], evaluate(before, feeds)[0])


def test_scatters_that_may_meet_or_leave_rows_out_stay() -> None:
    met = ops.scatter_add(U, LABEL, shape=(CLASSES,), role="row")
    short = ops.scatter_add(U, place(0, (ROWS,)), LABEL, shape=(ROWS + 1, CLASSES), role="row")
    turned = ops.scatter_add(make_input((3, 3), float64), place(1, (3, 3)), place(0, (3, 3)), make_input((3, 3), int64),
                             shape=(3, 3, 3), role="row")  # fmt: skip
    for node in (met, short, turned):
        assert "scatter_add" in names(run_passes([node]))


def test_the_sum_of_scattered_entries_is_the_entries() -> None:
    scattered = ops.scatter_add(U, place(0, (ROWS,)), LABEL, shape=X.shape, role="class label")
    before = [ops.sum_(-scattered, axes=(1,)), scattered]
    assert_same(before, run_passes(before))
    assert "sum" not in names(run_passes(before))
    alone = before[:1]
    assert_same(alone, pass_pick(alone))  # here the sum is all that looks at the label


# --- whole losses ----------------------------------------------------------------------------------------------------


def loss_and_gradient(shape: tuple[int, ...], label: np.ndarray, **options: object) -> tuple:
    x = tw.tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32), requires_grad=True)

    def step(y: tw.Tensor) -> tw.Tensor:
        x.grad = None
        loss = F.cross_entropy(x, y, **options)
        loss.backward()
        return loss

    compiled = tw.compile(step, keep_gradients=True)
    found = compiled(tw.tensor(label)).item(), x.grad.numpy()
    meant = step(tw.tensor(label)).item(), x.grad.numpy()
    return compiled, x, found, meant


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((7, 33), (7,)), ((128, 10), (128,)), ((4, 3, 5), (4, 5)), ((2, 3, 17, 2), (2, 17, 2)), ((5,), ())],
)  # fmt: skip
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_agrees_with_ignored_labels_and_without(
    shape: tuple[int, ...], rows: tuple[int, ...], smoothing: float
) -> None:
    label = np.random.default_rng(2).integers(0, shape[1 if len(shape) > 1 else 0], rows)
    for ignored in (-100, 1):
        _, _, found, meant = loss_and_gradient(shape, label, ignore_index=ignored, label_smoothing=smoothing)
        assert found[0] == pytest.approx(meant[0], rel=1e-5, nan_ok=True)
        assert_agree(found[1], meant[1])


def test_cross_entropy_is_one_nest_over_the_classes() -> None:
    compiled, *_ = loss_and_gradient((128, 1000), np.zeros(128, int))
    (program,) = compiled._programs.values()
    kernels = program.executable.native.layout.kernels
    assert sum(kernel.domain == (128, 1000) for kernel in kernels) == 1
    assert len(kernels) <= 7
    assert program.executable.native.layout.arena < 128 * 1000, "no array over the classes is kept"


@pytest.mark.parametrize("bad", [-1, 10])
def test_a_bad_label_raises_and_nothing_is_written(bad: int) -> None:
    model = tw.nn.Linear(4, 10)
    optimizer = tw.optim.Adam(model.parameters())

    @tw.compile
    def step(x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = tw.tensor(np.ones((20, 4), np.float32)), np.zeros(20, int)
    step(x, tw.tensor(y))
    kept = [each.detach().numpy().copy() for each in model.parameters()]
    y[17] = bad
    for _ in range(2):
        with pytest.raises(IndexRangeError, match=rf"class label out of range\n  received: {bad} at position \(17,\)"):
            step(x, tw.tensor(y))
    for each, before in zip(model.parameters(), kept, strict=True):
        np.testing.assert_array_equal(each.detach().numpy(), before)


def test_the_gradient_alone_looks_at_the_label() -> None:
    x = make_input((3, 4), float32)
    label, updates = make_input((3,), int64), full((3,), 1.0, float32)
    node = ops.scatter_add(updates, place(0, (3,)), label, shape=(3, 4), role="class label")
    program = Executable(Program((x, label), (ops.add(x, node),)))
    assert program.is_native
    with pytest.raises(IndexRangeError):
        program([np.zeros((3, 4), np.float32), np.array([0, 4, 1])])
