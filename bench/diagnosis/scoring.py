"""Recall and false alarms, as `../shared/data/faulty_networks/README.md` defines them.

In: outcomes. Out: `Score`: detected, named right, labels found, false alarms; in all and by label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.diagnosis.running import Outcome

HEALTHY = "healthy"


@dataclass
class Score:
    """Counts over the runs of one kind."""

    faulty: int = 0
    detected: int = 0
    named_first: int = 0
    labels: int = 0
    labels_found: int = 0
    healthy: int = 0
    false_alarms: int = 0

    @property
    def recall(self) -> float:
        """Share of the faulty runs for which a problem of the label was reported."""
        return self.detected / self.faulty if self.faulty else float("nan")

    @property
    def false_alarm_share(self) -> float:
        """Share of the healthy runs for which something outside `also_acceptable` was reported."""
        return self.false_alarms / self.healthy if self.healthy else float("nan")

    def __str__(self) -> str:
        return (
            f"faulty {self.faulty}: detected {self.recall:.1%}, first report right "
            f"{_share(self.named_first, self.faulty)}, "
            f"labels found {_share(self.labels_found, self.labels)}; healthy {self.healthy}: false alarms "
            f"{self.false_alarm_share:.1%}"
        )


def is_faulty(each: Outcome) -> bool:
    """By the label; a case that is not stable by its own final metric."""
    if each.stable:
        return each.label != HEALTHY  # type: ignore[no-any-return]
    return each.metric is None or each.metric < each.fails_below


def score(outcomes: Iterable[Outcome]) -> Score:
    found = Score()
    for each in outcomes:
        if each.waiting is None:
            _count(found, each)
    return found


def _count(found: Score, each: Outcome) -> None:
    label = [] if each.label == HEALTHY else list(each.label)
    if not is_faulty(each):
        found.healthy += 1
        found.false_alarms += any(name not in (*label, *each.also_acceptable) for name in each.found)
    elif label:  # a healthy case that failed from this start has no label to be compared with
        found.faulty += 1
        found.detected += any(name in each.found for name in label)
        found.named_first += each.found[:1] != [] and each.found[0] in (*label, *each.also_acceptable)
        found.labels += len(label)
        found.labels_found += sum(name in each.found for name in label)


def by_label(outcomes: list[Outcome]) -> dict[str, Score]:
    """One score for each main label."""
    names = sorted({_main(each.label) for each in outcomes})
    return {name: score(each for each in outcomes if _main(each.label) == name) for name in names}


def _main(label: Any) -> str:
    return label if isinstance(label, str) else label[0]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
