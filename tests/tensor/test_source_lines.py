"""While a step is traced, every node notes the line of the user's code that it comes from; untraced code pays nothing.

In: compiled steps of a few lines. Out: the file and line of each operation, for backward operations those of the
forward operation whose chain rule made them, through every pass of the compiler.
"""

from __future__ import annotations

import sys

import numpy as np

import thalweg as tw
from thalweg import nn
from thalweg.compile.executable import layout_of
from thalweg.graph import Node, Origin, show, toposort


def line_here(offset: int = 0) -> str:
    frame = sys._getframe(1)
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset}"


def program_of(step: object) -> object:
    (compiled,) = step._programs.values()  # type: ignore[attr-defined]
    return compiled.program


def computed(outputs: list[Node]) -> list[Node]:
    return [node for node in toposort(outputs) if node.op.kind != "leaf"]


def test_each_operation_knows_its_line() -> None:
    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        y = tw.exp(x)
        return tw.sin(y)

    line = line_here(-3)
    step(tw.ones(4, 11))
    lines = {node.op.name: node.origin.line for node in computed(program_of(step).outputs)}  # type: ignore[union-attr]
    assert lines["exp"] == line
    assert lines["sin"] == line_here(-6)


def test_backward_inherits_the_line_and_names_the_rule() -> None:
    w = tw.tensor(np.ones((3, 5), np.float32), requires_grad=True)

    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        loss = tw.tanh(x * w).sum()
        w.grad = None
        loss.backward()
        return w.grad

    line = line_here(-5)
    step(tw.ones(3, 5))
    nodes = computed(program_of(step).outputs)
    derived = [node for node in nodes if isinstance(node.origin, Origin) and node.origin.rule]
    assert {node.origin.rule for node in derived} >= {"tanh", "multiply"}
    assert {node.origin.line for node in derived} == {line}
    assert "# " in show(nodes[-1:])
    assert line in show(nodes[-1:])


def test_a_layer_has_its_path_and_the_line_of_the_call() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    step = tw.compile(lambda x: model(x))
    line = line_here(-1)
    step(tw.ones(2, 3))
    origins = {(str(node.origin), node.origin.line) for node in computed(program_of(step).outputs)}
    assert origins == {("0", line), ("1", line)}


def test_a_module_of_the_user_gives_the_line_in_its_forward() -> None:
    class Square(nn.Module):
        def forward(self, x: tw.Tensor) -> tw.Tensor:
            return x * x

    model, line = Square(), line_here(-2)
    step = tw.compile(lambda x: model(x).sum())
    step(tw.ones(2, 13))
    assert {node.origin.line for node in computed(program_of(step).outputs) if node.op.name == "multiply"} == {line}


def test_lines_survive_the_passes() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = tw.optim.SGD(model.parameters(), lr=0.1)

    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.softmax(model(x), 1).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    step(tw.ones(7, 6))
    layout = layout_of(program_of(step))  # type: ignore[arg-type]
    nodes = [node for kernel in layout.kernels for node in kernel.nodes if node.op.kind != "leaf"]
    without = [node for node in nodes if not isinstance(node.origin, Origin)]
    assert len(without) <= len(nodes) // 20, [f"{node} {node.origin}" for node in without]


def test_code_that_is_not_traced_notes_no_lines() -> None:
    x = tw.exp(tw.ones(3))
    assert type(x.node.origin) is str
