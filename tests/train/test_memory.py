"""No hidden copies: what training adds to memory beside the data, measured from outside, in a process of its own.

In: hundreds of megabytes in the dtype that the step takes, in another, in another order; and a model with many weights.
Out: how far the resident memory of the process rose at most, in fit, evaluate and predict.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of its memory")
SOURCE = Path(__file__).parents[2] / "src"

# The peak is set back before each measurement, and freed memory is given back at once (MALLOC_*_THRESHOLD_).
_HEAD = """
import json, sys
import numpy as np
import thalweg as tw
MIB = 1 << 20
def of_status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024
def rise(work):
    open("/proc/self/clear_refs", "w").write("5")
    before = of_status("VmRSS")
    work()
    return (of_status("VmHWM") - before) / MIB
"""
_DATA = (
    _HEAD
    + """
kind, size = sys.argv[1], int(sys.argv[2]) * MIB
rng, width = np.random.default_rng(0), 800
def features(dtype, count):
    x = np.empty((count, width), dtype)
    for first in range(0, count, 1000):
        x[first : first + 1000] = rng.integers(0, 200, (len(x[first : first + 1000]), width))
    return x
x = features({"columns first": "float32", "a slice": "float32"}.get(kind, kind), 1)
x = features(x.dtype, size // x.nbytes * (2 if kind == "a slice" else 1))
x = np.asfortranarray(x) if kind == "columns first" else x[::2] if kind == "a slice" else x
y = np.arange(len(x)) % 10
model = tw.nn.Sequential(tw.nn.Linear(width, 32), tw.nn.ReLU(), tw.nn.Linear(32, 10))
trainer = tw.Trainer(model, metrics=["accuracy"], progress=False)
few = slice(0, 600)
trainer.fit(x[few].copy(), y[few], batch_size=128, validation_split=0.5)
trainer.evaluate(x[few].copy(), y[few])
trainer.predict(x[few].copy())
works = {
    "fit": lambda: trainer.fit(x, y, batch_size=128, epochs=1),
    "fit with a part held out": lambda: trainer.fit(x, y, batch_size=128, epochs=1, validation_split=0.3),
    "evaluate": lambda: trainer.evaluate(x, y),
    "predict": lambda: trainer.predict(x),
}
print(json.dumps({name: rise(work) for name, work in works.items()} | {"data": x.nbytes / MIB}))
"""
)
_MODEL = (
    _HEAD
    + """
x, y = np.zeros((128, 2048), np.float32), np.zeros((128, 2048), np.float32)
few = tw.Trainer(tw.nn.Linear(8, 8), "mse", progress=False)
few.fit(x[:, :8].copy(), y[:, :8].copy(), batch_size=64)
model = tw.nn.Sequential(*[tw.nn.Linear(2048, 2048) for _ in range(2)])
trainer = tw.Trainer(model, "mse", progress=False)
weights = sum(each.detach().numpy().nbytes for each in model.parameters()) / MIB
fit = rise(lambda: trainer.fit(x, y, batch_size=64, epochs=2))
print(json.dumps({"weights": weights, "fit": fit, "again": rise(lambda: trainer.fit(x, y, batch_size=64))}))
"""
)


def measured(script: str, *arguments: object) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "THALWEG_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "65536",
                   "MALLOC_MMAP_THRESHOLD_": "65536"}  # fmt: skip
    command = [sys.executable, "-c", script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    found: dict[str, float] = json.loads(result.stdout)
    print(found)
    return found


@linux
@pytest.mark.parametrize(
    ("kind", "mebibytes"), [("float32", 200), ("uint8", 30), ("float64", 50), ("columns first", 24), ("a slice", 24)]
)
def test_data_is_never_copied_whole(kind, mebibytes):
    """Data that has to be converted is, a block of a megabyte at a time; outputs and the order of rows are the rest."""
    found = measured(_DATA, kind, mebibytes)
    rows = found.pop("data") * (1 << 20) / (800 * {"uint8": 1, "float64": 8}.get(kind, 4))
    order_and_outputs = rows * (8 + 10 * 4) / (1 << 20)
    for name, rise in found.items():
        assert rise < 8 + 2 * order_and_outputs, name


@linux
def test_weights_and_gradients_and_the_state_of_the_optimizer_are_there_once():
    """Adam keeps two numbers for each weight. The gradient of a layer is a third at most while it is being used."""
    found = measured(_MODEL)
    assert found["weights"] > 30
    assert found["fit"] < 3 * found["weights"] + 16
    assert found["again"] < found["weights"] + 16
