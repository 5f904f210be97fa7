"""Training, from settings to a run folder: what `thalweg train` does, with nothing but the public pieces.

In: settings. Out: a run folder that holds everything, and an `Outcome`. Whatever ends the run, what was learnt until
then is on disk: the best weights after every epoch, the numbers of every step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from thalweg import nn
from thalweg.diagnose import Finding
from thalweg.diagnose.repair import told
from thalweg.errors import ConfigurationError, NonFiniteError, explain
from thalweg.recipes.defaults import resolved, with_network
from thalweg.recipes.drawing import draw
from thalweg.recipes.measures import make_loss, make_metrics, monitored
from thalweg.recipes.network import make_optimizer, make_penalties
from thalweg.recipes.networks import Network, build_network, network_of
from thalweg.recipes.predictor import Predictor, settings_of
from thalweg.recipes.preparing import check_unchanged, prepare
from thalweg.recipes.problem import (
    CLASSIFICATION,
    CONTROL,
    DETECTION,
    LANGUAGE,
    REGRESSION,
    SEGMENTATION,
    TRANSCRIPTION,
    TRANSLATION,
    Outputs,
    Problem,
)
from thalweg.recipes.resuming import BestSoFar, ResumePoint, place_of, point_of
from thalweg.recipes.run_folder import RunFolder, unwritable
from thalweg.recipes.run_log import ended, logged
from thalweg.recipes.scores import Scores
from thalweg.recipes.scoring import score
from thalweg.recipes.settings import (
    DETECTION_LOSSES,
    OFF,
    REGRESSION_LOSSES,
    SEGMENTATION_LOSSES,
    Settings,
)
from thalweg.recipes.telling import conclusion, configuration, introduction, results
from thalweg.tensor import manual_seed
from thalweg.train import Trainer
from thalweg.train.callbacks import (
    Callback,
    Doctor,
    EventLog,
    GradientNorms,
    History,
    JSONLinesLogger,
    LogEvents,
    ProgressBar,
    TerminateOnNaN,
)
from thalweg.train.checkpoint import save_weights

NORMS_RECORDED, STEPS_RECORDED = 1000, 50_000
FITTING_LOSSES = {
    CLASSIFICATION: ("cross_entropy",),
    SEGMENTATION: SEGMENTATION_LOSSES,
    DETECTION: DETECTION_LOSSES,
    REGRESSION: REGRESSION_LOSSES,
    LANGUAGE: ("cross_entropy",),
    TRANSLATION: ("cross_entropy",),
    TRANSCRIPTION: ("ctc",),
    CONTROL: ("docking",),
}
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
    command: str = ""
    findings: list[Finding] = field(default_factory=list)
    repaired: str | None = None
    """What was done otherwise in the copy whose weights are kept, if a repair holds."""

    @property
    def was_interrupted(self) -> bool:
        return self.history.interrupted


def train(settings: Settings, command: str = "", say: Say = print) -> Outcome:
    """Train as the settings say, and leave a run folder.

    `say` takes lines of text about what happens. Raises ThalwegError for settings and data that cannot work; then
    there is no run folder. Ctrl-C ends the training and saves what is there (`Outcome.was_interrupted`).
    """
    problem, settings, model, shape = made(settings)
    trainer = make_trainer(settings, problem, model)
    folder = RunFolder.create(problem.name, settings.run)
    folder.write(folder.config, configuration(settings, problem, shape, command))
    for line in introduction(settings, problem, shape, folder):
        say(line)
    with logged(folder, settings, command) as log:
        return _run(settings, problem, trainer, shape, folder, None, say, command, log)


def resume(run: str, options: Settings, say: Say = print) -> Outcome:
    """Go on with a run that was interrupted, with its own settings; `options` say how much is told and drawn.

    Raises ConfigurationError for a run that has come to its end, DataError if its data has changed.
    """
    folder = RunFolder(run)
    config = folder.read_config()
    kept = settings_of(config, str(folder.config)).replaced(no_pictures=options.no_pictures, quiet=options.quiet)
    problem, settings, model, shape = made(kept)
    check_unchanged(config.get("data", {}), problem.data, folder)
    trainer = make_trainer(settings, problem, model)
    checkpoint, path = point_of(folder)
    for line in introduction(settings, problem, shape, folder):
        say(line)
    if not settings.quiet:
        say(f"goes on   {place_of(checkpoint)}")
    with logged(folder, settings, f"thalweg train --resume {run}", "run_resumed") as log:
        return _run(settings, problem, trainer, shape, folder, path, say, str(config.get("command", "")), log)


def made(settings: Settings) -> tuple[Problem, Settings, nn.Module, Network]:
    """The data, the settings without gaps, and the network that they describe, freshly initialised."""
    settings = with_network(settings)
    problem = prepare(settings)
    settings = resolved(settings, problem)
    _check_loss(settings, problem.outputs)
    manual_seed(settings.seed)
    shape = network_of(settings, problem)
    return problem, settings, build_network(shape), shape


def _run(
    settings: Settings, problem: Problem, trainer: Trainer, shape: Network, folder: RunFolder, before: Path | None,
    say: Say, command: str, log: EventLog,
) -> Outcome:  # fmt: skip
    started = time.perf_counter()
    watch = GradientNorms(_recorded_every(settings, problem), quantities=None)
    stopping = early_stopping(settings, problem, folder)
    doctors = [] if settings.doctor == OFF else [
        Doctor(settings.doctor, may_change_layers=False, show=not settings.quiet)]  # fmt: skip
    history = trainer.fit(
        problem.training,
        validation=problem.validation,
        epochs=_known(settings.epochs),
        batch_size=_known(settings.batch_size),
        drop_last=ends_in_a_single_example(settings, problem),
        callbacks=[watch, LogEvents(log), *recorders(settings, problem, folder, stopping), *doctors],
        resume=before,
    )
    seconds = time.perf_counter() - started
    if before is not None:
        seconds = max(seconds, sum(history.history.get("seconds", [])))
    kept = [each.change for one in doctors if one.repair for each in one.repair.attempts if each.kept]
    best = stopping.best_epoch if stopping.best_epoch >= 0 and not kept else None
    if not kept:
        _check_learnt(history, best, settings)
    save_weights(folder.weights, trainer.model, {"network": str(shape)})  # one entry: safetensors shuffles several
    predictor = Predictor(trainer.model, problem.reader, problem.outputs, shape)
    scores = score(predictor, problem.test())
    outcome = Outcome(
        folder, settings, history, predictor, scores, seconds, command,
        [each for one in doctors for each in one.findings], told(kept[0]) if kept else None,
    )  # fmt: skip
    folder.write(folder.results, results(outcome, best))
    ended(log, outcome)
    if doctors:
        folder.write(folder.findings, {"findings": [each.to_json() for each in outcome.findings]})
    _keep_record(watch, folder)
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
        metrics=make_metrics(problem.outputs, model),
        clip_norm=settings.clip or None,
        penalties=make_penalties(settings, model),
        seed=settings.seed,
        progress=False,
        nonfinite=settings.nonfinite,
        recompute=settings.recompute,
    )


def ends_in_a_single_example(settings: Settings, problem: Problem) -> bool:
    """Whether the last batch would hold one example, over which nothing can be normalised."""
    return bool(settings.batch_norm) and problem.counts["training"] % _known(settings.batch_size) == 1


def early_stopping(settings: Settings, problem: Problem, folder: RunFolder) -> BestSoFar:
    """Stops after `patience` epochs without improvement; with 0 only the best weights are put back at the end."""
    monitor, share = monitored(problem.outputs.task, settings)
    patience = settings.patience or _known(settings.epochs) + 1
    return BestSoFar(folder, monitor, patience, math.floor(share * _known(settings.epochs)))


def recorders(settings: Settings, problem: Problem, folder: RunFolder, stopping: BestSoFar) -> list[Callback]:
    """What happens beside the loop: numbers and weights go to disk while it runs."""
    steps = problem.steps_per_epoch(settings) * _known(settings.epochs)
    callbacks: list[Callback] = [
        JSONLinesLogger(folder.metrics, every_steps=math.ceil(steps / STEPS_RECORDED)),
        ResumePoint(folder),
        stopping,
        *([TerminateOnNaN()] if settings.nonfinite == "warn" else []),
    ]
    return callbacks if settings.quiet else [*callbacks, ProgressBar()]


def _keep_record(watch: GradientNorms, folder: RunFolder) -> None:
    """What was watched goes to disk, and the model is as it was before anybody watched."""
    try:
        watch.record.save(folder.record)
    except OSError as error:
        raise unwritable(folder.record, error) from None
    watch.detach()


def _recorded_every(settings: Settings, problem: Problem) -> int:
    """Layers are looked at every so many steps, so that a long run keeps as much of them as a short one."""
    return math.ceil(problem.steps_per_epoch(settings) * _known(settings.epochs) / NORMS_RECORDED)


# --- checks ----------------------------------------------------------------------------------------------------------


def _known(value: int | None) -> int:
    assert value is not None
    return value


def _check_loss(settings: Settings, outputs: Outputs) -> None:
    fitting = FITTING_LOSSES[outputs.task]
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
    if settings.label_smoothing and outputs.task not in (CLASSIFICATION, SEGMENTATION, TRANSLATION):
        raise ConfigurationError(
            explain("only classes can be smoothed", received=f"a {outputs.task}", where="--label-smoothing")
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
