"""How texts become the tokens that a network takes, and back: part of the run folder.

In: sentences that were typed, files of lines, CSV files, pairs of files.
Out: batches of padded tokens; texts of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import Table, Tokenizer, pad_sequence, read_aligned, read_labelled_texts, read_lines, read_text
from thalweg.data.token_windows import TokenWindows
from thalweg.errors import DataError, explain
from thalweg.recipes.problem import Chunk

BATCH = 64
MULTIPLE = 16
"""Lengths are rounded up to multiples of it, so that few programs are compiled."""
LONGEST_NAME = 255
"""Characters beyond which nothing that was typed is a file."""
MOST_TYPED = 40
"""Characters of a text that an error shows."""


@dataclass
class TextReader:
    """Texts with a class each: tokens cut to the longest text of the training part."""

    tokenizer: Tokenizer
    class_names: tuple[str, ...]
    longest: int
    text: str | None = None
    target: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def width(self) -> int:
        return len(self.tokenizer)

    def encode(self, texts: Sequence[str], where: str) -> list[np.ndarray]:
        """The tokens of texts, at least one each. Raises DataError for an empty text."""
        rows = self.tokenizer.encode_all(texts)
        check_texts(rows, where)
        return [row[: self.longest] for row in rows]

    def inputs(self, path: str) -> Iterator[np.ndarray]:
        for _, x in self.named_inputs([path]):
            yield x

    def named_inputs(self, given: list[str]) -> Iterator[tuple[Table, np.ndarray]]:
        """The lines of files, and sentences, some at a time."""
        for texts, where in sentences(given):
            rows = self.encode(texts, where)
            for first in range(0, len(rows), BATCH):
                yield Table({"text": texts[first : first + BATCH]}), padded(rows[first : first + BATCH], self.longest)

    def labelled(self, path: str) -> Iterator[Chunk]:
        """A CSV file with the columns of the training file."""
        found = read_labelled_texts(path, self.text, self.target)
        numbers = {name: number for number, name in enumerate(self.class_names)}
        if unknown := [name for name in found.class_names if name not in numbers]:
            raise DataError(
                explain("a class that the network does not know", received=repr(unknown[0]),
                        expected=", ".join(self.class_names), where=path)
            )  # fmt: skip
        labels = np.array([numbers[found.class_names[label]] for label in found.labels], np.int64)
        rows = self.encode(found.texts, path)
        for first in range(0, len(rows), BATCH):
            some = slice(first, first + BATCH)
            yield padded(rows[some], self.longest), labels[some]

    def told(self, tokens: np.ndarray) -> str:
        """Padded tokens as text."""
        return self.tokenizer.decode(tokens[tokens != (self.tokenizer.pad or 0)], skip_special=False)

    def to_config(self) -> dict[str, Any]:
        return {
            "kind": "texts", "tokenizer": self.tokenizer.to_config(), "class_names": list(self.class_names),
            "longest": self.longest, "text": self.text, "target": self.target,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TextReader:
        tokenizer, longest = Tokenizer.from_config(config["tokenizer"]), int(config["longest"])
        if longest < 1:
            raise ValueError(f"texts of {longest} tokens")
        return cls(tokenizer, tuple(map(str, config["class_names"])), longest, config["text"], config["target"])


@dataclass
class LanguageReader:
    """One long text in windows."""

    tokenizer: Tokenizer
    context: int

    @property
    def width(self) -> int:
        return len(self.tokenizer)

    def inputs(self, path: str) -> Iterator[np.ndarray]:
        for x, _ in self.labelled(path):
            yield x

    def named_inputs(self, given: list[str]) -> Iterator[tuple[Table, np.ndarray]]:
        raise DataError(
            explain("a language model continues texts", received=" ".join(given)[:MOST_TYPED],
                    expected="thalweg generate", remedy='thalweg generate RUN --prompt "Once upon a time"')
        )  # fmt: skip

    def labelled(self, path: str) -> Iterator[Chunk]:
        """A text file, every token of which is predicted once."""
        yield from self.windows(self.encode(read_text(path)))

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text. Raises DataError for characters that the training part lacks."""
        return self.tokenizer.encode(text)

    def windows(self, tokens: np.ndarray) -> Iterator[Chunk]:
        """Windows of a text side by side, with the tokens that come next."""
        data = TokenWindows(tokens, self.context)
        for first in range(0, len(data), BATCH):
            yield data.take(np.arange(first, min(first + BATCH, len(data))))

    def to_config(self) -> dict[str, Any]:
        return {"kind": "language", "tokenizer": self.tokenizer.to_config(), "context": self.context}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LanguageReader:
        tokenizer, context = Tokenizer.from_config(config["tokenizer"]), int(config["context"])
        if context < 1:
            raise ValueError(f"a context of {context}")
        return cls(tokenizer, context)


@dataclass
class TranslationReader:
    """Sentences and their translations."""

    source: Tokenizer
    target: Tokenizer
    longest: int

    @property
    def width(self) -> int:
        return len(self.source)

    def inputs(self, path: str) -> Iterator[np.ndarray]:
        for _, x in self.named_inputs([path]):
            yield x

    def named_inputs(self, given: list[str]) -> Iterator[tuple[Table, np.ndarray]]:
        """The lines of files, and sentences, some at a time."""
        for texts, where in sentences(given):
            rows = self.encode(texts, where)
            for first in range(0, len(rows), BATCH):
                yield Table({"text": texts[first : first + BATCH]}), padded(rows[first : first + BATCH], self.longest)

    def encode(self, texts: Sequence[str], where: str) -> list[np.ndarray]:
        """The tokens of source sentences, with their end. Raises DataError for an empty one."""
        rows = self.source.encode_all(texts, eos=True)
        check_texts([row[:-1] for row in rows], where)
        most = self.longest - 1
        return [row if len(row) <= self.longest else np.concatenate([row[:most], row[-1:]]) for row in rows]

    def labelled(self, path: str) -> Iterator[Chunk]:
        """Two files whose lines belong together, with a colon between their names."""
        first, colon, second = path.partition(":")
        if not colon:
            raise DataError(
                explain("translations are in a file of their own", received=path,
                        expected="--data SOURCE_FILE:TARGET_FILE")
            )  # fmt: skip
        pairs = read_aligned(first, second)
        yield from self.pairs(pairs.source, pairs.target, first)

    def pairs(self, source: Sequence[str], target: Sequence[str], where: str) -> Iterator[Chunk]:
        """Tokens of sources, and the texts that they stand for."""
        rows, texts = self.encode(source, where), np.array(list(target), dtype=object)
        for first in range(0, len(rows), BATCH):
            yield padded(rows[first : first + BATCH], self.longest), texts[first : first + BATCH]

    def to_config(self) -> dict[str, Any]:
        return {
            "kind": "translations", "source": self.source.to_config(), "target": self.target.to_config(),
            "longest": self.longest,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TranslationReader:
        source, target = (Tokenizer.from_config(config[name]) for name in ("source", "target"))
        if int(config["longest"]) < 2:
            raise ValueError(f"sentences of {config['longest']} tokens")
        return cls(source, target, int(config["longest"]))


def sentences(given: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """What was typed: a file gives its lines, anything with a space in it is a sentence itself."""
    for each in given:
        if len(each) <= LONGEST_NAME and Path(each).is_file():
            yield read_lines(each), each
        elif " " in each.strip() or not (Path(each).suffix or "/" in each):
            yield [each], "the sentence"
        else:
            raise DataError(
                explain("there is no such file", received=each, expected="a file of lines, or a sentence",
                        remedy="a sentence of one word is typed with a space behind it")
            )  # fmt: skip


def padded(rows: Sequence[np.ndarray], longest: int) -> np.ndarray:
    """Tokens as rows of one length, a multiple of 16 or the longest there is."""
    width = max(map(len, rows))
    return pad_sequence(rows, length=max(width, min(longest, -(-width // MULTIPLE) * MULTIPLE)))


def check_texts(rows: Sequence[np.ndarray], where: str) -> None:
    """Refuse texts without a token: their number is that of their line."""
    empty = [number for number, row in enumerate(rows, 1) if not len(row)]
    if empty:
        raise DataError(
            explain("an empty text", received=f"{len(empty)} of them, the first is number {empty[0]}",
                    expected="at least one token", where=where, remedy="fill or delete these lines")
        )  # fmt: skip
