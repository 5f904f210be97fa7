"""What is found out about a node for a target, found out once.

In: a function of a node whose result depends on the target that is compiled for, and does not hold the node. Out: the
same function; it asks itself again only for another node or another target, and keeps no node alive.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from thalweg.compile.target import current_name
from thalweg.graph import Node

T = TypeVar("T")


def remembered(function: Callable[[Node], T]) -> Callable[[Node], T]:
    """The function with a memory."""
    found: WeakKeyDictionary[Node, dict[str, T]] = WeakKeyDictionary()

    @functools.wraps(function)
    def ask(node: Node) -> T:
        of_targets = found.setdefault(node, {})
        name = current_name()
        if name not in of_targets:
            of_targets[name] = function(node)
        return of_targets[name]

    return ask
