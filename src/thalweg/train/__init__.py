"""Training: the loop, its events and callbacks, metrics and checkpoints.

In: a model, data, a loss and an optimizer. Out: trained parameters and a history of what happened.
Every piece is public, so the same loop can be written by hand.
"""

from thalweg.train import callbacks, metrics
from thalweg.train.callbacks import EventLog, log_to
from thalweg.train.checkpoint import load_checkpoint, load_weights, read_metadata, save_checkpoint, save_weights
from thalweg.train.feed import Batch
from thalweg.train.loading import load_trainer
from thalweg.train.losses import LOSSES, Objective
from thalweg.train.optimizers import OPTIMIZERS
from thalweg.train.state import TrainingState
from thalweg.train.trainer import Trainer

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "Batch",
    "EventLog",
    "Objective",
    "Trainer",
    "TrainingState",
    "callbacks",
    "load_checkpoint",
    "load_trainer",
    "load_weights",
    "log_to",
    "metrics",
    "read_metadata",
    "save_checkpoint",
    "save_weights",
]
