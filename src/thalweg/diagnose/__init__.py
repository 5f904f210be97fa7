"""Diagnosis: what the gradients say about a training that does not work, and what to do about it.

In: a model, and what is watched while it trains. Out: a `Record` of numbers, and `Finding`s: a problem, where it shows,
the evidence, and remedies in order; of `tw.callbacks.Doctor` also the `Run` that was judged and the `Repair`.
"""

from thalweg.diagnose.changes import Change
from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.layers import Layer
from thalweg.diagnose.learning_rate_curve import LearningRateCurve
from thalweg.diagnose.learning_rate_finder import find_learning_rate
from thalweg.diagnose.looks import LayerLook, Look
from thalweg.diagnose.preflight_checks import preflight
from thalweg.diagnose.preflight_result import Preflight
from thalweg.diagnose.problems import PROBLEMS, Problem
from thalweg.diagnose.quantities import QUANTITIES, Quantity
from thalweg.diagnose.record import Record
from thalweg.diagnose.remedies import REMEDIES, Intrusion, Remedy
from thalweg.diagnose.repair import Attempt, Repair
from thalweg.diagnose.run import Run

__all__ = [
    "PROBLEMS", "QUANTITIES", "REMEDIES", "Attempt", "Change", "Evidence", "Finding", "Intrusion", "Layer", "LayerLook",
    "LearningRateCurve", "Look", "Preflight", "Problem", "Quantity", "Record", "Remedy", "Repair", "Run",
    "find_learning_rate", "preflight",
]  # fmt: skip
