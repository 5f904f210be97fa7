"""Rules about the output and the loss: whether what is minimised is what the task asks for.

In: a run. Out: findings that need no training to be true; they are reported where the run does not reach the reference.
What the loss does is found by trying it (`behaviour`), so that its name does not matter.
"""

from __future__ import annotations

import numpy as np

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.rules.base import finding, has_begun, rule
from thalweg.diagnose.run import Run

LEFT_OVER = 0.1
OUTSIDE = 0.05
SHIFTED_GAIN = 0.01


@rule("wrong_output_activation",
      "With outputs as near to the targets as the activation's bounds allow, a tenth of the loss of guessing is "
      "left: it can never be removed. 0 for a fitting pair of activation and loss.", before_training=True)  # fmt: skip
def output_cannot_reach(run: Run) -> Finding | None:
    left = run.behaviour.left_over
    if not left > LEFT_OVER or not run.is_barely_behind:
        return None
    low, high = run.first.output_bounds
    return finding(
        run, "wrong_output_activation",
        f"The output passes {run.first.output_activation}, which gives {low:g} to {high:g}. Even the best outputs of "
        f"that kind leave {min(left, 9.99):.0%} of the loss of guessing, so the loss cannot fall to where it should.",
        Evidence("share of the loss of guessing that no output can remove", left, LEFT_OVER), layer=_output_layer(run),
    )  # fmt: skip


@rule("wrong_output_activation",
      "The loss has no gradient at wrong outputs outside [0, 1], so it takes probabilities; more than 5 % of the "
      "outputs lie there and learn nothing.", before_training=True)  # fmt: skip
def probabilities_expected(run: Run) -> Finding | None:
    if not run.behaviour.is_flat_when_wrong or run.first.output_bounds == (0.0, 1.0) or not run.is_barely_behind:
        return None
    share = max(_outside(each.outputs) for each in run.looks)
    if share <= OUTSIDE:
        return None
    return finding(
        run, "wrong_output_activation",
        f"The loss takes probabilities: outside of 0 to 1 it has no gradient. Up to {share:.0%} of the outputs lie "
        "there.",
        Evidence("share of the outputs outside [0, 1]", share, OUTSIDE), layer=_output_layer(run),
    )  # fmt: skip


@rule("wrong_loss", "An optimizer that maximises goes up the loss: no threshold.", before_training=True)
def climbs(run: Run) -> Finding | None:
    if not any(group.get("maximize") for group in run.optimizer.param_groups) or not run.is_barely_behind:
        return None
    return finding(run, "wrong_loss", "The optimizer maximises the loss: its sign is flipped.",
                   Evidence("sign of the step along the gradient", 1.0, 0.0))  # fmt: skip


@rule(
    "wrong_loss", "The loss of random outputs does not change when the targets are shuffled: no threshold.",
    before_training=True,
)  # fmt: skip
def ignores_pairs(run: Run) -> Finding | None:
    if run.behaviour.pairs_matter or not run.is_barely_behind:
        return None
    return finding(run, "wrong_loss",
                   "The loss stays the same when the targets are shuffled among the examples: it compares every output "
                   "with every target. Probably shapes such as (n, 1) and (n,) broadcast to (n, n).",
                   Evidence("change of the loss when targets are shuffled", 0.0, 1e-5))  # fmt: skip


@rule(
    "wrong_loss",
    "For numbers, outputs equal to the targets have the lowest loss; 1 % of guessing is left for rounding.",
    before_training=True,
)
def prefers_other_outputs(run: Run) -> Finding | None:
    gain = run.behaviour.better_than_targets
    if gain <= SHIFTED_GAIN or not run.is_failing:
        return None
    return finding(run, "wrong_loss",
                   "The loss is lower for outputs that differ from the targets than for the targets themselves.",
                   Evidence("how much lower, over the loss of guessing", gain, SHIFTED_GAIN))  # fmt: skip


@rule(
    "wrong_loss",
    "A loss of classes is bounded below, by 0; one that falls without end rewards growing scores: no threshold.",
    before_training=True,
)
def has_no_floor(run: Run) -> Finding | None:
    if run.behaviour.has_floor or not run.is_barely_behind:
        return None
    low = float(np.min(run.task.targets))
    return finding(run, "wrong_loss",
                   "The loss falls without end as outputs grow: the targets are coded as this loss does not expect "
                   f"them (from {low:g} to {float(np.max(run.task.targets)):g}).",
                   Evidence("lowest possible loss", float("-inf"), 0.0))  # fmt: skip


@rule("wrong_loss",
      "Squared error behind sigmoid or softmax has almost no gradient where the output is surely wrong (Glorot and "
      "Bengio 2010; Nielsen 2015, chapter 3); it is only said where the run stays behind.",
      before_training=True)  # fmt: skip
def squared_error_on_classes(run: Run) -> Finding | None:
    if not run.behaviour.is_squared_error or run.first.output_bounds != (0.0, 1.0):
        return None
    if not run.is_barely_behind and not run.training_reach < 1:
        return None
    lag = [Evidence("share of the reference's training skill", run.training_reach, 1.0)] if has_begun(run) else []
    return finding(run, "wrong_loss",
                   f"The loss is a squared error on classes behind {run.first.output_activation}: surely wrong outputs "
                   f"get almost no gradient. Cross-entropy does not have this.", *lag)  # fmt: skip


def _outside(outputs: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(((outputs < 0) | (outputs > 1)).mean())


def _output_layer(run: Run) -> str | None:
    return run.first.layers[-1].path if run.first.layers else None


RULES = (
    output_cannot_reach,
    probabilities_expected,
    climbs,
    ignores_pairs,
    prefers_other_outputs,
    has_no_floor,
    squared_error_on_classes,
)
