"""`python -m bench.gallery [NAMES] [--write]`: measure experiments of the gallery; with --write put them on its page.

In: the command line, MNIST beside the repository. Out: three sentences for each experiment; with --write also
docs/gallery.json, the figures and docs/gallery.md, after every experiment, so that what is done is done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from bench.datasets import data_root
from bench.gallery.document import Kept, save, stored, write
from bench.gallery.experiment import Experiment, Scale
from bench.gallery.registry import EXPERIMENTS, chosen
from bench.results import machine


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser("python -m bench.gallery", description="Measure what docs/gallery.md shows.")
    result.add_argument("names", nargs="*", metavar="NAME", help=f"only these of {', '.join(EXPERIMENTS)}")
    result.add_argument("--write", action="store_true", help="keep what is measured, and write figures and page")
    result.add_argument("--redraw", action="store_true", help="measure nothing: figures and page from what is kept")
    return result


def measured(each: Experiment) -> Kept:
    """Every seed, timed."""
    scale, started = Scale(), time.perf_counter()
    results = [each.measure(scale, seed) for seed in scale.seeds]
    return Kept(results, round(time.perf_counter() - started, 1), machine())


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    known = stored()
    if given.redraw:
        write(known)
        return 0
    experiments = chosen(given.names)
    if not (data_root() / "mnist").is_dir():
        print(f"{data_root() / 'mnist'} is not there", file=sys.stderr)
        return 1
    for each in experiments:
        known[each.name] = kept = measured(each)
        print(f"\n{each.name}, {kept.seconds:.0f} s", *each.tell(kept.results), sep="\n", flush=True)
        print(*(" | ".join(row) for row in each.table(kept.results)), sep="\n", flush=True)
        if given.write:
            save(known)
            write(known)
    return 0


if __name__ == "__main__":
    sys.exit(main())
