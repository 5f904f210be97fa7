"""Tokenizers: what they make of texts, what they give back, and what they leave on disk.

In: small texts, texts of all characters. Out: the same text where a kind promises it; the same numbers after a file;
errors that name the piece.
"""

import builtins
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import Tokenizer
from thalweg.errors import ArgumentError, DataError, FileFormatError, IndexRangeError, StateError

pytest.importorskip("tokenizers")
CORPUS = ["The cat sat on the mat.", "the dog, too!", "Straße über naïve Café"]
KINDS = [("characters", None), ("words", None), ("whitespace", None), ("bpe", 300)]
every_kind = pytest.mark.parametrize(("kind", "size"), KINDS, ids=[kind for kind, _ in KINDS])


def made(kind, size=None, texts=CORPUS, **options):
    return Tokenizer.train(texts, kind, vocabulary_size=size, **options)


BYTE_PAIRS = made("bpe", 300)


@given(st.text())
def test_byte_pairs_give_every_text_back(text):
    assert BYTE_PAIRS.decode(BYTE_PAIRS.encode(text)) == text


@given(st.text(st.sampled_from("Thecatsonm. ü")))
def test_characters_give_known_texts_back(text):
    characters = made("characters")
    assert characters.decode(characters.encode(text)) == text
    assert len(characters.encode(text)) == len(text)


def test_words_and_white_space_cut_where_they_say():
    assert made("words").tokens("the cat, too!") == ["the", "cat", ",", "too", "!"]
    assert made("whitespace").tokens("the mat. too!") == ["the", "mat.", "too!"]
    assert made("words").decode(made("words").encode("the   cat,")) == "the cat ,"


@every_kind
def test_the_same_texts_give_the_same_numbers(kind, size):
    first, second = made(kind, size), made(kind, size, iter(CORPUS))
    assert first.vocabulary == second.vocabulary
    assert [a.tolist() for a in first.encode_all(CORPUS)] == [b.tolist() for b in second.encode_all(CORPUS)]


@every_kind
def test_a_file_brings_the_tokenizer_back(tmp_path, kind, size):
    before = made(kind, size, lowercase=True)
    before.save(tmp_path / "tokenizer.json")
    after = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (after.kind, len(after), after.vocabulary) == (before.kind, len(before), before.vocabulary)
    for text in ("The Cat <eos>", ""):
        np.testing.assert_array_equal(after.encode(text, bos=True), before.encode(text, bos=True))
    assert Tokenizer.from_config(json.loads(json.dumps(before.to_config()))).vocabulary == before.vocabulary


@every_kind
def test_an_empty_text_has_the_tokens_that_were_asked_for_and_no_others(kind, size):
    tokenizer = made(kind, size)
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.encode("", bos=True, eos=True).tolist() == [tokenizer.bos, tokenizer.eos]
    assert tokenizer.encode("").dtype == np.int64
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("kind", ["characters", "words", "bpe"])
def test_special_tokens_written_in_a_text_are_text(kind):
    tokenizer = made(kind, 300 if kind == "bpe" else None, [*CORPUS, "<>peos"])
    assert tokenizer.eos not in tokenizer.encode("the <eos>").tolist()


def test_special_tokens_come_first_and_are_left_out_of_the_text():
    tokenizer = made("words")
    assert (tokenizer.pad, tokenizer.unk, tokenizer.bos, tokenizer.eos) == (0, 1, 2, 3)
    numbers = tokenizer.encode("the cat", bos=True, eos=True)
    assert tokenizer.decode([*numbers, 0, 0]) == "the cat"
    assert tokenizer.decode(numbers, skip_special=False) == "<bos> the cat <eos>"
    assert tokenizer.decode_all([[*numbers, 9, 9], numbers]) == ["the cat", "the cat"]


def test_what_is_unknown_is_counted_or_named():
    tokenizer = made("characters")
    assert tokenizer.encode("cat?").tolist()[-1] == tokenizer.unk
    assert tokenizer.unknown_in("¿cat?¿") == ["¿", "?"]
    with pytest.raises(DataError, match=r"'\?'"):
        made("characters", special=()).encode_all(["cat", "cat?"])
    assert made("characters", special=()).vocabulary.special == ()


def test_lower_case_is_part_of_the_tokenizer():
    tokenizer = made("words", lowercase=True)
    assert tokenizer.encode("THE Cat").tolist() == tokenizer.encode("the cat").tolist()
    assert tokenizer.unknown_in("THE Cat") == []


def test_sizes_and_frequencies_limit_the_vocabulary():
    assert len(made("words", 7)) == 7
    assert len(made("bpe", 280)) == 280
    assert "the" in made("words", min_frequency=2).vocabulary
    assert "dog" not in made("words", min_frequency=2).vocabulary


def test_a_long_text_is_trained_on_whole():
    text = "".join(f"line {i} of many\n" for i in range(9000))
    whole, pieces = made("words", None, text), made("words", None, text.splitlines())
    assert whole.vocabulary == pieces.vocabulary


MISUSE = [
    ("an unknown kind", lambda: made("syllables"), ArgumentError, "'characters' or"),
    ("byte pairs without a size", lambda: made("bpe"), ArgumentError, "256 bytes"),
    ("too few byte pairs", lambda: made("bpe", 259), ArgumentError, "at least 260"),
    ("no text", lambda: made("words", None, []), DataError, "no text"),
    ("blank texts", lambda: made("words", None, [" ", ""]), DataError, "no text"),
    ("numbers for texts", lambda: made("words").encode(3), DataError, "int"),
    ("other special tokens", lambda: made("words", special=("<cls>",)), ArgumentError, "<pad>"),
    ("an end that is not there", lambda: made("words", special=("<unk>",)).encode("a", eos=True), StateError, "<eos>"),
    ("a number out of range", lambda: made("words").decode([10_000]), IndexRangeError, "10000"),
    ("a negative number", lambda: made("words").decode([-1]), IndexRangeError, "-1"),
    ("another configuration", lambda: Tokenizer.from_config({"model": 1}), FileFormatError, "no tokenizer"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"\xff", b'{"model": {"type": "WordLevel"', b"null"])
def test_files_that_describe_no_tokenizer_are_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="describes no tokenizer") as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


def test_a_description_at_which_the_library_panics_is_refused():
    config = made("bpe", 280, ["to be or not to be, that is the question"]).to_config()
    config["model"]["continuing_subword_prefix"] = "longer than any token"
    with pytest.raises(FileFormatError, match="the library gave up"):
        Tokenizer.from_config(config)


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "tokenizer.json"
    made("words").save(path)
    with pytest.raises(FileFormatError, match="at most 100 bytes"):
        Tokenizer.load(path, max_bytes=100)


def test_without_the_library_the_remedy_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "tokenizers":
            raise ImportError("no tokenizers")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install thalweg\[text\]"):
        made("words")
