"""A model's modes during training and evaluation, and the dtype that it computes in.

In: a module.
Out: contexts that put every sub-module's mode back as it was, and the model's dtype.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.dtype import DType, float32
from thalweg.tensor import no_grad


@contextmanager
def modes_kept(model: Any) -> Iterator[None]:
    """Leave every module in the mode in which it was found."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in before:
            if module.training != mode:  # writing it would make compiled steps compile again
                module.training = mode


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode, without recording gradients."""
    with modes_kept(model), no_grad():
        model.eval()
        yield


def model_dtype(model: Any) -> DType:
    """The dtype of the first floating-point parameter; float32 without one."""
    return next((each.dtype for each in model.parameters() if each.dtype.is_floating_point), float32)
