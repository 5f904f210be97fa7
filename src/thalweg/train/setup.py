"""What a trainer is made of, as plain values: how a file says which model, loss, optimizer and metrics it needs.

In: a Trainer. Out: a description in JSON's types; from a description the model, built of `nn`'s own layers. No class of
anybody else is ever imported or called because a file names it: such models are made by the reader's own code.
"""

from __future__ import annotations

import ast
from typing import Any

from thalweg import nn, optim
from thalweg.errors import ConfigurationError, FileFormatError, ThalwegError, explain
from thalweg.nn.module import Module
from thalweg.tensor.random import default_generator
from thalweg.train import checkpoint
from thalweg.train.losses import LOSSES
from thalweg.train.metrics import get_metric


def save_trainer(path: Any, trainer: Any) -> None:
    """Write a checkpoint that also says what the trainer is made of."""
    taken = checkpoint.take(trainer)
    checkpoint.write(path, taken._replace(details=taken.details | {"setup": setup_of(trainer)}))


def setup_of(trainer: Any) -> dict[str, Any]:
    """What can be made again from names and numbers; None for what cannot."""
    name = trainer.objective.name
    kind = type(trainer.optimizer)
    is_one_group = len(trainer.optimizer.param_groups) == 1
    return {
        "model": describe(trainer.model),
        "model_text": repr(trainer.model),
        "dtypes": sorted({each.dtype.name for each in trainer.model.parameters()}),
        "loss": name if name in LOSSES else None,
        "optimizer": kind.__name__ if is_one_group and getattr(optim, kind.__name__, None) is kind else None,
        "metrics": [each.name if _is_known(each) else None for each in trainer.metrics],
        "clip_norm": trainer.clip_norm, "clip_value": trainer.clip_value, "seed": trainer.seed,
        "has_penalties": bool(trainer.penalties), "has_class_weight": trainer.class_weight is not None,
    }  # fmt: skip


def _is_known(metric: Any) -> bool:
    """Whether the metric's name makes the same metric."""
    try:
        made = get_metric(metric.name)
    except ThalwegError:
        return False
    plain = {**vars(made), "sums": None, "from_logits": None}  # which a Trainer sets, from its loss
    own = {**vars(metric), "sums": None, "from_logits": None}
    return type(made) is type(metric) and repr(plain) == repr(own)


# --- models of nn's own layers ---------------------------------------------------------------------------------------


def describe(model: Module) -> dict[str, Any] | None:
    """The layers with their settings, if `build` can make the same of them."""
    found = _described(model)
    if found is None:
        return None
    random_state = default_generator.get_state()
    try:
        made = build(found)
    except (ThalwegError, TypeError, ValueError):
        return None
    finally:
        default_generator.set_state(random_state)  # initial weights were drawn, which nobody shall notice
    known, own = made.state_dict(), model.state_dict()
    shapes = [{name: each.shape for name, each in state.items()} for state in (known, own)]
    return found if repr(made) == repr(model) and shapes[0] == shapes[1] else None


def _described(model: Module) -> dict[str, Any] | None:
    name = type(model).__name__
    if getattr(nn, name, None) is not type(model):
        return None
    children = dict(model.named_children())
    if not children:
        return {"layer": name, "settings": model.extra_repr()}
    if type(model) is not nn.Sequential or list(children) != [str(index) for index in range(len(children))]:
        return None
    parts = [_described(each) for each in children.values()]
    return None if None in parts else {"layer": name, "layers": parts}


def build(description: Any) -> Module:
    """The model of a description: layers of `nn` by name, with literal settings."""
    name = description["layer"]
    kind = getattr(nn, name, None) if isinstance(name, str) and name in nn.__all__ else None
    if not (isinstance(kind, type) and issubclass(kind, Module)):
        raise _unreadable(repr(name)[:80])
    if "layers" in description:
        if kind is not nn.Sequential:
            raise _unreadable(repr(name)[:80])
        return nn.Sequential(*[build(each) for each in description["layers"]])
    positional, named = _literals(description["settings"])
    made: Module = kind(*positional, **named)
    return made


def _literals(settings: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments as they stand in a layer's text; literals only."""
    try:
        call = ast.parse(f"f({settings})", mode="eval").body
        if not isinstance(call, ast.Call) or any(each.arg is None for each in call.keywords):
            raise ValueError("these are no arguments")
        named = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        return [ast.literal_eval(each) for each in call.args], named
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise _unreadable(f"{settings[:80]!r}: {error}") from None


def _unreadable(received: str) -> FileFormatError:
    return FileFormatError(
        explain("the file describes a layer that nn does not have", received=received, where="load_trainer",
                expected="layers of tw.nn with literal settings",
                remedy="pass the model: load_trainer(path, model=...)")
    )  # fmt: skip


def needed(what: str, argument: str, path: Any) -> ConfigurationError:
    """The error for what a file cannot hold."""
    return ConfigurationError(
        explain(f"the file cannot say which {what} the trainer had, because it is your own code", where=str(path),
                expected=f"load_trainer(path, {argument}=...)", remedy=f"pass the same {what} as when it was saved")
    )  # fmt: skip
