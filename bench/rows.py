"""Which rows there are: from the smallest training step to whole epochs, fresh processes and Thalweg against itself.

In: nothing. Out: `ROWS`, in the order of measuring; `chosen` finds rows by name or by group. A row's `table` says where
it stands in the document: single, two (threads), fit, itself, watch, avx2, process, batch, width, images, inference,
convolution, sequences. Rows of a group are run together, and a group can be run without the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product as every

from bench.peers import AVX2, Setting
from bench.rows_of_images import COMPILATION, IMAGES
from bench.rows_of_sequences import FRESH_SEQUENCES, SEQUENCES
from bench.workloads import Workload

TWO = Setting(threads=2)


def _dense(name: str, title: str, sizes: Iterable[int], batch: int, floor: float | None, **rest) -> Workload:
    return Workload(name, title, "dense", tuple(sizes), batch, floor=floor, **rest)


# --- one thread on each side -----------------------------------------------------------------------------------------

STEPS = (
    _dense("mlp-13", "MLP 13-32-16-1, batch 32, one call a step", (13, 32, 16, 1), 32, 15, loss="mse"),
    _dense("mlp-784", "MLP 784-128-10, batch 64", (784, 128, 10), 64, 2),
    _dense("mlp-784-plain", "the same as a plain PyTorch-style loop, undecorated", (784, 128, 10), 64, 1,
           is_compiled=False, peers=("torch",)),
    _dense("mlp-512", "MLP 784-512-512-10, batch norm and dropout, batch 128", (784, 512, 512, 10), 128, 1.3,
           has_batch_norm=True, dropout=0.2),
    _dense("deep-tanh", "24 layers of 64, tanh, batch 64", (*[64] * 25, 10), 64, 5, activation="tanh"),
)  # fmt: skip

OPERATIONS = (
    Workload("cross-entropy", "softmax cross-entropy, forward and backward, 128 x 1,000", "cross_entropy",
             (128, 1000), floor=1.5),
    Workload("cross-entropy-10", "softmax cross-entropy, forward and backward, 64 x 10", "cross_entropy",
             (64, 10), floor=1.5),
    Workload("layer-norm", "layer norm, forward and backward, 256 x 512", "layer_norm", (256, 512), floor=1.5),
    Workload("adam", "Adam on 10 million parameters (10 of 1,000 x 1,000)", "adam", (10, 1000, 1000), floor=1.0),
)  # fmt: skip

OVERHEADS = (
    Workload("call", "call of a compiled step of 2 arguments, 1 cell, 1 result, of one number each", "overhead", (1,),
             limit=5e-6, peers=("torch.compile", "jax")),
    Workload("call-and-read", "the same with its result read", "overhead_read", (1,),
             peers=("torch.compile", "jax")),
)  # fmt: skip

EXTENTS = (*((n, n, n) for n in (64, 128, 256, 512, 1024, 2048)), (64, 784, 128), (128, 512, 784))
PRODUCT_FLOOR, PRODUCT_MEAN_FLOOR = 0.85, 0.95


def _product(extents: tuple[int, ...], transposes: tuple[bool, bool]) -> Workload:
    letters = "".join("NT"[flag] for flag in transposes)
    name = "x".join(map(str, extents))
    return Workload(f"product-{name}-{letters}", name, "product", extents, transposes=transposes,
                    floor=PRODUCT_FLOOR, peers=("torch",))  # fmt: skip


PRODUCTS = tuple(_product(extents, turns) for extents in EXTENTS for turns in every((False, True), repeat=2))


def _at_avx2(row: Workload) -> Workload:
    """No row may fall behind where the processor has half the vector width."""
    return replace(row, name=f"avx2-{row.name}", floor=1.0, table="avx2", setting=Setting(target=AVX2), seconds=10)


AT_AVX2 = tuple(map(_at_avx2, (*STEPS, *OPERATIONS, *PRODUCTS)))

# --- two threads on each side ----------------------------------------------------------------------------------------

TWO_THREADS = tuple(
    replace(row, name=f"two-{row.name}", floor=floor, table="two", setting=TWO)
    for row, floor in ((STEPS[1], 2.8), (STEPS[3], 1.5))
)

_TRAINERS = ("torch", "keras", "sklearn")
_FITS = (
    Workload("fit-mlp-13", "MLP 13-32-16-1, batch 32, 4,096 examples", "fit", (13, 32, 16, 1), 32, loss="mse", floor=50,
             floors=(("keras", 50), ("sklearn", 3)), peers=_TRAINERS, table="fit", setting=TWO, examples=4096),
    Workload("fit-mnist", "MNIST, MLP 784-128-10, batch 64", "fit", (784, 128, 10), 64, floor=3, peers=_TRAINERS,
             table="fit", setting=TWO, rounds=5),
)  # fmt: skip


def _tuned(row: Workload) -> Workload:
    """The same against Keras as few use it: many steps in one call."""
    return replace(row, name=f"{row.name}-keras-16", floor=None, floors=(), peers=("keras.16",))


FITS = (*_FITS, *map(_tuned, _FITS))

_WIDE = (784, 512, 512, 10)
_SAME_SPEED = (("thalweg.one", 1.6),)
THREADS = (
    _dense("threads-mlp", "MLP 784-512-512-10, batch 512: 2 threads against 1", _WIDE, 512, None, floors=_SAME_SPEED,
           peers=("thalweg.one",), table="itself", setting=TWO),
    Workload("threads-product", "matrix product of 1,024 x 1,024 x 1,024: 2 threads against 1", "matmul",
             (1024, 1024, 1024), floors=_SAME_SPEED, peers=("thalweg.one",), table="itself", setting=TWO),
    _dense("threads-8", "MLP 784-512-512-10, batch 128: 8 threads on 2 processors against 2", _WIDE, 128, None,
           floors=(("thalweg.two", 1 / 1.5),), peers=("thalweg.two",), table="itself",
           setting=Setting(threads=8, processors=2)),
)  # fmt: skip

_WATCHED = {"family": "watched", "batch": 64, "peers": ("thalweg.plain",), "table": "watch", "examples": 64 * 100}
WATCHING = (
    Workload("watch-mlp-784", "MLP 784-128-10, batch 64: every layer watched at every step, against nothing watched",
             sizes=(784, 128, 10), floors=(("thalweg.plain", 1 / 1.05),), **_WATCHED),
    Workload("watch-lenet", "LeNet-5 on 28 x 28, batch 64: the same", sizes=(784, 10), network="lenet",
             floors=(("thalweg.plain", 1 / 1.03),), **_WATCHED),
)  # fmt: skip


def _series(name: str, value: int, sizes: tuple[int, ...], batch: int) -> Workload:
    """One point of a curve: no figure is asked for, but nobody should be ahead."""
    return _dense(f"{name}-{value}", f"{name} {value:,}", sizes, batch, 1.0, table=name, setting=TWO, rounds=5,
                  seconds=5)  # fmt: skip


BATCH_SIZES, WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096), (64, 128, 256, 512, 1024, 2048, 4096)
SERIES = (
    *(_series("batch", batch, (784, 128, 10), batch) for batch in BATCH_SIZES),
    *(_series("width", width, (784, width, width, 10), 128) for width in WIDTHS),
)

# --- in processes of their own ---------------------------------------------------------------------------------------


def _process(name: str, title: str, family: str, floor: float | None, **rest) -> Workload:
    given = {"peers": ("torch",), "sizes": (784, 128, 10), "rounds": 5, **rest}
    return Workload(name, title, family, batch=64, floor=floor, table="process", setting=TWO, **given)


PROCESSES = (
    _process("start-warm", "start of the process to the end of the first step, MLP 784-128-10; filled code cache",
             "first_step", 3),
    _process("start-empty", "the same; empty code cache", "first_step_empty_cache", 1),
    _process("memory", "resident memory above the data, one epoch of MNIST", "memory", 2, unit="bytes", rounds=3),
    _process("recompile", "kernels compiled after the last of three layers was changed, against all of its step",
             "recompile", None, unit="kernels", rounds=1, sizes=_WIDE, peers=("thalweg.whole",),
             floors=(("thalweg.whole", 1.5),)),
    COMPILATION,
    *FRESH_SEQUENCES,
)  # fmt: skip

WORKLOADS = (*STEPS, *OPERATIONS, *OVERHEADS)
ROWS = (
    *WORKLOADS, *PRODUCTS, *TWO_THREADS, *FITS, *THREADS, *WATCHING, *SERIES, *PROCESSES, *IMAGES, *SEQUENCES,
    *AT_AVX2,
)  # fmt: skip


# What is run together, and what one says to run it.
GROUPS = {
    "one-thread": "steps and single operations, one thread on each side",
    "products": "matrix products, one thread on each side",
    "two-threads": "steps, two threads on each side",
    "fit": "whole epochs",
    "threads": "Thalweg with more threads against Thalweg with fewer",
    "watch": "Thalweg with every layer watched against Thalweg with none",
    "batch": "a step over batch sizes",
    "width": "a step over widths",
    "images": "training steps of convolutional networks, two threads on each side",
    "inference": "answers of convolutional networks, two threads on each side",
    "convolutions": "single convolutions of 3x3 and their gradients, two threads on each side",
    "sequences": "training steps of networks on sequences and attention alone, two threads on each side",
    "fresh": "start, memory, compilation, imports",
    "avx2": "steps, operations and products where the processor has half the vector width",
}
_OF_TABLE = {
    "single": "one-thread",
    "two": "two-threads",
    "itself": "threads",
    "process": "fresh",
    "convolution": "convolutions",
}


def group_of(row: Workload) -> str:
    """The name of the rows that are run together with this one.

    >>> [group_of(each) for each in chosen(["mlp-13", "product-64x64x64-NN", "avx2-product-64x64x64-NN"])]
    ['one-thread', 'products', 'avx2']
    """
    return "products" if row in PRODUCTS else _OF_TABLE.get(row.table, row.table)


def chosen(patterns: Iterable[str]) -> list[Workload]:
    """The rows that are asked for by name, by the start of a name or by their group; all if nothing is asked for.

    >>> [each.name for each in chosen(["mlp-784", "call"])]
    ['mlp-784', 'call']
    >>> len(chosen(["product-64x64*"])), len(chosen(["products"]))
    (4, 32)
    """
    patterns = list(patterns)
    found = [row for row in ROWS if any(_fits(row, each) for each in patterns)] if patterns else list(ROWS)
    unknown = [each for each in patterns if not any(_fits(row, each) for row in ROWS)]
    if unknown:
        known = [*GROUPS, *(row.name for row in ROWS)]
        raise ValueError(f"no rows {', '.join(unknown)}; there are {', '.join(known)}")
    return found


def _fits(row: Workload, pattern: str) -> bool:
    return row.name.startswith(pattern[:-1]) if pattern.endswith("*") else pattern in (row.name, group_of(row))
