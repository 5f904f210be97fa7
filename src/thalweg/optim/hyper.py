"""Hyper-parameters as cells: numbers that may change between steps without a second compilation.

In: what a user gives for `lr`, `betas`, `momentum`, ...: numbers, pairs of numbers, 0-d tensors, schedules, switches.
Out: checked values, and the 0-d float64 tensors that stand for them in the arithmetic of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping
from numbers import Real
from typing import Any

import numpy as np

from thalweg.dtype import float64
from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.graph import make_input
from thalweg.optim import schedules
from thalweg.optim.schedules import Schedule, is_config
from thalweg.tensor import Tensor, no_grad, tensor
from thalweg.tensor.holding import bump_version
from thalweg.tensor.modes import modes, outside_trace

# name -> (lowest allowed, first that is too high). Any other number only has to be finite.
RANGES: dict[str, tuple[float, float]] = {
    "lr": (0.0, math.inf),
    "betas": (0.0, 1.0),
    "momentum": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "eps": (0.0, math.inf),
    "alpha": (0.0, math.inf),
    "lr_decay": (0.0, math.inf),
    "initial_accumulator_value": (0.0, math.inf),
    "momentum_decay": (0.0, math.inf),
    "rho": (0.0, math.nextafter(1.0, 2.0)),
    "beta2_decay": (-math.inf, math.nextafter(0.0, 1.0)),
    "d": (1.0, math.inf),
}
# How many numbers a name has where that is not one.
LENGTHS = {"betas": 2, "etas": 2, "step_sizes": 2, "ns_coefficients": 3}
MEMBERS = ("params", "param_names", "initial_lr")


class ParamGroup(dict[str, Any]):
    """The parameters that share hyper-parameters, and these: a dict, as in PyTorch, whose numbers are cells.

    `group["lr"]` reads as a float (a schedule as itself) and `group["lr"] = 0.01` is in force at the next step, also
    in a step that is compiled already. `group.tensor("lr")` is the 0-d float64 tensor behind it; for a schedule, its
    value at the optimizer's next step. Any number may be given a schedule. What changes the program itself (switches,
    the parameters, a weight decay or momentum that becomes or stops being 0) makes compiled steps compile again.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(2, requires_grad=True)], lr=0.5)
    >>> group = optimizer.param_groups[0]
    >>> group["lr"] = 0.25
    >>> group["lr"], group.tensor("lr")
    (0.25, tensor(0.25, dtype=thalweg.float64))
    """

    def __init__(
        self, owner: str, counter: Tensor, optional: frozenset[str], static: frozenset[str] = frozenset()
    ) -> None:
        """`counter` counts the optimizer's steps; a number named in `optional` drops its term while it is 0.

        What is named in `static` decides the form of the program: it is kept as it is, not in a cell.
        """
        super().__init__()
        self.owner = owner
        self.structure = 0
        self._counter = counter
        self._optional = optional
        self._static = static
        self._off: set[str] = set()

    # --- as a mapping -----------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        return _readable(name, dict.__getitem__(self, name))

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in MEMBERS and name not in self._static:
            value = schedules.from_config(value) if is_config(value) else value
            if is_numeric(value):
                self._set_number(name, value)
                return
        self._set_structure(name, tuple(value) if name == "params" else value)

    def __delitem__(self, name: str) -> None:
        dict.__delitem__(self, name)
        self._off.discard(name)
        self._changed()

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self)

    # dict's own methods would pass by the cells; these are made of the ones above. (So is `__iter__`, for `{**group}`.)
    get = MutableMapping.get  # type: ignore[assignment]
    items = MutableMapping.items  # type: ignore[assignment]
    values = MutableMapping.values  # type: ignore[assignment]
    pop = MutableMapping.pop
    setdefault = MutableMapping.setdefault
    update = MutableMapping.update

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    # --- in the arithmetic of a step --------------------------------------------------------------------------------

    def tensor(self, name: str) -> Any:
        """The 0-d float64 tensor of a number, a tuple of them for `betas`; a schedule is evaluated at the next step."""
        stored = dict.__getitem__(self, name)
        if isinstance(stored, Schedule):
            return stored(self._counter)
        if not isinstance(stored, (Tensor, tuple)) or name in MEMBERS:
            raise DTypeError(
                explain(f"{self.owner}: {name} is not a number", received=repr(stored), expected="a number or schedule")
            )
        return stored

    def operands(self) -> dict[str, Any]:
        """What the formula of a step is given: tensors for numbers, None for terms that are off, and switches."""
        return {name: self._operand(name) for name in self if name not in MEMBERS}

    def _operand(self, name: str) -> Any:
        if name in self._off:
            return None
        stored = dict.__getitem__(self, name)
        return stored(self._counter) if isinstance(stored, Schedule) else stored

    # --- writing ----------------------------------------------------------------------------------------------------

    def _set_number(self, name: str, value: Any) -> None:
        """Write into the cells that are there, or make them; note whether the term is on."""
        parts = value if isinstance(value, tuple | list) else (value,)
        if len(parts) != LENGTHS.get(name, 1):
            self._refuse_form(name, value)
        for each in parts:
            self._check_range(name, each)
        self._switch(name, is_off=name in self._optional and _is_zero(value))
        stored = dict.get(self, name)
        cells = stored if isinstance(stored, tuple) else (stored,)
        if len(cells) == len(parts) and all(isinstance(each, Tensor) for each in cells):
            for cell, each in zip(cells, parts, strict=True):
                _write(cell, each)
        else:
            made = tuple(_make_cell(each) for each in parts)
            dict.__setitem__(self, name, made if isinstance(value, tuple | list) else made[0])
            self._changed()

    def _set_structure(self, name: str, value: Any) -> None:
        if name in (RANGES.keys() | LENGTHS) - self._static and not (
            isinstance(value, Schedule) and name not in LENGTHS
        ):
            self._refuse_form(name, value)
        self._off.discard(name)
        dict.__setitem__(self, name, value)
        self._changed()

    def _refuse_form(self, name: str, value: Any) -> None:
        count = LENGTHS.get(name)
        several = "a pair of numbers" if count == 2 else f"{count} numbers"
        expected = several if count else "a number, a 0-d tensor or a schedule"
        raise DTypeError(explain(f"{self.owner}: {name} has a wrong form", received=repr(value), expected=expected))

    def _switch(self, name: str, is_off: bool) -> None:
        if is_off != (name in self._off):
            self._off.symmetric_difference_update({name})
            self._changed()

    def _changed(self) -> None:
        self.structure += 1
        bump_version()

    def _check_range(self, name: str, value: Any) -> None:
        if modes.trace is not None and isinstance(value, Tensor):
            return  # its value is not known yet
        low, high = RANGES.get(name, (-math.inf, math.inf))
        if not (low <= float(value) < high) or not math.isfinite(float(value)):
            below = f" and below {high:g}" if math.isfinite(high) else ""
            least = f" of at least {low:g}" if math.isfinite(low) else ""
            raise ArgumentError(
                explain(f"{self.owner}: {name} is outside its range", received=f"{name}={float(value)!r}",
                        expected=f"a finite number{least}{below}")
            )  # fmt: skip


def is_numeric(value: object) -> bool:
    """Whether this is kept in cells: a number, a 0-d tensor, or a pair of them; switches are not."""
    if isinstance(value, tuple | list):
        return bool(value) and all(map(is_numeric, value))
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, Real | np.number) and not isinstance(value, bool)


def show(value: Any) -> str:
    """A hyper-parameter as PyTorch prints it: whole numbers without a fraction."""
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(show, value)) + ")"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def plain(value: Any) -> Any:
    """A hyper-parameter as JSON values."""
    if isinstance(value, Schedule):
        return value.to_config()
    return list(value) if isinstance(value, tuple) else value


def first_rate(group: ParamGroup) -> float:
    """The learning rate of the step that comes next, for state that begins with it."""
    return float(group.tensor("lr").item())


def step_counter() -> Tensor:
    """A cell that counts steps from 0."""
    with outside_trace():
        return tensor(0)


def refuse_execution_options(owner: str, options: Mapping[str, Any]) -> None:
    """Accept PyTorch's switches for how a step is carried out, which do not change its result; refuse any other."""
    for name, value in options.items():
        if name not in ("foreach", "fused", "capturable", "differentiable"):
            raise ArgumentError(explain(f"{owner} has no such argument", received=f"{name}={value!r}"))
        if name == "differentiable" and value:
            raise ArgumentError(
                explain(f"{owner} does not differentiate through its own step", received="differentiable=True",
                        expected="False", remedy="write the update as tensor operations and use tw.grad")
            )  # fmt: skip


def _is_zero(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_zero, value))
    return not (isinstance(value, Tensor) and modes.trace is not None) and float(value) == 0.0


def _readable(name: str, stored: Any) -> Any:
    if name in MEMBERS:
        return stored
    if isinstance(stored, tuple):
        return tuple(_readable(name, each) for each in stored)
    return stored.item() if isinstance(stored, Tensor) else stored


def _make_cell(value: Any) -> Tensor:
    with outside_trace():
        return tensor(float(value), dtype=float64)


def _write(cell: Tensor, value: Any) -> None:
    """Outside a trace the new value is a known leaf, so that another rate is not another program."""
    with no_grad():
        if modes.trace is not None:
            cell.copy_(value.reshape(())) if isinstance(value, Tensor) else cell.fill_(float(value))
        else:
            cell._assign(make_input((), float64, np.array(float(value))))
