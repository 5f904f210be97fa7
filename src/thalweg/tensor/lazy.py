"""Computing pending values: when someone needs a value, its part of the graph is run.

In: nodes. Out: the same nodes, now with a `value`. The first times a structure comes it is evaluated on NumPy; when it
returns often it runs as a compiled program from the cache that `tw.compile` uses. Known values are leaves.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.compile import compiler
from thalweg.compile.program import Program
from thalweg.compile.reference import run_node
from thalweg.graph import Node, toposort
from thalweg.tensor.anomaly import refuse_non_finite
from thalweg.tensor.modes import modes

# Bits of Node.notes: used up by a backward pass; no longer its tensor's value; on the path of a backward pass; of a
# pass that will have a program of its own, so that it is not compiled as a part of others before; a number of the code
# that many expressions share, which therefore keeps no value; initial weights, which are drawn in one way only; one
# at which Python is asked how a gradient goes on.
SPENT, OVERWRITTEN, SWEPT, RETURNING, FIXED, DRAWN, BY_HAND = 1, 2, 4, 8, 16, 32, 64

# Evaluate every operation when it is made, for debugging: the switch THALWEG_EAGER=1.
eager = os.environ.get("THALWEG_EAGER", "") not in ("", "0")


def is_known(node: Node) -> bool:
    return node.value is not None


# A structure is compiled once it has cost this many interpreted operations: about what compiling it costs. Counting
# operations rather than seconds keeps the decision, and so the bits, the same from run to run.
COMPILE_AFTER = 3000
SMALLEST = 8  # operations; below that, calling the program costs more than it saves
LARGEST = 4096  # operations; above that, compiling takes longer than anyone expects of an undecorated line
_MOST_RECORDS = 4096


class Record:
    """How often a structure has come, how many operations it is, and how it is run once it is a program."""

    def __init__(self) -> None:
        self.count = self.size = 0
        self.plan: Any = None
        self.is_refused = False  # it has no native program

    @property
    def is_due(self) -> bool:
        enough = self.count >= 2 and self.count * self.size >= COMPILE_AFTER  # the first time always on NumPy
        return enough and SMALLEST <= self.size <= LARGEST and not self.is_refused


_records: dict[Hashable, Record] = {}


def record_of(key: Hashable) -> Record:
    """The record of a structure, which has now come once more."""
    record = _records.pop(key, None) or Record()
    _records[key] = record  # the newest last, so that the oldest is forgotten first
    if len(_records) > _MOST_RECORDS:
        del _records[next(iter(_records))]
    record.count += 1
    return record


# Of a node that was differentiated: the gradients, to be computed together with it, so that the forward pass is shared.
companions: weakref.WeakKeyDictionary[Node, list[weakref.ref[Any]]] = weakref.WeakKeyDictionary()


def _with_companions(wanted: Sequence[Node]) -> list[Node]:
    found = list(wanted)
    for node in wanted:
        if node.value is None:
            tensors = (reference() for reference in companions.pop(node, ()))
            found += [tensor._node for tensor in tensors if tensor is not None and tensor._base is None]
    return found


def compute(wanted: Sequence[Node], may_compile: bool = True) -> None:
    """Give every wanted node its value; values that live tensors show are kept on the way."""
    if companions:
        wanted = _with_companions(wanted)
    roots = [node for node in wanted if node.value is None]
    if not roots:
        return
    work = Work(roots)
    # A later backward pass reads the intermediate values of what still may be differentiated, as in any tape.
    keep_all = any(t._requires_grad and not t._leaf and not t._node.notes & SWEPT for t in work.showing)
    if keep_all or not may_compile or modes.anomaly or eager:
        _interpret(work, keep_all or modes.anomaly)
    else:
        _run_again(work)
    for tensor in work.showing:
        tensor._when_known()


class Work:
    """The pending part of a graph.

    `key` is equal for work that differs only in the identity of its nodes and in the values of its leaves: nodes are
    numbered in the order in which a walk meets them. A place is an index into `inner`, or ~index into `leaves`.
    """

    def __init__(self, roots: Sequence[Node]) -> None:
        inner, leaves, parts = list(dict.fromkeys(roots)), [], []  # type: tuple[list[Node], list[Node], list[Hashable]]
        place = {node: index for index, node in enumerate(inner)}
        showing, self.notes, asked = [], 0, len(inner)
        self.kept = list(range(asked))  # the places whose values are asked for or shown
        parts.append(len(inner))
        for node in inner:  # which grows meanwhile
            parts.append(node.form.number)
            self.notes |= node.notes
            if node.holder is not None and (tensor := node.holder()) is not None:
                showing.append(tensor)
                if tensor._node is node and place[node] >= asked:
                    self.kept.append(place[node])
                    parts.append("kept")
            for each in node.inputs:
                where = place.get(each)
                if each.notes & DRAWN:
                    draw(each)
                if where is not None:
                    parts.append(where)
                elif each.value is None and each.inputs and not each.notes & FIXED:
                    parts.append(len(inner))
                    place[each] = len(inner)
                    inner.append(each)
                else:
                    place[each] = ~len(leaves)
                    parts.append((~len(leaves), leaf_key(each)))
                    leaves.append(each)
        self.inner, self.leaves, self.place, self.showing = inner, leaves, place, showing
        self.key = tuple(parts)

    @property
    def wanted(self) -> list[Node]:
        return [self.inner[place] for place in self.kept]

    def value(self, place: int) -> np.ndarray:
        return (self.inner[place] if place >= 0 else self.leaves[~place]).value  # type: ignore[no-any-return]


def draw(node: Node) -> None:
    """Give initial weights their value, always on NumPy and by themselves.

    A compiled program draws the same numbers up to rounding: whether one has become due by now, because other models
    were made before, must not decide what a seed means.
    """
    if node.value is None:
        _interpret(Work([node]), keep_all=False)


def leaf_key(node: Node) -> Hashable:
    """What a program depends on of a leaf: the type of a known value, otherwise which number it is."""
    if node.value is not None:
        return ~node.form.type
    return (node.serial,) if node.notes & FIXED else node.form.number


class Given:
    """Where the inputs of a program are among the nodes of a structure: values, and single results of a known loop.

    A result of a loop may be read for the first time in the program, so `places` tells where the loop is, and which.
    """

    def __init__(self, outputs: Sequence[Node], place: Mapping[Node, int]) -> None:
        self.nodes = [node for node in toposort(outputs, is_leaf=_is_given) if _is_given(node)]
        self.places = [
            (place[node], None) if node.value is not None else (place[node.inputs[0]], node.attributes["index"])
            for node in self.nodes
        ]

    def arrays(self, value: Callable[[int], Any]) -> list[np.ndarray]:
        """The values, where `value` tells that of a place."""
        return [value(place) if index is None else value(place)[index] for place, index in self.places]


def _is_given(node: Node) -> bool:
    return is_known(node) or (bool(node.op.identities.get("projection")) and is_known(node.inputs[0]))


class Plan:
    """A compiled program, and where its inputs and outputs are in work of its structure."""

    def __init__(self, work: Work) -> None:
        self.given = Given(work.wanted, work.place)
        native = compiler.executable_for(Program(tuple(self.given.nodes), tuple(work.wanted))).native
        self.call = None if native is None else compiler.Caller(native)

    def run(self, work: Work) -> bool:
        """Give the work its values; False if bad data were met, with nothing changed."""
        assert self.call is not None
        arrays = self.call(self.given.arrays(work.value))
        if arrays is None:
            return False
        for place, array in zip(work.kept, arrays, strict=True):
            work.inner[place].value = array
        return True


def _run_again(work: Work) -> None:
    """As a compiled program if the structure has come often enough, otherwise on NumPy."""
    record = record_of(work.key)
    if record.plan is None and record.is_due and not work.notes & RETURNING:
        plan = Plan(work)
        record.is_refused = plan.call is None
        record.plan = None if record.is_refused else plan
    if record.plan is None or not record.plan.run(work):
        record.size = _interpret(work, keep_all=False)


def _interpret(work: Work, keep_all: bool) -> int:
    """On NumPy; the number of operations."""
    wanted = work.wanted
    pending = [node for node in toposort(wanted, is_leaf=is_known) if node.value is None]
    _run(pending, set(wanted), keep_all)
    if modes.anomaly:
        refuse_non_finite([node for node in pending if node in set(wanted)])
    return len(pending)


def _run(pending: Sequence[Node], keep: set[Node], keep_all: bool) -> None:
    """Node by node on NumPy, forgetting a value after its last use unless it is kept."""
    last_use: dict[Node, int] = {}
    for index, node in enumerate(pending):
        for each in node.inputs:
            last_use[each] = index
    values: dict[Node, np.ndarray] = {}
    for index, node in enumerate(pending):
        inputs = [each.value if each.value is not None else values[each] for each in node.inputs]
        result = run_node(node, inputs)
        if node in keep or (keep_all and (modes.anomaly or not node.notes & FIXED)):
            node.value = result
        else:
            values[node] = result
        for each in node.inputs:
            if last_use[each] == index:
                values.pop(each, None)
