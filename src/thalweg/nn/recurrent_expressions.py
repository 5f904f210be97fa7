"""One step of a recurrent layer, as expressions on nodes: plain, LSTM, GRU; and which entries of a batch are valid.

In: the input's part of a step (already multiplied by its weights), the state, the recurrent weights. Out: the new state
and the activations of the step. A loop that also returns the activations needs no matrix product to go backwards over
them: it reads them (`ops.loop`).
"""

from __future__ import annotations

from typing import NamedTuple

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node
from thalweg.nn.expressions import need_dtype_of
from thalweg.tensor import products, shaping
from thalweg.tensor.arithmetic import add, convert, less, multiply, relu, sigmoid, subtract, tanh, where


class PlainStep(NamedTuple):
    """The new state, and what it is the activation of where the state does not tell."""

    h: Node
    before: Node


class LSTMStep(NamedTuple):
    """The new output and cell, then the gates: input, forget, candidate, output."""

    h: Node
    c: Node
    i: Node
    f: Node
    g: Node
    o: Node


class GRUStep(NamedTuple):
    """The new state; the gates reset and update, the candidate, and the state's part of it before the reset."""

    h: Node
    r: Node
    z: Node
    n: Node
    part: Node


def plain_step(given: Node, h: Node, weight: Node, nonlinearity: str) -> PlainStep:
    """h' = tanh(given + W h), or the same with max(0, .)."""
    before = add(given, products.linear(h, weight))
    return PlainStep(relu(before) if nonlinearity == "relu" else tanh(before), before)


def lstm_step(given: Node, h: Node, c: Node, weight: Node, projection: Node | None) -> LSTMStep:
    """i, f, o = sigmoid(.), g = tanh(.) of given + W h; c' = f c + i g; h' = o tanh(c'), projected if asked."""
    parts = shaping.chunk(add(given, products.linear(h, weight)), 4, -1)
    i, f, o = sigmoid(parts[0]), sigmoid(parts[1]), sigmoid(parts[3])
    g = tanh(parts[2])
    cell = add(multiply(f, c), multiply(i, g))
    output = multiply(o, tanh(cell))
    return LSTMStep(output if projection is None else products.linear(output, projection), cell, i, f, g, o)


def gru_step(given: Node, h: Node, weight: Node, bias: Node | None) -> GRUStep:
    """r, z = sigmoid(.); n = tanh(given_n + r (W_n h + b_n)); h' = (1 - z) n + z h."""
    by_input, by_state = shaping.chunk(given, 3, -1), shaping.chunk(products.linear(h, weight, bias), 3, -1)
    r, z = (sigmoid(add(a, b)) for a, b in zip(by_input[:2], by_state[:2], strict=True))
    n = tanh(add(by_input[2], multiply(r, by_state[2])))
    return GRUStep(add(multiply(subtract(1.0, z), n), multiply(z, h)), r, z, n, by_state[2])


def kept(is_valid: Node, new: Node, old: Node) -> Node:
    """The new state of the sequences that have an entry at this step, the old one of those that have ended."""
    return where(is_valid, new, old)


def valid_entries(lengths: Node, steps: int) -> Node:
    """(T, N, 1): whether sequence n has an entry at step t."""
    position = ops.iota(shape=(steps, 1, 1), axis=0, dtype="int64")
    return less(position, shaping.reshape(convert(lengths, int64), (1, lengths.shape[0], 1)))


# --- checks ----------------------------------------------------------------------------------------------------------


def check_input(name: str, x: Node, input_size: int, weight: Node, ranks: dict[int, str]) -> None:
    if x.ndim not in ranks:
        raise ShapeError(
            explain(f"{name}: the input has another number of axes", received=f"shape {x.shape}",
                    expected=" or ".join(ranks.values()))
        )  # fmt: skip
    if x.shape[-1] != input_size:
        raise ShapeError(
            explain(f"{name}: the input does not fit input_size", received=f"shape {x.shape}",
                    expected=f"{input_size} numbers on the last axis",
                    remedy="set input_size to the input's last extent; with batch_first=True it is (N, T, C)")
        )  # fmt: skip
    need_dtype_of(name, x, weight)


def check_state(name: str, what: str, state: Node, shape: tuple[int, ...], weight: Node) -> None:
    if state.shape != shape:
        raise ShapeError(
            explain(f"{name}: {what} does not fit", received=f"shape {state.shape}", expected=str(shape),
                    remedy="(layers * directions, N, size), also with batch_first; or leave it out for zeros")
        )  # fmt: skip
    need_dtype_of(f"{name}: {what}", state, weight)


def check_lengths(name: str, lengths: Node, batch: int) -> None:
    if lengths.shape != (batch,):
        raise ShapeError(
            explain(f"{name}: lengths needs one number a sequence", received=f"shape {lengths.shape}",
                    expected=f"({batch},)")
        )  # fmt: skip
    if lengths.dtype.is_floating_point or lengths.dtype.name == "bool":
        raise DTypeError(
            explain(f"{name}: lengths are whole numbers", received=lengths.dtype.name, expected="int64 or int32")
        )


def check_extent(name: str, lengths: list[int], steps: int) -> None:
    """Lengths whose values are known."""
    wrong = next((i for i, each in enumerate(lengths) if not 0 <= each <= steps), None)
    if wrong is not None:
        raise ArgumentError(
            explain(f"{name}: a length is out of range", received=f"{lengths[wrong]} for sequence {wrong}",
                    expected=f"0 to {steps}, the number of steps", remedy="pad the batch to its longest sequence")
        )  # fmt: skip
