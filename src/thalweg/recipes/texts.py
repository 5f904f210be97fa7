"""The recipes for texts: what comes next, which class a text has, how it reads in another language.

In: settings. Out: a `Problem` of tokens, which are learnt from the training part alone. The validation part, and the
test part where the data has none, are cut off what may be learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import (
    DataLoader,
    LabelledTexts,
    RandomTokenWindows,
    Tokenizer,
    TokenWindows,
    multi30k,
    read_aligned,
    read_labelled_texts,
    read_text,
    rt_polarity,
    split_indices,
    tiny_shakespeare,
)
from thalweg.data.text_files import AlignedLines
from thalweg.data.vocabulary import SPECIAL_TOKENS, UNKNOWN
from thalweg.errors import ConfigurationError, DataError, explain
from thalweg.recipes.defaults import filled
from thalweg.recipes.picture_parts import name_of
from thalweg.recipes.problem import LANGUAGE, TRANSLATION, Outputs, Problem, fingerprint, fingerprint_of_arrays
from thalweg.recipes.sequence_loading import loader_of
from thalweg.recipes.settings import MULTI30K, RT_POLARITY, SHAKESPEARE, Settings
from thalweg.recipes.text_reader import LanguageReader, TextReader, TranslationReader, check_texts

STEPS = 500
"""Steps in an epoch of a named text, whose windows are drawn at random."""
MOST_VALIDATED = 20_000
"""Characters that tell epochs apart: of a long text a tenth would be too good to be held out."""
FEWEST_TEXTS = 20
USUAL_VOCABULARY = 8000
"""Byte pairs, where nobody says how many."""
LONGEST_SENTENCE = 64
"""Tokens of a sentence that is translated; longer ones are cut, and it is said how many."""


def _tokenizer(texts: Any, settings: Settings, special: Sequence[str], lowercase: bool = False) -> Tokenizer:
    kind = str(settings.tokens)
    size = settings.vocabulary or (USUAL_VOCABULARY if kind == "bpe" else None)
    return Tokenizer.train(texts, kind, vocabulary_size=size, special=special, lowercase=lowercase)


# --- what comes next -------------------------------------------------------------------------------------------------


def prepare_language(settings: Settings) -> Problem:
    """A long text: its end is the test part, and its beginning validates: the test part goes on from what is learnt."""
    training, test, name, data = _long_text(settings)
    settings = filled(settings, 0)
    assert settings.batch_size is not None
    assert settings.context is not None
    cut = min(round(len(training) * settings.validation), MOST_VALIDATED)
    validation, training = training[:cut], training[cut:]
    special = [] if settings.tokens in ("characters", "bpe") else [UNKNOWN]
    reader = LanguageReader(_tokenizer(training, settings, special), settings.context)
    texts = {"training": training, "validation": validation, "test": test}
    parts = [_tokens(reader, part, text, data["origin"]) for part, text in texts.items()]
    count = STEPS * settings.batch_size if settings.recipe == SHAKESPEARE else None
    windows = RandomTokenWindows(parts[0], settings.context, count)
    return Problem(
        name=name,
        outputs=Outputs(task=LANGUAGE, width=reader.width),
        reader=reader,
        input_shape=(reader.width,),
        training=windows,
        validation=DataLoader(TokenWindows(parts[1], settings.context), batch_size=64),
        test=lambda: reader.windows(parts[2]),
        counts={"training": len(windows)} | dict(zip(("validation", "test"), map(len, parts[1:]), strict=True)),
        data=data,
        notes=[f"tokens: {sum(map(len, parts)):,} {settings.tokens}, {reader.width:,} different ones; a training "
               f"example is a window of {settings.context}"],
    )  # fmt: skip


def _long_text(settings: Settings) -> tuple[str, str, str, dict[str, Any]]:
    """Training and test text, a name, and where they came from."""
    if settings.recipe == SHAKESPEARE:
        found = tiny_shakespeare(settings.data)
        sha256 = fingerprint_of_arrays(np.frombuffer(found.text.encode(), np.uint8))
        return found.train, found.validation, SHAKESPEARE, {"origin": found.origin, "sha256": sha256}
    path = settings.data or ""
    whole = read_text(path)
    files = {"training": fingerprint(path)}
    if settings.test is not None:
        files["test"] = fingerprint(settings.test)
        training, test = whole, read_text(settings.test)
    else:
        cut = len(whole) - round(len(whole) * settings.test_fraction)
        training, test = whole[:cut], whole[cut:]
    return training, test, name_of(path), {"origin": path, "files": files}


def _tokens(reader: LanguageReader, part: str, text: str, origin: str) -> np.ndarray:
    """The tokens of a part, which are enough for a window."""
    tokens, least = reader.encode(text), reader.context + 1 if part == "training" else 2
    if len(tokens) < least:
        raise DataError(
            explain(f"the {part} part of the text is too short", received=f"{len(tokens):,} tokens",
                    expected=f"at least {least:,}", where=origin,
                    remedy="take a longer text, or a smaller --context")
        )  # fmt: skip
    return tokens


# --- which class -----------------------------------------------------------------------------------------------------


def prepare_classes(settings: Settings) -> Problem:
    """Texts with classes; the test part is a fold of them where there is no file for it."""
    whole, test, data = _labelled(settings)
    _check_classes(whole, data["origin"])
    if test is None:
        whole, test = whole.folds(settings.folds, settings.seed)[_fold(settings)]
    rows, held_out = split_indices(len(whole), settings.validation, whole.labels, settings.seed + 1)
    training, validation = whole.take(rows), whole.take(held_out)
    settings = filled(settings, len(training))
    assert settings.batch_size is not None
    tokenizer = _tokenizer(training.texts, settings, SPECIAL_TOKENS[:2], lowercase=True)
    longest = max(map(len, tokenizer.encode_all(training.texts)))
    reader = TextReader(tokenizer, whole.class_names, longest, settings.text, settings.target)
    loaders = [
        loader_of(reader.encode(part.texts, data["origin"]), part.labels, settings, index == 0)
        for index, part in enumerate((training, validation, test))
    ]
    return Problem(
        name=settings.recipe if settings.recipe == RT_POLARITY else name_of(data["origin"]),
        outputs=Outputs(classes=list(whole.class_names)),
        reader=reader,
        input_shape=(reader.width,),
        training=loaders[0],
        validation=loaders[1],
        test=lambda: loaders[2].batches(0),
        counts={"training": len(training), "validation": len(validation), "test": len(test)},
        data=data,
    )


def _labelled(settings: Settings) -> tuple[LabelledTexts, LabelledTexts | None, dict[str, Any]]:
    if settings.recipe == RT_POLARITY:
        found = rt_polarity(settings.data)
        sha256 = fingerprint_of_arrays(np.frombuffer("\n".join(found.texts).encode(), np.uint8))
        return found, None, {"origin": found.origin, "sha256": sha256}
    path = settings.data or ""
    columns = (settings.text, settings.target)
    found = read_labelled_texts(path, *columns)
    files = {"training": fingerprint(path)}
    if settings.test is None:
        return found, None, {"origin": path, "files": files}
    test = read_labelled_texts(settings.test, *columns)
    files["test"] = fingerprint(settings.test)
    if unknown := set(test.class_names) - set(found.class_names):
        raise DataError(
            explain("the test file has classes that the training file lacks", received=", ".join(sorted(unknown)),
                    expected=", ".join(found.class_names), where=settings.test)
        )  # fmt: skip
    numbers = np.array([found.class_names.index(name) for name in test.class_names])
    return found, LabelledTexts(test.name, test.texts, numbers[test.labels], found.class_names, test.origin), {
        "origin": path, "files": files,
    }  # fmt: skip


def _fold(settings: Settings) -> int:
    if settings.fold >= settings.folds:
        raise ConfigurationError(
            explain("there is no such fold", received=f"--fold {settings.fold}", expected=f"0 .. {settings.folds - 1}",
                    where="--fold")
        )  # fmt: skip
    return settings.fold


def _check_classes(data: LabelledTexts, where: str) -> None:
    if len(data.class_names) < 2 or len(data) < FEWEST_TEXTS:
        raise DataError(
            explain("too few texts, or a single class: there is nothing to tell apart",
                    received=f"{len(data)} texts of {len(data.class_names)} classes",
                    expected=f"at least {FEWEST_TEXTS} texts of at least 2 classes", where=where)
        )  # fmt: skip


# --- another language ------------------------------------------------------------------------------------------------


def prepare_translation(settings: Settings) -> Problem:
    """Sentences and their translations."""
    parts, name, data = _pairs(settings)
    training, validation, test = parts
    settings = filled(settings, len(training.source))
    source, target = (_tokenizer(side, settings, SPECIAL_TOKENS, lowercase=True) for side in training)
    reader = TranslationReader(source, target, LONGEST_SENTENCE)
    notes: list[str] = []
    loaders = [
        loader_of(*_encoded(reader, pairs, data["origin"], notes), settings, index == 0)
        for index, pairs in enumerate((training, validation))
    ]
    counts = {"training": len(training.source), "validation": len(validation.source), "test": len(test.source)}
    return Problem(
        name=name,
        outputs=Outputs(task=TRANSLATION, width=len(reader.target)),
        reader=reader,
        input_shape=(reader.width,),
        training=loaders[0],
        validation=loaders[1],
        test=lambda: reader.pairs(test.source, test.target, data["origin"]),
        counts=counts,
        data=data,
        notes=notes,
    )


def _encoded(reader: TranslationReader, pairs: AlignedLines, where: str, notes: list[str]) -> tuple[Any, Any]:
    """What is read, what is written so far, and what comes next."""
    source = reader.encode(pairs.source, where)
    whole = reader.target.encode_all(pairs.target, bos=True, eos=True)
    check_texts([row[2:] for row in whole], where)
    if too_long := sum(len(row) > reader.longest + 1 for row in whole):
        notes.append(f"{too_long} translations are cut to {reader.longest} tokens")
    whole = [row[: reader.longest + 1] for row in whole]
    return (source, [row[:-1] for row in whole]), [row[1:] for row in whole]


def _pairs(settings: Settings) -> tuple[list[AlignedLines], str, dict[str, Any]]:
    if settings.recipe == MULTI30K:
        found = multi30k(settings.data)
        parts = [found.train, found.validation, found.test]
        lines = "\n".join(line for part in parts for side in part for line in side)
        sha256 = fingerprint_of_arrays(np.frombuffer(lines.encode(), np.uint8))
        return parts, MULTI30K, {"origin": found.origin, "sha256": sha256}
    path, other = settings.data or "", settings.translation
    if other is None:
        raise ConfigurationError(
            explain("where are the translations?", received="no --translation",
                    expected="a file whose lines are the translations", where=path, remedy="--translation FILE")
        )  # fmt: skip
    whole = read_aligned(path, other, drop_empty=True)
    count = len(whole.source)
    if count < FEWEST_TEXTS:
        raise DataError(
            explain("too few sentences to train, validate and test", received=f"{count} pairs",
                    expected=f"at least {FEWEST_TEXTS}", where=path)
        )  # fmt: skip
    rest, test = split_indices(count, settings.test_fraction, None, settings.seed)
    rows, held_out = split_indices(len(rest), settings.validation, None, settings.seed + 1)
    parts = [AlignedLines(*([side[n] for n in numbers.tolist()] for side in whole)) for numbers in
             (rest[rows], rest[held_out], test)]  # fmt: skip
    files = {"training": fingerprint(path), "test": fingerprint(other)}
    return parts, Path(path).name.split(".")[0], {"origin": path, "files": files}
