"""Pictures from files that strangers made, decoded by Pillow.

In: a path or bytes. Out: uint8 (channels, height, width). The size is read from the header and refused before anything
is allocated; a file that is no picture, cut short or damaged is a `FileFormatError` that names it. The content decides
what a file is, not its name.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data.checks import checked_choice
from thalweg.data.file_tree import extension, read_file
from thalweg.data.files import content_of
from thalweg.errors import DataError, FileFormatError, ThalwegError, explain

MAX_PIXELS = 1 << 26  # 8192 x 8192; below Pillow's own limit, so that ours speaks first
MODES = {"L": 1, "RGB": 3, "RGBA": 4}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # never EPS, which would start another program
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})
ORIENTATION = 0x0112
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def is_image_name(name: str) -> bool:
    """Whether a name ends like that of a picture.

    >>> is_image_name("a/b.JPG"), is_image_name("notes.txt")
    (True, False)
    """
    return extension(name) in EXTENSIONS


def read_image(path: str | os.PathLike[str], *, mode: str = "RGB", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture: PNG, JPEG, BMP, GIF (its first frame), PPM, TIFF or WebP, whatever its name says.

    Args:
        path: the file.
        mode: "RGB", "L" (grey) or "RGBA". Transparent pictures are laid on white unless it is "RGBA"; 16-bit grey is
            divided by 257. The orientation that a camera wrote (EXIF) is applied.
        max_pixels: the most pixels that a header may declare.

    Returns:
        uint8 (channels, height, width).

    Raises:
        FileFormatError: no such file, no picture, cut short, damaged, or larger than allowed.
        DataError: Pillow is not installed (`pip install thalweg[data]`).
    """
    path = Path(path)
    content = read_file(path)
    return decode_image(content, str(path), mode=mode, max_pixels=max_pixels)


def decode_image(
    content: bytes,
    where: str,
    *,
    mode: str = "RGB",
    max_pixels: int = MAX_PIXELS,
    stored_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """`read_image` of bytes that are at hand; `where` names them in messages.

    `stored_size` is the (height, width) that an annotation was made for. Where only the picture as it is stored has it,
    and not the upright one, EXIF's orientation is not applied.
    """
    checked_choice("mode", mode, MODES)
    return np.asarray(
        decoded(content, where, max_pixels, lambda picture: _pixels(_upright(picture, stored_size), mode, where))
    )


def decode_mask(content: bytes, where: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The values of a mask as they are stored, int64 (height, width): palette numbers, grey values, or 0xRRGGBB."""
    return np.asarray(decoded(content, where, max_pixels, lambda picture: _mask_values(_upright(picture, None), where)))


def image_size(content: bytes, where: str) -> tuple[int, int]:
    """The stored (height, width), from the header alone."""
    height, width = decoded(content, where, None, lambda picture: (picture.height, picture.width))
    return height, width


def decoded(content: bytes, where: str, max_pixels: int | None, use: Any) -> Any:
    """What `use` makes of the opened picture; whatever Pillow raises becomes a FileFormatError."""
    image = pillow()
    try:
        with image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if max_pixels is not None:
                _check_pixels(picture.size, max_pixels, where)
            return use(picture)
    except ThalwegError:
        raise
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise _too_large(str(error), MAX_PIXELS if max_pixels is None else max_pixels, where) from error
    except image.UnidentifiedImageError as error:
        raise _no_picture(content, where) from error
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, ... on damage
        raise FileFormatError(
            explain(
                "a picture is cut short or damaged",
                received=f"{error} ({len(content):,} bytes)",
                where=where,
                remedy='get the file again, or leave such files out: on_error="skip"',
            )
        ) from error


def pillow() -> Any:
    """Pillow's module `Image`; DataError with the remedy where it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            explain(
                "pictures are decoded by Pillow, which is not installed",
                received=str(error),
                remedy="pip install thalweg[data], or use arrays: tw.data.read_npz, tw.data.ImageArrays",
            )
        ) from error
    return Image


def _check_pixels(size: tuple[int, int], max_pixels: int, where: str) -> None:
    if size[0] * size[1] > max_pixels:
        raise _too_large(f"{size[0]:,} x {size[1]:,} pixels", max_pixels, where)


def _too_large(received: str, max_pixels: int, where: str) -> FileFormatError:
    return FileFormatError(
        explain(
            "a picture declares more pixels than is allowed",
            received=received,
            expected=f"at most {max_pixels:,} pixels",
            where=where,
            remedy="if the file is to be trusted, pass a larger max_pixels",
        )
    )


def _no_picture(content: bytes, where: str) -> FileFormatError:
    head = content[:12]
    seems = content_of(content[:16]) or ("text" if head.isascii() and head.decode("ascii").isprintable() else None)
    return FileFormatError(
        explain(
            "this is no picture",
            received=(f"{seems}: " if seems else "") + f"it begins with {head!r}",
            expected=", ".join(FORMATS),
            where=where,
            remedy='is it the right file? on_error="skip" leaves such files out',
        )
    )


def _upright(picture: Any, stored_size: tuple[int, int] | None) -> Any:
    """The picture turned as EXIF says; damaged EXIF data says nothing."""
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a block of metadata that cannot be read is no reason to refuse the pixels
        orientation = 1
    turns = pillow().Transpose
    methods = {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM, 5: turns.TRANSPOSE,
        6: turns.ROTATE_270, 7: turns.TRANSVERSE, 8: turns.ROTATE_90,
    }  # fmt: skip
    if orientation not in methods:
        return picture
    stored = (picture.height, picture.width)
    upright = stored[::-1] if orientation >= 5 else stored
    if stored_size is not None and stored_size == stored != upright:
        return picture
    return picture.transpose(methods[orientation])


def _pixels(picture: Any, mode: str, where: str) -> np.ndarray:
    if picture.mode == "F":
        raise FileFormatError(
            explain(
                "floating-point pictures are not read",
                received="mode F",
                where=where,
                remedy="save them as .npy and use tw.data.ImageArrays",
            )
        )
    if picture.mode in _SIXTEEN_BITS:
        grey = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        picture = pillow().fromarray(((grey + 128) // 257).astype(np.uint8))
    if mode != "RGBA" and picture.has_transparency_data:
        white = pillow().new("RGBA", picture.size, "white")
        picture = pillow().alpha_composite(white, picture.convert("RGBA"))
    pixels = np.asarray(picture.convert(mode))
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _mask_values(picture: Any, where: str) -> np.ndarray:
    if picture.mode in ("RGBA", "LA", "CMYK", "YCbCr", "HSV", "LAB"):
        picture = picture.convert("L" if picture.mode == "LA" else "RGB")
    values = np.asarray(picture)
    if values.ndim == 2 and values.dtype.kind in "biu":
        return values.astype(np.int64)
    if values.ndim == 3 and values.shape[2] == 3:
        red, green, blue = values.astype(np.int64).transpose(2, 0, 1)
        return np.asarray((red << 16) | (green << 8) | blue)
    raise FileFormatError(
        explain("this is no mask", received=f"mode {picture.mode}", expected="palette, grey or RGB", where=where)
    )
