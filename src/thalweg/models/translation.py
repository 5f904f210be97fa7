"""Translation: an encoder reads a sentence, a decoder writes another, word by word, looking at what was read.

In: source tokens (N, S) and target tokens (N, T), padded at the end. Out: scores of the word that follows each target
token (N, T, vocabulary). `translate` writes sentences, word by word.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg import nn
from thalweg.models.beam_search import BeamSearch
from thalweg.models.language import need_tokens
from thalweg.nn import functional as F
from thalweg.nn import init
from thalweg.tensor import Tensor
from thalweg.tensor.methods import functions

_cat, _tanh, _where = functions["cat"], functions["tanh"], functions["where"]


class _Translator(nn.Module):
    """What both have: the padding token, and writing a translation."""

    padding_idx: int
    linear: nn.Linear

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        need_tokens(type(self).__name__, source)
        need_tokens(type(self).__name__, target)
        return self.decode(target, *self.encode(source))

    def encode(self, source: Any) -> tuple[Any, ...]:
        """What the decoder needs to know of the source."""
        raise NotImplementedError

    def states(self, target: Any, *memory: Any) -> Any:
        """What the last layer makes the logits of, for each target token."""
        raise NotImplementedError

    def decode(self, target: Any, *memory: Any) -> Tensor:
        """The logits behind each target token, (N, T, target_vocab), which sees itself and those before it."""
        return self.linear(self.states(target, *memory))  # type: ignore[no-any-return]

    def next_words(self, target: Any, place: Any, *memory: Any) -> Tensor:
        """The logits behind one place alone, (N, target_vocab); `place` is a tensor of one number."""
        return self.linear(self.states(target, *memory).index_select(1, place).squeeze(1))  # type: ignore[no-any-return]

    def attention(self, source: Any, target: Any) -> Tensor:
        """How much each target place looks at each source token, (N, heads, T, S); of several layers in the last.

        The weights of a place sum to 1 over the tokens of its source sentence, and are 0 for the padding.
        """
        raise NotImplementedError

    def translate(
        self, source: Any, bos: int, eos: int, max_length: int = 50, beam: int = 1, length_penalty: float = 0.0
    ) -> list[list[int]]:
        """A translation of each source sentence, without `bos`, up to `eos` or `max_length`: see `BeamSearch`.

        By default greedy: the likeliest next word given those before. Runs in evaluation mode. For many calls make a
        `BeamSearch` once, which keeps its programs.
        """
        return BeamSearch(self, bos, eos, max_length, beam, length_penalty)(source)


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

    def states(self, target: Any, *memory: Any) -> Any:
        outputs, state, is_word = memory
        states, _ = self.decoder(self.dropout(self.target_embedding(target)), state)
        context = F.scaled_dot_product_attention(self.score(states), outputs, outputs, is_word.unsqueeze(1), scale=1.0)
        combined = _tanh(self.combine(_cat([context, states], -1)))
        return self.dropout(combined)

    def attention(self, source: Any, target: Any) -> Tensor:
        outputs, state, is_word = self.encode(source)
        states, _ = self.decoder(self.dropout(self.target_embedding(target)), state)
        scores = self.score(states) @ outputs.transpose(1, 2)
        return _where(is_word.unsqueeze(1), scores, -math.inf).softmax(-1).unsqueeze(1)  # type: ignore[no-any-return]


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
            init.zeros_(table.weight.detach()[padding_idx])

    def _embedded(self, table: nn.Embedding, tokens: Any) -> Any:
        return self.dropout(self.positions(table(tokens) * math.sqrt(self.d_model)))

    def encode(self, source: Any) -> tuple[Any, ...]:
        """The encoder's outputs, and which positions are padding."""
        is_padding = source == self.padding_idx
        embedded = self._embedded(self.source_embedding, source)
        return self.transformer.encoder(embedded, src_key_padding_mask=is_padding), is_padding

    def states(self, target: Any, *memory: Any) -> Any:
        outputs, is_padding = memory
        return self.transformer.decoder(
            self._embedded(self.target_embedding, target), outputs, memory_key_padding_mask=is_padding,
            tgt_is_causal=True,
        )  # fmt: skip

    def attention(self, source: Any, target: Any) -> Tensor:
        looking, given = self.transformer.decoder.layers[-1].multihead_attn, list[Any]()
        handle = looking.register_forward_hook(lambda module, args, result: given.append(args))
        try:
            self.states(target, *self.encode(source))
        finally:
            handle.remove()
        query, key, value, is_padding, *_ = given[0]
        return looking(query, key, value, is_padding, average_attn_weights=False)[1]  # type: ignore[no-any-return]
