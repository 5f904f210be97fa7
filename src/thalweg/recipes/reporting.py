"""A run folder as the data of a report: what `thalweg report` shows, whenever the run was.

In: a run folder. Out: a `RunReport` of one run, or `ComparedRun`s. Everything is read from the folder: config.json,
metrics.jsonl, results.json, pictures, and, where they are there, findings.json, record.npz and kernels.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data.files import believing_nothing, check_size
from thalweg.diagnose.finding import Finding
from thalweg.diagnose.record import Record
from thalweg.errors import FileFormatError, explain
from thalweg.recipes.networks import network_from_config
from thalweg.recipes.picture_drawing import FILTERS, OF_FILTERS, SAID
from thalweg.recipes.problem import REGRESSION
from thalweg.recipes.resuming import history_of, recorded_lines
from thalweg.recipes.run_folder import FINDINGS as FINDINGS
from thalweg.recipes.run_folder import LARGEST_CONFIG, RunFolder, unwritable
from thalweg.recipes.scores import HEADLINE, Scores, in_figures
from thalweg.recipes.sequence_drawing import SAID_OF_SEQUENCES
from thalweg.recipes.telling import counted
from thalweg.report import pictures, watched
from thalweg.report.comparison import ComparedRun, comparison_page
from thalweg.report.page import write_page
from thalweg.report.pictures import measure_name
from thalweg.report.run_report import KernelTime, RunReport, Shown, Table
from thalweg.report.watched import Watched
from thalweg.train.callbacks import History

REPORT, COMPARISON = "report.html", "comparison.html"
KERNELS = "kernels.json"


class KeptRun:
    """What a run has left in its folder, read when it is asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.config = folder.read_config()
        self.results = _json(folder.results)
        self.history: History = history_of(recorded_lines(folder))

    @property
    def task(self) -> str:
        return str(self.config["outputs"]["task"])

    @property
    def best_epoch(self) -> int | None:
        best = self.results.get("best_epoch")
        return None if best is None else int(best) - 1

    def scores(self) -> Scores:
        """Those of the test part, as they were."""
        numbers = {name: math.nan if value is None else value for name, value in self.results["test"].items()}
        examples, baseline = int(numbers.pop("examples")), numbers.pop("baseline")
        points, matrix = self.results.get("points"), self.results.get("confusion_matrix")
        by_class = {
            name: {key: math.nan if value is None else value for key, value in values.items()}
            for name, values in self.results.get("by_class", {}).items()
        }
        return Scores(
            self.task, numbers, examples, baseline, None if matrix is None else np.asarray(matrix, np.float64),
            None if points is None else (np.asarray(points["true"]), np.asarray(points["predicted"])), by_class,
            [(heading, header, rows) for heading, header, rows in self.results.get("samples", [])],
        )  # fmt: skip

    def quantities(self) -> dict[str, Watched]:
        """What was watched of the layers: the record where there is one, otherwise what the steps hold."""
        path = self.folder.record
        return watched.of_record(Record.load(path)) if path.is_file() else watched.of_columns(self.history.steps)

    def findings(self) -> list[Finding]:
        return findings_of(self.folder)


def findings_of(folder: RunFolder) -> list[Finding]:
    """What the doctor found while the run was trained."""
    path = folder.findings
    with believing_nothing("the list of findings", path):
        return [Finding.from_json(each) for each in _json(path)["findings"]] if path.is_file() else []


def _json(path: Path) -> dict[str, Any]:
    try:
        check_size(path.stat().st_size, LARGEST_CONFIG, path, "the file")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "the run has not come to its end: thalweg train --resume " + str(path.parent)
        raise FileFormatError(explain("the run has no such file", received=str(path), remedy=remedy)) from None
    except FileFormatError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(explain("the file cannot be read", received=error, where=str(path))) from None
    return values if isinstance(values, dict) else {}


# --- one run ---------------------------------------------------------------------------------------------------------


def report_of(folder: RunFolder) -> RunReport:
    """The report of one run. Raises FileFormatError for a folder that holds none, or a damaged one."""
    with believing_nothing("the run", folder, "a file of the run was changed by hand or damaged: train again"):
        return _report_of(KeptRun(folder), folder)


def _report_of(run: KeptRun, folder: RunFolder) -> RunReport:
    config, scores = run.config, run.scores()
    kernels, memory = _kernels(folder.path / KERNELS)
    value = in_figures(scores.numbers[scores.headline])
    return RunReport(
        title=f"{config['name']}: {folder.path.name}",
        result=f"{measure_name(scores.headline)} of the test part: {value}",
        facts=_facts(run),
        tables=_tables(scores),
        pictures=[*_of_test(run, scores), *_of_pictures(run)],
        command=str(config.get("command", "")),
        notes=[str(each) for each in config.get("notes", [])],
        steps=run.history.steps,
        epochs=run.history.history,
        best_epoch=run.best_epoch,
        quantities=run.quantities(),
        findings=run.findings(),
        kernels=kernels,
        memory=memory,
        repeat=list(_repeat(config)),
    )


def _facts(run: KeptRun) -> list[tuple[str, str]]:
    config, settings = run.config, run.config["settings"]
    network = network_from_config(config.get("network"), str(run.folder.config))
    counts = config["data"].get("examples", {})
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    best = run.best_epoch
    facts = [
        ("data", f"{config['name']}: {parts}"),
        ("task", run.task),
        ("network", f"{network}, {network.parameters:,} parameters"),
        ("training", f"{settings['optimizer']}, {settings['schedule']} learning rate up to {settings['lr']:g}, batches "
         f"of {settings['batch_size']}, {counted(run.results['epochs'], 'epoch')}, "
         f"{run.results['training_seconds']:.1f} s"),
        ("weights", _whose(run, best)),
        ("seed", str(config["seed"])),
    ]  # fmt: skip
    reason = run.results.get("stop_reason")
    return [*facts, ("ended early", str(reason))] if reason else facts


def _whose(run: KeptRun, best: int | None) -> str:
    repaired = run.results.get("repaired")
    if repaired:
        return f"those of a repaired copy: {repaired}"
    return "those of the last step" if best is None else f"those of epoch {best + 1}"


def _tables(scores: Scores) -> list[Table]:
    overall = [[measure_name(name), in_figures(value)] for name, value in scores.numbers.items()]
    tables: list[Table] = [(f"Test part, {scores.examples:,} examples", ["measure", "value"], overall)]
    if scores.by_class:
        names = list(next(iter(scores.by_class.values())))
        rows = [[each, *(in_figures(values[name]) for name in names)] for each, values in scores.by_class.items()]
        tables.append(("Each class", ["class", *map(measure_name, names)], rows))
    return [*tables, *scores.samples]


def _of_test(run: KeptRun, scores: Scores) -> Iterator[Shown]:
    """The confusion matrix or the predictions, where matplotlib is there to draw them."""
    try:
        drawn = test_figure(scores, run.config["outputs"].get("classes"), str(run.config["data"].get("target", "")))
    except ImportError:
        return
    if drawn is not None:
        heading, caption, file = OF_TEST[scores.task == REGRESSION]
        yield Shown(heading, caption, run.folder.path / file, drawn)


OF_TEST = {
    True: ("Predicted against true values", "A point for each row of the test part", "predictions.png"),
    False: ("Confusion matrix", "Which classes are taken for which, on the test part", "confusion_matrix.png"),
}


def test_figure(scores: Scores, classes: Sequence[Any] | None, target: str) -> Any:
    """What is drawn of the test part: points, a confusion matrix, or None for boxes."""
    if scores.points is not None:
        summary = f"R2 {scores.numbers['r2']:.3f}, RMSE {in_figures(scores.numbers['rmse'])}"
        return pictures.draw_predictions(*scores.points, target, summary)
    return None if scores.confusion is None else pictures.draw_confusion(scores.confusion, classes or [])


def _of_pictures(run: KeptRun) -> list[Shown]:
    known = (SAID | SAID_OF_SEQUENCES).items()
    said = {name: words for (task, name), words in known if task == run.task} | {FILTERS: OF_FILTERS}
    found = [(words, run.folder.path / name) for name, words in said.items()]
    return [Shown(*words, path) for words, path in found if path.is_file()]


def _kernels(path: Path) -> tuple[list[KernelTime], list[tuple[str, str]]]:
    if not path.is_file():
        return [], []
    values = _json(path)
    return [KernelTime(**each) for each in values["kernels"]], [(str(a), str(b)) for a, b in values["memory"]]


def _repeat(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything that the same numbers depend on."""
    yield "seed", str(config["seed"])
    yield "started", str(config.get("started", ""))
    files = config["data"].get("files", {"data": config["data"]})
    for name, file in files.items():
        yield name, str(file.get("origin") or file.get("path", ""))
        yield "fingerprint" if name == "data" else f"fingerprint of {name}", str(file.get("sha256", ""))
    yield "commit", str(config.get("git_commit") or "")
    yield "versions", ", ".join(f"{name} {value}" for name, value in config.get("versions", {}).items() if value)
    yield "machine", ", ".join(f"{name} {value}" for name, value in config.get("machine", {}).items())
    yield "arguments", ", ".join(f"{name} {_told(value)}" for name, value in settings_told(config).items())


def settings_told(config: Mapping[str, Any]) -> dict[str, str]:
    """Every setting that was decided, as text."""
    return {name: _told(value) for name, value in config["settings"].items() if value is not None}


def _told(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


# --- several runs ----------------------------------------------------------------------------------------------------


def compared(folders: Sequence[RunFolder]) -> list[ComparedRun]:
    """The runs as rows of a comparison."""
    return [_compared(KeptRun(folder)) for folder in folders]


def _compared(run: KeptRun) -> ComparedRun:
    scores, results = run.scores(), run.results
    numbers = {measure_name(name): in_figures(value) for name, value in scores.numbers.items()}
    first = measure_name(HEADLINE[scores.task])
    ordered = {first: numbers.pop(first), **numbers}
    more = {"epochs": str(results["epochs"]), "steps": f"{results['steps']:,}",
            "seconds": f"{results['training_seconds']:.1f}"}  # fmt: skip
    name = run.folder.path.resolve().name
    return ComparedRun(name, {**ordered, **more}, settings_told(run.config), run.history.steps, run.history.history)


def write_report(runs: Sequence[str], output: str | None = None) -> Path:
    """The page about a run, or about several side by side; returns where it is.

    Raises FileFormatError for a folder that holds no run, ConfigurationError where the page cannot be written.
    """
    folders = [RunFolder(run) for run in dict.fromkeys(runs)]
    default = folders[0].path / REPORT if len(folders) == 1 else Path(COMPARISON)
    path = Path(output) if output is not None else default
    with believing_nothing("a run", ", ".join(map(str, folders)), "was a file of it changed by hand, or damaged?"):
        text = report_of(folders[0]).text() if len(folders) == 1 else comparison_page(compared(folders))
    try:
        return write_page(text, path)
    except OSError as error:
        raise unwritable(path, error) from None
