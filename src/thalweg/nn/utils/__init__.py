"""Helpers for the training step: clipping gradients, and parameters as one vector; and the way to what is beside them.

In: parameters (or one tensor). Out: the same parameters with limited gradients, or vectors. All are tensor operations,
so they work inside a compiled step. `parametrize`, `parametrizations`, `rnn` and the older normalisations of weights
are files of their own, imported when they are first named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from thalweg.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError, explain
from thalweg.graph import Node
from thalweg.later import later as _later
from thalweg.nn.applying import write
from thalweg.tensor import reductions, shaping
from thalweg.tensor.arithmetic import add, clamp, divide, multiply
from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import zeros
from thalweg.tensor.lifting import lift
from thalweg.tensor.modes import set_recording
from thalweg.tensor.templates import instantiate

if TYPE_CHECKING:
    from thalweg.nn.utils import parametrizations, parametrize, rnn
    from thalweg.nn.utils.older_norms import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

_FILES = ("parametrizations", "parametrize", "rnn")
_LATER = {
    **{name: (f"{__name__}.{name}", "") for name in _FILES},
    **{name: (f"{__name__}.older_norms", name)
       for name in ("remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm")},
}  # fmt: skip

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = _later(__name__, _LATER)


__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm", "parameters_to_vector",
    "parametrizations", "parametrize", "remove_spectral_norm", "remove_weight_norm", "rnn", "spectral_norm",
    "vector_to_parameters", "weight_norm",
]  # fmt: skip


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale all gradients by max_norm / (norm + 1e-6) where the norm of them all together exceeds `max_norm`.

    Returns the norm before clipping. Pascanu, Mikolov and Bengio, ICML 2013. `norm_type` may be infinity. With
    `error_if_nonfinite` the norm is computed and a NaN or infinity raises `NonFiniteError` before anything is changed;
    that needs a known value, so it cannot be asked for inside a compiled step. `foreach` chooses a way of computing in
    PyTorch, and nothing here.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6, 0.8])
    """
    gradients = _gradients(parameters)
    if not gradients:
        return zeros(())
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    _scale_down(gradients, max_norm, total)
    return total


def get_total_norm(
    tensors: Iterable[Tensor] | Tensor, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """The norm of all tensors together, as of one vector; nothing of it is recorded for backpropagation.

    >>> import thalweg as tw
    >>> get_total_norm([tw.tensor([3.0]), tw.tensor([4.0])])
    tensor(5.)
    """
    with set_recording(False):
        norms = [instantiate(reductions.norm, [each.node, norm_type]) for each in _tensors(tensors)]
        result = Tensor._result(instantiate(_norm_of_norms, norms, {"p": norm_type})) if norms else zeros(())
        if error_if_nonfinite and not math.isfinite(result.item()):
            raise NonFiniteError(
                explain(
                    "the norm of the gradients is not finite",
                    received=result.item(),
                    expected="a finite number",
                    where="clip_grad_norm_",
                    remedy="lower the learning rate, or find the first bad value with tw.detect_anomaly()",
                )
            )
    return result


def clip_grads_with_norm_(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients by max_norm / (total_norm + 1e-6) where that is below 1.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grads_with_norm_([w], 1.0, tw.tensor(5.0))
    >>> w.grad
    tensor([0.6, 0.8])
    """
    _scale_down(_gradients(parameters), max_norm, total_norm)


def _scale_down(gradients: list[Tensor], max_norm: float, total_norm: Tensor) -> None:
    with set_recording(False):
        scale = instantiate(_scale, [total_norm.node, float(max_norm)])
        for gradient in gradients:
            write(gradient, instantiate(multiply, [gradient.node, scale]))


def _norm_of_norms(*norms: Node, p: float) -> Node:
    return reductions.norm(shaping.stack(norms), p)


def _scale(total: Node, max_norm: float) -> Node:
    return clamp(divide(max_norm, add(total, 1e-6)), max=1.0)


def clip_grad_value_(
    parameters: Iterable[Tensor] | Tensor, clip_value: float, foreach: bool | None = None
) -> None:  # fmt: skip
    """Limit every entry of every gradient to [-clip_value, clip_value].

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -0.5], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 1. , -0.5])
    """
    if clip_value < 0:
        raise ArgumentError(explain("clip_value must not be negative", received=clip_value, expected="clip_value >= 0"))
    for gradient in _gradients(parameters):
        limits = {"min": -float(clip_value), "max": float(clip_value)}
        write(gradient, instantiate(clamp, [gradient.node], limits))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All entries of all parameters, one after the other; gradients flow back to the parameters.

    >>> import thalweg as tw
    >>> parameters_to_vector([tw.ones(2, 1), tw.zeros(1)])
    tensor([1., 1., 0.])
    """
    return _as_vector(_tensors(parameters))  # type: ignore[no-any-return]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the entries of a vector into the parameters, in order.

    >>> import thalweg as tw
    >>> w, b = tw.ones(2, 1), tw.zeros(1)
    >>> vector_to_parameters(tw.tensor([5.0, 6.0, 7.0]), [w, b])
    >>> b
    tensor([7.])
    """
    tensors = _tensors(parameters)
    total = sum(each.numel() for each in tensors)
    if not isinstance(vec, Tensor) or vec.shape != (total,):
        raise ShapeError(
            explain(
                "the vector does not fit the parameters",
                received=vec.shape if isinstance(vec, Tensor) else type(vec).__name__,
                expected=f"a tensor of shape ({total},)",
            )
        )
    start, entries = 0, vec.node
    for each in tensors:
        stop = start + each.numel()
        write(each, shaping.reshape(shaping.take_range(entries, 0, start, stop), each.shape))
        start = stop


@lift
def _as_vector(tensors: list) -> Tensor:
    return shaping.cat([shaping.reshape(each, -1) for each in tensors])  # type: ignore[return-value]


def _tensors(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for each in tensors:
        if not isinstance(each, Tensor):
            raise DTypeError(
                explain(
                    "this takes tensors",
                    received=f"{type(each).__name__} among the parameters",
                    expected="model.parameters()",
                    remedy="named_parameters() gives pairs; use parameters()" if isinstance(each, tuple) else None,
                )
            )
    return tensors


def _gradients(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    found = (each.grad for each in _tensors(parameters))
    return [gradient for gradient in found if gradient is not None]
