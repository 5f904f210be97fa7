"""Looking inside a compiled step: THALWEG_DEBUG, `step.explain()`, THALWEG_VALIDATE, and the choice of a target.

In: small steps. Out: what is told is true (operations, lines, FLOPs, bytes), nothing is told unasked, looking changes
nothing, and a kernel that is wrong by a little is found and named.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.compiled import executables
from tests.support.zoo import ZOO, compiled_step
from thalweg import nn, ops
from thalweg.compile import window_kernel
from thalweg.compile.emitter import Emitter
from thalweg.compile.fuse import Kernel, fuse
from thalweg.compile.inside.cost import Cost, cost_of
from thalweg.compile.inside.debug import debugging, level_of, stage, validating, watch
from thalweg.compile.inside.peak import Peak, measured_peak
from thalweg.compile.mathematics import FUNCTIONS
from thalweg.compile.passes import PASSES
from thalweg.compile.target import Target, compiling_for, current_target, host, refuse_foreign, target_named
from thalweg.dtype import float32, int64
from thalweg.errors import ConfigurationError, TraceError, ValidationError
from thalweg.graph import full, make_input


def small_step(width: int) -> tuple[Callable[..., tw.Tensor], tw.Tensor, tw.Tensor]:
    """A step of a shape of its own, so that it is compiled here."""
    w = tw.tensor(np.ones((width, 3), np.float32), requires_grad=True)

    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        w.grad = None
        loss = tw.tanh(x @ w).sum()
        loss.backward()
        with tw.no_grad():
            w.sub_(0.1 * w.grad)
        return loss

    return step, w, tw.tensor(np.full((5, width), 0.1, np.float32))


# --- THALWEG_DEBUG ---------------------------------------------------------------------------------------------------


def told_at(level: int, width: int) -> str:
    stream = io.StringIO()
    step, _, x = small_step(width)
    with debugging(level, stream):
        step(x)
        step(x)
    return stream.getvalue()


def test_nothing_is_told_unasked() -> None:
    assert told_at(0, 201) == ""


def test_level_1_is_one_line_a_program() -> None:
    (line,) = told_at(1, 202).splitlines()
    for part in ("thalweg: step: 2 inputs, 2 outputs", "nodes", "kernels", "arena", "passes", "fuse", "LLVM", "link"):
        assert part in line


def test_each_level_tells_more() -> None:
    told = [told_at(level, 210 + level) for level in range(1, 7)]
    marks = [
        "compiled in",
        "GFLOP/s",
        "def k0",
        f"--- before {PASSES[0].name}",
        "define void @kernel_",
        "\tretq" if host().triple.startswith("x86") else "\tret",
    ]
    for level, text in enumerate(told):
        assert [mark in text for mark in marks] == [i <= level for i in range(len(marks))], f"level {level + 1}"


def test_pending_values_are_told_too() -> None:
    stream = io.StringIO()
    with debugging(1, stream):
        for _ in range(400):
            x = tw.ones(7, 203)
            for _ in range(10):
                x = x * 0.5 + 0.1
            x.sum().item()
    assert stream.getvalue().startswith("thalweg: pending values:")


def test_the_variable_is_read_and_goes_to_stderr() -> None:
    code = "import thalweg as tw; print(tw.compile(lambda x: x * 2)(tw.ones(3)).tolist())"
    environment = {**os.environ, "THALWEG_DEBUG": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "[2.0, 2.0, 2.0]\n"
    assert result.stderr.startswith("thalweg: <lambda>: 1 inputs")


@pytest.mark.parametrize("text", ["7", "-1", "yes", "1.5"])
def test_a_wrong_level_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="THALWEG_DEBUG"):
        level_of(text)


def test_stages_are_timed_only_under_a_watch() -> None:
    with stage("alone"):
        pass
    with watch() as seconds:
        with stage("first"):
            pass
        with stage("first"):
            pass
    assert list(seconds) == ["first"]


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_names_operations_lines_and_chain_rules() -> None:
    step, w, x = small_step(24)
    step(x)
    before = w.detach().numpy()
    explanation = step.explain()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(w.detach().numpy(), before)
    text = str(explanation)
    assert text.startswith("step: ")
    assert "test_inside.py" in text
    assert "(chain rule of matmul)" in text
    products = [each for each in explanation.kernels if "matmul" in each.operations]
    assert [each.cost.flops >= 2 * 5 * 24 * 3 for each in products] == [True, True]
    assert all(each.seconds > 0 and each.share > 0 for each in products)
    assert explanation.seconds == pytest.approx(sum(each.seconds for each in explanation.kernels))
    assert "def k0" in explanation.loop_text
    assert "float32[" in explanation.memory_plan or explanation.arena == 0
    assert "<pre>" in explanation._repr_html_()
    assert repr(explanation) == text


def test_explain_shows_the_lines_of_whoever_asks() -> None:
    """Two functions of one structure share a program, but not their lines."""

    @tw.compile
    def first(x: tw.Tensor) -> tw.Tensor:
        return (x * 3).exp()

    @tw.compile
    def second(x: tw.Tensor) -> tw.Tensor:
        return (x * 3).exp()

    lines = []
    for each in (first, second):
        each(tw.ones(2, 19))
        lines += [source for kernel in each.explain().kernels for source in kernel.sources]
    assert len(set(lines)) == 2


def test_explain_leaves_later_calls_as_they_were() -> None:
    step, w, x = small_step(25)
    other, v, _ = small_step(25)
    for index in range(4):
        step(x)
        other(x)
        if index == 1:
            other.explain()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(w.detach().numpy(), v.detach().numpy())


def test_explain_before_the_first_call_says_what_to_do() -> None:
    with pytest.raises(TraceError, match="call the step once"):
        tw.compile(lambda x: x).explain()


def test_layers_are_named() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    step = tw.compile(lambda x: model(x))
    step(tw.ones(3, 6))
    sources = [source for kernel in step.explain().kernels for source in kernel.sources]
    assert any(each.startswith("0 ") for each in sources)
    assert any(each.startswith("2 ") for each in sources)


# --- costs and peaks -------------------------------------------------------------------------------------------------


def kernel_of(*outputs: object) -> Kernel:
    (kernel,) = fuse(outputs)  # type: ignore[arg-type]
    return kernel


def test_a_product_costs_two_operations_an_entry_and_step() -> None:
    a, b = make_input((8, 5), float32), make_input((7, 5), float32)
    kernel = kernel_of(ops.matmul(a, b, transpose_a=False, transpose_b=True))
    assert cost_of(kernel) == Cost(2 * 8 * 7 * 5, 4 * (8 * 5 + 7 * 5), 4 * 8 * 7)


def test_entries_are_counted_once_and_only_if_they_are_read() -> None:
    x = make_input((10, 6), float32)
    head = ops.slice_(x, start=(0, 0), stop=(2, 6), step=(1, 1))
    assert cost_of(kernel_of(ops.multiply(head, head))) == Cost(12, 4 * 12, 4 * 12)
    row = make_input((1, 6), float32)
    assert cost_of(kernel_of(ops.add(x, ops.broadcast(row, shape=(10, 6))))) == Cost(60, 4 * 66, 4 * 60)
    assert cost_of(kernel_of(ops.add(x, full((10, 6), 2.0, float32)))).read == 4 * 60


def test_a_gather_reads_rows_not_the_table() -> None:
    table, index = make_input((1000, 4), float32), make_input((3,), int64)
    assert cost_of(kernel_of(ops.gather(table, index, role="index"))) == Cost(0, 4 * 12 + 8 * 3, 4 * 12)


def test_an_exponential_counts_as_its_polynomial() -> None:
    x = make_input((10,), float32)
    e = Emitter()
    e.call("exp", e.load("%x", e.integer(0), float32))
    fused = sum(" call float @llvm.fma" in line for line in e.lines)
    assert cost_of(kernel_of(ops.exp(x))).flops >= 10 * 2 * fused > 0


def test_the_peak_is_plausible_and_binds() -> None:
    peak = measured_peak()
    assert 1e9 < peak.flops < 1e13
    assert all(1e8 < rate < 1e13 for _, rate in peak.bandwidth)
    assert measured_peak() is peak, "measured once"
    fixed = Peak(100.0, ((1000, 10.0), (2000, 5.0)))
    assert fixed.shortest(Cost(1000, 10, 0)) == 10
    assert fixed.shortest(Cost(10, 500, 500)) == 100
    assert fixed.shortest(Cost(10, 2000, 3000)) == 1000


# --- THALWEG_VALIDATE ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_every_kernel_of_the_zoo_is_valid(name: str) -> None:
    function, arguments = ZOO[name]()
    with validating():
        step = tw.compile(function)
        for _ in range(2):
            step(*arguments)
    (compiled,) = step._programs.values()
    assert compiled.executable.native.step.checked >= 2 * len(compiled.executable.native.layout.kernels)


def test_validation_gives_the_same_bits() -> None:
    step, w, x = small_step(26)
    other, v, _ = small_step(26)
    losses = [step(x).item() for _ in range(3)]
    with validating():
        assert [other(x).item() for _ in range(3)] == losses
    np.testing.assert_array_equal(w.detach().numpy(), v.detach().numpy())


def test_a_planted_fault_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = FUNCTIONS["tanh"]
    monkeypatch.setitem(FUNCTIONS, "tanh", lambda e, x: e.multiply(right(e, x), e.number(1.001, float32)))
    step = tw.compile(lambda x: tw.tanh(x) + 1)
    with validating(), pytest.raises(ValidationError, match="does not compute what its operations mean") as caught:
        step(tw.full((3, 97), 2.0))
    assert "tanh" in str(caught.value)
    assert "test_inside.py" in str(caught.value)
    assert "where NumPy gives" in str(caught.value)


def test_bad_data_raise_the_usual_error_and_change_nothing() -> None:
    table = tw.tensor(np.ones((4, 3), np.float32))

    @tw.compile
    def step(rows: tw.Tensor) -> tw.Tensor:
        picked = table[rows]
        table.add_(1.0)
        return picked

    with validating(), pytest.raises(IndexError):
        step(tw.tensor([1, 4]))
    assert table.tolist() == [[1.0] * 3] * 4


def test_the_variable_turns_validation_on() -> None:
    code = (
        "import thalweg as tw; step = tw.compile(lambda x: x * 2); step(tw.ones(3)); step(tw.ones(3));"
        "(c,) = step._programs.values(); print(c.executable.native.step.checked)"
    )
    environment = {**os.environ, "THALWEG_VALIDATE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "2\n"


# --- targets ---------------------------------------------------------------------------------------------------------


def test_targets_by_name() -> None:
    assert target_named("native") is host()
    with compiling_for("x86-64-v3") as target:
        assert (target.vector_bytes, target.registers) == (32, 16)
        assert current_target() is target
        with compiling_for("x86-64-v4"):
            assert (current_target().vector_bytes, current_target().registers) == (64, 32)
    assert current_target().cpu != "x86-64-v4" or host().cpu == "x86-64-v4"


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="x86-64-v3"):
        target_named("pentium")


def test_code_for_another_processor_is_not_run() -> None:
    foreign = Target(host().triple, "x86-64-v9", "+avx9")
    with pytest.raises(ConfigurationError, match="avx9"):
        refuse_foreign(foreign)


def test_a_program_is_compiled_once_for_each_target() -> None:
    if target_named("x86-64-v3").missing():
        pytest.skip("this processor has no AVX2")
    x = tw.tensor(np.arange(50, dtype=np.float32))
    texts = []
    for name in ("x86-64-v3", "native"):
        with compiling_for(name):
            step = tw.compile(lambda x: tw.exp(x * 0.01).sum())
            assert step(x).item() == pytest.approx(float(np.exp(np.arange(50) * 0.01).sum()), rel=1e-5)
            (compiled,) = step._programs.values()
            texts.append(compiled.executable.native.text)
    assert "<8 x float>" in texts[0]
    assert (f"<{host().vector_bytes // 4} x float>") in texts[1]


def test_the_zoo_is_compiled_natively() -> None:
    for name in ZOO:
        (compiled,) = compiled_step(name)._programs.values()
        assert compiled.executable.is_native


# --- a network for images --------------------------------------------------------------------------------------------


def small_cnn(classes: int) -> tuple[Callable[..., tw.Tensor], tw.Tensor]:
    model = nn.Sequential(nn.Conv2d(2, 9, 3, padding=1), nn.BatchNorm2d(9), nn.ReLU(),
                          nn.Conv2d(9, 9, 3, padding=1, groups=9), nn.ReLU(), nn.Conv2d(9, 4, 1),
                          nn.Flatten(), nn.Linear(100, classes))  # fmt: skip

    @tw.compile
    def step(x: tw.Tensor) -> tw.Tensor:
        for each in model.parameters():
            each.grad = None
        loss = (model(x) ** 2).mean()
        loss.backward()
        with tw.no_grad():
            for each in model.parameters():
                each.sub_(0.1 * each.grad)
        return loss

    return step, tw.tensor(np.random.default_rng(0).normal(size=(3, 2, 5, 5)).astype(np.float32))


def test_explain_knows_window_products() -> None:
    tw.manual_seed(0)
    step, x = small_cnn(3)
    step(x)
    explanation = step.explain()  # type: ignore[attr-defined]
    products = [each for each in explanation.kernels if "window_product" in each.operations]
    assert len(products) == 7, "forward three times, by the input twice, by the weights of 3x3 twice"
    first = next(each for each in products if "windows of 3x3x2" in each.extent)
    assert first.cost.flops >= 2 * (3 * 5 * 5 * 9) * (3 * 3 * 2)
    assert all(each.seconds > 0 for each in products)
    text = str(explanation)
    assert "(chain rule of convolution)" in text
    assert "over windows of 3x3x2" in explanation.loop_text
    sources = [source for each in products for source in each.sources]
    assert any(each.startswith("0 ") for each in sources)
    assert any(each.startswith("3 ") for each in sources)


def test_each_pass_over_a_network_for_images_is_shown() -> None:
    stream = io.StringIO()
    tw.manual_seed(0)
    step, x = small_cnn(4)
    with debugging(4, stream):
        step(x)
    text = stream.getvalue()
    for each in PASSES:
        assert f"--- before {each.name}\n" in text or f"--- {each.name} changes nothing" in text
    after = text.partition("--- after channels_last\n")[2].partition("---")[0]
    assert "window_product(" in after
    assert "= convolution(" not in after


def test_a_network_for_images_is_validated_kernel_by_kernel() -> None:
    with validating():
        tw.manual_seed(0)
        step, x = small_cnn(5)
        losses = [step(x).item() for _ in range(3)]
    native = executables(step)[0].native
    assert native is not None
    assert native.step.checked >= 3 * len(native.layout.kernels)
    tw.manual_seed(0)
    step, x = small_cnn(5)
    assert [step(x).item() for _ in range(3)] == losses, "looking changes no bit"


def test_a_window_product_that_is_wrong_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = window_kernel.accumulated
    monkeypatch.setattr(window_kernel, "accumulated", lambda e, a, b, c: e.multiply(right(e, a, b, c), e.spread(
        e.number(1.001, float32), c.lanes)))  # fmt: skip
    x, w = tw.rand(2, 3, 5, 11), tw.rand(4, 3, 2, 2)
    with validating(), pytest.raises(ValidationError, match="window_product"):
        tw.compile(lambda x: F.conv2d(x, w))(x)
