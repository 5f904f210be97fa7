"""Learning-rate schedules: pure functions of the step that an optimizer takes as its learning rate.

In: the step, from 0. Out: the rate: a float for a number, a tensor for a tensor (so that a compiled step computes its
own), an array from `values` for a drawing. A step is one update; for a decay by epochs, multiply by the batches in one.
"""

from thalweg.optim.schedules.base import Schedule, from_config, is_config
from thalweg.optim.schedules.combine import Chained, Product
from thalweg.optim.schedules.cyclic import CosineAnnealing, CosineWarmRestarts, Cyclical, OneCycle
from thalweg.optim.schedules.decay import (
    Constant,
    Exponential,
    InverseTime,
    LinearWarmup,
    MultiStep,
    Polynomial,
    StepDecay,
)

__all__ = [
    "Schedule", "from_config", "is_config",
    "Constant", "StepDecay", "MultiStep", "Exponential", "Polynomial", "InverseTime", "LinearWarmup",
    "CosineAnnealing", "CosineWarmRestarts", "Cyclical", "OneCycle", "Chained", "Product",
]  # fmt: skip
