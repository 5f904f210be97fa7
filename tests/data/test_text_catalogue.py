"""Named sets of text: small files of their kinds, and the real ones where they are at hand.

In: files that the test writes; ../shared/data. Out: the published counts; errors that say which file is missing.
"""

import gzip

import numpy as np
import pytest

from tests.support.shared_data import shared_data
from thalweg.data import Tokenizer, multi30k, rt_polarity, tiny_shakespeare
from thalweg.errors import DataError, FileFormatError


def test_another_text_in_the_same_file_is_refused_unless_allowed(tmp_path):
    (tmp_path / "input.txt").write_text("abcdefghij")
    with pytest.raises(FileFormatError, match="not what was published"):
        tiny_shakespeare(tmp_path)
    parts = tiny_shakespeare(tmp_path, verify=False)
    assert (parts.train, parts.validation, parts.text) == ("abcdefghi", "j", "abcdefghij")


def test_languages_are_chosen_and_line_counts_compared(tmp_path):
    for part in ("train", "val", "test_2016_flickr", "test_2017_flickr"):
        for language, words in (("de", "eins\nzwei\n"), ("en", "one\ntwo\n"), ("fr", "un\n")):
            (tmp_path / f"{part}.{language}.gz").write_bytes(gzip.compress(words.encode()))
    assert multi30k(tmp_path, source="en", target="de").train == (["one", "two"], ["eins", "zwei"])
    with pytest.raises(DataError, match="2 and 1 lines"):
        multi30k(tmp_path, target="fr")
    with pytest.raises(DataError, match="'de' twice"):
        multi30k(tmp_path, target="de")


@pytest.mark.parametrize("read", [tiny_shakespeare, rt_polarity, multi30k])
def test_a_missing_set_says_what_is_missing(tmp_path, read):
    with pytest.raises(DataError, match=r"a file of \w+ is missing") as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert f"tw.data.{read.__name__}(folder)" in str(caught.value)


# --- the real ones ---------------------------------------------------------------------------------------------------


def test_tiny_shakespeare_is_the_published_one():
    data = tiny_shakespeare(shared_data("tiny_shakespeare").parent)
    assert (len(data.train), len(data.validation)) == (1_003_854, 111_540)
    assert len(set(data.text)) == 65
    pytest.importorskip("tokenizers")
    tokenizer = Tokenizer.train(data.train, "characters", special=())
    assert len(tokenizer) == 65
    assert tokenizer.decode(tokenizer.encode(data.validation)) == data.validation


def test_rt_polarity_is_the_published_one():
    data = rt_polarity(shared_data("rt_polarity"))
    assert np.bincount(data.labels).tolist() == [5_331, 5_331]
    assert np.mean([len(text.split()) for text in data.texts]) == pytest.approx(21, abs=0.5)
    sizes = [np.bincount(test.labels).tolist() for _, test in data.folds(10)]
    assert all(max(pair) <= 534 and min(pair) >= 533 for pair in sizes)


def test_multi30k_is_the_published_one():
    data = multi30k(shared_data("multi30k").parent)
    assert [len(part.source) for part in (data.train, data.validation, data.test, data.test_2017)] == [
        29_000, 1_014, 1_000, 1_000
    ]  # fmt: skip
    assert data.train.target[0] == "Two young, White males are outside near many bushes."
    assert all(map(str.strip, (*data.train.source, *data.train.target)))
