"""The schedulers of `torch.optim.lr_scheduler`, names, arguments and rates: objects whose `step` moves the rate.

In: an optimizer whose learning rate is a number. Out: another number in its groups after each `scheduler.step()`. What
a rate is at a step is said by `optim.schedules`, of which this is a face; a schedule given as `lr` needs no `step` and
is part of a compiled training step.
"""

from thalweg.optim.lr_scheduler.base import LRScheduler
from thalweg.optim.lr_scheduler.combine import ChainedScheduler, SequentialLR
from thalweg.optim.lr_scheduler.cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from thalweg.optim.lr_scheduler.decay import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from thalweg.optim.lr_scheduler.functions import LambdaLR, MultiplicativeLR
from thalweg.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip
