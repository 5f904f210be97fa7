"""Numbers and tables as plain text: aligned columns that a terminal, a file and a doctest can show.

In: arrays, and rows of cells. Out: lines. Numbers keep nine decimals in float64 and six significant digits in float32,
with their decimal points below one another; an array of more than a few entries is summarised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_ENTRIES = 4  # of an array that is written out


def number(value: float, dtype: str = "float64") -> str:
    """A number as the textbooks print it.

    >>> number(0.082167040564), number(0.05), number(1.5e-9), number(1 / 3, "float32")
    ('0.082167041', '0.05', '1.5000e-09', '0.333333')
    """
    if not dtype.startswith("float"):
        return str(value)
    size = abs(value)
    if not np.isfinite(value) or value == 0:
        return f"{value + 0.0:g}"  # -0 reads as 0
    if not 1e-5 <= size < 1e7:
        return f"{value:.4e}"
    decimals = 9 if dtype == "float64" else max(0, 5 - int(np.floor(np.log10(size))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def show(array: np.ndarray | None) -> str:
    """A value in one cell: a number, a few entries, or a summary."""
    if array is None:
        return ""
    dtype = array.dtype.name
    if not array.shape:
        return number(array.item(), dtype)
    if array.size <= MOST_ENTRIES:
        return _entries(array.tolist(), "float32" if dtype == "float64" else dtype)
    return summary(array)


def _entries(value: object, dtype: str) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_entries(each, dtype) for each in value) + "]"
    return number(value, dtype)  # type: ignore[arg-type]


def summary(array: np.ndarray) -> str:
    """Range and root mean square of a floating-point array; the range of another.

    >>> import numpy as np
    >>> summary(np.array([3.0, -4.0]))
    '-4 to 3, rms 3.53553'
    """
    if not array.size:
        return "empty"
    low, high = number(array.min().item(), "float32"), number(array.max().item(), "float32")
    if low == high:
        return f"all {low}"
    text = f"{low} to {high}"
    return text if array.dtype.kind != "f" else f"{text}, rms {number(root_mean_square(array), 'float32')}"


def root_mean_square(array: np.ndarray) -> float:
    values = np.asarray(array, np.float64)
    return float(np.sqrt(np.mean(values * values))) if values.size else 0.0


def shape_of(shape: Sequence[int]) -> str:
    """``64 x 10``; nothing for a number."""
    return " x ".join(map(str, shape))


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], points: Sequence[int] = (), indent: int = 2
) -> list[str]:
    """Lines of equal columns; one without any text is left out. In the columns `points`, decimal points are aligned.

    >>> print("\\n".join(table(("name", "value"), [("a", "12.5"), ("b", "-0.25")], points=[1])))
      name  value
      a     12.5
      b     -0.25
    """
    columns: list[list[str]] = [[row[index] for row in rows] for index in range(len(header))]
    for index in points:
        columns[index] = align_points(columns[index])
    kept = [index for index, column in enumerate(columns) if any(column)]
    header, columns = [header[index] for index in kept], [columns[index] for index in kept]
    widths = [max([len(head), *map(len, column)]) for head, column in zip(header, columns, strict=True)]
    lines = [tuple(header)] if any(header) else []
    lines += [tuple(cells) for cells in zip(*columns, strict=True)]
    margin = " " * indent
    return [
        (margin + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))).rstrip()
        for line in lines
    ]


def align_points(cells: Sequence[str]) -> list[str]:
    """Blanks before each number, so that the decimal points meet; other texts stay where they are."""
    before = [_whole_part(cell) for cell in cells]
    width = max(before, default=0)
    return [" " * (width - each) + cell if each else cell for each, cell in zip(before, cells, strict=True)]


def _whole_part(cell: str) -> int:
    """The characters before the decimal point of a plain number, 0 for anything else."""
    return len(cell.partition(".")[0].partition("e")[0]) if _is_number(cell) else 0


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "n" not in cell  # nan and inf have no decimal point
