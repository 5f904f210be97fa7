"""Every callback keeps the contract, by discovery; and each does what its documentation says."""

from __future__ import annotations

import copy
import csv
import inspect
import io
import json
import math

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import CountEvaluations, classes, line, network, same_bits, trainer, weights
from thalweg import callbacks as cb
from thalweg import optim
from thalweg.errors import ConfigurationError, ThalwegError
from thalweg.train.callbacks.base import EVENTS, STEP_EVENTS, TRACED_EVENTS, Callback, Priority

# --- the contract ----------------------------------------------------------------------------------------------------

MAKERS = {
    "BackupAndRestore": lambda folder: cb.BackupAndRestore(folder / "backup"),
    "CSVLogger": lambda folder: cb.CSVLogger(folder / "log.csv"),
    "EarlyStopping": lambda folder: cb.EarlyStopping(patience=2, restore_best_weights=True),
    "GradientNorms": lambda folder: cb.GradientNorms(),
    "History": lambda folder: cb.History(),
    "JSONLinesLogger": lambda folder: cb.JSONLinesLogger(folder / "log.jsonl"),
    "LogEvents": lambda folder: cb.LogEvents(),
    "LambdaCallback": lambda folder: cb.LambdaCallback(on_epoch_end=lambda t: t.state.logs.update(extra=1.0)),
    "LearningRateScheduler": lambda folder: cb.LearningRateScheduler(lambda epoch: 0.05),
    "ModelCheckpoint": lambda folder: cb.ModelCheckpoint(folder / "{epoch}.safetensors"),
    "NonFinitePolicy": lambda folder: cb.NonFinitePolicy("rollback"),
    "ProgressBar": lambda folder: cb.ProgressBar(io.StringIO()),
    "Provenance": lambda folder: cb.Provenance(),
    "ReduceLROnPlateau": lambda folder: cb.ReduceLROnPlateau(),
    "RunFolder": lambda folder: cb.RunFolder(folder / "run"),
    "TensorBoard": lambda folder: cb.TensorBoard(folder / "events", histogram_freq=1, update_freq=2),
    "TerminateOnNaN": lambda folder: cb.TerminateOnNaN(),
    "WeightAveraging": lambda folder: cb.WeightAveraging(0.9, swaps=False),
    "Doctor": lambda folder: cb.Doctor(show=False),
    "Watch": lambda folder: cb.Watch(),
}


def public_callbacks() -> dict[str, type]:
    return {
        name: kind
        for name, kind in vars(cb).items()
        if isinstance(kind, type) and issubclass(kind, Callback) and kind is not Callback
    }


def test_every_callback_is_in_the_table():
    assert public_callbacks().keys() == MAKERS.keys()


@pytest.mark.parametrize("name", sorted(MAKERS))
@pytest.mark.parametrize("compile", [False, True])
def test_a_callback_works_in_a_run_and_changes_no_result_it_should_not(name, compile, tmp_path):
    made = trainer(network(), callbacks=[MAKERS[name](tmp_path)], metrics=["accuracy"], compile=compile)
    history = made.fit(classes(), validation_split=0.2, epochs=2, batch_size=16)
    plain = trainer(network(), metrics=["accuracy"], compile=compile)
    plain.fit(classes(), validation_split=0.2, epochs=2, batch_size=16)
    assert history.epoch == [0, 1]
    assert all(map(math.isfinite, history["val_loss"]))
    for key, value in weights(made.model).items():
        np.testing.assert_allclose(value, weights(plain.model)[key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_callback_survives_a_second_run_and_a_run_without_epochs(name, tmp_path):
    callback = MAKERS[name](tmp_path)
    made = trainer(callbacks=[callback])
    for epochs in (0, 1, 1):
        made.fit(classes(), validation=classes(), epochs=epochs)
    assert type(callback).__name__ in repr(callback)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_callback_closes_what_it_opened_when_a_step_fails(name, tmp_path):
    def fail(_):
        raise ZeroDivisionError

    made = trainer(callbacks=[MAKERS[name](tmp_path), cb.LambdaCallback(on_batch_end=fail)])
    with pytest.raises(cb.CallbackError):
        made.fit(classes(), validation=classes(), epochs=2)
    made.callbacks = made.callbacks[:0]
    made.fit(classes(), epochs=1)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_callback_says_what_its_arguments_are(name):
    kind = public_callbacks()[name]
    text = inspect.getdoc(kind)
    assert text
    assert ">>>" in text
    for argument in inspect.signature(kind).parameters:
        assert name in ("LambdaCallback",) or argument in text, f"{name}: {argument} is not documented"


# --- events ----------------------------------------------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self):
        self.seen = []


def _record(event):
    return lambda self, trainer: self.seen.append(event)


for _event in EVENTS:
    setattr(Recorder, f"on_{_event}", _record(_event))

STEP = ["batch_begin", "loss", "gradients", "weights", "update", "slice_end", "batch_end"]


@pytest.mark.parametrize("compile", [True, False])
def test_the_events_of_a_run_in_their_order(compile):
    recorder = Recorder()
    made = trainer(callbacks=[recorder], compile=compile)
    made.fit(classes(20), validation=classes(10), epochs=2, batch_size=10)
    step = [*STEP, "boundary"]
    epoch = ["epoch_begin", *step * 2, "validation_begin", "validation_end", "epoch_end", "boundary"]
    assert recorder.seen == ["fit_begin", *epoch * 2, "fit_end"]
    assert len(EVENTS) == 16
    assert TRACED_EVENTS < STEP_EVENTS < set(STEP) < set(EVENTS)


def test_an_exception_has_its_event_and_still_ends_the_run():
    recorder = Recorder()
    made = trainer(callbacks=[recorder])
    with pytest.raises(ThalwegError):
        made.fit(lambda: iter([classes(10), (np.zeros((10, 2)), np.full(10, 7))]), epochs=1)
    assert recorder.seen == ["fit_begin", "epoch_begin", *STEP, "boundary", "exception", "fit_end"]
    assert len(made.history.steps["loss"]) == 1


def test_priorities_decide_the_order_and_then_the_order_given():
    seen = []
    made = trainer(
        callbacks=[
            cb.LambdaCallback(priority=priority, on_epoch_end=lambda t, n=name: seen.append(n))
            for name, priority in (("show", Priority.SHOW), ("one", Priority.MEASURE), ("two", Priority.MEASURE))
        ]
    )
    made.fit(classes(), epochs=1)
    assert seen == ["one", "two", "show"]


def test_the_trigger_limits_the_events_of_steps():
    seen = []
    hook = cb.LambdaCallback(every_steps=3, on_update=lambda t: seen.append(t.state.step))
    trainer(callbacks=[hook]).fit(classes(50), epochs=2, batch_size=10)
    assert seen == [0, 3, 6, 9]


def test_the_callbacks_of_one_fit_are_gone_in_the_next():
    seen = []
    made = trainer()
    for extra in ([cb.LambdaCallback(on_fit_begin=seen.append)], []):
        made.fit(classes(), epochs=1, callbacks=extra)
    assert seen == [made]


def test_stop_ends_the_run_at_the_step():
    hook = cb.LambdaCallback(on_batch_end=lambda t: t.state.step == 4 and t.stop("enough"))
    history = trainer(callbacks=[hook]).fit(classes(50), epochs=5, batch_size=10)
    assert history.stop_reason == "enough"
    assert len(history.steps["loss"]) == 5


def test_what_a_callback_raises_names_it():
    def divide(_):
        return 1 / 0

    with pytest.raises(cb.CallbackError, match=r"(?s)LambdaCallback.*ZeroDivisionError.*on_epoch_end"):
        trainer().fit(classes(), callbacks=[cb.LambdaCallback(on_epoch_end=divide)])


def test_an_error_at_the_end_does_not_hide_the_one_that_ended_the_run():
    def fail(_):
        raise OSError("disk full")

    seen = []
    extra = [
        cb.LambdaCallback(on_update=lambda _: 1 / 0, on_fit_end=fail),
        cb.LambdaCallback(on_fit_end=seen.append),
    ]
    with pytest.raises(cb.CallbackError, match="ZeroDivisionError") as caught:
        trainer().fit(classes(), callbacks=extra)
    assert "disk full" in "".join(caught.value.__notes__)
    assert seen


def watch_largest(t):
    t.state.watched["largest"] = t.state.prediction.detach().amax()


def test_a_tensor_watched_in_the_step_comes_out_with_it(monkeypatch):
    made = trainer(callbacks=[cb.LambdaCallback(on_loss=watch_largest)], compile=False)
    counter = CountEvaluations(monkeypatch)
    history = made.fit(classes(32), epochs=1, batch_size=16)
    assert counter.count == 2 * 2  # for each step: the gradients with what is watched, then the update
    assert all(isinstance(value, float) for value in history.steps["largest"])


@pytest.mark.parametrize("traced", [True, False])
def test_what_is_watched_is_the_same_whether_it_is_part_of_the_program_or_not(traced):
    extra = cb.LambdaCallback(on_loss=watch_largest, traced=traced)
    history = trainer(callbacks=[extra]).fit(classes(32), epochs=2, batch_size=16)
    plain = trainer(callbacks=[extra], compile=False).fit(classes(32), epochs=2, batch_size=16)
    np.testing.assert_allclose(history.steps["largest"], plain.steps["largest"], rtol=1e-5)


# --- early stopping --------------------------------------------------------------------------------------------------


class Scripted(Callback):
    """Gives the epochs the numbers of a script, and each epoch its own weights."""

    def __init__(self, numbers, name="val_loss"):
        self.numbers, self.name = numbers, name

    def on_epoch_end(self, trainer):
        trainer.state.logs[self.name] = self.numbers[trainer.state.epoch]
        with tw.no_grad():
            trainer.model.bias.fill_(float(trainer.state.epoch))


def scripted(numbers, *extra, name="val_loss", epochs=None, optimizer="sgd"):
    made = trainer(tw.nn.Linear(3, 1), loss="mse", optimizer=optimizer, lr=1e-9, metrics=["r2"])
    history = made.fit(line(), epochs=epochs or len(numbers), callbacks=[Scripted(numbers, name), *extra])
    return history, round(made.model.bias.item())


SCENARIOS = [
    # numbers, arguments, epochs run, epoch whose weights remain
    ([3, 2, 1, 0], {"patience": 1}, 4, 3),
    ([1, 2, 3, 4], {"patience": 1, "restore_best_weights": True}, 2, 0),
    ([1, 2, 3, 4], {"patience": 0, "restore_best_weights": True}, 2, 0),
    ([1, 2, 3, 4], {"patience": 3}, 4, 3),
    ([3, 1, 2, 2], {"patience": 9, "restore_best_weights": True}, 4, 1),  # the epochs run out
    ([1.0, 0.95, 0.9, 0.5], {"patience": 2, "min_delta": 0.2, "restore_best_weights": True}, 3, 0),
    ([1, 2, 3, 2, 1, 0], {"patience": 2, "mode": "max", "restore_best_weights": True}, 5, 2),
    ([9, 8, 7, 6], {"patience": 2, "baseline": 5.0, "restore_best_weights": True}, 2, 1),
    ([9, 8, 4, 6, 7, 3], {"patience": 3, "baseline": 5.0, "restore_best_weights": True}, 6, 5),
    ([0, 9, 8, 7, 8, 9], {"patience": 2, "start_from_epoch": 1, "restore_best_weights": True}, 6, 3),
    ([2, math.nan, math.nan, 1], {"patience": 2, "restore_best_weights": True}, 3, 0),
    ([math.nan, math.nan, math.nan], {"patience": 2, "restore_best_weights": True}, 2, 1),
]


@pytest.mark.parametrize(("numbers", "arguments", "epochs", "kept"), SCENARIOS)
def test_early_stopping(numbers, arguments, epochs, kept):
    stopping = cb.EarlyStopping(**arguments)
    history, bias = scripted(numbers, stopping)
    assert (len(history.epoch), bias) == (epochs, kept)
    assert (history.stop_reason is not None) == (stopping.stopped_epoch is not None)


@pytest.mark.parametrize(("name", "best"), [("val_loss", 1), ("val_r2", 2), ("r2", 2), ("loss", 1)])
def test_the_direction_is_asked_of_the_metric(name, best):
    stopping = cb.EarlyStopping(name, patience=9, restore_best_weights=True)
    _history, bias = scripted([2, 1, 3], stopping, name=name)
    assert bias == best == stopping.best_epoch


def test_the_best_weights_come_back_after_an_interrupt_and_keep_buffers():
    made = trainer(tw.nn.Sequential(tw.nn.BatchNorm1d(2), network()))
    kept = {}
    hooks = cb.LambdaCallback(
        priority=Priority.SHOW,
        on_epoch_end=lambda t: kept.setdefault("best", weights(t.model)),
        on_batch_end=lambda t: t.state.epoch == 1 and t._interrupt(),
    )
    history = made.fit(
        classes(), validation=classes(), epochs=9, callbacks=[cb.EarlyStopping(restore_best_weights=True), hooks]
    )
    assert history.interrupted
    assert same_bits(weights(made.model), kept["best"])


def test_early_stopping_saves_memory_after_the_run():
    stopping = cb.EarlyStopping(restore_best_weights=True)
    trainer(callbacks=[stopping]).fit(classes(), validation_split=0.2)
    assert stopping._best_weights is None


# --- the learning rate -----------------------------------------------------------------------------------------------


def plateau(numbers, optimizer="sgd", **arguments):
    reduce = cb.ReduceLROnPlateau(**arguments)
    made = trainer(tw.nn.Linear(3, 1), loss="mse", optimizer=optimizer, lr=0.5, metrics=[])
    rates = []
    record = cb.LambdaCallback(
        priority=Priority.SHOW, on_epoch_end=lambda t: rates.append(t.optimizer.param_groups[0]["lr"])
    )
    made.fit(line(8), epochs=len(numbers), callbacks=[Scripted(numbers), reduce, record])
    return rates


def test_a_plateau_halves_the_rate_and_the_next_step_uses_it():
    reduce = cb.ReduceLROnPlateau(factor=0.5, patience=1)
    history, _ = scripted([1, 1, 1, 1, 1, 1], reduce)
    np.testing.assert_allclose(history["learning_rate"], [1e-9] * 6)  # smaller than eps: left alone
    assert plateau([1] * 6, factor=0.5, patience=1) == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


@pytest.mark.peer
@pytest.mark.parametrize("seed", range(12))
def test_reduce_on_plateau_is_pytorchs(seed):
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(seed)
    numbers = np.abs(np.cumsum(draw.normal(size=40)) + 2).round(2).tolist()
    arguments = {
        "factor": float(draw.choice([0.1, 0.5, 0.9])), "patience": int(draw.integers(0, 4)),
        "threshold": float(draw.choice([1e-4, 0.1, 0.3])), "threshold_mode": str(draw.choice(["rel", "abs"])),
        "cooldown": int(draw.integers(0, 3)), "min_lr": float(draw.choice([0.0, 0.05])),
        "mode": str(draw.choice(["min", "max"])),
    }  # fmt: skip
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)
    expected = []
    for number in numbers:
        peer.step(number)
        expected.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(plateau(numbers, **arguments), expected, rtol=1e-12)


def test_min_delta_is_an_absolute_threshold():
    numbers = [10.0, 9.5, 9.0, 8.5]
    assert plateau(numbers, patience=0, min_delta=0.6) == plateau(
        numbers, patience=0, threshold=0.6, threshold_mode="abs"
    )


def test_a_scheduler_sets_the_rate_of_each_epoch():
    scheduler = cb.LearningRateScheduler(lambda epoch, lr: 0.1 if epoch == 0 else lr / 2)
    history = trainer(callbacks=[scheduler], optimizer="sgd").fit(classes(), epochs=3)
    np.testing.assert_allclose(history["learning_rate"], [0.1, 0.05, 0.025])


def test_two_hands_on_the_learning_rate_are_refused():
    made = trainer(lr=optim.schedules.Exponential(0.1, 0.9))
    for callback in (cb.ReduceLROnPlateau("loss"), cb.LearningRateScheduler(lambda epoch: 0.1)):
        with pytest.raises(ConfigurationError, match="schedule"):
            made.fit(classes(), callbacks=[callback])


# --- records ---------------------------------------------------------------------------------------------------------


def test_the_csv_has_a_line_for_each_epoch(tmp_path):
    path = tmp_path / "deep" / "log.csv"
    made = trainer(callbacks=[cb.CSVLogger(path, separator=";")], metrics=["accuracy", tw.metrics.ConfusionMatrix(3)])
    history = made.fit(classes(), epochs=3, validation_split=0.2)
    rows = list(csv.DictReader(path.read_text().splitlines(), delimiter=";"))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert [float(row["val_accuracy"]) for row in rows] == history["val_accuracy"]
    assert "confusion_matrix" not in rows[0]


def test_an_older_log_is_set_aside_or_continued(tmp_path):
    path = tmp_path / "log.csv"
    for append in (False, False, True):
        trainer(callbacks=[cb.CSVLogger(path, append=append)]).fit(classes(), epochs=2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log.1.csv", "log.csv"]
    assert len(path.read_text().splitlines()) == 5
    assert len((tmp_path / "log.1.csv").read_text().splitlines()) == 3


def test_a_log_with_other_columns_is_not_continued(tmp_path):
    path = tmp_path / "log.csv"
    trainer(metrics=["accuracy"]).fit(classes(), callbacks=[cb.CSVLogger(path)])
    with pytest.raises(ConfigurationError, match="accuracy"):
        trainer().fit(classes(), callbacks=[cb.CSVLogger(path, append=True)])


def test_json_lines_hold_steps_epochs_and_the_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    made = trainer(callbacks=[cb.JSONLinesLogger(path, every_steps=2), cb.GradientNorms()])
    history = made.fit(classes(), epochs=2, batch_size=20)
    lines = [json.loads(each) for each in path.read_text().splitlines()]
    assert [each["event"] for each in lines] == ["step", "step", "epoch", "step", "epoch", "end"]
    assert lines[0]["loss"] == history.steps["loss"][0]
    assert "gradient_norm/0" in lines[0]
    assert lines[-1] == {
        "event": "end",
        "epoch": 1,
        "step": 6,
        "interrupted": False,
        "stop_reason": None,
        "error": None,
    }


def test_a_nan_is_null_in_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with pytest.warns(RuntimeWarning):
        trainer(loss=lambda p, t: p.sum() * math.nan).fit(classes(), callbacks=[cb.JSONLinesLogger(path)])
    assert json.loads(path.read_text().splitlines()[0])["loss"] is None


def test_the_end_of_the_log_says_what_went_wrong(tmp_path):
    path = tmp_path / "metrics.jsonl"
    made = trainer(callbacks=[cb.JSONLinesLogger(path, every_steps=0), cb.LambdaCallback(on_epoch_end=lambda _: 1 / 0)])
    with pytest.raises(cb.CallbackError):
        made.fit(classes())
    assert "ZeroDivisionError" in json.loads(path.read_text().splitlines()[-1])["error"]


@pytest.mark.parametrize("compile", [True, False])
def test_gradient_norms_are_those_before_clipping(monkeypatch, compile):
    x, y = line(32)
    norms = cb.GradientNorms(every_steps=2)
    options = {"optimizer": "sgd", "lr": 0.01, "clip_norm": 1e-3, "callbacks": [norms], "compile": compile}
    made = trainer(network(3, 1), loss="mse", **options)
    model = copy.deepcopy(made.model)
    counter = CountEvaluations(monkeypatch)
    history = made.fit(x, y, epochs=1, batch_size=8, shuffle=False)
    assert counter.count == (0 if compile else 2 * 4)
    assert norms.steps == [0, 2]
    tw.nn.functional.mse_loss(model(tw.tensor(x[:8])), tw.tensor(y[:8])).backward()
    for layer in ("0", "2"):
        module = model.get_submodule(layer)
        squares = sum((each.grad.numpy() ** 2).sum() for each in (module.weight, module.bias))
        assert norms.norms[layer][0] == pytest.approx(math.sqrt(squares), rel=1e-5)
    assert history.steps["gradient_norm/0"][1] is None


# --- NaN, and what functions can do ----------------------------------------------------------------------------------


def test_terminate_on_nan_stops_at_the_step():
    def explode(prediction, target):
        return prediction.sum() * math.inf

    with pytest.warns(RuntimeWarning):
        history = trainer(loss=explode, metrics=["accuracy"], callbacks=[cb.TerminateOnNaN()]).fit(classes(), epochs=5)
    assert len(history.steps["loss"]) == 1
    assert history.epoch == []
    assert "step 0" in history.stop_reason


def test_what_a_function_adds_to_the_logs_is_recorded_and_can_be_monitored(tmp_path):
    add = cb.LambdaCallback(on_epoch_end=lambda t: t.state.logs.update(score=float(t.state.epoch)))
    path = tmp_path / "log.csv"
    extra = [
        cb.CSVLogger(path),
        add,
        cb.EarlyStopping("score", mode="max"),
        cb.ModelCheckpoint(tmp_path / "{score}.safetensors"),
    ]
    history = trainer().fit(classes(), epochs=3, callbacks=extra)
    assert history["score"] == [0.0, 1.0, 2.0]
    assert "score" in path.read_text()
    assert (tmp_path / "2.0.safetensors").exists()
