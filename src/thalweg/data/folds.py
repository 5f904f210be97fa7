"""Cross-validation: every sample is tested once, by a network that was trained without it.

In: how many samples, perhaps their classes, a seed.
Out: for each fold the numbers of its training and its test part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_count
from thalweg.data.seeding import checked_seed, permutation
from thalweg.data.splits import DEFAULT_SEED
from thalweg.errors import DataError, explain


def k_fold(
    count: int, folds: int = 10, labels: ArrayLike | None = None, seed: int | None = DEFAULT_SEED
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The parts of k-fold cross-validation.

    Args:
        count: how many samples there are; at least `folds`.
        folds: how many parts; each is the test part once.
        labels: shape (count,). If given, each class is spread over the folds as evenly as it goes.
        seed: the folds are a function of it; None draws a fresh one.

    Returns:
        (training, test) for each fold: int64 sample numbers, shuffled. Test parts differ by one sample at most.

    Raises:
        DataError: fewer samples than folds, labels of another length. ArgumentError: fewer than two folds.

    >>> sorted(number for _, test in k_fold(5, 2) for number in test.tolist())
    [0, 1, 2, 3, 4]
    """
    parts = checked_count("folds", folds, 2, "k_fold")
    values = None if labels is None else np.asarray(labels)
    if count < parts or (values is not None and values.shape != (count,)):
        received = f"{count} samples" + ("" if values is None else f", labels of shape {values.shape}")
        expected = f"at least {parts} samples" + ("" if values is None else f", labels of shape ({count},)")
        raise DataError(explain("these samples make no folds", received=received, expected=expected, where="k_fold"))
    order = permutation(count, checked_seed(seed, "k_fold"))
    dealt = order if values is None else order[np.argsort(values[order], kind="stable")]
    owner = np.empty(count, dtype=np.int64)
    owner[dealt] = np.arange(count) % parts  # dealt out like cards, class after class
    return [(order[owner[order] != fold], order[owner[order] == fold]) for fold in range(parts)]
