"""Pictures of what a network sees: predictions beside the truth, its surest mistakes, its first layer.

In: pictures of a test part, what was predicted for them, weights. Out: PNG files. Pictures come as uint8 or floating in
0 .. 1, (channels, height, width); drawings of boxes and masks are made by `annotated`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from thalweg.report import annotated
from thalweg.report.pictures import GREEN, ORANGE, figure, saved, short

MOST_FILTERS = 64
COLUMNS = 8


class Cell(NamedTuple):
    """One picture of a grid: pixels (height, width) or (height, width, 3), words above it, and their colour."""

    pixels: np.ndarray
    words: str = ""
    colour: str = "#222222"


def draw_grid(path: Path, title: str, cells: Sequence[Cell], columns: int = COLUMNS, side: float = 1.25) -> Path:
    """Cells in rows, all in axes of one size."""
    columns = min(columns, len(cells))
    rows = math.ceil(len(cells) / columns)
    lines = max(cell.words.count("\n") + 1 if cell.words else 0 for cell in cells)
    height, width = cells[0].pixels.shape[:2]
    size = (side * columns, (side * height / width + 0.16 * lines) * rows + 0.4)
    drawn, axes = figure(*size, nrows=rows, ncols=columns, squeeze=False)
    for each in axes.ravel():
        each.set_axis_off()
    for each, cell in zip(axes.ravel(), cells, strict=False):
        is_grey = cell.pixels.ndim == 2
        limits: dict[str, Any] = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0} if is_grey else {}
        each.imshow(cell.pixels, interpolation="nearest", **limits)
        if cell.words:
            each.set_title(cell.words, fontsize=7, color=cell.colour)
    drawn.suptitle(title, fontsize=10)
    return saved(drawn, path)


# --- classes ---------------------------------------------------------------------------------------------------------


def draw_classified(
    path: Path, images: np.ndarray, true: Sequence[Any], predicted: Sequence[Any], probabilities: np.ndarray
) -> Path:
    """Pictures of the test part with what the network says: green where it is right."""
    cells = [
        Cell(
            annotated.as_colours(image),
            f"{short(says)} ({share:.0%})" if says == is_ else f"{short(says)} ({share:.0%})\nnot {short(is_)}",
            GREEN if says == is_ else ORANGE,
        )
        for image, is_, says, share in zip(images, true, predicted, probabilities, strict=True)
    ]
    return draw_grid(path, "Predictions on the test part", cells)


def draw_mistakes(
    path: Path, images: np.ndarray, true: Sequence[Any], predicted: Sequence[Any], probabilities: np.ndarray
) -> Path:
    """Pictures of the test part that the network takes for another class, the surest mistakes first."""
    rows = zip(images, true, predicted, probabilities, strict=True)
    cells = [
        Cell(annotated.as_colours(image), f"{short(is_)} taken for\n{short(says)} ({share:.0%})")
        for image, is_, says, share in rows
    ]
    return draw_grid(path, "Surest mistakes on the test part", cells)


# --- masks and boxes -------------------------------------------------------------------------------------------------


def draw_masks(path: Path, images: np.ndarray, true: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Path:
    """Each picture, its true mask, the predicted one, and where they differ."""
    cells = []
    for image, is_, says in zip(images, true, predicted, strict=True):
        differs = (is_ != says) & (is_ >= 0)
        wrong = annotated.as_colours(image).copy()
        wrong[differs] = annotated.colour_of(0)
        right = 1 - differs.sum() / max((is_ >= 0).sum(), 1)
        cells += [
            Cell(annotated.as_colours(image), "picture"),
            Cell(annotated.with_mask(image, is_, classes), "truth"),
            Cell(annotated.with_mask(image, says, classes), "prediction"),
            Cell(wrong, f"mistakes: {1 - right:.1%} of the pixels"),
        ]
    return draw_grid(path, "Masks on the test part", cells, columns=4, side=2.6)


def draw_sure_pixels(path: Path, images: np.ndarray, wrong: np.ndarray) -> Path:
    """How sure the network is where it is wrong: the probability of the wrong class, 0 where it is right."""
    cells = [Cell(annotated.as_colours(image), "picture") for image in images]
    cells += [Cell(each, f"wrong and sure: {(each > 0.9).mean():.1%}") for each in wrong]
    return draw_grid(path, "Surest mistakes: the brighter a wrong pixel, the surer", cells, len(images), 2.6)


def draw_boxes(
    path: Path, images: np.ndarray, true: Sequence[np.ndarray], found: Sequence[np.ndarray], classes: Sequence[str]
) -> Path:
    """Each picture twice: with its true boxes, and with those that were found."""
    cells = []
    for image, truth, boxes in zip(images, true, found, strict=True):
        large, factor = enlarged(image)
        cells += [
            Cell(annotated.with_boxes(large, scaled(truth, factor), classes), f"truth: {len(truth)}"),
            Cell(annotated.with_boxes(large, scaled(boxes, factor), classes), f"found: {len(boxes)}"),
        ]
    return draw_grid(path, "Boxes on the test part", cells, columns=4, side=2.9)


def enlarged(image: np.ndarray, least: int = 320) -> tuple[np.ndarray, int]:
    """A small picture at a whole multiple of its size, so that boxes and words have room on it."""
    factor = max(1, math.ceil(least / image.shape[1]))
    return image.repeat(factor, axis=1).repeat(factor, axis=2), factor


def scaled(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes of a picture that was enlarged."""
    moved = np.array(boxes, dtype=np.float64)
    moved[:, :4] *= factor
    return moved


def draw_wrong_boxes(
    path: Path, images: Sequence[np.ndarray], boxes: np.ndarray, classes: Sequence[str], side: int = 24
) -> Path:
    """The surest boxes that meet no true one of their class: a piece of each picture around the box."""
    cells = []
    for image, row in zip(images, boxes, strict=True):
        large, factor = enlarged(image, 640)
        drawn = annotated.with_boxes(large, scaled(row[None, [0, 1, 2, 3, 5]], factor), [""] * len(classes))
        words = f"{short(classes[int(row[5])])} ({row[4]:.0%})"
        cells.append(Cell(_around(drawn, row[:4] * factor, side * factor), words))
    return draw_grid(path, "Surest boxes that meet no true one", cells, columns=6, side=1.7)


def _around(picture: np.ndarray, corners: np.ndarray, least: int) -> np.ndarray:
    """A square piece of a picture around a box, as large as the box with some margin."""
    height, width = picture.shape[:2]
    half = int(max(least, 1.4 * max(corners[2] - corners[0], corners[3] - corners[1]))) // 2
    half = min(half, height // 2, width // 2)
    x = int(np.clip((corners[0] + corners[2]) / 2, half, width - half))
    y = int(np.clip((corners[1] + corners[3]) / 2, half, height - half))
    return picture[y - half : y + half, x - half : x + half]


# --- the first layer -------------------------------------------------------------------------------------------------


def draw_filters(path: Path, weights: np.ndarray) -> Path:
    """The weights of the first layer, (filters, channels, height, width): grey is 0, or its colours where it has 3."""
    cells = []
    for each in weights[:MOST_FILTERS]:
        reach = max(float(np.abs(each).max()), 1e-12)
        shown = 0.5 + 0.5 * each / reach
        cells.append(Cell(shown.transpose(1, 2, 0) if len(each) == 3 else shown.mean(axis=0)))
    left_out = f", the first {MOST_FILTERS} of {len(weights)}" if len(weights) > MOST_FILTERS else ""
    return draw_grid(path, f"Weights of the first layer{left_out}", cells, columns=16, side=0.55)
