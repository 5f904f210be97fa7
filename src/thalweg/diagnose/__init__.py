"""Diagnosis: what the gradients say about a training that does not work, and what to do about it.

In: a model, and what is watched while it trains. Out: a `Record` of numbers, and `Finding`s: a problem, where it shows,
the evidence, and remedies in order.
"""

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.layers import Layer
from thalweg.diagnose.problems import PROBLEMS, Problem
from thalweg.diagnose.quantities import QUANTITIES, Quantity
from thalweg.diagnose.record import Record
from thalweg.diagnose.remedies import REMEDIES, Intrusion, Remedy

__all__ = [
    "PROBLEMS", "QUANTITIES", "REMEDIES", "Evidence", "Finding", "Intrusion", "Layer", "Problem", "Quantity", "Record",
    "Remedy",
]  # fmt: skip
