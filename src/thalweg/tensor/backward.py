"""Backpropagation on tensors: `loss.backward()`, `tw.grad`, and the checks that make its errors clear.

In: a tensor and what to differentiate by. Out: gradients in `.grad`, or returned. The mathematics is
`thalweg.gradient`; this file finds the targets, and refuses what PyTorch refuses.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from thalweg import ops
from thalweg.errors import ArgumentError, GradientError, ShapeError, explain
from thalweg.gradient import gradients, local_cotangents, reached_from, stops_gradient
from thalweg.graph import Node, constant_leaf, full, make_input, next_serial, toposort
from thalweg.tensor import lazy
from thalweg.tensor.arithmetic import add
from thalweg.tensor.core import Tensor, overwritten_at, request, settle
from thalweg.tensor.hooks import Arrivals
from thalweg.tensor.lazy import OVERWRITTEN, SPENT, SWEPT, Record, companions, record_of
from thalweg.tensor.lifting import as_tensor
from thalweg.tensor.modes import modes, set_recording
from thalweg.tensor.sweeps import Survey, Sweep


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | Tensor | None = None,
) -> None:
    """Backpropagate: add dself/dleaf to `.grad` of every leaf that requires a gradient.

    `gradient` is dLoss/dself, needed unless self has one entry. The graph may be used once, unless `retain_graph`;
    with `create_graph` the gradients can be differentiated again. `inputs` limits the leaves that collect.

    >>> import thalweg as tw
    >>> w = tw.tensor(3.0, requires_grad=True)
    >>> (w * w).backward()
    >>> w.grad
    tensor(6.)
    """
    survey = None if create_graph or inputs is not None else _survey(self, gradient)
    record = None if survey is None else record_of(survey.key)
    if survey is not None and record is not None and _is_run_at_once(self, survey, record, bool(retain_graph)):
        return
    before = next_serial()
    root, order = _start(self)
    wanted = None if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(inputs)
    found = _targets(order, wanted)
    if not found:
        raise GradientError(
            explain(
                "nothing to differentiate by: no parameter requires a gradient",
                received=self._summary(),
                expected="a loss that depends on a tensor with requires_grad=True",
                remedy="check requires_grad of the parameters, and that no detach() or no_grad() lies in between",
            )
        )
    keep = create_graph if retain_graph is None else retain_graph

    def collect(tensor: Tensor, node: Node) -> None:
        _collect(tensor, _as_gradient(node, create_graph), create_graph)

    arrivals = Arrivals(order, found, collect)
    with set_recording(create_graph and modes.grad_enabled):
        cotangents = _sweep([root], [_seed(self, gradient)], [node for _, node in found], order, keep, arrivals)
    if wanted is None and any(node.notes & SPENT for node in order):
        root.notes |= SPENT  # so that a loss that is kept does not keep its graph
        settle(self)
    for (tensor, node), cotangent in zip(found, cotangents, strict=True):
        if cotangent is not None and node not in arrivals.collected:
            collect(tensor, cotangent)
    if survey is not None and record is not None:
        survey.expect(record, next_serial() - before)
    if modes.trace is None and root.value is None:
        companions[root] = [weakref.ref(t._grad) for t, _ in found if isinstance(t._grad, Tensor)]
    request(self)


def _survey(tensor: Tensor, gradient: Tensor | None) -> Survey | None:
    """What the pass depends on, where it may run at once instead of becoming part of the graph."""
    if modes.trace is not None or modes.anomaly or lazy.eager or tensor._base is not None or not tensor._requires_grad:
        return None
    if gradient is None and tensor._node.size != 1:
        return None
    survey = Survey(tensor.node, None if gradient is None else _seed(tensor, gradient))
    return survey if survey.is_usable and survey.targets else None


def _is_run_at_once(tensor: Tensor, survey: Survey, record: Record, retain_graph: bool) -> bool:
    """Run forward and backward pass as one program, if the structure has come often enough; say whether that was done.

    Bad data are left to the other way, which raises the error for them.
    """
    if record.plan is None:
        if not record.is_due:
            return False
        record.plan = _new_sweep(survey)
        record.is_refused = record.plan.call is None
    found = None if record.is_refused else record.plan.run(survey)
    if found is None:
        return False
    if not retain_graph:
        for place, bits in record.plan.marks:
            survey.node(place).notes |= bits
            survey.root.notes |= bits & SPENT
    for _, shown in survey.shown:
        shown._when_known()
    settle(tensor)
    for target, array in found:
        _collect(target, Tensor._result(make_input(target.shape, target.dtype, array)), create_graph=False)
    return True


def _new_sweep(survey: Survey) -> Sweep:
    order = toposort([survey.root], is_leaf=stops_gradient)
    on_path = reached_from([survey.node(place) for place, _ in survey.targets], order)
    _refuse_used(order, on_path)
    return Sweep(survey, [(survey.place[node], bits) for node, bits in _marks(order, on_path)])


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`, returned instead of collected in `.grad`.

    >>> import thalweg as tw
    >>> x = tw.tensor(2.0, requires_grad=True)
    >>> (first,) = tw.grad(x**3, x, create_graph=True)
    >>> (second,) = tw.grad(first, x)
    >>> first.item(), second.item()
    (12.0, 12.0)
    """
    results = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    seeds = [None] * len(results) if grad_outputs is None else seeds
    if len(seeds) != len(results):
        raise ArgumentError(
            explain(
                "grad_outputs needs one entry for each output",
                received=f"{len(seeds)} for {len(results)} outputs",
                expected=f"{len(results)} tensors (None for a scalar output)",
            )
        )
    for each in targets:
        if not each.requires_grad:
            raise GradientError(
                explain(
                    "an input of grad() requires no gradient", received=each._summary(), expected="requires_grad=True"
                )
            )
    starts = [_start(each) for each in results]
    order = toposort([root for root, _ in starts], is_leaf=stops_gradient)
    found = _targets(order, targets)
    keep = create_graph if retain_graph is None else retain_graph
    with set_recording(create_graph and modes.grad_enabled):
        cotangents = _sweep(
            [root for root, _ in starts],
            [_seed(each, seed) for each, seed in zip(results, seeds, strict=True)],
            [node for _, node in found],
            order,
            keep,
            Arrivals(order, found, None),
        )
    return tuple(_answer(target, found, cotangents, create_graph, allow_unused) for target in targets)


def _answer(
    target: Tensor,
    found: Sequence[tuple[Tensor, Node]],
    cotangents: Sequence[Node | None],
    create_graph: bool,
    allow_unused: bool,
) -> Tensor | None:
    mine = [c for (tensor, _), c in zip(found, cotangents, strict=True) if tensor is target and c is not None]
    if not mine:
        if allow_unused:
            return None
        raise GradientError(
            explain(
                "an input was not used in computing the outputs",
                received=target._summary(),
                expected="an input that the outputs depend on",
                remedy="pass allow_unused=True to get None for it",
            )
        )
    total = mine[0]
    for each in mine[1:]:
        total = add(total, each)
    return _as_gradient(total, create_graph)


def _start(tensor: Tensor) -> tuple[Node, list[Node]]:
    if not tensor.requires_grad:
        raise GradientError(
            explain(
                "backward on a tensor that requires no gradient",
                received=tensor._summary(),
                expected="a result that depends on a tensor with requires_grad=True",
                remedy="set requires_grad=True on the parameters, and compute the loss outside no_grad()",
            )
        )
    node = tensor.node
    if node.notes & SPENT and not node.inputs:
        raise _spent(node)
    return node, toposort([node], is_leaf=stops_gradient)


def _seed(tensor: Tensor, gradient: Tensor | None) -> Node:
    if gradient is None:
        if tensor.numel() != 1:
            raise GradientError(
                explain(
                    "backward needs a scalar: the gradient of several numbers is a matrix",
                    received=f"shape {tensor.shape}",
                    expected="one entry",
                    remedy="reduce the loss with .mean() or .sum(), or pass gradient= of the same shape",
                )
            )
        return full(tensor.shape, 1.0, tensor.dtype)
    gradient = as_tensor(gradient)
    if gradient.shape != tensor.shape:
        raise ShapeError(
            explain("gradient= must have the shape of the tensor", received=gradient.shape, expected=tensor.shape)
        )
    node = gradient.node
    return node if node.dtype is tensor.dtype else ops.cast(node, dtype=tensor.dtype.name)


def _targets(order: Sequence[Node], wanted: Sequence[Tensor] | None) -> list[tuple[Tensor, Node]]:
    """The tensors that collect a gradient, each with the node by which the graph knows it.

    A leaf is known by every node that it has had, a result of an operation only by its current one.
    """
    asked: dict[Node, list[Tensor]] = {}
    for each in {id(each): each for each in wanted or ()}.values():
        asked.setdefault(each.node, []).append(each)
    allowed = None if wanted is None else {id(each) for each in wanted}
    found = []
    for node in order:
        named = asked.get(node, [])
        found += [(tensor, node) for tensor in named]
        tensor = node.holder() if node.holder is not None else None
        if tensor is None or not tensor._requires_grad or any(each is tensor for each in named):
            continue
        if tensor._leaf:
            is_target = (not node.inputs or node.op is ops.detach) and (allowed is None or id(tensor) in allowed)
        else:
            is_target = allowed is None and tensor._retains and tensor.node is node
        if is_target:
            found.append((tensor, node))
    return found


def _sweep(
    roots: list[Node], seeds: list[Node], targets: list[Node], order: list[Node], retain_graph: bool, arrivals: Arrivals
) -> list[Node | None]:
    on_path = reached_from(targets, order)
    _refuse_used(order, on_path)
    sweep = None if modes.trace is None else modes.trace.begin_sweep(roots)
    collected = None if sweep is None else sweep.cotangents
    result = gradients(roots, seeds, targets, collected, arrivals if arrivals else None)
    if sweep is not None:
        sweep.end = next_serial()
    if not retain_graph:
        for node, bits in _marks(order, on_path):
            node.notes |= bits
    return result


def _refuse_used(order: Sequence[Node], on_path: set[Node]) -> None:
    if any(node.notes for node in order):
        _refuse_spent(order, on_path)
        _refuse_overwritten(order, on_path)


def _marks(order: Sequence[Node], on_path: set[Node]) -> list[tuple[Node, int]]:
    """What to note of the nodes when a pass has used them."""
    passed = [node for node in order if node.inputs and node in on_path]
    return [(node, SWEPT if _keeps_nothing(node) else SPENT | SWEPT) for node in passed]


def _keeps_nothing(node: Node) -> bool:
    """Whether the chain rule reads no value, so that the node can be used again: linear, or a mean's division."""
    if node.op is ops.divide:
        divisor = node.inputs[1]
        while divisor.op.kind == "move":
            divisor = divisor.inputs[0]
        return divisor.op is constant_leaf
    # A pending value that was written into a leaf ends in `detach`: the leaf itself, which every pass ends at.
    return bool(node.op.identities.get("linear")) or stops_gradient(node)


def _collect(tensor: Tensor, new: Tensor, create_graph: bool) -> None:
    before = tensor.grad
    if before is None:
        tensor.grad = new
    elif create_graph:
        tensor.grad = Tensor._result(add(before.node, new.node), True)
    else:
        with set_recording(False):
            before._assign(add(before.node, new.node))
        if modes.trace is not None:
            modes.trace.consumed.discard(id(tensor))  # it was read only to be added to


def _as_gradient(node: Node, create_graph: bool) -> Tensor:
    if create_graph:
        return Tensor._result(node, modes.grad_enabled)
    return Tensor._result(ops.detach(node), False)


def _refuse_spent(order: Sequence[Node], on_path: set[Node]) -> None:
    for node in order:
        if node.notes & SPENT and node in on_path:
            raise _spent(node)


def _spent(node: Node) -> GradientError:
    return GradientError(
        explain(
            "backward a second time through a graph that has been used",
            received=(node.op.name if node.inputs else "a loss") + (f" of layer {node.origin}" if node.origin else ""),
            expected="one backward for each forward pass",
            remedy="compute the loss again, or pass retain_graph=True to the first backward",
        )
    )


def _refuse_overwritten(order: Sequence[Node], on_path: set[Node]) -> None:
    """A value that a chain rule reads must not have been replaced by an in-place operation since."""
    flagged = [node for node in order if node.notes & OVERWRITTEN]
    users: dict[Node, list[Node]] = {}
    for user in order if flagged else ():
        for each in user.inputs:
            users.setdefault(each, []).append(user)
    for node in flagged:
        since = overwritten_at[node]
        for seen in _aliases(node, users, since):
            for user in (seen, *users.get(seen, ())):
                if user.serial < since and user in on_path and _reads(user, seen, on_path):
                    raise _overwritten(user)


def _aliases(node: Node, users: dict[Node, list[Node]], since: int) -> list[Node]:
    """The node and the views of it that were made before it was overwritten."""
    found = [node]
    for seen in found:
        found += [user for user in users.get(seen, ()) if user.serial < since and _is_view(user) and user not in found]
    return found


def _is_view(node: Node) -> bool:
    is_copy = node.op is ops.reshape and node.shape == node.inputs[0].shape  # what clone() makes
    return node.op in (ops.reshape, ops.permute, ops.slice_, ops.broadcast, ops.detach) and not is_copy


def _overwritten(user: Node) -> GradientError:
    return GradientError(
        explain(
            "a value needed for the gradient was overwritten in place",
            received=f"the operand or result of {user.op.name}" + (f" in layer {user.origin}" if user.origin else ""),
            expected="the value that the forward pass used",
            remedy="use the out-of-place form, write to a .clone(), or call backward before the update",
        )
    )


def _reads(user: Node, node: Node, on_path: set[Node]) -> bool:
    """Whether the chain rule of `user`, for those inputs whose cotangents are wanted, needs the value of `node`."""
    if user.op is ops.custom:
        return False  # its rule has kept the values that it reads
    if not user.inputs or user.op.multiple or user.op.identities.get("projection"):
        return bool(user.op.multiple)
    cotangent = make_input(user.shape, user.dtype)
    wanted = [each in on_path for each in user.inputs]
    found = local_cotangents(user, cotangent, wanted)
    needed = [each for each, is_wanted in zip(found, wanted, strict=True) if is_wanted and isinstance(each, Node)]
    return node in toposort(needed, is_leaf=lambda each: each.serial < cotangent.serial)
