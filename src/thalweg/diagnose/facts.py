"""Plain facts about the data and the model of a run: ranges, classes, the loss of the best constant prediction.

In: arrays, the name of a loss, a model.
Out: dictionaries of numbers and texts that JSON holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg import nn
from thalweg.diagnose.layers import ACTIVATIONS
from thalweg.nn.module import Module

MOST_ENTRIES, FEWEST_ROWS = 1 << 16, 16
"""Of a larger array only about so many entries are looked at, spread over its rows, or so many rows. They are gone over
at the start of each watched run: 0.3 ms; 5 million entries took as long as 200 steps of a perceptron 784-128-10."""
MOST_CLASSES = 1000


def facts_of_array(array: np.ndarray) -> dict[str, Any]:
    """Shape, smallest, largest, mean, standard deviation, share of finite entries; of features their unequal spreads.

    >>> facts_of_array(np.array([[0.0], [4.0]]))["mean"]
    2.0
    """
    sample = some_rows(array)
    facts: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    if not sample.size or not np.issubdtype(sample.dtype, np.number):
        return facts
    values = sample.astype(np.float64)
    finite = np.isfinite(values)
    facts["finite_share"] = float(finite.mean())
    values = values[finite] if not finite.all() else values
    if values.size:
        facts |= {"smallest": float(values.min()), "largest": float(values.max()), "mean": float(values.mean()),
                  "std": float(values.std())}  # fmt: skip
    if values.ndim == 2 and len(values) > 1:
        spreads = values.std(0)
        facts["feature_std"] = [float(spreads.min()), float(spreads.max())]
    return facts


def some_rows(array: np.ndarray) -> np.ndarray:
    """Rows with `MOST_ENTRIES` entries, or nearly as many; all of a small array."""
    return array[:: max(1, min(-(-array.size // MOST_ENTRIES), len(array) // FEWEST_ROWS))]


def facts_of_targets(targets: np.ndarray) -> dict[str, Any]:
    """Those of an array and, for labels, the classes with their counts."""
    facts = facts_of_array(targets)
    is_labels = targets.size == len(targets) and np.issubdtype(targets.dtype, np.integer)
    if is_labels and len(targets):
        classes, counts = np.unique(targets, return_counts=True)
        if len(classes) <= MOST_CLASSES:
            facts["classes"], facts["counts"] = classes.tolist(), counts.tolist()
    return facts


def constant_loss(loss: str, targets: np.ndarray) -> float | None:
    """The loss of the best prediction that does not look at the inputs; None for a loss whose minimum is not known.

    Cross-entropy: the entropy of the labels; squared error: their variance; absolute error: their distance from the
    median; binary cross-entropy: the entropy of the mean.

    >>> constant_loss("mse", np.array([1.0, 3.0]))
    1.0
    """
    targets = some_rows(targets)
    name = loss.lower().replace("loss", "").replace("_", "")
    if name in ("crossentropy", "nll") and np.issubdtype(targets.dtype, np.integer):
        shares = np.unique(targets, return_counts=True)[1] / max(targets.size, 1)
        return float(-(shares * np.log(shares)).sum())
    values = targets.reshape(len(targets), -1).astype(np.float64)
    if name in ("crossentropy", "nll"):
        return float(_entropy(values.mean(0)).sum())
    if name == "mse":
        return float(values.var(0).mean())
    if name in ("mae", "l1"):
        return float(np.abs(values - np.median(values, axis=0)).mean())
    if name.startswith("bce"):
        return float((_entropy(values.mean(0)) + _entropy(1 - values.mean(0))).mean())
    return None


def _entropy(share: np.ndarray) -> np.ndarray:
    return np.asarray(-share * np.log(np.where(share > 0, share, 1.0)))


def facts_of_model(model: Module) -> dict[str, Any]:
    """The last module's activation, and the share that each dropout drops."""
    modules = [(path, each) for path, each in model.named_modules() if not any(True for _ in each.children())]
    last = modules[-1][1] if modules else model
    dropouts = {path: each.p for path, each in modules if isinstance(each, nn.Dropout | nn.Dropout1d | nn.Dropout2d)}
    parameters = sum(each.numel() for each in model.parameters())
    return {
        "output_activation": type(last).__name__ if isinstance(last, ACTIVATIONS) else None,
        "dropout": {path: float(share) for path, share in dropouts.items()},
        "parameters": int(parameters),
    }
