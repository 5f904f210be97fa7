"""JAX's worker: the same steps as pure functions under `jit`, the state donated, Adam written out.

In and out: bench/peers/worker.py. Where JAX is not installed the import fails, and the table leaves its column out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.framework import LEARNING_RATE
from bench.peers import jax_images, jax_sequences
from bench.peers.worker import Library, Timed, best_rate, main, repeated_texts
from bench.workloads import Workload, batches, entries, labels_and_logits, weights

State = Any  # a tree of arrays
_BETA1, _BETA2, _EPSILON, _MOMENTUM, _NORM_EPSILON = 0.9, 0.999, 1e-8, 0.1, 1e-5


def describe() -> dict[str, Any]:
    return {"versions": {"jax": jax.__version__}}


def calibrate() -> dict[str, Any]:
    product, a = jax.jit(jnp.matmul), jnp.ones((1024, 1024))
    return {"flops": best_rate(2 * 1024**3, lambda: product(a, a).block_until_ready())}


def adam(parameters: State, gradients: State, moments: State, count: Any) -> tuple[State, State]:
    """Kingma and Ba 2015, algorithm 1."""
    first, second = moments
    first = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * g * g, second, gradients)
    scale1, scale2 = 1 / (1 - _BETA1**count), 1 / (1 - _BETA2**count)

    def update(p: Any, m: Any, v: Any) -> Any:
        return p - LEARNING_RATE * (m * scale1) / (jnp.sqrt(v * scale2) + _EPSILON)

    return jax.tree.map(update, parameters, first, second), (first, second)


def zeros(parameters: State) -> tuple[State, State]:
    return jax.tree.map(jnp.zeros_like, parameters), jax.tree.map(jnp.zeros_like, parameters)


# --- networks --------------------------------------------------------------------------------------------------------


def parameters_of(workload: Workload) -> list[dict[str, Any]]:
    layers = []
    for index, (weight, bias) in enumerate(weights(workload)):
        layer = {"weight": jnp.array(weight), "bias": jnp.array(bias)}
        if index and workload.has_batch_norm:
            layer |= {"scale": jnp.ones(weight.shape[1]), "shift": jnp.zeros(weight.shape[1])}
        layers.append(layer)
    return layers


def statistics_of(workload: Workload) -> list[tuple[Any, Any]]:
    """Running mean and variance of each batch norm."""
    return [(jnp.zeros(n), jnp.ones(n)) for n, _ in workload.layers[1:]] if workload.has_batch_norm else []


def forward(workload: Workload, layers: State, running: State, key: Any, x: Any) -> tuple[Any, State]:
    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[workload.activation]
    new = []
    for index, layer in enumerate(layers):
        if index and workload.has_batch_norm:
            mean, variance = x.mean(0), x.var(0)
            x = (x - mean) * jax.lax.rsqrt(variance + _NORM_EPSILON) * layer["scale"] + layer["shift"]
            unbiased = variance * (workload.batch / (workload.batch - 1))
            old_mean, old_variance = running[index - 1]
            new.append((old_mean + _MOMENTUM * (mean - old_mean), old_variance + _MOMENTUM * (unbiased - old_variance)))
        if index:
            x = activation(x)
        if index and workload.dropout:
            key, mine = jax.random.split(key)
            x = jnp.where(jax.random.bernoulli(mine, 1 - workload.dropout, x.shape), x / (1 - workload.dropout), 0.0)
        x = x @ layer["weight"].T + layer["bias"]
    return x, new


def cross_entropy_of(logits: Any, labels: Any) -> Any:
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
    return -picked.mean()


def dense(workload: Workload) -> Callable[[], Any]:
    def loss_of(layers: State, running: State, key: Any, x: Any, y: Any) -> tuple[Any, State]:
        output, running = forward(workload, layers, running, key, x)
        loss = cross_entropy_of(output, y) if workload.loss == "cross_entropy" else ((output - y) ** 2).mean()
        return loss, running

    def step(state: State, x: Any, y: Any) -> tuple[State, Any]:
        layers, moments, running, count, key = state
        key, mine = jax.random.split(key) if workload.dropout else (key, key)
        (loss, running), gradients = jax.value_and_grad(loss_of, has_aux=True)(layers, running, mine, x, y)
        layers, moments = adam(layers, gradients, moments, count)
        return (layers, moments, running, count + 1, key), loss

    compiled = jax.jit(step, donate_argnums=0)
    layers = parameters_of(workload)
    state = (layers, zeros(layers), statistics_of(workload), jnp.float32(1), jax.random.key(0))
    feed = itertools.cycle([(jnp.array(x), jnp.array(y)) for x, y in batches(workload)])

    def call() -> float:
        nonlocal state
        state, loss = compiled(state, *next(feed))
        return loss.item()

    return call


# --- single operations -----------------------------------------------------------------------------------------------


def cross_entropy(workload: Workload) -> Callable[[], Any]:
    labels, logits = (jnp.array(each) for each in labels_and_logits(workload))
    compiled = jax.jit(jax.value_and_grad(cross_entropy_of))

    def call() -> float:
        loss, gradient = compiled(logits, labels)
        gradient.block_until_ready()
        return loss.item()

    return call


def layer_norm(workload: Workload) -> Callable[[], Any]:
    def norm(x: Any, weight: Any, bias: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + _NORM_EPSILON) * weight + bias

    def both(cotangent: Any, *operands: Any) -> Any:
        y, pull = jax.vjp(norm, *operands)
        return y, pull(cotangent)

    width = workload.sizes[-1]
    operands = (jnp.array(entries(workload, 4)), jnp.ones(width), jnp.zeros(width))
    cotangent, compiled = jnp.array(entries(workload, 5)), jax.jit(both)
    return lambda: jax.block_until_ready(compiled(cotangent, *operands))


def adam_alone(workload: Workload) -> Callable[[], Any]:
    def step(state: State, gradients: State) -> State:
        parameters, moments, count = state
        return *adam(parameters, gradients, moments, count), count + 1

    parameters, gradients = ([jnp.array(each) for each in entries(workload, seed)] for seed in (6, 7))
    compiled, state = jax.jit(step, donate_argnums=0), (parameters, zeros(parameters), jnp.float32(1))

    def call() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state, gradients))

    return call


def overhead(workload: Workload, is_read: bool = False) -> Callable[[], Any]:
    compiled = jax.jit(lambda cell, x, y: (cell + x, (cell + x) * y), donate_argnums=0)
    cell, x, y = (jnp.array(np.full(workload.sizes, value, np.float32)) for value in (0.0, 1e-6, 2.0))

    def call() -> Any:
        nonlocal cell
        cell, result = compiled(cell, x, y)
        return result.item() if is_read else jax.block_until_ready(result)

    return call


def step_of_network(workload: Workload) -> Callable[[], Any]:
    """The training step of a row's network, built and not yet called."""
    return BUILDERS["image_step" if workload.network in jax_images.NETWORKS else "sequence_step"](workload)


BUILDERS: dict[str, Callable[[Workload], Callable[[], Any]]] = {
    "dense": dense,
    "cross_entropy": cross_entropy,
    "layer_norm": layer_norm,
    "adam": adam_alone,
    "overhead": overhead,
    "overhead_read": lambda workload: overhead(workload, is_read=True),
    "image_step": lambda workload: jax_images.image_step(workload, adam),
    "image_inference": jax_images.image_inference,
    "sequence_step": lambda workload: jax_sequences.sequence_step(workload, adam),
    "attention": jax_sequences.attention,
    "causal_attention": jax_sequences.causal_attention,
}


def build(workload: Workload, variant: str = "") -> Callable[[], Any] | Timed:
    if workload.family == "generation":
        return repeated_texts(jax_sequences.generation(workload), workload)
    return BUILDERS[workload.family](workload)


if __name__ == "__main__":
    main(Library(describe, calibrate, build))
