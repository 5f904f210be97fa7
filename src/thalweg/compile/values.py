"""What the emitter computes with: registers and literals of LLVM that know their dtype and their number of lanes.

In: numbers and dtypes. Out: `Value`s, and how LLVM spells their types in registers and in memory.
Indices that count along the lanes are values too, made a vector only if someone asks; so are numbers of 32 bits.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.dtype import DType, bool_, float32, float64, int64, uint8
from thalweg.errors import ThalwegError


class NotEmittable(ThalwegError, NotImplementedError):
    """This operation has no native form (yet); the program is then run by its NumPy meaning."""


@dataclass(frozen=True)
class Value:
    """A register or literal of LLVM, with its dtype and its number of lanes."""

    name: str
    dtype: DType
    lanes: int = 1


Extent = int | Value  # how often a loop runs: known when the code is written, or a number in a register


class Counting(Value):
    """The indices start, start + step, start + 2 step, ... of a vector's lanes, made a vector only if someone asks.

    A load whose place counts by 1 is one vector load, by 0 one number, by anything else a gather.
    """

    e: Any
    start: Value
    step: int

    def __init__(self, e: Any, start: Value, step: int, lanes: int) -> None:
        for name, value in (("e", e), ("start", start), ("step", step), ("dtype", int64), ("lanes", lanes)):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        counts = ", ".join(f"i64 {lane * self.step}" for lane in range(self.lanes))
        return self.e.add(self.start, Value(f"<{counts}>", int64, self.lanes)).name


Terms = tuple[tuple[str, int], ...]  # registers, and how often each is in a sum


class Index(Value):
    """A sum of registers, each so many times, and a number: an index, which becomes a register only if someone asks.

    So the places of a tile's rows, or of a group's vectors, are one address with a number added to it, and nobody
    computes them one by one: half of what LLVM would have to read, simplify and make code of.
    """

    e: Any
    terms: Terms
    number: int

    def __init__(self, e: Any, terms: Terms, number: int) -> None:
        for name, value in (("e", e), ("terms", terms), ("number", number), ("dtype", int64), ("lanes", 1)):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        return self.e.shared(("index", self.terms, self.number), lambda: self.e.written(self)).name


def wrapped(number: int) -> int:
    """What is left of a number in 64 bits."""
    return (number + 2**63) % 2**64 - 2**63


@functools.cache
def place_in_text(register: str) -> int:
    """The number in a register's name; those of outer loops come first."""
    return int("0" + "".join(filter(str.isdecimal, register)))


# What every kernel takes behind the pointers to its buffers.
RUN_PARAMETERS = "ptr noalias %status, i64 %kernel, i64 %piece, ptr noalias %scratch"


class Word(Value):
    """Integers from 0 to 2^bits - 1, held in 32 bits each, and made int64 only if someone asks.

    A shift, a remainder or a conversion of them then takes half the registers, and none of what signs would need.
    """

    e: Any
    held: Value  # as int32
    bits: int

    def __init__(self, e: Any, held: Value, bits: int) -> None:
        for name, value in (("e", e), ("held", held), ("bits", bits), ("dtype", int64), ("lanes", held.lanes)):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        return self.e.shared(("wide", self.held.name), lambda: self.e.widened(self.held)).name


_REGISTER = {"bool": "i1", "uint8": "i8", "int32": "i32", "int64": "i64", "float32": "float", "float64": "double"}
_MEMORY = {**_REGISTER, "bool": "i8"}


def register_type(dtype: DType, lanes: int = 1) -> str:
    """How LLVM calls a value of this dtype in a register."""
    kind = _REGISTER[dtype.name]
    return kind if lanes == 1 else f"<{lanes} x {kind}>"


def memory_type(dtype: DType, lanes: int = 1) -> str:
    """How LLVM calls it in memory, where a bool is a byte."""
    kind = _MEMORY[dtype.name]
    return kind if lanes == 1 else f"<{lanes} x {kind}>"


def literal(value: bool | int | float, dtype: DType) -> Value:
    """A number as LLVM writes it; floats by their bits, so that nothing is lost."""
    if dtype is int64 and type(value) is int:
        return Value(str(wrapped(value)), int64)
    if dtype.is_floating_point:
        exact = float(np.float32(value)) if dtype is float32 else float(value)
        return Value(f"0x{struct.pack('>d', exact).hex().upper()}", dtype)
    if dtype is bool_:
        return Value("true" if value else "false", dtype)
    return Value(str(int(np.array(value).astype(dtype.numpy))), dtype)


def mangled(dtype: DType) -> str:
    """The name of a memory format in the name of an intrinsic."""
    return f"{'f' if dtype.is_floating_point else 'i'}{dtype.itemsize * 8}"


def conversion(source: DType, to: DType) -> str:
    """The instruction that converts."""
    if source.is_floating_point:
        if to.is_floating_point:
            return "fpext" if to is float64 else "fptrunc"
        return "fptoui" if to is uint8 else "fptosi"
    if to.is_floating_point:
        return "uitofp" if source in (bool_, uint8) else "sitofp"
    if to.itemsize < source.itemsize and source is not bool_:
        return "trunc"
    return "zext" if source in (bool_, uint8) else "sext"
