"""Optimizers, learning-rate schedules and penalties.

In: parameters with gradients. Out: the parameters after a step, written in place. An optimizer's numbers are live
cells: a new learning rate, or a schedule in its place, takes effect in steps that are compiled already. What few
programs use is imported when it is first named.
"""

from typing import TYPE_CHECKING

from thalweg.later import later as _later
from thalweg.optim import schedules
from thalweg.optim.adagrad import Adagrad
from thalweg.optim.adam import Adam
from thalweg.optim.adamw import AdamW
from thalweg.optim.hyper import ParamGroup
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.penalties import L1, L2, Penalty, is_weight
from thalweg.optim.rmsprop import RMSprop
from thalweg.optim.sgd import SGD

if TYPE_CHECKING:
    from thalweg.optim import lr_scheduler, swa_utils
    from thalweg.optim.adadelta import Adadelta
    from thalweg.optim.adafactor import Adafactor
    from thalweg.optim.adamax import Adamax
    from thalweg.optim.asgd import ASGD
    from thalweg.optim.lbfgs import LBFGS
    from thalweg.optim.lion import Lion
    from thalweg.optim.muon import Muon
    from thalweg.optim.nadam import NAdam
    from thalweg.optim.radam import RAdam
    from thalweg.optim.rprop import Rprop
    from thalweg.optim.sparse_adam import SparseAdam

# Name -> its module here.
_MODULE_OF = {
    "Adadelta": "adadelta", "Adafactor": "adafactor", "Adamax": "adamax", "ASGD": "asgd", "LBFGS": "lbfgs",
    "Lion": "lion", "Muon": "muon", "NAdam": "nadam", "RAdam": "radam", "Rprop": "rprop", "SparseAdam": "sparse_adam",
    "lr_scheduler": "lr_scheduler", "swa_utils": "swa_utils",
}  # fmt: skip
_LATER = {name: (f"{__name__}.{module}", "" if name == module else name) for name, module in _MODULE_OF.items()}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = _later(__name__, _LATER)


__all__ = [
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "L1", "L2", "LBFGS", "Lion", "Muon",
    "NAdam", "Optimizer", "ParamGroup", "Penalty", "RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam", "is_weight",
    "lr_scheduler", "schedules", "swa_utils",
]  # fmt: skip
