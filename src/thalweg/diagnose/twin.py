"""A twin of a trainer: the same network, loss, optimizer and settings on copies, to try something out with.

In: a `Trainer`. Out: another of the same kind, without metrics, callbacks and progress. Training it changes no bit of
the first: weights, optimizer state and gradients are copies, and `fit` has random numbers of its own.
"""

from __future__ import annotations

import copy
from typing import Any

from thalweg.diagnose.layers import without_passages


def twin(trainer: Any, **settings: Any) -> Any:
    """The trainer again, from where it stands now; `settings` replace those of its own.

    >>> import thalweg as tw
    >>> first = tw.Trainer(tw.nn.Linear(2, 1), "mse", "sgd", lr=0.5, progress=False)
    >>> second = twin(first)
    >>> second.model is first.model, bool((second.model.weight == first.model.weight).all()), second.optimizer.learning_rates()
    (False, True, [0.5])
    """  # noqa: E501
    given = trainer.model, list(trainer.penalties), trainer.optimizer, trainer.objective.loss
    model, penalties, optimizer, loss = copy.deepcopy(given)
    without_passages(model)
    own = {
        "loss": loss, "optimizer": optimizer, "clip_norm": trainer.clip_norm, "clip_value": trainer.clip_value,
        "penalties": penalties, "seed": trainer.seed, "class_weight": trainer.class_weight,
        "compile": trainer.steps.compiles,
    }  # fmt: skip
    return type(trainer)(model, progress=False, check_finite=False, **{**own, **settings})
