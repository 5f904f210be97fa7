"""Every case trained plain and with the doctor on, one after another, on one thread.

In: a case. Out: an `Outcome`: what was found, where and when, the metric, how long it took, with and without.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Any

from bench.diagnosis.cases import Data, data_of, metric_of, set_up
from bench.diagnosis.networks import WaitingError
from thalweg.diagnose.finding import Finding
from thalweg.diagnose.judge import problems
from thalweg.train.callbacks.doctor import Doctor


@dataclass
class Outcome:
    """What came of one case: plain, watched by the doctor, and with repair."""

    id: str
    label: Any
    stable: bool
    found: list[str]
    roots: list[str]
    layer: str | None
    epoch: int | None
    metric: float | None
    metric_watched: float | None
    metric_repaired: float | None
    seconds: float
    seconds_watched: float
    seconds_repaired: float
    fails_below: float
    also_acceptable: list[str]
    waiting: str | None = None
    expected_layer: int | None = None
    """The number of the hidden layer at fault, where it is known."""
    named_layer: int | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        return {name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(self).items()}  # fmt: skip


def outcome(case: dict[str, Any], recipes: Any, seed: int = 0, repairs: bool = True) -> Outcome:
    """Train a case plain, watched and with repair from one start; label and reference are only copied to the result."""
    found: list[Finding] = []
    plain = watched = repaired = (None, 0.0)
    waiting = None
    try:
        data = data_of(case, recipes)
        plain = trained(case, data, seed, [])
        doctor = Doctor("advise", show=False)
        repaired = watched = trained(case, data, seed, [doctor])
        found = doctor.findings
        if repairs and found:  # where nothing is found, a run with repair is a run that is watched
            repaired = trained(case, data, seed, [Doctor("repair", show=False)])
    except WaitingError as error:
        waiting = str(error)
    return Outcome(
        case["id"], case["label"], case["stable"], problems(found), [each.problem for each in found],
        found[0].layer if found else None, found[0].epoch if found else None, plain[0], watched[0], repaired[0],
        plain[1], watched[1], repaired[1], case["reference"]["fails_below"], case["also_acceptable"], waiting,
        case.get("layer"), hidden_layer(case, found),
    )  # fmt: skip


def hidden_layer(case: dict[str, Any], found: list[Finding]) -> int | None:
    """The number of the layer that the first finding names, in a case whose layers all have an activation."""
    if "layer" not in case or not found or found[0].layer is None:
        return None
    return int(found[0].layer) // 2


def trained(case: dict[str, Any], data: Data, seed: int, callbacks: list[Any]) -> tuple[float | None, float]:
    """The validation metric at the end, and the seconds of `fit`: of this process, whatever else the machine does."""
    made = set_up(case, data, seed, callbacks=callbacks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # losses that are not finite are what these cases are about
        began = time.process_time()
        made.fit()
        seconds = round(time.process_time() - began, 3)
        return metric_of(case, data, made.trainer.predict(data.x_validation)), seconds
