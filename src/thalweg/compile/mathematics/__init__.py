"""Vector mathematics: the functions of float32 in the emitter's words, for any number of lanes.

In: an `Emitter` and float32 values. Out: the value of the function, by the same instructions in the same order for one
lane or many, hence with the same bits.
"""

from __future__ import annotations

from thalweg.compile.mathematics.error_function import erf
from thalweg.compile.mathematics.exponentials import exp, expm1, sigmoid, softplus, tanh
from thalweg.compile.mathematics.logarithms import log, log1p, power
from thalweg.compile.mathematics.trigonometry import arctan, cos, sin

FUNCTIONS = {
    "exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus,
    "erf": erf, "sin": sin, "cos": cos, "arctan": arctan, "pow": power,
}  # fmt: skip
