"""The networks and steps that are timed, written once: PyTorch and Thalweg share the idiom, so they share the code.

In: a `Framework` (whose `nn`, `functional`, optimizer) and a workload. Out: a callable that runs one timed call. JAX
has another idiom; bench/peers/jax_side.py says the same in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import images, sequences
from bench.framework import LEARNING_RATE, Call, Framework, training_step
from bench.workloads import Workload, batches, entries, labels_and_logits, weights


def network(framework: Framework, workload: Workload) -> Any:
    """Linear, batch norm, activation, dropout; the last layer is bare."""
    nn = framework.nn
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[workload.activation]
    layers: list[Any] = []
    for (n, m), values in zip(workload.layers, weights(workload), strict=True):
        if layers:
            layers += [nn.BatchNorm1d(n)] if workload.has_batch_norm else []
            layers.append(activation())
            layers += [nn.Dropout(workload.dropout)] if workload.dropout else []
        layers.append(nn.Linear(n, m))
        with framework.no_grad():
            for parameter, array in zip(layers[-1].parameters(), values, strict=True):
                parameter.copy_(framework.tensor(array))
    return nn.Sequential(*layers)


def dense(framework: Framework, workload: Workload) -> Call:
    """A training step of a multilayer perceptron."""
    F = framework.functional
    criterion = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss}[workload.loss]
    pairs = [(framework.tensor(x), framework.tensor(y)) for x, y in batches(workload)]
    return training_step(framework, network(framework, workload), criterion, pairs, workload.is_compiled)


def cross_entropy(framework: Framework, workload: Workload) -> Call:
    """The loss of given logits, and its gradient with respect to them."""
    labels, numbers = labels_and_logits(workload)
    logits = framework.nn.Parameter(framework.tensor(numbers))
    forward = framework.compile_forward(framework.functional.cross_entropy)

    def step(y: Any) -> Any:
        logits.grad = None
        loss = forward(logits, y)
        loss.backward()
        return loss

    step = framework.compile_step(step)
    target = framework.tensor(labels)
    return lambda: step(target).item()


def layer_norm(framework: Framework, workload: Workload) -> Call:
    """The normalised rows, and from their cotangent the gradients of input, weight and bias."""
    norm = framework.nn.LayerNorm(workload.sizes[-1])
    x = framework.nn.Parameter(framework.tensor(entries(workload, 4)))
    forward = framework.compile_forward(norm)

    def step(cotangent: Any) -> Any:
        x.grad = norm.weight.grad = norm.bias.grad = None
        y = forward(x)
        y.backward(cotangent)
        return y

    step = framework.compile_step(step)
    cotangent = framework.tensor(entries(workload, 5))
    return lambda: step(cotangent)


def adam(framework: Framework, workload: Workload) -> Call:
    """Updates alone: the gradients are there and stay."""
    parameters = [framework.nn.Parameter(framework.tensor(each)) for each in entries(workload, 6)]
    for parameter, gradient in zip(parameters, entries(workload, 7), strict=True):
        parameter.grad = framework.tensor(gradient)
    optimizer = framework.adam(parameters, LEARNING_RATE)

    def step() -> None:
        optimizer.step()

    return framework.compile_step(step)


def matmul(framework: Framework, workload: Workload) -> Call:
    """One matrix product as a compiled call, where a call's overhead is nothing beside it."""
    m, k, n = workload.sizes
    random = np.random.default_rng(8)
    a, b = (framework.tensor(random.standard_normal(shape, dtype=np.float32)) for shape in ((m, k), (k, n)))
    step = framework.compile_step(lambda a, b: a @ b)
    return lambda: step(a, b)


def overhead(framework: Framework, workload: Workload) -> Call:
    """Next to no arithmetic: one cell is written, two arguments are read, one result is made."""
    cell = framework.tensor(np.zeros(workload.sizes, np.float32))

    def step(x: Any, y: Any) -> Any:
        cell.add_(x)
        return cell * y

    step = framework.compile_step(step)
    x, y = (framework.tensor(np.full(workload.sizes, value, np.float32)) for value in (1e-6, 2.0))
    return lambda: step(x, y)


def overhead_read(framework: Framework, workload: Workload) -> Call:
    call = overhead(framework, workload)
    return lambda: call().item()


def step_of_network(framework: Framework, workload: Workload) -> Call:
    """The training step of a row's network, built and not yet called."""
    step = images.image_step if workload.network in images.NETWORKS else sequences.sequence_step
    return step(framework, workload)


BUILDERS: dict[str, Callable[[Framework, Workload], Call]] = {
    "dense": dense,
    "cross_entropy": cross_entropy,
    "layer_norm": layer_norm,
    "adam": adam,
    "matmul": matmul,
    "overhead": overhead,
    "overhead_read": overhead_read,
    **images.BUILDERS,
    **sequences.BUILDERS,
}
