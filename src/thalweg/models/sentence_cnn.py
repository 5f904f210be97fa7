"""A convolutional network for sentences: one layer of windows of several widths, and the maximum over time.

In: tokens (N, T), padded at the end.
Out: class scores (N, classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg import nn
from thalweg.models.language import need_tokens
from thalweg.nn import functional as F
from thalweg.nn import init
from thalweg.tensor import Tensor
from thalweg.tensor.methods import functions


class SentenceCNN(nn.Module):
    """Kim, EMNLP 2014, "CNN-rand": embeddings learned from the start, windows of 3, 4 and 5 words, 100 maps of each.

    Args:
        vocab_size: number of different tokens.
        num_classes: default 2.
        embedding_dim: default 300.
        windows: words that a filter sees. Default (3, 4, 5).
        channels: filters of each width. Default 100.
        dropout: before the last layer, in training. Default 0.5.
        padding_idx: the token behind the end of a sentence, whose vector is 0 and stays so. Default 0.

    Sentences shorter than the widest window are filled up. State: ``embedding``, ``convolutions.0`` and so on,
    ``linear``. The paper also limits the norm of the last layer's rows to 3.

    >>> import thalweg as tw
    >>> SentenceCNN(vocab_size=50, channels=4)(tw.ones(2, 7, dtype="int64")).shape
    (2, 2)
    """

    def __init__(
        self, vocab_size: int, num_classes: int = 2, embedding_dim: int = 300, windows: Sequence[int] = (3, 4, 5),
        channels: int = 100, dropout: float = 0.5, padding_idx: int | None = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.windows = tuple(windows)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx)
        self.convolutions = nn.ModuleList([nn.Conv1d(embedding_dim, channels, width) for width in self.windows])
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels * len(self.windows), num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew; embeddings from U(-0.25, 0.25), as in the paper."""
        for layer in (*self.convolutions, self.linear):
            layer.reset_parameters()
        padding = self.embedding.padding_idx
        init.uniform_(self.embedding.weight, -0.25, 0.25)
        if padding is not None:
            init.zeros_(self.embedding.weight.detach()[padding])

    def forward(self, tokens: Tensor) -> Tensor:
        need_tokens("SentenceCNN", tokens)
        words: Any = self.embedding(tokens).transpose(1, 2)
        missing = max(self.windows) - words.shape[2]
        words = F.pad(words, (0, missing)) if missing > 0 else words
        found = [F.relu(each(words)).amax(2) for each in self.convolutions]
        return self.linear(self.dropout(functions["cat"](found, 1)))  # type: ignore[no-any-return]
