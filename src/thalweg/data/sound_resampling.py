"""Other sample rates: a windowed sinc, one set of weights for each place between two samples.

In: samples at one rate.
Out: samples at another, without aliases: what the lower rate cannot hold is filtered out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_count
from thalweg.errors import DataError, explain

ZERO_CROSSINGS = 32
"""How far the sinc reaches to either side, in its zero crossings."""
ROLLOFF = 0.94
"""Where the filter begins to fall, as a share of the lower rate's highest frequency."""
BETA = 9.0
"""Of the Kaiser window: aliases lie 90 dB below."""
_CHUNK = 1 << 20
_LARGEST_TABLE = 1 << 22  # weights; odd rates have as many places as samples, and a table would only fill memory


def resample(samples: ArrayLike, sample_rate: int, new_rate: int) -> np.ndarray:
    """Samples at another rate.

    y[n] = Σ_k x[k] h(n M / L - k), where L / M is new_rate / sample_rate in lowest terms and
    h(t) = c sinc(c t) kaiser(c t / 32), c = 0.94 min(1, L / M); zeros are taken before and behind the recording. As
    n M / L has only L different places between samples, the weights are a table with L rows (polyphase).

    Args:
        samples: (..., frames), floating. sample_rate, new_rate: samples in a second.

    Returns:
        (..., ceil(frames L / M)), in the dtype of the samples.

    Source: J. O. Smith, "Digital audio resampling" (ccrma.stanford.edu/~jos/resample); Kaiser's window for 90 dB.

    >>> resample(np.ones(100), 16000, 8000).shape
    (50,)
    """
    array = np.asarray(samples)
    if array.dtype.kind != "f" or array.ndim == 0:
        raise DataError(
            explain(
                "samples are floating numbers along the last axis",
                received=f"dtype {array.dtype}, shape {array.shape}",
                where="resample",
                remedy="divide integers by their full scale first: tw.data.read_sound does",
            )
        )
    old = checked_count("sample_rate", sample_rate, 1, "resample")
    new = checked_count("new_rate", new_rate, 1, "resample")
    up, down = new // math.gcd(old, new), old // math.gcd(old, new)
    if up == down or not array.shape[-1]:
        return array.copy()
    rows = [_resampled(row, up, down) for row in array.reshape(-1, array.shape[-1])]
    return np.stack(rows).reshape(*array.shape[:-1], -1).astype(array.dtype, copy=False)


def _resampled(row: np.ndarray, up: int, down: int) -> np.ndarray:
    """One channel. Output n takes the samples around place n * down / up."""
    cutoff = ROLLOFF * min(1.0, up / down)
    reach = math.ceil(ZERO_CROSSINGS / cutoff)
    padded = np.pad(row.astype(np.float64), (reach, reach + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    count = -(-len(row) * up // down)
    places = min(up, count)
    kept = places * (2 * reach + 1) <= _LARGEST_TABLE
    table = _weights(np.arange(places, dtype=np.int64) * down % up / up, reach, cutoff) if kept else None
    result = np.empty(count)
    step = max(1, _CHUNK // (2 * reach + 1))
    for first in range(0, count, step):
        numbers = np.arange(first, min(first + step, count), dtype=np.int64)
        weights = _weights(numbers * down % up / up, reach, cutoff) if table is None else table[numbers % up]
        result[numbers] = np.einsum("nk,nk->n", windows[numbers * down // up], weights)
    return result


def _weights(offsets: np.ndarray, reach: int, cutoff: float) -> np.ndarray:
    """The weights (offsets, 2 reach + 1) of the samples around places that lie `offsets` behind a sample."""
    times = cutoff * (offsets[:, None] - np.arange(-reach, reach + 1)[None, :])
    inside = np.abs(times) <= ZERO_CROSSINGS
    window = np.i0(BETA * np.sqrt(np.maximum(0.0, 1.0 - (times / ZERO_CROSSINGS) ** 2))) / np.i0(BETA)
    return np.where(inside, cutoff * np.sinc(times) * window, 0.0)
