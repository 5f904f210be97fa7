"""The command line: train, predict, generate, evaluate, explain, report, doctor.

In: arguments. Out: the exit status: 0 done, 1 a mistake of ours or of the machine, 2 a misuse with its message and
remedy, 3 the doctor found something wrong, 130 Ctrl-C with everything saved. Results go to stdout, progress and errors
to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TextIO

from thalweg.errors import ConfigurationError, ThalwegError, explain
from thalweg.recipes import use
from thalweg.recipes.cross_validation import cross_validate
from thalweg.recipes.doctoring import EXAMPLES as DOCTOR_EXAMPLES
from thalweg.recipes.doctoring import add_doctor_arguments, doctor
from thalweg.recipes.explaining import explanation_of
from thalweg.recipes.flags import TRAIN_EXAMPLES, add_train_arguments, resume_options, settings_of_flags, settled
from thalweg.recipes.generating import EXAMPLES as GENERATE_EXAMPLES
from thalweg.recipes.generating import add_generate_arguments, generate
from thalweg.recipes.kernel_times import measure_kernels
from thalweg.recipes.rate_finding import find_rate
from thalweg.recipes.record import thalweg_version
from thalweg.recipes.reporting import write_report
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import OTHER_NAMES, Settings, flag_of
from thalweg.recipes.train import Outcome, Say, resume, train
from thalweg.recipes.translating import add_search_arguments, search_of
from thalweg.report.explain import add_arguments as add_explain_arguments
from thalweg.report.explain import refuse_example_flags, written
from thalweg.report.explain import run as run_explain
from thalweg.train.callbacks import log_to
from thalweg.train.callbacks.event_log import FORMATS, LEVELS, LOGGER

DONE, FAILED, MISUSE, INTERRUPTED = 0, 1, 2, 130
DESCRIPTION = "Train neural networks by backpropagation, and see what happens inside."
EXAMPLES = """\
examples:
  thalweg train digits                                  train on the handwritten digits that come along
  thalweg train data.csv --target COLUMN                classification or regression, by what the column holds
  thalweg train photographs/                            pictures: classes, masks or boxes, by what lies in the folder
  thalweg predict runs/data-001 new.csv -o predictions.csv
  thalweg train shakespeare                             a language model; also texts, translations, recordings
  thalweg generate runs/shakespeare-001 --prompt "ROMEO:"
  thalweg evaluate runs/digits-001
  thalweg explain --layers 2,2,2 --activation sigmoid   backpropagation as a worked example in numbers
  thalweg explain runs/digits-001 --html explained.html a step of a trained network, as a graph to move about in
  thalweg report runs/digits-001 runs/digits-002        compare runs on one page
  thalweg doctor data.csv --target COLUMN               what is wrong, before any time is spent on training

thalweg COMMAND --help says more."""
PREDICT_EXAMPLES = """\
examples:
  thalweg predict runs/houses-001 new.csv                    to the terminal
  thalweg predict runs/houses-001 new.csv.gz -o prices.csv
  thalweg predict runs/mnist-001 t10k-images-idx3-ubyte.gz
  thalweg predict runs/digits-001 digits.npy                 (n, 8, 8) or (n, 64), 0 to 16 or 0 to 1
  thalweg predict runs/photographs-001 new/*.jpg             a class for each picture
  thalweg predict runs/bccd-001 slide.jpg -o found           pictures with boxes drawn, and the boxes as JSON
  thalweg predict runs/membrane-001 slices/ -o found         pictures with masks drawn, and the masks as PNG
  thalweg predict runs/rt_polarity-001 "a great film"        a sentence, several, or files of lines
  thalweg predict runs/multi30k-001 german.txt -o english.csv --beam 5 --length-penalty 0.6
  thalweg predict runs/spoken_digits-001 seven.wav new/      recordings, or folders of them

The predictions are a CSV: a column `prediction`, and for classes the probability of each; for pictures their names in
front. A CSV to predict has the columns of the training file, in any order; the target may be missing."""
EVALUATE_EXAMPLES = """\
examples:
  thalweg evaluate runs/digits-001                      on the test part of the run
  thalweg evaluate runs/adult-001 --data new.csv        on other rows, with their target
  thalweg evaluate runs/mnist-001 --data other.npz      arrays `images` and `labels`"""

REPORT_EXAMPLES = """\
examples:
  thalweg report runs/digits-001                        write runs/digits-001/report.html again
  thalweg report runs/digits-001 --kernels              with time and memory of a step, kernel by kernel
  thalweg report runs/digits-*                          compare several runs: comparison.html"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ours, with the closest names."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **options | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(explain(message, where=self.prog, remedy=f"see {self.prog} --help"))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Help and version, without argparse's habit of hiding that they could not be written."""
        (file or sys.stderr).write(message)

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Raise for arguments that nobody takes."""
        known = [option for action in self._actions for option in action.option_strings]
        name = unknown[0].partition("=")[0]
        others = {flag_of(other): flag_of(ours) for other, ours in OTHER_NAMES.items() if flag_of(ours) in known}
        spelled = difflib.get_close_matches(name, [*known, *others], n=1, cutoff=0.7)
        close = [others.get(option, option) for option in spelled]
        close = close or [option for option in known if len(name) > 4 and (name in option or option in name)]
        raise ConfigurationError(
            explain(
                "unknown argument" if name.startswith("-") else "one argument too many",
                received=" ".join(unknown),
                where=self.prog,
                remedy=f"did you mean {' or '.join(close)}?" if close else f"see {self.prog} --help",
            )
        )


def make_parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of everything, and that of each command."""
    parser = Parser("thalweg", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"thalweg {thalweg_version()}")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    abouts = {"train": ("train a network", TRAIN_EXAMPLES),
              "predict": ("predict with a trained network", PREDICT_EXAMPLES),
              "generate": ("go on with a text, by a trained language model", GENERATE_EXAMPLES),
              "evaluate": ("measure a trained network on labelled data", EVALUATE_EXAMPLES),
              "explain": ("backpropagation as a worked example in numbers", ""),
              "report": ("a page about a run, or about several side by side", REPORT_EXAMPLES),
              "doctor": ("look for problems before training, or in a run", DOCTOR_EXAMPLES)}  # fmt: skip
    commands: dict[str, Parser] = {
        name: parsers.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=epilog)
        for name, (about, epilog) in abouts.items()
    }
    commands["train"].usage = "thalweg train WHAT [flags]"
    add_train_arguments(commands["train"])
    commands["predict"].add_argument("run", metavar="RUN", help="a run folder")
    commands["predict"].add_argument(
        "input",
        metavar="INPUT",
        nargs="+",
        help="CSV; or pictures, folders of them, .npy, .npz, IDX or CSV of pixels; or sentences, files of lines; or "
        "recordings, folders of them",
    )
    commands["predict"].add_argument(
        "-o", "--output", metavar="PATH",
        help="CSV file to write (default: stdout); for boxes and masks a folder (default: RUN/predictions)",
    )  # fmt: skip
    for name in ("predict", "evaluate"):
        add_search_arguments(commands[name])
    add_generate_arguments(commands["generate"])
    commands["evaluate"].add_argument("run", metavar="RUN", help="a run folder")
    commands["evaluate"].add_argument("--data", metavar="PATH", help="labelled data (default: the run's test part)")
    add_explain_arguments(commands["explain"])
    _add_report_arguments(commands["report"])
    commands["doctor"].usage = "thalweg doctor WHAT|RUN [flags of train] [--fresh] [--gradients] [--html FILE]"
    add_doctor_arguments(commands["doctor"])
    _add_log_arguments(commands["train"])
    for command in commands.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser, commands


def _add_log_arguments(command: Parser) -> None:
    group = command.add_argument_group("logs", "a line on standard error for each event; RUN/log.jsonl has them always")
    group.add_argument("--log-format", metavar="FORMAT", choices=FORMATS, help="text, or json for machines")
    about = "the least that is shown: debug, info, warning, error (default: info with --log-format)"
    group.add_argument("--log-level", metavar="LEVEL", choices=LEVELS, help=about)


def _add_report_arguments(command: Parser) -> None:
    command.add_argument("run", metavar="RUN", nargs="+", help="a run folder, or several to compare")
    command.add_argument(
        "-o", "--output", metavar="FILE",
        help="page to write (default: RUN/report.html; comparison.html for several runs)",
    )  # fmt: skip
    command.add_argument(
        "--kernels", action="store_true", help="measure a training step first, kernel by kernel, on this machine"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status and raises nothing."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        with _one_line_warnings():
            try:
                status = _run(argv)
            except SystemExit as done:  # argparse has printed its help, or the version
                status = done.code if isinstance(done.code, int) else DONE
            sys.stdout.flush()
            return status
    except BaseException as error:
        return _report(error, "--debug" in argv)


def _run(argv: list[str]) -> int:
    parser, commands = make_parsers()
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.command is None:
        parser.print_help() if not unknown else parser.refuse(unknown)
        return MISUSE
    if unknown:
        commands[arguments.command].refuse(unknown)
    return COMMANDS[arguments.command](arguments, argv)


def _train(arguments: argparse.Namespace, argv: list[str]) -> int:
    arguments = settled(arguments)
    with _shown_events(arguments):
        return _trained(arguments, argv)


@contextlib.contextmanager
def _shown_events(arguments: argparse.Namespace) -> Iterator[None]:
    """Events on stderr while the command runs, if a flag asks for them."""
    if not (arguments.log_format or arguments.log_level):
        yield
        return
    level = LOGGER.level
    handler = log_to(sys.stderr, arguments.log_format or "text", arguments.log_level or "info")
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


def _trained(arguments: argparse.Namespace, argv: list[str]) -> int:
    if arguments.find_learning_rate is not None and arguments.resume is None:
        find_rate(settings_of_flags(arguments), arguments.find_learning_rate, say=_say)
        return DONE
    if arguments.resume is not None:
        outcome = resume(arguments.resume, resume_options(arguments), say=_say)
    else:
        settings, command = settings_of_flags(arguments), shlex.join(["thalweg", *argv])
        made = cross_validate if settings.cross_validate else _once
        outcome = made(settings, command, _say)[-1]
    return INTERRUPTED if outcome.was_interrupted else DONE


def _once(settings: Settings, command: str, say: Say) -> list[Outcome]:
    return [train(settings, command=command, say=say)]


def _predict(arguments: argparse.Namespace, argv: list[str]) -> int:
    written = use.predict(arguments.run, arguments.input, arguments.output, search_of(arguments))
    if " in " in written:
        _say(written)
    return DONE


def _generate(arguments: argparse.Namespace, argv: list[str]) -> int:
    generate(arguments, say=_say)
    return DONE


def _evaluate(arguments: argparse.Namespace, argv: list[str]) -> int:
    scores = use.evaluate(arguments.run, arguments.data, _say, search_of(arguments))
    _say(f"{scores.examples:,} examples of {arguments.data or 'the test part'}")
    for line in scores.lines():
        _say(line)
    return DONE


def _explain(arguments: argparse.Namespace, argv: list[str]) -> int:
    if arguments.what is None:
        return run_explain(arguments)
    refuse_example_flags(arguments)
    title, explanation = explanation_of(arguments.what, arguments.examples)
    _say(str(explanation) if arguments.html is None else written(explanation, arguments.html, title))
    return DONE


def _report_runs(arguments: argparse.Namespace, argv: list[str]) -> int:
    for run in arguments.run if arguments.kernels else ():
        measure_kernels(RunFolder(run))
    _say(f"report  {write_report(arguments.run, arguments.output)}")
    return DONE


def _doctor(arguments: argparse.Namespace, argv: list[str]) -> int:
    return doctor(arguments, say=_say)


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "train": _train, "predict": _predict, "generate": _generate, "evaluate": _evaluate, "explain": _explain,
    "report": _report_runs, "doctor": _doctor,
}  # fmt: skip


def _say(line: str) -> None:
    print(line, flush=True)


# --- what can go wrong -----------------------------------------------------------------------------------------------


def _report(error: BaseException, debug: bool) -> int:
    """Say what went wrong, on stderr; returns the exit status."""
    if isinstance(error, OSError):
        _close_quietly(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return DONE
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        _complain("interrupted")
        return INTERRUPTED
    if isinstance(error, ThalwegError):
        _complain(f"error: {error}", *getattr(error, "__notes__", ()))
        return MISUSE
    _complain(_unexpected(error))
    return FAILED


def _unexpected(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        remedy = "use a smaller batch or network; stream a large CSV file with --stream"
        return "error: " + explain("out of memory", received=str(error) or None, remedy=remedy)
    if isinstance(error, OSError):
        return "error: " + explain(
            "the system refused", received=error.strerror or str(error), where=error.filename,
            remedy="check the path, the permissions and the space that is left",
        )  # fmt: skip
    return "error: " + explain(
        "this should not happen: a mistake in Thalweg",
        received=f"{type(error).__name__}: {error}",
        remedy="run it again with --debug, and report what it shows",
    )


def _complain(*lines: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in lines:
            print(line, file=sys.stderr)
        sys.stderr.flush()


def _close_quietly(stream: TextIO) -> None:
    """If our output goes nowhere any more, what is left of it shall not fail again when Python exits."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Warnings as one line each, without the place in our source."""

    def show(message: Any, *_: Any, **__: Any) -> None:
        _complain(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
