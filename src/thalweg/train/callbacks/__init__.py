"""Callbacks: what happens at the events of training, beside the training itself.

In: the Trainer, at each event of `EVENTS`.
Out: records, files, decisions. Every callback derives from `Callback`.
"""

from thalweg.train.callbacks.averaging import WeightAveraging
from thalweg.train.callbacks.backup import BackupAndRestore, RunFolder
from thalweg.train.callbacks.base import EVENTS, Callback, CallbackError, Priority
from thalweg.train.callbacks.doctor import Doctor
from thalweg.train.callbacks.event_lines import LogEvents
from thalweg.train.callbacks.event_log import EventLog, log_to
from thalweg.train.callbacks.functions import LambdaCallback
from thalweg.train.callbacks.gradients import GradientNorms
from thalweg.train.callbacks.history import History
from thalweg.train.callbacks.loggers import CSVLogger, JSONLinesLogger
from thalweg.train.callbacks.nonfinite import NonFinitePolicy
from thalweg.train.callbacks.progress import ProgressBar
from thalweg.train.callbacks.provenance import Provenance
from thalweg.train.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from thalweg.train.callbacks.saving import ModelCheckpoint
from thalweg.train.callbacks.stopping import EarlyStopping, TerminateOnNaN
from thalweg.train.callbacks.tensorboard import TensorBoard
from thalweg.train.callbacks.watching import Watch

__all__ = [
    "EVENTS",
    "BackupAndRestore",
    "Callback",
    "CallbackError",
    "CSVLogger",
    "Doctor",
    "EarlyStopping",
    "EventLog",
    "GradientNorms",
    "History",
    "JSONLinesLogger",
    "LambdaCallback",
    "LearningRateScheduler",
    "LogEvents",
    "ModelCheckpoint",
    "NonFinitePolicy",
    "Priority",
    "ProgressBar",
    "Provenance",
    "ReduceLROnPlateau",
    "RunFolder",
    "TensorBoard",
    "TerminateOnNaN",
    "Watch",
    "WeightAveraging",
    "log_to",
]
