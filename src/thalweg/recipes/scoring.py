"""The scores of a trained network on labelled data, chunk by chunk, whatever its task is.

In: a predictor, chunks of encoded inputs and targets.
Out: `Scores`.
"""

from __future__ import annotations

from collections.abc import Iterable

from thalweg.errors import DataError, explain
from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import (
    CLASSIFICATION,
    CONTROL,
    DETECTION,
    LANGUAGE,
    REGRESSION,
    SEGMENTATION,
    TRANSCRIPTION,
    TRANSLATION,
    Chunk,
)
from thalweg.recipes.scores import Boxes, Classes, Pixels, Scorer, Scores, Values
from thalweg.recipes.sequence_scores import NextTokens, Transcripts, Translations, Trucks

SCORERS: dict[str, type[Scorer]] = {
    CLASSIFICATION: Classes, SEGMENTATION: Pixels, DETECTION: Boxes, REGRESSION: Values, CONTROL: Trucks,
    TRANSCRIPTION: Transcripts,
    LANGUAGE: NextTokens, TRANSLATION: Translations,
}  # fmt: skip


def score(predictor: Predictor, chunks: Iterable[Chunk]) -> Scores:
    """The scores over all chunks, exact. Raises DataError if there are no rows."""
    scorer = SCORERS[predictor.outputs.task](predictor)
    count = 0
    for x, y in chunks:
        if len(y):
            scorer.see(x, y)
            count += len(y)
    if not count:
        raise DataError(explain("there is nothing to evaluate on", received="0 rows"))
    return scorer.scores(count)
