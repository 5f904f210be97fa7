"""Faults that no schema of layers can say: parts that share examples, layers that nobody calls, stale optimizers.

In: a `SetUp` of a healthy case. Out: the same with one fault in it, as a user makes it by mistake. What is wrong is
written here and in the case's label, which diagnosis does not see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import thalweg as tw
from thalweg import nn
from thalweg.nn import functional as F

CLASSES, NUMBERS = "circle", "regression_friedman"


class Fault(NamedTuple):
    """What is done, the label, the number of the layer at fault (None: no layer's), and on which data."""

    plant: Callable[[Any], None]
    label: str
    layer: int | None = None
    data: tuple[str, ...] = (CLASSES, NUMBERS)
    always: bool = True
    """Whether it is a fault however well the run does."""
    layers: tuple[dict[str, Any], ...] = ()
    """Layers that the case has besides."""


class Skipping(nn.Sequential):
    """A sequence of which `forward` leaves some layers out."""

    def __init__(self, *modules: nn.Module, left_out: range) -> None:
        super().__init__(*modules)
        self.left_out = left_out

    def forward(self, x: Any) -> Any:
        for number, module in enumerate(self.children()):
            x = x if number in self.left_out else module(x)
        return x


class Cut(nn.Module):
    """Lets values through and no gradient, or only whole numbers."""

    def __init__(self, rounds: bool) -> None:
        super().__init__()
        self.rounds = rounds

    def forward(self, x: Any) -> Any:
        return x.round() if self.rounds else x.detach()


def shared_examples(made: Any) -> None:
    """A third of the validation part is taken from the training part."""
    (x, y), (x_validation, y_validation) = made.training, made.validation
    count = len(x_validation) // 3
    made.validation = (np.concatenate([x[:count], x_validation[count:]]),
                       np.concatenate([y[:count], y_validation[count:]]))  # fmt: skip


def oversampled(made: Any) -> None:
    """Every example stands there twice, and was then dealt out to the parts."""
    x, y = (np.concatenate(pair) for pair in zip(made.training, made.validation, strict=True))
    order = np.random.default_rng(0).permutation(2 * len(x)) % len(x)
    count = len(made.training[0])
    made.training, made.validation = (x[order[:count]], y[order[:count]]), (x[order[count:]], y[order[count:]])


def lazy_statistics(made: Any) -> None:
    """A momentum of normalisation with which running statistics never arrive."""
    for module in made.trainer.model.modules():
        if hasattr(module, "momentum"):
            module.momentum = 1e-5


def frozen_output(made: Any) -> None:
    """The head was set to zero, and frozen."""
    last = made.trainer.model[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    last.requires_grad_(False)


def all_frozen(made: Any) -> None:
    """Everything but the first bias is frozen."""
    made.trainer.model.requires_grad_(False)
    made.trainer.model[0].bias.requires_grad_(True)


def uncalled_layers(made: Any) -> None:
    """`forward` goes from the first layer to the last, past all activations."""
    model = made.trainer.model
    made.trainer.model = Skipping(*model, left_out=range(1, len(model) - 1))


def stale_optimizer(made: Any) -> None:
    """All layers but the first were made anew behind the optimizer's back, and the head is far too small."""
    model = made.trainer.model
    for number, old in enumerate(list(model)):
        if isinstance(old, nn.Linear) and number > 0:
            model[number] = nn.Linear(old.in_features, old.out_features)
    with tw.no_grad():
        model[-1].weight.mul_(1e-3)


def cut_off(rounds: bool) -> Callable[[Any], None]:
    def plant(made: Any) -> None:
        """A module that stops the gradient stands before the last layer, whose own weights do not see much."""
        model = made.trainer.model
        model[7] = nn.Sequential(Cut(rounds), nn.Sigmoid() if rounds else nn.ReLU())
        if not rounds:
            with tw.no_grad():
                model[0].weight.mul_(1e-3)

    return plant


def labels_from_one(made: Any) -> None:
    """Classes counted from 1, under a loss that forgives it."""
    made.training, made.validation = ((x, y.reshape(len(y)).astype(np.int64) + 1)
                                      for x, y in (made.training, made.validation))  # fmt: skip
    outputs = made.trainer.model[-1].out_features
    made.trainer.objective = type(made.trainer.objective)(
        lambda prediction, target: F.cross_entropy(prediction, target.clamp(0, outputs - 1))
    )


NORMALISED = ({"kind": "batchnorm"},)
FAULTS: dict[str, Fault] = {
    "shared": Fault(shared_examples, "data_leakage"),
    "oversampled": Fault(oversampled, "data_leakage"),
    "statistics": Fault(lazy_statistics, "train_eval_disagreement", layers=NORMALISED),
    "frozen-output": Fault(frozen_output, "frozen_parameter", 5, always=False),
    "all-frozen": Fault(all_frozen, "frozen_parameter", 5, always=False),
    "uncalled": Fault(uncalled_layers, "unused_parameter", 1, always=False),
    "stale": Fault(stale_optimizer, "untouched_parameter", 1, always=False),
    "detached": Fault(cut_off(False), "untouched_parameter", 3, always=False),
    "rounded": Fault(cut_off(True), "untouched_parameter", 3, always=False),
    "labels-from-one": Fault(labels_from_one, "label_range", 5, data=("circle", "blob")),
}
