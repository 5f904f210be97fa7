"""Three small trainings with all that a run can hold, in a process of its own that may be killed at any moment.

In: `python -m bench.reliability._runs KIND FOLDER RESULT`. Out: checkpoints in FOLDER, from the newest of which the
next call goes on; in the end digests of weights, optimizer state, history and logs in RESULT.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import thalweg as tw
from thalweg import callbacks as cb
from thalweg import nn
from thalweg.data.files import atomic_write

SAVE_EVERY = 5  # steps: so often that a good part of the time a file is being written


def mlp() -> tuple[tw.Trainer, Any, dict[str, Any]]:
    """Adam, dropout, batch norm, a rate that falls on plateaus, a part held out, early stopping, metrics."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(640, 16)).astype(np.float32)
    y = (x[:, :4].sum(1) + rng.normal(size=640) > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2))
    trainer = tw.Trainer(model, metrics=["accuracy", "macro_f1"], lr=0.01, progress=False)
    stopping = cb.EarlyStopping("val_loss", patience=12, restore_best_weights=True)
    options = {"epochs": 24, "batch_size": 16, "validation_split": 0.2}
    return trainer, (x, y), options | {"callbacks": [stopping, cb.ReduceLROnPlateau(factor=0.5, patience=1)]}


def cnn() -> tuple[tw.Trainer, Any, dict[str, Any]]:
    """Nesterov's momentum, weight decay, a schedule, augmentation, a loader with threads and a seed of its own."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, size=(320, 1, 12, 12)).astype(np.uint8)
    y = (x[:, :, :6].mean((1, 2, 3)) > x[:, :, 6:].mean((1, 2, 3))).astype(np.int64)
    changes = [tw.data.RandomCrop(12, padding=2), tw.data.RandomHorizontalFlip(), tw.data.Normalize([0.5], [0.3])]
    images = tw.data.ImageArrays(x, y, tw.data.Compose(changes))
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 2)
    )
    schedule = tw.optim.schedules.CosineAnnealing(0.05, 200)
    optimizer = tw.optim.SGD(model.parameters(), lr=schedule, momentum=0.9, nesterov=True, weight_decay=1e-4)
    loader = tw.data.DataLoader(images, batch_size=16, shuffle=True, num_workers=2)  # the seed is drawn
    return tw.Trainer(model, optimizer=optimizer, metrics=["accuracy"], progress=False), loader, {"epochs": 10}


def lstm() -> tuple[tw.Trainer, Any, dict[str, Any]]:
    """AdamW, clipping, dropout, class weights, watched gradients, validation data, a rate set at each epoch."""
    rng = np.random.default_rng(2)
    x = rng.integers(0, 12, size=(400, 10))
    y = (x == 3).sum(1).clip(0, 2)
    trainer = tw.Trainer(_Reader(), optimizer=tw.optim.AdamW, clip_norm=1.0, class_weight="balanced", seed=None,
                         metrics=["accuracy"], progress=False)  # fmt: skip
    rates = cb.LearningRateScheduler(lambda epoch, rate: rate * (0.9 if epoch else 1.0))
    options = {"epochs": 8, "batch_size": 20, "validation": (x[:80], y[:80])}
    return trainer, (x, y), options | {"callbacks": [rates, cb.GradientNorms(every_steps=3)]}


class _Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.read = nn.Embedding(12, 8), nn.LSTM(8, 24, batch_first=True)
        self.drop, self.out = nn.Dropout(0.2), nn.Linear(24, 3)

    def forward(self, x: Any) -> Any:
        return self.out(self.drop(self.read(self.embed(x))[0][:, -1]))


KINDS: dict[str, Callable[[], tuple[tw.Trainer, Any, dict[str, Any]]]] = {"mlp": mlp, "cnn": cnn, "lstm": lstm}


def run(kind: str, folder: Path) -> dict[str, str]:
    """Train, or go on where the folder says; digests of what came out."""
    tw.manual_seed(0)
    # A seed that nobody gave is drawn: the run that goes on must take the one of the run before, not its own.
    tw.data.manual_seed(os.getpid() if any(folder.glob("*.safetensors")) else 0)
    trainer, data, options = KINDS[kind]()
    own = options.pop("callbacks", [])
    ready = cb.LambdaCallback(on_fit_begin=lambda _: print("ready", flush=True))
    recorders = [
        cb.ModelCheckpoint(folder / "step-{step:06d}.safetensors", save_freq=SAVE_EVERY, keep_last=2),
        cb.JSONLinesLogger(folder / "log.jsonl"), cb.CSVLogger(folder / "log.csv", append=True), ready,
    ]  # fmt: skip
    history = trainer.fit(data, callbacks=[*own, *recorders], resume=True, **options)
    return digests(trainer, history, folder)


def digests(trainer: tw.Trainer, history: cb.History, folder: Path) -> dict[str, str]:
    """SHA-256 of everything that must be the same, times aside."""
    optimizer = trainer.optimizer.state_dict()
    epochs = {name: values for name, values in history.history.items() if name != "seconds"}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    with open(folder / "log.csv", encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    for each in (*lines, *table):
        each.pop("seconds", None)
    state = {f"{index}.{name}": value for index, each in optimizer["state"].items() for name, value in each.items()}
    found = {
        "optimizer": _of_arrays(state) + _of(optimizer["param_groups"]) + str(optimizer["step_count"]),
        "history": _of([epochs, history.epoch, history.steps, history.stop_reason]),
        "log.jsonl": _of(lines), "log.csv": _of(table),
    }  # fmt: skip
    weights = {name: each.numpy() for name, each in trainer.model.state_dict().items()}
    return found | {"weights": _of_arrays(weights)}


def _of(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _of_arrays(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:16]


def main(arguments: list[str]) -> None:
    kind, folder, result = arguments
    found = run(kind, Path(folder))
    with atomic_write(result) as stream:
        stream.write(json.dumps(found).encode("utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
