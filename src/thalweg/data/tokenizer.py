"""Texts to numbers and back: characters, words or byte pairs, learnt from the training part.

In: texts. Out: int64 arrays of token numbers; a JSON file in the format of the `tokenizers` library, which other
programs read, and which holds data alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_choice, checked_count
from thalweg.data.files import atomic_write, read_at_most, reading
from thalweg.data.tokenizer_kinds import KINDS, kind_of, library, trained
from thalweg.data.vocabulary import SPECIAL_TOKENS, UNKNOWN, Vocabulary, checked_special
from thalweg.errors import DataError, FileFormatError, IndexRangeError, StateError, explain

WHAT = "the tokenizer's file"
LARGEST_FILE = 64 << 20
_PIECE = 1 << 16  # characters of a long text that are trained on at a time


class Tokenizer:
    """Cuts texts into tokens and numbers them.

    Made by `Tokenizer.train(texts, kind)` or `Tokenizer.load(path)`. Four kinds:

    - ``"characters"``: each character is a token; decoding gives the text back.
    - ``"words"``: runs of letters and digits, and runs of punctuation; decoding puts spaces between them.
    - ``"whitespace"``: what stands between spaces and line breaks, for text that is already cut.
    - ``"bpe"``: byte-pair encoding over bytes. Nothing is unknown, and decoding gives the text back.

    A character or word that the training part lacks becomes ``<unk>``; without that token it is a DataError that names
    it. Special tokens that are written out in a text are text like any other, except for ``"whitespace"``, where
    ``<unk>`` in the corpus means the token. An empty text has no tokens but those that were asked for.

    Attributes:
        kind: one of the four, or "other" for a file from elsewhere.
        vocabulary: a `Vocabulary`. pad, unk, bos, eos: numbers of the special tokens, None where there is none.

    Source: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", ACL 2016; over
    bytes: Radford et al., "Language models are unsupervised multitask learners", 2019. Needs the extra `text`.

    >>> tokenizer = Tokenizer.train("to be or not to be", "words")
    >>> tokenizer.encode("to be, eos", eos=True), tokenizer.decode(tokenizer.encode("to be"))
    (array([5, 4, 1, 1, 3]), 'to be')
    """

    def __init__(self, backend: Any, kind: str) -> None:
        self._backend, self.kind = backend, kind
        backend.encode_special_tokens = True
        backend.no_padding()
        backend.no_truncation()

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        kind: str = "bpe",
        *,
        vocabulary_size: int | None = None,
        min_frequency: int = 1,
        lowercase: bool = False,
        special: Sequence[str] = SPECIAL_TOKENS,
    ) -> Tokenizer:
        """Learn the tokens of texts: those of the training part only.

        Args:
            texts: one text, or any number of them; an iterator is read once.
            kind: "characters", "words", "whitespace" or "bpe".
            vocabulary_size: the most tokens, with the special ones; the rarest are left out. None for all of them;
                byte-pair encoding needs a number, of at least 256 and the special tokens.
            min_frequency: how often a token (for byte pairs: a pair) must occur.
            lowercase: whether texts are put into lower case first, in training and ever after.
            special: which of ``<pad>``, ``<unk>``, ``<bos>``, ``<eos>`` there are, in the order of their numbers.

        Raises:
            DataError: no text; the package `tokenizers` is not installed. ArgumentError: an unknown kind or size.
        """
        checked_choice("kind", kind, KINDS)
        special = checked_special(special, "Tokenizer.train")
        least = checked_count("min_frequency", min_frequency, 1, "Tokenizer.train")
        if vocabulary_size is not None:
            checked_count("vocabulary_size", vocabulary_size, len(special) + 1, "Tokenizer.train")
        made = cls(trained(kind, _texts(texts), vocabulary_size, least, lowercase, special), kind)
        if len(made) == len(special):
            raise DataError(
                explain("there is no text to learn tokens from", received="no token", where="Tokenizer.train")
            )
        return made

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens by number."""
        numbers = self._backend.get_vocab(with_added_tokens=True)
        tokens = sorted(numbers, key=numbers.__getitem__)
        if [numbers[token] for token in tokens] != list(range(len(tokens))):
            raise FileFormatError(
                explain("the tokens' numbers have gaps", received=f"{len(tokens)} tokens up to {max(numbers.values())}")
            )
        added = self._backend.get_added_tokens_decoder()
        return Vocabulary(tokens, (token.content for token in added.values() if token.special))

    pad = property(lambda self: self.vocabulary.pad, doc="The number of ``<pad>``, or None.")
    unk = property(lambda self: self.vocabulary.unk, doc="The number of ``<unk>``, or None.")
    bos = property(lambda self: self.vocabulary.bos, doc="The number of ``<bos>``, or None.")
    eos = property(lambda self: self.vocabulary.eos, doc="The number of ``<eos>``, or None.")

    def __len__(self) -> int:
        """How many tokens there are, with the special ones."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> np.ndarray:
        """The numbers of a text's tokens, int64 (tokens,), with ``<bos>`` before and ``<eos>`` behind them if asked."""
        return self.encode_all([text], bos=bos, eos=eos)[0]

    def encode_all(self, texts: Sequence[str], *, bos: bool = False, eos: bool = False) -> list[np.ndarray]:
        """`encode` of many texts, on as many threads as the library takes (`TOKENIZERS_PARALLELISM`)."""
        before = [self._required("bos")] if bos else []
        after = [self._required("eos")] if eos else []
        return [np.array([*before, *each.ids, *after], dtype=np.int64) for each in self._encodings(texts)]

    def _required(self, name: str) -> int:
        number = getattr(self.vocabulary, name)
        if number is None:
            raise StateError(
                explain(
                    f"this tokenizer has no <{name}>",
                    received=f"special tokens {self.vocabulary.special}",
                    where=f"Tokenizer.encode({name}=True)",
                    remedy=f'train it with special=(..., "<{name}>")',
                )
            )
        return int(number)

    def _encodings(self, texts: Sequence[str]) -> list[Any]:
        listed = list(texts)
        if odd := [text for text in listed if not isinstance(text, str)]:
            raise DataError(explain("only text is cut into tokens", received=type(odd[0]).__name__, expected="str"))
        try:
            return list(self._backend.encode_batch_fast(listed, add_special_tokens=False))
        except Exception as error:  # the library raises plain exceptions, and says neither which text nor which token
            raise self._not_encodable(listed, error) from None

    def _not_encodable(self, texts: list[str], error: Exception) -> DataError:
        unknown = next((found for text in texts if (found := self.unknown_in(text))), [])
        return DataError(
            explain(
                "a text has tokens that are not in the vocabulary, which has no <unk>",
                received=", ".join(map(repr, unknown[:4])) or str(error),
                where=f"Tokenizer ({self.kind}, {len(self)} tokens)",
                remedy="leave them out of the text, or train the tokenizer with <unk> among its special tokens",
            )
        )

    def unknown_in(self, text: str) -> list[str]:
        """The distinct pieces of a text that are not in the vocabulary, in the order in which they come.

        >>> Tokenizer.train("abc", "characters").unknown_in("a bd")
        [' ', 'd']
        """
        if self.kind not in KINDS or self.kind == "bpe":
            return []
        normal = self._backend.normalizer.normalize_str(text) if self._backend.normalizer else text
        pieces = (piece for piece, _ in self._backend.pre_tokenizer.pre_tokenize_str(normal))
        return list(dict.fromkeys(piece for piece in pieces if piece not in self.vocabulary or piece == UNKNOWN))

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, as texts; those of byte pairs write a space as "Ġ"."""
        return [self.vocabulary.token(number) for number in self.encode(text).tolist()]

    def decode(self, numbers: ArrayLike, *, skip_special: bool = True) -> str:
        """The text of token numbers; special tokens are left out unless asked for.

        Raises IndexRangeError for a number that no token has. Bytes that are no UTF-8, which a network may well put
        together, become "\\ufffd".
        """
        listed = np.asarray(numbers, dtype=np.int64).reshape(-1)
        if listed.size and not 0 <= listed.min() <= listed.max() < len(self):
            wrong = listed.min() if listed.min() < 0 else listed.max()
            raise IndexRangeError(explain("no token has this number", received=wrong, expected=f"0 .. {len(self) - 1}"))
        return str(self._backend.decode(listed.tolist(), skip_special_tokens=skip_special))

    def decode_all(self, rows: Iterable[ArrayLike], *, skip_special: bool = True) -> list[str]:
        """`decode` of many; a row ends at its first ``<eos>``, if there is such a token."""
        return [self.decode(_until(np.asarray(row), self.eos), skip_special=skip_special) for row in rows]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, atomically."""
        with atomic_write(path) as stream:
            stream.write(self._backend.to_str(pretty=True).encode("utf-8"))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, max_bytes: int = LARGEST_FILE) -> Tokenizer:
        """The tokenizer of a file that `save` wrote, or that another program wrote in the same format.

        Raises FileFormatError for a file that is missing, too large, or describes no tokenizer.
        """
        with reading(path, WHAT, packed=False) as stream:
            content = read_at_most(stream, max_bytes, path, WHAT)
        tokenizers = library()
        try:
            text = content.decode("utf-8")
            description = json.loads(text)
            return cls(_backend_of(tokenizers, text), kind_of(description))
        except Exception as error:  # UnicodeDecodeError, JSONDecodeError, and the library's plain Exception
            raise FileFormatError(
                explain(
                    f"{WHAT} describes no tokenizer",
                    received=str(error).split("\n")[0],
                    expected="JSON as Tokenizer.save writes it",
                    where=str(path),
                    remedy="get the file again, or train a tokenizer",
                )
            ) from error

    def to_config(self) -> dict[str, Any]:
        """The content of the JSON file as a dictionary, to be part of another file."""
        description: dict[str, Any] = json.loads(self._backend.to_str())
        return description

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer that `to_config` described; FileFormatError for anything else."""
        tokenizers = library()
        try:
            return cls(_backend_of(tokenizers, json.dumps(config)), kind_of(dict(config)))
        except Exception as error:
            raise FileFormatError(
                explain("this describes no tokenizer", received=str(error).split("\n")[0], where="from_config")
            ) from error

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, {len(self)} tokens)"


def _backend_of(tokenizers: Any, text: str) -> Any:
    """The library's tokenizer; where it panics, which is no `Exception`, a ValueError."""
    try:
        return tokenizers.Tokenizer.from_str(text)
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError(f"the library gave up: {error}") from error
        raise


def _texts(texts: str | Iterable[str]) -> Iterable[str]:
    """Texts one by one; a long one in pieces that end at a line break, so that the library works on small ones."""
    if not isinstance(texts, str):
        yield from texts
        return
    start = 0
    while start < len(texts):
        end = texts.find("\n", start + _PIECE) + 1 or len(texts)
        yield texts[start:end]
        start = end


def _until(numbers: np.ndarray, end: int | None) -> np.ndarray:
    """What comes before the first end."""
    ends = np.flatnonzero(numbers == end) if end is not None else np.zeros(0, dtype=np.int64)
    return numbers[: ends[0]] if ends.size else numbers
