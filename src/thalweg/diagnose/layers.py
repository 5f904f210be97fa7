"""The layers of a network that are watched, found while one forward pass runs.

In: a model, and the calls of its modules in one forward pass. Out: for each module with parameters of its own a
`Layer`: path, kind, the activation that follows, its place in the order of the pass, whether something leads around it,
and the line of the user's code that made it; together with its output after that activation, and what a recurrent layer
was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from thalweg import nn
from thalweg.graph import Node, toposort
from thalweg.nn.module import Module
from thalweg.nn.utils.rnn import PackedSequence
from thalweg.ops.rules import known_number
from thalweg.tensor import Tensor
from thalweg.tensor.hooks import RemovableHandle
from thalweg.tensor.modes import modes
from thalweg.tensor.tree import flatten

ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softplus,
    nn.LogSigmoid, nn.Softmax, nn.LogSoftmax,
)  # fmt: skip
BOUNDS = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Hardtanh": (-1.0, 1.0)}
"""What the outputs of an activation with a bound on either side lie between."""
RECTIFIERS = frozenset({"ReLU", "ReLU6"})
"""Activations that are exactly zero, with a zero derivative, on one side."""
_IN_BETWEEN = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm, nn.Dropout,
    nn.Dropout1d, nn.Dropout2d, nn.Identity,
)  # fmt: skip
RECURRENT = (nn.RNN, nn.GRU, nn.LSTM)
_CHANNELS_FIRST = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm")
_PRIME = (1 << 61) - 1  # numbers of paths are compared modulo this: they double at every skip connection


@dataclass(frozen=True)
class Layer:
    """One module with parameters of its own.

    Attributes:
        path: where it stands in the model; the name of its class where it is the model.
        kind: the name of its class.
        parameters: the name (with the path) and shape of each of its own parameters.
        activation: the name of the activation that its output goes through, or None; a plain recurrence has its own.
        depth: its place in the order in which the forward pass met the layers, from 0.
        is_branch: whether something leads around it, such as a skip connection.
        line: the line of the user's code that made it, as ``file:line``, or None.
        unit_axis: the axis of the output that its units (features, channels) lie along, counted from the last.
    """

    path: str
    kind: str
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    activation: str | None = None
    depth: int = 0
    is_branch: bool = False
    line: str | None = None
    unit_axis: int = -1

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What its outputs lie between, where its activation has a bound on either side."""
        return BOUNDS.get(self.activation or "")

    @property
    def is_rectified(self) -> bool:
        """Whether a unit of it can be dead: exactly zero, with a derivative of zero."""
        return self.activation in RECTIFIERS

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"parameters": [[name, list(shape)] for name, shape in self.parameters]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Layer:
        parameters = tuple((name, tuple(shape)) for name, shape in values["parameters"])
        return cls(**{**values, "parameters": parameters})


class Sight(NamedTuple):
    """A layer, and what it put out in this forward pass, after its activation.

    Of a recurrent layer also the sequences that it was given, and the axis of these along which its steps lie.
    """

    layer: Layer
    output: Tensor
    given: Tensor | None = None
    steps_axis: int = 0


class _Call(NamedTuple):
    """`output` is the first result, `others` are the nodes of the rest, such as last states."""

    module: Module
    inputs: tuple[Node, ...]
    output: Tensor
    others: tuple[Node, ...] = ()
    is_packed: bool = False  # a packed batch has its steps first, whatever the layer says


class Passage:
    """Listens, while `listens`, to the forward passes of a model in training mode, and knows the calls of the last one.

    >>> import thalweg as tw
    >>> model = tw.nn.Sequential(tw.nn.Linear(3, 2), tw.nn.Tanh(), tw.nn.Linear(2, 1))
    >>> passage = Passage(model)
    >>> prediction = model(tw.ones(4, 3))
    >>> [(sight.layer.path, sight.layer.activation) for sight in passage.sights(prediction)]
    [('0', 'Tanh'), ('2', None)]
    >>> passage.close()
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self.listens = True
        self._calls: list[_Call] = []
        self._last: list[_Call] = []
        self._handles: list[RemovableHandle] = [each.register_forward_hook(self._note) for each in model.modules()]

    def __deepcopy__(self, memo: dict[int, Any]) -> Passage:
        """A copy of the model has these hooks, too: there they note nothing, and hold nothing of the original's."""
        copied = Passage.__new__(Passage)
        copied.model, copied.listens, copied._calls, copied._last, copied._handles = self.model, False, [], [], []
        return copied

    def close(self) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()

    def forget(self) -> None:
        """Of a forward pass that did not come to its end."""
        self._calls, self._last = [], []

    def _note(self, module: Module, arguments: tuple[Any, ...], result: Any) -> None:
        if not (self.listens and self.model.training) or (modes.trace is not None and modes.trace.is_of_loop):
            return
        is_packed = bool(arguments) and isinstance(arguments[0], PackedSequence)
        if is_packed:
            arguments = (arguments[0].padded, *arguments[1:])
        results = [each for each in flatten(result)[0] if isinstance(each, Tensor)]
        if results:
            inputs = tuple([each.node for each in arguments if isinstance(each, Tensor)])
            others = tuple([each.node for each in results[1:]])
            self._calls.append(_Call(module, inputs, results[0], others, is_packed))
        if module is self.model:
            self._last, self._calls = self._calls, []

    def sights(self, prediction: Tensor) -> list[Sight]:
        """The layers that the last forward pass met, in its order, each where it was first called."""
        calls, self._last = self._last, []
        paths = {id(module): path or type(module).__name__ for path, module in self.model.named_modules()}
        names = {id(each): name for name, each in self.model.named_parameters()}
        users = _users(prediction.node, calls)
        on_all_paths = _on_all_paths(prediction.node, [node for each in calls[-1:] for node in each.inputs])
        found: dict[int, Sight] = {}
        for call in calls:
            own = [each for each in call.module.parameters(recurse=False) if id(each) in names]
            if not own or id(call.module) in found:
                continue
            activation, output = _activation_after(call, calls, users)
            kind, is_recurrent = type(call.module).__name__, isinstance(call.module, RECURRENT)
            layer = Layer(
                path=paths[id(call.module)], kind=kind, activation=activation, depth=len(found),
                parameters=tuple((names[id(each)], tuple(each.shape)) for each in own),
                is_branch=not on_all_paths((call.output.node, *call.others)), line=line_of(call.module),
                unit_axis=1 - output.ndim if kind.startswith(_CHANNELS_FIRST) and output.ndim > 1 else -1,
            )  # fmt: skip
            found[id(call.module)] = _recurrent_sight(layer, call) if is_recurrent else Sight(layer, output)
        return list(found.values())


def _recurrent_sight(layer: Layer, call: _Call) -> Sight:
    """Examples first, whatever the order of the layer's axes is; what it was given can be differentiated by."""
    module: Any = call.module
    output: Any = call.output
    is_batch_first = module.batch_first and not call.is_packed
    if isinstance(module, nn.RNN):
        layer = replace(layer, activation={"tanh": "Tanh", "relu": "ReLU"}[module.nonlinearity])
    steps_axis = int(output.ndim == 3 and is_batch_first)
    given = Tensor._result(call.inputs[0], True) if call.inputs else None
    is_turned = output.ndim == 3 and not is_batch_first
    return Sight(layer, output.transpose(0, 1) if is_turned else output, given, steps_axis)


def without_passages(model: Module) -> None:
    """Take the hooks of passages off a copy of a model: nobody reads what they would note."""
    for module in model.modules():
        for number, hook in list(module._forward_hooks.items()):
            if isinstance(getattr(hook.function, "__self__", None), Passage):
                module.__dict__["_forward_hooks"].pop(number)


def line_of(module: Module) -> str | None:
    """The line of the user's code that made a module, as ``file:line``."""
    made_at = module._made_at
    return None if made_at is None else f"{made_at[0]}:{made_at[1]}"


# --- the activation --------------------------------------------------------------------------------------------------


def _activation_after(
    call: _Call, calls: Sequence[_Call], users: Mapping[Node, list[Node]]
) -> tuple[str | None, Tensor]:
    """The activation that a call's result goes through, behind normalisation and dropout, and what comes out of it."""
    node, is_further = call.output.node, True
    while is_further:
        # what hands its input on unchanged, such as nn.Identity, is passed over: it would follow upon itself for ever
        following = next((each for each in calls if each.inputs[:1] == (node,) and each.output.node is not node), None)
        if following is None:
            break
        if isinstance(following.module, ACTIVATIONS):
            return type(following.module).__name__, following.output
        is_further = isinstance(following.module, _IN_BETWEEN)
        node = following.output.node if is_further else node
    for user in users.get(node, ()):
        name = _name_of_function(user, node, users)
        if name is not None:
            return name, Tensor._result(user)
    return None, call.output


def _name_of_function(user: Node, x: Node, users: Mapping[Node, list[Node]]) -> str | None:
    """The activation that a user of `x` is the result of, if it was called as a function."""
    if user.op.name == "tanh":
        return "Tanh"
    if user.op.name == "sigmoid":
        is_gate = any(each.op.name == "multiply" and x in each.inputs for each in users.get(user, ()))
        return None if is_gate else "Sigmoid"
    if user.op.name == "where" and x in user.inputs[1:]:
        other = next((each for each in user.inputs[1:] if each is not x), x)
        return "ReLU" if known_number(other) == 0 else "LeakyReLU" if other.op.name == "multiply" else None
    return None


def _users(result: Node, calls: Iterable[_Call]) -> dict[Node, list[Node]]:
    users: dict[Node, list[Node]] = {}
    for node in toposort([result, *(each.output.node for each in calls)], _is_known):
        for each in () if _is_known(node) else node.inputs:
            users.setdefault(each, []).append(node)
    return users


def _is_known(node: Node) -> bool:
    return node.value is not None


# --- branches --------------------------------------------------------------------------------------------------------


def _on_all_paths(result: Node, sources: Sequence[Node]) -> Callable[[Sequence[Node]], bool]:
    """Whether every path from the model's inputs to its result leads through one of the results of a call.

    That many paths lead there, times those that lead on.
    """
    order = toposort([result], lambda node: node in sources or _is_known(node))
    there = {node: int(node in sources) for node in order}
    for node in order:
        if node not in sources and not _is_known(node):
            there[node] = sum(there[each] for each in node.inputs) % _PRIME
    onward = dict.fromkeys(order, 0)
    onward[result] = 1
    for node in reversed(order):
        for each in () if node in sources or _is_known(node) else node.inputs:
            onward[each] = (onward[each] + onward[node]) % _PRIME
    total = there[result]
    return lambda nodes: sum(there.get(each, 0) * onward.get(each, 0) for each in set(nodes)) % _PRIME == total
