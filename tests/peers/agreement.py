"""How far we agree with PyTorch on its own sample inputs, op by op: `python -m tests.peers.agreement` prints the table.

In: the operators of PyTorch's OpInfo table that have a counterpart here; arguments choose some of them by name,
`--compiled` runs them as compiled programs. Out: of each how many samples agree in values and first gradients, and what
differs, with the reason that `differences.py` gives.
"""

from __future__ import annotations

import collections
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

import thalweg as tw
import thalweg.nn.functional as F
from tests.peers.samples import difference

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db


# Operators whose samples come in another order than the arguments of the function.
ADAPTED: dict[str, Callable[..., Any]] = {
    "einsum": lambda operands, equation: tw.einsum(equation, *operands),
    "zero_": lambda x: x.clone().zero_(),  # as PyTorch's table does
    "where": lambda yes, condition, no: tw.where(condition, yes, no),
    "nn.functional.embedding": lambda weight, index, **options: F.embedding(index, weight, **options),
    "nn.functional.embedding_bag": lambda weight, index, *more, **options: F.embedding_bag(
        index, weight, *more, **options
    ),
}
# Numbers that are drawn are others, by design: these are compared by their distribution elsewhere.
DRAWN = {
    "bernoulli", "empty", "multinomial", "normal", "rand_like", "randint", "randint_like", "randn", "randn_like",
    "nn.functional.alpha_dropout", "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d",
    "nn.functional.feature_alpha_dropout", "nn.functional.rrelu", "nn.functional.fractional_max_pool2d",
    "nn.functional.fractional_max_pool3d", "uniform", "cauchy", "exponential", "geometric", "log_normal", "empty_like",
    "new_empty", "empty_strided", "empty_permuted", "new_empty_strided",
}  # fmt: skip


def counterpart(name: str) -> Callable[..., Any] | None:
    """Our function of that name: of `F`, of `tw`, or a method."""
    if name in ADAPTED:
        return ADAPTED[name]
    if name.startswith("nn.functional."):
        return getattr(F, name.removeprefix("nn.functional."), None)
    found = getattr(tw, name, None)
    if callable(found) and not isinstance(found, type):
        return found
    method = getattr(tw.Tensor, name, None)
    if isinstance(method, property):
        return method.fget
    return method


def operators(names: set[str] | None = None) -> Iterator[tuple[Any, Callable[..., Any]]]:
    """Those of PyTorch's table that we have, one entry a variant, in its order."""
    for op in op_db:
        ours = counterpart(op.name)
        if ours is not None and op.name not in DRAWN and (names is None or op.name in names) and is_here(op):
            yield op, ours


def is_here(op: Any) -> bool:
    """Whether the processor has the operator at all; some variants are for accelerators only."""
    return bool({torch.float64, torch.int64, torch.bool} & set(op.supported_dtypes("cpu")))


def samples(op: Any) -> list[Any]:
    """PyTorch's samples in float64 (else in whole numbers), that ask for gradients where the operator has any."""
    dtypes = op.supported_dtypes("cpu")
    dtype = next(each for each in (torch.float64, torch.int64, torch.bool) if each in dtypes)
    return list(op.sample_inputs("cpu", dtype, requires_grad=op.supports_autograd and dtype is torch.float64))


def differences_of(op: Any, ours: Callable[..., Any], chosen: Any, is_compiled: bool) -> list[str | None]:
    if op.name == "nn.functional.ctc_loss":  # PyTorch's gradient is right for what comes out of a log_softmax only
        return [_behind_log_softmax(op, ours, each, is_compiled) for each in chosen]
    return [difference(ours, op, (each.input, *each.args), each.kwargs, is_compiled) for each in chosen]


def _behind_log_softmax(op: Any, ours: Callable[..., Any], sample: Any, is_compiled: bool) -> str | None:
    return difference(
        lambda x, *args, **options: ours(x.log_softmax(-1), *args, **options),
        lambda x, *args, **options: op(x.log_softmax(-1), *args, **options),
        (sample.input, *sample.args), sample.kwargs, is_compiled,
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    is_compiled = "--compiled" in arguments
    names = {each for each in arguments if not each.startswith("--")} or None
    agreed, total, seen = collections.Counter(), collections.Counter(), collections.defaultdict(collections.Counter)
    for op, ours in operators(names):
        try:
            found = differences_of(op, ours, samples(op), is_compiled)
        except Exception as error:
            found = [f"PyTorch: {type(error).__name__} {error}"[:200]]
        total[op.name] += len(found)
        agreed[op.name] += found.count(None)
        seen[op.name].update(each for each in found if each)
    for name in total:
        print(f"{name:<52} {agreed[name]:>4} of {total[name]:>4}")
        for what, count in seen[name].most_common(3 if names is None else 50):
            print(f"      {count:>3} {what}".replace("\n", " | ")[: 220 if names is None else 600])
    good = sum(agreed[name] >= 0.97 * total[name] for name in total if total[name])
    print(f"{good} of {len(total)} operators agree on at least 97 % of their samples;", sum(agreed.values()), "of",
          sum(total.values()), "samples")  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1:])
