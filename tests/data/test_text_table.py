"""Texts with a class each, from CSV files.

In: CSV files that the test writes. Out: texts, labels, class names; errors that name column and line.
"""

import numpy as np
import pytest

from thalweg.data import LabelledTexts, read_labelled_texts
from thalweg.errors import DataError


def written(folder, text):
    path = folder / "reviews.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_text_is_the_longest_column_and_the_class_the_other(tmp_path):
    data = read_labelled_texts(written(tmp_path, 'stars,review\nlow,"bad, ""really""\ntwo lines"\nhigh,good | null\n'))
    assert data.texts == ['bad, "really"\ntwo lines', "good | null"]
    assert (data.labels.tolist(), data.class_names) == ([1, 0], ("high", "low"))
    assert data.labels.dtype == np.int64


def test_columns_are_named_by_hand_or_by_their_usual_names(tmp_path):
    path = written(tmp_path, "id,Label,text,title\n1,yes,some words,a longer title than words\n2,no,others,b\n")
    data = read_labelled_texts(path, "text")
    assert (data.texts, data.class_names) == (["some words", "others"], ("no", "yes"))
    assert read_labelled_texts(path, text=2, label="id").class_names == ("1", "2")


def test_what_means_missing_elsewhere_is_text_here(tmp_path):
    data = read_labelled_texts(written(tmp_path, "text,label\nNA,a\nnull,b\n|bar,a\n"))
    assert data.texts == ["NA", "null", "|bar"]


def test_without_a_header_columns_have_numbers(tmp_path):
    data = read_labelled_texts(written(tmp_path, "good film;1\nbad film;0\n"), header=False, delimiter=";")
    assert (data.texts, data.class_names) == (["good film", "bad film"], ("0", "1"))


MISUSE = [
    ("an empty text", "text,label\nwords,a\n,b\n", {"text": "text"}, "line 3"),
    ("no class", "text,label\nwords and words,a\nmore,\n", {}, "line 3"),
    ("one class", "text,label\nwords and words,a\nmore,a\n", {}, "single class"),
    ("two candidates", "text,u,v\nwords and words,a,b\nmore,b,a\n", {}, "label=..."),
    ("no text", "x,y\n1,2\n3,4\n", {}, "no column holds text"),
    ("an unknown column", "text,label\nwords,a\nmore,b\n", {"text": "txt"}, "did you mean 'text'"),
]


@pytest.mark.parametrize(("content", "options", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(tmp_path, content, options, words):
    with pytest.raises(DataError) as caught:
        read_labelled_texts(written(tmp_path, content), **options)
    assert words in str(caught.value)


def test_folds_hold_every_text_once():
    data = LabelledTexts("d", [str(i) for i in range(20)], np.arange(20) % 2, ("a", "b"))
    parts = data.folds(5, seed=3)
    assert sorted(text for _, test in parts for text in test.texts) == sorted(data.texts)
    assert all(np.bincount(test.labels).tolist() == [2, 2] and len(training) == 16 for training, test in parts)
    with pytest.raises(DataError, match="every text needs a label"):
        LabelledTexts("d", ["a"], np.zeros(2, int), ("a",))
