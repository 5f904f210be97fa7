"""The compiler as a visible list of passes, each from a graph to a graph.

In: the outputs of a program. Out: the outputs of an equal program. Printing, timing and verifying are done around the
list, not inside a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thalweg.compile.channels_last import pass_channels_last
from thalweg.compile.inside.debug import PASSES as TELL_PASSES
from thalweg.compile.inside.debug import settings, stage, tell
from thalweg.compile.lookups import pass_lookups
from thalweg.compile.loops import pass_loops
from thalweg.compile.masks import pass_masks
from thalweg.compile.paddings import pass_paddings
from thalweg.compile.picking import pass_pick
from thalweg.compile.rewriting import Sharing, rewrite
from thalweg.compile.simplify import pass_simplify
from thalweg.compile.splitting import pass_split
from thalweg.compile.vectors import pass_vectors
from thalweg.graph import Node, show


@dataclass(frozen=True)
class Pass:
    name: str
    run: Callable[[Sequence[Node]], list[Node]]


def pass_share(outputs: Sequence[Node]) -> list[Node]:
    """Common subexpressions: one node for equal operations on equal inputs."""
    return rewrite(outputs, Sharing())


PASSES = [
    Pass("share", pass_share),
    Pass("simplify", pass_simplify),
    Pass("loops", pass_loops),
    Pass("lookups", pass_lookups),
    Pass("pick", pass_pick),
    Pass("simplify_picked", pass_simplify),
    Pass("channels_last", pass_channels_last),
    Pass("vectors", pass_vectors),
    Pass("masks", pass_masks),
    Pass("paddings", pass_paddings),
    Pass("split", pass_split),
]


def run_passes(outputs: Sequence[Node]) -> list[Node]:
    """Every pass in order."""
    result = list(outputs)
    for each in PASSES:
        with stage("passes"):
            before, result = result, each.run(result)
        if settings.level >= TELL_PASSES:
            _tell_change(each.name, before, result)
    return result


def _tell_change(name: str, before: Sequence[Node], after: Sequence[Node]) -> None:
    old, new = show(before), show(after)
    tell(f"--- {name} changes nothing" if old == new else f"--- before {name}\n{old}\n--- after {name}\n{new}")
