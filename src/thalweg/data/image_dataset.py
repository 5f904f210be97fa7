"""Sets of pictures: samples as they are read, the transform that is done to them, and what is left out.

In: files or arrays, a transform. Out: samples (image, label), (image, mask) or (image, boxes), and batches of them. A
`DataLoader` tells each batch its moment, so random transforms are a function of its seed, the epoch and the sample.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.augment import ImageTransform, Samples, checked_images, checked_size, checked_transform
from thalweg.data.checks import checked_choice, reason_of
from thalweg.data.collate import default_collate
from thalweg.data.crops import Resize
from thalweg.data.dataset import Dataset, as_sample_array, check_equal_lengths, checked_index, rows_of
from thalweg.data.draws import Draws, Moment
from thalweg.data.image_files import MAX_PIXELS, MODES
from thalweg.data.progress import Progress
from thalweg.data.workers import run_in_order
from thalweg.errors import DataError, ThalwegError, explain

IMAGE, MASK, BOXES, LABEL = "image", "mask", "boxes", "label"
Sample = tuple[Any, ...]
_MOVED = {IMAGE: "images", MASK: "masks", BOXES: "boxes"}  # the fields that a transform changes, as `Samples` has them


class ImageDataset(Dataset):
    """A set of samples whose first field is a picture.

    `dataset[i]` and `take` are without chance: what evaluation sees. A `DataLoader` draws.

    Attributes:
        fields: what a sample consists of: "image", then "label", "mask" or "boxes".
        transform: what is done to each sample, or None.
        class_names: by number.
    """

    fields: tuple[str, ...] = (IMAGE, LABEL)
    class_names: tuple[str, ...] = ()
    read_ahead = 1

    def __init__(self, transform: ImageTransform | None) -> None:
        self.transform = None if transform is None else checked_transform(transform, type(self).__name__)

    @property
    def targets(self) -> np.ndarray | None:
        """What belongs to the pictures, (n, ...), where it lies in memory."""
        return None

    def read(self, numbers: np.ndarray) -> list[Sample] | Sample:
        """Samples before the transform: a list of tuples, or a tuple of arrays where all are of one size."""
        raise NotImplementedError(f"{type(self).__name__}.read is not defined")

    def with_transform(self, transform: ImageTransform | None) -> Self:
        """The same samples with another transform: `training.with_transform(None)` to look at them as they are."""
        other = copy.copy(self)
        other.transform = None if transform is None else checked_transform(transform, type(self).__name__)
        return other

    def __getitem__(self, index: Any) -> Any:
        number = checked_index(index, len(self), type(self).__name__)
        return tuple(field[0] for field in self._batch(np.array([number]), None))

    def take(self, indices: ArrayLike) -> Any:
        return self._batch(np.asarray(indices, dtype=np.int64), None)

    def draw(self, indices: ArrayLike, moment: Moment) -> Any:
        """The batch of these samples at a moment: the random parts of the transform are a function of it."""
        return self._batch(np.asarray(indices, dtype=np.int64), moment)

    def _batch(self, numbers: np.ndarray, moment: Moment | None) -> Sample:
        samples = self.read(numbers)
        if isinstance(samples, tuple):
            return self._transformed(samples, numbers, moment)
        if len({np.shape(sample[0]) for sample in samples}) == 1:
            return self._transformed(default_collate(samples), numbers, moment)
        single = (default_collate([sample]) for sample in samples)
        each = [self._transformed(one, numbers[i : i + 1], moment) for i, one in enumerate(single)]
        self._check_sizes([sample[0].shape[1:] for sample in each])
        return tuple(np.concatenate(field) for field in zip(*each, strict=True))

    def _transformed(self, batch: Sample, numbers: np.ndarray, moment: Moment | None) -> Sample:
        if self.transform is None:
            return batch
        given = dict(zip(self.fields, batch, strict=True))
        moved = Samples(**{_MOVED[name]: value for name, value in given.items() if name in _MOVED})
        result = self.transform.apply(moved, None if moment is None else Draws(moment, numbers))
        return tuple(getattr(result, _MOVED[name]) if name in _MOVED else given[name] for name in self.fields)

    def _check_sizes(self, shapes: list[tuple[int, ...]]) -> None:
        if len(set(shapes)) > 1:
            raise DataError(
                explain(
                    "pictures of different sizes cannot be stacked",
                    received=" and ".join(map(str, sorted(set(shapes))[:2])),
                    expected="one size",
                    where=type(self).__name__,
                    remedy="pass size=(height, width), or a transform that ends in one size (Resize, "
                    "RandomResizedCrop)",
                )
            )

    def __repr__(self) -> str:
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        transform = "" if self.transform is None else f", transform={self.transform!r}"
        return f"{type(self).__name__}({len(self)} samples{classes}{transform})"


class ImageArrays(ImageDataset):
    """Pictures that lie in memory (or in a memory-mapped file), with a transform.

    Args:
        images: (n, height, width) or (n, channels, height, width), uint8 or floating.
        targets: (n, ...): class labels, masks or boxes, as `target` says; None for pictures alone.
        transform: an `ImageTransform`, or None.
        target: "label", "mask" or "boxes" (n, most, 5).

    >>> from thalweg.data import RandomHorizontalFlip
    >>> data = ImageArrays(np.zeros((3, 8, 8), np.uint8), [0, 1, 0], RandomHorizontalFlip())
    >>> data.take([0, 2])[0].shape, len(data)
    ((2, 8, 8), 3)
    """

    def __init__(
        self,
        images: Any,
        targets: Any = None,
        transform: ImageTransform | None = None,
        *,
        target: str = LABEL,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__(transform)
        arrays = [checked_images(as_sample_array(images, "ImageArrays, images"), "ImageArrays")]
        if targets is not None:
            arrays.append(as_sample_array(targets, "ImageArrays, targets"))
        self.arrays, self._length = tuple(arrays), check_equal_lengths(arrays, "ImageArrays")
        self.fields, self.class_names = (
            (IMAGE, checked_choice("target", target, (LABEL, MASK, BOXES)))[: len(arrays)],
            tuple(class_names),
        )
        if target == MASK and targets is not None and arrays[1].shape[1:] != arrays[0].shape[-2:]:
            received = f"pictures {arrays[0].shape}, masks {arrays[1].shape}"
            raise DataError(
                explain("masks of another size than their pictures", received=received, where="ImageArrays")
            )

    @property
    def targets(self) -> np.ndarray | None:
        """What belongs to the pictures, (n, ...)."""
        return self.arrays[1] if len(self.arrays) > 1 else None

    def __len__(self) -> int:
        return self._length

    def read(self, numbers: np.ndarray) -> Sample:
        return tuple(rows_of(array, numbers) for array in self.arrays)


class Skipped(NamedTuple):
    """A file that was left out (or a box in it), and why."""

    place: str
    reason: str


class ImageFiles(ImageDataset):
    """What the sets that are read from files share: a list of entries, and one way to leave bad ones out.

    Subclasses fill `entries`, define `read_entry` and `place`, and call `settle` at the end of `__init__`.

    Attributes:
        skipped: what was left out, with the reason; empty with `on_error="raise"`.
    """

    ON_ERROR: ClassVar[tuple[str, ...]] = ("raise", "skip")

    def __init__(
        self,
        transform: ImageTransform | None,
        *,
        size: Any = None,
        mode: str = "RGB",
        on_error: str = "raise",
        cache: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(transform)
        where = type(self).__name__
        self.size = None if size is None else checked_size(size, where)
        self.mode, self.max_pixels = checked_choice("mode", mode, MODES), max_pixels
        self.on_error, self.cache = checked_choice("on_error", on_error, self.ON_ERROR), bool(cache)
        self.entries: list[Any] = []
        self.skipped: tuple[Skipped, ...] = ()
        self._kept: dict[int, Sample] = {}

    def read_entry(self, entry: Any) -> Sample:
        """The sample of an entry as it is in the file; raises DataError if it cannot be used."""
        raise NotImplementedError(f"{type(self).__name__}.read_entry is not defined")

    def place(self, entry: Any) -> str:
        """Where an entry is, for a message."""
        raise NotImplementedError(f"{type(self).__name__}.place is not defined")

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, numbers: np.ndarray) -> list[Sample]:
        return [self._sample(checked_index(number, len(self), type(self).__name__)) for number in numbers.tolist()]

    def _sample(self, number: int) -> Sample:
        if number in self._kept:
            return self._kept[number]
        sample = self._at_size(self.read_entry(self.entries[number]))
        if self.cache:
            self._kept[number] = sample
        return sample

    def _at_size(self, sample: Sample) -> Sample:
        if self.size is None:
            return sample
        given = dict(zip(self.fields, sample, strict=True))
        moved = Samples(**{_MOVED[name]: value[None] for name, value in given.items() if name in _MOVED})
        result = Resize(self.size).apply(moved, None)
        return tuple(getattr(result, _MOVED[name])[0] if name in _MOVED else given[name] for name in self.fields)

    def settle(self) -> None:
        """With `on_error="skip"` read every file once, and keep the entries that can be used."""
        if self.on_error == "skip":
            self._leave_out_what_cannot_be_read()
        if not self.entries:
            raise DataError(
                explain(
                    "no sample is left" if self.skipped else "there are no samples",
                    received=f"{len(self.skipped)} files skipped, the first: {self.skipped[0].reason}"
                    if self.skipped
                    else "0 samples",
                    where=type(self).__name__,
                )
            )

    def _leave_out_what_cannot_be_read(self) -> None:
        entries, kept = self.entries, self._kept
        tasks = (partial(self._problem_of, number) for number in range(len(entries)))
        workers = min(8, os.cpu_count() or 1)
        with Progress("checking pictures", "files", len(entries)) as progress:
            reasons = list(progress.counted(run_in_order(tasks, workers, 4 * workers), every=64))
        good = [number for number, reason in enumerate(reasons) if reason is None]
        bad = [Skipped(self.place(entries[n]), reason) for n, reason in enumerate(reasons) if reason is not None]
        self.entries, self.skipped = [entries[number] for number in good], (*self.skipped, *bad)
        self._kept = {new: kept[old] for new, old in enumerate(good) if old in kept}
        if self.skipped:
            warnings.warn(self._report(), RuntimeWarning, stacklevel=4)

    def _problem_of(self, number: int) -> str | None:
        try:
            self._sample(number)
        except ThalwegError as error:
            return reason_of(error)
        return None

    def _report(self) -> str:
        shown = "; ".join(f"{each.place}: {each.reason}" for each in self.skipped[:3])
        more = f"; and {len(self.skipped) - 3} more" if len(self.skipped) > 3 else ""
        kept = f"{len(self.entries)} samples are kept"
        return f"{type(self).__name__} leaves out {len(self.skipped)} ({kept}): {shown}{more}; see .skipped"
