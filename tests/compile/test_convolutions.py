"""Convolutions compiled: values, both gradients and second order, against NumPy and against PyTorch.

In: a table of configurations in one, two and three dimensions: strides, asymmetric and negative padding, dilation of
window and input, groups, depthwise with a multiplier, transposed. Out: agreement; and what each becomes.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.support.compiled import assert_all_agree, assert_compiled_equals_numpy, cotangents, run_both, with_gradients
from tests.support.sweep import sweep
from thalweg import ops
from thalweg.compile.passes import run_passes
from thalweg.compile.target import LEVELS, compiling_for
from thalweg.dtype import DType, float32, float64
from thalweg.gradient import gradients
from thalweg.graph import Node, Shape, make_input, toposort
from thalweg.ops.convolution import Form, exchanged

CHANNELS = (
    (1, 1, 1),
    (3, 5, 1),
    (16, 20, 1),
    (4, 6, 2),
    (6, 6, 6),
    (3, 9, 3),
    (17, 17, 17),
    (8, 4, 4),
)  # in, out, groups
PADDINGS = ((0, 0), (1, 1), (2, 0), (0, 3), (-1, 1), (1, -2), (-1, -1), (4, 4))


@dataclass(frozen=True)
class Case:
    """A convolution by its shapes and its form."""

    x: Shape
    w: Shape
    form: Form

    def __str__(self) -> str:
        form = self.form
        marks = f"s{form.stride}p{form.padding}d{form.window_dilation}i{form.input_dilation}"
        return f"{self.x}*{self.w}{marks}g{form.feature_groups}b{form.batch_groups}".replace(" ", "")

    def nodes(self, dtype: DType) -> tuple[list[Node], Node]:
        inputs = [make_input(self.x, dtype), make_input(self.w, dtype)]
        return inputs, self.form.apply(*inputs)


def drawn(count: int, dims: int, seed: int) -> list[Case]:
    """So many cases with places for their windows, the same ones everywhere."""
    choose = random.Random(seed)

    def each(choices: Any) -> tuple[Any, ...]:
        one = choose.choice(choices)
        return tuple(one if choose.random() < 0.5 else choose.choice(choices) for _ in range(dims))

    cases: dict[Case, None] = {}
    while len(cases) < count:
        inside, outside, groups = choose.choice(CHANNELS)
        form = Form(
            each((1, 1, 2, 3)), each(PADDINGS), each((1, 1, 1, 1, 2, 3)), each((1, 1, 2)),
            *((groups, 1) if groups == 1 or choose.random() < 0.8 else (1, groups)),
        )  # fmt: skip
        batch, channels = (2 * groups, inside // groups) if form.batch_groups > 1 else (2, inside)
        x = (batch, channels, *each((1, 4, 5, 7, 9) if dims < 3 else (2, 3, 4)))
        w = (outside, inside // groups, *each((1, 2, 3, 4) if dims < 3 else (1, 2, 3)))
        try:
            _, node = (case := Case(x, w, form)).nodes(float32)
        except ValueError:
            continue
        if node.size:
            cases[case] = None
    return list(cases)


def line(*changes: Any, **named: Any) -> Form:
    plain = {"stride": (1,), "padding": ((0, 0),), "input_dilation": (1,), "window_dilation": (1,)}
    return Form(**(plain | named))


# Cases that were wrong once, or are the ends of what is possible.
CORNERS = [
    Case((2, 3, 3), (4, 3, 3), line(stride=(3,), input_dilation=(2,))),  # a window as large as x, over its zeros
    Case((2, 3, 4), (4, 3, 1), line(padding=((-5, 3),))),  # all entries cut off, and places left
    Case((2, 3, 4), (4, 3, 2), line(padding=((4, -5),))),
    Case((2, 3, 4), (4, 3, 2), line(padding=((-5, 9),), input_dilation=(2,))),
    Case((2, 3, 4), (4, 3, 2), line(padding=((9, 9),), input_dilation=(3,))),  # more padding than window
    Case((2, 3, 1), (4, 3, 2), line(padding=((5, 5),), stride=(7,))),  # no window sees an entry
    Case((2, 0, 4), (4, 0, 2), line()),
    Case((0, 3, 4), (4, 3, 2), line()),
    Case((2, 3, 4), (0, 3, 2), line()),
    Case((2, 3, 4), (4, 3, 0), line()),
    Case((2, 3, 2), (4, 3, 5), line()),
]
CASES = [*drawn(140, 1, 1), *drawn(160, 2, 2), *drawn(40, 3, 3)]


def check(case: Case, dtype: DType, tolerance: float, order: int = 2) -> None:
    inputs, node = case.nodes(dtype)
    seeds, outputs, names = with_gradients([node], inputs, order)
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape).astype(dtype.numpy) for each in inputs]
    feeds = [*arrays, *cotangents(seeds, generator)]
    assert_compiled_equals_numpy([*inputs, *seeds], outputs, feeds, tolerance=tolerance, what=names)


def test_the_cases_are_many() -> None:
    assert len(set(CASES)) >= 300


@pytest.mark.parametrize("case", [*CORNERS, *sweep(CASES, seed=1)], ids=str)
def test_values_and_two_orders_of_gradients_are_those_of_numpy(case: Case) -> None:
    check(case, float64, 1e-12)


@pytest.mark.parametrize("case", sweep(CASES, fraction=0.04, seed=2), ids=str)
def test_in_single_precision_too(case: Case) -> None:
    check(case, float32, 2e-5, order=1)


@pytest.mark.parametrize("target", ["x86-64", *LEVELS])
def test_on_every_vector_unit(target: str) -> None:
    with compiling_for(target):
        for case in CASES[::60]:
            check(case, float32, 2e-5, order=1)


def test_data_that_are_not_finite_meet_the_zeros_of_the_padding() -> None:
    """Padding is zeros that meet weights, not places that are left out: as in the definition, 0 times inf is NaN."""
    x, w = (make_input(shape, float32) for shape in [(1, 1, 4), (1, 1, 3)])
    arrays = [np.array([[[1, np.inf, 2, 3]]], np.float32), np.array([[[1, np.nan, 0]]], np.float32)]
    for form in (line(padding=((1, 1),)), line(stride=(2,), padding=((0, 1),))):
        found, meant = run_both([x, w], [form.apply(x, w)], arrays)
        assert_all_agree(found, meant)


# --- beside PyTorch --------------------------------------------------------------------------------------------------


def symmetric() -> list[Case]:
    """Cases that PyTorch's functions can express: equal padding at both ends, nothing of the batch or dilated."""
    found = []
    for dims, (inside, outside, groups), stride, padding, dilation, kernel in itertools.product(
        (1, 2, 3), CHANNELS, (1, 2, 3), (0, 1, 2), (1, 2), (1, 2, 3)
    ):
        form = Form((stride,) * dims, ((padding, padding),) * dims, (1,) * dims, (dilation,) * dims, groups)
        shape = (2, inside, *(7, 6, 5)[:dims])
        found.append(Case(shape, (outside, inside // groups, *(kernel, min(kernel, 2), 1)[:dims]), form))
    return found


@pytest.mark.peer
@pytest.mark.parametrize("case", sweep(symmetric(), fraction=0.06, seed=4), ids=str)
def test_values_and_gradients_are_those_of_pytorch(case: Case) -> None:
    import torch

    inputs, node = case.nodes(float64)
    generator = np.random.default_rng(0)
    x, w, g = (generator.normal(size=each.shape) for each in (*inputs, node))
    seed = make_input(node.shape, float64)
    outputs = [node, *[each for each in gradients([node], [seed], inputs) if each is not None]]
    found, _ = run_both([*inputs, seed], outputs, [x, w, g])
    tensors = [torch.tensor(each, requires_grad=True) for each in (x, w)]
    convolve = getattr(torch.nn.functional, f"conv{len(case.x) - 2}d")
    padding = tuple(low for low, _ in case.form.padding)
    y = convolve(*tensors, None, case.form.stride, padding, case.form.window_dilation, case.form.feature_groups)
    y.backward(torch.tensor(g))
    assert_all_agree(found, [y.detach().numpy(), *[each.grad.numpy() for each in tensors]], 1e-12)


ENTRIES, WINDOW = (4, 3, 2), (3, 2, 3)


def transposed() -> list[tuple[int, ...]]:
    """Dimensions, stride, padding, output padding, dilation and groups that PyTorch takes."""

    def has_places(dims: int, stride: int, padding: int, more: int, dilation: int) -> bool:
        sizes = zip(ENTRIES[:dims], WINDOW[:dims], strict=True)
        return all((n - 1) * stride - 2 * padding + dilation * (k - 1) + more + 1 > 0 for n, k in sizes)

    every = itertools.product((1, 2, 3), (1, 2, 3), (0, 1, 2), (0, 1), (1, 2), (1, 2, 4))
    return [each for each in every if each[3] < max(each[1], each[4]) and has_places(*each[:5])]


@pytest.mark.peer
@pytest.mark.parametrize(
    ("dims", "stride", "padding", "more", "dilation", "groups"), sweep(transposed(), fraction=0.1, seed=5)
)
def test_transposed_ones_are_those_of_pytorch(
    dims: int, stride: int, padding: int, more: int, dilation: int, groups: int
) -> None:
    import torch

    x = make_input((2, 4, *ENTRIES[:dims]), float64)
    w = make_input((4, 6 // groups if groups < 4 else 2, *WINDOW[:dims]), float64)
    spans = [dilation * (extent - 1) for extent in w.shape[2:]]
    ends = tuple((span - padding, span - padding + more) for span in spans)
    form = Form((1,) * dims, ends, (stride,) * dims, (dilation,) * dims, groups)
    node = form.apply(x, exchanged(w, groups))
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=each.shape) for each in (x, w, node)]
    seed = make_input(node.shape, float64)
    outputs = [node, *[each for each in gradients([node], [seed], [x, w]) if each is not None]]
    found, _ = run_both([x, w, seed], outputs, arrays)
    tensors = [torch.tensor(each, requires_grad=True) for each in arrays[:2]]
    convolve = getattr(torch.nn.functional, f"conv_transpose{dims}d")
    y = convolve(*tensors, None, stride, padding, more, groups, dilation)
    y.backward(torch.tensor(arrays[2]))
    assert_all_agree(found, [y.detach().numpy(), *[each.grad.numpy() for each in tensors]], 1e-12)


# --- what they become ------------------------------------------------------------------------------------------------


def names_of(case: Case, order: int = 0) -> list[str]:
    inputs, node = case.nodes(float32)
    _, outputs, _ = with_gradients([node], inputs, order)
    return [each.op.name for each in toposort(run_passes(outputs))]


def plane(**changes: Any) -> Form:
    plain = {"stride": (1, 1), "padding": ((1, 1),) * 2, "input_dilation": (1, 1), "window_dilation": (1, 1)}
    return Form(**(plain | changes))


IMAGES, WEIGHTS = (4, 16, 9, 8), (24, 16, 3, 3)


def test_no_convolution_is_left_and_no_window_is_copied() -> None:
    for form in (plane(), plane(stride=(2, 2)), plane(window_dilation=(2, 1)), plane(input_dilation=(2, 2))):
        case = Case(IMAGES, WEIGHTS, form)
        inputs, node = case.nodes(float32)
        _, outputs, _ = with_gradients([node], inputs, 1)
        nodes = toposort(run_passes(outputs))
        assert not any(each.op.name == "convolution" for each in nodes)
        assert max(each.size for each in nodes) < 6 * max(each.size for each in (*inputs, *outputs))


def test_a_pointwise_convolution_with_a_large_weight_is_matrix_products_and_so_are_its_gradients() -> None:
    names = names_of(Case((4, 256, 6, 5), (512, 256, 1, 1), plane(padding=((0, 0),) * 2)), 1)
    assert names.count("matmul") == 3
    assert "window_product" not in names


def test_a_pointwise_convolution_with_a_small_weight_goes_sample_by_sample() -> None:
    """Only the gradient of the weight, a sum over all samples, is a matrix product."""
    names = names_of(Case(IMAGES, (24, 16, 1, 1), plane(padding=((0, 0),) * 2)), 1)
    assert (names.count("window_product"), names.count("matmul")) == (2, 1)


def test_a_pointwise_convolution_of_single_places_is_a_matrix_product() -> None:
    names = names_of(Case((4, 16, 1, 1), (24, 16, 1, 1), plane(padding=((0, 0),) * 2)), 1)
    assert "window_product" not in names


def test_a_plain_convolution_is_three_window_products() -> None:
    names = names_of(Case(IMAGES, WEIGHTS, plane()), 1)
    assert (names.count("window_product"), names.count("matmul")) == (3, 0)


def test_zeros_between_entries_become_smaller_products() -> None:
    """The gradient of a stride of 2 by 2 is four products without zeros, not one with three quarters of them."""
    names = names_of(Case(IMAGES, WEIGHTS, plane(input_dilation=(2, 2))))
    assert names.count("window_product") == 4


def test_depthwise_ones_have_their_groups_side_by_side() -> None:
    case = Case((2, 32, 8, 8), (32, 1, 3, 3), plane(feature_groups=32))
    _, node = case.nodes(float32)
    (product,) = [each for each in toposort(run_passes([node])) if each.op is ops.window_product]
    assert product.shape[-1] == 32


@pytest.mark.parametrize(
    ("x", "w", "parts"),
    [
        ((32, 4, 24, 24), (8, 4, 3, 3), [32]),
        ((64, 32, 16, 16), (64, 32, 3, 3), [16]),
        ((64, 64, 10, 10), (64, 64, 3, 3), [4]),  # sixteen would come to more than what they are made of
        ((4, 16, 66, 66), (16, 16, 3, 3), [4]),  # a sample in each
    ],
    ids=str,
)
def test_the_gradient_of_a_weight_is_made_in_parts(x: Shape, w: Shape, parts: list[int]) -> None:
    """Threads share them, and each reads its own part of the batch."""
    case = Case(x, w, plane())
    inputs, node = case.nodes(float32)
    seed = make_input(node.shape, float32)
    (by_weight,) = gradients([node], [seed], inputs[1:])
    assert by_weight is not None
    products = [each for each in toposort(run_passes([by_weight])) if each.op is ops.window_product]
    assert [each.shape[0] for each in products if each.attributes["lead"]] == parts
