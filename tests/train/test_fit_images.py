"""Training on pictures with random transforms: chance in training, none where one evaluates or predicts.

In: pictures in memory, a transform that marks what it did. Out: what the model was shown.
"""

import numpy as np
import pytest

import thalweg as tw
from thalweg.data import DataLoader, ImageArrays, ImageTransform

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 1, 4, 4)).astype(np.uint8)
LABELS = np.arange(24) % 2


class Mark(ImageTransform):
    """Ones where chance was let in, zeros where it was not."""

    def __init__(self):
        self.drawn = []

    def apply(self, samples, draws):
        self.drawn.append(draws is not None)
        return samples.with_images(np.full(samples.images.shape, float(draws is not None), np.float32))


@pytest.fixture
def trainer():
    tw.manual_seed(0)
    model = tw.nn.Sequential(tw.nn.Flatten(), tw.nn.Linear(16, 2))
    optimizer = tw.optim.SGD(model.parameters(), lr=0.1)
    return tw.Trainer(model, optimizer=optimizer, loss="cross_entropy", progress=False, seed=0)


def test_chance_is_let_in_for_training_only(trainer):
    mark, held_out = Mark(), Mark()
    trainer.fit(
        ImageArrays(IMAGES, LABELS, mark), validation=ImageArrays(IMAGES, LABELS, held_out), epochs=2, batch_size=8
    )
    assert all(mark.drawn)
    assert held_out.drawn
    assert not any(held_out.drawn)
    mark.drawn.clear()
    trainer.evaluate(ImageArrays(IMAGES, LABELS, mark))
    trainer.predict(ImageArrays(IMAGES, LABELS, mark))
    trainer.evaluate(DataLoader(ImageArrays(IMAGES, LABELS, mark), 8))
    assert mark.drawn
    assert not any(mark.drawn)


def test_a_validation_split_is_stratified_and_without_chance(trainer):
    mark = Mark()
    trainer.fit(ImageArrays(IMAGES, LABELS, mark), validation_split=0.25, epochs=1, batch_size=6)
    assert sorted(set(mark.drawn)) == [False, True]
    assert 3 <= mark.drawn.count(True) <= 5  # 18 samples in batches of 6, and the first one looked at beforehand


def test_the_same_run_comes_twice(trainer):
    transform = tw.data.Compose([tw.data.RandomCrop(4, padding=1), tw.data.RandomHorizontalFlip(), tw.data.ToFloat()])
    weights = []
    for _ in range(2):
        tw.manual_seed(0)
        model = tw.nn.Sequential(tw.nn.Flatten(), tw.nn.Linear(16, 2))
        again = tw.Trainer(
            model, optimizer=tw.optim.SGD(model.parameters(), lr=0.1), loss="cross_entropy", progress=False, seed=0
        )
        again.fit(ImageArrays(IMAGES, LABELS, transform), epochs=3, batch_size=8)
        weights.append(model[1].weight.detach().numpy())
    np.testing.assert_array_equal(*weights)
