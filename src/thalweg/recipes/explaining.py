"""`thalweg explain WHAT`: one training step of a run, or of a recipe, taken apart.

In: a run folder or what `thalweg train` takes, and how many examples. Out: an `Explanation` of the loss of these
examples of the training part, with the update of the run's optimizer; nothing is trained and nothing is written.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.recipes.predictor import settings_of
from thalweg.recipes.preparing import check_unchanged
from thalweg.recipes.recognition import recognised
from thalweg.recipes.run_folder import CONFIG, RunFolder
from thalweg.recipes.settings import NAMED, Settings, settings_from
from thalweg.recipes.train import made, make_trainer
from thalweg.report.explanation import Explanation
from thalweg.tensor import Tensor
from thalweg.train import Trainer
from thalweg.train.checkpoint import load_weights
from thalweg.train.feed import Batch, feed_of

EXAMPLES, MOST_INPUTS = 4, 1 << 17
"""Examples that are explained unless somebody says how many: fewer of large pictures."""


def explanation_of(what: str, examples: int | None = None) -> tuple[str, Explanation]:
    """A title, and one step of the network on the first `examples` of the training part.

    Raises ConfigurationError, DataError, FileFormatError for what cannot be a run or a recipe.
    """
    if examples is not None and examples < 1:
        raise ConfigurationError(
            explain("there is nothing to explain", received=f"--examples {examples}", expected="1 or more")
        )
    folder = RunFolder(what) if (Path(what) / CONFIG).is_file() else None
    settings = _settings(what, folder)
    problem, settings, model, _ = made(settings)
    if folder is not None:
        check_unchanged(folder.read_config().get("data", {}), problem.data, folder)
        load_weights(folder.weights, model)
    trainer = make_trainer(settings, problem, model)
    count = examples or max(1, min(EXAMPLES, MOST_INPUTS // math.prod(problem.input_shape)))
    return f"{what}: one step, explained", _explained(trainer, problem.training, count)


def _settings(what: str, folder: RunFolder | None) -> Settings:
    if folder is not None:
        return settings_of(folder.read_config(), str(folder.config))
    if what in NAMED:
        return settings_from(what, {}, {})
    return settings_from(recognised(what), {"data": what}, {})


def _explained(trainer: Trainer, training: Any, count: int) -> Explanation:
    """Forward pass, loss and penalties as the trainer computes them, on the first examples as they come."""
    batch = feed_of(training, batch_size=count).first(0)
    x, y, _ = trainer.tensors(Batch(_first(batch.inputs, count), _first(batch.targets, count)))
    trainer.model.train()
    loss: Any = trainer.objective(trainer.forward(x), y, None)
    for penalty in trainer.penalties:
        loss = loss + penalty()
    inputs = {each.node: "inputs" if place == 0 else f"inputs_{place + 1}" for place, each in enumerate(_all(x))}
    names = {each.node: name for name, each in trainer.model.named_parameters()}
    return Explanation(loss, {**inputs, y.node: "targets", **names}, trainer.optimizer)


def _first(values: Any, count: int) -> Any:
    return tuple(each[:count] for each in values) if isinstance(values, tuple) else values[:count]


def _all(x: Any) -> tuple[Tensor, ...]:
    return x if isinstance(x, tuple) else (x,)
