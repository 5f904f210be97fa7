"""What a recording sounds like: log-mel spectrograms, and how they change (deltas).

In: samples (..., frames). Out: float32 features (..., windows, bands): time before features, as recurrent networks and
attention take them (torchaudio and librosa have them the other way round).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_choice, checked_count
from thalweg.data.transform import Transform
from thalweg.errors import ArgumentError, DataError, explain

HTK, SLANEY = "htk", "slaney"
WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010
_BREAK_HERTZ, _BREAK_MEL = 1000.0, 15.0  # Slaney's scale is a line up to here,
_LOG_STEP = np.log(6.4) / 27.0  # and beyond it 27 steps for each factor of 6.4
_BLOCK = 1 << 22  # entries of the windows of a batch that are in memory at a time


def hertz_to_mel(frequency: ArrayLike, mel_scale: str = HTK) -> np.ndarray:
    """Frequencies on the mel scale.

    "htk": 2595 log10(1 + f / 700) (O'Shaughnessy 1987; the HTK book). "slaney": 3 f / 200 up to 1,000 Hz, from there
    15 + 27 ln(f / 1000) / ln 6.4 (Slaney's Auditory Toolbox, 1998).

    >>> hertz_to_mel([1000.0], "slaney")
    array([15.])
    """
    f = np.asarray(frequency, dtype=np.float64)
    if checked_choice("mel_scale", mel_scale, (HTK, SLANEY)) == HTK:
        return np.asarray(2595.0 * np.log10(1.0 + f / 700.0))
    above = _BREAK_MEL + np.log(np.maximum(f, _BREAK_HERTZ) / _BREAK_HERTZ) / _LOG_STEP
    return np.where(f < _BREAK_HERTZ, f * (_BREAK_MEL / _BREAK_HERTZ), above)


def mel_to_hertz(mel: ArrayLike, mel_scale: str = HTK) -> np.ndarray:
    """The inverse of `hertz_to_mel`."""
    m = np.asarray(mel, dtype=np.float64)
    if checked_choice("mel_scale", mel_scale, (HTK, SLANEY)) == HTK:
        return np.asarray(700.0 * (10.0 ** (m / 2595.0) - 1.0))
    above = _BREAK_HERTZ * np.exp(_LOG_STEP * (np.maximum(m, _BREAK_MEL) - _BREAK_MEL))
    return np.where(m < _BREAK_MEL, m * (_BREAK_HERTZ / _BREAK_MEL), above)


def mel_filters(
    n_mels: int,
    n_fft: int,
    sample_rate: int,
    f_min: float = 0.0,
    f_max: float | None = None,
    mel_scale: str = HTK,
    norm: str | None = None,
) -> np.ndarray:
    """Triangles over frequencies, evenly spaced on the mel scale: float64 (n_mels, n_fft // 2 + 1).

    With edges m_0 .. m_{n+1} in hertz, filter i is max(0, min((f - m_i) / (m_{i+1} - m_i), (m_{i+2} - f) /
    (m_{i+2} - m_{i+1}))); norm="slaney" multiplies it by 2 / (m_{i+2} - m_i), so that its area is 1.

    mel_scale="htk", norm=None are torchaudio's `melscale_fbanks` by default, "slaney" and "slaney" librosa's
    `filters.mel`.

    Raises ArgumentError where a band is so narrow that no frequency of the transform lies in it.

    >>> mel_filters(2, 8, 8000).round(2)
    array([[0.  , 0.68, 0.  , 0.  , 0.  ],
           [0.  , 0.32, 0.91, 0.45, 0.  ]])
    """
    highest = sample_rate / 2 if f_max is None else f_max
    _check_range(f_min, highest, sample_rate)
    low, high = hertz_to_mel([f_min, highest], mel_scale)
    edges = mel_to_hertz(np.linspace(low, high, n_mels + 2), mel_scale)
    frequencies = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    slopes = (frequencies[None, :] - edges[:-1, None]) / np.diff(edges)[:, None]
    filters = np.maximum(0.0, np.minimum(slopes[:-1], 1.0 - slopes[1:]))
    _check_bands(filters, n_mels, n_fft, sample_rate)
    if norm is not None:
        checked_choice("norm", norm, (SLANEY,))
        filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(filters)


def _check_range(f_min: float, f_max: float, sample_rate: int) -> None:
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise ArgumentError(
            explain(
                "the bands lie between 0 and half the sample rate",
                received=f"f_min={f_min}, f_max={f_max}",
                expected=f"0 <= f_min < f_max <= {sample_rate / 2:g}",
                where="mel_filters",
            )
        )


def _check_bands(filters: np.ndarray, n_mels: int, n_fft: int, sample_rate: int) -> None:
    empty = np.flatnonzero(filters.max(axis=1) == 0)
    if empty.size:
        raise ArgumentError(
            explain(
                "there are more bands than the transform tells apart",
                received=f"n_mels={n_mels}, n_fft={n_fft} at {sample_rate} Hz: {empty.size} bands are empty",
                where="mel_filters",
                remedy="fewer bands, or a larger n_fft",
            )
        )


class LogMel(Transform):
    """The logarithm of the power in mel bands, in windows along time.

    feature[t, i] = ln max(Σ_f filter[i, f] |X[t, f]|^2, floor), where X[t] is the discrete Fourier transform of the
    samples around place t hop_length, under a Hann window of win_length (periodic, in the middle of n_fft).

    Names are torchaudio's `MelSpectrogram`; of which this is the logarithm, transposed. With mel_scale="slaney" and
    norm="slaney" it is librosa's `melspectrogram`. Two defaults are for speech where theirs are for music: windows of
    25 ms, and one every 10 ms.

    Args:
        sample_rate: of the recordings, in samples a second.
        n_mels: bands. n_fft: length of the transform; None for the next power of two from win_length on.
        win_length, hop_length: in samples; None for 25 ms and 10 ms.
        f_min, f_max: where the lowest band begins and the highest ends, in hertz; None for half the sample rate.
        mel_scale, norm: as in `mel_filters`.
        center: whether window t is around place t hop_length, the recording being mirrored at its ends: 1 + frames //
            hop_length windows. False takes what lies within: 1 + (frames - n_fft) // hop_length.
        floor: the least power; silence is ln floor and not -inf.

    A recording that is too short to be mirrored (n_fft // 2 samples), or for one window without `center`, is padded
    with zeros first.

    Source: Davis and Mermelstein, IEEE TASSP 1980; the HTK book, chapter 5.

    >>> features = LogMel(8000, n_mels=40)
    >>> features(np.zeros(8000, dtype=np.float32)).shape, features.n_fft, features.hop_length
    ((101, 40), 256, 80)
    """

    options = (
        "sample_rate", "n_mels", "n_fft", "win_length", "hop_length", "f_min", "f_max", "mel_scale", "norm", "center",
        "floor",
    )  # fmt: skip

    def __init__(
        self,
        sample_rate: int,
        n_mels: int = 64,
        n_fft: int | None = None,
        win_length: int | None = None,
        hop_length: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: str = HTK,
        norm: str | None = None,
        center: bool = True,
        floor: float = 1e-10,
    ) -> None:
        self.sample_rate = checked_count("sample_rate", sample_rate, 1, "LogMel")
        self.n_mels = checked_count("n_mels", n_mels, 1, "LogMel")
        window = max(1, round(WINDOW_SECONDS * sample_rate)) if win_length is None else win_length
        hop = max(1, round(HOP_SECONDS * sample_rate)) if hop_length is None else hop_length
        self.win_length = checked_count("win_length", window, 1, "LogMel")
        self.hop_length = checked_count("hop_length", hop, 1, "LogMel")
        transform = 1 << (self.win_length - 1).bit_length() if n_fft is None else n_fft
        self.n_fft = checked_count("n_fft", transform, self.win_length, "LogMel")
        self.f_min, self.f_max, self.center, self.mel_scale, self.norm = f_min, f_max, bool(center), mel_scale, norm
        if not floor > 0:
            raise ArgumentError(explain("floor must be positive", received=repr(floor), where="LogMel"))
        self.floor = float(floor)
        _tables(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        bands = (self.n_mels, self.n_fft, self.sample_rate, self.f_min, self.f_max, self.mel_scale, self.norm)
        return self.win_length, *bands

    def fit(self, x: Any) -> Self:
        return self

    def windows(self, frames: int) -> int:
        """How many windows a recording of so many samples has."""
        length = self._padded(frames)
        return 1 + (length - self.n_fft) // self.hop_length

    def _padded(self, frames: int) -> int:
        if self.center:
            return max(frames, self.n_fft // 2 + 1) + 2 * (self.n_fft // 2)
        return max(frames, self.n_fft)

    def transform(self, x: ArrayLike) -> np.ndarray:
        """Features of samples: (..., frames) to float32 (..., windows, n_mels). All axes but the last are a batch."""
        samples = np.asarray(x)
        if samples.dtype.kind != "f" or samples.ndim == 0 or not samples.shape[-1]:
            raise DataError(
                explain(
                    "these samples are no recording",
                    received=f"dtype {samples.dtype}, shape {samples.shape}",
                    expected="floating (..., frames), at least one frame",
                    where="LogMel",
                    remedy="read files with tw.data.read_sound; several recordings of different lengths one by one",
                )
            )
        rows = samples.reshape(-1, samples.shape[-1])
        count = max(1, _BLOCK // (self.windows(rows.shape[1]) * self.n_fft))
        parts = [self._features(rows[first : first + count]) for first in range(0, len(rows), count)]
        return np.concatenate(parts).reshape(*samples.shape[:-1], -1, self.n_mels)

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """`transform(x)`, as PyTorch writes it."""
        return self.transform(x)

    def _features(self, rows: np.ndarray) -> np.ndarray:
        window, filters = _tables(self._key)
        # The logarithm shows what lies 100 dB below the loudest band, where float32 is noise: hence float64 up to it.
        framed = np.lib.stride_tricks.sliding_window_view(self._ends(rows.astype(np.float64)), self.n_fft, axis=1)
        spectrum = np.fft.rfft(framed[:, :: self.hop_length] * window, axis=-1)
        power = spectrum.real**2 + spectrum.imag**2
        return np.asarray(np.log(np.maximum(power @ filters.T, self.floor)), dtype=np.float32)

    def _ends(self, rows: np.ndarray) -> np.ndarray:
        """The recordings with what windows at their ends see: mirrored samples, or zeros."""
        least = self.n_fft // 2 + 1 if self.center else self.n_fft
        if rows.shape[1] < least:
            rows = np.pad(rows, ((0, 0), (0, least - rows.shape[1])))
        half = self.n_fft // 2
        return np.pad(rows, ((0, 0), (half, half)), mode="reflect") if self.center else rows


@lru_cache(maxsize=16)
def _tables(key: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The window, in the middle of the transform's length, and the filters."""
    win_length, n_mels, n_fft, sample_rate, f_min, f_max, mel_scale, norm = key
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    left = (n_fft - win_length) // 2
    window = np.pad(hann, (left, n_fft - win_length - left))
    filters = mel_filters(n_mels, n_fft, sample_rate, f_min, f_max, mel_scale, norm)
    for table in (window, filters):
        table.flags.writeable = False  # shared by everyone who asks for them
    return window, filters


def deltas(features: ArrayLike, win_length: int = 5) -> np.ndarray:
    """How features change with time.

    d[t] = Σ_n n (c[t + n] - c[t - n]) / (2 Σ_n n^2), n = 1 .. (win_length - 1) / 2; ends are repeated. It is the slope
    of the line through win_length features (least squares). Apply it twice for the acceleration.

    Args:
        features: (..., windows, bands), floating. win_length: odd, at least 3.

    Returns:
        an array of the same shape and dtype. `np.concatenate([c, deltas(c)], axis=-1)` puts both side by side.

    Source: the HTK book, equation 5.16; torchaudio's `compute_deltas` (of which the axes are the other way round).

    >>> deltas(np.arange(5.0)[:, None]).ravel()
    array([0.5, 0.8, 1. , 0.8, 0.5])
    """
    c = np.asarray(features)
    if c.dtype.kind != "f" or c.ndim < 2 or not c.shape[-2]:
        expected = "floating (..., windows, bands), at least one window"
        received = f"dtype {c.dtype}, shape {c.shape}"
        raise DataError(explain("these are no features", received=received, expected=expected, where="deltas"))
    if checked_count("win_length", win_length, 3, "deltas") % 2 == 0:
        raise ArgumentError(explain("win_length must be odd", received=win_length, where="deltas"))
    reach, windows = win_length // 2, c.shape[-2]
    padded = np.pad(c, [(0, 0)] * (c.ndim - 2) + [(reach, reach), (0, 0)], mode="edge")

    def moved(n: int) -> np.ndarray:
        return padded[..., reach + n : reach + n + windows, :]

    steps = range(1, reach + 1)
    slopes = sum(n * (moved(n) - moved(-n)) for n in steps) / (2 * sum(n * n for n in steps))
    return np.asarray(slopes, dtype=c.dtype)
