"""Our metrics give scikit-learn's values, on random data and where a definition is put to the test.

In: the same predictions and targets for both. Out: equal values to 1e-12, also with weights, in uneven batches, for
classes that never occur and for targets that are all alike.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sweep import sweep
from thalweg.train.metrics import (
    F1,
    R2,
    Accuracy,
    ConfusionMatrix,
    Dice,
    IoU,
    MeanAbsoluteError,
    MeanSquaredError,
    PixelAccuracy,
    Precision,
    Recall,
    RootMeanSquaredError,
    TopKAccuracy,
)

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def peer():
    return pytest.importorskip("sklearn.metrics")


def in_uneven_batches(metric, *arrays):
    for start, stop in itertools.pairwise((0, 1, 1, 8, 11, len(arrays[0]))):
        metric.update(*(array[start:stop] for array in arrays))
    return metric.compute()


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def label_problems():
    """Labels of 20 examples: random, perfect, all wrong, one class only, classes that occur on one side only."""
    rng = np.random.default_rng(0)
    random = rng.integers(0, 4, 20), rng.integers(0, 4, 20)
    ones, zeros = np.ones(20, int), np.zeros(20, int)
    return {
        "random": random,
        "perfect": (random[1], random[1]),
        "all wrong": ((random[1] + 1) % 4, random[1]),
        "one class": (ones, ones),
        "one class each": (zeros, ones),
        "predicted only": (random[0], random[1] % 2),
        "true only": (random[0] % 2, random[1]),
        "a gap": (random[0] * 2, random[1] * 2),
    }


PROBLEMS = label_problems()
AVERAGED = list(
    itertools.product(
        (Precision, Recall, F1), ("macro", "micro", "weighted", None), (0.0, 1.0, np.nan), PROBLEMS, (False, True)
    )
)


@pytest.mark.parametrize(("kind", "average", "zero_division", "problem", "weighted"), sweep(AVERAGED, 0.25, seed=1))
def test_precision_recall_and_f1(peer, kind, average, zero_division, problem, weighted):
    predicted, true = PROBLEMS[problem]
    weights = np.random.default_rng(1).random(20) + 0.1 if weighted else np.ones(20)
    reference = {Precision: peer.precision_score, Recall: peer.recall_score, F1: peer.f1_score}[kind]
    classes = range(max(predicted.max(), true.max()) + 1) if average is None else None
    theirs = reference(
        true, predicted, labels=classes, average=average, sample_weight=weights, zero_division=zero_division
    )
    same(in_uneven_batches(kind(average=average, zero_division=zero_division), predicted, true, weights), theirs)


@given(seed=st.integers(0, 2**16), positive=st.floats(0.0, 1.0))
def test_binary_values_with_scores(peer, seed, positive):
    rng = np.random.default_rng(seed)
    probability, true = rng.random(20), (rng.random(20) < positive).astype(int)
    predicted = (probability > 0.5).astype(int)
    for kind, reference in ((Precision, peer.precision_score), (Recall, peer.recall_score), (F1, peer.f1_score)):
        same(in_uneven_batches(kind(), probability, true), reference(true, predicted, zero_division=0.0))
    same(in_uneven_batches(Accuracy(), probability, true), peer.accuracy_score(true, predicted))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("weighted", [False, True])
def test_iou_dice_and_pixel_accuracy_of_masks(peer, problem, average, weighted):
    """Masks of (N, 2, 2) pixels; scikit-learn sees the pixels one by one."""
    predicted, true = (labels.reshape(5, 2, 2) for labels in PROBLEMS[problem])
    weights = np.random.default_rng(1).random((5, 2, 2)) + 0.1 if weighted else np.ones((5, 2, 2))
    flat = {"y_true": true.ravel(), "y_pred": predicted.ravel(), "sample_weight": weights.ravel()}
    options = {"average": average, "zero_division": 0.0}
    options["labels"] = range(max(predicted.max(), true.max()) + 1) if average is None else None
    for kind, reference in ((IoU, peer.jaccard_score), (Dice, peer.f1_score)):
        metric = kind(average=average)
        for start, stop in ((0, 1), (1, 1), (1, 5)):
            metric.update(predicted[start:stop], true[start:stop], weights[start:stop])
        same(metric.compute(), reference(**flat, **options))
    accuracy = PixelAccuracy()
    accuracy.update(predicted, true, weights)
    same(accuracy.compute(), peer.accuracy_score(**flat))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_accuracy_and_confusion_matrix(peer, problem, normalize):
    predicted, true = PROBLEMS[problem]
    weights = np.random.default_rng(1).random(20)
    same(
        in_uneven_batches(Accuracy(), predicted, true, weights),
        peer.accuracy_score(true, predicted, sample_weight=weights),
    )
    ours = in_uneven_batches(ConfusionMatrix(7, normalize=normalize), predicted, true, weights)
    same(ours, peer.confusion_matrix(true, predicted, labels=range(7), normalize=normalize, sample_weight=weights))


@pytest.mark.parametrize("k", range(1, 6))
@given(seed=st.integers(0, 2**16))
def test_top_k_accuracy(peer, k, seed):
    rng = np.random.default_rng(seed)
    scores, true, weights = rng.normal(size=(20, 5)), rng.integers(0, 5, 20), rng.random(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns that k = 5 of 5 classes is always 1
        theirs = peer.top_k_accuracy_score(true, scores, k=k, labels=range(5), sample_weight=weights)
    same(in_uneven_batches(TopKAccuracy(k), scores, true, weights), theirs)


def number_problems():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(20, 3))
    return {
        "random": (rng.normal(size=20), rng.normal(size=20)),
        "perfect": (target, target),
        "several outputs": (target + rng.normal(size=(20, 3)), target * np.array([1.0, 10.0, 100.0])),
        "far from zero": (target + 1e6, target * 2.0 + 1e6),
        "a constant output": (rng.normal(size=(20, 2)), np.stack([np.ones(20), rng.normal(size=20)], axis=1)),
        "constant and right": (np.full(20, 3.0), np.full(20, 3.0)),
        "constant and wrong": (np.full(20, 2.0), np.full(20, 0.5)),
    }


NUMBERS = number_problems()


@pytest.mark.parametrize("problem", NUMBERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_errors_and_r2(peer, problem, weighted):
    prediction, true = NUMBERS[problem]
    weights = np.random.default_rng(1).random(20) + 0.1 if weighted else np.ones(20)
    arrays = (prediction, true, weights)
    same(
        in_uneven_batches(MeanAbsoluteError(), *arrays),
        peer.mean_absolute_error(true, prediction, sample_weight=weights),
    )
    mse = peer.mean_squared_error(true, prediction, sample_weight=weights)
    same(in_uneven_batches(MeanSquaredError(), *arrays), mse)
    same(in_uneven_batches(RootMeanSquaredError(), *arrays), np.sqrt(mse))
    if true.ndim == 1:
        ours = in_uneven_batches(RootMeanSquaredError(), *arrays)
        same(ours, peer.root_mean_squared_error(true, prediction, sample_weight=weights))
    if problem == "constant and wrong" and weighted:
        return  # there scikit-learn's mean is rounded and its R² is noise, see the test below
    for multioutput in ("uniform_average", "variance_weighted", "raw_values"):
        theirs = peer.r2_score(true, prediction, sample_weight=weights, multioutput=multioutput)
        ours = in_uneven_batches(R2(multioutput=multioutput), *arrays)
        np.testing.assert_allclose(ours, np.squeeze(theirs), rtol=1e-9, atol=1e-9)


def test_r2_of_equal_targets_is_zero_where_rounding_misleads_scikit_learn(peer):
    prediction, true = np.linspace(0.1, 0.2, 20), np.full(20, 0.1)
    assert peer.r2_score(true, prediction) < -1e20
    assert in_uneven_batches(R2(), prediction, true) == 0.0
