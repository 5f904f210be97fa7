"""Files from strangers: every reader is given damaged files, and may only read them or refuse them with a message.

In: names of readers (all by default), how many inputs, a seed. Out: a line for each reader with what was read, refused
and failed. A failure is an error that is not Thalweg's, a second for one input, memory over the reader's limit, or the
end of the process; the input is kept with `--keep`. Inputs are valid files, damaged in bytes and in structure, and
those that reached new lines of the reader are damaged further; the same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.reliability._readers import READERS

POLL, STILL = 0.05, 120.0  # seconds; so long without a further input, and a process hangs in native code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)} (default: all)")
    parser.add_argument(
        "--inputs", type=int, help="how many for each (default: 100,000 of our own, 5,000 of a library)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where inputs that failed are put")


def main(given: argparse.Namespace) -> dict[str, Any]:
    """Fuzz the readers that were named; the promise holds if nothing failed."""
    if unknown := set(given.readers) - set(READERS):
        raise SystemExit(f"no such reader: {', '.join(sorted(unknown))}; there are {', '.join(READERS)}")
    columns = ("inputs", "read", "refused", "failed", "lines", "slowest", "MiB", "s")
    print(f"{'reader':12} " + " ".join(f"{name:>8}" for name in columns))
    rows = {}
    for name in given.readers or READERS:
        rows[name] = row = fuzzed(name, READERS[name].inputs if given.inputs is None else given.inputs, given.seed)
        counts = " ".join(f"{row[kind]:8,}" for kind in columns[:5])
        print(
            f"{name:12} {counts} {row['slowest'] * 1e3:5.0f} ms {row['peak_mib']:8.0f} {row['seconds']:8.0f}",
            flush=True,
        )
        for number, failure in enumerate(row["failures"]):
            print(f"    {failure['times']} times: {failure['message']}", flush=True)
            keep(given.keep, f"{name}-{number}", failure)
    return {"rows": rows, "seed": given.seed, "holds": all(not row["failed"] for row in rows.values())}


def keep(folder: Path | None, name: str, failure: dict[str, Any]) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(base64.b64decode(failure["content"]))


def fuzzed(name: str, inputs: int, seed: int = 0) -> dict[str, Any]:
    """The figures of one reader; a process that dies is a failure, and another goes on behind the input."""
    started, total, parts = time.perf_counter(), Counter[str](), list[dict[str, Any]]()
    first = 0
    while first < inputs:
        with tempfile.TemporaryDirectory() as folder:
            part, first = _part(name, Path(folder), inputs, seed, first)
        parts.append(part)
        total.update({kind: part[kind] for kind in ("read", "refused", "failed")})
        if len(parts) > 20:
            break
    failures = [each for part in parts for each in part["failures"]]
    highest = {key: max(part[key] for part in parts) for key in ("slowest", "lines", "corpus", "peak_mib")}
    return {"inputs": sum(total.values()), **total, **highest, "failures": failures,
            "seconds": time.perf_counter() - started}  # fmt: skip


def _part(name: str, folder: Path, inputs: int, seed: int, first: int) -> tuple[dict[str, Any], int]:
    command = [
        sys.executable,
        "-m",
        "bench.reliability._reading",
        name,
        str(folder),
        str(inputs),
        str(seed),
        str(first),
    ]
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        status = _wait(process, folder)
    outcome = folder / "outcome.json"
    if status == 0 and outcome.is_file():
        return json.loads(outcome.read_text()), inputs
    number, current = folder / "number", folder / "current"
    if not number.is_file():
        raise RuntimeError(f"the process that reads {name} does not start:\n{(folder / 'said').read_text()[-2000:]}")
    last = int(number.read_text()) + 50
    message = f"the process ended with status {status}" if status is not None else f"no end after {STILL:g} s"
    failure = {
        "message": message,
        "times": 1,
        "number": last,
        "content": base64.b64encode(current.read_bytes()).decode(),
    }
    return {"read": 0, "refused": 0, "failed": 1, "failures": [failure], "slowest": 0.0, "lines": 0, "corpus": 0,
            "peak_mib": 0.0}, last  # fmt: skip


def _wait(process: subprocess.Popen[bytes], folder: Path) -> int | None:
    """The exit status; None if it had to be killed because nothing moved (looks are counted: a pause is no hang)."""
    last, looks = None, 0
    while process.poll() is None:
        time.sleep(POLL)
        now = _inode(folder / "current")
        looks = looks + 1 if now == last else 0
        last = now
        if looks * POLL > STILL:
            process.kill()
            process.wait()
            return None
    return process.returncode


def _inode(path: Path) -> Sequence[int]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns


__all__ = ["add_arguments", "fuzzed", "main"]
