"""`Preflight`: what was found before training, as text, as HTML for a notebook, as JSON.

In: checks with what each of them said, findings, the layers, the loss, the small batch.
Out: what the user reads; `ok` says whether anything is wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any

from thalweg.diagnose.finding import Finding
from thalweg.diagnose.looks import LayerLook
from thalweg.diagnose.preflight_fit import SmallBatch
from thalweg.tensor.markup import escaped, html_table

NOTHING = "Nothing wrong was found."
HEADER = ("layer", "kind", "output", "of the one before", "differs", "gradient", "of the next")


class Status(Enum):
    """What came of a check; the value is the word in front of its line."""

    FINE = "ok"
    NOTE = "note"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what there was to see."""

    name: str
    status: Status
    said: str

    def __str__(self) -> str:
        return f"{self.status.value:8s} {self.name:24s} {self.said}"


@dataclass
class Preflight:
    """What `preflight` found.

    Attributes:
        findings: problems, root causes first, each with its consequences; empty where nothing is wrong.
        checks: everything that was looked at, in that order, with its numbers; some were skipped, and say why.
        layers: each layer with weights, as it is now, so before training at initialisation (`output`, `gradient`: root
            mean squares; `variation`: share of the outputs' mean square that differs from example to example; `dead`,
            `saturated`).
        initial_loss, expected_loss: of the network as it is, and of an ignorant one: log C for C classes under
            cross-entropy, the variance of the targets under squared error. NaN where they are not known.
        input_size: root mean square of the inputs.
        small_batch: how well a copy fitted a few examples, or None.
    """

    findings: list[Finding] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    layers: list[LayerLook] = field(default_factory=list)
    initial_loss: float = math.nan
    expected_loss: float = math.nan
    input_size: float = math.nan
    small_batch: SmallBatch | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Notes and skipped checks are not wrong."""
        return not self.findings

    @property
    def output_ratios(self) -> list[float]:
        """Size of each layer's outputs over those of the layer before it; of the first over the inputs."""
        sizes = [self.input_size, *(each.output for each in self.layers)]
        return [_ratio(after, before) for before, after in pairwise(sizes)]

    @property
    def gradient_ratios(self) -> list[float]:
        """Size of each layer's gradient over that of the next one; NaN for the last."""
        sizes = [*(each.gradient for each in self.layers), math.nan]
        return [_ratio(one, following) for one, following in pairwise(sizes)]

    # --- text --------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        """A line for each check, the layers, and the findings with evidence and remedies."""
        told = [each.text() for each in self.findings] or [NOTHING]
        return "\n".join([*map(str, self.checks), *self.table(), "", *told])

    def table(self) -> list[str]:
        """The layers, a line each, columns below each other."""
        rows = [HEADER, *self._rows()] if self.layers else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(f"{cell:>{w}s}" if n > 1 else f"{cell:{w}s}"
                           for n, (cell, w) in enumerate(zip(row, widths, strict=True))) for row in rows]  # fmt: skip
        return ["", *lines] if lines else []

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (each.path, each.layer.kind, f"{each.output:.3g}", _shown(grown), f"{each.variation:.0%}",
             f"{each.gradient:.3g}", _shown(shrunk))
            for each, grown, shrunk in zip(self.layers, self.output_ratios, self.gradient_ratios, strict=True)
        ]  # fmt: skip

    def sections(self) -> list[tuple[str, str, str]]:
        """Name, heading and HTML of each part, for a notebook or a page: what is wrong comes first."""
        lines = html_table(("", "check", "seen"), [(each.status.value, each.name, each.said) for each in self.checks])
        wrong = "".join(each._repr_html_() for each in self.findings) or f"<p>{NOTHING}</p>"
        found = [("findings", "What is wrong, and what helps", wrong), ("checks", "What was looked at", lines)]
        if self.layers:
            layers = html_table(HEADER, self._rows(), numbers=range(2, len(HEADER)))
            found.append(("layers", "Layer by layer", layers))
        return found

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        parts = "".join(f"<h4>{escaped(heading)}</h4>{content}" for _, heading, content in self.sections())
        return f'<section class="preflight">{parts}</section>'

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not known are None."""
        return {
            "ok": self.ok, "findings": [each.to_json() for each in self.findings],
            "checks": [{"name": each.name, "status": each.status.value, "said": each.said} for each in self.checks],
            "layers": [
                {"layer": each.path, "kind": each.layer.kind, "line": each.layer.line, "output": _known(each.output),
                 "gradient": _known(each.gradient), "variation": _known(each.variation)} for each in self.layers
            ],
            "initial_loss": _known(self.initial_loss), "expected_loss": _known(self.expected_loss),
            "small_batch": None if self.small_batch is None else self.small_batch.to_json(),
        }  # fmt: skip


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else math.nan


def _shown(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else ""


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
