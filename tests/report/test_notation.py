"""Formulas and columns of an explanation: what a reader takes them to mean is what was computed.

In: expressions on tensors. Out: their formulas, which Python evaluates to the same number; aligned tables.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.report.columns import align_points, number, show, summary, table
from thalweg.report.notation import formula, shorten, unique

A, B, C = (tw.tensor(value, dtype=tw.float64, requires_grad=True) for value in (2.0, 3.0, 5.0))
NAMES = {A.node: "a", B.node: "b", C.node: "c"}

EXPRESSIONS = {
    "a - (b - c)": lambda: A - (B - C),
    "a - b - c": lambda: A - B - C,
    "a / (b * c)": lambda: A / (B * C),
    "a / b / c": lambda: A / B / C,
    "a / (b / c)": lambda: A / (B / C),
    "(a + b) * c": lambda: (A + B) * C,
    "a * b + c": lambda: A * B + C,
    "a * (b * c)": lambda: A * (B * C),
    "-(a + b)": lambda: -(A + B),
    "-a * b": lambda: -A * B,
    "a - -b": lambda: A - (-B),
    "a * -3": lambda: A * -3,
}


@pytest.mark.parametrize(("text", "make"), EXPRESSIONS.items())
def test_a_formula_means_what_was_computed(text, make):
    node = make().node
    written = formula(node, NAMES)
    values = {"a": 2.0, "b": 3.0, "c": 5.0}
    assert eval(written, values) == make().item()
    assert eval(text, values) == make().item()


def test_products_of_matrices_and_functions_read_as_such():
    x, w = tw.ones(2, 3), tw.ones(4, 3)
    names = {x.node: "x", w.node: "w"}
    assert formula((x @ w.T).node, names) == "x @ w.T"
    assert formula(tw.relu(x).node, names) == "where(x <= 0, 0, x)"
    assert formula(x.sum(1).node.inputs[0], names) == "sum(x, axes=(1,))"


def test_a_name_that_is_a_formula_is_put_in_parentheses():
    total = (A + B).node
    assert formula((tw.Tensor._result(total) * C).node, {total: "a + b", C.node: "c"}) == "(a + b) * c"


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (0.0, "float64", "0"),
        (-0.0, "float32", "0"),
        (1e-9, "float64", "1.0000e-09"),
        (123456789.0, "float64", "1.2346e+08"),
        (-0.25, "float64", "-0.25"),
        (float("nan"), "float64", "nan"),
        (float("-inf"), "float32", "-inf"),
        (100.0, "float32", "100"),
        (True, "bool", "True"),
        (7, "int64", "7"),
    ],
)
def test_numbers_are_short_and_exact_enough(value, dtype, text):
    assert number(value, dtype) == text


def test_arrays_are_written_out_or_summed_up():
    assert show(np.array([1.0, 2.5])) == "[1, 2.5]"
    assert show(np.ones(10)) == "all 1"
    assert show(None) == ""
    assert summary(np.zeros((0, 3))) == "empty"
    assert "rms" not in summary(np.arange(9))


def test_decimal_points_stand_below_one_another():
    cells = align_points(["1", "-20.5", "", "0.25", "1.0000e-09", "[1, 2]", "nan"])
    points = [cell.index(".") for cell in cells if "." in cell]
    assert len(set(points)) == 1
    assert cells[0].index("1") == points[0] - 1


def test_a_table_leaves_out_empty_columns():
    assert table(("name", "shape", "value"), [("a", "", "1"), ("b", "", "2")]) == [
        "  name  value",
        "  a     1",
        "  b     2",
    ]


def test_names_are_kept_apart_and_short():
    assert unique("w", {"w", "w_2"}) == "w_3"
    assert len(shorten("x" * 100, 20)) == 20
