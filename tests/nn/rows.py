"""What a row of the table of module classes is, and the forms that most rows have.

In: nothing. Out: `Case`, and functions that make one for a class of a certain kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import thalweg as tw
from thalweg import nn


@dataclass(frozen=True)
class Case:
    """`build()` makes the module, `shapes` are those of its inputs; `integers` has the bounds of whole-number inputs.

    A bound is what such an input stays below, or a pair; `output` is the shape of the result, of several the first.
    """

    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    integers: tuple[int | tuple[int, int] | None, ...] = ()
    low: float = -1.0
    high: float = 1.0
    is_called: bool = True

    @property
    def name(self) -> str:
        return type(self.build()).__name__

    def above(self, low: float, high: float) -> Case:
        """The same with inputs from `low` to `high`."""
        return replace(self, low=low, high=high)

    def inputs(self, dtype: str = "float32") -> list[tw.Tensor]:
        generator = tw.Generator(3)
        bounds = self.integers or (None,) * len(self.shapes)
        return [
            tw.rand(*shape, generator=generator, dtype=dtype) * (self.high - self.low) + self.low
            if bound is None
            else tw.randint(*(bound if isinstance(bound, tuple) else (0, bound)), shape, generator=generator)
            for shape, bound in zip(self.shapes, bounds, strict=True)
        ]


def first(result: Any) -> Any:
    """The result, or the first of several."""
    return first(result[0]) if isinstance(result, tuple) else result


def same(build: Callable[[], nn.Module], shape: tuple[int, ...] = (4, 3), **options: float) -> Case:
    return Case(build, (shape,), shape, **options)  # type: ignore[arg-type]


def pair(build: Callable[[], nn.Module], output: tuple[int, ...] = (), **options: float) -> Case:
    return Case(build, ((4, 3), (4, 3)), output, **options)  # type: ignore[arg-type]


def labels(build: Callable[[], nn.Module], output: tuple[int, ...] = ()) -> Case:
    return Case(build, ((4, 3), (4,)), output, (None, 3))


def plane(build: Callable[[], nn.Module], shape: tuple[int, ...], output: tuple[int, ...]) -> Case:
    return Case(build, (shape,), output)
