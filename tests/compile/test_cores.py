"""How many threads a step may use: affinity, quotas of containers, hyper-threads, and what the user chose.

In: the files of other machines, made up in a folder; values of THALWEG_THREADS and `set_num_threads`. Out: numbers.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import thalweg as tw
from thalweg.compile import cores
from thalweg.compile.cores import MOST_THREADS, default_threads, usable_cores
from thalweg.errors import ArgumentError, ConfigurationError


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.setattr(cores, "_chosen", [0])


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of eight processors; `machine(path, text)` writes one of its files."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def write(path: str, text: str) -> str:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
        return str(tmp_path)

    write("proc/uptime", "")
    write.root = str(tmp_path)
    return write


# --- What the machine gives ------------------------------------------------------------------------------------------


def test_a_machine_that_says_nothing_gives_every_processor(machine):
    assert usable_cores(machine.root) == default_threads(machine.root) == 8


def test_affinity_counts(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 7, 900})
    assert usable_cores(machine.root) == 3


def test_pythons_own_count_is_the_most(machine, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert usable_cores(machine.root) == 2


@pytest.mark.parametrize("count", [None, 4])
def test_a_system_without_affinity_gives_what_python_counts(machine, monkeypatch, count):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores(machine.root) == (count or 1)


def test_affinity_that_cannot_be_asked_does_not_count(machine, monkeypatch):
    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    assert usable_cores(machine.root) == 8


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1 100000", 1),
        ("9999999 100000", 8),
        ("max 100000", 8),
        ("0 100000", 8),
        ("100000 0", 8),
        ("100000", 8),
        ("", 8),
        ("many few", 8),
        ("½ 1", 8),
    ],
)
def test_the_quota_of_a_container_is_rounded_up(machine, text, cores):
    machine("proc/self/cgroup", "0::/")
    assert usable_cores(machine("sys/fs/cgroup/cpu.max", text)) == cores


def test_the_quota_of_an_outer_group_binds_the_inner(machine):
    machine("proc/self/cgroup", "0::/user.slice/job.scope")
    machine("sys/fs/cgroup/user.slice/cpu.max", "300000 100000")
    assert usable_cores(machine("sys/fs/cgroup/user.slice/job.scope/cpu.max", "max 100000")) == 3
    assert usable_cores(machine("sys/fs/cgroup/user.slice/job.scope/cpu.max", "400000 100000")) == 3
    assert usable_cores(machine("sys/fs/cgroup/user.slice/job.scope/cpu.max", "200000 100000")) == 2


@pytest.mark.parametrize("path", ["/docker/0123", "/../other", "/"])
def test_a_path_of_the_host_leaves_the_group_of_the_container(machine, path):
    machine("proc/self/cgroup", f"0::{path}")
    assert usable_cores(machine("sys/fs/cgroup/cpu.max", "100000 100000")) == 1


@pytest.mark.parametrize(
    ("controllers", "mount"), [("cpu,cpuacct", "cpu,cpuacct"), ("cpu,cpuacct", "cpu"), ("cpu", "cpu")]
)
def test_the_quota_of_version_1_counts(machine, controllers, mount):
    machine("proc/self/cgroup", f"12:memory:/docker/1\n4:{controllers}:/docker/1\n1:name=systemd:/docker/1")
    machine(f"sys/fs/cgroup/{mount}/docker/1/cpu.cfs_period_us", "100000")
    assert usable_cores(machine(f"sys/fs/cgroup/{mount}/docker/1/cpu.cfs_quota_us", "250000")) == 3
    assert usable_cores(machine(f"sys/fs/cgroup/{mount}/docker/1/cpu.cfs_quota_us", "-1")) == 8


def test_the_quota_of_version_2_beside_version_1_counts(machine):
    machine("proc/self/cgroup", "2:cpuset:/\n0::/job")
    assert usable_cores(machine("sys/fs/cgroup/unified/job/cpu.max", "100000 100000")) == 1


def test_the_quotas_of_other_controllers_do_not(machine):
    machine("proc/self/cgroup", "4:cpuset:/\n5:memory:/")
    machine("sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000")
    assert usable_cores(machine("sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "100000")) == 8


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_hyper_threads_of_one_core_count_once(machine, name):
    for number in range(8):
        root = machine(f"sys/devices/system/cpu/cpu{number}/topology/{name}", f"{number % 4},{number % 4 + 4}")
    assert default_threads(root) == 4
    assert usable_cores(root) == 8


def test_cores_of_other_processes_do_not_count(machine, monkeypatch):
    for number in range(8):
        root = machine(f"sys/devices/system/cpu/cpu{number}/topology/core_cpus_list", f"{number // 2}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4})
    assert default_threads(root) == 2
    assert usable_cores(root) == 3


def test_a_processor_of_which_nothing_is_known_is_a_core(machine):
    assert default_threads(machine("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-1")) == 8


def test_the_default_keeps_to_the_quota(machine):
    machine("proc/self/cgroup", "0::/")
    assert default_threads(machine("sys/fs/cgroup/cpu.max", "300000 100000")) == 3


def test_this_machine_gives_something():
    assert 1 <= default_threads() <= usable_cores() <= (os.cpu_count() or 1)


# --- What the user chooses -------------------------------------------------------------------------------------------


def test_without_a_choice_there_is_a_thread_for_each_core():
    assert tw.get_num_threads() == default_threads()


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("THALWEG_THREADS", " 3 ")
    assert tw.get_num_threads() == 3


def test_an_empty_variable_chooses_nothing(monkeypatch):
    monkeypatch.setenv("THALWEG_THREADS", "")
    assert tw.get_num_threads() == default_threads()


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "1025", "²", "1_0", "9" * 5000])
def test_a_variable_that_is_no_number_of_threads_is_refused(monkeypatch, value):
    monkeypatch.setenv("THALWEG_THREADS", value)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="THALWEG_THREADS") as caught:
            tw.get_num_threads()
    assert f"from 1 to {MOST_THREADS}" in str(caught.value)


@pytest.mark.parametrize("number", [1, 2, 8, MOST_THREADS, np.int64(4)])
def test_the_program_chooses_last(monkeypatch, number):
    monkeypatch.setenv("THALWEG_THREADS", "3")
    tw.set_num_threads(number)
    assert tw.get_num_threads() == number
    assert type(tw.get_num_threads()) is int


@pytest.mark.parametrize("number", [0, -1, MOST_THREADS + 1, 2.0, True, np.True_, "2", None, np.float32(2), [2]])
def test_what_is_no_number_of_threads_is_refused_and_changes_nothing(number):
    tw.set_num_threads(5)
    with pytest.raises(ArgumentError, match="set_num_threads") as caught:
        tw.set_num_threads(number)
    assert type(number).__name__ in str(caught.value)
    assert tw.get_num_threads() == 5
