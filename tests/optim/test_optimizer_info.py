"""PyTorch's own optimizer configurations: every one that its tests run on a CPU, run here beside it.

In: `torch.testing._internal.common_optimizers.optim_db`. Out: the same parameters and losses after steps on a small
network, in float64, evaluated by NumPy and compiled. `python -m tests.optim.test_optimizer_info` prints the table.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")  # which PyTorch's test utilities need
optimizers = pytest.importorskip("torch.testing._internal.common_optimizers")

STEPS = 4
# L-BFGS divides by differences of gradients, and so multiplies roundings step by step.
TOLERANCE = {"LBFGS": 1e-7}
# How a step is carried out: accepted, without effect.
IMPLEMENTATION = {"foreach": True, "fused": False, "capturable": True, "differentiable": False}


def _mapped(value, function):
    """The tensors among the options, changed."""
    if isinstance(value, torch.Tensor):
        return function(value)
    return tuple(_mapped(each, function) for each in value) if isinstance(value, tuple) else value


# `cuda` adds the configurations with capturable=True: the same mathematics, run by both with capturable=False.
CASES = [
    (
        info.optim_cls.__name__,
        {name: _mapped(value, torch.Tensor.double) for name, value in each.kwargs.items() if name != "capturable"},
        each.desc,
    )
    for info in optimizers.optim_db
    for each in info.optim_inputs_func(device="cuda")
]


def _values():
    generator = np.random.default_rng(0)
    return [generator.standard_normal((5, 4)), generator.standard_normal((3, 5)), generator.standard_normal((6, 4))]


def _loss(params, tanh):
    """A network of two matrices, without biases, because Muon is for matrices."""
    first, second, x = params
    return (tanh(x @ first.T) @ second.T).square().sum() * 0.1 + (first * first).sum() * 0.01


def _theirs(name, options):
    with torch.random.fork_rng():
        params = [torch.tensor(each, requires_grad=True) for each in _values()[:2]]
    x = torch.tensor(_values()[2])
    optimizer = getattr(torch.optim, name)(params, **options)

    def closure():
        optimizer.zero_grad()
        loss = _loss([*params, x], torch.tanh)
        loss.backward()
        if name == "SparseAdam":
            for each in params:
                each.grad = each.grad.to_sparse()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(STEPS)]
    return [np.array(losses), *(each.detach().numpy() for each in params)]


def _ours(name, options, is_compiled):
    options = {key: _mapped(value, torch.Tensor.item) for key, value in options.items()}
    params = [tw.tensor(each, requires_grad=True) for each in _values()[:2]]
    x = tw.tensor(_values()[2])
    optimizer = getattr(tw.optim, name)(params, **options)

    def closure():
        optimizer.zero_grad()
        loss = _loss([*params, x], lambda each: each.tanh())
        loss.backward()
        return loss

    if name == "LBFGS":  # decides by values: what is compiled is the closure, whose gradients it reads
        chosen = tw.compile(closure, keep_gradients=True) if is_compiled else closure
        losses = [float(optimizer.step(chosen)) for _ in range(STEPS)]
    else:
        step = (lambda: optimizer.step(closure)) if not is_compiled else tw.compile(lambda: optimizer.step(closure))
        losses = [float(step()) for _ in range(STEPS)]
    return [np.array(losses), *(each.detach().numpy() for each in params)]


@pytest.fixture(autouse=True)
def _like_for_like(monkeypatch):
    """PyTorch's numbers in float64; Muon's iteration, which it rounds to bfloat16, too."""
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    yield
    torch.set_default_dtype(torch.float32)


def disagreement(name, options, is_compiled):
    """The largest difference, relative to the largest value of each tensor."""
    found, expected = _ours(name, options, is_compiled), _theirs(name, options)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True))


def test_every_optimizer_of_pytorch_is_there():
    assert {name for name, _, _ in CASES} == {info.optim_cls.__name__ for info in optimizers.optim_db}
    assert {name for name in torch.optim.__all__ if isinstance(getattr(torch.optim, name), type)} <= set(
        tw.optim.__all__
    )


@pytest.mark.parametrize(("name", "options", "description"), CASES, ids=[f"{n}-{d}" for n, _, d in CASES])
def test_configurations_of_pytorch(name, options, description):
    assert disagreement(name, options, is_compiled=False) <= TOLERANCE.get(name, 1e-9)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES}))
def test_configurations_of_pytorch_compiled(name):
    """One of each, the richest: the contract tests compare compiled steps with NumPy's for all the options."""
    options = max((options for known, options, _ in CASES if known == name), key=len)
    assert disagreement(name, options, is_compiled=True) <= TOLERANCE.get(name, 1e-9)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES} - {"LBFGS"}))
def test_ways_to_carry_out_a_step_are_accepted_and_change_nothing(name):
    for a, b in zip(_ours(name, IMPLEMENTATION, False), _ours(name, {}, False), strict=True):
        np.testing.assert_array_equal(a, b)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.Tensor.bfloat16 = lambda self: self.clone()
    for each, choices, text in CASES:
        worst = [disagreement(each, choices, is_compiled) for is_compiled in (False, True)]
        print(f"{each:12} {text:60} NumPy {worst[0]:.1e}  compiled {worst[1]:.1e}", flush=True)
