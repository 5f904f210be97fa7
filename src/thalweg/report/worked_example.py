"""One training step of a small network as a worked example: every number, from the inputs to the new weights.

In: a `Setting`. Out: text. The network is made of numbers rather than arrays (one tensor a weight), so that every
operation is one line; the tensors, the reverse sweep and the optimizer are those of the library.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from thalweg.dtype import float64
from thalweg.errors import ConfigurationError, explain
from thalweg.graph import Node, scope
from thalweg.optim import SGD
from thalweg.report.columns import number, table
from thalweg.report.explanation import Explanation
from thalweg.report.settings import ACTIVATIONS, Setting
from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import tensor


@dataclass
class ScalarNetwork:
    """A dense network whose every weight is a tensor of its own, named as the textbooks name them."""

    setting: Setting
    inputs: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)
    biases: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.setting
        self.inputs = _numbered("i", given.inputs)
        self.targets = {
            f"target_{unit}": _number(each) for unit, each in zip(self.units()[-1], given.targets, strict=True)
        }
        self.weights = _numbered("w", given.weights, requires_grad=True)
        self.biases = _numbered("b", given.biases, requires_grad=not given.freeze_biases)

    def units(self) -> list[list[str]]:
        """The names of the units layer by layer: h1, h2 in the one hidden layer, h1_2 in the first of several."""
        sizes = self.setting.layers[1:]
        prefixes = ["h" if len(sizes) == 2 else f"h{depth}_" for depth in range(1, len(sizes))] + ["o"]
        return [[f"{prefix}{k}" for k in range(1, size + 1)] for prefix, size in zip(prefixes, sizes, strict=True)]

    def trained(self) -> dict[str, Tensor]:
        """The tensors that a step changes."""
        return self.weights if self.setting.freeze_biases else {**self.weights, **self.biases}

    def forward(self) -> dict[str, Any]:
        """Every named result, the outputs as `out_o1`, ..., the loss last as `E`."""
        results: dict[str, Any] = {}
        signals = list(self.inputs.values())
        weights, biases = iter(self.weights.values()), iter(self.biases.values())
        layers = self.units()
        for depth, units in enumerate(layers, 1):
            is_output = depth == len(layers)
            name = self.setting.output_activation if is_output else self.setting.activation
            with _layer("output layer" if is_output else "hidden layer" + (f" {depth}" if len(layers) > 2 else "")):
                signals = [self._unit(unit, signals, weights, next(biases), name, results) for unit in units]
        with _layer("loss"):
            results |= self._loss(signals)
        return results

    def _unit(self, unit: str, signals: list[Any], weights: Iterator[Any], bias: Any, activation: str,
              results: dict[str, Any]) -> Any:  # fmt: skip
        products = [next(weights) * signal for signal in signals]
        total = products[0]
        for each in products[1:]:
            total = total + each
        results[f"net_{unit}"] = net = total + bias
        if activation == "identity":
            return net
        results[f"out_{unit}"] = out = ACTIVATIONS[activation](net)
        return out

    def _loss(self, outputs: list[Any]) -> dict[str, Any]:
        units = self.units()[-1]
        return (
            _squared(units, outputs, self.targets)
            if self.setting.loss == "mse"
            else _entropy(units, outputs, self.targets)
        )

    def explanation(self, optimizer: SGD | None = None) -> Explanation:
        """The current step, taken apart; with an optimizer, also its update."""
        results = self.forward()
        named = {**self.inputs, **self.targets, **self.weights, **self.biases, **results}
        names: dict[Node, str] = {each.node: name for name, each in named.items()}
        return Explanation(results["E"], names, optimizer)

    def step(self, optimizer: SGD) -> float:
        """One update; the loss before it."""
        loss = self.forward()["E"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())


def _squared(units: list[str], outputs: list[Any], targets: dict[str, Any]) -> dict[str, Any]:
    """E = sum over the outputs of 1/2 (target - out)^2."""
    results: dict[str, Any] = {}
    total: Any = None
    for unit, out in zip(units, outputs, strict=True):
        results[f"error_{unit}"] = error = targets[f"target_{unit}"] - out
        results[f"square_{unit}"] = square = error * error
        results[f"E_{unit}"] = part = 0.5 * square
        total = part if total is None else total + part
    return results | {"E": total}


def _entropy(units: list[str], outputs: list[Any], targets: dict[str, Any]) -> dict[str, Any]:
    """E = -sum over the classes of target log p, p = softmax(net)."""
    results: dict[str, Any] = {}
    powers = [results.setdefault(f"exp_{unit}", out.exp()) for unit, out in zip(units, outputs, strict=True)]
    total: Any = powers[0]
    for each in powers[1:]:
        total = total + each
    results["sum"] = total
    likelihood: Any = None
    for unit, power in zip(units, powers, strict=True):
        results[f"p_{unit}"] = p = power / total
        results[f"log_p_{unit}"] = logarithm = p.log()
        part = targets[f"target_{unit}"] * logarithm
        likelihood = part if likelihood is None else likelihood + part
    return results | {"E": -likelihood}


def _numbered(prefix: str, values: tuple[float, ...], requires_grad: bool = False) -> dict[str, Any]:
    return {f"{prefix}{k}": _number(value, requires_grad) for k, value in enumerate(values, 1)}


def _number(value: float, requires_grad: bool = False) -> Any:
    return tensor(value, dtype=float64, requires_grad=requires_grad)


@contextmanager
def _layer(name: str) -> Iterator[None]:
    """Operations made inside carry the name of the layer, as they do in a module."""
    before, scope.path = scope.path, name
    try:
        yield
    finally:
        scope.path = before


# --- the text --------------------------------------------------------------------------------------------------------


def tell(setting: Setting) -> tuple[str, Explanation]:
    """The whole example: the setting, both passes, each weight's chain, the update, the loss after it; and as data."""
    network = ScalarNetwork(setting)
    optimizer = SGD(list(network.trained().values()), lr=setting.rate)
    explanation = network.explanation(optimizer)
    refuse_overflow(explanation.loss)
    names = list(network.trained())
    before = {name: each.item() for name, each in network.trained().items()}
    outputs = {unit: output_of(explanation, unit) for unit in network.units()[-1]}
    losses = [network.step(optimizer)]
    after = {name: each.item() for name, each in network.trained().items()}
    fresh = network.explanation()
    while len(losses) < setting.steps:
        losses.append(network.step(optimizer))
    final = fresh if setting.steps == 1 else network.explanation()
    text = "\n".join(
        [
            *_heading(setting), "",
            "1. FORWARD: from the inputs to the loss, operation by operation", "",
            *explanation.forward_lines(), "",
            "2. BACKWARD: from the loss to the weights", "",
            *_BACKWARD_NOTE, "",
            *explanation.backward_lines(), "",
            *_meetings(explanation),
            "3. THE CHAIN TO EACH WEIGHT: the gradient at its unit times the local derivatives on the way", "",
            *[line for name in names for line in _chain(explanation, name)],
            f"4. THE UPDATE: w <- w - rate * dE/dw, rate {number(setting.rate)}", "",
            *_update(explanation, before, after), "",
            "5. AFTER IT", "",
            *_after(setting, [*losses, final.loss], fresh.loss, outputs, final),
        ]
    )  # fmt: skip
    return text, explanation


def refuse_overflow(loss: float) -> None:
    """An example of infinities and NaNs explains nothing."""
    if not math.isfinite(loss):
        raise ConfigurationError(
            explain("the loss of this example is not a finite number", received=loss, expected="a finite number",
                    remedy="choose smaller --inputs or --weights")
        )  # fmt: skip


_BACKWARD_NOTE = [
    "  g is the gradient of the loss by the result of an operation, dE/d(result): it starts as 1 at the loss itself.",
    "  Each operation passes on to each operand g times its local derivative d(result)/d(operand): the chain rule.",
]


def _heading(setting: Setting) -> list[str]:
    squares, entropy = "1/2 sum (target - out)^2", "-sum target log p, p = softmax(net)"
    biases = "held fixed" if setting.freeze_biases else "trained like the weights"
    output = setting.output_activation if setting.loss == "mse" else "softmax"
    rows = [
        ("layers", "-".join(map(str, setting.layers)) + f" ({setting.origin})"),
        ("activation", setting.activation + (f", output {output}" if output != setting.activation else "")),
        ("loss", f"E = {squares if setting.loss == 'mse' else entropy}"),
        ("rate", number(setting.rate)),
        ("inputs", _joined("i", setting.inputs)),
        ("targets", _joined("target_o", setting.targets)),
        ("weights", _joined("w", setting.weights)),
        ("biases", f"{_joined('b', setting.biases)}; {biases}"),
    ]
    return ["Backpropagation as a worked example", "", *table(("", ""), rows)]


def _joined(prefix: str, values: tuple[float, ...]) -> str:
    return ", ".join(f"{prefix}{k} = {number(value)}" for k, value in enumerate(values, 1))


def output_of(explanation: Explanation, unit: str) -> float:
    """What an output unit gives: a probability behind a softmax, else its result."""
    names = {each.name: each for each in explanation.operations}
    result: Any = next(names[key] for key in (f"p_{unit}", f"out_{unit}", f"net_{unit}") if key in names)
    return float(result.value.item())


def _meetings(explanation: Explanation) -> list[str]:
    lines = explanation.joined_lines()
    return ["  Where paths meet, the products are added:", "", *lines, ""] if lines else []


def _chain(explanation: Explanation, name: str) -> list[str]:
    """dE/dw5 = dE/dout_o1 * dout_o1/dnet_o1 * dnet_o1/dw5, in names and in numbers."""
    results = [each.name for each in explanation.operations if not each.is_leaf]
    outs = [each for each in results if each.startswith("out_")]
    nets = [each for each in results if each.startswith("net_")]
    without_out = [each for each in nets if "out_" + each.removeprefix("net_") not in outs]
    factors = explanation.chain(name, stops=[*outs, *without_out], milestones=nets)
    total = explanation.gradients[name].item()
    if not factors:
        return [f"  dE/d{name} = {number(total)}", ""]
    top = explanation.operation(factors[-1].result)
    arriving = 0.0 if top.gradient is None else top.gradient.item()
    symbols = [f"dE/d{top.name}", *[f"d{each.result}/d{each.operand}" for each in reversed(factors)]]
    numbers = [arriving, *[each.value for each in reversed(factors)]]
    head = f"  dE/d{name} = "
    rows = [
        head + " * ".join(symbols),
        " " * (len(head) - 2) + "= " + " * ".join(map(_signed, numbers)),
        " " * (len(head) - 2) + "= " + number(total),
    ]
    return [*rows, ""]


def _signed(value: float) -> str:
    text = number(value)
    return f"({text})" if text.startswith("-") else text


def _update(explanation: Explanation, before: dict[str, float], after: dict[str, float]) -> list[str]:
    rows = [
        (name, number(before[name]), number(explanation.gradients[name].item()), number(after[name])) for name in before
    ]
    return table(("", "before", "dE/dw", "after"), rows, points=[1, 2, 3])


def _after(
    setting: Setting, losses: list[float], first: float, outputs: dict[str, float], final: Explanation
) -> list[str]:
    steps = "one update" if setting.steps == 1 else f"{setting.steps} updates"
    lines = [f"  loss {number(losses[0])} before, {number(first)} after one update"]
    if setting.steps > 1:
        lines[0] += f", {number(losses[-1])} after {steps}"
    rows = [
        (unit, number(outputs[unit]), number(output_of(final, unit)), number(target))
        for unit, target in zip(outputs, setting.targets, strict=True)
    ]
    lines += ["", *table(("output", "before", f"after {steps}", "target"), rows, points=[1, 2, 3])]
    if setting.steps > 1:
        shown = [k for k in range(len(losses)) if k < 10 or k % -(-len(losses) // 20) == 0 or k == len(losses) - 1]
        lines += ["", *table(("updates", "loss"), [(str(k), number(losses[k])) for k in shown], points=[1])]
    return lines
