"""`thalweg doctor WHAT`: what is wrong with a training before it begins, or with a network that a run has trained.

In: what `thalweg train` takes, with its flags, or the folder of a run. Out: a `Preflight` of what would be trained or
has been, and an exit status for scripts. Nothing is trained but copies on a few examples, and no run folder is made.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.diagnose import Preflight, preflight
from thalweg.diagnose.judge import problems
from thalweg.diagnose.preflight_result import NOTHING, Check, Status
from thalweg.diagnose.record import Record
from thalweg.errors import ConfigurationError, explain
from thalweg.recipes.flags import FIND_RATE, add_train_arguments, settings_of_flags
from thalweg.recipes.preparing import check_unchanged
from thalweg.recipes.reporting import KeptRun, findings_of
from thalweg.recipes.resuming import history_of, recorded_lines
from thalweg.recipes.run_folder import CONFIG, RunFolder, unwritable
from thalweg.recipes.settings import Settings, all_fields
from thalweg.recipes.telling import counted
from thalweg.recipes.train import made, make_trainer
from thalweg.report.page import Part, page, write_page
from thalweg.train.checkpoint import load_weights

BEFORE = "the network before training"
NOT_OF_TRAINING = frozenset({"quiet", "no_pictures"})
"""Flags that change nothing about what is trained."""
PROBLEMS_FOUND = 3
"""The exit status where something is wrong: neither a failure of ours (1) nor a misuse (2)."""
EXAMPLES = f"""\
examples:
  thalweg doctor houses.csv --target median_house_value     what `thalweg train` would train, with the same flags
  thalweg doctor digits --lr 0.5 --layers 128,128
  thalweg doctor runs/digits-001                            the network that this run has trained, on its data
  thalweg doctor runs/digits-001 --fresh                    the same network as it was before the run
  thalweg doctor runs/digits-001 --lr 0.5                   before training, with another setting than the run's
  thalweg doctor mnist --gradients --html doctor.html       with the gradient checked, and as a page

Data and labels are checked, the loss against the output layer, the first loss, parameters that nothing trains, outputs
and gradients of each layer before the first step; copies of the network are trained on 16 examples.
Of a run its trained weights are examined, if the folder holds them: how it went, what became of its layers, and what
was found while it was trained; with --fresh, or with any other flag of training, the network before its first step. The
output says which.
The exit status is 0 if nothing wrong was found, {PROBLEMS_FOUND} if something was, 2 for a misuse."""


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `thalweg train`, and three of its own."""
    add_train_arguments(parser)
    own = parser.add_argument_group("the doctor")
    own.add_argument("--gradients", action="store_true", help="compare every gradient with central differences, too")
    own.add_argument("--fresh", action="store_true", help="of a run: the network before training, not its weights")
    own.add_argument("--html", metavar="FILE", help="write what was found as a page, too")


def doctor(arguments: argparse.Namespace, say: Callable[[str], Any] = print) -> int:
    """Examine what these arguments describe; returns the exit status.

    Raises ThalwegError for settings and data that cannot work.
    """
    folder = _folder(arguments)
    problem, settings, model, shape = made(_settings(arguments, folder))
    if folder is not None:
        check_unchanged(folder.read_config().get("data", {}), problem.data, folder)
    trainer, run = make_trainer(settings, problem, model), _trained(arguments, folder)
    if not settings.quiet:
        examples = counted(problem.counts["training"], "training example")
        say(f"{problem.name}: {problem.outputs.task}, {examples}; {shape}")
        say(f"examined: {BEFORE if run is None else run}")
    initial = None
    if run is not None:
        initial = {name: np.array(value.numpy()) for name, value in model.state_dict().items()}
        load_weights(run.folder.weights, model)
    assert settings.batch_size is not None
    found = preflight(
        trainer, problem.training, validation=problem.validation, batch_size=settings.batch_size,
        gradients=arguments.gradients, record=None if run is None else run.record(), initial=initial,
        tell=None if settings.quiet else say,
    )  # fmt: skip
    if run is not None:
        run.add_findings(found, (lambda line: None) if settings.quiet else say)
    for line in _conclusion(found, settings.quiet):
        say(line)
    if arguments.html is not None:
        when = "before training" if run is None else "after training"
        say(f"page     {_written(arguments.html, f'{problem.name}: {when}', found)}")
    return 0 if found.ok else PROBLEMS_FOUND


class TrainedRun:
    """What a run has left behind for an examination."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.results: dict[str, Any] = {}
        if folder.results.is_file():  # an interrupted run has none
            self.results = KeptRun(folder).results

    def __str__(self) -> str:
        best = self.results.get("best_epoch")
        which = f" (best epoch, {best} of {self.results.get('epochs')})" if best is not None else ""
        return f"the weights that {self.folder} has trained{which}; --fresh examines the network before training"

    def record(self) -> Record:
        """Up to the epoch that the weights are of."""
        if self.folder.record.is_file():
            found = Record.load(self.folder.record)
        else:
            found = Record()
            found.epochs = history_of(recorded_lines(self.folder)).history
        best = self.results.get("best_epoch")
        return found if best is None else found.until(best)

    def add_findings(self, found: Preflight, tell: Callable[[str], Any]) -> None:
        """What was found while it was trained, where copies were trained too; a repair has mended what it could."""
        known = set(problems(found.findings))
        kept = [] if self.results.get("repaired") else findings_of(self.folder)
        before = [each for each in kept if each.problem not in known]
        for each in before:
            found.checks.append(Check("while it was trained", Status.PROBLEM, each.heading()))
            tell(str(found.checks[-1]))
        found.findings += before


def _trained(arguments: argparse.Namespace, folder: RunFolder | None) -> TrainedRun | None:
    """The run whose weights shall be examined: none where a flag asks for a training that was not the run's."""
    if arguments.fresh and folder is None:
        raise ConfigurationError(
            explain("--fresh is about a run", received=arguments.what, expected="the folder of a run",
                    where="thalweg doctor", remedy="leave --fresh out: nothing has been trained yet")
        )  # fmt: skip
    changed = [each.name for each in all_fields() if getattr(arguments, each.name) is not None]
    if folder is None or arguments.fresh or set(changed) - NOT_OF_TRAINING or not folder.weights.is_file():
        return None
    return TrainedRun(folder)


def _folder(arguments: argparse.Namespace) -> RunFolder | None:
    """The run whose folder was named, if one was."""
    is_run = arguments.what is not None and (Path(arguments.what) / CONFIG).is_file()
    return RunFolder(arguments.what) if is_run else None


def _settings(arguments: argparse.Namespace, folder: RunFolder | None) -> Settings:
    """The flags win over the settings of a run whose folder is named, as they win over a file."""
    for flag, value in ((FIND_RATE, arguments.find_learning_rate), ("--resume", arguments.resume)):
        if value is not None:
            remedy = f"thalweg train WHAT {flag}" if flag == FIND_RATE else f"thalweg doctor {value}"
            raise ConfigurationError(explain(f"{flag} belongs to training", where="thalweg doctor", remedy=remedy))
    if folder is None:
        return settings_of_flags(arguments)
    if arguments.config is not None:
        raise ConfigurationError(
            explain("a run has a configuration of its own", received=f"{arguments.what} and --config",
                    expected="one of them", where="thalweg doctor")
        )  # fmt: skip
    return settings_of_flags(argparse.Namespace(**{**vars(arguments), "what": None, "config": str(folder.config)}))


def _conclusion(found: Preflight, is_quiet: bool) -> list[str]:
    if is_quiet:
        return [str(each) for each in found.findings] or [NOTHING]
    told = [line for each in found.findings for line in ("", each.text())]
    return [*found.table(), *(told or ["", NOTHING])]


def _written(path: str, title: str, found: Preflight) -> Path:
    try:
        return write_page(page(title, [Part(*each) for each in found.sections()]), path)
    except OSError as error:
        raise unwritable(Path(path), error) from None
