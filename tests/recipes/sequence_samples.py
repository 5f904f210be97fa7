"""Small texts and recordings with something to learn in them, quick to train on.

In: a folder. Out: paths of text files, CSV files, pairs of files, folders of recordings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thalweg.data import write_sound

RATE = 8000
NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fuenf"}
GOOD, BAD = ("fine", "great", "lovely"), ("dull", "poor", "tedious")
OTHERS = ("film", "story", "music", "plot", "end", "cast", "scene")


def write_text(folder: Path, name: str = "book.txt", count: int = 300) -> str:
    """Lines of which each is one of three."""
    draw = np.random.default_rng(0)
    lines = draw.choice(["the cat sat", "on the mat", "and slept"], count)
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def write_reviews(folder: Path, name: str = "reviews.csv", count: int = 80, seed: int = 0) -> str:
    """Sentences with a good or a bad word in them: the column stars says which."""
    draw = np.random.default_rng(seed)
    lines = ["review,stars"]
    for number in range(count):
        is_good = number % 2
        words = [*draw.choice(OTHERS, 4), draw.choice(GOOD if is_good else BAD)]
        lines.append(f"{' '.join(draw.permutation(words))} {number},{'up' if is_good else 'down'}")
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def write_translations(folder: Path, count: int = 120) -> tuple[str, str]:
    """Sentences of numbers in two languages, word for word."""
    draw = np.random.default_rng(0)
    rows = [draw.choice(list(NUMBERS), draw.integers(2, 5)) for _ in range(count)]
    for name, lines in (("a.en", rows), ("a.de", [[NUMBERS[word] for word in row] for row in rows])):
        (folder / name).write_text("\n".join(map(" ".join, lines)) + "\n")
    return str(folder / "a.en"), str(folder / "a.de")


def write_recordings(folder: Path, count: int = 30, channels: int = 1) -> str:
    """Tones: low ones and high ones, `low_0.wav`, `high_1.wav`, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        time = np.arange(int(draw.uniform(0.12, 0.2) * RATE)) / RATE
        tone = 0.5 * np.sin(2 * np.pi * (300 if number % 2 else 1500) * time) + draw.normal(size=len(time)) * 0.05
        samples = tone if channels == 1 else np.stack([tone] * channels)
        write_sound(folder / f"{'low' if number % 2 else 'high'}_{number}.wav", samples, RATE)
    return str(folder)
