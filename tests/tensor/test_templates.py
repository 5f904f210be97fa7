"""Expressions that come again are copied: the same nodes, but never more than the operands' forms decide.

In: functions called twice. Out: equal structures, equal values, and nothing kept of what rests on more than operands.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg.graph import Node, structure_key
from thalweg.tensor import arithmetic, templates
from thalweg.tensor.lazy import FIXED


@pytest.fixture(autouse=True)
def no_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_templates", {})


def x(*values: float, dtype: str = "float64") -> tw.Tensor:
    return tw.tensor(np.array(values or (1.0, -2.0, 0.0), dtype))


def structure(tensor: tw.Tensor) -> object:
    return structure_key([tensor.node])


@pytest.mark.parametrize("function", [
    lambda a, b: a + b, lambda a, b: a * 2.5, lambda a, b: 2 - a, lambda a, b: a**2, lambda a, b: a.relu(),
    lambda a, b: F.softmax(a, 0), lambda a, b: F.mse_loss(a, b), lambda a, b: a * a, lambda a, b: a.clamp(min=0),
    lambda a, b: F.layer_norm(a, (3,)), lambda a, b: a.unsqueeze(0) @ b.unsqueeze(1), lambda a, b: a.sum(0, True),
])  # fmt: skip
def test_the_second_call_gives_the_structure_of_the_first(function) -> None:
    first, second = function(x(), x(3.0, 4.0, 5.0)), function(x(1.0, 1.0, 2.0), x())
    assert structure(first) == structure(second)
    assert first.node is not second.node
    np.testing.assert_array_equal(function(x(), x(3.0, 4.0, 5.0)).numpy(), first.numpy())


def test_operands_that_are_one_node_are_told_from_two() -> None:
    a, b = x(), x(3.0, 4.0, 5.0)
    for _ in range(2):
        assert (a * b).tolist() == [3, -8, 0]
        assert (a * a).tolist() == [1, 4, 0]


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (1, True), (1, 1.0), (2, 2.0)])
def test_numbers_are_told_apart_by_type_and_sign(one, other) -> None:
    for number in (one, other, one, other):
        result = tw.tensor([1, 2]) * number
        assert result.dtype == ("float32" if isinstance(number, float) else "int64")
        expected = np.array([1.0, -2.0, 0.0]) * number
        np.testing.assert_array_equal(np.signbit((x() * number).numpy()), np.signbit(expected))


def test_every_draw_is_another() -> None:
    tw.manual_seed(0)
    drawn = [F.dropout(tw.ones(64), 0.5).tolist() for _ in range(4)]
    assert len({tuple(each) for each in drawn}) == 4


def test_what_rests_on_values_is_not_kept() -> None:
    data = x(1.0, 2.0, 3.0)
    for mask, expected in (([True, False, True], [1, 3]), ([False, True, False], [2])):
        assert data[tw.tensor(mask)].tolist() == expected
    for position, expected in ((0, 1), (-1, 3), (1, 2)):
        assert data.gather(0, tw.tensor([position]) % 3).tolist() == [expected]


def test_numbers_of_the_code_are_shared_and_keep_no_value() -> None:
    def constants(tensor: tw.Tensor) -> set[Node]:
        found, stack = set(), [tensor.node]
        while stack:
            node = stack.pop()
            found |= {node} if node.notes & FIXED else set()
            stack.extend(node.inputs)
        return found

    w = x().requires_grad_()
    first, second = w * 2.5, w * 2.5
    assert constants(first) == constants(second) != set()
    first.sum().item()  # its graph is kept with the values, for a backward pass that may come
    assert all(node.value is None for node in constants(first))


def test_an_error_comes_every_time() -> None:
    for _ in range(3):
        with pytest.raises(tw.ThalwegError, match="do not broadcast"):
            x() + x(1.0, 2.0)


def test_numbers_that_never_return_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_MOST_TEMPLATES", 10)
    data = x()
    for i in range(50):
        assert templates.instantiate(arithmetic.multiply, [data.node, i + 0.5]).op.name == "multiply"
    assert len(templates._templates) <= 10


def test_layers_keep_their_own_names() -> None:
    model = tw.nn.Sequential(tw.nn.Tanh(), tw.nn.Tanh())
    model(x())
    second = model(x()).node
    assert (second.inputs[0].origin, second.origin) == ("0", "1")
