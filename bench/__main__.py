"""`python -m bench`: training with Thalweg beside PyTorch, JAX, Keras and scikit-learn, in interleaved rounds.

In: which groups or rows, and which sides. Out: tables on the terminal; with `--write` docs/benchmarks.md and its
figures, where other rows stay as they were; exit status 1 with `--check` where a row falls short.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import datasets, fresh, machine, plots
from bench.client import Client, WorkerError, start
from bench.document import DOCUMENT, document, figures
from bench.harness import OURS, Asked, Outcome, Plan, measure
from bench.peers import ITSELF, SIDES, Setting
from bench.report import Report, Run
from bench.rows import GROUPS, chosen, group_of
from bench.shortfalls import shortfalls
from bench.store import save, stored
from bench.table import amount, ratio_text
from bench.workloads import TORCH, Workload
from thalweg.data import mnist
from thalweg.recipes import record

PEERS = "torch,jax,keras,keras.16,sklearn"


def parser() -> argparse.ArgumentParser:
    plan = Plan()
    result = argparse.ArgumentParser("python -m bench", description="Measure training beside its peers.")
    result.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these groups or rows; a * at the end stands for any"
    )
    result.add_argument("--list", action="store_true", help="name the groups and their rows, and stop")
    result.add_argument("--peers", default=PEERS, help=f"of these and torch.compile (default: {PEERS})")
    result.add_argument("--rounds", type=int, default=plan.most_rounds, help=f"at most (default: {plan.most_rounds})")
    result.add_argument("--block", type=float, default=plan.block, help=f"seconds of a block (default: {plan.block})")
    result.add_argument("--write", action="store_true", help="write them to docs/benchmarks.md if the machine is quiet")
    result.add_argument("--anyway", action="store_true", help="write it even if the machine is busy")
    result.add_argument("--json", type=Path, metavar="FILE", help="write every timing too")
    result.add_argument("--check", action="store_true", help="fail where a row falls short")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        rows = chosen(given.only)
        peers = peers_named(given.peers)
    except ValueError as error:
        parser().error(str(error))
    if given.list:
        print(listing(rows))
        return 0
    plan = replace(Plan(), most_rounds=given.rounds, least_rounds=min(given.rounds, Plan.least_rounds),
                   block=given.block)  # fmt: skip
    load, report = machine.load(), Report()
    is_quiet = load <= machine.QUIET
    print(f"load average {load:.2f}{'' if is_quiet else ': not quiet, do not trust the figures'}")
    for name, group in grouped(rows).items():
        print(f"--- {name}")
        report.merge(run(group, [OURS, *peers, *ITSELF], plan, load))
        if given.write and (is_quiet or given.anyway):
            write(report)  # after each group, so that what is done is done
    print("\n" + figures(report))
    if given.write and not is_quiet and not given.anyway:
        print(f"not written: load average {load:.2f} before the start; wait, or say --anyway", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in report.outcomes], indent=1), encoding="utf-8")
    return 1 if given.check and shortfalls(report) else 0


def listing(rows: Sequence[Workload]) -> str:
    """The groups, and the rows of each."""
    return "\n\n".join(
        "\n".join([f"{name}: {GROUPS[name]}", *(f"  {row.name:28} {row.title}" for row in group)])
        for name, group in grouped(rows).items()
    )


def grouped(rows: Sequence[Workload]) -> dict[str, list[Workload]]:
    """The rows of each group, in order."""
    groups: dict[str, list[Workload]] = {}
    for row in rows:
        groups.setdefault(group_of(row), []).append(row)
    return groups


def peers_named(text: str) -> list[str]:
    """
    >>> peers_named("torch,jax")
    ['torch', 'jax']
    """
    names, known = [name.strip() for name in text.split(",") if name.strip()], [*set(SIDES) - {OURS, *ITSELF}]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no peer {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return names


def run(rows: Sequence[Workload], sides: Sequence[str], plan: Plan, load: float) -> Report:
    """Measure the rows of a group, with workers for those that run under the same setting."""
    this = Run(machine.describe(), record.now(), machine.commit(), load, list(sides))
    report = Report()
    by_setting: dict[tuple[Setting, bool], list[Workload]] = {}
    for row in rows:
        by_setting.setdefault((row.setting, row.table == fresh.TABLE), []).append(row)
    with training_data(rows):
        for (setting, is_fresh), same in by_setting.items():
            with contextlib.ExitStack() as stack:
                asked = [side for side in sides if side == OURS or any(side in row.peers for row in same)]
                workers = fresh_processes(stack, asked, setting) if is_fresh else started(stack, this, asked, setting)
                for row in same:
                    outcome = measure(row, workers, plan)
                    report.add(outcome, this)
                    print(line(outcome, sides), flush=True)
    if any(row.table == fresh.TABLE for row in rows):
        this.start_times = machine.start_times(sides)
    return report


@contextlib.contextmanager
def training_data(rows: Sequence[Workload]) -> Iterator[None]:
    """MNIST as arrays in a folder that the workers know, if a row trains on it and it is on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        source = datasets.data_root() / "mnist"
        if any(row.needs_data for row in rows) and source.is_dir():
            images, labels = mnist(source).train
            datasets.write_arrays(Path(folder), images, labels)
        os.environ[datasets.VARIABLE] = folder
        yield


def fresh_processes(stack: contextlib.ExitStack, sides: Sequence[str], setting: Setting) -> dict[str, Asked]:
    return {
        worker_key(side, each, setting): stack.enter_context(fresh.FreshProcess(side, each))
        for side in sides
        for each in SIDES[side].settings(setting)
    }


def started(stack: contextlib.ExitStack, this: Run, sides: Sequence[str], setting: Setting) -> Mapping[str, Asked]:
    """A worker for each side and number of threads. The run hears what they are, and why a side has none."""
    workers: dict[str, Client] = {}
    for side in sides:
        for each in SIDES[side].settings(setting):
            worker = stack.enter_context(start(SIDES[side], each))
            try:
                worker.ask("describe")
            except WorkerError as error:
                this.left_out[side] = str(error)
            else:
                workers[worker_key(side, each, setting)] = worker
    if OURS not in workers:
        raise SystemExit(f"Thalweg's worker did not start: {this.left_out[OURS]}")
    this.versions |= machine.versions(workers)
    if setting.processors is None:  # with more threads than processors, rates would say nothing
        this.rates[setting] = machine.rates(workers)
    return workers


def worker_key(side: str, mine: Setting, setting: Setting) -> str:
    """The side, and its threads where there is a choice of them."""
    is_chosen = len(SIDES[side].settings(setting)) > 1
    return f"{side}@{mine.threads} thread{'s' * (mine.threads > 1)}" if is_chosen else side


def line(outcome: Outcome, sides: Sequence[str]) -> str:
    """One row as it is done, for the one who waits."""
    unit = outcome.workload.unit
    times = [f"{side} {amount(outcome.median(key), unit)}" for side in sides if (key := outcome.best(side))]
    rounds = max(map(len, outcome.seconds.values()), default=0)
    reasons = [f"{key} failed: {reason}" for key, reason in outcome.missing.items()]
    ratio = ratio_text(outcome.ratio(TORCH) or outcome.ratio(outcome.workload.peers), outcome)
    return "  ".join([f"{outcome.workload.name:28}", *times, f"ratio {ratio}", f"{rounds} rounds", *reasons])


def write(report: Report) -> None:
    """The page, its pictures and the kept figures: with these rows anew, and the others as they were."""
    whole = stored()
    whole.merge(report)
    save(whole)
    plots.draw(whole.outcomes, DOCUMENT.parent)
    DOCUMENT.write_text(document(whole), encoding="utf-8")
    print(f"wrote {DOCUMENT.relative_to(Path.cwd()) if DOCUMENT.is_relative_to(Path.cwd()) else DOCUMENT.name}")


if __name__ == "__main__":
    sys.exit(main())
