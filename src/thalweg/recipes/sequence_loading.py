"""Sequences as batches of nearly one length.

In: sequences, their targets, settings. Out: a `DataLoader` whose batches have few shapes: each is a program to compile,
so there are the fewer the less there is to train.
"""

from __future__ import annotations

from typing import Any

from thalweg.data import BucketBatchSampler, DataLoader, SequenceDataset
from thalweg.recipes.sequence_modules import IGNORED
from thalweg.recipes.settings import Settings

MOST_BUCKETS = 6
BATCHES_OF_A_BUCKET = 20
EVALUATED = 64
"""Sequences in a batch where nothing is learnt."""


def loader_of(inputs: Any, targets: Any, settings: Settings, is_training: bool, **options: Any) -> DataLoader:
    """Training in a random order, everything else in a fixed one; `options` are those of `SequenceDataset`."""
    assert settings.batch_size is not None
    data = SequenceDataset(inputs, targets, target_padding=IGNORED, buckets=1, **options)
    size = settings.batch_size if is_training else EVALUATED
    buckets = min(MOST_BUCKETS, 1 + len(data) // size // BATCHES_OF_A_BUCKET)
    if buckets > 1:
        data = SequenceDataset(inputs, targets, target_padding=IGNORED, buckets=buckets, **options)
    sampler = BucketBatchSampler(data, size, shuffle=is_training)
    return DataLoader(data, batch_sampler=sampler, seed=settings.seed)
