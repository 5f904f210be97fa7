"""Pictures of a run: what a user looks at first to see whether, and how, a network has learnt.

In: the numbers of a run as plain lists and arrays. Out: figures: loss at each iteration and each epoch, learning rate,
gradient norm of each layer, confusion matrix, predicted against true values. `saved` writes one as PNG, `vector.svg_of`
puts it on a page. Pictures of pictures are in `grids`, those of layers over time in `layer_pictures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Okabe and Ito's colours, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN, GREY, DARK = "#0072b2", "#d55e00", "#009e73", "#8c8c8c", "#555555"
COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9", "#5a3d8a", "#000000")
ON_BLUE = "#fdfdfd"  # white in light and dark, while white itself is the colour of the page
DOTS_PER_INCH = 160
MOST_POINTS_OF_A_LINE = 2000
MOST_LAYERS = 12
"""Layers whose gradient is drawn; of more, some from the first to the last."""
MOST_NUMBERED_CLASSES, MOST_NAMED_CLASSES = 16, 60
LOGARITHMIC_FROM = 20.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
MEASURES = {"map_50": "mAP at 0.5", "map": "mAP 0.5 to 0.95", "macro_iou": "Mean IoU", "mean_iou": "Mean IoU",
            "iou": "IoU", "macro_f1": "Macro F1", "mean_dice": "Mean Dice"}  # fmt: skip
Numbers = Sequence[float | None]


def figure(width: float = 6.2, height: float = 3.8, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes, drawn by Agg: no display, no global state. Raises ImportError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(**options)
    for each in np.atleast_1d(np.asarray(axes, dtype=object)).ravel():
        each.spines[["top", "right"]].set_visible(False)
        each.grid(True, color="#e6e6e6", linewidth=0.7)
        each.set_axisbelow(True)
    return drawn, axes


# --- the course of training ------------------------------------------------------------------------------------------


def draw_loss(steps: Mapping[str, Numbers], epochs: Mapping[str, Numbers], best_epoch: int | None) -> Any:
    """The loss at each iteration: every step, smoothed, and the mean of each epoch on both parts."""
    drawn, axes = figure()
    step, loss = known(steps["step"], steps["loss"])
    ends = _epoch_ends(steps)
    axes.plot(*_thinned(step + 1, loss), color=BLUE, alpha=0.25, linewidth=0.8, label="each iteration")
    axes.plot(*_thinned(step + 1, smoothed(loss)), color=BLUE, linewidth=1.8, label="smoothed")
    validation = epochs.get("val_loss", [])
    x, y = known(ends[: len(validation)], validation)
    axes.plot(x, y, color=ORANGE, marker="o", markersize=3.5, linewidth=1.4, label="validation, each epoch")
    if best_epoch is not None and best_epoch < len(ends):
        _mark_best(axes, ends[best_epoch], best_epoch)
    logarithmic_where_wide(axes, [*_finite(loss), *_finite(validation)])
    axes.set(xlabel="iteration", ylabel="loss", title="Loss at each iteration")
    axes.legend(frameon=False)
    return drawn


def _mark_best(axes: Any, x: float, best_epoch: int) -> None:
    """A line there; its name stands in the legend, which finds a place for itself where nothing is drawn."""
    axes.axvline(x, color=GREY, linestyle=":", linewidth=1.6, zorder=1, label=f"best epoch: {best_epoch + 1}")


def measures_of(epochs: Mapping[str, Numbers]) -> list[str]:
    """The loss and the metrics that are known on both parts."""
    return [name.removeprefix("val_") for name in epochs if name.startswith("val_")]


def draw_epochs(epochs: Mapping[str, Numbers], best_epoch: int | None, names: Sequence[str]) -> Any:
    """Loss and metrics by epoch, on the training and the validation part, side by side."""
    drawn, axes = figure(max(4.6 * len(names), 6.2), 3.8, ncols=len(names), squeeze=False)
    for each, name in zip(axes[0], names, strict=True):
        for label, key, colour in (("training", name, BLUE), ("validation", f"val_{name}", ORANGE)):
            x, y = known(range(1, len(epochs[key]) + 1), epochs[key])
            each.plot(x, y, color=colour, marker="o", markersize=3, linewidth=1.4, label=label)
        if best_epoch is not None:
            _mark_best(each, best_epoch + 1, best_epoch)
        logarithmic_where_wide(each, [*_finite(epochs[name]), *_finite(epochs[f"val_{name}"])])
        each.set(xlabel="epoch", title=measure_name(name))
        each.xaxis.get_major_locator().set_params(integer=True)
    axes[0][0].legend(frameon=False)
    return drawn


def draw_learning_rate(steps: Mapping[str, Numbers]) -> Any:
    """The learning rate at each iteration."""
    drawn, axes = figure()
    step, rate = known(steps["step"], steps["learning_rate"])
    axes.plot(*_thinned(step + 1, rate), color=GREEN, linewidth=1.8)
    axes.set_ylim(bottom=0, top=1.08 * max(rate.max(initial=0.0), 1e-12))
    axes.set(xlabel="iteration", ylabel="learning rate", title="Learning rate at each iteration")
    return drawn


def draw_gradient_norms(steps: Mapping[str, Numbers]) -> Any:
    """The norm of each layer's gradient over time, before clipping, on a logarithmic axis."""
    drawn, axes = figure()
    names = spread([name for name in steps if name.startswith("gradient_norm/")], MOST_LAYERS)
    for number, name in enumerate(names):
        step, norm = known(steps["step"], steps[name])
        step, norm = step[norm > 0], norm[norm > 0]
        colour, label = COLOURS[number % len(COLOURS)], name.removeprefix("gradient_norm/")
        axes.plot(*_thinned(step + 1, norm), color=colour, alpha=0.25, linewidth=0.7)
        style = "-" if number < len(COLOURS) else "--"
        axes.plot(*_thinned(step + 1, smoothed(norm)), color=colour, linestyle=style, linewidth=1.8, label=label)
    logarithmic(axes)
    axes.set(xlabel="iteration", ylabel="Euclidean norm", title="Gradient norm of each layer")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return drawn


# --- the test part ---------------------------------------------------------------------------------------------------


def draw_confusion(matrix: np.ndarray, classes: Sequence[Any]) -> Any:
    """Which classes are taken for which: counts, shaded by the share of the true class."""
    count = len(classes)
    size = float(np.clip(2.6 + 0.42 * count, 4.4, 11.0))
    drawn, axes = figure(size + 0.9, size)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap=_from_clear_to(BLUE), vmin=0.0, vmax=1.0)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    if count <= MOST_NAMED_CLASSES:
        texts = [short(name) for name in classes]
        is_long = max(map(len, texts)) > 3
        axes.set_xticks(range(count), texts, rotation=90 if is_long and count > 4 else 0)
        axes.set_yticks(range(count), texts)
    if count <= MOST_NUMBERED_CLASSES:
        _write_counts(axes, matrix, shares)
    accuracy = np.trace(matrix) / max(matrix.sum(), 1)
    axes.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix, test part: accuracy {accuracy:.2%}")
    drawn.colorbar(picture, ax=axes, shrink=0.8, label="share of the true class")
    return drawn


def _from_clear_to(colour: str) -> Any:
    """Shades that begin with what lies behind, so that they fit a light page and a dark one."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    return LinearSegmentedColormap.from_list("shade", [(*to_rgb(colour), 0.0), (*to_rgb(colour), 1.0)])


def _write_counts(axes: Any, matrix: np.ndarray, shares: np.ndarray) -> None:
    for row, column in np.argwhere(matrix > 0):
        colour = ON_BLUE if shares[row, column] > 0.55 else "#222222"
        axes.text(column, row, f"{matrix[row, column]:,.0f}", ha="center", va="center", color=colour, fontsize=8)


def draw_predictions(true: np.ndarray, predicted: np.ndarray, name: str, summary: str) -> Any:
    """Predicted against true values: a point for each row; on the line they are equal."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    drawn, axes = figure(5.6, 5.4)
    low, high = (float(bound([true.min(), true.max()])) for bound in (min, max))
    margin = 0.04 * ((high - low) or 1.0)
    low, high = low - margin, high + margin
    outside = int(((predicted < low) | (predicted > high)).sum())
    alpha = float(np.clip(600 / len(true), 0.1, 0.7))
    axes.scatter(true, predicted, s=7, alpha=alpha, color=BLUE, linewidths=0, rasterized=True)
    axes.plot([low, high], [low, high], color=ORANGE, linewidth=1.4, label="predicted = true")
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"true {short(name, 40)}", aspect="equal")
    axes.set(ylabel=f"predicted {short(name, 40)}", title=f"Test part: {summary}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:g}"))
    if outside:
        text = f"{outside} predictions lie outside"
        axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", fontsize=8, color=DARK)
    axes.legend(frameon=False, loc="upper left")
    return drawn


# --- what they share -------------------------------------------------------------------------------------------------


def measure_name(name: str) -> str:
    """How a measure is called in words.

    >>> [measure_name(each) for each in ("loss", "rmse", "pixel_accuracy", "map_50")]
    ['Loss', 'RMSE', 'Pixel accuracy', 'mAP at 0.5']
    """
    short_forms = name in ("rmse", "mae", "r2")
    return MEASURES.get(name) or (name.upper() if short_forms else name.replace("_", " ").capitalize())


def spread(names: Sequence[str], most: int) -> list[str]:
    """At most so many of the names, evenly from the first to the last.

    >>> spread(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    if len(names) <= most:
        return list(names)
    return [names[round(place * (len(names) - 1) / (most - 1))] for place in range(most)]


def smoothed(values: np.ndarray, share: float = 0.02) -> np.ndarray:
    """The mean over a window of about `share` of the values around each one; shorter windows at the ends.

    >>> smoothed(np.array([1.0, 2.0, 6.0]), share=1.0)
    array([1.5, 3. , 4. ])
    """
    half = math.ceil(share * len(values)) // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def known(x: Sequence[Any] | range, y: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose value is a finite number."""
    values = np.array([math.nan if each is None else each for each in y], dtype=np.float64)
    places = np.asarray(list(x), dtype=np.float64)
    kept = np.isfinite(values)
    return places[kept], values[kept]


def _finite(values: Any) -> list[float]:
    return [float(each) for each in values if each is not None and math.isfinite(each)]


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    every = max(1, len(x) // MOST_POINTS_OF_A_LINE)
    return x[::every], y[::every]


def _epoch_ends(steps: Mapping[str, Numbers]) -> list[int]:
    """The number of iterations after each epoch."""
    epochs = np.asarray(steps["epoch"], dtype=np.int64)
    last = np.flatnonzero(np.diff(epochs, append=epochs[-1:] + 1))
    return [int(steps["step"][int(index)] or 0) + 1 for index in last]


def logarithmic_where_wide(axes: Any, values: list[float]) -> None:
    """A logarithmic axis for positive values that span more than a factor of `LOGARITHMIC_FROM`."""
    if values and min(values) > 0 and max(values) / min(values) > LOGARITHMIC_FROM:
        logarithmic(axes)


def logarithmic(axes: Any) -> None:
    """A logarithmic axis with plain numbers on it; those between powers of ten only where there are few powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(plain)
    if high / low < 100:
        axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axes.yaxis.set_minor_formatter(plain)
    else:
        axes.yaxis.set_minor_formatter(NullFormatter())


def short(name: Any, most: int = 16) -> str:
    """A name that fits, with nothing in it that matplotlib would take for a formula."""
    text = str(name)
    return (text if len(text) <= most else text[: most - 2] + "…").replace("$", r"\$")


def saved(drawn: Any, path: Path) -> Path:
    """The figure as a PNG, the same bytes every time."""
    settle(drawn)
    drawn.savefig(path, metadata={"Software": None})
    return path


def settle(drawn: Any) -> None:
    """Give every part of the figure its place, once: matplotlib would draw it twice for that, a third of the time."""
    engine = drawn.get_layout_engine()
    if engine is not None:
        engine.execute(drawn)
        drawn.set_layout_engine("none")
