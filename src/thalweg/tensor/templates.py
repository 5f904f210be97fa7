"""Expressions that have come before: their nodes are made again without the rules that were asked the first time.

In: a function of nodes and its operands. Out: what the function gives. The second call with operands of the same forms
copies the nodes of the first: which ones they are depends on the forms alone, unless the function says otherwise by
what it made, and then nothing is kept. Nodes that rest on no operand, the numbers of the code, all copies share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from thalweg.dtype import DType
from thalweg.graph import Form, Node, input_leaf, next_serial, toposort
from thalweg.tensor.lazy import FIXED
from thalweg.tensor.modes import modes

F = TypeVar("F", bound=Callable[..., Any])
Steps = list[tuple[Form, tuple[int, ...]]]
Template = tuple[list[Node], Steps, int | tuple[int, ...]]

# By function and forms of the operands: nodes that all copies share, how to make the others, and the place of the
# result among operands, shared nodes and new nodes.
_templates: dict[Hashable, Template | None] = {}
_MOST_TEMPLATES = 4096
_NO_OPTIONS: Mapping[str, Any] = {}
_PLAIN = frozenset({str, DType, type(None)})
_NUMBERS = frozenset({bool, int, float})


def instantiate(function: Callable[..., Any], operands: Sequence[Any], options: Mapping[str, Any] = _NO_OPTIONS) -> Any:
    """`function(*operands, **options)`."""
    if modes.trace is not None:  # where a node comes from is of interest there, and time is not
        return function(*operands, **options)
    nodes = [each for each in operands if each.__class__ is Node]
    key = _key(function, operands, options, nodes)
    if key is None:
        return function(*operands, **options)
    template = _templates.get(key)
    if template is None:  # new, or known to rest on more than its operands
        return _first_time(key, function, operands, options, nodes)
    shared, steps, result = template
    nodes += shared
    for form, places in steps:
        nodes.append(Node(form, tuple([nodes[place] for place in places])))
    return nodes[result] if result.__class__ is int else tuple([nodes[place] for place in result])  # type: ignore[union-attr]


def templated(function: F) -> F:
    """The function, for expressions that are called as they are and not by way of `lift` or `apply`."""

    @functools.wraps(function)
    def again(*operands: Any, **options: Any) -> Any:
        return instantiate(function, operands, options)

    return again  # type: ignore[return-value]


def _key(
    function: Callable[..., Any], operands: Sequence[Any], options: Mapping[str, Any], nodes: Sequence[Node]
) -> Hashable:
    """What the expression depends on, or None if that cannot be said with certainty."""
    key: list[Hashable] = [function]
    for each in operands:
        kind = each.__class__
        if kind is Node:
            key.append(each.form.number if each.value is None else ~each.form.number)
        elif kind in _NUMBERS:
            key.append((kind, repr(each)))
        elif kind in _PLAIN or (kind is tuple and all(type(entry) is int for entry in each)):
            key.append((kind, each))
        else:
            return None
    for name, each in options.items():
        kind = each.__class__
        if kind in _NUMBERS:
            key.append((name, kind, repr(each)))
        elif kind in _PLAIN or (kind is tuple and all(type(entry) is int for entry in each)):
            key.append((name, each))
        else:
            return None
    if len(nodes) > 1 and len(set(nodes)) < len(nodes):
        key.append(tuple([nodes.index(each) for each in nodes]))
    return tuple(key)


def _first_time(
    key: Hashable, function: Callable[..., Any], operands: Sequence[Any], options: Mapping[str, Any], nodes: list[Node]
) -> Any:
    start = next_serial()
    result = function(*operands, **options)
    if key not in _templates:
        if len(_templates) >= _MOST_TEMPLATES:
            _templates.clear()
        _templates[key] = _template(result, nodes, start)
    return result


def _template(result: Any, operands: list[Node], start: int) -> Template | None:
    """None if the result rests on anything but the operands: the random generator, a value that was looked at."""
    results = result if result.__class__ is tuple else (result,)
    if any(each.__class__ is not Node for each in results):
        return None
    made = [node for node in toposort(results, is_leaf=set(operands).__contains__) if node not in operands]
    if any(_is_foreign(node, start) for node in made):
        return None
    moving = set(operands)
    for node in made:
        if not moving.isdisjoint(node.inputs):
            moving.add(node)
    shared = [node for node in made if node not in moving and node not in results]
    for node in shared:
        node.notes |= FIXED
    place = {node: index for index, node in reversed(list(enumerate([*operands, *shared])))}
    steps: Steps = []
    for node in made:
        if node not in place:
            place[node] = len(operands) + len(shared) + len(steps)
            steps.append((node.form, tuple([place[each] for each in node.inputs])))
    return shared, steps, tuple([place[each] for each in results]) if results is result else place[result]


def _is_foreign(node: Node, start: int) -> bool:
    """Whether the node is more than an operation of the expression on its operands and on numbers."""
    is_older = node.serial < start and not node.notes & FIXED
    return is_older or node.op is input_leaf or node.op.multiple or node.value is not None
