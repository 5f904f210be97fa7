"""Learning-rate schedules: pure functions of the step that an optimizer takes as its learning rate.

In: the step, from 0. Out: the rate: a float for a number, a tensor for a tensor (so that a compiled step computes its
own), an array from `values` for a drawing. A step is one update; for a decay by epochs, multiply by the batches in one.
A schedule is imported when it is first named: to make a dozen frozen dataclasses takes a fifth of `import thalweg`.
"""

from typing import TYPE_CHECKING

from thalweg.later import later as _later
from thalweg.optim.schedules.base import Schedule, is_config

if TYPE_CHECKING:
    from thalweg.optim.schedules.combine import Chained, Product
    from thalweg.optim.schedules.configs import from_config
    from thalweg.optim.schedules.cyclic import CosineAnnealing, CosineWarmRestarts, Cyclical, OneCycle, Piecewise
    from thalweg.optim.schedules.decay import (
        Constant,
        Exponential,
        InverseTime,
        LinearWarmup,
        MultiStep,
        Polynomial,
        StepDecay,
    )

# Module -> what it has; and the other way round, as in the face.
_MODULES = {
    "combine": ("Chained", "Product"),
    "configs": ("from_config",),
    "cyclic": ("CosineAnnealing", "CosineWarmRestarts", "Cyclical", "OneCycle", "Piecewise"),
    "decay": ("Constant", "Exponential", "InverseTime", "LinearWarmup", "MultiStep", "Polynomial", "StepDecay"),
}
_LATER = {name: (f"thalweg.optim.schedules.{module}", name) for module, names in _MODULES.items() for name in names}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = _later(__name__, _LATER)


__all__ = [
    "Schedule", "from_config", "is_config",
    "Constant", "StepDecay", "MultiStep", "Exponential", "Polynomial", "InverseTime", "LinearWarmup",
    "CosineAnnealing", "CosineWarmRestarts", "Cyclical", "OneCycle", "Piecewise", "Chained", "Product",
]  # fmt: skip
