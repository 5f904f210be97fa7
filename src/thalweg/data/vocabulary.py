"""Tokens and their numbers.

In: a list of tokens, or texts cut into tokens that are counted. Out: a `Vocabulary`: numbers for tokens and tokens for
numbers, with the special ones (padding, unknown, beginning, end) where it has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_count
from thalweg.data.table import abridged
from thalweg.errors import ArgumentError, ConfigurationError, DataError, IndexRangeError, explain

PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<bos>", "<eos>"
SPECIAL_TOKENS = (PAD, UNKNOWN, BEGIN, END)
"""Padding, unknown, beginning and end of a sequence; by default numbers 0 to 3 of a vocabulary."""


class Vocabulary:
    """Distinct tokens; a token's number is its place.

    Args:
        tokens: in the order of their numbers.
        special: those that are no text and that `decode` leaves out.

    Attributes:
        pad, unk, bos, eos: the numbers of ``<pad>``, ``<unk>``, ``<bos>`` and ``<eos>``, or None where there is none.

    Raises:
        DataError: a token twice, none at all, or one that is no text.

    >>> words = Vocabulary.count([["a", "b", "a"], ["c", "a", "b"]], min_frequency=2)
    >>> list(words), words["b"], words["c"] == words.unk
    (['<pad>', '<unk>', '<bos>', '<eos>', 'a', 'b'], 5, True)
    >>> words.encode(["b", "?"]), words.decode([2, 4, 5, 3, 0])
    (array([5, 1]), ['a', 'b'])
    """

    def __init__(self, tokens: Iterable[str], special: Iterable[str] = SPECIAL_TOKENS) -> None:
        self._tokens = list(tokens)
        self._numbers = {token: number for number, token in enumerate(self._tokens)}
        self._check()
        self.special = tuple(token for token in special if token in self._numbers)
        self._special_numbers = frozenset(self._numbers[token] for token in self.special)
        self.pad, self.unk, self.bos, self.eos = (self._numbers.get(token) for token in SPECIAL_TOKENS)

    def _check(self) -> None:
        odd = [token for token in self._tokens if not isinstance(token, str)]
        if odd or not self._tokens:
            received = f"{odd[0]!r} among them" if odd else "no tokens"
            raise DataError(explain("a vocabulary is a list of texts", received=received, where="Vocabulary"))
        if len(self._numbers) < len(self._tokens):
            repeated = [token for token, count in Counter(self._tokens).items() if count > 1]
            raise DataError(
                explain("a token stands twice in the vocabulary", received=abridged(map(repr, repeated), 4))
            )

    @classmethod
    def count(
        cls,
        sequences: Iterable[Iterable[str]],
        *,
        max_size: int | None = None,
        min_frequency: int = 1,
        special: Sequence[str] = SPECIAL_TOKENS,
    ) -> Vocabulary:
        """The vocabulary of texts that are cut into tokens: the special tokens, then the others, the commonest first.

        Args:
            sequences: lists of tokens (a string counts as its characters).
            max_size: the most tokens, with the special ones; the rarest are left out. None for all.
            min_frequency: how often a token must occur.
            special: which special tokens to begin with. Equally common tokens are in alphabetical order.
        """
        least = checked_count("min_frequency", min_frequency, 1, "Vocabulary.count")
        counts = Counter(token for sequence in sequences for token in sequence)
        counts.subtract({token: counts[token] for token in special if token in counts})
        kept = sorted((token for token, count in counts.items() if count >= least), key=lambda t: (-counts[t], t))
        room = None if max_size is None else checked_count("max_size", max_size, len(special) + 1, "Vocabulary.count")
        return cls([*special, *kept[: None if room is None else room - len(special)]], special)

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self._tokens, self.special) == (other._tokens, other.special)

    def __hash__(self) -> int:
        return hash((tuple(self._tokens), self.special))

    def __getitem__(self, token: str) -> int:
        """The number of a token; of one that is not known, that of ``<unk>``, or a DataError where there is none."""
        number = self._numbers.get(token, self.unk)
        if number is None:
            raise DataError(
                explain(
                    "a token that is not in the vocabulary, which has no <unk>",
                    received=repr(token),
                    expected=abridged(map(repr, self._tokens)),
                    remedy="leave it out of the text, or make the vocabulary with <unk>",
                )
            )
        return number

    def token(self, number: int) -> str:
        """The token of a number; IndexRangeError for one out of range."""
        if not 0 <= number < len(self):
            raise IndexRangeError(
                explain("no token has this number", received=number, expected=f"0 .. {len(self) - 1}")
            )
        return self._tokens[number]

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """The numbers of tokens, int64 (tokens,)."""
        return np.array([self[token] for token in tokens], dtype=np.int64)

    def decode(self, numbers: ArrayLike, *, skip_special: bool = True) -> list[str]:
        """The tokens of numbers, without the special ones unless asked for."""
        listed = np.asarray(numbers).tolist()
        return [self.token(n) for n in listed if not (skip_special and n in self._special_numbers)]

    def to_config(self) -> dict[str, Any]:
        """What `from_config` takes: lists of texts, for a JSON file."""
        return {"tokens": list(self._tokens), "special": list(self.special)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that `to_config` described; ConfigurationError for anything else."""
        tokens = config.get("tokens") if isinstance(config, Mapping) else None
        special = config.get("special", []) if isinstance(config, Mapping) else None
        if not isinstance(tokens, list) or not isinstance(special, list):
            raise ConfigurationError(
                explain("this describes no vocabulary", received=f"{config!r:.60}", expected="lists: tokens, special")
            )
        return cls(tokens, special)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens: {abridged(map(repr, self._tokens), 6)})"


def checked_special(special: Sequence[str], where: str) -> tuple[str, ...]:
    """Special tokens that are known, each once."""
    if isinstance(special, str) or not set(special) <= set(SPECIAL_TOKENS) or len(set(special)) < len(special):
        raise ArgumentError(
            explain("unknown special tokens", received=repr(special), expected=f"some of {SPECIAL_TOKENS}", where=where)
        )
    return tuple(special)
