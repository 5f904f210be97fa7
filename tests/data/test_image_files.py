"""Pictures that strangers made: every format and mode, wrong names, cut and damaged files, bombs.

In: files that Pillow writes, and damage done to them. Out: uint8 (channels, height, width), or a FileFormatError that
names the file; never another error, and nothing large allocated for a header that lies.
"""

import io
import struct
import sys
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import read_image
from thalweg.data.checks import part_of
from thalweg.data.image_files import decode_image, decode_mask, image_size
from thalweg.errors import ArgumentError, DataError, FileFormatError

Image = pytest.importorskip("PIL.Image")
COLOURS = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.uint8)


def written(picture, kind="PNG", **options):
    stream = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF", "GIF", "WEBP", "JPEG"])
def test_every_format_is_read(kind):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    smooth = np.stack(np.broadcast_arrays(np.arange(12)[:, None] * 9, np.arange(9) * 8, 100), axis=2).astype(np.uint8)
    image = decode_image(written(smooth, kind, **options), "a")
    assert (image.dtype, image.shape, image.flags.c_contiguous) == (np.uint8, (3, 12, 9), True)
    worst = {"JPEG": 6, "GIF": 60}.get(kind, 0)
    assert np.abs(image.astype(int) - smooth.transpose(2, 0, 1)).max() <= worst


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("L", (4, 3), value) for value in (10, 200)]
    content = written(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_image(content, "a", mode="L") == 10).all()


def sixteen(values):
    return Image.fromarray(np.asarray(values, dtype=np.uint16))


def palette(values, colours):
    picture = Image.fromarray(np.asarray(values, dtype=np.uint8), "L").convert("L")
    indexed = Image.frombytes("P", picture.size, picture.tobytes())
    indexed.putpalette(colours)
    return indexed


MODES = [
    ("grey as colour", Image.new("L", (1, 1), 7), "RGB", [7, 7, 7]),
    ("colour as grey", Image.new("RGB", (1, 1), (255, 0, 0)), "L", [76]),
    ("bits", Image.new("1", (1, 1), 1), "RGB", [255, 255, 255]),
    ("palette", palette([[1]], [0, 0, 0, 9, 8, 7]), "RGB", [9, 8, 7]),
    ("sixteen bits", sixteen([[257 * 200]]), "L", [200]),
    ("sixteen bits as colour", sixteen([[65535]]), "RGB", [255, 255, 255]),
    ("transparent on white", Image.new("RGBA", (1, 1), (0, 0, 0, 0)), "RGB", [255, 255, 255]),
    ("half transparent", Image.new("RGBA", (1, 1), (0, 0, 0, 128)), "L", [127]),
    ("grey with alpha", Image.new("LA", (1, 1), (50, 0)), "L", [255]),
    ("alpha kept", Image.new("RGBA", (1, 1), (1, 2, 3, 4)), "RGBA", [1, 2, 3, 4]),
    ("alpha added", Image.new("RGB", (1, 1), (1, 2, 3)), "RGBA", [1, 2, 3, 255]),
]


@pytest.mark.parametrize(("picture", "mode", "expected"), [row[1:] for row in MODES], ids=[row[0] for row in MODES])
def test_modes(picture, mode, expected):
    assert decode_image(written(picture), "a", mode=mode)[:, 0, 0].tolist() == expected


def test_print_colours_are_converted():
    image = decode_image(written(Image.new("CMYK", (2, 2), (0, 0, 0, 255)), "JPEG"), "a")
    assert image.max() < 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_camera_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = {
        1: COLOURS, 2: COLOURS[:, ::-1], 3: COLOURS[::-1, ::-1], 4: COLOURS[::-1], 5: COLOURS.swapaxes(0, 1),
        6: np.rot90(COLOURS, -1), 7: COLOURS[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(COLOURS),
    }[orientation]  # fmt: skip
    content = written(COLOURS, "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(content, "a"), upright.transpose(2, 0, 1))
    as_stored = decode_image(content, "a", stored_size=(12, 9))
    assert as_stored.shape == (3, 12, 9)


def test_damaged_metadata_is_no_reason_to_refuse_pixels():
    content = written(COLOURS, "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(20))
    assert decode_image(content, "a").shape == (3, 12, 9)


def test_the_content_decides_and_not_the_name(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(written(COLOURS, "PNG"))
    np.testing.assert_array_equal(read_image(path), COLOURS.transpose(2, 0, 1))


REFUSED = [
    ("text", b"hello, this is text\n", "text: it begins with b'hello, this"),
    ("a web page", b"<!DOCTYPE html><html>", "a web page"),
    ("a zip archive", b"PK\x03\x04" + bytes(40), "zip"),
    ("a script of PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it begins with"),
    ("floating pixels", written(Image.new("F", (2, 2), 0.5), "TIFF"), "floating-point"),
]


@pytest.mark.parametrize(("content", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_no_picture_is_refused(tmp_path, content, words):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_image(tmp_path / "a.png")
    assert words in str(caught.value)
    assert str(tmp_path / "a.png") in str(caught.value)


def test_files_that_are_not_there_or_empty(tmp_path):
    (tmp_path / "empty.png").touch()
    for name, words in (("absent.png", "no such file"), ("empty.png", "is empty")):
        with pytest.raises(FileFormatError, match=words) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(ArgumentError, match="unknown mode"):
        decode_image(written(COLOURS), "a", mode="CMYK")


def image_or_where(content, where):
    """The picture, or the place that the refusal names."""
    try:
        return decode_image(content, where, max_pixels=1 << 16)
    except FileFormatError as error:
        return part_of(error, "where")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF"])
def test_every_cut_is_refused_or_read_whole(kind):
    content = written(COLOURS, kind)
    whole = decode_image(content, "a")
    for size in range(1, len(content), 3):
        image = image_or_where(content[:size], "the place")
        assert image == "the place" if isinstance(image, str) else (image == whole).all()


@given(
    kind=st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"]),
    place=st.integers(0, 2000),
    byte=st.integers(0, 255),
)
def test_damage_never_ends_in_another_error(kind, place, byte):
    content = bytearray(written(COLOURS, kind))
    content[place % len(content)] = byte
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata
        image = image_or_where(bytes(content), "a")
    assert image == "a" if isinstance(image, str) else image.dtype == np.uint8


def png_of(width, height, pixels):
    """A PNG that declares a size and holds the zlib stream given."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"), [(30_000, 30_000), (9_000, 9_000), (2**31 - 1, 2**31 - 1), (100, 700_000)]
)
def test_a_bomb_is_refused_from_its_header(width, height):
    bomb = png_of(width, height, zlib.compress(bytes(1 << 20)))
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="more pixels than is allowed") as caught:
        decode_image(bomb, "bomb.png")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert "bomb.png" in str(caught.value)
    with pytest.raises(FileFormatError, match="more pixels"):
        decode_mask(bomb, "bomb.png")


def test_the_limit_can_be_lowered_and_raised():
    content = written(COLOURS)
    with pytest.raises(FileFormatError, match="at most 100 pixels"):
        decode_image(content, "a", max_pixels=100)
    assert decode_image(content, "a", max_pixels=108).shape == (3, 12, 9)
    assert image_size(content, "a") == (12, 9)


def test_a_text_bomb_in_a_png_is_refused():
    content = written(COLOURS)
    text = b"Comment\0\0" + zlib.compress(bytes(50 << 20))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    with pytest.raises(FileFormatError):
        decode_image(content[:33] + chunk + content[33:], "a")


def test_a_mask_keeps_its_stored_values():
    grey = np.array([[0, 128], [255, 3]], dtype=np.uint8)
    assert decode_mask(written(grey), "a").tolist() == grey.tolist()
    assert decode_mask(written(palette([[0, 2]], [9] * 9)), "a").tolist() == [[0, 2]]
    assert decode_mask(written(Image.new("1", (1, 1), 1)), "a").tolist() == [[1]]
    assert decode_mask(written(sixteen([[40_000]])), "a").tolist() == [[40_000]]
    assert decode_mask(written(Image.new("RGB", (1, 1), (1, 2, 3))), "a").tolist() == [[0x010203]]
    assert decode_mask(written(Image.new("RGBA", (1, 1), (1, 2, 3, 9))), "a").tolist() == [[0x010203]]


def test_without_pillow_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"pip install thalweg\[data\]"):
        decode_image(written_before, "a")


written_before = written(COLOURS)
