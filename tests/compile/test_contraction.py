"""Products come out the same however they are cut: in parts of k, in blocks of rows, from packed operands or in place.

In: products of awkward shapes, for vector units of several widths, with the limits made so small that a few dozen rows
are a large matrix. Out: agreement with float64, and with the uncut product to the bit; no entry past any buffer.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from thalweg.compile import native, tiling
from thalweg.compile.codegen import load
from thalweg.compile.contraction import Finish, emit_product
from thalweg.compile.emitter import Emitter
from thalweg.compile.inside.interpret import run
from thalweg.compile.inside.loop_text import LoopText
from thalweg.compile.tiling import Product, Tiling, Vectors, choose_tiling
from thalweg.dtype import DType, float32, float64
from thalweg.graph import make_input
from thalweg.ops import matmul

# AVX-512, AVX2 and NEON for float32; AVX-512 and SSE2 for float64. LLVM makes any of them run on any machine.
UNITS = [
    (Vectors(16, 32), float32), (Vectors(8, 16), float32), (Vectors(4, 32), float32),
    (Vectors(8, 32), float64), (Vectors(2, 16), float64),
]  # fmt: skip
FLAGS = [*itertools.product([False, True], repeat=2)]
SHAPES = [(1, 1, 1), (17, 31, 33), (33, 48, 97), (9, 96, 129), (65, 10, 57), (20, 60, 0)]
SMALL = {"_REUSED": 1, "_LARGE": 1, "_HUGE": 1, "_LONGEST": 96, "_LONGEST_PACKED": 80, "_PANEL": 1,
         "_BLOCK_OF_A": 1500, "_SMALL_BLOCK_OF_A": 1, "_BLOCK_OF_B": 40000}  # fmt: skip
PARAMETERS = [f"ptr noalias %{name}" for name in ("a", "b", "c", "scratch", "more")]
units = pytest.mark.parametrize(("vectors", "dtype"), UNITS, ids=str)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything is large: all that may be packed is, and all extents are cut."""
    for name, value in SMALL.items():
        monkeypatch.setattr(tiling, name, value)
    choose_tiling.cache_clear()
    yield
    choose_tiling.cache_clear()


def operands(product: Product) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(product.rows * 1000 + product.columns)
    a = random.standard_normal((product.rows, product.inner))
    b = random.standard_normal((product.inner, product.columns))
    return tuple(
        np.ascontiguousarray(each.T if is_turned else each).astype(product.dtype.numpy)
        for each, is_turned in ((a, product.transpose_a), (b, product.transpose_b))
    )


def meaning(product: Product, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The product in float64, and how far each entry may be off."""
    left = (a.T if product.transpose_a else a).astype(np.float64)
    right = (b.T if product.transpose_b else b).astype(np.float64)
    return left @ right, (np.abs(left) @ np.abs(right)) * np.finfo(a.dtype).eps * (product.inner + 1)


def written(e: Emitter, cut: Tiling, finish: Finish | None = None) -> str:
    emit_product(e, "%a", "%b", "%c", "%scratch", cut, finish)
    return e.function("product", PARAMETERS)


def computed(cut: Tiling, a: np.ndarray, b: np.ndarray, more: np.ndarray | None = None,
             finish: Finish | None = None, e: Emitter | None = None) -> np.ndarray:  # fmt: skip
    """The product as machine code computes it, with a margin after C and after the scratch that must stay untouched."""
    e, margin = e or Emitter(), 64
    size = cut.product.rows * cut.product.columns
    c, scratch = (np.full(entries + margin, 77, a.dtype) for entries in (size, cut.scratch))
    call = f"call void @product({', '.join(f'ptr %{name}' for name in ('a', 'b', 'c', 'scratch', 'more'))})"
    text = written(e, cut, finish)
    go = f"define void @go(ptr %a, ptr %b, ptr %c, ptr %scratch, ptr %more) {{\n  {call}\n  ret void\n}}"
    kept, address = load("\n".join([*sorted(e.declarations), text, go]), "go")
    arrays = [a, b, c, scratch, c if more is None else more]
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(address)(*[each.ctypes.data for each in arrays])
    assert kept
    assert (c[size:] == 77).all()
    assert (scratch[cut.scratch :] == 77).all()
    return c[:size].reshape(cut.product.rows, cut.product.columns)


@units
@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_a_cut_product_is_the_uncut_one_to_the_bit(vectors: Vectors, dtype: DType, flags: tuple[bool, bool],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    for rows, columns, inner in SHAPES:
        product = Product(rows, columns, inner, *flags, dtype)
        a, b = operands(product)
        choose_tiling.cache_clear()
        whole = computed(choose_tiling(product, vectors), a, b)
        with monkeypatch.context() as patch:
            for name, value in SMALL.items():
                patch.setattr(tiling, name, value)
            choose_tiling.cache_clear()
            np.testing.assert_array_equal(computed(choose_tiling(product, vectors), a, b), whole)
        choose_tiling.cache_clear()
        expected, tolerance = meaning(product, a, b)
        assert (np.abs(whole - expected) <= tolerance).all()


@units
@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.usefixtures("small_limits")
def test_no_access_is_past_a_buffer(vectors: Vectors, dtype: DType, flags: tuple[bool, bool]) -> None:
    for rows, columns, inner in [(17, 31, 33), (9, 50, 41), (3, 5, 1)]:
        product = Product(rows, columns, inner, *flags, dtype)
        a, b = operands(product)
        cut = choose_tiling(product, vectors)
        c = np.full(rows * columns, 77, dtype.numpy)
        buffers = {"a": a, "b": b, "c": c, "scratch": np.full(cut.scratch, 77, dtype.numpy)}
        assert run(written(LoopText(), cut), buffers) == []
        expected, tolerance = meaning(product, a, b)
        assert (np.abs(c.reshape(rows, columns) - expected) <= tolerance).all()


@units
@pytest.mark.usefixtures("small_limits")
def test_what_follows_meets_each_finished_entry_once(vectors: Vectors, dtype: DType) -> None:
    for flags in FLAGS:
        product = Product(35, 601, 70, *flags, dtype)
        cut = choose_tiling(product, vectors)
        assert cut.parts > 1
        if product.packs_a:
            assert cut.strip_block < cut.strip_count
        else:
            assert 1 < cut.panel_block < cut.panel_count
        e = Emitter()

        def write(pointers, _, entries, e=e):  # type: ignore[no-untyped-def]
            (more,) = pointers
            for each in entries:
                place = e.add(e.multiply(each.row, e.integer(601)), each.column)
                before = e.load(more, place, each.value.dtype, each.value.lanes, each.mask)
                e.store(more, place, e.subtract(before, each.value), each.mask)

        a, b = operands(product)
        sums = np.ones((35, 601), dtype.numpy)
        result = computed(cut, a, b, sums, Finish(write, ["%more"], beside=3), e)
        expected, tolerance = meaning(product, a, b)
        assert (np.abs(result - expected) <= tolerance).all()
        assert (np.abs(sums - (1 - expected)) <= tolerance + np.finfo(dtype.numpy).eps * (1 + np.abs(expected))).all()


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("shape", [(70, 2101, 131), (300, 1103, 130), (67, 510, 530)], ids=str)
def test_large_products(shape: tuple[int, int, int], flags: tuple[bool, bool]) -> None:
    rows, inner, columns = shape
    product = Product(rows, columns, inner, *flags, float32)
    a, b = operands(product)
    x, y = make_input(a.shape, float32), make_input(b.shape, float32)
    program = native.build([x, y], [matmul(x, y, transpose_a=flags[0], transpose_b=flags[1])])
    assert program is not None
    (result,) = program([a, b])
    expected, tolerance = meaning(product, a, b)
    assert (np.abs(result - expected) <= tolerance).all()


def test_batches_share_the_scratch() -> None:
    random = np.random.default_rng(1)
    a, b = random.standard_normal((3, 600, 300)), random.standard_normal((3, 70, 600))
    x, y = make_input(a.shape, float64), make_input(b.shape, float64)
    program = native.build([x, y], [matmul(x, y, transpose_a=True, transpose_b=True)])
    assert program is not None
    (result,) = program([a, b])
    np.testing.assert_allclose(result, a.swapaxes(1, 2) @ b.swapaxes(1, 2), rtol=0, atol=1e-11)


def test_small_products_are_read_where_they_lie() -> None:
    for extents in [(64, 64, 64), (128, 128, 128), (64, 128, 784), (240, 240, 240), (1, 4096, 1024)]:
        product = Product(*extents, False, False, float32)
        cut = choose_tiling(product, Vectors(16, 32))
        assert (cut.scratch, cut.parts, cut.strip_block) == (0, 1, cut.strip_count), extents
        assert not choose_tiling(replace(product, transpose_a=True), Vectors(16, 32)).product.packs_a, extents


def test_large_products_are_rearranged() -> None:
    """Where vectors are short, panels are narrow, and B is rearranged sooner."""
    for lanes, registers, size, packs in [
        (8, 16, 240, False),
        (8, 16, 256, True),
        (16, 32, 256, False),
        (16, 32, 512, True),
    ]:
        cut = choose_tiling(Product(size, size, size, False, False, float32), Vectors(lanes, registers))
        assert cut.packs_b == packs, (lanes, size)
    assert Product(256, 256, 256, True, False, float32).packs_a
    assert not Product(256, 256, 256, False, False, float32).packs_a


def test_panels_share_a_strip_where_a_is_too_large_for_the_second_level_cache() -> None:
    """Then they are walked along the rows of C; otherwise one panel, which the first level keeps, meets all strips."""
    for size, panels in [(512, 1), (1024, 16), (2048, 16)]:
        cut = choose_tiling(Product(size, size, size, False, False, float32), Vectors(8, 16))
        assert (cut.panel_block, cut.strip_block) == (panels, cut.strip_count), size
    packed = choose_tiling(Product(2048, 2048, 2048, True, False, float32), Vectors(8, 16))
    assert (packed.panel_block, packed.depth) == (1, 256)
    assert packed.strip_block * packed.strip * packed.depth * 4 <= 1 << 20
    assert packed.width * packed.depth * 4 <= 32 << 10, "a panel of B stays in the first-level cache"


def test_code_does_not_grow_with_the_product() -> None:
    """Four tiles at most, and one loop for each operand that is packed: the time to compile follows from that."""
    for flags in FLAGS:
        e = Emitter()
        written(e, choose_tiling(Product(2047, 2047, 4099, *flags, float32), Vectors(16, 32)))
        assert len(e.lines) < 2400, flags


@pytest.mark.parametrize(
    ("rows", "columns", "pieces"),
    [(32768, 64, range(32, 65)), (2048, 256, range(8, 33)), (64, 4096, range(2, 65)), (768, 512, range(8, 9)),
     (768, 128, range(8, 9)), (128, 128, range(2, 3))],
)  # fmt: skip
def test_a_product_with_a_packed_operand_is_cut_by_its_panels_first(rows: int, columns: int, pieces: range) -> None:
    """B turned over, as in a linear layer: each strip packs it again, which a tall product hardly notices."""
    chosen = choose_tiling(Product(rows, columns, 128, False, True, float32), Vectors(16, 32))
    grid = tiling.choose_grid(chosen, 64)
    assert chosen.packs_b
    assert grid.count in pieces
    assert (grid.strips.count > 1) == (rows > 2 * columns)
