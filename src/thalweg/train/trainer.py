"""`Trainer`: the training loop, in the open.

In: a model, a loss, an optimizer, data. Out: trained parameters and a `History`. `fit` is the whole loop; every piece
that it is made of (`train_step`, `run_batch`, `validate`, `begin_epoch`, ...) is public, so that the same loop can be
written by hand. What happens beside the loop is done by callbacks.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data.seeding import checked_seed
from thalweg.errors import ArgumentError, DataError, DTypeError, explain
from thalweg.nn.module import Module
from thalweg.nn.utils import clip_grad_norm_, clip_grad_value_
from thalweg.tensor import Tensor, from_numpy, lazy
from thalweg.tensor.core import request
from thalweg.tensor.trace import compile as compile_step
from thalweg.train import checkpoint, feed, losses
from thalweg.train.callbacks import Callback, History, JSONLinesLogger, ProgressBar, RunFolder
from thalweg.train.callbacks.base import due_in_the_step, fire, in_order, whole_number
from thalweg.train.feed import Batch, Feed
from thalweg.train.interrupt import StopOnInterrupt
from thalweg.train.learning_rate import learning_rate, pending_learning_rate
from thalweg.train.losses import Objective
from thalweg.train.meters import Meters
from thalweg.train.metrics import Metric
from thalweg.train.modes import evaluating, model_dtype, modes_kept
from thalweg.train.optimizers import optimizer_of
from thalweg.train.plan import (
    Plan,
    checked_metrics,
    checked_model,
    checked_penalties,
    make_plan,
    positive,
    rehearse,
)  # fmt: skip
from thalweg.train.randomness import own_random_numbers, seed_epoch
from thalweg.train.state import TrainingState


class Trainer:
    """Train a model: forward pass, loss, backpropagation, update, over and over.

    Args:
        model: an `nn.Module`, called with the inputs.
        loss: ``"cross_entropy"`` (logits), ``"nll"`` (log-probabilities), ``"mse"``, ``"mae"`` or ``"l1"``,
            ``"huber"``, ``"bce"`` (probabilities), ``"bce_with_logits"``; a loss module; or a function (prediction,
            target) -> scalar tensor.
        optimizer: ``"adam"`` (default), ``"adamw"``, ``"sgd"``, ``"rmsprop"``, ``"adagrad"``; an optimizer; or a class
            (or function of the parameters) that makes one.
        metrics: names or `Metric`s, by default none. They are weighted by sample weights, never by class weights.
        callbacks: of every `fit`; see `tw.callbacks`.
        lr: the learning rate, a number or a schedule, for an optimizer that is made here.
        clip_norm: scale all gradients down together to at most this Euclidean norm.
        clip_value: limit every entry of a gradient to [-clip_value, clip_value].
        penalties: callables that give a scalar tensor, such as ``tw.optim.L2(1e-4, model.named_parameters())``; added
            to what is minimised, not to the loss that is reported.
        seed: decides the order of the data, the validation split and dropout while training (not the model's initial
            weights: call `tw.manual_seed` before building it). Epoch n of a trainer is a function of (seed, n).
        class_weight: {class: weight}, one weight for each class, or "balanced". For the training loss only.
        run_folder: a folder for `metrics.jsonl` (as it happens) and `model.safetensors` (at the end).
        progress: "auto" or True: a live line at a terminal, plain lines elsewhere; True gives every epoch a line,
            "auto" at most one in two seconds. False: silence.
        compile: run the step as one compiled program (`tw.compile`); the results are the same.
        check_finite: look for NaN and infinity in arrays in memory before training. Default True.

    Floating inputs, uint8 and bool are cast to the model's dtype (uint8 images are not scaled: divide by 255, or use
    `tw.data.Standardise`); other integers stay integers, for an embedding. Integer targets of a classifying loss stay
    labels; otherwise targets are cast to the model's dtype, and (N,) and (N, 1) count as the same shape.

    >>> import numpy as np, thalweg as tw
    >>> _ = tw.manual_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> trainer = tw.Trainer(tw.nn.Linear(2, 2), lr=0.1, metrics=["accuracy"], progress=False)
    >>> history = trainer.fit((x, y), epochs=20, batch_size=16)
    >>> trainer.evaluate((x, y))["accuracy"] > 0.9
    True
    >>> trainer.predict(x).shape
    (64, 2)
    """

    def __init__(
        self,
        model: Module,
        loss: Any = "cross_entropy",
        optimizer: Any = "adam",
        metrics: Sequence[str | Metric] = (),
        callbacks: Sequence[Callback] = (),
        *,
        lr: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalties: Sequence[Any] = (),
        seed: int = 0,
        class_weight: Any = None,
        run_folder: Any = None,
        progress: bool | str = "auto",
        compile: bool = False,
        check_finite: bool = True,
    ) -> None:
        self.model = checked_model(model)
        self.objective = Objective(loss)
        self.optimizer = optimizer_of(optimizer, model, lr)
        self.metrics = checked_metrics(metrics, self.objective)
        self.clip_norm = None if clip_norm is None else positive("clip_norm", clip_norm)
        self.clip_value = None if clip_value is None else positive("clip_value", clip_value)
        self.penalties = checked_penalties(penalties)
        self.seed = checked_seed(seed, "Trainer(seed=...)")
        self.class_weight = losses.class_weights(class_weight)
        self.check_finite = check_finite
        self.run_folder = None if run_folder is None else RunFolder(run_folder)
        self.callbacks = in_order([*callbacks, *self._standard_callbacks(progress)])
        self.state = TrainingState()
        self.epochs_trained = 0
        self.history = History()
        self.meters = Meters(self.metrics)
        self._active = self.callbacks
        self._step = compile_step(self._training_outputs) if compile else self._training_outputs
        self._test = compile_step(self.test_step) if compile else self.test_step

    # --- the loop ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        data: Any,
        targets: Any = None,
        *,
        validation: Any = None,
        validation_split: float = 0.0,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Any = None,
        initial_epoch: int = 0,
        drop_last: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train. A batch size of N is batch, 1 stochastic, m mini-batch gradient descent: one loop.

        Args:
            data, targets: (x, y) or (x, y, weights) as arrays or tensors, or x and y apart; x may be a tuple of arrays
                for a model of several inputs. A data set, a `DataLoader`, any iterable of batches that can be read
                again, or a function that starts one.
            validation: data of any of these kinds, on which loss and metrics are computed after every epoch.
            validation_split: take this share of the samples for it instead: shuffled, every class in its share.
            epochs: the number of the last epoch; with `initial_epoch` 3 and `epochs` 10, seven are trained.
            batch_size, shuffle, drop_last: for arrays and data sets; a loader has its own.
            sample_weight: one weight for each example, for arrays: a weight of 2 is the example twice.
            class_weight: instead of the trainer's.
            callbacks: besides the trainer's.

        Returns:
            The `History`. Ctrl-C finishes the step and returns too, with `.interrupted`; an epoch that is cut short
            has no `epoch_end`, but its steps are in `history.steps`.

        Raises:
            Before the first step, for data, labels, metrics and callbacks that cannot work.
        """
        plan = make_plan(
            self, data, targets, validation, validation_split, epochs=epochs, batch_size=batch_size, shuffle=shuffle,
            sample_weight=sample_weight, class_weight=class_weight, initial_epoch=initial_epoch, drop_last=drop_last,
            callbacks=callbacks,
        )  # fmt: skip
        with self._running(plan) as state:
            for epoch in range(plan.initial_epoch, plan.epochs):
                self.begin_epoch(epoch, plan.first_order + epoch)
                for batch in plan.training.epoch(plan.first_order + epoch):
                    self.run_batch(batch, plan)
                    if state.stop_reason:
                        break
                if state.stop_reason:
                    break
                self.end_epoch(plan)
                if state.stop_reason:
                    break
        return self.history

    def begin_epoch(self, epoch: int, order: int | None = None) -> None:
        """Training mode, empty meters, the epoch's own random numbers."""
        state = self.state
        state.epoch, state.batch, state.examples, state.logs = epoch, 0, 0, {}
        self.meters.reset()
        self.model.train()
        seed_epoch(self.seed, epoch if order is None else order)
        self.fire("epoch_begin")

    def run_batch(self, batch: Batch, plan: Plan | None = None) -> None:
        """One update, with its events and the sums of the meters."""
        state = self.state
        x, y, weight = self.tensors(self._weighted(batch, plan))
        state.inputs, state.targets, state.weights = x, y, weight
        self.fire("batch_begin")
        loss, state.prediction, watched = self._step(x, y, weight, due_in_the_step(self._active, state.step))
        state.loss, state.watched = loss, watched
        self._settle()
        self.fire("update")
        if state.stop_reason is None or state.interrupted:
            self._measure(self.meters, loss, state.prediction, batch)
            state.examples += len(feed.as_numpy(batch.targets, "targets"))
            self.fire("batch_end")
        state.step += 1
        state.batch += 1

    def train_step(self, x: Any, y: Any, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Forward pass, loss, backward pass, update: a function of tensors, which `tw.compile` can trace.

        Returns the loss (without penalties) and the prediction; both are computed together with the update.
        """
        self.optimizer.zero_grad()
        prediction = self.forward(x)
        loss = self.objective(prediction, y, weight)
        self.state.loss, self.state.prediction, self.state.watched = loss, prediction, {}
        self.fire("loss")
        self._with_penalties(loss).backward()
        self.fire("gradients")
        self.clip_gradients()
        rate = pending_learning_rate(self.optimizer)
        if rate is not None:
            self.state.watched["learning_rate"] = rate
        request(loss, prediction, *self.state.watched.values())
        self.optimizer.step()
        return loss, prediction

    def end_epoch(self, plan: Plan) -> None:
        """The epoch's numbers, with those of the validation, and the event."""
        if not self.state.batch:
            raise feed.empty(plan.training.where)
        self.state.logs |= self.meters.results()
        if plan.validation is not None and not self._validate_in_run(plan.validation):
            return
        self.epochs_trained += 1
        self.fire("epoch_end")

    def clip_gradients(self) -> None:
        """Limit the gradients as `clip_value` and `clip_norm` say."""
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)

    def _with_penalties(self, loss: Any) -> Any:
        for penalty in self.penalties:
            loss = loss + penalty()
        return loss

    def forward(self, x: Any) -> Tensor:
        """The model's output for a batch: ``model(x)``, or ``model(*x)`` for a tuple of inputs."""
        prediction = self.model(*x) if isinstance(x, tuple) else self.model(x)
        if not isinstance(prediction, Tensor):
            received, expected = type(prediction).__name__, "one tensor, a row for each example"
            remedy = "return the prediction alone from forward"
            raise DTypeError(
                explain("the model must return a tensor", received=received, expected=expected, remedy=remedy)
            )
        return prediction

    @staticmethod
    def training_loop() -> str:
        """The source of the loop, to read or to copy: `fit`, and the pieces it is made of."""
        pieces = (Trainer.fit, Trainer.begin_epoch, Trainer.run_batch, Trainer.train_step, Trainer.end_epoch)
        return "\n".join(inspect.getsource(piece) for piece in pieces)

    # --- without training --------------------------------------------------------------------------------------------

    def evaluate(
        self, data: Any, targets: Any = None, *, batch_size: int = 256, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Loss and metrics over data of any kind that `fit` takes; the model is in evaluation mode meanwhile.

        Exact over batches of unequal sizes. Returns {"loss": ..., metric: ...}.
        """
        whole_number("batch_size", batch_size, 1, "evaluate")
        source = feed.feed_of(data, targets, sample_weight, batch_size=batch_size, where="evaluate")
        rehearse(self, source, 0)
        return self.validate(source)

    def validate(self, data: Any, *, batch_size: int = 256, during_fit: bool = False) -> dict[str, Any]:
        """`evaluate` without its checks, as the loop uses it."""
        meters = Meters(self.metrics)
        with evaluating(self.model):
            for batch in feed.feed_of(data, batch_size=batch_size, where="validation").epoch(0):
                x, y, weight = self.tensors(batch)
                loss, prediction = self._test(x, y, weight)
                lazy.compute([loss.node, prediction.node])
                self._measure(meters, loss, prediction, batch)
                if during_fit and self.state.interrupted:
                    break
        return meters.results()

    def test_step(self, x: Any, y: Any, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Forward pass and loss: a function of tensors."""
        prediction = self.forward(x)
        return self.objective(prediction, y, weight), prediction

    def predict(self, data: Any, *, batch_size: int = 256) -> np.ndarray:
        """The model's outputs, one row for each example, in evaluation mode; targets in the data are not looked at."""
        whole_number("batch_size", batch_size, 1, "predict")
        rows = []
        with evaluating(self.model):
            for batch in feed.feed_of(data, batch_size=batch_size, where="predict").epoch(0):
                rows.append(np.array(self.forward(self._inputs(batch))._array()))
        if not rows:
            raise feed.empty("predict")
        return np.concatenate(rows)

    # --- events ------------------------------------------------------------------------------------------------------

    def fire(self, event: str) -> None:
        """Call the callbacks' methods of an event, by priority."""
        fire(event, self, self._active)

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the run at the next step boundary."""
        self.state.stop_reason = self.state.stop_reason or reason

    def running_logs(self) -> dict[str, Any]:
        """Loss and metrics over the epoch so far."""
        return self.meters.results() if self.state.examples else {}

    def log_names(self) -> list[str]:
        """The names that the logs of this run will have, callbacks' own aside."""
        own = ["loss", *(metric.name for metric in self.metrics)]
        return [*own, *(f"val_{name}" for name in own if self.state.validates), "learning_rate", "seconds"]

    def may_add_logs(self) -> bool:
        """Whether some callback of this run may add further names."""
        return any(callback.adds_logs for callback in self._active)

    # --- saving ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, int]:
        """What training goes on from, besides the model's and the optimizer's state."""
        return {"seed": self.seed, "step": self.state.step, "epochs_trained": self.epochs_trained}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seed, self.state.step, self.epochs_trained = state["seed"], state["step"], state["epochs_trained"]

    def save_checkpoint(self, path: Any) -> None:
        """Write all that training goes on from to a safetensors file."""
        checkpoint.save_checkpoint(path, self)

    def load_checkpoint(self, path: Any) -> None:
        """Go on from a checkpoint.

        ``fit(..., initial_epoch=trainer.epochs_trained)`` then gives the same bits as a run that was never broken off.
        The state of callbacks (patience that was used up, say) is not in it.
        """
        checkpoint.load_checkpoint(path, self)

    # --- batches -----------------------------------------------------------------------------------------------------

    def tensors(self, batch: Batch) -> tuple[Any, Tensor, Tensor | None]:
        """(inputs, targets, weights) as the step takes them."""
        if batch.targets is None:
            expected, remedy = "(inputs, targets)", "pass (x, y); predict() takes inputs alone"
            raise DataError(explain("there are no targets", received="inputs alone", expected=expected, remedy=remedy))
        dtype = model_dtype(self.model)
        y = feed.target_tensor(batch.targets, dtype, self.objective.targets)
        weight = None if batch.weights is None else from_numpy(np.asarray(batch.weights, dtype.numpy))
        return self._inputs(batch), y, weight

    def _inputs(self, batch: Batch) -> Any:
        dtype = model_dtype(self.model)
        if isinstance(batch.inputs, tuple | list) and all(hasattr(each, "shape") for each in batch.inputs):
            return tuple(feed.input_tensor(each, dtype) for each in batch.inputs)
        return feed.input_tensor(batch.inputs, dtype)

    def _weighted(self, batch: Batch, plan: Plan | None) -> Batch:
        """The batch with the class weights in its weights; its labels are checked unless that was done for all."""
        if plan is None:
            return batch
        if not plan.training.labels_checked and batch.targets is not None:
            self.objective.check_labels(feed.as_numpy(batch.targets, "targets"), plan.classes)
        if plan.class_weight is None:
            return batch
        weights = losses.weights_of_labels(feed.as_numpy(batch.targets, "targets"), plan.class_weight)
        own = 1.0 if batch.weights is None else feed.as_numpy(batch.weights, "sample_weight")
        return batch._replace(weights=weights * own)

    # --- the pieces that need no reading -----------------------------------------------------------------------------

    def _training_outputs(self, x: Any, y: Any, weight: Any, due: tuple[int, ...]) -> Any:
        """`train_step` with what callbacks watch. `due` is static: one program for each set of them."""
        loss, prediction = self.train_step(x, y, weight)
        return loss, prediction, self.state.watched

    def _settle(self) -> None:
        """The values of the step as plain tensors, so that its graph can go."""
        state = self.state
        state.loss, state.prediction = _known(state.loss), _known(state.prediction)
        state.watched = {name: _known(value) for name, value in state.watched.items()}
        rate = state.watched.pop("learning_rate", None)
        state.learning_rate = learning_rate(self.optimizer) if rate is None else float(rate.item())
        if not math.isfinite(state.loss.item()) and not state.has_warned:
            state.has_warned = True
            warnings.warn(_not_finite(state), RuntimeWarning, stacklevel=4)

    def _measure(self, meters: Meters, loss: Tensor, prediction: Tensor, batch: Batch) -> None:
        target = feed.as_numpy(batch.targets, "targets")
        weight = None if batch.weights is None else feed.as_numpy(batch.weights, "sample_weight")
        size = self.state.weights if meters is self.meters else weight
        total = float(np.asarray(size).sum()) if size is not None else self.objective.count(target)
        meters.update(loss.item(), total, prediction._array(), *self.objective.visible(target, weight))

    def _validate_in_run(self, data: Feed) -> bool:
        """Validate with the events; False if Ctrl-C cut it short."""
        self.fire("validation_begin")
        results = self.validate(data, during_fit=True)
        if self.state.interrupted:
            return False
        self.state.logs |= {f"val_{name}": value for name, value in results.items()}
        self.fire("validation_end")
        return True

    @contextmanager
    def _running(self, plan: Plan) -> Iterator[TrainingState]:
        """From fit_begin to fit_end, whatever happens in between."""
        state = self.state = TrainingState(
            epoch=plan.initial_epoch, epochs=plan.epochs, step=self.state.step, batches=plan.training.batches,
            validates=plan.validation is not None, learning_rate=learning_rate(self.optimizer),
        )  # fmt: skip
        self.history, self._active = plan.history, plan.callbacks
        with StopOnInterrupt(self._interrupt), own_random_numbers(), modes_kept(self.model):
            try:
                self.fire("fit_begin")
                yield state
            except BaseException as error:
                state.exception = error
                self.fire("exception")
                raise
            finally:
                self.fire("fit_end")
                self._active = self.callbacks

    def _interrupt(self) -> None:
        self.state.interrupted = True
        self.stop("interrupted by Ctrl-C")

    def _standard_callbacks(self, progress: Any) -> list[Callback]:
        if progress not in (True, False, "auto"):
            expected = "True, False or 'auto'"
            raise ArgumentError(explain("unknown progress", received=repr(progress), expected=expected))
        bar: list[Callback] = [ProgressBar(every_epoch=progress is True)] if progress else []
        if self.run_folder is None:
            return bar
        return [JSONLinesLogger(Path(self.run_folder.folder) / "metrics.jsonl"), self.run_folder, *bar]

    def __repr__(self) -> str:
        parts = type(self.model).__name__, f"loss={self.objective.name}", f"optimizer={type(self.optimizer).__name__}"
        return f"Trainer({', '.join(parts)}, epochs_trained={self.epochs_trained})"


def _known(tensor: Tensor | None) -> Tensor:
    """The value as a plain tensor without history."""
    assert tensor is not None
    return from_numpy(tensor._array())


def _not_finite(state: TrainingState) -> str:
    assert state.loss is not None
    return explain(
        f"the loss became {state.loss.item()}",
        where=f"epoch {state.epoch + 1}, batch {state.batch + 1} (step {state.step})",
        remedy="lower the learning rate, clip the gradients (clip_norm=1.0), or stop with callbacks=[TerminateOnNaN()]",
    )
