"""Streamed CSV: the same rows as in memory, in constant memory.

In: files larger than a chunk. Out: equal batches, kinds of the whole file, a bounded peak.
"""

import tracemalloc

import numpy as np
import pytest

from thalweg.data import DataLoader, LabelEncoder, StreamedCSV, TableEncoder, read_csv
from thalweg.errors import DataError, FileFormatError


@pytest.fixture
def path(tmp_path):
    rows = [f"{i},{'red' if i % 3 else 'blue'},{i * 0.5},{'yes' if i % 2 else 'no'}" for i in range(1000)]
    (tmp_path / "big.csv").write_text("n,colour,half,label\n" + "\n".join(rows) + "\n")
    return tmp_path / "big.csv"


def joined(loader):
    return [np.concatenate(parts) for parts in zip(*loader, strict=True)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("chunk_rows", [7, 1000, 5000])
def test_the_stream_equals_the_table_in_memory(path, chunk_rows, workers):
    stream = StreamedCSV(path, target="label", chunk_rows=chunk_rows)
    features, target = read_csv(path).target("label")
    encoder = TableEncoder().fit(features)
    loader = DataLoader(stream, batch_size=64, num_workers=workers)
    x, y = joined(loader)
    np.testing.assert_array_equal(x, encoder.transform(features))
    np.testing.assert_array_equal(y, LabelEncoder().fit(target).transform(target))
    assert len(loader) == 16
    assert (len(stream), stream.task, stream.names) == (1000, "classification", ("n", "colour", "half", "label"))


def test_shuffling_stays_within_chunks_and_changes_each_epoch(path):
    stream = StreamedCSV(path, target="half", chunk_rows=100)
    loader = DataLoader(stream, batch_size=50, shuffle=True, seed=1)
    first, second = joined(loader)[1], joined(loader)[1]
    plain = np.arange(1000) * 0.5
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first), plain)
    np.testing.assert_array_equal(np.sort(first[:100]), plain[:100])
    np.testing.assert_array_equal(joined(DataLoader(stream, batch_size=50, shuffle=True, seed=1))[1], first)


def test_kinds_belong_to_the_whole_file(tmp_path):
    (tmp_path / "late.csv").write_text("a,y\n" + "1,0.5\n" * 50 + "word,0.5\n" * 2)
    stream = StreamedCSV(tmp_path / "late.csv", target="y", chunk_rows=10)
    assert stream.kinds == {"a": "categorical", "y": "numeric"}
    assert [table.kinds["a"] for table in stream.tables()] == ["categorical"] * 6


def test_classes_are_collected_beyond_the_sample(tmp_path):
    labels = ["common"] * 500 + ["seldom"]
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)))
    stream = StreamedCSV(tmp_path / "a.csv", target="y", chunk_rows=50, sample_rows=10)
    assert stream.label_encoder.classes == ["common", "seldom"]
    assert stream.sample.rows == 10


def test_the_sample_is_uniform(tmp_path):
    (tmp_path / "a.csv").write_text("x\n" + "".join(f"{i}\n" for i in range(2000)))
    means = [
        StreamedCSV(tmp_path / "a.csv", chunk_rows=300, sample_rows=200, seed=s).sample["x"].mean() for s in range(10)
    ]
    assert abs(np.mean(means) - 999.5) < 60
    assert len(set(means)) == 10


def test_a_test_file_is_encoded_by_the_training_file(path, tmp_path):
    training = StreamedCSV(path, target="label")
    (tmp_path / "test.csv").write_text("n,colour,half,label\n5,green,2.5,yes.\n")
    test = StreamedCSV(
        tmp_path / "test.csv", target="label", encoder=training.encoder, label_encoder=training.label_encoder
    )
    ((x, y),) = test.chunks()
    assert x.shape[1] == training.encoder.width
    assert y.tolist() == [1]


def test_features_alone(path):
    ((x,),) = DataLoader(StreamedCSV(path), batch_size=1000)
    assert x.shape[0] == 1000


def test_rows_one_by_one(path):
    x, y = next(iter(StreamedCSV(path, target="half")))
    assert x.ndim == 1
    assert y == 0.0


@pytest.mark.parametrize(
    ("line", "target", "fragment"),
    [
        ("1,2,3", "label", "this row has another number"),
        ('1,"open,2,3', "label", "cannot be parsed"),
        ("1,red,0.5,", "label", "labels are missing"),
        ("1,red,,no", "half", "the target is missing"),
    ],
)
def test_damage_late_in_the_file_names_the_line(path, line, target, fragment):
    path.write_text(path.read_text() + line)
    with pytest.raises((FileFormatError, DataError), match=fragment) as caught:
        list(StreamedCSV(path, target=target, chunk_rows=100).chunks())
    assert "big.csv, line 1002" in str(caught.value)


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(rows):
        target = tmp_path / f"{rows}.csv"
        with open(target, "w") as stream:
            stream.write("a,b,c,d,y\n")
            stream.writelines(f"{i},{i % 7},{i * 0.25},word{i % 5},{i % 3}\n" for i in range(rows))
        tracemalloc.start()
        stream = StreamedCSV(target, target="y", chunk_rows=500, sample_rows=500)
        seen = sum(len(y) for _, y in DataLoader(stream, batch_size=32, shuffle=True, num_workers=1))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == rows
        return top

    assert peak(20_000) < 1.5 * peak(2_000)
