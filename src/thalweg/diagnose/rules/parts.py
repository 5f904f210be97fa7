"""Rules about the parts of the data and the modes of the model: examples in both parts, training against evaluation.

In: a run, with both parts of its data and its model as it is now.
Out: findings about numbers that cannot be trusted, or that fall apart when training ends.
"""

from __future__ import annotations

from typing import Any

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.layers import line_of
from thalweg.diagnose.remedies import REMEDIES
from thalweg.diagnose.rules.base import finding, rule
from thalweg.diagnose.run import Run

LEAKED = 0.01
FEWEST_LEAKED = 2
MODE_GAP = 0.2


@rule("data_leakage",
      "One example in a hundred of the validation part, two at least: below that a result changes less than by its "
      "noise. Rows that must meet because few are possible, or that repeat in categories, are left alone.",
      before_training=True)  # fmt: skip
def parts_share_examples(run: Run) -> Finding | None:
    found = run.leakage
    if found.share < LEAKED or found.count < FEWEST_LEAKED or found.is_natural:
        return None
    return finding(run, "data_leakage",
                   f"{found.count} examples of the validation part, such as number {found.example}, are in the "
                   "training part as well: the validation result is too good, and early stopping is misled.",
                   Evidence("share of the validation part that is in the training part", found.share, LEAKED),
                   Evidence("the same by chance", found.by_chance), with_harm=False)  # fmt: skip


@rule("train_eval_disagreement",
      "On the same examples, training mode is ahead of evaluation mode by 0.2 of skill, the limit of overfitting, "
      "although dropout is off in both: the running statistics are not those of the data.")  # fmt: skip
def modes_disagree(run: Run) -> Finding | None:
    paths = [] if run.copies is None else layers_with_statistics(run.copies.trainer.model)
    if not paths or not run.is_finite or run.copies is None:
        return None
    own = run.skill(run.last)
    middle = run.task.middle(run.last.outputs, run.sample.y)
    evaluated = run.task.skill(run.copies.trainer.predict(run.sample.x), run.sample.y, middle)
    if not own - evaluated > MODE_GAP or own <= 0:
        return None
    first = dict(run.copies.trainer.model.named_modules())[paths[0]]
    return finding(run, "train_eval_disagreement",
                   f"On the same training examples the skill is {own:.2f} in training mode and {evaluated:.2f} in "
                   f"evaluation mode: the running statistics of {', '.join(paths[:4])} do not fit the data.",
                   Evidence("skill in training mode less that in evaluation mode", own - evaluated, MODE_GAP),
                   layer=paths[0], line=line_of(first),
                   remedies=(REMEDIES["steadier_statistics"], REMEDIES["larger_batch"]))  # fmt: skip


def layers_with_statistics(model: Any) -> list[str]:
    """The paths of the modules that normalise by the batch while training, and by running statistics afterwards."""
    return [path for path, each in model.named_modules() if each._buffers.get("running_mean") is not None]


RULES = (
    parts_share_examples,
    modes_disagree,
)
