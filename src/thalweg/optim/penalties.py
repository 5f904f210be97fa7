"""Penalties on the size of chosen parameters: tensors to add to the loss.

In: a strength, parameters, and which of them. Out: a callable that gives the penalty as a 0-d tensor, with gradients.
For weight decay that does not pass through an adaptive optimizer's averages, see `AdamW`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from thalweg.dtype import float64
from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.graph import make_input
from thalweg.tensor import Tensor, tensor
from thalweg.tensor.modes import modes, outside_trace

Chosen = str | Sequence[str] | Callable[[str, Tensor], bool]


def is_weight(name: str, parameter: Tensor) -> bool:
    """Whether a parameter multiplies its input: matrices and kernels do, biases and scales have one axis.

    >>> import thalweg as tw
    >>> is_weight("0.weight", tw.zeros(3, 2)), is_weight("0.bias", tw.zeros(3))
    (True, False)
    """
    return parameter.ndim >= 2


class Penalty:
    """Base of the penalties: `penalty()` is strength × the sum of `entry_cost` over the chosen parameters.

    `parameters` are tensors, or (name, tensor) pairs as `named_parameters()` gives them. `only` chooses among them: a
    pattern such as "*.weight", several of them, or a function of the name and the tensor such as `is_weight`; tensors
    without names are called by their position. `strength` may be changed while training; compiled steps see it.
    """

    def __init__(
        self,
        strength: float,
        parameters: Iterable[Tensor] | Iterable[tuple[str, Tensor]],
        only: Chosen | None = None,
    ) -> None:
        with outside_trace():
            self._strength = tensor(_checked_strength(self, strength), dtype=float64)
        self.parameters = [each for name, each in _named(self, parameters) if _is_chosen(only, name, each)]
        if not self.parameters:
            raise ArgumentError(
                explain(f"{type(self).__name__} has nothing to penalise", received=f"only={only!r}",
                        expected="at least one chosen parameter", remedy="print the names of model.named_parameters()")
            )  # fmt: skip

    @property
    def strength(self) -> float:
        return float(self._strength.item())

    @strength.setter
    def strength(self, value: float) -> None:
        known = _checked_strength(self, value)
        if modes.trace is not None:
            self._strength.fill_(known)
        else:
            self._strength._assign(make_input((), float64, np.array(known)))

    def entry_cost(self, parameter: Any) -> Any:
        """The cost of each entry at strength 1."""
        raise NotImplementedError

    def __call__(self) -> Tensor:
        """The penalty now, in the dtype of the parameters."""
        total: Any = None
        for parameter in self.parameters:
            cost = self.entry_cost(parameter).sum()
            total = cost if total is None else total + cost
        return total * self._strength.to(total.dtype)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(strength={self.strength:g}, parameters={len(self.parameters)})"


class L1(Penalty):
    """strength · Σ |w|: pulls every entry towards 0 by the same amount, so that many become 0.

    Tibshirani 1996, "Regression shrinkage and selection via the lasso". The derivative at 0 is 0.

    >>> import thalweg as tw
    >>> w = tw.tensor([[3.0, -4.0]], requires_grad=True)
    >>> penalty = tw.optim.L1(0.5, [w])
    >>> penalty().backward()
    >>> penalty().item(), w.grad
    (3.5, tensor([[ 0.5, -0.5]]))
    """

    def entry_cost(self, parameter: Any) -> Any:
        return parameter.abs()


class L2(Penalty):
    """strength / 2 · Σ w²: pulls every entry towards 0 in proportion to its size.

    The half makes the gradient strength · w, so that the penalty is what `weight_decay` of the same strength does in
    every optimizer but AdamW. (Keras leaves the half out.) Hoerl and Kennard 1970, "Ridge regression".

    >>> import thalweg as tw
    >>> pairs = [("0.weight", tw.ones(1, 2, requires_grad=True)), ("0.bias", tw.ones(1, requires_grad=True))]
    >>> tw.optim.L2(0.5, pairs, only="*.weight")()
    tensor(0.5, requires_grad=True)
    """

    def entry_cost(self, parameter: Any) -> Any:
        return 0.5 * parameter.square()


def _checked_strength(owner: Penalty, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ArgumentError(
            explain(f"{type(owner).__name__}: the strength is outside its range", received=repr(value),
                    expected="a finite number of at least 0")
        )  # fmt: skip
    return float(value)


def _named(owner: Penalty, parameters: Any) -> list[tuple[str, Tensor]]:
    if (
        isinstance(parameters, Tensor)
        or not isinstance(parameters, Iterable)
        or hasattr(parameters, "named_parameters")
    ):
        raise DTypeError(
            explain(f"{type(owner).__name__} takes several parameters", received=type(parameters).__name__,
                    expected="an iterable of tensors or of (name, tensor) pairs",
                    remedy="pass model.named_parameters(), or wrap a single tensor in a list")
        )  # fmt: skip
    pairs = [each if isinstance(each, tuple) else (str(index), each) for index, each in enumerate(parameters)]
    for name, each in pairs:
        if not isinstance(each, Tensor):
            raise DTypeError(
                explain(f"{type(owner).__name__} penalises tensors", received=f"{type(each).__name__} as {name}",
                        expected="tensors, or (name, tensor) pairs")
            )  # fmt: skip
    return pairs


def _is_chosen(only: Chosen | None, name: str, parameter: Tensor) -> bool:
    if only is None:
        return True
    if callable(only):
        return bool(only(name, parameter))
    return any(fnmatchcase(name, pattern) for pattern in ([only] if isinstance(only, str) else only))
