"""The machine that programs are compiled for: what it is called, and what code it can run.

In: what LLVM finds out about the host. Out: a `Target`: its name, its features, the width and number of its vector
registers. Nothing outside this file and the emitter knows the processor.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A processor as LLVM names it."""

    triple: str
    cpu: str
    features: str

    @property
    def vector_bytes(self) -> int:
        """Bytes of the widest vector register."""
        return 64 if self._has("avx512f") else 32 if self._has("avx2") else 16

    @property
    def registers(self) -> int:
        """How many vector registers there are."""
        return 32 if self._has("avx512f") or self.triple.startswith("aarch64") else 16

    def _has(self, feature: str) -> bool:
        return f"+{feature}" in self.features.split(",")

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
