"""Penalties: their values and gradients, and the choice of parameters.

In: parameters with and without names. Out: 0-d tensors in the parameters' dtype, whose strength is live.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import ArgumentError
from thalweg.optim import L1, L2, Penalty, is_weight
from thalweg.tensor.holding import Version

FORMULAS = {"L1": (lambda w: np.abs(w).sum(), np.sign), "L2": (lambda w: 0.5 * (w**2).sum(), lambda w: w)}


def parameters(dtype="float32"):
    rng = np.random.default_rng(0)
    shapes = {"0.weight": (3, 2), "0.bias": (3,), "1.weight": (3,), "2.kernel": (2, 2, 2)}
    return {name: tw.tensor(rng.standard_normal(s), dtype=dtype, requires_grad=True) for name, s in shapes.items()}


def test_every_penalty_has_a_formula_here():
    assert {each.__name__ for each in Penalty.__subclasses__()} == FORMULAS.keys()


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_gradient_and_dtype(kind, dtype):
    value_of, gradient_of = FORMULAS[kind]
    named = parameters(dtype)
    penalty = getattr(tw.optim, kind)(0.25, named.values())()
    assert penalty.dtype == dtype
    assert penalty.shape == ()
    assert penalty.item() == pytest.approx(0.25 * sum(value_of(w.detach().numpy()) for w in named.values()), rel=1e-6)
    penalty.backward()
    for w in named.values():
        np.testing.assert_allclose(w.grad.numpy(), 0.25 * gradient_of(w.detach().numpy()), rtol=1e-6)


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (None, ["0.weight", "0.bias", "1.weight", "2.kernel"]),
        ("*.weight", ["0.weight", "1.weight"]),
        (["0.*", "2.*"], ["0.weight", "0.bias", "2.kernel"]),
        (is_weight, ["0.weight", "2.kernel"]),
        (lambda name, w: w.ndim == 3, ["2.kernel"]),
    ],
)
def test_the_choice_of_parameters(only, chosen):
    named = parameters()
    assert L1(0.1, named.items(), only=only).parameters == [named[name] for name in chosen]


def test_the_gradient_of_l1_at_zero_is_zero():
    w = tw.zeros(3, requires_grad=True)
    L1(1.0, [w])().backward()
    assert w.grad.tolist() == [0.0, 0.0, 0.0]


def test_the_strength_is_live_and_no_second_program():
    w = tw.ones(4, requires_grad=True)
    penalty = L2(1.0, [w])
    before = Version.number
    compiled = tw.compile(lambda: penalty())
    assert compiled().item() == 2.0
    penalty.strength = 0.5
    assert compiled().item() == 1.0
    assert penalty().item() == 1.0
    assert Version.number == before
    assert repr(penalty) == "L2(strength=0.5, parameters=1)"


@pytest.mark.parametrize("optimizer", [tw.optim.SGD, tw.optim.Adam, tw.optim.RMSprop, tw.optim.Adagrad])
def test_l2_is_weight_decay(optimizer):
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((5, 3))
    plain, decayed = (tw.tensor([1.0, -2.0, 3.0], dtype=tw.float64, requires_grad=True) for _ in range(2))
    first, second = optimizer([plain], lr=0.1), optimizer([decayed], lr=0.1, weight_decay=0.3)
    penalty = L2(0.3, [plain])
    for gradient in gradients:
        for w, step, extra in ((plain, first, penalty), (decayed, second, lambda: 0.0)):
            step.zero_grad()
            ((w * tw.tensor(gradient)).sum() + extra()).backward()
            step.step()
    np.testing.assert_allclose(plain.detach().numpy(), decayed.detach().numpy(), rtol=1e-12)


class Model:
    def named_parameters(self):
        return iter(parameters().items())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: L1(-1.0, [tw.ones(2)]), ArgumentError, "strength is outside"),
        (lambda: L1(float("nan"), [tw.ones(2)]), ArgumentError, "strength is outside"),
        (lambda: L1("0.1", [tw.ones(2)]), ArgumentError, "'0.1'"),
        (lambda: L1(0.1, tw.ones(2)), TypeError, "several parameters"),
        (lambda: L1(0.1, Model()), TypeError, "model.named_parameters"),
        (lambda: L1(0.1, [1.0]), TypeError, "float as 0"),
        (lambda: L1(0.1, []), ArgumentError, "nothing to penalise"),
        (lambda: L2(0.1, parameters().items(), only="*.wieght"), ArgumentError, "only='\\*.wieght'"),
    ],
)
def test_misuse(make, error, message):
    with pytest.raises(error, match=message):
        make()
