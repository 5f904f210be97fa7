"""The networks of bench/sequences.py in JAX: pure functions of their parameters, loops by `lax.scan`.

In: a row of a family of steps, of attention or of "generation". Out: a callable that runs one timed call. Parameters
have the names that they have in PyTorch and Thalweg, and so the same first values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.peers.jax_images import Pass, Update, Values, state_of, training_step
from bench.sequences import WINDOWS, attention_operands, sequence_batches
from bench.workloads import Workload

_EPSILON = 1e-5
UNROLLED = 1  # steps of a loop


class SequencePass(Pass):
    """Layers of sequences (N, T, C)."""

    def embedding(self, name: str, x: Any, count: int, width: int) -> Any:
        return jnp.asarray(self.parameter(f"{name}.weight", (count, width)))[x]

    def layer_norm(self, name: str, x: Any, bias: bool = True) -> Any:
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        y = (x - mean) * jax.lax.rsqrt(variance + _EPSILON) * self.parameter(f"{name}.weight", x.shape[-1:])
        return y + self.parameter(f"{name}.bias", x.shape[-1:]) if bias else y

    def product(self, name: str, x: Any, outputs: int, bias: str = "") -> Any:
        """x W^T, and the bias of the given name."""
        y = x @ self.parameter(name, (outputs, x.shape[-1]), (1, 0))
        return y + self.parameter(bias, (outputs,)) if bias else y

    def dropout(self, x: Any, probability: float) -> Any:
        if not self.is_training:
            return x
        key = jax.random.fold_in(jax.random.key(0), jnp.int32(self.count))
        return jnp.where(jax.random.bernoulli(key, 1 - probability, x.shape), x / (1 - probability), 0.0)

    # --- loops -------------------------------------------------------------------------------------------------------

    def lstm(self, name: str, x: Any, width: int) -> Any:
        """The outputs of all steps; gates in the order i, f, g, o, the input's product of all steps outside."""
        given = self.product(f"{name}.weight_ih_l0", x, 4 * width, f"{name}.bias_ih_l0")
        given = (given + self.parameter(f"{name}.bias_hh_l0", (4 * width,))).swapaxes(0, 1)
        recurrent = self.parameter(f"{name}.weight_hh_l0", (4 * width, width), (1, 0))

        def step(state: Any, now: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(now + h @ recurrent, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((x.shape[0], width))
        return jax.lax.scan(step, (zeros, zeros), given, unroll=UNROLLED)[1].swapaxes(0, 1)

    def gru(self, name: str, x: Any, width: int) -> Any:
        """The last state; gates in the order r, z, n."""
        given = self.product(f"{name}.weight_ih_l0", x, 3 * width, f"{name}.bias_ih_l0").swapaxes(0, 1)
        recurrent = self.parameter(f"{name}.weight_hh_l0", (3 * width, width), (1, 0))
        bias = self.parameter(f"{name}.bias_hh_l0", (3 * width,))

        def step(h: Any, now: Any) -> Any:
            (a_r, a_z, a_n), (b_r, b_z, b_n) = (jnp.split(each, 3, -1) for each in (now, h @ recurrent + bias))
            z = jax.nn.sigmoid(a_z + b_z)
            n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + b_r) * b_n)
            return (1 - z) * n + z * h, None

        return jax.lax.scan(step, jnp.zeros((x.shape[0], width)), given, unroll=UNROLLED)[0]

    # --- transformers ------------------------------------------------------------------------------------------------

    def multihead(self, name: str, x: Any, memory: Any, heads: int, is_causal: bool = False) -> Any:
        """nn.MultiheadAttention: the three projections are one matrix (3 E, E)."""
        width = x.shape[-1]
        weight = self.parameter(f"{name}.in_proj_weight", (3 * width, width), (1, 0))
        bias = self.parameter(f"{name}.in_proj_bias", (3 * width,))
        if x is memory:
            q, k, v = jnp.split(x @ weight + bias, 3, -1)
        else:
            q = x @ weight[:, :width] + bias[:width]
            k, v = jnp.split(memory @ weight[:, width:] + bias[width:], 2, -1)
        return self.linear(f"{name}.out_proj", attended(q, k, v, heads, is_causal), width)

    def feed_forward(self, name: str, x: Any, hidden: int) -> Any:
        return self.linear(f"{name}.linear2", jax.nn.relu(self.linear(f"{name}.linear1", x, hidden)), x.shape[-1])


def attended(q: Any, k: Any, v: Any, heads: int, is_causal: bool) -> Any:
    """Attention of (N, T, E), head by head."""
    q, k, v = (each.reshape(*each.shape[:2], heads, -1).swapaxes(1, 2) for each in (q, k, v))
    y = scaled_dot_product_attention(q, k, v, is_causal).swapaxes(1, 2)
    return y.reshape(*y.shape[:2], -1)


def scaled_dot_product_attention(q: Any, k: Any, v: Any, is_causal: bool) -> Any:
    """softmax(q k^T / sqrt(E)) v of (N, heads, T, E), as `jax.nn.dot_product_attention` has it on a CPU."""
    scores = jnp.einsum("nhte,nhse->nhts", q, k) / math.sqrt(q.shape[-1])
    if is_causal:
        scores = jnp.where(jnp.tri(*scores.shape[-2:], dtype=bool), scores, -jnp.inf)
    return jnp.einsum("nhts,nhse->nhte", jax.nn.softmax(scores), v)


# --- networks --------------------------------------------------------------------------------------------------------


def char_lstm(sizes: Sequence[int], p: SequencePass, x: Any) -> Any:
    _, vocabulary, width = sizes
    return p.linear("head", p.lstm("lstm", p.embedding("embedding", x, vocabulary, width), width), vocabulary)


def gru(sizes: Sequence[int], p: SequencePass, x: Any) -> Any:
    *_, width, classes = sizes
    return p.linear("head", p.gru("gru", x, width), classes)


def gpt(sizes: Sequence[int], p: SequencePass, x: Any) -> Any:
    context, vocabulary, width, heads, layers = sizes
    x = p.embedding("tokens", x, vocabulary, width) + p.parameter("positions.weight", (context, width))
    for name in (f"blocks.{number}" for number in range(layers)):
        qkv = p.product(f"{name}.qkv.weight", p.layer_norm(f"{name}.norm1", x, bias=False), 3 * width)
        y = attended(*jnp.split(qkv, 3, -1), heads, is_causal=True)
        x = x + p.product(f"{name}.projection.weight", y, width)
        y = p.product(f"{name}.feed_forward.0.weight", p.layer_norm(f"{name}.norm2", x, bias=False), 4 * width)
        x = x + p.product(f"{name}.feed_forward.2.weight", jax.nn.gelu(y, approximate=False), width)
    return p.layer_norm("norm", x, bias=False) @ p.parameters["tokens.weight"].T


def translator(sizes: Sequence[int], p: SequencePass, x: Any) -> Any:
    tokens, vocabulary, width, heads, layers, hidden = sizes
    positions = p.parameter("positions.weight", (tokens, width))
    memory, y = (p.embedding(name, x[i], vocabulary, width) + positions for i, name in enumerate(("source", "target")))
    for name in (f"transformer.encoder.layers.{number}" for number in range(layers)):
        memory = p.layer_norm(f"{name}.norm1", memory + p.multihead(f"{name}.self_attn", memory, memory, heads))
        memory = p.layer_norm(f"{name}.norm2", memory + p.feed_forward(name, memory, hidden))
    memory = p.layer_norm("transformer.encoder.norm", memory)
    for name in (f"transformer.decoder.layers.{number}" for number in range(layers)):
        y = p.layer_norm(f"{name}.norm1", y + p.multihead(f"{name}.self_attn", y, y, heads, is_causal=True))
        y = p.layer_norm(f"{name}.norm2", y + p.multihead(f"{name}.multihead_attn", y, memory, heads))
        y = p.layer_norm(f"{name}.norm3", y + p.feed_forward(name, y, hidden))
    return p.linear("head", p.layer_norm("transformer.decoder.norm", y), vocabulary)


def sentence_cnn(dropout: float, sizes: Sequence[int], p: SequencePass, x: Any) -> Any:
    _, vocabulary, width, filters, classes = sizes
    x, found = p.embedding("embedding", x, vocabulary, width), []
    for number, window in enumerate(WINDOWS):
        kernel = p.parameter(f"convolutions.{number}.weight", (filters, width, window), (2, 1, 0))
        y = jax.lax.conv_general_dilated(x, kernel, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))
        found.append(jax.nn.relu(y + p.parameter(f"convolutions.{number}.bias", (filters,))).max(1))
    return p.linear("head", p.dropout(jnp.concatenate(found, 1), dropout), classes)


# --- steps -----------------------------------------------------------------------------------------------------------


def network(workload: Workload) -> Callable[[SequencePass, Any], Any]:
    networks = {"char-lstm": char_lstm, "gru": gru, "gpt": gpt, "translator": translator,
                "sentence-cnn": partial(sentence_cnn, workload.dropout)}  # fmt: skip
    return partial(networks[workload.network], workload.sizes)


def sequence_step(workload: Workload, update: Update) -> Callable[[], float]:
    batches = [(jnp.array(x), jnp.array(y)) for x, y in sequence_batches(workload)]
    return training_step(network(workload), batches, update, SequencePass)


def attention(workload: Workload, is_causal: bool = False) -> Callable[[], Any]:
    def both(cotangent: Any, *operands: Any) -> Any:
        y, pull = jax.vjp(partial(scaled_dot_product_attention, is_causal=is_causal), *operands)
        return y, pull(cotangent)

    *operands, cotangent = map(jnp.array, attention_operands(workload))
    compiled = jax.jit(both)
    return lambda: jax.block_until_ready(compiled(cotangent, *operands))[0]


def causal_attention(workload: Workload) -> Callable[[], Any]:
    return attention(workload, is_causal=True)


# --- generation ------------------------------------------------------------------------------------------------------


def generation(workload: Workload) -> Callable[[], np.ndarray]:
    """The whole text as one compiled loop over its tokens, which carries the keys and values of all positions."""
    context, _, width, _, layers = workload.sizes
    p, _ = state_of(network(workload), jnp.zeros((1, context), jnp.int32), SequencePass)
    cache = jnp.zeros((layers, 2, context, width))

    def step(p: Values, state: Any, position: Any) -> Any:
        token, cache = state
        logits, cache = _next_logits(SequencePass(p, {}, False), workload.sizes, token, position, cache)
        token = logits.argmax()
        return (token, cache), token

    @jax.jit
    def text(p: Values, cache: Any) -> Any:
        return jax.lax.scan(partial(step, p), (jnp.int32(0), cache), jnp.arange(context))[1]

    return lambda: np.asarray(text(p, cache))


def _next_logits(p: SequencePass, sizes: Sequence[int], token: Any, position: Any, cache: Any) -> tuple[Any, Any]:
    """Behind one more token; `cache` has keys and values of the layers, a row for each position."""
    context, _, width, heads, layers = sizes
    x = p.parameters["tokens.weight"][token] + p.parameters["positions.weight"][position]
    is_past = jnp.arange(context) <= position
    for number in range(layers):
        name = f"blocks.{number}"
        qkv = p.product(f"{name}.qkv.weight", p.layer_norm(f"{name}.norm1", x, bias=False), 3 * width)
        cache = jax.lax.dynamic_update_slice(cache, qkv[width:].reshape(1, 2, 1, width), (number, 0, position, 0))
        q = qkv[:width].reshape(heads, -1)
        keys, values = (each.reshape(context, heads, -1) for each in cache[number])
        scores = jnp.einsum("he,she->hs", q, keys) / math.sqrt(width // heads)
        weights = jax.nn.softmax(jnp.where(is_past, scores, -jnp.inf))
        y = jnp.einsum("hs,she->he", weights, values).reshape(width)
        x = x + p.product(f"{name}.projection.weight", y, width)
        y = p.product(f"{name}.feed_forward.0.weight", p.layer_norm(f"{name}.norm2", x, bias=False), 4 * width)
        x = x + p.product(f"{name}.feed_forward.2.weight", jax.nn.gelu(y, approximate=False), width)
    return p.parameters["tokens.weight"] @ p.layer_norm("norm", x, bias=False), cache
