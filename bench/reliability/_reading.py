"""The process that reads damaged files: `python -m bench.reliability._reading READER FOLDER ...`.

In: a reader's name, a folder, how many inputs, a seed, the number of the first. Out: FOLDER/outcome.json with counts
and failures; each input lies in FOLDER/current while it is read, so that whoever waits has it if this process dies.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

from bench.reliability import _mutations
from bench.reliability._readers import MIB, READERS, Reader, samples_of
from thalweg.errors import ThalwegError

SECONDS = 1.0  # more than this for one input is a hang
PATIENCE = 20.0  # seconds of processor time after which Python code is broken off
CORPUS = 400


class Hang(BaseException):
    """Raised by the alarm."""


class Lines:
    """Which lines of the reader's own code have run: an input that reaches a new one is kept and damaged further."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.parts, self.seen = parts, set[tuple[CodeType, int]]()
        self.watched: dict[CodeType, bool] = {}

    def __enter__(self) -> Lines:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code not in self.watched:
            self.watched[code] = any(part in code.co_filename for part in self.parts)
        return self._line if self.watched[code] else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.seen.add((frame.f_code, frame.f_lineno))
        return self._line


def attempt(reader: Reader, path: Path) -> tuple[str, str, float]:
    """("read" | "refused" | "failed", what was raised, seconds of processor time)."""
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        reader.read(path)
        kind, message = "read", ""
    except ThalwegError as error:
        kind, message = ("refused", "") if str(error).strip() else ("failed", "an error without a message")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a Rust library is no Exception
        kind, message = "failed", described(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return kind, message, time.process_time() - started


def described(error: BaseException) -> str:
    """The error, and the last line of ours that it passed."""
    ours = [each for each in traceback.extract_tb(error.__traceback__) if "thalweg" in each.filename]
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {place}: {str(error).splitlines()[0][:160] if str(error) else ''}"


def limit_memory(mebibytes: int) -> None:
    """Address space for that much more than the process has: what a header asks for beyond it is refused."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + mebibytes * MIB
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def read_damaged(name: str, folder: Path, inputs: int, seed: int, first: int) -> dict[str, Any]:
    """Damage and read, `inputs` times."""
    reader, lines = READERS[name], Lines(READERS[name].code)
    corpus = samples_of(reader, folder)
    valid = len(corpus)
    path, current = folder / reader.file, folder / "current"
    counts, failures, slowest = {"read": 0, "refused": 0, "failed": 0}, dict[str, dict[str, Any]](), 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit_memory(reader.memory)
    for number in range(first, inputs):
        draw = Random(f"{name} {seed} {number}")
        parent = corpus[draw.randrange(valid) if draw.random() < 0.3 else draw.randrange(len(corpus))]
        content = _mutations.mutated(parent, draw, reader.shapes, reader.words)
        path.write_bytes(content)
        if current.exists():
            current.unlink()
        os.link(path, current)
        (folder / "number").write_text(str(number)) if number % 50 == 0 else None
        known = len(lines.seen)
        with lines:
            kind, message, seconds = attempt(reader, path)
        if seconds > SECONDS / 2:  # the count of lines takes time of its own
            kind, message, seconds = attempt(reader, path)
        slowest = max(slowest, seconds)
        if seconds > SECONDS:
            kind, message = "failed", f"{seconds:.1f} s for one input ({message or kind})"
        counts[kind] += 1
        if kind == "failed":
            found = failures.setdefault(_without_numbers(message), {"message": message, "times": 0, "number": number,
                                        "content": base64.b64encode(content).decode()})  # fmt: skip
            found["times"] += 1
        elif len(lines.seen) > known and len(corpus) < CORPUS:
            corpus.append(content)
        path.unlink()
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return counts | {"failures": list(failures.values()), "slowest": slowest, "lines": len(lines.seen),
                     "corpus": len(corpus), "peak_mib": peak}  # fmt: skip


def _without_numbers(message: str) -> str:
    """Failures of one place and type are one finding."""
    return message.split(":")[0] + (message.split(":")[1][:4] if ":" in message else "")


def main(arguments: list[str]) -> None:
    name, folder, inputs, seed, first = arguments

    def alarm(*_: object) -> None:
        raise Hang(f"more than {PATIENCE:g} s")

    signal.signal(signal.SIGPROF, alarm)
    warnings.simplefilter("ignore")
    outcome = read_damaged(name, Path(folder), int(inputs), int(seed), int(first))
    (Path(folder) / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1:])
