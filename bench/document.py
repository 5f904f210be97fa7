"""docs/benchmarks.md: how speed is measured, and the figures if there are any.

In: a `Report`, or nothing. Out: the text of the document. Figures are written only from a quiet machine.
"""

from __future__ import annotations

from bench.client import REPOSITORY
from bench.table import Report, compile_table, main_table, origin, product_table, shortfalls, start_table, summary

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"

INTRODUCTION = """\
# Benchmarks

How fast Thalweg trains, beside PyTorch and JAX on the same machine. One command measures everything and writes this
page; JAX's column appears where JAX is installed:

```sh
make bench                                       # one thread on each side
make bench BENCH_ARGUMENTS='--only mlp-784'      # some rows, to look at; nothing is written then
make bench BENCH_ARGUMENTS='--peers torch,torch.compile,jax'   # torch.compile takes minutes to start
```
"""

METHOD = """\
## How it is measured

- Each side runs in a process of its own, held to as many processors as it may use threads. A row is measured in rounds;
  in each round every side runs a block of calls (50 ms), another side first each time. A time is the median over the
  rounds; a ratio is the median of the rounds' ratios, so that what slows the machine for a while cancels. Rounds go on
  until each ratio is known to 4 % (95 % interval of the median) or 31 are done; where it is not, the table says `±`.
- A training step is clearing the gradients, forward pass, loss, backward pass and Adam's update, and every timed step
  ends with its loss read into a Python number. Eight batches are fed in turn. Model and step are written once, in
  `bench/models.py`, for PyTorch and Thalweg alike; `bench/peers/jax_side.py` says the same in JAX's idiom, state
  donated. All sides start from the same weights, and their first losses must agree. The learning rate is 1e-6, so that
  thousands of steps do not wander off to saturated units and denormal numbers.
- PyTorch is eager with fused Adam; where more threads are allowed, the better of one and all counts. With
  torch.compile, forward pass and loss are compiled and the fused Adam stays; the better of both is the ratio's PyTorch.
- Matrix products: Thalweg's compiled program of one product, called again and again by a loop in machine code, against
  `at::mm_out` in PyTorch's C++ benchmark timer. Nothing is subtracted. `Aᵀ` and `Bᵀ` lie turned over in memory.
- Layer norm's call gives back the normalised rows and the three gradients; the update of 10 million parameters finds
  its gradients made. Both end when the results are in memory.
- The call of a compiled step that does next to nothing shows the overhead: two arguments, one cell written, one result.
- The predicted floor is the longer of arithmetic at the best measured rate of matrix products and traffic at the
  bandwidth measured for that many bytes. It counts matrix products and each value once, nothing else.
- `python -m bench.kernels mlp-784` says where a row's time goes, kernel by kernel (x86 only).
"""

NOT_YET = "Not yet measured on a quiet machine.\n"


def document(report: Report | None) -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## Figures\n", figures(report) if report else NOT_YET, METHOD]
    return "\n".join(parts)


def figures(report: Report) -> str:
    """The tables that there is something in."""
    parts = [main_table(report)] if report.rows else []
    if report.products:
        parts += ["Matrix products, ratio to PyTorch (and GFLOP/s, Thalweg : PyTorch):", product_table(report)]
    parts.append(summary(report))
    if any(each.workload.is_compiled for each in report.rows):
        parts += ["The first call of each, tracing and compiling included:", compile_table(report)]
    if report.start_times:
        parts.append(start_table(report))
    missed = shortfalls(report)
    if missed:
        parts += ["Short of what is asked for:", "\n".join(f"- {line}" for line in missed)]
    return "\n\n".join(filter(None, [*parts, origin(report)])) + "\n"
