"""Thalweg's GPT as it writes a text: `TextGenerator`, which users have, on the weights of bench/sequences.py.

In: a row of the family "generation". Out: a callable that writes as many tokens as the context has, each the likeliest,
behind token 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import thalweg as tw
from bench.peers.thalweg_framework import FRAMEWORK
from bench.sequences import network
from bench.workloads import Workload
from thalweg.models import GPT, TextGenerator


def generation(workload: Workload) -> Callable[[], np.ndarray]:
    context, vocabulary, width, heads, layers = workload.sizes
    model = GPT(vocabulary, context, layers, heads, width)
    with tw.no_grad():  # the parameters of both stand in the order of use
        for mine, theirs in zip(model.parameters(), network(FRAMEWORK, workload).parameters(), strict=True):
            mine.copy_(theirs)
    write = TextGenerator(model, temperature=0)
    return lambda: write(np.zeros(1, np.int64), context)[1:]
