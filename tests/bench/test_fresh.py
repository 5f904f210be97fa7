"""Rows that start a process for every figure: what is counted, where the code cache lies, what an error says.

In: commands that end at once. Out: failures where a process would be timed wrongly, or see another's cache.
"""

import sys
import time

import numpy as np
import pytest

from bench.client import WorkerError
from bench.datasets import examples, steps_of, write_arrays
from bench.fresh import FreshProcess
from bench.peers import ONE_THREAD
from bench.peers.fresh import most_resident
from bench.rows import ROWS

_SAYS_ITS_CACHE = """
import json, os
folder = os.environ["THALWEG_CACHE"]
print(json.dumps({"cost": len(os.listdir(folder))}), flush=True)
open(os.path.join(folder, "entry"), "w").close()
"""


class Fake(FreshProcess):
    """Runs some lines of Python instead of a library."""

    def __init__(self, code):
        super().__init__("thalweg", ONE_THREAD)
        self.code = code

    def command(self):
        return [sys.executable, "-c", self.code]


def test_the_code_cache_is_the_one_that_earlier_runs_filled_or_an_empty_one():
    with Fake(_SAYS_ITS_CACHE) as process:
        process.ask("build", name="start-warm")
        assert process.ask("run", calls=1)["seconds"] == 1
    with Fake(_SAYS_ITS_CACHE) as process:
        process.ask("build", name="start-empty")
        assert process.ask("run", calls=2)["seconds"] == 0


def test_what_a_process_does_not_count_is_its_time_up_to_the_answer():
    with Fake("import time; print('{}', flush=True); time.sleep(0.3)") as process:
        process.ask("build", name="start-warm")
        started = time.perf_counter()
        counted = process.ask("run", calls=1)["seconds"]
        assert 0 < counted <= time.perf_counter() - started - 0.3


def test_a_process_that_fails_says_why():
    with Fake("raise ValueError('no such thing')") as process, pytest.raises(WorkerError, match="no such thing"):
        process.ask("build", name="start-warm")


def test_workers_find_the_data_that_the_harness_wrote(tmp_path, monkeypatch):
    row = next(each for each in ROWS if each.name == "fit-mnist")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    examples.cache_clear()
    with pytest.raises(FileNotFoundError, match="no MNIST"):
        examples(row)
    write_arrays(tmp_path, np.zeros((130, 28, 28), np.float32), np.zeros(130, np.int64))
    assert examples(row)[0].shape == (130, 784)
    assert steps_of(row) == 3
    examples.cache_clear()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_most_that_was_resident_is_in_bytes():
    assert 10 << 20 < most_resident() < 100 << 30
