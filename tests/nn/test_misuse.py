"""What users get wrong with layers and losses, and the message that each mistake must give.

In: one row a misuse. Out: the class of the error, and the words that say what was received, expected, and the remedy.
"""

# ruff: noqa: E501  (one row a misuse reads as a table)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn
from thalweg.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    IndexRangeError,
    NonFiniteError,
    ShapeError,
    StateError,
    ThalwegError,
)
from thalweg.nn import init, utils
from thalweg.nn.containers import ModuleKeyError
from thalweg.nn.module import MissingForwardError, ModuleAttributeError


@dataclass(frozen=True)
class Misuse:
    name: str
    action: Callable[[], object]
    error: type[ThalwegError]
    words: tuple[str, ...]


def early_assignment():
    class Net(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    Net()


def no_forward():
    class Net(nn.Module):
        pass

    Net()(tw.ones(1))


def parameter_from_tensor():
    layer = nn.Linear(2, 2)
    layer.weight = tw.ones(2, 2)


def buffer_from_array():
    layer = nn.BatchNorm1d(2)
    layer.running_mean = np.zeros(2)


def in_place_on_a_leaf():
    nn.ReLU(inplace=True)(tw.ones(2, requires_grad=True))


def in_place_value_that_is_needed():
    x = tw.ones(2, requires_grad=True)
    y = x.exp()
    nn.ReLU(inplace=True)(y)
    y.sum().backward()


def clip_a_nan():
    w = nn.Parameter(tw.ones(1))
    w.grad = tw.tensor([float("nan")])
    utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)


X, Y = tw.zeros(4, 3), tw.tensor([0, 1, 2, 0])

MISUSES = [
    # modules
    Misuse("assignment before super().__init__()", early_assignment, ModuleAttributeError, ("super().__init__()", "'layer'")),
    Misuse("no forward", no_forward, MissingForwardError, ("Net has no forward", "def forward")),
    Misuse("a list of modules is called", lambda: nn.ModuleList([nn.ReLU()])(X), MissingForwardError, ("ModuleList",)),
    Misuse("parameter from a tensor", parameter_from_tensor, DTypeError, ("Linear.weight is a parameter", "nn.Parameter")),
    Misuse("buffer from an array", buffer_from_array, DTypeError, ("running_mean is a buffer", "ndarray")),
    Misuse("module name with a dot", lambda: nn.Module().add_module("a.b", nn.ReLU()), ArgumentError, ("'a.b'", "no dot")),
    Misuse("module name of a method", lambda: nn.ModuleDict({"keys": nn.ReLU()}), ArgumentError, ("'keys'", "'keys_'")),
    Misuse("class instead of instance", lambda: nn.Sequential(nn.Linear(1, 1), nn.ReLU), DTypeError, ("class ReLU", "parentheses")),
    Misuse("function in a Sequential", lambda: nn.Sequential(F.relu), DTypeError, ("function", "nn.Module")),
    Misuse("list given to a Sequential", lambda: nn.Sequential([nn.ReLU()]), DTypeError, ("list",)),
    Misuse("register_buffer with an array", lambda: nn.Module().register_buffer("a", np.ones(1)), DTypeError, ("tw.tensor",)),
    Misuse("register_parameter with a tensor", lambda: nn.Module().register_parameter("a", X), DTypeError, ("nn.Parameter",)),
    Misuse("path of no module", lambda: nn.Sequential(nn.ReLU()).get_submodule("1"), ModuleAttributeError, ("'1'", "one of 0")),
    Misuse("path of no parameter", lambda: nn.Linear(1, 1).get_parameter("w"), ModuleAttributeError, ("'w'", "weight, bias")),
    Misuse("integer module", lambda: nn.Linear(1, 1).to("int64"), DTypeError, ("int64", "float32 or float64")),
    Misuse("a device that is not there", lambda: nn.Linear(1, 1).to("cuda:0"), ArgumentError, ("'cuda:0'", "'cpu'")),
    Misuse("a device by keyword", lambda: nn.Linear(1, 1).to(device="cuda"), ArgumentError, ("'cuda'",)),
    Misuse("train with text", lambda: nn.ReLU().train("yes"), ArgumentError, ("'yes'", "True or False")),
    Misuse("state of another network", lambda: nn.Linear(2, 2).load_state_dict({"w": np.ones(2)}), StateError, ("missing:", "unexpected: w")),
    Misuse("index beyond a Sequential", lambda: nn.Sequential(nn.ReLU())[1], IndexRangeError, ("-1 <= index < 1",)),
    Misuse("unknown name in a ModuleDict", lambda: nn.ModuleDict({"a": nn.ReLU()})["b"], ModuleKeyError, ("'b'", "'a'")),
    Misuse("summary without a shape", lambda: nn.Linear(1, 1).summary(), ArgumentError, ("batch axis", "summary((64, 784))")),
    # layers
    Misuse("wrong in_features", lambda: nn.Linear(4, 2)(X), ShapeError, ("(4, 3)", "in_features is 4", "layer:")),
    Misuse("0-d input", lambda: nn.Linear(4, 2)(tw.ones(())), ShapeError, ("in_features is 4",)),
    Misuse("integer input", lambda: nn.Linear(3, 2)(X.long()), DTypeError, ("int64 input", ".float()")),
    Misuse("float64 input", lambda: nn.Linear(3, 2)(np.ones((4, 3))), DTypeError, ("float64 input", ".float()", ".double()")),
    Misuse("list input", lambda: nn.Linear(3, 2)([1.0, 2.0, 3.0]), DTypeError, ("list", "tw.tensor")),
    Misuse("negative features", lambda: nn.Linear(3, -1), ArgumentError, ("out_features", "-1")),
    Misuse("features as float", lambda: nn.Linear(3.0, 1), ArgumentError, ("in_features", "3.0")),
    Misuse("index as float", lambda: nn.Embedding(3, 2)(X), DTypeError, ("integer indices", ".long()")),
    Misuse("index out of range", lambda: nn.Embedding(3, 2)(tw.tensor([0, 3])).tolist(), IndexRangeError, ("3 at position (1,)", "num_embeddings")),
    Misuse("negative index", lambda: nn.Embedding(3, 2)(tw.tensor([-1])).tolist(), IndexRangeError, ("-1 at position (0,)",)),
    Misuse("negative bound of norms", lambda: nn.Embedding(3, 2, max_norm=-1.0), ArgumentError, ("max_norm", "-1.0")),
    Misuse("bound of the norms of an array", lambda: F.embedding(tw.tensor([0]), np.ones((2, 2)), max_norm=1.0), DTypeError, ("max_norm", "ndarray", "tw.tensor")),
    Misuse("bound where an index is out of range", lambda: nn.Embedding(3, 2, max_norm=1.0)(tw.tensor([3])).tolist(), IndexRangeError, ("3 at position (0,)",)),
    Misuse("padding row that is not there", lambda: nn.Embedding(3, 2, padding_idx=3), ArgumentError, ("padding_idx", "< 3")),
    Misuse("dropout above 1", lambda: nn.Dropout(20), ArgumentError, ("0 <= p <= 1",)),
    Misuse("dropout below 0", lambda: F.dropout(X, -0.1), ArgumentError, ("0 <= p <= 1",)),
    Misuse("batch norm, batch of one", lambda: nn.BatchNorm1d(3)(tw.ones(1, 3)), ShapeError, ("more than one value", "drop_last", "eval()")),
    Misuse("batch norm, vector", lambda: nn.BatchNorm1d(3)(tw.ones(3)), ShapeError, ("(N, C)", "unsqueeze(0)")),
    Misuse("batch norm, image", lambda: nn.BatchNorm1d(3)(tw.ones(2, 3, 4, 4)), ShapeError, ("(N, C, L)",)),
    Misuse("batch norm, wrong channels", lambda: nn.BatchNorm1d(4)(X), ShapeError, ("3 channels", "4 channels", "num_features")),
    Misuse("batch norm without statistics", lambda: F.batch_norm(X, None, None), ArgumentError, ("running statistics", "training=True")),
    Misuse("layer norm, wrong shape", lambda: nn.LayerNorm(4)(X), ShapeError, ("(4, 3)", "(..., 4)")),
    Misuse("layer norm, dtype", lambda: nn.LayerNorm(3)(X.double()), DTypeError, ("float64 input",)),
    Misuse("unflatten", lambda: nn.Unflatten(1, (2, 2))(X), ShapeError, ("3 entries", "layer:")),
    Misuse("softmax without an axis", lambda: nn.Softmax()(X), ArgumentError, ("dim=-1", "dim=None")),
    Misuse("softmax on a missing axis", lambda: nn.Softmax(dim=2)(X), ShapeError, ("-2 <= dim < 2",)),
    Misuse("softmax of integers", lambda: F.softmax(X.long(), -1), DTypeError, ("int64", ".float()")),
    Misuse("unknown GELU", lambda: nn.GELU("erf"), ArgumentError, ("none, tanh", "'erf'")),
    Misuse("reversed limits", lambda: nn.Hardtanh(1.0, -1.0), ArgumentError, ("min_val < max_val",)),
    Misuse("in place on a leaf", in_place_on_a_leaf, GradientError, ("leaf tensor", "no_grad")),
    Misuse("in place on a needed value", in_place_value_that_is_needed, GradientError, ("overwritten in place",)),
    # losses
    Misuse("(N, 1) against (N,)", lambda: F.mse_loss(tw.zeros(4, 1), tw.zeros(4)), ShapeError, ("(4, 1)", "(4,)", "unsqueeze(-1)")),
    Misuse("(N,) against (N, 1)", lambda: nn.L1Loss()(tw.zeros(4), tw.zeros(4, 1)), ShapeError, ("target.squeeze(-1)",)),
    Misuse("unknown reduction", lambda: nn.MSELoss("average"), ArgumentError, ("'average'", "none, mean, sum")),
    Misuse("unknown reduction of a function", lambda: F.l1_loss(X, X, reduction="avg"), ArgumentError, ("l1_loss", "'avg'")),
    Misuse("float labels", lambda: F.cross_entropy(X, Y.float()), DTypeError, ("integers", ".long()")),
    Misuse("bool labels", lambda: F.nll_loss(X, Y.bool()), DTypeError, ("integers", "bool")),
    Misuse("labels as a column", lambda: F.cross_entropy(X, Y.unsqueeze(1)), ShapeError, ("(4, 1)", "squeeze")),
    Misuse("integer one-hot labels", lambda: F.cross_entropy(X, F.one_hot(Y, 3)), ShapeError, ("argmax(1)", ".float()")),
    Misuse("labels of another batch", lambda: F.cross_entropy(X, Y[:3]), ShapeError, ("(3,)", "same batch")),
    Misuse("label out of range", lambda: nn.CrossEntropyLoss()(X, Y + 1).item(), IndexRangeError,
           ("class label", "3 at position (2,)", "< 3", "count from 0", "CrossEntropyLoss")),
    Misuse("label below 0", lambda: F.nll_loss(X, Y - 1).item(), IndexRangeError, ("-1 at position (0,)", "nll_loss")),
    Misuse("label out of range in an image", lambda: F.cross_entropy(tw.zeros(2, 3, 2), tw.tensor([[0, 1], [5, 2]])).item(),
           IndexRangeError, ("5 at position (1, 0)",)),
    Misuse("too few class weights", lambda: F.cross_entropy(X, Y, tw.ones(2)), ShapeError, ("one entry for each class", "(3,)")),
    Misuse("weights as a list", lambda: nn.CrossEntropyLoss(weight=[1.0, 2.0, 3.0]), DTypeError, ("list", "tw.tensor")),
    Misuse("label smoothing above 1", lambda: F.cross_entropy(X, Y, label_smoothing=2.0), ArgumentError, ("0 <= it <= 1",)),
    Misuse("ignored index of probabilities", lambda: F.cross_entropy(X, X, ignore_index=1), ArgumentError, ("probabilities",)),
    Misuse("scores without classes", lambda: F.cross_entropy(tw.zeros(()), tw.tensor(0)), ShapeError, ("(N, C)",)),
    Misuse("integer scores", lambda: F.cross_entropy(X.long(), Y), DTypeError, ("int64", ".float()")),
    Misuse("targets of two-class scores", lambda: F.binary_cross_entropy_with_logits(tw.zeros(4, 1), tw.zeros(4)), ShapeError, ("(4, 1)",)),
    Misuse("pos_weight that does not fit", lambda: F.binary_cross_entropy_with_logits(X, X, pos_weight=tw.ones(4)), ShapeError, ("pos_weight",)),
    Misuse("weight that would enlarge", lambda: F.binary_cross_entropy(tw.ones(3), tw.ones(3), tw.ones(2, 3)), ShapeError, ("weight",)),
    Misuse("negative delta", lambda: F.huber_loss(X, X, delta=-1.0), ArgumentError, ("delta > 0",)),
    Misuse("negative beta", lambda: F.smooth_l1_loss(X, X, beta=-1.0), ArgumentError, ("beta >= 0",)),
    # initialisation and helpers
    Misuse("fan of a vector", lambda: init.kaiming_uniform_(tw.zeros(3)), ShapeError, ("two axes", "zeros_")),
    Misuse("unknown nonlinearity", lambda: init.calculate_gain("swish"), ArgumentError, ("'swish'", "leaky_relu")),
    Misuse("unknown mode", lambda: init.kaiming_normal_(X, mode="fan"), ArgumentError, ("fan_in, fan_out",)),
    Misuse("reversed bounds", lambda: init.uniform_(X, 1.0, 0.0), ArgumentError, ("a <= b",)),
    Misuse("negative deviation", lambda: init.normal_(X, std=-1.0), ArgumentError, ("std >= 0",)),
    Misuse("empty interval", lambda: init.trunc_normal_(X, a=1.0, b=1.0), ArgumentError, ("a < b",)),
    Misuse("identity vector", lambda: init.eye_(tw.zeros(3)), ShapeError, ("two axes",)),
    Misuse("named parameters to clip", lambda: utils.clip_grad_norm_(nn.Linear(1, 1).named_parameters(), 1.0), DTypeError, ("parameters()",)),
    Misuse("negative limit", lambda: utils.clip_grad_value_([], -1.0), ArgumentError, ("clip_value >= 0",)),
    Misuse("gradient that is NaN", clip_a_nan, NonFiniteError, ("nan", "learning rate")),
    Misuse("vector of the wrong length", lambda: utils.vector_to_parameters(tw.ones(3), [tw.ones(2)]), ShapeError, ("(2,)",)),
]  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSES, ids=[each.name for each in MISUSES])
def test_misuse(misuse):
    with pytest.raises(misuse.error) as caught:
        misuse.action()
    assert type(caught.value) is misuse.error
    for word in misuse.words:
        assert word in str(caught.value), str(caught.value)
    assert not str(caught.value).endswith("None")
