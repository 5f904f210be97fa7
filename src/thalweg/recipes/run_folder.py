"""The run folder: what a run leaves behind, and how it is read again.

In: a name, or a folder that the user chose. Out: config.json (all that repeats the run), metrics.jsonl, the weights,
results.json and pictures, each written whole or not at all; nothing that is there already is overwritten.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from thalweg.data.files import atomic_write
from thalweg.errors import ConfigurationError, FileFormatError, explain

FORMAT, VERSION = "thalweg.run", 1
RUNS = Path("runs")
CONFIG, METRICS, WEIGHTS, RESULTS = "config.json", "metrics.jsonl", "model.safetensors", "results.json"
RECORD = "record.npz"
"""What was watched of the layers."""
FINDINGS = "findings.json"
"""What the doctor found."""
CHECKPOINTS = "checkpoints"
"""A folder; only while a run is going on, or after it was broken off."""
LARGEST_CONFIG = 256 << 20


class RunFolder:
    """A folder with fixed names in it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, name: str, chosen: str | None) -> RunFolder:
        """A new folder: the chosen one, which must be new or empty, or the next free runs/<name>-<number>.

        Raises ConfigurationError if it cannot be made, or holds something.
        """
        try:
            return cls(_chosen(Path(chosen)) if chosen is not None else _numbered(name))
        except OSError as error:
            raise ConfigurationError(
                explain(
                    "the run folder cannot be made",
                    received=error.strerror or str(error),
                    where=str(chosen or RUNS / name),
                    remedy="choose a folder that you may write to: --run FOLDER",
                )
            ) from None

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def record(self) -> Path:
        return self.path / RECORD

    @property
    def findings(self) -> Path:
        return self.path / FINDINGS

    @property
    def results(self) -> Path:
        return self.path / RESULTS

    def write(self, path: Path, values: dict[str, Any]) -> None:
        """JSON, atomically; NaN and infinity, which JSON does not have, become null."""
        content = json.dumps(_without_nan(values), indent=2, ensure_ascii=False, default=str) + "\n"
        try:
            with atomic_write(path) as stream:
                stream.write(content.encode("utf-8"))
        except OSError as error:
            raise unwritable(path, error) from None

    def read_config(self) -> dict[str, Any]:
        """The configuration of a finished (or interrupted) run.

        Raises FileFormatError for a folder without one, a damaged one, or one of a newer Thalweg.
        """
        if not self.path.is_dir():
            raise self._no_run("there is no such run folder", "a folder that thalweg train has written")
        if not self.config.is_file():
            raise self._no_run("this folder holds no run", f"a folder with {CONFIG} and {WEIGHTS}")
        values = self._parsed()
        if values.get("format") != FORMAT:
            raise self._no_run(f"{CONFIG} is not of Thalweg", f'"format": "{FORMAT}"')
        if values.get("version") != VERSION:
            raise FileFormatError(
                explain(
                    "the run was written by another version",
                    received=f"version {values.get('version')!r:.80}, of {values.get('versions')!r:.80}",
                    expected=f"version {VERSION}",
                    where=str(self.config),
                    remedy="update Thalweg, or train again",
                )
            )
        return values

    def _parsed(self) -> dict[str, Any]:
        try:
            if self.config.stat().st_size > LARGEST_CONFIG:
                raise ValueError(f"{self.config.stat().st_size:,} bytes")
            values = json.loads(self.config.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise FileFormatError(
                explain(
                    f"{CONFIG} cannot be read",
                    received=error,
                    where=str(self.config),
                    remedy="it is damaged or truncated: take it from a backup, or train again",
                )
            ) from None
        return values if isinstance(values, dict) else {}

    def _no_run(self, problem: str, expected: str) -> FileFormatError:
        found = sorted(str(path.parent) for path in RUNS.glob(f"*/{CONFIG}"))
        remedy = f"these are here: {', '.join(found[-5:])}" if found else "train first: thalweg train digits"
        return FileFormatError(explain(problem, received=str(self.path), expected=expected, remedy=remedy))

    def __str__(self) -> str:
        return str(self.path)


def unwritable(path: object, error: OSError) -> ConfigurationError:
    """The error for a file that the system does not let us write."""
    return ConfigurationError(
        explain(
            "the file cannot be written",
            received=error.strerror or str(error),
            where=str(path),
            remedy="free some space, or choose another place; what was there before is unharmed",
        )
    )


def _chosen(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise ConfigurationError(explain("the run folder is a file", received=str(path), where="--run"))
    if path.is_dir() and any(path.iterdir()):
        raise ConfigurationError(
            explain(
                "the run folder is not empty",
                received=str(path),
                expected="a new or empty folder",
                where="--run",
                remedy="choose another, or leave --run out to get the next number under runs/",
            )
        )
    path.mkdir(parents=True, exist_ok=True)
    (probe := path / f".{os.getpid()}").touch(exist_ok=False)
    probe.unlink()
    return path


def _numbered(name: str) -> Path:
    """runs/name-001, -002, ...: the first after the last; making the folder decides between two who ask at once."""
    RUNS.mkdir(parents=True, exist_ok=True)
    taken = [path.name.removeprefix(f"{name}-") for path in RUNS.glob(f"{_escaped(name)}-*")]
    number = max((int(each) for each in taken if each.isdecimal()), default=0) + 1
    while True:
        try:
            (path := RUNS / f"{name}-{number:03d}").mkdir()
            return path
        except FileExistsError:
            number += 1


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
