"""The frame of a function in LLVM text: registers, blocks, loops, and what is written only once.

In: lines, one instruction each. Out: the text of the function. The words that kernels are written in, which know about
numbers and lanes, stand in `emitter`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from thalweg.compile.values import Extent, Value, literal, register_type
from thalweg.dtype import DType, int64
from thalweg.graph import Shape


class Frame:
    """Builds one function, line by line."""

    def __init__(self) -> None:
        self.declarations: set[str] = set()
        self._last: dict[str, int] = {}  # loop counters: the last number that each comes to, where that is known
        self._functions: list[str] = []
        self._count = 0
        self._begin()

    def _begin(self) -> None:
        """A function in which nothing stands yet."""
        self.lines: list[str] = []
        self.variables: list[str] = []
        self._block = "entry"
        self._known: dict[Hashable, Any] = {}  # what has been written in this block, or in one that always comes before
        self._head: list[str] = []  # what stands before all loops
        self._head_block = "before"
        self._made: dict[Hashable, Any] = {}  # there

    def fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def emit(self, dtype: DType, text: str, lanes: int = 1) -> Value:
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return Value(name, dtype, lanes)

    def function(self, name: str, parameters: Sequence[str]) -> str:
        """What has been written, as a function of that name; before it the functions that it calls."""
        head = f"define internal void @{name}({', '.join(parameters)}) noinline {{\nbefore:"
        head_lines = [*self.variables, *self._head, "  br label %entry", "entry:"]
        return "\n".join([*self._functions, head, *head_lines, *self.lines, "  ret void", "}"])

    def apart(
        self, pointers: Sequence[str], values: Sequence[Value], body: Callable[[Sequence[str], Sequence[Value]], None]
    ) -> None:
        """What `body` writes, in a function of its own: its constants take no registers from the loops around here.

        It may use these pointers and values, under the names that it is given, and nothing else from outside.
        """
        inside, outside = [f"%p{i}" for i in range(len(pointers))], vars(self).copy()
        named = [Value(self.fresh(), each.dtype, each.lanes) for each in values]
        parameters = [*(f"ptr {each}" for each in inside), *map(self._typed, named)]
        arguments = [*(f"ptr {each}" for each in pointers), *map(self._typed, values)]
        self._begin()
        self._functions = []
        body(inside, named)
        name = f"part{len(outside['_functions'])}"
        text = self.function(name, parameters)
        count = self._count
        vars(self).update(outside)
        self._count = count
        self._functions.append(text)
        self.lines.append(f"  call void @{name}({', '.join(arguments)})")

    def _typed(self, x: Value) -> str:
        return f"{register_type(x.dtype, x.lanes)} {x.name}"

    # --- what is written once ----------------------------------------------------------------------------------------

    def shared(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make()` makes, written only where it is first asked for in this block."""
        if key not in self._known:
            made = make()
            self._known[key] = made
        return self._known[key]

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make()` makes, written before all loops; it must be the same in each of their steps."""
        if key not in self._made:
            held, self.lines = self.lines, self._head
            block, self._block = self._block, self._head_block
            known, self._known = self._known, {}
            self._made[key] = make()
            self._head_block = self._block
            self.lines, self._known = held, known
            self._block = self._head_block if held is self._head else block
        return self._made[key]

    # --- blocks and loops --------------------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self._block = name

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """What is written in here may not have run afterwards; what was written before has run."""
        known, self._known = self._known, dict(self._known)
        yield
        self._known = known

    def jump(self, name: str) -> None:
        self.lines.append(f"  br label %{name}")

    @contextmanager
    def loop(self, extent: Extent) -> Iterator[Value]:
        """The block inside runs for i = 0 .. extent - 1."""
        limit = _written(extent)
        self._count += 1
        tag, before = self._count, self._block
        i, following = self._counting(tag, extent)
        if isinstance(extent, int) and extent > 0:
            self.jump(f"loop{tag}")
        else:
            self.lines.append(f"  %g{tag} = icmp ne i64 {limit}, 0")
            self.lines.append(f"  br i1 %g{tag}, label %loop{tag}, label %exit{tag}")
        self.label(f"loop{tag}")
        self.lines.append(f"  {i} = phi i64 [0, %{before}], [{following}, %latch{tag}]")
        with self._inside():
            yield Value(i, int64)
        self.jump(f"latch{tag}")
        self.label(f"latch{tag}")
        self._go_on(tag, limit)

    def _counting(self, tag: int, extent: Extent) -> tuple[str, str]:
        """The register that counts the steps of a loop, and the one with the next number."""
        if isinstance(extent, int):
            self._last[f"%i{tag}"] = extent - 1
        return f"%i{tag}", f"%n{tag}"

    def _go_on(self, tag: int, limit: str) -> None:
        """Back to the start of the loop, or out of it: it is tested where it ends."""
        self.lines.append(f"  %n{tag} = add nuw nsw i64 %i{tag}, 1")
        self.lines.append(f"  %c{tag} = icmp ult i64 %n{tag}, {limit}")
        self.lines.append(f"  br i1 %c{tag}, label %loop{tag}, label %exit{tag}")
        self.label(f"exit{tag}")

    def repeat(
        self, extent: Extent, carried: Sequence[Value], body: Callable[[Value, list[Value]], Sequence[Value]]
    ) -> list[Value]:
        """Run `body(i, values) -> values` for i = 0 .. extent - 1, values in registers; `extent` is at least 1."""
        if extent == 1:
            return list(body(literal(0, int64), list(carried)))
        limit, starts = _written(extent), [x.name for x in carried]
        self._count += 1
        tag, before = self._count, self._block
        (i, following), state = self._counting(tag, extent), [Value(self.fresh(), x.dtype, x.lanes) for x in carried]
        self.jump(f"loop{tag}")
        self.label(f"loop{tag}")
        heads = len(self.lines)
        with self._inside():
            results = list(body(Value(i, int64), state))
            names = [x.name for x in results]
        phis = [f"  {i} = phi i64 [0, %{before}], [{following}, %{self._block}]"]
        for x, start, result in zip(state, starts, names, strict=True):
            kind = register_type(x.dtype, x.lanes)
            phis.append(f"  {x.name} = phi {kind} [{start}, %{before}], [{result}, %{self._block}]")
        self.lines[heads:heads] = phis
        self._go_on(tag, limit)
        return results

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """The block inside runs if the condition holds."""
        self._count += 1
        tag = self._count
        self.lines.append(f"  br i1 {condition.name}, label %then{tag}, label %done{tag}")
        self.label(f"then{tag}")
        with self._inside():
            yield
        self.jump(f"done{tag}")
        self.label(f"done{tag}")

    def loops(self, shape: Shape, body: Callable[[list[Value]], None]) -> None:
        """A nest of loops over every index of a shape."""
        self._nest(list(shape), [], body)

    def _nest(self, extents: list[int], index: list[Value], body: Callable[[list[Value]], None]) -> None:
        if not extents:
            body(index)
        elif extents[0] == 1:
            self._nest(extents[1:], [*index, literal(0, int64)], body)
        else:
            with self.loop(extents[0]) as i:
                self._nest(extents[1:], [*index, i], body)


def _written(extent: Extent) -> str:
    return extent.name if isinstance(extent, Value) else str(extent)
