"""Watching a training step: the numbers of `quantities` as expressions of the step, packed into one small vector.

In: a model, and the moments of its step: forward pass done, gradients there, weights updated. Out: a vector for each
moment that a program ends with, and what stands where in it. Nothing that is computed here flows back into the step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from thalweg.diagnose.layers import Layer, Passage, Sight
from thalweg.diagnose.quantities import OF_OUTPUTS, OF_PARAMETERS, QUANTITIES, ZERO_SHARE, Combine, Quantity, When
from thalweg.errors import ArgumentError, explain
from thalweg.graph import Node
from thalweg.nn.module import Module
from thalweg.tensor import Tensor, cat, from_numpy, grad, maximum, no_grad, stack, zeros
from thalweg.tensor.modes import modes, outside_trace

LARGE = 1 << 13
"""Entries from which on a sum is made row by row first, so that threads have parts to take."""
MOST_OUTPUTS, FEWEST_SAMPLES = 1 << 14, 8
"""A layer with more outputs for a batch is watched on its first samples: so many outputs, or at least so many samples.
The order of samples is random, so this costs little and estimates the same."""
WHOLE, FIRST_HALF, SECOND_HALF = "watch", "watch/gradients", "watch/weights"
"""The vectors: of a whole step; and of its gradients and of its update, where Python runs between the two."""


_numbers = itertools.count()


class Column(NamedTuple):
    """What one number of a vector is: a quantity of a parameter or layer, and how many entries the parameter has."""

    quantity: str
    subject: str
    entries: int


class _Row(NamedTuple):
    """A number in the making: its column, and the parts that it is the sum or the largest of."""

    column: Column
    parts: Any
    is_largest: bool


def checked_quantities(names: Iterable[str] | None) -> tuple[Quantity, ...]:
    """The quantities of these names; None stands for all that are watched at every step."""
    if names is None:
        return tuple(each for each in QUANTITIES.values() if each.when is When.EVERY_STEP)
    found = list(dict.fromkeys([names] if isinstance(names, str) else names))
    unknown = [name for name in found if name not in QUANTITIES]
    if unknown:
        expected = ", ".join(QUANTITIES)
        raise ArgumentError(explain("unknown quantity to watch", received=", ".join(unknown), expected=expected))
    return tuple(QUANTITIES[name] for name in found)


class Watcher:
    """The watched numbers of one model's steps.

    The step tells it when its forward pass is done (`see`), when the gradients are there (`gradients`), and when the
    weights have their new values (`weights`); the last two give vectors for the program. `columns` says what stands
    where in them, `layers` which layers were seen, and `dead_shares` reads the cells in which the steps note which
    units were ever active, if zeros are watched. Where gradients are clipped (`is_clipped`) the step has sums over them
    of its own, which those that are watched must not join.
    """

    def __init__(self, model: Module, quantities: Sequence[Quantity]) -> None:
        self.model = model
        self.penalties: Sequence[Any] = ()
        self.is_clipped = False
        self.of_parameters = [each for each in OF_PARAMETERS if each in quantities]
        self.of_outputs = [each for each in OF_OUTPUTS if each in quantities]
        self.layers: list[Layer] = []
        self.columns: dict[str, tuple[Column, ...]] = {}
        self.passage = Passage(model)
        self._number = next(_numbers)
        self._sights: list[Sight] = []
        self._is_cut = False
        self._before: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._penalty_gradients: dict[str, Tensor] = {}
        self._active: dict[str, Tensor] = {}

    def key(self, name: str) -> str:
        """The name of this watcher's own vector, beside those of others in the same step."""
        return f"{name}#{self._number}"

    # --- the moments of a step ---------------------------------------------------------------------------------------

    def see(self, prediction: Tensor) -> None:
        """The forward pass is done."""
        self._sights = self.passage.sights(prediction)
        self.layers = [sight.layer for sight in self._sights]
        if ZERO_SHARE not in self.of_outputs:
            return
        with no_grad():
            for sight in self._sights:
                if sight.layer.is_rectified:
                    self._note_active(sight)

    def gradients(self, is_cut: bool) -> dict[str, Tensor]:
        """The gradients are there; the vector of what is known, if the update will be another program (`is_cut`).

        So it is also where nothing is watched that only the update makes known.
        """
        self._is_cut = is_cut = is_cut or not any(map(_needs_update, self.of_parameters))
        self._note_weights_and_gradients(lambda parameter: parameter.node)
        asks_for_penalties = any("penalties" in each.needs for each in self.of_parameters)
        self._penalty_gradients = self._gradients_of_penalties() if self.penalties and asks_for_penalties else {}
        if not is_cut:
            return {}
        of_parameters = [each for each in self.of_parameters if not _needs_update(each)]
        return self._packed(FIRST_HALF, [*self._rows_of_outputs(), *self._rows_of_parameters(of_parameters)])

    def weights(self) -> dict[str, Tensor]:
        """The weights have their new values; the vector of the whole step, or of its second half."""
        found: dict[str, Tensor] = {}
        if not self._is_cut:
            found = self._packed(WHOLE, [*self._rows_of_outputs(), *self._rows_of_parameters(self.of_parameters)])
        elif modes.trace is not None and any(map(_needs_update, self.of_parameters)):
            # Otherwise an update that could not be compiled, after gradients that were.
            self._note_weights_and_gradients(modes.trace.read_first)  # this program's own: what it began with
            of_parameters = [each for each in self.of_parameters if _needs_update(each)]
            found = self._packed(SECOND_HALF, self._rows_of_parameters(of_parameters))
        for held in (self._before, self._gradients, self._penalty_gradients):
            held.clear()
        self._sights = []
        return found

    def _note_weights_and_gradients(self, node_of: Callable[[Any], Node]) -> None:
        known = dict(self.model.named_parameters())
        self._before = {name: Tensor._result(node_of(each)) for name, each in known.items()}
        self._gradients = {name: each.grad for name, each in known.items() if each.grad is not None}

    # --- rows --------------------------------------------------------------------------------------------------------

    def _rows_of_parameters(self, quantities: Sequence[Quantity]) -> list[_Row]:
        rows: list[_Row] = []
        with no_grad():
            for name, parameter in self.model.named_parameters():
                given: dict[str, Any] = {"weights": Tensor._result(parameter.node)}
                if name in self._gradients:
                    given["gradients"] = self._gradients[name]
                    given["updates"] = given["weights"] - self._before[name]
                if name in self._penalty_gradients:
                    given["penalties"] = self._penalty_gradients[name]
                for each in quantities:
                    if given.keys() >= set(each.needs):
                        is_apart = self.is_clipped and not _needs_update(each)
                        operands = [given[need].unsqueeze(0) if is_apart else given[need] for need in each.needs]
                        parts = _rows_of_entries(each.entry(*operands), each.combine, leading=int(is_apart))
                        column = Column(each.name, name, parameter.numel())
                        rows.append(_Row(column, parts, each.combine is Combine.LARGEST))
        return rows

    def _rows_of_outputs(self) -> list[_Row]:
        rows: list[_Row] = []
        with no_grad():
            for sight in self._sights:
                layer, sample = sight.layer, _sample(sight.output)
                for each in self.of_outputs:
                    if each.only(layer) and sample.dtype.is_floating_point:
                        parts = _rows_of_units(each.entry(sample, layer.bounds), layer, each.combine)
                        rows.append(_Row(Column(each.name, layer.path, sample.numel()), parts, is_largest=False))
        return rows

    def _packed(self, name: str, rows: Sequence[_Row]) -> dict[str, Tensor]:
        """All numbers in one vector; a single one stands there twice, because one number alone is none."""
        if not rows:
            return {}
        together: dict[tuple[Any, ...], list[_Row]] = {}
        for row in rows:
            together.setdefault((row.parts.numel(), row.is_largest, row.parts.dtype), []).append(row)
        with no_grad():
            pieces = [_combined([row.parts for row in group], group[0].is_largest) for group in together.values()]
            self.columns[name] = tuple(row.column for group in together.values() for row in group)
            return {self.key(name): cat(pieces if len(rows) > 1 else [pieces[0]] * 2)}

    def _gradients_of_penalties(self) -> dict[str, Tensor]:
        trained = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        total: Any = sum(penalty() for penalty in self.penalties)
        if not isinstance(total, Tensor) or not total.requires_grad:
            return {}
        found = grad(total, list(trained.values()), allow_unused=True)
        return {name: each for name, each in zip(trained, found, strict=True) if each is not None}

    # --- units that were ever active ---------------------------------------------------------------------------------

    def _note_active(self, sight: Sight) -> None:
        """Add a step to the cell that holds the largest output of each unit since it was last read."""
        sample: Any = _sample(sight.output)
        largest = sample.amax(dim=_other_axes(sample, sight.layer), keepdim=True)
        cell = self._active.get(sight.layer.path)
        if cell is None or cell.shape != largest.shape or cell.dtype is not largest.dtype:
            with outside_trace():
                cell = self._active[sight.layer.path] = zeros(*largest.shape, dtype=largest.dtype)
        cell.copy_(maximum(cell, largest))

    def active_units(self) -> dict[str, np.ndarray]:
        """What the cells hold of each rectified layer, as copies."""
        return {path: np.array(cell._array()) for path, cell in self._active.items()}

    def put_active_units(self, largest: Mapping[str, np.ndarray]) -> None:
        """Go on from what `active_units` gave, in the cells that the next step will write to."""
        for path, values in largest.items():
            self._active[path] = from_numpy(np.array(values))

    def dead_shares(self) -> dict[str, float]:
        """For each rectified layer the share of units that were zero for every sample since this was last asked."""
        found = {}
        for path, cell in self._active.items():
            values = cell._array()
            found[path] = float(np.mean(values == 0))
            if values.flags.writeable and values.base is None:
                values.fill(0)  # where it lies: for another array the next step would run by itself, 1 ms an epoch
                continue
            with no_grad():
                cell.zero_()
        return found


def _needs_update(quantity: Quantity) -> bool:
    return bool({"weights", "updates"} & set(quantity.needs))


def _rows_of_entries(entry: Any, combine: Combine, leading: int) -> Any:
    """The entries as one number, or as one for each row where they are many; they stay in the nest that made them.

    So many `leading` axes are there only to make it a shape of its own.
    """
    is_large = entry.numel() >= LARGE and entry.ndim > leading + 1
    axes = tuple(range(leading + 1 if is_large else 0, entry.ndim))
    if combine is Combine.LARGEST:
        return entry.amax(dim=axes, keepdim=True) if axes else entry
    scaled = entry if is_large else entry * (1.0 / entry.numel())
    summed = scaled.sum(dim=axes, keepdim=True) if axes else scaled
    return summed * (1.0 / entry.numel()) if is_large else summed


def _rows_of_units(entry: Any, layer: Layer, combine: Combine) -> Any:
    """For each unit its part of the mean over all entries, or the square of its own mean."""
    axes = _other_axes(entry, layer)
    units = entry.shape[layer.unit_axis] if entry.ndim else 1
    sums = entry.sum(dim=axes, keepdim=True) if axes else entry
    if combine is not Combine.SQUARED_UNIT_MEANS:
        return sums * (1.0 / entry.numel())
    means = sums * (units / entry.numel())
    return means * means * (1.0 / units)


def _other_axes(output: Tensor, layer: Layer) -> tuple[int, ...]:
    unit = layer.unit_axis % output.ndim if output.ndim else 0
    return tuple(axis for axis in range(output.ndim) if axis != unit)


def _combined(rows: Sequence[Any], is_largest: bool) -> Any:
    """One number from each of several rows of one length, as a vector; a kernel for all of them."""
    joined = stack([each.reshape(each.numel()) for each in rows])
    if joined.shape[1] == 1:
        return joined.reshape(len(rows))
    return joined.amax(dim=1) if is_largest else joined.sum(dim=1)


def _sample(output: Any) -> Tensor:
    """The first samples of a large output, all of a small one, with an axis in front: a shape of its own.

    A nest goes over one shape. So what is watched is never computed in a nest of the step itself, whose sums would then
    perhaps be made in another order.
    """
    count = output.shape[0] if output.ndim else 1
    kept = max(FEWEST_SAMPLES, math.ceil(MOST_OUTPUTS * count / max(output.numel(), 1)))
    if output.ndim > 1 and output.numel() > MOST_OUTPUTS and kept < count:
        output = output[:kept]
    return output.unsqueeze(0)  # type: ignore[no-any-return]
