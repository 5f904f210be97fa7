"""The data that rows train on, handed to the workers as plain arrays on disk, so that no side reads files of its own.

In: the data sets beside the repository. Out: a folder with MNIST's training part, float32 in 0 .. 1, one row each; in a
worker, the examples of a row.
"""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

import numpy as np

from bench.workloads import Workload, generated

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = "../shared/data"
VARIABLE = "BENCH_DATA"  # the folder, for the workers


def data_root() -> Path:
    return Path(os.environ.get("THALWEG_SHARED_DATA", (REPOSITORY / DATA).resolve()))


def write_arrays(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    np.save(folder / "images.npy", images.reshape(len(images), -1))
    np.save(folder / "labels.npy", labels)


@functools.lru_cache(maxsize=1)
def examples(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a row's whole training set."""
    if workload.examples:
        return generated(workload)
    folder = Path(os.environ[VARIABLE])
    if not (folder / "images.npy").exists():
        raise FileNotFoundError("no MNIST beside the repository")
    return np.load(folder / "images.npy"), np.load(folder / "labels.npy")


def steps_of(workload: Workload) -> int:
    """Training steps of an epoch; the last one may be smaller."""
    return math.ceil(len(examples(workload)[0]) / workload.batch)
