"""How a matrix product is cut: tiles of C in registers, parts of A and B that stay in the caches.

In: the extents and transpositions of one product, and the vector unit. Out: a `Tiling`, which depends on nothing else,
so that the same product is always computed in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from thalweg.compile.pieces import Pieces, cut, even
from thalweg.compile.runs import nearly_equal, whole_and_rest
from thalweg.dtype import DType


@dataclass(frozen=True)
class Vectors:
    """The vector unit as far as a tile needs it: lanes for the dtype, and how many registers there are."""

    lanes: int
    registers: int


@dataclass(frozen=True)
class Product:
    """C (rows, columns) = A (rows, inner) B (inner, columns); a flag says that an operand lies turned over."""

    rows: int
    columns: int
    inner: int
    transpose_a: bool
    transpose_b: bool
    dtype: DType

    @property
    def packs_a(self) -> bool:
        """Whether A is rearranged. A row of it is read well where it lies; a column, in a large matrix, is not.

        Each k is then on a page of its own, and where the rows of A^T are a power of two long, in the same cache set.
        """
        return self.transpose_a and self.columns >= _REUSED and self.bytes_of(self.rows) >= _LARGE

    def bytes_of(self, runs: int) -> int:
        """Bytes of so many rows of A or columns of B."""
        return runs * self.inner * self.dtype.itemsize


# In bytes, measured on one core with 48 KiB and 2 MiB of cache. A copy costs about one cycle an entry, and so pays only
# where what is copied is read many times.
_REUSED = 64  # rows or columns
_LARGE = 256 << 10
_HUGE = 1 << 20
_NARROW = 128
# A longer k means fewer round trips of C through the caches. A strip of A so deep is half of the first-level cache;
# with a packed A, which is read again for each panel, it is a panel of B that should be.
_LONGEST = 4 << 10
_LONGEST_PACKED = 1 << 10
_PANEL = 32 << 10  # of B, which the first level keeps
# These the second level keeps.
_BLOCK_OF_A = 1 << 20
_SMALL_BLOCK_OF_A = 256 << 10
_BLOCK_OF_B = 1 << 20


@dataclass(frozen=True)
class Tiling:
    """Rows of C are cut into strips, columns into panels of whole vectors, both of at most two extents; k into parts.

    Strips are of nearly equal height, but for a packed A, where all but the last are alike.
    """

    product: Product
    vectors: Vectors
    strip: int  # rows of the tallest strip
    panel: int  # vectors of the widest panel

    @property
    def width(self) -> int:
        """Columns of a whole panel."""
        return self.panel * self.vectors.lanes

    @cached_property
    def strips(self) -> list[tuple[int, int]]:
        """(height, how many such strips follow each other), the taller first."""
        if self.product.packs_a:
            return whole_and_rest(self.product.rows, self.strip)
        return nearly_equal(self.product.rows, self.strip_count)

    @cached_property
    def panels(self) -> list[tuple[int, int]]:
        """(width in columns, how many): whole panels, then what is left."""
        return whole_and_rest(self.product.columns, self.width)

    @property
    def strip_count(self) -> int:
        return -(-self.product.rows // self.strip)

    @property
    def panel_count(self) -> int:
        return -(-self.product.columns // self.width)

    @cached_property
    def depth(self) -> int:
        """How many k are done before C is written."""
        longest = (_LONGEST_PACKED if self.product.packs_a else _LONGEST) // self.product.dtype.itemsize
        parts = max(1, -(-self.product.inner // longest))
        depth = max(1, -(-self.product.inner // parts))
        return depth if parts == 1 else _rounded_up(depth, self.vectors.lanes)

    @property
    def parts(self) -> int:
        return max(1, -(-self.product.inner // self.depth))

    @cached_property
    def strip_block(self) -> int:
        """Strips that are done in all columns before the next ones: all, or as many as are packed together."""
        if not self.product.packs_a:
            return self.strip_count
        most = max(1, _BLOCK_OF_A // (self.depth * self.strip * self.product.dtype.itemsize))
        return -(-self.strip_count // -(-self.strip_count // most))

    @cached_property
    def panel_block(self) -> int:
        """Panels that are done together, strip by strip: a block of B stays in the second-level cache meanwhile.

        Only one where B is read faster so: a panel that has just been packed, or that the first level keeps. But then
        it is A that comes from the second level, again for each panel, so its part has to be small enough.
        """
        size = self.depth * self.product.dtype.itemsize
        rows = min(self.product.rows, self.strip_block * self.strip)
        if rows * size <= (_BLOCK_OF_A if self.width * size <= _PANEL else _SMALL_BLOCK_OF_A):
            return 1
        # B in rows is better read in long ones; one that has to be turned over gains nothing, and cools down.
        block = _BLOCK_OF_B // 2 if self.product.transpose_b else _BLOCK_OF_B
        most = max(1, block // (self.width * size))
        return -(-self.panel_count // -(-self.panel_count // most))

    @property
    def packs_b(self) -> bool:
        """Whether B is rearranged: it must be where its columns lie along memory, and it pays where B is large.

        Where panels are narrow, each row of one is a single cache line far from the next, and it pays sooner.
        """
        product, size = self.product, self.product.bytes_of(self.product.columns)
        is_narrow = self.width * product.dtype.itemsize <= _NARROW and product.rows >= 2 * _REUSED
        return product.transpose_b or (product.rows >= _REUSED and size >= (_LARGE if is_narrow else _HUGE))

    @property
    def room(self) -> int:
        """k for which there is room in a packed strip or panel: both are filled in blocks as deep as a vector."""
        return _rounded_up(self.depth, self.vectors.lanes)

    @property
    def scratch_a(self) -> int:
        return self.strip_block * self.strip * self.room if self.product.packs_a else 0

    @property
    def scratch(self) -> int:
        """Entries of scratch that the product needs."""
        return self.scratch_a + (self.panel_block * self.room * self.width if self.packs_b else 0)

    @property
    def cost(self) -> float:
        """Cycles for one k over all of C: two fused multiply-adds or two loads a cycle, whichever is more.

        A part of the loads is counted on top, because vectors of B come from the second-level cache.
        """
        total = 0.0
        for height, strips in self.strips:
            for width, panels in self.panels:
                vectors = -(-width // self.vectors.lanes)
                busy = max(height * vectors / 2, (height + vectors) / 2, _LATENCY)
                total += strips * panels * (busy + _LOAD * (height / 2 + vectors))
        return total


_LOAD = 0.2
_LATENCY = 4.0  # a fused multiply-add's result is ready after four cycles: fewer than eight in flight wait for it


@cache
def choose_tiling(product: Product, vectors: Vectors) -> Tiling:
    """The tile with the fewest cycles whose accumulators, B vectors and one spread number fit the registers.

    Of tiles that are as fast but for a hundredth, the one that needs the least code: each extent of strips and panels
    has its own, and writing it is most of what compiling costs.
    """
    widest = -(-product.columns // vectors.lanes)
    registers = vectors.registers - _spare(product, vectors)
    candidates = [
        Tiling(product, vectors, strip, panel)
        for panel in range(1, min(widest, vectors.registers - 2) + 1)
        for strip in range(1, min(product.rows, (registers - panel - 1) // panel) + 1)
        if not product.packs_a or _is_vector(strip, vectors)
    ]
    fast = 1.01 * min(tiling.cost for tiling in candidates)
    return min(
        [tiling for tiling in candidates if tiling.cost <= fast],
        key=lambda tiling: (len(tiling.strips) * len(tiling.panels), tiling.cost),
    )


@dataclass(frozen=True)
class Grid:
    """The pieces that threads claim: of strips, of panels, or of both."""

    strips: Pieces
    panels: Pieces

    @property
    def count(self) -> int:
        return self.strips.count * self.panels.count


def choose_grid(tiling: Tiling, wanted: int) -> Grid:
    """About so many pieces. What a piece packs it packs for itself, so an operand that is packed is not shared.

    A packed B is cut by panels, a packed A by strips. Where both are packed, the longer side is cut, and only coarsely,
    since each piece packs the other operand again. A packed B is cut by strips, too: coarsely where panels are few, and
    where there are very many rows.
    Of the panels that are done together a piece has a quarter at least, because it goes through all of A for them.
    """
    product, strips, panels = tiling.product, tiling.strip_count, -(-tiling.panel_count // -(-tiling.panel_block // 4))
    by_rows, by_columns = (even(extent // _COARSE) for extent in (product.rows, product.columns))
    if tiling.packs_b and product.packs_a:
        is_tall = product.rows >= product.columns
        by_strips, by_panels = (min(strips, wanted, by_rows), 1) if is_tall else (1, min(panels, wanted, by_columns))
    elif tiling.packs_b:
        by_panels = min(panels, wanted)
        missing = min(by_rows, -(-min(wanted, _FEW) // by_panels))
        by_strips = min(strips, max(missing, min(even(product.rows // _VERY_COARSE), -(-wanted // by_panels))))
    else:
        by_strips = min(strips, wanted)
        by_panels = 1 if product.packs_a else min(panels, -(-wanted // by_strips))
    return Grid(cut(strips, by_strips), cut(tiling.panel_count, by_panels))


# Rows: an operand that is packed again for each so many costs a tenth, and a fortieth.
_COARSE, _VERY_COARSE = 128, 512
_FEW = 8  # pieces: so many end at nearly the same time


def _spare(product: Product, vectors: Vectors) -> int:
    """Registers in which LLVM keeps what turning blocks over needs, rather than the tile, if it can choose."""
    is_packed = product.packs_a or product.transpose_b or product.bytes_of(product.columns) >= _HUGE
    return 2 if vectors.registers >= 32 and is_packed else 0


def _is_vector(strip: int, vectors: Vectors) -> bool:
    """Whether the rows of a strip can be moved together."""
    return strip <= vectors.lanes and vectors.lanes % strip == 0


def _rounded_up(extent: int, to: int) -> int:
    return -(-extent // to) * to
