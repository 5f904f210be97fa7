"""Sequences in batches: padding, lengths, and what chance does to them.

In: sequences of different lengths. Out: what a naive loop gives, and PyTorch's `pad_sequence`; errors that name the
sample.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import (
    Buckets,
    DataLoader,
    Draws,
    Moment,
    SequenceCompose,
    SequenceDataset,
    SequenceTransform,
    SpecAugment,
    pad_sequence,
    stratified_split,
)
from thalweg.errors import ArgumentError, DataError, ShapeError

rows = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=1, max_size=6)


@pytest.mark.peer
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("inner", [(), (3,)])
def test_padding_is_that_of_pytorch(side, inner):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(length, *inner)).astype(np.float32) for length in (3, 1, 5)]
    expected = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(each) for each in arrays], batch_first=True, padding_value=-1.0, padding_side=side
    )
    np.testing.assert_array_equal(pad_sequence(arrays, -1.0, padding_side=side), expected.numpy())


@given(rows, st.integers(0, 3))
def test_a_batch_holds_every_sequence_and_padding_behind_it(sequences, more):
    data = SequenceDataset(sequences, lengths=True, padding_value=-1)
    ((tokens, lengths),) = data.take(range(len(sequences)))
    assert lengths.tolist() == [len(each) for each in sequences]
    for row, sequence in zip(tokens.tolist(), sequences, strict=True):
        assert row == sequence + [-1] * (len(row) - len(sequence))
    assert pad_sequence(sequences, length=7 + more).shape == (len(sequences), 7 + more)


def test_targets_that_are_sequences_are_padded_with_what_a_loss_ignores():
    data = SequenceDataset(([[1, 2, 3], [4]], [[1, 5], [1]]), [[5, 6], [7]])
    (source, seen), targets = data.take([0, 1])
    assert (source.shape, seen.tolist()) == ((2, 3), [[1, 5], [1, 0]])
    assert targets.tolist() == [[5, 6], [7, -100]]
    assert data.lengths_of.tolist() == [[3, 2, 2], [1, 1, 1]]


def test_a_single_sample_has_no_padding():
    data = SequenceDataset([[1, 2, 3], [4]], [7, 8], buckets=1, lengths=True)
    (tokens, length), target = data[1]
    assert (tokens.tolist(), length, target) == ([4], 1, 8)


def test_frames_of_features_are_sequences_too():
    frames = [np.ones((n, 4), np.float32) for n in (2, 5)]
    x, y = SequenceDataset(frames, np.array([0.5, 1.5])).take([1, 0])
    assert (x.shape, x.dtype, x.sum(), y.tolist()) == ((2, 5, 4), np.float32, 28, [1.5, 0.5])


def test_batches_are_padded_to_their_bucket():
    data = SequenceDataset([[1] * n for n in range(1, 9)], buckets=Buckets([4, 8]))
    assert [data.take(numbers)[0].shape[1] for numbers in ([0, 1], [3], [3, 4], [7])] == [4, 4, 8, 8]


def test_longer_sequences_are_cut_and_counted():
    data = SequenceDataset([[1, 2, 3], [4]], max_length=2)
    assert data.take([0, 1])[0].tolist() == [[1, 2], [4, 0]]
    assert data.cut == 1


class AddNoise(SequenceTransform):
    def apply(self, sequences, lengths, draws):
        return sequences if draws is None else sequences + draws.uniform(sequences.shape[1]).astype(np.float32)


def test_chance_is_a_function_of_seed_epoch_and_sample():
    transform = SequenceCompose([AddNoise(), AddNoise()])
    data = SequenceDataset([np.zeros(n, np.float32) for n in (3, 3, 3, 3)], transform=transform)
    alone, together = data.draw([2], Moment(0, (1,))), data.draw([0, 2], Moment(0, (1,)))
    np.testing.assert_array_equal(alone[0][0], together[0][1])
    assert (data.take([0])[0] == 0).all()
    loaders = [DataLoader(data, batch_size=size, seed=5, num_workers=n) for size, n in ((1, 0), (3, 2))]
    first, second = (np.concatenate([batch for (batch,) in loader]) for loader in loaders)
    np.testing.assert_array_equal(first, second)
    assert not (first == np.concatenate([batch for (batch,) in loaders[0]])).all()  # the next epoch


MISUSE = [
    ("an empty line", lambda: SequenceDataset([[1], []]), DataError, "sample 1"),
    ("no samples", lambda: SequenceDataset([]), DataError, "no sequences"),
    ("different counts", lambda: SequenceDataset([[1], [2]], [0]), DataError, "2, 1"),
    ("text", lambda: SequenceDataset(["abc"]), DataError, "single|only numbers"),
    ("rows of other widths", lambda: SequenceDataset([np.zeros((2, 3)), np.zeros((2, 4))]), DataError, "alike"),
    ("numbers for sequences", lambda: SequenceDataset([1, 2]), DataError, "first axis"),
    ("a function as a transform", lambda: SequenceDataset([[1]], transform=abs), ArgumentError, "SpecAugment"),
    ("too short a length", lambda: pad_sequence([[1, 2]], length=1), ShapeError, "at most 1"),
    ("an unknown side", lambda: pad_sequence([[1]], padding_side="top"), ArgumentError, "'left'"),
    ("no length at all", lambda: SequenceDataset([[1]], max_length=0), ArgumentError, "at least 1"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_empty_targets_are_allowed():
    assert SequenceDataset([[1], [2]], [[], [3]]).take([0, 1])[1].tolist() == [[-100], [3]]


def naive_masks(features, lengths, transform, draws):
    """SpecAugment, sample by sample and mask by mask."""
    result = features.copy()
    uniform = draws.uniform(2 * (transform.frequency_masks + transform.time_masks))
    for x, length, numbers in zip(result, lengths, uniform, strict=True):
        pairs = numbers.reshape(-1, 2)
        for place, (u, v) in enumerate(pairs):
            if place < transform.frequency_masks:
                f = int(u * (min(transform.frequency_width, x.shape[1]) + 1))
                start = int(v * (x.shape[1] - f + 1))
                x[:length, start : start + f] = transform.value
            else:
                t = int(u * (min(transform.time_width, int(transform.time_share * length), length) + 1))
                start = int(v * (length - t + 1))
                x[start : start + t] = transform.value
    return result


@pytest.mark.parametrize(
    "transform", [SpecAugment(), SpecAugment(3, 20, 3, 30, 1.0, value=-7.0), SpecAugment(0, 0, 1, 5)], ids=repr
)
def test_masks_of_time_and_frequency_are_those_of_the_paper(transform):
    rng = np.random.default_rng(0)
    lengths = np.array([40, 7, 1, 23])
    features = rng.normal(size=(4, 40, 12)).astype(np.float32) + 3
    data = SequenceDataset([x[:n] for x, n in zip(features, lengths, strict=True)], transform=transform)
    padded = data.take(range(4))[0]
    draws = Draws(Moment(3, (2,)), np.arange(4))
    found = data.draw(range(4), Moment(3, (2,)))[0]
    np.testing.assert_array_equal(found, naive_masks(padded, lengths, transform, draws))
    assert (found != padded).any()
    assert (found[1, 7:] == 0).all()  # the padding stays what it is
    assert SpecAugment.from_config(transform.to_config()).to_config() == transform.to_config()


def test_masks_are_as_wide_as_they_may_be_and_no_wider():
    transform, features = SpecAugment(1, 5, 1, 10, 0.5), np.ones((4000, 16, 9), np.float32)
    draws = Draws(Moment(0, (0,)), np.arange(4000))
    hidden = transform.apply(features, np.full(4000, 16), draws) == 0
    widths = [np.bincount(hidden.all(axis=axis).sum(axis=1), minlength=11) for axis in (1, 2)]
    assert (widths[0][:6] > 500).all()  # frequencies: 0 .. 5, evenly
    assert (widths[1][:9] > 300).all()  # time: 0 .. half of 16
    assert widths[0][6:].sum() == widths[1][9:].sum() == 0


def test_classes_of_sequences_are_split_in_their_proportion():
    data = SequenceDataset([[1]] * 20, [0] * 15 + [1] * 5)
    training, validation = stratified_split(data, 0.4)
    assert np.bincount(validation.take(range(8))[1]).tolist() == [6, 2]
    assert len(training) == 12
