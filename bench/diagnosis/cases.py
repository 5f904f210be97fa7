"""A case as a user would set it up: its arrays, a `Trainer`, and the arguments of `fit`.

In: a case of the schema and the folder of the data sets. Out: a `SetUp`. Nothing of the case's label, reference or
measurements goes into it, so that diagnosis sees what a user has.
"""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import thalweg as tw
from bench.datasets import data_root
from bench.diagnosis import objectives
from bench.diagnosis.networks import network, probabilities
from bench.diagnosis.set_ups import FAULTS


@dataclass
class SetUp:
    """A trainer, its data, and how long it trains."""

    trainer: tw.Trainer
    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    epochs: int
    batch_size: int

    def fit(self) -> Any:
        return self.trainer.fit(
            self.training, validation=self.validation, epochs=self.epochs, batch_size=self.batch_size
        )


def load_cases(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, list) else found["cases"]  # type: ignore[no-any-return]


def load_recipes(path: Path) -> Any:
    """`recipes.py` beside the cases, or that of the development cases: the definition of their data."""
    beside = path.parent / "recipes.py"
    source = beside if beside.exists() else data_root() / "faulty_networks" / "recipes.py"
    spec = importlib.util.spec_from_file_location("faulty_network_recipes", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.stored = unpacked_once(module.stored)
    return module


def unpacked_once(stored: Any) -> Any:
    """The same function, which keeps what it has read: unpacking a set takes longer than training on it."""
    kept: dict[str, Any] = {}

    def read(name: str, root: Any, options: dict[str, Any]) -> Any:
        key = f"{name} {options['train']} {options['validation']}"
        if key not in kept:
            kept[key] = stored(name, root, options)
        return kept[key]

    return read


@dataclass
class Data:
    """The arrays of a case; labels are as the recipe gives them."""

    x: np.ndarray
    y: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    classes: int


def data_of(case: dict[str, Any], recipes: Any) -> Data:
    x, y, x_validation, y_validation, classes = recipes.load(case, data_root())
    has_images = any(layer["kind"].endswith("2d") for layer in case["layers"])
    return Data(arranged(x, has_images), y, arranged(x_validation, has_images), y_validation, classes)


def arranged(x: np.ndarray, has_images: bool) -> np.ndarray:
    """Images channels first for convolutions, flat for dense layers; sequences as they are."""
    if x.ndim == 4:
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if has_images else x.reshape(len(x), -1)
    return x


def targets_of(case: dict[str, Any], y: np.ndarray, classes: int) -> np.ndarray:
    """Labels where the loss takes labels, one-hot rows or a column of numbers otherwise."""
    if not classes:
        return y.astype(np.float32)
    labels = y.astype(np.int64)
    units = case["output"]["units"]
    if units > 1 and objectives.named(case) == "cross_entropy" and not objectives.is_signed(case):
        return labels
    column = labels[:, None] if units == 1 else (labels[:, None] == np.arange(units))
    return 2 * column.astype(np.float32) - 1 if objectives.is_signed(case) else column.astype(np.float32)


def set_up(case: dict[str, Any], data: Data, seed: int = 0, **options: Any) -> SetUp:
    """Everything before `fit`; `options` go to the Trainer."""
    tw.manual_seed(seed)
    model, penalised = network(case, data.x.shape[1:])
    steps = case["epochs"] * math.ceil(len(data.x) / case["batch_size"])
    trainer = tw.Trainer(
        model, loss=objectives.loss_of(case), optimizer=objectives.optimizer_of(case, model, steps),
        clip_norm=case["optimizer"].get("clip_norm"), penalties=penalties(penalised), seed=seed, progress=False,
        **options,
    )  # fmt: skip
    training = (data.x, targets_of(case, data.y, data.classes))
    validation = (data.x_validation, targets_of(case, data.y_validation, data.classes))
    made = SetUp(trainer, training, validation, case["epochs"], case["batch_size"])
    if "planted" in case:
        FAULTS[case["planted"]].plant(made)
    return made


def penalties(penalised: list[tuple[float, Any]]) -> list[tw.optim.L2]:
    """`L2` has half the square: twice the strength."""
    strengths = sorted({strength for strength, _ in penalised})
    return [tw.optim.L2(2 * each, [kernel for own, kernel in penalised if own == each]) for each in strengths]


def metric_of(case: dict[str, Any], data: Data, outputs: np.ndarray) -> float | None:
    """Accuracy or R2 on the validation part; outputs that are not finite are wrong, or no number."""
    found = probabilities(case, outputs)
    if not data.classes:
        if not np.isfinite(found).all():
            return None
        target = data.y_validation.astype(np.float64)
        return float(1 - ((found - target) ** 2).sum() / ((target - target.mean()) ** 2).sum())
    is_finite = np.isfinite(found).all(axis=1)
    if found.shape[1] == 1:
        middle = 0.0 if objectives.is_signed(case) and case["output"]["activation"] != "sigmoid" else 0.5
        labels = (found[:, 0] > middle).astype(int)
    else:
        labels = found.argmax(1)
    return float(((labels == data.y_validation) & is_finite).mean())
