"""PyTorch's parts for bench/models.py, bench/images.py and bench/sequences.py, and nothing that takes time to import.

In: nothing. Out: `FRAMEWORK`, with Adam in its fused form.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn, optim

from bench.framework import Framework, unchanged

FRAMEWORK = Framework(
    nn, F, torch.no_grad, torch.from_numpy,
    lambda parameters, lr: optim.Adam(parameters, lr=lr, fused=True), unchanged, unchanged, torch.cat,
)  # fmt: skip
