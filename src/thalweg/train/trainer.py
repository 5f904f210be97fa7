"""`Trainer`: the training loop, in the open.

In: a model, a loss, an optimizer, data. Out: trained parameters and a `History`. `fit` is the whole loop; every piece
that it is made of (`train_step`, `run_batch`, `validate`, `begin_epoch`, ...) is public, so that the same loop can be
written by hand. What happens beside the loop is done by callbacks.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from thalweg.compile.memory_use import MemoryUse
from thalweg.data.seeding import checked_seed
from thalweg.dtype import DType, float32
from thalweg.errors import DataError, DTypeError, explain
from thalweg.nn.module import Module
from thalweg.nn.utils import clip_grad_norm_, clip_grad_value_
from thalweg.tensor import Tensor, from_numpy
from thalweg.tensor.core import request
from thalweg.tensor.holding import Version
from thalweg.tensor.modes import modes
from thalweg.tensor.options import checked_recompute
from thalweg.train import checkpoint, feed, losses
from thalweg.train.advance import advance, advance_many
from thalweg.train.callbacks import Callback, Doctor, History, RunFolder
from thalweg.train.callbacks.base import in_order, whole_number
from thalweg.train.callbacks.listeners import Listeners, fire
from thalweg.train.callbacks.nonfinite import NonFinitePolicy, checked_policy
from thalweg.train.evaluation import Rows, tested
from thalweg.train.feed import Batch, Feed
from thalweg.train.guarding import applied_losses, is_last, may_be_applied
from thalweg.train.interrupt import StopOnInterrupt
from thalweg.train.learning_rate import learning_rate, pending_learning_rate
from thalweg.train.losses import Objective
from thalweg.train.meters import Meters, measure
from thalweg.train.metrics import Metric
from thalweg.train.modes import model_dtype, modes_kept
from thalweg.train.optimizers import optimizer_of
from thalweg.train.plan import (
    Plan,
    checked_metrics,
    checked_model,
    checked_penalties,
    checked_share,
    feeds_of,
    make_plan,
    positive,
    rehearse,
    standard_callbacks,
    weighted,
)  # fmt: skip
from thalweg.train.position import INTERRUPTED, read_position
from thalweg.train.randomness import own_random_numbers, seed_epoch
from thalweg.train.resuming import may_go_on, resume_from
from thalweg.train.setup import save_trainer
from thalweg.train.slices import Pace, Slice, parts, slices
from thalweg.train.state import StepNumbers, TrainingState
from thalweg.train.steps import Form, Steps, side_by_side


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
        compile: run the step as one compiled program (default), many steps in one go where no callback takes part in
            single ones. Python in the model, the loss, the penalties or an own optimizer then runs only while the step
            is traced. What cannot be traced (an `if` on a value) is run without compiling, as a warning says once.
            False: operation by operation. The results are the same up to rounding.
        recompute: compute activations again instead of keeping them: True, or so many bytes; see `tw.compile`.
        doctor: "watch", "advise" or "repair": look for training problems, say what they are, try remedies on copies:
            `tw.callbacks.Doctor`. Default None: nobody looks.
        check_finite: look for NaN and infinity in arrays in memory before training. Default True.
        nonfinite: what happens to a step whose loss, gradients or running statistics are not finite, or which has a
            gradient beyond 2^60 (2^500 in float64). ``"warn"`` (default): a warning, once; the update is made, as in
            PyTorch and Keras. With the others such a step writes nothing, which is decided in the compiled step, and
            ``"raise"``: a `NonFiniteError` names the step and the operation; ``"skip_step"``: training goes on as if
            the batch had not been there, ``history.steps["skipped"]`` counts, the tenth in a row raises;
            ``"rollback"``: back to an earlier state with half the learning rate. See `tw.callbacks.NonFinitePolicy`.

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
        compile: bool = True,
        check_finite: bool = True,
        doctor: str | None = None,
        nonfinite: str = "warn",
        recompute: bool | int = False,
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
        self.nonfinite, self.recompute = checked_policy(nonfinite), checked_recompute(recompute)
        self.run_folder = None if run_folder is None else RunFolder(run_folder)
        doctors = [] if doctor is None else [Doctor(doctor, show=progress is not False)]
        policies = [NonFinitePolicy(nonfinite)] if self.is_guarded else []
        self.callbacks = in_order([*policies, *callbacks, *doctors, *standard_callbacks(self.run_folder, progress)])
        self.state = TrainingState()
        self.epochs_trained = 0
        self.history = History()
        self.meters = Meters(self.metrics)
        self.listeners = Listeners(self.callbacks)
        self.steps = Steps(self, bool(compile))
        self._pace, self._test_pace = Pace(), Pace()
        self._asked: list[Any] = []
        self._known_dtype: tuple[int, DType] = (-1, float32)

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
        resume: Any = None,
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
            resume: go on with a run that was broken off: a checkpoint file; a folder, for the newest in it that can be
                read; or True, for the newest of `run_folder` and the callbacks' files, where a run begins if there is
                none. With the other arguments as they were, the result has the bits of a run that was never broken off,
                at whatever step that was, and the history is whole.

        Returns:
            The `History`. Ctrl-C finishes the step and returns too, with `.interrupted`; an epoch that is cut short
            has no `epoch_end`, but its steps are in `history.steps`. After SIGTERM, with everything saved, the program
            ends as it would have: by its own handler, or by SystemExit.

        Raises:
            Before the first step, for data, labels, metrics and callbacks that cannot work.
        """
        position = resume_from(resume, self, callbacks)
        plan = make_plan(
            self, data, targets, validation, validation_split, epochs=epochs, batch_size=batch_size, shuffle=shuffle,
            sample_weight=sample_weight, class_weight=class_weight, drop_last=drop_last, callbacks=callbacks,
            initial_epoch=initial_epoch if position is None else position["epoch"], is_resumed=position is not None,
        )  # fmt: skip
        is_restarted = position is None and may_go_on(resume, self, callbacks)
        with self._running(plan, position, is_restarted) as state:
            for epoch in range(plan.initial_epoch, plan.epochs):
                if state.stop_reason:
                    break
                self.begin_epoch(epoch, plan.first_order + epoch)
                for batches in slices(plan.training, plan.first_order + epoch, self.steps_ahead, state.batch):
                    self.run_slice(batches, plan)
                    self.fire("boundary")
                    if state.stop_reason:
                        break
                if state.stop_reason:
                    break
                self.end_epoch(plan)
                self.fire("boundary")
            if state.interrupted:
                self.fire("boundary")
        return self.history

    def begin_epoch(self, epoch: int, order: int | None = None) -> None:
        """Training mode, empty meters, the epoch's own random numbers; in the middle of an epoch all is there."""
        state = self.state
        is_within, state.is_within_epoch = state.is_within_epoch, False
        state.epoch, state.epoch_is_over, state.logs = epoch, False, {}
        if self.listeners.callbacks is self.callbacks:  # a loop of one's own: the list may have grown
            self.listeners = Listeners(self.callbacks)
        self.model.train()
        if not is_within:
            state.batch = state.examples = 0
            self.meters.reset()
            seed_epoch(self.seed, epoch if order is None else order)
            self.fire("epoch_begin")
        self.steps.look_again()

    def steps_ahead(self) -> int:
        """How many steps may follow each other now: until a callback takes part in one, for at most about 50 ms."""
        return max(1, min(self.listeners.silent_steps(self.state.step), self._pace.steps))

    def run_slice(self, batches: Slice, plan: Plan | None = None) -> None:
        """One update with its events, or several without where no callback takes part in them: the same bits."""
        if not self.listeners.silent_steps(self.state.step):
            self.run_batch(batches.batch(), plan)
            batches.done = 1
            return
        self._pace.start()
        self.state.is_within_step = True
        numbers = StepNumbers(self.state.step, self.state.epoch)
        is_plain = plan is None or (plan.class_weight is None and plan.training.labels_checked)
        for form, fields, order, block in parts(batches, lambda batch: self.fields(batch, plan), is_plain):
            if len(numbers):
                self.state.count_step()
            size = min(batches.batch_size or len(order), len(order))
            more, predictions = advance_many(self, form, fields, order, size)
            counted = form.weights(fields)
            counted = counted if counted is None else counted.take(order, axis=0)
            counts = applied_losses(self, more)
            measure(self.meters, self.objective, counts, predictions, block, counted, len(order) // size)
            self.state.examples += len(more) * size
            numbers.extend(more)
            batches.done = len(numbers)
            if self.state.stop_reason or is_last(self, numbers):
                break
        self._pace.stop(len(numbers))
        self._end_slice(numbers)
        self._end_step()

    def run_batch(self, batch: Batch, plan: Plan | None = None) -> None:
        """One update, with its events and the sums of the meters."""
        state = self.state
        state.is_within_step = True
        form, fields = self.fields(batch, plan)
        tensors = [from_numpy(each) for each in fields]
        state.inputs, state.targets, state.weights = form.batch(tensors)
        self.fire("batch_begin")
        self.steps.look_again(between_steps=True)
        numbers = StepNumbers(state.step, state.epoch)
        prediction = advance(self, form, tensors, numbers)
        self.fire("update")
        measure(self.meters, self.objective, applied_losses(self, numbers), prediction, batch, form.weights(fields), 1)
        state.examples += len(fields[-1])
        self._end_slice(numbers)
        if state.stop_reason is None or state.interrupted:
            self.fire("batch_end")
        self._end_step()

    def train_step(self, x: Any, y: Any, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Forward pass, loss, backward pass, update: a function of tensors, which `tw.compile` can trace.

        Returns the loss (without penalties) and the prediction; both are computed together with the update.
        """
        loss, prediction = self.compute_gradients(x, y, weight)
        self.update()
        return loss, prediction

    def compute_gradients(self, x: Any, y: Any, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The first half of `train_step`: every parameter gets its gradient."""
        self.optimizer.zero_grad()
        prediction = self.forward(x)
        loss = self.objective(prediction, y, weight)
        self.state.loss, self.state.prediction, self.state.watched = loss, prediction, {}
        self.fire("loss")
        self._with_penalties(loss).backward()
        self.fire("gradients")
        return loss, prediction

    def update(self) -> None:
        """The second half: clip the gradients, and step, unless a value that is not finite forbids it."""
        state = self.state
        if self.is_guarded and modes.trace is None and not may_be_applied(self):
            self.steps.was_skipped = True
            return
        self.clip_gradients()
        rate = pending_learning_rate(self.optimizer)
        if rate is not None:
            state.watched["learning_rate"] = rate
        wanted = (state.loss, state.prediction, *state.watched.values())
        request(*(each for each in wanted if each is not None))
        self.optimizer.step()
        self.fire("weights")

    @property
    def is_guarded(self) -> bool:
        """Whether a step with values that are not finite is left out."""
        return self.nonfinite != "warn"

    def end_epoch(self, plan: Plan) -> None:
        """The epoch's numbers, with those of the validation, and the event."""
        if not self.state.batch:
            raise feed.empty(plan.training.where)
        self.state.logs |= self.meters.results()
        if plan.validation is not None and not self._validate_in_run(plan.validation):
            return
        self.epochs_trained += 1
        self.state.epoch_is_over = True
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
        pieces = (
            Trainer.fit, Trainer.begin_epoch, Trainer.run_slice, Trainer.run_batch, Trainer.train_step,
            Trainer.compute_gradients, Trainer.update, Trainer.end_epoch,
        )  # fmt: skip
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

    def feeds(
        self, data: Any, targets: Any = None, *, validation: Any = None, validation_split: float = 0.0,
        batch_size: int = 32, shuffle: bool = True, sample_weight: Any = None,
    ) -> tuple[Feed, Feed | None]:  # fmt: skip
        """The training and the validation part as `fit` reads them, before any check of what is in them."""
        _, training, held_out = feeds_of(
            self, data, targets, validation, checked_share(validation_split, validation), sample_weight,
            batch_size=batch_size, shuffle=shuffle, drop_last=False,
        )  # fmt: skip
        return training, held_out

    def validate(self, data: Any, *, batch_size: int = 256, during_fit: bool = False) -> dict[str, Any]:
        """`evaluate` without its checks, as the loop uses it."""
        meters, source = Meters(self.metrics), feed.feed_of(data, batch_size=batch_size, where="validation")
        with self.steps.evaluating():
            for each in tested(self, source, self._test_pace, is_labelled=True, collects=bool(self.metrics)):
                weights = each.batch.weights
                counted = None if weights is None else feed.as_numpy(weights, "sample_weight")
                measure(meters, self.objective, each.losses, each.prediction, each.batch, counted, each.batches)
                if during_fit and self.state.interrupted:
                    break
        return meters.results()

    def memory(self, data: Any, targets: Any = None, *, batch_size: int = 32) -> MemoryUse:
        """What a step of `fit` needs; nothing is run. If there is less, `fit` raises a `MemoryLimitError` at once."""
        return self.steps.memory(*self.fields(self.feeds(data, targets, batch_size=batch_size)[0].first(0)))

    def test_step(self, x: Any, y: Any, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Forward pass and loss: a function of tensors."""
        prediction = self.forward(x)
        return self.objective(prediction, y, weight), prediction

    def predict(self, data: Any, *, batch_size: int = 256) -> np.ndarray:
        """The model's outputs, one row for each example, in evaluation mode; targets in the data are not looked at.

        Like a step, the forward pass is compiled, for each size of a batch; a ninth size and more are not.
        """
        whole_number("batch_size", batch_size, 1, "predict")
        source = feed.feed_of(data, batch_size=batch_size, where="predict")
        rows = Rows(source)
        with self.steps.evaluating():
            for each in tested(self, source, self._test_pace, is_labelled=False, collects=True):
                rows.add(each.prediction)
        found = rows.result()
        if found is None:
            raise feed.empty("predict")
        return found

    # --- events ------------------------------------------------------------------------------------------------------

    def fire(self, event: str) -> None:
        """Call the callbacks' methods of an event, by priority; in a trace, of those that are part of the program."""
        heard = self.listeners[event]
        if heard:
            fire(event, self, heard if modes.trace is None else [each for each in heard if each.traced])

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
        return any(callback.adds_logs for callback in self.listeners.callbacks)

    # --- saving ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, int]:
        """What training goes on from, besides the model's and the optimizer's state."""
        return {"seed": self.seed, "step": self.state.step, "epochs_trained": self.epochs_trained}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on counting where `state_dict` was taken: the seed, the steps and the epochs."""
        self.seed, self.state.step, self.epochs_trained = state["seed"], state["step"], state["epochs_trained"]

    def save_checkpoint(self, path: Any) -> None:
        """Write all that training goes on from to a safetensors file; from within a step, when it is over."""
        if self.state.is_within_step:
            self._asked.append(path)
        else:
            checkpoint.save_checkpoint(path, self)

    def save(self, path: Any) -> None:
        """The whole trainer in one file: `tw.load_trainer` makes it again."""
        save_trainer(path, self)

    def load_checkpoint(self, path: Any) -> None:
        """Model, optimizer and counts as a checkpoint has them; ``fit(resume=path)`` also goes on with the run."""
        checkpoint.load_checkpoint(path, self)

    # --- batches -----------------------------------------------------------------------------------------------------

    def tensors(self, batch: Batch) -> tuple[Any, Tensor, Tensor | None]:
        """(inputs, targets, weights) as the step takes them."""
        x, y, weight = self.arrays(batch)
        inputs = tuple(map(from_numpy, x)) if isinstance(x, tuple) else from_numpy(x)
        return inputs, from_numpy(y), None if weight is None else from_numpy(weight)

    def arrays(self, batch: Batch) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """The same as arrays, of any number of examples."""
        if batch.targets is None:
            expected, remedy = "(inputs, targets)", "pass (x, y); predict() takes inputs alone"
            raise DataError(explain("there are no targets", received="inputs alone", expected=expected, remedy=remedy))
        dtype = self._model_dtype()
        y = feed.target_array(batch.targets, dtype, self.objective.targets)
        return self.inputs(batch), y, None if batch.weights is None else np.asarray(batch.weights, dtype.numpy)

    def _model_dtype(self) -> DType:
        """Looked up only when the model may have changed: it would be a tenth of a small step."""
        if self._known_dtype[0] != Version.number:
            self._known_dtype = Version.number, model_dtype(self.model)
        return self._known_dtype[1]

    def inputs(self, batch: Batch) -> Any:
        """The inputs of a batch as the model takes them: an array, or a tuple of them."""
        dtype = self._model_dtype()
        if isinstance(batch.inputs, tuple | list) and all(hasattr(each, "shape") for each in batch.inputs):
            return tuple(feed.input_array(each, dtype) for each in batch.inputs)
        return feed.input_array(batch.inputs, dtype)

    # --- the pieces that need no reading -----------------------------------------------------------------------------

    def fields(self, batch: Batch, plan: Plan | None = None) -> tuple[Form, list[np.ndarray]]:
        """The arrays that a step takes, side by side."""
        return side_by_side(*self.arrays(weighted(batch, plan, self.objective)))

    def _end_slice(self, numbers: StepNumbers) -> None:
        self.state.slice = numbers
        self.fire("slice_end")

    def _end_step(self) -> None:
        """On to the next batch; the state is whole again, and what was asked for meanwhile is saved."""
        self.state.count_step()
        self.state.is_within_step = False
        asked, self._asked = self._asked, []
        for path in asked:
            self.save_checkpoint(path)

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
    def _running(self, plan: Plan, position: dict[str, Any] | None, is_restarted: bool) -> Iterator[TrainingState]:
        """From fit_begin to fit_end, whatever happens in between."""
        state = self.state = TrainingState(
            epoch=plan.initial_epoch, epochs=plan.epochs, step=self.state.step, batches=plan.training.batches,
            validates=plan.validation is not None, plan=plan, learning_rate=learning_rate(self.optimizer),
            is_resumed=position is not None, is_restarted=is_restarted,
        )  # fmt: skip
        self.history, self.listeners, self._pace = plan.history, Listeners(plan.callbacks), Pace()
        with StopOnInterrupt(self._interrupt), own_random_numbers(self), modes_kept(self.model):
            try:
                self.fire("fit_begin")
                if position is not None:
                    read_position(self, position)
                    self.fire("resume")
                yield state
            except BaseException as error:
                state.exception = error
                self.fire("exception")
                raise
            finally:
                state.is_within_step = False
                self.fire("fit_end")
                self.listeners = Listeners(self.callbacks)
                self.steps.forget(self.callbacks)
        self.optimizer.zero_grad()  # a compiled step has used the last gradients up: nobody shall add to them

    def _interrupt(self, what: str = "Ctrl-C") -> None:
        self.state.interrupted = True
        self.stop(INTERRUPTED + what)

    def __repr__(self) -> str:
        parts = type(self.model).__name__, f"loss={self.objective.name}", f"optimizer={type(self.optimizer).__name__}"
        return f"Trainer({', '.join(parts)}, epochs_trained={self.epochs_trained})"
