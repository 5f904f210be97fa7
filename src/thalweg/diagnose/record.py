"""`Record`: what was watched in a run, as arrays, and the figures that follow from it.

In: the vectors of each step, the numbers of each epoch, plain facts about the set-up. Out: arrays (steps x layers)
under the names of the quantities, and figures that do not depend on the scale of the loss. A record is saved as one npz
file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from thalweg.data.files import atomic_write, believing_nothing
from thalweg.data.npz import read_npz
from thalweg.diagnose.layers import Layer
from thalweg.diagnose.quantities import QUANTITIES
from thalweg.diagnose.watch import Column
from thalweg.errors import ArgumentError, explain

MOST_STEPS = 1 << 14
"""Steps that are held; of a longer run every second one, then every fourth, ..., so that memory stays bounded."""
_VERSION = 1


class Record:
    """The watched numbers of a run.

    Attributes:
        layers: the layers in the order of the forward pass.
        steps, epoch_of_step: the number of each recorded step, and its epoch.
        losses, learning_rates: of each recorded step.
        epochs: for each name (``loss``, ``val_loss``, metrics, ``seconds``) a number for each whole epoch.
        dead_shares: (epochs x layers): the share of units that were zero for every sample of the epoch; NaN for layers
            without a rectifier.
        facts: plain values about the set-up.

    `record["gradient_rms"]` is an array (steps x layers) of any quantity that was watched: for a quantity of parameters
    all of a layer's own are put together, and a layer without it is NaN. `of_parameters` has them one by one.
    """

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.facts: dict[str, Any] = {}
        self.epochs: dict[str, list[float]] = {}
        self.dead: list[dict[str, float]] = []
        self.stride = 1
        self._rows: dict[str, list[Any]] = {"step": [], "epoch": [], "loss": [], "learning_rate": []}
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._vectors: list[dict[str, np.ndarray]] = []

    # --- writing -----------------------------------------------------------------------------------------------------

    def add_steps(
        self,
        steps: Sequence[int],
        epoch: int,
        losses: Sequence[float],
        rates: Sequence[float],
        vectors: Mapping[str, Sequence[np.ndarray]],
        columns: Mapping[str, tuple[Column, ...]],
    ) -> None:
        """The numbers of steps that followed each other in one epoch."""
        self._columns.update(columns)
        for index, step in enumerate(steps):
            if step % self.stride:
                continue
            self._rows["step"].append(step)
            self._rows["epoch"].append(epoch)
            self._rows["loss"].append(losses[index])
            self._rows["learning_rate"].append(rates[index])
            self._vectors.append({name: values[index] for name, values in vectors.items()})
        if len(self._vectors) > MOST_STEPS:
            self._thin_out()

    def _thin_out(self) -> None:
        self.stride *= 2
        kept = [index for index, step in enumerate(self._rows["step"]) if step % self.stride == 0]
        self._rows = {name: [values[index] for index in kept] for name, values in self._rows.items()}
        self._vectors = [self._vectors[index] for index in kept]

    def add_epoch(self, logs: Mapping[str, Any], dead: Mapping[str, float]) -> None:
        """The numbers of a whole epoch; what is no number is left out."""
        count = len(self.dead)
        for name, value in logs.items():
            if isinstance(value, int | float):
                self.epochs.setdefault(name, [float("nan")] * count).append(float(value))
        for values in self.epochs.values():
            values.extend([float("nan")] * (count + 1 - len(values)))
        self.dead.append(dict(dead))

    def until(self, epochs: int) -> Record:
        """What was recorded of the first so many epochs, to which the rest of the run can be added."""
        kept = [index for index, epoch in enumerate(self._rows["epoch"]) if epoch < epochs]
        shorter = Record()
        shorter.layers, shorter.facts, shorter.stride = self.layers, self.facts, self.stride
        shorter._columns = dict(self._columns)
        shorter._rows = {name: [values[index] for index in kept] for name, values in self._rows.items()}
        shorter._vectors = [self._vectors[index] for index in kept]
        shorter.epochs = {name: values[:epochs] for name, values in self.epochs.items()}
        shorter.dead = self.dead[:epochs]
        return shorter

    # --- reading -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def steps(self) -> np.ndarray:
        return np.asarray(self._rows["step"], np.int64)

    @property
    def epoch_of_step(self) -> np.ndarray:
        return np.asarray(self._rows["epoch"], np.int64)

    @property
    def losses(self) -> np.ndarray:
        return np.asarray(self._rows["loss"], np.float64)

    @property
    def learning_rates(self) -> np.ndarray:
        return np.asarray(self._rows["learning_rate"], np.float64)

    @property
    def dead_shares(self) -> np.ndarray:
        """(epochs x layers)."""
        rows = [[each.get(layer.path, np.nan) for layer in self.layers] for each in self.dead]
        return np.asarray(rows, np.float64).reshape(len(rows), len(self.layers))

    @property
    def names(self) -> list[str]:
        """The quantities that were watched."""
        return list(dict.fromkeys(column.quantity for columns in self._columns.values() for column in columns))

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def of_parameters(self, name: str) -> dict[str, np.ndarray]:
        """A quantity of parameters or layers by their names, each an array of steps."""
        raw: dict[str, np.ndarray] = {}
        entries: dict[str, int] = {}
        for key, columns in self._columns.items():  # a step has its numbers in one vector or, cut in two, in two
            for index, column in enumerate(columns):
                if column.quantity == name:
                    values = raw.setdefault(column.subject, np.full(len(self), np.nan))
                    there = [row for row, vectors in enumerate(self._vectors) if key in vectors]
                    values[there] = [self._vectors[row][key][index] for row in there]
                    entries[column.subject] = column.entries
        place = {subject: index for index, subject in enumerate(self._subjects())}
        with np.errstate(invalid="ignore", over="ignore"):
            found = {
                subject: QUANTITIES[name].finish(raw[subject], entries[subject])
                for subject in sorted(raw, key=lambda subject: place.get(subject, len(place)))
            }
        if not found:
            expected = ", ".join(self.names) or "nothing was watched"
            raise ArgumentError(explain("this quantity was not watched", received=repr(name), expected=expected))
        return found

    def _subjects(self) -> list[str]:
        """Parameters and layers in the order of the forward pass."""
        return [each for layer in self.layers for each in (layer.path, *(name for name, _ in layer.parameters))]

    def __getitem__(self, name: str) -> np.ndarray:
        found = self.of_parameters(name)
        columns = [self._of_layer(name, layer, found) for layer in self.layers]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0))

    def _of_layer(self, name: str, layer: Layer, found: Mapping[str, np.ndarray]) -> np.ndarray:
        if QUANTITIES[name].of_outputs:
            return found.get(layer.path, np.full(len(self), np.nan))
        own = [(found[each], int(np.prod(shape))) for each, shape in layer.parameters if each in found]
        if not own:
            return np.full(len(self), np.nan)
        values, sizes = np.stack([each for each, _ in own]), np.array([size for _, size in own], np.float64)[:, None]
        if name.endswith("_rms"):
            return np.asarray(np.sqrt((values**2 * sizes).sum(0) / sizes.sum()))
        if name.endswith("_largest"):
            return np.asarray(values.max(0))
        return np.asarray(values.sum(0) if name == "gradient_update" else (values * sizes).sum(0) / sizes.sum())

    def __repr__(self) -> str:
        return f"Record({len(self)} steps, {len(self.dead)} epochs, {len(self.layers)} layers: {', '.join(self.names)})"

    # --- figures that follow -----------------------------------------------------------------------------------------

    def weights_only(self, name: str) -> np.ndarray:
        """A quantity of parameters for each layer's first parameter (its kernel) alone."""
        found = self.of_parameters(name)
        empty = np.full(len(self), np.nan)
        columns = [found.get(layer.parameters[0][0], empty) for layer in self.layers]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0))

    @property
    def is_finite(self) -> np.ndarray:
        """(steps x layers): whether every entry of the layer's gradient was finite, and its square too."""
        return np.asarray(np.isfinite(self["gradient_rms"]))

    @property
    def update_ratio(self) -> np.ndarray:
        """(steps x layers): log10 of the size of the update over the size of the weights. Healthy near -3."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log10(self["update_rms"] / self["weight_rms"]))

    @property
    def adjacent_ratio(self) -> np.ndarray:
        """(steps x layers - 1): size of the kernel's gradient over that of the next layer's, entry by entry."""
        gradient = self.weights_only("gradient_rms")
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(gradient[:, :-1] / gradient[:, 1:])

    @property
    def gradient_slope(self) -> np.ndarray:
        """(steps,): slope of log10 of the kernels' gradient over the depth, in decades a layer, by least squares.

        Positive where gradients shrink on their way back to the first layers. Layers on branches and layers without a
        matrix or kernel (normalisation) are left out; NaN where fewer than two are left.
        """
        chosen = [i for i, each in enumerate(self.layers) if not each.is_branch and len(each.parameters[0][1]) > 1]
        if len(chosen) < 2:
            return np.full(len(self), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            heights = np.log10(self.weights_only("gradient_rms")[:, chosen])
        depth = np.arange(len(chosen)) - (len(chosen) - 1) / 2
        return np.asarray((heights * depth).sum(1) / (depth**2).sum())

    @property
    def gradient_std(self) -> np.ndarray:
        """(steps x layers): spread of the entries of the gradient."""
        return np.asarray(np.sqrt(np.maximum(self["gradient_rms"] ** 2 - self["gradient_mean"] ** 2, 0)))

    @property
    def output_std(self) -> np.ndarray:
        """(steps x layers): spread of the outputs over samples and units."""
        return np.asarray(np.sqrt(np.maximum(self["output_rms"] ** 2 - self["output_mean"] ** 2, 0)))

    @property
    def sample_spread(self) -> np.ndarray:
        """(steps x layers): share of the outputs' mean square that differs between samples; 0: all look the same."""
        total = self["output_rms"] ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.clip(1 - self["output_common"] / total, 0, 1))

    @property
    def penalty_share(self) -> np.ndarray:
        """(steps x layers): the penalties' part of the gradient, against the data's: 1 where only penalties pull."""
        penalty, data = self["penalty_rms"], self["data_rms"]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(penalty / (penalty + data))

    def skill(self, name: str = "loss") -> np.ndarray:
        """(epochs,): 1 - loss / loss of the best constant prediction; NaN where that is not known."""
        constant = self.facts.get("constant_loss")
        losses = np.asarray(self.epochs.get(name, []), np.float64)
        return 1 - losses / constant if constant else np.full(len(losses), np.nan)

    def loss_noise(self, window: int = 32) -> float:
        """Spread of the losses from step to step over the last `window` steps, against their mean.

        From differences of neighbours, so that a trend does not count: sqrt(mean (L_{t+1} - L_t)^2 / 2) / |mean L|.
        """
        last = self.losses[-window:]
        if len(last) < 3:
            return float("nan")
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sqrt((np.diff(last) ** 2).mean() / 2) / abs(last.mean()))

    def step_curvature(self, window: int = 32) -> float:
        """Curvature of the loss along the step, against its slope, over the last `window` steps.

        With the step's update u and gradient g the loss goes from L to L + g.u + u'Hu / 2, so u'Hu / -g.u is 1 for a
        step that goes to the bottom of a parabola, 2 for one that goes as far up the other side: above it the rate is
        too high. The means over a window stand for the single values, because each loss is of another batch.
        """
        change = self["gradient_update"].sum(1)
        if len(change) < 3:
            return float("nan")
        foretold, found = change[:-1][-window:], np.diff(self.losses)[-window:]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(2 * (foretold.mean() - found.mean()) / foretold.mean())

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write one npz file: an array under each name, and texts as JSON."""
        with atomic_write(path) as file:
            np.savez(file, **self.to_arrays())  # type: ignore[arg-type]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays by name; those of numbers are copies."""
        arrays: dict[str, np.ndarray] = {}
        for key in self._columns:
            there = [index for index, vectors in enumerate(self._vectors) if key in vectors]
            arrays[f"rows/{key}"] = np.asarray(there, np.int64)
            arrays[f"vectors/{key}"] = np.asarray([self._vectors[index][key] for index in there])
        texts = {
            "version": _VERSION, "layers": [each.to_json() for each in self.layers], "facts": self.facts,
            "columns": {key: [list(each) for each in columns] for key, columns in self._columns.items()},
            "epochs": self.epochs, "dead": self.dead, "stride": self.stride,
        }  # fmt: skip
        arrays |= {f"row/{name}": np.asarray(values) for name, values in self._rows.items()}
        arrays["texts"] = np.frombuffer(json.dumps(texts).encode(), np.uint8)
        return arrays

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Record:
        """The record that `save` wrote. Raises FileFormatError for any other file, and for one that is not there."""
        return cls.from_arrays(read_npz(path), path)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], where: object = "a record") -> Record:
        """The record that `to_arrays` gave. Raises FileFormatError for other arrays."""
        with believing_nothing("the record", where, "expected is what Record.save or to_arrays gave"):
            return cls._of(arrays, json.loads(arrays["texts"].tobytes()))

    @classmethod
    def _of(cls, arrays: Mapping[str, np.ndarray], texts: Mapping[str, Any]) -> Record:
        record = cls()
        record.layers = [Layer.from_json(each) for each in texts["layers"]]
        record.facts, record.epochs, record.dead = texts["facts"], texts["epochs"], texts["dead"]
        record.stride = texts["stride"]
        record._columns = {key: tuple(Column(*each) for each in columns) for key, columns in texts["columns"].items()}
        record._rows = {name: arrays[f"row/{name}"].tolist() for name in record._rows}
        record._vectors = [{} for _ in record._rows["step"]]
        for key in record._columns:
            for index, vector in zip(arrays[f"rows/{key}"], arrays[f"vectors/{key}"], strict=True):
                record._vectors[index][key] = vector
        return record
