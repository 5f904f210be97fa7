"""Every level of processor, run: all primitives, the zoo of steps and a training, in the code of machines without AVX.

In: feature levels from bare SSE2 on, and a processor of which nothing is known. Out: the numbers that NumPy gives. Code
for another family of processors is compiled and not run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.compile.test_primitives import RECORDS, Programs, generator_for
from tests.ops.test_contract import allows
from tests.support.compiled import TOLERANCE, assert_all_agree, run_both
from tests.support.fallbacks import is_native
from tests.support.gradient_check import apply, sample
from tests.support.sweep import sweep_each
from tests.support.training import classes, network
from tests.support.zoo import ZOO, program_of
from thalweg import Trainer, manual_seed
from thalweg.compile import codegen
from thalweg.compile.layout import Layout
from thalweg.compile.native import modules_of
from thalweg.compile.passes import run_passes
from thalweg.compile.runtime import runtime_text
from thalweg.compile.target import LEVELS, Target, compiling_for, host, target_named
from thalweg.dtype import ALL_DTYPES, DType

MADE_UP = "generic"
LESS = ["x86-64", "x86-64-v2", MADE_UP]  # than AVX2: what is tested nowhere else
KINDS = sorted({record.kind for record in RECORDS})

needs_x86 = pytest.mark.skipif("x86_64" not in host().triple, reason="runs code for x86-64")


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What LLVM calls a processor that it has never heard of, with no feature that could be named."""
    monkeypatch.setitem(LEVELS, MADE_UP, "")
    yield
    target_named.cache_clear()


@needs_x86
@pytest.mark.parametrize(("level", "dtype"), sweep_each(LESS, ALL_DTYPES, fraction=0.3, seed=1), ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_primitive_gives_what_numpy_gives(level: str, kind: str, dtype: DType) -> None:
    programs = Programs()
    for record in RECORDS:
        if record.kind != kind or not is_native(record.name, dtype.name):
            continue
        for number, probe in enumerate(record.probes):
            if allows(record, probe, dtype):
                arrays = sample(record, probe, generator_for(record.name, number), dtype)
                programs.add(*apply(record, probe, arrays), arrays, [f"{record.name}, probe {number}"])
    with compiling_for(level):
        programs.check()


@needs_x86
@pytest.mark.parametrize("level", LESS)
@pytest.mark.parametrize("name", ZOO)
def test_the_steps_of_the_zoo_give_what_numpy_gives(name: str, level: str) -> None:
    program, generator = program_of(name), np.random.default_rng(0)
    arrays = [
        generator.random(node.shape).astype(node.dtype.numpy) if node.dtype.is_floating_point
        else np.ones(node.shape, node.dtype.numpy)
        for node in program.inputs
    ]  # fmt: skip
    with compiling_for(level):
        assert_all_agree(*run_both(program.inputs, program.outputs, arrays), TOLERANCE["float32"], is_joint=True)


@needs_x86
@pytest.mark.parametrize("level", LESS)
def test_a_training_comes_to_the_same(level: str) -> None:
    def trained(name: str) -> np.ndarray:
        manual_seed(0)
        with compiling_for(name):
            model, (x, y) = network(), classes(64)
            Trainer(model, progress=False, lr=0.01).fit(x, y, epochs=3, batch_size=16)
        return np.concatenate([each.detach().numpy().ravel() for each in model.parameters()])

    np.testing.assert_allclose(trained(level), trained("native"), atol=1e-5)


@needs_x86
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v2"])
def test_products_call_no_function_for_each_multiply_add(level: str) -> None:
    """A processor without fused multiply-add has an emulation of it in the C library, thirty times as slow."""
    program = program_of("momentum_sgd")
    with compiling_for(level) as target:
        layout = Layout(program.inputs, run_passes(program.outputs), dict(program.writes))
        products = [each for each in modules_of(layout) if "matmul" in each.symbol]
        assert products
        for each in products:
            assert "fma" not in codegen.assembly(each.text, target)


@pytest.mark.parametrize(
    ("triple", "cpu"),
    [("aarch64-unknown-linux-gnu", "generic"), ("arm64-apple-darwin", "apple-m1"), ("riscv64-unknown-linux-gnu", "")],
)
def test_code_for_other_families_can_be_made(triple: str, cpu: str) -> None:
    """What is the same for all: no kernel of the zoo, and no row that is none, asks for an instruction of x86."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = Target(triple, cpu, "")
    try:
        llvm.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip("this build of LLVM does not know the family")
    with compiling_for("x86-64"):
        texts = {each.text for name in ZOO for each in modules_of(Layout(*_lowered(name)))}
    for text in [*texts, runtime_text(triple.partition("-")[0], target.clock)]:
        assert codegen.assembly(text, target)


def _lowered(name: str) -> tuple[object, ...]:
    program = program_of(name)
    return program.inputs, run_passes(program.outputs), dict(program.writes)
