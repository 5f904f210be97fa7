"""`autograd.Function` gives what PyTorch's gives, on NumPy and compiled, to the second derivative."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import thalweg as tw
from thalweg.autograd.function import Function, once_differentiable
from thalweg.errors import ArgumentError, DTypeError, GradientError, ShapeError


class Fake(Function):
    """x^2 with the gradient 5 x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 5 * x


def point(*values: float) -> tw.Tensor:
    return tw.tensor(values or (0.5, 1.5), dtype=tw.float64, requires_grad=True)


def two_results(library):
    class Two(library.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, factor):
            product, power = x * y * factor, (x + y).exp()
            ctx.save_for_backward(x, y, power)
            ctx.factor = factor
            return product, power

        @staticmethod
        def backward(ctx, first, second):
            x, y, power = ctx.saved_tensors
            by_x = first * y * ctx.factor + second * power * 2
            return by_x, first * x * ctx.factor + second * power, None

    return Two


def derivatives(library, wrap):
    two = two_results(library)
    x, y = (library.tensor(each, dtype=library.float64, requires_grad=True) for each in ([0.5, 1.5], [0.3, -1.5]))

    def both(x, y):
        product, power = two.apply(x, y, 3.0)
        total = (product * product).sum() + (power * x).sum()
        by_x, by_y = library.autograd.grad(total, (x, y), create_graph=True)
        second = library.autograd.grad((by_x * by_x).sum() + (by_y * x).sum(), (x, y))
        return by_x.detach(), by_y.detach(), *second

    return [each.numpy() for each in wrap(both)(x, y)]


@pytest.mark.peer
def test_two_derivatives_are_those_of_pytorch(through):
    torch = pytest.importorskip("torch")
    for mine, theirs in zip(derivatives(tw, through), derivatives(torch, lambda f: f), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_the_gradient_is_the_one_that_was_written(through):
    x = point()
    assert through(lambda: tw.grad(Fake.apply(x).sum(), x)[0])().tolist() == [2.5, 7.5]


def test_backward_is_asked_in_every_pass():
    calls = []

    class Counting(Fake):
        @staticmethod
        def backward(ctx, grad):
            calls.append(grad)
            return grad

    x = point(*range(40))
    for _ in range(60):
        (Counting.apply(x).exp().sin().cos().tanh() * x).sum().backward()
        x.grad.tolist()
    assert len(calls) == 60


def test_in_the_body_of_a_scan(through):
    x = tw.tensor(1.5, requires_grad=True)
    step = through(lambda: tw.grad(tw.scan(lambda h, e: (Fake.apply(h) * e, h), x, tw.tensor([1.0, 2.0]))[0], x)[0])
    assert step().item() == 5 * 1.5 * 5 * 2.25 * 2


def test_two_functions_of_one_structure_in_scans_keep_their_own_gradients():
    def times(factor):
        class Times(Fake):
            @staticmethod
            def backward(ctx, grad):
                return grad * factor

        return Times

    def derivative(function):
        x = tw.tensor(1.0, requires_grad=True)
        return tw.grad(tw.scan(lambda h, _: (function.apply(h), h), x, length=2)[0], x)[0].item()

    assert (derivative(times(2)), derivative(times(3))) == (4.0, 9.0)


def test_setup_context_beside_a_forward_without_ctx():
    class Modern(Function):
        @staticmethod
        def forward(x, n):
            return x**n

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])
            ctx.n = inputs[1]

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.n * ctx.saved_tensors[0], None

    x = point()
    Modern.apply(x, 3).sum().backward()
    assert x.grad.tolist() == [1.5, 4.5]


def test_needs_input_grad_says_which_gradients_are_wanted():
    seen = []

    class Both(Function):
        @staticmethod
        def forward(ctx, x, y, z):
            return x + y

        @staticmethod
        def backward(ctx, grad):
            seen.append(ctx.needs_input_grad)
            return grad, grad, None

    Both.apply(point(), tw.ones(2, dtype=tw.float64), "z").sum().backward()
    assert seen == [(True, False, False)]


def test_results_that_are_marked_or_whole_require_no_gradient():
    class Several(Function):
        @staticmethod
        def forward(ctx, x):
            rounded = x.round()
            ctx.mark_non_differentiable(rounded)
            return x * 2, rounded, x.argmax()

        @staticmethod
        def backward(ctx, grad, by_rounded, by_place):
            return grad + by_rounded

    x = point()
    results = Several.apply(x)
    results[0].sum().backward()
    assert [each.requires_grad for each in results] == [True, False, False]
    assert x.grad.tolist() == [1.0, 1.0]


def test_an_unused_result_hands_on_zeros_or_none():
    given = []

    def function(materializes):
        class Pair(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(materializes)
                return x * 1, x * 2

            @staticmethod
            def backward(ctx, first, second):
                given.append(None if second is None else second.tolist())
                return first

        return Pair

    for materializes in (True, False):
        function(materializes).apply(point())[0].sum().backward()
    assert given == [[0.0, 0.0], None]


def test_a_gradient_of_a_broadcast_argument_is_summed():
    class Add(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, grad):
            return grad, grad

    x, y = point(), point(1.0)
    Add.apply(x, y).sum().backward()
    assert y.grad.tolist() == [2.0]


def test_saved_tensors_have_the_values_that_were_saved():
    x = tw.ones(2, requires_grad=True) * 3
    y = Fake.apply(x)
    leafs = x
    x.mul_(100)
    assert tw.grad(y.sum(), leafs, allow_unused=True) == (None,)
    z = tw.tensor(2.0, requires_grad=True)
    held = z * 1
    result = Fake.apply(held)
    held.zero_()
    result.backward()
    assert z.grad.item() == 10.0


def test_without_recording_there_is_no_graph():
    with tw.no_grad():
        assert not Fake.apply(point()).requires_grad
    assert not Fake.apply(tw.ones(2)).requires_grad


def test_once_differentiable_refuses_a_second_derivative():
    class Once(Fake):
        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            return grad * 5

    x = point()
    (first,) = tw.grad(Once.apply(x).sum(), x, create_graph=True)
    assert first.tolist() == [5.0, 5.0]
    with pytest.raises(GradientError, match="differentiated once"):
        first.sum().backward()


def test_a_graph_of_functions_is_freed_without_the_garbage_collector():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved_tensors[0]

    gc.collect()
    gc.disable()
    try:
        x = point()
        y = Exp.apply(x * 2)
        node = weakref.ref(y.node)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("answer", "error", "part"),
    [
        (lambda g: (g, g), ArgumentError, "wrong number"),
        (lambda g: 1.0, DTypeError, "returns tensors"),
        (lambda g: tw.ones(3), ShapeError, "another shape"),
    ],
)
def test_wrong_gradients_are_refused(answer, error, part):
    class Wrong(Fake):
        @staticmethod
        def backward(ctx, grad):
            return answer(grad)

    with pytest.raises(error, match=part):
        Wrong.apply(point()).sum().backward()


def test_what_is_missing_is_named():
    with pytest.raises(ArgumentError, match="without forward"):
        Function.apply(point())
    with pytest.raises(ArgumentError, match=r"Fake\.apply"):
        Fake()
