"""How much of a transcript or a translation is wrong: error rates of words, characters and tokens, and BLEU.

In: what was said by the network, and what is true: texts, or sequences of token numbers. Out: errors for each true word
(0 is perfect, and it may exceed 1), or BLEU in 0 .. 100.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from thalweg.errors import DataError, DTypeError, ShapeError, explain
from thalweg.train.metrics.arrays import Array, as_array, example_weights, require_examples, require_finite
from thalweg.train.metrics.base import Metric
from thalweg.train.metrics.edit_distance import edit_distances
from thalweg.train.metrics.labels import as_labels

IGNORED = -100


def word_error_rate(predictions: Sequence[str], references: Sequence[str]) -> float:
    """The edit distance in words of all texts, divided by the number of words of the references.

    WER = (substitutions + deletions + insertions) / words. Words are what stands between spaces; put texts into lower
    case and take punctuation off first, if these shall not count.

    Args:
        predictions, references: equally many texts.

    Raises:
        ShapeError: different numbers of texts. DataError: references without a word. DTypeError: no texts.

    >>> word_error_rate(["the cat sat", "on mat"], ["the cat sat", "on the mat"])
    0.16666666666666666

    Source: agrees with jiwer's `wer`.
    """
    first, second = ([text.split() for text in _texts(side, "word_error_rate")] for side in (predictions, references))
    return _rate(first, second, "word_error_rate", "word")


def character_error_rate(predictions: Sequence[str], references: Sequence[str]) -> float:
    """The edit distance in characters of all texts, divided by the number of characters of the references.

    Arguments and errors as for `word_error_rate`; spaces count as characters.

    >>> character_error_rate(["kitten"], ["sitting"])
    0.42857142857142855

    Source: agrees with jiwer's `cer`.
    """
    first, second = (_texts(side, "character_error_rate") for side in (predictions, references))
    return _rate(first, second, "character_error_rate", "character")


def _texts(side: Sequence[str], where: str) -> list[str]:
    if isinstance(side, str):
        raise DTypeError(
            explain("a list of texts is needed", received="one text", where=where, remedy="put it in a list: [text]")
        )
    listed = list(side)
    if odd := [each for each in listed if not isinstance(each, str)]:
        raise DTypeError(explain("these are no texts", received=type(odd[0]).__name__, expected="str", where=where))
    return listed


def _rate(predictions: Sequence[Any], references: Sequence[Any], where: str, unit: str) -> float:
    errors = int(edit_distances(predictions, references, where).sum())
    total = sum(map(len, references))
    if total == 0:
        raise DataError(
            explain(
                f"the references have no {unit}",
                received=f"{len(references)} empty texts",
                expected=f"at least one {unit}",
                where=where,
            )
        )
    return errors / total


class BLEUScore(NamedTuple):
    """BLEU in 0 .. 100, and what it is made of; `str` of it is the score with its signature, as papers give it."""

    score: float
    precisions: tuple[float, ...]
    brevity_penalty: float
    predicted_words: int
    reference_words: int
    signature: str

    def __str__(self) -> str:
        return f"{self.score:.2f} ({self.signature})"


def bleu(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    lowercase: bool = False,
    tokenize: str = "13a",
) -> BLEUScore:
    """BLEU of translations, by sacrebleu, so that it can be compared with published ones.

    BLEU = 100 BP exp(Σ_n ln p_n / 4), n = 1 .. 4, where p_n is the share of n-grams that are in the reference, over the
    whole corpus, and BP = min(1, exp(1 - reference words / predicted words)).

    Args:
        predictions, references: equally many texts, as they are written (not cut into tokens).
        lowercase: whether case does not count.
        tokenize: how sacrebleu cuts words: "13a" (default), "intl", "char", "none", ...

    Raises:
        DataError: no texts; sacrebleu is not installed (`pip install thalweg[text]`). ShapeError, DTypeError as
            `word_error_rate`.

    Source: Papineni et al., ACL 2002; Post, "A call for clarity in reporting BLEU scores", WMT 2018.

    >>> print(bleu(["the cat sat on the mat"], ["the cat sat on the mat"]).score)
    100.00000000000004
    """
    first, second = _texts(predictions, "bleu"), _texts(references, "bleu")
    if len(first) != len(second):
        received = f"{len(first)} and {len(second)} texts"
        raise ShapeError(explain("every prediction needs one reference", received=received, where="bleu"))
    if not first:
        raise DataError(explain("there is nothing to be scored", received="no texts", where="bleu"))
    metric = _sacrebleu().BLEU(lowercase=lowercase, tokenize=tokenize)
    result = metric.corpus_score(first, [second])
    signature = str(metric.get_signature())
    return BLEUScore(result.score, tuple(result.precisions), result.bp, result.sys_len, result.ref_len, signature)


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise DataError(
            explain(
                "BLEU is computed by sacrebleu, which is not installed",
                received=str(error),
                remedy="pip install thalweg[text]",
            )
        ) from error
    return metrics


class TokenErrorRate(Metric):
    """The edit distance of sequences of tokens, divided by the tokens of the true ones.

    rate = Σ weight·distance / Σ weight·length. With words as tokens it is the word error rate, with characters the
    character error rate. Perfect is 0; it is above 1 where more is wrong than there was to say.

    Predictions and targets are token numbers (N, T), of any lengths T; entries of `padding` count as nothing.

    Args:
        decode: turns the model's output into token numbers: an array (N, T), or a list of sequences. Default none.
        padding: the entries that are no tokens; default -100.
        name: default ``"token_error_rate"``.

    Example:
        >>> metric = TokenErrorRate()
        >>> metric.update([[1, 2, 3], [4, 5, -100]], [[1, 2, 4, 3], [4, 5, -100, -100]])
        >>> round(metric.compute(), 4)
        0.1667

    Source: Wagner and Fischer, JACM 1974.
    """

    default_name = "token_error_rate"
    higher_is_better = False

    def __init__(
        self, decode: Callable[[Array], Any] | None = None, padding: int = IGNORED, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.decode, self.padding = decode, padding

    def empty_sums(self) -> dict[str, Array]:
        return {"weight": np.zeros(()), "errors": np.zeros(()), "tokens": np.zeros(())}

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        if self.decode is not None:
            prediction = self.decode(self._array(prediction, "prediction"))
        pair = (self._sequences(prediction, "prediction"), self._sequences(target, "target"))
        self.add_batch(*pair, weight)

    def _sequences(self, value: Any, role: str) -> list[Array]:
        """Token numbers of each example, without padding."""
        is_ragged = isinstance(value, list | tuple) and len({np.shape(each) for each in value}) > 1
        rows = list(value) if is_ragged else as_array(value, role, self._where)
        if not isinstance(rows, list):
            require_examples(rows, role, self._where)
        return [self._tokens(row, f"{role} of example {i}") for i, row in enumerate(rows)]

    def _tokens(self, row: Any, role: str) -> Array:
        tokens = as_array(row, role, self._where)
        if tokens.ndim != 1:
            raise ShapeError(
                explain(
                    "sequences of tokens have one axis",
                    received=f"shape {tokens.shape} in the {role}",
                    expected="token numbers (N, T)",
                    where=self._where,
                    remedy="pass decode= if this is what the model returns",
                )
            )
        require_finite(tokens, role, self._where)
        return as_labels(tokens[tokens != self.padding], None, role, self._where)

    def add_batch(self, prediction: Any, target: Any, weight: Any) -> None:
        distances = edit_distances(prediction, target, self._where)
        weights = example_weights(weight, (len(target),), self._where)
        lengths = np.array([len(each) for each in target], dtype=np.float64)
        self.sums["weight"] = self.sums["weight"] + weights.sum()
        self.sums["errors"] = self.sums["errors"] + (weights * distances).sum()
        self.sums["tokens"] = self.sums["tokens"] + (weights * lengths).sum()

    def formula(self) -> float:
        if not self.sums["tokens"] > 0:
            raise DataError(explain("the true sequences have no token", received="only padding", where=self._where))
        return float(self.sums["errors"] / self.sums["tokens"])
