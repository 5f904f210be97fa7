"""Named sets of recordings: `spoken_digits()`, and strings of digits that are joined from them.

In: nothing, or a folder. Out: `SpokenDigits` in the parts that its authors made; recordings in a row, with the sequence
of their labels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thalweg.data.catalogue import set_folder
from thalweg.data.checks import checked_count
from thalweg.data.seeding import bit_generator, checked_seed
from thalweg.data.sound_folder import Recordings, read_recordings
from thalweg.errors import ArgumentError, DataError, FileFormatError, explain

PATTERN = r"^(?P<label>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)$"
TEST_TAKES = 5
ARCHIVES = ("recordings.tar.xz", "recordings.tar.gz", "recordings.tar", "recordings.zip", "recordings")
_JOINING = 0x6A6F696E  # keeps these streams apart from permutations and augmentation


@dataclass(frozen=True)
class SpokenDigits:
    """Spoken digits, in parts.

    Attributes:
        name: of the data set. train, test: `Recordings`, with the speakers and takes in `groups`. origin: who made it,
            and its licence.
    """

    name: str
    train: Recordings
    test: Recordings
    origin: str

    def __repr__(self) -> str:
        return f"SpokenDigits({self.name}: {len(self.train)} train, {len(self.test)} test)"


def spoken_digits(folder: str | os.PathLike[str] | None = None) -> SpokenDigits:
    """The Free Spoken Digit Dataset: 3,000 recordings of the digits 0 to 9 by six speakers, 8 kHz.

    Takes 0 to 4 of each digit and speaker are the test part (300), the others the training part (2,700): the split of
    its authors.

    Args:
        folder: where `recordings.tar.xz` is (or .tar, .tar.gz, .zip, or the unpacked `recordings`), or a folder that
            holds `fsdd`, `spoken_digits` or `free-spoken-digit-dataset`; None for the cache of this user
            (`THALWEG_DATA`).

    Raises:
        DataError: no such file, or a recording whose name is not digit_speaker_take.wav.
    """
    place = set_folder("spoken_digits", folder, ("fsdd", "free-spoken-digit-dataset"))
    source = next((place / name for name in ARCHIVES if (place / name).exists()), None)
    if source is None:
        raise DataError(
            explain(
                "a file of spoken_digits is missing",
                received=f"no {ARCHIVES[0]}",
                expected="the recordings of the Free Spoken Digit Dataset",
                where=str(place),
                remedy="name the folder that holds it: tw.data.spoken_digits(folder)",
            )
        )
    whole = read_recordings(source, "names", pattern=PATTERN, classes=tuple("0123456789"))
    return _in_parts(whole, source)


def _in_parts(whole: Recordings, source: Path) -> SpokenDigits:
    is_test = np.array([int(take) < TEST_TAKES for take in whole.groups["take"]])
    if is_test.all() or not is_test.any():
        raise FileFormatError(
            explain(
                "one of the parts is empty",
                received=f"{is_test.sum()} test recordings of {len(whole)}",
                expected=f"takes below {TEST_TAKES} and others",
                where=str(source),
            )
        )
    parts = whole.take(np.flatnonzero(~is_test)), whole.take(np.flatnonzero(is_test))
    return SpokenDigits("spoken_digits", *parts, "Free Spoken Digit Dataset; Z. Jackson and contributors; CC BY-SA 4.0")


def joined_sequences(
    sequences: Sequence[np.ndarray],
    labels: Sequence[int] | np.ndarray,
    count: int,
    lengths: tuple[int, int] = (3, 7),
    seed: int | None = 0,
    groups: Sequence[object] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Strings of recordings, one after the other, with the sequence of their labels: connected speech to practise on.

    Args:
        sequences: recordings (frames,), or features (windows, bands); joined along the first axis.
        labels: one for each. count: how many strings to make.
        lengths: the least and the most recordings of a string; each length is equally likely.
        seed: the strings are a function of it; None draws a fresh one.
        groups: one for each recording, such as its speaker: a string is then made of one group's recordings.

    Returns:
        (strings, labels): `count` arrays each; labels int64 (length,).

    >>> digits = [np.full(2, digit) for digit in range(10)]
    >>> strings, labels = joined_sequences(digits, range(10), 2, (2, 3), seed=0)
    >>> all((s == np.repeat(l, 2)).all() for s, l in zip(strings, labels))
    True
    """
    numbers = np.asarray(labels, dtype=np.int64)
    least, most = lengths
    if len(sequences) != len(numbers) or not len(numbers) or (groups is not None and len(groups) != len(numbers)):
        received = f"{len(sequences)} recordings, {len(numbers)} labels"
        raise DataError(explain("every recording needs a label", received=received, where="joined_sequences"))
    if not 1 <= least <= most:
        raise ArgumentError(explain("lengths are the least and the most", received=lengths, where="joined_sequences"))
    checked_count("count", count, 1, "joined_sequences")
    bits = bit_generator(checked_seed(seed, "joined_sequences"), _JOINING)
    pools = _pools(groups, len(numbers))
    drawn = bits.random_raw(count * (most + 2)).reshape(count, most + 2) % np.uint64(1 << 32)
    sizes = least + (drawn[:, 0] % np.uint64(most - least + 1)).astype(np.int64)
    chosen = []
    for row, size in zip(drawn, sizes.tolist(), strict=True):
        pool = pools[int(row[1]) % len(pools)]
        chosen.append(pool[(row[2 : 2 + size] % np.uint64(len(pool))).astype(np.int64)])
    return [np.concatenate([sequences[n] for n in row.tolist()]) for row in chosen], [numbers[row] for row in chosen]


def _pools(groups: Sequence[object] | None, count: int) -> list[np.ndarray]:
    """The numbers of the recordings of each group."""
    if groups is None:
        return [np.arange(count)]
    names = np.array([str(each) for each in groups])
    return [np.flatnonzero(names == name) for name in np.unique(names)]
