"""The GPT of bench/sequences.py in PyTorch as it writes a text, with a cache of keys and values written out by hand.

In: a row of the family "generation". Out: a callable that writes as many tokens as the context has, each the likeliest,
behind token 0. Nothing is read into Python between two tokens, and the cache is made once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bench.peers.torch_framework import FRAMEWORK
from bench.sequences import network
from bench.workloads import Workload


def generation(workload: Workload) -> Callable[[], np.ndarray]:
    context, _, width, heads, layers = workload.sizes
    model = network(FRAMEWORK, workload).eval()
    cache = torch.zeros(layers, 2, heads, context, width // heads)

    @torch.inference_mode()
    def write() -> np.ndarray:
        token, found = torch.zeros(1, dtype=torch.int64), []
        for position in range(context):
            x = model.tokens(token) + model.positions.weight[position]
            for block, kept in zip(model.blocks, cache, strict=True):
                x = x + _attended(block, block.norm1(x), position, *kept)
                x = x + block.feed_forward(block.norm2(x))
            token = model.head(model.norm(x)).argmax(-1)
            found.append(token)
        return torch.cat(found).numpy()

    return write


def _attended(block: Any, x: torch.Tensor, position: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """One query (1, width) looks at the positions so far; its key and value are kept in (heads, context, E)."""
    q, keys[:, position], values[:, position] = block.qkv(x).view(3, len(keys), -1)
    seen = slice(position + 1)
    y = F.scaled_dot_product_attention(q[None, :, None], keys[None, :, seen], values[None, :, seen])
    projected: torch.Tensor = block.projection(y.view(1, -1))
    return projected
