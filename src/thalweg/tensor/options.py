"""What the options of `tw.compile` make of a traced step: writes that depend on finite values, activations made again.

In: a trace and the step's options, `nonfinite` and `recompute`. Out: the flag that its writes depend on; the program
that keeps fewer values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.compile import compiler
from thalweg.compile.program import Program
from thalweg.errors import ArgumentError, TraceError, explain
from thalweg.graph import Node
from thalweg.tensor.checkpointing import computed_again, default_segments
from thalweg.tensor.core import Tensor
from thalweg.tensor.finite import guarded, is_applicable


def guard(trace: Any, leaves: Sequence[Any]) -> Node | None:
    """Make every write depend on finite values: of the loss (the first result), of what the forward pass wrote, of the
    gradients. None where there is no gradient or nothing is written.
    """
    gradients = [each.node for _, each in trace.gradients.values() if isinstance(each, Tensor)]
    if not gradients or not trace.values:
        return None
    first = min(node.serial for node in gradients)
    loss = [each.node for each in leaves[:1] if isinstance(each, Tensor) and each.numel() == 1]
    early = [node for _, node in trace.values.values() if node.serial < first]
    flag, seen = is_applicable([*loss, *early], gradients)
    writes = [(node, trace.inputs[key][1]) for key, (_, node) in trace.values.items()]
    for (key, (tensor, _)), node in zip(list(trace.values.items()), guarded(writes, flag, seen), strict=True):
        trace.values[key] = tensor, node
    return flag


def said_of_skipping(name: str, count: int) -> str:
    return explain(
        f"{name}: the loss or a gradient is not finite" + (f", {count} times in a row" if count > 1 else ""),
        received="a NaN, an infinity, or a gradient whose square is out of range",
        expected="finite numbers; no weight and no state was changed",
        remedy="lower the learning rate, clip the gradients, look at this batch; tw.diagnose.provenance names the "
        "operation",
    )


def with_recomputation(program: Program, trace: Any, step: Any) -> Program:
    """The program as `recompute` says: in √n segments, or in the fewest whose arena is within so many bytes."""
    if step.recompute is False or not trace.sweeps:
        return program
    if len(trace.sweeps) > 1:
        raise TraceError(
            explain(
                "recompute takes a step with one backward pass",
                received=f"{len(trace.sweeps)} of them",
                expected="one call of backward()",
                where=step.name,
                remedy="add the losses up before backward(), or leave recompute out",
            )
        )
    (sweep,) = trace.sweeps

    def made(segments: int) -> Program:
        return Program(program.inputs, tuple(computed_again(program.outputs, sweep, segments)), program.writes)

    most = default_segments(sweep)
    if step.recompute is True:
        return made(most)
    return compiler.least_within(step.recompute, program, made, most)


def checked_recompute(recompute: Any) -> bool | int:
    if not isinstance(recompute, int) or (recompute is not True and recompute < 0):
        expected = "True, False, or how many bytes of intermediate values there may be"
        raise ArgumentError(explain("cannot recompute so", received=f"recompute={recompute!r}", expected=expected))
    return recompute
