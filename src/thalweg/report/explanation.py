"""`Explanation`: the two passes of backpropagation through one graph, as data, as text and as a page.

In: a loss whose graph is still there, names, and an optimizer if its update is wanted. Out: an object whose `str()`
lists every operation with its value, its local derivatives, the gradient that arrives and what it passes on; a graph
too long to read is summed up by layer. `to_html` draws the graph.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from thalweg.errors import ArgumentError, GradientError, explain
from thalweg.graph import Node
from thalweg.optim.optimizer import Optimizer
from thalweg.report.analysis import Operation, Share, analyse
from thalweg.report.columns import show
from thalweg.report.explanation_page import drawing, explanation_page
from thalweg.report.page import write_page
from thalweg.report.sections import (
    Layer,
    Section,
    Update,
    backward_section,
    forward_section,
    gradient_section,
    joined_section,
    layer_section,
    layers_of,
    update_section,
)
from thalweg.report.updates import rule_of, updates_of
from thalweg.tensor.core import Tensor
from thalweg.tensor.markup import escaped

MOST_OPERATIONS = 120  # that are listed one by one


@dataclass(frozen=True)
class Factor:
    """One factor of a chain: d(result)/d(operand), with every operation between the two multiplied up."""

    result: str
    operand: str
    value: float


class Explanation:
    """Backpropagation from one loss, operation by operation; made by `tw.explain`.

    `operations` are in forward order; `operation(name)` is one of them; `gradients` maps the names of the leaves to
    dLoss/dleaf; `updates` are what the optimizer makes of the leaves, if one was given; `layers` sums up by module
    path. `str()` is the whole as text, `sections` its tables, `to_html(path)` a page with the graph drawn.
    """

    def __init__(self, loss: Tensor, names: Mapping[Node, str], optimizer: Optimizer | None = None) -> None:
        _refuse(loss)
        self.operations = analyse(loss.node, names)
        self.rule = "" if optimizer is None else rule_of(optimizer)
        self.updates: list[Update] = [] if optimizer is None else updates_of(optimizer, self.operations)
        self.loss = float(np.asarray(self.operations[-1].value).reshape(-1)[0])

    # --- as data ----------------------------------------------------------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Operation]:
        return {each.name: each for each in self.operations}

    def operation(self, name: str) -> Operation:
        """The operation (or leaf) of that name."""
        if name not in self._by_name:
            some = ", ".join(list(self._by_name)[:12])
            raise ArgumentError(explain("no operation has this name", received=repr(name), expected=f"one of {some}"))
        return self._by_name[name]

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """dLoss/dleaf for every leaf that collects a gradient, by name; zero where none arrives."""
        return {
            each.name: each.gradient if each.gradient is not None else np.zeros(each.shape)
            for each in self.operations
            if each.requires_grad
        }

    def received(self, name: str) -> list[tuple[Operation, Share]]:
        """The shares that arrive at `name`, with the operations they come from: their sum is its gradient."""
        return self._received.get(name, [])

    @cached_property
    def _received(self) -> dict[str, list[tuple[Operation, Share]]]:
        found: dict[str, list[tuple[Operation, Share]]] = {}
        for operation in reversed(self.operations):
            for share in operation.shares:
                found.setdefault(share.operand, []).append((operation, share))
        return found

    def chain(self, name: str, stops: Iterable[str], milestones: Iterable[str]) -> list[Factor]:
        """The local derivatives from `name` up to the first of `stops`, multiplied up between `milestones`.

        The path must not fork before it stops: every operation on it is used once. Numbers only, no arrays.
        """
        ends, named = set(stops), set(milestones) | set(stops)
        factors: list[Factor] = []
        operand, product = name, 1.0
        while name not in ends:
            received = self.received(name)
            if len(received) != 1:
                break
            operation, share = received[0]
            assert share.derivative is not None
            product *= share.derivative.item()
            name = operation.name
            if name in named:
                factors.append(Factor(name, operand, product))
                operand, product = name, 1.0
        return factors

    @cached_property
    def layers(self) -> list[Layer]:
        """The operations summed up by the module they were made in, in forward order."""
        return layers_of(self.operations)

    @property
    def count(self) -> int:
        """How many operations there are, leaves left out."""
        return sum(1 for each in self.operations if not each.is_leaf)

    @property
    def is_listed_in_full(self) -> bool:
        """Whether the operations are few enough to be read one by one."""
        return self.count <= MOST_OPERATIONS

    # --- as text and as a page --------------------------------------------------------------------------------------

    @cached_property
    def sections(self) -> list[Section]:
        """The tables that `str()` prints and the page shows."""
        both = [forward_section, backward_section] if self.is_listed_in_full else []
        found = [each(self.operations) for each in both]
        if self.is_listed_in_full and (joined := joined_section(self.operations, self.received)).rows:
            found.append(joined)
        found.append(gradient_section(self.operations, self.gradients))
        if self.updates:
            found.append(update_section(self.rule, self.updates))
        if len(self.layers) > 1:
            found.append(layer_section(self.layers))
        return found

    def heading(self) -> str:
        """The loss, and how much there is behind it, in a line."""
        leaves = sum(each.requires_grad for each in self.operations)
        value = show(self.operations[-1].value)
        return f"loss {value}, operations {self.count}, leaves that collect a gradient {leaves}"

    def __str__(self) -> str:
        lines = [self.heading()]
        for each in self.sections:
            lines += ["", each.title, *each.lines()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<explanation of a loss of {self.loss:.6g}: {len(self.operations)} operations and leaves>"

    def _repr_html_(self) -> str:
        tables = [f"<h4>{escaped(each.title)}</h4>{each.html()}" for each in self.sections]
        return f"<p>{escaped(self.heading())}</p>" + drawing(self) + "".join(tables)

    def to_html(self, path: str | os.PathLike[str], title: str = "Backpropagation, explained", text: str = "") -> Path:
        """Write a page that needs nothing beside it: the graph to zoom, move and ask, and below it every number.

        `text` stands at the end of the page, as it is. Returns the path.

        >>> import thalweg as tw
        >>> w = tw.tensor(2.0, requires_grad=True)
        >>> tw.explain(w * w).to_html("explained.html")  # doctest: +SKIP
        """
        return write_page(explanation_page(self, title, text), path)

    def forward_lines(self) -> list[str]:
        """Every operation: how it is computed, and its value."""
        return forward_section(self.operations).lines()

    def backward_lines(self) -> list[str]:
        """Every operation from the loss backwards: what arrives, and for each operand the rule and what it gets."""
        return backward_section(self.operations).lines()

    def joined_lines(self) -> list[str]:
        """The places where several shares arrive, and their sums."""
        return joined_section(self.operations, self.received).lines()


def _refuse(loss: Tensor) -> None:
    """A loss is one number that depends on a leaf with a gradient, by a graph that is still there."""
    if loss.numel() != 1:
        raise GradientError(
            explain("only a single number can be explained as a loss", received=loss._summary(), expected="one entry",
                    remedy="reduce it with .mean() or .sum() first")
        )  # fmt: skip
    if not loss.requires_grad or not loss.node.inputs:
        raise GradientError(
            explain(
                "there is no graph to explain: nothing is recorded behind this value",
                received=loss._summary(),
                expected="a loss that depends on a tensor with requires_grad=True",
                remedy="call tw.explain(loss) before loss.backward(), outside no_grad() and outside a compiled step",
            )
        )
