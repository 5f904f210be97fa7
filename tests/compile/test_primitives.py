"""Every primitive compiled against its NumPy meaning, from its record: all dtypes, awkward shapes, two derivatives.

In: the records, their probes, and the list of stated fallbacks. Out: agreement in shape, dtype and value. A record that
is added is tested; one that runs on NumPy without standing in `tests/support/fallbacks.py` fails.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from tests.ops.test_contract import allows, special_points
from tests.support.compiled import AWKWARD, LANES, assert_compiled_equals_numpy, cotangents, run_both, with_gradients
from tests.support.fallbacks import PRIMITIVES as FALLBACKS
from tests.support.fallbacks import is_native
from tests.support.gradient_check import apply, is_index, sample
from tests.support.sweep import sweep, sweep_each
from thalweg import ops
from thalweg.compile.executable import Executable
from thalweg.compile.program import Program
from thalweg.dtype import ALL_DTYPES, INTEGER_DTYPES, DType, dtype_of_array, float32, float64, int64
from thalweg.errors import ThalwegError
from thalweg.graph import PRIMITIVES, Node, Primitive, make_input

RECORDS = [record for record in PRIMITIVES.values() if record.probes]
ELEMENTWISE = [record for record in RECORDS if record.kind == "elementwise"]
DIFFERENTIABLE = [record for record in RECORDS if record.chain_rule is not None]
SHAPES = [(), (1, 1), (3, 0, 2), (13, 5), (1, LANES + 1), (LANES - 1, 1), (3, 2 * LANES + 1), *[(n,) for n in AWKWARD]]
FLOATS = [float32, float64]
# Values whose float32 rounding is amplified by the operation itself, relative to the largest entry.
ROUGH = {"power": 1e-4, "divide": 1e-4, "log": 1e-4, "log1p": 1e-4}

every_dtype = pytest.mark.parametrize("dtype", ALL_DTYPES, ids=lambda dtype: dtype.name)
every_float = pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)


def named(records: list[Primitive]) -> Any:
    return pytest.mark.parametrize("record", records, ids=[record.name for record in records])


def swept(records: list[Primitive], dtypes: Sequence[DType], fraction: float, seed: int) -> Any:
    """Every record with some of the dtypes; with all of them in a full sweep."""
    pairs = sweep_each(records, dtypes, fraction=fraction, seed=seed)
    names = [f"{record.name}-{dtype.name}" for record, dtype in pairs]  # type: ignore[attr-defined]
    return pytest.mark.parametrize(("record", "dtype"), pairs, ids=names)


def generator_for(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


class Programs:
    """Many small programs collected into one, because compiling each by itself would take longer than running them."""

    def __init__(self) -> None:
        self.inputs: list[Node] = []
        self.outputs: list[Node] = []
        self.arrays: list[np.ndarray] = []
        self.names: list[str] = []

    def add(self, inputs: list[Node], outputs: list[Node], arrays: list[np.ndarray], names: list[str]) -> None:
        self.inputs += inputs
        self.outputs += outputs
        self.arrays += [np.asarray(array) for array in arrays]
        self.names += names

    def check(self, **options: Any) -> None:
        if self.outputs:
            assert_compiled_equals_numpy(self.inputs, self.outputs, self.arrays, what=self.names, **options)


# --- what is native --------------------------------------------------------------------------------------------------


@named(RECORDS)
def test_what_is_native_is_what_is_stated(record: Primitive) -> None:
    for dtype in ALL_DTYPES:
        found = set()
        for probe in record.probes:
            if allows(record, probe, dtype):
                inputs, outputs = apply(record, probe, sample(record, probe, generator_for(record.name), dtype))
                found.add(Executable(Program(tuple(inputs), tuple(outputs))).is_native)
        assert found <= {is_native(record.name, dtype.name)}, (record.name, dtype.name)


def test_every_stated_fallback_is_a_primitive() -> None:
    assert set(FALLBACKS) <= set(PRIMITIVES)


# --- values ----------------------------------------------------------------------------------------------------------


@swept(RECORDS, ALL_DTYPES, 0.3, seed=1)
def test_compiled_equals_numpy_at_every_probe(record: Primitive, dtype: DType) -> None:
    programs = Programs()
    for number, probe in enumerate(record.probes):
        if allows(record, probe, dtype):
            arrays = sample(record, probe, generator_for(record.name, number), dtype)
            programs.add(*apply(record, probe, arrays), arrays, [f"probe {number}"])
    programs.check(is_native=is_native(record.name, dtype.name))


@swept(ELEMENTWISE, ALL_DTYPES, 0.3, seed=2)
def test_elementwise_records_agree_in_every_shape(record: Primitive, dtype: DType) -> None:
    probe, programs, generator = record.probes[0], Programs(), generator_for(record.name, dtype.name)
    if not allows(record, probe, dtype):
        return
    for shape in SHAPES:
        pools = sample(record, probe, generator, dtype)
        arrays = [np.asarray(generator.choice(pool.reshape(-1), shape)).astype(pool.dtype) for pool in pools]
        programs.add(*apply(record, probe, arrays), arrays, [str(shape)])
    programs.check(is_native=is_native(record.name, dtype.name), tolerance=2e-6 if dtype is float32 else None)


@swept(
    [record for record in RECORDS if record.kind == "index" and record.name != "argsort"], INTEGER_DTYPES, 0.3, seed=3
)
def test_positions_of_every_integer_dtype_agree(record: Primitive, dtype: DType) -> None:
    programs = Programs()
    for number, probe in enumerate(record.probes):
        arrays = [
            np.asarray(x).astype(dtype.numpy) if is_index(record, probe, position) else x
            for position, x in enumerate(sample(record, probe, generator_for(record.name, number)))
        ]
        programs.add(*apply(record, probe, arrays), arrays, [f"probe {number}"])
    programs.check()


@every_float
@named([record for record in ELEMENTWISE if record.probes[0].also])
def test_special_values_agree_in_the_lanes_and_in_the_rest(record: Primitive, dtype: DType) -> None:
    probe, programs = record.probes[0], Programs()
    if not allows(record, probe, dtype):
        return
    points = special_points(record, probe, dtype)
    for copies in (1, LANES):
        arrays = [np.repeat(point, copies) for point in points]
        programs.add(*apply(record, probe, arrays), arrays, [f"{copies} copies"])
    programs.check(is_native=is_native(record.name, dtype.name))


# --- derivatives -----------------------------------------------------------------------------------------------------


@swept(DIFFERENTIABLE, FLOATS, 0.5, seed=4)
def test_first_and_second_derivatives_agree(record: Primitive, dtype: DType) -> None:
    programs = Programs()
    for number, probe in enumerate(record.probes):
        if not allows(record, probe, dtype):
            continue
        generator = generator_for(record.name, number)
        arrays = sample(record, probe, generator, dtype)
        inputs, outputs = apply(record, probe, arrays)
        targets = [node for position, node in enumerate(inputs) if position not in probe.integers]
        seeds, found, names = with_gradients(outputs, targets)
        fed = [*arrays, *cotangents(seeds, generator)]
        programs.add([*inputs, *seeds], found, fed, [f"probe {number}: {name}" for name in names])
    expected = is_native(record.name, dtype.name)
    programs.check(is_native=expected, tolerance=ROUGH.get(record.name, 1e-5) if dtype is float32 else 1e-12)


@every_float
@named([record for record in ELEMENTWISE if record.chain_rule is not None and record.probes[0].also])
@pytest.mark.parametrize("is_zero", [True, False], ids=["zero cotangent", "any cotangent"])
def test_derivatives_at_special_values_agree(record: Primitive, dtype: DType, is_zero: bool) -> None:
    probe = record.probes[0]
    if not allows(record, probe, dtype):
        return
    points = special_points(record, probe, dtype)
    inputs, outputs = apply(record, probe, points)
    seeds, found, names = with_gradients(outputs, inputs, order=1)
    fed = [np.full(node.shape, 0 if is_zero else 1, node.dtype.numpy) for node in seeds]
    compiled, meant = run_both([*inputs, *seeds], found, [*points, *fed], is_native(record.name, dtype.name))
    for name, a, b in zip(names, compiled, meant, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4 if dtype is float32 else 1e-12, atol=1e-37, err_msg=name)
        if is_zero and name != "value":
            np.testing.assert_array_equal(a, 0, err_msg=name)


# --- reductions, movements and products in awkward shapes ------------------------------------------------------------


def axes_of(rank: int) -> list[tuple[int, ...]]:
    return [axes for count in range(rank + 1) for axes in itertools.combinations(range(rank), count)]


REDUCED = [(), *[(n,) for n in AWKWARD], (1, 1), (7, LANES + 1), (LANES + 1, 7), (3, 0), (2, 3, LANES - 1), (5, 1, 3)]


@swept(
    [record for record in RECORDS if record.kind == "reduce" and "axes" in record.probes[0].attributes],
    ALL_DTYPES,
    0.3,
    5,
)
def test_reductions_agree_over_any_axes(record: Primitive, dtype: DType) -> None:
    programs, generator = Programs(), generator_for(record.name, dtype.name)
    for shape in REDUCED:
        for axes in axes_of(len(shape)):
            try:
                inputs = [make_input(shape, dtype)]
                outputs = [record(*inputs, axes=axes)]
            except ThalwegError:
                continue  # an extreme of nothing, or a dtype that is not taken
            high = 2 if dtype.name == "bool" else 7
            arrays = [np.asarray(generator.integers(0, high, shape)).astype(dtype.numpy)]
            if dtype.is_floating_point:
                arrays = [np.asarray(generator.normal(size=shape)).astype(dtype.numpy)]
            programs.add(inputs, outputs, arrays, [f"{shape} over {axes}"])
    programs.check()


@swept([record for record in RECORDS if record.name in ("argmax", "argmin")], ALL_DTYPES, 0.3, seed=6)
def test_the_first_extreme_of_several_is_found(record: Primitive, dtype: DType) -> None:
    programs, generator = Programs(), generator_for(record.name)
    for shape, axis in ((s, axis) for s in REDUCED for axis in range(len(s)) if s[axis]):
        inputs = [make_input(shape, dtype)]
        try:
            outputs = [record(*inputs, axis=axis)]
        except ThalwegError:
            return
        arrays = [np.asarray(generator.integers(0, 3, shape)).astype(dtype.numpy)]
        if dtype.is_floating_point and arrays[0].size > 2:
            arrays[0].reshape(-1)[1] = np.nan
        programs.add(inputs, outputs, arrays, [f"{shape} along {axis}"])
    programs.check()


def movements(x: Node) -> Iterator[Node]:
    """Every movement of a node of two axes, each with several attributes."""
    rows, columns = x.shape
    yield ops.reshape(x, shape=(columns, 1, rows))
    yield ops.reshape(x, shape=(rows * columns,))
    yield ops.permute(x, order=(1, 0))
    yield ops.flip(x, axes=(0,))
    yield ops.flip(x, axes=(0, 1))
    yield ops.pad(x, low=(1, 0), high=(0, 2), interior=(0, 1), value=1)
    yield ops.pad(x, low=(0, 3), high=(2, 0), interior=(1, 0), value=0)
    yield ops.slice_(x, start=(0, 0), stop=(rows, columns), step=(2, 1))
    yield ops.slice_(x, start=(0, min(1, columns)), stop=(rows, columns), step=(1, 3))
    yield ops.slice_(x, start=(min(1, rows), 0), stop=(rows, max(0, columns - 1)), step=(1, 2))
    yield ops.contiguous(ops.permute(x, order=(1, 0)))
    yield ops.concatenate(x, x, axis=0)
    yield ops.concatenate(x, x, x, axis=1)
    if 1 in x.shape:
        yield ops.broadcast(x, shape=tuple(4 if extent == 1 else extent for extent in x.shape))


def test_every_movement_is_in_the_test_below() -> None:
    used = {node.op.name for node in movements(make_input((1, 3), float32))}
    assert used == {record.name for record in RECORDS if record.kind == "move"}


MOVED = [(1, 1), (1, LANES + 1), (LANES + 1, 1), (7, 13), (LANES, LANES), (3, LANES - 1), (0, 3), (2, 0)]


@pytest.mark.parametrize("dtype", sweep(ALL_DTYPES, seed=7, at_least=2), ids=lambda dtype: dtype.name)
def test_movements_and_chains_of_two_agree(dtype: DType) -> None:
    programs, generator = Programs(), generator_for("moves", dtype.name)
    for shape in sweep(MOVED, fraction=0.5, seed=11, at_least=5):
        x = make_input(shape, dtype)
        array = np.asarray(generator.integers(0, 2 if dtype.name == "bool" else 200, shape)).astype(dtype.numpy)
        once = list(movements(x))
        twice = [again for each in once if len(each.shape) == 2 for again in movements(each)]
        moved = [*once, *sweep(twice, fraction=0.2, seed=shape[0])]
        programs.add([x], moved, [array], [f"{shape} {node.op.name} {dict(node.attributes)}" for node in moved])
    programs.check()


PRODUCTS = [
    (m, k, n, flags)
    for m, k, n in itertools.product(AWKWARD, AWKWARD, AWKWARD)
    for flags in itertools.product((False, True), repeat=2)
]


@pytest.mark.parametrize("dtype", [float32, float64, int64], ids=lambda dtype: dtype.name)
def test_products_of_every_awkward_shape_agree(dtype: DType) -> None:
    generator = generator_for("products", dtype.name)
    chosen = sweep(PRODUCTS, fraction=0.03, seed=len(dtype.name))
    for part in range(0, len(chosen), 60):
        programs = Programs()
        for m, k, n, flags in chosen[part : part + 60]:
            shapes = [(k, m) if flags[0] else (m, k), (n, k) if flags[1] else (k, n)]
            arrays = [np.asarray(generator.integers(-9, 9, shape)).astype(dtype.numpy) for shape in shapes]
            inputs = [make_input(array.shape, dtype_of_array(array)) for array in arrays]
            product = ops.matmul(*inputs, transpose_a=flags[0], transpose_b=flags[1])
            programs.add(inputs, [product], arrays, [f"{m} x {k} x {n} {flags}"])
        programs.check(tolerance=0)  # whole numbers: every order of summation gives the same


BATCHES = [(1,), (3,), (0,), (2, 3)]


@every_float
def test_batched_products_and_their_gradients_agree(dtype: DType) -> None:
    programs, generator = Programs(), generator_for("batches", dtype.name)
    cases = itertools.product(BATCHES, [(1, 1, 1), (3, 5, 2), (LANES, 7, LANES + 1)], *[(False, True)] * 2)
    for batch, (m, k, n), flip_a, flip_b in sweep(list(cases), fraction=0.4, seed=4):
        shapes = [(*batch, k, m) if flip_a else (*batch, m, k), (*batch, n, k) if flip_b else (*batch, k, n)]
        inputs = [make_input(shape, dtype) for shape in shapes]
        seeds, found, names = with_gradients([ops.matmul(*inputs, transpose_a=flip_a, transpose_b=flip_b)], inputs)
        arrays = [generator.normal(size=shape).astype(dtype.numpy) for shape in shapes]
        fed = [*arrays, *cotangents(seeds, generator)]
        programs.add([*inputs, *seeds], found, fed, [f"{shapes} {flip_a} {flip_b} {name}" for name in names])
    programs.check()
