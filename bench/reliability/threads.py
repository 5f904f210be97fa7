"""The same weights, bit for bit, on 1, 2, 3 and 8 threads, and in the first as in the hundredth training of a process.

In: `--mlp-steps`, `--steps`, `--rows`. Out: for each row of bench/ whether all checksums of weights, optimizer state
and losses are equal; one process for each number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench.reliability._training import rows

THREADS = (1, 2, 3, 8)
AGAIN = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mlp-steps", type=int, default=1000, help="of multilayer perceptrons (default 1000)")
    parser.add_argument("--steps", type=int, default=50, help="of the other networks (default 50)")
    parser.add_argument("--rows", nargs="*", default=None, help="names of rows; default: every network of bench/")
    parser.add_argument("--again", type=int, default=AGAIN, help="trainings of one process to compare (default 100)")


def main(given: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows():
        if given.rows is None or row.name in given.rows:
            steps = given.mlp_steps if row.family == "dense" else given.steps
            checksums = {n: trained([row.name], steps, 1, n)[row.name][0] for n in THREADS}
            found[row.name] = {"steps": steps, "same": len(set(checksums.values())) == 1, "checksums": checksums}
            threads = ", ".join(map(str, THREADS))
            print(f"{row.name}: {steps} steps on {threads} threads: {_told(found[row.name])}", flush=True)
    again = trained(["mlp-13"], 20, given.again, 2)["mlp-13"]
    is_same = len(set(again)) == 1
    print(f"mlp-13: {len(again)} trainings of 20 steps in one process: {'same bits' if is_same else 'DIFFERENT'}")
    holds = is_same and all(each["same"] for each in found.values())
    return {"holds": holds, "rows": found, "again": {"trainings": len(again), "same": is_same}}


def _told(row: dict[str, Any]) -> str:
    return "same bits" if row["same"] else f"DIFFERENT: {row['checksums']}"


def trained(names: Sequence[str], steps: int, times: int, threads: int) -> dict[str, list[str]]:
    """The checksums of these rows, in a process that uses so many threads."""
    command = [sys.executable, "-m", "bench.reliability._training", str(steps), str(times), *names]
    environment = os.environ | {"THALWEG_THREADS": str(threads)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return {each["name"]: each["checksums"] for each in map(json.loads, result.stdout.splitlines())}
