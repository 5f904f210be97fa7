"""The report of a run: one HTML page with its numbers and its pictures, which needs nothing beside it.

In: what a run was and what it left: facts, histories, watched quantities, findings, scores, kernels. Out: a page.
Curves are drawn as SVG that follows light and dark; pictures of pictures are part of the file as they are.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from thalweg.diagnose.finding import Finding
from thalweg.report import pictures
from thalweg.report.layer_pictures import draw_bands, draw_heat_map, draw_profile, drawn_quantities, kind_of
from thalweg.report.page import Part, beside, framed, page, wide_table, write_page
from thalweg.report.pictures import Numbers, measure_name, measures_of
from thalweg.report.vector import svg_of
from thalweg.report.watched import Watched
from thalweg.tensor.markup import escaped

PROFILED = ("gradient_norm", "gradient_rms", "output_rms")
"""Quantities whose course from the first layer to the last is drawn as a line besides."""
MOST_KERNELS = 15
"""Kernels that are shown at once, those that take longest; the others open on a click."""
WITHOUT_MATPLOTLIB = "Curves are left out: matplotlib is not installed (pip install 'thalweg[report]')."


class Shown(NamedTuple):
    """A picture of the report: its heading, what can be seen on it, and its PNG file or its figure."""

    heading: str
    caption: str
    path: Path
    drawn: Any = None


class KernelTime(NamedTuple):
    """One kernel of the compiled step, on one thread: what it does, its seconds, its share of the machine's peak."""

    name: str
    operations: str
    sources: str
    seconds: float
    flops: float
    bytes: float
    share_of_peak: float


Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, names of the columns, rows."""


@dataclass
class RunReport:
    """What a report says, from the most to the least important; whatever is not known is left out.

    `steps` and `epochs` are those of `History`. `quantities` are watched of the layers, by name; `repeat` is what it
    takes to do the run again: seed, versions, arguments, the fingerprint of the data.
    """

    title: str
    result: str
    facts: Sequence[tuple[str, str]]
    tables: Sequence[Table] = ()
    pictures: Sequence[Shown] = ()
    command: str = ""
    notes: Sequence[str] = field(default_factory=list)
    steps: Mapping[str, Numbers] = field(default_factory=dict)
    epochs: Mapping[str, Numbers] = field(default_factory=dict)
    best_epoch: int | None = None
    quantities: Mapping[str, Watched] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    kernels: Sequence[KernelTime] = ()
    memory: Sequence[tuple[str, str]] = ()
    repeat: Sequence[tuple[str, str]] = ()

    def write(self, path: Path) -> Path:
        """The file, whole or not at all."""
        return write_page(self.text(), path)

    def text(self) -> str:
        """The report as HTML."""
        lead = f'<p class="result">{escaped(self.result)}</p>'
        return page(self.title, [part for part in self._parts() if part.content], lead)

    def _parts(self) -> Iterator[Part]:
        missing = [] if _can_draw() else [WITHOUT_MATPLOTLIB]
        notes = "".join(f"<p>{escaped(note)}</p>" for note in [*self.notes, *missing])
        yield Part("summary", "The run", wide_table((), self.facts) + notes)
        yield Part("findings", "What is wrong, and what helps", "".join(each._repr_html_() for each in self.findings))
        if _can_draw():
            yield Part("course", "The course of training", beside(list(self._course())))
            yield Part("layers", "Layer by layer", beside(list(_of_layers(self.steps, self.quantities))))
        yield Part("test part", "On the test part", self._test_part())
        yield Part("kernels", "Time and memory of a step, kernel by kernel", self._kernel_table())
        yield Part("repeat", "To repeat it", self._how_to_repeat())

    def _course(self) -> Iterator[str]:
        if not self.steps.get("step"):
            return
        caption = "Loss at each iteration: every step, smoothed, and the validation part after each epoch"
        yield _framed(pictures.draw_loss(self.steps, self.epochs, self.best_epoch), caption)
        for name in measures_of(self.epochs):
            caption = f"{measure_name(name)} after each epoch, on the training and the validation part"
            yield _framed(pictures.draw_epochs(self.epochs, self.best_epoch, [name]), caption)
        yield _framed(pictures.draw_learning_rate(self.steps), "Learning rate, as the schedule sets it")

    def _test_part(self) -> str:
        tables = [f"<h3>{escaped(heading)}</h3>{wide_table(names, rows)}" for heading, names, rows in self.tables]
        return "".join(tables) + beside([_shown(each) for each in self.pictures])

    def _kernel_table(self) -> str:
        total = sum(each.seconds for each in self.kernels)
        rows = [
            (each.name, each.operations, each.sources, f"{each.seconds * 1e6:,.2f}", f"{each.seconds / total:.1%}",
             f"{each.flops / 1e6:,.3f}", f"{each.bytes / 1024:,.1f}", f"{each.share_of_peak:.0%}")
            for each in sorted(self.kernels, key=lambda each: -each.seconds)
        ]  # fmt: skip
        header = ("kernel", "operations", "from", "µs", "of the step", "MFLOP", "KiB", "of the peak")
        parts = [wide_table((), self.memory)] if self.memory else []
        if rows:
            parts.append(wide_table(header, rows[:MOST_KERNELS], range(3, 8)))
        if rest := rows[MOST_KERNELS:]:
            table = wide_table(header, rest, range(3, 8))
            parts.append(f"<details><summary>{len(rest)} more kernels</summary>{table}</details>")
        return "".join(parts)

    def _how_to_repeat(self) -> str:
        command = f"<pre>{escaped(self.command)}</pre>" if self.command else ""
        return command + (wide_table((), self.repeat) if self.repeat else "")


def _can_draw() -> bool:
    try:
        pictures.figure()
    except ImportError:
        return False
    return True


def _of_layers(steps: Mapping[str, Numbers], quantities: Mapping[str, Watched]) -> Iterator[str]:
    """Heat maps of everything that was watched, with the profiles and bands that belong to it."""
    if any(name.startswith("gradient_norm/") for name in steps):
        caption = "Norm of each layer's gradient, before clipping: layers that learn have gradients of a size"
        yield _framed(pictures.draw_gradient_norms(steps), caption)
    for name in drawn_quantities(quantities):
        kind, watched = kind_of(name), quantities[name]
        yield _framed(draw_heat_map(watched, kind), f"{kind.heading}. {kind.caption}", "over the iterations, by layer")
        if name in PROFILED and len(watched.layers) > 1:
            yield _framed(draw_profile(watched, kind), f"{kind.heading}, from the first layer to the last")
    for what in ("output", "gradient"):
        mean, spread = quantities.get(f"{what}_mean"), quantities.get(f"{what}_std")
        if mean is not None and spread is not None and mean.values.shape == spread.values.shape:
            words = "activations" if what == "output" else "gradients"
            yield _framed(draw_bands(mean, spread), f"Distribution of the {words}: mean, and one standard deviation")


def _framed(drawn: Any, caption: str, more: str = "") -> str:
    return framed(svg_of(drawn, f"{caption.partition(':')[0]} {more}".strip()), caption)


def _shown(shown: Shown) -> str:
    caption = f"{shown.heading}. {shown.caption}"
    if shown.drawn is not None:
        return _framed(shown.drawn, caption)
    content = base64.b64encode(shown.path.read_bytes()).decode("ascii")
    picture = f'<img alt="{escaped(shown.heading)}" src="data:image/png;base64,{content}">'
    return framed(picture, f"{caption} ({shown.path.name})")
