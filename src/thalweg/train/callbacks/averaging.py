"""`WeightAveraging`: an average of the weights, kept while training goes on, which usually does better than the last.

In: the weights after every step, or at the end of every epoch. Out: validation with the average, and a model that has
it when the run is over. On its own in a hand-written step: `tw.optim.swa_utils.AveragedModel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, explain
from thalweg.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn
from thalweg.tensor import from_numpy, no_grad
from thalweg.train.callbacks.base import Callback, Priority, number, whole_number
from thalweg.train.weights import copy_state


class WeightAveraging(Callback):
    """Keep an average of the weights (EMA or SWA); validate with it, and leave it in the model when the run ends.

        EMA   a ← decay a + (1 − decay) p   after every step (default)
        SWA   the plain mean of the weights at the ends of epochs, ``decay=None``

    Args:
        decay: from 0 to 1, default 0.999; about the last 1 / (1 − decay) steps count. None: all alike.
        start_epoch: the average begins with this epoch (from 0); before, it is the weights themselves. Default 0. SWA
            wants to begin after three quarters of the epochs, with a learning rate that stays up.
        every: "step" or "epoch"; default "step" with a decay, "epoch" without.
        use_buffers: average batch norm's statistics too, instead of taking the latest. Default False. For the exact
            ones of the averaged weights call `tw.optim.swa_utils.update_bn` afterwards.
        validates: use the average for the validation of every epoch, and so for what is monitored. Default True.
        swaps: when the run ends without an error, put the average into the model. Default True; otherwise it is in
            ``callback.averaged.module``.

    Averaging is part of the compiled step. Checkpoints have the weights and the average, so that a run goes on exactly.
    `EarlyStopping(restore_best_weights=True)` brings back weights, not averages: leave that out, or pass swaps=False.
    Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; Izmailov et al. 2018, "Averaging
    weights leads to wider optima and better generalization". Keras calls it `SwapEMAWeights`, Lightning
    `WeightAveraging` and `StochasticWeightAveraging`.

    >>> WeightAveraging(decay=0.99)
    WeightAveraging(decay=0.99, every='step')
    """

    priority = Priority.MEASURE
    adds_logs = False
    traced = True

    def __init__(
        self,
        decay: float | None = 0.999,
        start_epoch: int = 0,
        every: str | None = None,
        use_buffers: bool = False,
        validates: bool = True,
        swaps: bool = True,
    ) -> None:
        where = "WeightAveraging"
        self.decay = None if decay is None else number("decay", decay, 0.0, where, 1.0)
        self.start_epoch = whole_number("start_epoch", start_epoch, 0, where)
        self.every = every or ("epoch" if decay is None else "step")
        if self.every not in ("step", "epoch"):
            expected = "'step', 'epoch' or None"
            raise ArgumentError(explain("unknown every", received=repr(every), expected=expected, where=where))
        self.use_buffers, self.validates, self.swaps = use_buffers, validates, swaps
        self.averaged: AveragedModel | None = None
        self._latest: dict[str, np.ndarray] | None = None

    def handles(self, event: str) -> bool:
        return super().handles(event) and (event != "weights" or self.every == "step")

    def on_fit_begin(self, trainer: Any) -> None:
        average = get_swa_multi_avg_fn() if self.decay is None else get_ema_multi_avg_fn(self.decay)
        self.averaged = AveragedModel(trainer.model, multi_avg_fn=average, use_buffers=self.use_buffers)
        self._latest = None

    def on_epoch_begin(self, trainer: Any) -> None:
        if trainer.state.epoch == self.start_epoch:
            self._begin_again()

    def on_weights(self, trainer: Any) -> None:
        assert self.averaged is not None
        self.averaged.update_parameters(trainer.model)

    def on_validation_begin(self, trainer: Any) -> None:
        if self.every == "epoch":
            self._take(trainer)
        if self.validates:
            self._latest = copy_state(trainer.model)
            self._put_average(trainer)

    def on_validation_end(self, trainer: Any) -> None:
        if self._latest is not None:
            _write(trainer.model, self._latest)
            self._latest = None

    def on_boundary(self, trainer: Any) -> None:
        self.on_validation_end(trainer)  # Ctrl-C has cut the validation short: checkpoints want the weights

    def on_epoch_end(self, trainer: Any) -> None:
        if self.every == "epoch" and not trainer.state.validates:
            self._take(trainer)

    def on_fit_end(self, trainer: Any) -> None:
        self.on_validation_end(trainer)  # where something broke off the validation
        assert self.averaged is not None
        if self.swaps and trainer.state.exception is None and self.averaged.n_averaged.item():
            self._put_average(trainer)

    def _take(self, trainer: Any) -> None:
        """The weights of the end of an epoch into the average; before the start they take its place."""
        assert self.averaged is not None
        if trainer.state.epoch < self.start_epoch:
            self._begin_again()
        self.averaged.update_parameters(trainer.model)

    def _begin_again(self) -> None:
        assert self.averaged is not None
        with no_grad():
            self.averaged.n_averaged.zero_()

    def _put_average(self, trainer: Any) -> None:
        assert self.averaged is not None
        _write(trainer.model, copy_state(self.averaged.module))

    def state_dict(self) -> dict[str, Any]:
        return {} if self.averaged is None else {"averaged": copy_state(self.averaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.averaged is not None:
            _write(self.averaged, state["averaged"])

    def __repr__(self) -> str:
        return f"WeightAveraging(decay={self.decay}, every={self.every!r})"


def _write(model: Any, values: dict[str, np.ndarray]) -> None:
    """Values into the tensors that are there: what is compiled stays as it is."""
    with no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(from_numpy(np.array(values[name])))
