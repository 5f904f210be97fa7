"""What a recipe for sequences does when nobody says otherwise, by network, and by named set.

In: nothing. Out: tables of settings. They were chosen on validation parts, or are those of a paper or of a public
recipe, which is then named.
"""

from __future__ import annotations

from typing import Any

from thalweg.recipes.settings import (
    CONTROLLER,
    CTC,
    DIGIT_STRINGS,
    GPT,
    GRU,
    LSTM,
    MULTI30K,
    RECORDINGS,
    RT_POLARITY,
    SENTENCE_CNN,
    SHAKESPEARE,
    SPOKEN_DIGITS,
    TEXT,
    TEXT_TABLE,
    TRANSFORMER,
    TRANSLATIONS,
    TRUCK,
)

USUAL_SEQUENCE_NETWORK = {
    TRUCK: CONTROLLER, SHAKESPEARE: GPT, TEXT: GPT, RT_POLARITY: SENTENCE_CNN, TEXT_TABLE: SENTENCE_CNN,
    MULTI30K: TRANSFORMER, TRANSLATIONS: TRANSFORMER, SPOKEN_DIGITS: GRU, RECORDINGS: GRU, DIGIT_STRINGS: CTC,
}  # fmt: skip
NETWORK_DEFAULTS: dict[str, dict[str, Any]] = {
    CONTROLLER: {"width": 25, "lr": 1e-2, "schedule": "polynomial", "weight_decay": 0.0, "batch_size": 256},
    # nanoGPT's recipe for a small processor, 2,000 steps, but for the rate, 1e-3 there. Perplexity on the last ninth of
    # the training part, seed 0: 6.50 with 1e-3, 5.89 with 2e-3, 5.68 with 3e-3, 5.67 with 5e-3.
    GPT: {"width": 128, "depth": 4, "heads": 4, "context": 64, "lr": 3e-3, "schedule": "warmup-cosine",
          "weight_decay": 0.1, "batch_size": 12, "tokens": "characters"},
    LSTM: {"width": 256, "depth": 1, "context": 64, "lr": 4e-3, "schedule": "warmup-cosine", "weight_decay": 0.0,
           "batch_size": 32, "tokens": "characters"},
    SENTENCE_CNN: {"width": 300, "depth": 1, "dropout": 0.5, "lr": 1e-3, "batch_size": 50, "tokens": "words"},
    TRANSFORMER: {"width": 256, "depth": 3, "heads": 8, "dropout": 0.1, "lr": 1e-3, "schedule": "warmup-cosine",
                  "batch_size": 128, "label_smoothing": 0.1, "tokens": "bpe"},
    GRU: {"width": 64, "depth": 1, "dropout": 0.2, "lr": 3e-3, "batch_size": 32},
    CTC: {"width": 96, "depth": 1, "dropout": 0.1, "lr": 3e-3, "batch_size": 32},
}  # fmt: skip
_GRU_TRANSLATOR = {"width": 256, "lr": 2e-3, "batch_size": 128, "label_smoothing": 0.1, "tokens": "bpe"}
RECIPE_DEFAULTS: dict[tuple[str, str], dict[str, Any]] = {
    (TRUCK, CONTROLLER): {"epochs": 40},
    (SHAKESPEARE, GPT): {"epochs": 4},
    (SHAKESPEARE, LSTM): {"epochs": 6},
    (RT_POLARITY, SENTENCE_CNN): {"epochs": 8},
    (MULTI30K, TRANSFORMER): {"epochs": 10},
    (MULTI30K, GRU): {"epochs": 12} | _GRU_TRANSLATOR,
    (TRANSLATIONS, GRU): _GRU_TRANSLATOR,
    (SPOKEN_DIGITS, GRU): {"epochs": 20},
    (DIGIT_STRINGS, CTC): {"epochs": 12},
}
