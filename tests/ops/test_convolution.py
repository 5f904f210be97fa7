"""Convolution: against the sum that defines it, against PyTorch, and its error messages."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.support.gradient_check import evaluate
from tests.support.sweep import sweep
from thalweg import ops
from thalweg.dtype import float32, float64, int64
from thalweg.errors import DTypeError, ShapeError
from thalweg.gradient import gradients
from thalweg.graph import make_input
from thalweg.ops.convolution import Form


def plain(x, w, form):
    """The definition, entry by entry: dilate, pad, slide."""
    spread = np.zeros((*x.shape[:2], *[(n - 1) * d + 1 if n else 0 for n, d in zip(x.shape[2:], form.input_dilation)]))
    spread[(..., *[slice(None, None, d) for d in form.input_dilation])] = x
    grown = [(max(0, low), max(0, high)) for low, high in form.padding]
    cut = [slice(max(0, -low), high if high < 0 else None) for low, high in form.padding]
    padded = np.pad(spread, [(0, 0), (0, 0), *grown])[(..., *cut)]
    need = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], form.window_dilation)]
    places = [max(0, (n - k) // s + 1) for n, k, s in zip(padded.shape[2:], need, form.stride)]
    per_group, batch = w.shape[0] // form.groups, x.shape[0] // form.batch_groups
    result = np.zeros((batch, w.shape[0], *places))
    for n, o, *place in np.ndindex(result.shape):
        group = o // per_group
        sample = n + (batch * group if form.batch_groups > 1 else 0)
        first = w.shape[1] * group if form.feature_groups > 1 else 0
        window = [slice(p * s, p * s + k, d) for p, s, k, d in zip(place, form.stride, need, form.window_dilation)]
        result[(n, o, *place)] = np.sum(padded[(sample, slice(first, first + w.shape[1]), *window)] * w[o])
    return result


def forms(dims):
    paddings = [(0, 0), (1, 2), (-1, 1), (2, -1)]
    for stride, padding, spread, window, groups in itertools.product(
        (1, 2, 3), paddings, (1, 2), (1, 2), ((1, 1), (2, 1), (1, 2))
    ):
        yield Form((stride,) * dims, (padding,) * dims, (spread,) * dims, (window,) * dims, *groups)


@pytest.mark.parametrize("dims", [1, 2])
def test_agrees_with_its_definition(dims):
    rng = np.random.default_rng(dims)
    for form in sweep(forms(dims), fraction=0.5):
        x = rng.normal(size=(2, 2 * form.feature_groups, *(5, 4)[:dims]))
        w = rng.normal(size=(4, 2, *(2, 3)[:dims]))
        inputs = [make_input(x.shape, float64), make_input(w.shape, float64)]
        node = form.apply(*inputs)
        (value,) = evaluate([node], dict(zip(inputs, (x, w), strict=True)))
        assert value.shape == node.shape
        np.testing.assert_allclose(value, plain(x, w, form), rtol=1e-12, atol=1e-12)


def test_the_chain_rule_is_made_of_convolutions_that_are_no_larger():
    """Closed under differentiation: the derivatives of any order are the same record, moved and reshaped."""
    form = Form((2,), ((1, 0),), (1,), (2,), feature_groups=2)
    x, w = make_input((2, 4, 9), float32), make_input((6, 2, 3), float32)
    y = form.apply(x, w)
    seed = make_input(y.shape, float32)
    first = gradients([y], [seed], [x, w])
    second = gradients(first, [make_input(each.shape, float32) for each in first], [x, w, seed])
    names = {node.op.name for node in itertools.chain.from_iterable(ops_of(each) for each in (*first, *second))}
    assert names <= {"input", "convolution", "permute", "reshape", "flip", "add"}


def ops_of(node):
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(current.inputs)


PEER = [
    (dims, *rest)
    for dims, *rest in itertools.product((1, 2, 3), (1, 2), (0, 1, 2), (1, 2), (1, 2), ("float32", "float64"))
]


@pytest.mark.peer
@pytest.mark.parametrize(
    ("dims", "stride", "padding", "dilation", "groups", "dtype"), sweep(PEER, fraction=0.3, seed=3)
)
def test_agrees_with_pytorch(dims, stride, padding, dilation, groups, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(dims)
    x = rng.normal(size=(2, 4, 6, 7, 5)[: dims + 2]).astype(dtype)
    w = rng.normal(size=(6, 4 // groups, 3, 2, 2)[: dims + 2]).astype(dtype)
    form = Form((stride,) * dims, ((padding, padding),) * dims, (1,) * dims, (dilation,) * dims, feature_groups=groups)
    inputs = [make_input(x.shape, float64 if dtype == "float64" else float32) for x in (x, w)]
    node = form.apply(*inputs)
    seed = make_input(node.shape, node.dtype)
    g = rng.normal(size=node.shape).astype(dtype)
    ours = evaluate([node, *gradients([node], [seed], inputs)], dict(zip([*inputs, seed], (x, w, g), strict=True)))
    tensors = [torch.tensor(each, requires_grad=True) for each in (x, w)]
    function = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[dims - 1]
    result = function(*tensors, stride=stride, padding=padding, dilation=dilation, groups=groups)
    result.backward(torch.tensor(g))
    theirs = [result.detach().numpy(), *[each.grad.numpy() for each in tensors]]
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert np.max(np.abs(a - b)) <= (1e-5 if dtype == "float32" else 1e-12) * np.max(np.abs(b))


def form1(**changes):
    attributes = {
        "stride": (1,), "padding": ((0, 0),), "input_dilation": (1,), "window_dilation": (1,), "feature_groups": 1,
        "batch_groups": 1,
    }  # fmt: skip
    return attributes | changes


@pytest.mark.parametrize(
    ("x", "w", "attributes", "message"),
    [
        ((2, 3), (4, 3), form1(), "differ in rank"),
        ((2, 3, 8), (4, 3, 3, 3), form1(), "differ in rank"),
        ((2, 3, 8), (4, 3, 3), form1(stride=(1, 1)), "stride does not fit"),
        ((2, 3, 8), (4, 3, 3), form1(stride=(0,)), "stride does not fit"),
        ((2, 3, 8), (4, 3, 3), form1(window_dilation=(0,)), "window_dilation does not fit"),
        ((2, 3, 8), (4, 3, 3), form1(padding=()), "padding does not fit"),
        ((2, 3, 8), (4, 2, 3), form1(), r"received: 3 channels\n  expected: 2 channels\n  where:    input \(2, 3, 8\)"),
        ((2, 3, 8), (4, 2, 3), form1(feature_groups=2), "4 channels .2 in each of 2 groups"),
        ((2, 4, 8), (3, 2, 3), form1(feature_groups=2), "divide evenly"),
        ((3, 2, 8), (4, 2, 3), form1(batch_groups=2), "divide evenly"),
        ((2, 4, 8), (4, 2, 3), form1(feature_groups=2, batch_groups=2), "not both"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(x, w, attributes, message):
    with pytest.raises(ShapeError, match=message):
        ops.convolution(make_input(x, float32), make_input(w, float32), **attributes)


def test_only_floating_point_dtypes():
    with pytest.raises(DTypeError, match="convolution"):
        ops.convolution(make_input((1, 1, 3), int64), make_input((1, 1, 2), int64), **form1())


def test_a_window_larger_than_the_input_finds_no_place():
    node = ops.convolution(make_input((1, 1, 2), float32), make_input((3, 1, 5), float32), **form1())
    assert node.shape == (1, 3, 0)
