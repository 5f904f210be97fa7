"""`python -m bench`: training steps of Thalweg beside PyTorch and JAX, in interleaved rounds.

In: which rows, sides and threads. Out: tables on the terminal, docs/benchmarks.md with `--write`; exit status 1 with
`--check` where a row falls short of what is asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import machine
from bench.client import Client, WorkerError, start
from bench.document import DOCUMENT, document, figures
from bench.harness import OURS, Outcome, Plan, measure
from bench.peers import SIDES
from bench.table import Report, ratio_text, shortfalls, time
from bench.workloads import TORCH, Workload, chosen


def parser() -> argparse.ArgumentParser:
    plan = Plan()
    result = argparse.ArgumentParser("python -m bench", description="Measure training steps beside PyTorch and JAX.")
    result.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these rows; a * at the end stands for any"
    )
    result.add_argument("--list", action="store_true", help="name the rows and stop")
    result.add_argument("--peers", default="torch,jax", help="torch, torch.compile, jax (default: torch,jax)")
    result.add_argument("--threads", type=int, default=1, help="for each side (default: 1)")
    result.add_argument("--rounds", type=int, default=plan.most_rounds, help=f"at most (default: {plan.most_rounds})")
    result.add_argument("--block", type=float, default=plan.block, help=f"seconds of a block (default: {plan.block})")
    result.add_argument("--write", action="store_true", help="write docs/benchmarks.md if the machine is quiet")
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
        print("\n".join(f"{row.name:28} {row.title}" for row in rows))
        return 0
    plan = replace(Plan(), most_rounds=given.rounds, least_rounds=min(given.rounds, Plan.least_rounds),
                   block=given.block)  # fmt: skip
    report = run(rows, [OURS, *peers], given.threads, plan)
    print("\n" + figures(report))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in report.outcomes], indent=1), encoding="utf-8")
    if given.write:
        write(report, is_whole=not given.only, anyway=given.anyway)
    return 1 if given.check and shortfalls(report) else 0


def peers_named(text: str) -> list[str]:
    """
    >>> peers_named("torch,jax")
    ['torch', 'jax']
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in SIDES or name == OURS]
    if unknown:
        raise ValueError(f"no peer {', '.join(unknown)}; there are {', '.join(key for key in SIDES if key != OURS)}")
    return names


def run(rows: Sequence[Workload], sides: Sequence[str], threads: int, plan: Plan) -> Report:
    """Start the workers, measure every row, end the workers."""
    load = machine.load()
    print(f"load average {load:.2f}{'' if load <= machine.QUIET else ': not quiet, do not trust the figures'}")
    with contextlib.ExitStack() as stack:
        workers, left_out = start_workers(stack, sides, threads)
        present = [side for side in sides if side not in left_out]
        report = Report(machine.describe(), threads, present, machine.versions(workers), machine.rates(workers),
                        left_out=left_out, load=load)  # fmt: skip
        for row in rows:
            report.outcomes.append(measure(row, workers, plan))
            print(line(report.outcomes[-1], present), flush=True)
    report.start_times = machine.start_times(present, threads)
    return report


def start_workers(
    stack: contextlib.ExitStack, sides: Sequence[str], threads: int
) -> tuple[dict[str, Client], dict[str, str]]:
    """A worker for each side and number of threads, and why a side has none."""
    workers: dict[str, Client] = {}
    left_out: dict[str, str] = {}
    for side in sides:
        choices = SIDES[side].thread_choices(threads)
        for count in choices:
            worker = stack.enter_context(start(SIDES[side], count, can_choose=len(choices) > 1))
            try:
                worker.ask("describe")
            except WorkerError as error:
                left_out[side] = str(error)
            else:
                workers[f"{side}@{count}" if len(choices) > 1 else side] = worker
    if OURS not in workers:
        raise SystemExit(f"Thalweg's worker did not start: {left_out[OURS]}")
    return workers, left_out


def line(outcome: Outcome, sides: Sequence[str]) -> str:
    """One row as it is done, for the one who waits."""
    times = [f"{side} {time(outcome.median(key))}" for side in sides if (key := outcome.best(side))]
    rounds = max(map(len, outcome.seconds.values()), default=0)
    reasons = [f"{key} failed: {reason}" for key, reason in outcome.missing.items()]
    ratio = ratio_text(outcome.ratio(TORCH), outcome)
    return "  ".join([f"{outcome.workload.name:28}", *times, f"ratio {ratio}", f"{rounds} rounds", *reasons])


def write(report: Report, is_whole: bool, anyway: bool) -> None:
    """Only a whole run on a quiet machine becomes a document."""
    if not is_whole:
        print("not written: only a run of every row is")
    elif report.load > machine.QUIET and not anyway:
        print(f"not written: load average {report.load:.2f} before the start; wait, or say --anyway", file=sys.stderr)
    else:
        DOCUMENT.write_text(document(report), encoding="utf-8")
        print(f"wrote {DOCUMENT.relative_to(Path.cwd()) if DOCUMENT.is_relative_to(Path.cwd()) else DOCUMENT.name}")


if __name__ == "__main__":
    sys.exit(main())
