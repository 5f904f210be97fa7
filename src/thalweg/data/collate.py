"""Samples to batches.

In: a list of samples: numbers, arrays, tensors, or tuples, lists and dictionaries of them. Out: the same structure with
a new first axis. Python floats become float32, Thalweg's default (PyTorch makes them float64, which its users trip
over).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.errors import DataError, explain


def default_collate(samples: Sequence[Any]) -> Any:
    """Stack samples into a batch, field by field.

    Args:
        samples: at least one; all of one structure and, field by field, of one shape.

    Returns:
        A tuple for tuples and lists, a dictionary for dictionaries, else an array of shape (len(samples), ...).
        Strings stay a list.

    Raises:
        DataError: no samples, or samples of different structure or shape, named by their position.

    >>> default_collate([(1.5, {"a": 0}), (2.5, {"a": 1})])
    (array([1.5, 2.5], dtype=float32), {'a': array([0, 1])})
    """
    if not samples:
        raise DataError(explain("an empty list of samples makes no batch", expected="at least one sample"))
    first = samples[0]
    if isinstance(first, dict):
        return {key: default_collate([_field(s, key, i) for i, s in enumerate(samples)]) for key in first}
    if isinstance(first, (tuple, list)):
        _check_widths(samples)
        return tuple(default_collate(fields) for fields in zip(*samples, strict=True))
    if isinstance(first, (str, bytes)):
        return list(samples)
    return _stack(samples)


def _field(sample: Any, key: Any, position: int) -> Any:
    try:
        return sample[key]
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(
            explain("samples of different structure", received=f"sample {position} of the batch lacks {key!r}")
        ) from error


def _check_widths(samples: Sequence[Any]) -> None:
    for position, sample in enumerate(samples):
        if not isinstance(sample, (tuple, list)) or len(sample) != len(samples[0]):
            received = f"{len(sample)} fields" if isinstance(sample, (tuple, list)) else type(sample).__name__
            raise DataError(
                explain(
                    "samples of different structure",
                    received=received,
                    expected=f"{len(samples[0])} fields, as in the first sample",
                    where=f"sample {position} of the batch",
                )
            )


def _stack(samples: Sequence[Any]) -> np.ndarray:
    arrays = [_as_array(sample) for sample in samples]
    for position, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise DataError(
                explain(
                    "samples of different shapes cannot be stacked",
                    received=f"shape {array.shape}",
                    expected=f"shape {arrays[0].shape}, as in the first sample",
                    where=f"sample {position} of the batch",
                    remedy="pad or crop the samples, or pass a collate_fn",
                )
            )
    return np.stack(arrays)


def _as_array(sample: Any) -> np.ndarray:
    if isinstance(sample, float) and not isinstance(sample, np.generic):
        return np.asarray(sample, dtype=np.float32)
    array = np.asarray(sample.numpy() if hasattr(sample, "numpy") else sample)
    if array.dtype.kind not in "biuf":
        raise DataError(
            explain(
                "a sample that is no number cannot join a batch",
                received=type(sample).__name__,
                expected="numbers, arrays, or tuples and dictionaries of them",
                remedy="encode it in the data set, or pass a collate_fn",
            )
        )
    return array
