"""How one setting is written and what it may be: numbers in a range, choices, lists.

In: a text of the command line, or a value of a TOML or JSON file. Out: the value, checked; or a ValueError, which the
reader of the settings turns into a message that names the flag or the key.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Any, ClassVar


class Kind:
    """One way of writing a value. `metavar` stands for it in a usage line, `expected` says what it may be."""

    metavar: ClassVar[str] = ""
    is_switch: ClassVar[bool] = False

    @property
    def expected(self) -> str:
        raise NotImplementedError

    def parse(self, value: Any) -> Any:
        """The checked value. Raises ValueError for anything else."""
        raise NotImplementedError

    def remedy(self, value: Any) -> str | None:
        """What was probably meant, if that can be guessed."""
        return None


@dataclass(frozen=True)
class Number(Kind):
    """A finite number from `least` to `most`; without `least_allowed` it must be above `least`."""

    least: float = 0.0
    most: float = math.inf
    least_allowed: bool = True
    most_allowed: bool = True
    metavar = "NUMBER"

    @property
    def expected(self) -> str:
        low = f"{'at least' if self.least_allowed else 'above'} {self.least:g}"
        high = f", {'at most' if self.most_allowed else 'below'} {self.most:g}" if self.most < math.inf else ""
        return f"a number, {low}{high}"

    def parse(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float) or "_" in str(value):
            raise ValueError(value)
        number = float(value)
        low = self.least <= number if self.least_allowed else self.least < number
        high = number <= self.most if self.most_allowed else number < self.most
        if not (low and high and math.isfinite(number)):
            raise ValueError(value)
        return number


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number from `least` to `most`; 64 and 1e3 are whole, 0.5 is not."""

    least: int = 1
    most: int = 1_000_000_000
    metavar = "N"

    @property
    def expected(self) -> str:
        return f"a whole number from {self.least:,} to {self.most:,}"

    def parse(self, value: Any) -> int:
        number = Number(self.least, self.most).parse(value)
        if not number.is_integer():
            raise ValueError(value)
        return int(number)


@dataclass(frozen=True)
class Widths(Kind):
    """The widths of the hidden layers: "128,64", [128, 64], a single number, or "none" for no hidden layer."""

    least_count: int = 0
    metavar = "N,N,..."
    widest: ClassVar[int] = 65_536
    deepest: ClassVar[int] = 100

    @property
    def expected(self) -> str:
        return (
            f"widths from 1 to {self.widest:,} with commas between them, for example 128,64; none for no hidden layer"
        )

    def parse(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, str):
            value = [] if value.strip().lower() in ("none", "") else value.split(",")
        widths = tuple(Whole(1, self.widest).parse(each) for each in (value if isinstance(value, list) else [value]))
        if len(widths) > self.deepest:
            raise ValueError(value)
        return widths


@dataclass(frozen=True)
class Size(Kind):
    """Height and width of pictures: "120x160", [120, 160], or one number for a square."""

    most: ClassVar[int] = 4096
    metavar = "HxW"

    @property
    def expected(self) -> str:
        return f"height x width from 1 to {self.most:,}, for example 120x160; one number for a square"

    def parse(self, value: Any) -> tuple[int, int]:
        sides = value.lower().split("x") if isinstance(value, str) else value if isinstance(value, list) else [value]
        numbers = [Whole(1, self.most).parse(each) for each in sides]
        if len(numbers) not in (1, 2):
            raise ValueError(value)
        return numbers[0], numbers[-1]


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few names; hyphens, underscores and capitals do not matter."""

    names: tuple[str, ...]
    metavar = "NAME"

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.names)}"

    def parse(self, value: Any) -> str:
        known = {_plain(name): name for name in self.names}
        if not isinstance(value, str) or _plain(value) not in known:
            raise ValueError(value)
        return known[_plain(value)]

    def remedy(self, value: Any) -> str | None:
        close = difflib.get_close_matches(_plain(str(value)), [_plain(name) for name in self.names], n=1, cutoff=0.5)
        return f"did you mean {next(name for name in self.names if _plain(name) == close[0])}?" if close else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


@dataclass(frozen=True)
class Text(Kind):
    """A text, not empty: a path, the name of a column; a number is taken as its digits."""

    word: str = "text"

    @property
    def metavar(self) -> str:  # type: ignore[override]
        return self.word.upper()

    @property
    def expected(self) -> str:
        return f"a {self.word}"

    def parse(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip() or "\0" in str(value):
            raise ValueError(value)
        return str(value)


@dataclass(frozen=True)
class Character(Kind):
    """One character; \\t or "tab" for the tab."""

    metavar = "C"

    @property
    def expected(self) -> str:
        return "one character, or tab"

    def parse(self, value: Any) -> str:
        value = "\t" if value in ("\\t", "tab") else value
        if not isinstance(value, str) or len(value) != 1:
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Names(Kind):
    """Several texts with commas between them, or a list of texts and numbers."""

    metavar = "A,B,..."

    @property
    def expected(self) -> str:
        return "names (or numbers) of columns with commas between them"

    def parse(self, value: Any) -> tuple[str, ...]:
        listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
        return tuple(Text().parse(each).strip() for each in listed)


@dataclass(frozen=True)
class Switch(Kind):
    """On or off: a flag without a value, true or false in a file; `both_ways` has a --no- flag, too."""

    both_ways: bool = False
    is_switch = True

    @property
    def expected(self) -> str:
        return "true or false"

    def parse(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(value)
        return value
