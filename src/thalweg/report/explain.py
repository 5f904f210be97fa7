"""`tw.explain(loss)` and `thalweg explain`: backpropagation as numbers that can be checked by hand.

In: a loss, or the flags of the command. Out: an `Explanation`, or the text of a small network's training step. The
numbers come from the graph, the reverse sweep and the chain rules that train every network: there is no second set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, TypeVar

from thalweg.errors import ConfigurationError, DTypeError
from thalweg.errors import explain as message
from thalweg.graph import Node
from thalweg.nn.module import Module
from thalweg.optim.optimizer import Optimizer
from thalweg.report.dense_example import tell as tell_dense
from thalweg.report.explanation import Explanation
from thalweg.report.notation import unique
from thalweg.report.settings import ACTIVATIONS, LOSSES, TEXTBOOK_LAYERS, complete
from thalweg.report.worked_example import tell
from thalweg.tensor.core import Tensor

Named = Mapping[str, Tensor] | Module
Number = TypeVar("Number", int, float)

MOST_WEIGHTS = 64  # of a network that is written out number by number


def explain(loss: Tensor, names: Named | None = None, optimizer: Optimizer | None = None) -> Explanation:
    """Take the computation of `loss` apart: every operation, its value, its chain rule, and the gradients on the way.

    For an operation with result y and operand x, the table BACKWARD shows the gradient g = dLoss/dy that arrives, the
    rule in terms of g, the local derivative dy/dx, and the product g * dy/dx that is passed on to x; where several
    products arrive at one place, they are added. Arrays of more than four entries are summarised, graphs of more than
    120 operations are summed up by layer. `loss` is a tensor with one entry, and stays as it is: `backward()` may
    follow.

    `names` maps names to tensors, or is a module, whose parameters have their paths; by default tensors are named as
    the caller's variables, and parameters by the paths of the modules among them. With an `optimizer`, the update that
    its next step would make of each leaf is shown as well, ``w - lr * dLoss/dw`` for plain gradient descent.

    `print` shows it as text, a notebook draws the graph, `to_html(path)` writes a page with the graph to move about in.

    Errors: `GradientError` where the graph is gone (after `backward()`, from a compiled step) or nothing requires a
    gradient; `ArgumentError` for a step of more than 2^27 numbers, since all of them are kept.

    >>> import thalweg as tw
    >>> w, x = tw.tensor(0.5, requires_grad=True), tw.tensor(2.0)
    >>> error = tw.sigmoid(w * x) - 1
    >>> loss = error * error
    >>> print(tw.explain(loss))
    loss 0.0723295, operations 4, leaves that collect a gradient 1
    <BLANKLINE>
    FORWARD
      operation                   value
      w * x                        1
      sigmoid(w * x)               0.731059
      error = sigmoid(w * x) - 1  -0.268941
      loss = error * error         0.0723295
    <BLANKLINE>
    BACKWARD
      result          arrives: g  operand         rule                                   local derivative  passed on
      loss             1          error           g * error + g * error                  -0.537883         -0.537883
      error           -0.537883   sigmoid(w * x)  g                                       1                -0.537883
      sigmoid(w * x)  -0.537883   w * x           g * sigmoid(w * x) * (1 - sigmoid(w * x))   0.196612     -0.105754
      w * x           -0.105754   w               g * x                                   2                -0.211508
    <BLANKLINE>
    GRADIENTS
      leaf  value  gradient
      w     0.5    -0.211508
    """
    if not isinstance(loss, Tensor):
        raise DTypeError(
            message("explain takes a loss", received=type(loss).__name__, expected="a tensor with one entry")
        )
    return Explanation(loss, _node_names(_variables(sys._getframe(1)) if names is None else names), optimizer)


def _variables(frame: FrameType) -> dict[str, Any]:
    """The tensors and modules that the caller has names for; its own variables come before those of its module."""
    found: dict[str, Any] = {}
    for name, value in (*frame.f_locals.items(), *frame.f_globals.items()):
        if isinstance(value, Tensor | Module) and not name.startswith("_"):
            found.setdefault(name, value)
    return found


def _node_names(names: Named | Mapping[str, Any]) -> dict[Node, str]:
    """A name for the node of each tensor; the first name of a tensor counts."""
    named: dict[Node, str] = {}
    taken: set[str] = set()
    for name, value in [("", names)] if isinstance(names, Module) else names.items():
        members = value.named_parameters() if isinstance(value, Module) else [(name, value)]
        for path, tensor in members:
            if tensor.node not in named:
                named[tensor.node] = unique(path, taken)
                taken.add(named[tensor.node])
    return named


# --- the command -----------------------------------------------------------------------------------------------------

_DESCRIPTION = """\
Backpropagation as a worked example in numbers: the value of every operation, the loss, then backwards for every
operation its local derivative and the product that the chain rule passes on, the gradient of every weight as such a
chain, the update w <- w - rate * dE/dw, and the loss after it.

Without flags, or with --layers 2,2,2 --activation sigmoid, it is the textbook case: inputs .05 and .10, targets .01 and
.99, weights .15 to .55, biases .35 and .60 that are not updated, rate 0.5; the loss falls from 0.298371 to 0.291028.
A network of more than 64 weights is explained array by array instead of number by number. A list whose first number is
negative needs an equals sign: --inputs=-1,2.

WHAT explains a network of your own instead: a run folder (its weights) or a recipe (freshly initialised): one step on
the first examples of its training part. --html writes a page in which the graph can be moved about in and asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `thalweg explain`."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "what",
        nargs="?",
        metavar="WHAT",
        help="a run folder, or what `thalweg train` takes (default: the textbook)",
    )
    add("--html", metavar="FILE", help="write a page with the graph drawn, instead of text")
    add("--examples", type=int, metavar="N", help="with WHAT: how many training examples (default 4, fewer if large)")
    add("--layers", type=_list_of(int), default=TEXTBOOK_LAYERS, metavar="N,N,...",
        help="sizes: inputs, hidden units, ..., outputs (default 2,2,2)")  # fmt: skip
    add("--activation", choices=list(ACTIVATIONS), default="sigmoid", help="of the hidden units (default sigmoid)")
    add("--output-activation", choices=list(ACTIVATIONS),
        help="of the outputs (default: sigmoid and tanh as the hidden units, otherwise identity)")  # fmt: skip
    add("--loss", choices=LOSSES, default="mse",
        help="mse: 1/2 sum (target - out)^2; cross_entropy: -sum target log softmax (default mse)")  # fmt: skip
    add("--rate", type=float, default=0.5, help="learning rate (default 0.5)")
    add("--steps", type=int, default=1, help="updates to make; the first is explained (default 1)")
    add("--inputs", type=_list_of(float), metavar="X,X,...", help="(default 0.05,0.1,0.15,...)")
    add("--targets", type=_list_of(float), metavar="X,X,...",
        help="(default 0.01,0.99,0.01,...; for cross_entropy 1,0,0,...)")  # fmt: skip
    add("--weights", type=_list_of(float), metavar="X,X,...",
        help="layer by layer, unit by unit, input by input (default: the textbook's, or --seed)")  # fmt: skip
    add("--biases", type=_list_of(float), metavar="X,X,...", help="unit by unit (default: the textbook's, or 0)")
    add("--freeze-biases", action=argparse.BooleanOptionalAction, default=None,
        help="hold the biases fixed (default: in the textbook case only)")  # fmt: skip
    add("--seed", type=int, help="draw the weights from this seed (default 0; in the textbook case none are drawn)")


EXAMPLE_FLAGS = ("layers", "activation", "output_activation", "loss", "rate", "steps", "inputs", "targets", "weights",
                 "biases", "freeze_biases", "seed")  # fmt: skip


def _list_of(kind: Callable[[str], Number]) -> Callable[[str], tuple[Number, ...]]:
    def parse(text: str) -> tuple[Number, ...]:
        try:
            return tuple(kind(each) for each in text.split(","))
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise argparse.ArgumentTypeError(f"expected {what} separated by commas, not {text!r}") from None

    return parse


def run(arguments: argparse.Namespace) -> int:
    """Print the example, or write its page; the exit status. `ConfigurationError` for flags that do not go together."""
    text, explanation = example_of(arguments)
    if arguments.html is None:
        print(text)
    else:
        sizes = "-".join(map(str, arguments.layers))
        print(written(explanation, arguments.html, f"Backpropagation through layers {sizes}", text))
    return 0


def refuse_example_flags(arguments: argparse.Namespace) -> None:
    """`ConfigurationError` for a flag of the worked example beside WHAT, which has a network of its own."""
    defaults = argparse.ArgumentParser()
    add_arguments(defaults)
    given = [name for name in EXAMPLE_FLAGS if getattr(arguments, name) != defaults.get_default(name)]
    if given:
        raise ConfigurationError(
            message("a run or a recipe has a network of its own", received=f"--{given[0].replace('_', '-')}",
                    expected=f"thalweg explain {arguments.what}, with --html and --examples")
        )  # fmt: skip


def written(explanation: Explanation, path: str, title: str, text: str = "") -> str:
    """Write the page; returns the line that says so. `ConfigurationError` where it cannot be written."""
    try:
        return f"explained  in {explanation.to_html(path, title, text)}"
    except OSError as error:
        raise ConfigurationError(
            message("the page cannot be written", received=error.strerror or str(error), where=path,
                    remedy="choose another file: --html FILE")
        ) from None  # fmt: skip


def example_of(arguments: argparse.Namespace) -> tuple[str, Explanation]:
    """The example that the flags ask for, as text and as data."""
    setting = complete(**{name: getattr(arguments, name) for name in EXAMPLE_FLAGS})
    return tell(setting) if len(setting.weights) <= MOST_WEIGHTS else tell_dense(setting)
