"""Beam search against a naive twin: one sentence, one beginning, one word at a time, in lists.

In: translators of a tiny vocabulary with weights drawn large, so that beginnings differ. Out: the same sentences; and
that few programs are compiled.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.models.test_sequence_models import BUILD
from thalweg import models

BOS, EOS, WORDS = 1, 2, 9


def translator(kind, seed, scale=2.0):
    tw.manual_seed(seed)
    model = BUILD[kind]().double().eval()
    with tw.no_grad():
        for each in model.parameters():
            each *= scale
    return model


def sources(seed, count=5, longest=4):
    draw = np.random.default_rng(seed)
    found = draw.integers(3, WORDS, (count, longest))
    found[np.arange(longest) >= draw.integers(1, longest + 1, (count, 1))] = 0
    return found


def twin(model, source, max_length, beam, alpha):
    """The definition, sentence by sentence; every beginning goes through the whole model by itself."""

    def likelihoods(beginning):
        row = model(tw.tensor(source[None]), tw.tensor([[BOS, *beginning]])).detach().numpy()[0, -1]
        return row - np.log(np.exp(row - row.max()).sum()) - row.max()

    def score(likelihood, length):
        return likelihood / ((5 + length) / 6) ** alpha

    alive, finished = [([], 0.0)], []
    for _ in range(max_length):
        candidates = [
            (beginning + [word], likelihood + each)
            for beginning, likelihood in alive
            for word, each in enumerate(likelihoods(beginning))
        ]
        candidates.sort(key=lambda each: -each[1])
        finished += [(words[:-1], score(total, len(words))) for words, total in candidates[:beam] if words[-1] == EOS]
        alive = [each for each in candidates if each[0][-1] != EOS][:beam]
        if len(finished) >= beam:
            break
    return max(finished, key=lambda each: each[1])[0] if finished else alive[0][0]


@pytest.mark.parametrize(("kind", "beam", "alpha", "seed"), [
    ("transformer", 1, 0.0, 0), ("transformer", 3, 0.0, 1), ("transformer", 4, 1.0, 2), ("gru", 2, 0.6, 3),
    ("transformer", 12, 0.5, 8),
])  # fmt: skip
def test_a_search_finds_what_its_definition_says(kind, beam, alpha, seed):
    model, given = translator(kind, seed), sources(seed)
    found = model.translate(given, BOS, EOS, max_length=6, beam=beam, length_penalty=alpha)
    assert found == [twin(model, row[row > 0], 6, beam, alpha) for row in given]
    assert len(set(map(tuple, found))) > 1


def test_a_wide_beam_finds_the_likeliest_of_all_sentences():
    """With so many beginnings nothing is ever dropped, and a penalty turns the choice to longer ones."""
    model, given = translator("transformer", 5), sources(5, count=6)
    every = [models.BeamSearch(model, BOS, EOS, 3, 700, alpha)(given) for alpha in (0.0, 3.0)]
    lengths = [[len(words) for words in each] for each in every]
    assert all(a <= b for a, b in zip(*lengths, strict=True))
    assert lengths[0] != lengths[1]


def test_batches_of_other_sizes_share_programs():
    model = translator("transformer", 0)
    write = models.BeamSearch(model, BOS, EOS, max_length=20, beam=2)
    whole = write(sources(0, count=16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "encode", None)  # whoever traces the model again fails
        for count in (9, 16, 5):
            assert write(sources(0, count=16)[:count]) == whole[:count]
    assert write(np.zeros((0, 4), np.int64)) == []


def test_a_model_in_training_writes_in_evaluation_mode_and_goes_on_training():
    model = translator("gru", 0)
    write = models.BeamSearch(model, BOS, EOS, max_length=4)
    first = write(sources(0))
    model.train()
    assert write(sources(0)) == first
    assert model.training


@pytest.mark.parametrize(("options", "source", "message"), [
    ({"beam": 0}, [[3]], "beam.*at least 1"),
    ({"length_penalty": -1.0}, [[3]], "length_penalty"),
    ({"max_length": 0}, [[3]], "max_length"),
    ({}, [3, 4], r"\(N, S\)"),
    ({}, [[3.0]], "whole numbers"),
    ({}, [[]], "S at least 1"),
])  # fmt: skip
def test_misuse(options, source, message):
    with pytest.raises(tw.ThalwegError, match=f"(?s){message}"):
        models.BeamSearch(BUILD["gru"](), BOS, EOS, **options)(source)
