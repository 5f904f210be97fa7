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

CHANNELS = ((1, 1, 1), (3, 5, 1), (16, 20, 1), (4, 6, 2), (6, 6, 6), (3, 9, 3), (17, 17, 17), (8, 4, 4))  # in, out, groups
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
