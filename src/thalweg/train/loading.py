"""`load_trainer`: a whole trainer from one file, ready to predict, to evaluate or to go on.

In: a file of `Trainer.save`, and whatever of it was the user's own code. Out: the Trainer. Nothing is unpickled.
Weights alone are `save_weights` and `load_weights`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from thalweg import optim
from thalweg.errors import FileFormatError, explain
from thalweg.nn.module import Module
from thalweg.train import checkpoint
from thalweg.train.setup import build, needed
from thalweg.train.trainer import Trainer


def load_trainer(
    path: str | os.PathLike[str], model: Module | Callable[[], Module] | None = None, **arguments: Any
) -> Trainer:
    """The trainer that `Trainer.save` wrote: model, optimizer with its state, loss, metrics, counts.

    Args:
        path: the file.
        model: the model, or a function that makes it; needed unless it is a layer of `tw.nn` or an `nn.Sequential` of
            them. Its weights are replaced by those of the file.
        **arguments: of `Trainer`, in place of what the file says. Own losses, metrics and optimizers (and one with
            several parameter groups), penalties and class weights are code or data of yours: they must be passed.
            Callbacks are not in the file.

    ``fit(..., initial_epoch=trainer.epochs_trained)`` then trains on.

    Raises:
        FileFormatError: no file of `Trainer.save`, or damaged. ConfigurationError: something must be passed.
        StateError: the model is another.

    >>> import tempfile, numpy as np, thalweg as tw
    >>> model = tw.nn.Sequential(tw.nn.Linear(2, 8), tw.nn.ReLU(), tw.nn.Linear(8, 2))
    >>> trainer = tw.Trainer(model, optimizer="adamw", lr=0.1, metrics=["accuracy"], progress=False)
    >>> x = np.eye(2); _ = trainer.fit((x, [0, 1]), epochs=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer.save(folder + "/trainer.safetensors")
    ...     again = tw.load_trainer(folder + "/trainer.safetensors", progress=False)
    >>> again
    Trainer(Sequential, loss=cross_entropy, optimizer=AdamW, epochs_trained=3)
    >>> bool((again.predict(x) == trainer.predict(x)).all())
    True
    """
    found = checkpoint.read(path)
    setup = found.details.get("setup")
    if not isinstance(setup, dict):
        raise FileFormatError(
            explain("this checkpoint does not say what the trainer was made of", where=str(path),
                    expected="a file of Trainer.save", remedy="build the Trainer, then trainer.load_checkpoint(path)")
        )  # fmt: skip
    try:
        trainer = Trainer(_model(setup, model, path), **(_arguments(setup, arguments, path) | arguments))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(
            explain("the trainer's description is damaged", received=repr(error), where=str(path))
        ) from None
    checkpoint.put_back(found, trainer, path)
    return trainer


def _model(setup: dict[str, Any], given: Any, path: Any) -> Module:
    if given is None:
        if setup["model"] is None:
            raise needed("model", "model", path)
        made = build(setup["model"])
        return made.double() if setup["dtypes"] == ["float64"] else made
    return given if isinstance(given, Module) else given()


def _arguments(setup: dict[str, Any], given: dict[str, Any], path: Any) -> dict[str, Any]:
    """What the file says, unless it is given; an error for what must be."""
    absent = {"loss": setup["loss"] is None, "optimizer": setup["optimizer"] is None,
              "metrics": None in setup["metrics"], "penalties": setup["has_penalties"],
              "class_weight": setup["has_class_weight"]}  # fmt: skip
    for name, is_absent in absent.items():
        if is_absent and name not in given:
            raise needed(name, name, path)
    found = {name: setup[name] for name in ("clip_norm", "clip_value", "seed")}
    if not absent["loss"]:
        found["loss"] = setup["loss"]
    if not absent["optimizer"] and setup["optimizer"] in optim.__all__:
        found["optimizer"] = getattr(optim, setup["optimizer"])
    if not absent["metrics"]:
        found["metrics"] = setup["metrics"]
    return found
