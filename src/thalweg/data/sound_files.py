"""Recordings from files that strangers made: wav by the standard library, everything else by soundfile.

In: a path or bytes. Out: float32 samples in -1 .. 1 and their rate. The content decides what a file is, not its name; a
file that is no sound, cut short or empty is a `FileFormatError` that names it. Wav files give the same bits whether
soundfile is installed or not.
"""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_count
from thalweg.data.file_tree import MAX_FILE_BYTES, extension, read_file
from thalweg.data.files import atomic_write, content_of
from thalweg.data.sound_resampling import resample
from thalweg.errors import DataError, FileFormatError, explain

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"})
MAX_SAMPLES = 1 << 28  # a GiB of float32; a few bytes of FLAC can declare 2^36
_MAGIC = (
    (b"fLaC", "a FLAC file"), (b"OggS", "an Ogg file"), (b"ID3", "an MP3 file"), (b"FORM", "an AIFF file"),
    (b".snd", "an AU file"), (b"RIFX", "a big-endian wav file"),
    *((bytes([0xFF, each]), "an MP3 file") for each in range(0xE0, 0x100)),  # eleven bits that are set: a frame
)  # fmt: skip
_BLOCK = 1 << 18  # samples that are decoded at a time
_RIFF, _OPEN_END = b"RIFF", 0xFFFFFFFF
_LEVELS = {1: 2.0**7, 2: 2.0**15, 3: 2.0**23, 4: 2.0**31}  # full scale by bytes for each sample


class Sound(NamedTuple):
    """Samples in -1 .. 1, float32 (frames,) or (channels, frames), and how many there are in a second."""

    samples: np.ndarray
    sample_rate: int

    @property
    def seconds(self) -> float:
        return float(self.samples.shape[-1] / self.sample_rate)

    def at_rate(self, sample_rate: int) -> Sound:
        """The same recording at another rate."""
        if sample_rate == self.sample_rate:
            return self
        return Sound(resample(self.samples, self.sample_rate, sample_rate), sample_rate)


def is_sound_name(name: str) -> bool:
    """Whether a name ends like that of a recording.

    >>> is_sound_name("a/7_jackson_0.WAV"), is_sound_name("notes.txt")
    (True, False)
    """
    return extension(name) in EXTENSIONS


def read_sound(
    path: str | os.PathLike[str],
    *,
    sample_rate: int | None = None,
    mono: bool = True,
    max_bytes: int = MAX_FILE_BYTES,
) -> Sound:
    """Read a recording: wav (8, 16, 24 or 32 bits); with soundfile also FLAC, Ogg, MP3, AIFF and floating wav.

    Args:
        path: the file.
        sample_rate: resample to it (`resample`); None keeps the file's own.
        mono: several channels become their mean, (frames,); False gives (channels, frames).
        max_bytes: the most bytes that the file may have.

    Returns:
        `Sound(samples, sample_rate)`: float32, an integer sample divided by 2^(bits - 1), unsigned 8-bit ones after 128
        was taken off.

    Raises:
        FileFormatError: no such file, no sound, cut short, no samples at all, samples that are no numbers.
        DataError: soundfile is needed and not installed (`pip install thalweg[audio]`).
    """
    path = Path(path)
    content = read_file(path, max_bytes)
    return decode_sound(content, str(path), sample_rate=sample_rate, mono=mono)


def decode_sound(content: bytes, where: str, *, sample_rate: int | None = None, mono: bool = True) -> Sound:
    """`read_sound` of bytes that are at hand; `where` names them in messages."""
    samples, rate = _read_wave(content, where) if content.startswith(_RIFF) else _read_other(content, where)
    if not 0 < rate <= 1 << 22:
        raise _damaged(f"a sample rate of {rate}", where)
    if samples.shape[1] == 0:
        raise FileFormatError(
            explain(
                "a recording of no length",
                received="0 samples",
                expected="at least one",
                where=where,
                remedy='leave it out: on_error="skip" does',
            )
        )
    if not np.isfinite(samples).all():
        raise _damaged("samples that are no finite numbers", where)
    samples = samples.mean(axis=0, dtype=np.float32) if mono else samples
    sound = Sound(samples, rate)
    if sample_rate is None:
        return sound
    _check_samples(
        samples.size * sample_rate // rate, f"{rate:,} samples a second, resampled to {sample_rate:,}", where
    )
    return sound.at_rate(sample_rate)


def _check_samples(count: int, received: str, where: str) -> None:
    """Refuse to allocate more than a GiB of samples because a header says so."""
    if count > MAX_SAMPLES:
        raise FileFormatError(
            explain(
                "a recording declares more samples than are allowed",
                received=f"{count:,} samples: {received}",
                expected=f"at most {MAX_SAMPLES:,}",
                where=where,
                remedy="cut it into shorter recordings, if it is to be trusted",
            )
        )


def _read_wave(content: bytes, where: str) -> tuple[np.ndarray, int]:
    """Integer wav by the standard library; what it does not read (floating, extensible) by soundfile."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, rate, declared = (
                file.getnchannels(),
                file.getsampwidth(),
                file.getframerate(),
                file.getnframes(),
            )
            data = file.readframes(declared)
    except wave.Error as error:
        if str(error).startswith("unknown format"):
            return _read_by_soundfile(content, where, "a wav file of floating-point or compressed samples")
        raise _damaged(str(error), where) from error
    except (EOFError, OSError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise _damaged(str(error) or "the file ends too early", where) from error
    if width not in _LEVELS or not channels:
        raise _damaged(f"{8 * width} bits for each sample, {channels} channels", where)
    frame = channels * width
    if len(data) < declared * frame and declared < _OPEN_END // frame:  # a stream of unknown length says 2^32 - 1
        raise _damaged(f"{len(data):,} bytes of samples where its header says {declared * frame:,}", where)
    whole = len(data) - len(data) % frame
    return _as_floats(data[:whole], width).reshape(-1, channels).T, rate


def _as_floats(data: bytes, width: int) -> np.ndarray:
    """Little-endian integers of 1 to 4 bytes as float32 in -1 .. 1."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(_LEVELS[1])
    if width == 3:  # as the upper three bytes of 32-bit integers
        wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return (wide.view("<i4")[:, 0] / _LEVELS[4]).astype(np.float32)
    return (np.frombuffer(data, f"<i{width}") / _LEVELS[width]).astype(np.float32)


def _read_other(content: bytes, where: str) -> tuple[np.ndarray, int]:
    seems = next((name for magic, name in _MAGIC if content.startswith(magic)), None)
    if seems is None:
        raise _no_sound(content, where)
    return _read_by_soundfile(content, where, seems)


def _read_by_soundfile(content: bytes, where: str, seems: str) -> tuple[np.ndarray, int]:
    library = soundfile(where, seems)
    try:
        with library.SoundFile(io.BytesIO(content)) as file:
            blocks = list(_blocks(file, seems, where))
            channels, rate = int(file.channels), int(file.samplerate)
    except FileFormatError:
        raise
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise _damaged(f"{seems}: {error}", where) from error
    samples = np.concatenate([np.zeros((0, channels), np.float32), *blocks])
    return np.ascontiguousarray(samples.T), rate


def _blocks(file: Any, seems: str, where: str) -> Iterator[np.ndarray]:
    """What is really there, piece by piece: the number of frames in a header is believed by nobody."""
    size, count = max(_BLOCK // max(file.channels, 1), 1), 0
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        count += block.size
        _check_samples(count, seems, where)
        yield block


def soundfile(where: str, seems: str) -> Any:
    """The package soundfile; DataError with the remedy where it is not installed."""
    try:
        import soundfile as library
    except (ImportError, OSError) as error:  # OSError: the package is there, libsndfile is not
        raise DataError(
            explain(
                "this kind of recording is decoded by soundfile, which is not installed",
                received=f"{seems} ({error})",
                where=where,
                remedy="pip install thalweg[audio], or convert it to 16-bit wav",
            )
        ) from error
    return library


def _no_sound(content: bytes, where: str) -> FileFormatError:
    head = content[:12]
    seems = content_of(content[:16]) or ("text" if head.isascii() and head.decode("ascii").isprintable() else None)
    return FileFormatError(
        explain(
            "this is no recording",
            received=(f"{seems}: " if seems else "") + f"it begins with {head!r}",
            expected="wav, FLAC, Ogg, MP3, AIFF",
            where=where,
            remedy='is it the right file? on_error="skip" leaves such files out',
        )
    )


def _damaged(received: str, where: str) -> FileFormatError:
    return FileFormatError(
        explain(
            "a recording is cut short or damaged",
            received=received,
            where=where,
            remedy='get the file again, or leave such files out: on_error="skip"',
        )
    )


def write_sound(path: str | os.PathLike[str], samples: ArrayLike, sample_rate: int) -> None:
    """Write a 16-bit wav file, atomically.

    Args:
        samples: (frames,) or (channels, frames), in -1 .. 1; what lies beyond is clipped.
        sample_rate: samples in a second.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_sound(Path(folder) / "a.wav", [0.0, 0.5, -0.5], 8000)
    ...     read_sound(Path(folder) / "a.wav")
    Sound(samples=array([ 0. ,  0.5, -0.5], dtype=float32), sample_rate=8000)
    """
    rate = checked_count("sample_rate", sample_rate, 1, "write_sound")
    array = np.atleast_2d(np.asarray(samples, dtype=np.float64))
    if array.ndim != 2 or not np.isfinite(array).all():
        raise DataError(
            explain(
                "these samples are no recording",
                received=f"shape {np.shape(samples)}",
                expected="finite numbers, (frames,) or (channels, frames)",
                where="write_sound",
            )
        )
    whole = np.clip(np.rint(array * _LEVELS[2]), -(2**15), 2**15 - 1).astype("<i2")
    with atomic_write(path) as stream, wave.open(stream, "wb") as file:
        file.setnchannels(len(whole))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole.T.tobytes())
