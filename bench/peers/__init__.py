"""The sides of the comparison: which process stands for each, and what it runs under.

In: names from the command line and the `Setting` of a row. Out: `SIDES`, the environment of a worker, its processors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

AVX2 = "x86-64-v3"  # the level at which the peers, too, are told to leave AVX-512 alone


@dataclass(frozen=True)
class Setting:
    """What every process of a row runs under."""

    threads: int = 1
    processors: int | None = None  # that it is held to; as many as threads if nothing is said
    target: str = "native"

    @property
    def width(self) -> int:
        return self.processors or self.threads

    def with_threads(self, threads: int) -> Setting:
        """The same for a side that runs with another number of threads."""
        return replace(self, threads=threads, processors=min(self.width, threads))


ONE_THREAD = Setting()


@dataclass(frozen=True)
class Side:
    """One column of the table. Variants are ways of doing a family of rows, of which the fastest counts."""

    key: str
    label: str
    module: str
    has_thread_choice: bool = False  # measured with 1 thread too where more are allowed; the better one counts
    threads: int | None = None  # its own number, whatever the row says
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def settings(self, setting: Setting) -> tuple[Setting, ...]:
        """What the row's setting becomes for this side; several where the number of threads is chosen."""
        if self.threads is not None:
            return (setting.with_threads(self.threads),)
        if self.has_thread_choice and setting.threads > 1:
            return (setting.with_threads(1), setting)
        return (setting,)


# The families of single convolutions of 3 x 3, and the orders of axes in which PyTorch can hold images in memory.
CONVOLUTIONS = ("convolution_forward", "convolution_data_gradient", "convolution_weight_gradient")
CHANNELS_LAST = "channels last"
_ORDERS = dict.fromkeys(("image_step", "image_inference", *CONVOLUTIONS), ("NCHW", CHANNELS_LAST))
_LOOPS = {"fit": ("slices of shuffled arrays", "rows gathered batch by batch", "DataLoader")}
_DEFAULT, _SIXTEEN = {"fit": ("one step a call",)}, {"fit": ("16 steps a call",)}

SIDES = {
    side.key: side
    for side in (
        Side("thalweg", "Thalweg", "bench.peers.thalweg_side"),
        Side("torch", "PyTorch", "bench.peers.torch_side", has_thread_choice=True, variants={**_LOOPS, **_ORDERS}),
        Side(
            "torch.compile", "torch.compile", "bench.peers.torch_compile_side", has_thread_choice=True, variants=_ORDERS
        ),
        Side("jax", "JAX jit", "bench.peers.jax_side", has_thread_choice=True),
        Side("keras", "Keras", "bench.peers.keras_side", has_thread_choice=True, variants=_DEFAULT),
        Side(
            "keras.16",
            "Keras, steps_per_execution=16",
            "bench.peers.keras_side",
            has_thread_choice=True,
            variants=_SIXTEEN,
        ),
        Side("sklearn", "scikit-learn", "bench.peers.sklearn_side", has_thread_choice=True),
        # Thalweg against itself.
        Side("thalweg.one", "Thalweg, 1 thread", "bench.peers.thalweg_side", threads=1),
        Side("thalweg.two", "Thalweg, 2 threads", "bench.peers.thalweg_side", threads=2),
        Side("thalweg.plain", "Thalweg, nothing watched", "bench.peers.thalweg_plain"),
        Side("thalweg.whole", "Thalweg, from nothing", "bench.peers.thalweg_fresh"),
        Side("thalweg.scores", "the matrix of scores alone", "bench.peers.thalweg_fresh"),
    )
}
ITSELF = tuple(key for key in SIDES if key.startswith("thalweg."))

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "THALWEG_THREADS")
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
         "OPENBLAS_CORETYPE": "Haswell"}  # fmt: skip


def environment(setting: Setting) -> dict[str, str]:
    """What tells OpenMP, MKL, OpenBLAS, XLA and Thalweg how many threads they may use, and which instructions."""
    flags = ["--xla_cpu_multi_thread_eigen=false"] if setting.threads == 1 else []
    if setting.target == AVX2:
        flags.append("--xla_cpu_max_isa=AVX2")
    return {
        **os.environ,
        **dict.fromkeys(_THREADS, str(setting.threads)),
        **(_AVX2 if setting.target == AVX2 else {}),
        "THALWEG_TARGET": setting.target,
        "THALWEG_CACHE": "off",  # first calls compile; rows about the cache name a folder
        "XLA_FLAGS": " ".join(flags),
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax"),
    }


def processors(count: int) -> set[int] | None:
    """The last processors that we may use: a worker is held to them, so that no library starts threads elsewhere."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return set(sorted(os.sched_getaffinity(0))[-count:])
