"""Runs that are killed at random moments and go on: in the end the bits of a run that was never disturbed.

In: how many kills, a seed. Out: for an MLP, a CNN and an LSTM how often the process was killed, whether weights,
optimizer state, history and logs are those of the undisturbed run, and whether every checkpoint could be read always.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from bench.reliability._runs import KINDS
from thalweg.errors import FileFormatError
from thalweg.train.checkpoint import read

STARTING, TRAINING = 1.0, 0.6
"""Seconds within which the moment of a kill is drawn: from the start of the process, and from its first step on."""
LONGER = 1.5
"""So much more time has each process after one that left no newer checkpoint: on a busy machine runs end, too."""
EARLY = 0.2
"""How often a process is killed from its start on, where it reads files and compiles."""
LONGEST = 300.0


@dataclass
class Outcome:
    """What became of one training."""

    kind: str
    kills: int = 0
    same: dict[str, bool] = field(default_factory=dict)
    """For each thing that must have the same bits whether it has."""
    read: int = 0
    unreadable: list[str] = field(default_factory=list)
    newest: list[int] = field(default_factory=list)
    """The steps of the newest checkpoints at the kills."""
    complaint: str = ""

    @property
    def holds(self) -> bool:
        return bool(self.same) and all(self.same.values()) and not self.unreadable and not self.complaint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=200, help="at least so many in all (default: 200)")
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), default=list(KINDS), help="of these networks")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")


def main(given: argparse.Namespace) -> dict[str, Any]:
    """Run after run until there were enough kills; a run is always brought to its end."""
    started, moments = time.monotonic(), np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        expected = {kind: undisturbed(kind, place) for kind in given.only}
        outcomes: list[Outcome] = []
        for number, kind in enumerate(cycle(given.only)):
            done = sum(each.kills for each in outcomes)
            if done >= given.kills and number >= len(given.only):
                break
            outcomes.append(disturbed(kind, place / f"{kind}-{number}", place, expected[kind], moments))
            print(line(outcomes[-1]), flush=True)
    figures = {
        "kills": sum(each.kills for each in outcomes), "runs": len(outcomes),
        "checkpoints_read": sum(each.read for each in outcomes), "seconds": round(time.monotonic() - started, 1),
        "unreadable": sum(len(each.unreadable) for each in outcomes),
        "holds": all(each.holds for each in outcomes), "outcomes": [asdict(each) for each in outcomes],
    }  # fmt: skip
    print(
        f"{figures['kills']} kills in {figures['runs']} runs, {figures['checkpoints_read']} checkpoints read, "
        f"{figures['unreadable']} unreadable, {figures['seconds']} s: {'holds' if figures['holds'] else 'BROKEN'}"
    )
    return figures


def line(each: Outcome) -> str:
    differing = [name for name, is_same in each.same.items() if not is_same]
    verdict = "the same bits" if each.holds else f"DIFFERENT: {', '.join(differing) or each.complaint or 'unreadable'}"
    return f"{each.kind:5} {each.kills:3} kills  {each.read:4} checkpoints read, {len(each.unreadable)} not  {verdict}"


def start(kind: str, folder: Path, place: Path) -> subprocess.Popen[str]:
    """A process that trains, or goes on; all share a cache of kernels, which may be hit as well."""
    environment = os.environ | {"THALWEG_CACHE": str(place / "cache")}
    command = [sys.executable, "-m", "bench.reliability._runs", kind, str(folder), str(folder / "result.json")]
    with open(folder / "errors.txt", "a", encoding="utf-8") as errors:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)


def undisturbed(kind: str, place: Path) -> dict[str, str]:
    """What the training comes to if nobody kills it."""
    folder = place / kind
    folder.mkdir()
    with start(kind, folder, place) as process:
        process.communicate(timeout=LONGEST)
    if process.returncode:
        raise SystemExit((folder / "errors.txt").read_text(encoding="utf-8"))
    return result(folder)


def disturbed(kind: str, folder: Path, place: Path, expected: dict[str, str], moments: np.random.Generator) -> Outcome:
    """The same with kills, until it came to its end."""
    folder.mkdir()
    outcome, patience = Outcome(kind), 1.0
    while kill_at_some_moment(kind, folder, place, moments, patience):
        outcome.kills += 1
        look_at_checkpoints(folder, outcome)
        is_further = len(outcome.newest) < 2 or outcome.newest[-1] > outcome.newest[-2]
        patience = 1.0 if is_further else LONGER * patience
    if (folder / "result.json").exists():
        found = result(folder)
        outcome.same = {name: found.get(name) == value for name, value in expected.items()}
    complaint = (folder / "errors.txt").read_text(encoding="utf-8").strip()
    outcome.complaint = complaint.splitlines()[-1] if complaint else ""
    return outcome


def kill_at_some_moment(kind: str, folder: Path, place: Path, moments: np.random.Generator, patience: float) -> bool:
    """Whether the process was killed before it had come to its end."""
    is_early, share = moments.random() < EARLY, moments.random()
    process = start(kind, folder, place)
    assert process.stdout is not None
    try:
        if not is_early:
            process.stdout.readline()  # "ready"
        process.wait(timeout=share * patience * (STARTING if is_early else TRAINING))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.stdout.close()
    return process.wait(timeout=LONGEST) == -signal.SIGKILL


def look_at_checkpoints(folder: Path, outcome: Outcome) -> None:
    """Every file that bears a checkpoint's name must be one, whole."""
    steps = [0]
    for path in folder.glob("*.safetensors"):
        try:
            steps.append(read(path).step)
        except FileFormatError as error:
            outcome.unreadable.append(f"{path.name}: {error}")
    outcome.read += len(steps) - 1
    outcome.newest.append(max(steps))


def result(folder: Path) -> dict[str, str]:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
