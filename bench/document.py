"""docs/benchmarks.md: how speed is measured, and the figures if there are any.

In: a `Report`. Out: the text of the document; what was not measured is not in it. Figures are written only from a quiet
machine, group by group.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.client import REPOSITORY
from bench.harness import Outcome
from bench.plots import FOLDER, SERIES
from bench.report import Report
from bench.rows import GROUPS
from bench.rows_of_images import MEAN_FLOORS
from bench.shortfalls import shortfalls
from bench.table import (
    against_table,
    came_from,
    compile_table,
    main_table,
    origin,
    product_table,
    start_table,
    summary,
    variants_text,
)
from bench.table_of_images import convolution_table, mean_text

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"

INTRODUCTION = """\
# Benchmarks

How fast Thalweg trains, beside PyTorch, JAX, Keras and scikit-learn on the same machine. One command measures and
writes this page, its pictures and `benchmarks.json`, where the figures are kept. Rows that are not measured again stay
as they are; below each table stands the run that it came from. A peer that is not installed is left out:

```sh
make bench                                            # every row: half an hour and more
make bench BENCH_ARGUMENTS='--only fresh fit'         # two groups, written into the page
make bench BENCH_ARGUMENTS='--only two-* avx2-mlp*'   # or some rows
make bench BENCH_ARGUMENTS='--list'                   # what groups and rows there are
make bench BENCH_ARGUMENTS='--peers torch,torch.compile,jax'   # torch.compile takes minutes to start
python -m bench --only mlp-784                        # to look at: without --write nothing is written
```

{groups}
"""

METHOD = """\
## How it is measured

- Each side runs in a process of its own, held to as many processors as it may use threads. A row is measured in rounds;
  in each round every side runs a block of calls (50 ms), another side first each time. A time is the median over the
  rounds; a ratio is the median of the rounds' ratios, so that what slows the machine for a while cancels. Rounds go on
  until each ratio is known to 4 % (95 % interval of the median), 31 are done or 20 seconds are over; where it is not,
  the table says `±`.
- Where two threads are allowed, every peer is measured with one and with two, and the faster counts; Thalweg runs with
  two (`THALWEG_THREADS`) and decides by itself. Where a peer can do a thing in several ways, all are warmed up, those
  that are 1.5 times slower than its fastest are then left alone, and the fastest counts.
- A training step is clearing the gradients, forward pass, loss, backward pass and Adam's update, and every timed step
  ends with its loss read into a Python number. Eight batches are fed in turn. Model and step are written once, in
  `bench/models.py`, for PyTorch and Thalweg alike; `bench/peers/jax_side.py` says the same in JAX's idiom, state
  donated. All sides start from the same weights, and their first losses must agree. The learning rate is 1e-6, so that
  thousands of steps do not wander off to saturated units and denormal numbers.
- PyTorch is eager with fused Adam. With torch.compile, forward pass and loss are compiled and the fused Adam stays; the
  better of both is the ratio's PyTorch.
- Whole epochs: arrays in memory, shuffled anew for every epoch, every example once, the last batch as small as it is;
  the time of `fit` over 1 + n epochs less that over 1, divided by the steps of n epochs. So what a call of `fit` does
  once drops out on every side alike, without callbacks, which could make a library take another path. The losses of the
  first epoch must agree here too. PyTorch's loop is written in three ways (`bench/peers/torch_fit.py`) and reads its
  loss once an epoch. Keras runs on its JAX backend; with those of TensorFlow 2.21 and PyTorch it took 2.5 to 9 times as
  long on these networks (`KERAS_BACKEND` chooses). Its column is `fit` as it is by default, one step a call; a table of
  its own shows it with `steps_per_execution=16`. scikit-learn has no penalty on weights here.
- Convolutional networks: written once in `bench/images.py`, `bench/peers/jax_images.py` says the same in JAX's idiom.
  PyTorch and torch.compile have network and images in NCHW and in `channels_last`, JAX in NHWC (in NCHW a step of
  LeNet, MobileNet and ResNet took 1.2 to 2 times as long), Thalweg takes NCHW. Without training, networks are in
  evaluation mode under `no_grad`; what they answer must agree too. An undecorated loop makes 24 steps before it is
  timed, in which Thalweg finds out what it repeats. That ResNet-20 compiles is timed in a new process, with an empty
  code cache: the first call of its step, from the call to the loss.
- Networks on sequences: written once in `bench/sequences.py`, `bench/peers/jax_sequences.py` says the same in JAX's
  idiom, with `lax.scan` for the loops. Attention is `F.scaled_dot_product_attention` in PyTorch too, causal where the
  row says so; its call gives back the sums and the gradients of queries, keys and values. Attention's memory is what
  Thalweg's program plans: the values between its kernels, the scratch of each thread that takes part and the results;
  beside it stand the bytes of all heads' scores as one matrix in float32. That a step compiles is timed as for
  ResNet-20, and once more on 1,024 steps where the row has 50 or 64.
- Generation is timed for whole texts and said for a token: `TextGenerator` in Thalweg; in PyTorch a loop whose cache is
  made once and which reads nothing into Python before the end; in JAX one compiled loop over all tokens. Their texts
  must agree.
- Single convolutions of 3x3 with a padding of 1: Thalweg's compiled program of one, called by a loop in machine code,
  images with their channels last, weights as PyTorch has them, the zeros around the images written within the time;
  against `at::conv2d` and `at::convolution_backward` (with one result asked for) in PyTorch's C++ benchmark timer, in
  both orders of axes.
- Matrix products: Thalweg's compiled program of one product, called again and again by a loop in machine code, against
  `at::mm_out` in PyTorch's C++ benchmark timer. Nothing is subtracted. `Aᵀ` and `Bᵀ` lie turned over in memory.
- Layer norm's call gives back the normalised rows and the three gradients; the update of 10 million parameters finds
  its gradients made. Both end when the results are in memory.
- The call of a compiled step that does next to nothing shows the overhead: two arguments, one cell written, one result.
- At AVX2 Thalweg compiles for `THALWEG_TARGET=x86-64-v3`; the peers run under `ATEN_CPU_CAPABILITY=avx2
  ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2` and XLA's `--xla_cpu_max_isa=AVX2`.
- The start is timed from before the process exists until its first step's loss is read, the first step on generated
  data. The code cache is a folder of its own, filled by the runs before or new each time. Everywhere else it is off.
- Memory is the most that was resident (`VmHWM`) while MNIST was trained for one epoch, less the size of the arrays,
  with the PyTorch loop that makes no copy of them.
- The predicted floor is the longer of arithmetic at the best measured rate of matrix products and traffic at the
  bandwidth measured for that many bytes. It counts matrix products and each value once, nothing else.
- `python -m bench.kernels mlp-784` says where a row's time goes, kernel by kernel (x86 only).
"""

NOT_YET = "Not yet measured on a quiet machine.\n"

# In the order of the page; a series has its picture above it.
HEADINGS = {
    "single": "### Steps and operations, one thread on each side",
    "two": "### Steps, two threads on each side",
    "fit": "### Time per step over whole epochs of `fit`, two threads on each side",
    "images": "### Training steps of convolutional networks, two threads on each side",
    "inference": "### Answers of convolutional networks, two threads on each side",
    "convolution": "### Single convolutions of 3x3, two threads on each side",
    "sequences": "### Training steps of networks on sequences, two threads on each side",
    "process": "### Fresh processes",
    "itself": "### Threads against fewer threads",
    "watch": "### What watching every layer at every step costs",
    "batch": "### Batch size",
    "width": "### Width",
    "avx2": "### Steps and operations at AVX2, one thread on each side",
}


def document(report: Report) -> str:
    """The whole page."""
    groups = "\n".join(f"- `{name}`: {words}" for name, words in GROUPS.items())
    parts = [
        INTRODUCTION.format(groups=groups),
        "## Figures\n",
        figures(report) if report.outcomes else NOT_YET,
        METHOD,
    ]
    return "\n".join(parts)


def figures(report: Report) -> str:
    """The sections that there is something in."""
    parts = [part for table in HEADINGS for part in section(report, table)]
    missed = shortfalls(report)
    if missed:
        parts += ["### Short of what is asked for", "\n".join(f"- {line}" for line in missed)]
    return "\n\n".join(filter(None, [*parts, "### Where and when", origin(report)])) + "\n"


def _compared(report: Report, table: str, rows: Sequence[Outcome]) -> str:
    if table == "convolution":
        return convolution_table(rows)
    return against_table(rows) if table in ("itself", "watch", "process") else main_table(report, rows)


def section(report: Report, table: str) -> list[str]:
    """Heading, picture, tables and means of one kind of rows."""
    rows, products = report.of(table), report.products(table)
    compared = [each for each in rows if table != "fit" or "torch" in each.workload.peers]
    tuned = [each for each in rows if each not in compared]
    parts = [f"![{SERIES[table][1]} over {SERIES[table][0]}]({FOLDER}/{table}.svg)"] if table in SERIES else []
    if compared:
        parts.append(_compared(report, table, compared))
    if table in MEAN_FLOORS:
        parts.append(mean_text(table, rows))
    if tuned:
        parts += ["Keras with `steps_per_execution=16`, which is not its default:", against_table(tuned)]
    if table == "fit":
        parts += ["Every way in which the rows were run:", "\n".join(filter(None, map(variants_text, rows)))]
    if products:
        parts += ["Matrix products, ratio to PyTorch (and GFLOP/s, Thalweg : PyTorch):", product_table(products)]
    parts.append(summary(report, table) if table in ("single", "avx2") else "")
    if table == "single" and any(each.workload.is_compiled for each in rows):
        parts += ["The first call of each, tracing and compiling included:", compile_table(report)]
    if table == "process" and report.start_times:
        parts.append(start_table(report))
    return [HEADINGS[table], *parts, came_from(report, [*rows, *products])] if rows or products else []
