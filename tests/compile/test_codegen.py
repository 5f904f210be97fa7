"""Machine code from LLVM text, and what compiling a step may cost: counted, not timed.

In: the steps that bench/ times, traced and written for one fixed target. Out: failures when their LLVM text grows by
more than a tenth, or shrinks so far that its budget no longer holds anything back. Seconds follow lines: code
generation is most of a first call, and takes about 20 us a line.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

import pytest

from bench.models import BUILDERS
from bench.peers.thalweg_side import FRAMEWORK
from bench.rows import chosen
from bench.workloads import Workload
from thalweg.compile import library, native
from thalweg.compile.cache import cache
from thalweg.compile.codegen import assembly, image_of, images_of, load
from thalweg.compile.layout import Layout
from thalweg.compile.modules import Module
from thalweg.compile.target import compiling_for, target_named

# Lines of LLVM text of a whole step. (Its kernels are budgeted in budgets.json, exactly.)
BUDGETS = {
    "mlp-13": 3_400,
    "mlp-784": 4_200,
    "mlp-512": 7_500,
    "deep-tanh": 4_400,
    "cross-entropy": 1_290,
    "layer-norm": 600,
    "adam": 345,
}
GROWTH, SLACK = 1.1, 0.7


class Captured(Exception):
    """The step has been written; it need not be run."""


@dataclass(frozen=True)
class Cost:
    kernels: int
    functions: int
    lines: int


def written(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> tuple[Layout, list[Module]]:
    """The program of the workload's first call as it is handed to LLVM, for AVX-512 wherever the test runs."""
    found = []

    def capture(layout: Layout, modules: list[Module]) -> None:
        found.append((layout, list(dict.fromkeys(modules))))
        raise Captured

    monkeypatch.setattr(native, "NativeProgram", capture)
    call = BUILDERS[workload.family](FRAMEWORK, workload)
    with compiling_for("x86-64-v4"), pytest.raises(Captured):
        call()
    return found[-1]


def cost(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> Cost:
    layout, modules = written(workload, monkeypatch)
    return Cost(len(layout.kernels), len(modules), sum(module.text.count("\n") for module in modules))


@pytest.mark.parametrize("name", BUDGETS)
def test_a_step_stays_within_its_budget(name, monkeypatch):
    (workload,) = chosen([name])
    lines, budget = cost(workload, monkeypatch).lines, BUDGETS[name]
    assert lines <= budget * GROWTH, f"{lines} lines of LLVM text where {budget} are expected: compiling takes longer"
    assert lines >= budget * SLACK, f"only {lines} lines of LLVM text: lower the budget of {budget}"


def test_texts_side_by_side_become_what_each_becomes_alone():
    texts = [f"define i64 @number() {{\n  ret i64 {number}\n}}" for number in range(3)]
    assert images_of(texts) == [image_of(text) for text in texts]
    with pytest.raises(RuntimeError, match="parsing error"):
        images_of([texts[0], "no LLVM text"])


def test_a_step_is_compiled_in_shares_of_equal_length():
    modules = [Module(f"kernel_{i}", (), "x" * (20_000 * i)) for i in range(1, 11)]
    alone, two = library._shares(modules, 1), library._shares(modules, 2)
    assert [len(each) for each in alone] == [10]
    assert sorted(each.symbol for share in two for each in share) == sorted(each.symbol for each in modules)
    assert len(two) == 2
    assert abs(sum(len(each.text) for each in two[0]) - sum(len(each.text) for each in two[1])) <= 20_000
    assert len(library._shares(modules[:2], 8)) == 1  # too short for a thread


def test_functions_that_all_programs_share_are_compiled_once_for_all_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "code"))
    text, compiled = "define i64 @seven() {\n  ret i64 7\n}", []
    monkeypatch.setattr(library, "image_of", lambda text: compiled.append(text) or image_of(text))

    def value() -> int:
        kept, (address,) = library._linked(text, ["seven"])
        return ctypes.CFUNCTYPE(ctypes.c_int64)(address)() if kept else 0

    assert [value(), value()] == [7, 7]
    assert len(compiled) == 1
    (entry,) = (tmp_path / "code").iterdir()
    store = cache()
    monkeypatch.setattr(type(store), "get", lambda store, key: b"whole, but no code")
    assert value() == 7
    assert len(compiled) == 2
    assert entry.exists()


def deep(layers: int) -> Workload:
    return Workload("", "", "dense", (*[16] * (layers + 1), 4), 16, activation="tanh")


def test_equal_layers_share_their_code(monkeypatch):
    """Twice the layers call the same functions twice as often."""
    few, many = (cost(deep(layers), monkeypatch) for layers in (8, 16))
    assert many.kernels > few.kernels + 16
    assert (
        many.functions <= few.functions + 1
    )  # numbers of all updates share nests of bounded size, so one more of them


def test_equal_updates_share_their_code(monkeypatch):
    few, many = (cost(Workload("", "", "adam", (count, 8, 24)), monkeypatch) for count in (4, 8))
    assert many.functions == few.functions


def test_compiling_costs_in_proportion_to_the_layers(monkeypatch):
    """Calls of Python functions, which no other process can disturb; 2.0 would be exactly in proportion."""
    few, many = (calls_of(deep(layers), monkeypatch) for layers in (12, 24))
    assert many < 2.2 * few


def calls_of(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> int:
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        written(workload, monkeypatch)
    finally:
        sys.setprofile(None)
    return count


# --- load, assembly --------------------------------------------------------------------------------------------------

COUNTING = """
define void @count(ptr %place) {
entry:
  %n = alloca i64
  store i64 0, ptr %n
  br label %head
head:
  %i = phi i64 [0, %entry], [%next, %body]
  %more = icmp ult i64 %i, 10
  br i1 %more, label %body, label %leave
body:
  %old = load i64, ptr %n
  %new = add i64 %old, %i
  store i64 %new, ptr %n
  %next = add nuw nsw i64 %i, 1
  br label %head
leave:
  %total = load i64, ptr %n
  store i64 %total, ptr %place
  ret void
}
"""


def test_a_loaded_function_runs():
    kept, address = load(COUNTING, "count")
    place = ctypes.c_int64()
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(ctypes.addressof(place))
    assert place.value == 45
    assert kept


def test_local_variables_become_registers():
    listing = assembly(COUNTING)
    assert "rsp" not in listing
    assert "[sp" not in listing


def test_assembly_is_of_the_target_that_was_asked_for():
    text = "define <16 x float> @f(<16 x float> %x) {\n  %y = fadd <16 x float> %x, %x\n  ret <16 x float> %y\n}"
    assert "zmm" in assembly(text, target_named("x86-64-v4"))
    assert "zmm" not in assembly(text, target_named("x86-64-v3"))


def test_text_that_is_no_program_is_refused():
    with pytest.raises(RuntimeError):
        load("define void @step() {\n  ret i64 0\n}", "step")
