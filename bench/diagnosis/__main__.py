"""`python -m bench.diagnosis CASES.json [--limit N] [--out RESULTS.json]`: diagnosis on set-ups whose problem is known.

In: a file of cases in the schema of `../shared/data/faulty_networks/README.md`. Out: a line for each as it is done, the
scores, and with `--out` a file that is written after every case, so that what is done is done.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import thalweg as tw
from bench.diagnosis.cases import load_cases, load_recipes
from bench.diagnosis.planted import planted_cases
from bench.diagnosis.running import Outcome, outcome
from bench.diagnosis.scoring import by_label, is_faulty, score


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser("python -m bench.diagnosis", description="Measure diagnosis on known set-ups.")
    result.add_argument("cases", type=Path, help="a file of cases, or the word planted: our own, with known layers")
    result.add_argument("--limit", type=int, help="only the first so many")
    result.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="only cases with one of these in their id"
    )
    result.add_argument("--seed", type=int, default=0, help="starting point (default: 0)")
    result.add_argument("--no-repair", action="store_true", help="only say what is wrong")
    result.add_argument("--out", type=Path, metavar="RESULTS.json", help="write the results there")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    tw.set_num_threads(1)
    is_planted = given.cases == Path("planted")
    recipes = load_recipes(given.cases)
    cases = planted_cases() if is_planted else load_cases(given.cases)
    cases = [each for each in cases if not given.only or any(part in each["id"] for part in given.only)]
    done: list[Outcome] = []
    for case in cases[: given.limit]:
        done.append(outcome(case, recipes, given.seed, repairs=not given.no_repair))
        print(line(done[-1]), flush=True)
        if given.out:
            write(given.out, done)
    print(summary(done))
    return 0


def line(each: Outcome) -> str:
    label = each.label if isinstance(each.label, str) else ", ".join(each.label)
    if each.waiting:
        return f"{each.id:46s} {label:40s} waiting: {each.waiting}"
    state = "failed" if is_faulty(each) else "fine"
    return (
        f"{each.id:46s} {label:40s} {state:6s} {number(each.metric):>8s} {number(each.metric_repaired):>8s} "
        f"{each.seconds:6.2f} {each.seconds_watched:6.2f} {each.seconds_repaired:6.2f} s  "
        f"{', '.join(each.found) or '-'}{f' in {each.layer}' if each.layer else ''}"
    )


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def summary(done: list[Outcome]) -> str:
    lines = ["", f"all: {score(done)}", *(f"{name}: {each}" for name, each in by_label(done).items())]
    seconds, watched = sum(each.seconds for each in done), sum(each.seconds_watched for each in done)
    repaired = sum(each.seconds_repaired for each in done)
    lines.append(f"seconds: plain {seconds:.1f}, with diagnosis {watched:.1f}, with repair {repaired:.1f}")
    return "\n".join([*lines, *repairs(done)])


def repairs(done: list[Outcome]) -> list[str]:
    """Metrics plain and repaired: of faulty runs, of the published models by data set, and what got worse."""
    lines = []
    for name, chosen in (("faulty", is_faulty), ("AUTOTRAINER, Blob", published("blob")),
                         ("AUTOTRAINER, Circle", published("circle"))):  # fmt: skip
        pairs = [(each.metric, each.metric_repaired) for each in done if each.waiting is None and chosen(each)]
        known = [(max(0.0, before or 0.0), max(0.0, after or 0.0)) for before, after in pairs]
        if known:
            before, after = (sum(column) / len(known) for column in zip(*known, strict=True))
            lines.append(f"{name} ({len(known)}): mean metric {before:.3f}, repaired {after:.3f} (below 0 counts as 0)")
    worse = [each.id for each in done if (each.metric_repaired or 0.0) < (each.metric or 0.0) - 0.01]
    mended = sum(is_faulty(each) and (each.metric_repaired or -1.0) >= each.fails_below for each in done)
    planted = [each for each in done if each.expected_layer is not None and is_faulty(each)]
    if planted:
        right = sum(each.named_layer == each.expected_layer for each in planted)
        lines.append(f"right layer: {right} of {len(planted)}")
    return [*lines, f"faulty runs that end above their limit: {mended}; worse by 0.01: {', '.join(worse) or 'none'}"]


def published(name: str) -> Callable[[Outcome], bool]:
    """The faulty published models of a data set."""
    return lambda each: each.id.startswith(f"autotrainer-{name}") and is_faulty(each)


def write(path: Path, done: list[Outcome]) -> None:
    """Whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps([each.plain() for each in done], indent=1), encoding="utf-8")
    os.replace(beside, path)


if __name__ == "__main__":
    raise SystemExit(main())
