"""Pictures with what was found in them: boxes with their class and score, masks as a veil of colours.

In: pictures uint8 (channels, height, width), boxes (k, 5 or 6), masks (height, width). Out: uint8 (height, width, 3),
and PNG files. Pillow is imported only where text is drawn and files are written.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data.files import atomic_write
from thalweg.data.image_files import pillow

# Okabe and Ito's colours, which the colour-blind can tell apart, as bytes.
PALETTE = np.array(
    [(213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (240, 228, 66)],
    dtype=np.uint8,
)
VEIL = 0.45
"""How much of a mask's colour is laid over the picture."""
SMALLEST_WITH_TEXT = 160
"""Height from which boxes carry their class in words."""


def colour_of(label: int) -> tuple[int, int, int]:
    """The colour of a class, red, green, blue.

    >>> colour_of(0), colour_of(7) == colour_of(0)
    ((213, 94, 0), True)
    """
    red, green, blue = PALETTE[label % len(PALETTE)].tolist()
    return red, green, blue


def as_colours(picture: np.ndarray) -> np.ndarray:
    """uint8 (height, width, 3) of a picture (channels, height, width), uint8 or floating in 0 .. 1."""
    if picture.dtype != np.uint8:
        picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if len(picture) < 3:
        picture = np.repeat(picture[:1], 3, axis=0)
    return np.ascontiguousarray(picture[:3].transpose(1, 2, 0))


def with_mask(picture: np.ndarray, mask: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The picture under a veil: each class in its colour, class 0 clear where there are two; no class stays clear."""
    colours = as_colours(picture).astype(np.float64)
    first = 1 if len(classes) <= 2 else 0
    for label in range(first, len(classes)):
        colours[mask == label] = (1 - VEIL) * colours[mask == label] + VEIL * np.array(colour_of(label))
    return np.round(colours).astype(np.uint8)


def with_boxes(picture: np.ndarray, boxes: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The picture with boxes drawn: rows (x1, y1, x2, y2, score, class), or true ones (x1, y1, x2, y2, class)."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(as_colours(picture))
    draw = ImageDraw.Draw(image)
    width = max(1, round(min(image.size) / 200))
    for row in boxes[::-1]:  # the surest last, on top
        label = int(row[-1])
        if label < 0:
            continue
        corners = [float(each) for each in row[:4]]
        draw.rectangle(corners, outline=colour_of(label), width=width)
        if classes[label] and image.height >= SMALLEST_WITH_TEXT:
            score = f" {row[4]:.2f}" if len(row) > 5 else ""
            _write(draw, corners, f"{classes[label]}{score}", colour_of(label))
    return np.asarray(image)


def _write(draw: Any, corners: list[float], text: str, colour: tuple[int, int, int]) -> None:
    """A word in the upper left corner of a box, on its colour."""
    left, top = corners[0], max(0.0, corners[1] - 11)
    place = draw.textbbox((left + 1, top), text)
    draw.rectangle((place[0] - 1, place[1] - 1, place[2] + 1, place[3] + 1), fill=colour)
    draw.text((left + 1, top), text, fill="white")


def save(picture: np.ndarray, path: Path) -> None:
    """A PNG of (height, width, 3), whole or not at all."""
    _save(pillow().fromarray(picture), path)


def save_mask(mask: np.ndarray, path: Path) -> None:
    """A PNG whose values are class numbers, with a palette so that it can be looked at."""
    image = pillow().fromarray(mask.astype(np.uint8))
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[:] = PALETTE[np.arange(256) % len(PALETTE)]
    palette[0] = 0
    image.putpalette(palette.ravel().tolist())
    _save(image, path)


def _save(image: Any, path: Path) -> None:
    content = io.BytesIO()
    image.save(content, format="PNG")
    with atomic_write(path) as stream:
        stream.write(content.getvalue())
