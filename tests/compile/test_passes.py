"""The passes keep a program's meaning and make it smaller.

In: small programs. Out: fewer nodes, legal graphs, equal values.
"""

from __future__ import annotations

import numpy as np

from thalweg.compile.passes import PASSES, run_passes
from thalweg.compile.reference import evaluate
from thalweg.dtype import float32
from thalweg.graph import make_input, show, toposort
from thalweg.ops import add, detach, exp, multiply, reshape
from thalweg.verify import verify


def names(outputs: list) -> list[str]:
    return [node.op.name for node in toposort(outputs)]


def test_detach_and_a_reshape_to_the_same_disappear() -> None:
    x = make_input((3,), float32)
    assert names(run_passes([reshape(detach(exp(x)), shape=(3,))])) == ["input", "exp"]


def test_common_subexpressions_become_one() -> None:
    x = make_input((3,), float32)
    assert names(run_passes([add(exp(x), exp(x))])) == ["input", "exp", "add"]


def test_different_inputs_are_never_shared() -> None:
    x, y = make_input((3,), float32), make_input((3,), float32)
    assert names(run_passes([add(exp(x), exp(y))])).count("exp") == 2


def test_each_pass_leaves_a_legal_graph_of_the_same_meaning() -> None:
    x = make_input((2, 3), float32)
    outputs = [multiply(add(exp(x), exp(detach(x))), x), exp(x)]
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    meant = evaluate(outputs, {x: array})
    for each in PASSES:
        outputs = each.run(outputs)
        verify(outputs)
        for a, b in zip(evaluate(outputs, {x: array}), meant, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_program_prints_one_line_a_node() -> None:
    x = make_input((2,), float32)
    assert show(run_passes([add(x, x)])).splitlines() == [
        "%0 = input() : float32[2]",
        "%1 = add(%0, %0) : float32[2]",
        "return %1",
    ]
