"""CIFAR's binary format: plain, gzip and xz; cut, damaged and lying files.

In: records that the test writes.
Out: images (n, 3, 32, 32) and labels, or an error that names the file.
"""

import gzip
import lzma
import tracemalloc

import numpy as np
import pytest

from thalweg.data import read_cifar
from thalweg.data.files import reading
from thalweg.errors import FileFormatError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3072)).astype(np.uint8)
CONTENT = b"".join(bytes([label]) + row.tobytes() for label, row in zip((3, 0, 9, 3), PIXELS, strict=True))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
def test_records_are_read(tmp_path, pack):
    (tmp_path / "a.bin").write_bytes(pack(CONTENT))
    images, labels = read_cifar(tmp_path / "a.bin")
    assert (images.dtype, images.shape, images.flags.owndata or images.base.flags.writeable) == (
        np.uint8,
        (4, 3, 32, 32),
        True,
    )
    np.testing.assert_array_equal(images.reshape(4, -1), PIXELS)
    assert labels.tolist() == [3, 0, 9, 3]


def test_two_labels_a_record(tmp_path):
    (tmp_path / "train.bin").write_bytes(bytes([1, 99]) + bytes(3072))
    assert read_cifar(tmp_path / "train.bin", classes=100, label_bytes=2)[1].tolist() == [99]


BAD = [
    ("cut", CONTENT[:-5], "whole records"),
    ("a label out of range", CONTENT[:3073] + bytes([10]) + CONTENT[3074:], "10 in record 1"),
    ("cut xz", lzma.compress(CONTENT)[:-200], "truncated"),
    ("damaged xz", lzma.compress(CONTENT)[:100] + bytes(500) + lzma.compress(CONTENT)[600:], "damaged"),
    ("cut gzip", gzip.compress(CONTENT)[:-200], "truncated"),
    ("empty", b"", "is empty"),
    ("xz of nothing", lzma.compress(b""), "0 bytes"),
]


@pytest.mark.parametrize(("content", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_files_are_refused(tmp_path, content, words):
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_cifar(tmp_path / "a.bin")
    assert words in str(caught.value)
    assert "a.bin" in str(caught.value)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_a_packed_bomb_is_refused(tmp_path, pack):
    (tmp_path / "a.bin").write_bytes(pack(bytes(64 << 20)))
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="more data than is allowed"):
        read_cifar(tmp_path / "a.bin", max_bytes=1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_an_xz_that_asks_for_much_memory_is_refused(tmp_path):
    packed = lzma.compress(CONTENT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    at = packed.index(b"\x21\x01") + 2  # the dictionary's size in the filter's flags
    header = bytearray(packed)
    header[at] = 40  # 4 GiB
    length = (header[12] + 1) * 4
    import zlib

    header[12 + length - 4 : 12 + length] = zlib.crc32(bytes(header[12 : 12 + length - 4])).to_bytes(4, "little")
    (tmp_path / "a.bin").write_bytes(header)
    with pytest.raises(FileFormatError, match="damaged"):
        read_cifar(tmp_path / "a.bin")


def test_reading_packed_content_as_it_is(tmp_path):
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"hello"))
    with reading(tmp_path / "a.xz", "the file") as stream:
        assert stream.read() == b"hello"
    with reading(tmp_path / "a.xz", "the file", packed=False) as stream:
        assert stream.read() == lzma.compress(b"hello")
