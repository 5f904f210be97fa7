"""How texts are cut into tokens: characters, words, or pieces of words, each made by the `tokenizers` library.

In: a kind, texts to train on.
Out: a trained tokenizer of that library; nothing here runs code from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from thalweg.data.vocabulary import UNKNOWN
from thalweg.errors import ArgumentError, DataError, explain

CHARACTERS, WORDS, WHITESPACE, BPE = "characters", "words", "whitespace", "bpe"
BYTES = 256
MOST_TOKENS = 1 << 24
_EVERY_CHARACTER = r"[\s\S]"


def library() -> Any:
    """The package `tokenizers`; DataError with the remedy where it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise DataError(
            explain(
                "text is cut into tokens by the package tokenizers, which is not installed",
                received=str(error),
                remedy="pip install thalweg[text]",
            )
        ) from error
    return tokenizers


def trained(
    kind: str, texts: Iterable[str], size: int | None, min_frequency: int, lowercase: bool, special: Sequence[str]
) -> Any:
    """A tokenizer of the library, trained on texts."""
    tokenizers = library()
    made, trainer = KINDS[kind](tokenizers, size, min_frequency, special)
    if lowercase:
        made.normalizer = tokenizers.normalizers.Lowercase()
    made.train_from_iterator(texts, trainer=trainer)
    return made


def _words_by(splitter: Callable[[Any], Any], decoder: Callable[[Any], Any] | None) -> Callable[..., tuple[Any, Any]]:
    """Whole words (or characters) with a number each."""

    def make(tokenizers: Any, size: int | None, min_frequency: int, special: Sequence[str]) -> tuple[Any, Any]:
        made = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token=UNKNOWN))
        made.pre_tokenizer = splitter(tokenizers)
        if decoder is not None:
            made.decoder = decoder(tokenizers)
        trainer = tokenizers.trainers.WordLevelTrainer(
            vocab_size=size or MOST_TOKENS,
            min_frequency=min_frequency,
            special_tokens=list(special),
            show_progress=False,
        )
        return made, trainer

    return make


def _byte_pairs(tokenizers: Any, size: int | None, min_frequency: int, special: Sequence[str]) -> tuple[Any, Any]:
    """Pieces of words, merged from bytes: every text has tokens, and every text comes back."""
    least = BYTES + len(special)
    if size is None or size < least:
        raise ArgumentError(
            explain(
                "byte-pair encoding begins with the 256 bytes",
                received=f"vocabulary_size={size}",
                expected=f"at least {least}, for example 8000",
                where="Tokenizer.train",
            )
        )
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=list(special),
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    return made, trainer


KINDS: dict[str, Callable[..., tuple[Any, Any]]] = {
    CHARACTERS: _words_by(
        lambda lib: lib.pre_tokenizers.Split(lib.Regex(_EVERY_CHARACTER), "isolated"), lambda lib: lib.decoders.Fuse()
    ),
    WORDS: _words_by(lambda lib: lib.pre_tokenizers.Whitespace(), None),
    WHITESPACE: _words_by(lambda lib: lib.pre_tokenizers.WhitespaceSplit(), None),
    BPE: _byte_pairs,
}


def kind_of(description: dict[str, Any]) -> str:
    """Which kind a saved tokenizer is; "other" for one that was not made here."""
    model, splitter = description.get("model") or {}, description.get("pre_tokenizer") or {}
    kind = (str(model.get("type")), str(splitter.get("type")))
    known = {
        ("WordLevel", "Split"): CHARACTERS,
        ("WordLevel", "Whitespace"): WORDS,
        ("WordLevel", "WhitespaceSplit"): WHITESPACE,
        ("BPE", "ByteLevel"): BPE,
    }
    return known.get(kind, "other")
