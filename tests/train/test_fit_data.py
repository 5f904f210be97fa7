"""What can be trained on: every kind of data gives the same training, and a validation part is cut fairly."""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, network, same_bits, trainer, weights
from thalweg.data import DataLoader, Dataset, IterableDataset, TensorDataset
from thalweg.train.feed import feed_of, split
from thalweg.train.losses import Targets

X, Y = classes(50)


class Samples(Dataset):
    def __len__(self):
        return 50

    def __getitem__(self, index):
        return X[index], Y[index]


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


def batches():
    for first in range(0, 50, 16):
        yield X[first : first + 16], Y[first : first + 16]


class Batches:
    def __iter__(self):
        return batches()


def memory_mapped(folder):
    for name, array in (("x", X), ("y", Y)):
        np.save(folder / f"{name}.npy", array)
    return np.load(folder / "x.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")


KINDS = {
    "arrays": lambda _: (X, Y),
    "a list of two arrays": lambda _: [X, Y],
    "a named tuple": lambda _: tw.data.Examples(X, Y),
    "tensors": lambda _: (tw.tensor(X), tw.tensor(Y)),
    "lists": lambda _: (X.tolist(), Y.tolist()),
    "float32": lambda _: (X.astype(np.float32), Y.astype(np.int32)),
    "memory-mapped": memory_mapped,
    "data set of arrays": lambda _: TensorDataset(X, Y),
    "data set of samples": lambda _: Samples(),
    "list of samples": lambda _: [(x, int(y)) for x, y in zip(X, Y, strict=True)],
    "loader": lambda _: DataLoader(TensorDataset(X, Y), batch_size=16),
    "loader with a worker": lambda _: DataLoader(TensorDataset(X, Y), batch_size=16, num_workers=1),
    "stream": lambda _: Stream(),
    "iterable of batches": lambda _: Batches(),
    "function that makes batches": lambda _: batches,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same_training(kind, tmp_path):
    made, expected = trainer(metrics=["accuracy"]), trainer(metrics=["accuracy"])
    history = made.fit(KINDS[kind](tmp_path), epochs=2, batch_size=16, shuffle=False)
    assert len(expected.fit((X, Y), epochs=2, batch_size=16, shuffle=False)["loss"]) == len(history["loss"]) == 2
    assert same_bits(weights(made.model), weights(expected.model))
    assert made.evaluate(KINDS[kind](tmp_path), batch_size=16) == expected.evaluate((X, Y), batch_size=16)
    assert made.predict(KINDS[kind](tmp_path), batch_size=16).shape == (50, 3)


def test_a_generator_may_be_read_once():
    made = trainer()
    assert len(made.fit(batches(), epochs=1).steps["loss"]) == 4


def test_a_loader_s_order_depends_on_the_epoch_alone():
    orders = []
    for epochs in ((0, 2), (0, 1), (1, 2)):
        seen = []
        loader = DataLoader(TensorDataset(X, Y), batch_size=50, shuffle=True, seed=3)
        hook = tw.callbacks.LambdaCallback(on_batch_begin=lambda t, seen=seen: seen.append(t.state.inputs.numpy()))
        trainer(callbacks=[hook]).fit(loader, initial_epoch=epochs[0], epochs=epochs[1])
        orders.append(seen)
    assert np.array_equal(orders[0][0], orders[1][0])
    assert np.array_equal(orders[0][1], orders[2][0])


def test_shuffling_is_the_default_and_drop_last_leaves_the_short_batch_out():
    sizes, first = [], []
    hook = tw.callbacks.LambdaCallback(
        on_batch_begin=lambda t: (sizes.append(len(t.state.inputs)), first.append(t.state.inputs.numpy()[0]))
    )
    trainer(callbacks=[hook]).fit((X, Y), batch_size=16, drop_last=True)
    assert sizes == [16, 16, 16]
    assert not np.allclose(first[0], X[0])


# --- validation ------------------------------------------------------------------------------------------------------


def parts(y, targets=Targets.CLASSES, seed=0, share=0.2):
    whole = feed_of((np.arange(len(y), dtype=float)[:, None], y), batch_size=8)
    feeds = split(whole, share, targets, seed, batch_size=8, shuffle=True, drop_last=False)
    return [np.concatenate([batch.inputs[:, 0] for batch in each.epoch(0)]).astype(int) for each in feeds]


def test_the_validation_part_is_shuffled_disjoint_and_complete():
    training, validation = parts(np.arange(50) % 5)
    assert sorted([*training, *validation]) == list(range(50))
    assert len(validation) == 10
    assert list(validation) != sorted(validation)


@pytest.mark.parametrize("labels", [np.repeat([0, 1], [40, 10]), np.eye(2)[np.repeat([0, 1], [40, 10])]])
def test_every_class_has_its_share(labels):
    _, validation = parts(labels)
    flat = labels if labels.ndim == 1 else labels.argmax(1)
    assert np.bincount(flat[validation]).tolist() == [8, 2]


def test_binary_targets_in_a_float_column_are_stratified_too():
    labels = np.repeat([0.0, 1.0], [40, 10])[:, None]
    _, validation = parts(labels, Targets.BINARY)
    assert labels[validation].sum() == 2


def test_a_regression_is_split_at_random():
    _, validation = parts(np.random.default_rng(0).normal(size=50), Targets.VALUES)
    assert len(validation) == 10


def test_the_split_is_a_function_of_the_seed():
    y = np.arange(50) % 5
    assert set(parts(y)[1]) == set(parts(y)[1]) != set(parts(y, seed=1)[1])


@pytest.mark.parametrize("kind", ["arrays", "data set of arrays", "data set of samples", "memory-mapped"])
def test_a_share_of_any_set_reached_by_number_can_be_held_out(kind, tmp_path):
    made = trainer(metrics=["accuracy"])
    seen = []
    made.fit(KINDS[kind](tmp_path), validation_split=0.3, epochs=2, callbacks=[
        tw.callbacks.LambdaCallback(on_epoch_end=lambda t: seen.append(t.state.examples))])  # fmt: skip
    assert seen == [35, 35]
    assert "val_accuracy" in made.history.history


def test_sample_weights_travel_with_their_examples():
    weight = np.where(Y == 0, 0.0, 1.0)
    seen = []
    hook = tw.callbacks.LambdaCallback(
        on_batch_begin=lambda t: seen.append((t.state.targets.numpy() != 0) == (t.state.weights.numpy() == 1))
    )
    trainer(callbacks=[hook]).fit((X, Y, weight), validation_split=0.2, batch_size=8)
    assert all(each.all() for each in seen)


def test_the_model_is_not_trained_on_the_validation_part():
    made = trainer(network(dropout=0.2))
    made.fit((X, Y), validation=(X * np.pi, Y), epochs=2)
    other = trainer(network(dropout=0.2))
    other.fit((X, Y), epochs=2)
    assert same_bits(weights(made.model), weights(other.model))
