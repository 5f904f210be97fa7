"""Every primitive that has an emission gives, compiled, what its NumPy meaning gives.

In: the records and their probe points. Out: agreement in shape, dtype and value, special values included, and a list of
the primitives that have no emission yet, which must not grow by accident.
"""

from __future__ import annotations

import numpy as np
import pytest

from thalweg.compile import native
from thalweg.compile.codegen import assembly
from thalweg.compile.reference import evaluate
from thalweg.compile.target import host
from thalweg.dtype import ALL_DTYPES, DType, dtype_of_array, float32, float64, int64
from thalweg.errors import ThalwegError
from thalweg.graph import PRIMITIVES, Node, Primitive, Probe, constant, make_input
from thalweg.ops import add, broadcast, exp, gather, matmul, multiply, reshape, scatter_add, sum_

# Run by their NumPy meaning until the step compiler proper reaches them.
WITHOUT_EMISSION = {"argsort", "convolution", "cumsum", "scan", "output", "input", "constant"}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
RECORDS = [record for name, record in PRIMITIVES.items() if name not in WITHOUT_EMISSION]


def arrays_at(probe: Probe, dtype: DType, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    arrays = []
    for position, shape in enumerate(probe.shapes):
        if position in probe.fixed:
            array = np.asarray(probe.fixed[position])
            array = array.astype(dtype.numpy) if array.dtype.kind == "f" else array
        elif position in probe.integers:
            array = np.asarray(generator.integers(0, probe.integers[position], shape))
        else:
            array = np.asarray(generator.uniform(probe.low, probe.high, shape)).astype(dtype.numpy)
        arrays.append(array)
    return arrays


def compiled_and_meant(record: Primitive, arrays: list[np.ndarray], **attributes: object) -> tuple:
    inputs = [make_input(array.shape, dtype_of_array(array)) for array in arrays]
    result = record(*inputs, **attributes)
    program = native.build(inputs, [result])
    if program is None:
        return None, None
    return program(arrays)[0], evaluate([result], dict(zip(inputs, arrays, strict=True)))[0]


def assert_agree(compiled: np.ndarray, meant: np.ndarray) -> None:
    assert compiled.shape == meant.shape
    assert compiled.dtype == meant.dtype
    tolerance = TOLERANCE.get(meant.dtype.name, 0)
    np.testing.assert_allclose(compiled, meant, rtol=tolerance, atol=tolerance * 1e-2)


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_compiled_equals_the_numpy_meaning(record: Primitive, dtype: DType) -> None:
    for seed, probe in enumerate(record.probes):
        compiled, meant = compiled_and_meant(record, arrays_at(probe, dtype, seed), **probe.attributes)
        if compiled is None:
            assert record.name in ("floor_divide", "remainder"), "only integer division has an emission"
        else:
            assert_agree(compiled, meant)


@pytest.mark.parametrize("record", [r for r in RECORDS if r.kind == "elementwise"], ids=lambda record: record.name)
def test_special_values_agree(record: Primitive) -> None:
    for probe in record.probes:
        if not probe.also or record.name in ("floor_divide", "remainder"):
            continue
        special = np.array(np.meshgrid(*[probe.also] * len(probe.shapes))).reshape(len(probe.shapes), -1)
        arrays = [each.astype(np.float32) for each in special]
        if record.name == "where":
            arrays[0] = arrays[0].astype(bool)
        compiled, meant = compiled_and_meant(record, arrays, **probe.attributes)
        assert compiled is not None
        np.testing.assert_allclose(compiled, meant, rtol=1e-5, atol=1e-38)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_dtype_that_the_record_takes_agrees(record: Primitive) -> None:
    if record.kind not in ("elementwise", "move", "reduce") or not record.probes or not record.probes[0].shapes:
        return
    probe = record.probes[0]
    for dtype in ALL_DTYPES:
        arrays = [np.arange(1, 1 + int(np.prod(shape))).reshape(shape).astype(dtype.numpy) for shape in probe.shapes]
        if record.name == "where":
            arrays[0] = arrays[0].astype(bool)
        try:
            compiled, meant = compiled_and_meant(record, arrays, **probe.attributes)
        except ThalwegError:
            continue  # not defined for this dtype
        if compiled is not None:
            assert_agree(compiled, meant)


@pytest.mark.parametrize("m", [1, 2, 7, 17])
@pytest.mark.parametrize("k", [0, 1, 3, 4, 5, 33])
@pytest.mark.parametrize("n", [1, 8, 15, 17])
@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)], ids=str)
def test_products_of_awkward_shapes(m: int, k: int, n: int, flags: tuple[bool, bool]) -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=(k, m) if flags[0] else (m, k)).astype(np.float32)
    b = generator.normal(size=(n, k) if flags[1] else (k, n)).astype(np.float32)
    compiled, meant = compiled_and_meant(matmul, [a, b], transpose_a=flags[0], transpose_b=flags[1])
    np.testing.assert_allclose(compiled, meant, rtol=1e-4, atol=1e-5)


def test_an_index_out_of_range_is_noticed_and_nothing_is_written() -> None:
    table, index = make_input((3, 2), float32), make_input((2,), int64)
    program = native.build([table, index], [gather(table, index, role="index"), add(table, table)], {1: 0})
    assert program is not None
    cell = np.full((3, 2), 7, np.float32)
    arrays = [cell, np.array([0, 3])]
    assert program(arrays, {1: cell}) is None
    assert (cell == 7).all()
    assert program([cell, np.array([0, 2])], {1: cell}) is not None
    assert (cell == 14).all()


def test_a_scatter_collects_repeated_positions() -> None:
    updates, index = make_input((4,), float32), make_input((4,), int64)
    program = native.build([updates, index], [scatter_add(updates, index, shape=(3,), role="index")])
    assert program is not None
    (result,) = program([np.arange(4, dtype=np.float32), np.array([2, 0, 2, 0])])
    assert result.tolist() == [4, 0, 2]


def test_a_number_in_every_place_needs_no_kernel() -> None:
    x = make_input((3, 4), float32)
    two = broadcast(reshape(constant(2.0, float32), shape=(1, 1)), shape=(3, 4))
    program = native.build([x], [multiply(x, two)])
    assert program is not None
    assert [[node.op.name for node in kernel.nodes] for kernel in program.layout.kernels] == [["multiply"]]


def test_an_output_that_is_an_input_or_a_number_is_copied() -> None:
    x = make_input((2,), float32)
    program = native.build([x], [x, constant(3.0, float32), exp(x), reshape(x, shape=(1, 2))])
    assert program is not None
    array = np.array([0, 1], np.float32)
    same, three, power, moved = program([array])
    assert same is not array
    assert (same == array).all()
    assert three == 3
    assert power[0] == 1
    assert moved.shape == (1, 2)


def test_equal_kernels_are_emitted_once() -> None:
    x = make_input((5, 5), float32)
    y: Node = x
    for _ in range(6):
        y = matmul(y, x, transpose_a=False, transpose_b=False)
    program = native.build([x], [y])
    assert program is not None
    assert program.text.count("define internal void @k") == 1


def test_the_arena_is_used_again_after_the_last_read() -> None:
    x, index = make_input((1024,), float32), make_input((1024,), int64)
    y: Node = x
    for _ in range(20):
        y = scatter_add(exp(y), index, shape=(1024,), role="index")
    program = native.build([x, index], [sum_(y, axes=(0,))])
    assert program is not None
    assert program.layout.arena <= 3 * 4096


def test_code_uses_the_widest_vectors_and_fused_multiply_adds() -> None:
    a, b = make_input((16, 64), float32), make_input((64, 64), float32)
    program = native.build([a, b], [matmul(a, b, transpose_a=False, transpose_b=False)])
    assert program is not None
    listing = assembly(program.text)
    if "+avx512f" in host().features:
        assert "zmm" in listing
    if "+fma" in host().features:
        assert "vfmadd" in listing


def test_records_without_emission_are_the_stated_ones() -> None:
    missing = {
        name
        for name, record in PRIMITIVES.items()
        if record.emit is None and record.kind not in ("contract", "loop", "leaf")
    }
    assert missing <= WITHOUT_EMISSION
