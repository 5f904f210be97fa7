"""Rules about what is trained: frozen outputs, layers that nobody calls, parameters that no update reaches.

In: a run. Out: findings from the graph of the loss, the flags of the parameters and the groups of the optimizer, with
the layer and its line. Beginnings that are kept as they are, as in transfer learning, are nobody's mistake.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.parameters import ParameterFacts, foreign_parameters, named
from thalweg.diagnose.remedies import REMEDIES
from thalweg.diagnose.rules.base import finding, layers, rule
from thalweg.diagnose.rules.units import DEAD, SATURATED
from thalweg.diagnose.run import Run


@rule("frozen_parameter",
      "What is adapted to a task is its output layer first of all; a network whose last weights are excluded from "
      "training is no transfer learning. Frozen layers before it are left alone: no threshold.",
      before_training=True)  # fmt: skip
def output_is_frozen(run: Run) -> Finding | None:
    weights = [each for each in run.parameters if len(each.shape) > 1 and each.is_used]
    frozen = [each for each in weights if not each.is_trainable]
    if not frozen or last_weights(run, weights).is_trainable or not run.is_barely_behind:
        return None
    what = "All weights are" if len(frozen) == len(weights) else f"The output layer ({frozen[-1].name}) is"
    return finding(run, "frozen_parameter",
                   f"{what} excluded from training: requires_grad is False for {named(frozen)}.",
                   Evidence("share of the weights that are frozen", share(frozen, weights)),
                   layer=last_weights(run, weights).layer, line=last_weights(run, weights).line)  # fmt: skip


@rule("unused_parameter",
      "Read from the graph of the loss: a parameter that is no part of it cannot learn or matter. Reported where the "
      "run stays behind: no threshold.", before_training=True)  # fmt: skip
def parameters_not_used(run: Run) -> Finding | None:
    unused = [each for each in run.parameters if each.is_trainable and not each.is_used]
    if not unused or not run.is_barely_behind:
        return None
    return finding(run, "unused_parameter",
                   f"forward() does not read {named(unused)}: {len(unused)} of {len(run.parameters)} parameters.",
                   Evidence("share of the parameters' entries that are not used", share(unused, run.parameters), 0.0),
                   layer=unused[0].layer, line=unused[0].line)  # fmt: skip


@rule("untouched_parameter",
      "Read from the optimizer's groups: a parameter that requires a gradient and stands behind one that is trained "
      "was hardly left out on purpose: no threshold.", before_training=True)  # fmt: skip
def parameters_not_optimised(run: Run) -> Finding | None:
    meant = [each for each in run.parameters if each.is_trainable and each.is_used]
    left = [each for each in meant if not each.is_optimised]
    foreign = foreign_parameters(run.copies.trainer) if left and run.copies is not None else 0
    if not left or (is_beginning(left, meant) and not foreign) or not run.is_barely_behind:
        return None
    stale = f", and moves {foreign} tensors that are not in the model: it was made for another one" if foreign else ""
    return finding(run, "untouched_parameter", f"The optimizer does not have {named(left)}{stale}.",
                   Evidence("share of what is to be trained that no optimizer moves", share(left, meant), 0.0),
                   layer=left[0].layer, line=left[0].line,
                   remedies=(REMEDIES["register_parameter"],))  # fmt: skip


@rule("untouched_parameter",
      "Read from the graph of the gradients: the forward pass reads the parameter, the optimizer has it, and yet the "
      "chain rule does not lead to it: no threshold.", before_training=True)  # fmt: skip
def gradient_never_arrives(run: Run) -> Finding | None:
    meant = [each for each in run.parameters if each.is_trainable and each.is_used and each.is_optimised]
    cut_off = [each for each in meant if not each.gets_gradient]
    if not cut_off or not run.is_barely_behind:
        return None
    return finding(run, "untouched_parameter",
                   f"No gradient reaches {named(cut_off)}: something on the way to the loss, such as detach(), cuts it "
                   "off.",
                   Evidence("share of what is to be trained that gets no gradient", share(cut_off, meant), 0.0),
                   layer=cut_off[-1].layer, line=cut_off[-1].line,
                   remedies=(REMEDIES["keep_in_graph"],))  # fmt: skip


@rule("untouched_parameter",
      "Exactly zero at every look, from the first one on, while units neither died nor saturated and nothing else "
      "explains it: rounding, a comparison or a clamp has no slope. No threshold.", before_training=True)  # fmt: skip
def gradient_is_always_zero(run: Run) -> Finding | None:
    if run.is_explained or not run.is_failing or not run.is_finite or not layers(run):
        return None
    if any(each.dead >= DEAD or each.saturated >= SATURATED or each.weight == 0 for each in layers(run)):
        return None
    moved = {each.path for seen in run.looks for each in seen.layers if each.gradient != 0.0}
    still = [each.path for each in layers(run) if each.is_trainable and each.path not in moved]
    if not still or any(not each.gets_gradient for each in run.parameters if each.layer == still[-1]):
        return None
    return finding(run, "untouched_parameter",
                   f"The gradient of {', '.join(still[:4])} is exactly zero for all examples: an operation behind it "
                   "has no slope, such as rounding or a comparison.",
                   Evidence("layers whose gradient is exactly zero", float(len(still)), 0.0), layer=still[-1],
                   remedies=(REMEDIES["keep_in_graph"],))  # fmt: skip


def last_weights(run: Run, weights: Sequence[ParameterFacts]) -> ParameterFacts:
    """The kernel that the forward pass meets last; the one that was registered last where nobody could look."""
    last = layers(run)[-1].path if layers(run) else None
    return next((each for each in weights if each.layer == last), weights[-1])


def is_beginning(chosen: Sequence[ParameterFacts], all_of_them: Sequence[ParameterFacts]) -> bool:
    """Whether these come before all others: what transfer learning keeps."""
    return list(chosen) == list(all_of_them[: len(chosen)]) and len(chosen) < len(all_of_them)


def share(chosen: Sequence[ParameterFacts], all_of_them: Sequence[ParameterFacts]) -> float:
    """By entries."""
    return sum(each.entries for each in chosen) / max(sum(each.entries for each in all_of_them), 1)


RULES = (
    output_is_frozen,
    parameters_not_used,
    parameters_not_optimised,
    gradient_never_arrives,
    gradient_is_always_zero,
)
