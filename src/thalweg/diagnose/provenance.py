"""Where a NaN or an infinity was born: the first operation that made one, what it received, its layer and source line.

In: a training step, compiled or not, and the arguments with which it goes wrong, while its weights are still those from
before it. Out: a `Birth`, or None where everything is finite. The step is traced and evaluated operation by operation;
nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.compile.reference import run_node
from thalweg.diagnose.finding import Evidence, Finding
from thalweg.graph import Node, Origin, describe, toposort
from thalweg.nn.module import Module
from thalweg.ops.rules import known_number
from thalweg.tensor import Tensor
from thalweg.tensor import compile as compile_step
from thalweg.tensor.trace import Step
from thalweg.tensor.warm import Compiled, Output

Values = Mapping[Node, Any]

# What is to be said about an operation whose inputs were finite; `low` and `high` are the range of the last input.
_CAUSES: dict[str, str] = {
    "log": "the logarithm of a number that is not above 0",
    "log1p": "the logarithm of 1 + x with an x that is not above -1",
    "divide": "a division by 0, or by a number too small for the quotient",
    "sqrt": "the square root of a negative number",
    "exp": "an exponential too large for the number format",
    "expm1": "an exponential too large for the number format",
    "power": "a power that is not defined, or too large for the number format",
    "multiply": "a product too large for the number format",
    "chain_product": "a local derivative that is not finite, or a product of the chain rule that is too large",
    "add": "a sum too large for the number format",
    "subtract": "a difference too large for the number format",
    "sum": "a sum too large for the number format",
    "matmul": "a matrix product too large for the number format",
    "cast": "a number too large for the narrower number format",
}


@dataclass(frozen=True)
class Received:
    """One input of the operation: what made it, and the range of its values."""

    name: str
    low: float
    high: float
    finite_share: float

    def __str__(self) -> str:
        share = "" if self.finite_share == 1.0 else f", {1 - self.finite_share:.1%} not finite"
        return f"{self.name} in [{self.low:.4g}, {self.high:.4g}]{share}"


@dataclass(frozen=True)
class Birth:
    """The first value that is not finite.

    Attributes:
        operation: the operation that made it, or ``"input"`` where it came in with the data or the weights.
        value: ``nan``, ``inf`` or ``-inf``; the first at `position` of a result of `shape`.
        layer: the path of the module whose forward pass it belongs to; empty outside any module.
        line: the line of the user's code, as ``file:line``; empty where it is not known.
        rule: the operation whose chain rule it belongs to, in the backward pass; empty in the forward pass.
        inputs: what it received.
        source: of an input, the name of the parameter, or ``argument 0``, ...
    """

    operation: str
    value: float
    position: tuple[int, ...]
    shape: str
    layer: str = ""
    line: str = ""
    rule: str = ""
    inputs: tuple[Received, ...] = ()
    source: str = ""

    def __str__(self) -> str:
        if self.operation == "input":
            return f"{self.source} holds {self.value} at position {self.position}"
        where = "".join(f", {each}" for each in (self.layer and f"layer {self.layer}", self.line) if each)
        of_rule = f" in the chain rule of {self.rule}" if self.rule else ""
        given = "; ".join(map(str, self.inputs))
        return f"{self.operation}{of_rule} made the first {self.value} at position {self.position} from {given}{where}"

    @property
    def cause(self) -> str:
        """What happened, in a few words."""
        if self.operation == "input":
            return f"{self.source} is not finite"
        if any(each.finite_share < 1.0 for each in self.inputs):
            return "an infinity that was written down (a mask, say) reached this operation"
        return _CAUSES.get(self.operation, "a value outside what the operation is defined for")

    def to_finding(self, step: int | None = None, epoch: int | None = None) -> Finding:
        """The same as a finding of the problem `non_finite`."""
        ranges = [
            Evidence(f"{'smallest' if index == 0 else 'largest'} {each.name} that {self.operation} received", number)
            for each in self.inputs
            for index, number in enumerate((each.low, each.high))
        ]
        evidence = (Evidence(f"first value of {self.source or self.operation}", self.value), *ranges)
        return Finding(
            "non_finite", self.layer or None, self.line or None, step, epoch, evidence, f"{self}: {self.cause}."
        )


def provenance(step: Callable[..., Any], *args: Any, model: Module | None = None) -> Birth | None:
    """The first operation of a step that makes a NaN or an infinity which reaches its loss, gradients or new weights.

    Args:
        step: the function, compiled or not; it is traced, so its Python runs once, but no weight changes.
        args: its arguments.
        model: to call parameters by their names.

    >>> import thalweg as tw
    >>> def step(x):
    ...     return (x - 1.0).log().sum()
    >>> birth = provenance(step, tw.tensor([3.0, 1.0]))
    >>> birth.operation, birth.value, birth.position
    ('log', -inf, (1,))
    """
    traced = compile_step(step.function if isinstance(step, Step) else step, keep_gradients=True)
    compiled, arrays = traced.traced(*args)
    names = {} if model is None else {id(each): name for name, each in model.named_parameters()}
    sources = dict(zip(compiled.program.inputs, [_name(each, names) for each in compiled.sources], strict=True))
    values: dict[Node, Any] = dict(zip(compiled.program.inputs, arrays, strict=True))
    with np.errstate(all="ignore"):
        for root in _roots(compiled):
            _evaluate(root, values)
            if _is_bad(values[root]):
                return _birth(_origin(root, values), values, sources)
    return None


def _name(source: Any, names: Mapping[int, str]) -> str:
    if isinstance(source, int):
        return f"argument {source}"
    return names.get(id(source), "a tensor of the step" if isinstance(source, Tensor) else "an array of the step")


def _roots(compiled: Compiled) -> list[Node]:
    """The loss, then gradients, then everything that is written; other results may well hold a mask's infinity."""
    first = next((each.index for each in compiled.returned if isinstance(each, Output)), None)
    gradients = [value.index for _, value in compiled.gradients if isinstance(value, Output)]
    places = [*([] if first is None else [first]), *gradients, *(index for _, index in compiled.written)]
    return [compiled.program.outputs[place] for place in places]


def _evaluate(root: Node, values: dict[Node, Any]) -> None:
    for node in toposort([root], is_leaf=values.__contains__):
        if node not in values:
            given = [values[each] for each in node.inputs]
            values[node] = node.value if node.value is not None else run_node(node, given)


def _is_bad(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return any(part.dtype.kind == "f" and not np.isfinite(part).all() for part in map(np.asarray, parts))


def _origin(root: Node, values: Values) -> Node:
    """Of the operations behind a bad value that made one from finite inputs, the first in the order of the step.

    An infinity that stands in the program (a mask) is not followed, unless nothing else explains the value.
    """
    births, stack, seen = list[Node](), [root], {root}
    while stack:
        node = stack.pop()
        behind = [each for each in node.inputs if _is_bad(values[each]) and known_number(each) is None]
        if not behind:
            births.append(node)
        for each in behind:
            if each not in seen:
                seen.add(each)
                stack.append(each)
    return min(births, key=lambda node: node.serial)


def _birth(node: Node, values: Values, sources: Mapping[Node, str]) -> Birth:
    parts = values[node] if isinstance(values[node], tuple) else (values[node],)
    array = next(part for part in map(np.asarray, parts) if _is_bad(part))
    position = tuple(int(each) for each in np.argwhere(~np.isfinite(array))[0])  # () of a single number
    origin = node.origin
    return Birth(
        operation="input" if node in sources else node.op.name, value=float(array[position]), position=position,
        shape=describe(array.shape, node.dtype), layer=str(origin),
        line=origin.line if isinstance(origin, Origin) else "", rule=origin.rule if isinstance(origin, Origin) else "",
        inputs=tuple(_received(each, values[each], sources) for each in node.inputs), source=sources.get(node, ""),
    )  # fmt: skip


def _received(node: Node, value: Any, sources: Mapping[Node, str]) -> Received:
    array = np.asarray(value[0] if isinstance(value, tuple) else value, np.float64)
    finite = np.isfinite(array)
    low, high = (float(array[finite].min()), float(array[finite].max())) if finite.any() else (math.nan, math.nan)
    number = known_number(node)
    name = sources.get(node) or (f"the number {number}" if number is not None else f"the result of {_made_by(node)}")
    return Received(name, low, high, float(finite.mean()) if finite.size else 1.0)


def _made_by(node: Node) -> str:
    """The operation behind movements, which users do not write."""
    seen: Sequence[Node] = node.inputs
    while node.op.kind == "move" and len(seen) == 1:
        node = seen[0]
        seen = node.inputs
    return node.op.name
