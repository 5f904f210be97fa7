"""The switches for looking inside, each read once: THALWEG_DEBUG and THALWEG_VALIDATE; and the time of each stage.

In: a level from 0 (nothing) to 6. Out: text on stderr. 1 is a line a program, 2 adds a table of its kernels with times,
3 their loop text, 4 the program before and after each pass, 5 LLVM text, 6 assembly.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.errors import ConfigurationError, explain

SUMMARY, KERNELS, LOOPS, PASSES, LLVM, ASSEMBLY = range(1, 7)


def level_of(text: str) -> int:
    """The level that a value of THALWEG_DEBUG means."""
    if not text:
        return 0
    if not text.isdecimal() or int(text) > ASSEMBLY:
        raise ConfigurationError(
            explain("not a level of THALWEG_DEBUG", received=repr(text), expected=f"a number from 0 to {ASSEMBLY}")
        )
    return int(text)


class Settings(threading.local):
    """What differs from thread to thread: how much is told and where, whether kernels are compared, and the watch."""

    level: int = level_of(os.environ.get("THALWEG_DEBUG", ""))
    stream: Any = None
    name: str = ""  # of the step that is being compiled
    validate: bool = os.environ.get("THALWEG_VALIDATE", "") not in ("", "0")
    seconds: dict[str, float] | None = None


settings = Settings()


@contextmanager
def debugging(level: int, stream: Any = None) -> Iterator[None]:
    """The same switch for a block of code; `stream` is where the text goes instead of stderr."""
    before = settings.level, settings.stream
    settings.level, settings.stream = level, stream
    try:
        yield
    finally:
        settings.level, settings.stream = before


@contextmanager
def validating(on: bool = True) -> Iterator[None]:
    """Compare every kernel that runs inside the block with its NumPy meaning: THALWEG_VALIDATE=1 for a block."""
    before, settings.validate = settings.validate, on
    try:
        yield
    finally:
        settings.validate = before


def tell(text: str) -> None:
    """One piece of text, at once."""
    stream = settings.stream or sys.stderr
    stream.write(text + "\n")
    stream.flush()


@contextmanager
def naming(name: str) -> Iterator[None]:
    """What is compiled inside the block is told under this name."""
    before, settings.name = settings.name, name
    try:
        yield
    finally:
        settings.name = before


# --- the time that each stage takes ----------------------------------------------------------------------------------


@contextmanager
def watch() -> Iterator[dict[str, float]]:
    """The seconds of every `stage` inside the block, by name."""
    before, settings.seconds = settings.seconds, {}
    try:
        yield settings.seconds
    finally:
        settings.seconds = before


@contextmanager
def stage(name: str) -> Iterator[None]:
    """A part of compiling whose time is taken."""
    start = time.perf_counter()
    try:
        yield
    finally:
        if settings.seconds is not None:
            settings.seconds[name] = settings.seconds.get(name, 0.0) + time.perf_counter() - start
