"""Recordings in files: the same samples as soundfile gives, and what is said of files that are no sound.

In: wav files of every width that the test writes, damaged ones, other formats. Out: float32 in -1 .. 1; errors that
name the file.
"""

import builtins
import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import read_sound, write_sound
from thalweg.data.sound_files import decode_sound
from thalweg.errors import ArgumentError, DataError, FileFormatError, ThalwegError

WIDTHS = {8: 1, 16: 2, 24: 3, 32: 4}


def wav_bytes(values, bits=16, rate=8000):
    """A wav file of whole numbers (frames, channels), written sample by sample."""
    rows = np.atleast_2d(np.asarray(values, dtype=np.int64).T).T
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(rows.shape[1])
        file.setsampwidth(WIDTHS[bits])
        file.setframerate(rate)
        signed = [int(v).to_bytes(WIDTHS[bits], "little", signed=bits > 8) for v in rows.ravel()]
        file.writeframes(b"".join(signed))
    return out.getvalue()


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_integer_wav_of_every_width_is_what_soundfile_reads(tmp_path, bits, channels):
    soundfile = pytest.importorskip("soundfile")
    low, high = (0, 255) if bits == 8 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    values = np.random.default_rng(0).integers(low, high, (50, channels), endpoint=True)
    values[:2] = [[low], [high]]
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(values, bits, 11025))
    expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
    sound = read_sound(path, mono=False)
    assert (sound.sample_rate, sound.samples.dtype) == (rate, np.float32) == (11025, np.float32)
    np.testing.assert_allclose(sound.samples, expected.T, rtol=0, atol=2**-24)
    assert sound.samples.min() == -1
    np.testing.assert_allclose(read_sound(path).samples, expected.mean(axis=1), rtol=0, atol=1e-7)


def test_silence_is_zero_in_eight_bits():
    assert decode_sound(wav_bytes([128, 128], 8), "a").samples.tolist() == [0, 0]


@pytest.mark.parametrize("options", [("FLAC", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("OGG", "VORBIS")])
def test_other_formats_are_read_by_soundfile_whatever_the_name_says(tmp_path, options):
    soundfile = pytest.importorskip("soundfile")
    kind, subtype = options
    samples = 0.5 * np.sin(np.arange(4000) / 9)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype=subtype, format=kind)
    sound = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.samples, samples, atol=0.05 if kind == "OGG" else 1e-4)


def test_without_soundfile_wav_is_read_and_the_remedy_for_others_is_named(tmp_path, monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", np.zeros(8), 8000)
    write_sound(tmp_path / "a.wav", np.zeros(8), 8000)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "soundfile":
            raise ImportError("no soundfile")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert read_sound(tmp_path / "a.wav").samples.shape == (8,)
    with pytest.raises(DataError, match=r"pip install thalweg\[audio\]") as caught:
        read_sound(tmp_path / "a.flac")
    assert "a.flac" in str(caught.value)
    assert "a FLAC file" in str(caught.value)


def test_what_is_written_is_read_again(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (2, 100))
    samples[:, :2] = [[1.5, -1.5]]
    write_sound(tmp_path / "a.wav", samples, 16000)
    sound = read_sound(tmp_path / "a.wav", mono=False)
    np.testing.assert_allclose(sound.samples, np.clip(samples, -1, 1 - 2**-15), atol=2**-16)
    assert sound.seconds == 100 / 16000


def test_a_recording_is_brought_to_another_rate(tmp_path):
    write_sound(tmp_path / "a.wav", np.zeros(441), 44100)
    assert (read_sound(tmp_path / "a.wav", sample_rate=8000).samples.shape, 8000) == ((80,), 8000)


GOOD = wav_bytes(np.arange(100))
BAD = [
    ("no samples", wav_bytes(np.zeros((0, 1))), "no length"),
    ("a cut file", GOOD[:-31], "169 bytes of samples where its header says 200"),
    ("a cut header", GOOD[:30], "cut short or damaged"),
    ("the first bytes alone", GOOD[:12], "cut short or damaged"),
    ("text", b"these are not the samples that you are looking for", "text: it begins with"),
    ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG picture"),
    ("a rate of zero", GOOD[:24] + struct.pack("<I", 0) + GOOD[28:], "a sample rate of 0"),
    ("no channels", GOOD[:22] + struct.pack("<H", 0) + GOOD[24:], "cut short or damaged"),
    ("twelve bits", GOOD[:34] + struct.pack("<H", 0) + GOOD[36:], "cut short or damaged"),
    ("a FLAC that ends", b"fLaC" + bytes(40), "a FLAC file"),
]


@pytest.mark.parametrize(("content", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_files_that_are_no_sound_are_refused_by_name(tmp_path, content, words):
    path = tmp_path / "odd.wav"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=words) as caught:
        read_sound(path)
    assert str(path) in str(caught.value)


def test_a_stream_of_unknown_length_is_read_to_its_end():
    streamed = GOOD[:4] + b"\xff" * 4 + GOOD[8:40] + b"\xff" * 4 + GOOD[44:]
    assert len(decode_sound(streamed, "a").samples) == 100


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(1, len(GOOD)))
def test_damage_never_gets_past_as_another_error(place, byte, end):
    damaged = bytearray(GOOD)
    damaged[place] = byte
    try:
        sound = decode_sound(bytes(damaged[:end]), "a.wav")
    except ThalwegError as error:
        assert "a.wav" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(sound.samples).all()


def test_limits_and_misuse_are_explained(tmp_path):
    write_sound(tmp_path / "a.wav", np.zeros(100), 8000)
    with pytest.raises(FileFormatError, match="at most 50 bytes"):
        read_sound(tmp_path / "a.wav", max_bytes=50)
    with pytest.raises(FileFormatError, match="did you mean"):
        read_sound(tmp_path / "a.wave")
    with pytest.raises(DataError, match="finite numbers"):
        write_sound(tmp_path / "b.wav", [np.nan], 8000)
    with pytest.raises(ArgumentError, match="sample_rate"):
        write_sound(tmp_path / "b.wav", [0.0], 0)
    assert not (tmp_path / "b.wav").exists()
