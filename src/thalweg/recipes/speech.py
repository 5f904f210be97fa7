"""The recipes for recordings: what is said in each, and strings of digits written down as they are heard.

In: settings. Out: a `Problem` of log-mel frames. The validation part is cut off the training recordings, and so is the
test part where the data has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from thalweg.data import (
    DataLoader,
    Recordings,
    SpecAugment,
    Standardise,
    joined_sequences,
    read_recordings,
    split_indices,
    spoken_digits,
)
from thalweg.errors import DataError, explain
from thalweg.recipes.defaults import filled
from thalweg.recipes.picture_parts import name_of
from thalweg.recipes.problem import TRANSCRIPTION, Chunk, Outputs, Problem, fingerprint_of_arrays
from thalweg.recipes.recognition import part_folders
from thalweg.recipes.recording_reader import RecordingReader
from thalweg.recipes.sequence_loading import loader_of
from thalweg.recipes.settings import DIGIT_STRINGS, RECORDINGS, Settings

BANDS = 40
FEWEST = 10
STRING_LENGTHS = (3, 7)
STRINGS = {"training": 4000, "validation": 300, "test": 500}
"""How many strings are joined from the recordings of each part."""
Parts = dict[str, Recordings]


def prepare(settings: Settings) -> Problem:
    """Recordings in parts, or strings of them.

    Raises DataError, FileFormatError with the file's name for recordings that cannot be used.
    """
    parts, name, origin, notes = _of_folder(settings) if settings.recipe == RECORDINGS else _of_digits(settings)
    sha256 = fingerprint_of_arrays(*(samples for part in parts.values() for samples in part.samples))
    training = parts["training"]
    settings = filled(settings, len(training))
    reader, frames = _encoded(training, settings)
    sequences = {part: _sequences(each, part, reader, settings, frames) for part, each in parts.items()}
    counts = {part: len(inputs) for part, (inputs, _) in sequences.items()}
    loaders = {part: _loader(*each, settings, part == "training") for part, each in sequences.items()}
    transcribes = settings.recipe == DIGIT_STRINGS
    classes = list(training.class_names)
    return Problem(
        name=name,
        outputs=Outputs(task=TRANSCRIPTION, width=len(classes) + 1) if transcribes else Outputs(classes=classes),
        reader=reader,
        input_shape=(BANDS,),
        training=loaders["training"],
        validation=loaders["validation"],
        test=lambda: batches(loaders["test"]),
        counts=counts,
        data={"name": name, "origin": origin, "sha256": sha256},
        notes=notes,
    )


def batches(loader: DataLoader) -> Iterator[Chunk]:
    """The batches of a part, in the order of its sampler, without chance."""
    yield from loader.batches(0, augment=False)


# --- the parts -------------------------------------------------------------------------------------------------------


def _of_digits(settings: Settings) -> tuple[Parts, str, str, list[str]]:
    data = spoken_digits(settings.data)
    training, validation = _cut(data.train, settings.validation, settings.seed)
    parts = {"training": training, "validation": validation, "test": data.test}
    return parts, settings.recipe, data.origin, []


def _of_folder(settings: Settings) -> tuple[Parts, str, str, list[str]]:
    path = settings.data or ""
    folders = part_folders(path) or {"training": path}
    if settings.test is not None:
        folders["test"] = settings.test
    on_error = "skip" if settings.skip_bad else "raise"
    options: dict[str, Any] = {"labels": settings.labels, "on_error": on_error}
    whole = read_recordings(folders.pop("training"), **options)
    known = options | {"classes": whole.class_names, "sample_rate": whole.sample_rate}
    parts = {name: read_recordings(folder, **known) for name, folder in folders.items()}
    notes = [f"left out {each.place}: {each.reason}" for part in (whole, *parts.values()) for each in part.skipped]
    _check_enough(whole, path)
    if "test" not in parts:
        whole, parts["test"] = _cut(whole, settings.test_fraction, settings.seed)
    if "validation" not in parts:
        whole, parts["validation"] = _cut(whole, settings.validation, settings.seed + 1)
    return {"training": whole} | parts, name_of(path), path, notes


def _check_enough(whole: Recordings, path: str) -> None:
    if len(whole.class_names) < 2 or len(whole) < FEWEST:
        raise DataError(
            explain(
                "too few recordings, or a single class: there is nothing to tell apart",
                received=f"{len(whole)} recordings of {len(whole.class_names)} classes",
                expected=f"at least {FEWEST} recordings of at least 2 classes",
                where=path,
                remedy="the class is the name of a folder, what is before _ or - in a file's name, or in --labels FILE",
            )
        )


def _cut(part: Recordings, share: float, seed: int) -> tuple[Recordings, Recordings]:
    labels = part.labels if np.bincount(part.labels).max() > 1 else None
    first, second = split_indices(len(part), share, labels, seed)
    return part.take(first), part.take(second)


# --- frames ----------------------------------------------------------------------------------------------------------


def _encoded(training: Recordings, settings: Settings) -> tuple[RecordingReader, list[np.ndarray]]:
    """The reader, with the mean and the deviation of the training part's bands; and that part's frames."""
    reader = RecordingReader(
        training.sample_rate, BANDS, Standardise(), training.class_names, settings.recipe == DIGIT_STRINGS
    )
    frames = training.features(reader.log_mel)
    reader.scale.fit(np.concatenate(frames))
    return reader, [np.asarray(reader.scale.transform(each), np.float32) for each in frames]


def _sequences(
    part: Recordings, name: str, reader: RecordingReader, settings: Settings, of_training: list[np.ndarray]
) -> tuple[list[np.ndarray], Any]:
    """Frames and labels: of each recording, or of strings that one speaker says."""
    if settings.recipe != DIGIT_STRINGS:
        return (of_training if name == "training" else part.features(reader.frames)), part.labels
    seed = settings.seed if name == "training" else 0
    strings, labels = joined_sequences(
        part.samples, part.labels, STRINGS[name], STRING_LENGTHS, seed, part.groups["speaker"]
    )
    joined = Recordings(
        strings, part.sample_rate, np.zeros(len(strings), np.int64), part.class_names, [""] * len(strings)
    )
    return joined.features(reader.frames), [each + 1 for each in labels]


def _loader(frames: list[np.ndarray], targets: Any, settings: Settings, is_training: bool) -> DataLoader:
    transform = SpecAugment() if is_training and settings.augment else None
    return loader_of(frames, targets, settings, is_training, lengths=True, transform=transform)
