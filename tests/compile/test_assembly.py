"""What the machine code must look like: full-width vectors, fused multiply-adds, no library calls, no needless gathers.

In: small programs and two levels of x86-64, of which the host need not have any. Out: facts about their assembly.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable

import pytest

from tests.support.compiled import assembly_of
from thalweg import ops
from thalweg.compile.layout import Layout
from thalweg.compile.passes import run_passes
from thalweg.compile.target import compiling_for
from thalweg.dtype import DType, float32, float64, int64
from thalweg.errors import ThalwegError
from thalweg.gradient import gradients
from thalweg.graph import PRIMITIVES, Node, Primitive, full, make_input

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="asserts on the assembly of x86-64"
)
WIDEST = {"x86-64-v3": "ymm", "x86-64-v4": "zmm"}
every_level = pytest.mark.parametrize("level", WIDEST)
every_float = pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)

Build = Callable[..., list[Node]]


def listing(level: str, build: Build, *shapes: tuple[int, ...], dtype: DType = float32) -> str:
    """The assembly of a program for a level, with the names of variables and labels taken out."""
    inputs = [make_input(shape, dtype) for shape in shapes]
    with compiling_for(level):
        return assembly_of(Layout(inputs, run_passes(build(*inputs))))


def instructions(text: str, pattern: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if re.match(rf"\s+{pattern}", line)]


def with_gradients_of(build: Callable[..., Node]) -> Build:
    def both(*inputs: Node) -> list[Node]:
        result = build(*inputs)
        found = gradients([result], [full(result.shape, 1.0, result.dtype)], inputs)
        return [result, *[each for each in found if each is not None]]

    return both


# --- vectors and fused multiply-adds ---------------------------------------------------------------------------------


@every_level
@every_float
@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)], ids=str)
def test_products_are_fused_multiply_adds_of_full_width(level: str, dtype: DType, flags: tuple[bool, bool]) -> None:
    text = listing(level, lambda a, b: [ops.matmul(a, b, transpose_a=flags[0], transpose_b=flags[1])],
                   (64, 64), (64, 64), dtype=dtype)  # fmt: skip
    fused = instructions(text, "vfn?m(add|sub)")
    suffix = "ps" if dtype is float32 else "pd"
    assert len([line for line in fused if WIDEST[level] in line]) >= 8
    assert all(WIDEST[level] in line and suffix in line for line in fused), "whole tiles need no narrow arithmetic"
    assert not instructions(text, rf"v(mul|add){suffix}\b.*%{WIDEST[level]}")


@every_level
@pytest.mark.parametrize("shape", [(1, 64), (33, 10), (64, 17)], ids=str)
def test_products_with_edges_are_full_width_too(level: str, shape: tuple[int, int]) -> None:
    text = listing(level, lambda a, b: [ops.matmul(a, b, transpose_a=False, transpose_b=False)],
                   (shape[0], 64), (64, shape[1]))  # fmt: skip
    assert [line for line in instructions(text, "vfmadd") if WIDEST[level] in line]


@every_level
@every_float
def test_a_chain_of_arithmetic_is_full_width(level: str, dtype: DType) -> None:
    text = listing(level, lambda x, y: [(x * y + x) / (y * y + 1.0)], (4, 64), (4, 64), dtype=dtype)
    suffix = "ps" if dtype is float32 else "pd"
    arithmetic = instructions(text, rf"v(mul|add|div|fn?m\w+){suffix}?")
    assert arithmetic
    assert all(WIDEST[level] in line for line in arithmetic), "16 lanes divide 64: nothing is left over"


@every_level
@pytest.mark.parametrize("record", [ops.exp, ops.tanh, ops.log, ops.erf, ops.sin, ops.sigmoid], ids=lambda r: r.name)
def test_vector_mathematics_is_fused_multiply_adds_of_full_width(level: str, record: Primitive) -> None:
    fused = instructions(listing(level, lambda x: [record(x)], (256,)), "vfn?m(add|sub)")
    assert [line for line in fused if WIDEST[level] in line]


@every_level
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions_are_full_width_along_either_axis(level: str, axis: int) -> None:
    text = listing(level, lambda x: [ops.sum_(x * x, axes=(axis,))], (64, 128))
    assert [line for line in instructions(text, "v(add|fmadd)") if WIDEST[level] in line]


def adam(p: Node, g: Node, m: Node, v: Node) -> list[Node]:
    m, v = m * 0.9 + g * 0.1, v * 0.999 + g * g * 0.001
    return [p - (m / (ops.sqrt(v) + 1e-8)) * 0.01, m, v]


@every_level
def test_an_update_is_full_width(level: str) -> None:
    text = listing(level, adam, *[(64, 32)] * 4)
    for name in ("sqrt", "div"):
        found = instructions(text, f"v{name}ps")
        assert found
        assert all(WIDEST[level] in line for line in found)


# --- no library ------------------------------------------------------------------------------------------------------

LIBRARY = re.compile(r"\b(exp|exp2|expm1|log|log2|log10|log1p|sin|cos|tan|tanh|sinh|cosh|atan|atan2|pow|erf|fmod|fma|"
                     r"floor|ceil|trunc|rint|round|roundeven|nearbyint|sqrt|fmin|fmax)f?\b")  # fmt: skip
ELEMENTWISE = [record for record in PRIMITIVES.values() if record.kind == "elementwise" and record.emit is not None]


# An exact remainder of any two numbers takes a loop over their bits: the library's is right and seldom needed.
CALLED = {"floor_divide": {"fmodf"}, "remainder": {"fmodf"}}


def calls_of(text: str) -> set[str]:
    """Functions of the mathematical library that the code refers to."""
    code = [line for line in text.splitlines() if not line.lstrip().startswith((".", "#"))]
    named = [re.search(r"(?:callq?|jmpq?|movabsq|movq|leaq)\s+(.*)", line) for line in code]
    return {found.group(0) for each in named if each and (found := LIBRARY.search(each.group(1)))}


@every_level
@pytest.mark.parametrize("record", ELEMENTWISE, ids=lambda record: record.name)
@pytest.mark.parametrize("size", [64, 7], ids=["whole vectors", "a rest"])
def test_single_precision_calls_no_library(level: str, record: Primitive, size: int) -> None:
    count, attributes = len(record.probes[0].shapes), record.probes[0].attributes
    try:
        text = listing(level, lambda *x: [record(*x, **attributes)], *[(size,)] * count)
    except ThalwegError:
        return  # takes no float32, or is a stated fallback
    assert calls_of(text) == CALLED.get(record.name, set())


def test_a_call_of_the_library_is_noticed() -> None:
    text = listing("x86-64-v3", lambda x: [ops.tanh(x), ops.sin(x)], (64,), dtype=float64)
    assert calls_of(text) or not re.search("call", text), "double precision may call it: the check must see that"
    assert calls_of("  callq\texpf@PLT\n") == {"expf"}
    assert calls_of("  movabsq\t$tanh, %rax\n") == {"tanh"}


# --- no gathers ------------------------------------------------------------------------------------------------------


def softmax(x: Node) -> Node:
    shape = x.shape
    powers = ops.exp(x - ops.broadcast(ops.amax(x, axes=(1,)), shape=shape))
    return powers / ops.broadcast(ops.sum_(powers, axes=(1,)), shape=shape)


def layer_norm(x: Node) -> Node:
    count = 1.0 / x.shape[1]
    centred = x - ops.broadcast(ops.sum_(x, axes=(1,)) * count, shape=x.shape)
    spread = ops.sqrt(ops.sum_(centred * centred, axes=(1,)) * count + 1e-5)
    return centred / ops.broadcast(spread, shape=x.shape)


def dense(x: Node, w: Node, b: Node) -> Node:
    product = ops.matmul(x, w, transpose_a=False, transpose_b=True)
    return ops.tanh(product + ops.broadcast(ops.reshape(b, shape=(1, b.size)), shape=product.shape))


def part(x: Node, **limits: tuple[int, ...]) -> Node:
    return ops.slice_(x, **limits)


# Programs whose every read and write is a run of neighbours, or one number.
PLAIN: dict[str, tuple[Build, list[tuple[int, ...]]]] = {
    "arithmetic": (lambda x, y: [x * y + x], [(7, 33)] * 2),
    "reshape": (lambda x: [ops.reshape(x, shape=(33, 7)) * 2.0], [(7, 33)]),
    "row repeated": (lambda x, b: [x + ops.broadcast(b, shape=x.shape)], [(7, 33), (1, 33)]),
    "column repeated": (lambda x, b: [x + ops.broadcast(b, shape=x.shape)], [(7, 33), (7, 1)]),
    "number repeated": (lambda x, b: [x + ops.broadcast(b, shape=x.shape)], [(7, 33), (1, 1)]),
    "slice of rows": (lambda x: [part(x, start=(1, 0), stop=(6, 33), step=(2, 1)) + 1.0], [(7, 33)]),
    "slice of columns": (lambda x: [part(x, start=(0, 5), stop=(7, 30), step=(1, 1)) + 1.0], [(7, 33)]),
    "flip of rows": (lambda x: [ops.flip(x, axes=(0,)) + 1.0], [(7, 33)]),
    "outer axes permuted": (lambda x: [ops.permute(x, order=(1, 0, 2)) + 1.0], [(3, 5, 33)]),
    "sum of rows": (lambda x: [ops.sum_(x, axes=(0,))], [(7, 33)]),
    "sum of columns": (lambda x: [ops.sum_(x, axes=(1,))], [(7, 33)]),
    "softmax": (with_gradients_of(softmax), [(7, 33)]),
    "layer norm": (with_gradients_of(layer_norm), [(7, 33)]),
    "dense layer": (with_gradients_of(dense), [(16, 24), (33, 24), (33,)]),
    "adam": (adam, [(7, 33)] * 4),
    "random": (lambda x: [ops.cast(ops.random_bits(ops.iota(shape=(2,), axis=0, dtype="int64"), shape=x.shape),
                                   dtype="float32") * x], [(7, 33)]),
    "one number everywhere": (lambda x: [full(x.shape, 3.0, float32) * x], [(7, 33)]),
}  # fmt: skip


@every_level
@pytest.mark.parametrize("name", PLAIN)
def test_nothing_is_gathered_where_a_plain_load_would_do(level: str, name: str) -> None:
    build, shapes = PLAIN[name]
    text = listing(level, build, *shapes)
    assert not instructions(text, "vp?(gather|scatter)"), name


def test_a_gather_is_noticed() -> None:
    def picked(x: Node) -> list[Node]:
        where = make_input((64,), int64)
        return [ops.gather(x, where, role="index"), where]

    inputs = [make_input((64,), float32)]
    gathered, where = picked(*inputs)
    with compiling_for("x86-64-v4"):
        text = assembly_of(Layout([*inputs, where], [gathered]))
    assert instructions(text, "vp?gather")
