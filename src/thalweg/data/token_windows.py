"""Windows of a long text for language models: what comes before, and the token that comes next.

In: one long array of token numbers (memory-mapped too). Out: samples (tokens, next tokens), each of `context` tokens:
at random places for training, or side by side so that every token is predicted once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_count
from thalweg.data.dataset import Dataset, as_sample_array, checked_index
from thalweg.data.draws import Draws, Moment
from thalweg.data.sequences import IGNORED
from thalweg.errors import DataError, explain


class TokenWindows(Dataset):
    """A text from front to back: each token after the first is predicted once.

    Window i holds the tokens from i * stride on. Its targets are the tokens one place further; those that an earlier
    window has predicted, and those behind the end of the text, are -100, which `F.cross_entropy` and `Perplexity`
    ignore. So the mean over the targets of all windows is the mean over the whole text.

    Args:
        tokens: (tokens,), integers; at least 2.
        context: how many tokens a window has.
        stride: how far windows are apart; None for `context`, side by side. A smaller one gives every token at least
            `context - stride` tokens before it, at the price of computing that often.

    A sample is `(inputs, targets)`, int64 (context,) each.

    >>> windows = TokenWindows([5, 6, 7, 8, 9], 3)
    >>> [row.tolist() for row in windows.take([0, 1])]
    [[[5, 6, 7], [8, 9, 0]], [[6, 7, 8], [9, -100, -100]]]
    """

    def __init__(self, tokens: ArrayLike, context: int, *, stride: int | None = None) -> None:
        self.tokens = checked_tokens(tokens, "TokenWindows")
        self.context = checked_count("context", context, 1, "TokenWindows")
        self.stride = self.context if stride is None else checked_count("stride", stride, 1, "TokenWindows")
        if self.stride > self.context:
            raise DataError(
                explain(
                    "windows that lie apart would leave tokens out",
                    received=f"stride {self.stride}",
                    expected=f"at most the context, {self.context}",
                    where="TokenWindows",
                )
            )

    def __len__(self) -> int:
        beyond_the_first = max(0, len(self.tokens) - 1 - self.context)
        return 1 + -(-beyond_the_first // self.stride)

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        inputs, targets = self.take([checked_index(index, len(self), "TokenWindows")])
        return inputs[0], targets[0]

    def take(self, indices: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """`(inputs, targets)`, int64 (samples, context); inputs behind the end of the text are 0."""
        numbers = np.asarray(indices, dtype=np.int64)
        places = numbers[:, None] * self.stride + np.arange(self.context + 1)
        inside = places < len(self.tokens)
        found = np.where(inside, _gathered(self.tokens, np.where(inside, places, 0)), 0)
        seen = self.context - self.stride  # the targets that an earlier window has predicted
        is_new = (np.arange(self.context) >= seen) | (numbers[:, None] == 0)
        return found[:, :-1], np.where(inside[:, 1:] & is_new, found[:, 1:], IGNORED)

    def __repr__(self) -> str:
        return f"TokenWindows({len(self.tokens):,} tokens, {len(self)} windows of {self.context})"


class RandomTokenWindows(Dataset):
    """Windows at random places of a text: what nanoGPT trains on.

    Each sample begins at a place that is drawn evenly, with replacement, anew in every epoch; a `DataLoader` draws it
    as a function of its seed, the epoch and the sample's number. Without chance (`take`, `dataset[i]`, evaluation) the
    windows are spread evenly over the text.

    Args:
        tokens: (tokens,), integers; more than `context`.
        context: how many tokens a window has.
        count: how many samples an epoch has; None for as many windows as lie side by side in the text.

    A sample is `(inputs, targets)`, int64 (context,) each; targets are the tokens one place further.

    Source: A. Karpathy, nanoGPT, `get_batch` in train.py.

    >>> data = RandomTokenWindows(np.arange(100), 8, count=1000)
    >>> inputs, targets = data.draw([0, 1], Moment(0, (0,)))
    >>> inputs.shape, bool((targets == inputs + 1).all())
    ((2, 8), True)
    """

    def __init__(self, tokens: ArrayLike, context: int, count: int | None = None) -> None:
        self.tokens = checked_tokens(tokens, "RandomTokenWindows")
        self.context = checked_count("context", context, 1, "RandomTokenWindows")
        self.places = len(self.tokens) - self.context
        if self.places < 1:
            raise DataError(
                explain(
                    "the text is shorter than a window and the token behind it",
                    received=f"{len(self.tokens):,} tokens",
                    expected=f"at least {self.context + 1:,}",
                    where="RandomTokenWindows",
                    remedy="take a smaller context, or a longer text",
                )
            )
        usual = max(1, (len(self.tokens) - 1) // self.context)
        self.count = usual if count is None else checked_count("count", count, 1, "RandomTokenWindows")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        inputs, targets = self.take([checked_index(index, len(self), "RandomTokenWindows")])
        return inputs[0], targets[0]

    def take(self, indices: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The windows of these samples without chance: spread evenly over the text."""
        return self._at(np.asarray(indices, dtype=np.int64) * self.places // self.count)

    def draw(self, indices: ArrayLike, moment: Moment) -> tuple[np.ndarray, np.ndarray]:
        """The windows of these samples at a moment."""
        fine, coarse = Draws(moment, np.asarray(indices, dtype=np.int64)).uniform(2).T
        # One number has 32 bits; the second refines it, so that texts of billions of tokens are drawn from evenly.
        return self._at(np.minimum(((coarse + fine * 2.0**-32) * self.places).astype(np.int64), self.places - 1))

    def _at(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = _gathered(self.tokens, starts[:, None] + np.arange(self.context + 1))
        return found[:, :-1], found[:, 1:]

    def __repr__(self) -> str:
        return f"RandomTokenWindows({len(self.tokens):,} tokens, {self.count} windows of {self.context} an epoch)"


def checked_tokens(tokens: ArrayLike, where: str) -> np.ndarray:
    """A text as one axis of integers, at least two; an array on disk stays there."""
    array = as_sample_array(tokens, where)
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) < 2:
        raise DataError(
            explain(
                "a text is one long array of token numbers",
                received=f"dtype {array.dtype}, shape {array.shape}",
                expected="integers, one axis, at least 2 tokens",
                where=where,
                remedy="tokens = tokenizer.encode(text)",
            )
        )
    return array


def _gathered(tokens: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.asarray(tokens[places], dtype=np.int64)
