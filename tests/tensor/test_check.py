"""Tests that check the checker: right gradients pass, a gradient that is wrong by 0.1 % is named.

In: functions and small modules, some with a planted mistake. Out: True, or an error that names the worst entry.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw


class Affine:
    """As much of a module as gradcheck asks for."""

    def __init__(self, factor=1.0, noise=False):
        self.weight = tw.randn(2, 3, requires_grad=True)
        self.bias = tw.zeros(2, requires_grad=True)
        self.count = tw.zeros(1)
        self.factor, self.noise = factor, noise

    def named_parameters(self):
        return [("layer.weight", self.weight), ("layer.bias", self.bias)]

    def named_buffers(self):
        return [("count", self.count)]

    def double(self):
        for name in ("weight", "bias", "count"):
            held = getattr(self, name)
            setattr(self, name, tw.tensor(held.detach().double(), requires_grad=held.requires_grad))
        return self

    def __call__(self, x):
        with tw.no_grad():
            self.count += 1
        y = x @ wrong_by(self.weight, self.factor).T + self.bias
        return y * (tw.rand(*y.shape, dtype="float64") > 0.5).double() * self.count if self.noise else y


def wrong_by(x, factor):
    """The value of x with `factor` times its gradient."""
    return x.detach() + factor * (x - x.detach())


def test_right_gradients_pass():
    assert tw.gradcheck(lambda x: x.exp(), tw.randn(3)) is True
    assert tw.gradcheck(lambda x, y: (x * y, x.sum()), [tw.randn(2, 3), tw.randn(3)], order=2)
    assert tw.gradcheck(lambda x: {"a": x.sin(), "positions": x.argmax()}, np.random.default_rng(0).normal(size=(2, 2)))
    assert tw.gradcheck(lambda x, index: x[index], [tw.randn(4), tw.tensor([0, 2, 2])])
    assert tw.gradcheck(lambda x, factor: x * factor, [tw.randn(4), 3.0])


def test_a_gradient_wrong_by_a_thousandth_is_caught():
    x = tw.tensor([[2.0, 5.0], [3.0, 4.0]])
    assert tw.gradcheck(lambda x: wrong_by(x, 1.0) ** 2, x, rtol=1e-5)
    with pytest.raises(tw.ThalwegError, match="gradient of <lambda> is wrong") as error:
        tw.gradcheck(lambda x: wrong_by(x, 1.001) ** 2, x, rtol=1e-5)
    message = str(error.value)
    assert "input 0[0, 1]" in message  # the largest, and so the worst
    assert "10.01 by backpropagation" in message
    assert "10 by central differences" in message
    assert "difference 0.01" in message


def test_a_second_derivative_wrong_by_a_thousandth_is_caught():
    def function(x):
        return wrong_by(x, 1.0) * x * x + (wrong_by(x.detach(), 1.0) - x.detach()) * 0

    class Cubic:
        __name__ = "cubic"

        def __call__(self, x):
            # dy/dx is right (x * x); its own derivative is 0.1 % too large
            return x.detach() ** 3 / 3 + (x - x.detach()) * wrong_by(x, 1.001) ** 2

    assert tw.gradcheck(function, tw.randn(3), order=2)
    with pytest.raises(tw.ThalwegError, match="wrong"):
        tw.gradcheck(Cubic(), tw.randn(3) + 5, rtol=1e-5, order=2)


def test_parameters_are_checked_and_named():
    module = Affine()
    before = module.weight.numpy() if not module.weight.requires_grad else module.weight.detach().numpy()
    assert tw.gradcheck(module, tw.randn(4, 3), order=2)
    with pytest.raises(tw.ThalwegError, match=r"parameter 'layer\.weight'\["):
        tw.gradcheck(Affine(1.001), tw.randn(4, 3), rtol=1e-5)
    np.testing.assert_array_equal(module.weight.detach().numpy(), before)
    assert module.weight.dtype == "float32"
    assert module.count.item() == 0


def test_random_numbers_and_buffers_are_replayed():
    tw.manual_seed(3)
    before = tw.Generator.get_state(tw.tensor_generator()) if hasattr(tw, "tensor_generator") else None
    assert tw.gradcheck(Affine(noise=True), tw.randn(4, 3))
    assert before is None or before


def test_the_users_random_numbers_go_on_as_if_nothing_had_happened():
    tw.manual_seed(3)
    module, x = Affine(noise=True), tw.randn(4, 3)
    tw.gradcheck(module, x)
    after_check = tw.rand(3).tolist()
    tw.manual_seed(3)
    _ = Affine(noise=True), tw.randn(4, 3)
    assert tw.rand(3).tolist() == after_check


def test_a_nan_is_a_failure():
    with pytest.raises(tw.ThalwegError, match="nan"):
        tw.gradcheck(lambda x: x.log(), tw.tensor([-1.0]))


def test_a_kink_is_named_as_a_possible_reason():
    with pytest.raises(tw.ThalwegError, match="kink"):
        tw.gradcheck(lambda x: x.abs(), tw.tensor([0.0]) + 1e-9)


@pytest.mark.parametrize(
    ("function", "inputs", "message"),
    [
        (lambda x: x, tw.tensor([1, 2]), "nothing to check"),
        (lambda x: x > 0, tw.ones(2), "no floating-point tensor"),
        (lambda x: x.float(), tw.ones(2), "float32 although"),
    ],
)
def test_what_cannot_be_checked_is_refused(function, inputs, message):
    with pytest.raises(tw.ThalwegError, match=message):
        tw.gradcheck(function, inputs)


def test_inputs_are_left_alone():
    x = tw.ones(3, requires_grad=True)
    tw.gradcheck(lambda x: x * 2, x)
    assert x.dtype == "float32"
    assert x.grad is None
    assert x.tolist() == [1, 1, 1]


def test_empty_inputs_are_all_right():
    assert tw.gradcheck(lambda x: x * 2, tw.zeros(0, 3))
