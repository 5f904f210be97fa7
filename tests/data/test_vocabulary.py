"""Vocabularies: numbers for tokens and tokens for numbers.

In: lists of tokens. Out: numbers that depend on nothing but the counts; errors that name the token.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import SPECIAL_TOKENS, Vocabulary
from thalweg.errors import ArgumentError, ConfigurationError, DataError, IndexRangeError

texts = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=8), min_size=1, max_size=6)


@given(texts)
def test_what_was_counted_comes_back(sequences):
    words = Vocabulary.count(sequences)
    for sequence in sequences:
        assert words.decode(words.encode(sequence)) == sequence


@given(texts, st.randoms())
def test_numbers_depend_on_the_counts_alone(sequences, random):
    shuffled = list(sequences)
    random.shuffle(shuffled)
    assert Vocabulary.count(sequences) == Vocabulary.count(shuffled)


def test_the_commonest_come_first_and_the_rare_are_unknown():
    words = Vocabulary.count(["bbaac"], max_size=6)
    assert list(words) == [*SPECIAL_TOKENS, "a", "b"]
    assert words["c"] == words.unk == 1
    assert (words.pad, words.bos, words.eos) == (0, 2, 3)


def test_special_tokens_are_left_out_of_texts_unless_asked_for():
    words = Vocabulary.count(["ab"])
    assert words.decode([2, 4, 3, 0]) == ["a"]
    assert words.decode([2, 4, 3], skip_special=False) == ["<bos>", "a", "<eos>"]


def test_it_travels_as_json():
    words = Vocabulary.count(["abca"], special=("<unk>",))
    assert Vocabulary.from_config(json.loads(json.dumps(words.to_config()))) == words
    assert words.pad is None


MISUSE = [
    ("a token twice", lambda: Vocabulary(["a", "a"]), DataError, "'a'"),
    ("no tokens", lambda: Vocabulary([]), DataError, "no tokens"),
    ("numbers", lambda: Vocabulary([1]), DataError, "1 among them"),
    ("unknown without <unk>", lambda: Vocabulary(["a"]).encode("ab"), DataError, "'b'"),
    ("a number out of range", lambda: Vocabulary(["a"]).decode([1]), IndexRangeError, "0 .. 0"),
    ("a negative number", lambda: Vocabulary(["a"]).token(-1), IndexRangeError, "-1"),
    ("room for special tokens only", lambda: Vocabulary.count(["a"], max_size=4), ArgumentError, "at least 5"),
    ("another configuration", lambda: Vocabulary.from_config({"tokens": "ab"}), ConfigurationError, "no vocabulary"),
    ("an array as configuration", lambda: Vocabulary.from_config(np.zeros(2)), ConfigurationError, "no vocabulary"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
