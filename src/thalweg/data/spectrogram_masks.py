"""Bands of time and of frequency that are hidden, so that a network does not rely on one of them.

In: padded features (samples, windows, bands) and their lengths. Out: the same with masks, in training only; each
sample's masks are a function of its own draws.
"""

from __future__ import annotations

import numpy as np

from thalweg.data.augment import checked_range
from thalweg.data.checks import checked_count
from thalweg.data.draws import Draws
from thalweg.data.sequences import SequenceTransform


class SpecAugment(SequenceTransform):
    """Masks of SpecAugment: bands of frequencies and stretches of time are overwritten; nothing in evaluation.

    A mask of frequencies hides f bands from f0 on, f evenly from 0 .. frequency_width, f0 evenly from 0 .. bands - f. A
    mask of time hides t windows from t0 on, t evenly from 0 .. min(time_width, time_share * length), t0 evenly from
    0 .. length - t: within the sample's own length, never in its padding. Time is not warped: the paper found that to
    contribute least.

    Args:
        frequency_masks, time_masks: how many of each.
        frequency_width, time_width: the widest ones, in bands and windows.
        time_share: the most of a sample's length that one mask of time hides.
        value: what is written; 0 is the mean of standardised features.

    For a `SequenceDataset(..., transform=SpecAugment())`.

    Source: Park et al., "SpecAugment", Interspeech 2019, arXiv:1904.08779; the share p is of Park et al., ICASSP 2020.

    >>> SpecAugment().transform(np.ones((2, 50, 40))).min()  # without chance
    np.float64(1.0)
    """

    options = ("frequency_masks", "frequency_width", "time_masks", "time_width", "time_share", "value")

    def __init__(
        self,
        frequency_masks: int = 2,
        frequency_width: int = 8,
        time_masks: int = 2,
        time_width: int = 20,
        time_share: float = 0.2,
        value: float = 0.0,
    ) -> None:
        self.frequency_masks = checked_count("frequency_masks", frequency_masks, 0, "SpecAugment")
        self.frequency_width = checked_count("frequency_width", frequency_width, 0, "SpecAugment")
        self.time_masks = checked_count("time_masks", time_masks, 0, "SpecAugment")
        self.time_width = checked_count("time_width", time_width, 0, "SpecAugment")
        self.time_share = checked_range("time_share", time_share, 0.0, 1.0, "SpecAugment")
        self.value = float(value)

    def apply(self, sequences: np.ndarray, lengths: np.ndarray, draws: Draws | None) -> np.ndarray:
        if draws is None:
            return sequences
        samples, windows, bands = sequences.shape[0], sequences.shape[1], sequences.shape[-1]
        uniform = draws.uniform(2 * (self.frequency_masks + self.time_masks)).reshape(samples, -1, 2)
        widest = np.minimum(self.time_width, (self.time_share * lengths).astype(np.int64))
        in_frequency = _hidden(uniform[:, : self.frequency_masks], np.full(samples, bands), self.frequency_width, bands)
        in_time = _hidden(uniform[:, self.frequency_masks :], lengths, widest, windows)
        is_hidden = in_time[:, :, None] | in_frequency[:, None, :]
        is_hidden &= (np.arange(windows) < lengths[:, None])[:, :, None]  # the padding stays what it is
        return np.where(is_hidden, sequences.dtype.type(self.value), sequences)


def _hidden(uniform: np.ndarray, lengths: np.ndarray, widest: np.ndarray | int, places: int) -> np.ndarray:
    """Which places are hidden: bool (samples, places). `uniform` (samples, masks, 2) gives width and beginning."""
    most = np.minimum(widest, lengths)[:, None]
    widths = np.floor(uniform[..., 0] * (most + 1)).astype(np.int64)
    starts = np.floor(uniform[..., 1] * (lengths[:, None] - widths + 1)).astype(np.int64)
    at = np.arange(places)[None, None, :]
    return np.asarray(((at >= starts[..., None]) & (at < (starts + widths)[..., None])).any(axis=1))
