"""The page of the gallery: for each experiment a figure, three sentences and a table, made of what was measured.

In: what docs/gallery.json keeps. Out: docs/gallery.md and the SVG files in docs/figures/gallery, the same bytes for the
same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.datasets import REPOSITORY
from bench.gallery.drawing import standalone
from bench.gallery.experiment import Experiment, Measured
from bench.gallery.registry import EXPERIMENTS

DOCUMENTS = REPOSITORY / "docs"
FIGURES = Path("figures") / "gallery"
INTRODUCTION = """\
# Gallery

What textbooks and papers say about training, measured again: vanishing and exploding gradients, through layers and
through time, and what each remedy does, initialisation, learning rates, schedules, optimizers, overfitting.
`make gallery` measures all of it, draws the figures and writes this page; `python -m bench.gallery NAME --write` does
one of them. In the figures each seed is a thin line or a dot, the mean of the seeds a thick line or a stroke; in the
text a mean stands before the values of seeds 0, 1 and 2 in brackets.

The images are those of MNIST's training part, in three parts: 45,000 to learn from, 5,000 to choose settings by where
any are chosen, 10,000 to measure on, called *held-out* below. The test part of MNIST is not used. The sequences of the
adding problem are drawn. Sizes, rates and epochs that no paper gives were picked so that the effect can be seen.
"""


@dataclass(frozen=True)
class Kept:
    """What is known of one experiment: the numbers of each seed, how long it took, when and where."""

    results: list[Measured]
    seconds: float
    where: str


def stored(documents: Path = DOCUMENTS) -> dict[str, Kept]:
    """What docs/gallery.json has of experiments that are still there."""
    path = documents / "gallery.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: Kept(**content[name]) for name in EXPERIMENTS if name in content}


def save(known: Mapping[str, Kept], documents: Path = DOCUMENTS) -> None:
    """One line for the numbers of a seed, so that a difference between two versions can be read."""
    entries = []
    for name, kept in known.items():
        seeds = ",\n   ".join(json.dumps(each, separators=(",", ":")) for each in kept.results)
        about = f'"seconds": {kept.seconds}, "where": {json.dumps(kept.where)}'
        entries.append(f' "{name}": {{{about}, "results": [\n   {seeds}]}}')
    (documents / "gallery.json").write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def write(known: Mapping[str, Kept], documents: Path = DOCUMENTS) -> None:
    """The page, and the figure of every experiment that is known."""
    folder = documents / FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    for name, kept in known.items():
        each = EXPERIMENTS[name]
        (folder / f"{name}.svg").write_text(standalone(each.draw(kept.results), each.label), encoding="utf-8")
    (documents / "gallery.md").write_text(document(known), encoding="utf-8")


def document(known: Mapping[str, Kept]) -> str:
    """The text of docs/gallery.md."""
    sections = [section(EXPERIMENTS[name], known[name]) for name in EXPERIMENTS if name in known]
    places = dict.fromkeys(known[name].where for name in EXPERIMENTS if name in known)
    seconds = sum(kept.seconds for kept in known.values())
    end = ["## Where and when", "", f"All of it took {seconds / 60:.1f} minutes. Measured:", "",
           *(f"- {each}" for each in places), ""]  # fmt: skip
    return "\n".join([INTRODUCTION, *sections, *end])


def section(each: Experiment, kept: Kept) -> str:
    lines = [f"## {each.title}", "", f"![{each.label}]({FIGURES.as_posix()}/{each.name}.svg)", "",
             *each.tell(kept.results), "", *markdown(each.table(kept.results)), "",
             f"After {each.source}. `python -m bench.gallery {each.name} --write`, {kept.seconds:.0f} s.",
             ""]  # fmt: skip
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]
