"""Networks on sequences and their steps, written once for PyTorch and Thalweg; bench/peers/jax_sequences.py is JAX's.

In: a `Framework` and a row that names a network or asks for attention alone. Out: a callable that runs one timed call:
a training step, or attention forward and backward. `SIZES` says what the sizes of a row are, network by network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.framework import Call, Framework, training_step, with_initial_values
from bench.workloads import BATCHES, Workload, entries

SIZES = {
    "char-lstm": ("steps", "vocabulary", "width"),
    "gru": ("steps", "inputs", "width", "classes"),
    "gpt": ("context", "vocabulary", "width", "heads", "layers"),
    "translator": ("tokens", "vocabulary", "width", "heads", "layers on each side", "hidden"),
    "sentence-cnn": ("tokens", "vocabulary", "width", "filters of each window", "classes"),
}
WINDOWS = (3, 4, 5)  # of the sentence network


# --- networks --------------------------------------------------------------------------------------------------------


def char_lstm(framework: Framework, workload: Workload) -> Any:
    """Each character's vector, one layer of LSTM, the scores of the next character at every place."""
    nn = framework.nn
    _, vocabulary, width = workload.sizes

    class CharLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.lstm = nn.LSTM(width, width, batch_first=True)
            self.head = nn.Linear(width, vocabulary)

        def forward(self, x: Any) -> Any:
            outputs, _ = self.lstm(self.embedding(x))
            return self.head(outputs)

    return CharLSTM()


def gru(framework: Framework, workload: Workload) -> Any:
    """One layer of GRU over frames, a linear layer on its last state."""
    nn = framework.nn
    _, inputs, width, classes = workload.sizes

    class FrameGRU(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(inputs, width, batch_first=True), nn.Linear(width, classes)

        def forward(self, x: Any) -> Any:
            _, last = self.gru(x)
            return self.head(last[-1])

    return FrameGRU()


def gpt(framework: Framework, workload: Workload) -> Any:
    """nanoGPT's network: learned positions, norms before the layers, GELU, no biases, head tied to the embedding."""
    nn, F = framework.nn, framework.functional
    context, vocabulary, width, heads, layers = workload.sizes

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.qkv = nn.LayerNorm(width, bias=False), nn.Linear(width, 3 * width, bias=False)
            self.projection, self.norm2 = nn.Linear(width, width, bias=False), nn.LayerNorm(width, bias=False)
            self.feed_forward = nn.Sequential(
                nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False)
            )

        def attention(self, x: Any) -> Any:
            count, length, _ = x.shape
            shape = (count, length, heads, width // heads)
            q, k, v = (each.reshape(shape).transpose(1, 2) for each in self.qkv(x).split(width, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.projection(y.transpose(1, 2).reshape(count, length, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.feed_forward(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm = nn.LayerNorm(width, bias=False)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.blocks(self.tokens(x) + self.positions.weight)))

    return GPT()


def translator(framework: Framework, workload: Workload) -> Any:
    """Vaswani et al. 2017 with learned positions; it takes sources and targets as one array (2, N, T)."""
    nn = framework.nn
    tokens, vocabulary, width, heads, layers, hidden = workload.sizes

    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(tokens, width)
            self.transformer = nn.Transformer(width, heads, layers, layers, hidden, dropout=0.0, batch_first=True)
            self.head = nn.Linear(width, vocabulary)
            self.mask = nn.Transformer.generate_square_subsequent_mask(tokens)  # PyTorch wants it beside the hint

        def forward(self, x: Any) -> Any:
            positions = self.positions.weight
            source, target = self.source(x[0]) + positions, self.target(x[1]) + positions
            return self.head(self.transformer(source, target, tgt_mask=self.mask, tgt_is_causal=True))

    return Translator()


def sentence_cnn(framework: Framework, workload: Workload) -> Any:
    """Kim 2014: windows of three widths over the words' vectors, the largest answer of each filter, dropout."""
    nn, F = framework.nn, framework.functional
    _, vocabulary, width, filters, classes = workload.sizes

    class SentenceCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.convolutions = nn.ModuleList([nn.Conv1d(width, filters, window) for window in WINDOWS])
            self.dropout = nn.Dropout(workload.dropout)
            self.head = nn.Linear(len(WINDOWS) * filters, classes)

        def forward(self, x: Any) -> Any:
            x = self.embedding(x).transpose(1, 2)
            found = [F.relu(each(x)).amax(2) for each in self.convolutions]
            return self.head(self.dropout(framework.concatenate(found, 1)))

    return SentenceCNN()


NETWORKS: dict[str, Callable[[Framework, Workload], Any]] = {
    "char-lstm": char_lstm, "gru": gru, "gpt": gpt, "translator": translator, "sentence-cnn": sentence_cnn,
}  # fmt: skip


# --- what they are fed -----------------------------------------------------------------------------------------------


def sequence_batches(workload: Workload) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens or frames, and labels: one for each sequence, or for each of its places where the next is asked for."""
    random = np.random.default_rng(1)
    length, vocabulary, *rest = workload.sizes
    shape = (workload.batch, length)

    def tokens(shape: Sequence[int], count: int = vocabulary) -> np.ndarray:
        return random.integers(0, count, tuple(shape))

    feed = {
        "gru": lambda: (random.standard_normal((*shape, vocabulary), np.float32), tokens(shape[:1], rest[-1])),
        "sentence-cnn": lambda: (tokens(shape), tokens(shape[:1], rest[-1])),
        "translator": lambda: (tokens((2, *shape)), tokens(shape)),
    }.get(workload.network, lambda: (tokens(shape), tokens(shape)))
    return [feed() for _ in range(BATCHES)]


def network(framework: Framework, workload: Workload) -> Any:
    return with_initial_values(framework, NETWORKS[workload.network](framework, workload))


# --- steps -----------------------------------------------------------------------------------------------------------


def sequence_step(framework: Framework, workload: Workload) -> Call:
    """A training step of the network: cross-entropy, in the mean over all labels."""
    pairs = [(framework.tensor(x), framework.tensor(y)) for x, y in sequence_batches(workload)]

    def criterion(logits: Any, labels: Any) -> Any:
        return framework.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))

    return training_step(framework, network(framework, workload), criterion, pairs, workload.is_compiled)


def attention_operands(workload: Workload) -> list[np.ndarray]:
    """Queries, keys, values and the cotangent of what comes out: one sequence with its heads, (1, heads, T, width)."""
    return [entries(workload, seed)[None] for seed in (9, 10, 11, 12)]


def attention(framework: Framework, workload: Workload, is_causal: bool = False) -> Call:
    """The weighted sums, and from their cotangent the gradients of queries, keys and values."""
    *operands, cotangent = map(framework.tensor, attention_operands(workload))
    operands = [framework.nn.Parameter(each) for each in operands]
    attend = framework.functional.scaled_dot_product_attention
    forward = framework.compile_forward(lambda q, k, v: attend(q, k, v, is_causal=is_causal))

    def step(cotangent: Any) -> Any:
        for each in operands:
            each.grad = None
        y = forward(*operands)
        y.backward(cotangent)
        return y.detach()

    step = framework.compile_step(step)
    return lambda: step(cotangent)


def causal_attention(framework: Framework, workload: Workload) -> Call:
    return attention(framework, workload, is_causal=True)


BUILDERS: dict[str, Callable[[Framework, Workload], Call]] = {
    "sequence_step": sequence_step,
    "attention": attention,
    "causal_attention": causal_attention,
}
