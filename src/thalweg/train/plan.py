"""Before the first step: what a call of `fit` means, and every reason why it cannot work.

In: the arguments of `Trainer` and `fit`. Out: a `Plan`, or an error that names the argument and the remedy. The first
batch goes through model, loss and metrics without computing a value, since shapes and dtypes are known at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import ArgumentError, ConfigurationError, DataError, DTypeError, explain
from thalweg.nn.module import Module
from thalweg.train import feed, losses
from thalweg.train.callbacks import Callback, History, JSONLinesLogger, ProgressBar, RunFolder
from thalweg.train.callbacks.base import in_order, number, whole_number
from thalweg.train.feed import Batch, Feed
from thalweg.train.losses import Objective
from thalweg.train.meters import Meters
from thalweg.train.metrics import Metric, get_metric
from thalweg.train.optimizers import check_parameters


@dataclass
class Plan:
    """What one call of `fit` has been found to mean."""

    training: Feed
    validation: Feed | None
    initial_epoch: int
    epochs: int
    first_order: int
    """Added to an epoch's number gives the number of its order and random draws, which no trainer uses twice."""
    history: History
    callbacks: list[Callback]
    class_weight: dict[int, float] | None
    classes: int | None


def make_plan(
    trainer: Any,
    data: Any,
    targets: Any,
    validation: Any,
    validation_split: float,
    *,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    sample_weight: Any,
    class_weight: Any,
    initial_epoch: int,
    drop_last: bool,
    callbacks: Sequence[Callback],
    is_resumed: bool = False,
) -> Plan:
    """Check everything that `Trainer.fit` was given."""
    whole_number("epochs", epochs, 0, "fit")
    whole_number("initial_epoch", initial_epoch, 0, "fit")
    whole_number("batch_size", batch_size, 1, "fit")
    share = checked_share(validation_split, validation)
    check_parameters(trainer.optimizer, trainer.model)
    options: dict[str, Any] = {"batch_size": batch_size, "shuffle": bool(shuffle), "drop_last": bool(drop_last)}
    whole, training, held_out = feeds_of(trainer, data, targets, validation, share, sample_weight, **options)
    _check_readings(training, epochs - initial_epoch)
    first_order = max(initial_epoch, trainer.epochs_trained) - initial_epoch
    classes = rehearse(trainer, whole, first_order + initial_epoch)
    if held_out is not None and not share:
        rehearse(trainer, held_out, 0)
    weights = trainer.class_weight if class_weight is None else losses.class_weights(class_weight)
    if trainer.run_folder is not None:
        trainer.run_folder.check(initial_epoch > 0 or is_resumed)
    history = History()
    ordered = in_order([history, *trainer.callbacks, *_listed(callbacks)])
    return Plan(
        training, held_out, initial_epoch, epochs, first_order, history, ordered, _resolved(weights, whole), classes
    )


def feeds_of(
    trainer: Any, data: Any, targets: Any, validation: Any, share: float, sample_weight: Any = None, **options: Any
) -> tuple[Feed, Feed, Feed | None]:
    """All of the data, the training part and the validation part; nothing is looked at."""
    whole = feed.feed_of(data, targets, sample_weight, augment=True, seed=trainer.seed, where="fit", **options)
    return whole, *_parts(trainer, whole, validation, share, options)


def weighted(batch: Batch, plan: Plan | None, objective: Objective) -> Batch:
    """The batch with the class weights in its weights; its labels are checked unless that was done for all."""
    if plan is None:
        return batch
    if not plan.training.labels_checked and batch.targets is not None:
        objective.check_labels(feed.as_numpy(batch.targets, "targets"), plan.classes)
    if plan.class_weight is None:
        return batch
    weights = losses.weights_of_labels(feed.as_numpy(batch.targets, "targets"), plan.class_weight)
    own = 1.0 if batch.weights is None else feed.as_numpy(batch.weights, "sample_weight")
    return batch._replace(weights=weights * own)


def rehearse(trainer: Any, data: Feed, order: int) -> int | None:
    """Shapes, labels, loss and metrics on the first batch, without computing a value. Returns the size of axis 1."""
    if data.arrays is not None and trainer.check_finite:
        inputs = data.arrays.inputs if isinstance(data.arrays.inputs, tuple) else (data.arrays.inputs,)
        feed.check_finite([*(("inputs", each) for each in inputs), ("targets", data.arrays.targets)])
    batch = data.first(order)
    x, y, weight = trainer.tensors(batch)
    target = feed.as_numpy(batch.targets, "targets")
    with trainer.steps.evaluating():
        prediction = trainer.forward(x)
        classes = prediction.shape[1] if prediction.ndim > 1 else None
        trainer.objective.check_shapes(prediction, target)
        trainer.objective.check_labels(target if data.arrays is None else data.arrays.targets, classes)
        trainer.objective(prediction, y, weight)
    shown, _ = trainer.objective.visible(target, None)
    Meters(trainer.metrics).rehearse(prediction.shape, prediction.dtype.numpy, shown)
    return classes


def _parts(trainer: Any, whole: Feed, validation: Any, share: float, options: Any) -> tuple[Feed, Feed | None]:
    if share:
        training, held_out = feed.split(whole, share, trainer.objective.targets, trainer.seed, **options)
        training.labels_checked = whole.arrays is not None
        return training, held_out
    whole.labels_checked = whole.arrays is not None
    if validation is None:
        return whole, None
    return whole, feed.feed_of(validation, batch_size=options["batch_size"], where="validation")


def checked_share(share: Any, validation: Any) -> float:
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    if not is_number or not 0.0 <= share < 1.0:
        raise ArgumentError(
            explain("validation_split is the share of the samples to validate on", received=repr(share),
                    expected="at least 0 and less than 1, for example 0.2", where="fit")
        )  # fmt: skip
    if share and validation is not None:
        remedy = "leave one of them out"
        raise ConfigurationError(
            explain("validation and validation_split both say what to validate on", where="fit", remedy=remedy)
        )
    return float(share)


def _check_readings(training: Feed, epochs: int) -> None:
    if training.reads_once and epochs > 1:
        raise DataError(
            explain(
                "this data can be read only once",
                received=f"a generator, for {epochs} epochs",
                expected="data that can be read again for every epoch",
                where="fit",
                remedy="pass the function that makes the generator, without calling it; or an IterableDataset",
            )
        )


def _listed(callbacks: Any) -> list[Any]:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, list | tuple):
        expected = "a list of callbacks"
        raise DTypeError(explain("callbacks come in a list", received=repr(callbacks), expected=expected))
    return list(callbacks)


def _resolved(weights: Any, whole: Feed) -> dict[int, float] | None:
    if weights != "balanced":
        return weights  # type: ignore[no-any-return]
    labels = feed.labels_of(whole)
    if labels is None:
        remedy = "pass the weights as a dictionary {class: weight}"
        received = "data whose labels are not in memory"
        raise ConfigurationError(
            explain("class_weight='balanced' counts the labels", received=received, where="fit", remedy=remedy)
        )
    return losses.balanced_weights(labels)


# --- arguments of Trainer --------------------------------------------------------------------------------------------


def checked_model(model: Any) -> Module:
    if not isinstance(model, Module):
        is_class = isinstance(model, type)
        remedy = f"make an instance: {model.__name__}(...)" if is_class else "derive it from tw.nn.Module"
        raise DTypeError(
            explain("the model must be an nn.Module", received=repr(model)[:60], where="Trainer", remedy=remedy)
        )
    return model


def checked_metrics(metrics: Any, objective: Objective) -> list[Metric]:
    """The metrics; one by name learns from the loss whether binary predictions are logits."""
    if isinstance(metrics, str | Metric) or not isinstance(metrics, list | tuple):
        remedy = "put it in a list: metrics=['accuracy']"
        raise DTypeError(explain("metrics come in a list", received=repr(metrics), where="Trainer", remedy=remedy))
    found = [get_metric(each) for each in metrics]
    for given, metric in zip(metrics, found, strict=True):
        if isinstance(given, str) and objective.takes_logits and hasattr(metric, "from_logits"):
            metric.from_logits = True
    names = [metric.name for metric in found]
    if len(set(names)) < len(names) or "loss" in names:
        problem, remedy = "two numbers of the logs would have one name", "name them apart: Accuracy(name='...')"
        raise ArgumentError(explain(problem, received=", ".join(["loss", *names]), where="Trainer", remedy=remedy))
    return found


def standard_callbacks(run_folder: RunFolder | None, progress: Any) -> list[Callback]:
    """What a Trainer adds to the user's callbacks: the files of its run folder, and the progress bar."""
    if progress not in (True, False, "auto"):
        expected = "True, False or 'auto'"
        raise ArgumentError(explain("unknown progress", received=repr(progress), expected=expected))
    bar: list[Callback] = [ProgressBar(every_epoch=progress is True)] if progress else []
    if run_folder is None:
        return bar
    return [JSONLinesLogger(run_folder.folder / "metrics.jsonl"), run_folder, run_folder.backup, *bar]


def checked_penalties(penalties: Any) -> list[Any]:
    found = list(penalties) if isinstance(penalties, list | tuple) else [penalties]
    if not all(callable(each) for each in found):
        expected = "callables that give a scalar tensor, such as tw.optim.L2(1e-4, model.named_parameters())"
        raise DTypeError(explain("these are no penalties", received=repr(penalties), expected=expected))
    return found


def positive(name: str, value: Any) -> float:
    found = number(name, value, 0.0, "Trainer")
    if found == 0.0:
        remedy = "leave it out, or pass None, for no limit"
        raise ArgumentError(explain(f"{name} must be positive", received=value, where="Trainer", remedy=remedy))
    return found
