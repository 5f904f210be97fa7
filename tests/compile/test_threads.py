"""Threads: the same bits with any number of them, whoever else is running, and after a fork.

In: steps of the zoo, cut into as many pieces as their axes allow. Out: failures where a bit differs, where a step is
not done exactly once, or where a process does not end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from bench.models import BUILDERS
from bench.peers.thalweg_framework import FRAMEWORK
from bench.rows import ROWS
from bench.workloads import Workload
from tests.support.zoo import ZOO
from thalweg.compile import executable, modules, pieces
from thalweg.compile.kernels import pieces_of
from thalweg.compile.native import NativeProgram
from thalweg.compile.pool import pool

COUNTS = [1, 2, 3, 8]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = tw.get_num_threads()
    yield
    tw.set_num_threads(before)


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every kernel is cut as finely as it can be."""
    monkeypatch.setattr(pieces, "_CYCLES", 1)
    for memory in (modules._modules, executable._cache):
        memory.clear()
    yield
    for memory in (modules._modules, executable._cache):
        memory.clear()


def cells_after(name: str, calls: int = 3) -> list[bytes]:
    """What the step of the zoo has left in its results and cells after some calls."""
    tw.manual_seed(0)
    function, arguments = ZOO[name]()
    step = tw.compile(function)
    results = [step(*arguments) for _ in range(calls)]
    (compiled,) = list(step._programs.values())[-1:]
    cells = [each for each in compiled.sources if isinstance(each, tw.Tensor)]
    tensors = [each for each in (*results, *cells) if isinstance(each, tw.Tensor)]
    return [each.detach().numpy().tobytes() for each in tensors]


@pytest.mark.usefixtures("tiny_pieces")
@pytest.mark.parametrize("name", ZOO)
def test_the_bits_are_the_same_with_any_number_of_threads(name: str) -> None:
    found = []
    for count in COUNTS:
        tw.set_num_threads(count)
        found.append(cells_after(name))
    assert all(each == found[0] for each in found)


# --- the networks of the benchmarks ----------------------------------------------------------------------------------


def networks() -> dict[str, Workload]:
    """The networks and steps of bench/models.py, each once; what is only an optimizer is made small."""
    found: dict[Any, Workload] = {}
    for row in ROWS:
        if row.family in BUILDERS and row.table in ("single", "itself"):
            found.setdefault((row.family, row.sizes, row.batch, row.has_batch_norm, row.is_compiled), row)
    return {row.name: replace(row, sizes=(10, 100, 100)) if row.family == "adam" else row for row in found.values()}


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every step asks for the pool, also one that would not gain from it."""
    monkeypatch.setattr(NativeProgram, "_gains_from_threads", lambda _: True)
    executable._cache.clear()
    yield
    executable._cache.clear()


def bits_of(workload: Workload, calls: int = 3) -> list[bytes]:
    """The results of some calls, and every parameter and cell after them."""
    steps: list[Any] = []
    held: list[tw.Tensor] = []

    def compiled(function: Any) -> Any:
        steps.append(tw.compile(function))
        return steps[-1]

    def adam(parameters: Any, lr: float) -> Any:
        held.extend(parameters)
        return FRAMEWORK.adam(held, lr)

    tw.manual_seed(0)
    call = BUILDERS[workload.family](replace(FRAMEWORK, compile_step=compiled, adam=adam), workload)
    results = [call() for _ in range(calls)]
    programs = [program for step in steps for program in step._programs.values()]
    cells = [each for program in programs for each in program.sources if isinstance(each, tw.Tensor)]
    tensors = [each for each in (*held, *cells, *results) if isinstance(each, tw.Tensor)]
    numbers = [np.float64(each).tobytes() for each in results if isinstance(each, float)]
    return numbers + [each.detach().numpy().tobytes() for each in tensors]


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("name", networks())
def test_a_network_has_the_same_bits_with_any_number_of_threads_and_beside_another_caller(name: str) -> None:
    found = []
    for count, is_taken in [*((count, False) for count in COUNTS), (2, True)]:
        tw.set_num_threads(count)
        with pool()._lock if is_taken else nullcontext():  # whoever finds the pool taken runs alone
            found.append(bits_of(networks()[name]))
    assert found[0]
    assert all(each == found[0] for each in found)


@pytest.mark.usefixtures("tiny_pieces")
def test_most_kernels_of_a_network_can_be_cut() -> None:
    tw.manual_seed(0)
    function, arguments = ZOO["mlp_adam"]()
    step = tw.compile(function)
    step(*arguments)
    (compiled,) = step._programs.values()
    counts = [pieces_of(kernel) for kernel in compiled.executable.native.layout.kernels]
    assert sum(count > 1 for count in counts) >= len(counts) // 3


def large_step() -> tuple[tw.Tensor, tw.Tensor]:
    generator = np.random.default_rng(0)
    return tuple(tw.tensor(generator.standard_normal((300, 300)), dtype=tw.float32) for _ in range(2))  # type: ignore[return-value]


def test_callers_in_several_threads_get_what_one_alone_gets() -> None:
    """One of them owns the pool at a time; the others run alone meanwhile."""
    tw.set_num_threads(2)
    a, b = large_step()
    with tw.no_grad():
        expected = tw.compile(lambda x, y: (x @ y).tanh().sum(1))(a, b).numpy().tobytes()
    wrong: list[bool] = []

    def work() -> None:
        with tw.no_grad():
            step = tw.compile(lambda x, y: (x @ y).tanh().sum(1))
            for _ in range(50):
                wrong.append(step(a, b).numpy().tobytes() != expected)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(wrong) == 200
    assert not any(wrong)


def test_the_number_of_threads_may_change_between_steps() -> None:
    a, b = large_step()
    step = tw.compile(lambda x, y: (x @ y).exp())
    with tw.no_grad():
        expected = step(a, b).numpy().tobytes()
        for count in (2, 1, 5, 3, 8, 1, 2):
            tw.set_num_threads(count)
            for _ in range(5):
                assert step(a, b).numpy().tobytes() == expected


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_system_that_allows_no_more_threads(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    """One line says so, once, and the step is done by those that there are."""
    a, b = large_step()
    start, started = threading.Thread.start, [0]

    def limited(thread: threading.Thread) -> None:
        if started[0] == allowed:
            raise RuntimeError("can't start new thread")
        started[0] += 1
        start(thread)

    step = tw.compile(lambda x, y: (x @ y).exp())
    with tw.no_grad():
        tw.set_num_threads(2)
        expected = step(a, b).numpy().tobytes()
        monkeypatch.setattr(threading.Thread, "start", limited)
        tw.set_num_threads(7)
        with pytest.warns(RuntimeWarning, match="can't start new thread") as said:
            found = [step(a, b).numpy().tobytes() for _ in range(5)]
        assert found == [expected] * 5
        assert len(said) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_a_fork_has_a_pool_of_its_own() -> None:
    code = """
import os, numpy as np, thalweg as tw
tw.set_num_threads(2)
x = tw.tensor(np.ones((300, 300), np.float32))
step = tw.compile(lambda x: (x @ x).sum())
before = step(x).item()
child = os.fork()
if child == 0:
    os._exit(0 if step(x).item() == before else 1)
after = step(x).item()
print(os.waitpid(child, 0)[1], after == before)
"""
    assert ended(code) == "0 True"


def test_a_process_ends_at_once_after_a_step() -> None:
    code = """
import numpy as np, thalweg as tw
tw.set_num_threads(8)
x = tw.tensor(np.ones((300, 300), np.float32))
step = tw.compile(lambda x: (x @ x).sum())
for _ in range(20):
    result = step(x)
print(result.item())
"""
    assert ended(code) == "27000000.0"


def ended(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr
    return done.stdout.strip()


# --- many steps in one call ------------------------------------------------------------------------------------------


def network() -> tuple[tw.nn.Module, tw.optim.Optimizer]:
    tw.manual_seed(0)
    model = tw.nn.Sequential(tw.nn.Linear(20, 64), tw.nn.ReLU(), tw.nn.Dropout(0.2), tw.nn.Linear(64, 3))
    return model, tw.optim.Adam(model.parameters(), lr=0.01)


def step_of(model: tw.nn.Module, optimizer: tw.optim.Optimizer):  # type: ignore[no-untyped-def]
    @tw.compile
    def step(x: tw.Tensor, y: tw.Tensor) -> tuple[tw.Tensor, tw.Tensor]:
        optimizer.zero_grad()
        scores = model(x)
        loss = tw.nn.functional.cross_entropy(scores, y)
        loss.backward()
        optimizer.step()
        return loss, scores

    return step


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((200, 20)).astype(np.float32)
    return inputs, generator.integers(0, 3, 200), generator.permutation(200)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.usefixtures("tiny_pieces")
def test_many_steps_are_the_steps_one_by_one(count: int) -> None:
    tw.set_num_threads(count)
    x, y, order = data()
    model, optimizer = network()
    step = step_of(model, optimizer)
    losses = [step(tw.tensor(x[rows]), tw.tensor(y[rows]))[0].item() for rows in order.reshape(20, 10)]
    parameters = [each.detach().numpy().tobytes() for each in model.parameters()]

    model, optimizer = network()
    step = step_of(model, optimizer)
    first, _ = step(tw.tensor(x[order[:10]]), tw.tensor(y[order[:10]]))
    done, (rest, scores) = step.many([x, y], order[10:], 10, lambda position, size: True)
    assert done == 19
    assert scores.shape == (19, 10, 3)
    assert [first.item(), *rest.tolist()] == losses
    assert [each.detach().numpy().tobytes() for each in model.parameters()] == parameters


def test_bad_data_end_the_loop_before_their_step() -> None:
    x, y, _ = data()
    y[57] = 9
    model, optimizer = network()
    step = step_of(model, optimizer)
    step(tw.tensor(x[:10]), tw.tensor(y[:10]))
    done, _ = step.many([x, y], np.arange(10, 200), 10)
    assert done == 4
    before = [each.detach().numpy().tobytes() for each in model.parameters()]
    with pytest.raises(tw.errors.IndexRangeError):
        step(tw.tensor(x[50:60]), tw.tensor(y[50:60]))
    assert [each.detach().numpy().tobytes() for each in model.parameters()] == before


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.usefixtures("tiny_pieces")
def test_a_loss_that_is_not_finite_ends_the_loop_after_its_step(count: int) -> None:
    tw.set_num_threads(count)
    x, y, _ = data()
    x[57] = np.inf
    model, optimizer = network()
    step = step_of(model, optimizer)
    step(tw.tensor(x[:10]), tw.tensor(y[:10]))
    done, (losses, _) = step.many([x, y], np.arange(10, 200), 10)
    assert done == 5
    assert np.isfinite(losses[:-1]).all()
    assert not np.isfinite(losses[-1])


def test_what_many_cannot_do_is_left_to_a_usual_call() -> None:
    x, y, _ = data()
    model, optimizer = network()
    step = step_of(model, optimizer)
    assert step.many([x, y], np.arange(100), 10) is None, "not traced yet"
    step(tw.tensor(x[:10]), tw.tensor(y[:10]))
    assert step.many([x, y], np.arange(100), 20) is None, "another batch size"
    assert step.many([x.astype(np.float64), y], np.arange(100), 10) is None, "another dtype"
    assert step.many([x[:, ::2], y], np.arange(100), 10) is None, "spread out in memory"
    assert step.many([x, y], np.array([0, 200]), 1) is None, "no such row"
    model.eval()
    assert step.many([x, y], np.arange(100), 10) is None, "the step means something else now"
