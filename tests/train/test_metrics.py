"""Every metric, found by discovery, keeps the same contract; then what is particular to each.

In: `CASES`, which says how to make each metric and data for it. Out: any split into batches gives the value of one
batch, states travel, faults are named and leave the sums as they were. A metric without a case fails.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    IndexRangeError,
    NonFiniteError,
    ShapeError,
    StateError,
    ThalwegError,
)
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
    Mean,
    MeanAbsoluteError,
    MeanAveragePrecision,
    MeanSquaredError,
    Metric,
    Perplexity,
    PixelAccuracy,
    Precision,
    Recall,
    RootMeanSquaredError,
    TokenErrorRate,
    TopKAccuracy,
    get_metric,
    metric_names,
)

Data = tuple[np.ndarray, np.ndarray]


# --- data of every kind that a metric takes ---------------------------------------------------------------------------


def class_scores(rng, count) -> Data:
    return rng.normal(size=(count, 4)), rng.integers(0, 4, count)


def class_scores_in_pixels(rng, count) -> Data:
    return rng.normal(size=(count, 4, 2, 3)).astype(np.float32), rng.integers(0, 4, (count, 2, 3))


def soft_targets(rng, count) -> Data:
    return rng.normal(size=(count, 4)), rng.dirichlet(np.ones(4), count)


def probabilities(rng, count) -> Data:
    return rng.random(count), rng.integers(0, 2, count)


def logits_in_a_column(rng, count) -> Data:
    return rng.normal(size=(count, 1)), rng.integers(0, 2, count).astype(np.float32)


def class_probabilities(rng, count) -> Data:
    return rng.dirichlet(np.ones(4), count), rng.permutation(np.arange(count) % 4)


def both_labels(rng, count) -> Data:
    """Scores with ties, and both labels as soon as there are two examples."""
    return rng.integers(0, 5, count) / 4, rng.permutation(np.arange(count) % 2)


def decisions(rng, count) -> Data:
    return rng.random((count, 3)), rng.integers(0, 2, (count, 3)).astype(np.float32)


def labels(rng, count) -> Data:
    return rng.integers(0, 5, count), rng.integers(0, 4, count)


def numbers(rng, count) -> Data:
    target = rng.normal(size=count)
    return (target + rng.normal(size=count))[:, None], target


def several_numbers(rng, count) -> Data:
    target = rng.normal(size=(count, 3)) * np.array([1.0, 10.0, 100.0]) + 1000.0
    return target + rng.normal(size=(count, 3)), target


def detections(rng, count) -> Data:
    """True boxes, and the same ones moved a little among others; no two scores are equal."""
    corners = rng.random((count, 6, 2)) * 20
    target = np.concatenate([corners, corners + 3 + rng.random((count, 6, 2)) * 9], axis=2)
    labels = rng.integers(-1, 3, (count, 6, 1))
    moved = np.concatenate([target + rng.normal(size=target.shape), target[::-1]], axis=1)
    scores = rng.permutation(count * 12).reshape(count, 12, 1) / (count * 12)
    rows = np.concatenate([moved, scores, np.concatenate([labels, labels], axis=1)], axis=2)
    return rows, np.concatenate([target, labels], axis=2)


def tokens(rng, count) -> Data:
    prediction, target = rng.integers(0, 4, (count, 6)), rng.integers(0, 4, (count, 5))
    prediction[:, 4:] = np.where(rng.random((count, 2)) < 0.5, -100, prediction[:, 4:])
    return prediction, target


@dataclass(frozen=True)
class Case:
    """One way to use a metric: how to make it, and data of the kind it takes."""

    make: Callable[[], Metric]
    data: Callable[[Any, int], Data]
    at_least: int = 1  # examples that the formula needs


CASES: dict[type[Metric], list[Case]] = {
    Mean: [Case(Mean, numbers), Case(Mean, several_numbers)],
    Accuracy: [
        *(Case(Accuracy, data) for data in (class_scores, class_scores_in_pixels, soft_targets, probabilities, labels)),
        Case(lambda: Accuracy(threshold=0.3), probabilities),
        Case(lambda: Accuracy(from_logits=True), logits_in_a_column),
        Case(lambda: Accuracy(multilabel=True), decisions),
    ],
    TopKAccuracy: [
        *(Case(lambda k=k: TopKAccuracy(k), class_scores) for k in (1, 2, 4)),
        Case(lambda: TopKAccuracy(2), class_scores_in_pixels),
        Case(lambda: TopKAccuracy(2), soft_targets),
    ],
    **{
        kind: [
            *(Case(lambda k=kind, a=a: k(average=a), class_scores) for a in ("macro", "micro", "weighted", None)),
            Case(lambda kind=kind: kind(average=None, zero_division=np.nan), labels),
            Case(lambda kind=kind: kind(average="macro", zero_division=np.nan), class_scores_in_pixels),
            Case(kind, probabilities),
            Case(lambda kind=kind: kind(from_logits=True), logits_in_a_column),
        ]
        for kind in (Precision, Recall, F1, IoU, Dice)
    },
    FBeta: [
        Case(lambda: FBeta(0.5, average="macro"), class_scores),
        Case(FBeta, probabilities),
    ],
    **{
        kind: [Case(kind, class_scores), Case(kind, labels), Case(lambda kind=kind: kind(0.3), probabilities)]
        for kind in (BalancedAccuracy, MatthewsCorrelation)
    },
    CohenKappa: [Case(CohenKappa, class_scores), Case(lambda: CohenKappa("quadratic"), labels)],
    **{
        kind: [
            Case(kind, both_labels, at_least=2),
            Case(lambda kind=kind: kind("weighted"), class_probabilities, at_least=8),
            Case(lambda kind=kind: kind(None, from_logits=True), class_scores, at_least=24),
            Case(lambda kind=kind: kind("micro", multilabel=True), decisions, at_least=8),
        ]
        for kind in (ROCAUC, AveragePrecision)
    },
    LogLoss: [
        Case(LogLoss, class_probabilities),
        Case(LogLoss, probabilities),
        Case(lambda: LogLoss(from_logits=True), class_scores_in_pixels),
        Case(lambda: LogLoss(from_logits=True), logits_in_a_column),
    ],
    Perplexity: [Case(Perplexity, class_scores), Case(Perplexity, class_scores_in_pixels)],
    TokenErrorRate: [Case(TokenErrorRate, tokens)],
    PixelAccuracy: [Case(PixelAccuracy, class_scores_in_pixels)],
    MeanAveragePrecision: [
        Case(MeanAveragePrecision, detections),
        Case(lambda: MeanAveragePrecision("coco", interpolation="area"), detections),
        Case(lambda: MeanAveragePrecision((0.3, 0.6), average=None, max_detections=3), detections),
    ],
    ConfusionMatrix: [
        *(Case(lambda n=n: ConfusionMatrix(5, normalize=n), labels) for n in (None, "true", "pred", "all")),
        Case(lambda: ConfusionMatrix(4), class_scores_in_pixels),
        Case(lambda: ConfusionMatrix(2), probabilities),
    ],
    **{
        kind: [Case(kind, numbers), Case(kind, several_numbers)]
        for kind in (MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError)
    },
    R2: [
        Case(R2, numbers, at_least=2),
        *(
            Case(lambda m=m: R2(multioutput=m), several_numbers, at_least=2)
            for m in ("uniform_average", "variance_weighted", "raw_values")
        ),
    ],
}
ALL_CASES = [
    pytest.param(case, id=f"{kind.__name__}-{i}") for kind, cases in CASES.items() for i, case in enumerate(cases)
]
every_case = pytest.mark.parametrize("case", ALL_CASES)


def discovered(base: type[Metric]) -> set[type[Metric]]:
    """Every concrete metric that Thalweg defines, without what doctests and tests define in passing."""
    found = set()
    for kind in base.__subclasses__():
        found |= discovered(kind)
        is_ours = kind.__module__.startswith("thalweg.train.")
        if is_ours and not inspect.isabstract(kind) and getattr(sys.modules[kind.__module__], kind.__name__, 0) is kind:
            found.add(kind)
    return found


def same(a, b) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def value_of(metric: Metric, *batches) -> Any:
    metric.reset()
    for batch in batches:
        metric.update(*batch)
    return metric.compute()


# --- the contract -----------------------------------------------------------------------------------------------------


def test_every_metric_is_in_the_table():
    assert discovered(Metric) == set(CASES)


def test_every_metric_is_public_and_documented():
    public = importlib.import_module("thalweg.train.metrics")
    for kind in CASES:
        assert kind.__name__ in public.__all__
        assert ">>>" in kind.__doc__
        assert kind.higher_is_better in (True, False, None)


@every_case
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, 24), max_size=6), weighted=st.booleans())
def test_any_split_into_batches_gives_the_value_of_one_batch(case, seed, cuts, weighted):
    rng = np.random.default_rng(seed)
    arrays = case.data(rng, 24)
    weights = rng.random(24) + 0.1 if weighted else np.ones(24)
    edges = [0, *sorted(cuts), 24]  # empty batches among them
    batches = [[a[start:stop] for a in (*arrays, weights)] for start, stop in pairwise(edges)]
    same(value_of(case.make(), *batches), value_of(case.make(), (*arrays, weights)))


@every_case
@given(seed=st.integers(0, 2**16))
def test_the_order_of_examples_does_not_matter(case, seed):
    rng = np.random.default_rng(seed)
    prediction, target = case.data(rng, 10)
    order = rng.permutation(10)
    same(value_of(case.make(), (prediction, target)), value_of(case.make(), (prediction[order], target[order])))


@every_case
def test_an_example_of_weight_two_counts_like_two_examples(case):
    prediction, target = case.data(np.random.default_rng(1), 12)
    weights = np.arange(12) % 3
    repeated = (np.repeat(prediction, weights, axis=0), np.repeat(target, weights, axis=0))
    same(value_of(case.make(), (prediction, target, weights)), value_of(case.make(), repeated))


@every_case
def test_a_single_example_is_enough_where_the_formula_allows(case):
    assert np.size(value_of(case.make(), case.data(np.random.default_rng(0), case.at_least))) >= 1


@every_case
def test_reset_forgets_everything(case):
    rng = np.random.default_rng(0)
    first, second = case.data(rng, 9), case.data(rng, 7)
    metric = case.make()
    metric.update(*first)
    metric.reset()
    metric.update(*second)
    same(metric.compute(), value_of(case.make(), second))


@every_case
def test_computing_changes_nothing(case):
    rng = np.random.default_rng(0)
    first, second = case.data(rng, 9), case.data(rng, 7)
    metric = case.make()
    metric.update(*first)
    value = metric.compute()
    if isinstance(value, np.ndarray):
        value += 1.0  # what was handed out is the caller's
    metric.update(*second)
    same(metric.compute(), value_of(case.make(), first, second))


@every_case
def test_a_state_travels_as_plain_arrays(case, tmp_path):
    rng = np.random.default_rng(0)
    first, second = case.data(rng, 9), case.data(rng, 7)
    metric, resumed = case.make(), case.make()
    metric.update(*first)
    np.savez(tmp_path / "state.npz", **metric.state_dict())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        resumed.load_state_dict(state)
    same(resumed.compute(), metric.compute())
    resumed.update(*second)
    same(resumed.compute(), value_of(case.make(), first, second))


@every_case
def test_the_state_that_was_handed_out_is_a_copy(case):
    metric = case.make()
    metric.update(*case.data(np.random.default_rng(0), 9))
    before = metric.compute()
    for array in metric.state_dict().values():
        array += 1.0
    same(metric.compute(), before)


@every_case
def test_a_foreign_state_is_refused(case):
    metric = case.make()
    state = metric.state_dict()
    for wrong in ({}, {**state, "other": np.zeros(())}, {**state, "weight": np.zeros(3)}):
        with pytest.raises(StateError, match="expected"):
            metric.load_state_dict(wrong)


@every_case
def test_nothing_seen_is_an_error_that_names_the_metric(case):
    metric = case.make()
    prediction, target = case.data(np.random.default_rng(0), 6)
    for batches in ([], [(prediction[:0], target[:0])], [(prediction, target, np.zeros(6))]):
        with pytest.raises(DataError, match=f"metric {metric.name}"):
            value_of(metric, *batches)


@every_case
def test_tensors_of_any_library_are_taken(case):
    class Tensor:
        def __init__(self, array, needs_detach=True):
            self.array, self.needs_detach = array, needs_detach

        def detach(self):
            return Tensor(self.array, needs_detach=False)

        def numpy(self):
            assert not self.needs_detach, "a tensor that requires a gradient gives no array"
            return self.array

    arrays = case.data(np.random.default_rng(0), 9)
    same(value_of(case.make(), tuple(Tensor(a) for a in arrays)), value_of(case.make(), arrays))
    same(value_of(case.make(), tuple(a.tolist() for a in arrays)), value_of(case.make(), arrays))


@every_case
def test_float32_input_is_summed_in_float64(case):
    prediction, target = case.data(np.random.default_rng(0), 9)
    metric = case.make()
    metric.update(prediction.astype(np.float32) if prediction.dtype.kind == "f" else prediction, target)
    state = metric.state_dict()
    assert all(isinstance(array, np.ndarray) and array.dtype == np.float64 for array in state.values())


@every_case
def test_a_copy_counts_on_its_own(case):
    metric = case.make()
    other = copy.deepcopy(metric)
    metric.update(*case.data(np.random.default_rng(0), 9))
    with pytest.raises(DataError):
        other.compute()


@every_case
def test_it_says_what_it_is(case):
    metric = case.make()
    assert type(metric).__name__ in repr(metric)
    assert metric.name in repr(metric)


def faults(case, prediction, target):
    """(what is wrong, the arguments, the error it must give) for a case's data."""
    if prediction.dtype.kind == "f":
        spoiled = prediction.copy()
        spoiled.flat[3] = np.nan
        yield "NaN in the prediction", (spoiled, target), NonFiniteError
    yield "text", (np.full(prediction.shape, "one"), target), DTypeError
    yield "complex numbers", (prediction * 1j, target), DTypeError
    yield "ragged rows", ([[1.0, 2.0], [3.0]], target), ShapeError
    yield "a weight too many", (prediction, target, np.ones(len(target) + 1)), ShapeError
    yield "a negative weight", (prediction, target, -np.ones(len(target))), ArgumentError
    yield "a weight that is NaN", (prediction, target, np.full(len(target), np.nan)), NonFiniteError
    if isinstance(case.make(), Mean):
        return  # it has no target
    yield "a target too few", (prediction, target[:-1]), ShapeError
    yield "no batch axis", (prediction.flat[0], target.flat[0]), ShapeError
    if target.dtype.kind == "f":
        yield "NaN in the target", (prediction, np.full(target.shape, np.nan)), NonFiniteError
    else:
        yield "a negative label", (prediction, np.full_like(target, -1)), IndexRangeError
        yield "labels that are no whole numbers", (prediction, target + 0.5), DTypeError
    if target.dtype.kind != "f" and prediction.dtype.kind == "f":
        yield "a label too high", (prediction, np.full_like(target, 4)), IndexRangeError


@every_case
def test_a_fault_is_named_and_leaves_the_sums_as_they_were(case):
    prediction, target = case.data(np.random.default_rng(0), 8)
    metric = case.make()
    metric.update(prediction, target)
    before = metric.compute()
    for what, arguments, error in faults(case, prediction, target):
        with pytest.raises(error) as caught:
            metric.update(*arguments)
        assert isinstance(caught.value, ThalwegError), what
        assert "received:" in str(caught.value), what
        assert f"metric {metric.name}" in str(caught.value), what
        same(metric.compute(), before)


# --- what is particular to each ---------------------------------------------------------------------------------------


def test_the_mean_weighs_batches_by_their_examples():
    assert value_of(Mean(), (0.5, None, 64), (1.0, None, 16)) == pytest.approx(0.6)


def test_the_mean_lets_nan_through_only_when_told():
    with pytest.raises(NonFiniteError, match="nan at position"):
        Mean("loss").update(np.nan)
    assert np.isnan(value_of(Mean(check_finite=False), (1.0, None, 2), (np.nan, None, 2)))


def test_the_first_of_equal_scores_wins_and_top_one_agrees():
    scores, target = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]]), np.array([0, 2])
    assert value_of(Accuracy(), (scores, target)) == 0.5
    assert value_of(TopKAccuracy(1), (scores, target)) == 0.5
    assert value_of(TopKAccuracy(2), (scores, target)) == 1.0


def test_masked_classes_may_have_infinite_scores():
    scores = np.array([[-np.inf, 0.0], [np.inf, 0.0]])
    assert value_of(Accuracy(), (scores, [1, 0])) == 1.0


def test_a_column_of_labels_is_taken_as_labels():
    assert value_of(Accuracy(), ([[0.1, 0.9], [0.8, 0.2]], [[1], [1]])) == 0.5
    assert value_of(Accuracy(), ([[0.9], [0.8]], [[1], [0]])) == 0.5
    assert value_of(Accuracy(), ([0.9, 0.8], [[1], [0]])) == 0.5


def test_a_column_against_a_row_is_never_broadcast():
    prediction, target = np.arange(4.0)[:, None], np.arange(4.0)
    assert value_of(MeanSquaredError(), (prediction, target)) == 0.0
    assert value_of(R2(), (prediction, target)) == 1.0


def test_one_hot_targets_are_read_as_classes_and_not_element_by_element():
    scores = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    assert value_of(Accuracy(), (scores, np.eye(3)[[0, 2]])) == 0.5
    assert value_of(Accuracy(multilabel=True), (scores, np.eye(3)[[0, 2]])) == pytest.approx(5 / 6)


def test_independent_decisions_must_be_asked_for():
    with pytest.raises(ArgumentError, match="multilabel=True"):
        Accuracy().update([[0.9, 0.8], [0.1, 0.2]], [[1, 1], [0, 0]])
    assert value_of(Accuracy(multilabel=True), ([[0.9, 0.8], [0.1, 0.2]], [[1, 1], [0, 0]])) == 1.0


def test_logits_that_are_taken_for_probabilities_are_noticed():
    with pytest.raises(ArgumentError, match="from_logits=True"):
        Accuracy().update([-1.0, 2.0], [0, 1])


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_the_threshold_is_a_probability_for_logits_too(threshold):
    logits = np.linspace(-4.0, 4.0, 33)
    target = np.arange(33) % 2
    probability = 1.0 / (1.0 + np.exp(-logits))
    expected = value_of(Accuracy(threshold=threshold), (probability, target))
    assert value_of(Accuracy(threshold=threshold, from_logits=True), (logits, target)) == expected


def test_huge_logits_do_not_overflow():
    assert value_of(Accuracy(from_logits=True), ([-1e308, 1e308], [0, 1])) == 1.0


def test_more_guesses_than_classes_are_refused_with_the_remedy():
    with pytest.raises(ShapeError, match="smaller k"):
        TopKAccuracy(5).update(np.zeros((2, 3)), [0, 1])


def test_classes_that_appear_in_a_later_batch_join():
    batches = [([0, 1], [0, 1]), ([7], [7]), ([2], [0])]
    np.testing.assert_array_equal(value_of(Recall(average=None), *batches), [0.5, 1, 0, 0, 0, 0, 0, 1])


def test_scores_tell_the_number_of_classes_even_if_some_never_occur():
    assert value_of(Precision(average=None), (np.eye(4)[[0, 1]], [0, 1])).shape == (4,)


def test_zero_division_is_what_was_asked_for():
    never_positive = ([0, 0, 0], [1, 0, 1])
    assert value_of(Precision(), never_positive) == 0.0
    assert value_of(Precision(zero_division=1.0), never_positive) == 1.0
    assert np.isnan(value_of(Precision(zero_division=np.nan), never_positive))


def test_binary_values_of_many_classes_name_the_remedy():
    with pytest.raises(ArgumentError, match="macro_f1"):
        F1().update(np.eye(3), [0, 1, 2])
    with pytest.raises(ArgumentError, match="macro_recall"):
        Recall().update([0, 2], [0, 1])


def test_the_matrix_has_the_true_class_in_its_rows():
    np.testing.assert_array_equal(
        value_of(ConfusionMatrix(3), ([1, 1, 2], [0, 0, 2])), [[0, 2, 0], [0, 0, 0], [0, 0, 1]]
    )


def test_a_matrix_too_small_for_the_labels_is_an_error():
    with pytest.raises(IndexRangeError, match="0 to 1"):
        ConfusionMatrix(2).update([0, 2], [0, 1])
    with pytest.raises(IndexRangeError, match="more classes"):
        ConfusionMatrix(2).update(np.eye(3), [0, 1, 1])


def test_a_matrix_of_another_size_is_no_state_for_this_one():
    with pytest.raises(StateError, match=r"\(4, 4\)"):
        ConfusionMatrix(3).load_state_dict(ConfusionMatrix(4).state_dict())


def test_r2_of_equal_targets_is_one_for_the_truth_and_zero_otherwise():
    assert value_of(R2(), ([2.0, 2.0], [2.0, 2.0])) == 1.0
    assert value_of(R2(), ([2.0, 3.0], [2.0, 2.0])) == 0.0


def test_r2_needs_two_examples():
    with pytest.raises(DataError, match="2 or more"):
        value_of(R2(), ([1.0], [1.0]))


def test_r2_does_not_cancel_far_from_zero():
    rng = np.random.default_rng(0)
    target = rng.normal(size=1000)
    prediction = target + 0.1 * rng.normal(size=1000)
    near = value_of(R2(), (prediction, target))
    batches = [(prediction[i : i + 10] + 1e8, target[i : i + 10] + 1e8) for i in range(0, 1000, 10)]
    assert value_of(R2(), *batches) == pytest.approx(near, abs=1e-6)


def test_the_number_of_outputs_may_not_change_between_batches():
    metric = R2()
    metric.update(np.zeros((2, 3)), np.ones((2, 3)))
    with pytest.raises(ShapeError, match="3 outputs"):
        metric.update(np.zeros((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Accuracy(threshold=1.5), "threshold"),
        (lambda: TopKAccuracy(0), "1 or more"),
        (lambda: TopKAccuracy(2.0), "1 or more"),
        (lambda: Precision(average="mean"), "'macro'"),
        (lambda: ConfusionMatrix(0), "1 or more"),
        (lambda: ConfusionMatrix(2, normalize="rows"), "'true'"),
        (lambda: R2(multioutput="mean"), "'raw_values'"),
    ],
)
def test_wrong_arguments_list_the_right_ones(make, match):
    with pytest.raises(ArgumentError, match=match):
        make()


# --- by name ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", metric_names())
def test_every_name_gives_a_new_metric(name):
    assert isinstance(get_metric(name), Metric)
    assert get_metric(name) is not get_metric(name)


def test_names_are_those_that_the_metrics_give_themselves():
    own = [get_metric(name).name for name in metric_names()]
    assert own[: len(set(own))] == list(metric_names())[: len(set(own))]
    assert get_metric("top_3_accuracy").name == "top_3_accuracy"
    assert Accuracy(name="test accuracy").name == "test accuracy"


def test_a_metric_is_its_own_name():
    metric = TopKAccuracy(3)
    assert get_metric(metric) is metric


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [("acuracy", "'accuracy'"), ("Accuracy", "'accuracy'"), ("macro f1", "'macro_f1'"), ("r2score", "'r2_score'")],
)
def test_a_name_that_is_nearly_right_gets_a_suggestion(wrong, suggestion):
    with pytest.raises(ArgumentError, match="did you mean") as caught:
        get_metric(wrong)
    assert suggestion in str(caught.value)


def test_a_name_that_is_nothing_like_any_gets_the_list():
    with pytest.raises(ArgumentError, match="choose one of these"):
        get_metric("zzz")


def test_a_class_in_place_of_a_metric_names_the_remedy():
    with pytest.raises(DTypeError, match="instance"):
        get_metric(Accuracy)
