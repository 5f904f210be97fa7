"""A step says what it needs before it runs; more than there is raises before anything is allocated."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn, optim
from thalweg.compile import memory_use
from thalweg.errors import MemoryLimitError

MIB = 1 << 20


def training(width=64, make=optim.Adam):
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))
    optimizer = make(model.parameters())

    @tw.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, model


def batch(size):
    x = np.random.default_rng(0).normal(size=(size, 32)).astype(np.float32)
    return tw.tensor(x), tw.tensor(np.zeros(size, np.int64))


def test_it_is_known_before_the_step_runs_and_is_what_is_allocated():
    step, model = training()
    before = [each.numpy().copy() for each in model.state_dict().values()]
    use = step.memory(*batch(128))
    assert not step._programs
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.state_dict().values(), strict=True))
    step(*batch(128))
    (compiled,) = step._programs.values()
    assert compiled.executable.native.arena_bytes == use.arena + use.scratch
    assert step.memory() == use
    assert use.parameters == sum(each.numel() for each in model.parameters()) * 4
    assert use.state >= 2 * use.parameters  # Adam's two moments
    assert use.batch == 128 * (32 * 4 + 8)
    assert use.results == 4


def test_it_names_layers_and_lines_and_explain_tells_it():
    step, _ = training()
    use = step.memory(*batch(512))
    largest = use.largest[0]
    assert largest.bytes >= 512 * 64 * 4
    assert largest.line.startswith(__file__)
    assert {each.layer for each in use.largest} >= {"1", "3"}
    assert sum(each.bytes for each in use.largest) <= use.arena
    step(*batch(512))
    assert "memory: " in str(step.explain())


@pytest.fixture
def has(monkeypatch):
    def only(limit):
        monkeypatch.setattr(memory_use, "_WORTH_ASKING", 0)
        monkeypatch.setattr(memory_use, "available_memory", lambda: limit)

    return only


@pytest.mark.parametrize("width", [64, 512])
def test_more_than_there_is_raises_and_the_batch_that_it_names_fits(has, width):
    step, model = training(width)
    needed = step.memory(*batch(1000)).needed
    has(needed // 2)
    before = model.state_dict()["0.weight"].numpy().copy()
    with pytest.raises(MemoryLimitError, match=r"a batch of at most \d+ \(it is 1000\)") as raised:
        step(*batch(1000))
    assert isinstance(raised.value, MemoryError)
    assert f"{__file__}:" in str(raised.value)
    fits = int(str(raised.value).split("at most ")[-1].split()[0])
    assert needed // 4 < step.memory(*batch(fits)).needed <= needed // 2
    step(*batch(fits))
    assert not np.array_equal(before, model.state_dict()["0.weight"].numpy())


def test_where_not_even_one_example_fits(has):
    step, _ = training(256)
    has(1000)
    with pytest.raises(MemoryLimitError, match="even a batch of 1"):
        step(*batch(64))


def test_where_nobody_knows_the_limit_the_step_runs(has):
    has(None)
    step, _ = training()
    assert step(*batch(8)).item() > 0


def test_a_trainer_knows_too(has):
    _, model = training()
    made = tw.Trainer(model, progress=False)
    x, y = (each.numpy() for each in batch(300))
    small, large = made.memory((x, y), batch_size=30), made.memory((x, y), batch_size=300)
    assert large.arena > 5 * small.arena
    assert large.parameters == small.parameters
    has((small.needed + large.needed) // 2)
    with pytest.raises(MemoryLimitError, match="a batch of at most"):
        made.fit((x, y), batch_size=300)
    made.fit((x, y), batch_size=30)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ulimit -v")
def test_a_real_limit_is_an_error_and_not_a_killed_process():
    code = (
        "import resource, thalweg as tw\n"
        "net = tw.nn.Sequential(tw.nn.Linear(8, 64), tw.nn.GELU(), tw.nn.Linear(64, 64), tw.nn.GELU())\n"
        "step = tw.compile(lambda x: net(x).cumsum(0).sum())\n"
        "step(tw.ones(16, 8))\n"
        "x = tw.ones(1_000_000, 8)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)\n"
        "try:\n    step(x)\n"
        "except tw.errors.MemoryLimitError as error:\n    print(str(error).splitlines()[0])\n"
        "print(step(tw.ones(16, 8)).shape)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "of memory, and" in result.stdout, result.stderr[-600:]
    assert result.stdout.endswith("()\n")
