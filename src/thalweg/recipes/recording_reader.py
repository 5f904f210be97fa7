"""How recordings become what a network takes: one rate, log-mel frames, standardised by the training part.

In: files and folders of recordings.
Out: batches of padded frames with their lengths; the labels of file names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import LogMel, Recordings, Standardise, Table, pad_sequence, read_recordings, read_sound
from thalweg.data.file_tree import open_tree
from thalweg.data.sound_files import is_sound_name
from thalweg.errors import DataError, explain
from thalweg.recipes.problem import Chunk
from thalweg.recipes.sequence_modules import IGNORED

BATCH = 64
FRAMES = 64
"""Lengths are rounded up to multiples of it, so that few programs are compiled."""
Frames = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class RecordingReader:
    """Frames of recordings; with `transcribes`, the label of a recording is the sequence of its characters' classes."""

    sample_rate: int
    bands: int
    scale: Standardise
    class_names: tuple[str, ...]
    transcribes: bool = False

    @property
    def width(self) -> int:
        return self.bands

    @cached_property
    def log_mel(self) -> LogMel:
        return LogMel(self.sample_rate, n_mels=self.bands)

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """The standardised frames of one recording, float32 (T, bands)."""
        return np.asarray(self.scale.transform(self.log_mel(samples)), np.float32)

    def inputs(self, path: str) -> Iterator[Frames]:
        for _, x in self.named_inputs([path]):
            yield x

    def named_inputs(self, paths: list[str]) -> Iterator[tuple[Table, Frames]]:
        """Recordings of files and folders, some at a time, with their names."""
        names = [name for path in paths for name in _names(path)]
        for first in range(0, len(names), BATCH):
            some = names[first : first + BATCH]
            sounds = [read_sound(name, sample_rate=self.sample_rate).samples for name in some]
            yield Table({"recording": some}), padded([self.frames(each) for each in sounds])

    def labelled(self, path: str) -> Iterator[Chunk]:
        """A folder or an archive of recordings with their labels, as they were trained on."""
        classes = None if self.transcribes else self.class_names
        found = read_recordings(path, sample_rate=self.sample_rate, classes=classes)
        targets = self.spelt(found) if self.transcribes else found.labels
        frames = found.features(self.frames)
        for first in range(0, len(found), BATCH):
            some = slice(first, first + BATCH)
            yield padded(frames[some]), targets[some]

    def spelt(self, found: Recordings) -> np.ndarray:
        """The labels of recordings as rows of numbers from 1 on, padded with -100."""
        numbers = {name: number for number, name in enumerate(self.class_names, 1)}
        texts = [found.class_names[label] for label in found.labels]
        if unknown := [text for text in texts if not set(text) <= set(numbers)]:
            raise DataError(
                explain("a recording's label is not made of known characters", received=unknown[0],
                        expected=", ".join(self.class_names))
            )  # fmt: skip
        return rows_of_labels([[numbers[character] for character in text] for text in texts])

    def told(self, labels: Sequence[int]) -> str:
        """Labels as text."""
        return "".join(self.class_names[label - 1] for label in labels if label > 0)

    def to_config(self) -> dict[str, Any]:
        return {
            "kind": "recordings", "sample_rate": self.sample_rate, "bands": self.bands,
            "scale": self.scale.to_config(), "class_names": list(self.class_names), "transcribes": self.transcribes,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RecordingReader:
        rate, bands = (int(config[name]) for name in ("sample_rate", "bands"))
        scale = Standardise.from_config(config["scale"])
        if not 0 < rate <= 1 << 20 or not 0 < bands <= 4096 or scale.mean_.shape != (bands,):
            raise ValueError(f"{bands} bands at {rate} Hz, statistics of {scale.mean_.shape}")
        return cls(rate, bands, scale, tuple(map(str, config["class_names"])), bool(config["transcribes"]))


def padded(frames: Sequence[np.ndarray]) -> Frames:
    """Frames of several recordings (n, T, bands), T a multiple of 64, and how many each has."""
    lengths = np.array([len(each) for each in frames], np.int64)
    return pad_sequence(frames, length=-(-int(lengths.max()) // FRAMES) * FRAMES), lengths


def rows_of_labels(labels: Sequence[Sequence[int]]) -> np.ndarray:
    """Label sequences as rows, padded with -100."""
    return pad_sequence([np.asarray(each, np.int64) for each in labels], IGNORED)


def _names(path: str) -> list[str]:
    """The recordings that a path stands for, which must be files on the disk."""
    if not Path(path).is_dir():
        return [path]
    names = [name for name in open_tree(path, "the folder of recordings").names if is_sound_name(name)]
    if not names:
        raise DataError(explain("no recordings in this folder", received=path, expected=".wav, .flac, ..."))
    return [str(Path(path) / name) for name in names]
