"""Loop text: a kernel in words for people, written by the very code that writes LLVM text.

In: the calls that a nest, a product or a record's emission makes on its emitter. Out: a Python function with the same
loops, the same vectors and the same masks. It can be run (`interpret`), which tests compare with the NumPy meaning.
"""

from __future__ import annotations

import math
import operator
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from thalweg.compile.emitter import Emitter
from thalweg.compile.inside.statements import (
    AND,
    ATOM,
    COMPARE,
    OR,
    PRODUCT,
    SHIFT,
    SUM,
    UNARY,
    XOR,
    Expression,
    Lines,
    Statement,
)
from thalweg.compile.mathematics import DIVISIONS
from thalweg.compile.values import Counting, Extent, Terms, Value
from thalweg.dtype import DType, as_dtype, bool_, float32, int64

_PIECE = "piece"  # the parameter that says which piece of a kernel is to be computed
_OPERATORS = {
    "fadd": ("+", SUM), "add": ("+", SUM), "fsub": ("-", SUM), "sub": ("-", SUM), "fmul": ("*", PRODUCT),
    "mul": ("*", PRODUCT), "fdiv": ("/", PRODUCT), "udiv": ("//", PRODUCT), "urem": ("%", PRODUCT),
    "and": ("&", AND), "or": ("|", OR), "xor": ("^", XOR), "shl": ("<<", SHIFT),
}  # fmt: skip
_FUNCTIONS = {"sdiv": "truncated_quotient", "srem": "truncated_remainder", "lshr": "shift_right", "frem": "fmod"}
_COMPARISONS = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<="}
_COMPARED = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le}
_LOOP_NAMES = "ijklmnpqrsuwxyz"


class LoopText(Emitter):
    """An emitter whose words leave statements for people.

    Everything that the base class says in terms of other words stays as it is; what it says in LLVM's terms is said
    here again in Python's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.statements: list[Statement] = []
        self.widths: dict[str, int] = {}  # of each value: its lanes where it was defined
        self.depth = 0
        self.sums: dict[str, dict[str, int]] = {}  # index arithmetic: the factor of each term; of "" the number

    # --- writing -----------------------------------------------------------------------------------------------------

    def function(self, name: str, parameters: Sequence[str]) -> str:
        names = [each for text in parameters for each in re.findall(r"%(\w+)", text)]
        text = Lines(self.statements).render() or ["    pass"]
        body = "\n".join(text)
        used = [each for each in names if each not in ("status", "kernel") and re.search(rf"\b{each}\b", body)]
        return "\n".join([f"def {name}({', '.join(used)}):", *self.variables, *text])

    def apart(
        self, pointers: Sequence[str], values: Sequence[Value], body: Callable[[Sequence[str], Sequence[Value]], None]
    ) -> None:
        body(pointers, values)

    def fresh(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def emit(self, dtype: DType, text: str, lanes: int = 1) -> Value:
        """An instruction of LLVM for which there is no word here: shown as it is, and not to be run."""
        return self._define(f"llvm({text!r})", dtype, lanes, reads=True)

    def _define(self, text: str, dtype: DType, lanes: int, rank: int = ATOM, reads: bool = False) -> Value:
        name = self.fresh()
        is_index = dtype is int64 and not reads
        self.statements.append(Statement("define", (name,), (Expression(text, rank, reads, is_index),)))
        self.widths[name] = lanes
        return Value(name, dtype, lanes)

    def _apply(self, name: str, dtype: DType, *x: Value, more: str = "") -> Value:
        operands = ", ".join([*map(self._of, x), *([more] if more else [])])
        return self._define(f"{name}({operands})", dtype, max(each.lanes for each in x))

    def _of(self, x: Value, rank: int = 0) -> str:
        """A value as an operand that must bind at least as tightly as `rank`."""
        x = self._plain(x)
        if x.name in self.widths:
            return f"⟦{x.name}:{rank}⟧"
        return _number(x)

    def _places(self, start: Value, lanes: int, step: int = 1) -> Value:
        """start, start + step, ... in the lanes."""
        terms = self._terms(start)
        return self._sum({**terms, f"lanes({lanes})": terms.get(f"lanes({lanes})", 0) + step}, lanes)

    def _terms(self, x: Value) -> dict[str, int]:
        x = self._plain(x)
        if x.name in self.sums:
            return self.sums[x.name]
        if x.name.startswith("<i64"):  # what a vector that counts is made of
            return {f"lanes({x.lanes})": int(x.name.split(",")[1].split()[1])}
        return {x.name: 1} if x.name in self.widths or x.name == _PIECE else {"": int(x.name)}

    def _sum(self, terms: dict[str, int], lanes: int) -> Value:
        """The terms in one expression: numbers before lanes, lanes last."""
        terms = {name: factor for name, factor in terms.items() if factor}
        if not terms.keys() - {""}:
            return Value(str(terms.get("", 0)), int64, lanes)
        ordered = sorted(terms, key=lambda name: 1 if name == "" else 2 if name.startswith("lanes") else 0)
        texts = [self._term(name, terms[name], PRODUCT if len(terms) > 1 else ATOM) for name in ordered]
        text = texts[0] + "".join(f" - {each[1:]}" if each.startswith("-") else f" + {each}" for each in texts[1:])
        is_plain = len(terms) == 1 and terms[ordered[0]] == 1
        value = self._define(text, int64, lanes, ATOM if is_plain else SUM if len(terms) > 1 else PRODUCT)
        self.sums[value.name] = terms
        return value

    def _term(self, name: str, factor: int, rank: int) -> str:
        if name == "":
            return str(factor)
        text = name if name.startswith("lanes") else f"⟦{name}:{PRODUCT + 1 if factor != 1 else rank}⟧"
        return text if factor == 1 else f"{factor} * {text}"

    def _terms_of(self, x: Value) -> tuple[Terms, int]:
        terms = self._terms(x)
        return tuple((name, factor) for name, factor in terms.items() if name), terms.get("", 0)

    def multiple_of(self, x: Value) -> int:
        return math.gcd(*self._terms(x).values())

    # --- lanes -------------------------------------------------------------------------------------------------------

    def spread(self, x: Value, lanes: int) -> Value:
        return x if x.lanes == lanes else Value(x.name, x.dtype, lanes)  # a number meets a vector in every lane

    def _meet(self, *x: Value) -> list[Value]:
        return super()._meet(*map(self._plain, x))

    def _plain(self, x: Value) -> Value:
        """Indices that count along the lanes, as the sum that they are."""
        return self._places(x.start, x.lanes, x.step) if isinstance(x, Counting) else x

    def lane(self, x: Value, index: int) -> Value:
        if isinstance(x, Counting):
            return self.add(x.start, self.integer(x.step * index))
        if self.widths.get(x.name, 1) == 1:
            return Value(x.name, x.dtype)
        return self._define(f"{self._of(x, ATOM)}[{index}]", x.dtype, 1)

    def from_lanes(self, values: Sequence[Value]) -> Value:
        return self._define(f"vector_of({', '.join(map(self._of, values))})", values[0].dtype, len(values))

    def steps(self, start: Value, lanes: int, by: int = 1) -> Value:
        return start if lanes == 1 else self._places(start, lanes, by)

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        names = [self.fresh() for _ in rows]
        self.widths.update(dict.fromkeys(names, len(rows)))
        expression = Expression(f"transpose({', '.join(map(self._of, rows))})")
        self.statements.append(Statement("define", tuple(names), (expression,)))
        return [Value(name, rows[0].dtype, len(rows)) for name in names]

    def _shuffle(self, a: Value, b: Value, picks: Sequence[int]) -> Value:
        return self._define(f"shuffle({self._of(a)}, {self._of(b)}, {list(picks)})", a.dtype, len(picks))

    def first_lanes(self, count: int, lanes: int) -> Value | None:
        return None if count >= lanes else self._define(f"first({count}, {lanes})", bool_, lanes)

    def combine_lanes(self, x: Value, combine: Callable[[Value, Value], Value]) -> Value:
        """Said once, not once for each halving."""
        if x.lanes == 1:
            return x
        before, self.statements = self.statements, []
        self.widths |= {"a": 1, "b": 1}
        result = combine(Value("a", x.dtype), Value("b", x.dtype))
        self.statements.append(Statement("store", (), (Expression(self._of(result)),)))
        lines = Lines(self.statements).render()
        self.statements = before
        if len(lines) > 1:
            return super().combine_lanes(x, combine)
        (text,) = lines
        return self._define(f"in_halves(lambda a, b: {text.strip()}, {self._of(x)})", x.dtype, 1)

    # --- arithmetic --------------------------------------------------------------------------------------------------

    def _binary(self, instruction: str, a: Value, b: Value) -> Value:
        a, b = self._meet(a, b)
        if instruction in _FUNCTIONS:
            return self._apply(_FUNCTIONS[instruction], a.dtype, a, b)
        sign, rank = _OPERATORS[instruction]
        if a.dtype is int64 and sign in "+-*":
            left, right_terms = self._terms(a), self._terms(b)
            if sign != "*":
                total = Counter(left)
                (total.update if sign == "+" else total.subtract)(right_terms)
                return self._sum(dict(total), a.lanes)
            if not right_terms.keys() - {""} or not left.keys() - {""}:
                terms, factors = (left, right_terms) if not right_terms.keys() - {""} else (right_terms, left)
                return self._sum({name: each * factors.get("", 0) for name, each in terms.items()}, a.lanes)
        right = rank if sign in "+*&|^" and a.dtype is int64 else rank + 1  # the order of float sums is what it is
        return self._define(f"{self._of(a, rank)} {sign} {self._of(b, right)}", a.dtype, a.lanes, rank)

    def negative(self, x: Value) -> Value:
        return self._define(f"-{self._of(x, UNARY)}", x.dtype, x.lanes, UNARY)

    def sign(self, x: Value) -> Value:
        return self._apply("sign", x.dtype, x)

    def invert(self, x: Value) -> Value:
        if x.dtype is bool_:
            return self._apply("not_", bool_, x)
        return self._define(f"~{self._of(x, UNARY)}", x.dtype, x.lanes, UNARY)

    def call(self, name: str, *x: Value) -> Value:
        if name in DIVISIONS and not x[1].dtype.is_floating_point:
            self.record_any(self.compare("equal", x[1], Value("0", x[1].dtype)), x[1], self.integer(0))
        return self._apply(name, x[0].dtype, *self._meet(*x))

    def random_words(self, place: Value, key: Any) -> Value:
        """Said as what it is; how neighbours share their rounds is not shown."""
        return self._apply("random_words", int64, place, *[key.load([self.integer(i)]) for i in (0, 1)])

    def _intrinsic(self, name: str, *x: Value) -> Value:
        return self._apply(name, x[0].dtype, *self._meet(*x))

    def _extreme(self, which: str, a: Value, b: Value) -> Value:
        return self._apply(f"{which}imum", a.dtype, *self._meet(a, b))

    def prefetch(self, *_: object) -> None:
        """What is only for speed is not shown."""

    def compare(self, name: str, a: Value, b: Value) -> Value:
        a, b = self._meet(a, b)
        if all(each.name.lstrip("-").isdecimal() for each in (a, b)):
            held = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "below": "<"}[name]
            return Value(str(_COMPARED[held](int(a.name), int(b.name))).lower(), bool_, a.lanes)
        if name == "below":
            return self._apply("below", bool_, a, b)
        text = f"{self._of(a, COMPARE + 1)} {_COMPARISONS[name]} {self._of(b, COMPARE + 1)}"
        return self._define(text, bool_, a.lanes, COMPARE)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        if condition.name in ("true", "false"):
            return yes if condition.name == "true" else no
        condition, yes, no = self._meet(condition, yes, no)
        return self._apply("select", yes.dtype, condition, yes, no)

    def bits(self, x: Value, dtype: DType) -> Value:
        return self._apply("bits", dtype, x, more=dtype.name)

    def cast(self, x: Value, dtype: DType | str) -> Value:
        to = as_dtype(dtype)
        return x if to is x.dtype else self._apply("bool_" if to is bool_ else to.name, to, x)

    def any_lane(self, x: Value) -> Value:
        return x if x.lanes == 1 else self._apply("any_lane", bool_, x)

    # --- memory ------------------------------------------------------------------------------------------------------

    def load(self, pointer: str, place: Value, dtype: DType, lanes: int = 1, mask: Value | None = None) -> Value:
        return self._load(pointer, self._places(place, lanes) if lanes > 1 else place, dtype, lanes, mask)

    def _gather(self, pointer: str, place: Value, dtype: DType, mask: Value | None) -> Value:
        return self._load(pointer, place, dtype, place.lanes, mask)

    def _load(self, pointer: str, place: Value, dtype: DType, lanes: int, mask: Value | None) -> Value:
        return self._define(self._entry(pointer, place, mask), dtype, lanes, reads=True)

    def store(self, pointer: str, place: Value, value: Value, mask: Value | None = None) -> None:
        where = self._entry(pointer, self._places(place, value.lanes) if value.lanes > 1 else place, mask)
        self.statements.append(Statement("store", (), (Expression(where), Expression(self._of(value)))))

    def _entry(self, pointer: str, place: Value, mask: Value | None) -> str:
        base = f"⟦{pointer}:{ATOM}⟧" if pointer in self.widths else pointer.lstrip("%")
        return f"{base}[{self._of(place)}]" if mask is None else f"{base}[{self._of(place)}, {self._of(mask)}]"

    def clear(self, pointer: str, entries: int, dtype: DType) -> None:
        self._whole(pointer, entries, "0")

    def copy(self, pointer: str, source: str, entries: int, dtype: DType) -> None:
        self._whole(pointer, entries, f"{source.lstrip('%')}[lanes({entries})]")

    def _whole(self, pointer: str, entries: int, text: str) -> None:
        where = f"{pointer.lstrip('%')}[lanes({entries})]"
        self.statements.append(Statement("store", (), (Expression(where), Expression(text))))

    def piece(self) -> Value:
        return Value(_PIECE, int64)

    def is_whole(self) -> Value:
        return self.compare("less", self.piece(), self.integer(0))

    def room(self, dtype: DType, entries: int) -> str:
        name = f"room{len(self.variables)}"
        self.variables.append(f"    {name} = room({entries}, {dtype.name})")  # where a function begins, as in LLVM
        return name

    def advance(self, pointer: str, entries: Value, dtype: DType) -> str:
        if entries.name == "0":
            return pointer
        base = f"⟦{pointer}:{ATOM}⟧" if pointer in self.widths else pointer.lstrip("%")
        return self._define(f"{base}.at({self._of(entries)})", int64, 1).name

    def record(self, place: Value, value: Value) -> None:
        text = f"record({self._of(place)}, {self._of(value)})"
        self.statements.append(Statement("store", (), (Expression(text),)))

    def variable(self, dtype: DType, value: Value) -> str:
        name = self.fresh()
        self.write(name, value)
        return name

    def read(self, variable: str, dtype: DType) -> Value:
        return self._define(variable, dtype, 1, reads=True)

    def write(self, variable: str, value: Value) -> None:
        self.statements.append(Statement("assign", (variable,), (Expression(self._of(value)),)))

    # --- loops -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _indented(self, head: str) -> Iterator[None]:
        self.statements.append(Statement("open", (), (Expression(head),)))
        self.depth += 1
        yield
        self.depth -= 1
        self.statements.append(Statement("close"))

    def _extent(self, extent: Extent) -> str:
        return self._of(extent) if isinstance(extent, Value) else str(extent)

    def _counter(self, extent: Extent) -> Value:
        name = _LOOP_NAMES[self.depth % len(_LOOP_NAMES)]
        self.widths[name] = 1
        self._last.pop(name, None)
        if isinstance(extent, int):
            self._last[name] = extent - 1
        return Value(name, int64)

    @contextmanager
    def loop(self, extent: Extent) -> Iterator[Value]:
        i = self._counter(extent)
        with self._indented(f"for {i.name} in range({self._extent(extent)})"):
            yield i

    def repeat(
        self, extent: Extent, carried: Sequence[Value], body: Callable[[Value, list[Value]], Sequence[Value]]
    ) -> list[Value]:
        if extent == 1:
            return list(body(self.integer(0), list(carried)))
        state = [self._carried(x) for x in carried]
        i = self._counter(extent)
        with self._indented(f"for {i.name} in range({self._extent(extent)})"):
            results = body(i, state)
            self._assign(state, [self._of(x) for x in results])
        return state

    def _carried(self, x: Value) -> Value:
        name = f"t{self.fresh()[1:]}"
        self.widths[name] = x.lanes
        state = Value(name, x.dtype, x.lanes)
        is_spread = x.lanes > 1 and self.widths.get(x.name, 1) == 1
        self._assign([state], [f"vector({x.lanes}, {self._of(x)}, {x.dtype.name})" if is_spread else self._of(x)])
        return state

    def _assign(self, targets: Sequence[Value], texts: Sequence[str]) -> None:
        if targets:
            names = tuple(each.name for each in targets)
            self.statements.append(Statement("assign", names, tuple(map(Expression, texts))))

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        before = len(self.statements)
        with self._indented(f"if {self._of(condition)}"):
            yield
        if condition.name == "false":
            del self.statements[before:]


def _number(x: Value) -> str:
    """A literal as Python writes it: the shortest decimal number that stands for the same bits."""
    if x.name.startswith("0x"):
        value = struct.unpack(">d", bytes.fromhex(x.name[2:]))[0]
        return str(np.float32(value)) if x.dtype is float32 else repr(value)
    return {"true": "True", "false": "False"}.get(x.name, x.name)
