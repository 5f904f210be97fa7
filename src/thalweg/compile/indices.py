"""Arithmetic on indices: sums of registers and a number, which become instructions only where somebody asks.

In: additions, subtractions and multiplications of single int64 values. Out: `Index` values, of which it is known what
they are a multiple of and which numbers they can be; and their instructions, each written once in a block.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from thalweg.compile.frame import Frame
from thalweg.compile.values import Counting, Index, Terms, Value, place_in_text, wrapped
from thalweg.dtype import int64


class Indices(Frame):
    """A function in the making that can compute with indices."""

    def of_indices(self, instruction: str, a: Value, b: Value) -> Value:
        """What an instruction of LLVM makes of two indices."""
        if instruction in ("add", "sub"):
            return self._total(a, b, 1 if instruction == "add" else -1)
        (left, x), (right, y) = self._terms_of(a), self._terms_of(b)
        if instruction != "mul" or (left and right):
            return self._register(f"{instruction} i64 {a.name}, {b.name}")
        terms, number, factor = (right, y, x) if not left else (left, x, y)
        scaled = [(each, wrapped(count * factor)) for each, count in terms]
        return self._index(tuple([term for term in scaled if term[1]]), number * factor)

    def _register(self, text: str) -> Value:
        """An instruction on indices, written once in a block."""
        if text not in self._known:
            self._known[text] = self.emit(int64, text)
        found: Value = self._known[text]
        return found

    def _terms_of(self, x: Value) -> tuple[Terms, int]:
        """The registers that an index is the sum of, each with how often, and the number that is added to them."""
        if isinstance(x, Index):
            return x.terms, x.number
        name = x.name
        return (((name, 1),), 0) if name.startswith("%") else ((), int(name))

    def _total(self, a: Value, b: Value, sign: int) -> Value:
        (left, more), (right, number) = self._terms_of(a), self._terms_of(b)
        if not right:
            return self._index(left, more + sign * number)
        total = dict(left)
        for register, count in right:
            total[register] = total.get(register, 0) + sign * count
        kept = [(each, wrapped(total[each])) for each in sorted(total, key=place_in_text)]
        return self._index(tuple([term for term in kept if term[1]]), more + sign * number)

    def _index(self, terms: Terms, number: int) -> Value:
        number = wrapped(number)
        if not terms:
            return Value(str(number), int64)
        is_register = number == 0 and len(terms) == 1 and terms[0][1] == 1
        return Value(terms[0][0], int64) if is_register else Index(self, terms, number)

    def written(self, x: Index) -> Value:
        """The instructions that add an index up: registers of outer loops first, so that their sum can leave the inner;
        the number last, so that neighbours share the rest.
        """
        (first, count), *others = x.terms
        total = self._product(first, count)
        for register, count in others:
            total = self._register(f"add i64 {total.name}, {self._product(register, count).name}")
        return self._register(f"add i64 {total.name}, {x.number}") if x.number else total

    def _product(self, register: str, count: int) -> Value:
        return Value(register, int64) if count == 1 else self._register(f"mul i64 {register}, {count}")

    # --- what is known of them ---------------------------------------------------------------------------------------

    def part_of(self, x: Value, size: int) -> tuple[Hashable, int] | None:
        """(what is equal for all indices with this quotient by `size`, the remainder), if both are known for `x`."""
        terms, number = self._terms_of(x)
        if any(count % size for _, count in terms):
            return None
        return (terms, number // size), number % size

    def multiple_of(self, x: Value) -> int:
        """A number that the index `x` is known to be a multiple of; 0 for zero itself, which is a multiple of all."""
        terms, number = self._terms_of(x)
        return math.gcd(number, *[count for _, count in terms])

    def bounds_of(self, x: Value) -> tuple[int, int] | None:
        """The least and the greatest number that an index or the indices of its lanes can be, where that is known."""
        if isinstance(x, Counting):
            span, within = sorted((0, x.step * (x.lanes - 1))), self.bounds_of(x.start)
            return None if within is None else (within[0] + span[0], within[1] + span[1])
        if x.lanes > 1 or x.dtype is not int64:
            return None
        terms, number = self._terms_of(x)
        if any(each not in self._last for each, _ in terms):
            return None
        ends = [count * self._last[each] for each, count in terms]
        return number + sum(min(0, end) for end in ends), number + sum(max(0, end) for end in ends)

    def _is(self, x: Value, number: str) -> bool:
        """Whether `x` is known to be this number; what is still a sum never is."""
        return not isinstance(x, Index) and x.name == number
