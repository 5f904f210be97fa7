"""The machine that programs are compiled for: what it is called, and what code it can run.

In: what LLVM finds out about the host, or a name in THALWEG_TARGET. Out: a `Target`: its name, its features, the width
and number of its vector registers, its clock. Nothing outside this file and the emitter knows the processor.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from thalweg.errors import ConfigurationError, explain

# Feature levels that compilers have agreed on; a program for a level runs on every processor that has it.
_SSE4 = "+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
_AVX2 = f"+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,{_SSE4}"
LEVELS = {
    "x86-64": "+sse,+sse2",
    "x86-64-v2": f"+cx16,{_SSE4}",
    "x86-64-v3": _AVX2,
    "x86-64-v4": f"{_AVX2},+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,-prefer-256-bit",
}


@dataclass(frozen=True)
class Target:
    """A processor as LLVM names it."""

    triple: str
    cpu: str
    features: str

    @functools.cached_property
    def vector_bytes(self) -> int:
        """Bytes of the widest vector register."""
        return 64 if self._has("avx512f") else 32 if self._has("avx2") else 16

    @functools.cached_property
    def registers(self) -> int:
        """How many vector registers there are."""
        return 32 if self._has("avx512f") or self.triple.startswith(("aarch64", "arm64")) else 16

    @functools.cached_property
    def fuses_multiply_add(self) -> bool:
        """Whether a b + c in one rounding is an instruction; where it is none, it is a call for each lane."""
        return self._has("fma") or not self.triple.startswith("x86")

    @property
    def clock(self) -> str:
        """The intrinsic that reads a counter of constant rate, which a program of the user may do."""
        return "llvm.readcyclecounter" if self.triple.startswith("x86") else "llvm.readsteadycounter"

    def _has(self, feature: str) -> bool:
        return f"+{feature}" in self.features.split(",")

    def missing(self) -> list[str]:
        """The features that this target has and the host has not: a program that uses them could not run here."""
        wanted = {each for each in self.features.split(",") if each.startswith("+")}
        return sorted(wanted - set(host().features.split(",")))

    def machine(self) -> Any:
        """LLVM's code generator for this target."""
        import llvmlite.binding as llvm

        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=2, reloc="pic", codemodel="jitdefault", jit=True
        )


@functools.cache
def host() -> Target:
    """This machine. LLVM's default would be 128-bit code for any x86-64, so cpu and features are named."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # Full-width vectors: without this flag AVX-512 machines get 256-bit code.
    features = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
    return Target(llvm.get_default_triple(), llvm.get_host_cpu_name(), features)


@functools.cache
def target_named(name: str) -> Target:
    """The target of a name: a level of x86-64, or ``native``."""
    if name == "native":
        return host()
    if name not in LEVELS:
        known = ", ".join([*LEVELS, "native"])
        raise ConfigurationError(
            explain("unknown target", received=repr(name), expected=f"one of {known}", where="THALWEG_TARGET")
        )
    return Target("x86_64-unknown-linux-gnu" if not host().triple.startswith("x86_64") else host().triple, name,
                  LEVELS[name])  # fmt: skip


_names = [os.environ.get("THALWEG_TARGET") or "native"]


def current_name() -> str:
    """The name of what is compiled for now: the innermost `compiling_for`, or THALWEG_TARGET, or this machine."""
    return _names[-1]


def current_target() -> Target:
    """The target of that name."""
    return target_named(_names[-1])


@contextmanager
def compiling_for(name: str) -> Iterator[Target]:
    """Compile for another target inside the block: for tests, and to look at what another machine would run."""
    _names.append(name)
    try:
        yield current_target()
    finally:
        _names.pop()


def refuse_foreign(target: Target) -> None:
    """A program with instructions that this processor lacks would end the process."""
    missing = target.missing()
    if missing:
        raise ConfigurationError(
            explain(
                "this processor cannot run programs for the chosen target",
                received=f"{target.cpu}, which needs {', '.join(missing)}",
                expected=f"a target that {host().cpu} can run",
                where="THALWEG_TARGET",
                remedy="unset THALWEG_TARGET, or choose a lower level",
            )
        )
