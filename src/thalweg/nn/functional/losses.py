"""The losses: how far predictions are from targets, as one number to descend.

In: predictions and targets. Out: a 0-d tensor, or with `reduction="none"` one number an entry. Every `reduction` is
"mean" (the default), "sum" or "none"; errors name the shapes and the remedy.
"""

from __future__ import annotations

from thalweg.nn import loss_expressions as losses
from thalweg.nn.applying import apply_loss
from thalweg.tensor.core import Tensor


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """The squared error (x - t)^2. Shapes must be equal: where PyTorch warns that it broadcasts, this raises.

    >>> import thalweg as tw
    >>> mse_loss(tw.tensor([1.0, 2.0]), tw.tensor([1.0, 4.0]))
    tensor(2.)
    """
    return apply_loss(losses.mse_loss, input, target, reduction=reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """The absolute error |x - t|; its derivative at 0 is 0.

    >>> import thalweg as tw
    >>> l1_loss(tw.tensor([1.0, 2.0]), tw.tensor([1.0, 4.0]))
    tensor(1.)
    """
    return apply_loss(losses.l1_loss, input, target, reduction=reduction)


def huber_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """With e = x - t: e^2 / 2 for |e| < delta, else delta (|e| - delta / 2). Huber, 1964.

    >>> import thalweg as tw
    >>> huber_loss(tw.tensor([0.5, 4.0]), tw.tensor([0.0, 0.0]), reduction="none")
    tensor([0.125, 3.5  ])
    """
    return apply_loss(losses.huber_loss, input, target, reduction=reduction, delta=delta)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """With e = x - t: e^2 / (2 beta) for |e| < beta, else |e| - beta / 2; the L1 loss for beta 0. Girshick, 2015.

    >>> import thalweg as tw
    >>> smooth_l1_loss(tw.tensor([0.5, 4.0]), tw.tensor([0.0, 0.0]), reduction="none")
    tensor([0.125, 3.5  ])
    """
    return apply_loss(losses.smooth_l1_loss, input, target, reduction=reduction, beta=beta)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-w_y log softmax(x)_y for class scores x (logits) and labels y.

    Shapes: input (C,), (N, C) or (N, C, d1, ...); target of integer labels without the class axis, or of probabilities
    (floating point) of the input's shape; weight (C,). Labels equal to `ignore_index` count for nothing; the mean is
    over the weights of the others. `label_smoothing` mixes in the loss against all classes alike (Szegedy et al.,
    CVPR 2016). Raises `IndexRangeError` for a label out of range when values are computed.

    >>> import thalweg as tw
    >>> cross_entropy(tw.tensor([[0.0, 1.0], [2.0, 0.0]]), tw.tensor([1, 0]))
    tensor(0.2201)
    """
    return apply_loss(
        losses.cross_entropy, input, target, weight,
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-w_y x_y for log-probabilities x and labels y; shapes as for `cross_entropy`.

    >>> import thalweg as tw
    >>> nll_loss(tw.tensor([[-0.5, -2.0]]), tw.tensor([1]))
    tensor(2.)
    """
    return apply_loss(losses.nll_loss, input, target, weight, ignore_index=ignore_index, reduction=reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p, with logarithms of at least -100.

    `weight` broadcasts to the entries. Prefer `binary_cross_entropy_with_logits`, which loses no accuracy near 0 and 1.
    Where a logarithm is limited its gradient is 0. A "probability" outside [0, 1] gives NaN.

    >>> import thalweg as tw
    >>> binary_cross_entropy(tw.tensor([0.5, 0.0]), tw.tensor([1.0, 0.0]), reduction="none")
    tensor([0.6931, 0.    ])
    """
    return apply_loss(losses.binary_cross_entropy, input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The binary cross-entropy of sigmoid(x), without overflow; `pos_weight` multiplies the cost of positive targets.

    >>> import thalweg as tw
    >>> binary_cross_entropy_with_logits(tw.tensor([0.0, -90.0]), tw.tensor([1.0, 1.0]), reduction="none")
    tensor([ 0.6931, 90.    ])
    """
    return apply_loss(
        losses.binary_cross_entropy_with_logits, input, target, weight, pos_weight, reduction=reduction
    )  # fmt: skip


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (log t - x) for log-probabilities x: the Kullback-Leibler divergence when summed over a row.

    ``reduction="batchmean"`` divides the sum by the number of rows, as the definition asks.

    >>> import thalweg as tw
    >>> kl_div(tw.tensor([[0.5, 0.5]]).log(), tw.tensor([[1.0, 0.0]]), reduction="batchmean")
    tensor(0.6931)
    """
    return apply_loss(losses.kl_div, input, target, reduction=reduction, log_target=log_target)
