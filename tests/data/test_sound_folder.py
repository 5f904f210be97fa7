"""Folders of recordings: labels from names, folders and tables; what is damaged; spoken digits and strings of them.

In: wav files that the test writes, in folders, zip and tar archives; ../shared/data. Out: samples at one rate, labels,
groups; errors that name the file.
"""

import io
import tarfile
import zipfile
from itertools import pairwise

import numpy as np
import pytest

from tests.support.shared_data import shared_data
from thalweg.data import LogMel, SequenceDataset, joined_sequences, read_recordings, spoken_digits, write_sound
from thalweg.errors import ArgumentError, DataError, FileFormatError

NAMES = ["yes_ann_0", "no_ann_0", "yes_bob_1", "no_bob_1"]


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "words"
    place.mkdir()
    for i, name in enumerate(NAMES):
        write_sound(place / f"{name}.wav", np.full(400 + 100 * i, (i + 1) / 10), 8000)
    (place / "notes.txt").write_text("not a recording")
    return place


def test_labels_are_what_file_names_begin_with(folder):
    data = read_recordings(folder)
    assert data.names == sorted(f"{name}.wav" for name in NAMES)
    assert (data.class_names, data.labels.tolist()) == (("no", "yes"), [0, 0, 1, 1])
    assert [len(each) for each in data.samples] == [500, 700, 400, 600]
    assert (data.sample_rate, data.seconds) == (8000, 2200 / 8000)


def test_a_pattern_says_what_else_a_name_holds(folder):
    data = read_recordings(folder, pattern=r"^(?P<label>[a-z]+)_(?P<speaker>[a-z]+)_(?P<take>\d)$")
    assert data.groups == {"speaker": ["ann", "bob", "ann", "bob"], "take": ["0", "1", "0", "1"]}
    part = data.take([3, 0])
    assert (part.names, part.groups["speaker"], part.labels.tolist()) == (
        ["yes_bob_1.wav", "no_ann_0.wav"], ["bob", "ann"], [1, 0]
    )  # fmt: skip


def test_folders_are_classes(folder):
    for name in NAMES:
        (folder / name.split("_")[1]).mkdir(exist_ok=True)
        (folder / f"{name}.wav").rename(folder / name.split("_")[1] / f"{name}.wav")
    assert read_recordings(folder).class_names == ("ann", "bob")
    assert read_recordings(folder, "names").class_names == ("no", "yes")
    assert read_recordings(folder, "folders", classes=["bob", "cat", "ann"]).labels.tolist() == [2, 2, 0, 0]


def test_a_table_holds_labels_by_file_name(folder, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,speaker,word\n" + "".join(f"{n}.wav,{n.split('_')[1]},{n[0]}\n" for n in NAMES))
    assert read_recordings(folder, table).class_names == ("ann", "bob")
    assert read_recordings(folder, table, label_column="word").class_names == ("n", "y")
    assert read_recordings(folder, dict.fromkeys(NAMES, "1")).class_names == ("1",)
    table.write_text("file,label\nyes_ann_0.wav,a\n")
    with pytest.raises(DataError, match="recordings without a label") as caught:
        read_recordings(folder, table)
    assert "no_ann_0.wav" in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_an_archive_is_as_good_as_a_folder(folder, tmp_path, kind):
    path = tmp_path / f"words.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for each in folder.iterdir():
                archive.write(each, f"words/{each.name}")
    else:
        with tarfile.open(path, f"w:{kind.partition('.')[2]}") as archive:
            archive.add(folder, "words")
            archive.addfile(link("words/yes_link_0.wav", "/etc/passwd"))
    whole, packed = read_recordings(folder), read_recordings(path)
    assert packed.names == [f"words/{name}" for name in whole.names]
    assert all((a == b).all() for a, b in zip(whole.samples, packed.samples, strict=True))


def link(name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def test_a_damaged_archive_is_refused(folder, tmp_path):
    path = tmp_path / "words.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        archive.add(folder, "words")
        big = tarfile.TarInfo("words/yes_big.wav")
        big.size = 1 << 18
        archive.addfile(big, io.BytesIO(np.random.default_rng(0).bytes(1 << 18)))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(FileFormatError, match=r"truncated|cannot be read|unexpected end") as caught:
        read_recordings(path)
    assert str(path) in str(caught.value)


def test_other_rates_are_brought_to_the_first_or_to_the_one_asked_for(folder):
    write_sound(folder / "yes_zoe_0.wav", np.zeros(441), 44100)
    assert read_recordings(folder).samples[-1].shape == (80,)
    assert {len(each) for each in read_recordings(folder, sample_rate=16000).samples} == {800, 1000, 1200, 1400, 160}


def test_files_that_cannot_be_used_are_named_or_left_out(folder):
    write_sound(folder / "yes_empty_0.wav", np.zeros(0), 8000)
    (folder / "no_text_0.wav").write_text("words")
    write_sound(folder / "yes_long_0.wav", np.zeros(9000), 8000)
    with pytest.raises(FileFormatError, match="no recording") as caught:
        read_recordings(folder)
    assert "no_text_0.wav" in str(caught.value)
    with pytest.warns(RuntimeWarning, match="3 recordings are left out"):
        data = read_recordings(folder, on_error="skip", max_seconds=1)
    assert len(data) == 4
    assert [each.reason.partition(" (")[0] for each in data.skipped] == [
        "this is no recording", "a recording of no length", "a recording is too long"
    ]  # fmt: skip


def test_features_are_computed_once_and_batched(folder):
    data = read_recordings(folder)
    features = data.features(LogMel(8000, n_mels=20))
    (x, lengths), y = SequenceDataset(features, data.labels, lengths=True).take([0, 1])
    assert (x.shape, lengths.tolist(), y.tolist()) == ((2, 9, 20), [7, 9], [0, 0])


def test_misuse_is_explained(folder, tmp_path):
    with pytest.raises(FileFormatError, match="did you mean"):
        read_recordings(tmp_path / "wrds")
    with pytest.raises(DataError, match="there are no recordings"):
        read_recordings(_empty(tmp_path))
    with pytest.raises(DataError, match="does not say its label"):
        read_recordings(folder, pattern=r"^(?P<label>\d)_")
    with pytest.raises(ArgumentError, match="a group named label"):
        read_recordings(folder, pattern="x")
    with pytest.raises(ArgumentError, match="no regular expression"):
        read_recordings(folder, pattern="(")
    with pytest.raises(DataError, match="lies in no folder"):
        read_recordings(folder, "folders")
    with pytest.raises(DataError, match="class that is not known"):
        read_recordings(folder, classes=["yes"])


def _empty(tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    (place / "a.txt").write_text("a")
    return place


def test_strings_are_made_of_recordings_in_a_row():
    rng = np.random.default_rng(0)
    sequences = [np.full((n, 2), i) for i, n in enumerate(rng.integers(1, 5, 30))]
    labels, speakers = np.arange(30) % 10, ["a", "b"] * 15
    strings, found = joined_sequences(sequences, labels, 200, (3, 7), seed=1, groups=speakers)
    assert {len(each) for each in found} == {3, 4, 5, 6, 7}
    for string, numbers in zip(strings, found, strict=True):
        order = string[:, 0].tolist()
        runs = [order[0]] + [b for a, b in pairwise(order) if a != b]
        assert {speakers[i] for i in runs} in ({"a"}, {"b"})
        assert len(runs) <= len(numbers)
        assert set(np.array(runs) % 10) == set(numbers.tolist())
    again = joined_sequences(sequences, labels, 200, (3, 7), seed=1, groups=speakers)
    assert all((a == b).all() for a, b in zip(strings, again[0], strict=True))
    with pytest.raises(ArgumentError, match="least and the most"):
        joined_sequences(sequences, labels, 1, (3, 2))
    with pytest.raises(DataError, match="needs a label"):
        joined_sequences(sequences, labels[1:], 1)


def test_missing_digits_say_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="a file of spoken_digits is missing") as caught:
        spoken_digits(tmp_path)
    assert "tw.data.spoken_digits(folder)" in str(caught.value)


def test_spoken_digits_are_the_published_ones():
    data = spoken_digits(shared_data("fsdd"))
    assert np.bincount(data.test.labels).tolist() == [30] * 10
    assert np.bincount(data.train.labels).tolist() == [270] * 10
    assert data.train.seconds + data.test.seconds == pytest.approx(1312, abs=1)
    lengths = [len(each) / 8000 for part in (data.train, data.test) for each in part.samples]
    assert (min(lengths), max(lengths)) == pytest.approx((0.14, 2.28), abs=0.01)
    assert len(set(data.test.groups["speaker"])) == 6
