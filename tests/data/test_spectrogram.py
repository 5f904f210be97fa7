"""Log-mel spectrograms and deltas: equal to naive twins, to PyTorch's transform, and to numbers of librosa's.

In: noise and tones. Out: float32 features, windows before bands.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import LogMel, deltas, hertz_to_mel, mel_filters, mel_to_hertz
from thalweg.errors import ArgumentError, DataError

CASES = [
    {},
    {"mel_scale": "slaney", "norm": "slaney"},
    {"n_fft": 300, "win_length": 201, "hop_length": 77, "n_mels": 20},
    {"center": False, "f_min": 100.0, "f_max": 3500.0},
]


def naive_filters(n_mels, n_fft, rate, f_min, f_max, scale, norm):
    def to_mel(f):
        if scale == "htk":
            return 2595 * np.log10(1 + f / 700)
        return f * 3 / 200 if f < 1000 else 15 + np.log(f / 1000) / (np.log(6.4) / 27)

    edges = np.interp(
        np.linspace(to_mel(f_min), to_mel(f_max), n_mels + 2),
        [to_mel(f) for f in np.linspace(0, rate / 2, 400_001)],
        np.linspace(0, rate / 2, 400_001),
    )
    table = np.zeros((n_mels, n_fft // 2 + 1))
    for i, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for k in range(n_fft // 2 + 1):
            f = k * rate / n_fft
            table[i, k] = max(0, min((f - low) / (middle - low), (high - f) / (high - middle)))
        table[i] *= 2 / (high - low) if norm == "slaney" else 1
    return table


def naive_features(x, m):
    """The formula of the docstring, window by window, with a transform that is written out."""
    x = x.astype(np.float64)
    if m.center:
        half = m.n_fft // 2
        x = np.concatenate([x[half:0:-1], x, x[-2 : -half - 2 : -1]])
    filters = naive_filters(
        m.n_mels, m.n_fft, m.sample_rate, m.f_min, m.f_max or m.sample_rate / 2, m.mel_scale, m.norm
    )
    left = (m.n_fft - m.win_length) // 2
    rows = []
    for start in range(0, len(x) - m.n_fft + 1, m.hop_length):
        window = np.zeros(m.n_fft)
        for n in range(m.win_length):
            window[left + n] = (0.5 - 0.5 * np.cos(2 * np.pi * n / m.win_length)) * x[start + left + n]
        angles = np.outer(np.arange(m.n_fft // 2 + 1), np.arange(m.n_fft)) * (2j * np.pi / m.n_fft)
        rows.append(np.log(np.maximum(filters @ np.abs(np.exp(-angles) @ window) ** 2, m.floor)))
    return np.array(rows)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_features_are_those_of_a_naive_twin(options):
    transform = LogMel(8000, **{"n_mels": 24, **options})
    x = np.random.default_rng(0).normal(size=900).astype(np.float32)
    found, expected = transform(x), naive_features(x, transform)
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (transform.windows(900), transform.n_mels)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.peer
@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_power_is_that_of_pytorchs_transform(options):
    torch = pytest.importorskip("torch")
    m = LogMel(8000, **{"n_mels": 24, **options})
    x = np.random.default_rng(1).normal(size=1234)
    window = torch.hann_window(m.win_length, dtype=torch.float64)
    spectrum = torch.stft(
        torch.from_numpy(x), m.n_fft, m.hop_length, m.win_length, window, center=m.center, return_complex=True
    )
    filters = mel_filters(m.n_mels, m.n_fft, 8000, m.f_min, m.f_max, m.mel_scale, m.norm)
    expected = np.log(np.maximum((filters @ (spectrum.abs() ** 2).numpy()).T, m.floor))
    np.testing.assert_allclose(m(x), expected, atol=2e-6)


# Of librosa 0.11: `filters.mel(sr=16000, n_fft=400, n_mels=4, norm=..., htk=...)`, rows by band, computed once.
LIBROSA = {
    ("htk", None): [
        [0.435986, 0.550576, 0, 0],
        [0, 0.449424, 0.0597081, 0],
        [0, 0, 0.940292, 0],
        [0, 0, 0, 0.580679],
    ],
    ("slaney", "slaney"): [
        [0.00053584, 0.00111487, 0, 0],
        [0, 0.000364572, 0, 0],
        [0, 0, 0.000623058, 0],
        [0, 0, 1.67427e-05, 0.000189546],
    ],
}


@pytest.mark.parametrize(("scale", "norm"), LIBROSA)
def test_filters_are_those_of_librosa(scale, norm):
    found = mel_filters(4, 400, 16000, mel_scale=scale, norm=norm)[:, [5, 20, 60, 150]]
    np.testing.assert_allclose(found, LIBROSA[scale, norm], rtol=1e-5)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", [None, "slaney"])
def test_filters_are_triangles_evenly_spaced_on_the_mel_scale(scale, norm):
    found = mel_filters(20, 512, 16000, 50.0, 7000.0, scale, norm)
    np.testing.assert_allclose(found, naive_filters(20, 512, 16000, 50.0, 7000.0, scale, norm), atol=1e-5)
    if norm is None:
        inner = slice(*np.flatnonzero(found.argmax(axis=0) > 0)[[0, -1]])
        below_the_last = found.sum(axis=0)[inner][: -found[-1].astype(bool).sum()]
        np.testing.assert_allclose(below_the_last, 1, atol=1e-12)  # neighbours share what lies between them


@given(st.floats(0, 20_000), st.sampled_from(["htk", "slaney"]))
def test_the_mel_scale_has_an_inverse(frequency, scale):
    np.testing.assert_allclose(mel_to_hertz(hertz_to_mel(frequency, scale), scale), frequency, rtol=1e-9, atol=1e-9)


def test_the_mel_scale_has_its_known_values():
    assert hertz_to_mel(700.0) == pytest.approx(781.1728, abs=1e-4)
    assert hertz_to_mel([500.0, 1000.0, 6400.0], "slaney").tolist() == [7.5, 15.0, 42.0]


def test_a_batch_is_each_of_its_recordings():
    transform = LogMel(8000)
    x = np.random.default_rng(0).normal(size=(2, 3, 500)).astype(np.float32)
    found = transform(x)
    assert found.shape == (2, 3, 7, 64)
    np.testing.assert_array_equal(found[1, 2], transform(x[1, 2]))


@pytest.mark.parametrize("center", [True, False])
def test_a_recording_of_one_sample_has_a_window(center):
    transform = LogMel(8000, center=center)
    for frames in (1, 100, 129, 255, 256, 300):
        assert transform(np.ones(frames, np.float32)).shape == (transform.windows(frames), 64)


def test_silence_is_the_floor_and_a_tone_is_in_its_band():
    transform = LogMel(8000, n_mels=30, floor=1e-6)
    assert (transform(np.zeros(1000, np.float32)) == np.float32(np.log(1e-6))).all()
    tone = np.sin(2 * np.pi * 1500 * np.arange(4000) / 8000).astype(np.float32)
    edges = mel_to_hertz(np.linspace(0, hertz_to_mel(4000.0), 32))
    assert np.abs(edges[transform(tone).argmax(axis=1)[3:-3] + 1] - 1500).max() < 150


def test_its_settings_travel_as_json():
    before = LogMel(16000, n_mels=20, mel_scale="slaney", norm="slaney", f_max=7000.0)
    after = LogMel.from_config(json.loads(json.dumps(before.to_config())))
    x = np.random.default_rng(0).normal(size=2000)
    np.testing.assert_array_equal(after(x), before(x))


def naive_deltas(c, win_length):
    reach, result = win_length // 2, np.zeros_like(c)
    for t in range(len(c)):
        for n in range(1, reach + 1):
            result[t] += n * (c[min(t + n, len(c) - 1)] - c[max(t - n, 0)])
    return result / (2 * sum(n * n for n in range(1, reach + 1)))


@pytest.mark.parametrize("win_length", [3, 5, 9])
@pytest.mark.parametrize("windows", [1, 2, 20])
def test_deltas_are_those_of_a_naive_twin(win_length, windows):
    c = np.random.default_rng(0).normal(size=(windows, 4))
    np.testing.assert_allclose(deltas(c, win_length), naive_deltas(c, win_length), atol=1e-12)
    assert deltas(c[None].astype(np.float32)).dtype == np.float32


def test_deltas_of_a_line_are_its_slope():
    line = 3.0 * np.arange(9.0)[:, None]
    np.testing.assert_allclose(deltas(line)[2:-2], 3.0)


MISUSE = [
    ("integers", lambda: LogMel(8000)(np.zeros(9, np.int16)), DataError, "read_sound"),
    ("no samples", lambda: LogMel(8000)(np.zeros(0)), DataError, "at least one frame"),
    ("too many bands", lambda: LogMel(8000, n_mels=200), ArgumentError, "fewer bands"),
    ("a window longer than the transform", lambda: LogMel(8000, n_fft=64, win_length=100), ArgumentError, "n_fft"),
    ("an unknown scale", lambda: LogMel(8000, mel_scale="bark"), ArgumentError, "'htk' or 'slaney'"),
    ("an unknown norm", lambda: LogMel(8000, norm="area"), ArgumentError, "'slaney'"),
    ("bands beyond the rate", lambda: LogMel(8000, f_max=5000.0), ArgumentError, "4000"),
    ("no floor", lambda: LogMel(8000, floor=0.0), ArgumentError, "positive"),
    ("an even window of deltas", lambda: deltas(np.zeros((3, 2)), 4), ArgumentError, "odd"),
    ("deltas of integers", lambda: deltas(np.zeros((3, 2), int)), DataError, "no features"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
