"""A small training in a process of its own, where anything may be done to the process, its folders and its libraries.

In: Python that is run after the library was imported, and variables of the environment. Out: how the process ended, and
what it says of itself: its weights, its warnings, how many kernels it compiled, whether its step is native.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"

_SCRIPT = """
import builtins, ctypes, errno, hashlib, importlib, json, os, signal, sys, time, warnings
said = []
warnings.showwarning = lambda message, *rest: said.append(str(message))
import numpy as np
import thalweg as tw
cache = importlib.import_module("thalweg.compile.cache")
{before}
tw.manual_seed(0)
x = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
model = tw.nn.Sequential(tw.nn.Linear(8, 16), tw.nn.Tanh(), tw.nn.Linear(16, 2))
trainer = tw.Trainer(model, metrics=["accuracy"], progress=False, lr=0.01)
history = trainer.fit(x, y, epochs=2, batch_size=32, validation=(x, y))
weights = np.concatenate([each.detach().numpy().ravel() for each in model.parameters()])
library = importlib.import_module("thalweg.compile.library")
print(json.dumps({{
    "weights": weights.tolist(), "loss": history["val_loss"][-1], "said": said, "compiled": library.compiled_kernels(),
    "prediction": trainer.predict(x).ravel().tolist(),
    "native": bool(library._entries),
}}))
"""


@dataclass
class Trained:
    """What a process came to; `numbers` is empty if it did not live to say it."""

    returncode: int
    numbers: dict[str, Any]
    errors: str

    def __getattr__(self, name: str) -> Any:
        assert name in self.numbers, f"the process ended with {self.returncode}: {self.errors}"
        return self.numbers[name]


def trained(before: str = "", **environment: object) -> Trained:
    """Train in a process; `before` is run when the library has been imported."""
    process = start(before, **environment)
    return ended(process)


def start(before: str = "", **environment: object) -> subprocess.Popen[str]:
    """The same, without waiting for its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
    given = {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT.format(before=before)],
        env={**kept, "THALWEG_CACHE": "off", "THALWEG_THREADS": "1", "PYTHONPATH": str(SOURCE), **given},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> Trained:
    """What a process that was started has come to."""
    output, errors = process.communicate(timeout=120)
    return Trained(process.returncode, json.loads(output) if process.returncode == 0 else {}, errors)
