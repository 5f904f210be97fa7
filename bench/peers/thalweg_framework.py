"""Thalweg's parts for bench/models.py, bench/images.py and bench/sequences.py, and nothing that takes time to import.

In: nothing. Out: `FRAMEWORK`.
"""

from __future__ import annotations

import thalweg as tw
import thalweg.nn.functional as F
from bench.framework import Framework, unchanged
from thalweg import nn, optim

FRAMEWORK = Framework(
    nn, F, tw.no_grad, tw.tensor, lambda parameters, lr: optim.Adam(parameters, lr=lr), tw.compile, unchanged,
    tw.cat,
)  # fmt: skip
