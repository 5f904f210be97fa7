"""Random bits in kernels: the very bits of the NumPy meaning, and the rounds of Philox done once for all they serve.

In: draws of awkward shapes in nests of every kind, for two levels of x86-64. Out: agreement with NumPy, and facts about
the code.
"""

from __future__ import annotations

import platform
import re

import numpy as np
import pytest

from tests.support.compiled import assembly_of
from thalweg import ops
from thalweg.compile import native
from thalweg.compile.emitter import Emitter
from thalweg.compile.layout import Layout
from thalweg.compile.passes import run_passes
from thalweg.compile.reference import evaluate
from thalweg.compile.target import compiling_for
from thalweg.compile.values import Value, Word, literal
from thalweg.dtype import DType, bool_, float32, float64, int32, int64, uint8
from thalweg.graph import Node, make_input, size_of
from thalweg.tensor.arithmetic import floor_divide, less, remainder, where

on_x86 = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="levels of x86-64")
every_level = pytest.mark.parametrize("level", [pytest.param("x86-64-v3", marks=on_x86), "native"])
# Entries that share their rounds: 64. Rows of whole draws, of whole vectors, and of neither; an edge; one entry.
SHAPES = [(1000,), (64,), (1,), (3, 128), (5, 48), (7, 33), (3, 5, 64), (2, 1, 100), (130, 2)]
KEY = make_input((2,), int64)


def bits(shape: tuple[int, ...]) -> Node:
    return ops.random_bits(KEY, shape=shape)


def uniform(shape: tuple[int, ...], dtype: DType = float32) -> Node:
    return ops.cast(floor_divide(bits(shape), 256), dtype=dtype.name) * 2.0**-24


def kept(shape: tuple[int, ...], x: Node) -> Node:
    return where(less(uniform(shape, x.dtype), 0.75), x, x * 0.0)


def both(level: str, outputs: list[Node], inputs: list[Node], arrays: list[np.ndarray]) -> None:
    """Compiled code leaves the bits of the NumPy meaning."""
    with compiling_for(level):
        program = native.build(inputs, run_passes(outputs))
    assert program is not None
    found = program(arrays)
    assert found is not None
    for ours, wanted in zip(found, evaluate(outputs, dict(zip(inputs, arrays, strict=True))), strict=True):
        np.testing.assert_array_equal(ours, wanted)


@every_level
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("key", [(0, 0), (-1, 2**40), (2**62 + 5, -3)], ids=str)
def test_bits_of_every_shape(level: str, shape: tuple[int, ...], key: tuple[int, int]) -> None:
    both(level, [bits(shape), uniform(shape)], [KEY], [np.array(key)])


@every_level
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
def test_dropout_beside_arithmetic(level: str, shape: tuple[int, ...], dtype: DType) -> None:
    x = make_input(shape, dtype)
    array = np.arange(1, 1 + size_of(shape)).reshape(shape).astype(dtype.numpy)
    both(level, [kept(shape, x)], [KEY, x], [np.array([3, 4]), array])


@every_level
@pytest.mark.parametrize("shape", [(3, 128), (70, 48), (7, 33), (130, 64), (64, 130)], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_draws_in_nests_that_reduce_either_axis(level: str, shape: tuple[int, int], axis: int) -> None:
    """Whole numbers: their sums are the same in any order."""
    x = make_input(shape, float32)
    dropped = kept(shape, x)
    total = ops.broadcast(ops.sum_(dropped, axes=(axis,)), shape=shape)
    both(level, [total + kept(shape, total)], [KEY, x], [np.array([3, 4]), np.ones(shape, np.float32)])


@every_level
def test_two_draws_in_one_nest_differ(level: str) -> None:
    other = make_input((2,), int64)
    together = [bits((200,)) - ops.random_bits(other, shape=(200,))]
    both(level, together, [KEY, other], [np.array([1, 2]), np.array([1, 3])])


@every_level
def test_a_key_that_is_computed_and_a_draw_of_a_draw(level: str) -> None:
    computed = ops.add(KEY, ops.iota(shape=(2,), axis=0, dtype="int64"))
    nested = ops.random_bits(ops.random_bits(computed, shape=(2,)), shape=(70,))
    both(level, [ops.random_bits(computed, shape=(2,)), nested], [KEY], [np.array([1, 2])])


@every_level
def test_a_sine_between_two_vectors_of_a_draw(level: str) -> None:
    """Its rare branch parts the body into blocks."""
    x = make_input((192,), float32)
    where_large = where(less(uniform((192,)), 0.5), x, ops.sin(x) * 0.0)
    both(level, [where_large], [KEY, x], [np.array([1, 2]), np.arange(1, 193).astype(np.float32) * 1e4])


@every_level
@pytest.mark.parametrize("divisor", [1, 2, 3, 10, 255, 256, 2**31 - 1, 2**31, 2**32 + 1])
def test_quotients_and_remainders_of_bits(level: str, divisor: int) -> None:
    outputs = [floor_divide(bits((70,)), divisor), remainder(bits((70,)), divisor)]
    both(level, outputs, [KEY], [np.array([7, 8])])


@every_level
@pytest.mark.parametrize("dtype", [bool_, uint8, int32, float32, float64], ids=lambda dtype: dtype.name)
def test_bits_as_other_numbers(level: str, dtype: DType) -> None:
    both(level, [ops.cast(bits((70,)), dtype=dtype.name)], [KEY], [np.array([7, 8])])


# --- the code --------------------------------------------------------------------------------------------------------


def instructions(level: str, outputs: list[Node], inputs: list[Node]) -> list[str]:
    with compiling_for(level):
        text = assembly_of(Layout(inputs, run_passes(outputs)))
    return re.findall(r"^\s+(v?p?[a-z]\w+)\s", text, re.MULTILINE)


@on_x86
@pytest.mark.parametrize(("level", "registers"), [("x86-64-v3", 4), ("x86-64-v4", 2)])
def test_dropout_does_the_rounds_once_for_64_entries(level: str, registers: int) -> None:
    """Sixteen blocks are `registers` registers of 64-bit lanes, and each round multiplies two words; the first two
    multiply a word that all blocks share, once. These are written out, the others are two in a loop of four."""
    x = make_input((1 << 20,), float32)
    found = instructions(level, [where(less(uniform(x.shape), 0.75), x, 0.0)], [KEY, x])
    assert found.count("vpmuludq") == (2 + 4) * registers
    assert "vpmullq" not in found, "three times as dear"
    assert found.count("imulq") <= 2


@on_x86
@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_nest_that_reduces_does_the_rounds_once_too(level: str, axis: int) -> None:
    x = make_input((128, 512), float32)
    mean = ops.broadcast(ops.sum_(x, axes=(axis,)), shape=x.shape)
    found = instructions(level, [kept(x.shape, x - mean)], [KEY, x])
    assert found.count("vpmuludq") <= 20 * (4 if level == "x86-64-v3" else 2)


def test_what_is_written_once_stands_before_the_loops() -> None:
    e = Emitter()

    def body(i: Value, _: list[Value]) -> list[Value]:
        number = e.once("number", lambda: e.load("%in0", e.integer(0), int64))
        assert e.once("number", lambda: literal(0, int64)) is number
        e.store("%out0", i, e.add(number, i))
        return []

    e.repeat(5, [], body)
    lines = e.function("kernel", ["ptr %out0", "ptr %in0"]).splitlines()
    position = next(place for place, line in enumerate(lines) if "load i64" in line)
    assert position < lines.index("entry:")


def test_remainders_of_indices_are_known_where_their_parts_are() -> None:
    e = Emitter()
    row = e.multiply(Value("%i", int64), e.integer(128))
    first, second = (e.add(row, e.add(e.multiply(Value("%j", int64), e.integer(64)), e.integer(n))) for n in (16, 48))
    assert e.part_of(first, 64) is not None
    assert e.part_of(first, 64)[0] == e.part_of(second, 64)[0]
    assert (e.part_of(first, 64)[1], e.part_of(second, 64)[1]) == (16, 48)
    assert e.part_of(e.add(first, e.integer(64)), 64)[0] != e.part_of(first, 64)[0]
    assert e.part_of(e.add(first, Value("%k", int64)), 64) is None
    assert e.part_of(e.integer(130), 64) == (((), 2), 2)


def test_words_are_made_64_bits_wide_once_and_only_if_asked() -> None:
    e = Emitter()
    word = Word(e, Value("%x", int32, 16), 32)
    assert e.cast(e.call("floor_divide", word, literal(256, int64)), float32).lanes == 16
    assert not any("zext" in line for line in e.lines)
    assert "sitofp" in e.lines[-1], "24 bits have no sign"
    e.store("%out0", e.integer(0), word)
    e.store("%out1", e.integer(0), word)
    assert sum("zext" in line for line in e.lines) == 1
