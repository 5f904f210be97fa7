"""Folders and zip archives: the same names and bytes from both, hidden files left out, limits kept.

In: a folder of small files and its zip. Out: names with forward slashes; errors that name the file.
"""

import os
import struct
import zipfile

import pytest

from thalweg.data.file_tree import Folder, open_tree
from thalweg.errors import FileFormatError

FILES = {"a/1.txt": b"one", "a/b/2.txt": b"two", "c.txt": b"three"}
HIDDEN = (".DS_Store", "a/._1.txt", "__MACOSX/a/1.txt", ".git/config")


@pytest.fixture(params=["folder", "zip"])
def tree(request, tmp_path):
    names = {**FILES, **dict.fromkeys(HIDDEN, b"x")}
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for name, content in names.items():
                archive.writestr(name, content)
        return open_tree(tmp_path / "all.zip", "the archive")
    for name, content in names.items():
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_bytes(content)
    return open_tree(tmp_path / "all", "the folder")


def test_names_and_contents_are_the_same(tree):
    assert tree.names == sorted(FILES)
    assert {name: tree.read(name) for name in tree.names} == FILES
    assert tree.below("a") == ["a/1.txt", "a/b/2.txt"]
    assert (tree.folders_in(""), tree.folders_in("a")) == (["a"], ["b"])


def test_what_is_missing_or_too_large_is_named(tree):
    with pytest.raises(FileFormatError, match="no such") as caught:
        tree.read("a/3.txt")
    assert "3.txt" in str(caught.value)
    with pytest.raises(FileFormatError, match="at most 2 bytes"):
        tree.read("c.txt", max_bytes=2)


def test_neither_a_folder_nor_an_archive(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"\x89PNG is no zip archive")
    with pytest.raises(FileFormatError, match="a PNG picture"):
        open_tree(tmp_path / "a.zip", "the archive")
    with pytest.raises(FileFormatError, match="did you mean"):
        open_tree(tmp_path / "b.zip", "the archive")


def test_an_archive_that_lies_about_a_size_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(100_000))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    central = content.rindex(b"PK\x01\x02")
    content[central + 24 : central + 28] = struct.pack("<I", 10)  # the unpacked size of the member
    (tmp_path / "a.zip").write_bytes(content)
    tree = open_tree(tmp_path / "a.zip", "the archive")
    with pytest.raises(FileFormatError, match="x"):
        tree.read("x")


def test_every_cut_of_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"some text " * 20)
    content = (tmp_path / "a.zip").read_bytes()
    for size in range(1, len(content), 5):
        (tmp_path / "cut.zip").write_bytes(content[:size])
        with pytest.raises(FileFormatError):
            open_tree(tmp_path / "cut.zip", "the archive").read("x")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
def test_a_circle_of_links_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"x")
    os.symlink(tmp_path, tmp_path / "a" / "again")
    assert Folder(tmp_path).names == ["a/x"]
