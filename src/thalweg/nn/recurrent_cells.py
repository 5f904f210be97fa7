"""Single steps of recurrent networks: `RNNCell`, `LSTMCell`, `GRUCell`, for loops that a user writes.

In: the input of one step (N, C) or (C,), and the state. Out: the new state. In `tw.scan` such a loop is one operation
with backpropagation through time; the layers of `recurrent` are faster, because they multiply all inputs at once.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.dtype import DType
from thalweg.nn import init
from thalweg.nn.functional import linear
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.recurrent import NONLINEARITIES, both, gru_step, lstm_step, pair_of_states, plain_step, zeros
from thalweg.nn.recurrent_expressions import check_input, check_state
from thalweg.nn.settings import new_parameter, weight_dtype, whole_number
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.lifting import as_tensor


class _Cell(Module):
    """Weights of one step, and the checks of what it is given."""

    GATES: int
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool, dtype: DType) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = whole_number(f"{name}: input_size", input_size, 1)
        self.hidden_size = whole_number(f"{name}: hidden_size", hidden_size, 1)
        self.bias = bias
        rows = self.GATES * hidden_size
        self.weight_ih = new_parameter((rows, input_size), dtype)
        self.weight_hh = new_parameter((rows, hidden_size), dtype)
        self.register_parameter("bias_ih", new_parameter((rows,), dtype) if bias else None)
        self.register_parameter("bias_hh", new_parameter((rows,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases anew, uniform in ±1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _checked(self, input: Any) -> Tensor:
        x = as_tensor(input)
        check_input(type(self).__name__, x.node, self.input_size, self.weight_ih.node, {2: "(N, C)", 1: "(C,)"})
        return x

    def _state(self, what: str, state: Any, x: Tensor) -> Any:
        """The state that was given, or zeros."""
        shape = (*x.shape[:-1], self.hidden_size)
        if state is None:
            return zeros(shape, self.weight_hh)
        tensor = as_tensor(state)
        check_state(type(self).__name__, what, tensor.node, shape, self.weight_hh.node)
        return tensor

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with ``nonlinearity="relu"``.

    Shapes: input (N, C) or (C,), state and result (N, H) or (H,); without a state it is 0. State: `weight_ih` (H, C),
    `weight_hh` (H, H), `bias_ih`, `bias_hh` (H,), uniform in ±1/sqrt(H).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.RNNCell(10, 20)(tw.ones(3, 10)).shape
    (3, 20)
    """

    GATES = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        device: object = None,
        dtype: object = None,
    ) -> None:
        refuse_unknown("RNNCell: nonlinearity", NONLINEARITIES, nonlinearity)
        super().__init__(input_size, hidden_size, bias, weight_dtype(device, dtype))
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x = self._checked(input)
        given = linear(x, self.weight_ih, both(self.bias_ih, self.bias_hh))
        return plain_step(given, self._state("hx", hx, x), self.weight_hh, self.nonlinearity).h  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}")


class LSTMCell(_Cell):
    """One step of an LSTM: ``(h', c') = cell(x, (h, c))``; formulas in `LSTM`.

    Shapes: input (N, C) or (C,), states (N, H) or (H,); without states they are 0. State: `weight_ih` (4 H, C) with the
    rows of i, f, g, o, `weight_hh` (4 H, H), `bias_ih`, `bias_hh` (4 H,).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> h, c = nn.LSTMCell(10, 20)(tw.ones(3, 10))
    >>> h.shape, c.shape
    ((3, 20), (3, 20))
    """

    GATES = 4

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, device: object = None, dtype: object = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, weight_dtype(device, dtype))

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        x = self._checked(input)
        h, c = (None, None) if hx is None else pair_of_states("LSTMCell", hx)
        given = linear(x, self.weight_ih, both(self.bias_ih, self.bias_hh))
        new = lstm_step(given, self._state("h_0", h, x), self._state("c_0", c, x), self.weight_hh, None)
        return new.h, new.c


class GRUCell(_Cell):
    """One step of a GRU: ``h' = cell(x, h)``; formulas in `GRU`.

    Shapes: input (N, C) or (C,), state and result (N, H) or (H,); without a state it is 0. State: `weight_ih` (3 H, C)
    with the rows of r, z, n, `weight_hh` (3 H, H), `bias_ih`, `bias_hh` (3 H,).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.GRUCell(10, 20)(tw.ones(3, 10)).shape
    (3, 20)
    """

    GATES = 3

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, device: object = None, dtype: object = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, weight_dtype(device, dtype))

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x = self._checked(input)
        given = linear(x, self.weight_ih, self.bias_ih)
        return gru_step(given, self._state("hx", hx, x), self.weight_hh, self.bias_hh).h  # type: ignore[no-any-return]
