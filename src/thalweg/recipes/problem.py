"""What a recipe hands to training: the parts of the data, encoded, and how its outputs are read.

In: nothing; recipes fill it in. Out: `Problem`, and `Outputs`: from the numbers of the last layer to classes with
probabilities, or to values in the units of the target.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from thalweg.data import Standardise
from thalweg.data.files import BLOCK
from thalweg.data.progress import Progress
from thalweg.errors import FileFormatError, ThalwegError, explain
from thalweg.recipes.settings import Settings

CLASSIFICATION, REGRESSION, SEGMENTATION, DETECTION = "classification", "regression", "segmentation", "detection"
LANGUAGE, TRANSLATION, TRANSCRIPTION, CONTROL = "language", "translation", "transcription", "control"
WITHOUT_CLASSES = (LANGUAGE, TRANSLATION, TRANSCRIPTION, CONTROL)
"""Tasks whose outputs are tokens or states; the reader knows their names."""
FEWEST_CLASSES = {CLASSIFICATION: 2, SEGMENTATION: 2, DETECTION: 1}
Chunk = tuple[Any, np.ndarray]
"""Encoded inputs (an array, or a tuple of several), and the targets: class numbers, masks or tokens (int64), boxes, or
values in their own units (float64)."""


class Reader(Protocol):
    """How inputs from outside become what the network takes; part of the run folder."""

    def inputs(self, path: str) -> Iterator[Any]:
        """Encoded inputs of a file, in chunks."""

    def labelled(self, path: str) -> Iterator[Chunk]:
        """Encoded inputs and targets of a file, in chunks."""

    def to_config(self) -> dict[str, Any]:
        """Everything it knows, as plain values."""


class Outputs:
    """From the outputs of the network to predictions: `classes` for pictures and categories, `scale` for a regression.

    `task` says what a class belongs to: an example (classification), a pixel (segmentation), a box (detection).
    Tasks of sequences have a `width` alone: so many tokens, or numbers of a state.

    >>> outputs = Outputs(classes=["cat", "dog"])
    >>> outputs.task, outputs.width, outputs.probabilities(np.zeros((1, 2)))
    ('classification', 2, array([[0.5, 0.5]]))
    """

    def __init__(
        self, classes: list[Any] | None = None, scale: Standardise | None = None, task: str = CLASSIFICATION,
        width: int | None = None,
    ) -> None:  # fmt: skip
        assert sum(each is not None for each in (classes, scale, width)) == 1
        self.classes, self.scale = classes, scale
        self.task = REGRESSION if scale is not None else task
        self.width = width if width is not None else 1 if classes is None else len(classes)

    def probabilities(self, raw: np.ndarray) -> np.ndarray:
        """softmax of logits, float64 (n, classes) or (n, classes, height, width)."""
        shifted = np.exp(raw.astype(np.float64) - raw.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def values(self, raw: np.ndarray) -> np.ndarray:
        """Values in the units of the target, float64 (n,)."""
        assert self.scale is not None
        return self.scale.inverse_transform(raw[:, 0].astype(np.float64))

    def to_config(self) -> dict[str, Any]:
        if self.scale is not None:
            return {"task": REGRESSION, "scale": self.scale.to_config()}
        if self.classes is None:
            return {"task": self.task, "width": self.width}
        return {"task": self.task, "classes": self.classes}

    @classmethod
    def from_config(cls, config: Any, where: str) -> Outputs:
        """The outputs that `to_config` described. Raises FileFormatError for anything else."""
        try:
            if config["task"] == REGRESSION:
                scale = Standardise.from_config(config["scale"])
                if scale.mean_.shape == ():
                    return cls(scale=scale)
            if config["task"] in WITHOUT_CLASSES:
                width = config["width"]
                if type(width) is int and width > 0:
                    return cls(task=config["task"], width=width)
            classes, task = config["classes"], config["task"]
            named = isinstance(classes, list) and all(isinstance(name, str | int | float) for name in classes)
            if named and len(classes) >= FEWEST_CLASSES[task]:
                return cls(classes=classes, task=task)
        except (KeyError, TypeError, ThalwegError):
            pass
        raise FileFormatError(
            explain("the description of the outputs is damaged", received=f"{config!r:.80}", where=where)
        )


@dataclass(frozen=True)
class PictureSamples:
    """Pictures (n, channels, height, width), uint8 or float32 in 0 .. 1, with their targets and network inputs."""

    images: np.ndarray
    targets: np.ndarray
    inputs: np.ndarray


@dataclass
class Problem:
    """The data of one run, ready to be trained on.

    `training` is whatever `Trainer.fit` takes; `test` starts reading the test part from its beginning.
    """

    name: str
    outputs: Outputs
    reader: Reader
    input_shape: tuple[int, ...]
    training: Any
    validation: Any
    test: Callable[[], Iterator[Chunk]]
    counts: dict[str, int]
    """Examples in each part."""
    data: dict[str, Any]
    """Where the data came from, with fingerprints."""
    notes: list[str] = field(default_factory=list)
    samples: Callable[[], PictureSamples] | None = None
    """Pictures of the test part as they are stored, for the report; None where the examples are no pictures."""
    steps: int | None = None
    """Steps of an epoch, where they are not those of all training examples in batches."""

    def steps_per_epoch(self, settings: Settings) -> int:
        assert settings.batch_size is not None
        if self.steps is not None:
            return self.steps
        return math.ceil(self.counts["training"] / settings.batch_size)


def fingerprint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Size and SHA-256 of a file, so that a run knows its data again."""
    digest = hashlib.sha256()
    total = Path(path).stat().st_size
    with open(path, "rb") as stream, Progress(f"fingerprint of {path}", "bytes", total) as progress:
        while block := stream.read(BLOCK):
            digest.update(block)
            progress.update(stream.tell())
    return {"path": os.path.abspath(path), "bytes": total, "sha256": digest.hexdigest()}


def fingerprint_of_arrays(*arrays: np.ndarray) -> str:
    """SHA-256 over the contents of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
