"""`thalweg doctor WHAT`: what is wrong with a training before it begins.

In: what `thalweg train` takes, with its flags, or the folder of a run. Out: a `Preflight` of what would be trained, and
an exit status for scripts. Nothing is trained but copies on a few examples, and no run folder is made.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thalweg.diagnose import Preflight, preflight
from thalweg.diagnose.preflight_result import NOTHING
from thalweg.errors import ConfigurationError, explain
from thalweg.recipes.flags import FIND_RATE, add_train_arguments, settings_of_flags
from thalweg.recipes.preparing import check_unchanged
from thalweg.recipes.run_folder import CONFIG, RunFolder, unwritable
from thalweg.recipes.settings import Settings
from thalweg.recipes.telling import counted
from thalweg.recipes.train import made, make_trainer
from thalweg.report.page import Part, page, write_page

PROBLEMS_FOUND = 3
"""The exit status where something is wrong: neither a failure of ours (1) nor a misuse (2)."""
EXAMPLES = f"""\
examples:
  thalweg doctor houses.csv --target median_house_value     what `thalweg train` would train, with the same flags
  thalweg doctor digits --lr 0.5 --layers 128,128
  thalweg doctor runs/digits-001                            what that run was trained with, on its data
  thalweg doctor mnist --gradients --html doctor.html       with the gradient checked, and as a page

Data and labels are checked, the loss against the output layer, the first loss, parameters that nothing trains, outputs
and gradients of each layer before the first step; copies of the network are trained on 16 examples.
The exit status is 0 if nothing wrong was found, {PROBLEMS_FOUND} if something was, 2 for a misuse."""


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `thalweg train`, and two of its own."""
    add_train_arguments(parser)
    own = parser.add_argument_group("the doctor")
    own.add_argument("--gradients", action="store_true", help="compare every gradient with central differences, too")
    own.add_argument("--html", metavar="FILE", help="write what was found as a page, too")


def doctor(arguments: argparse.Namespace, say: Callable[[str], Any] = print) -> int:
    """Examine what these arguments describe; returns the exit status.

    Raises ThalwegError for settings and data that cannot work.
    """
    folder = _folder(arguments)
    problem, settings, model, shape = made(_settings(arguments, folder))
    if folder is not None:
        check_unchanged(folder.read_config().get("data", {}), problem.data, folder)
    trainer = make_trainer(settings, problem, model)
    if not settings.quiet:
        examples = counted(problem.counts["training"], "training example")
        say(f"{problem.name}: {problem.outputs.task}, {examples}; {shape}")
    assert settings.batch_size is not None
    found = preflight(
        trainer, problem.training, validation=problem.validation, batch_size=settings.batch_size,
        gradients=arguments.gradients, tell=None if settings.quiet else say,
    )  # fmt: skip
    for line in _conclusion(found, settings.quiet):
        say(line)
    if arguments.html is not None:
        say(f"page     {_written(arguments.html, problem.name, found)}")
    return 0 if found.ok else PROBLEMS_FOUND


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


def _written(path: str, name: str, found: Preflight) -> Path:
    try:
        return write_page(page(f"{name}: before training", [Part(*each) for each in found.sections()]), path)
    except OSError as error:
        raise unwritable(Path(path), error) from None
