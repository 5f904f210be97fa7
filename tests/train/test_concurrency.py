"""Several trainings at once: in threads, in processes that share a cache and a place for runs, and after a fork.

In: the same small trainings, alone and beside others. Out: the same bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import thalweg as tw
from tests.support.training import classes, network, trainer, weights

KINDS = [(hidden, optimizer, seed) for seed, (hidden, optimizer) in
         enumerate([(8, "adam"), (16, "sgd"), (8, "adamw"), (12, "rmsprop")])]  # fmt: skip


def trained(hidden, optimizer, seed):
    """A digest of the weights of a training with dropout, that has its seed itself."""
    made = trainer(network(hidden=hidden, dropout=0.3, seed=seed), optimizer=optimizer, lr=0.01, seed=seed)
    made.fit(classes(60, seed), epochs=4, batch_size=12)
    return digest(made.model)


def digest(model):
    return hashlib.sha256(b"".join(array.tobytes() for array in weights(model).values())).hexdigest()


@pytest.fixture(scope="module")
def alone():
    return [trained(*kind) for kind in KINDS]


def test_trainers_in_threads_do_not_disturb_one_another(alone):
    """Initialisation draws from the process's generator, so models are made before; the rest is the trainer's own."""
    made = [trainer(network(hidden=hidden, dropout=0.3, seed=seed), optimizer=optimizer, lr=0.01, seed=seed)
            for hidden, optimizer, seed in KINDS]  # fmt: skip
    failures = []

    def fit(index):
        try:
            made[index].fit(classes(60, KINDS[index][2]), epochs=4, batch_size=12)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fit, args=(index,)) for index in range(len(made))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [digest(each.model) for each in made] == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python says so where there are threads
def test_a_child_of_a_fork_trains_and_gets_the_same_bits(alone):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.write(write, json.dumps([trained(*kind) for kind in KINDS[:2]]).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        content = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    assert json.loads(content) == alone[:2]
    assert trained(*KINDS[0]) == alone[0]


PROGRAM = """
import sys
from thalweg.cli import main
sys.exit(main(["train", "digits", "--epochs", "1", "--layers", "4", "--no-pictures", "--quiet", "--doctor", "off"]))
"""


@pytest.mark.slow
def test_processes_share_a_cache_and_a_place_for_runs(tmp_path):
    """Three commands at once, on an empty cache and in one folder: three runs, numbered, of the same bits."""
    environment = os.environ | {"THALWEG_CACHE": str(tmp_path / "cache"), "THALWEG_THREADS": "1",
                                "PYTHONPATH": str(Path(tw.__file__).parents[1])}  # fmt: skip
    running = [subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, stderr=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True) for _ in range(3)]  # fmt: skip
    said = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    runs = sorted((tmp_path / "runs").iterdir())
    assert [run.name for run in runs] == ["digits-001", "digits-002", "digits-003"]
    assert len({(run / "model.safetensors").read_bytes() for run in runs}) == 1
    for run in runs:
        begin, *_, end = map(json.loads, (run / "log.jsonl").read_text().splitlines())
        assert (begin["event"], end["event"]) == ("run_begin", "run_end")
        assert begin["versions"]["thalweg"] == tw.__version__
        assert {"command", "seed", "git_commit", "machine"} <= begin.keys()
