"""Averages of weights: exponential (EMA) and equal (SWA), with the names of `torch.optim.swa_utils`.

In: a model, again and again while it is trained. Out: `AveragedModel`, a copy whose parameters are the average of what
the model's were; `SWALR`, the rate that goes with it; `update_bn`, which makes batch norm's statistics fit it. For a
`Trainer`: `tw.callbacks.WeightAveraging`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn.module import Module
from thalweg.nn.normalisation import _BatchNorm
from thalweg.optim.lr_scheduler.base import LRScheduler, as_number, checked_optimizer, for_each_group
from thalweg.optim.optimizer import Optimizer
from thalweg.tensor import Tensor, as_tensor, no_grad, tensor, where
from thalweg.tensor.devices import check_device

Average = Callable[[Any, Any, Any], Any]
MultiAverage = Callable[[Sequence[Any], Sequence[Any], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """(average, current, how many were averaged) -> decay · average + (1 - decay) · current.

    >>> get_ema_avg_fn(0.75)(4.0, 8.0, 1)
    5.0
    """
    _check_decay(decay)

    def ema_update(average: Any, current: Any, count: Any) -> Any:
        return decay * average + (1.0 - decay) * current

    return ema_update


def get_swa_avg_fn() -> Average:
    """(average, current, how many were averaged) -> average + (current - average) / (count + 1): the plain mean.

    >>> get_swa_avg_fn()(4.0, 8.0, 1)
    6.0
    """

    def swa_update(average: Any, current: Any, count: Any) -> Any:
        return average + (current - average) / (count + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """As `get_ema_avg_fn`, for lists of tensors, written in place.

    >>> import thalweg as tw
    >>> average = tw.tensor([4.0])
    >>> get_ema_multi_avg_fn(0.75)([average], [tw.tensor([8.0])], 1)
    >>> average
    tensor([5.])
    """
    return _for_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> MultiAverage:
    """As `get_swa_avg_fn`, for lists of tensors, written in place.

    >>> import thalweg as tw
    >>> average = tw.tensor([4.0])
    >>> get_swa_multi_avg_fn()([average], [tw.tensor([8.0])], 1)
    >>> average
    tensor([6.])
    """
    return _for_lists(get_swa_avg_fn())


def _for_lists(each: Average) -> MultiAverage:
    def update(averages: Sequence[Any], currents: Sequence[Any], count: Any) -> None:
        with no_grad():
            for average, current in zip(averages, currents, strict=True):
                average.copy_(each(average, current, count))

    update.each = each  # type: ignore[attr-defined]  # known: `AveragedModel` need not look at the count
    return update


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ArgumentError(explain("decay is out of range", received=repr(decay), expected="a number from 0 to 1"))


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of what the model's have been.

        first time   a ← p
        SWA          a ← a + (p − a) / (n + 1),  n how often it was updated (Izmailov et al. 2018, "Averaging weights
                     leads to wider optima and better generalization")
        EMA          a ← decay a + (1 − decay) p  (``multi_avg_fn=get_ema_multi_avg_fn(decay)``; Polyak and Juditsky
                     1992)

    Args:
        model: what is copied. device: there is only "cpu".
        avg_fn: (average, current, n) -> new average, tensor by tensor; default SWA.
        multi_avg_fn: the same for lists, in place.
        use_buffers: average the buffers (batch norm's statistics) too. Default False: they follow the model's.

    `update_parameters(model)` may stand in a compiled step, after `optimizer.step()`, with the functions of this
    module or an own `avg_fn`; it is then part of the fused update. As PyTorch's.

    >>> import thalweg as tw
    >>> model = tw.nn.Linear(1, 1, bias=False)
    >>> averaged = AveragedModel(model)
    >>> for value in (2.0, 4.0, 9.0):
    ...     _ = tw.nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.item(), averaged.n_averaged.item()
    (5.0, 3)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError(explain("one function says how to average", received="avg_fn and multi_avg_fn",
                                        expected="at most one of them"))  # fmt: skip
        check_device(device)
        self.module = deepcopy(model)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of `model` into the average."""
        averages, currents = self._tensors(self.module), self._tensors(model)
        if [each.shape for each in averages] != [each.shape for each in currents]:
            raise ShapeError(
                explain("this model has other parameters than the average", received=f"{len(currents)} tensors",
                        expected=f"the {len(averages)} of the model that was copied, in their shapes",
                        where="AveragedModel.update_parameters")
            )  # fmt: skip
        with no_grad():
            self._average(averages, currents)
            if not self.use_buffers:
                for mine, other in zip(self.module.buffers(), model.buffers(), strict=True):
                    mine.copy_(other)
            self.n_averaged.add_(1)

    def _tensors(self, module: Module) -> list[Any]:
        return list(chain(module.parameters(), module.buffers()) if self.use_buffers else module.parameters())

    def _average(self, averages: list[Any], currents: list[Any]) -> None:
        each = self.avg_fn or getattr(self.multi_avg_fn, "each", None)
        if self.multi_avg_fn is not None and each is None:  # unknown: it shall not see the beginning, as in PyTorch
            if int(self.n_averaged.item()) == 0:
                each = _latest
            else:
                self.multi_avg_fn([one.detach() for one in averages], [one.detach() for one in currents],
                                  self.n_averaged)  # fmt: skip
                return
        each = each or get_swa_avg_fn()
        count: Any = self.n_averaged
        is_first = count == 0
        for average, current in zip(averages, currents, strict=True):
            current = current.detach()
            new = each(average.detach(), current, count)
            average.copy_(where(is_first, current, new.to(current.dtype)))


def _latest(average: Any, current: Any, count: Any) -> Any:
    return current


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Make the running statistics of batch norm layers those of the data under the model's present weights.

    One pass over `loader`: tensors or arrays of inputs, or tuples that begin with them. An average of weights needs it
    where the network has batch norm, since nobody has seen the statistics of the averaged network. As PyTorch's.

    >>> import thalweg as tw
    >>> model = tw.nn.BatchNorm1d(1)
    >>> update_bn([tw.tensor([[1.0], [3.0]]), tw.tensor([[5.0], [7.0]])], model)
    >>> model.running_mean
    tensor([4.])
    """
    layers = [each for each in model.modules() if isinstance(each, _BatchNorm)]
    momenta = [each.momentum for each in layers]
    if not layers:
        return
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
    was_training = model.training
    model.train()
    try:
        with no_grad():
            for batch in loader:
                model(as_tensor(batch[0] if isinstance(batch, list | tuple) else batch))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rate that it finds to `swa_lr` in `anneal_epochs` steps, and there it stays. As PyTorch's.

    The way is half a cosine wave ("cos") or a line ("linear"); a scheduler that also changes the rate is followed.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = SWALR(optimizer, swa_lr=0.2, anneal_epochs=4, anneal_strategy="linear")
    >>> for _ in range(5):
    ...     optimizer.step(); scheduler.step()
    >>> [round(rate, 6) for rate in scheduler.get_last_lr()]
    [0.2]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = for_each_group("swa_lr", swa_lr, checked_optimizer(optimizer, "SWALR"))
        self.swa_lrs = [as_number("swa_lr", each, "SWALR") for each in rates]
        if anneal_strategy not in ("cos", "linear"):
            expected = "'cos' or 'linear'"
            raise ArgumentError(explain("unknown anneal_strategy", received=repr(anneal_strategy), expected=expected))
        if isinstance(anneal_epochs, bool) or not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            expected = "a whole number of at least 0"
            raise ArgumentError(explain("anneal_epochs is no count", received=repr(anneal_epochs), expected=expected))
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = max(1, self._step_count - 1) if self.anneal_epochs == 0 else self._step_count - 1
        before, now = self._share(step - 1), self._share(step)
        return [
            last * now + _without(group["lr"], last, before) * (1.0 - now)
            for group, last in zip(self.optimizer.param_groups, self.swa_lrs, strict=True)
        ]

    def _share(self, step: int) -> float:
        """How much of the way is done."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self.anneal_strategy == "linear" else (1.0 - math.cos(math.pi * t)) / 2.0


def _without(rate: float, last: float, share: float) -> float:
    """The rate from which the way began, when `share` of it is done."""
    return last if share == 1.0 else (rate - share * last) / (1.0 - share)


__all__ = [
    "AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip
