"""Statements of loop text: what the words of `LoopText` leave behind, and how it becomes lines that people can read.

In: definitions of values (each defined once), stores and loops in the order of execution. Out: the lines of a Python
function, in which a value that is used once stands where it is used, and nothing stands that nobody uses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# How tightly the outermost operator of an expression binds, as in Python; an operand that binds less gets parentheses.
COMPARE, OR, XOR, AND, SHIFT, SUM, PRODUCT, UNARY, ATOM = range(1, 10)
_OPERAND = re.compile(r"⟦(\w+):(\d)⟧")
_LONGEST = 96  # characters of an expression, before a part of it gets a line of its own
_LONGEST_INDEX = 48  # index arithmetic is repeated rather than named, as long as it is short


@dataclass(frozen=True)
class Expression:
    """Text in which ``⟦name:rank⟧`` stands for a value that must bind at least as tightly as `rank`."""

    text: str
    rank: int = ATOM
    reads: bool = False  # memory that may change
    is_index: bool = False


@dataclass(frozen=True)
class Statement:
    """`kind` is define, assign, store, open (a loop or condition) or close."""

    kind: str
    targets: tuple[str, ...] = ()
    expressions: tuple[Expression, ...] = ()

    @property
    def needed(self) -> list[str]:
        return [name for each in self.expressions for name, _ in _OPERAND.findall(each.text)]


@dataclass
class _Pending:
    """A value whose expression waits for the line that uses it."""

    expression: Expression
    uses: int


class Lines:
    """One rendering of a list of statements."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self.statements = _alive(statements)
        self.uses = Counter(name for each in self.statements for name in each.needed)
        self.pending: dict[str, _Pending] = {}
        self.lines: list[str] = []
        self.depth = 1

    def render(self) -> list[str]:
        for each in self.statements:
            getattr(self, f"_{each.kind}")(each)
        return self.lines

    def _define(self, each: Statement) -> None:
        (expression,) = each.expressions
        full = self._expanded(expression)
        if len(each.targets) == 1 and self._may_wait(each.targets[0], full):
            self.pending[each.targets[0]] = _Pending(full, self.uses[each.targets[0]])
        else:
            self._write(f"{', '.join(each.targets)} = {full.text}")

    def _may_wait(self, name: str, full: Expression) -> bool:
        if full.is_index or not re.search(r"[^\w().]", full.text):
            return len(full.text) <= _LONGEST_INDEX or self.uses[name] == 1
        return self.uses[name] == 1 and len(full.text) <= _LONGEST

    def _assign(self, each: Statement) -> None:
        texts = [self._expanded(expression).text for expression in each.expressions]
        self._flush(lambda waiting: waiting.reads or _mentions(waiting.text, each.targets))
        pairs = [(a, b) for a, b in zip(each.targets, texts, strict=True) if a != b]
        if any(_mentions(text, [target for target, _ in pairs[:i]]) for i, (_, text) in enumerate(pairs)):
            self._write(f"{', '.join(a for a, _ in pairs)} = {', '.join(b for _, b in pairs)}")
        else:
            for target, text in pairs:
                self._write(f"{target} = {text}")

    def _store(self, each: Statement) -> None:
        place, *values = [self._expanded(expression).text for expression in each.expressions]
        self._flush(lambda waiting: waiting.reads)
        self._write(" = ".join([place, *values]))

    def _open(self, each: Statement) -> None:
        (head,) = [self._expanded(expression).text for expression in each.expressions]
        self._flush(lambda waiting: not waiting.is_index)
        self._write(f"{head}:")
        self.depth += 1

    def _close(self, _: Statement) -> None:
        if self.lines[-1].endswith(":"):
            self._write("pass")
        self.depth -= 1

    def _write(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def _flush(self, is_due) -> None:
        """Give waiting values a line of their own: what they read is about to change, or they must not wait longer."""
        for name in [name for name, waiting in self.pending.items() if waiting.uses and is_due(waiting.expression)]:
            self._write(f"{name} = {self.pending.pop(name).expression.text}")

    def _expanded(self, expression: Expression) -> Expression:
        """With the waiting values put in."""
        reads, is_index = expression.reads, expression.is_index

        def put(match: re.Match[str]) -> str:
            nonlocal reads, is_index
            name, rank = match[1], int(match[2])
            waiting = self.pending.get(name)
            if waiting is None:
                return name
            waiting.uses -= 1
            reads |= waiting.expression.reads
            is_index &= waiting.expression.is_index
            text = waiting.expression.text
            return text if waiting.expression.rank >= rank else f"({text})"

        return Expression(_OPERAND.sub(put, expression.text), expression.rank, reads, is_index)


def _alive(statements: Sequence[Statement]) -> list[Statement]:
    """Without definitions that nobody uses."""
    needed: set[str] = set()
    kept = []
    for each in reversed(statements):
        if each.kind != "define" or needed.intersection(each.targets):
            needed.update(each.needed)
            kept.append(each)
    return kept[::-1]


def _mentions(text: str, names: Sequence[str]) -> bool:
    return any(re.search(rf"\b{name}\b", text) for name in names)


# --- abbreviation ----------------------------------------------------------------------------------------------------

_LONGEST_BLOCK = 24


def abbreviated(lines: Sequence[str]) -> list[str]:
    """Blocks of lines that differ only in numbers and names are written once, with how often they come again."""
    lines = [_shortened(line) for line in lines]
    alike = [re.sub(r"\d+", "#", line) for line in lines]
    result: list[str] = []
    position = 0
    while position < len(lines):
        length, count = _longest_repetition(alike, position)
        if count < 3:
            result.append(lines[position])
            position += 1
            continue
        block = lines[position : position + length]
        indent = min((len(line) - len(line.lstrip()) for line in block), default=0)
        result += abbreviated(block) if length > 2 else block
        lines_are = "this line" if length == 1 else f"these {length} lines"
        result.append(f"{' ' * indent}... {lines_are} {count - 1} times more, with other numbers")
        position += length * count
    return result


def _shortened(line: str) -> str:
    """Of a long list of vectors that are turned over together, the first and how many there are."""
    match = re.fullmatch(r"(\s*)(\w+), .*, (\w+) = transpose\((.*?\]), (.*)\)", line)
    if match is None:
        return line
    indent, first, last, row, rest = match.groups()
    return f"{indent}{first} ... {last} = transpose({row}, ... {rest.count('], ') + 1} more)"


def _longest_repetition(alike: Sequence[str], position: int) -> tuple[int, int]:
    """The block that starts here and is repeated over the most lines: (its length, how often it stands)."""
    best = (1, 1)
    for length in range(1, _LONGEST_BLOCK + 1):
        count = sum(1 for _ in _repetitions(alike, position, length))
        if count > 1 and length * count > best[0] * best[1]:
            best = (length, count)
    return best


def _repetitions(alike: Sequence[str], position: int, length: int) -> Iterator[int]:
    first = alike[position : position + length]
    while len(first) == length and alike[position : position + length] == first:
        yield position
        position += length
