"""The optimizer of a Trainer, by name, class or instance.

In: what the user gave, the model, a learning rate.
Out: an optimizer that updates the model's parameters, or an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg import optim
from thalweg.errors import ArgumentError, ConfigurationError, DTypeError, GradientError, explain
from thalweg.train.choices import unknown_name

# LBFGS asks for the loss several times in a step; Muon is for matrices, which a model has beside other parameters.
_NOT_BY_NAME = (optim.Optimizer, optim.LBFGS, optim.Muon)
OPTIMIZERS: dict[str, type] = {
    name.lower(): value
    for name, value in ((name, getattr(optim, name)) for name in optim.__all__)
    if isinstance(value, type) and issubclass(value, optim.Optimizer) and value not in _NOT_BY_NAME
}


def optimizer_of(given: Any, model: Any, lr: Any) -> Any:
    """An optimizer for the model's parameters: by name, from a class (or any function of parameters), or as it is."""
    if isinstance(given, optim.Optimizer):
        if lr is not None:
            remedy = "leave lr out, or pass the class: optimizer=tw.optim.Adam, lr=..."
            problem = "the optimizer has a learning rate of its own"
            raise ConfigurationError(explain(problem, received=f"lr={lr}", where="Trainer", remedy=remedy))
        return given
    make = _maker(given)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise _nothing_to_train(len(list(model.parameters())))
    made = make(model.parameters()) if lr is None else make(model.parameters(), lr=lr)
    if not isinstance(made, optim.Optimizer):
        expected = "a function of the parameters that returns an optimizer"
        raise DTypeError(explain("this makes no optimizer", received=type(made).__name__, expected=expected))
    return made


def _maker(given: Any) -> Callable[..., Any]:
    if isinstance(given, str):
        if given.lower() not in OPTIMIZERS:
            raise unknown_name("optimizer", given, OPTIMIZERS, "Trainer(optimizer=...)")
        return OPTIMIZERS[given.lower()]
    if not callable(given):
        expected = f"a name ({', '.join(OPTIMIZERS)}), an Optimizer or its class"
        raise DTypeError(explain("this is no optimizer", received=repr(given), expected=expected))
    return given  # type: ignore[no-any-return]


def _nothing_to_train(count: int) -> GradientError:
    return GradientError(
        explain(
            "the model has nothing to train",
            received=f"{count} parameters, none of which requires a gradient" if count else "no parameters",
            expected="at least one parameter with requires_grad=True",
            remedy="add a layer with parameters, or unfreeze some with requires_grad_()",
        )
    )


def check_parameters(optimizer: Any, model: Any) -> None:
    """Refuse an optimizer that updates other tensors than the model's, or only frozen ones."""
    own = {id(parameter) for parameter in model.parameters()}
    updated = [each for group in optimizer.param_groups for each in group["params"]]
    if not any(id(each) in own for each in updated):
        raise ArgumentError(
            explain(
                "the optimizer does not update this model",
                received=f"{len(updated)} tensors, none of them a parameter of the model",
                expected="the parameters of the model that is trained",
                remedy="build it with model.parameters() of this model, after any change of its layers",
            )
        )
    if not any(each.requires_grad for each in updated):
        raise _nothing_to_train(len(updated))
