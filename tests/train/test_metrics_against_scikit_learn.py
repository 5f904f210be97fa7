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
    ROCAUC,
    Accuracy,
    AveragePrecision,
    BalancedAccuracy,
    CohenKappa,
    ConfusionMatrix,
    Dice,
    FBeta,
    IoU,
    LogLoss,
    MatthewsCorrelation,
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


# --- agreement, rankings, probabilities -------------------------------------------------------------------------------


def theirs_of(function, *args, **options):
    """scikit-learn's value; what it calls undefined it warns about, and answers with a number or NaN."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*args, **options)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("weighted", [False, True])
def test_agreement_beyond_chance(peer, problem, weighted):
    predicted, true = PROBLEMS[problem]
    weights = np.random.default_rng(1).random(20) + 0.1 if weighted else np.ones(20)
    pairs = [
        (BalancedAccuracy(), peer.balanced_accuracy_score, {}),
        (BalancedAccuracy(adjusted=True), peer.balanced_accuracy_score, {"adjusted": True}),
        (MatthewsCorrelation(), peer.matthews_corrcoef, {}),
        *((CohenKappa(how), peer.cohen_kappa_score, {"weights": how}) for how in (None, "linear", "quadratic")),
        *((FBeta(beta, average="macro"), peer.fbeta_score, {"beta": beta, "average": "macro", "zero_division": 0.0})
          for beta in (0.5, 2.0)),
    ]  # fmt: skip
    for metric, reference, options in pairs:
        expected = theirs_of(reference, true, predicted, sample_weight=weights, **options)
        np.testing.assert_allclose(
            in_uneven_batches(metric, predicted, true, weights), expected, rtol=1e-10, atol=1e-10, err_msg=metric.name
        )


@given(seed=st.integers(0, 2**16), positive=st.floats(0.0, 1.0), levels=st.integers(1, 30), weighted=st.booleans())
def test_rankings_of_binary_scores(peer, seed, positive, levels, weighted):
    """From all scores equal to hardly any, from no positive example to nothing else."""
    rng = np.random.default_rng(seed)
    score, true = rng.integers(0, levels, 20) / 7 - 1, (rng.random(20) < positive).astype(int)
    weights = rng.random(20) + 0.1 if weighted else np.ones(20)
    for metric, reference in ((ROCAUC(), peer.roc_auc_score), (AveragePrecision(), peer.average_precision_score)):
        same(in_uneven_batches(metric, score, true, weights), theirs_of(reference, true, score, sample_weight=weights))
        columns = np.stack([-score, score], axis=1)
        same(in_uneven_batches(metric.__class__(), columns, true, weights), metric.compute())


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
@given(seed=st.integers(0, 2**16), weighted=st.booleans())
def test_rankings_of_several_classes_and_decisions(peer, average, seed, weighted):
    rng = np.random.default_rng(seed)
    scores, weights = (
        rng.dirichlet(np.ones(3), 20).round(1 + seed % 3),
        rng.random(20) + 0.1 if weighted else np.ones(20),
    )
    scores[:, 0] += 1 - scores.sum(axis=1)
    true, decisions = rng.permutation(np.arange(20) % 3), rng.permutation(np.arange(60) % 2).reshape(20, 3)
    options = {"average": average, "sample_weight": weights}
    same(in_uneven_batches(ROCAUC(average), scores, true, weights),
         theirs_of(peer.roc_auc_score, true, scores, multi_class="ovr", **options))  # fmt: skip
    same(in_uneven_batches(AveragePrecision(average), scores, true, weights),
         theirs_of(peer.average_precision_score, true, scores, **options))  # fmt: skip
    for kind, reference in ((ROCAUC, peer.roc_auc_score), (AveragePrecision, peer.average_precision_score)):
        metric = kind(average, multilabel=True)
        same(in_uneven_batches(metric, scores, decisions, weights), theirs_of(reference, decisions, scores, **options))


@given(seed=st.integers(0, 2**16), dtype=st.sampled_from(["float32", "float64"]), weighted=st.booleans())
def test_log_loss(peer, seed, dtype, weighted):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(3) * 0.05, 20).astype(dtype)  # among them certainties
    true, weights = rng.integers(0, 3, 20), rng.random(20) + 0.1 if weighted else np.ones(20)
    expected = theirs_of(peer.log_loss, true, probability, labels=range(3), sample_weight=weights)
    tolerance = 1e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(in_uneven_batches(LogLoss(), probability, true, weights), expected, rtol=tolerance)
    binary = probability[:, 0]
    expected = theirs_of(peer.log_loss, true == 0, binary, labels=[False, True], sample_weight=weights)
    found = in_uneven_batches(LogLoss(), binary, (true == 0).astype(int), weights)
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    logits = rng.normal(size=(20, 3)) * 3
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    same(in_uneven_batches(LogLoss(from_logits=True), logits, true, weights),
         in_uneven_batches(LogLoss(), softmax, true, weights))  # fmt: skip
