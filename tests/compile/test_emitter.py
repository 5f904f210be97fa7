"""Indices as sums of registers, loops, and what is written once: the words that every kernel's text is made of.

In: calls of the emitter's words. Out: failures where an index is another number than Python's arithmetic gives, where
neighbours do not share their address, or where a value is used that may not have been computed.
"""

from __future__ import annotations

import ctypes
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.compile.codegen import load
from thalweg.compile.emitter import Emitter
from thalweg.compile.values import Counting, Index, Value
from thalweg.dtype import float32, int64

REGISTERS = {"%a1": 5, "%b2": -7, "%i3": 2**61}
numbers = st.one_of(st.integers(-5, 70), st.sampled_from([2**62, -(2**63), 2**63 - 1]))


def wrapped(number: int) -> int:
    return ctypes.c_int64(number).value


leaves = st.one_of(st.sampled_from(sorted(REGISTERS)), numbers)
expressions = st.recursive(leaves, lambda e: st.tuples(st.sampled_from(["add", "subtract", "multiply"]), e, e))


def built(e: Emitter, expression) -> Value:
    if isinstance(expression, tuple):
        word, a, b = expression
        return getattr(e, word)(built(e, a), built(e, b))
    return Value(expression, int64) if isinstance(expression, str) else e.integer(expression)


def meant(expression) -> int:
    if isinstance(expression, tuple):
        word, a, b = expression
        a, b = meant(a), meant(b)
        return wrapped({"add": a + b, "subtract": a - b, "multiply": a * b}[word])
    return REGISTERS[expression] if isinstance(expression, str) else expression


def run(lines: list[str], result: str, registers: dict[str, int]) -> int:
    """What the instructions that were written come to."""
    known = dict(registers)

    def number(name: str) -> int:
        return known[name] if name.startswith("%") else int(name)

    for line in lines:
        target, word, a, b = re.fullmatch(r"  (%\w+) = (\w+) i64 (\S+), (\S+)", line).groups()
        x, y = number(a), number(b)
        known[target] = wrapped({"add": x + y, "sub": x - y, "mul": x * y}[word])
    return number(result)


@given(expressions)
def test_an_index_is_what_integers_of_64_bits_give(expression):
    e = Emitter()
    value = built(e, expression)
    name = value.name
    assert run(e.lines, name, REGISTERS) == meant(expression)
    if isinstance(value, Index):
        assert [count for _, count in value.terms] == [wrapped(count) for _, count in value.terms if count]


def test_an_index_that_nobody_asks_for_is_not_written():
    e = Emitter()
    row = e.multiply(e.add(Value("%i1", int64), e.integer(3)), e.integer(784))
    assert not e.lines
    assert row.terms == (("%i1", 784),)
    assert row.number == 3 * 784
    assert e.multiple_of(row) == 784


def test_neighbours_are_one_address_and_a_number():
    e = Emitter()
    row, k = Value("%i1", int64), Value("%i2", int64)
    for i in range(16):
        place = e.add(e.multiply(e.add(row, e.integer(i)), e.integer(784)), k)
        e.load("%in0", place, float32)
    text = "\n".join(e.lines)
    assert (text.count("mul"), text.count("add "), text.count("load")) == (1, 1, 16)
    assert text.count("getelementptr") == 1 + 15
    assert f"i64 {15 * 784}" in text


def test_bounds_of_loop_counters_are_known():
    e = Emitter()
    with e.loop(10) as i, e.loop(Value("%n", int64)) as j:
        place = e.subtract(e.multiply(i, e.integer(-4)), e.integer(1))
        assert e.bounds_of(place) == (-37, -1)
        assert e.bounds_of(Counting(e, e.multiply(i, e.integer(16)), 1, 16)) == (0, 159)
        assert e.bounds_of(e.add(i, j)) is None


def test_a_position_that_surely_fits_is_not_asked_about():
    e = Emitter()
    with e.loop(8) as i:
        place = Counting(e, e.multiply(i, e.integer(16)), 1, 16)
        assert e.clamped(place, 128, place) is place
        assert "record" not in "\n".join(e.lines)
        e.clamped(place, 127, place)
        assert "record" in "\n".join(e.lines)


def test_what_was_written_before_a_loop_is_used_in_it_and_not_the_other_way_round():
    e = Emitter()
    row = e.add(Value("%a1", int64), Value("%b2", int64))
    outer = e.add(row, e.integer(0)).name
    with e.loop(4) as i:
        assert row.name == outer
        inner = e.add(row, i).name
    assert e.add(row, i).name != inner, "the loop may not have run"
    with e.when(Value("%c", int64)):
        unsure = e.add(row, e.integer(7)).name
    assert e.add(row, e.integer(7)).name != unsure


@pytest.mark.parametrize("extent", [0, 1, 5])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_loop_runs_as_often_as_it_says(extent: int, is_known: bool):
    e = Emitter()
    with e.loop(extent if is_known else Value("%n", int64)) as i:
        e.store("%out", e.integer(0), e.add(i, e.integer(1)))
    kept, address = load(e.function("count", ["ptr %out", "i64 %n"]).replace("internal ", ""), "count")
    place = ctypes.c_int64(0)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(address)(ctypes.addressof(place), extent)
    assert place.value == extent
    assert kept
