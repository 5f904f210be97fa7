"""What a run that has learnt from sequences shows of them: the ways of trucks, what an attention looks at.

In: the outcome of a run, its problem.
Out: PNG files in the run folder; what is said about each in a report.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.models import docked
from thalweg.nn.hooks import observed
from thalweg.recipes.problem import CONTROL, LANGUAGE, TRANSLATION, Problem
from thalweg.recipes.settings import GPT
from thalweg.report.sequence_pictures import Square, draw_attention, draw_trajectories
from thalweg.tensor import from_numpy, no_grad

TRUCKS_DRAWN, TOKENS_DRAWN, SENTENCES_DRAWN, WORDS_DRAWN = 12, 32, 4, 16
SAID_OF_SEQUENCES: dict[tuple[str, str], tuple[str, str]] = {
    (CONTROL, "trajectories.png"): (
        "Ways to the dock", "Trucks of the test part, seen from above: where they start (grey), their ways, their ends"
    ),
    (LANGUAGE, "attention.png"): (
        "Attention", "Which tokens (across) the heads of the last block look at from each token (down) of a text"
    ),
    (TRANSLATION, "attention.png"): (
        "Attention", "Which words of a sentence (across) the network looks at while it writes each word of its "
        "translation (down): the mean of the heads of the last layer"
    ),
}  # fmt: skip
"""Heading and caption of each picture, by the task and the name of the file."""


def of_sequences(outcome: Any, problem: Problem) -> list[Path]:
    """The pictures of the test part's sequences; none for tables and pictures."""
    kind = DRAWINGS.get(problem.outputs.task)
    return [] if kind is None else kind(outcome, problem)


def _of_trucks(outcome: Any, problem: Problem) -> list[Path]:
    (starts, _), *_ = problem.test()
    model = outcome.predictor.model
    ends = outcome.predictor.raw(starts)
    rows = np.arange(min(TRUCKS_DRAWN, len(starts)))
    with no_grad():
        ways = np.asarray(model.path(from_numpy(np.ascontiguousarray(starts[rows]))).numpy())
    ways = np.concatenate([ways, ends[rows][None]])
    is_docked = docked(ends)
    path = outcome.folder.path / "trajectories.png"
    return [draw_trajectories(path, ways, is_docked[rows], ends[~is_docked])]


def _of_language(outcome: Any, problem: Problem) -> list[Path]:
    """What each head of the last block looks at, over the first tokens of the test part."""
    if outcome.predictor.shape.kind != GPT:
        return []
    tokens = next(iter(problem.test()))[0][:1, :TOKENS_DRAWN]
    model, seen = outcome.predictor.model.eval(), []
    block = model.transformer["h"][-1]
    with no_grad(), observed([block.ln_1], lambda _, result: seen.append(np.array(result.numpy()))):
        model(from_numpy(np.ascontiguousarray(tokens)))
    weights = attention_weights(seen[0][0], np.asarray(block.attn.c_attn.weight.detach().numpy()), block.attn.n_head)
    tokenizer = outcome.predictor.reader.tokenizer
    words = [tokenizer.vocabulary.token(number).replace("\n", "↵") for number in tokens[0].tolist()]
    squares = [Square(f"head {number}", each, words, words) for number, each in enumerate(weights, 1)]
    path = outcome.folder.path / "attention.png"
    return [draw_attention(path, "What the heads of the last block look at", squares)]


def attention_weights(x: np.ndarray, matrix: np.ndarray, heads: int) -> np.ndarray:
    """softmax(q k^T / sqrt(d)) of causal self-attention: inputs (T, C), `c_attn.weight` (3 C, C) to (heads, T, T)."""
    length, width = x.shape
    query, key = ((x @ part.T).reshape(length, heads, -1).transpose(1, 0, 2) for part in np.split(matrix, 3)[:2])
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(width // heads)
    scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _of_translation(outcome: Any, problem: Problem) -> list[Path]:
    """Where the network looks in the first short sentences of the test part, while it writes its translations."""
    predictor, reader = outcome.predictor, outcome.predictor.reader
    tokens = next(iter(problem.test()))[0]
    lengths = (tokens != predictor.model.padding_idx).sum(1)
    rows = np.argsort(lengths > WORDS_DRAWN, kind="stable")[:SENTENCES_DRAWN]
    source = tokens[rows, : min(lengths[rows].max(), 2 * WORDS_DRAWN)]
    squares = []
    for number, (read, written) in enumerate(zip(source, predictor.written(source), strict=True), 1):
        read = read[read != predictor.model.padding_idx]
        target = np.array([reader.target.bos, *written])[: 2 * WORDS_DRAWN]
        with no_grad():
            weights = predictor.model.attention(from_numpy(read[None].copy()), from_numpy(target[None])).numpy()[0]
        words = [*written, reader.target.eos][: len(target)]  # a place looks while the word behind it is written
        names = _words(reader.source, read), _words(reader.target, words)
        squares.append(Square(f"sentence {number}", weights.mean(0), *names))
    path = outcome.folder.path / "attention.png"
    return [draw_attention(path, "Words read (across) and written (down)", squares)]


def _words(tokenizer: Any, tokens: Any) -> list[str]:
    """Each token as it reads by itself."""
    return [tokenizer.decode([number], skip_special=False).strip() for number in np.asarray(tokens).tolist()]


DRAWINGS: dict[str, Callable[[Any, Problem], list[Path]]] = {
    CONTROL: _of_trucks, LANGUAGE: _of_language, TRANSLATION: _of_translation,
}  # fmt: skip
