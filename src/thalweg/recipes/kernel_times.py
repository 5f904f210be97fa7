"""Time and memory of a run's training step, kernel by kernel, on this machine.

In: a run folder. Out: kernels.json in it, which its report shows. The step is compiled as training compiles it and run
on copies, so that no weight of the run changes.
"""

from __future__ import annotations

import re

from thalweg.compile.inside.explanation import KernelReport, ProgramExplanation
from thalweg.recipes.predictor import settings_of
from thalweg.recipes.reporting import KERNELS
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.train import made, make_trainer
from thalweg.report.run_report import KernelTime
from thalweg.tensor import from_numpy
from thalweg.train.feed import feed_of


def measure_kernels(folder: RunFolder) -> None:
    """Compile one step of the run, measure its kernels, and write them down."""
    settings = settings_of(folder.read_config(), str(folder.config))
    problem, settings, model, _ = made(settings)
    trainer = make_trainer(settings, problem, model)
    source = feed_of(problem.training, batch_size=settings.batch_size or 1)
    form, arrays = trainer.fields(source.first(0))
    trainer.steps(form, [from_numpy(each) for each in arrays])
    explained = trainer.steps.whole(form).explain()
    kernels = [_kernel(each)._asdict() for each in explained.kernels]
    folder.write(folder.path / KERNELS, {"kernels": kernels, "memory": _memory(explained)})


def _kernel(each: KernelReport) -> KernelTime:
    return KernelTime(
        each.name, each.operations, ", ".join(dict.fromkeys(map(_layer_of, each.sources))), each.seconds,
        each.cost.flops, each.cost.bytes, each.share,
    )  # fmt: skip


def _layer_of(source: str) -> str:
    """The layer, and by whose chain rule; the line of a source is that of the command, and tells nothing."""
    layer, *rest = re.split(r"\s{2,}", source.strip())
    rule = [each for each in rest if each.startswith("(")]
    return " ".join(["update" if re.search(r":\d+$", layer) else layer, *rule])


def _memory(explained: ProgramExplanation) -> list[tuple[str, str]]:
    return [
        ("kernels", f"{len(explained.kernels)}, {explained.distinct} of them distinct"),
        ("time in kernels", f"{explained.seconds * 1e6:,.1f} µs on one thread"),
        ("intermediate values", f"{explained.arena / 1024:,.1f} KiB"),
        ("scratch", f"{explained.scratch / 1024:,.1f} KiB"),
        ("written in place", f"{explained.in_place} tensors"),
        ("machine's peak", f"{explained.peak.flops / 1e9:,.0f} GFLOP/s"),
    ]
