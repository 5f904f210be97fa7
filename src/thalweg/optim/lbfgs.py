"""L-BFGS: Newton's direction, from the last few steps and how the gradient changed along them.

In: a closure that computes the loss and its gradients, of the whole data or of one large batch. Out: parameters after
up to `max_iter` steps. The directions are a few inner products of flat vectors, and are made with NumPy: all the work
is in the closure, which may be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from thalweg.dtype import float64
from thalweg.errors import ArgumentError, TraceError, explain
from thalweg.optim.hyper import ParamGroup
from thalweg.optim.line_search import Point, strong_wolfe
from thalweg.optim.optimizer import Optimizer, Parameters, State
from thalweg.tensor import Tensor, enable_grad, no_grad, tensor, zeros
from thalweg.tensor.modes import modes


class LBFGS(Optimizer):
    """Limited-memory Broyden, Fletcher, Goldfarb and Shanno.

    With sᵢ the last `history_size` steps, yᵢ the changes of the gradient along them and γ = s·y / y·y of the last:

        d ← −H g,  H the inverse Hessian that BFGS makes of γI and the pairs (two-loop recursion)
        p ← p + t d,  t = lr, or with ``line_search_fn="strong_wolfe"`` where the strong Wolfe conditions hold

    A call of `step(closure)` makes up to `max_iter` such steps, with at most `max_eval` (default 1.25 `max_iter`)
    evaluations of the closure, and ends early where no entry of the gradient exceeds `tolerance_grad`, or loss or
    parameters change by less than `tolerance_change`. The very first step is at most lr long in sum. For losses without
    noise: small problems, physics-informed networks, the last digits of a fit. One parameter group.

    Nocedal and Wright 2006, "Numerical optimization", algorithm 7.4. Names, defaults and numbers are PyTorch's.

    Errors: `ArgumentError` without a closure, for a second group, for an unknown line search; `TraceError` in a
    compiled function, because it decides by values: compile the closure instead.

    >>> import thalweg as tw
    >>> w = tw.tensor([-1.2, 1.0], dtype=tw.float64, requires_grad=True)
    >>> optimizer = tw.optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():                    # Rosenbrock's valley
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure)           # the loss at the beginning
    tensor(24.2, dtype=thalweg.float64, requires_grad=True)
    >>> w
    tensor([1., 1.], dtype=thalweg.float64, requires_grad=True)
    """

    static = frozenset({"max_iter", "max_eval", "history_size", "line_search_fn"})
    grows = frozenset({"old_dirs", "old_stps", "ro"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        defaults = {"lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
                    "tolerance_change": tolerance_change, "history_size": history_size,
                    "line_search_fn": line_search_fn}  # fmt: skip
        super().__init__(params, defaults)

    def check(self, group: ParamGroup) -> None:
        if self.param_groups:
            raise ArgumentError(
                explain("LBFGS takes one parameter group", received="a second", expected="one direction for all",
                        remedy="put all parameters into one list")
            )  # fmt: skip
        for name in ("max_iter", "max_eval", "history_size"):
            if isinstance(group[name], bool) or not isinstance(group[name], int) or group[name] < 1:
                received, expected = f"{name}={group[name]!r}", "a whole number of at least 1"
                raise ArgumentError(explain(f"LBFGS: {name} is no count", received=received, expected=expected))
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            received, expected = f"line_search_fn={group['line_search_fn']!r}", "None or 'strong_wolfe'"
            raise ArgumentError(explain("LBFGS: unknown line search", received=received, expected=expected))

    def init(self, param: Tensor, group: ParamGroup) -> State:
        """The state of the whole optimizer, which as in PyTorch lies with the first parameter."""
        params = group["params"]
        return _Memory.begin(sum(each.numel() for each in params), _dtype_of(params)).tensors()

    def update(self, grad: Any, param: Any, state: State, hyper: Mapping[str, Any]) -> tuple[Any, State]:
        raise ArgumentError(
            explain("LBFGS has no update of one parameter", expected="optimizer.step(closure)",
                    remedy="an optimizer whose step is a formula of the gradient, such as Adam")
        )  # fmt: skip

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to `max_iter` steps.

        `closure` clears the gradients, computes the loss, calls `backward` and returns the loss. Returns the loss at
        the beginning.
        """
        _check_call(closure)
        group = self.param_groups[0]
        line = _Line(group["params"], closure)
        original = line.loss_here()
        with no_grad():
            memory = _Memory.of(self._prepare(group["params"][0], group))
            memory.func_evals += 1
            _descend(line, memory, group)
            self.state[group["params"][0]] = memory.tensors()
            self._counter.add_(1)
        return original


def _check_call(closure: Any) -> None:
    if not callable(closure):
        raise ArgumentError(
            explain("LBFGS evaluates the loss several times in a step", received=repr(closure),
                    expected="step(closure), a function that computes the loss and its gradients and returns it",
                    remedy="def closure(): optimizer.zero_grad(); loss = ...; loss.backward(); return loss")
        )  # fmt: skip
    if modes.trace is not None:
        raise TraceError(
            explain("LBFGS decides by the values of the loss, which a compiled function does not know",
                    remedy="compile the closure, and call optimizer.step(closure) outside")
        )  # fmt: skip


def _dtype_of(params: Any) -> np.dtype[Any]:
    return np.result_type(*(each.dtype.numpy for each in params))


def _descend(line: _Line, memory: _Memory, group: ParamGroup) -> None:
    """The iterations of one call."""
    loss, gradient, evaluations = line.loss, line.gradient, 1
    is_searched, flat = group["line_search_fn"] is not None, group["tolerance_grad"]
    if not _largest(gradient) > flat:
        return
    for iteration in range(1, group["max_iter"] + 1):
        memory.turn(gradient, group["history_size"])
        previous, memory.prev_loss = loss, loss
        memory.t = np.float64(group["lr"]) * (min(1.0, 1.0 / np.abs(gradient).sum()) if memory.n_iter == 1 else 1.0)
        slope = np.float64(gradient @ memory.d)
        if slope > -group["tolerance_change"]:
            return
        used = 0
        if is_searched:
            start = Point(np.float64(0.0), np.float64(loss), gradient, slope)
            found, used = strong_wolfe(line.along(memory.d), start, memory.t, group["max_eval"] - evaluations,
                                       _largest(memory.d), group["tolerance_change"])  # fmt: skip
            memory.t, loss, gradient = found.t, found.loss, found.gradient
            line.move(memory.t * memory.d)
        else:
            line.move(memory.t * memory.d)
            if iteration != group["max_iter"]:  # the last one would be evaluated at the next call anyway
                line.loss_here()
                loss, gradient, used = line.loss, line.gradient, 1
        evaluations += used
        memory.func_evals += used
        is_short = min(_largest(memory.d * memory.t), abs(loss - previous)) <= group["tolerance_change"]
        if evaluations >= group["max_eval"] or not _largest(gradient) > flat or is_short:
            return


def _largest(vector: np.ndarray) -> float:
    return float(np.abs(vector).max(initial=0.0))


class _Line:
    """The parameters as one flat vector, and the loss where they are."""

    def __init__(self, params: Any, closure: Any) -> None:
        self.params, self.closure, self.dtype = params, closure, _dtype_of(params)
        self.loss, self.gradient = np.float64(0.0), np.zeros(0)

    def loss_here(self) -> Any:
        with enable_grad():
            found = self.closure()
        self.loss = np.float64(found)
        self.gradient = np.concatenate([_flat(each.grad, each.numel(), self.dtype) for each in self.params])
        return found

    def move(self, by: np.ndarray) -> None:
        first = 0
        for each in self.params:
            count = each.numel()
            change = by[first : first + count].astype(each.dtype.numpy).reshape(each.shape)
            each.copy_(tensor(each.detach().numpy() + change))
            first += count

    def along(self, direction: np.ndarray) -> Callable[[np.float64], Point]:
        """The loss at a distance in a direction; the parameters come back."""

        def evaluate(t: np.float64) -> Point:
            origin = [each.detach().numpy().copy() for each in self.params]
            self.move(t * direction)
            self.loss_here()
            for each, value in zip(self.params, origin, strict=True):
                each.copy_(tensor(value))
            return Point(t, self.loss, self.gradient, np.float64(self.gradient @ direction))

        return evaluate


def _flat(gradient: Tensor | None, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    if gradient is None:
        return np.zeros(count, dtype)
    return gradient.detach().numpy().astype(dtype).reshape(-1)


@dataclass
class _Memory:
    """What one call of `step` leaves to the next, under PyTorch's names."""

    func_evals: int
    n_iter: int
    d: np.ndarray
    t: np.float64
    old_dirs: list[np.ndarray]
    old_stps: list[np.ndarray]
    ro: list[float]
    H_diag: np.float64
    prev_flat_grad: np.ndarray
    prev_loss: np.float64

    @classmethod
    def begin(cls, count: int, dtype: np.dtype[Any]) -> _Memory:
        nothing = np.zeros(count, dtype)
        return cls(0, 0, nothing, np.float64(0.0), [], [], [], np.float64(1.0), nothing, np.float64(0.0))

    @classmethod
    def of(cls, state: State) -> _Memory:
        values = {each.name: state[each.name].detach().numpy() for each in fields(cls)}
        counts = {name: int(values[name]) for name in ("func_evals", "n_iter")}
        numbers = {name: np.float64(values[name]) for name in ("t", "H_diag", "prev_loss")}
        histories = {name: list(values[name]) for name in ("old_dirs", "old_stps", "ro")}
        return cls(**{**values, **counts, **numbers, **histories})

    def tensors(self) -> State:
        rows = {name: np.array(getattr(self, name), self.d.dtype) for name in ("old_dirs", "old_stps")}
        state: State = {name: tensor(each) if len(each) else zeros(0, self.d.size, dtype=self.d.dtype)
                        for name, each in rows.items()}  # fmt: skip
        state |= {name: tensor(getattr(self, name)) for name in ("func_evals", "n_iter", "d", "prev_flat_grad")}
        state |= {name: tensor(float(getattr(self, name)), dtype=float64) for name in ("t", "H_diag", "prev_loss")}
        return state | {"ro": tensor(np.array(self.ro, np.float64))}

    def turn(self, gradient: np.ndarray, size: int) -> None:
        """Learn from the last step, and find the direction of the next."""
        self.n_iter += 1
        if self.n_iter == 1:
            self.d = -gradient
        else:
            self._remember(gradient - self.prev_flat_grad, self.d * self.t.astype(self.d.dtype), size)
            self.d = self._newton(gradient)
        self.prev_flat_grad = gradient.copy()

    def _remember(self, change: np.ndarray, step: np.ndarray, size: int) -> None:
        curvature = np.float64(change @ step)
        if not curvature > 1e-10:  # a pair along which the loss does not curve upwards would make H indefinite
            return
        histories: list[tuple[list[Any], Any]] = [
            (self.old_dirs, change), (self.old_stps, step), (self.ro, 1.0 / curvature)
        ]  # fmt: skip
        for history, new in histories:
            del history[: max(0, len(history) + 1 - size)]
            history.append(new)
        self.H_diag = curvature / np.float64(change @ change)

    def _newton(self, gradient: np.ndarray) -> np.ndarray:
        """−H g: algorithm 7.4."""
        vector: Any = -gradient
        shares: list[float] = []
        pairs = list(zip(self.old_dirs, self.old_stps, self.ro, strict=True))
        for change, step, ro in reversed(pairs):
            shares.append(float(step @ vector) * ro)
            vector = vector - vector.dtype.type(shares[-1]) * change
        vector = vector * vector.dtype.type(self.H_diag)
        for (change, step, ro), share in zip(pairs, reversed(shares), strict=True):
            vector = vector + vector.dtype.type(share - float(change @ vector) * ro) * step
        return np.asarray(vector)
