"""The recipes for pictures: classes, masks or boxes, learnt by networks of convolutions.

In: settings. Out: a `Problem`: pictures in parts, what is done to those of the training part, and an `ImageReader`.
The validation part, and the test part where the data has none, are cut off the training pictures, never the reverse.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from thalweg.data import (
    Compose,
    DataLoader,
    ImageArrays,
    ImageTransform,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomQuarterTurn,
    RandomVerticalFlip,
    split_indices,
)
from thalweg.data.image_dataset import BOXES, LABEL, MASK
from thalweg.errors import DataError, explain
from thalweg.recipes.images import ImageReader
from thalweg.recipes.picture_network import DEPTH, check_network
from thalweg.recipes.picture_parts import Part, PictureSet, task_of, with_rows
from thalweg.recipes.picture_sets import load_set
from thalweg.recipes.problem import (
    CLASSIFICATION,
    DETECTION,
    FEWEST_CLASSES,
    SEGMENTATION,
    Chunk,
    Outputs,
    PictureSamples,
    Problem,
    fingerprint_of_arrays,
)
from thalweg.recipes.settings import UNET, Settings

FEWEST_PICTURES = 4
PIXELS_OF_A_BATCH = 1 << 19
"""Pixels that are computed on at once where nothing is learnt: two pictures of 512 x 512, 668 of 28 x 28."""
LARGEST_PIECE = 256
"""Side of the pieces that a U-Net is trained on; larger pictures are cut at random places."""
TARGET_OF = {CLASSIFICATION: LABEL, SEGMENTATION: MASK, DETECTION: BOXES}
UPRIGHT = frozenset({"digits", "mnist", "fashion_mnist", "cifar10", "image_folder", "voc"})
"""Recipes whose pictures have a top: no turning. Masks and cells under a microscope have none."""
HANDED = frozenset({"digits", "mnist"})
"""Recipes whose pictures mean something else in a mirror."""
SHIFTS = {"digits": 1, "mnist": 2, "fashion_mnist": 0, "cifar10": 4}
"""Pixels by which pictures of a class are moved at most."""


def prepare(settings: Settings) -> Problem:
    """The problem: the test part first, then the validation part, then what is done to the rest.

    Raises DataError and FileFormatError (with the file's name) for pictures that cannot be used, ConfigurationError for
    settings that do not fit the task.
    """
    check_network(settings, task_of(settings.recipe))
    data = load_set(settings)
    _check_classes(data)
    test, rest, validation = cut(data, settings)
    normalize = Normalize().fit(rest.images)
    changes = pieces_of(data.task, rest.images)
    if settings.augment is not False:
        changes += changes_of(data.task, rest.images, settings)
    shape = rest.images.shape[1:]
    reader = ImageReader(shape, data.maximum, data.class_names, *statistics(normalize))
    target = TARGET_OF[data.task]
    return Problem(
        name=data.name,
        outputs=Outputs(classes=list(data.class_names), task=data.task),
        reader=reader,
        input_shape=shape,
        training=ImageArrays(rest.images, rest.targets, Compose([*changes, normalize]), target=target),
        validation=DataLoader(
            ImageArrays(validation.images, validation.targets, normalize, target=target),
            batch_size=examples_at_once(shape),
        ),
        test=lambda: in_batches(test, normalize),
        counts={
            "training": len(rest.targets),
            "validation": len(validation.targets),
            "test": len(test.targets),
        },
        data={"name": data.name, "origin": data.origin, "sha256": _fingerprint(data), "task": data.task},
        notes=data.notes,
        samples=lambda: PictureSamples(test.images, test.targets, normalize(test.images)),
    )


def examples_at_once(shape: tuple[int, ...]) -> int:
    """How many pictures of a shape are computed on at once where nothing is learnt.

    >>> examples_at_once((1, 28, 28)), examples_at_once((1, 512, 512))
    (256, 2)
    """
    return max(1, min(256, PIXELS_OF_A_BATCH // (shape[-2] * shape[-1])))


def in_batches(part: Part, normalize: Normalize) -> Iterator[Chunk]:
    """A part as network inputs and targets."""
    size = examples_at_once(part.images.shape)
    for first in range(0, len(part.targets), size):
        rows = slice(first, first + size)
        yield normalize(part.images[rows]), part.targets[rows]


def _fingerprint(data: PictureSet) -> str:
    parts = [part for part in (data.training, data.validation, data.test) if part is not None]
    return fingerprint_of_arrays(*(array for part in parts for array in part))


# --- the parts -------------------------------------------------------------------------------------------------------


def cut(data: PictureSet, settings: Settings) -> tuple[Part, Part, Part]:
    """Test part, training part, validation part."""
    rest, test, validation = data.training, data.test, data.validation
    if test is None:
        rest, test = _split(rest, data, settings.test_fraction, settings.seed)
    if validation is None:
        rest, validation = _split(rest, data, settings.validation, settings.seed + (data.test is None))
    if data.task == DETECTION:
        most = max(part.targets.shape[1] for part in (rest, test, validation))
        rest, test, validation = (Part(x, with_rows(boxes, most)) for x, boxes in (rest, test, validation))
    return test, rest, validation


def _split(part: Part, data: PictureSet, share: float, seed: int) -> tuple[Part, Part]:
    """Two parts: every class in its share where each picture has one; a sequence in one piece."""
    count = len(part.targets)
    if count < FEWEST_PICTURES:
        raise DataError(
            explain(
                "too few pictures to train, validate and test",
                received=f"{count} pictures",
                expected=f"at least {FEWEST_PICTURES} in a part that is cut",
                where=data.origin,
            )
        )
    if data.is_sequence:
        kept = count - max(1, round(share * count))
        return part.at(np.arange(kept)), part.at(np.arange(kept, count))
    labels = part.targets if data.task == CLASSIFICATION and np.bincount(part.targets).max() > 1 else None
    first, second = split_indices(count, share, labels, seed)
    return part.at(first), part.at(second)


def _check_classes(data: PictureSet) -> None:
    fewest = FEWEST_CLASSES[data.task]
    if len(data.class_names) < fewest:
        raise DataError(
            explain(
                "a single class: there is nothing to tell apart" if data.class_names else "there are no classes",
                received=", ".join(data.class_names) or "none",
                expected=f"at least {fewest}",
                where=data.origin,
                remedy="masks need two values, pictures two folders" if fewest > 1 else "annotations need an <object>",
            )
        )


# --- what is done to pictures ----------------------------------------------------------------------------------------


def changes_of(task: str, images: np.ndarray, settings: Settings) -> list[ImageTransform]:
    """The random changes of a training picture, behind its cutting into pieces."""
    recipe, (height, width) = settings.recipe, images.shape[-2:]
    changes: list[ImageTransform] = []
    if recipe not in HANDED:
        changes.append(RandomHorizontalFlip())
    if recipe not in UPRIGHT:
        changes.append(RandomQuarterTurn() if task == SEGMENTATION else RandomVerticalFlip())
    shift = _largest_shift(task, recipe, max(height, width))
    fill = float(images.mean()) if task == DETECTION else 0
    return [RandomCrop((height, width), padding=shift, fill=fill), *changes] if shift else changes


def _largest_shift(task: str, recipe: str, side: int) -> int:
    """By how many pixels pictures are moved at most. Boxes: by whole pixels, since turning and scaling blur small ones
    (on the validation list of BCCD 0.86 with shifts, 0.82 without, 0.76 with scaling)."""
    if task == CLASSIFICATION:
        return SHIFTS.get(recipe, side // 8)
    return side // 20 if task == DETECTION else 0


def pieces_of(task: str, images: np.ndarray) -> list[ImageTransform]:
    """For masks: pieces of pictures that are too large to be trained on whole."""
    height, width = images.shape[-2:]
    step = 2 ** DEPTH[UNET]
    size = tuple(min(side, LARGEST_PIECE) // step * step for side in (height, width))
    if task != SEGMENTATION or size == (height, width) or 0 in size:
        return []
    return [RandomCrop(size)]


def statistics(normalize: Normalize) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation as plain numbers, for a run folder."""
    return tuple(map(float, normalize.mean_)), tuple(map(float, normalize.std_))
