"""NumPy's files: arrays in, arrays out, and never a pickle.

In: arrays from hypothesis, damaged and hostile files. Out: the same arrays; refusals that name the file.
"""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from thalweg.data import read_npy, read_npz
from thalweg.errors import FileFormatError

some_arrays = st.sampled_from(["f4", "f8", "i8", "u1", "?", "U3"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0))
)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def npy_bytes(array, header=None):
    stream = io.BytesIO()
    np.save(stream, array)
    content = stream.getvalue()
    return content if header is None else content.replace(*header)


@given(some_arrays)
def test_npy_survives_a_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, array)
    np.testing.assert_array_equal(read_npy(path), array)
    if array.size and array.ndim:
        np.testing.assert_array_equal(read_npy(path, memory_map=True), array)


@given(st.dictionaries(st.sampled_from("abc"), some_arrays, min_size=1), st.booleans())
def test_npz_survives_a_round_trip(tmp_path_factory, named, packed):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, **named)
    back = read_npz(path)
    assert back.keys() == named.keys()
    for name, array in named.items():
        np.testing.assert_array_equal(back[name], array)


def test_a_mapped_array_is_read_only_and_on_disk(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(4))
    mapped = read_npy(tmp_path / "a.npy", memory_map=True)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


def test_objects_are_refused_and_never_unpickled(tmp_path):
    objects = np.array([Bomb()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=objects)
    for read, name in ((read_npy, "a.npy"), (read_npz, "a.npz")):
        with pytest.raises(FileFormatError, match="it could run code"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"hello", "no valid header"),
        (npy_bytes(np.arange(3))[:-1], "truncated"),
        (npy_bytes(np.arange(3)) + b"x", "not what its header says"),
        (npy_bytes(np.arange(3), (b"(3,)", b"(9,)")), "truncated"),
        (npy_bytes(np.arange(3), (b"(3,)", b"(-3,)")), "header"),
        (npy_bytes(np.zeros(3), (b"'shape': (3,)", b"'shape': 3   ")), "no valid header"),
        (npy_bytes(np.arange(300), (b"(300,), ", b"(9**99,)")), "no valid header"),
        (npy_bytes(np.arange(3))[:20], "no valid header"),
        (b"\x80\x04\x95abcdefgh", "no valid header"),
    ],
)
@pytest.mark.parametrize("where", ["npy", "npz"])
def test_damaged_arrays_are_refused(tmp_path, content, fragment, where):
    path = tmp_path / f"a.{where}"
    if where == "npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    with pytest.raises(FileFormatError, match=fragment) as caught:
        (read_npy if where == "npy" else read_npz)(path)
    assert str(path) in str(caught.value)


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(10**6))
    assert (tmp_path / "bomb.npz").stat().st_size < 20_000
    with pytest.raises(FileFormatError, match="at most 1,000,000 bytes"):
        read_npz(tmp_path / "bomb.npz", max_bytes=10**6)


@pytest.mark.parametrize("cut", [10, 100, -30])
def test_a_truncated_archive_is_refused(tmp_path, cut):
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:cut])
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_npz(tmp_path / "a.npz")


def test_a_damaged_member_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[400] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match="Bad CRC"):
        read_npz(tmp_path / "a.npz")
