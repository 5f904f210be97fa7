"""Misuse: each row is a mistake that people make, the exception it gets and words that its message must hold.

In: the table.
Out: a message that says what was received, what was expected, where, or the remedy; never another exception.
"""

import gzip

import numpy as np
import pytest

from thalweg import data as d
from thalweg.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    FileFormatError,
    IndexRangeError,
    StateError,
    ThalwegError,
)

ten = d.TensorDataset(np.arange(10))
packed = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(5000)))

CALLS = [
    ("arrays of different lengths", lambda: d.TensorDataset(np.zeros(3), np.zeros(4)), DataError, "lengths 3, 4"),
    ("no arrays", lambda: d.TensorDataset(), DataError, "at least one array"),
    ("a single number", lambda: d.TensorDataset(5.0), DataError, "a single number"),
    ("text as samples", lambda: d.TensorDataset(["a", "b"]), DataError, "LabelEncoder"),
    ("objects as samples", lambda: d.TensorDataset(np.array([None, 1])), DataError, "dtype object"),
    ("ragged lists", lambda: d.TensorDataset([[1, 2], [3]]), DataError, "do not all have one shape"),
    ("a sample out of range", lambda: ten[10], IndexRangeError, "-10 .. 9"),
    ("a batch out of range", lambda: ten.take([0, 10]), IndexRangeError, "0 .. 9"),
    ("a subset out of range", lambda: d.Subset(ten, [11]), IndexRangeError, "Subset"),
    ("a mask as a subset", lambda: d.Subset(ten, np.ones(10, dtype=bool)), ArgumentError, "np.flatnonzero"),
    ("nothing to concatenate", lambda: d.ConcatDataset([]), DataError, "at least one"),
    ("lengths that do not add up", lambda: d.random_split(ten, [5, 6]), ArgumentError, "add up to 10"),
    ("fractions that do not add up", lambda: d.random_split(ten, [0.5, 0.6]), ArgumentError, "sum 1.1"),
    ("negative lengths", lambda: d.random_split(ten, [11, -1]), ArgumentError, "do not add up"),
    ("a fraction of one", lambda: d.split_indices(10, 1.0), ArgumentError, "between 0 and 1"),
    ("a NaN fraction", lambda: d.split_indices(10, float("nan")), ArgumentError, "between 0 and 1"),
    ("one sample to split", lambda: d.split_indices(1, 0.5), DataError, "at least 2"),
    ("labels of another length", lambda: d.split_indices(10, 0.5, [0, 1]), DataError, "shape (10,)"),
    ("stratify without labels", lambda: d.stratified_split([1, 2, 3], 0.5), ArgumentError, "labels=..."),
    ("an empty data set", lambda: d.DataLoader(d.TensorDataset(np.zeros(0))), DataError, "the data set is empty"),
    ("batch size 0", lambda: d.DataLoader(ten, batch_size=0), ArgumentError, "batch_size must be an integer"),
    ("batch size None", lambda: d.DataLoader(ten, batch_size=None), ArgumentError, "received: None"),
    ("batch size 1.5", lambda: d.DataLoader(ten, batch_size=1.5), ArgumentError, "at least 1"),
    ("negative workers", lambda: d.DataLoader(ten, num_workers=-1), ArgumentError, "num_workers"),
    ("a negative seed", lambda: d.DataLoader(ten, seed=-1), ArgumentError, "a seed must be an integer"),
    ("a seed of text", lambda: d.manual_seed("0"), ArgumentError, "received: '0'"),
    (
        "sampler and shuffle",
        lambda: d.DataLoader(ten, shuffle=True, sampler=[0]),
        ArgumentError,
        "both decide the order",
    ),
    (
        "drop_last of all",
        lambda: d.DataLoader(ten, batch_size=11, drop_last=True),
        DataError,
        "10 samples, batch_size 11",
    ),
    ("chunks of no rows", lambda: d.StreamedCSV("a.csv", chunk_rows=0, delimiter=","), ArgumentError, "chunk_rows"),
    ("not a data set", lambda: d.DataLoader(5), DataError, "TensorDataset(x, y)"),
    ("a dictionary", lambda: d.DataLoader({"x": 1}), DataError, "received: dict"),
    ("shuffle a plain stream", lambda: list(d.DataLoader(Plain(), shuffle=True)), ArgumentError, "cannot be shuffled"),
    ("samples of text", lambda: d.default_collate([object()]), DataError, "collate_fn"),
    ("samples of two widths", lambda: d.default_collate([(1, 2), (1,)]), DataError, "expected: 2 fields"),
    ("no samples", lambda: d.default_collate([]), DataError, "at least one sample"),
    ("standardise text", lambda: d.Standardise().fit(["a"]), DataError, "OneHotEncoder"),
    ("standardise nothing", lambda: d.Standardise().fit(np.zeros((0, 3))), DataError, "at least one row"),
    ("squares that overflow", lambda: d.Standardise().fit(np.array([[1e200], [0]])), DataError, "tw.data.Log1p"),
    (
        "standardise infinity",
        lambda: d.Standardise().fit(np.array([[np.inf]])),
        DataError,
        "inf in sample 0, feature 0",
    ),
    (
        "other features",
        lambda: d.Standardise().fit(np.zeros((2, 3))).transform(np.zeros((2, 4))),
        DataError,
        "(samples, 3)",
    ),
    ("before fit", lambda: d.Standardise().transform(np.zeros((2, 3))), StateError, "call fit"),
    ("an empty range", lambda: d.MinMaxScale(1, 0), ArgumentError, "low < high"),
    ("an unknown strategy", lambda: d.Impute("mode"), ArgumentError, "'median' or 'mean'"),
    ("a column without values", lambda: d.Impute().fit(np.full((3, 1), np.nan)), DataError, "feature 0 is missing"),
    ("impute one axis", lambda: d.Impute().fit(np.zeros(3)), DataError, "column[:, None]"),
    ("encode two columns", lambda: d.OneHotEncoder().fit(np.zeros((2, 2))), DataError, "TableEncoder"),
    ("no categories", lambda: d.OneHotEncoder(max_categories=0), ArgumentError, "at least 1"),
    ("a single class", lambda: d.LabelEncoder().fit(["a", "a"]), DataError, "all 'a'"),
    ("a missing label", lambda: d.LabelEncoder().fit(["a", None, "b"]), DataError, "row 1"),
    ("columns of two lengths", lambda: d.Table({"a": [1], "b": [1, 2]}), DataError, "'b': 2"),
    ("a table without columns", lambda: d.Table({}), DataError, "at least one column"),
    ("a column with two axes", lambda: d.Table({"a": np.zeros((2, 2))}), DataError, "column 'a'"),
    ("an IDX of int64", lambda: d.write_idx("nowhere", np.arange(3)), DTypeError, "astype('uint8')"),
    (
        "both kinds",
        lambda: d.TableEncoder(numeric=["a"], categorical=["a"]).fit(d.Table({"a": [1]})),
        ArgumentError,
        "['a'] in both",
    ),
]

FILES = [
    ("no such file", d.read_csv, None, FileFormatError, "no such file"),
    ("a folder", lambda path: d.read_csv(path.parent), None, FileFormatError, "is a folder"),
    ("an empty file", d.read_csv, b"", FileFormatError, "0 bytes"),
    ("blank lines", d.read_csv, b"\n\n", FileFormatError, "holds no rows"),
    ("an empty gzip", d.read_csv, gzip.compress(b""), FileFormatError, "holds no rows"),
    ("a header alone", d.read_csv, b"a,b\n", DataError, "header=False"),
    ("a short row", d.read_csv, b"a,b\n1,2\n3\n", FileFormatError, "file, line 3"),
    ("a long row", d.read_csv, b"a,b\n1,2,3\n", FileFormatError, "3 fields: '1', '2', '3'"),
    ("a truncated gzip", d.read_csv, packed[:-100], FileFormatError, "truncated"),
    ("a damaged gzip", d.read_csv, packed[:100] + b"\0" * 50 + packed[150:], FileFormatError, "damaged"),
    ("binary junk", d.read_csv, bytes(range(256)), FileFormatError, "holds no text"),
    ("an Excel workbook", d.read_csv, b"PK\x03\x04\0\0junk", FileFormatError, "Excel workbook"),
    ("UTF-16", d.read_csv, "a,b\n1,2\n".encode("utf-16"), FileFormatError, "UTF-16"),
    ("undecodable bytes", d.read_csv, b"a,b\n1,\xff\n", FileFormatError, "byte 0xff at column 3"),
    ("duplicate names", d.read_csv, b"a,b,a\n1,2,3\n", DataError, "'a'"),
    ("an open quotation mark", d.read_csv, b'a,b\n1,"x\n2,3\n', FileFormatError, "quotechar=None"),
    ("too large for memory", lambda path: d.read_csv(path, max_bytes=3), b"a,b\n1,2\n", FileFormatError, "StreamedCSV"),
    ("too few names", lambda path: d.read_csv(path, names=["a"]), b"a,b\n1,2\n", DataError, "1 names"),
    (
        "an unknown kind",
        lambda path: d.read_csv(path, kinds={"a": "int"}),
        b"a\n1\n",
        ArgumentError,
        "numeric or categorical",
    ),
    (
        "text in numbers",
        lambda path: d.read_csv(path, kinds={"a": "numeric"}),
        b"a\n1\nx\n",
        FileFormatError,
        "file, line 3",
    ),
    ("an absent target", lambda path: d.read_csv(path).target("c"), b"alpha,b\n1,2\n", DataError, "one of alpha, b"),
    (
        "an absent streamed target",
        lambda path: d.StreamedCSV(path, target="alfa"),
        b"alpha,b\n1,2\n",
        DataError,
        "did you mean",
    ),
    (
        "an empty column",
        lambda path: d.TableEncoder().fit(d.read_csv(path)),
        b"a,b\n1,\n2,\n",
        DataError,
        "file, column 'b'",
    ),
    (
        "an infinite number",
        lambda path: d.TableEncoder().fit(d.read_csv(path)),
        b"a\n1\ninf\n",
        DataError,
        "file, line 3",
    ),
    ("an IDX of text", d.read_idx, b"label,pixel\n", FileFormatError, "this is no IDX file"),
    ("an IDX of unknown dtype", d.read_idx, b"\0\0\x07\x01\0\0\0\x01a", FileFormatError, "00 00 07 01"),
    ("a truncated IDX", d.read_idx, b"\0\0\x08\x01\0\0\0\x05abc", FileFormatError, "3 bytes"),
    ("an IDX with more", d.read_idx, b"\0\0\x08\x01\0\0\0\x01abc", FileFormatError, "goes on after its data"),
    (
        "an IDX too large",
        lambda path: d.read_idx(path, max_bytes=9),
        b"\0\0\x08\x01\0\0\0\x0aabc",
        FileFormatError,
        "at most 9 bytes",
    ),
    ("an npz of text", d.read_npz, b"hello", FileFormatError, "numpy.savez"),
    ("an npy as npz", d.read_npz, b"\x93NUMPY\x01\0", FileFormatError, "a NumPy .npy file"),
    ("an npy of text", d.read_npy, b"hello", FileFormatError, "no valid header"),
]


class Plain(d.IterableDataset):
    def __iter__(self):
        return iter([1, 2])


def check(call, kind, fragment):
    with pytest.raises(ThalwegError) as caught:
        call()
    assert type(caught.value) is kind
    message = str(caught.value)
    assert fragment in message.replace("  ", " ").replace("  ", " "), message
    assert "\n  " in message, "a message has more than its first line: received, expected, where or remedy"


@pytest.mark.parametrize(("call", "kind", "fragment"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_a_mistake_gets_its_message(call, kind, fragment):
    check(call, kind, fragment)


@pytest.mark.parametrize(
    ("read", "content", "kind", "fragment"), [row[1:] for row in FILES], ids=[row[0] for row in FILES]
)
def test_a_bad_file_gets_its_message(tmp_path, read, content, kind, fragment):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    check(lambda: read(path), kind, fragment)


def test_a_misspelt_path_brings_a_suggestion(tmp_path):
    (tmp_path / "housing.csv").write_text("a\n1\n")
    with pytest.raises(FileFormatError, match=r"did you mean .*housing\.csv"):
        d.read_csv(tmp_path / "housng.csv")
