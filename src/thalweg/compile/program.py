"""A program to be compiled: its inputs, its outputs, and which inputs it overwrites.

In: nodes. Out: a `Program`, with a key that is equal for equal structures. It is all that tensors need of the compiler
until the first program is compiled, so this file imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

from thalweg.graph import Node, structure_key


@dataclass(frozen=True, eq=False)
class Program:
    """`writes` holds pairs (output, input): that output is the new value of the cell which that input reads."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    writes: tuple[tuple[int, int], ...] = ()

    @cached_property
    def key(self) -> Hashable:
        return (structure_key(self.outputs, self.inputs), self.writes)
