"""Backpropagation from scratch: the whole of Thalweg's idea in one file that needs only NumPy.

Read it from top to bottom; run it with `python docs/from_scratch.py` and a small network learns to tell two spirals
apart. Each section is one room of the real library: a graph (thalweg/graph.py), a table of primitives with their chain
rules (thalweg/ops), the reverse sweep (thalweg/gradient.py), an evaluator (thalweg/compile), and a network with its
optimizers (thalweg/nn, thalweg/optim). The tests use it as an oracle: another program, with the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

# ---------------------------------------------------------------------------------------------------------------------
# 1. The graph
#
# A program that trains a network computes a number, the loss, from other numbers. We write down *how* before we compute
# anything: each operation is a node that knows its operation, the nodes it takes as inputs, and its shape. Nodes
# never change. So a program is data: we can walk over it, print it, and derive a new program from it. The gradient will
# be such a derived program, made of the same kind of nodes, which is why gradients of gradients need no further idea.


@dataclass(frozen=True, eq=False)
class Node:
    """One operation on arrays. `static` holds what is known before any number is: an axis, an exponent, a shape."""

    op: str
    inputs: tuple[Node, ...]
    shape: tuple[int, ...]
    static: dict[str, Any] = field(default_factory=dict)

    __array_ufunc__ = None  # lets `array - node` reach __rsub__ instead of NumPy

    def __repr__(self) -> str:
        return f"{self.op}{list(self.shape)}"

    def __add__(self, other: Operand) -> Node:
        return elementwise("add", self, other)

    def __mul__(self, other: Operand) -> Node:
        return elementwise("multiply", self, other)

    def __neg__(self) -> Node:
        return self * -1.0

    def __sub__(self, other: Operand) -> Node:
        return self + -as_node(other)

    def __rsub__(self, other: Operand) -> Node:
        return -self + other

    def __pow__(self, exponent: float) -> Node:
        return apply("power", self, exponent=float(exponent))

    def __truediv__(self, other: Operand) -> Node:
        return self * as_node(other) ** -1

    def __rtruediv__(self, other: Operand) -> Node:
        return self**-1 * other

    def __gt__(self, other: Operand) -> Node:
        return elementwise("greater", self, other)

    def __matmul__(self, other: Node) -> Node:
        return apply("matmul", self, other)

    __radd__, __rmul__ = __add__, __mul__

    @property
    def T(self) -> Node:
        return apply("transpose", self)


Operand = Node | float | np.ndarray


def variable(*shape: int) -> Node:
    """A place where an array of this shape will be filled in: an input, a parameter."""
    return Node("variable", (), shape)


def as_node(value: Operand) -> Node:
    """The value itself if it is a node already, otherwise a constant."""
    if isinstance(value, Node):
        return value
    array = np.asarray(value, dtype=np.float64)
    return Node("constant", (), array.shape, {"value": array})


def apply(op: str, *inputs: Node, **static: Any) -> Node:
    """A new node. Its primitive says which shape it has, so a wrong shape is found here and not in the arithmetic."""
    return Node(op, inputs, PRIMITIVES[op].shape(*(node.shape for node in inputs), **static), static)


def elementwise(op: str, a: Operand, b: Operand) -> Node:
    """An operation on two arrays of equal shape. What NumPy does silently is written out: a node `broadcast` repeats
    the smaller array. Then no other rule has to undo broadcasting in the gradient; `broadcast` has a rule of its own.
    """
    a, b = as_node(a), as_node(b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    return apply(op, broadcast(a, shape), broadcast(b, shape))


# ---------------------------------------------------------------------------------------------------------------------
# 2. The primitives and their chain rules
#
# Let L be the loss and y = f(x) a step on the way to it. Write g for dL/dy, "by how much L grows when y grows": it has
# the shape of y and is called the cotangent of y. The chain rule says
#
#     dL/dx_i  =  sum over j of  dL/dy_j * dy_j/dx_i       (every y_j that x_i influences passes its share on)
#
# Each primitive states this sum in closed form: `rule(g, y, *x)` returns one cotangent for each input (None where it is
# zero), given the cotangent, the answer and the inputs. A rule is written in nodes, not in numbers.


@dataclass(frozen=True)
class Primitive:
    """One operation: how to compute it with NumPy, its shape, its chain rule."""

    numpy: Callable[..., np.ndarray]
    rule: Callable[..., tuple[Node | None, ...]]
    shape: Callable[..., tuple[int, ...]] = lambda *shapes, **static: shapes[0]  # elementwise: like the first input


def shape_of_product(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    if len(a) != 2 or len(b) != 2 or a[1] != b[0]:
        raise ValueError(f"cannot multiply matrices of shapes {a} and {b}: columns must match rows")
    return a[0], b[1]


def sum_down_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The exact opposite of `np.broadcast_to`: adds up what broadcasting from `shape` would have repeated."""
    extra = x.ndim - len(shape)
    repeated = tuple(range(extra)) + tuple(extra + axis for axis, size in enumerate(shape) if size == 1)
    return np.asarray(x.sum(axis=repeated, keepdims=True)).reshape(shape)


PRIMITIVES: dict[str, Primitive] = {
    # y = a + b: both move y by as much as they move themselves.
    "add": Primitive(np.add, lambda g, y, a, b: (g, g)),
    # y = a b: dy/da = b, dy/db = a.
    "multiply": Primitive(np.multiply, lambda g, y, a, b: (g * b, g * a)),
    # y = x^n: dy/dx = n x^(n-1).
    "power": Primitive(
        lambda x, exponent: np.power(x, exponent),
        lambda g, y, x: (g * y.static["exponent"] * x ** (y.static["exponent"] - 1.0),),
    ),
    # y = e^x is its own derivative, so the answer is used again.
    "exp": Primitive(np.exp, lambda g, y, x: (g * y,)),
    "log": Primitive(np.log, lambda g, y, x: (g / x,)),
    # y = tanh x = sinh x / cosh x: dy/dx = (cosh² - sinh²) / cosh² = 1 - y².
    "tanh": Primitive(np.tanh, lambda g, y, x: (g * (1.0 - y * y),)),
    # y = 1 where a > b, else 0: flat on both sides of the step, so nothing passes.
    "greater": Primitive(lambda a, b: (a > b).astype(np.float64), lambda g, y, a, b: (None, None)),
    # The largest element along the last axis, used below only as a shift that cancels; so it passes no gradient.
    "shift": Primitive(lambda x: x.max(axis=-1, keepdims=True), lambda g, y, x: (None,), shape=lambda x: (*x[:-1], 1)),
    # y = A B, that is y_ik = sum_j a_ij b_jk. Then dL/da_ij = sum_k g_ik b_jk = (g Bᵀ)_ij, and dL/db_jk = (Aᵀ g)_jk.
    "matmul": Primitive(np.matmul, lambda g, y, a, b: (g @ b.T, a.T @ g), shape=shape_of_product),
    # What only moves numbers moves their cotangents back.
    "transpose": Primitive(np.transpose, lambda g, y, x: (g.T,), shape=lambda x: x[::-1]),
    # An x that was repeated influences every copy: its cotangent is the sum of theirs. And a sum hands its cotangent to
    # every term. So these two are each other's chain rule.
    "broadcast": Primitive(
        lambda x, shape: np.broadcast_to(x, shape),
        lambda g, y, x: (sum_to(g, x.shape),),
        shape=lambda x, shape: np.broadcast_shapes(x, shape),
    ),
    "sum_to": Primitive(sum_down_to, lambda g, y, x: (broadcast(g, x.shape),), shape=lambda x, shape: tuple(shape)),
}  # fmt: skip


def broadcast(x: Node, shape: tuple[int, ...]) -> Node:
    return x if x.shape == shape else apply("broadcast", x, shape=shape)


def sum_to(x: Node, shape: tuple[int, ...]) -> Node:
    return x if x.shape == shape else apply("sum_to", x, shape=shape)


# Everything else is a composition. It needs no chain rule, because its parts have theirs.


def exp(x: Node) -> Node:
    return apply("exp", x)


def log(x: Node) -> Node:
    return apply("log", x)


def tanh(x: Node) -> Node:
    return apply("tanh", x)


def total(x: Node) -> Node:
    return sum_to(x, ())


def mean(x: Node) -> Node:
    return total(x) / float(np.prod(x.shape))


def sigmoid(x: Node) -> Node:
    """1 / (1 + e^-x), written with tanh because e^-x overflows for large negative x and tanh never does."""
    return 0.5 * tanh(0.5 * x) + 0.5


def relu(x: Node) -> Node:
    return x * (x > 0.0)


def log_softmax(x: Node) -> Node:
    """log(e^x_c / sum_k e^x_k) = (x_c - m) - log sum_k e^(x_k - m), for any m.

    With m the largest x nothing overflows. The value does not depend on m, so its derivative by m is zero: that is why
    `shift` may drop the gradient.
    """
    shifted = x - apply("shift", x)
    return shifted - log(sum_to(exp(shifted), (*x.shape[:-1], 1)))


def cross_entropy(logits: Node, one_hot: Operand) -> Node:
    """The mean over the batch of -log(probability that the network gives to the true class)."""
    return -total(log_softmax(logits) * one_hot) / float(logits.shape[0])


# ---------------------------------------------------------------------------------------------------------------------
# 3. Backpropagation
#
# Order the nodes so that inputs come before those who use them. Walk that order backwards, starting with dL/dL = 1.
# When we arrive at a node, every node that uses it has been visited, so its cotangent is complete, and its rule hands a
# share to each input. An input used twice is handed two shares, and they are added: that is the sum in the chain rule.
# The cost is one rule for each node, whatever the number of parameters; walking forwards would need one pass for each
# parameter.


def topological_order(outputs: Iterable[Node]) -> list[Node]:
    """All nodes that the outputs depend on, inputs first. A loop, not a recursion: deep networks are deep."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(node, False) for node in outputs]
    while stack:
        node, inputs_are_done = stack.pop()
        if inputs_are_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.inputs)
    return order


def gradient(loss: Node, targets: Sequence[Node]) -> list[Node]:
    """The nodes that compute dL/dt for each target t. They can be differentiated again."""
    if loss.shape != ():
        raise ValueError(f"only a number has this gradient, and the shape is {loss.shape}: take the sum or mean")
    order = topological_order([loss])
    on_path = set(targets)  # only what lies between a target and the loss needs a cotangent
    for node in order:
        if any(parent in on_path for parent in node.inputs):
            on_path.add(node)
    cotangents = {loss: as_node(1.0)}
    for node in reversed(order):
        if node not in on_path or node not in cotangents or not node.inputs:
            continue
        shares = PRIMITIVES[node.op].rule(cotangents[node], node, *node.inputs)
        for parent, share in zip(node.inputs, shares, strict=True):
            if share is not None and parent in on_path:
                cotangents[parent] = cotangents[parent] + share if parent in cotangents else share
    return [cotangents.get(target, broadcast(as_node(0.0), target.shape)) for target in targets]


# ---------------------------------------------------------------------------------------------------------------------
# 4. Evaluation
#
# The order is found once; then each call walks down a list and lets NumPy do one operation after the other. A compiler
# would start here: it sees the whole list, so it can fuse operations and reuse memory. Thalweg does.


def function(inputs: Sequence[Node], outputs: Sequence[Node]) -> Callable[..., list[np.ndarray]]:
    """A Python function from arrays for `inputs` to arrays for `outputs`."""
    order = [node for node in topological_order(outputs) if node not in set(inputs)]

    def run(*arrays: Any) -> list[np.ndarray]:
        values = {node: np.asarray(array, np.float64) for node, array in zip(inputs, arrays, strict=True)}
        for node in order:
            if node.op == "variable":
                raise ValueError(f"{node} has no value: it is missing from the inputs")
            if node.op == "constant":
                values[node] = node.static["value"]
            else:
                values[node] = PRIMITIVES[node.op].numpy(*(values[parent] for parent in node.inputs), **node.static)
        return [values[node] for node in outputs]

    return run


# ---------------------------------------------------------------------------------------------------------------------
# 5. A network and its training step
#
# A network is a formula with parameters. A layer multiplies by a matrix, adds a bias and bends the result; without the
# bend two layers would collapse into one, because (x A) B = x (A B).


def initial_parameters(widths: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Weights and biases. The variance 2 / fan_in keeps signals at one size through ReLU layers (He et al., 2015): a
    sum of fan_in terms multiplies the variance by fan_in * var(w), and ReLU throws away half of it.
    """
    arrays = []
    for fan_in, fan_out in pairwise(widths):
        arrays += [rng.normal(0.0, np.sqrt(2.0 / fan_in), (fan_in, fan_out)), np.zeros((1, fan_out))]
    return arrays


def network(x: Node, parameters: Sequence[Node], activation: Callable[[Node], Node] = relu) -> Node:
    pairs = list(zip(parameters[::2], parameters[1::2], strict=True))
    for index, (weight, bias) in enumerate(pairs):
        x = x @ weight + bias
        if index < len(pairs) - 1:
            x = activation(x)
    return x


# An optimizer is a formula too: from parameters, gradients and its own state to new parameters and new state. So the
# whole step - forward, loss, backward, update - is one graph, evaluated in one go. State starts at zero.

Update = Callable[[list[Node], list[Node], list[Node]], tuple[list[Node], list[Node]]]


def sgd(learning_rate: float) -> Update:
    """w <- w - lr dL/dw: a step down the steepest descent, the thalweg."""
    return lambda parameters, gradients, state: (
        [w - learning_rate * g for w, g in zip(parameters, gradients, strict=True)],
        state,
    )


def adam(learning_rate: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> Update:
    """Kingma and Ba (2015). Moving averages m of g and v of g² give each weight a step of its own size. Both start at
    zero, and after t steps the weights in the average sum to 1 - beta^t only; dividing by that removes the bias.
    """

    def update(parameters: list[Node], gradients: list[Node], state: list[Node]) -> tuple[list[Node], list[Node]]:
        step, first, second = state[0] + 1.0, state[1::2], state[2::2]
        new_parameters, new_state = [], [step]
        for w, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m = betas[0] * m + (1.0 - betas[0]) * g
            v = betas[1] * v + (1.0 - betas[1]) * g * g
            m_hat = m / (1.0 - exp(step * float(np.log(betas[0]))))  # beta^t = e^(t log beta)
            v_hat = v / (1.0 - exp(step * float(np.log(betas[1]))))
            new_parameters.append(w - learning_rate * m_hat / (v_hat**0.5 + eps))
            new_state += [m, v]
        return new_parameters, new_state

    return update


def training_step(
    loss: Node, inputs: Sequence[Node], parameters: list[Node], update: Update
) -> Callable[..., list[np.ndarray]]:
    """A function of the data, the parameters and the state that returns the loss, new parameters and new state."""
    state = [variable()] + [variable(*w.shape) for w in parameters for _ in range(2)]
    new_parameters, new_state = update(parameters, gradient(loss, parameters), state)
    return function([*inputs, *parameters, *state], [loss, *new_parameters, *new_state])


# ---------------------------------------------------------------------------------------------------------------------
# 6. Two spirals


def two_spirals(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points on two interleaved spirals, and which spiral each is on: no straight line separates them."""
    labels = np.arange(count) % 2
    angle = 0.5 + 9.0 * np.sqrt(rng.random(count))
    points = angle[:, None] * np.stack([np.cos(angle + np.pi * labels), np.sin(angle + np.pi * labels)], axis=1)
    return points / 5.0 + rng.normal(0.0, 0.03, (count, 2)), labels


def train(
    update: Update, steps: int, seed: int = 0, report: Callable[[str], None] = print
) -> tuple[list[float], float]:
    """Train on 300 points and return the loss at each step and the accuracy on 300 points never seen."""
    rng = np.random.default_rng(seed)
    points, labels = two_spirals(300, rng)
    arrays = initial_parameters([2, 32, 32, 2], rng)
    x, y, parameters = variable(*points.shape), variable(len(labels), 2), [variable(*a.shape) for a in arrays]
    logits = network(x, parameters)
    step = training_step(cross_entropy(logits, y), [x, y], parameters, update)
    state = [np.zeros(())] + [np.zeros(a.shape) for a in arrays for _ in range(2)]
    losses: list[float] = []
    for index in range(steps):
        loss, *rest = step(points, np.eye(2)[labels], *arrays, *state)
        arrays, state = rest[: len(arrays)], rest[len(arrays) :]
        losses.append(float(loss))
        if index % (steps // 10) == 0 or index == steps - 1:
            report(f"step {index:4d}   loss {losses[-1]:.4f}")
    test_points, test_labels = two_spirals(300, rng)
    (scores,) = function([x, *parameters], [logits])(test_points, *arrays)
    accuracy = float(np.mean(scores.argmax(axis=1) == test_labels))
    report(f"accuracy on points never seen: {accuracy:.3f}")
    return losses, accuracy


if __name__ == "__main__":
    for name, update, steps in (("gradient descent", sgd(0.3), 1000), ("Adam", adam(0.01), 500)):
        print(f"\n{name}")
        train(update, steps)
