"""Small sets of pictures that recipes are tested on: quick to train, with something to learn in them.

In: a folder. Out: paths of folders of classes, of pictures with masks, of Pascal VOC.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (20, 30, 220), "green": (20, 200, 40), "red": (220, 30, 30)}


def noise(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    return draw.integers(0, 50, (height, width, 3), dtype=np.uint8)


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_photographs(folder: Path, count: int = 12, size: tuple[int, int] = (16, 16), seed: int = 0) -> str:
    """folder/red/0.png, ...: the class is the colour of a spot."""
    draw = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        for number in range(count):
            pixels = noise(draw, *size)
            top, left = draw.integers(0, size[0] - 8), draw.integers(0, size[1] - 8)
            pixels[top : top + 8, left : left + 8] = colour
            save(pixels, folder / name / f"{number}.png")
    return str(folder)


def write_masked(folder: Path, count: int = 10, size: tuple[int, int] = (16, 24), seed: int = 0) -> str:
    """folder/images/0.png and folder/masks/0.png: what is bright is in the mask."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        pixels, mask = noise(draw, *size), np.zeros(size, dtype=np.uint8)
        top, left = draw.integers(0, size[0] - 8), draw.integers(0, size[1] - 8)
        pixels[top : top + 8, left : left + 8] = 210
        mask[top : top + 8, left : left + 8] = 255
        save(pixels, folder / "images" / f"{number}.png")
        save(mask, folder / "masks" / f"{number}.png")
    return str(folder)


def write_voc(
    folder: Path, count: int = 16, size: tuple[int, int] = (32, 48), seed: int = 0, lists: bool = True
) -> str:
    """Pascal VOC: red and blue spots, one of each in every picture; a fifth of the pictures are the test list."""
    draw = np.random.default_rng(seed)
    names = [f"p{number}" for number in range(count)]
    for name in names:
        pixels, objects = noise(draw, *size), []
        for half, colour in enumerate(("red", "blue")):
            side = int(draw.integers(8, 12))
            top = int(draw.integers(0, size[0] - side))
            left = int(half * size[1] // 2 + draw.integers(0, size[1] // 2 - side))
            pixels[top : top + side, left : left + side] = COLOURS[colour]
            objects.append((colour, left, top, left + side, top + side))
        save(pixels, folder / "JPEGImages" / f"{name}.png")
        write_annotation(folder, name, size, objects)
    if lists:
        place = folder / "ImageSets" / "Main"
        place.mkdir(parents=True)
        cut = count - max(2, count // 5)
        (place / "trainval.txt").write_text("\n".join(names[:cut]))
        (place / "test.txt").write_text("\n".join(names[cut:]))
    return str(folder)


def write_annotation(
    folder: Path, name: str, size: tuple[int, int], objects: list[tuple[str, int, int, int, int]]
) -> None:
    """One file of Annotations."""
    boxes = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for label, x1, y1, x2, y2 in objects
    )
    text = f"<annotation><size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>{boxes}"
    (folder / "Annotations").mkdir(parents=True, exist_ok=True)
    (folder / "Annotations" / f"{name}.xml").write_text(text + "</annotation>")
