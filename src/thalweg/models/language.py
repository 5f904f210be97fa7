"""Language models: an LSTM over characters, and a small GPT, which predict the next token at every position.

In: tokens (N, T).
Out: scores (logits) of the token that follows each, (N, T, vocabulary). `generate` continues a text.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.models.generation import TextGenerator
from thalweg.nn import functional as F
from thalweg.nn import init
from thalweg.nn.attention_expressions import causal_mask
from thalweg.tensor import Tensor, zeros
from thalweg.tensor.lifting import lift

_causal_mask = lift(causal_mask)


class LSTMLanguageModel(nn.Module):
    """Embedding, LSTM, linear layer. Karpathy's char-rnn (2015) is one of 128 to 512 numbers and 2 layers.

    Args:
        vocab_size: number of different tokens.
        embedding_dim: default `hidden_size`.
        hidden_size, num_layers: default 128 and 1.
        dropout: of the embeddings, between layers and before the last, in training. Default 0.
        tie_weights: the last layer's matrix is the table of embeddings (Press and Wolf, 2017); needs equal widths.
            Default False.

    Called with tokens (N, T), gives logits (N, T, vocab_size); with ``(tokens, state)``, where state is that of the
    text before, or None, it gives the logits and the new state.

    >>> import thalweg as tw
    >>> model = LSTMLanguageModel(vocab_size=65)
    >>> model(tw.zeros(2, 5, dtype="int64")).shape
    (2, 5, 65)
    """

    context: int | None = None  # its state holds a text of any length

    def __init__(
        self, vocab_size: int, hidden_size: int = 128, num_layers: int = 1, embedding_dim: int | None = None,
        dropout: float = 0.0, tie_weights: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        width = hidden_size if embedding_dim is None else embedding_dim
        if tie_weights and width != hidden_size:
            raise ArgumentError(
                explain("LSTMLanguageModel: weights cannot be tied", received=f"{width} and {hidden_size} numbers",
                        expected="embedding_dim equal to hidden_size")
            )  # fmt: skip
        self.embedding = nn.Embedding(vocab_size, width)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            width, hidden_size, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0
        )
        self.linear = nn.Linear(hidden_size, vocab_size)
        if tie_weights:
            init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(hidden_size))
            self.linear.weight = self.embedding.weight

    def forward(self, tokens: Tensor, *state: Any) -> Any:
        need_tokens("LSTMLanguageModel", tokens)
        hidden, new = self.lstm(self.dropout(self.embedding(tokens)), *state)
        logits = self.linear(self.dropout(hidden))
        return (logits, new) if state else logits

    def start(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zeros, the state before a text."""
        shape, dtype = (self.lstm.num_layers, batch, self.lstm.hidden_size), self.linear.weight.dtype
        return zeros(*shape, dtype=dtype), zeros(*shape, dtype=dtype)

    def step(self, tokens: Tensor, position: Tensor, cache: tuple[Any, Any]) -> Tensor:
        """The logits behind one more token (N,); the state in `cache` moves on."""
        logits, state = self(_column(tokens), cache)
        for cell, new in zip(cache, state, strict=True):
            cell.copy_(new.detach())
        return logits[:, -1]  # type: ignore[no-any-return]

    def generate(self, prompt: Any, max_new_tokens: int, **settings: Any) -> np.ndarray:
        """The prompt continued; settings as in `TextGenerator`, which is faster for many prompts."""
        return TextGenerator(self, **settings)(prompt, max_new_tokens)


class CausalSelfAttention(nn.Module):
    """Each position looks at itself and at those before it; queries, keys and values come of one matrix."""

    def __init__(self, n_embd: int, n_head: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias=bias)
        self.c_proj = nn.Linear(n_embd, n_embd, bias=bias)
        self.resid_dropout = nn.Dropout(dropout)
        self.n_head, self.dropout = n_head, dropout

    def forward(self, x: Any, position: Any = None, cache: Any = None) -> Any:
        n, length, width = x.shape
        parts = self.c_attn(x).view(n, length, 3, self.n_head, width // self.n_head).permute(2, 0, 3, 1, 4)
        p = self.dropout if self.training else 0.0
        if cache is None:
            y: Any = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], dropout_p=p, is_causal=True)
        else:
            y = self._with_cache(parts, position, cache)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(n, length, width)))

    def _with_cache(self, parts: Any, position: Any, cache: tuple[Any, Any]) -> Any:
        """One query; its key and value take their place among those of the positions before."""
        keys, values = cache
        for cell, new in ((keys, parts[1]), (values, parts[2])):
            cell[position] = new.detach().permute(2, 0, 1, 3)
        mask = _causal_mask(1, len(keys), position)
        return F.scaled_dot_product_attention(parts[0], keys.permute(1, 2, 0, 3), values.permute(1, 2, 0, 3), mask)


class Block(nn.Module):
    """Attention and a network of two layers, each behind a normalisation and beside a shortcut."""

    def __init__(self, n_embd: int, n_head: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd, bias=bias)
        self.attn = CausalSelfAttention(n_embd, n_head, dropout, bias)
        self.ln_2 = nn.LayerNorm(n_embd, bias=bias)
        self.mlp = nn.ModuleDict({
            "c_fc": nn.Linear(n_embd, 4 * n_embd, bias=bias), "gelu": nn.GELU(),
            "c_proj": nn.Linear(4 * n_embd, n_embd, bias=bias), "dropout": nn.Dropout(dropout),
        })  # fmt: skip

    def forward(self, x: Any, position: Any = None, cache: Any = None) -> Any:
        x = x + self.attn(self.ln_1(x), position, cache)
        y = self.ln_2(x)
        for layer in self.mlp.values():
            y = layer(y)
        return x + y


class GPT(nn.Module):
    """A decoder of transformer blocks. Radford et al., 2019; sizes and names are nanoGPT's.

    Learned positions, normalisation before each part, GELU, and one matrix for embeddings and for the last layer. The
    defaults are nanoGPT's recipe for a processor: 4 layers of 128 numbers and 4 heads, 64 tokens of context.

    Args:
        vocab_size: number of different tokens.
        context: most tokens that are looked at. Default 64.
        n_layer, n_head, n_embd: default 4, 4 and 128.
        dropout: of embeddings, attention weights and what each part adds, in training. Default 0.
        bias: of linear layers and normalisations. Default False, as in nanoGPT.
        tie_weights: default True.

    Called with tokens (N, T), T at most `context`, gives logits (N, T, vocab_size). Weights start from N(0, 0.02^2),
    those that add to the shortcuts smaller by sqrt(2 n_layer). State: nanoGPT's names, ``transformer.wte.weight`` etc.
    Raises ShapeError for more tokens than the context.

    >>> import thalweg as tw
    >>> model = GPT(vocab_size=65)
    >>> model(tw.zeros(2, 5, dtype="int64")).shape, sum(each.numel() for each in model.parameters())
    ((2, 5, 65), 804096)
    """

    def __init__(
        self, vocab_size: int, context: int = 64, n_layer: int = 4, n_head: int = 4, n_embd: int = 128,
        dropout: float = 0.0, bias: bool = False, tie_weights: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if n_embd % n_head:
            raise ArgumentError(
                explain("GPT: the heads do not divide n_embd", received=f"{n_embd} / {n_head}", expected="a multiple")
            )
        self.context: int | None = context
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocab_size, n_embd), "wpe": nn.Embedding(context, n_embd), "drop": nn.Dropout(dropout),
            "h": nn.ModuleList([Block(n_embd, n_head, dropout, bias) for _ in range(n_layer)]),
            "ln_f": nn.LayerNorm(n_embd, bias=bias),
        })  # fmt: skip
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        if tie_weights:
            self.lm_head.weight = self.transformer["wte"].weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                scale = 1 / math.sqrt(2 * len(self.transformer["h"])) if name.endswith("c_proj.weight") else 1.0
                init.normal_(parameter, 0.0, 0.02 * scale)
            elif name.endswith("bias"):
                init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        need_tokens("GPT", tokens)
        length = tokens.shape[1]
        if self.context is not None and length > self.context:
            raise ShapeError(
                explain("GPT: more tokens than its context", received=length, expected=f"at most {self.context}",
                        remedy="cut the text into pieces, or make the model with a larger context")
            )  # fmt: skip
        rows: Any = self.transformer["wpe"]
        return self._logits(tokens, rows.weight[:length], None, [None] * len(self.transformer["h"]))

    def _logits(self, tokens: Any, places: Any, position: Any, caches: Any) -> Tensor:
        parts: Any = self.transformer
        x = parts["drop"](parts["wte"](tokens) + places)
        for block, cache in zip(parts["h"], caches, strict=True):
            x = block(x, position, cache)
        return self.lm_head(parts["ln_f"](x))  # type: ignore[no-any-return]

    def start(self, batch: int) -> list[tuple[Tensor, Tensor]]:
        """Room for the keys and values of all positions, of each layer; a row (N, heads, D) for each position."""
        blocks: Any = self.transformer["h"]
        width, dtype = self.lm_head.in_features, self.lm_head.weight.dtype
        heads = [block.attn.n_head for block in blocks]
        shapes: list[Any] = [(self.context, batch, each, width // each) for each in heads]
        return [(zeros(*shape, dtype=dtype), zeros(*shape, dtype=dtype)) for shape in shapes]

    def step(self, tokens: Tensor, position: Tensor, cache: Any) -> Tensor:
        """The logits behind one more token (N,), at `position` (1,); its keys and values are kept in `cache`."""
        rows: Any = self.transformer["wpe"]
        logits: Any = self._logits(_column(tokens), rows(position), position, cache)
        return logits[:, 0]  # type: ignore[no-any-return]

    def generate(self, prompt: Any, max_new_tokens: int, **settings: Any) -> np.ndarray:
        """The prompt continued; settings as in `TextGenerator`, which is faster for many prompts."""
        return TextGenerator(self, **settings)(prompt, max_new_tokens)


def need_tokens(where: str, tokens: Any) -> None:
    if len(tokens.shape) != 2:
        raise ShapeError(
            explain(f"{where} takes rows of tokens", received=f"shape {tuple(tokens.shape)}", expected="(N, T)",
                    remedy="add the batch axis with tokens.unsqueeze(0)")
        )  # fmt: skip


def _column(tokens: Any) -> Any:
    return tokens.reshape(-1, 1)
