"""Text files: what comes out line by line, and what is said of files that are no text.

In: bytes that the test writes. Out: strings; errors that name file, line and byte.
"""

import gzip
import lzma

import pytest

from thalweg.data import read_aligned, read_lines, read_text
from thalweg.errors import ArgumentError, DataError, FileFormatError, ThalwegError


def written(folder, content, name="a.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\ntwo", ["one", "two"]),
        ("one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        ("\n", [""]),
        ("\n\n", ["", ""]),
        ("\ufeffone\n", ["one"]),
        ("a\u2028b\x0bc\x85d\n", ["a\u2028b\x0bc\x85d"]),  # line breaks for Unicode, not for aligned files
    ],
)
def test_lines_end_at_line_feeds_alone(tmp_path, content, lines):
    assert read_lines(written(tmp_path, content)) == lines


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_files_are_read(tmp_path, pack):
    assert read_text(written(tmp_path, pack("grün\n".encode()))) == "grün\n"


@pytest.mark.parametrize(("content", "encoding"), [("é".encode("cp1252"), "cp1252"), ("é".encode("utf-16"), "utf-16")])
def test_other_encodings_are_read_when_named(tmp_path, content, encoding):
    path = written(tmp_path, content)
    assert read_text(path, encoding=encoding) == "é"
    with pytest.raises(FileFormatError, match=f"encoding='{encoding}'"):
        read_text(path)


def test_an_undecodable_byte_is_named_with_file_line_and_place(tmp_path):
    path = written(tmp_path, b"fine\nna\xefve\n")
    with pytest.raises(FileFormatError) as caught:
        read_lines(path)
    message = str(caught.value)
    assert all(word in message for word in ("byte 0xef at column 3", "byte 8 of the file", f"{path}, line 2"))


BAD = [
    ("a picture", b"\x89PNG\r\n\x1a\n" + b"\xff" * 9, FileFormatError, "a PNG picture"),
    ("zero bytes", b"text\0more", FileFormatError, "holds no text"),
    ("an empty file", b"", FileFormatError, "is empty"),
    ("a cut archive", gzip.compress(b"text" * 1000)[:30], FileFormatError, "truncated"),
]


@pytest.mark.parametrize(("content", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_files_that_are_no_text_are_refused(tmp_path, content, kind, words):
    path = written(tmp_path, content)
    with pytest.raises(kind, match=words) as caught:
        read_text(path)
    assert str(path) in str(caught.value)


def test_limits_unknown_encodings_and_misspelt_paths(tmp_path):
    path = written(tmp_path, "0123456789")
    with pytest.raises(FileFormatError, match="at most 4 bytes"):
        read_text(path, max_bytes=4)
    with pytest.raises(ArgumentError, match="unknown encoding"):
        read_text(path, encoding="utf-9")
    with pytest.raises(FileFormatError, match="did you mean"):
        read_text(tmp_path / "a.tx")


def test_aligned_files_are_paired_line_by_line(tmp_path):
    first, second = written(tmp_path, "a\n\nc\n"), written(tmp_path, "1\n2\n3\n", "b.txt")
    assert read_aligned(first, second).target == ["1", "2", "3"]
    assert read_aligned(first, second, drop_empty=True) == (["a", "c"], ["1", "3"])


def test_aligned_files_of_different_lengths_are_refused_with_both_counts(tmp_path):
    first, second = written(tmp_path, "a\nb\nc\n"), written(tmp_path, "1\n2\n", "b.txt")
    with pytest.raises(DataError, match="3 and 2 lines") as caught:
        read_aligned(first, second)
    assert str(second) in str(caught.value)
    assert "line 3 of the longer" in str(caught.value)
    with pytest.raises(ThalwegError, match="no pair"):
        read_aligned(written(tmp_path, "\n"), written(tmp_path, "x\n", "b.txt"), drop_empty=True)
