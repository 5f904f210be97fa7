"""The losses by margins, distances and likelihoods as modules, with PyTorch's names, arguments and defaults.

In: predictions and targets. Out: a 0-d tensor, or one number an entry. Formulas and sources are in
`functional.margins`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from thalweg.nn import functional
from thalweg.nn.linear import Linear
from thalweg.nn.loss import _Loss, _WeightedLoss
from thalweg.nn.loss_expressions import REDUCTIONS
from thalweg.nn.margin_expressions import check_power
from thalweg.nn.module import Module
from thalweg.nn.settings import whole_number, whole_numbers
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.lifting import lift_view
from thalweg.tensor.shaping import reshape


class KLDivLoss(Module):
    """t (log t - x) for log-probabilities x; "batchmean" divides the sum by the rows, as the definition asks.

    >>> import thalweg as tw
    >>> KLDivLoss(reduction="batchmean")(tw.tensor([[0.5, 0.5]]).log(), tw.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__()
        refuse_unknown("KLDivLoss: reduction", (*REDUCTIONS, "batchmean"), reduction)
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """e^x - t x for counts t, or x - t log(x + eps) without `log_input`; `full` adds Stirling's log t!.

    >>> import thalweg as tw
    >>> PoissonNLLLoss()(tw.tensor([0.0]), tw.tensor([3.0]))
    tensor(1.)
    """

    def __init__(
        self, log_input: bool = True, full: bool = False, *, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.poisson_nll_loss(
            input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction
        )


class GaussianNLLLoss(_Loss):
    """(log v + (x - t)^2 / v) / 2 for means x and variances v; called with ``(input, target, var)``.

    >>> import thalweg as tw
    >>> GaussianNLLLoss()(tw.tensor([0.0]), tw.tensor([2.0]), tw.tensor([1.0]))
    tensor(2.)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return functional.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + e^(-t x)) for targets of 1 and -1.

    >>> import thalweg as tw
    >>> SoftMarginLoss()(tw.tensor([0.0]), tw.tensor([1.0]))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.soft_margin_loss(input, target, reduction=self.reduction)


class _MarginLoss(_Loss):
    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def extra_repr(self) -> str:
        return f"margin={self.margin}"


class HingeEmbeddingLoss(_MarginLoss):
    """x where the target is 1, max(0, margin - x) where it is -1.

    >>> import thalweg as tw
    >>> HingeEmbeddingLoss()(tw.tensor([0.3, 0.3]), tw.tensor([1, -1]))
    tensor(0.5)
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(margin, reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """max(0, -t (x1 - x2) + margin).

    >>> import thalweg as tw
    >>> MarginRankingLoss()(tw.tensor([1.0]), tw.tensor([3.0]), tw.tensor([1]))
    tensor(2.)
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return functional.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_MarginLoss):
    """1 - cos(x1, x2) for targets of 1, max(0, cos(x1, x2) - margin) for -1.

    >>> import thalweg as tw
    >>> CosineEmbeddingLoss()(tw.tensor([[1.0, 0.0]]), tw.tensor([[0.0, 2.0]]), tw.tensor([1]))
    tensor(1.)
    """

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return functional.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """max(0, d(a, p) - d(a, n) + margin) with the p-norm distance d. Balntas et al., BMVC 2016.

    >>> import thalweg as tw
    >>> TripletMarginLoss(margin=4.0)(tw.tensor([[0.0]]), tw.tensor([[1.0]]), tw.tensor([[3.0]]))
    tensor(2.)
    """

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return functional.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )

    def extra_repr(self) -> str:
        return f"margin={self.margin}, p={self.p}, eps={self.eps}, swap={self.swap}"


class TripletMarginWithDistanceLoss(_Loss):
    """`TripletMarginLoss` for a distance of your own.

    >>> import thalweg as tw
    >>> loss = TripletMarginWithDistanceLoss(distance_function=lambda x, y: (x - y).abs().sum(-1), margin=4.0)
    >>> loss(tw.tensor([[0.0]]), tw.tensor([[1.0]]), tw.tensor([[3.0]]))
    tensor(2.)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.distance_function = distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return functional.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function, margin=self.margin, swap=self.swap,
            reduction=self.reduction,
        )  # fmt: skip


class MultiMarginLoss(_WeightedLoss):
    """The sum over other classes i of w_y max(0, margin - x_y + x_i)^p, divided by the number of classes.

    >>> import thalweg as tw
    >>> MultiMarginLoss()(tw.tensor([[0.1, 0.2, 0.9]]), tw.tensor([2]))
    tensor(0.1667)
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, *, reduction: str = "mean"
    ) -> None:
        check_power(p)
        super().__init__(weight, reduction)
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )  # fmt: skip


class MultiLabelMarginLoss(_Loss):
    """The sum over labels y and other classes i of max(0, 1 - x_y + x_i), divided by the number of classes.

    >>> import thalweg as tw
    >>> MultiLabelMarginLoss()(tw.tensor([[0.1, 0.2, 0.4, 0.8]]), tw.tensor([[3, 0, -1, 1]]))
    tensor(0.85)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The binary cross-entropy with logits, weighted, as the mean over the last axis.

    >>> import thalweg as tw
    >>> MultiLabelSoftMarginLoss()(tw.tensor([[0.0, 0.0]]), tw.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class LinearCrossEntropyLoss(_WeightedLoss):
    """A linear layer and `CrossEntropyLoss` of its scores, as one loss: called with ``(features, target)``.

    Features (N, in_features) become scores (N, num_classes, *out_features). State: `linear.weight`, `linear.bias` with
    `bias`, and `weight`, a buffer, of the classes. `options` changes nothing, see `F.linear_cross_entropy`.

    >>> import thalweg as tw
    >>> LinearCrossEntropyLoss(4, 3)(tw.ones(2, 4), tw.tensor([0, 2])).shape
    ()
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: object = None,
        dtype: object = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: object = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.num_classes = whole_number("LinearCrossEntropyLoss: num_classes", num_classes, 1)
        self.out_features = whole_numbers("LinearCrossEntropyLoss: out_features", out_features, 1)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.options = options
        self.linear = Linear(
            in_features, math.prod(self.out_features, start=num_classes), bias, device=device, dtype=dtype
        )

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        shape = (self.num_classes, *self.out_features)
        weight = _reshape(self.linear.weight, (*shape, self.linear.in_features))
        bias = None if self.linear.bias is None else _reshape(self.linear.bias, shape)
        return functional.linear_cross_entropy(
            input, weight, target, linear_bias=bias, weight=self.weight, reduction=self.reduction,
            ignore_index=self.ignore_index, label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip


_reshape = lift_view(reshape)
