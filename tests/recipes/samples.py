"""Small data sets that recipes are tested on: quick to train, with something to learn in them.

In: a folder. Out: paths of CSV files.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def rows_of_classes(count: int = 240, seed: int = 0) -> list[str]:
    """Rows size,colour,weight,kind: the kind follows from size and colour; some cells are missing."""
    draw = np.random.default_rng(seed)
    size, weight = draw.normal(size=count), np.exp(draw.normal(size=count) * 2)
    colour = draw.choice(["red", "green", "blue"], count)
    kind = np.where(size + (colour == "red") > 0.4, "fruit", np.where(colour == "blue", "stone", "leaf"))
    cells = [f"{each:.4f}" if index % 17 else "" for index, each in enumerate(size)]
    return [",".join(row) for row in zip(cells, colour, (f"{each:.3f}" for each in weight), kind, strict=True)]


def write_classes(folder: Path, name: str = "things.csv", header: bool = True, **options: int) -> str:
    lines = (["size,colour,weight,kind"] if header else []) + rows_of_classes(**options)
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def write_numbers(folder: Path, name: str = "prices.csv.gz", count: int = 240, seed: int = 0) -> str:
    """Rows area,town,price: the price in thousands follows from area and town."""
    draw = np.random.default_rng(seed)
    area, town = draw.uniform(20, 200, count), draw.choice(["Aa", "Bb"], count)
    price = 1000 * (2 * area + 100 * (town == "Aa") + draw.normal(size=count) * 5)
    lines = ["area,town,price", *(f"{a:.2f},{t},{p:.2f}" for a, t, p in zip(area, town, price, strict=True))]
    with gzip.open(folder / name, "wt") as stream:
        stream.write("\n".join(lines) + "\n")
    return str(folder / name)


def write_images(folder: Path, recipe: str = "mnist", count: int = 200, seed: int = 0) -> str:
    """Four IDX files of 6 x 6 images whose class is the row that is bright."""
    from thalweg.data import write_idx

    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    for part, size in (("train", count), ("t10k", count // 2)):
        labels = np.arange(size) % 6
        images = draw.integers(0, 60, (size, 6, 6), dtype=np.uint8)
        images[np.arange(size), labels] = 220
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels.astype(np.uint8))
    return str(folder)
