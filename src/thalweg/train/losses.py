"""What is minimised: a loss by name, module or function, made to fit the targets and the weights of examples.

In: a prediction, its targets, and perhaps one weight for each example. Out: one number, the mean over the batch:

    loss = Σ weight·loss(example) / Σ weight,   without weights the mean over the examples,

so a weight of 2 is the same as the example twice. Shapes decide everything here, never values, so a step that uses it
can be traced; `check` looks at the labels themselves, outside the step.
"""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.errors import ArgumentError, DataError, DTypeError, IndexRangeError, ShapeError, explain
from thalweg.nn import functional as F
from thalweg.tensor import Tensor
from thalweg.train.choices import unknown_name


class Targets(enum.Enum):
    """How a loss reads its targets."""

    CLASSES = "integer class labels (N, ...), or class probabilities (N, C, ...)"
    VALUES = "numbers in the shape of the prediction"
    BINARY = "labels 0 and 1 (or probabilities) in the shape of the prediction"
    ANY = "whatever the loss function takes"


@dataclass(frozen=True)
class Named:
    """A loss by name: the function, and how it reads its targets."""

    function: Callable[..., Tensor]
    targets: Targets


LOSSES: dict[str, Named] = {
    "cross_entropy": Named(F.cross_entropy, Targets.CLASSES),
    "nll": Named(F.nll_loss, Targets.CLASSES),
    "mse": Named(F.mse_loss, Targets.VALUES),
    "mae": Named(F.l1_loss, Targets.VALUES),
    "l1": Named(F.l1_loss, Targets.VALUES),
    "huber": Named(F.huber_loss, Targets.VALUES),
    "bce": Named(F.binary_cross_entropy, Targets.BINARY),
    "bce_with_logits": Named(F.binary_cross_entropy_with_logits, Targets.BINARY),
}
MODULES: dict[type, Targets] = {
    nn.CrossEntropyLoss: Targets.CLASSES,
    nn.NLLLoss: Targets.CLASSES,
    nn.MSELoss: Targets.VALUES,
    nn.L1Loss: Targets.VALUES,
    nn.HuberLoss: Targets.VALUES,
    nn.BCELoss: Targets.BINARY,
    nn.BCEWithLogitsLoss: Targets.BINARY,
}


class Objective:
    """A loss that takes weights: ``objective(prediction, target, weight) -> scalar tensor``.

    `loss` is a name of `LOSSES`, a loss module, or a function (prediction, target) -> scalar tensor. A function that is
    to be weighted returns one loss for each example instead.

    >>> import thalweg as tw
    >>> objective = Objective("mse")
    >>> objective(tw.tensor([[1.0], [3.0]]), tw.tensor([0.0, 0.0]), tw.tensor([3.0, 1.0]))
    tensor(3.)
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss
        self.name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
        if isinstance(loss, str):
            if loss not in LOSSES:
                raise unknown_name("loss", loss, LOSSES, "Trainer(loss=...)")
            self.targets, self._mean = LOSSES[loss].targets, LOSSES[loss].function
            self._each: Callable[..., Tensor] | None = _with_reduction(LOSSES[loss].function)
            return
        self.targets = next((kind for module, kind in MODULES.items() if isinstance(loss, module)), Targets.ANY)
        self._mean = _callable(loss)
        self._each = _unreduced(loss) if isinstance(loss, nn.Module) and hasattr(loss, "reduction") else None
        self.ignored = getattr(loss, "ignore_index", None)

    ignored: int | None = None

    @property
    def takes_logits(self) -> bool:
        """Whether binary predictions are logits, which a metric must know."""
        is_module = not isinstance(self.loss, str) and isinstance(self.loss, nn.BCEWithLogitsLoss)
        return is_module or (isinstance(self.loss, str) and self.loss == "bce_with_logits")

    def __call__(self, prediction: Tensor, target: Any, weight: Tensor | None = None) -> Tensor:
        target = self._fitted(prediction, target)
        if weight is None:
            return self._scalar(self._mean(prediction, target))
        each = self._per_example(prediction, target, weight)
        # All weights of a batch may be 0: then its loss is 0, not 0/0.
        return (each * weight).sum() / weight.sum().clamp(min=_SMALLEST)  # type: ignore[no-any-return]

    def _per_example(self, prediction: Tensor, target: Any, weight: Tensor) -> Any:
        each = (self._each or self._mean)(prediction, target)
        if not isinstance(each, Tensor) or each.ndim == 0 or each.shape[0] != weight.shape[0]:
            raise ShapeError(
                explain(
                    "this loss cannot be weighted: it gives one number for the whole batch",
                    received=f"shape {each.shape}" if isinstance(each, Tensor) else type(each).__name__,
                    expected=f"one loss for each example, shape ({weight.shape[0]}, ...)",
                    where=f"loss {self.name}",
                    remedy="return the losses before the mean, or name a loss such as 'mse'",
                )
            )
        return each.flatten(1).mean(1) if each.ndim > 1 else each

    def _scalar(self, loss: Any) -> Tensor:
        if isinstance(loss, Tensor) and loss.ndim == 0 and loss.dtype.is_floating_point:
            return loss
        raise ShapeError(
            explain(
                "the loss must be one number",
                received=f"a tensor of shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__,
                expected="a 0-d floating-point tensor",
                where=f"loss {self.name}",
                remedy="end it with .mean()",
            )
        )

    def _fitted(self, prediction: Tensor, target: Any) -> Any:
        """A column (N, 1) and a vector (N,) are the same examples; nothing else is broadcast."""
        if self.targets is Targets.ANY or not isinstance(target, Tensor):
            return target
        if self.targets is Targets.CLASSES:
            spatial = (prediction.shape[0], 1, *prediction.shape[2:])
            is_column = prediction.ndim >= 2 and target.shape == spatial and prediction.shape[1] != 1
            return target.squeeze(1) if is_column else target
        if target.shape != prediction.shape and _is_column_pair(prediction.shape, target.shape):
            return target.reshape(prediction.shape)
        if target.shape != prediction.shape:
            raise self._shape_mismatch(prediction.shape, target.shape)
        return target

    def count(self, target: np.ndarray) -> int:
        """Over how many examples the mean of a batch without weights was taken."""
        return len(target) if self.ignored is None else int((target != self.ignored).sum())

    # --- checks on shapes and labels, before a step ------------------------------------------------------------------

    def check_shapes(self, prediction: Tensor, target: np.ndarray) -> None:
        """Refuse targets whose shape or dtype this output can never match."""
        if self.targets is not Targets.CLASSES:
            return
        if prediction.ndim < 2 or prediction.shape[1] < 2:
            raise ShapeError(
                explain(
                    f"{self.name} needs one score for each class",
                    received=f"an output of shape {prediction.shape}",
                    expected="(N, C, ...) with C of 2 or more",
                    remedy="give the last layer one output for each class, or use the loss 'bce_with_logits'",
                )
            )
        if target.dtype.kind == "f":
            if target.shape != prediction.shape:
                raise self._float_labels(target)
            return
        spatial = (prediction.shape[0], *prediction.shape[2:])
        if target.shape != spatial and target.shape != (spatial[0], 1, *spatial[1:]):
            raise self._shape_mismatch(prediction.shape, target.shape, f"labels of shape {spatial}")

    def check_labels(self, target: np.ndarray, classes: int | None) -> None:
        """Refuse labels out of range, for a model with this many outputs (axis 1); any number of examples at once."""
        if self.targets is Targets.BINARY:
            self._check_range(target, 0, 1, "labels are 0 or 1")
        elif self.targets is Targets.CLASSES and target.dtype.kind != "f" and classes is not None:
            kept = target if self.ignored is None else target[target != self.ignored]
            remedy = f"the model's last layer has {classes} outputs: it needs one for each class, labels count from 0"
            self._check_range(kept, 0, classes - 1, f"the model tells {classes} classes apart", remedy)

    def visible(self, target: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Targets and weights for the metrics: labels that the loss ignores weigh nothing."""
        if self.ignored is None or (target != self.ignored).all():
            return target, weight
        is_seen = target != self.ignored
        own = np.ones(len(target)) if weight is None else weight
        return np.where(is_seen, target, 0), is_seen * own.reshape(-1, *[1] * (target.ndim - 1))

    def _check_range(self, target: np.ndarray, low: int, high: int, why: str, remedy: str | None = None) -> None:
        if not target.size or (target.min() >= low and target.max() <= high):
            return
        bad = np.flatnonzero((target < low) | (target > high) | (target != target))
        if bad.size:
            raise IndexRangeError(
                explain(
                    "a label is out of range",
                    received=f"{target.reshape(-1)[bad[0]]}, {bad.size} such labels in this batch",
                    expected=f"{low} to {high}: {why}",
                    where=f"targets of {self.name}",
                    remedy=remedy or "encode the two classes as 0 and 1",
                )
            )

    def _float_labels(self, target: np.ndarray) -> DTypeError:
        return DTypeError(
            explain(
                f"{self.name} takes integer class labels",
                received=f"dtype {target.dtype}, shape {target.shape}",
                expected=Targets.CLASSES.value,
                remedy="convert the labels with y.astype('int64'); for a regression use the loss 'mse'",
            )
        )

    def _shape_mismatch(self, prediction: Any, target: Any, expected: str | None = None) -> ShapeError:
        return ShapeError(
            explain(
                f"the targets do not have the shape that {self.name} compares with the model's output",
                received=f"output {tuple(prediction)}, targets {tuple(target)}",
                expected=expected or f"targets of shape {tuple(prediction)}; (N, 1) and (N,) count as the same",
                remedy="reshape the targets, or change the size of the last layer",
            )
        )


_SMALLEST = 1e-30


def _is_column_pair(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return len(shorter) == 1 and longer == (shorter[0], 1)


def _with_reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda prediction, target: function(prediction, target, reduction="none")


def _unreduced(module: Any) -> Any:
    """The same loss without the mean at its end."""
    other = copy.copy(module)
    other.reduction = "none"
    return other


def _callable(loss: Any) -> Callable[..., Tensor]:
    if isinstance(loss, type):
        remedy = f"make it an instance: {loss.__name__}()"
        raise DTypeError(explain("this is a class, not a loss", received=loss.__name__, remedy=remedy))
    if not callable(loss):
        expected = f"a name ({', '.join(LOSSES)}), a loss module or a function (prediction, target)"
        raise DTypeError(explain("this is no loss", received=repr(loss), expected=expected))
    return loss  # type: ignore[no-any-return]


# --- weights of classes ----------------------------------------------------------------------------------------------


def class_weights(given: Any) -> dict[int, float] | str | None:
    """Checked: a dictionary {class: weight}, a sequence with one weight for each class, "balanced", or None."""
    if given is None or (isinstance(given, str) and given == "balanced"):
        return given
    where = "class_weight"
    try:
        pairs = given.items() if isinstance(given, dict) else enumerate(np.asarray(given, dtype=np.float64).tolist())
        weights = {int(label): float(weight) for label, weight in pairs}
    except (TypeError, ValueError):
        expected = "{class: weight}, one weight for each class, 'balanced' or None"
        raise DTypeError(
            explain("these are no class weights", received=repr(given), expected=expected, where=where)
        ) from None
    if bad := {label: weight for label, weight in weights.items() if not 0 <= weight < np.inf}:
        raise ArgumentError(
            explain("a class weight is out of range", received=bad, expected="finite numbers, 0 or more", where=where)
        )
    return weights


def balanced_weights(labels: np.ndarray) -> dict[int, float]:
    """weight = N / (number of classes · count of the class), so that every class counts the same."""
    classes, counts = np.unique(labels, return_counts=True)
    return {
        int(label): float(labels.size / (len(classes) * count)) for label, count in zip(classes, counts, strict=True)
    }


def weights_of_labels(labels: np.ndarray, weights: dict[int, float]) -> np.ndarray:
    """The class weight of each example, float64; a class without one weighs 1."""
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] != 1 or (labels.dtype.kind == "f" and (flat != np.floor(flat)).any()):
        raise DataError(
            explain(
                "class weights need one class label for each example",
                received=f"targets of shape {labels.shape}, dtype {labels.dtype}",
                expected="integer labels of shape (N,)",
                where="class_weight",
                remedy="pass sample_weight instead",
            )
        )
    flat = flat[:, 0].astype(np.int64)
    found = np.ones(len(flat))
    for label, weight in weights.items():
        found[flat == label] = weight
    return found
