"""One backward pass from several tensors.

In: tensors, and dLoss/dTensor of each. Out: `.grad` of the leaves behind them, as `Tensor.backward` leaves it. The
weighted sum of all entries has that gradient, so there is one backward pass and no second mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.tensor.core import Tensor


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | Tensor | None = None,
) -> None:
    """Backpropagate from several tensors at once: add sum_i grad_i · dtensor_i/dleaf to `.grad` of every leaf.

    `grad_tensors` has one entry a tensor; None stands for 1, and is for tensors with one entry. The other arguments
    are those of `Tensor.backward`. Raises ArgumentError for another number of gradients than of tensors, ShapeError for
    one of another shape than its tensor's.

    Source: PyTorch's `torch.autograd.backward`.

    >>> import thalweg as tw
    >>> x = tw.tensor([1.0, 2.0], requires_grad=True)
    >>> tw.autograd.backward([x.sum(), x * x], [None, tw.ones(2)])
    >>> x.grad
    tensor([3., 5.])
    """
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    given = [grad_tensors] if grad_tensors is None or isinstance(grad_tensors, Tensor) else list(grad_tensors)
    given = [None] * len(roots) if grad_tensors is None else given
    if len(given) != len(roots) or not roots:
        raise ArgumentError(
            explain("backward: grad_tensors needs one entry for each tensor", received=f"{len(given)} for {len(roots)}",
                    expected="as many gradients as tensors, and one at least")
        )  # fmt: skip
    if len(roots) == 1:
        roots[0].backward(given[0], retain_graph, create_graph, inputs)
        return
    parts = [_weighted(root, gradient) for root, gradient in zip(roots, given, strict=True)]
    total = parts[0]
    for each in parts[1:]:
        total = total + each
    total.backward(None, retain_graph, create_graph, inputs)


def _weighted(root: Tensor, gradient: Tensor | None) -> Tensor:
    """A number whose gradient by the tensor is the one that was given."""
    if gradient is None and root.numel() != 1:
        raise ShapeError(
            explain("backward: a tensor of several entries needs a gradient", received=f"None for shape {root.shape}",
                    expected="a tensor of that shape, or a tensor with one entry")
        )  # fmt: skip
    if gradient is not None and gradient.shape != root.shape:
        raise ShapeError(
            explain("backward: a gradient has the shape of its tensor", received=gradient.shape, expected=root.shape)
        )
    return root.sum() if gradient is None else (root * gradient).sum()
