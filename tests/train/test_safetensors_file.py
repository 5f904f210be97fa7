"""Safetensors from strangers: the published abuse cases, and what else a header can say, are refused with a message.

In: files written byte by byte. Out: refusals that name the file; or, for what is odd and legal, the numbers.
"""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from thalweg.errors import FileFormatError
from thalweg.train import load_weights, read_metadata


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def file(header, data=b"\0" * 4, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


ONE = json.dumps(entry()).encode()
ABUSE = {
    "empty": b"",
    "shorter than a length": b"\1\0\0",
    "header beyond the file": file({"a": entry()}, length=2**20),
    "header of 2^63 bytes": file({"a": entry()}, length=2**63 - 1),
    "header of 2^64 - 1 bytes": file({"a": entry()}, length=2**64 - 1),
    "header cut": file({"a": entry()}, length=20),
    "header of no bytes": file(b""),
    "offsets that overlap": file({"a": entry(), "b": entry()}),
    "offsets with a gap": file({"a": entry(), "b": entry(offsets=(8, 12))}, b"\0" * 12),
    "offsets that do not begin at 0": file({"a": entry(offsets=(4, 8))}, b"\0" * 8),
    "offsets beyond the file": file({"a": entry(shape=(100,), offsets=(0, 400))}),
    "offsets backwards": file({"a": entry(offsets=(4, 0))}),
    "offsets negative": file({"a": entry(offsets=(-4, 0))}),
    "offsets of 2^64": file({"a": entry(offsets=(0, 2**64))}),
    "offsets no numbers": file({"a": entry(offsets=("0", "4"))}),
    "three offsets": file({"a": entry(offsets=(0, 4, 8))}),
    "data behind the last tensor": file({"a": entry()}, b"\0" * 8),
    "data cut": file({"a": entry()}, b"\0" * 3),
    "a name twice, other data": file(b'{"a":' + ONE + b',"a":' + ONE.replace(b"[0, 4]", b"[4, 8]") + b"}", b"\0" * 8),
    "a name twice, the same": file(b'{"a":' + ONE + b',"a":' + ONE + b"}"),
    "a shape whose size overflows": file({"a": entry(shape=(2**63, 2**63))}),
    "a shape whose size overflows to what is there": file({"a": entry(shape=(2**62, 4, 1))}),
    "a shape below 0": file({"a": entry(shape=(-1,))}),
    "a shape of fractions": file({"a": entry(shape=(1.5,))}),
    "no entries, sizes beyond an array": file({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}, b""),
    "more axes than an array has": file({"a": entry(shape=(1,) * 100)}),
    "a dtype of another size": file({"a": entry("F64")}),
    "an unknown dtype": file({"a": entry("F31")}),
    "a dtype that NumPy lacks": file({"a": entry("F8_E4M3", (4,))}),
    "a dtype that is no text": file({"a": entry(7)}),
    "an entry that is no object": file({"a": [0, 4]}),
    "an entry without offsets": file({"a": {"dtype": "F32", "shape": [1]}}),
    "a header that is a list": file([entry()]),
    "a header that is null": file(b"null", b""),
    "a header that is a number": file(b"17", b""),
    "no UTF-8": file(b'{"\xff": ' + ONE + b"}"),
    "UTF-16": file('{"a": 1}'.encode("utf-16")),
    "no JSON": file(b"{" * 40),
    "two JSON values": file(b"{}{}", b""),
    "deep nesting": file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a number of 5,000 digits": file(b'{"a": ' + b"9" * 5000 + b"}"),
    "metadata that is no text": file({"__metadata__": {"a": 1}}, b""),
    "metadata that is a list": file({"__metadata__": ["a"]}, b""),
    "a pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0cos\nsystem\n",
    "a zip, as PyTorch writes": b"PK\x03\x04" + b"\0" * 60,
    "a web page": b"<!DOCTYPE html><html></html>",
}


@pytest.mark.parametrize("case", ABUSE)
def test_abuse_is_refused_with_the_name_of_the_file(case, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(ABUSE[case])
    with pytest.raises(FileFormatError, match=r"w\.safetensors") as caught:
        load_weights(path)
    assert "received" in str(caught.value)


def test_a_giant_header_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "w.safetensors"
    with open(path, "wb") as stream:  # a hole: nothing is written to the disk
        stream.write((90 << 20).to_bytes(8, "little"))
        stream.truncate((90 << 20) + 8)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="declares more data than is allowed"):
        load_weights(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_what_is_odd_and_legal_is_read(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(file({"": entry(), "../../x": entry(offsets=(4, 8)), "none": entry(shape=(0, 3), offsets=(8, 8)),
                           "__metadata__": {"é": "\0"}}, b"\0\0\x80?" * 2 + b""))  # fmt: skip
    found = load_weights(path)
    assert {name: array.shape for name, array in found.items()} == {"": (1,), "../../x": (1,), "none": (0, 3)}
    assert read_metadata(path) == {"é": "\0"}


def test_bfloat16_becomes_float32_with_every_value_kept(tmp_path):
    values = np.random.default_rng(0).integers(0, 1 << 16, 64, dtype=np.uint16)
    path = tmp_path / "w.safetensors"
    path.write_bytes(file({"a": entry("F32", (1,), (0, 4)), "b": entry("BF16", (8, 8), (4, 132))},
                          b"\0" * 4 + values.astype("<u2").tobytes()))  # fmt: skip
    found = load_weights(path)["b"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32) >> 16, values.reshape(8, 8))
