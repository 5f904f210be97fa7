"""L-BFGS: PyTorch's path, step by step; a saved state that goes on; clear errors.

In: functions with known minima, and the same in PyTorch. Out: equal parameters and states.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.optim.line_search import Point, cubic_minimum

OPTIONS = [
    {"lr": 0.01},
    {"lr": 0.1, "max_iter": 7, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 2, "lr": 0.7},
    {"line_search_fn": "strong_wolfe", "max_eval": 9, "tolerance_change": 1e-3},
]


def rosenbrock(params):
    x, y = params
    return ((1 - x) ** 2).sum() + 100 * ((y - x * x) ** 2).sum()


def begin(module, dtype="float64"):
    generator = np.random.default_rng(3)
    return [module.tensor(generator.standard_normal((2, 2)).astype(dtype), requires_grad=True) for _ in range(2)]


def closure_of(optimizer, params):
    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(params)
        loss.backward()
        return loss

    return closure


@pytest.mark.peer
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 2e-2)])
def test_the_path_is_pytorchs(options, dtype, tolerance):
    torch = pytest.importorskip("torch")
    ours, theirs = begin(tw, dtype), begin(torch, dtype)
    mine, other = tw.optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
    for _ in range(6 if dtype == "float64" else 2):
        found = mine.step(closure_of(mine, ours)).item()
        expected = other.step(closure_of(other, theirs)).item()
        assert found == pytest.approx(expected, rel=tolerance, abs=1e-9)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance)
    state = mine.state[ours[0]]
    if dtype == "float64":
        known = other.state[theirs[0]]
        assert [int(state[name].item()) for name in ("func_evals", "n_iter")] == [known["func_evals"], known["n_iter"]]
        assert state["old_dirs"].shape[0] == len(known["old_dirs"]) <= options.get("history_size", 100)


@pytest.mark.peer
def test_a_state_that_pytorch_saved_continues_here():
    torch = pytest.importorskip("torch")
    ours, theirs = begin(tw), begin(torch)
    other = torch.optim.LBFGS(theirs, lr=0.05, max_iter=6)
    other.step(closure_of(other, theirs))
    with tw.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            a.copy_(tw.tensor(b.detach().numpy()))
    mine = tw.optim.LBFGS(ours)
    mine.load_state_dict(other.state_dict())
    for _ in range(2):
        mine.step(closure_of(mine, ours))
        other.step(closure_of(other, theirs))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_saved_state_continues_with_the_same_bits(search, is_compiled):
    def run(params, steps, state=None):
        optimizer = tw.optim.LBFGS(params, lr=0.01 if search is None else 1.0, max_iter=4, line_search_fn=search)
        if state is not None:
            optimizer.load_state_dict(state)
        closure = closure_of(optimizer, params)
        closure = tw.compile(closure, keep_gradients=True) if is_compiled else closure
        for _ in range(steps):
            optimizer.step(closure)
        return optimizer

    whole = begin(tw)
    run(whole, 5)
    parts = begin(tw)
    saved = run(parts, 2).state_dict()
    others = [tw.tensor(each.detach().numpy(), requires_grad=True) for each in parts]
    restored = run(others, 3, saved)
    for a, b in zip(whole, others, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    assert restored.step_count == 5


def test_a_quadratic_of_n_axes_is_solved_in_a_few_steps_more_than_n():
    generator = np.random.default_rng(0)
    root = generator.standard_normal((6, 6))
    matrix = tw.tensor(root @ root.T + np.eye(6))
    w = tw.tensor(generator.standard_normal(6), requires_grad=True)
    optimizer = tw.optim.LBFGS([w], max_iter=20, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = w @ (matrix @ w)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert np.abs(w.detach().numpy()).max() < 1e-5


def test_a_parameter_without_a_gradient_stays():
    params, idle = begin(tw), tw.ones(2, dtype=tw.float64, requires_grad=True)
    optimizer = tw.optim.LBFGS([params[0], idle, params[1]], line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer, params))
    assert idle.tolist() == [1.0, 1.0]


def test_a_cubic_with_known_minimum_is_found_between_its_points():
    def at(t):
        return Point(np.float64(t), np.float64(t**3 - 3 * t), np.zeros(0), np.float64(3 * t * t - 3))

    assert cubic_minimum(at(0.2), at(1.9)) == pytest.approx(1.0)
    assert cubic_minimum(at(1.9), at(0.2)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda w: tw.optim.LBFGS([w]).step(), "closure"),
        (lambda w: tw.optim.LBFGS([{"params": [w]}, {"params": [tw.ones(1, requires_grad=True)]}]), "one parameter"),
        (lambda w: tw.optim.LBFGS([w], line_search_fn="armijo"), "strong_wolfe"),
        (lambda w: tw.optim.LBFGS([w], max_iter=0), "max_iter"),
        (lambda w: tw.optim.LBFGS([w], history_size=2.5), "history_size"),
        (lambda w: tw.optim.LBFGS([w], lr=-1.0), "lr"),
        (lambda w: tw.compile(lambda: tw.optim.LBFGS([w]).step(lambda: (w * w).sum()))(), "compile the closure"),
    ],
)
def test_misuse_is_explained(make, match):
    with pytest.raises(tw.ThalwegError, match=match):
        make(tw.ones(2, requires_grad=True))
