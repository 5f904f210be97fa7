"""Optimizers, learning-rate schedules and penalties.

In: parameters with gradients. Out: the parameters after a step, written in place. An optimizer's numbers are live
cells: a new learning rate, or a schedule in its place, takes effect in steps that are compiled already.
"""

from thalweg.optim import schedules
from thalweg.optim.adagrad import Adagrad
from thalweg.optim.adam import Adam
from thalweg.optim.adamw import AdamW
from thalweg.optim.hyper import ParamGroup
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.penalties import L1, L2, Penalty, is_weight
from thalweg.optim.rmsprop import RMSprop
from thalweg.optim.sgd import SGD

__all__ = [
    "Optimizer", "ParamGroup", "SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "schedules",
    "Penalty", "L1", "L2", "is_weight",
]  # fmt: skip
