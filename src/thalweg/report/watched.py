"""What was watched of the layers of a network while it trained: arrays of steps times layers, whoever recorded them.

In: columns ``quantity/layer`` as `History.steps` and metrics.jsonl hold them, or the `Record` of a diagnosis.
Out: `Watched`: for each quantity its steps, its layers in forward order and its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.diagnose.record import Record

PER_STEP = ("step", "epoch", "loss", "learning_rate")


@dataclass(frozen=True)
class Watched:
    """One quantity: `values[k, l]` belongs to step `steps[k]` and layer `layers[l]`; NaN where there is none."""

    steps: np.ndarray
    layers: tuple[str, ...]
    values: np.ndarray

    @property
    def size(self) -> int:
        return int(np.isfinite(self.values).sum())


def of_columns(steps: Mapping[str, Sequence[Any]]) -> dict[str, Watched]:
    """The quantities among the columns of a history; steps at which nothing was recorded are left out.

    >>> of_columns({"step": [0, 1], "gradient_norm/a": [0.5, None]})["gradient_norm"].values
    array([[0.5]])
    """
    names: dict[str, list[str]] = {}
    for column in steps:
        quantity, _, layer = column.partition("/")
        if layer and column not in PER_STEP:
            names.setdefault(quantity, []).append(layer)
    numbers = np.asarray(steps.get("step", []), np.int64)
    found = {}
    for quantity, layers in names.items():
        columns = [steps[f"{quantity}/{layer}"] for layer in layers]
        values = np.array([[np.nan if each is None else each for each in column] for column in columns], np.float64).T
        known = np.isfinite(values).any(axis=1) if len(values) else np.zeros(0, bool)
        found[quantity] = Watched(numbers[: len(values)][known], tuple(layers), values[known])
    return {quantity: each for quantity, each in found.items() if each.size}


def of_record(record: Record) -> dict[str, Watched]:
    """The quantities of a diagnosis' record, those that follow from them, and the dead units of each epoch."""
    layers = tuple(each.path for each in record.layers)
    columns = {name: record[name] for name in record.names if name != "gradient_update"}
    if {"update_rms", "weight_rms"} <= columns.keys():
        columns["update_ratio"] = 10.0**record.update_ratio
    if {"output_rms", "output_mean"} <= columns.keys():
        columns["output_std"] = record.output_std
    if {"gradient_rms", "gradient_mean"} <= columns.keys():
        columns["gradient_std"] = record.gradient_std
    found = {name: Watched(record.steps, layers, values) for name, values in columns.items()}
    found["dead_share"] = Watched(_last_steps(record), layers, record.dead_shares)
    return {name: _without_empty_layers(each) for name, each in found.items() if each.size}


def _last_steps(record: Record) -> np.ndarray:
    """The last recorded step of each epoch whose dead units were counted."""
    epochs, count = record.epoch_of_step, len(record.dead)
    known = np.unique(epochs)[:count]
    last = [int(record.steps[epochs == epoch].max()) for epoch in known]
    return np.asarray(last + [int(record.steps[-1])] * (count - len(last)) if last else range(count), np.int64)


def _without_empty_layers(watched: Watched) -> Watched:
    kept = np.isfinite(watched.values).any(axis=0)
    names = tuple(name for name, is_kept in zip(watched.layers, kept, strict=True) if is_kept)
    return Watched(watched.steps, names, watched.values[:, kept])
