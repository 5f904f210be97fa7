"""`python -m bench.reliability NAME [...] [--out FIGURES.json]`: one measurement, by the name of its module.

In: the name and the measurement's own arguments (`--help` lists them). Out: figures as lines; with `--out` the same as
JSON, written whole or not at all; exit status 1 where a promise does not hold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import bench.reliability
from thalweg.data.files import atomic_write


def measurements() -> list[str]:
    """The modules that measure something: those with a `main` have no underscore in front and are listed here."""
    return sorted(each.name for each in pkgutil.iter_modules(bench.reliability.__path__) if is_measurement(each.name))


def is_measurement(name: str) -> bool:
    return not name.startswith("_") and hasattr(importlib.import_module(f"bench.reliability.{name}"), "main")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser("python -m bench.reliability", description=bench.reliability.__doc__)
    chosen = result.add_subparsers(dest="name", required=True, metavar="NAME")
    for name in measurements():
        module = importlib.import_module(f"bench.reliability.{name}")
        about = (module.__doc__ or name).splitlines()[0]
        own = chosen.add_parser(name, help=about, description=module.__doc__)
        module.add_arguments(own)
        own.add_argument("--out", type=Path, metavar="FIGURES.json", help="write the figures there, too")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement that was named; it returns its figures, with `holds` saying whether the promise does."""
    given = parser().parse_args(arguments)
    figures = importlib.import_module(f"bench.reliability.{given.name}").main(given)
    if given.out is not None:
        with atomic_write(given.out) as stream:
            stream.write((json.dumps(figures, indent=1) + "\n").encode("utf-8"))
    return 0 if figures["holds"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
