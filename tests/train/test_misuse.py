"""Bad input: every misuse has the message that names it, before the first step wherever that is possible."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, line, network, same_bits, trainer, weights
from thalweg import callbacks as cb
from thalweg import nn, optim
from thalweg.data import DataLoader, IterableDataset, TensorDataset
from thalweg.errors import ThalwegError

X, Y = classes(20)
RX, RY = line(20)


def fit(data: Any = (X, Y), targets: Any = None, made: dict[str, Any] | None = None, model: Any = None, **options: Any):
    return lambda: trainer(model, **(made or {})).fit(data, targets, **options)


def make(**options: Any) -> Callable[[], Any]:
    options.setdefault("model", network())
    return lambda: tw.Trainer(**{"progress": False, **options})


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return self.layer(x), x


def frozen():
    return network().requires_grad_(False)


def nan_at(position):
    x = X.copy()
    x[position] = np.nan
    return x


regression = functools.partial(fit, (RX, RY), made={"loss": "mse"}, model=network(3, 1))

BEFORE_TRAINING = {
    # the data
    "no examples": (fit((X[:0], Y[:0])), "no data"),
    "an empty list": (fit([]), "no data"),
    "an empty data set": (fit(TensorDataset(X[:0], Y[:0])), "no data"),
    "an empty generator": (fit(lambda: iter(())), "no data"),
    "lengths differ": (fit((X, Y[:-1])), "20 inputs, 19 in targets"),
    "lengths of inputs differ": (fit(((X, X[:3]), Y)), "3 in input 1"),
    "no targets": (fit(X), "no targets"),
    "a number": (fit(3.0), "nothing to train on"),
    "a dictionary": (fit({"x": X, "y": Y}), "nothing to train on"),
    "a text": (fit("digits"), "nothing to train on"),
    "batches of dictionaries": (fit(lambda: iter([{"x": X}])), "a batch of another form"),
    "batches of four": (fit(lambda: iter([(X, Y, Y, Y)])), "a batch of another form"),
    "ragged targets": (fit(X, (Y, RX)), "do not all have one shape"),
    "text as inputs": (fit((np.array(["a"] * 20), Y)), "only numbers can be trained on"),
    "text as labels": (fit((X, np.array(["cat"] * 20))), "only numbers can be trained on"),
    "NaN in the inputs": (fit((nan_at((3, 1)), Y)), r"position \(3, 1\)"),
    "infinity in the targets": (
        fit((RX, np.full(20, np.inf)), made={"loss": "mse"}, model=network(3, 1)),
        "the targets hold numbers that are not finite",
    ),
    "a generator for two epochs": (fit((b for b in [(X, Y)]), epochs=2), "read only once"),
    "a generator already made": (fit(lambda: 3), "makes no batches"),
    "drop_last leaves nothing": (fit(batch_size=64, drop_last=True), "drop_last leaves no batch"),
    # labels and targets
    "a label too high": (fit((X, Y + 1)), "3(.|\n)*0 to 2: the model tells 3 classes apart(.|\n)*last layer"),
    "a negative label": (fit((X, Y - 1)), "-1(.|\n)*0 to 2"),
    "a label too high at the end": (fit((X, np.r_[Y[:-1], 9]), batch_size=2, shuffle=False), "label is out of range"),
    "labels as floats": (fit((X, Y.astype(float))), r"integer class labels(.|\n)*astype\('int64'\)"),
    "one-hot of too many classes": (fit((X, np.eye(4)[Y])), "integer class labels"),
    "labels of two columns": (fit((X, np.stack([Y, Y], 1))), "targets do not have the shape"),
    "one output for a cross-entropy": (fit(model=network(2, 1)), r"one score for each class(.|\n)*bce_with_logits"),
    "binary labels of 1 and 2": (fit((X, Y), made={"loss": "bce_with_logits"}, model=network(2, 1)), "0 to 1"),
    "targets of another width": (
        fit((RX, np.ones((20, 2))), made={"loss": "mse"}, model=network(3, 1)),
        r"output \(20, 1\), targets \(20, 2\)",
    ),
    "a vector for two outputs": (fit((RX, RY[:, 0]), made={"loss": "mse"}, model=network(3, 2)), "shape"),
    "inputs of another width": (fit((RX, Y)), "(?i)shape|features"),
    "validation of another width": (fit(validation=(RX, Y)), "(?i)shape|features"),
    "validation labels out of range": (fit(validation=(X, Y + 5)), "label is out of range"),
    # metrics and losses
    "accuracy of a regression": (
        regression(made={"loss": "mse", "metrics": ["accuracy"]}),
        "(?i)no probabilities|no class labels",
    ),
    "top-5 of three classes": (fit(made={"metrics": ["top_5_accuracy"]}), "first 5 guesses"),
    "an unknown metric": (make(metrics=["acuracy"]), "did you mean 'accuracy'"),
    "a metric's class": (make(metrics=[tw.metrics.Accuracy]), "make it an instance"),
    "a metric without a list": (make(metrics="accuracy"), r"\['accuracy'\]"),
    "a metric twice": (make(metrics=["accuracy", "accuracy"]), "one name"),
    "an unknown loss": (make(loss="crossentropy"), "did you mean 'cross_entropy'"),
    "a loss class": (make(loss=nn.MSELoss), r"MSELoss\(\)"),
    "a number as loss": (make(loss=3), "this is no loss"),
    "a loss that is no scalar": (regression(made={"loss": lambda p, t: (p - t) ** 2}), r"\.mean\(\)"),
    "a loss that is no tensor": (regression(made={"loss": lambda p, t: 1.0}), "the loss must be one number"),
    "a scalar loss with weights": (
        regression(made={"loss": lambda p, t: ((p - t) ** 2).mean()}, sample_weight=np.ones(20)), "cannot be weighted"),
    # the model and the optimizer
    "no model": (make(model=lambda x: x), "must be an nn.Module"),
    "a model's class": (make(model=Pair), r"Pair\(\.\.\.\)"),
    "a model that returns a pair": (fit(model=Pair()), "must return a tensor"),
    "a frozen model": (make(model=frozen()), "nothing to train"),
    "a model without parameters": (make(model=nn.Flatten()), "nothing to train"),
    "a model frozen later": (
        lambda: (made := trainer()).model.requires_grad_(False) and made.fit(X, Y), "nothing to train"),
    "another model's optimizer": (
        fit(made={"optimizer": optim.SGD(network().parameters(), lr=0.1)}),
        "does not update this model",
    ),
    "an unknown optimizer": (make(optimizer="adamm"), "did you mean 'adam"),
    "a number as optimizer": (make(optimizer=0.1), "this is no optimizer"),
    "a function that makes no optimizer": (make(optimizer=lambda p: 3), "makes no optimizer"),
    "two learning rates": (make(optimizer=optim.SGD([tw.zeros(1, requires_grad=True)], lr=0.1), lr=0.2), "of its own"),
    "a negative learning rate": (make(lr=-1.0), "lr"),
    "clip_norm 0": (make(clip_norm=0.0), "clip_norm must be positive"),
    "clip_value of a wrong sign": (make(clip_value=-1.0), "clip_value is out of range"),
    "a number as penalty": (make(penalties=[0.01]), "no penalties"),
    "a negative seed": (make(seed=-1), "seed"),
    "a seed that is no number": (make(seed="a"), "seed"),
    "progress as a word": (make(progress="yes"), "unknown progress"),
    # numbers of fit
    "batch_size 0": (fit(batch_size=0), "batch_size must be a whole number"),
    "batch_size 2.5": (fit(batch_size=2.5), "batch_size must be a whole number"),
    "epochs below 0": (fit(epochs=-1), "epochs must be a whole number"),
    "initial_epoch below 0": (fit(initial_epoch=-1), "initial_epoch must be a whole number"),
    "validation_split 1": (fit(validation_split=1.0), "less than 1"),
    "validation_split below 0": (fit(validation_split=-0.1), "at least 0"),
    "validation_split as a number of samples": (fit(validation_split=20), "less than 1"),
    "validation twice": (fit(validation=(X, Y), validation_split=0.2), "both say what to validate on"),
    "a share of a stream": (fit(Stream(), validation_split=0.2), "validation_split needs samples"),
    "a share of a loader": (
        fit(DataLoader(TensorDataset(X, Y)), validation_split=0.2),
        "validation_split needs samples",
    ),
    "a share of one example": (fit((X[:1], Y[:1]), validation_split=0.2), "too few samples"),
    # weights
    "too few weights": (fit(sample_weight=np.ones(3)), "3 in sample_weight"),
    "a negative weight": (fit(sample_weight=-np.ones(20)), "sample weights out of range"),
    "a weight of NaN": (fit(sample_weight=np.full(20, np.nan)), "sample weights out of range"),
    "weights in a column": (fit(sample_weight=np.ones((20, 1))), r"shape \(20,\)"),
    "weights twice": (fit((X, Y, np.ones(20)), sample_weight=np.ones(20)), "given twice"),
    "weights beside a loader": (
        fit(DataLoader(TensorDataset(X, Y)), sample_weight=np.ones(20)),
        "sample_weight must be part",
    ),
    "a negative class weight": (make(class_weight={0: -1.0}), "class weight is out of range"),
    "a class weight that is no number": (make(class_weight={0: "a"}), "no class weights"),
    "an unknown kind of class weight": (make(class_weight="equal"), "no class weights"),
    "balanced weights of a stream": (fit(Stream(), class_weight="balanced"), "counts the labels"),
    "class weights of a regression": (regression(class_weight={0: 2.0}), "one class label for each example"),
    # callbacks
    "a callback's class": (make(callbacks=[cb.TerminateOnNaN]), r"TerminateOnNaN\(\)"),
    "a function as callback": (make(callbacks=[print]), "LambdaCallback"),
    "a callback without a list": (fit(callbacks=cb.TerminateOnNaN()), "in a list"),
    "every_steps 0": (make(callbacks=[cb.GradientNorms(every_steps=0)]), "every_steps must be a whole number"),
    "an unknown event": (lambda: cb.LambdaCallback(on_epoch_ended=print), "did you mean 'on_epoch_end'"),
    "an event that is no function": (lambda: cb.LambdaCallback(on_epoch_end=3), "takes a function"),
    "no validation to monitor": (fit(callbacks=[cb.EarlyStopping()]), "validation_split=0.2"),
    "an unknown number to monitor": (
        fit(callbacks=[cb.EarlyStopping("val_acc")], made={"metrics": ["accuracy"]}, validation=(X, Y)),
        "did you mean 'val_accuracy'"),
    "a direction that does not exist": (lambda: cb.EarlyStopping(mode="up"), "unknown mode"),
    "a metric without a direction": (
        fit(made={"metrics": [tw.metrics.ConfusionMatrix(3)]}, callbacks=[cb.EarlyStopping("confusion_matrix")]),
        "neither direction"),
    "negative patience": (lambda: cb.EarlyStopping(patience=-1), "patience must be a whole number"),
    "a factor above 1": (lambda: cb.ReduceLROnPlateau(factor=2.0), "factor is out of range"),
    "a factor of 1": (lambda: cb.ReduceLROnPlateau(factor=1.0), "reduces nothing"),
    "an unknown threshold mode": (lambda: cb.ReduceLROnPlateau(threshold_mode="relative"), "unknown threshold_mode"),
    "rates for other groups": (fit(callbacks=[cb.ReduceLROnPlateau("loss", min_lr=[0.1, 0.2])]), "min_lr does not fit"),
    "a schedule that is a number": (lambda: cb.LearningRateScheduler(0.1), "no schedule"),
    "a schedule below 0": (
        fit(callbacks=[cb.LearningRateScheduler(lambda epoch: -1.0)]),
        "the learning rate is out of range",
    ),
    "an unknown field in a file name": (fit(callbacks=[cb.ModelCheckpoint("/tmp/{val_acc}.st")]), "has a field"),
    "an open brace in a file name": (lambda: cb.ModelCheckpoint("{epoch"), "no template"),
    "keep_last 0": (lambda: cb.ModelCheckpoint("w", keep_last=0), "keep_last must be a whole number"),
    "a separator of two characters": (lambda: cb.CSVLogger("log.csv", separator="::"), "one character"),
    "a log in a file": (fit(callbacks=[cb.CSVLogger("/dev/null/log.csv")]), "cannot be written"),
    "checkpoints in a file": (fit(callbacks=[cb.ModelCheckpoint("/dev/null/w.st")]), "cannot be written"),
    "a run in a file": (fit(made={"run_folder": "/dev/null/run"}), "cannot be made"),
}  # fmt: skip


@pytest.mark.parametrize("misuse", BEFORE_TRAINING)
def test_a_misuse_is_named_before_the_first_step(misuse, monkeypatch):
    stepped = []
    monkeypatch.setattr(tw.Trainer, "train_step", lambda *_: stepped.append(1))
    call, message = BEFORE_TRAINING[misuse]
    with pytest.raises(ThalwegError, match=message):
        call()
    assert not stepped


def test_the_table_is_long():
    assert len(BEFORE_TRAINING) > 100


DURING_TRAINING = {
    "a label too high in a later batch": (lambda: iter([(X, Y), (X, Y + 3)]), "label is out of range"),
    "a batch without targets": (lambda: iter([(X, Y), (X,)]), "no targets"),
    "an epoch without batches": (None, "no data"),
}


@pytest.mark.parametrize("misuse", DURING_TRAINING)
def test_what_only_a_later_batch_shows_is_named_when_it_comes(misuse):
    batches, message = DURING_TRAINING[misuse]
    if batches is None:
        rounds = iter([[(X, Y)], [(X, Y)], []])  # the first is read by the checks
        batches = lambda: iter(next(rounds))  # noqa: E731
    made = trainer()
    with pytest.raises(ThalwegError, match=message):
        made.fit(batches, epochs=2)
    assert len(made.history.steps["loss"]) == 1


def test_a_number_missing_in_an_epoch_is_named_by_the_callback_that_needs_it():
    add = cb.LambdaCallback(on_epoch_end=lambda t: t.state.epoch == 0 and t.state.logs.update(score=1.0))
    with pytest.raises(ThalwegError, match="'score'") as caught:
        trainer().fit(X, Y, epochs=2, callbacks=[add, cb.EarlyStopping("score", patience=5)])
    assert "EarlyStopping" in "".join(caught.value.__notes__)


def test_the_metric_that_does_not_fit_is_named():
    with pytest.raises(ThalwegError) as caught:
        fit(made={"metrics": ["top_5_accuracy"]})()
    assert "top_5_accuracy does not fit" in "".join(caught.value.__notes__)


def test_a_refused_fit_leaves_the_trainer_as_it_was():
    made = trainer(network(dropout=0.2))
    made.model.train()
    before, history = weights(made.model), made.history
    with pytest.raises(ThalwegError):
        made.fit(X, Y + 9)
    assert same_bits(before, weights(made.model))
    assert made.model.training
    assert made.history is history
    made.fit(X, Y)


def test_checks_can_be_switched_off():
    with pytest.warns(RuntimeWarning, match="became nan"):
        trainer(check_finite=False).fit((nan_at((0, 0)), Y))


@pytest.mark.parametrize("call", ["evaluate", "predict"])
def test_evaluate_and_predict_refuse_what_fit_refuses(call):
    made = trainer()
    for data, options in (((X[:0], Y[:0]), {}), ("x", {}), ((X, Y), {"batch_size": 0}), ((RX, Y), {})):
        with pytest.raises(ThalwegError):
            getattr(made, call)(data, **options)
