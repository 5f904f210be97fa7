"""Named sets of text: `tiny_shakespeare()`, `rt_polarity()`, `multi30k()`.

In: nothing, or a folder.
Out: texts in the parts that their authors made, or in the usual ones where they made none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thalweg.data.catalogue import checksum, find_spelled, set_folder, wrong_content
from thalweg.data.text_files import AlignedLines, read_aligned, read_lines, read_text
from thalweg.data.text_table import LabelledTexts
from thalweg.errors import DataError, explain

SHAKESPEARE_MD5 = "6fb458f1232090904fb40fe944165e91"
SHAKESPEARE_TRAINING = 0.9
MULTI30K_PARTS = {"train": "train", "validation": "val", "test": "test_2016_flickr", "test_2017": "test_2017_flickr"}
Folder = str | os.PathLike[str] | None


@dataclass(frozen=True)
class TextParts:
    """One long text, cut in two.

    Attributes:
        name: of the data set. train, validation: its parts. origin: who made it, and its licence.
    """

    name: str
    train: str
    validation: str
    origin: str

    @property
    def text(self) -> str:
        """All of it."""
        return self.train + self.validation

    def __repr__(self) -> str:
        return f"TextParts({self.name}: {len(self.train):,} + {len(self.validation):,} characters)"


def tiny_shakespeare(folder: Folder = None, *, verify: bool = True) -> TextParts:
    """Tiny Shakespeare: 1,115,394 characters, 65 distinct; the first 90 % for training, the last 10 % for validation.

    Args:
        folder: where `input.txt` is, or a folder that holds `tiny_shakespeare`; None for the cache of this user
            (`THALWEG_DATA`).
        verify: compare the content with its known MD5. Say False for another text in the same file.

    Raises:
        DataError: no such file. FileFormatError: another content.
    """
    place = set_folder("tiny_shakespeare", folder, ("tinyshakespeare",))
    path = _found("tiny_shakespeare", "input.txt", place)
    if verify and checksum(path) != SHAKESPEARE_MD5:
        raise wrong_content(path, SHAKESPEARE_MD5)
    text = read_text(path)
    cut = int(len(text) * SHAKESPEARE_TRAINING)
    origin = "Works of William Shakespeare, a selection by A. Karpathy (char-rnn, 2015); public domain"
    return TextParts("tiny_shakespeare", text[:cut], text[cut:], origin)


def rt_polarity(folder: Folder = None) -> LabelledTexts:
    """Movie-review sentences: 5,331 negative (0) and 5,331 positive (1), in lower case, words apart.

    The set has no test part: results are means over 10 folds, `rt_polarity().folds(10, seed)`.

    Args:
        folder: where `rt-polarity.pos` and `rt-polarity.neg` are, or a folder that holds `rt_polarity`; None for the
            cache of this user.
    """
    place = set_folder("rt_polarity", folder, ("rt-polaritydata",))
    negative, positive = (read_lines(_found("rt_polarity", f"rt-polarity.{end}", place)) for end in ("neg", "pos"))
    labels = np.repeat(np.array([0, 1]), [len(negative), len(positive)])
    texts = [line.strip() for line in (*negative, *positive)]
    origin = "Sentence polarity dataset v1.0; B. Pang, L. Lee, Seeing stars, ACL 2005"
    return LabelledTexts("rt_polarity", texts, labels, ("negative", "positive"), origin)


@dataclass(frozen=True)
class TranslatedTexts:
    """Sentences and their translations, in parts; each an `AlignedLines` (source, target).

    Attributes:
        name: of the data set. train, validation, test, test_2017: its parts; `test` is that of 2016. languages: those
            of source and target. origin: who made it, and its licence.
    """

    name: str
    train: AlignedLines
    validation: AlignedLines
    test: AlignedLines
    test_2017: AlignedLines
    languages: tuple[str, str]
    origin: str

    def __repr__(self) -> str:
        parts = ", ".join(f"{len(getattr(self, name).source):,} {name}" for name in MULTI30K_PARTS)
        return f"TranslatedTexts({self.name} {'-'.join(self.languages)}: {parts})"


def multi30k(folder: Folder = None, *, source: str = "de", target: str = "en") -> TranslatedTexts:
    """Multi30k: captions of pictures and their translations; 29,000 pairs, 1,014 for validation, 1,000 + 1,000 test.

    Args:
        folder: where `train.de.gz` and the others are (plain, .gz or .xz), or a folder that holds `multi30k`; None for
            the cache of this user.
        source, target: the languages: "de", "en", or what else lies there.
    """
    place = set_folder("multi30k", folder)
    if source == target:
        raise DataError(explain("a translation is between two languages", received=f"{source!r} twice"))
    parts = {
        part: read_aligned(*(_found("multi30k", f"{file}.{language}", place) for language in (source, target)))
        for part, file in MULTI30K_PARTS.items()
    }
    origin = "Multi30K; D. Elliott, S. Frank, K. Sima'an, L. Specia (2016), WMT 2017; captions of Flickr30K: research"
    return TranslatedTexts("multi30k", **parts, languages=(source, target), origin=origin)


def _found(name: str, file: str, place: Path) -> Path:
    path = find_spelled(place, file)
    if path is None:
        raise DataError(
            explain(
                f"a file of {name} is missing",
                received=f"no {file} (or {file}.gz)",
                where=str(place),
                remedy=f"name the folder that holds it: tw.data.{name}(folder)",
            )
        )
    return path
