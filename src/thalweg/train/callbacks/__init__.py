"""Callbacks: what happens at the events of training, beside the training itself.

In: the Trainer, at each event of `EVENTS`.
Out: records, files, decisions. Every callback derives from `Callback`.
"""

from thalweg.train.callbacks.base import EVENTS, Callback, CallbackError, Priority
from thalweg.train.callbacks.doctor import Doctor
from thalweg.train.callbacks.functions import LambdaCallback
from thalweg.train.callbacks.gradients import GradientNorms
from thalweg.train.callbacks.history import History
from thalweg.train.callbacks.loggers import CSVLogger, JSONLinesLogger
from thalweg.train.callbacks.progress import ProgressBar
from thalweg.train.callbacks.provenance import Provenance
from thalweg.train.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from thalweg.train.callbacks.saving import ModelCheckpoint, RunFolder
from thalweg.train.callbacks.stopping import EarlyStopping, TerminateOnNaN
from thalweg.train.callbacks.watching import Watch

__all__ = [
    "EVENTS",
    "Callback",
    "CallbackError",
    "CSVLogger",
    "Doctor",
    "EarlyStopping",
    "GradientNorms",
    "History",
    "JSONLinesLogger",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "Priority",
    "ProgressBar",
    "Provenance",
    "ReduceLROnPlateau",
    "RunFolder",
    "TerminateOnNaN",
    "Watch",
]
