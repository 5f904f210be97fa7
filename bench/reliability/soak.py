"""As many steps of a small network as fit in so many minutes: memory, file handles and steps a second stay flat.

In: minutes (15), how often to look. Out: the resident memory, the open files and the rate of each interval, and whether
they are flat: the median memory of the last third of the looks is less than 1 MiB above that of the first third, no
file more is open than at the first look, and the median rate of the last third is at least 0.9 of that of the first.

A single look tells nothing of memory: what the allocator gives back between two checkpoints moves it by several
MiB, so that the highest look exceeds the first one in any run. The widest swing is reported beside it.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import thalweg as tw
from thalweg import callbacks as cb
from thalweg import nn

MOST_GROWTH = 1.0
"""MiB of resident memory, from the median of the first third of the looks to that of the last."""
LEAST_RATE = 0.9
"""Of the median rate of the first third of the intervals, what the last third must have."""
FEWEST = 3  # looks: with fewer there is nothing to compare
EPOCHS = 20  # of 160 steps; then the next model is trained: the history of one run may grow, that of many not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=15.0, help="how long (default: 15)")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="between two looks (default: 60)")


def main(given: argparse.Namespace) -> dict[str, Any]:
    """Call `fit` again and again with all that a long run has: validation, checkpoints, logs, early stopping."""
    with tempfile.TemporaryDirectory() as folder:
        look = Look(given.every)
        started = time.monotonic()
        while time.monotonic() - started < 60 * given.minutes or len(look.samples) < FEWEST:
            train(Path(folder), look, started + 60 * given.minutes)
    figures = judged(look.samples) | {"steps": look.steps, "minutes": given.minutes, "samples": look.samples}
    print(f"{look.steps:,} steps: memory {figures['growth_mib']:+.2f} MiB from the first third to the last "
          f"(between looks {figures['swing_mib']:.2f}), files {figures['most_handles']:+d}, "
          f"rate of the last third {figures['rate_ratio']:.3f} of the first: "
          f"{'flat' if figures['holds'] else 'NOT FLAT'}")  # fmt: skip
    return figures


class Look(cb.Callback):
    """Between two steps, every so many seconds: the numbers of this process."""

    priority = cb.Priority.SHOW

    def __init__(self, every: float) -> None:
        self.every, self.samples, self.steps = every, list[dict[str, float]](), 0
        self._started = self._looked = time.monotonic()
        self.saver: cb.ModelCheckpoint | None = None
        self._steps_then = 0
        self.until = float("inf")

    def on_slice_end(self, trainer: Any) -> None:
        self.steps += len(trainer.state.slice)
        now = time.monotonic()
        if now - self._looked >= self.every:
            if self.saver is not None:
                self.saver.wait()  # while a file is being written it is open
            rate = (self.steps - self._steps_then) / (now - self._looked)
            self.samples.append(sample((now - self._started) / 60, rate))
            print("{minute:6.2f} min  {mib:8.2f} MiB  {handles:3.0f} files  {rate:10,.0f} steps/s".format(
                **self.samples[-1]), flush=True)  # fmt: skip
            self._looked, self._steps_then = time.monotonic(), self.steps
        if now > self.until and len(self.samples) >= FEWEST:
            trainer.stop("the time is over")


def train(folder: Path, look: Look, until: float) -> None:
    """One call of `fit`: the run of a user who trains model after model in one process."""
    look.until = until
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6400, 13)).astype(np.float32)
    y = (x[:, 0] > x[:, 1]).astype(np.int64)
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    # The last of each kind replaces the one before, as in a folder that somebody keeps in order.
    for path in folder.iterdir():
        path.unlink()
    look.saver = cb.ModelCheckpoint(folder / "{step}.safetensors", save_freq=500, keep_last=2)
    callbacks = [
        look, look.saver,
        cb.CSVLogger(folder / "log.csv"), cb.EarlyStopping(patience=10**6, restore_best_weights=True),
    ]  # fmt: skip
    trainer = tw.Trainer(model, metrics=["accuracy"], callbacks=callbacks, progress=False)
    trainer.fit((x, y), validation_split=0.2, epochs=EPOCHS, batch_size=32)


def sample(minute: float, rate: float) -> dict[str, float]:
    """Resident memory in MiB and open files, as the system counts them, after the garbage is gone."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "minute": round(minute, 3), "mib": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "handles": float(len(os.listdir("/proc/self/fd"))), "rate": rate,
    }  # fmt: skip


def judged(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Whether all three are flat; the first look is where the run has everything that it needs."""
    first, third = samples[0], max(1, len(samples) // 3)
    rates, memory = ([each[name] for each in samples] for name in ("rate", "mib"))
    found = {
        "growth_mib": float(np.median(memory[-third:]) - np.median(memory[:third])),
        "swing_mib": max(memory) - min(memory),
        "most_handles": int(max(each["handles"] for each in samples) - first["handles"]),
        "rate_ratio": float(np.median(rates[-third:]) / np.median(rates[:third])),
    }
    is_flat = found["growth_mib"] < MOST_GROWTH and found["most_handles"] <= 0 and found["rate_ratio"] >= LEAST_RATE
    return found | {"holds": is_flat}
