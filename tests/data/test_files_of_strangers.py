"""What damaged files have brought to light, and a seeded part of the search for more (`bench.reliability fuzz`).

In: hostile files; damaged ones. Out: refusals with a message, in little time and memory.
"""

from __future__ import annotations

import io
import os
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest

from bench.reliability import _mutations
from bench.reliability._readers import READERS, samples_of
from bench.reliability._reading import attempt
from thalweg import data
from thalweg.data.file_tree import Folder, open_tree
from thalweg.data.sound_resampling import resample
from thalweg.data.voc_xml import read_annotation
from thalweg.diagnose.record import Record
from thalweg.errors import FileFormatError
from thalweg.recipes.settings_file import read_settings_file

MIB = 1 << 20
SLOW_TO_PREPARE = {"run", "report", "metrics", "record", "config"}  # each trains a network first
PACKAGES = {"image": "PIL", "sound": "soundfile", "tokenizer": "tokenizers"}


@pytest.mark.skipif(os.name != "posix", reason="measures with setitimer")
@pytest.mark.parametrize("name", sorted(set(READERS) - SLOW_TO_PREPARE))
def test_damaged_files_are_read_or_refused(name, tmp_path):
    """A hundred of those that the full search takes; it runs each reader in a process of its own."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    reader = READERS[name]
    samples = samples_of(reader, tmp_path)
    for number in range(100):
        draw = Random(f"{name} {number}")
        content = _mutations.mutated(draw.choice(samples), draw, reader.shapes, reader.words)
        (tmp_path / reader.file).write_bytes(content)
        kind, message, _ = attempt(reader, tmp_path / reader.file)
        assert kind != "failed", f"input {number}: {message}"


def refused(read, path, fragment=None, limit=8 * MIB):
    """The message, if the file is refused quickly and without the memory that it asks for."""
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(FileFormatError, match=fragment) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 2
    assert str(path) in str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_idx_of_no_entries_and_impossible_sizes(tmp_path):
    header = b"\0\0\x08\x05" + b"\0\0\0\0" + b"\xff" * 16
    refused(data.read_idx, written(tmp_path / "a.idx", header), "damaged")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff", "a header of 4,294,967,295 bytes"),
        (b"\x93NUMPY\x01\0\x20\0{'descr': '<f8', 'shape': ((((\n    ", "no valid header"),
        (b"\x93NUMPY\x09\0\x20\0" + b" " * 32, "no valid header"),
        (b"\x93NUMPY\x01\0\x10\x00{" + b" " * 15, "no valid header"),
        (
            b"\x93NUMPY\x01\0\x10\x27{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }" + b" \n'" * 3312,
            "no valid header",
        ),
    ],
)
def test_npy_headers(content, fragment, tmp_path):
    refused(data.read_npy, written(tmp_path / "a.npy", content), fragment)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    refused(data.read_npz, tmp_path / "a.npz")


def test_npy_headers_of_python_2_are_read(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L,), }".ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + np.ones(2).tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # NumPy: reading it took longer
        assert data.read_npy(written(tmp_path / "a.npy", content)).tolist() == [1.0, 1.0]


def test_names_in_a_zip_archive_that_are_not_what_they_are_said_to_be_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("\u00e9\u00e9.npy", b"")
    content = (tmp_path / "a.npz").read_bytes().replace("\u00e9\u00e9".encode(), b"\x93\x93\x93\x93")
    refused(data.read_npz, written(tmp_path / "a.npz", content), "cannot be read")
    with pytest.raises(FileFormatError):
        open_tree(tmp_path / "a.npz", "the archive").read("x.npy")


def test_a_member_of_a_zip_archive_without_a_name_is_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", b"x")
        archive.writestr(zipfile.ZipInfo(""), b"y")
    assert open_tree(tmp_path / "a.zip", "the archive").names == ["a.txt"]


def zip_that_says(path: Path, at: int, number: int) -> Path:
    """A zip archive with a number of its central directory exchanged."""
    np.save(array := io.BytesIO(), np.zeros(1000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", array.getvalue())
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    content[central + at : central + at + 4] = number.to_bytes(4, "little")
    return written(path, bytes(content))


@pytest.mark.parametrize(("at", "number"), [(20, 2**31), (24, 2**31)], ids=["packed", "unpacked"])
def test_zip_members_that_cannot_be_so_large_are_refused_before_memory_is_asked_for(at, number, tmp_path):
    refused(data.read_npz, zip_that_says(tmp_path / "a.npz", at, number))
    with pytest.raises(FileFormatError):
        open_tree(tmp_path / "a.npz", "the archive").read("x.npy")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_zip_methods_whose_memory_a_header_chooses_are_refused(method, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("x.npy", b"x" * 100)
    refused(data.read_npz, tmp_path / "a.npz", "stored .0. or deflated")


def test_a_small_file_takes_no_more_memory_than_it_has(tmp_path):
    path = written(tmp_path / "a.txt", b"one\ntwo\n")
    for read in (data.read_lines, lambda path: Folder(path.parent).read(path.name)):
        tracemalloc.start()
        read(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB  # a limit of 256 MiB or 1 GiB was asked for at once
        tracemalloc.stop()


def test_keys_of_many_parts_are_refused_in_no_time(tmp_path):
    path = written(tmp_path / "a.toml", b"a." * 30_000 + b"a = 1\n")
    refused(lambda path: read_settings_file(str(path)), path, "dots")
    path = written(tmp_path / "b.toml", b"#" * (1 << 19))
    refused(lambda path: read_settings_file(str(path)), path, "more data than is allowed")


def test_a_text_of_many_lines_in_an_annotation_takes_no_longer_by_the_square():
    content = b"<annotation>" + b"a\n" * 500_000 + b"</annotation>"
    started = time.process_time()
    assert read_annotation(content, "a.xml").boxes == ()
    assert time.process_time() - started < 2


def test_entities_are_never_expanded():
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>'
    outside = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><annotation>&b;</annotation>'
    for content in (bomb, outside):
        with pytest.raises(FileFormatError, match="document type"):
            read_annotation(content, "a.xml")


def test_sound_that_declares_more_than_it_has(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(stream := io.BytesIO(), np.zeros(400, np.float32), 8000, format="FLAC")
    content = bytearray(stream.getvalue())
    content[21:26] = bytes([content[21] | 0x0F]) + b"\xff" * 4  # 36 bits: how many samples there are
    path = written(tmp_path / "a.flac", bytes(content))
    tracemalloc.start()
    attempt(READERS["sound"], path)
    assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    tracemalloc.stop()


def test_a_rate_that_makes_a_recording_endless_is_refused(tmp_path):
    data.sound_files.write_sound(tmp_path / "a.wav", np.zeros(50_000), 1)
    refused(lambda path: data.read_sound(path, sample_rate=16_000), tmp_path / "a.wav", "declares more samples")


def test_mp3_without_tags_is_known_by_its_first_frame(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for rate in (8000, 22050, 44100):
        soundfile.write(stream := io.BytesIO(), np.zeros(4000, np.float32), rate, format="MP3")
        assert data.read_sound(written(tmp_path / "a.mp3", stream.getvalue())).sample_rate == rate


def test_odd_rates_give_the_same_with_and_without_a_table(monkeypatch):
    samples = np.random.default_rng(0).normal(size=3000)
    whole = resample(samples, 44101, 16000)
    monkeypatch.setattr("thalweg.data.sound_resampling._LARGEST_TABLE", 0)
    np.testing.assert_array_equal(resample(samples, 44101, 16000), whole)


def test_a_record_of_wrong_parts_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", texts=np.frombuffer(b'{"layers": 5}', np.uint8))
    refused(Record.load, tmp_path / "a.npz")


# --- no path outside the folder --------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
def test_links_out_of_a_folder_are_refused_and_links_inside_it_are_not(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "a").mkdir(parents=True)
    outside.mkdir()
    written(inside / "a" / "1.txt", b"one")
    written(outside / "secret.txt", b"secret")
    os.symlink(inside / "a" / "1.txt", inside / "again.txt")
    assert Folder(inside).names == ["a/1.txt", "again.txt"]
    assert Folder(inside).read("again.txt") == b"one"
    for name, target in (("file.txt", outside / "secret.txt"), ("folder", outside)):
        os.symlink(target, inside / name)
        with pytest.raises(FileFormatError, match="leads out of its folder"):
            _ = Folder(inside).names
        (inside / name).unlink()


@pytest.mark.parametrize("name", ["../secret.txt", "a/../../secret.txt", "/etc/hostname"])
def test_names_that_lead_out_of_a_folder_are_refused(name, tmp_path):
    (tmp_path / "inside" / "a").mkdir(parents=True)
    written(tmp_path / "secret.txt", b"secret")
    with pytest.raises(FileFormatError, match="leads out of its folder"):
        Folder(tmp_path / "inside").read(name)
