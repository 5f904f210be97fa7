"""`tw.scan` against the same loop written out: values, first and second derivatives, nesting, closures, cells, errors.

In: bodies of one step. Out: what a Python loop over the entries gives.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.tensor.tree import flatten


def unrolled(body, init, xs, length=None, reverse=False):
    """The definition of scan."""
    leaves = flatten(xs)[0] if xs is not None else []
    steps = len(leaves[0]) if leaves else length
    carry, ys = init, [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        entry = None if xs is None else xs[t] if isinstance(xs, tw.Tensor) else tuple(each[t] for each in xs)
        carry, ys[t] = body(carry, entry)
    if ys[0] is None:
        return carry, None
    return carry, tw.stack(ys) if isinstance(ys[0], tw.Tensor) else tuple(tw.stack(list(each)) for each in zip(*ys))


def double(*shape, seed=0):
    return tw.tensor(np.random.default_rng(seed).normal(size=shape) * 0.5, requires_grad=True)


W, U, B = double(3, 3), double(2, 3, seed=1), double(3, seed=2)
X, H = double(5, 4, 2, seed=3), double(4, 3, seed=4)
CASES = {
    "recurrent network": (lambda h, x: ((y := (h @ W + x @ U + B).tanh()), y), H, X),
    "no result": (lambda h, x: ((h @ W + x @ U).tanh(), None), H, X),
    "no sequence": (lambda h, _: ((h @ W).tanh(), h.sum()), H, None, 4),
    "two carries, two sequences": (
        lambda c, x: ((c[0] * 0.5 + x[0] @ U, c[1] * c[0].sigmoid()), (c[0] - c[1], x[1] * 2)),
        (H, double(4, 3, seed=5)), (X, double(5, seed=6)),
    ),
    "backwards": (lambda h, x: ((y := (h @ W + x @ U).tanh()), y * 2), H, X, None, True),
    "one step": (lambda h, x: (h * x.sum(), h), H, X[:1]),
    "in place and indices": (lambda h, x: (step_in_place(h, x), h[:, [0, 2]]), H, X),
    "a view of a parameter": (lambda h, x: ((h @ W.T[:, :3]).tanh() + B[0], h[0]), H, X),
    "a carry that is not differentiated": (
        lambda c, x: ((c[0] @ W, c[1] + 1), c[0] * c[1]), (H, tw.tensor(1, dtype="int64")), X,
    ),
    "no_grad inside": (lambda h, x: (h * silent(h) + x @ U, h), H, X),
}  # fmt: skip


def step_in_place(h, x):
    y = h.clone()
    y[:, 0] = x[:, 0]
    y += B
    return y.mul_(0.5)


def silent(h):
    with tw.no_grad():
        return h.sigmoid()


def run(function, arguments):
    carry, ys = function(*arguments)
    floats = [each for each in flatten((carry, ys))[0] if isinstance(each, tw.Tensor) and each.dtype.is_floating_point]
    total = sum(((each * each).sin().sum() for each in floats), start=tw.tensor(0.0, dtype="float64"))
    leaves = [W, U, B, H, X]
    first = tw.grad(total, leaves, create_graph=True, allow_unused=True)
    penalty = sum(((each * each).sum() for each in first if each is not None), start=tw.tensor(0.0, dtype="float64"))
    second = tw.grad(penalty, leaves, allow_unused=True)
    return flatten((carry, ys))[0], first, second


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)
def test_scan_is_the_loop_written_out_to_second_order(arguments):
    for mine, theirs in zip(run(tw.scan, arguments), run(unrolled, arguments), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            if a is None or b is None:  # a symbolic zero on one side may be zeros on the other
                assert all(each is None or not each.detach().numpy().any() for each in (a, b))
                continue
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_gradients_against_finite_differences():
    def function(w, x, h):
        return tw.scan(lambda h, x: ((y := (h @ w + x).tanh()), y), h, x)

    assert tw.gradcheck(function, [tw.randn(2, 2), tw.randn(3, 2), tw.randn(2)], order=2)


def test_the_body_is_run_once():
    calls = []
    tw.scan(lambda h, x: (calls.append(1), (h + x, None))[1], tw.tensor(0.0), tw.ones(100))
    assert calls == [1]


def test_no_steps():
    last, ys = tw.scan(lambda h, x: (h * x, h), tw.tensor(3.0), tw.zeros(0))
    assert last.item() == 3
    assert ys.shape == (0,)


def test_nesting_of_results_is_kept():
    carry, ys = tw.scan(lambda c, x: ({"h": c["h"] + x}, {"a": x, "b": [x * 2, None]}), {"h": 0.0}, tw.ones(3))
    assert carry["h"].item() == 3
    assert ys["b"][0].tolist() == [2, 2, 2]
    assert ys["b"][1] is None


def test_scans_nest():
    def inner(h, row):
        return tw.scan(lambda a, b: (a * 0.5 + b * B[0], a), h, row)[0], h

    x, h = double(4, 3, seed=8), tw.tensor(0.5, dtype="float64")
    a, _ = tw.scan(inner, h, x)
    b, _ = unrolled(lambda h, row: (unrolled(lambda a, b: (a * 0.5 + b * B[0], a), h, row)[0], h), h, x)
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-12)
    for mine, theirs in zip(tw.grad(a, [x, B]), tw.grad(b, [x, B]), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-10)


def test_a_cell_written_in_the_body_is_carried_along():
    count = tw.zeros(2)

    def body(h, x):
        with tw.no_grad():
            count.add_(x)
        return h + count.sum(), count * 1

    last, seen = tw.scan(body, tw.tensor(0.0), tw.arange(4).float())
    assert count.tolist() == [6, 6]
    assert seen[:, 0].tolist() == [0, 1, 3, 6]
    assert last.item() == 20


def test_random_numbers_differ_from_step_to_step_and_repeat_with_the_seed():
    def draws():
        tw.manual_seed(4)
        _, steps = tw.scan(lambda h, _: (h, tw.rand(3)), tw.tensor(0.0), length=4)
        return np.vstack([steps.numpy(), tw.rand(1, 3).numpy()])

    first = draws()
    assert len(np.unique(first)) == first.size
    np.testing.assert_array_equal(draws(), first)
    tw.manual_seed(4)
    np.testing.assert_array_equal(first, np.stack([tw.rand(3).numpy() for _ in range(4)] + [tw.rand(1, 3).numpy()[0]]))


def test_no_grad_outside():
    with tw.no_grad():
        last, ys = tw.scan(lambda h, x: ((h @ W + x @ U).tanh(), h), H, X)
    assert not last.requires_grad
    assert not ys.requires_grad


def test_backward_collects_in_parameters():
    w = tw.tensor(0.5, requires_grad=True)
    last, _ = tw.scan(lambda h, x: (h * w + x, None), tw.tensor(0.0), tw.tensor([1.0, 2.0, 3.0]))
    last.backward()
    assert w.grad.item() == 3  # d/dw (w^2 + 2 w + 3)


def test_a_weight_overwritten_before_backward_is_refused():
    w = tw.tensor(0.5, requires_grad=True)
    last, _ = tw.scan(lambda h, x: (h * w + x, None), tw.tensor(0.0), tw.tensor([1.0, 2.0, 3.0]))
    with tw.no_grad():
        w += 1
    with pytest.raises(tw.ThalwegError, match="overwritten"):
        last.backward()


def test_inside_a_compiled_step():
    w = tw.tensor(0.5, requires_grad=True)

    @tw.compile
    def step(x):
        w.grad = None
        last, _ = tw.scan(lambda h, x: (h * w + x, None), tw.tensor(0.0), x)
        last.backward()
        with tw.no_grad():
            w.sub_(0.1 * w.grad)
        return last

    expected = 0.5
    for _ in range(3):
        assert step(tw.tensor([1.0, 2.0, 3.0])).item() == pytest.approx(expected**2 + 2 * expected + 3, rel=1e-5)
        expected -= 0.1 * (2 * expected + 2)
        assert w.item() == pytest.approx(expected, rel=1e-5)


BAD = {
    "shape": (lambda h, x: (h.sum(), None), ValueError, "carry 0 changes its shape"),
    "dtype": (lambda h, x: (h.long(), None), TypeError, "carry 0 changes its dtype"),
    "nesting": (lambda h, x: ((h, h), None), ValueError, "nested in another way"),
    "one thing": (lambda h, x: h, TypeError, "returns two things"),
    "value": (lambda h, x: (h if x.sum() > 0 else -h, None), RuntimeError, "tw.where"),
    "backward": (lambda h, x: ((h * W).sum().backward(), (h, None))[1], RuntimeError, r"tw\.grad"),
}


@pytest.mark.parametrize(("body", "kind", "message"), BAD.values(), ids=BAD)
def test_misuse_of_the_body(body, kind, message):
    with pytest.raises(kind, match=message) as error:
        tw.scan(body, tw.ones(3), tw.ones(2, 3))
    assert isinstance(error.value, tw.ThalwegError)
    assert (tw.ones(1) + 1).item() == 2  # the trace has ended


@pytest.mark.parametrize(("xs", "length"), [(None, None), ((tw.ones(2), tw.ones(3)), None), (tw.tensor(1.0), None),
                                            (tw.ones(2), 3), (None, -1)])  # fmt: skip
def test_misuse_of_the_sequences(xs, length):
    with pytest.raises(tw.ThalwegError, match="number of steps"):
        tw.scan(lambda h, x: (h, None), tw.ones(3), xs, length)
