"""Vector mathematics: the functions of float32 in the emitter's words, for any number of lanes.

In: an `Emitter` and float32 values. Out: the value of the function, by the same instructions in the same order for one
lane or many, hence with the same bits. No table is gathered from, nothing calls libm, and the only branch is the one of
sin and cos for numbers beyond 1e5.

What each costs and how far it may be off, over all of float32, subnormal results included (the test measures both; the
contract is 2 ulp for exp, log, tanh and erf, 4 for the rest). Instructions are those of the vector unit on 16 numbers
with AVX-512 and on 8 with AVX2, loads of constants aside:

    function     exp  expm1  log  log1p  tanh  sigmoid  softplus  erf  sin  cos  arctan  pow
    AVX-512       16     19   23     22    20       18        27   24   15   16      16   93
    AVX2          16     20   27     25    22       19        27   26   17   17      19  103
    divisions      0      0    0      0     1        1         0    1    0    0       1    0
    ulp          1.7    1.8  1.2    2.3   1.9      2.9       3.2  1.9  2.0  2.0     2.0  1.7

sin and cos take 108 more where some number lies beyond 1e5. pow holds log x and p log x in float64, two registers each;
a stated exponent of 1, 2, 3 or -1 is multiplied out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.compile.mathematics import compositions
from thalweg.compile.mathematics.division import floor_divide, power_of_integers, remainder
from thalweg.compile.mathematics.error_function import erf
from thalweg.compile.mathematics.exponentials import exp, expm1, sigmoid, softplus, tanh
from thalweg.compile.mathematics.logarithms import log, log1p, power
from thalweg.compile.mathematics.philox import random_words
from thalweg.compile.mathematics.trigonometry import arctan, cos, sin

__all__ = ["DIVISIONS", "DOUBLE_FUNCTIONS", "FUNCTIONS", "INTEGER_FUNCTIONS", "random_words"]

# Of any dtype; of integers; of float32; of float64, where no library has them.
DIVISIONS: dict[str, Callable[..., Any]] = {"floor_divide": floor_divide, "remainder": remainder}
INTEGER_FUNCTIONS: dict[str, Callable[..., Any]] = {"pow": power_of_integers}
DOUBLE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": compositions.sigmoid, "softplus": compositions.softplus,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus,
    "erf": erf, "sin": sin, "cos": cos, "arctan": arctan, "pow": power,
}  # fmt: skip
