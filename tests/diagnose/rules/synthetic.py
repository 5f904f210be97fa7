"""Made-up runs, in which one number at a time can be set to what a rule looks for.

In: what is to differ from a healthy run. Out: a `Run` that was never trained, of a regression that a straight line
solves, so that the reference reaches a skill near 1 and the run the skill that was asked for.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from thalweg.diagnose.layers import Layer
from thalweg.diagnose.looks import LayerLook, Look, Sample
from thalweg.diagnose.record import Record
from thalweg.diagnose.run import Run
from thalweg.diagnose.tasks import task_of
from thalweg.nn import functional as F

FAILING, FINE = 0.1, 0.99


def layer_look(path: str, **changed: Any) -> LayerLook:
    """A healthy hidden layer of 32 rectifiers."""
    activation = changed.pop("activation", "ReLU")
    is_branch = changed.pop("is_branch", False)
    layer = Layer(
        path,
        changed.pop("kind", "Linear"),
        ((f"{path}.weight", (32, 32)),),
        activation,
        is_branch=is_branch,
        line="net.py:7",
    )
    healthy = {
        "is_trainable": True, "fan_in": 32, "units": 32, "positions": 1, "weight": math.sqrt(2 / 32),
        "equal_units": 0.0, "gradient": 1.0, "output": 1.0, "variation": 0.5, "dead": 0.0, "saturated": 0.0,
    }  # fmt: skip
    return LayerLook(layer, **{**healthy, **changed})


def regression(examples: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(examples, 3)).astype(np.float32)
    return x, (x @ np.array([[1.0], [-2.0], [0.5]], np.float32)).astype(np.float32)


def outputs_of_skill(y: np.ndarray, skill: float) -> np.ndarray:
    """Predictions that shrink the targets towards their mean as far as this skill says."""
    return (y.mean() + (y - y.mean()) * (1 - math.sqrt(1 - skill))).astype(np.float32)


def synthetic_run(
    layers: list[list[LayerLook]] | None = None,
    skill: float = FAILING,
    losses: list[float] | None = None,
    data: tuple[np.ndarray, np.ndarray] | None = None,
    scale: float = 1.0,
    **changed: Any,
) -> Run:
    """`layers` are those of each look; all losses and gradients are multiplied by `scale`."""
    x, y = regression() if data is None else data
    layers = layers or [[layer_look(str(i)) for i in range(4)]] * 3
    objective = changed.pop("objective", F.mse_loss)
    found = Run(
        lambda p, t: objective(p, t) * scale, changed.pop("optimizer", SimpleNamespace(param_groups=[{}])), [],
        changed.pop("task", None) or task_of(y, changed.pop("outputs", 1)), Sample(x, y, apart(x), y), x, y, 12, 32,
    )  # fmt: skip
    losses = [1.0] * 12 if losses is None else losses
    found.record = recorded(losses, changed.pop("validation_losses", losses), scale)
    shown = changed.pop("shown", None)
    shown = outputs_of_skill(y, skill) if shown is None else shown
    for number, each in enumerate(layers):
        seen = Look(number * 6, scaled(each, scale), losses[-1] * scale, shown, shown)
        for name, value in changed.items():
            setattr(seen, name, value)
        found.looks.append(seen)
    return found


def apart(x: np.ndarray) -> np.ndarray:
    """Nearly the same inputs, and none of them exactly: a validation part shares no example with the training part."""
    return x * np.float32(1 + 1e-4)


def recorded(losses: list[float], validation_losses: list[float], scale: float) -> Record:
    """One step an epoch."""
    record = Record()
    for epoch, (loss, validation_loss) in enumerate(zip(losses, validation_losses, strict=True)):
        record.add_steps([epoch], epoch, [loss * scale], [0.1], {}, {})
        record.add_epoch({"loss": loss * scale, "val_loss": validation_loss * scale}, {})
    return record


def scaled(layers: list[LayerLook], scale: float) -> list[LayerLook]:
    return [LayerLook(**{**vars(each), "gradient": each.gradient * scale}) for each in layers]
