"""Writing sentences with a translator, word by word: the likeliest word every time, or the best of several beginnings.

In: a model with `encode` and `next_words`, and padded source sentences. Out: for each the tokens of one sentence. The
model's part is a compiled program for a few shapes; which beginnings go on is decided between its calls, in NumPy.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from thalweg.errors import DTypeError, ShapeError, explain
from thalweg.nn.settings import positive, whole_number
from thalweg.tensor import Tensor, compile, no_grad, tensor
from thalweg.tensor.holding import Version

ROWS, PLACES = 4, 16
"""The model sees 1, 4, 16, 64, ... sentences at once, and 16, 32, 64, ... places: a batch is filled up."""


class Translator(Protocol):
    """What can be asked for the next word."""

    padding_idx: int
    training: bool

    def eval(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def encode(self, source: Any) -> tuple[Any, ...]: ...
    def next_words(self, target: Any, place: Any, *memory: Any) -> Tensor: ...


class BeamSearch:
    """Writes a sentence for each source sentence. Made once, it is compiled once a shape, and can be called many times.

    Of all beginnings of one more word the `beam` likeliest are kept. One that ends is a finished sentence, of the score
    log P(words | source) / lp, lp = ((5 + words) / 6)^length_penalty (Wu et al. 2016, arXiv:1609.08144, equation 14),
    where the end counts as a word. The search for a sentence stops when `beam` sentences are finished, or none of the
    beginnings can come to a better score than the best of them; then that is the answer, and after `max_length` words
    without any end the likeliest beginning.

    Args:
        model: a `GRUTranslator`, a `TransformerTranslator`, or whatever has their `encode` and `next_words`.
        bos, eos: the tokens at the beginning and at the end of a sentence.
        max_length: the most words. Default 50.
        beam: beginnings that are kept. Default 1: the likeliest next word every time (greedy).
        length_penalty: above 0 longer sentences do better; 0.6 to 1 is usual. Default 0: the likeliest sentence.

    Called with tokens (N, S), padded with `model.padding_idx`; gives N lists of tokens, without `bos` and `eos`. Runs
    in evaluation mode. Raises ArgumentError for settings out of range, ShapeError and DTypeError for other sources.

    >>> import thalweg as tw
    >>> from thalweg.models import GRUTranslator
    >>> write = BeamSearch(GRUTranslator(20, 30, 8, 8), bos=1, eos=2, max_length=3, beam=2)
    >>> [len(words) <= 3 for words in write([[4, 5, 6], [7, 8, 0]])]
    [True, True]
    """

    def __init__(
        self, model: Translator, bos: int, eos: int, max_length: int = 50, beam: int = 1, length_penalty: float = 0.0
    ) -> None:
        self.model = model
        self.bos, self.eos = whole_number("bos", bos), whole_number("eos", eos)
        self.max_length = whole_number("max_length", max_length, 1)
        self.beam = whole_number("beam", beam, 1)
        self.length_penalty = positive("length_penalty", length_penalty)
        self._programs: dict[tuple[int, ...], _Programs] = {}  # by the shape of the sources
        self._during = self._after = -1  # versions of the program's state in and after the last call

    def __call__(self, source: Any) -> list[list[int]]:
        tokens = _sentences(source)
        if not len(tokens):
            return []
        was_training, is_unchanged = self.model.training, Version.number == self._after
        if was_training:
            self.model.eval()
        if is_unchanged:  # but for the mode, which is the same in every call
            for each in self._programs.values():
                each.vouch(self._during)
        self._during = Version.number
        try:
            with no_grad():
                return self._written(tokens)
        finally:
            if was_training:
                self.model.train()
            self._after = Version.number

    def _written(self, tokens: np.ndarray) -> list[list[int]]:
        count = len(tokens)
        rows = ROWS ** next(power for power in range(32) if ROWS**power >= count)
        filled = np.pad(tokens, ((0, rows - count), (0, 0)), mode="edge")  # the last sentence, some more times
        if filled.shape not in self._programs:
            self._programs[filled.shape] = _Programs(self.model)
        programs = self._programs[filled.shape]
        memory = programs.encode(tensor(np.repeat(filled, self.beam, axis=0)))
        search = _Search(self, count, rows)
        for place in range(self.max_length):
            seen = self._seen(place)
            scores = programs.scores(tensor(search.words[:, :seen].copy()), tensor([place]), *memory).numpy()
            search.go_on(place, scores[: count * self.beam].astype(np.float64))
            if search.is_done.all():
                break
        return search.answers()

    def _seen(self, place: int) -> int:
        """How many places the model looks at: nothing behind `place` has an effect on it."""
        seen = PLACES
        while seen <= place:
            seen *= 2
        return min(seen, self.max_length)

    def penalty(self, words: int) -> float:
        """What the log-probability of so many words is divided by."""
        return float(((5 + words) / 6) ** self.length_penalty)


class _Programs:
    """The model's part for sources of one shape: what is read, and log-probabilities of the word behind a place."""

    def __init__(self, model: Translator) -> None:
        def scores(target: Any, place: Any, *memory: Any) -> Any:
            return model.next_words(target, place, *memory).log_softmax(-1)

        self.encode, self.scores = compile(lambda source: model.encode(source)), compile(scores)

    def vouch(self, version: int) -> None:
        """Nothing but the mode has changed since."""
        self.encode.vouch(version)
        self.scores.vouch(version)


class _Search:
    """The beginnings of all sentences, the likeliest first, and the best finished sentence of each."""

    def __init__(self, settings: BeamSearch, count: int, rows: int) -> None:
        self.settings, self.count, self.beam = settings, count, settings.beam
        self.words = np.full((rows * self.beam, settings.max_length + 1), settings.model.padding_idx, np.int64)
        self.words[:, 0] = settings.bos
        # All beginnings are the same at first, so only one of them counts.
        self.likelihood = np.full((count, self.beam), -np.inf)
        self.likelihood[:, 0] = 0.0
        self.best: list[list[int] | None] = [None] * count
        self.score = np.full(count, -np.inf)
        self.finished = np.zeros(count, np.int64)
        self.is_done = np.zeros(count, bool)

    def go_on(self, place: int, scores: np.ndarray) -> None:
        """Each sentence's beginnings with one word more; `scores` (count * beam, V) are log-probabilities of it."""
        vocabulary = scores.shape[1]
        whole = (self.likelihood.reshape(-1, 1) + scores).reshape(self.count, -1)
        wanted = min(2 * self.beam, whole.shape[1])  # as many as may end, and as many as are kept
        found = np.argpartition(-whole, wanted - 1, axis=1)[:, :wanted]
        found = np.take_along_axis(found, np.argsort(-np.take_along_axis(whole, found, 1), axis=1, kind="stable"), 1)
        before = self.words[: self.count * self.beam].reshape(self.count, self.beam, -1).copy()
        for row in np.flatnonzero(~self.is_done).tolist():
            self._choose(row, place, before[row], whole[row], np.divmod(found[row], vocabulary))
        bound = self.likelihood[:, 0] / self.settings.penalty(self.settings.max_length)  # likelihoods only fall
        self.is_done |= (self.finished >= self.beam) | ((self.finished > 0) & (self.score >= bound))

    def _choose(self, row: int, place: int, before: np.ndarray, whole: np.ndarray, found: Any) -> None:
        """Of the candidates, the likeliest first: those that end are finished, the others are the new beginnings."""
        begins, words = found
        is_end = words == self.settings.eos
        likelihood = whole[begins * (len(whole) // self.beam) + words]
        for number in np.flatnonzero(is_end[: self.beam] & np.isfinite(likelihood[: self.beam])):
            self._finish(row, before[begins[number], 1 : place + 1], likelihood[number])
        kept = np.flatnonzero(~is_end)[: self.beam]
        new = self.words[row * self.beam : row * self.beam + len(kept)]
        new[:] = before[begins[kept]]
        new[:, place + 1] = words[kept]
        self.likelihood[row] = -np.inf
        self.likelihood[row, : len(kept)] = likelihood[kept]

    def _finish(self, row: int, words: np.ndarray, likelihood: float) -> None:
        self.finished[row] += 1
        score = likelihood / self.settings.penalty(len(words) + 1)
        if self.best[row] is None or score > self.score[row]:
            self.best[row], self.score[row] = words.tolist(), score

    def answers(self) -> list[list[int]]:
        return [
            self.words[row * self.beam, 1:].tolist() if best is None else best for row, best in enumerate(self.best)
        ]


def _sentences(source: Any) -> np.ndarray:
    array = np.asarray(source)
    if array.ndim != 2 or not array.shape[1]:
        raise ShapeError(
            explain("sentences to translate are rows of tokens", received=f"shape {array.shape}",
                    expected="(N, S), with S at least 1", remedy="pad them with tw.data.pad_sequence")
        )  # fmt: skip
    if array.dtype.kind not in "iu":
        raise DTypeError(
            explain("sentences to translate are made of tokens", received=f"dtype {array.dtype}",
                    expected="whole numbers", remedy="encode the text with the tokeniser of the source language")
        )  # fmt: skip
    return array.astype(np.int64)
