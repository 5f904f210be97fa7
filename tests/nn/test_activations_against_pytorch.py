"""Every activation against PyTorch, as a module and as a function, with every option, also at its kinks.

In: points that include 0, both limits of the clipped ones, and values large enough to overflow a careless formula. Out:
equal values and derivatives.
"""

import itertools
from functools import partial

import numpy as np
import pytest

from tests.nn.peers import DTYPES, compare, draw
from tests.support.sweep import sweep
from thalweg import nn

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

SHAPES = ((), (1,), (13,), (3, 5), (2, 1, 7), (0, 3), (2, 3, 2, 3))
SPECIAL = (0.0, -0.0, 1.0, -1.0, 6.0, 0.5, 2.0, -2.0, 1e-8, -1e-8, 20.0, -20.0, 50.0, -50.0)

OPTIONS = {
    "Sigmoid": [{}],
    "Tanh": [{}],
    "ReLU": [{}, {"inplace": True}],
    "ReLU6": [{}, {"inplace": True}],
    "LeakyReLU": [{}, {"negative_slope": 0.3}, {"negative_slope": 0.0}, {"negative_slope": 1.5}, {"inplace": True}],
    "ELU": [{}, {"alpha": 0.5}, {"alpha": 2.0}, {"inplace": True}],
    "SELU": [{}, {"inplace": True}],
    "GELU": [{}, {"approximate": "tanh"}],
    "SiLU": [{}, {"inplace": True}],
    "Softplus": [{}, {"beta": 2.0}, {"beta": 0.5, "threshold": 5.0}],
    "LogSigmoid": [{}],
    "Hardtanh": [{}, {"min_val": -2.0, "max_val": 0.5}, {"inplace": True}],
}
FUNCTIONS = {"LeakyReLU": "leaky_relu", "LogSigmoid": "logsigmoid"}
EVERY = [(name, options) for name, several in OPTIONS.items() for options in several]


@pytest.mark.parametrize(
    ("activation", "shape", "dtype"), sweep(itertools.product(EVERY, SHAPES, DTYPES), fraction=0.3, seed=11)
)
def test_activation_on_any_shape(activation, shape, dtype):
    name, options = activation
    rng = np.random.default_rng(0)
    check(name, options, draw(rng, shape, dtype, -4, 4), dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), EVERY)
def test_activation_at_special_points(name, options, dtype):
    rng = np.random.default_rng(0)
    for point in SPECIAL:  # one at a time: a tolerance relative to the largest would hide the small
        check(name, options, np.array([point], dtype), dtype, rng)


def check(name, options, x, dtype, rng):
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    # An operation in place needs an input that is not a leaf.
    # Below 1e-9 of the values of interest the two formulas round differently (GELU and SiLU far left).
    compare(torch, lambda a: ours(a * 1), lambda b: theirs(b * 1), [x], dtype, rng, floor=1e-3)
    if "inplace" not in options:
        function = FUNCTIONS.get(name, name.lower())
        compare(
            torch, lambda a: getattr(nn.functional, function)(a, **options),
            lambda b: getattr(torch.nn.functional, function)(b, **options), [x], dtype, rng, floor=1e-3,
        )  # fmt: skip


@pytest.mark.parametrize("name", [name for name, options in EVERY if "inplace" in options])
def test_in_place_activations_change_their_input(name):
    x = np.array([-1.5, 0.5, 8.0], "float32")
    for library, make in ((nn, __import__("thalweg").tensor), (torch.nn, torch.tensor)):
        given = make(x)
        returned = getattr(library, name)(inplace=True)(given)
        assert returned is given
        expected = getattr(torch.nn, name)()(torch.tensor(x)).numpy()
        np.testing.assert_allclose(given.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "shape", "dim", "dtype"),
    sweep(
        itertools.product(
            ("Softmax", "LogSoftmax"), ((1,), (7,), (3, 5), (2, 1, 3), (2, 3, 4, 5)), (0, 1, -1, 2), DTYPES
        ),
        fraction=0.5,
        seed=12,
    ),
)
def test_softmax(name, shape, dim, dtype):
    rng = np.random.default_rng(0)
    if dim >= len(shape):
        dim = len(shape) - 1
    x = draw(rng, shape, dtype, -30, 30)
    compare(torch, getattr(nn, name)(dim), getattr(torch.nn, name)(dim), [x], dtype, rng, floor=1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_functions(dtype):
    rng = np.random.default_rng(0)
    ours, theirs = nn.functional, torch.nn.functional
    x = draw(rng, (4, 5), dtype)
    calls = [("normalize", (p, dim), {}) for p, dim in ((2.0, 1), (2.0, 0), (1.0, -1), (3.0, 1))]
    calls += [("pad", (w,), {"value": value}) for w, value in (((1, 2), 0.0), ((0, 1, 2, 0), 3.5), ((-1, 1), -1.0))]
    for name, arguments, options in calls:
        a, b = (partial(_call, getattr(each, name), arguments, options) for each in (ours, theirs))
        compare(torch, a, b, [x], dtype, rng)
    labels = rng.integers(0, 4, (3, 2))
    for classes in (-1, 4, 9):
        a, b = ours.one_hot(labels, classes), theirs.one_hot(torch.tensor(labels), classes)
        assert a.dtype == "int64"
        assert (a.numpy() == b.numpy()).all()


def _call(function, arguments, options, x):
    return function(x, *arguments, **options)
