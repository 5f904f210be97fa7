"""`Parameter`: a tensor that a module owns and an optimizer trains.

In: data of any kind that a tensor takes. Out: a leaf that requires a gradient and is found by `Module.parameters()`
when it is assigned to a module's attribute.
"""

from __future__ import annotations

from typing import Any

from thalweg.tensor.core import Tensor


class Parameter(Tensor):
    """A leaf tensor with its own copy of `data`, which requires a gradient unless told otherwise.

    Assigning one to an attribute of a `Module` registers it there. The dtype of an array or tensor is kept; Python
    floats become float32.

    >>> from thalweg import nn
    >>> nn.Parameter([1.0, 2.0])
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        super().__init__(data.detach() if isinstance(data, Tensor) else data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
