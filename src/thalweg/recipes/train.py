"""Training, from settings to a run folder: what `thalweg train` does, with nothing but the public pieces.

In: settings. Out: a run folder that holds everything, and an `Outcome`. Whatever ends the run, what was learnt until
then is on disk: the best weights after every epoch, the numbers of every step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thalweg import nn
from thalweg.errors import ConfigurationError, NonFiniteError, explain
from thalweg.nn import CrossEntropyLoss
from thalweg.recipes import images, tabular
from thalweg.recipes.defaults import resolved
from thalweg.recipes.drawing import draw
from thalweg.recipes.network import build, make_optimizer, make_penalties, network_shape
from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import CLASSIFICATION, Outputs, Problem
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.scores import Scores, score
from thalweg.recipes.settings import REGRESSION_LOSSES, TABLE, Settings
from thalweg.recipes.telling import conclusion, configuration, introduction, results
from thalweg.tensor import manual_seed
from thalweg.train import Trainer
from thalweg.train.callbacks import (
    Callback,
    EarlyStopping,
    GradientNorms,
    History,
    JSONLinesLogger,
    ModelCheckpoint,
    ProgressBar,
    TerminateOnNaN,
)
from thalweg.train.checkpoint import save_weights
from thalweg.train.metrics import Metric, RootMeanSquaredError

MONITOR = "val_loss"
NORMS_RECORDED, STEPS_RECORDED = 1000, 50_000
Say = Callable[[str], object]


@dataclass
class Outcome:
    """What a run came to. `scores` are those of the test part, with the weights of the best epoch."""

    folder: RunFolder
    settings: Settings
    history: History
    predictor: Predictor
    scores: Scores
    seconds: float

    @property
    def was_interrupted(self) -> bool:
        return self.history.interrupted


def prepare(settings: Settings) -> Problem:
    """The data of a recipe, split and encoded. Raises DataError, FileFormatError, ConfigurationError."""
    return tabular.prepare(settings) if settings.recipe == TABLE else images.prepare(settings)


def train(settings: Settings, command: str = "", say: Say = print) -> Outcome:
    """Train as the settings say, and leave a run folder.

    `say` takes lines of text about what happens. Raises ThalwegError for settings and data that cannot work; then
    there is no run folder. Ctrl-C ends the training and saves what is there (`Outcome.was_interrupted`).
    """
    problem = prepare(settings)
    settings = resolved(settings, problem)
    _check_loss(settings, problem.outputs)
    manual_seed(settings.seed)
    shape = network_shape(settings, problem.input_shape, problem.outputs.width)
    model = build(shape)
    trainer = make_trainer(settings, problem, model)
    folder = RunFolder.create(problem.name, settings.run)
    folder.write(folder.config, configuration(settings, problem, shape, command))
    for line in introduction(settings, problem, shape, folder):
        say(line)
    started = time.perf_counter()
    stopping = early_stopping(settings)
    history = trainer.fit(
        problem.training,
        validation=problem.validation,
        epochs=_known(settings.epochs),
        batch_size=_known(settings.batch_size),
        drop_last=ends_in_a_single_example(settings, problem),
        callbacks=recorders(settings, problem, folder, stopping),
    )
    seconds = time.perf_counter() - started
    best = stopping.best_epoch if stopping.best_epoch >= 0 else None
    _check_learnt(history, best, settings)
    save_weights(folder.weights, model, {"network": str(shape)})  # one entry: safetensors shuffles several
    predictor = Predictor(model, problem.reader, problem.outputs)
    scores = score(predictor, problem.test())
    outcome = Outcome(folder, settings, history, predictor, scores, seconds)
    folder.write(folder.results, results(outcome, best))
    for line in conclusion(outcome, best):
        say(line)
    if not settings.no_pictures:
        drawn = draw(outcome, problem, best)
        if not settings.quiet:
            say(drawn)
    return outcome


# --- the trainer and its callbacks -----------------------------------------------------------------------------------


def make_trainer(settings: Settings, problem: Problem, model: nn.Module) -> Trainer:
    """The Trainer that the settings describe."""
    return Trainer(
        model,
        loss=make_loss(settings),
        optimizer=make_optimizer(settings, model, problem.steps_per_epoch(settings)),
        metrics=[_metric(problem.outputs)],
        clip_norm=settings.clip or None,
        penalties=make_penalties(settings, model),
        seed=settings.seed,
        progress=False,
    )


def make_loss(settings: Settings) -> Any:
    if settings.loss == "cross_entropy" and settings.label_smoothing:
        return CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    return settings.loss


def ends_in_a_single_example(settings: Settings, problem: Problem) -> bool:
    """Whether the last batch would hold one example, over which nothing can be normalised."""
    return bool(settings.batch_norm) and problem.counts["training"] % _known(settings.batch_size) == 1


def early_stopping(settings: Settings) -> EarlyStopping:
    """Stops after `patience` epochs without improvement; with 0 only the best weights are put back at the end."""
    patience = settings.patience or _known(settings.epochs) + 1
    return EarlyStopping(MONITOR, patience=patience, restore_best_weights=True)


def recorders(settings: Settings, problem: Problem, folder: RunFolder, stopping: EarlyStopping) -> list[Callback]:
    """What happens beside the loop: numbers and weights go to disk while it runs."""
    steps = problem.steps_per_epoch(settings) * _known(settings.epochs)
    callbacks: list[Callback] = [
        GradientNorms(every_steps=math.ceil(steps / NORMS_RECORDED)),
        JSONLinesLogger(folder.metrics, every_steps=math.ceil(steps / STEPS_RECORDED)),
        ModelCheckpoint(folder.weights, MONITOR, save_best_only=True, save_weights_only=True),
        stopping,
        TerminateOnNaN(),
    ]
    return callbacks if settings.quiet else [*callbacks, ProgressBar()]


class RootMeanSquaredErrorInUnits(RootMeanSquaredError):
    """The RMSE of standardised values, in the units that they had before."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.unit = unit

    def formula(self) -> float:
        return super().formula() * self.unit


def _metric(outputs: Outputs) -> str | Metric:
    return "accuracy" if outputs.scale is None else RootMeanSquaredErrorInUnits(float(outputs.scale.scale_))


# --- checks ----------------------------------------------------------------------------------------------------------


def _known(value: int | None) -> int:
    assert value is not None
    return value


def _check_loss(settings: Settings, outputs: Outputs) -> None:
    classifies = outputs.task == CLASSIFICATION
    fitting = ("cross_entropy",) if classifies else REGRESSION_LOSSES
    if settings.loss not in fitting:
        raise ConfigurationError(
            explain(
                f"this loss is not one of a {outputs.task}",
                received=settings.loss,
                expected=", ".join(fitting),
                where="--loss",
                remedy="leave --loss out, or set --task",
            )
        )
    if settings.label_smoothing and not classifies:
        raise ConfigurationError(
            explain("only classes can be smoothed", received="a regression", where="--label-smoothing")
        )


def _check_learnt(history: History, best: int | None, settings: Settings) -> None:
    losses = history.steps["loss"]
    if best is None and losses and not math.isfinite(losses[-1]):
        raise NonFiniteError(
            explain(
                "training diverged before its first epoch was over: there is nothing to keep",
                received=f"loss {losses[-1]} at step {history.steps['step'][-1]}",
                where=f"lr {settings.lr:g}, clip {settings.clip:g}",
                remedy="lower the learning rate (--lr), or clip the gradients (--clip 1)",
            )
        )
