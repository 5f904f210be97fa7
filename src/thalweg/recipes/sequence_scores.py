"""How good a network for sequences is on labelled data: the scorers of its tasks.

In: a predictor, chunks of inputs and targets.
Out: `Scores`, with some predictions beside the truth.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from thalweg.models import TextGenerator, docked
from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import CONTROL, LANGUAGE, TRANSCRIPTION, TRANSLATION
from thalweg.recipes.recording_reader import RecordingReader
from thalweg.recipes.scores import SampleTable, Scorer, Scores
from thalweg.recipes.sequence_modules import heard
from thalweg.recipes.text_reader import LanguageReader, TranslationReader
from thalweg.train.metrics import Perplexity, bleu, edit_distances

MOST_SHOWN = 12
PROMPT, WRITTEN = 16, 400
"""Tokens of a sample: those that are given, and those that are written."""


class Trucks(Scorer):
    """The share of trucks that stand at the dock, and how far from it the others came to stand."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.ends: list[np.ndarray] = []

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        self.ends.append(raw)

    def scores(self, count: int) -> Scores:
        ends = np.concatenate(self.ends).astype(np.float64)
        numbers = {
            "docked": float(docked(ends).mean()),
            "metres_beside": float(np.median(abs(ends[:, 1]))),
            "degrees_turned": float(np.degrees(np.median(abs(ends[:, 2])))),
        }
        return Scores(CONTROL, numbers, count, math.nan)


class Transcripts(Scorer):
    """Errors for each true word, and the share of recordings of which every word is right."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.said: list[list[int]] = []
        self.true: list[list[int]] = []

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        self.said += heard(raw)
        self.true += [row[row > 0].tolist() for row in y]

    def scores(self, count: int) -> Scores:
        wrong = edit_distances(self.said, self.true)
        numbers = {
            "word_error_rate": float(wrong.sum() / max(1, sum(map(len, self.true)))),
            "all_right": float((wrong == 0).mean()),
        }
        return Scores(TRANSCRIPTION, numbers, count, math.nan, samples=self._samples(wrong))

    def _samples(self, wrong: np.ndarray) -> list[SampleTable]:
        reader = self.predictor.reader
        assert isinstance(reader, RecordingReader)
        rows = np.argsort(-wrong, kind="stable")[: min(MOST_SHOWN, int((wrong > 0).sum()))]
        table = [[reader.told(self.true[row]), reader.told(self.said[row]), str(wrong[row])] for row in rows]
        return [("Most errors in a recording", ["said", "heard", "errors"], table)] if table else []


class NextTokens(Scorer):
    """The mean surprise at a token of the whole text, and what the network writes by itself."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.perplexity = Perplexity(class_axis=-1)
        self.first: np.ndarray | None = None

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        self.perplexity.update(raw, y)
        self.first = y[0][y[0] >= 0] if self.first is None else self.first

    def scores(self, count: int) -> Scores:
        perplexity = float(self.perplexity.compute())  # type: ignore[arg-type]
        tokens = int(self.perplexity.sums["weight"])
        numbers = {"loss": math.log(perplexity), "perplexity": perplexity, "bits_per_token": math.log2(perplexity)}
        return Scores(LANGUAGE, numbers, tokens, math.nan, samples=[self._sample()])

    def _sample(self) -> SampleTable:
        """A continuation of the first words of the text that was measured."""
        reader: Any = self.predictor.reader
        assert isinstance(reader, LanguageReader)
        assert self.first is not None
        prompt = self.first[:PROMPT]
        write = TextGenerator(self.predictor.model, temperature=0.8, seed=0)
        written = write(prompt, WRITTEN)
        told = [reader.tokenizer.decode(each) for each in (prompt, written[len(prompt) :])]
        return ("What it writes, at temperature 0.8", ["after", "it goes on"], [told])


class Translations(Scorer):
    """BLEU of lower-cased translations, and those that are worst."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.read: list[str] = []
        self.said: list[str] = []
        self.true: list[str] = []

    def see(self, x: Any, y: np.ndarray) -> None:
        reader = self.predictor.reader
        assert isinstance(reader, TranslationReader)
        self.read += reader.source.decode_all(x)
        self.said += self.predictor.translations(x)
        self.true += [str(text) for text in y]

    def scores(self, count: int) -> Scores:
        found = bleu(self.said, self.true, lowercase=True)
        numbers = {"bleu": found.score, "brevity_penalty": found.brevity_penalty}
        wrong = edit_distances([each.split() for each in self.said], [each.lower().split() for each in self.true])
        texts = list(zip(self.read, self.said, self.true, strict=True))
        lengths = np.array([max(1, len(each.split())) for each in self.true])
        order = np.argsort(-wrong / lengths, kind="stable")
        shown = {"Some translations": range(min(MOST_SHOWN, count)), "The worst ones": order[:MOST_SHOWN].tolist()}
        samples: list[SampleTable] = [
            (heading, ["source", "translation", "reference"], [list(texts[row]) for row in rows])
            for heading, rows in shown.items()
        ]
        return Scores(TRANSLATION, numbers, count, math.nan, samples=samples)
