"""Loop text says what a kernel does: run in Python, it gives what NumPy gives, and it never leaves its buffers.

In: every kernel of the zoo, products of awkward shapes in all transpositions, and the words one by one, for processors
with short and long vectors. Out: agreement with the NumPy meaning, and lines that are as plain as they should be.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.support.gradient_check import apply, sample
from tests.support.zoo import ZOO, program_of
from thalweg import ops
from thalweg.compile import pieces
from thalweg.compile.executable import layout_of
from thalweg.compile.fuse import Kernel, is_number
from thalweg.compile.inside.interpret import Buffer, run
from thalweg.compile.inside.listing import buffers_of, extent_of, loop_text, print_kernels
from thalweg.compile.inside.loop_text import LoopText
from thalweg.compile.inside.statements import abbreviated
from thalweg.compile.inside.validate import difference
from thalweg.compile.kernels import pieces_of
from thalweg.compile.layout import Layout
from thalweg.compile.modules import arguments_of
from thalweg.compile.passes import run_passes
from thalweg.compile.target import LEVELS, compiling_for
from thalweg.compile.values import Counting
from thalweg.dtype import ALL_DTYPES, bool_, float32, float64, int32, int64
from thalweg.graph import PRIMITIVES, Node, Primitive, make_input

TARGETS = pytest.mark.parametrize("target", LEVELS)


def some(node: Node, generator: np.random.Generator) -> np.ndarray:
    """Numbers that are also positions, probabilities and divisors."""
    if node.dtype.is_floating_point:
        return generator.uniform(0.1, 1.0, node.shape).astype(node.dtype.numpy)
    return generator.integers(0, 2, node.shape).astype(node.dtype.numpy)


def assert_text_means_the_kernel(kernel: Kernel, scratch: int) -> None:
    generator = np.random.default_rng(0)
    known = {each: some(each, generator) for each in arguments_of(kernel)[len(kernel.outputs) :] if not is_number(each)}
    arrays = {
        name: np.full(node.shape, 77, node.dtype.numpy) if name.startswith("out") else known[node].copy()
        for name, node in buffers_of(kernel)
    }
    arrays["scratch"] = np.zeros(scratch // kernel.nodes[0].dtype.itemsize, kernel.nodes[0].dtype.numpy)
    text = loop_text(kernel, "kernel")
    for count in {0, pieces_of(kernel)}:
        held = {name: array.copy() for name, array in arrays.items()}
        assert run(text, held, count) == [], "no position is out of range"
        for name, node in buffers_of(kernel)[: len(kernel.outputs)]:
            assert not (fault := difference(node, held[name], known)), f"{name}: {fault}\n{text}"


@TARGETS
@pytest.mark.parametrize("name", ZOO)
def test_kernels_of_the_zoo(name: str, target: str) -> None:
    with compiling_for(target):
        layout = layout_of(program_of(name))
        for kernel in layout.kernels:
            assert_text_means_the_kernel(kernel, layout.scratch)


def layout_of_nodes(*outputs: Node) -> Layout:
    results = run_passes(outputs)
    leaves = {each: None for node in results for each in [node, *node.inputs] if not each.inputs}
    return Layout(list(leaves), results)


@TARGETS
@pytest.mark.parametrize("flags", [*itertools.product([False, True], repeat=2)], ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 17, 5), (16, 16, 16), (7, 33, 18), (2, 10, 31)], ids=str)
def test_products_in_all_transpositions(shape: tuple[int, int, int], flags: tuple[bool, bool], target: str) -> None:
    m, n, k = shape
    a = make_input((2, k, m) if flags[0] else (2, m, k), float32)
    b = make_input((2, n, k) if flags[1] else (2, k, n), float32)
    with compiling_for(target):
        layout = layout_of_nodes(ops.matmul(a, b, transpose_a=flags[0], transpose_b=flags[1]))
        for kernel in layout.kernels:
            assert_text_means_the_kernel(kernel, layout.scratch)


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=lambda each: each.name)
def test_every_dtype_is_cast_from_every_other(dtype: object) -> None:
    for source in ALL_DTYPES:
        x = make_input((3, 11), source)
        layout = layout_of_nodes(ops.where(ops.cast(x, dtype="bool"), ops.cast(x, dtype=dtype.name), ops.cast(
            ops.cast(x, dtype="bool"), dtype=dtype.name)))  # fmt: skip
        for kernel in layout.kernels:
            assert_text_means_the_kernel(kernel, 0)


def test_integer_arithmetic_and_positions() -> None:
    x, y = make_input((4, 9), int64), make_input((4, 9), int32)
    z = ops.add(ops.cast(y, dtype="int64"), ops.sum_(ops.multiply(x, x), axes=(1,)).inputs[0])
    layout = layout_of_nodes(ops.floor_divide(z, ops.subtract(x, z)), ops.argmax(z, axis=1), ops.sum_(z, axes=(0, 1)))
    for kernel in layout.kernels:
        text = loop_text(kernel, "kernel")
        assert "llvm(" not in text, "every word of the emitter has words for people"


def test_bad_positions_are_recorded() -> None:
    table, rows = make_input((5, 3), float32), make_input((4,), int64)
    (kernel,) = layout_of_nodes(ops.gather(table, rows, role="index")).kernels
    arrays = {name: np.zeros(node.shape, node.dtype.numpy) for name, node in buffers_of(kernel)}
    names = {node: name for name, node in buffers_of(kernel)}
    arrays[names[rows]][2] = 5
    assert (2, 5) in run(loop_text(kernel, "kernel"), arrays)


def test_leaving_a_buffer_is_an_error() -> None:
    buffer = Buffer(np.zeros(8, np.float32))
    assert buffer[np.arange(6, 10), np.arange(4) < 2].tolist() == [0, 0, 0, 0], "lanes that are off are not read"
    with pytest.raises(IndexError, match="place"):
        buffer[np.arange(6, 10)]
    with pytest.raises(IndexError, match="place"):
        buffer[-1] = 0


# --- how it reads ----------------------------------------------------------------------------------------------------


def test_a_chain_is_one_line_a_vector() -> None:
    x, y = make_input((64,), float32), make_input((64,), float32)
    with compiling_for("x86-64-v3"):
        (kernel,) = layout_of_nodes(ops.tanh(ops.add(ops.exp(x), y))).kernels
        text = loop_text(kernel, "kernel")
    assert "tanh(exp(in0[" in text
    assert ") + in1[" in text
    assert "lanes(8)" in text


def test_index_arithmetic_is_written_as_a_sum() -> None:
    e = LoopText()
    with e.loop(4) as i:
        row = e.add(e.multiply(i, e.integer(3)), e.integer(2))
        place = e.add(e.multiply(row, e.integer(10)), Counting(e, e.integer(0), 1, 8))
        e.store("%out", e.integer(0), e.load_at("%in", place, float32))
    assert "in[30 * i + 20 + lanes(8)]" in e.function("kernel", ["ptr %out", "ptr %in"])


def test_a_value_is_not_read_after_its_place_was_written() -> None:
    e = LoopText()
    old = e.load("%x", e.integer(0), float32)
    e.store("%x", e.integer(0), e.number(5.0, float32))
    e.store("%y", e.integer(0), e.add(old, old))
    text = e.function("kernel", ["ptr %x", "ptr %y"])
    arrays = {"x": np.array([1], np.float32), "y": np.zeros(1, np.float32)}
    run(text, arrays)
    assert (arrays["x"][0], arrays["y"][0]) == (5, 2), text


def test_values_carried_through_a_loop_change_together() -> None:
    e = LoopText()
    one = e.number(1.0, float64)
    a, b = e.repeat(5, [one, one], lambda i, held: [held[1], e.add(*held)])
    e.store("%x", e.integer(0), a)
    e.store("%x", e.integer(1), b)
    arrays = {"x": np.zeros(2)}
    run(e.function("fibonacci", ["ptr %x"]), arrays)
    assert arrays["x"].tolist() == [8, 13]


def test_a_condition_that_never_holds_leaves_no_lines() -> None:
    e = LoopText()
    with e.when(e.compare("equal", e.integer(2), e.integer(3))):
        e.record(e.integer(0), e.integer(0))
    assert e.function("kernel", []) == "def kernel():\n    pass"
    assert e.select(e.boolean(True), e.integer(1), e.integer(2)).name == "1"
    assert e.invert(e.load("%x", e.integer(0), bool_)).dtype is bool_


def test_blocks_that_differ_only_in_numbers_are_written_once() -> None:
    lines = ["start", *[line for i in range(5) for line in (f"  a{i} = in[{i}]", f"  b{i} = a{i} + {2 * i}")], "end"]
    assert abbreviated(lines) == [
        "start", "  a0 = in[0]", "  b0 = a0 + 0", "  ... these 2 lines 4 times more, with other numbers", "end",
    ]  # fmt: skip


def test_equal_kernels_are_printed_once() -> None:
    x, y = make_input((64,), float32), make_input((64,), float32)
    outputs = [ops.sum_(ops.tanh(x), axes=(0,)), ops.sum_(ops.tanh(y), axes=(0,))]
    text = print_kernels(Layout([x, y], outputs))
    assert text.count("def k") == 1 + text.count("def k1")
    assert "float32[64]" in text
    assert extent_of(Layout([x], outputs[:1]).kernels[0]) == "(64)"


@pytest.mark.parametrize("record", [each for each in PRIMITIVES.values() if each.emit], ids=lambda each: each.name)
def test_every_record_is_written_in_words(record: Primitive) -> None:
    """A word of the emitter that `LoopText` does not know would be shown as LLVM's."""
    for probe in record.probes:
        for dtype in (float32, float64):
            layout = Layout(*apply(record, probe, sample(record, probe, np.random.default_rng(0), dtype)))
            for kernel in layout.kernels:
                text = loop_text(kernel, "kernel")
                assert "llvm(" not in text, text
                compile(text, record.name, "exec")


@TARGETS
def test_kernels_that_are_cut_into_pieces(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a piece is a name in the text, and the pieces together are the whole."""
    monkeypatch.setattr(pieces, "_CYCLES", 500)
    x, w, v = make_input((2, 9, 7, 4), float32), make_input((3, 3, 4, 19), float32), make_input((60, 40), float32)
    y = ops.window_product(x, w, lead=0, stride=(1, 1), dilation=(1, 1), order=(0, 1, 2, 3))
    z = ops.matmul(v, v, transpose_a=False, transpose_b=True)
    counts: list[int] = []
    with compiling_for(target):
        for node in (ops.tanh(y), ops.tanh(z), ops.sum_(ops.exp(y), axes=(1,))):
            layout = layout_of_nodes(node)
            for kernel in layout.kernels:
                assert_text_means_the_kernel(kernel, layout.scratch)
            counts += map(pieces_of, layout.kernels)
    assert sum(count > 1 for count in counts) >= 2
