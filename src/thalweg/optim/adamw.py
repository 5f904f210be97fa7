"""AdamW: Adam whose weight decay does not pass through the averages.

In: gradients. Out: parameters that shrink by a factor and then take Adam's step. The update itself is `Adam.update`;
only the defaults differ here.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.adam import Adam
from thalweg.optim.optimizer import Parameters
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor


class AdamW(Adam):
    """Adam with decoupled weight decay.

        p ← p (1 − lr λ), then Adam's step with the bare gradient

    In Adam an L2 penalty is divided by √v like the rest of the gradient, so that weights with large gradients decay
    least; here all decay alike. Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2, where
    the decay is scaled by the schedule alone; as in PyTorch it is scaled by the whole learning rate. Names, defaults
    and numbers are PyTorch's.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.AdamW([w], lr=0.5, weight_decay=0.2)
    >>> (w * w).sum().backward()
    >>> optimizer.step()                  # 3 · 0.9 − 0.5 and −4 · 0.9 + 0.5
    >>> w
    tensor([ 2.2, -3.1], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | Schedule = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize,
                         decoupled_weight_decay=True, **execution)  # fmt: skip
