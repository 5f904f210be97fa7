"""The kernels of a program in words: what each computes, from which lines of the user's code, and its loop text.

In: a kernel, or the layout of a program. Out: names, headings and text. Equal kernels are printed once, and what is
only repeated is said to be repeated.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable

from thalweg.compile.fuse import Kernel, is_number
from thalweg.compile.inside.loop_text import LoopText
from thalweg.compile.inside.statements import abbreviated
from thalweg.compile.layout import Layout
from thalweg.compile.modules import arguments_of, code_of, name_of
from thalweg.compile.operands import reads_windows
from thalweg.graph import Node, Origin, describe


def operations_of(kernel: Kernel) -> str:
    """The operations by name, with how often each stands there: ``exp subtract multiply x2``."""
    if kernel.loop:
        steps = kernel.loop.layout.kernels
        return f"{len(steps)} kernels a step: {'; '.join(map(operations_of, steps))}"
    counts = Counter(node.op.name for node in kernel.nodes)
    return " ".join(name if count == 1 else f"{name} x{count}" for name, count in counts.items())


def extent_of(kernel: Kernel) -> str:
    """What the kernel goes over: the entries of a nest and those of its axes that are summed up, a product's three."""
    first = kernel.nodes[0]
    if kernel.loop:
        parts = f" in {kernel.loop.parts} parts of the batch" if kernel.loop.parts > 1 else ""
        return f"{kernel.loop.length} steps{parts}"
    if first.op.kind == "contract" and "transpose_a" in first.attributes:
        turned_a, turned_b = first.attributes["transpose_a"], first.attributes["transpose_b"]
        inner = first.inputs[0].shape[-2 if turned_a else -1]
        flags = f"{'A^T' if turned_a else 'A'} {'B^T' if turned_b else 'B'}"
        return f"{'x'.join(map(str, (*first.shape, inner)))} {flags}"
    if reads_windows(first):
        summed = first.inputs[1].shape[first.attributes["lead"] : -1]
        return f"{'x'.join(map(str, first.shape))} over windows of {'x'.join(map(str, summed))}"
    extents = kernel.domain if kernel.is_nest else first.shape
    marked = [f"({n})" if axis in (kernel.axes or ()) else str(n) for axis, n in enumerate(extents)]
    return "x".join(marked) or "1"


def sources_of(kernel: Kernel) -> list[str]:
    """Where the kernel comes from: ``layer  file:line``, and for backward the operations whose chain rule it is."""
    places: dict[tuple[str, str], dict[str, None]] = {}
    for node in _nodes_of(kernel):
        line = node.origin.line if isinstance(node.origin, Origin) else ""
        rule = node.origin.rule if isinstance(node.origin, Origin) else ""
        places.setdefault((str(node.origin), line), {})[rule] = None
    return [_source(path, line, list(rules)) for (path, line), rules in places.items() if path or line]


def _nodes_of(kernel: Kernel) -> list[Node]:
    """Its operations; of a loop those of its steps, and of a step those of the loops in it."""
    if not kernel.loop:
        return kernel.nodes
    return [node for each in kernel.loop.layout.kernels for node in _nodes_of(each)]


def _source(path: str, line: str, rules: list[str]) -> str:
    derived = [each for each in rules if each]
    parts = [path, short_path(line), f"(chain rule of {', '.join(derived)})" if derived else ""]
    return "  ".join(each for each in parts if each)


def short_path(line: str) -> str:
    """A path below the working directory without it; of any other, the last two parts."""
    here = os.getcwd() + os.sep
    if line.startswith(here):
        return line[len(here) :]
    return os.sep.join(line.split(os.sep)[-2:])


def names_of(layout: Layout) -> list[str]:
    """For each kernel the name of its function, which equal kernels share; as in the LLVM text."""
    names: dict[Hashable, str] = {}
    keys = [code_of(kernel)[0] for kernel in layout.kernels]
    for key, kernel in zip(keys, layout.kernels, strict=True):
        names.setdefault(key, f"k{len(names)}_{name_of(kernel)}")
    return [names[key] for key in keys]


def loop_text(kernel: Kernel, name: str) -> str:
    """The kernel as a Python function that `interpret.run` can run."""
    _, emit = code_of(kernel)
    text, _ = emit(name, LoopText())
    return text


def buffers_of(kernel: Kernel) -> list[tuple[str, Node]]:
    """The names that the loop text has for the kernel's buffers, outputs first."""
    outputs = len(kernel.outputs)
    results, operands = arguments_of(kernel)[:outputs], arguments_of(kernel)[outputs:]
    if kernel.is_nest:
        operands = [each for each in operands if not is_number(each)]
    is_one = not kernel.is_nest and kernel.epilogue is None
    return [*((f"out{'' if is_one else i}", each) for i, each in enumerate(results)),
            *((f"in{i}", each) for i, each in enumerate(operands) if not is_number(each))]  # fmt: skip


def heading(kernel: Kernel, with_lines: bool = True) -> list[str]:
    """Comments above the loop text: what it computes, what its buffers hold, where it comes from."""
    lines = [f"# {operations_of(kernel)} over {extent_of(kernel)}"]
    outputs = set(kernel.outputs)
    lines += [
        f"#   {name}: {node.op.name + ' ' if node in outputs else ''}{describe(node.shape, node.dtype)}"
        for name, node in buffers_of(kernel)
    ]
    return lines + [f"#   from {each}" for each in sources_of(kernel) if with_lines]


def print_kernels(layout: Layout, with_lines: bool = True) -> str:
    """Every distinct kernel once, in the order of the step, and the step itself as a list of calls."""
    calls, parts = names_of(layout), []
    for index, (name, kernel) in enumerate(zip(calls, layout.kernels, strict=True)):
        if name in calls[:index]:
            continue
        if kernel.loop:
            steps = print_kernels(kernel.loop.layout, with_lines).split("\n")
            parts.append("\n".join([*heading(kernel, with_lines), f"# {name}, in each step:", *_indented(steps)]))
        else:
            text = abbreviated(loop_text(kernel, name).split("\n"))
            parts.append("\n".join([*heading(kernel, with_lines), *text]))
    return "\n\n".join([*parts, "# the step\n" + "\n".join(_runs(calls))])


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}".rstrip() for line in lines]


def _runs(calls: list[str]) -> list[str]:
    """One line a kernel; the same kernel several times in a row is one line."""
    lines: list[tuple[str, int]] = []
    for each in calls:
        if lines and lines[-1][0] == each:
            lines[-1] = (each, lines[-1][1] + 1)
        else:
            lines.append((each, 1))
    return [name if count == 1 else f"{name} x{count}" for name, count in lines]
