"""Vector mathematics keeps the contract on numbers: within 2 or 4 units in the last place, at every size of vector.

In: float32 numbers of all exponents and the special values. Out: errors against NumPy in float64, equal bits for one
lane and sixteen, and assembly that is all vector instructions, as few as the table in `compile/mathematics` says.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from thalweg.compile import native
from thalweg.compile.emitter import Emitter
from thalweg.compile.mathematics import FUNCTIONS
from thalweg.compile.target import Target, host
from thalweg.compile.values import Value
from thalweg.dtype import float32
from thalweg.graph import PRIMITIVES, constant, make_input
from thalweg.ops import broadcast, power, reshape
from thalweg.ops.special import erf


def sigmoid(x: np.ndarray) -> np.ndarray:
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, t) / (1 + t)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# The float64 meaning, and the largest error allowed in ulp: the contract's, or the largest that a run over (nearly) all
# float32 numbers has found, rounded up.
FUNCTIONS_OF_ONE: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "exp": (np.exp, 1.7), "expm1": (np.expm1, 1.8), "log": (np.log, 1.2), "log1p": (np.log1p, 2.3),
    "tanh": (np.tanh, 1.9), "sigmoid": (sigmoid, 2.9), "softplus": (softplus, 3.2), "erf": (erf, 1.9),
    "sin": (np.sin, 2.0), "cos": (np.cos, 2.0), "arctan": (np.arctan, 2.0),
}  # fmt: skip
CONTRACT = {"exp": 2, "log": 2, "tanh": 2, "erf": 2}
SPECIAL = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, -1e-38, 2, -2, 0.5, -0.5, 88.72283,
                    88.72284, -103.9, -104, 3.4028235e38, -3.4028235e38, 1e5, -1e5, 100001, 16777216],
                   np.float32)  # fmt: skip


@cache
def samples(mantissas: int = 8192) -> np.ndarray:
    """Every sign and exponent with the first and last mantissas and random ones between; the special values."""
    generator = np.random.default_rng(0)
    mantissa = generator.integers(0, 2**23, (512, mantissas), dtype=np.uint32)
    mantissa[:, :4] = [0, 1, 2**23 - 2, 2**23 - 1]
    bits = (np.arange(512, dtype=np.uint32)[:, None] << np.uint32(23)) | mantissa
    near = generator.uniform(-20, 20, 1 << 17)  # where most data lie and most approximations switch
    return np.concatenate([bits.ravel().view(np.float32), near.astype(np.float32), SPECIAL])


def errors(result: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """In units in the last place of the exact value; infinite where NaN, or the sign of anything, is not as it must be.

    Infinity counts as 2^128, the next float32 if there were one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rounded, wide = exact.astype(np.float32), result.astype(np.float64)
    edge = 2.0**128
    near, wide = np.clip(exact, -edge, edge), np.clip(wide, -edge, edge)
    exponent = np.clip(np.frexp(near)[1] - 1, -126, 127)
    distance = np.abs(wide - near) / np.ldexp(1.0, exponent - 23)
    is_nan = np.isnan(exact)
    wrong = (np.isnan(result) != is_nan) | (~is_nan & (np.signbit(result) != np.signbit(rounded)))
    return np.where(wrong, np.inf, np.where(is_nan, 0, distance))


def assert_within(bound: float, result: np.ndarray, exact: np.ndarray, *x: np.ndarray) -> None:
    distance = errors(result, exact)
    worst = int(np.argmax(distance))
    at = ", ".join(repr(each[worst]) for each in x)
    assert distance[worst] <= bound, f"{distance[worst]:.3f} ulp at {at}: {result[worst]!r}, not {exact[worst]!r}"


def compiled(name: str, *x: np.ndarray) -> np.ndarray:
    inputs = [make_input(each.shape, float32) for each in x]
    program = native.build(inputs, [PRIMITIVES[name](*inputs)])
    assert program is not None
    (result,) = program(list(x))
    return result


@pytest.mark.parametrize("name", FUNCTIONS_OF_ONE)
def test_error_over_the_whole_range(name: str) -> None:
    exact, bound = FUNCTIONS_OF_ONE[name]
    assert bound <= CONTRACT.get(name, 4)
    x = samples()
    with np.errstate(all="ignore"):
        expected = exact(x.astype(np.float64))
    assert_within(bound, compiled(name, x), expected, x)


# erf to 20 digits, so that the NumPy meaning of erf is not its own witness: mpmath.erf
@pytest.mark.parametrize(
    ("x", "exact"),
    [(0.5, 0.52049987781304653768), (1.0, 0.84270079294971486934), (2.0, 0.99532226501895273416),
     (3.0, 0.99997790950300141456), (2.0**-20, 1.0761062308265405e-06), (3.75, 0.9999998862727434)],
)  # fmt: skip
def test_erf_at_known_points(x: float, exact: float) -> None:
    assert_within(2, compiled("erf", np.array([x, -x], np.float32)), np.array([exact, -exact]), np.array([x, -x]))


# The float32 nearest to a multiple of pi/2 is hardest for the reduction: 16367173 * 2^72 is 1.6e-9 from one (Muller,
# Elementary Functions, worst cases for range reduction); values by mpmath to 20 digits.
HARDEST = (16367173 * 2.0**72, {"sin": 0.99999999999999999870, "cos": -1.6147697982476211876e-09})


def test_sin_and_cos_of_the_hardest_number() -> None:
    x = np.array([HARDEST[0]], np.float32)
    for name, exact in HARDEST[1].items():
        assert_within(2, compiled(name, x), np.array([exact]), x)


def test_sine_never_exceeds_one() -> None:
    x = np.random.default_rng(0).normal(scale=1e-2, size=1 << 18).astype(np.float32)
    for name, near in (("cos", x), ("sin", x + np.float32(np.pi / 2)), ("sin", samples())):
        assert not (np.abs(compiled(name, near)) > 1).any()


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "sin", "arctan", "erf"])
def test_signed_zero_and_subnormal_numbers_are_kept(name: str) -> None:
    x = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-40, -1e-40], np.float32)
    expected = x * np.float32(2 / np.sqrt(np.pi)) if name == "erf" else x
    assert compiled(name, x).tobytes() == expected.tobytes()


# --- powers ----------------------------------------------------------------------------------------------------------


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Bases of all sizes with exponents that give results of all sizes; bases near 1; negative bases; any bits."""
    generator, size = np.random.default_rng(0), 1 << 16
    base = np.exp2(generator.uniform(-149, 128, size))
    to_any = generator.uniform(-150, 150, size) / np.log2(base)
    offset = np.exp2(generator.uniform(-24, -1, size)) * generator.choice([-1, 1], size)
    large = np.exp2(generator.uniform(-5, 31, size)) * generator.choice([-1, 1], size)
    bits = generator.integers(0, 2**32, (2, size), dtype=np.uint64).astype(np.uint32).view(np.float32)
    bases = (base, 1 + offset, generator.uniform(-20, 20, size), bits[0])
    exponents = (to_any, large, generator.integers(-30, 30, size), bits[1])
    x, p = (np.concatenate([np.asarray(each).astype(np.float32) for each in group]) for group in (bases, exponents))
    return x, p


def exact_power(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.power(x.astype(np.float64), p.astype(np.float64))


def test_error_of_powers() -> None:
    x, p = pairs()
    assert_within(1.7, compiled("power", x, p), exact_power(x, p), x, p)


def test_powers_of_special_values() -> None:
    values = np.concatenate([SPECIAL, np.array([3, -3, 2.5, -2.5, 16777217, -16777217], np.float32)])
    x, p = (each.ravel() for each in np.meshgrid(values, values))
    assert_within(1.7, compiled("power", x, p), exact_power(x, p), x, p)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, -1.0, 0.5, 0.0])
def test_powers_with_a_stated_exponent(exponent: float) -> None:
    x = samples(64)
    base = make_input(x.shape, float32)
    stated = broadcast(reshape(constant(exponent, float32), shape=(1,)), shape=x.shape)
    program = native.build([base], [power(base, stated)])
    assert program is not None
    assert_within(2, program([x])[0], exact_power(x, np.full_like(x, exponent)), x)


# --- lanes and assembly ----------------------------------------------------------------------------------------------

ARGUMENTS = {name: 2 if name == "pow" else 1 for name in FUNCTIONS}


class UsualOnly(Emitter):
    """Leaves out what is rarely run, to count what is always."""

    def rarely(self, condition: Value, usual: Value, unusual: Callable[[], Value]) -> Value:
        return usual


def kernel(name: str, lanes: int, size: int, emitter: type[Emitter] = Emitter) -> str:
    """`step(out, in0, in1)`, which calls the function on `lanes` numbers at a time."""
    e = emitter()
    with e.loop(size // lanes) as i:
        place = e.multiply(i, e.integer(lanes))
        x = [e.load(f"%in{k}", place, float32, lanes) for k in range(ARGUMENTS[name])]
        e.store("%out", place, e.call(name, *x))
    head = "define void @step(ptr noalias %out, ptr noalias %in0, ptr noalias %in1) {\nentry:"
    return "\n".join([*sorted(e.declarations), head, *e.lines, "  ret void", "}"])


def machine_code(text: str, target: Target, vectorise: bool = False) -> tuple[str, bytes]:
    import llvmlite.binding as llvm

    machine, module = target.machine(), llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization, options.slp_vectorization = vectorise, False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_assembly(module), machine.emit_object(module)


def run(code: bytes, out: np.ndarray, *x: np.ndarray) -> None:
    import llvmlite.binding as llvm

    engine = llvm.create_lljit_compiler(host().machine(), use_jit_link=False, suppress_errors=False)
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol("step")
    tracker = builder.link(engine, "test_mathematics")
    step = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(tracker["step"])
    step(out.ctypes.data, x[0].ctypes.data, x[-1].ctypes.data)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_lane_and_many_give_the_same_bits(name: str) -> None:
    x = samples(64)
    x = np.random.default_rng(1).permutation(x[: len(x) // 16 * 16])
    other = np.random.default_rng(2).permutation(x)
    results = []
    for lanes, vectorise in ((1, False), (1, True), (4, False), (16, False)):
        out = np.empty_like(x)
        run(machine_code(kernel(name, lanes, len(x)), host(), vectorise)[1], out, x, other)
        results.append(np.where(np.isnan(out), np.float32(np.nan), out).tobytes())
    assert len(set(results)) == 1


VECTOR_INSTRUCTIONS = {  # on 16 numbers with AVX-512, on 8 with AVX2: the table in compile/mathematics
    "exp": (16, 16), "expm1": (19, 20), "log": (23, 27), "log1p": (22, 25), "tanh": (20, 22), "sigmoid": (18, 19),
    "softplus": (27, 27), "erf": (24, 26), "sin": (15, 17), "cos": (16, 17), "arctan": (16, 19), "pow": (93, 103),
}  # fmt: skip
X86 = {"skylake-avx512": ("-prefer-256-bit", 16, "zmm"), "haswell": ("", 8, "ymm")}


def instructions(assembly: str) -> list[str]:
    return [line.strip() for line in assembly.splitlines() if re.match(r"\s+[a-z]", line)]


@pytest.mark.skipif("x86_64" not in host().triple, reason="counts instructions of x86-64")
@pytest.mark.parametrize("cpu", X86)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_code_is_few_full_width_instructions(name: str, cpu: str) -> None:
    features, lanes, register = X86[cpu]
    target = Target(host().triple, cpu, features)
    whole = instructions(machine_code(kernel(name, lanes, lanes), target)[0])
    assert not [line for line in whole if line.startswith(("call", "vgather", "vpgather"))]
    usual = instructions(machine_code(kernel(name, lanes, lanes, UsualOnly), target)[0])
    counted = [line for line in usual if line[0] in "vk" and not re.match("v(mov|p?broadcast|zeroupper)", line)]
    assert any(register in line and "vfmadd" in line for line in counted)
    expected = VECTOR_INSTRUCTIONS[name][cpu == "haswell"]
    # LLVM versions differ by an instruction or two; far fewer means that the table wants correcting
    assert 0.9 * expected - 2 <= len(counted) <= 1.1 * expected + 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_programs_call_no_library(name: str) -> None:
    record = PRIMITIVES["power" if name == "pow" else name]
    inputs = [make_input((1000,), float32) for _ in range(ARGUMENTS[name])]
    program = native.build(inputs, [record(*inputs)])
    assert program is not None
    assert not re.search(rf"@(llvm\.)?({name}|atan|erf)f?[.(]", program.text)
    assembly, _ = machine_code(program.modules[0].text, host(), vectorise=True)
    if "+avx2" in host().features:
        assert re.search(r"vf(m|nm)(add|sub).*%[yz]mm", assembly)
