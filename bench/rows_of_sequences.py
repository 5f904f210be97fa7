"""The rows of networks on sequences: training steps, attention alone and what memory it needs, compile time.

In: nothing. Out: rows for bench/rows.py, in the tables sequences and process. torch.compile has every step: on one busy
thread the first call took it 14 s (GRU) to 116 s (Transformer).
"""

from __future__ import annotations

from dataclasses import replace

from bench.peers import Setting
from bench.workloads import Workload

_TWO = Setting(threads=2)
ATTENTIONS = ("attention", "causal_attention")  # families of attention alone


_TITLES = {
    "char-lstm": "LSTM on characters, 128 wide, {:,} steps",
    "gru": "GRU on {:,} frames of 64, 96 wide",
    "gpt": "GPT of 4 layers, 128 wide, context {:,}",
    "translator": "Transformer of 3 + 3 layers, 256 wide, {} tokens",
    "sentence-cnn": "sentence CNN, {} tokens",
}


def _title(network: str, length: int, batch: int) -> str:
    return f"{_TITLES[network].format(length)}, batch {batch}"


def _step(network: str, sizes: tuple[int, ...], batch: int, floor: float, **rest) -> Workload:
    return Workload(network, _title(network, sizes[0], batch), "sequence_step", sizes, batch, floor=floor,
                    table="sequences", setting=_TWO, network=network, **rest)  # fmt: skip


SEQUENCE_STEPS = (
    _step("char-lstm", (64, 65, 128), 32, 1.5),
    _step("gru", (50, 64, 96, 10), 32, 2.0),
    _step("gpt", (64, 65, 128, 4, 4), 12, 1.5),
    _step("translator", (30, 4000, 256, 4, 3, 512), 64, 1.2),
    _step("sentence-cnn", (50, 5000, 128, 100, 2), 50, 2.0, dropout=0.5),
)

_HEADS, _WIDTH = 4, 64
CONTEXTS = (1024, 4096)


def _attention(context: int, family: str) -> Workload:
    is_causal = family == ATTENTIONS[1]
    return Workload(f"{family.replace('_', '-')}-{context}",
                    f"{'causal ' * is_causal}attention, {_HEADS} heads of {_WIDTH}, context {context:,}",
                    family, (_HEADS, context, _WIDTH), floor=1.1, table="sequences", setting=_TWO)  # fmt: skip


ALONE = tuple(_attention(context, family) for context in CONTEXTS for family in ATTENTIONS)
"""Forward and backward, one sequence."""

# torch.compile is left out: what the cache holds has another shape for every token, each of which it would compile.
GENERATION = Workload(
    "generation", "a token of 64 by the GPT above, the likeliest, keys and values kept", "generation",
    SEQUENCE_STEPS[2].sizes, 1, floor=3.0, peers=("torch", "jax"), table="sequences", setting=_TWO, network="gpt",
)  # fmt: skip


# --- in processes of their own ---------------------------------------------------------------------------------------

SCORES = "thalweg.scores"
ATTENTION_MEMORY = tuple(
    Workload(f"{row.name}-memory", f"bytes of {row.title}, forward and backward, beside the matrix of scores",
             f"{row.family}_memory", row.sizes, floors=((SCORES, 10.0),), peers=(SCORES,), table="process",
             setting=_TWO, unit="bytes", rounds=1)
    for row in ALONE
    if row.sizes[1] == max(CONTEXTS)
)  # fmt: skip
_LONG = 1024  # the code is that of a loop, whatever its length
_LONG_BATCHES = {"char-lstm": 32, "gru": 32, "gpt": 1}


def _compilation(row: Workload) -> Workload:
    """The whole of the first call; JAX has no cache between processes either."""
    return replace(row, name=f"compile-{row.name}", title=f"the first training step, likewise: {row.title}",
                   family="first_call_empty_cache", floor=None, limit=1.5, peers=("jax",), table="process",
                   rounds=3)  # fmt: skip


def _long(row: Workload) -> Workload:
    batch = _LONG_BATCHES[row.network]
    return replace(row, name=f"{row.name}-{_LONG}", title=_title(row.network, _LONG, batch),
                   sizes=(_LONG, *row.sizes[1:]), batch=batch)  # fmt: skip


COMPILATIONS = tuple(map(_compilation, (*SEQUENCE_STEPS, *(_long(row) for row in SEQUENCE_STEPS
                                                           if row.network in _LONG_BATCHES))))  # fmt: skip

SEQUENCES = (*SEQUENCE_STEPS, *ALONE, GENERATION)
FRESH_SEQUENCES = (*ATTENTION_MEMORY, *COMPILATIONS)
