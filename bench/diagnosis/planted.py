"""Set-ups of our own with one fault, most in one known layer: does diagnosis find it, and name the layer?

In: nothing. Out: cases in the schema of the development cases, with `layer`, the number of the hidden layer at fault,
as one more field, which only the scoring reads.
"""

from __future__ import annotations

from typing import Any

from bench.diagnosis import set_ups

DEPTH = 5
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dead": ("dying_relu", {"bias_init": {"name": "constant", "value": -30.0}}),
    "zero": ("bad_initialization", {"init": "zeros"}),
    "large": ("bad_initialization", {"init": {"name": "normal", "mean": 0.0, "std": 20.0}}),
    "small": ("bad_initialization", {"init": {"name": "normal", "mean": 0.0, "std": 1e-5}}),
}
"""What is wrong with a layer, and the label; a run that gets over it is not counted as faulty."""
ALSO = [
    "bad_initialization", "dying_relu", "vanishing_gradient", "exploding_gradient", "saturated_activation",
    "non_finite", "slow_convergence", "degenerate_signal", "plateau", "learning_rate_too_high", "learning_rate_too_low",
]  # fmt: skip


def planted_cases() -> list[dict[str, Any]]:
    """Each fault in each hidden layer, on circles and on Friedman's function; then those of whole set-ups."""
    weights = [planted(data, fault, layer) for data in ("circle", "regression_friedman") for fault in FAULTS
               for layer in range(DEPTH)]  # fmt: skip
    return [*weights, *(planted_set_up(data, name) for name, fault in set_ups.FAULTS.items() for data in fault.data)]


def planted_set_up(data: str, name: str) -> dict[str, Any]:
    """A healthy network into which `set_ups` plants a fault."""
    fault = set_ups.FAULTS[name]
    found = planted(data, "dead", DEPTH)
    found |= {"id": f"planted-{data}-{name}", "label": [fault.label], "planted": name, "stable": fault.always}
    found["layers"] = [*found["layers"][:1], *fault.layers, *found["layers"][1:]]
    if name.startswith("labels"):
        found["output"] = found["output"] | {"units": 2 if data == "circle" else 3, "activation": "softmax"}
        found["loss"] = "categorical_cross_entropy"
    del found["layer"]
    return found if fault.layer is None else found | {"layer": fault.layer}


def planted(data: str, fault: str, layer: int) -> dict[str, Any]:
    """One case: five layers of 24 rectifiers, SGD, the fault in one of them."""
    label, change = FAULTS[fault]
    healthy = {"kind": "dense", "units": 24, "activation": "relu", "init": "he_normal", "bias_init": "zeros"}
    is_circle = data == "circle"
    return {
        "id": f"planted-{data}-{fault}-{layer}", "label": [label], "also_acceptable": ALSO, "stable": False,
        "layer": layer, "data": data, "input_scale": 1,
        "layers": [healthy | (change if n == layer else {}) for n in range(DEPTH)],
        "output": {"units": 1, "activation": "sigmoid" if is_circle else "linear", "init": "glorot_uniform",
                   "bias_init": "zeros"},
        "loss": "binary_cross_entropy" if is_circle else "mean_squared_error",
        "optimizer": {"name": "sgd", "lr": 0.02}, "batch_size": 32, "epochs": 30,
        "reference": {"metric": "accuracy" if is_circle else "r2", "value": 0.85, "fails_below": 0.75},
    }  # fmt: skip
