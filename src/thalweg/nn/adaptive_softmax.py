"""`AdaptiveLogSoftmaxWithLoss`: a softmax over very many classes, of which most are rare.

In: (N, in_features) and labels (N,). Out: the log-probability of each label, and their mean as a loss. Frequent classes
are scored directly; the others by clusters, with fewer features the rarer they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn.containers import ModuleList, Sequential
from thalweg.nn.functional import log_softmax
from thalweg.nn.linear import Linear
from thalweg.nn.module import Module
from thalweg.nn.settings import weight_dtype, whole_number, whole_numbers
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor, lift
from thalweg.tensor.shaping import cat

_cat = lift(cat)


class LogProbabilities(NamedTuple):
    """The log-probability of each label, and the loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """log p(class) over `n_classes` classes sorted by how often they come, and minus the mean of the labels' as a loss.

    ``cutoffs=[c_1, c_2, ...]`` divides them into the head 0 to c_1 - 1 and clusters c_1 to c_2 - 1, c_2 to c_3 - 1,
    ..., the last of which ends at `n_classes`. The head scores its classes and each cluster; of a class in cluster i,
    log p = log p(cluster i) + log p(class | cluster i), from in_features // div_value^i features.

    Every cluster is computed for every row, because shapes must not depend on the labels: N times `n_classes` scores,
    as of a full softmax. PyTorch computes a cluster only for the rows whose label is in it. What remains is the smaller
    weight: a cluster of C classes has (in_features + C) in_features / div_value^i entries.

    Args:
        in_features, n_classes: numbers a row, and of classes.
        cutoffs: increasing whole numbers between 1 and n_classes - 1.
        div_value: default 4.
        head_bias: whether the head has a bias. Default False.

    Shapes: input (N, in_features) and labels (N,), or one of each without N; called with both, gives the named tuple
    ``(output, loss)``, (N,) and (). `log_prob(input)` is (N, n_classes), `predict(input)` the likeliest classes (N,).
    State: ``head.weight``, ``head.bias``, ``tail.0.0.weight``, ``tail.0.1.weight``, ``tail.1.0.weight``, ...
    Raises ArgumentError for cutoffs that do not fit, ShapeError for inputs and labels that do not. Grave et al., ICML
    2017.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> softmax = nn.AdaptiveLogSoftmaxWithLoss(16, 100, cutoffs=[10, 50])
    >>> result = softmax(tw.ones(3, 16), tw.tensor([2, 30, 99]))
    >>> result.output.shape, result.loss.shape, softmax.log_prob(tw.ones(3, 16)).shape
    ((3,), (), (3, 100))
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0, head_bias: bool = False,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_features = whole_number("AdaptiveLogSoftmaxWithLoss: in_features", in_features, 1)
        self.n_classes = whole_number("AdaptiveLogSoftmaxWithLoss: n_classes", n_classes, 2)
        self.cutoffs = [*_checked(cutoffs, n_classes), n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        kind = weight_dtype(device, dtype)
        self.head = Linear(self.in_features, self.head_size, bias=head_bias, dtype=kind)
        self.tail = ModuleList()
        for number, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False), 1):
            width = int(in_features // div_value**number)
            self.tail.append(
                Sequential(
                    Linear(self.in_features, width, bias=False, dtype=kind),
                    Linear(width, high - low, bias=False, dtype=kind),
                )
            )

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for module in (self.head, *(each for pair in self.tail for each in pair)):
            module.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> LogProbabilities:
        rows, labels = as_tensor(input_), as_tensor(target_)
        if rows.ndim not in (1, 2) or labels.shape != rows.shape[:-1]:
            raise ShapeError(
                explain("AdaptiveLogSoftmaxWithLoss: labels do not fit the input",
                        received=f"shapes {rows.shape} and {labels.shape}", expected="(N, C) and (N,), or (C,) and ()")
            )  # fmt: skip
        output = self.log_prob(rows).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        return LogProbabilities(output, -output.mean())

    def log_prob(self, input: Tensor) -> Any:
        """The log-probabilities of all classes, (N, n_classes)."""
        head = log_softmax(self.head(input), dim=-1)
        parts = [head[..., : self.shortlist_size]]
        for number, cluster in enumerate(self.tail, self.shortlist_size):
            parts.append(log_softmax(cluster(input), dim=-1) + head[..., number : number + 1])
        return _cat(parts, -1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row, (N,)."""
        return self.log_prob(input).argmax(-1)  # type: ignore[no-any-return]


def _checked(cutoffs: Sequence[int], n_classes: int) -> tuple[int, ...]:
    numbers = whole_numbers("AdaptiveLogSoftmaxWithLoss: cutoffs", list(cutoffs), 1)
    if not numbers or sorted(set(numbers)) != list(numbers) or numbers[-1] >= n_classes:
        raise ArgumentError(
            explain("AdaptiveLogSoftmaxWithLoss: these cutoffs divide nothing", received=list(cutoffs),
                    expected=f"increasing whole numbers from 1 to {n_classes - 1}")
        )  # fmt: skip
    return numbers
