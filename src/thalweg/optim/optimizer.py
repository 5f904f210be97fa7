"""`Optimizer`: what all optimizers share: parameter groups, state, the step, saving and loading.

In: parameters with gradients. Out: the same parameters, written in place. A subclass states only its mathematics:
`init(param, group)`, the state a parameter starts with, and `update(grad, param, state, hyper)`, one step of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.graph import Node
from thalweg.optim.counts import keep_apart
from thalweg.optim.hyper import MEMBERS, ParamGroup, show, step_counter
from thalweg.optim.saving import read_state, write_state
from thalweg.optim.updates import Updates
from thalweg.tensor import Tensor, enable_grad, no_grad
from thalweg.tensor.holding import bump_version
from thalweg.tensor.modes import modes, outside_trace

Parameters = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
# `Any` stands for a Tensor where its methods and operators are used: they are bound from tables, unseen by mypy.
State = dict[str, Any]
Hyper = Mapping[str, Any]


class Optimizer:
    """Base of the optimizers, and a way to write one.

    `params` are tensors, (name, tensor) pairs as `named_parameters()` gives them, or dicts with "params" and the
    hyper-parameters in which a group differs; `defaults` are the hyper-parameters of the others. Numbers are live
    cells and may be schedules: see `ParamGroup`. In `update`, `hyper` holds a 0-d float64 tensor for each number
    (which leaves the dtype of a parameter as it is), None for one named in `optional` that is 0, and switches as
    Python values. `maximize` is taken care of here. State named in `counts` (Adam's `"step"`) counts the steps of a
    parameter; those that always step together have one tensor for it.

    >>> import thalweg as tw
    >>> class SignDescent(tw.optim.Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...     def update(self, grad, param, state, hyper):
    ...         return param - hyper["lr"] * grad.sign(), state
    >>> w = tw.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = SignDescent([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.5, -1.5], requires_grad=True)
    """

    # Numbers whose term, and whose state, is left out of the program while they are 0.
    optional: ClassVar[frozenset[str]] = frozenset()
    # State that begins at 0 and grows by 1 at each step of its parameter: those that keep step have one tensor for it.
    counts: ClassVar[frozenset[str]] = frozenset()
    # Hyper-parameters that decide the form of the program (how often to iterate): Python values, not cells.
    static: ClassVar[frozenset[str]] = frozenset()
    # State whose first axis grows while training (LBFGS's history).
    grows: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, params: Parameters, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.state: dict[Tensor, State] = {}
        self.param_groups: list[ParamGroup] = []
        self._counter = step_counter()
        self._prepared: dict[Tensor, int] = {}  # parameter -> the structure of its group that its state was made for
        self._updates = Updates()
        self._new_counts: dict[str, Tensor] = {}  # which those that take their first step together share
        for group in _groups_of(type(self).__name__, params):
            self.add_param_group(group)

    # --- the mathematics, stated by each subclass -------------------------------------------------------------------

    def init(self, param: Tensor, group: ParamGroup) -> State:
        """The state of one parameter before its first step; none unless a subclass says otherwise."""
        return {}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        """One step of one parameter, in tensor operations that write nothing: its new value and new state."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to update a parameter")

    def check(self, group: ParamGroup) -> None:
        """Raise for hyper-parameters that do not go together."""

    # --- a step -----------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in place; one without (`grad` None) is left alone.

        `closure`, if given, clears the gradients, computes the loss, calls `backward` and returns the loss, which is
        returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            if modes.trace is None:
                self._updates.run(self, [param.grad for param in self._parameters()])
            else:
                self._write_updates([param.grad for param in self._parameters()])
        return loss

    def _write_updates(self, gradients: Sequence[Tensor | None]) -> None:
        """Give every parameter that has a gradient its new value and state."""
        keep_apart(self.state, self.counts, dict(zip(self._parameters(), gradients, strict=True)))
        self._new_counts = {}
        remaining, counted = iter(gradients), dict[Tensor, Node]()
        for group in self.param_groups:
            hyper = group.operands()
            for param, grad in zip(group["params"], remaining, strict=False):
                if grad is not None:
                    signed = -grad if hyper.get("maximize") else grad
                    counted |= self._step_one(param, signed, group, hyper)
        for count, node in counted.items():  # when all that share it have read it
            count._assign(node)
        self._counter.add_(1)

    def _step_one(self, param: Tensor, grad: Tensor, group: ParamGroup, hyper: Hyper) -> dict[Tensor, Node]:
        """Write the parameter and its state, but for the counts, whose new values are returned."""
        state = self._prepare(param, group)
        new_param, new_state = self.update(grad, param, state, hyper)
        param._assign(new_param.node)
        changed = {name: value for name, value in new_state.items() if value is not state[name]}
        for name, value in changed.items():
            if name not in self.counts:
                state[name]._assign(value.node)
        return {state[name]: value.node for name, value in changed.items() if name in self.counts}

    def preview(self, gradients: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        """What `step` would make of parameters that had these gradients; nothing is changed.

        >>> import thalweg as tw
        >>> w = tw.tensor([1.0, 2.0], requires_grad=True)
        >>> tw.optim.SGD([w], lr=0.5).preview({w: tw.tensor([1.0, -1.0])})[w]
        tensor([0.5, 2.5])
        """
        with no_grad():
            return {
                param: self._previewed(param, gradients[param], group)
                for group in self.param_groups
                for param in group["params"]
                if param in gradients
            }

    def _previewed(self, param: Tensor, grad: Any, group: ParamGroup) -> Tensor:
        hyper = group.operands()
        known = self.state.get(param, {})
        state = {name: known.get(name, new) for name, new in self.init(param, group).items()}
        new, _ = self.update(-grad if hyper.get("maximize") else grad, param, state, hyper)
        return new.to(param.dtype)  # type: ignore[no-any-return]

    def _prepare(self, param: Tensor, group: ParamGroup) -> State:
        """The state of a parameter, made at its first step; a term switched on later begins then, one off is lost."""
        if self._prepared.get(param) != group.structure:
            known = self.state.get(param, {})
            with outside_trace():
                made = self.init(param, group)
            for name in self.counts & made.keys():
                made[name] = self._new_counts.setdefault(name, made[name])
            self.state[param] = {name: known.get(name, new) for name, new in made.items()}
            self._prepared[param] = group.structure
        return self.state[param]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters: to None, or to zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    with no_grad():
                        param.grad.zero_()

    @property
    def step_count(self) -> int:
        """How many steps have been taken; schedules are functions of it."""
        return int(self._counter.item())

    def learning_rates(self) -> list[float]:
        """The rate that the next step will use, one for each group: numbers also where `lr` is a schedule."""
        return [group.tensor("lr").item() for group in self.param_groups]

    # --- parameters and their groups --------------------------------------------------------------------------------

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters, with hyper-parameters of their own where `param_group` has them."""
        owner = type(self).__name__
        names, params = _checked_parameters(owner, param_group.get("params"), {id(each) for each in self._parameters()})
        group = ParamGroup(owner, self._counter, self.optional, self.static)
        group["params"] = params
        if names:
            group["param_names"] = names
        for name, value in {**self.defaults, **param_group}.items():
            if name not in MEMBERS:
                group[name] = value
        self.check(group)
        self.param_groups.append(group)
        bump_version()

    def _parameters(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    # --- saving -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continuation needs, as numbers and NumPy arrays: {"state", "param_groups", "step_count"}.

        As in PyTorch, parameters are numbered in the order of the groups. Schedules are saved as their configuration.
        """
        return write_state(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken; also takes what PyTorch's optimizer of the same name saved.

        Nothing is changed if it does not fit (`StateError`).
        """
        read_state(self, state_dict)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {name}: {show(group[name])}" for name in sorted(group) if name not in MEMBERS]
        return "\n".join(lines) + "\n)"


def _groups_of(owner: str, params: Any) -> list[dict[str, Any]]:
    if hasattr(params, "parameters") and not isinstance(params, Iterable):
        _refuse_module(owner, params)
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise DTypeError(
            explain(f"{owner} takes several parameters", received=type(params).__name__,
                    expected="an iterable of tensors or of dicts", remedy="wrap a single tensor in a list")
        )  # fmt: skip
    if hasattr(params, "parameters"):
        _refuse_module(owner, params)
    listed = params if isinstance(params, set | frozenset) else list(params)
    if not listed:
        raise ArgumentError(
            explain(f"{owner} got an empty parameter list", received="no parameters", expected="at least one tensor",
                    remedy="check that the model has layers with parameters; a generator can be used once only")
        )  # fmt: skip
    is_grouped = not isinstance(listed, set | frozenset) and all(isinstance(each, Mapping) for each in listed)
    return [dict(each) for each in listed] if is_grouped else [{"params": listed}]


def _refuse_module(owner: str, params: Any) -> None:
    raise DTypeError(
        explain(f"{owner} takes the parameters of a module, not the module", received=type(params).__name__,
                expected="an iterable of tensors", remedy="pass model.parameters()")
    )  # fmt: skip


def _checked_parameters(owner: str, given: Any, taken: set[int]) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """The names, if there are any, and the parameters of one group."""
    if given is None:
        raise ArgumentError(
            explain(f"{owner}: a parameter group without parameters", expected="a dict with the key 'params'")
        )
    if isinstance(given, set | frozenset):
        raise DTypeError(
            explain(f"{owner}: parameters need an order, which a set does not keep", received=type(given).__name__,
                    expected="a list", remedy="sort them into a list, so that a saved state finds its parameters")
        )  # fmt: skip
    listed: list[Any] = [given] if isinstance(given, Tensor) else list(given)
    is_named = bool(listed) and all(isinstance(each, tuple) and len(each) == 2 for each in listed)
    params = tuple(each[1] if is_named else each for each in listed)
    if not params:
        raise ArgumentError(explain(f"{owner} got an empty parameter list", expected="at least one tensor"))
    for index, param in enumerate(params):
        _check_parameter(owner, f"parameter {listed[index][0] if is_named else index}", param, taken)
        taken.add(id(param))
    return tuple(str(each[0]) for each in listed) if is_named else (), params


def _check_parameter(owner: str, name: str, param: Any, taken: set[int]) -> None:
    if not isinstance(param, Tensor):
        raise DTypeError(
            explain(f"{owner} can only optimize tensors", received=f"{type(param).__name__} as {name}",
                    expected="tensors", remedy="pass model.parameters(), or tw.tensor(..., requires_grad=True)")
        )  # fmt: skip
    if not param.is_leaf:
        raise ArgumentError(
            explain(f"{owner} can only optimize leaf tensors", received=f"{name}, the result of an operation",
                    expected="a tensor made by you", remedy="use .detach().requires_grad_() to make a leaf of it")
        )  # fmt: skip
    if not param.is_floating_point():
        raise DTypeError(
            explain(f"{owner} can only optimize real numbers", received=f"{name} of dtype {param.dtype.name}",
                    expected="float32 or float64", remedy="convert it with .float()")
        )  # fmt: skip
    if id(param) in taken:
        raise ArgumentError(
            explain(f"{owner}: a parameter appears more than once", received=f"{name} again",
                    expected="every parameter once, in one group", remedy="remove one; shared weights are listed once")
        )  # fmt: skip
