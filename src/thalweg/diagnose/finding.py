"""`Finding`: one problem that was seen in one run, with its evidence; a line for a terminal, a text, HTML, or JSON.

In: the name of a problem, where it shows, the numbers that show it. Out: what the user reads. Consequences of a root
cause are findings under it, so that a report says one thing first.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from thalweg.diagnose.problems import PROBLEMS, Problem
from thalweg.diagnose.remedies import REMEDIES, Remedy
from thalweg.errors import ArgumentError, explain


class Evidence(NamedTuple):
    """One number that speaks for the finding, and the threshold that it is compared with, if there is one."""

    what: str
    value: float
    threshold: float | None = None

    def __str__(self) -> str:
        against = "" if self.threshold is None else f" (threshold {self.threshold:.3g})"
        return f"{self.what}: {self.value:.3g}{against}"


@dataclass(frozen=True)
class Finding:
    """A problem in a run.

    Attributes:
        problem: its name, one of `PROBLEMS`.
        layer: the module path of the layer, or of the first of several; None where it is no layer's.
        line: the user's source line that made the layer, as ``file:line``; None where it is not known.
        step, epoch: when it was first seen, counted from 0; None for what was there before training.
        evidence: the numbers with their thresholds.
        explanation: what happens in this run, in a sentence; by default the meaning of the problem.
        remedies: what to do, best first; by default those of the problem.
        certainty: from 0 to 1.
        consequences: findings that this one explains.

    Raises:
        ArgumentError: an unknown problem, or a certainty outside [0, 1].

    >>> finding = Finding("vanishing_gradient", "0", "net.py:3", epoch=2,
    ...                   evidence=(Evidence("gradient of the first layer over the last's", 4e-9, 1e-2),))
    >>> print(finding)
    vanishing gradient in 0 (net.py:3), epoch 3: gradient of the first layer over the last's: 4e-09 (threshold 0.01)
    >>> Finding.from_json(finding.to_json()) == finding
    True
    """

    problem: str
    layer: str | None = None
    line: str | None = None
    step: int | None = None
    epoch: int | None = None
    evidence: tuple[Evidence, ...] = ()
    explanation: str = ""
    remedies: tuple[Remedy, ...] = ()
    certainty: float = 1.0
    consequences: tuple[Finding, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.problem not in PROBLEMS:
            raise ArgumentError(
                explain("a finding names a known problem", received=repr(self.problem), expected=", ".join(PROBLEMS))
            )
        if not 0.0 <= self.certainty <= 1.0:
            received = repr(self.certainty)
            raise ArgumentError(explain("a finding's certainty is a share", received=received, expected="0 to 1"))
        object.__setattr__(self, "evidence", tuple(Evidence(*each) for each in self.evidence))
        object.__setattr__(self, "explanation", self.explanation or self.kind.meaning)
        object.__setattr__(self, "remedies", tuple(self.remedies) or self.kind.remedies)
        object.__setattr__(self, "consequences", tuple(self.consequences))

    @property
    def kind(self) -> Problem:
        """The problem itself: title, meaning, causes."""
        return PROBLEMS[self.problem]

    # --- text --------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        """One line."""
        numbers = "; ".join(map(str, self.evidence))
        return f"{self.heading()}: {numbers}" if numbers else self.heading()

    def heading(self) -> str:
        """What, where and when."""
        place = "" if self.layer is None else f" in {self.layer or 'the model'}"
        line = "" if self.line is None else f" ({self.line})"
        return f"{self.kind.title}{place}{line}{self.when()}"

    def when(self) -> str:
        """``, epoch 3``, counted from 1 as people do; the step where no epoch is known; nothing before training."""
        if self.epoch is not None:
            return f", epoch {self.epoch + 1}"
        return "" if self.step is None else f", step {self.step}"

    def text(self) -> str:
        """The long form: evidence, explanation, what to do, how sure it is, and what follows from it."""
        lines = [self.heading(), f"  {self.explanation}"]
        lines += [f"  seen:     {each}" for each in self.evidence]
        lines += [f"  to do:    {_told(each)}" for each in self.remedies]
        lines += [f"  certain:  {self.certainty:.0%}"]
        lines += [f"  leads to: {each}" for each in self.consequences]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The long form for a notebook or a page; classes are there for a style sheet, none is needed."""
        rows = "".join(f"<tr><td>{_escaped(each.what)}</td><td>{each.value:.3g}</td><td>{_threshold(each)}</td></tr>"
                       for each in self.evidence)  # fmt: skip
        table = f"<table><tr><th>seen</th><th>value</th><th>threshold</th></tr>{rows}</table>" if rows else ""
        remedies = "".join(f"<li>{_remedy_html(each)}</li>" for each in self.remedies)
        led_to = "".join(f"<li>{_escaped(each)}</li>" for each in self.consequences)
        return (
            f'<section class="finding"><h4>{_escaped(self.heading())}</h4><p>{_escaped(self.explanation)}</p>{table}'
            f"<p>What to do:</p><ol>{remedies}</ol>"
            + (f"<p>It leads to:</p><ul>{led_to}</ul>" if led_to else "")
            + f"<p>Certainty: {self.certainty:.0%}</p></section>"
        )

    # --- JSON --------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that JSON does not have are texts: ``"nan"``, ``"inf"``."""
        return {
            "problem": self.problem, "layer": self.layer, "line": self.line, "step": self.step, "epoch": self.epoch,
            "evidence": [
                {"what": what, "value": _number(value), "threshold": None if limit is None else _number(limit)}
                for what, value, limit in self.evidence
            ],
            "explanation": self.explanation, "remedies": [each.name for each in self.remedies],
            "certainty": self.certainty, "consequences": [each.to_json() for each in self.consequences],
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` described."""
        evidence = [
            Evidence(
                each["what"], float(each["value"]), None if each["threshold"] is None else float(each["threshold"])
            )
            for each in values["evidence"]
        ]
        return cls(
            values["problem"], values["layer"], values["line"], values["step"], values["epoch"], tuple(evidence),
            values["explanation"], tuple(REMEDIES[name] for name in values["remedies"]), values["certainty"],
            tuple(cls.from_json(each) for each in values["consequences"]),
        )  # fmt: skip


def _told(remedy: Remedy) -> str:
    return f"{remedy.text}  {remedy.code}" if remedy.code else remedy.text


def _remedy_html(remedy: Remedy) -> str:
    code = f" <code>{_escaped(remedy.code)}</code>" if remedy.code else ""
    return _escaped(remedy.text) + code


def _threshold(evidence: Evidence) -> str:
    return "" if evidence.threshold is None else f"{evidence.threshold:.3g}"


def _escaped(text: object) -> str:
    return html.escape(str(text))


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))
