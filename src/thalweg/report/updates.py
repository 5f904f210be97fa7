"""What an optimizer will make of the weights of an explained loss.

In: an optimizer and operations with their gradients. Out: `Update`s, and the rule in words. The numbers are the
optimizer's own: its `preview`, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalweg.optim.hyper import MEMBERS, show
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.sgd import SGD
from thalweg.report.analysis import Operation
from thalweg.report.sections import Update
from thalweg.tensor.creation import tensor


def updates_of(optimizer: Optimizer, operations: Sequence[Operation]) -> list[Update]:
    """The update of every leaf that the optimizer holds, in the order of the operations."""
    leaves = [each for each in operations if each.tensor is not None and each.gradient is not None]
    after = optimizer.preview(
        {each.tensor: tensor(each.gradient, dtype=each.tensor.dtype) for each in leaves if each.tensor is not None}
    )
    return [
        Update(each.name, np.asarray(each.value), np.asarray(each.gradient), np.asarray(after[each.tensor].numpy()))
        for each in leaves
        if each.tensor in after
    ]


def rule_of(optimizer: Optimizer) -> str:
    """The update as a formula where it is one, else the optimizer by name, with its learning rate.

    >>> import thalweg as tw
    >>> rule_of(tw.optim.SGD([tw.ones(1, requires_grad=True)], lr=0.5))
    'w <- w - 0.5 * dL/dw'
    """
    rates = ", ".join(dict.fromkeys(f"{rate:g}" for rate in optimizer.learning_rates()))
    groups = optimizer.param_groups
    if isinstance(optimizer, SGD) and all(not each["momentum"] and not each["weight_decay"] for each in groups):
        return f"w <- w {'+' if groups[0]['maximize'] else '-'} {rates} * dL/dw"
    others = [f"{name} {show(value)}" for name, value in groups[0].items() if name not in (*MEMBERS, "lr") and value]
    return f"{type(optimizer).__name__}, learning rate {rates}" + "".join(f", {each}" for each in others)
