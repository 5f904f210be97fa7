"""The data of the recipes for sequences, whichever it is.

In: settings whose network is decided.
Out: a `Problem`.
"""

from __future__ import annotations

from collections.abc import Callable

from thalweg.recipes import speech, texts, truck
from thalweg.recipes.problem import CLASSIFICATION, CONTROL, LANGUAGE, TRANSCRIPTION, TRANSLATION, Problem
from thalweg.recipes.sequence_network import check_kind
from thalweg.recipes.settings import (
    CLASSIFIED_TEXTS,
    DIGIT_STRINGS,
    LANGUAGE_MODELS,
    SPEECH,
    TRANSLATED,
    TRUCK,
    Settings,
)

PREPARED: dict[str, Callable[[Settings], Problem]] = {
    TRUCK: truck.prepare,
    **dict.fromkeys(LANGUAGE_MODELS, texts.prepare_language),
    **dict.fromkeys(CLASSIFIED_TEXTS, texts.prepare_classes),
    **dict.fromkeys(TRANSLATED, texts.prepare_translation),
    **dict.fromkeys(SPEECH, speech.prepare),
}
TASK_OF = {
    TRUCK: CONTROL,
    DIGIT_STRINGS: TRANSCRIPTION,
    **dict.fromkeys(LANGUAGE_MODELS, LANGUAGE),
    **dict.fromkeys(TRANSLATED, TRANSLATION),
}


def prepare(settings: Settings) -> Problem:
    """The data, split and encoded. Raises DataError, FileFormatError, ConfigurationError."""
    check_kind(settings, TASK_OF.get(settings.recipe, CLASSIFICATION))
    return PREPARED[settings.recipe](settings)
