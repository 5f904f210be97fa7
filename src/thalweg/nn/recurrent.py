"""Recurrent layers over whole sequences: `RNN`, `LSTM`, `GRU`, with PyTorch's names, arguments and weight layouts.

In: sequences (T, N, C), (N, T, C) with `batch_first`, or (T, C); perhaps states, perhaps the length of each sequence.
Out: the outputs of the last layer and the last states. The product with the input's weights is one for all steps; the
rest is one `scan` a layer and direction, whose program has the same size for any number of steps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from thalweg.dtype import DType
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import full
from thalweg.nn import init
from thalweg.nn import recurrent_expressions as steps
from thalweg.nn.expressions import need_probability
from thalweg.nn.functional import dropout, linear
from thalweg.nn.module import Module
from thalweg.nn.settings import new_parameter, weight_dtype, whole_number
from thalweg.nn.utils.rnn import PackedSequence
from thalweg.tensor.arithmetic import add, where
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.lifting import as_tensor, lift
from thalweg.tensor.loop import scan
from thalweg.tensor.modes import modes
from thalweg.tensor.shaping import cat, stack

NONLINEARITIES = ("tanh", "relu")
State = tuple[Any, ...]

plain_step, lstm_step, gru_step = lift(steps.plain_step), lift(steps.lstm_step), lift(steps.gru_step)
_add, _where, _cat, _stack = lift(add), lift(where), lift(cat), lift(stack)
_kept, _valid_entries = lift(steps.kept), lift(steps.valid_entries)


def zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A state of zeros: a number of the program, not an input."""
    return Tensor._result(full(shape, 0, like.dtype))


def both(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of the two biases that PyTorch's layout has where one would do."""
    return None if a is None or b is None else _add(a, b)


class _Recurrent(Module):
    """Layers of one kind of cell over sequences. Subclasses say what one step does."""

    GATES: int
    STATES: tuple[str, ...] = ("h_0",)
    IN_A_STEP: tuple[str, ...] = ("weight_hh",)

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
        bidirectional: bool, dtype: DType, proj_size: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        self.input_size = whole_number(f"{name}: input_size", input_size, 1)
        self.hidden_size = whole_number(f"{name}: hidden_size", hidden_size, 1)
        self.num_layers = whole_number(f"{name}: num_layers", num_layers, 1)
        self.proj_size = whole_number(f"{name}: proj_size", proj_size)
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        need_probability(f"{name}: dropout", dropout)
        self.dropout = dropout
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} does nothing with num_layers=1: it comes between layers", stacklevel=3
            )
        self._register_weights(dtype)
        self.reset_parameters()

    # --- weights ---------------------------------------------------------------------------------------------------

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _register_weights(self, dtype: DType) -> None:
        rows = self.GATES * self.hidden_size
        for layer in range(self.num_layers):
            inputs = self._output_size * len(self._directions) if layer else self.input_size
            for direction in self._directions:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, inputs),
                    "weight_hh": (rows, self._output_size),
                }
                if self.bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if self.proj_size:
                    shapes["weight_hr"] = (self.proj_size, self.hidden_size)
                for name, shape in shapes.items():
                    self.register_parameter(f"{name}_l{layer}{direction}", new_parameter(shape, dtype))

    def reset_parameters(self) -> None:
        """Draw all weights and biases anew, uniform in ±1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: weights need no particular place in memory. Kept so that code written for PyTorch runs."""

    def _weight(self, name: str, place: str) -> Tensor | None:
        return getattr(self, f"{name}_l{place}", None)

    # --- computing -------------------------------------------------------------------------------------------------

    def _given(self, x: Any, place: str) -> Tensor:
        """The input's part of all steps, in one product."""
        bias = both(self._weight("bias_ih", place), self._weight("bias_hh", place))
        return linear(x, self._weight("weight_ih", place), bias)  # type: ignore[arg-type]

    def _step(self, given: Tensor, state: State, *weights: Any) -> tuple[State, State]:
        """The new state, and what the backward pass would otherwise compute again. `weights`: those `IN_A_STEP`."""
        raise NotImplementedError

    def _run(self, input: Any, states: Sequence[Any] | None, lengths: Any) -> tuple[Any, list[Any]]:
        """The outputs in the order of axes of the input, and the last states, each (layers * directions, N, size).

        A packed sequence gives a packed one; `batch_first` does not speak of it.
        """
        packed = input if isinstance(input, PackedSequence) else None
        if packed is not None:
            lengths = self._lengths_of(packed, lengths)
            x, is_batched = packed.padded, True
        else:
            x, is_batched = self._steps_first(as_tensor(input))
        mask = None if lengths is None else self._valid(lengths, x.shape[0], x.shape[1], is_batched)
        starts = self._starts(states, x, is_batched)
        ends: list[State] = []
        for layer in range(self.num_layers):
            x = dropout(x, self.dropout, self.training) if layer and self.dropout else x
            outputs = []
            for direction in self._directions:
                start = tuple(None if each is None else each[len(ends)] for each in starts)
                ys, end = self._sweep(x, f"{layer}{direction}", start, mask)
                outputs.append(ys)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else _cat(outputs, -1)
        last = [_stack(list(each), 0) for each in zip(*ends, strict=True)]
        if packed is not None:
            return packed.like(x), last
        if not is_batched:
            return x.squeeze(1), [each.squeeze(1) for each in last]
        return x.transpose(0, 1) if self.batch_first else x, last

    def _sweep(self, x: Any, place: str, start: State, mask: Tensor | None) -> tuple[Any, State]:
        """One layer in one direction; where a sequence has no entry its state stays, and its output is 0."""
        given = self._given(x, place)
        weights = [self._weight(name, place) for name in self.IN_A_STEP]  # read once, not at every step
        keeps = modes.grad_enabled
        start = tuple(
            zeros((x.shape[1], size), given) if each is None else each
            for each, size in zip(start, self._sizes(), strict=True)
        )

        def body(state: State, entry: Any) -> tuple[State, State]:
            now, is_valid = entry if mask is not None else (entry, None)
            new, parts = self._step(now, state, *weights)
            if is_valid is not None:
                new = tuple(_kept(is_valid, a, b) for a, b in zip(new, state, strict=True))
            return new, (new[0], *(parts if keeps else ()))

        entries = given if mask is None else (given, mask)
        last, results = scan(body, start, entries, reverse=place.endswith("_reverse"))
        ys = results[0]
        return ys if mask is None else _where(mask, ys, 0.0), last

    def _sizes(self) -> tuple[int, ...]:
        """Of the states of one layer in one direction."""
        return (self._output_size, self.hidden_size)[: len(self.STATES)]

    # --- what is given ---------------------------------------------------------------------------------------------

    def _steps_first(self, input: Any) -> tuple[Any, bool]:
        ranks = {3: "(N, T, C)" if self.batch_first else "(T, N, C)", 2: "(T, C)"}
        steps.check_input(type(self).__name__, input.node, self.input_size, next(self.parameters()).node, ranks)
        if input.ndim == 2:
            return input.unsqueeze(1), False
        return input.transpose(0, 1) if self.batch_first else input, True

    def _lengths_of(self, packed: PackedSequence, lengths: Any) -> Any:
        name = type(self).__name__
        if lengths is not None:
            received, remedy = "a PackedSequence, and lengths", "leave lengths out"
            raise ArgumentError(explain(f"{name}: a packed sequence has lengths", received=received, remedy=remedy))
        ranks = {3: "a PackedSequence of entries (C,)"}
        steps.check_input(name, packed.padded.node, self.input_size, next(self.parameters()).node, ranks)
        return packed.lengths

    def _starts(self, states: Sequence[Any] | None, x: Any, is_batched: bool) -> list[Any]:
        if states is None:
            return [None] * len(self.STATES)
        own = next(self.parameters()).node
        count, found = self.num_layers * len(self._directions), []
        for what, state, size in zip(self.STATES, map(as_tensor, states), self._sizes(), strict=True):
            shape = (count, x.shape[1], size) if is_batched else (count, size)
            steps.check_state(type(self).__name__, what, state.node, shape, own)
            found.append(state if is_batched else state.unsqueeze(1))
        return found

    def _valid(self, lengths: Any, count: int, batch: int, is_batched: bool) -> Tensor:
        name = type(self).__name__
        tensor = as_tensor(lengths)
        tensor = tensor if is_batched or tensor.ndim else tensor.unsqueeze(0)
        steps.check_lengths(name, tensor.node, batch)
        if modes.trace is None:
            steps.check_extent(name, tensor._array().tolist(), count)
        return _valid_entries(tensor, count)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        settings = {"proj_size": 0, "num_layers": 1, "nonlinearity": "tanh", "bias": True, "batch_first": False,
                    "dropout": 0.0, "bidirectional": False}  # fmt: skip
        for name, usual in settings.items():
            if getattr(self, name, usual) != usual:
                text += f", {name}={getattr(self, name)!r}"
        return text


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or with ``nonlinearity="relu"``. Elman, 1990.

    Args:
        input_size, hidden_size: numbers a step.
        num_layers: default 1; each layer reads the outputs of the one below.
        nonlinearity: "tanh" (default) or "relu".
        bias: default True.
        batch_first: input and output are (N, T, C); states are not affected. Default False.
        dropout: of the outputs of all layers but the last, in training. Default 0.
        bidirectional: a second set of weights runs from the end; outputs of both side by side. Default False.

    Shapes: input (T, N, C), output (T, N, D * H) with D = 2 if bidirectional, states (layers * D, N, H); without the
    axis N for a single sequence.
    State: ``weight_ih_l0`` (H, C), ``weight_hh_l0`` (H, H), ``bias_ih_l0``, ``bias_hh_l0`` (H,), then the same ending
    in ``_l0_reverse``, ``_l1`` and so on; all start uniform in ±1/sqrt(H).
    Called with ``(input, h_0=None, lengths=None)``, gives ``(output, h_n)``. `lengths` (N,) says how many entries of
    each sequence are valid, as a packed sequence does in PyTorch: the last state is that of the last valid entry, the
    reverse direction starts there, and outputs behind it are 0. A packed sequence (`nn.utils.rnn`) is taken as well,
    and then `output` is one.
    Raises ShapeError and DTypeError for what does not fit, ArgumentError for a length out of range.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> output, h_n = nn.RNN(10, 20, num_layers=2)(tw.ones(5, 3, 10))
    >>> output.shape, h_n.shape
    ((5, 3, 20), (2, 3, 20))
    """

    GATES = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        refuse_unknown("RNN: nonlinearity", NONLINEARITIES, nonlinearity)
        kind = weight_dtype(device, dtype)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, kind)
        self.nonlinearity = nonlinearity

    def _step(self, given: Tensor, state: State, *weights: Any) -> tuple[State, State]:
        new = plain_step(given, state[0], *weights, self.nonlinearity)
        return (new.h,), () if self.nonlinearity == "tanh" else (new.before,)  # tanh is differentiated by its result

    def forward(self, input: Tensor, hx: Tensor | None = None, lengths: Any = None) -> tuple[Tensor, Tensor]:
        output, last = self._run(input, None if hx is None else [hx], lengths)
        return output, last[0]


class GRU(_Recurrent):
    """Gated recurrent units. Cho et al., EMNLP 2014.

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), z = sigmoid(W_iz x + b_iz + W_hz h + b_hz),
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h.

    Arguments, shapes, `lengths` and errors as in `RNN`, without `nonlinearity`. State: ``weight_ih_l0`` (3 H, C) with
    the rows of r, z, n in this order, ``weight_hh_l0`` (3 H, H), ``bias_ih_l0``, ``bias_hh_l0`` (3 H,).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> output, h_n = nn.GRU(10, 20, bidirectional=True, batch_first=True)(tw.ones(3, 5, 10), lengths=[5, 2, 3])
    >>> output.shape, h_n.shape
    ((3, 5, 40), (2, 3, 20))
    """

    GATES = 3
    IN_A_STEP = ("weight_hh", "bias_hh")

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, *, device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        kind = weight_dtype(device, dtype)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, kind)

    def _given(self, x: Any, place: str) -> Tensor:
        # The recurrent bias stays in the loop: the reset gate multiplies a part of it.
        return linear(x, self._weight("weight_ih", place), self._weight("bias_ih", place))  # type: ignore[arg-type]

    def _step(self, given: Tensor, state: State, *weights: Any) -> tuple[State, State]:
        new = gru_step(given, state[0], *weights)
        return (new.h,), (new.r, new.z, new.n, new.part)

    def forward(self, input: Tensor, hx: Tensor | None = None, lengths: Any = None) -> tuple[Tensor, Tensor]:
        output, last = self._run(input, None if hx is None else [hx], lengths)
        return output, last[0]


class LSTM(_Recurrent):
    """Long short-term memory. Hochreiter and Schmidhuber, Neural Computation 1997; forget gates: Gers et al., 2000.

    i, f, o = sigmoid(W_i x + b_i + W_h h + b_h), each with its own rows, g = tanh(likewise);
    c' = f c + i g, h' = o tanh(c'). With `proj_size` P > 0 (Sak et al., 2014) h' is multiplied by ``weight_hr`` (P, H).

    Arguments, shapes, `lengths` and errors as in `RNN`, without `nonlinearity`, with `proj_size` (default 0). State:
    ``weight_ih_l0`` (4 H, C) with the rows of i, f, g, o in this order, ``weight_hh_l0`` (4 H, P or H), ``bias_ih_l0``,
    ``bias_hh_l0`` (4 H,), ``weight_hr_l0``. Called with ``(input, (h_0, c_0)=None, lengths=None)``, gives
    ``(output, (h_n, c_n))``.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> output, (h_n, c_n) = nn.LSTM(10, 20)(tw.ones(5, 3, 10))
    >>> output.shape, h_n.shape, c_n.shape
    ((5, 3, 20), (1, 3, 20), (1, 3, 20))
    """

    GATES = 4
    STATES = ("h_0", "c_0")
    IN_A_STEP = ("weight_hh", "weight_hr")

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, *,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        kind = weight_dtype(device, dtype)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, kind, proj_size
        )

    def _step(self, given: Tensor, state: State, *weights: Any) -> tuple[State, State]:
        new = lstm_step(given, *state, *weights)
        return (new.h, new.c), (new.i, new.f, new.g, new.o)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None, lengths: Any = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, last = self._run(input, None if hx is None else pair_of_states("LSTM", hx), lengths)
        return output, (last[0], last[1])


def pair_of_states(name: str, hx: Any) -> tuple[Any, Any]:
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        received = f"shape {hx.shape}" if hasattr(hx, "shape") else type(hx).__name__
        raise ShapeError(explain(f"{name}: the state is a pair", received=received, expected="(h_0, c_0)"))
    return hx[0], hx[1]
