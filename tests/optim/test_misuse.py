"""Misuses of optimizers, each with the message that it must give.

In: a table of wrong calls. Out: errors that derive from `ThalwegError` and from the built-in that fits, and that say
what was received and what to do.
"""

from __future__ import annotations

import math

import pytest

import thalweg as tw
from thalweg.errors import ThalwegError
from thalweg.optim import SGD, Adam, AdamW, Optimizer, RMSprop, schedules


class Model:
    """As a module is to an optimizer: it has parameters, and cannot be iterated over."""

    def parameters(self):
        return iter([leaf()])


class Stack(Model):
    """As a Sequential: it can be iterated over, which gives modules."""

    def __iter__(self):
        return iter([Model(), Model()])


def leaf(*shape):
    return tw.ones(*(shape or (2,)), requires_grad=True)


W = leaf()
USED_UP = iter([])

MISUSES = [
    (lambda: SGD([]), ValueError, "empty parameter list"),
    (lambda: SGD(USED_UP), ValueError, "a generator can be used once only"),
    (lambda: SGD([{"params": []}]), ValueError, "empty parameter list"),
    (lambda: SGD([{"lr": 0.1}]), ValueError, "key 'params'"),
    (lambda: SGD(Model()), TypeError, "Model\n(.*\n)*.*pass model.parameters()"),
    (lambda: Adam(Stack()), TypeError, "Stack\n(.*\n)*.*pass model.parameters()"),
    (lambda: SGD(leaf()), TypeError, "wrap a single tensor in a list"),
    (lambda: SGD(3), TypeError, "several parameters"),
    (lambda: SGD({leaf(), leaf()}), TypeError, "need an order"),
    (lambda: SGD([1.0, 2.0]), TypeError, "float as parameter 0"),
    (lambda: SGD(["weight"]), TypeError, "str as parameter 0"),
    (lambda: SGD([("weight", 1.0)]), TypeError, "float as parameter weight"),
    (lambda: SGD([leaf() * 2]), ValueError, "result of an operation\n(.*\n)*.*detach"),
    (lambda: SGD([tw.tensor([1, 2])]), TypeError, "int64"),
    (lambda: SGD([W, W]), ValueError, "parameter 1 again"),
    (lambda: SGD([("a", W), ("b", W)]), ValueError, "parameter b again"),
    (lambda: SGD([{"params": [W]}, {"params": [W]}]), ValueError, "more than once"),
    (lambda: SGD([W]).add_param_group({"params": W}), ValueError, "more than once"),
    (lambda: SGD([W], lr=-1.0), ValueError, "lr=-1.0\n.*at least 0"),
    (lambda: SGD([W], lr=math.inf), ValueError, "finite"),
    (lambda: SGD([W], lr=tw.tensor(-0.5)), ValueError, "lr=-0.5"),
    (lambda: SGD([W], lr="0.1"), TypeError, "'0.1'\n.*a number, a 0-d tensor or a schedule"),
    (lambda: SGD([W], lr=True), TypeError, "True"),
    (lambda: SGD([W], lr=tw.ones(2)), TypeError, "lr has a wrong form"),
    (lambda: SGD([W], lr=schedules.StepDecay), TypeError, "lr has a wrong form"),
    (lambda: SGD([W], momentum=-0.9), ValueError, "momentum"),
    (lambda: SGD([W], nesterov=True), ValueError, "pass momentum=0.9"),
    (lambda: SGD([W], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "dampening=0.1"),
    (lambda: SGD([W], momentun=0.9), ValueError, "momentun=0.9"),
    (lambda: SGD([W], differentiable=True), ValueError, "tw.grad"),
    (lambda: Adam([W], betas=(0.9, 1.0)), ValueError, "betas=1.0\n.*at least 0 and below 1"),
    (lambda: Adam([W], betas=(-0.1, 0.9)), ValueError, "betas=-0.1"),
    (lambda: Adam([W], betas=0.9), TypeError, "a pair of numbers"),
    (lambda: Adam([W], betas=(0.9, 0.99, 0.999)), TypeError, "a pair of numbers"),
    (lambda: Adam([W], betas=schedules.Constant(0.9)), TypeError, "a pair of numbers"),
    (lambda: AdamW([W], eps=-1e-8), ValueError, "AdamW: eps"),
    (lambda: RMSprop([W], alpha=-1), ValueError, "alpha"),
    (lambda: SGD([{"params": [W], "lr": -1}]), ValueError, "lr=-1.0"),
    (lambda: SGD([W]).param_groups[0].tensor("nesterov"), TypeError, "not a number"),
    (lambda: SGD([W]).param_groups[0].tensor("params"), TypeError, "not a number"),
]


@pytest.mark.parametrize(
    ("make", "error", "message"), MISUSES, ids=[f"{i}-{m[:24]}" for i, (*_, m) in enumerate(MISUSES)]
)
def test_misuse_is_explained(make, error, message):
    with pytest.raises(error, match=message) as raised:
        make()
    assert isinstance(raised.value, ThalwegError)


def test_the_base_class_says_what_is_missing():
    optimizer = Optimizer([W], {"lr": 0.1})
    W.grad = tw.ones(2)
    with pytest.raises(NotImplementedError, match="how to update"):
        optimizer.step()
    W.grad = None
