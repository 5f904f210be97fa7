"""The verdict on a run: what the rules find, root causes first, with their consequences under them.

In: a `Run`. Out: a list of `Finding`s. Rules whose causes are certain from the set-up are asked first; probes, which
train copies, only where these do not explain why the run fails.
"""

from __future__ import annotations

from dataclasses import replace

from thalweg.diagnose.finding import Finding
from thalweg.diagnose.rules import RULES
from thalweg.diagnose.run import Run

# Problem -> what it leads to. A finding stands under the first finding of the run that explains it.
_LEADS_TO = {
    "wrong_loss": "non_finite exploding_gradient slow_convergence plateau saturated_activation dying_relu "
                  "oscillating_loss over_regularized degenerate_signal",
    "wrong_output_activation": "slow_convergence plateau dying_relu saturated_activation oscillating_loss "
                               "over_regularized degenerate_signal",
    "unscaled_input": "non_finite exploding_gradient dying_relu saturated_activation plateau learning_rate_too_high "
                      "learning_rate_too_low oscillating_loss vanishing_gradient slow_convergence degenerate_signal",
    "bad_initialization": "vanishing_gradient exploding_gradient non_finite saturated_activation dying_relu plateau "
                          "slow_convergence degenerate_signal learning_rate_too_high oscillating_loss",
    "over_regularized": "slow_convergence plateau vanishing_gradient dying_relu",
    "vanishing_gradient": "slow_convergence plateau degenerate_signal dying_relu learning_rate_too_low "
                          "saturated_activation",
    "learning_rate_too_high": "exploding_gradient non_finite dying_relu saturated_activation plateau oscillating_loss "
                              "vanishing_gradient slow_convergence",
    "learning_rate_too_low": "slow_convergence plateau",
    "exploding_gradient": "non_finite oscillating_loss dying_relu saturated_activation plateau slow_convergence",
    "dying_relu": "vanishing_gradient plateau slow_convergence degenerate_signal learning_rate_too_low",
    "saturated_activation": "plateau slow_convergence",
    "oscillating_loss": "plateau",
    "class_imbalance": "overfitting",
    "label_range": "class_imbalance slow_convergence plateau oscillating_loss overfitting",
    "frozen_parameter": "untouched_parameter vanishing_gradient slow_convergence plateau learning_rate_too_low",
    "unused_parameter": "slow_convergence plateau learning_rate_too_low",
    "untouched_parameter": "vanishing_gradient slow_convergence plateau degenerate_signal learning_rate_too_low",
    "train_eval_disagreement": "overfitting oscillating_loss slow_convergence plateau",
}  # fmt: skip
LEADS_TO = {name: frozenset(effects.split()) for name, effects in _LEADS_TO.items()}
# Whether a problem is a cause by itself, or a symptom that something brings about: causes are reported first.
ORDER = (
    "wrong_loss", "wrong_output_activation", "label_range", "frozen_parameter", "unused_parameter",
    "untouched_parameter", "wrong_gradient", "unscaled_input", "class_imbalance", "train_eval_disagreement",
    "bad_initialization",
    "vanishing_gradient", "over_regularized", "learning_rate_too_high", "learning_rate_too_low", "exploding_gradient",
    "dying_relu", "saturated_activation", "oscillating_loss", "overfitting", "slow_convergence", "degenerate_signal",
    "plateau", "non_finite", "data_leakage",
)  # fmt: skip
EXPLAINS = frozenset(
    {"wrong_loss", "wrong_output_activation", "label_range", "frozen_parameter", "untouched_parameter",
     "unscaled_input", "over_regularized", "overfitting"}
)  # fmt: skip
"""Causes that are certain from the set-up or the first look: where one is found, no probe is needed."""


def judge(run: Run) -> list[Finding]:
    """All findings, each root cause with its consequences; empty for a run in which nothing is wrong."""
    found: list[Finding] = []
    for rule in RULES:
        run.is_explained = any(each.problem in EXPLAINS or _from_the_start(each) for each in found)
        one = rule(run)
        if one is not None and all(one.problem != each.problem for each in found):
            found.append(one)
    return grouped(sorted(found, key=_place))


def _place(found: Finding) -> float:
    """Vanishing that began while training is a symptom; a layer that is dead before it stops every gradient."""
    if found.problem == "vanishing_gradient" and found.epoch is not None:
        return ORDER.index("slow_convergence")
    if found.problem == "dying_relu" and found.epoch is None and found.evidence[0].value == 1.0:
        return ORDER.index("vanishing_gradient") - 0.5
    return ORDER.index(found.problem)


def _from_the_start(found: Finding) -> bool:
    """Vanishing or symmetry that was there before the first step is not the rate's doing."""
    return found.problem in ("vanishing_gradient", "bad_initialization", "dying_relu") and found.epoch is None


def grouped(found: list[Finding]) -> list[Finding]:
    """Each finding under the first one that leads to it."""
    roots: list[Finding] = []
    under: dict[int, list[Finding]] = {}
    for one in found:
        place = next((i for i, root in enumerate(roots) if one.problem in LEADS_TO.get(root.problem, ())), None)
        if place is None:
            roots.append(one)
        else:
            under.setdefault(place, []).append(one)
    return [replace(root, consequences=tuple(under.get(i, ()))) for i, root in enumerate(roots)]


def problems(found: list[Finding]) -> list[str]:
    """The names of all problems, root causes first."""
    roots = [each.problem for each in found]
    return roots + [each.problem for root in found for each in root.consequences]
