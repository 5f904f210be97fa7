"""Values that two loops have in common: the loop of a chain rule reads them, instead of computing them once more.

In: the outputs of a program with `scan`s. Out: the same, in which a forward loop also gives the gates that its chain
rule needs, stacked over the steps, and the backward loop takes them as a sequence. That is done where computing them
takes a product or a function, and where they are not far larger than what the loops hold in any case: the scores of
attention are computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thalweg import ops
from thalweg.compile.rewriting import renewed, rewrite_into
from thalweg.compile.schedule import emission_lines
from thalweg.graph import Node, form_key, input_leaf, make_input, substitute, toposort
from thalweg.ops.rules import known_number

_MOST = 4  # times the entries that a step of the forward loop reads and leaves in any case
_DEAR = 2  # lines of one operation: more is no addition or product


def remember_steps(outputs: Sequence[Node]) -> list[Node]:
    """The program in which no loop computes what a loop before it has computed for the same step."""
    scans = [node for node in toposort(outputs) if node.op is ops.scan]
    plans: dict[Node, _Plan] = {}
    more: dict[Node, dict[Node, int]] = {}  # forward loop -> node of its body -> index among its outputs
    for number, later in enumerate(scans):
        for earlier in reversed(scans[:number]):
            plan = _plan(earlier, later, more.setdefault(earlier, {}))
            if plan is not None:
                plans[later] = plan
                break
    if not plans:
        return list(outputs)
    new: dict[Node, Node] = {}

    def make(node: Node) -> Node:
        renewed_node = renewed(node, new)
        if more.get(node):
            renewed_node = _with_results(renewed_node, list(more[node]))
        if node in plans:
            return _with_sequences(renewed_node, plans[node], new)
        return renewed_node

    return rewrite_into(new, outputs, make)


@dataclass
class _Plan:
    """What a loop reads from an earlier one: nodes of its body, and which outputs of the other have their values."""

    earlier: Node
    is_backwards: bool
    saved: dict[Node, int] = field(default_factory=dict)


def _plan(earlier: Node, later: Node, more: dict[Node, int]) -> _Plan | None:
    if earlier.attributes["length"] != later.attributes["length"]:
        return None
    for is_backwards in (True, False):
        same = _inputs_in_common(earlier, later, is_backwards)
        if len(same) > 1:
            common = _in_common(earlier, later, same)
            wanted = _worth_saving(later, common, same)
            if wanted and _is_small(earlier, wanted):
                return _Plan(earlier, is_backwards, _indices(earlier, common, wanted, more))
    return None


def _indices(earlier: Node, common: dict[Node, Node], wanted: Sequence[Node], more: dict[Node, int]) -> dict[Node, int]:
    known = earlier.attributes
    results = list(known["body"].outputs)[known["carries"] :]
    found = {}
    for node in wanted:
        there = common[node]
        if there in results:
            found[node] = known["carries"] + results.index(there)
        else:
            found[node] = more.setdefault(there, len(known["body"].outputs) + len(more))
    return found


# --- what two loops have in common -----------------------------------------------------------------------------------


def _inputs_in_common(earlier: Node, later: Node, is_backwards: bool) -> dict[Node, Node]:
    """Inputs of the later body, and those of the earlier one (or results) that have the same value in the same step."""
    first, last = earlier.attributes, later.attributes
    begin, end = last["carries"], last["carries"] + last["sequences"]
    sequences = dict[tuple[Node, bool], Node]()
    for i in range(first["carries"], first["carries"] + first["sequences"]):
        source, is_turned = _turned(earlier.inputs[i])
        sequences[source, is_turned] = first["body"].inputs[i]
    constants = dict(
        zip(earlier.inputs[first["carries"] + first["sequences"] :],
            first["body"].inputs[first["carries"] + first["sequences"] :], strict=True)
    )  # fmt: skip
    same: dict[Node, Node] = {}
    for i in range(begin, len(later.inputs)):
        inside, outside = last["body"].inputs[i], later.inputs[i]
        if i >= end:
            found = constants.get(outside)
        else:
            source, is_turned = _turned(outside)
            found = sequences.get((source, is_turned != is_backwards))
            if found is None and is_turned == is_backwards:
                found = _given(earlier, source)
        if found is not None:
            same[inside] = found
    return same


def _turned(node: Node) -> tuple[Node, bool]:
    """What a sequence is, and whether it is turned over in time."""
    is_turned = False
    while node.op is ops.flip and node.attributes["axes"] == (0,):
        node, is_turned = node.inputs[0], not is_turned
    return node, is_turned


def _given(earlier: Node, node: Node) -> Node | None:
    """What in a step of the earlier loop a sequence has: a carry as it came in, as it goes out, or a result."""
    known, is_cut = earlier.attributes, node.op is ops.slice_
    read = node.inputs[0] if is_cut else node
    if read.op is not ops.output or read.inputs[0] is not earlier:
        return None
    index, body = read.attributes["index"], known["body"]
    if index >= known["carries"]:
        return None if is_cut else body.outputs[index]
    if not is_cut or node.shape[1:] != read.shape[1:] or node.shape[0] != known["length"]:
        return None
    return (body.inputs[index], body.outputs[index])[node.attributes["start"][0]]


def _in_common(earlier: Node, later: Node, same: dict[Node, Node]) -> dict[Node, Node]:
    """Nodes of the later body, and the nodes of the earlier one that compute the same."""
    there: dict[object, Node] = {}
    number: dict[Node, int] = {}
    for node in (*earlier.attributes["body"].inputs, *earlier.attributes["body"].order):
        number[node] = len(number)
        if node.inputs:
            there[form_key(node), tuple([number[each] for each in node.inputs])] = node
    numbers = {node: number[other] for node, other in same.items() if other in number}
    common = dict(same)
    of_nothing = {form_key(node): node for node in number if not node.inputs and node.op is not input_leaf}
    for node in later.attributes["body"].order:
        if not node.inputs and form_key(node) in of_nothing:  # numbers, and counted ones
            common[node] = of_nothing[form_key(node)]
            numbers[node] = number[common[node]]
        elif node.inputs and all(each in numbers for each in node.inputs):
            found = there.get((form_key(node), tuple([numbers[each] for each in node.inputs])))
            if found is None and node.op is ops.output:  # of an inner loop, which nobody has read so far
                found = ops.output(common[node.inputs[0]], **node.attributes)
            if found is not None:
                common[node], numbers[node] = found, number.setdefault(found, len(number))
    return common


def _worth_saving(later: Node, common: dict[Node, Node], same: dict[Node, Node]) -> list[Node]:
    """What is read by something new, and took more than an addition or a product of what is there anyway."""
    body = later.attributes["body"]
    known = set(same) | {node for node in common if known_number(node) is not None}
    dear: set[Node] = set()
    for node in body.order:
        if node in common and node not in known:
            is_dear = node.op.kind != "move" and (node.op.kind != "elementwise" or emission_lines(node) > _DEAR)
            if is_dear or any(each in dear for each in node.inputs):
                dear.add(node)
    read = [each for node in body.order if node not in common for each in node.inputs] + list(body.outputs)
    return [node for node in dict.fromkeys(read) if node in dear]


def _is_small(earlier: Node, wanted: Sequence[Node]) -> bool:
    known = earlier.attributes
    body = known["body"]
    held = [*body.inputs[: known["carries"] + known["sequences"]], *body.outputs]
    return sum(node.size for node in wanted) <= _MOST * sum(node.size for node in held)


# --- the loops anew --------------------------------------------------------------------------------------------------


def _with_results(scan: Node, results: Sequence[Node]) -> Node:
    known = scan.attributes
    body = ops.Body(known["body"].inputs, (*known["body"].outputs, *results))
    return ops.scan(*scan.inputs, **{**known, "body": body})


def _with_sequences(scan: Node, plan: _Plan, new: dict[Node, Node]) -> Node:
    known = scan.attributes
    body, place = known["body"], known["carries"] + known["sequences"]
    stacked = [ops.output(new[plan.earlier], index=index) for index in plan.saved.values()]
    if plan.is_backwards:
        stacked = [ops.flip(each, axes=(0,)) for each in stacked]
    entries = [make_input(node.shape, node.dtype) for node in plan.saved]
    steps = substitute(body.outputs, dict(zip(plan.saved, entries, strict=True)))
    inputs = (*body.inputs[:place], *entries, *body.inputs[place:])
    read = set(toposort(steps))
    kept = [i for i, each in enumerate(inputs) if i < known["carries"] or each in read]
    outside = (*scan.inputs[:place], *stacked, *scan.inputs[place:])
    return ops.scan(
        *[outside[i] for i in kept], body=ops.Body(tuple(inputs[i] for i in kept), tuple(steps)),
        carries=known["carries"], sequences=sum(known["carries"] <= i < place + len(entries) for i in kept),
        length=known["length"],
    )  # fmt: skip
