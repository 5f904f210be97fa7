"""`python -m bench.results [TEXT...]`: train rows of docs/results.md again, three seeds each, and write the document.

In: the command line as a user has it, real data in ../shared/data (or where THALWEG_SHARED_DATA says); words, of which
a row's command must have one. Out: docs/results.json, where figures are kept, and docs/results.md, which is made of it;
both after every row. A row whose data is not on this machine is left as it was.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.datasets import DATA, REPOSITORY, data_root
from thalweg.recipes import record

DOCUMENT, STORE = REPOSITORY / "docs" / "results.md", REPOSITORY / "docs" / "results.json"
SEEDS = (0, 1, 2)
MEASURES = {"accuracy": "accuracy", "pixel_accuracy": "pixel accuracy", "map_50": "mAP at 0.5",
            "mean_iou": "mean IoU", "mean_dice": "mean Dice", "map": "mAP 0.5 to 0.95",
            "loss": "cross-entropy of a character", "perplexity": "perplexity", "bleu": "BLEU, lower-cased",
            "word_error_rate": "word error rate", "all_right": "whole strings right",
            "docked": "share docked"}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the table: a command, which of its numbers counts, in which unit, and what was asked for."""

    task: str
    arguments: str
    number: str
    bound: float
    needs: str | None = None
    unit: float = 1.0
    unit_name: str = ""
    most_seconds: float | None = None
    """What the training may take at most, on the mean of the seeds."""
    also: tuple[str, ...] = ()
    """Numbers that are reported besides."""

    @property
    def is_better_when_higher(self) -> bool:
        return self.number not in ("rmse", "loss", "word_error_rate")

    @property
    def command(self) -> str:
        return f"thalweg train {self.arguments}"

    @property
    def asked(self) -> str:
        within = "" if self.most_seconds is None else f", in under {self.most_seconds:g} s"
        return f"{'at least' if self.is_better_when_higher else 'at most'} {self.bound:g}{within}"


ROWS = (
    Row("UCI digits, 8 x 8: 359 test images", "digits", "accuracy", 0.97),
    Row("MNIST, a perceptron 784-128-10: 10,000 test images", f"mnist --network perceptron --data {DATA}/mnist",
        "accuracy", 0.975, "mnist"),
    Row("California housing: a fifth as test part, another for each seed",
        f"{DATA}/california_housing/housing.csv.gz --target median_house_value", "rmse", 0.60, "california_housing",
        unit=100_000, unit_name="in units of 100,000 dollars"),
    Row("Adult census income: 16,281 test rows",
        f"{DATA}/adult/adult.data.gz --no-header --target 14 --test {DATA}/adult/adult.test.gz", "accuracy", 0.85,
        "adult"),
    Row("MNIST, two convolutions: 10,000 test images", f"mnist --data {DATA}/mnist", "accuracy", 0.992, "mnist",
        most_seconds=120),
    Row("Fashion-MNIST, two convolutions, 50,378 parameters: 10,000 test images",
        f"fashion_mnist --data {DATA}/fashion_mnist", "accuracy", 0.92, "fashion_mnist"),
    Row("CIFAR-10, ResNet-20 on 10,000 training images: 1,000 test images", f"cifar10 --data {DATA}/cifar10",
        "accuracy", 0.80, "cifar10", most_seconds=600),
    Row("Membranes of neurons, U-Net on 24 pictures: 6 test pictures", f"membrane --data {DATA}/membrane",
        "pixel_accuracy", 0.92, "membrane", also=("mean_iou", "mean_dice")),
    Row("Tiny Shakespeare, GPT of 4 layers, 128 wide, context 64, 2,000 steps: loss over the whole last tenth",
        f"shakespeare --data {DATA}", "loss", 1.90, "tiny_shakespeare", most_seconds=120, also=("perplexity",)),
    Row("Tiny Shakespeare, LSTM: loss over the whole last tenth", f"shakespeare --network lstm --data {DATA}", "loss",
        1.75, "tiny_shakespeare", most_seconds=300, also=("perplexity",)),
    Row("Movie-review sentences (rt-polarity), sentence CNN: mean of 10 folds",
        f"rt_polarity --cross-validate --data {DATA}", "accuracy", 0.755, "rt_polarity"),
    Row("Multi30k, German to English, Transformer: 1,000 sentences of the 2016 test part", f"multi30k --data {DATA}",
        "bleu", 28, "multi30k", most_seconds=2700),
    Row("Spoken digits (FSDD), convolutions and a GRU: 300 recordings of the set's own split",
        f"spoken_digits --data {DATA}", "accuracy", 0.97, "fsdd", most_seconds=180),
    Row("Strings of 3 to 7 spoken digits, CTC: 500 strings joined from test recordings",
        f"digit_strings --data {DATA}", "word_error_rate", 0.05, "fsdd", also=("all_right",)),
    Row("Truck backer-upper, 25 hidden units: 2,000 random starts", "truck", "docked", 0.95),
    Row("Blood cells (BCCD), CenterNet: 72 test pictures of the official split", f"bccd --data {DATA}/bccd",
        "map_50", 0.80, "bccd", most_seconds=300, also=("map",)),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What one command gave with each seed."""

    row: Row
    values: tuple[float, ...]
    training_seconds: tuple[float, ...]
    whole_seconds: tuple[float, ...]
    others: tuple[tuple[float, ...], ...] = ()
    """For each number of `row.also` the values of all seeds."""
    where: str = ""
    """When, on what and with what."""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def is_reached(self) -> bool:
        is_good = self.mean >= self.row.bound if self.row.is_better_when_higher else self.mean <= self.row.bound
        most = self.row.most_seconds
        return is_good and (most is None or statistics.fmean(self.training_seconds) <= most)


def measure(row: Row) -> Measured:
    """Run the command once for each seed."""
    values, training, whole, others = [], [], [], []
    for seed in SEEDS:
        started = time.perf_counter()
        results = run(row, seed)
        whole.append(time.perf_counter() - started)
        training.append(results["training_seconds"])
        values.append(results["test"][row.number] / row.unit)
        others.append([results["test"][name] for name in row.also])
        print(f"{row.command} --seed {seed}: {row.number} {values[-1]:.4f}, {whole[-1]:.1f} s", flush=True)
    seconds = (tuple(round(each, 1) for each in column) for column in (training, whole))
    return Measured(row, tuple(values), *seconds, tuple(zip(*others, strict=True)), machine())


def run(row: Row, seed: int) -> dict[str, Any]:
    """One run in a process of its own, as at the terminal; its results.json."""
    arguments = shlex.split(row.arguments.replace(DATA, str(data_root())))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "thalweg", "train", *arguments, "--seed", str(seed), "--run", f"{folder}/run"]
        subprocess.run([*command, "--quiet"], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        results: dict[str, Any] = json.loads(Path(folder, "run", "results.json").read_text(encoding="utf-8"))
    return results


# --- what is kept ----------------------------------------------------------------------------------------------------


def stored(path: Path = STORE) -> dict[Row, Measured]:
    """What the file has of rows that are still measured by the same command."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {row: _measured(row, content[row.command]) for row in ROWS if row.command in content}


def _measured(row: Row, kept: dict[str, Any]) -> Measured:
    columns = (tuple(kept[name]) for name in ("values", "training_seconds", "whole_seconds"))
    return Measured(row, *columns, tuple(map(tuple, kept["others"])), kept["where"])


def save(known: dict[Row, Measured], path: Path = STORE) -> None:
    content = {row.command: {name: value for name, value in asdict(each).items() if name != "row"}
               for row, each in known.items()}  # fmt: skip
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


# --- the document ----------------------------------------------------------------------------------------------------

INTRODUCTION = """\
# Results

What the command line reaches on real data with its defaults, measured by `make results`, which runs the commands below
and writes this page. Each command was run with `--seed 0`, `1` and `2`; the seed decides the validation part, the
first weights, the order of the examples and the dropout (and, where no test file exists, the test part).

Nothing was chosen on a test part: the best epoch is that of the lowest loss (for named sets of pictures: of the highest
accuracy or precision) on a validation part, a tenth of the training part, and the defaults of the recipes were chosen
on validation parts (for the digits by five-fold cross-validation within the training part). What may be learnt from is
the training part of each set's authors; of BCCD their training and validation lists; of the membranes, which are
consecutive slices, the first 24.

The small GPT is nanoGPT's recipe for a small processor in all but the learning rate, 3e-3 in the place of 1e-3, which
was chosen on the last ninth of the training part. With `--lr 1e-3` the loss is 1.914 (seed 0), and that of the same
recipe in PyTorch 1.912.
"""


CLOSING = """\
Times are means over the seeds, in seconds; the whole command starts Python, reads the data, compiles, trains, evaluates
and draws. The commands, from the root of the repository (and again with `--seed 1` and `--seed 2`):
"""


def document(known: dict[Row, Measured]) -> str:
    """The text of docs/results.md."""
    measured = [known[row] for row in ROWS if row in known]
    left_out = [row.task for row in ROWS if row not in known]
    head = "| task | measure | mean | each seed | asked for | training | whole command |"
    table = [head, "| --- | --- | --- | --- | --- | --- | --- |", *map(table_row, measured)]
    commands = [
        "<!-- not run: these are the measured trainings themselves -->",
        "```sh",
        *(f"{row.command} --seed 0" for row in ROWS),
        "```",
    ]
    reasons = ["Not measured yet:", "", *(f"- {task}" for task in left_out), ""] if left_out else []
    runs = [f"- {where}" for where in dict.fromkeys(each.where for each in measured)]
    return "\n".join([INTRODUCTION, *table, "", CLOSING, *commands, "", *reasons, "Measured:", "", *runs, ""])


def table_row(each: Measured) -> str:
    values = ", ".join(f"{value:.4f}" for value in each.values)
    name = MEASURES.get(each.row.number) or f"RMSE, {each.row.unit_name}"
    others = "".join(
        f"; {MEASURES[name]} {statistics.fmean(values):.4f}"
        for name, values in zip(each.row.also, each.others, strict=False)
    )
    times = " | ".join(f"{statistics.fmean(seconds):.1f}" for seconds in (each.training_seconds, each.whole_seconds))
    return f"| {each.row.task} | {name} | **{each.mean:.4f}**{others} | {values} | {each.row.asked} | {times} |"


def machine() -> str:
    """When, on what and with what this is measured."""
    kind, versions = record.machine(), record.versions()
    packages = ", ".join(f"{name} {number}" for name, number in versions.items() if number is not None)
    place = f"{kind['processor']}, {kind['cores']} cores, {kind['system']} {kind['machine']}"
    return f"{time.strftime('%Y-%m-%d')} on {place}; {packages}."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.results", description="Measure what docs/results.md says.")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="only rows whose command has one of these")
    texts = parser.parse_args(arguments).texts
    known, measured = stored(), list[Measured]()
    for row in (each for each in ROWS if not texts or any(text in each.command for text in texts)):
        if row.needs is not None and not (data_root() / row.needs).is_dir():
            print(f"{row.task}: {data_root() / row.needs} is not there", file=sys.stderr)
            continue
        known[row] = measure(row)
        measured.append(known[row])
        save(known)
        DOCUMENT.write_text(document(known), encoding="utf-8")
    for each in measured:
        if not each.is_reached:
            seconds = statistics.fmean(each.training_seconds)
            print(f"{each.row.task}: {each.mean:.4f} in {seconds:.0f} s, asked for {each.row.asked}", file=sys.stderr)
    return 0 if all(each.is_reached for each in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
