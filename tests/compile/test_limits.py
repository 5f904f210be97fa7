"""What a process may still take: of the machine, its control groups (both versions), its address space."""

from __future__ import annotations

import subprocess
import sys

import pytest

from thalweg.compile import limits
from thalweg.compile.limits import available_memory

MIB = 1 << 20
MACHINE = {"proc/meminfo": f"MemTotal: {64 * 1024} kB\nMemFree: 1 kB\nMemAvailable: {32 * 1024} kB"}
CASES = {
    "nothing is known": ({}, None),
    "the machine": (MACHINE, 32),
    "a group of version 2": (
        MACHINE | {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/memory.max": str(20 * MIB),
                   "sys/fs/cgroup/a/b/memory.current": str(8 * MIB)}, 12),
    "files in its caches can be given up": (
        MACHINE | {"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/memory.max": str(20 * MIB),
                   "sys/fs/cgroup/a/memory.current": str(8 * MIB),
                   "sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {3 * MIB}\n"}, 15),
    "an outer group binds": (
        MACHINE | {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/memory.max": str(6 * MIB),
                   "sys/fs/cgroup/a/memory.current": str(1 * MIB), "sys/fs/cgroup/a/b/memory.max": "max",
                   "sys/fs/cgroup/a/b/memory.current": "0"}, 5),
    "a group of version 1": (
        MACHINE | {"proc/self/cgroup": "4:memory:/docker/x\n0::/", "sys/fs/cgroup/memory/memory.limit_in_bytes":
                   str(9 * MIB), "sys/fs/cgroup/memory/memory.usage_in_bytes": str(2 * MIB)}, 7),
    "version 1 without a limit": (
        MACHINE | {"proc/self/cgroup": "4:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes":
                   str((1 << 63) - 4096), "sys/fs/cgroup/memory/memory.usage_in_bytes": "0"}, 32),
    "more is used than allowed": (
        MACHINE | {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "10", "sys/fs/cgroup/memory.current": "11"},
        0),
    "text that is no number": (
        {"proc/meminfo": "MemAvailable: much kB\nMemFree:\n", "proc/self/cgroup": "0::/",
         "sys/fs/cgroup/memory.max": "lots"}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_least_of_all_limits(tmp_path, case):
    files, expected = CASES[case]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = available_memory(str(tmp_path))
    assert found == (None if expected is None else expected * MIB)


@pytest.mark.skipif(limits.resource is None or not sys.platform.startswith("linux"), reason="asks Linux")
def test_the_address_space_of_a_process():
    code = (
        "import resource\n"
        "from thalweg.compile.limits import available_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "before = available_memory()\n"
        "held = bytearray(256 << 20)\n"
        "print(before < 2 << 30, before - available_memory() >= 250 << 20)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["True", "True"], result.stderr[-300:]
