"""Cutting a set of samples into parts: by size, by fraction, and with every class in its proportion.

In: data sets or arrays, sizes, a seed.
Out: `Subset`s or arrays that partition the samples exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.dataset import Subset, TensorDataset, as_sample_array, check_equal_lengths
from thalweg.data.image_dataset import ImageDataset
from thalweg.data.seeding import checked_seed, permutation
from thalweg.data.sequences import SequenceDataset
from thalweg.errors import ArgumentError, DataError, explain

DEFAULT_SEED = 0


def random_split(dataset: Any, lengths: Sequence[float], seed: int | None = DEFAULT_SEED) -> list[Subset]:
    """Shuffle the samples and cut them into disjoint parts, as PyTorch's `random_split`.

    Args:
        dataset: anything with `__len__` and `__getitem__`.
        lengths: whole numbers that add up to len(dataset), or fractions that add up to 1 (each is rounded down, then
            the samples left over go to the parts in turn).
        seed: the parts are a function of it; None draws a fresh one.

    Raises:
        ArgumentError: lengths that do not add up, or are negative.

    >>> train, test = random_split(TensorDataset(np.arange(10)), [0.8, 0.2], seed=1)
    >>> len(train), len(test)
    (8, 2)
    """
    sizes = _whole_sizes(list(lengths), len(dataset))
    order = permutation(len(dataset), checked_seed(seed, "random_split"))
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _whole_sizes(lengths: list[float], total: int) -> list[int]:
    if lengths and all(math.isfinite(n) and n >= 0 for n in lengths):
        if all(float(n).is_integer() for n in lengths) and sum(lengths) == total:
            return [int(n) for n in lengths]
        if math.isclose(sum(lengths), 1.0, abs_tol=1e-6):
            return _sizes_of_fractions(lengths, total)
    raise ArgumentError(
        explain(
            "the lengths do not add up",
            received=f"{lengths}, sum {sum(lengths):g}",
            expected=f"whole numbers that add up to {total}, or fractions that add up to 1",
            where="random_split",
            remedy="for example [0.8, 0.2]",
        )
    )


def _sizes_of_fractions(fractions: list[float], total: int) -> list[int]:
    sizes = [math.floor(total * fraction + 1e-9) for fraction in fractions]
    for left_over in range(total - sum(sizes)):
        sizes[left_over % len(sizes)] += 1
    return sizes


def split_indices(
    count: int, fraction: float, labels: ArrayLike | None = None, seed: int | None = DEFAULT_SEED
) -> tuple[np.ndarray, np.ndarray]:
    """The sample numbers of a training and a validation part, both shuffled.

    Args:
        count: how many samples there are.
        fraction: the share of the validation part, between 0 and 1; it gets round(count * fraction) samples, at least
            one.
        labels: shape (count,). If given, each class has its share of both parts (largest remainders decide), and no
            class loses
            its last sample to validation: a class of one sample stays in training.
        seed: the parts are a function of it; None draws a fresh one.

    Returns:
        (training, validation): int64 arrays that together hold each of 0 .. count-1 once.

    Raises:
        ArgumentError: a fraction outside (0, 1). DataError: fewer than two samples, labels of another length, no class
            with a sample to spare.

    >>> training, validation = split_indices(10, 0.2, labels=[0] * 5 + [1] * 5)
    >>> sorted((validation >= 5).tolist())
    [False, True]
    """
    _check_fraction(fraction)
    if count < 2:
        raise DataError(
            explain(
                "too few samples to split", received=f"{count} samples", expected="at least 2", where="validation split"
            )
        )
    wanted = min(max(1, round(count * fraction)), count - 1)
    order = permutation(count, checked_seed(seed, "split_indices"))
    chosen = np.zeros(count, dtype=bool)
    chosen[order[:wanted] if labels is None else _stratified_choice(order, _codes(labels, count), wanted)] = True
    return order[~chosen[order]], order[chosen[order]]


def _check_fraction(fraction: float) -> None:
    if not 0.0 < fraction < 1.0:
        raise ArgumentError(
            explain(
                "the validation part must be a proper fraction",
                received=fraction,
                expected="between 0 and 1, for example 0.2",
            )
        )


def _codes(labels: ArrayLike, count: int) -> np.ndarray:
    values = np.asarray(labels)
    if values.shape != (count,):
        raise DataError(
            explain(
                "one label for each sample is needed to stratify",
                received=f"shape {values.shape}",
                expected=f"shape ({count},)",
            )
        )
    if values.dtype == object:
        values = np.array(["" if value is None else str(value) for value in values])
    return np.unique(values, return_inverse=True)[1].reshape(count)


def _stratified_choice(order: np.ndarray, codes: np.ndarray, wanted: int) -> np.ndarray:
    sizes = np.bincount(codes)
    quotas = _quotas(sizes, wanted)
    if not quotas.any():
        raise DataError(
            explain(
                "no class has a sample to spare for validation",
                received=f"{len(sizes)} classes of one sample each",
                expected="at least one class with two samples",
                remedy="split without stratification, or collect more samples",
            )
        )
    by_class = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    return np.concatenate([by_class[start : start + quota] for start, quota in zip(starts, quotas, strict=True)])


def _quotas(sizes: np.ndarray, wanted: int) -> np.ndarray:
    """Validation samples per class: its share rounded down, the rest by largest remainder; never its last sample."""
    shares = sizes * (wanted / sizes.sum())
    quotas: np.ndarray = np.minimum(np.floor(shares).astype(np.int64), sizes - 1)
    while quotas.sum() < wanted and (quotas < sizes - 1).any():
        remainder = np.where(quotas < sizes - 1, shares - quotas, -np.inf)
        quotas[np.argmax(remainder)] += 1
    return quotas


def stratified_split(
    dataset: Any, fraction: float, labels: ArrayLike | None = None, seed: int | None = DEFAULT_SEED
) -> tuple[Subset, Subset]:
    """Split a data set into a training and a validation `Subset`, every class in its proportion.

    Args:
        dataset: a data set; `labels` defaults to the last array of a `TensorDataset`.
        fraction, seed: as in `split_indices`.

    >>> data = TensorDataset(np.arange(10.0), [0, 1] * 5)
    >>> training, validation = stratified_split(data, 0.4)
    >>> np.bincount(validation.take(range(4))[1])
    array([2, 2])
    """
    if labels is None:
        labels = labels_of(dataset)
    if labels is None:
        raise _unknown_labels(dataset)
    return _subsets(dataset, split_indices(len(dataset), fraction, labels, seed))


def _subsets(dataset: Any, parts: tuple[np.ndarray, np.ndarray]) -> tuple[Subset, Subset]:
    return Subset(dataset, parts[0]), Subset(dataset, parts[1])


def labels_of(dataset: Any) -> np.ndarray | None:
    """The targets of all samples where they lie in memory, (n, ...): of arrays, pictures and sequences."""
    if isinstance(dataset, Subset):
        labels = labels_of(dataset.dataset)
        return None if labels is None else labels.take(dataset.indices, axis=0)
    if isinstance(dataset, TensorDataset):
        return dataset.arrays[-1] if len(dataset.arrays) > 1 else None
    return dataset.targets if isinstance(dataset, ImageDataset | SequenceDataset) else None


def _unknown_labels(dataset: Any) -> ArgumentError:
    return ArgumentError(
        explain(
            "the labels of this data set are not known",
            received=type(dataset).__name__,
            expected="a TensorDataset of samples and labels, or labels=...",
            where="stratified_split",
            remedy="pass labels, or use random_split",
        )
    )


def looks_like_classes(labels: np.ndarray) -> bool:
    """Whether an array holds class labels: one axis, no fractions, and at most half as many values as samples.

    >>> looks_like_classes(np.array([0, 1, 1, 0])), looks_like_classes(np.array([0.5, 1.5]))
    (True, False)
    """
    if labels.ndim != 1 or labels.dtype.kind not in "biuUSO" or labels.size == 0:
        return False
    distinct = len(set(labels.tolist()))
    return distinct <= max(2, len(labels) // 2)


def train_validation_split(
    arrays: Sequence[Any], fraction: float = 0.2, stratify: Any = "auto", seed: int | None = DEFAULT_SEED
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Split arrays into training and validation arrays, shuffled; what `Trainer.fit(validation_split=...)` does.

    Args:
        arrays: for example (x, y), each of shape (samples, ...).
        fraction: the share of the validation part.
        stratify: labels of shape (samples,); None for none; "auto" takes the last array if it `looks_like_classes`.
        seed: the parts are a function of it; None draws a fresh one.

    Returns:
        (training arrays, validation arrays), copies. For arrays larger than memory split the data set instead:
        `random_split`, `stratified_split`.

    >>> (x, y), (x_validation, y_validation) = train_validation_split((np.arange(10.0), np.arange(10) % 2), 0.2)
    >>> len(x), y_validation
    (8, array([0, 1]))
    """
    samples = [as_sample_array(array, f"train_validation_split, array {i}") for i, array in enumerate(arrays)]
    count = check_equal_lengths(samples, "train_validation_split")
    if isinstance(stratify, str) and stratify == "auto":
        stratify = samples[-1] if looks_like_classes(samples[-1]) else None
    training, validation = split_indices(count, fraction, stratify, seed)
    return tuple(a.take(training, axis=0) for a in samples), tuple(a.take(validation, axis=0) for a in samples)
