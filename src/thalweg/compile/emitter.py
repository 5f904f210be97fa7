"""The words in which kernels are written: typed values of one or many lanes, loops, loads and stores, as LLVM text.

In: calls such as `e.add(a, b)` from a record's emission, and loops from a kernel form. Out: the text of one LLVM
function. Values know their dtype and lanes, so a record says neither whether an addition is of integers or of floats
nor how wide the vectors are; where operands differ in lanes, the single number is spread over the vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from thalweg.compile.indices import Indices
from thalweg.compile.mathematics import DIVISIONS, DOUBLE_FUNCTIONS, FUNCTIONS, INTEGER_FUNCTIONS, random_words
from thalweg.compile.values import (
    Counting,
    Index,
    NotEmittable,
    Value,
    Word,
    conversion,
    literal,
    mangled,
    memory_type,
    register_type,
)
from thalweg.dtype import DType, as_dtype, bool_, float32, int32, int64, uint8
from thalweg.graph import Shape

_SUFFIX = {"float32": "f", "float64": ""}
_INTRINSICS = {"exp": "exp", "log": "log", "sqrt": "sqrt", "sin": "sin", "cos": "cos", "pow": "pow", "fabs": "fabs",
               "floor": "floor", "ceil": "ceil", "round": "rint", "trunc": "trunc"}  # fmt: skip
_LIBRARY = {"tanh": "tanh", "erf": "erf", "expm1": "expm1", "log1p": "log1p", "arctan": "atan"}
_FLOAT_COMPARISON = {"equal": "oeq", "not_equal": "une", "less": "olt", "less_equal": "ole"}
_INTEGER_COMPARISON = {"equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "below": "ult"}
_BITWISE = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}


class Emitter(Indices):
    """Builds the body of one function."""

    def __init__(self) -> None:
        super().__init__()
        self.active: Value | None = None  # the lanes that hold entries at all, at the edge of an axis

    # --- lanes -------------------------------------------------------------------------------------------------------

    def spread(self, x: Value, lanes: int) -> Value:
        """The single number `x` in every lane."""
        if x.lanes == lanes:
            return x
        if not x.name.startswith("%"):
            return Value(f"splat ({self._typed(x)})", x.dtype, lanes)
        kind = register_type(x.dtype, lanes)
        first = self.emit(x.dtype, f"insertelement {kind} poison, {self._typed(x)}, i64 0", lanes)
        return self.emit(
            x.dtype, f"shufflevector {kind} {first.name}, {kind} poison, <{lanes} x i32> zeroinitializer", lanes
        )

    def _meet(self, *x: Value) -> list[Value]:
        lanes = max(each.lanes for each in x)
        return [self.spread(each, lanes) for each in x]

    def lane(self, x: Value, index: int) -> Value:
        """The number in one lane."""
        return x if x.lanes == 1 else self.emit(x.dtype, f"extractelement {self._typed(x)}, i64 {index}")

    def from_lanes(self, values: Sequence[Value]) -> Value:
        """A vector of single numbers."""
        result = Value("poison", values[0].dtype, len(values))
        for index, value in enumerate(values):
            text = f"insertelement {self._typed(result)}, {self._typed(value)}, i64 {index}"
            result = self.emit(value.dtype, text, len(values))
        return result

    def steps(self, start: Value, lanes: int, by: int = 1) -> Value:
        """start, start + by, ... in the lanes."""
        if lanes == 1:
            return start
        counts = ", ".join(f"i64 {by * index}" for index in range(lanes))
        return self.add(start, Value(f"<{counts}>", int64, lanes))

    def run_of(self, place: Value) -> tuple[Value, int]:
        """(first, how many) where the places are neighbours that begin at a multiple of their number; else (place, 1).

        Bits of such places above the run's own are the same in every lane, so they can be computed once.
        """
        is_run = isinstance(place, Counting) and place.step == 1 and self.multiple_of(place.start) % place.lanes == 0
        return (place.start, place.lanes) if is_run else (place, 1)  # type: ignore[attr-defined]

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """The columns of a square block held as one vector a row: log2(lanes) rounds that swap ever larger blocks."""
        vectors, lanes, distance = list(rows), len(rows), 1
        while distance < lanes:
            low = [i if not i & distance else lanes + i - distance for i in range(lanes)]
            high = [i + distance if not i & distance else lanes + i for i in range(lanes)]
            for i in range(lanes):
                if not i & distance:
                    a, b = vectors[i], vectors[i + distance]
                    vectors[i], vectors[i + distance] = self._shuffle(a, b, low), self._shuffle(a, b, high)
            distance *= 2
        return vectors

    def _shuffle(self, a: Value, b: Value, picks: Sequence[int]) -> Value:
        mask = ", ".join(f"i32 {pick}" for pick in picks)
        text = f"shufflevector {self._typed(a)}, {self._typed(b)}, <{len(picks)} x i32> <{mask}>"
        return self.emit(a.dtype, text, len(picks))

    def piece(self) -> Value:
        """Which piece of the kernel is to be computed."""
        return Value("%piece", int64)

    def is_whole(self) -> Value:
        """Whether all of the kernel is: a single thread has no use for pieces, and some would pack an operand again."""
        return self.once("whole", lambda: self.compare("less", self.piece(), literal(0, int64)))

    def first_lanes(self, count: int, lanes: int) -> Value | None:
        """The mask of the first `count` lanes; None where that is all of them."""
        if count >= lanes:
            return None
        bits = ", ".join(f"i1 {'true' if lane < count else 'false'}" for lane in range(lanes))
        return Value(f"<{bits}>", bool_, lanes)

    def combine_lanes(self, x: Value, combine: Callable[[Value, Value], Value]) -> Value:
        """All lanes combined into one number, in halves: a fixed order."""
        while x.lanes > 2:
            half = x.lanes // 2
            x = combine(self._shuffle(x, x, range(half)), self._shuffle(x, x, range(half, 2 * half)))
        return x if x.lanes == 1 else combine(self.lane(x, 0), self.lane(x, 1))

    # --- arithmetic --------------------------------------------------------------------------------------------------

    def _binary(self, instruction: str, a: Value, b: Value) -> Value:
        if a.lanes != b.lanes:
            a, b = self._meet(a, b)
        if a.dtype is not int64 or a.lanes > 1:
            return self.emit(a.dtype, f"{instruction} {self._typed(a)}, {b.name}", a.lanes)
        return self.of_indices(instruction, a, b)

    def add(self, a: Value, b: Value) -> Value:
        if isinstance(a, Counting) or isinstance(b, Counting):
            return self._count_on(a, b, 1)
        if a.dtype is int64 and (self._is(a, "0") or self._is(b, "0")):
            return b if self._is(a, "0") else a
        if a.dtype is bool_:
            return self._binary("or", a, b)
        return self._binary("fadd" if a.dtype.is_floating_point else "add", a, b)

    def subtract(self, a: Value, b: Value) -> Value:
        if isinstance(a, Counting) or isinstance(b, Counting):
            return self._count_on(a, b, -1)
        return self._binary("fsub" if a.dtype.is_floating_point else "sub", a, b)

    def multiply(self, a: Value, b: Value) -> Value:
        if a.dtype is int64 and (self._is(a, "0") or self._is(b, "0")):
            return literal(0, int64)
        if a.dtype is int64 and (self._is(a, "1") or self._is(b, "1")):
            return b if self._is(a, "1") else a
        if isinstance(a, Counting) and b.lanes == 1 and not isinstance(b, Index) and b.name.isdecimal():
            return Counting(self, self.multiply(a.start, b), a.step * int(b.name), a.lanes)
        if a.dtype is bool_:
            return self._binary("and", a, b)
        return self._binary("fmul" if a.dtype.is_floating_point else "mul", a, b)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """a b + c, in one rounding for floats."""
        if not a.dtype.is_floating_point:
            return self.add(self.multiply(a, b), c)
        return self._intrinsic("fma", a, b, c)

    def divide(self, a: Value, b: Value) -> Value:
        return self._binary("fdiv", a, b)

    def negative(self, x: Value) -> Value:
        if x.dtype.is_floating_point:
            return self.emit(x.dtype, f"fneg {self._typed(x)}", x.lanes)
        return self.subtract(literal(0, x.dtype), x)

    def maximum(self, a: Value, b: Value) -> Value:
        return self._extreme("max", a, b)

    def minimum(self, a: Value, b: Value) -> Value:
        return self._extreme("min", a, b)

    def _count_on(self, a: Value, b: Value, sign: int) -> Value:
        """a + sign b, where at least one counts along the lanes."""
        lanes = max(a.lanes, b.lanes)
        starts = [x.start if isinstance(x, Counting) else x for x in (a, b)]
        if any(x.lanes > 1 for x in starts):
            return self._binary("add" if sign > 0 else "sub", a, b)
        steps = [x.step if isinstance(x, Counting) else 0 for x in (a, b)]
        start = self.add(*starts) if sign > 0 else self.subtract(*starts)
        return Counting(self, start, steps[0] + sign * steps[1], lanes)

    def _extreme(self, which: str, a: Value, b: Value) -> Value:
        if a.dtype is bool_:
            return self._binary("or" if which == "max" else "and", a, b)
        if a.dtype.is_floating_point:
            return self._extreme_float("ogt" if which == "max" else "olt", a, b)
        return self._intrinsic(("u" if a.dtype is uint8 else "s") + which, a, b)

    def _extreme_float(self, wins: str, a: Value, b: Value) -> Value:
        """NaN wins, as in NumPy; of two zeros the second, whatever its sign. LLVM's `maximum` would order zeros too,
        in seven instructions; this is one for the choice, which takes `b` where either is NaN, and two for a NaN `a`.
        """
        a, b = self._meet(a, b)
        is_first = self.emit(bool_, f"fcmp {wins} {self._typed(a)}, {b.name}", a.lanes)
        return self.select(self.compare("not_equal", a, a), a, self.select(is_first, a, b))

    def binary(self, instruction: str, a: Value, b: Value) -> Value:
        """An instruction of LLVM that has no word of its own here."""
        return self._binary(instruction, a, b)

    def copysign(self, size: Value, sign: Value) -> Value:
        return self._intrinsic("copysign", size, sign)

    def sign(self, x: Value) -> Value:
        zero = literal(0, x.dtype)
        below = self.select(self.compare("less", x, zero), literal(-1, x.dtype), x)
        above = self.select(self.compare("less", zero, x), literal(1, x.dtype), below)
        return self.select(self.compare("equal", x, zero), zero, above)

    # --- mathematics -------------------------------------------------------------------------------------------------

    def call(self, name: str, *x: Value) -> Value:
        """A function of mathematics by its name: for float32 our own vector code, for float64 LLVM's or libm's."""
        if name == "fabs" and not x[0].dtype.is_floating_point:
            return x[0] if x[0].dtype is uint8 else self.maximum(x[0], self.negative(x[0]))
        if name in DIVISIONS:
            return DIVISIONS[name](self, *x)
        if not x[0].dtype.is_floating_point:
            if name in INTEGER_FUNCTIONS:
                return INTEGER_FUNCTIONS[name](self, *x)
            raise NotEmittable(f"{name} of {x[0].dtype.name}")
        if x[0].dtype is float32 and name in FUNCTIONS:
            return FUNCTIONS[name](self, *x)
        if name in _INTRINSICS:
            return self._intrinsic(_INTRINSICS[name], *x)
        if name in _LIBRARY:
            return self._library(_LIBRARY[name], *x)
        if name in DOUBLE_FUNCTIONS:
            return DOUBLE_FUNCTIONS[name](self, *x)
        raise NotEmittable(name)

    def random_words(self, place: Value, key: Any) -> Value:
        """The random bits of the entries at the places of all lanes, 32 each."""
        return random_words(self, place, key)

    def _intrinsic(self, name: str, *x: Value) -> Value:
        x = tuple(self._meet(*x))
        dtype, lanes = x[0].dtype, x[0].lanes
        bits = f"f{dtype.itemsize * 8}" if dtype.is_floating_point else f"i{dtype.itemsize * 8}"
        return self._function(f"llvm.{name}.{bits if lanes == 1 else f'v{lanes}{bits}'}", *x)

    def _library(self, name: str, *x: Value) -> Value:
        """A function of the C library, lane by lane."""
        x = tuple(self._meet(*x))
        name += _SUFFIX[x[0].dtype.name]
        if x[0].lanes == 1:
            return self._function(name, *x)
        return self.from_lanes([self._function(name, *[self.lane(v, i) for v in x]) for i in range(x[0].lanes)])

    def _function(self, name: str, *x: Value) -> Value:
        kind = register_type(x[0].dtype, x[0].lanes)
        self.declarations.add(f"declare {kind} @{name}({', '.join([kind] * len(x))})")
        return self.emit(x[0].dtype, f"call {kind} @{name}({', '.join(map(self._typed, x))})", x[0].lanes)

    # --- comparison, choice, conversion ------------------------------------------------------------------------------

    def compare(self, name: str, a: Value, b: Value) -> Value:
        a, b = self._meet(a, b)
        if a.dtype.is_floating_point:
            return self.emit(bool_, f"fcmp {_FLOAT_COMPARISON[name]} {self._typed(a)}, {b.name}", a.lanes)
        predicate = _INTEGER_COMPARISON[name]
        if name.startswith("less"):
            predicate = ("u" if a.dtype in (bool_, uint8) else "s") + predicate
        return self.emit(bool_, f"icmp {predicate} {self._typed(a)}, {b.name}", a.lanes)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        condition, yes, no = self._meet(condition, yes, no)
        text = f"select {self._typed(condition)}, {self._typed(yes)}, {self._typed(no)}"
        return self.emit(yes.dtype, text, yes.lanes)

    def bitwise(self, name: str, a: Value, b: Value) -> Value:
        return self._binary(_BITWISE[name], a, b)

    def invert(self, x: Value) -> Value:
        return self._binary("xor", x, Value("true" if x.dtype is bool_ else "-1", x.dtype))

    def shift_right(self, x: Value, by: int) -> Value:
        return self._binary("lshr", x, literal(by, x.dtype))

    def shift_left(self, x: Value, by: int) -> Value:
        return self._binary("shl", x, literal(by, x.dtype))

    def bits(self, x: Value, dtype: DType) -> Value:
        """The same bits read as another dtype; as more lanes where it is smaller."""
        lanes = x.lanes * x.dtype.itemsize // dtype.itemsize
        return self.emit(dtype, f"bitcast {self._typed(x)} to {register_type(dtype, lanes)}", lanes)

    def low_halves(self, a: Value, b: Value) -> Value:
        """The lower 32 bits of a0, b0, a1, b1, ... of two vectors of int64."""
        count = 2 * a.lanes
        picks = [place + offset for place in range(0, count, 2) for offset in (0, count)]
        return self._shuffle(self.bits(a, int32), self.bits(b, int32), picks)

    def cast(self, x: Value, dtype: DType | str) -> Value:
        to = as_dtype(dtype)
        if to is x.dtype:
            return x
        if isinstance(x, Counting) and to is int32:
            counts = ", ".join(f"i32 {lane * x.step}" for lane in range(x.lanes))
            return self.add(self.cast(x.start, to), Value(f"<{counts}>", to, x.lanes))
        if isinstance(x, Word) and (to is int32 or to.is_floating_point):
            return x.held if to is int32 else self._converted("uitofp" if x.bits == 32 else "sitofp", x.held, to)
        if to is bool_:
            return self.compare("not_equal", x, literal(0, x.dtype))
        if to is uint8 and x.dtype.is_floating_point:
            x = self.cast(x, int32)  # negative numbers wrap, as in NumPy
        return self._converted(conversion(x.dtype, to), x, to)

    def _converted(self, instruction: str, x: Value, to: DType) -> Value:
        return self.emit(to, f"{instruction} {self._typed(x)} to {register_type(to, x.lanes)}", x.lanes)

    def widened(self, x: Value) -> Value:
        """32 bits as an int64 that is not negative."""
        return self._converted("zext", x, int64)

    def any_lane(self, x: Value) -> Value:
        """Whether the condition holds in some lane."""
        if x.lanes == 1:
            return x
        name = f"llvm.vector.reduce.or.v{x.lanes}i1"
        self.declarations.add(f"declare i1 @{name}(<{x.lanes} x i1>)")
        return self.emit(bool_, f"call i1 @{name}({self._typed(x)})")

    def is_number(self, x: Value, value: float) -> bool:
        """Whether `x` is known to be this number when the code is written."""
        name = literal(value, x.dtype).name
        return x.name in (name, f"splat ({register_type(x.dtype)} {name})")

    # --- integer help for index maps ---------------------------------------------------------------------------------

    def integer(self, value: int) -> Value:
        return literal(value, int64)

    def boolean(self, value: bool) -> Value:
        return literal(value, bool_)

    def number(self, value: float, dtype: DType) -> Value:
        return literal(value, dtype)

    def read(self, variable: str, dtype: DType) -> Value:
        """The value of a local variable."""
        return self.load(variable, self.integer(0), dtype)

    def write(self, variable: str, value: Value) -> None:
        self.store(variable, self.integer(0), value)

    def quotient(self, x: Value, by: int) -> Value:
        """x div by, for a non-negative x."""
        return self._binary("udiv", x, self.integer(by))

    def modulo(self, x: Value, by: int) -> Value:
        return self._binary("urem", x, self.integer(by))

    def linear(self, index: Sequence[Value], shape: Shape) -> Value:
        """The row-major place of an index."""
        place = self.integer(0)
        for each, extent in zip(index, shape, strict=True):
            if extent == 1:
                continue
            place = each if self._is(place, "0") else self.add(self.multiply(place, self.integer(extent)), each)
        return place

    def delinear(self, place: Value, shape: Shape) -> list[Value]:
        """The index of a row-major place."""
        index: list[Value] = [self.integer(0)] * len(shape)
        axes = [axis for axis, extent in enumerate(shape) if extent != 1]
        for axis in reversed(axes[1:]):
            index[axis] = self.modulo(place, shape[axis])
            place = self.quotient(place, shape[axis])
        if axes:  # what is left is below the outermost extent
            index[axes[0]] = place
        return index

    # --- memory and control ------------------------------------------------------------------------------------------

    def load(self, pointer: str, place: Value, dtype: DType, lanes: int = 1, mask: Value | None = None) -> Value:
        """`lanes` neighbouring entries from `place` on; where the mask is off nothing is read and the lane is 0."""
        address, kind = self._address(pointer, place, dtype), memory_type(dtype, lanes)
        if mask is None:
            text = f"load {kind}, ptr {address}, align {dtype.itemsize}"
        else:
            name = f"llvm.masked.load.v{lanes}{mangled(dtype)}.p0"
            self.declarations.add(f"declare {kind} @{name}(ptr, i32, <{lanes} x i1>, {kind})")
            text = (
                f"call {kind} @{name}(ptr {address}, i32 {dtype.itemsize}, {self._typed(mask)}, {kind} zeroinitializer)"
            )
        if dtype is bool_:
            return self.compare("not_equal", self.emit(uint8, text, lanes), literal(0, uint8))
        return self.emit(dtype, text, lanes)

    def store(self, pointer: str, place: Value, value: Value, mask: Value | None = None) -> None:
        dtype, lanes = value.dtype, value.lanes
        if dtype is bool_:
            text = f"zext {self._typed(value)} to {register_type(uint8, lanes)}"
            value = self.emit(uint8, text, lanes)
        address, kind = self._address(pointer, place, dtype), memory_type(dtype, lanes)
        if mask is None:
            self.lines.append(f"  store {kind} {value.name}, ptr {address}, align {dtype.itemsize}")
            return
        name = f"llvm.masked.store.v{lanes}{mangled(dtype)}.p0"
        self.declarations.add(f"declare void @{name}({kind}, ptr, i32, <{lanes} x i1>)")
        self.lines.append(
            f"  call void @{name}({kind} {value.name}, ptr {address}, i32 {dtype.itemsize}, {self._typed(mask)})"
        )

    def record_any(self, bad: Value, value: Value, place: Value) -> None:
        """Note in the status word that some lane holds a position out of range."""
        if self.active is not None and bad.lanes > 1:
            bad = self.bitwise("bitwise_and", bad, self.active)
        with self.when(self.any_lane(bad)):
            first = place.start if isinstance(place, Counting) else self.lane(place, 0)
            self.record(first, self.lane(value, 0))

    def clamped(self, value: Value, extent: int, place: Value) -> Value:
        """A position read from data at `place`: 0 where it is out of range, and then recorded in the status word.

        Positions that count (`arange`) are seen to fit when the code is written.
        """
        value = self.cast(value, int64)
        bounds = self.bounds_of(value)
        if bounds is not None and bounds[0] >= 0 and bounds[1] < extent:
            return value
        fits = self.compare("below", value, self.integer(extent))
        self.record_any(self.invert(fits), value, place)
        return self.select(fits, value, self.integer(0))

    def record(self, place: Value, value: Value) -> None:
        """Note in the status word that the position `value`, read at `place`, is out of range."""
        self.lines.append(f"  call void @record(ptr %status, i64 %kernel, i64 {place.name}, i64 {value.name})")

    def load_at(self, pointer: str, place: Value, dtype: DType, mask: Value | None = None) -> Value:
        """The entries at the places of all lanes."""
        if not isinstance(place, Counting):
            return self.load(pointer, place, dtype) if place.lanes == 1 else self._gather(pointer, place, dtype, mask)
        if place.step == 0:
            return self.load(pointer, place.start, dtype)
        if place.step == 1:
            return self.load(pointer, place.start, dtype, place.lanes, mask)
        return self._gather(pointer, place, dtype, mask)

    def _gather(self, pointer: str, place: Value, dtype: DType, mask: Value | None) -> Value:
        lanes = place.lanes
        base, kind = memory_type(dtype), memory_type(dtype, lanes)
        if isinstance(place, Counting) and place.start.lanes == 1:
            pointer, place = self._address(pointer, place.start, dtype), self._counts(place)
        addresses = self.fresh()
        self.lines.append(f"  {addresses} = getelementptr {base}, ptr {pointer}, {self._typed(place)}")
        name = f"llvm.masked.gather.v{lanes}{mangled(dtype)}.v{lanes}p0"
        self.declarations.add(f"declare {kind} @{name}(<{lanes} x ptr>, i32, <{lanes} x i1>, {kind})")
        on = mask or Value("splat (i1 true)", bool_, lanes)
        text = (
            f"call {kind} @{name}(<{lanes} x ptr> {addresses}, i32 {dtype.itemsize}, {self._typed(on)}, "
            f"{kind} zeroinitializer)"
        )
        if dtype is bool_:
            return self.compare("not_equal", self.emit(uint8, text, lanes), literal(0, uint8))
        return self.emit(dtype, text, lanes)

    @staticmethod
    def _counts(place: Counting) -> Value:
        """How far each lane is from the first."""
        counts = ", ".join(f"i64 {lane * place.step}" for lane in range(place.lanes))
        return Value(f"<{counts}>", int64, place.lanes)

    def prefetch(self, pointer: str, place: Value, dtype: DType) -> None:
        """Have the cache line of an entry fetched; it need not exist."""
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        address = self._address(pointer, place, dtype)
        self.lines.append(f"  call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 3, i32 1)")

    def advance(self, pointer: str, entries: Value, dtype: DType) -> str:
        """The pointer moved on by a number of entries."""
        return pointer if self._is(entries, "0") else self._address(pointer, entries, dtype)

    def _address(self, pointer: str, place: Value, dtype: DType) -> str:
        """Neighbours are an address that they share, and a number."""
        (terms, number), kind = self._terms_of(place), memory_type(dtype)
        if terms:
            where = self._index(terms, 0)
            pointer = self.shared(("at", pointer, kind, terms), lambda: self._moved(kind, pointer, where))
        return self._moved(kind, pointer, literal(number, int64)) if number else pointer

    def _moved(self, kind: str, pointer: str, by: Value) -> str:
        where, address = by.name, self.fresh()
        self.lines.append(f"  {address} = getelementptr {kind}, ptr {pointer}, i64 {where}")
        return address

    def rarely(self, condition: Value, usual: Value, unusual: Callable[[], Value]) -> Value:
        """`unusual()` in the lanes where the condition holds; jumped over where it holds in none."""
        before, held = self._block, self.any_lane(condition)
        self._count += 1
        tag = self._count
        self.lines.append(f"  br i1 {held.name}, label %rare{tag}, label %met{tag}")
        self.label(f"rare{tag}")
        with self._inside():
            chosen, after = self.select(condition, unusual(), usual), self._block
        self.jump(f"met{tag}")
        self.label(f"met{tag}")
        kind = register_type(usual.dtype, chosen.lanes)
        return self.emit(usual.dtype, f"phi {kind} [{usual.name}, %{before}], [{chosen.name}, %{after}]", chosen.lanes)

    def clear(self, pointer: str, entries: int, dtype: DType) -> None:
        """Zeros in a whole buffer."""
        self.lines.append(
            f"  call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {entries * dtype.itemsize}, i1 false)"
        )

    def copy(self, pointer: str, source: str, entries: int, dtype: DType) -> None:
        """A whole buffer from another; nothing where they are the same, as those of a cell updated in place."""
        same, size = self.fresh(), self.fresh()
        self.lines.append(f"  {same} = icmp eq ptr {pointer}, {source}")
        self.lines.append(f"  {size} = select i1 {same}, i64 0, i64 {entries * dtype.itemsize}")
        self.lines.append(f"  call void @llvm.memcpy.p0.p0.i64(ptr {pointer}, ptr {source}, i64 {size}, i1 false)")

    def room(self, dtype: DType, entries: int) -> str:
        """Local memory, from the start of a cache line on."""
        name = self.fresh()
        self.variables.append(f"  {name} = alloca [{entries} x {memory_type(dtype)}], align 64")
        return name

    def variable(self, dtype: DType, value: Value) -> str:
        """A local variable, which LLVM keeps in a register."""
        name = self.fresh()
        self.variables.append(f"  {name} = alloca {memory_type(dtype)}")
        self.store(name, self.integer(0), value)
        return name
