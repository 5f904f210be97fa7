"""torch.compile's worker: forward pass and loss compiled by Inductor, the fused Adam left as it is.

In and out: bench/peers/worker.py. Optional, because its first call takes tens of seconds and a C++ compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from bench.models import BUILDERS
from bench.peers import CHANNELS_LAST
from bench.peers.torch_framework import FRAMEWORK
from bench.peers.torch_side import calibrate, describe, in_order
from bench.peers.worker import Library, main
from bench.workloads import Workload

COMPILED = replace(FRAMEWORK, compile_forward=torch.compile)
_WHOLE_STEP = replace(FRAMEWORK, compile_step=torch.compile)  # where there is no backward pass in it


def build(workload: Workload, variant: str = "") -> Callable[[], Any]:
    torch.manual_seed(0)
    if variant != CHANNELS_LAST:  # the last variant of its row: the one before must not be compiled again
        torch.compiler.reset()
    framework = _WHOLE_STEP if workload.family in ("adam", "overhead", "overhead_read") else COMPILED
    return BUILDERS[workload.family](in_order(framework, variant), workload)


if __name__ == "__main__":
    main(Library(describe, calibrate, build))
