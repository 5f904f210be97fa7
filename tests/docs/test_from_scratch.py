"""docs/from_scratch.py is executed, and checked before anything is checked against it.

In: the file itself, loaded from its path. Out: its gradients agree with finite differences to first and second order,
it reproduces the textbook case, and its network learns.
"""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "docs" / "from_scratch.py"


def load():
    specification = importlib.util.spec_from_file_location("from_scratch", PATH)
    module = importlib.util.module_from_spec(specification)
    sys.modules["from_scratch"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


fs = load()


def broadcasting(a, b):
    return a * b + a / (b * b + 1.0) - b


def row_of(x):
    return fs.sum_to(x, (1, x.shape[1]))


LABELS = np.eye(4)[[1, 3, 0]]

# name -> (shapes of the inputs, a function of nodes whose result has any shape)
FUNCTIONS = {
    "add": (((3, 4), (3, 4)), lambda a, b: a + b),
    "multiply": (((3, 4), (3, 4)), lambda a, b: a * b),
    "an input used twice": (((3, 4),), lambda a: a * a + a),
    "negate and subtract": (((3, 4), (3, 4)), lambda a, b: -a - b * a),
    "power": (((3, 4),), lambda a: (a * a + 0.5) ** 1.7),
    "divide": (((3, 4), (3, 4)), lambda a, b: a / (b * b + 1.0)),
    "exp": (((3, 4),), fs.exp),
    "log": (((3, 4),), lambda a: fs.log(a * a + 1.0)),
    "tanh": (((3, 4),), fs.tanh),
    "sigmoid": (((3, 4),), fs.sigmoid),
    "relu": (((3, 4),), fs.relu),
    "matmul": (((3, 4), (4, 2)), lambda a, b: a @ b),
    "transpose": (((3, 4), (3, 2)), lambda a, b: a.T @ b),
    "broadcast rows": (((3, 4), (1, 4)), broadcasting),
    "broadcast columns": (((3, 4), (3, 1)), broadcasting),
    "broadcast both": (((3, 1), (4,)), broadcasting),
    "broadcast a scalar": (((3, 4), ()), broadcasting),
    "sum_to": (((3, 4),), lambda a: row_of(a) * row_of(a * a)),
    "mean": (((3, 4),), lambda a: fs.mean(a * a)),
    "log_softmax": (((3, 4),), fs.log_softmax),
    "cross_entropy": (((3, 4),), lambda a: fs.cross_entropy(a, LABELS)),
    "a network": (
        ((3, 4), (4, 5), (1, 5), (5, 2), (1, 2)),
        lambda x, *parameters: fs.network(x, parameters, activation=fs.tanh),
    ),
}


def scalar_problem(name, seed=0):
    """The inputs, a weighted sum of the function's results, and arrays to put in."""
    shapes, body = FUNCTIONS[name]
    rng = np.random.default_rng(seed)
    inputs = [fs.variable(*shape) for shape in shapes]
    result = body(*inputs)
    weights = rng.normal(size=result.shape)
    return inputs, fs.total(result * weights), [rng.normal(size=shape) for shape in shapes], rng


def directional(nodes, directions):
    """The sum of <node, direction>: the derivative along one direction."""
    parts = [fs.total(node * direction) for node, direction in zip(nodes, directions, strict=True)]
    return sum(parts[1:], parts[0])


def central_difference(run, arrays, directions, step=1e-6):
    def at(sign):
        return run(*(a + sign * step * d for a, d in zip(arrays, directions, strict=True)))[0]

    return (at(+1) - at(-1)) / (2 * step)


def check_along_a_direction(inputs, scalar, arrays, rng):
    directions = [rng.normal(size=a.shape) for a in arrays]
    slope = directional(fs.gradient(scalar, inputs), directions)
    (analytic,) = fs.function(inputs, [slope])(*arrays)
    numeric = central_difference(fs.function(inputs, [scalar]), arrays, directions)
    assert analytic == pytest.approx(numeric, rel=1e-6, abs=1e-7)
    return slope


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_agree_with_finite_differences_to_second_order(name, seed):
    inputs, scalar, arrays, rng = scalar_problem(name, seed)
    slope = check_along_a_direction(inputs, scalar, arrays, rng)
    check_along_a_direction(inputs, slope, arrays, rng)


def test_the_check_sees_a_rule_that_is_a_thousandth_wrong(monkeypatch):
    right = fs.PRIMITIVES["tanh"]
    wrong = fs.Primitive(right.numpy, lambda g, y, x: (g * (1.0 - y * y) * 1.001,), right.shape)
    monkeypatch.setitem(fs.PRIMITIVES, "tanh", wrong)
    with pytest.raises(AssertionError):
        check_along_a_direction(*scalar_problem("tanh"))


def test_derivatives_of_tanh_up_to_the_fourth():
    x = fs.variable()
    derivatives = [fs.tanh(x)]
    for _ in range(4):
        derivatives += fs.gradient(derivatives[-1], [x])
    values = fs.function([x], derivatives)(0.3)
    y = np.tanh(0.3)
    s = 1 - y**2
    np.testing.assert_allclose(values, [y, s, -2 * y * s, s * (6 * y**2 - 2), y * s * (16 - 24 * y**2)], rtol=1e-13)


def test_an_unused_input_has_gradient_zero_in_its_own_shape():
    used, unused = fs.variable(), fs.variable(2, 3)
    (value,) = fs.function([used, unused], fs.gradient(used * used, [unused]))(1.0, np.ones((2, 3)))
    np.testing.assert_array_equal(value, np.zeros((2, 3)))


def test_the_gradient_of_something_in_the_middle():
    x = fs.variable()
    middle = x * x
    values = fs.function([x], fs.gradient(middle * middle, [middle, x]))(3.0)
    np.testing.assert_allclose(values, [18.0, 108.0])


def test_a_chain_of_ten_thousand_operations_needs_no_recursion():
    x = fs.variable()
    y = x
    for _ in range(10_000):
        y = y + 1.0
    np.testing.assert_array_equal(fs.function([x], [y, *fs.gradient(y, [x])])(0.0), [10_000.0, 1.0])


def test_log_softmax_of_huge_scores_is_finite_in_value_and_gradient():
    x = fs.variable(1, 3)
    value, slope = fs.function([x], [loss := fs.cross_entropy(x, [[0.0, 0.0, 1.0]]), *fs.gradient(loss, [x])])(
        [[1e4, 0.0, -1e4]]
    )
    assert value == pytest.approx(2e4)
    np.testing.assert_allclose(slope, [[1.0, 0.0, -1.0]])


def test_wrong_shapes_are_refused_when_the_graph_is_built():
    with pytest.raises(ValueError, match="multiply"):
        fs.variable(2, 3) @ fs.variable(2, 3)
    with pytest.raises(ValueError, match="sum or mean"):
        fs.gradient(fs.variable(2), [])
    x = fs.variable()
    with pytest.raises(ValueError, match="missing from the inputs"):
        fs.function([], [x])()


# The worked example in numbers by Matt Mazur, "A Step by Step Backpropagation Example" (2015).
TEXTBOOK = {
    "inputs": [[0.05, 0.10]],
    "targets": [[0.01, 0.99]],
    "parameters": [[[0.15, 0.25], [0.20, 0.30]], [[0.35, 0.35]], [[0.40, 0.50], [0.45, 0.55]], [[0.60, 0.60]]],
    "updated hidden weights": [[0.149780716, 0.24975114], [0.19956143, 0.29950229]],
    "updated output weights": [[0.35891648, 0.51130127], [0.408666186, 0.561370121]],
}


def test_the_textbook_case_before_and_after_one_update():
    arrays = [np.array(values) for values in TEXTBOOK["parameters"]]
    x, parameters = fs.variable(1, 2), [fs.variable(*a.shape) for a in arrays]
    outputs = fs.sigmoid(fs.network(x, parameters, activation=fs.sigmoid))
    error = fs.total((outputs - np.array(TEXTBOOK["targets"])) ** 2) * 0.5
    weights = parameters[::2]  # the example leaves the biases as they are
    updated, _ = fs.sgd(0.5)(weights, fs.gradient(error, weights), [])
    step = fs.function([x, *parameters], [error, outputs, *updated])

    before, values, hidden, output = step(TEXTBOOK["inputs"], *arrays)
    assert before == pytest.approx(0.298371109, abs=5e-10)
    np.testing.assert_allclose(values, [[0.75136507, 0.772928465]], atol=5e-9)
    np.testing.assert_allclose(hidden, TEXTBOOK["updated hidden weights"], atol=5e-9)
    np.testing.assert_allclose(output, TEXTBOOK["updated output weights"], atol=5e-9)
    after = step(TEXTBOOK["inputs"], hidden, arrays[1], output, arrays[3])[0]
    assert after == pytest.approx(0.291027924, abs=2e-7)  # as printed in the text, where it was rounded on the way
    assert after == pytest.approx(0.2910277737, abs=5e-11)  # in double precision


def test_the_first_adam_step_has_the_length_of_the_learning_rate():
    w, state = fs.variable(2), [fs.variable(), fs.variable(2), fs.variable(2)]
    loss = fs.total(w * w * np.array([1.0, -100.0]))
    (updated,), _ = fs.adam(0.01)([w], fs.gradient(loss, [w]), state)
    (value,) = fs.function([w, *state], [updated])([1.0, 1.0], 0.0, np.zeros(2), np.zeros(2))
    np.testing.assert_allclose(value, [0.99, 1.01], atol=1e-8)


@pytest.mark.parametrize(("update", "steps"), [(fs.sgd(0.3), 1000), (fs.adam(0.01), 400)], ids=["sgd", "adam"])
def test_the_network_learns_the_spirals(update, steps):
    lines = []
    losses, accuracy = fs.train(update, steps, report=lines.append)
    assert losses[-1] < 0.05 * losses[0]
    assert accuracy > 0.95
    assert "loss" in lines[0]
    assert "accuracy" in lines[-1]


def test_it_runs_as_a_program_and_prints_the_loss():
    done = subprocess.run([sys.executable, "-W", "error", str(PATH)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("loss") > 10


def test_it_stands_alone():
    tree = ast.parse(PATH.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert imported - set(sys.stdlib_module_names) == {"numpy"}
