"""Translation: an encoder reads a sentence, a decoder writes another, word by word, looking at what was read.

In: source tokens (N, S) and target tokens (N, T), padded at the end. Out: scores of the word that follows each target
token (N, T, vocabulary). `translate` writes the likeliest words, one after the other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.models.language import need_tokens
from thalweg.nn import functional as F
from thalweg.nn import init
from thalweg.nn.settings import whole_number
from thalweg.tensor import Tensor, compile, no_grad, tensor
from thalweg.tensor.methods import functions

_cat, _tanh = functions["cat"], functions["tanh"]


class _Translator(nn.Module):
    """What both have: the padding token, and writing a translation."""

    padding_idx: int

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        need_tokens(type(self).__name__, source)
        need_tokens(type(self).__name__, target)
        return self.decode(target, *self.encode(source))

    def encode(self, source: Any) -> tuple[Any, ...]:
        """What the decoder needs to know of the source."""
        raise NotImplementedError

    def decode(self, target: Any, *memory: Any) -> Tensor:
        """The logits behind each target token."""
        raise NotImplementedError

    def translate(self, source: Any, bos: int, eos: int, max_length: int = 50) -> list[list[int]]:
        """The likeliest word at every place, for each source sentence, without `bos`, up to `eos` or `max_length`.

        Greedy: the likeliest next word given those before. Runs in evaluation mode. One program serves all places.
        """
        whole_number("translate: max_length", max_length, 1)
        tokens = np.asarray(source, np.int64)
        need_tokens(type(self).__name__, tokens)
        was_training = self.training
        self.eval()
        try:
            with no_grad():
                return self._written(tensor(tokens), bos, eos, max_length)
        finally:
            self.train(was_training)

    def _written(self, source: Tensor, bos: int, eos: int, max_length: int) -> list[list[int]]:
        memory = self.encode(source)
        decode = compile(lambda target, *memory: self.decode(target, *memory))
        words = np.full((len(source), max_length + 1), self.padding_idx, np.int64)
        words[:, 0] = bos
        for place in range(max_length):
            logits: Any = decode(tensor(words[:, :-1].copy()), *memory)
            words[:, place + 1] = logits[:, place].argmax(-1).numpy()
            if (words == eos).any(1).all():
                break
        return [_up_to(eos, row[1:].tolist()) for row in words]


def _up_to(eos: int, words: list[int]) -> list[int]:
    return words[: words.index(eos)] if eos in words else words


class GRUTranslator(_Translator):
    """A bidirectional GRU reads, a GRU writes and looks back by attention. Luong, Pham and Manning, EMNLP 2015.

    The score of a source position is q^T W m ("general"), and the output tanh(W_c [context; state]); as the attention
    does not feed into the next state, the decoder's states of all places are one loop, and attention two products.

    Args:
        source_vocab, target_vocab: numbers of different tokens.
        embedding_dim, hidden_size: default 256 each; the encoder has half of it in each direction.
        num_layers: default 1.
        dropout: of embeddings, between layers, and of the output, in training. Default 0.2.
        padding_idx: the token behind the end of a sentence, on both sides. Default 0.

    Called with source (N, S) and target (N, T), which begins with the beginning-of-sentence token; gives logits
    (N, T, target_vocab). What stands behind the end of a source sentence has no effect.

    >>> import thalweg as tw
    >>> model = GRUTranslator(20, 30, 8, 8)
    >>> model(tw.ones(2, 5, dtype="int64"), tw.ones(2, 4, dtype="int64")).shape
    (2, 4, 30)
    """

    def __init__(
        self, source_vocab: int, target_vocab: int, embedding_dim: int = 256, hidden_size: int = 256,
        num_layers: int = 1, dropout: float = 0.2, padding_idx: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.padding_idx = padding_idx
        between = dropout if num_layers > 1 else 0.0
        self.source_embedding = nn.Embedding(source_vocab, embedding_dim, padding_idx)
        self.target_embedding = nn.Embedding(target_vocab, embedding_dim, padding_idx)
        self.encoder = nn.GRU(embedding_dim, hidden_size // 2, num_layers, batch_first=True, dropout=between,
                              bidirectional=True)  # fmt: skip
        self.decoder = nn.GRU(embedding_dim, hidden_size, num_layers, batch_first=True, dropout=between)
        self.score = nn.Linear(hidden_size, hidden_size, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size)
        self.linear = nn.Linear(hidden_size, target_vocab)
        self.dropout = nn.Dropout(dropout)

    def encode(self, source: Any) -> tuple[Any, ...]:
        """The encoder's outputs, its last states side by side, and which positions are words."""
        is_word = source != self.padding_idx
        lengths = is_word.long().sum(1)
        outputs, last = self.encoder(self.dropout(self.source_embedding(source)), None, lengths)
        layers, batch, width = last.shape
        state = last.view(layers // 2, 2, batch, width).permute(0, 2, 1, 3).reshape(layers // 2, batch, 2 * width)
        return outputs, state, is_word

    def decode(self, target: Any, *memory: Any) -> Tensor:
        """The logits behind each target token."""
        outputs, state, is_word = memory
        states, _ = self.decoder(self.dropout(self.target_embedding(target)), state)
        context = F.scaled_dot_product_attention(self.score(states), outputs, outputs, is_word.unsqueeze(1), scale=1.0)
        combined = _tanh(self.combine(_cat([context, states], -1)))
        return self.linear(self.dropout(combined))  # type: ignore[no-any-return]


class TransformerTranslator(_Translator):
    """Embeddings with sinusoidal positions, `nn.Transformer`, and a linear layer. Vaswani et al., NeurIPS 2017.

    Args:
        source_vocab, target_vocab: numbers of different tokens.
        d_model, nhead, num_layers, dim_feedforward: default 256, 8, 3 (on each side) and 512.
        dropout: default 0.1.
        norm_first: default True: it learns without a slow start of the learning rate (Xiong et al., ICML 2020).
        tie_weights: the last layer's matrix is the table of target embeddings (Press and Wolf, 2017). Default True.
        padding_idx: the token behind the end of a sentence, on both sides. Default 0.
        max_len: longest sentence. Default 1,024.

    Called with source (N, S) and target (N, T), gives logits (N, T, target_vocab). Embeddings are multiplied by
    sqrt(d_model). What stands behind the end of a source sentence has no effect.

    >>> import thalweg as tw
    >>> model = TransformerTranslator(20, 30, 8, 2, 1, 16)
    >>> model(tw.ones(2, 5, dtype="int64"), tw.ones(2, 4, dtype="int64")).shape
    (2, 4, 30)
    """

    def __init__(
        self, source_vocab: int, target_vocab: int, d_model: int = 256, nhead: int = 8, num_layers: int = 3,
        dim_feedforward: int = 512, dropout: float = 0.1, norm_first: bool = True, tie_weights: bool = True,
        padding_idx: int = 0, max_len: int = 1024,
    ) -> None:  # fmt: skip
        super().__init__()
        self.padding_idx, self.d_model = padding_idx, d_model
        self.source_embedding = nn.Embedding(source_vocab, d_model, padding_idx)
        self.target_embedding = nn.Embedding(target_vocab, d_model, padding_idx)
        self.positions = nn.SinusoidalPositionalEncoding(d_model, max_len)
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(
            d_model, nhead, num_layers, num_layers, dim_feedforward, dropout, batch_first=True, norm_first=norm_first
        )
        self.linear = nn.Linear(d_model, target_vocab)
        if tie_weights:
            self.linear.weight = self.target_embedding.weight
        for table in (self.source_embedding, self.target_embedding):
            init.normal_(table.weight, 0.0, 1 / math.sqrt(d_model))
            init.zeros_(table.weight.detach()[padding_idx])  # type: ignore[index]

    def _embedded(self, table: nn.Embedding, tokens: Any) -> Any:
        return self.dropout(self.positions(table(tokens) * math.sqrt(self.d_model)))

    def encode(self, source: Any) -> tuple[Any, ...]:
        """The encoder's outputs, and which positions are padding."""
        is_padding = source == self.padding_idx
        embedded = self._embedded(self.source_embedding, source)
        return self.transformer.encoder(embedded, src_key_padding_mask=is_padding), is_padding

    def decode(self, target: Any, *memory: Any) -> Tensor:
        """The logits behind each target token, which sees itself and those before it."""
        outputs, is_padding = memory
        written = self.transformer.decoder(
            self._embedded(self.target_embedding, target), outputs, memory_key_padding_mask=is_padding,
            tgt_is_causal=True,
        )  # fmt: skip
        return self.linear(written)  # type: ignore[no-any-return]
