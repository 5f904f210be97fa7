"""What a probe or a repair does otherwise than the run, as data, and how it changes a model, a loss, an optimizer.

In: a copy of the user's model, the loss, the optimizer, the data. Out: the changed ones. Outputs keep their meaning:
probabilities stay probabilities, numbers stay in the units of the targets, inputs come as the user has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg import nn, optim
from thalweg.diagnose.layers import ACTIVATIONS, RECURRENT
from thalweg.diagnose.looks import DROPOUTS
from thalweg.diagnose.tasks import Kind, task_of
from thalweg.nn import functional as F
from thalweg.tensor import from_numpy

LOWEST = 1e-12
GAINS = {"ReLU": "relu", "LeakyReLU": "relu", "GELU": "relu", "SiLU": "relu", "ELU": "relu"}
"""Activations whose weights start as He et al. 2015 say; all others as Glorot and Bengio 2010."""


@dataclass(frozen=True)
class Change:
    """What is done otherwise than in the run; nothing by default."""

    rate: float = 1.0
    """Factor on the highest rate of the run; a schedule is replaced by a constant rate."""
    without_penalty: bool = False
    without_dropout: bool = False
    clipped: bool = False
    """The norm of the gradient is limited to 1."""
    adaptive: float = 0.0
    """A rate for Adam, in place of the run's optimizer."""
    fitted: bool = False
    """Weights are drawn anew with the spread that fits the activation, biases start at 0."""
    scaled_inputs: bool = False
    """The model's first act is to bring inputs to mean 0 and spread 1."""
    scaled_targets: bool = False
    """Outputs are scaled to the targets, and the loss sees both scaled."""
    matched: bool = False
    """Output activation and loss that belong to the task; the loss is minimised."""
    balanced: bool = False
    """Classes weigh the same."""
    activation: str = ""
    """The name of the activation that replaces all hidden ones."""
    gated: bool = False
    """Plain recurrences become gated ones."""
    epochs: int = 0
    """Where to stop; 0 for as long as the run."""


class Affine(nn.Module):
    """x · scale + shift, with numbers that are not trained."""

    def __init__(self, scale: np.ndarray, shift: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("scale", from_numpy(scale.astype(np.float32)))
        self.register_buffer("shift", from_numpy(shift.astype(np.float32)))

    def forward(self, x: Any) -> Any:
        return x * self.scale + self.shift


def changed_model(model: nn.Module, change: Change, x: np.ndarray, y: np.ndarray) -> nn.Module:
    """The model with other activations, fitted weights, scaling before and behind it."""
    if change.without_dropout:
        for module in model.modules():
            if isinstance(module, DROPOUTS):
                module.p = 0.0
    if change.activation:
        replace_activations(model, change.activation)
    if change.gated:
        with_gates(model)
    if change.fitted:
        draw_anew(model, change.activation)
    if change.matched:
        match_output(model, y)
    if change.scaled_inputs:
        mean, spread = moments(x)
        model = nn.Sequential(Affine(1 / spread, -mean / spread), model)
    if change.scaled_targets:
        mean, spread = moments(y)
        model = nn.Sequential(model, Affine(spread, mean))
    return model


def changed_loss(loss: Any, change: Change, y: np.ndarray, model: nn.Module) -> Any:
    """A name or a function; the user's own where nothing about it changes. `model` is the user's."""
    if change.matched:
        loss = matched_loss(y, output_activation(model) is not None)
    if change.scaled_targets:
        return scaled_loss(loss if callable(loss) else NAMED[loss], y)
    return loss


NAMED: dict[str, Callable[..., Any]] = {"mse": F.mse_loss, "mae": F.l1_loss, "l1": F.l1_loss, "huber": F.huber_loss}


def changed_optimizer(optimizer: Any, model: nn.Module, rate: float, change: Change) -> Any:
    """A new optimizer of the same class and settings, with a constant rate and no state; or Adam."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    if change.adaptive:
        return optim.Adam(parameters, lr=change.adaptive)
    settings = {name: value for name, value in optimizer.param_groups[0].items()
                if name not in ("params", "param_names", "lr")}  # fmt: skip
    if isinstance(optimizer, optim.AdamW):
        settings.pop("decoupled_weight_decay", None)
    if change.without_penalty and "weight_decay" in settings:
        settings["weight_decay"] = 0.0
    if change.matched and "maximize" in settings:
        settings["maximize"] = False
    return type(optimizer)(parameters, lr=rate, **settings)


# --- weights and activations -----------------------------------------------------------------------------------------


def hidden_activations(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Parent and name of each activation but the last module: those of Thalweg, and modules without parameters."""
    last = _last(model)
    return [(parent, name) for parent, name, child in _places(model) if child is not last and _is_activation(child)]


def _places(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Parent, name and module of everything inside a model."""
    return [(parent, name, child) for parent in model.modules() for name, child in parent.named_children()]


def _last(model: nn.Module) -> nn.Module:
    """The module without children that was registered last; the model itself where it has none."""
    return [each for each in model.modules() if not each._modules][-1]


def _is_activation(module: nn.Module) -> bool:
    return isinstance(module, ACTIVATIONS) or _is_unknown(module)


def _is_unknown(module: nn.Module) -> bool:
    """A module of the user's own without parameters or children, such as an exponential."""
    is_own = not type(module).__module__.startswith("thalweg.nn")
    return is_own and not module._parameters and not module._modules and not module._buffers


def replace_activations(model: nn.Module, name: str) -> None:
    for parent, place in hidden_activations(model):
        parent.add_module(place, getattr(nn, name)())


def draw_anew(model: nn.Module, activation: str) -> None:
    """He or Glorot for every matrix and kernel, zeros for biases; normalisations stay as they are."""
    for _, module in model.named_modules():
        if isinstance(module, RECURRENT):
            draw_recurrent(module)
        weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
        if weight is None or weight.ndim < 2 or not weight.requires_grad:
            continue
        if activation in GAINS or (not activation and _mostly_rectified(model)):
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        else:
            nn.init.xavier_uniform_(weight)
        if bias is not None:
            nn.init.zeros_(bias)


def draw_recurrent(module: Any) -> None:
    """Glorot for what is given; recurrent weights that keep the size of the state (Saxe et al. 2014; of rectifiers the
    identity: Le et al. 2015); biases of zero, but 1 for forget gates (Jozefowicz et al. 2015).
    """
    is_rectified = getattr(module, "nonlinearity", "") == "relu"
    for name, own in module._parameters.items():
        if not own.requires_grad:
            continue
        if own.ndim == 1:
            nn.init.zeros_(own)
        elif name.startswith("weight_hh") and own.shape[1] == module.hidden_size:
            for gate in own.split(module.hidden_size):
                (nn.init.eye_ if is_rectified else nn.init.orthogonal_)(gate)
        else:
            nn.init.xavier_uniform_(own)
        if name.startswith("bias_ih") and isinstance(module, nn.LSTM):
            nn.init.ones_(own.split(module.hidden_size)[1])


def with_gates(model: nn.Module) -> None:
    """A layer of gated units, with the same results, in place of each plain recurrence inside the model."""
    for parent, place, module in _places(model):
        if isinstance(module, nn.RNN):
            made = nn.GRU(module.input_size, module.hidden_size, module.num_layers, module.bias, module.batch_first,
                          module.dropout, module.bidirectional)  # fmt: skip
            draw_recurrent(made)
            parent.add_module(place, made)


def _mostly_rectified(model: nn.Module) -> bool:
    names = [type(each).__name__ for each in model.modules() if isinstance(each, ACTIVATIONS)]
    return sum(name in GAINS for name in names) * 2 > len(names)


# --- output and loss -------------------------------------------------------------------------------------------------


def output_activation(model: nn.Module) -> tuple[nn.Module, str] | None:
    """Parent and name of the activation that the model ends with; None where it ends with scores or numbers."""
    last = _last(model)
    if not _is_activation(last):
        return None
    return next(((parent, name) for parent, name, child in _places(model) if child is last), None)


def match_output(model: nn.Module, y: np.ndarray) -> None:
    """In place of the activation that the model ends with: softmax for classes, sigmoid for two, none for numbers."""
    found = output_activation(model)
    if found is None:
        return
    fitting: dict[Kind, nn.Module] = {Kind.CLASSES: nn.Softmax(1), Kind.BINARY: nn.Sigmoid()}
    found[0].add_module(found[1], fitting.get(kind_of(y), nn.Identity()))


def kind_of(y: np.ndarray) -> Kind:
    if y.ndim == 1 and y.dtype.kind in "iu":
        return Kind.CLASSES
    return task_of(y, 1 if y.ndim == 1 else y.shape[1]).kind


def matched_loss(y: np.ndarray, of_probabilities: bool) -> Any:
    """Cross-entropy for classes, of probabilities or of scores; squared error for numbers."""
    kind = kind_of(y)
    if kind is Kind.VALUES:
        return "mse"
    middle = (float(y.min()) + float(y.max())) / 2

    def of_classes(output: Any, target: Any) -> Any:
        logs = output.clamp(min=LOWEST).log() if of_probabilities else F.log_softmax(output, 1)
        return F.nll_loss(logs, target if target.ndim == 1 else target.argmax(1))

    def of_two(output: Any, target: Any) -> Any:
        loss = F.binary_cross_entropy if of_probabilities else F.binary_cross_entropy_with_logits
        return loss(output, (target > middle).to(output.dtype))

    return of_two if kind is Kind.BINARY else of_classes


def scaled_loss(loss: Callable[..., Any], y: np.ndarray) -> Callable[..., Any]:
    """The loss of outputs and targets in units of the targets' spread."""
    mean, spread = moments(y)
    middle, size = from_numpy(mean.astype(np.float32)), from_numpy(spread.astype(np.float32))

    def of_scaled(prediction: Any, target: Any) -> Any:
        return loss((prediction - middle) / size, (target - middle) / size)

    return of_scaled


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread by feature, of images by channel; what never changes has spread 1."""
    axes = (0,) if values.ndim <= 2 else (0, *range(2, values.ndim))
    mean = values.mean(axes, keepdims=True, dtype=np.float64)
    spread = values.std(axes, keepdims=True, dtype=np.float64)
    return mean, np.where(spread > 0, spread, 1.0)
