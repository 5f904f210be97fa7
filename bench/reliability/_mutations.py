"""Damage that gets past the first check: bytes, words, JSON trees, archives, chunks with a right checksum.

In: a valid (or already damaged) file's bytes and a seeded `random.Random`. Out: other bytes, the same for the same
seed. A structured mutation takes the file apart, changes a part and puts it together with lengths and checksums that
are right, so that the change reaches the code behind them.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

LARGEST = 1 << 16  # bytes of one input, so that none takes long because it is long
NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 1023, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63,
           2**64 - 1)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e308, float("inf"), float("nan"),
    "", "0", "-1", "a", "\0", "../../x", "/etc/passwd", "é", "\ud800", "x" * 300, [], [[]], {}, {"": None}, [0], [-1],
    [2**40, 2**40], [1.5], ["a", "b"], [None, None], [0, 2**63],
)  # fmt: skip
Mutation = Callable[[bytes, Random], bytes]


def mutated(content: bytes, draw: Random, shapes: Sequence[Mutation], words: Sequence[bytes]) -> bytes:
    """One to four changes: half of them structured, where the file can still be taken apart."""
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 4))):
        content = _changed(content, draw, shapes, words)
    return content[:LARGEST]


def _changed(content: bytes, draw: Random, shapes: Sequence[Mutation], words: Sequence[bytes]) -> bytes:
    if shapes and draw.random() < 0.6:
        with contextlib.suppress(Exception):  # it can no longer be taken apart: bytes it is
            return draw.choice(shapes)(content, draw)
    return in_bytes(content, draw, words)


# --- bytes -----------------------------------------------------------------------------------------------------------


def in_bytes(content: bytes, draw: Random, words: Sequence[bytes] = ()) -> bytes:
    """A bit, a byte, a number, a word, a piece more or less."""
    return draw.choice(_OF_BYTES)(bytearray(content), draw, words)


def _flip(content: bytearray, draw: Random, words: Sequence[bytes]) -> bytes:
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)


def _overwrite(content: bytearray, draw: Random, words: Sequence[bytes]) -> bytes:
    if content:
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def _number(content: bytearray, draw: Random, words: Sequence[bytes]) -> bytes:
    size, order = draw.choice((1, 2, 4, 8)), draw.choice("<>")
    number = draw.choice(NUMBERS) & (256**size - 1)
    at = draw.randrange(max(len(content) - size + 1, 1)) if draw.random() < 0.5 else draw.randrange(0, 32)
    content[at : at + size] = struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], number)
    return bytes(content)


def _cut(content: bytearray, draw: Random, words: Sequence[bytes]) -> bytes:
    return bytes(content[: draw.randrange(len(content) + 1)])


def _remove(content: bytearray, draw: Random, words: Sequence[bytes]) -> bytes:
    start = draw.randrange(len(content) + 1)
    return bytes(content[:start] + content[start + draw.randrange(1, 17) :])


def _repeat(content: bytearray, draw: Random, words: Sequence[bytes]) -> bytes:
    start = draw.randrange(len(content) + 1)
    piece = content[start : start + draw.randrange(1, 33)]
    return bytes(content[:start] + piece * draw.choice((1, 2, 10, 200)) + content[start:])


def _word(content: bytearray, draw: Random, words: Sequence[bytes]) -> bytes:
    word = draw.choice(words) if words else draw.randbytes(draw.randrange(1, 5))
    start = draw.randrange(len(content) + 1)
    return bytes(content[:start] + word + content[start + draw.choice((0, len(word))) :])


_OF_BYTES = (_flip, _flip, _overwrite, _number, _number, _cut, _remove, _repeat, _word, _word)


# --- text and trees --------------------------------------------------------------------------------------------------


def in_json(content: bytes, draw: Random) -> bytes:
    """A value somewhere in the tree exchanged, taken out, renamed, doubled or buried."""
    return as_json(in_tree(json.loads(content), draw), draw)


def as_json(tree: Any, draw: Random) -> bytes:
    text = json.dumps(tree, ensure_ascii=draw.random() < 0.9)
    if draw.random() < 0.05:  # a key twice, which no dictionary holds
        text = text.replace('{"', '{"a": 1, "a": 2, "', 1)
    return text.encode("utf-8", "surrogatepass")


def in_tree(tree: Any, draw: Random) -> Any:
    """The tree with one of its nodes changed."""
    places = list(_places(tree))
    if not places:
        return draw.choice(ODD_VALUES)
    holder, key = draw.choice(places)
    action = draw.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[draw.choice(("", "a", key + "x", key.upper(), "__metadata__"))] = holder.pop(key)
    elif action == 2:
        holder[key] = _buried(holder[key], draw.choice((1, 2, 40, 2000)), draw)
    elif action == 3:
        other, place = draw.choice(places)
        holder[key] = other[place]
    else:
        holder[key] = _near(holder[key], draw)
    return tree


def _places(tree: Any) -> Any:
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        if len(str(key)) < 1000:
            yield from _places(tree[key])


def _buried(value: Any, depth: int, draw: Random) -> Any:
    wrap = draw.choice((lambda each: [each], lambda each: {"a": each}))
    for _ in range(min(depth, 900)):
        value = wrap(value)
    return value


def _near(value: Any, draw: Random) -> Any:
    """A number beside the old one, a text much like it; or something else altogether."""
    if isinstance(value, int | float) and draw.random() < 0.5:
        return draw.choice((value + 1, value - 1, -value, value * 2, value * 10**9, float(value), str(value)))
    if isinstance(value, str) and draw.random() < 0.5:
        return draw.choice((value + "x", value[:-1], value.upper(), [value], value * 100, "../" + value, value + "\0"))
    return draw.choice(ODD_VALUES)


def in_lines(content: bytes, draw: Random) -> bytes:
    """A line doubled, taken out, moved, or its value exchanged."""
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    action = draw.randrange(4)
    if action == 0:
        lines.insert(draw.randrange(len(lines) + 1), lines[at])
    elif action == 1:
        del lines[at]
    elif action == 2:
        lines[at] = lines[draw.randrange(len(lines))] + lines[at]
    else:
        name, _, _ = lines[at].partition(b"=")
        odd = json.dumps(draw.choice(ODD_VALUES), ensure_ascii=False).encode("utf-8", "replace")
        lines[at] = name + b"= " + odd
    return b"\n".join(lines)


# --- files in files --------------------------------------------------------------------------------------------------


def in_safetensors(content: bytes, draw: Random) -> bytes:
    """The header's tree changed, its length right; sometimes spaces behind it, sometimes other data."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    details = header.get("__metadata__", {}).get("details") if isinstance(header, dict) else None
    if details is not None and draw.random() < 0.6:  # JSON in JSON: what a checkpoint says of its training
        header["__metadata__"]["details"] = in_json(details.encode(), draw).decode("utf-8", "replace")
        changed = as_json(header, draw)
    elif draw.random() < 0.3:
        changed = in_bytes(content[8 : 8 + size], draw, (b'"F32"', b'"BF16"', b'"I64"', b"[0,0]", b'"shape":[]'))
    else:
        changed = as_json(in_tree(header, draw), draw)
    changed += b" " * draw.choice((0, 0, 0, 1, 7, 1000))
    data = draw.choice((data, data, data, data[:-1], data + b"\0", data + data))
    return len(changed).to_bytes(8, "little") + changed + data


def zipped(inner: Mutation) -> Mutation:
    """A member changed by `inner`, the archive written anew."""

    def change(content: bytes, draw: Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = draw.choice(list(members))
        if draw.random() < 0.2:
            members[draw.choice(("../x.npy", "/x.npy", "a" * 300, "", name + ".npy"))] = members[name]
        else:
            members[name] = inner(members[name], draw)
        stream = io.BytesIO()
        method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(stream, "w", method) as archive:
            for each, data in members.items():
                archive.writestr(each, data)
        return stream.getvalue()

    return change


def gzipped(inner: Mutation) -> Mutation:
    """The unpacked content changed by `inner`, packed again."""
    return lambda content, draw: gzip.compress(inner(gzip.decompress(content), draw), 1, mtime=0)


NPY_WORDS = (b"'|O'", b"'<f8'", b"'<U9'", b"'|V0'", b"'<U0'", b"(0,", b"(-1,", b"(2,3)", b"(99999999999999999999,)",
             b"[('a','<f4')]", b"True", b"9**99,", b"(0, 4294967295, 4294967295, 4294967295)", b"()", b"None", b"{",
             b"((((",
             b"__import__('os')", b"'<m8[ns]'", b"'<c16'", b"'>i4'", b"[('a','<i4',(99999,99999))]")  # fmt: skip


def in_npy(content: bytes, draw: Random) -> bytes:
    """The text of the header changed, its length right; or the version; or the data."""
    size = int.from_bytes(content[8:10], "little")
    header, data = content[10 : 10 + size], content[10 + size :]
    if draw.random() < 0.2:
        return content[:6] + bytes([draw.choice((0, 1, 2, 3, 9, 255)), draw.choice((0, 0, 1))]) + content[8:]
    if draw.random() < 0.5:  # exchange a value: what stands between a colon and the next comma
        parts = header.split(b": ")
        at = draw.randrange(1, len(parts))
        parts[at] = draw.choice(NPY_WORDS) + draw.choice((b", ", b"")) + parts[at][parts[at].find(b", '") + 2 :]
        header = b": ".join(parts)
    else:
        header = in_bytes(header, draw, NPY_WORDS)
    return content[:8] + len(header).to_bytes(2, "little") + header + draw.choice((data, data, b"", data + data))


def in_png(content: bytes, draw: Random) -> bytes:
    """A chunk changed, doubled or taken out; length and checksum right."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    index = draw.randrange(len(chunks))
    kind, data = chunks[index]
    action = draw.randrange(4)
    if action == 0:
        del chunks[index]
    elif action == 1:
        chunks.insert(draw.randrange(len(chunks) + 1), (kind, data))
    elif action == 2 and kind == b"IDAT":
        chunks[index] = (kind, zlib.compress(in_bytes(zlib.decompress(data), draw)))
    else:
        chunks[index] = (kind, in_bytes(data, draw, (b"eXIf", b"tRNS", b"iCCP", b"zTXt")))
    made = (
        struct.pack(">I", len(each)) + name + each + struct.pack(">I", zlib.crc32(name + each)) for name, each in chunks
    )
    return content[:8] + b"".join(made)


def in_riff(content: bytes, draw: Random) -> bytes:
    """A chunk changed, doubled or taken out; or a length that lies."""
    chunks, at = [], 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        chunks.append([content[at : at + 4], content[at + 8 : at + 8 + size], size])
        at += 8 + size + size % 2
    chunk = draw.choice(chunks)
    action = draw.randrange(4)
    if action == 0:
        chunks.remove(chunk)
    elif action == 1:
        chunks.insert(draw.randrange(len(chunks) + 1), list(chunk))
    elif action == 2:
        chunk[2] = draw.choice(NUMBERS) & 0xFFFFFFFF
    else:
        chunk[1] = in_bytes(chunk[1], draw)
        chunk[2] = len(chunk[1])
    made = b"".join(name + struct.pack("<I", size) + data + b"\0" * (len(data) % 2) for name, data, size in chunks)
    return content[:4] + struct.pack("<I", 4 + len(made)) + content[8:12] + made
