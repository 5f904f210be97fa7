"""Folders of recordings with a class each: in their file names, in the folders they lie in, or in a CSV file.

In: a folder, a zip or a tar archive. Out: `Recordings`: samples at one rate, labels, names; and their features,
computed once.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from thalweg.data.checks import checked_choice, reason_of
from thalweg.data.csv_table import read_csv
from thalweg.data.file_tree import FileTree, open_tree, stem
from thalweg.data.image_dataset import Skipped
from thalweg.data.progress import Progress
from thalweg.data.sound_files import Sound, decode_sound, is_sound_name
from thalweg.data.table import Table, abridged
from thalweg.data.workers import run_in_order
from thalweg.errors import ArgumentError, DataError, ThalwegError, explain

NAMES, FOLDERS = "names", "folders"
BEFORE_SEPARATOR = r"^(?P<label>[^_-]+)"
"""The label is what stands before the first "_" or "-" of a file's name: `7_jackson_32.wav` is a 7."""
LABEL = "label"
_WORKERS = 4


@dataclass(frozen=True)
class Recordings:
    """Recordings in memory, all at one rate, with a class each.

    Attributes:
        samples: float32 (frames,) each. sample_rate: in samples a second.
        labels: int64 (n,), in 0 .. len(class_names) - 1. class_names: by label.
        names: of the files. skipped: what was left out, with the reason.
        groups: whatever else the file names say (a pattern's other groups), by name: a list each, such as the speakers.
    """

    samples: list[np.ndarray]
    sample_rate: int
    labels: np.ndarray
    class_names: tuple[str, ...]
    names: list[str]
    groups: dict[str, list[str]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def seconds(self) -> float:
        """How long all of them are together."""
        return sum(map(len, self.samples)) / self.sample_rate

    def take(self, indices: Any) -> Recordings:
        """The recordings with these numbers, in this order; samples are shared."""
        numbers = np.asarray(indices, dtype=np.int64).tolist()
        groups = {name: [values[n] for n in numbers] for name, values in self.groups.items()}
        return Recordings(
            [self.samples[n] for n in numbers], self.sample_rate, self.labels[numbers], self.class_names,
            [self.names[n] for n in numbers], groups,
        )  # fmt: skip

    def features(self, transform: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
        """What a transform such as `LogMel` makes of each recording: a list, to be kept; `SequenceDataset` takes it."""
        with Progress("computing features", "recordings", len(self)) as progress:
            tasks = (partial(transform, samples) for samples in self.samples)
            return list(progress.counted(run_in_order(tasks, _WORKERS, 4 * _WORKERS), every=64))

    def __repr__(self) -> str:
        return (
            f"Recordings({len(self)}, {self.seconds:.0f} s at {self.sample_rate} Hz, {len(self.class_names)} classes)"
        )


def read_recordings(
    root: str | os.PathLike[str],
    labels: str | os.PathLike[str] | Mapping[str, str] | None = None,
    *,
    pattern: str = BEFORE_SEPARATOR,
    sample_rate: int | None = None,
    classes: Sequence[str] | None = None,
    on_error: str = "raise",
    max_seconds: float | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
) -> Recordings:
    """Read every recording below a folder, or inside a .zip, .tar, .tar.gz or .tar.xz.

    Args:
        root: the folder or the archive.
        labels: where the classes stand. "names": in the file names, as `pattern` says; "folders": the name of the
            folder at the top; the path of a CSV file with a column of files and one of labels (`file_column`,
            `label_column`; by default the first two); or a dictionary from file name to label. None: folders, where
            all recordings lie in folders of their own and there are two or more; else names.
        pattern: a regular expression that is searched in a file's name without its extension; its group "label" is
            the class, other named groups go into `groups`. By default what stands before the first "_" or "-".
        sample_rate: that of the result; None for that of the first recording. Others are resampled.
        classes: class names in the order of their numbers; None for all that occur, sorted.
        on_error: "raise" for the first file that cannot be used; "skip" leaves such files out and says so.
        max_seconds: the longest recording that is taken; None for any.

    Returns:
        `Recordings`, in the sorted order of their names. Several channels become their mean.

    Raises:
        FileFormatError: no such folder; a file that is no sound, cut short, or of no length. DataError: no recordings,
            a name that does not fit the pattern, a file without a label, a label that is not among `classes`.
    """
    checked_choice("on_error", on_error, ("raise", "skip"))
    tree = open_tree(root, "the folder of recordings")
    names = [name for name in tree.names if is_sound_name(name)]
    if not names:
        raise DataError(
            explain(
                "there are no recordings",
                received=f"{len(tree.names)} files: {abridged(tree.names, 3)}",
                expected="files that end in .wav, .flac, .ogg, .mp3, ...",
                where=str(tree.path),
            )
        )
    found = _labels(tree, names, labels, pattern, (file_column, label_column))
    sounds, skipped = _read_all(tree, list(found), sample_rate, max_seconds, on_error)
    return _recordings(found, sounds, skipped, classes, tree)


def _recordings(
    found: dict[str, dict[str, str]],
    sounds: dict[str, Sound],
    skipped: list[Skipped],
    classes: Sequence[str] | None,
    tree: FileTree,
) -> Recordings:
    if not sounds:
        received = f"{len(skipped)} files skipped, the first: {skipped[0].reason}"
        raise DataError(explain("no recording is left", received=received, where=str(tree.path)))
    kept = list(sounds)
    class_names = tuple(sorted({found[name][LABEL] for name in kept}) if classes is None else classes)
    numbers = {name: number for number, name in enumerate(class_names)}
    if unknown := [name for name in kept if found[name][LABEL] not in numbers]:
        raise DataError(
            explain(
                "a recording of a class that is not known",
                received=repr(found[unknown[0]][LABEL]),
                expected=abridged(class_names),
                where=tree.place(unknown[0]),
                remedy="name all of them in classes=[...]",
            )
        )
    return Recordings(
        [sounds[name].samples for name in kept],
        next(iter(sounds.values())).sample_rate,
        np.array([numbers[found[name][LABEL]] for name in kept], dtype=np.int64),
        class_names,
        kept,
        {group: [found[name][group] for name in kept] for group in found[kept[0]] if group != LABEL},
        tuple(skipped),
    )


# --- where the labels stand ------------------------------------------------------------------------------------------


def _labels(
    tree: FileTree, names: list[str], labels: Any, pattern: str, columns: tuple[str | None, str | None]
) -> dict[str, dict[str, str]]:
    """The label (and what else is known) of each recording that has one, by name."""
    if labels is None:
        tops = {PurePosixPath(name).parts[-2] if "/" in name else "" for name in names}
        labels = FOLDERS if len(tops) > 1 and "" not in tops else NAMES
    if labels == FOLDERS:
        return {name: {LABEL: _folder_of(tree, name)} for name in names}
    if labels == NAMES:
        expression = _compiled(pattern)
        return {name: _groups(tree, name, expression) for name in names}
    table = labels if isinstance(labels, Mapping) else _table_of(labels, *columns)
    return _listed(tree, names, table, "labels" if isinstance(labels, Mapping) else str(labels))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ArgumentError(explain("this is no regular expression", received=f"{pattern!r}: {error}")) from None
    if LABEL not in expression.groupindex:
        expected = "a group named label, such as (?P<label>[^_]+)"
        raise ArgumentError(explain("the pattern says nowhere what the label is", received=pattern, expected=expected))
    return expression


def _groups(tree: FileTree, name: str, expression: re.Pattern[str]) -> dict[str, str]:
    match = expression.search(stem(name))
    if match is None or not match[LABEL]:
        raise DataError(
            explain(
                "a file whose name does not say its label",
                received=repr(stem(name)),
                expected=f"a name that fits {expression.pattern!r}",
                where=tree.place(name),
                remedy="pass another pattern=, or labels= with a CSV file",
            )
        )
    return {group: value or "" for group, value in match.groupdict().items()}


def _folder_of(tree: FileTree, name: str) -> str:
    if "/" not in name:
        raise DataError(
            explain(
                "a recording that lies in no folder of its class",
                where=tree.place(name),
                remedy="sort the recordings into folders: root/yes/1.wav, root/no/2.wav",
            )
        )
    return PurePosixPath(name).parts[-2]


def _table_of(path: str | os.PathLike[str], file_column: str | None, label_column: str | None) -> dict[str, str]:
    """A CSV file's labels by file name."""
    table: Table = read_csv(path, missing=("",), comment=None)
    if len(table.names) < 2:
        raise DataError(
            explain("a column of files and one of labels are needed", received=abridged(table.names), where=str(path))
        )
    files = table[0 if file_column is None else file_column]
    labels = table[1 if label_column is None else label_column]
    return {_text(file): _text(label) for file, label in zip(files, labels, strict=True)}


def _text(cell: Any) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell or "")


def _listed(tree: FileTree, names: list[str], table: Mapping[str, str], source: str) -> dict[str, dict[str, str]]:
    """The labels of a table, found by a file's whole name, its last part, or that without the extension."""
    found, missing = {}, []
    for name in names:
        keys = (name, PurePosixPath(name).name, stem(name))
        label = next((str(table[key]) for key in keys if table.get(key)), None)
        if label is None:
            missing.append(name)
        else:
            found[name] = {LABEL: label}
    if missing:
        raise DataError(
            explain(
                "recordings without a label",
                received=f"{abridged(missing, 3)}",
                expected=f"a row for each of the {len(names)} files",
                where=source,
                remedy=f"add them, or move them out of {tree.path}",
            )
        )
    return found


# --- reading ---------------------------------------------------------------------------------------------------------


def _read_all(
    tree: FileTree, names: list[str], sample_rate: int | None, max_seconds: float | None, on_error: str
) -> tuple[dict[str, Sound], list[Skipped]]:
    sounds, skipped = {}, []
    tasks = (partial(_read_or_reason, tree, name, sample_rate, max_seconds) for name in names)
    with Progress("reading recordings", "files", len(names)) as progress:
        for name, result in zip(names, progress.counted(run_in_order(tasks, _WORKERS, 64), every=64), strict=True):
            if isinstance(result, Sound):
                sounds[name] = result
            elif on_error == "raise":
                raise result
            else:
                skipped.append(Skipped(tree.place(name), reason_of(result)))
    if skipped:
        shown = "; ".join(f"{each.place}: {each.reason}" for each in skipped[:3])
        warnings.warn(f"{len(skipped)} recordings are left out: {shown}; see .skipped", RuntimeWarning, stacklevel=3)
    return _at_one_rate(sounds), skipped


def _read_or_reason(
    tree: FileTree, name: str, sample_rate: int | None, max_seconds: float | None
) -> Sound | ThalwegError:
    try:
        sound = decode_sound(tree.read(name), tree.place(name), sample_rate=sample_rate)
    except ThalwegError as error:
        return error
    if max_seconds is not None and sound.seconds > max_seconds:
        return DataError(
            explain(
                "a recording is too long",
                received=f"{sound.seconds:.1f} s",
                expected=f"at most {max_seconds:g} s",
                where=tree.place(name),
                remedy='cut it, or leave such files out: on_error="skip"',
            )
        )
    return sound


def _at_one_rate(sounds: dict[str, Sound]) -> dict[str, Sound]:
    """All recordings at the rate of the first."""
    rates = {sound.sample_rate for sound in sounds.values()}
    if len(rates) < 2:
        return sounds
    rate = next(iter(sounds.values())).sample_rate
    return {name: sound.at_rate(rate) for name, sound in sounds.items()}
