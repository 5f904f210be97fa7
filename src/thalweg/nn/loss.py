"""The losses as modules, with PyTorch's names, arguments and defaults.

In: predictions and targets.
Out: a 0-d tensor, or one number an entry. Formulas and sources are in `functional.losses`.
"""

from __future__ import annotations

from typing import Any

from thalweg.nn import functional
from thalweg.nn.loss_expressions import REDUCTIONS
from thalweg.nn.module import Module
from thalweg.tensor.core import Tensor, refuse_unknown


class _Loss(Module):
    """A loss with a `reduction`: "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        refuse_unknown(f"{type(self).__name__}: reduction", REDUCTIONS, reduction)
        self.reduction = reduction


class MSELoss(_Loss):
    """The mean of (x - t)^2.

    >>> import thalweg as tw
    >>> MSELoss()(tw.tensor([1.0, 2.0]), tw.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The mean of |x - t|.

    >>> import thalweg as tw
    >>> L1Loss()(tw.tensor([1.0, 2.0]), tw.tensor([1.0, 4.0]))
    tensor(1.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """Quadratic for errors below `delta`, linear beyond it.

    >>> import thalweg as tw
    >>> HuberLoss(delta=2.0)(tw.tensor([3.0]), tw.tensor([0.0]))
    tensor(4.)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.huber_loss(input, target, reduction=self.reduction, delta=self.delta)

    def extra_repr(self) -> str:
        return f"delta={self.delta}"


class SmoothL1Loss(_Loss):
    """Quadratic for errors below `beta`, the absolute error less beta / 2 beyond it.

    >>> import thalweg as tw
    >>> SmoothL1Loss()(tw.tensor([3.0]), tw.tensor([0.0]))
    tensor(2.5)
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class _WeightedLoss(_Loss):
    """A loss with a weight for each class or entry, which is a buffer: part of the state, never trained."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    """-w_y log softmax(x)_y for class scores (N, C, ...) and labels (N, ...) or probabilities (N, C, ...).

    >>> import thalweg as tw
    >>> CrossEntropyLoss()(tw.tensor([[0.0, 1.0], [2.0, 0.0]]), tw.tensor([1, 0]))
    tensor(0.2201)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(
            input, target, self.weight,
            ignore_index=self.ignore_index, reduction=self.reduction, label_smoothing=self.label_smoothing,
        )  # fmt: skip


class NLLLoss(_WeightedLoss):
    """-w_y x_y for log-probabilities (N, C, ...) and labels (N, ...).

    >>> import thalweg as tw
    >>> NLLLoss()(tw.tensor([[-0.5, -2.0]]), tw.tensor([1]))
    tensor(2.)
    """

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )  # fmt: skip


class BCELoss(_WeightedLoss):
    """The binary cross-entropy of probabilities; `weight` broadcasts to the entries.

    >>> import thalweg as tw
    >>> BCELoss()(tw.tensor([0.5]), tw.tensor([1.0]))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """The binary cross-entropy of sigmoid(x); `pos_weight` multiplies the cost of positive targets.

    >>> import thalweg as tw
    >>> BCEWithLogitsLoss()(tw.tensor([0.0]), tw.tensor([1.0]))
    tensor(0.6931)
    """

    pos_weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class CTCLoss(_Loss):
    """-log of the probability of labels whose places nobody knows; formulas in `functional.ctc_loss`.

    Called with ``(log_probs, targets, input_lengths, target_lengths)``: log-probabilities (T, N, C), labels (N, S) or
    one after the other, lengths (N,). `blank` is the class of no label, `zero_infinity` makes infinite losses 0.

    >>> import thalweg as tw
    >>> CTCLoss()(tw.zeros(3, 1, 2).log_softmax(2), tw.tensor([[1, 1]]), [3], [2])    # only 1 blank 1: half of log 8
    tensor(1.0397)
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:
        return functional.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )

    def extra_repr(self) -> str:
        return f"blank={self.blank}, zero_infinity={self.zero_infinity}"
