"""Derivatives of functions of tensors: the Jacobian, the Hessian, and their products with vectors.

In: a function and the point, a tensor or a tuple of them. Out: its derivatives there, nested as inputs and results are.
Everything goes backwards; a product with the Jacobian itself is the derivative of the backward pass by its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.errors import ArgumentError, DTypeError, GradientError, ShapeError, explain
from thalweg.tensor.backward import grad
from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import ones_like, zeros_like
from thalweg.tensor.methods import functions
from thalweg.tensor.modes import enable_grad

Several = Tensor | tuple[Tensor, ...]


def jacobian(func: Callable[..., Any], inputs: Several, create_graph: bool = False, strict: bool = False) -> Any:
    """dresult_i/dinput_j, of shape result.shape + input.shape; one backward pass an entry of the result.

    For a tuple of inputs a tuple of them, for a tuple of results a tuple of those. With `create_graph` they can be
    differentiated; with `strict` a result that does not depend on an input raises GradientError, instead of zeros.

    Source: PyTorch's `torch.autograd.functional.jacobian`.

    >>> import thalweg as tw
    >>> tw.autograd.functional.jacobian(lambda x: x * x, tw.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    at, results, is_single, is_one = _evaluated("jacobian", func, inputs, create_graph)
    rows = [[_jacobian_of(result, each, create_graph, strict) for each in at] for result in results]
    nested = [row[0] if is_single else tuple(row) for row in rows]
    return nested[0] if is_one else tuple(nested)


def hessian(func: Callable[..., Any], inputs: Several, create_graph: bool = False, strict: bool = False) -> Any:
    """d²result/dinput_i dinput_j of a function whose result is one number, of shape input_i.shape + input_j.shape.

    Source: PyTorch's `torch.autograd.functional.hessian`.

    >>> import thalweg as tw
    >>> tw.autograd.functional.hessian(lambda x: (x**3).sum(), tw.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def gradient(*at: Tensor) -> Several:
        result = func(*at)
        if not isinstance(result, Tensor) or result.numel() != 1:
            raise ShapeError(
                explain("hessian: the function has several results", received=getattr(result, "shape", type(result)),
                        expected="a tensor with one entry")
            )  # fmt: skip
        found = _gradients([result.reshape(())], list(at), [None], True, strict)
        return found[0] if isinstance(inputs, Tensor) else tuple(found)

    return jacobian(gradient, inputs, create_graph, strict)


def vjp(
    func: Callable[..., Any], inputs: Several, v: Several | None = None, create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """(func(inputs), v^T J): one backward pass. `v` is like the result; None stands for 1 where that is one number.

    Source: PyTorch's `torch.autograd.functional.vjp`.

    >>> import thalweg as tw
    >>> result, product = tw.autograd.functional.vjp(lambda x: x * x, tw.tensor([1.0, 2.0]), tw.ones(2))
    >>> product
    tensor([2., 4.])
    """
    at, results, is_single, is_one = _evaluated("vjp", func, inputs, create_graph)
    found = _gradients(results, at, _vectors("vjp", v, results), create_graph, strict)
    return _given(results, is_one, create_graph), found[0] if is_single else tuple(found)


def jvp(
    func: Callable[..., Any], inputs: Several, v: Several | None = None, create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """(func(inputs), J v): the derivative of v^T J by v, so two backward passes. `v` is like the inputs.

    Source: PyTorch's `torch.autograd.functional.jvp`.

    >>> import thalweg as tw
    >>> result, product = tw.autograd.functional.jvp(lambda x: x * x, tw.tensor([1.0, 2.0]), tw.tensor([1.0, 0.0]))
    >>> product
    tensor([2., 0.])
    """
    at, results, _, is_one = _evaluated("jvp", func, inputs, create_graph)
    directions = _vectors("jvp", v, at)
    with enable_grad():
        seeds = [zeros_like(each).requires_grad_() for each in results]
        products = _gradients(results, at, [*seeds], True, strict)
    found = _gradients(products, seeds, directions, create_graph, strict)
    return _given(results, is_one, create_graph), found[0] if is_one else tuple(found)


def vhp(
    func: Callable[..., Any], inputs: Several, v: Several | None = None, create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """(func(inputs), v^T H) for a function whose result is one number. `v` is like the inputs.

    Source: PyTorch's `torch.autograd.functional.vhp`.

    >>> import thalweg as tw
    >>> result, product = tw.autograd.functional.vhp(lambda x: (x**3).sum(), tw.tensor([1.0, 2.0]), tw.ones(2))
    >>> product
    tensor([ 6., 12.])
    """
    at, results, is_single, is_one = _evaluated("vhp", func, inputs, create_graph)
    if not is_one or results[0].numel() != 1:
        raise ShapeError(
            explain("vhp: the function has several results", received=[each.shape for each in results],
                    expected="a tensor with one entry")
        )  # fmt: skip
    directions = _vectors("vhp", v, at)
    with enable_grad():
        first = _gradients(results, at, [None], True, strict)
    found = _gradients(first, at, directions, create_graph, strict)
    return _given(results, is_one, create_graph), found[0] if is_single else tuple(found)


hvp = vhp  # H is symmetric where the second derivatives are continuous
"""(func(inputs), H v): the same product, since H is symmetric."""


# --- the pieces ------------------------------------------------------------------------------------------------------


def _evaluated(
    name: str, func: Callable[..., Any], inputs: Several, create_graph: bool
) -> tuple[list[Tensor], list[Tensor], bool, bool]:
    """Inputs and results as lists, and whether each was a tensor alone."""
    is_single = isinstance(inputs, Tensor)
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    _need_tensors(name, "inputs", given)
    with enable_grad():
        at = [_fresh(each, create_graph) for each in given]
        result = func(*at)
    is_one = isinstance(result, Tensor)
    results = [result] if isinstance(result, Tensor) else list(result)
    _need_tensors(name, "results", results)
    return at, results, is_single, is_one


def _need_tensors(name: str, what: str, given: list[Any]) -> None:
    for each in given:
        if not isinstance(each, Tensor) or not each.dtype.is_floating_point:
            raise DTypeError(
                explain(f"{name}: the {what} are floating-point tensors",
                        received=each._summary() if isinstance(each, Tensor) else type(each).__name__,
                        expected="a tensor, or a tuple of them")
            )  # fmt: skip


def _fresh(tensor: Tensor, create_graph: bool) -> Tensor:
    """The point; where derivatives of derivatives are asked for, gradients flow on to what the user passed."""
    if create_graph and tensor.requires_grad:
        return tensor.view(tensor.shape)
    return tensor.detach().clone().requires_grad_()


def _vectors(name: str, v: Several | None, like: list[Tensor]) -> list[Tensor | None]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise ArgumentError(
                explain(f"{name} needs a vector", received="v=None", expected=f"tensors of shapes {_shapes(like)}")
            )
        return [ones_like(like[0])]
    given: list[Tensor | None] = [v] if isinstance(v, Tensor) else list(v)
    if _shapes(given) != _shapes(like):
        raise ShapeError(explain(f"{name}: the vector does not fit", received=_shapes(given), expected=_shapes(like)))
    return given


def _shapes(tensors: Any) -> list[Any]:
    return [getattr(each, "shape", None) for each in tensors]


def _gradients(
    results: list[Tensor], at: list[Tensor], seeds: list[Tensor | None], create_graph: bool, strict: bool
) -> list[Tensor]:
    """`grad`, with zeros (or, if `strict`, an error) for inputs that no result depends on."""
    pairs = [(each, seed) for each, seed in zip(results, seeds, strict=True) if each.requires_grad]
    found: tuple[Tensor | None, ...] = (None,) * len(at)
    if pairs:
        roots, given = [each for each, _ in pairs], [seed for _, seed in pairs]
        with enable_grad():
            found = grad(roots, at, given, retain_graph=True, create_graph=create_graph, allow_unused=True)
    if strict and any(each is None for each in found):
        raise GradientError(
            explain("a result does not depend on an input", received=f"input {found.index(None)}",
                    expected="a function of all of its inputs, twice where two derivatives are taken",
                    remedy="strict=False gives zeros")
        )  # fmt: skip
    return [zeros_like(each) if part is None else part for each, part in zip(at, found, strict=True)]


def _jacobian_of(result: Tensor, at: Tensor, create_graph: bool, strict: bool) -> Tensor:
    flat = result.reshape(-1)
    rows = [_gradients([flat[i]], [at], [None], create_graph, strict)[0] for i in range(flat.numel())]
    shape = (*result.shape, *at.shape)
    return functions["stack"](rows).reshape(shape) if rows else at.new_zeros(shape)


def _given(results: list[Tensor], is_one: bool, create_graph: bool) -> Any:
    shown = [each if create_graph else each.detach() for each in results]
    return shown[0] if is_one else tuple(shown)
