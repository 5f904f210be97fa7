"""PyTorch's table of module cases (ModuleInfo), each built in both libraries with the same state and called alike.

In: the classes of `torch.testing._internal.common_modules` that we have. Out: of each case None, or what differs in
results, gradients of inputs and of parameters. A module that draws numbers is compared in evaluation mode.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import thalweg as tw
from tests.peers.samples import (
    as_ours,
    compare,
    derivatives,
    expected_of,
    leaves_of,
    ours_of,
    results_of,
    separate,
    with_leaves,
)
from tests.support.compiled import arrays_of
from thalweg import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

DRAWS = ("Dropout", "RReLU", "FractionalMaxPool")


def classes() -> Iterator[Any]:
    """PyTorch's entries, without the lazy modules."""
    return (info for info in module_db if "Lazy" not in info.name)


def cases_of(info: Any) -> list[Any]:
    """Its cases in float64, whose inputs require gradients."""
    return list(info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=True))


def ours_like(theirs: Any) -> Any:
    """Our module of the same kind as one that another takes as an argument."""
    kind = getattr(nn, type(theirs).__name__)
    if isinstance(theirs, torch.nn.TransformerEncoderLayer):
        return kind(theirs.self_attn.embed_dim, theirs.self_attn.num_heads, theirs.linear1.out_features,
                    theirs.dropout.p, "gelu" if theirs.activation_relu_or_gelu == 2 else "relu",
                    theirs.norm1.eps, theirs.self_attn.batch_first, theirs.norm_first,
                    theirs.linear1.bias is not None)  # fmt: skip
    return kind()


def argument(value: Any) -> Any:
    """An argument of a constructor, as we take it."""
    if isinstance(value, torch.nn.Module):
        return ours_like(value)
    if isinstance(value, (torch.dtype, torch.device)):
        return str(value).removeprefix("torch.")
    if callable(value) and getattr(value, "__module__", "") in ("torch.nn.functional", "torch._C._nn", "torch"):
        return getattr(nn.functional, value.__name__)
    return with_leaves(value, map(ours_of, leaves_of(value)))


def build(info: Any, case: Any) -> tuple[Any, Any]:
    """Both modules in float64, with PyTorch's state."""
    args, kwargs = case.constructor_input.args, case.constructor_input.kwargs
    torch.manual_seed(0)
    theirs = info.module_cls(*args, **kwargs).double()
    ours = getattr(nn, info.name.removeprefix("nn."))(
        *[argument(each) for each in args], **{name: argument(each) for name, each in kwargs.items()}
    ).double()
    state = {name: value.detach().numpy().copy() for name, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    is_random = any(any(word in type(each).__name__ for word in DRAWS) for each in theirs.modules())
    is_random = is_random or getattr(theirs, "dropout", 0.0) not in (0.0, None)
    return ours.train(not is_random), theirs.train(not is_random)


class _BehindLogSoftmax:
    """A loss of what comes out of a log_softmax."""

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.parameters, self.named_buffers, self.buffers = loss.parameters, loss.named_buffers, loss.buffers

    def __call__(self, scores: Any, *args: Any, **kwargs: Any) -> Any:
        return self.loss(scores.log_softmax(-1), *args, **kwargs)


def difference(info: Any, case: Any, is_compiled: bool) -> str | None:
    """What differs for one case, in a few words; None if nothing does."""
    try:
        ours, theirs = build(info, case)
        args, kwargs = separate([case.forward_input.args, case.forward_input.kwargs])
        if info.name == "nn.CTCLoss":  # what PyTorch asks for: its gradient is right for nothing else
            ours, theirs = _BehindLogSoftmax(ours), _BehindLogSoftmax(theirs)
        expected = expected_of(theirs, args, kwargs, list(theirs.parameters()))
        found = found_of(ours, args, kwargs, is_compiled)
        compare(found, [each for each in expected if each is not None], scale=1e-3)
        for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-9, 1e-12, err_msg=name)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:400]}"
    return None


def found_of(ours: Any, args: Any, kwargs: Any, is_compiled: bool) -> list[Any]:
    leaves = [ours_of(leaf) for leaf in leaves_of([args, kwargs])]
    parameters = list(ours.parameters())

    def step(*given: tw.Tensor) -> list[Any]:
        own_args, own_kwargs = with_leaves([args, kwargs], iter(given), as_ours)
        results = [each for each in results_of(ours(*own_args, **own_kwargs)) if each is not None]
        found = derivatives(results, [*given, *parameters], tw.tensor, tw.grad)
        return [*(each.detach() for each in results),
                *(tw.tensor(each) if isinstance(each, np.ndarray) else each for each in found)]  # fmt: skip

    results = tw.compile(step)(*leaves) if is_compiled else step(*leaves)
    return [arrays_of(each)[0] for each in results]
