"""IDX: round trips of every dtype, and headers that lie.

In: arrays from hypothesis, hand-made bytes. Out: the same arrays; refusals before anything is allocated.
"""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from thalweg.data import read_idx, write_idx
from thalweg.errors import FileFormatError

dtypes = st.sampled_from(["u1", "i1", "<i2", "<i4", "<f4", "<f8", ">i4", ">f8"])


@given(
    array=dtypes.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0))),
    packed=st.booleans(),
)
def test_an_array_survives_a_round_trip(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if packed else "a")
    write_idx(path, array)
    back = read_idx(path)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.dtype.isnative
    assert back.flags.writeable


def test_the_layout_is_mnists(tmp_path):
    write_idx(tmp_path / "a", np.array([[1, 2, 3]], dtype=np.uint8))
    assert (tmp_path / "a").read_bytes() == b"\0\0\x08\x02\0\0\0\x01\0\0\0\x03\x01\x02\x03"


def test_writing_gives_the_same_bytes_each_time(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(10, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_a_lying_header_allocates_nothing(tmp_path, packed):
    content = b"\0\0\x0e\x02" + struct.pack(">2I", 10_000, 10_000) + b"abc"
    (tmp_path / "a").write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="is truncated"):
        read_idx(tmp_path / "a")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_sizes_whose_product_overflows_are_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"\0\0\x0e\x04" + struct.pack(">4I", *[2**32 - 1] * 4))
    with pytest.raises(FileFormatError, match="more data than is allowed"):
        read_idx(tmp_path / "a")


def test_every_cut_of_a_file_is_refused(tmp_path):
    write_idx(tmp_path / "whole", np.arange(6, dtype=np.int32).reshape(2, 3))
    content = (tmp_path / "whole").read_bytes()
    for size in range(1, len(content)):
        (tmp_path / "cut").write_bytes(content[:size])
        with pytest.raises(FileFormatError, match="truncated"):
            read_idx(tmp_path / "cut")


def test_every_cut_of_a_gzip_file_is_refused(tmp_path):
    write_idx(tmp_path / "whole.gz", np.arange(50, dtype=np.int32))
    content = (tmp_path / "whole.gz").read_bytes()
    for size in range(1, len(content)):
        (tmp_path / "cut").write_bytes(content[:size])
        with pytest.raises(FileFormatError):
            read_idx(tmp_path / "cut")


@given(st.binary(min_size=1, max_size=60))
def test_junk_never_ends_in_another_error(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "a"
    path.write_bytes(junk)
    try:
        told = f"{path}: {read_idx(path, max_bytes=1 << 20).shape}"
    except FileFormatError as error:
        told = str(error)
    assert str(path) in told
