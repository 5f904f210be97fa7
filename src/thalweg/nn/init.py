"""How weights start: variances that keep signals and gradients alive through depth.

In: a tensor, written in place and returned; random numbers come from the default generator or from `generator`. Out:
the tensor. `fan_in` and `fan_out` are the numbers of inputs and outputs of one unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, full, size_of
from thalweg.nn.applying import write
from thalweg.nn.quantile import normal_probability, normal_quantile
from thalweg.tensor.arithmetic import add, multiply
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.lazy import DRAWN
from thalweg.tensor.random import Generator, normal_node, rand, randn, uniform_node

_GAINS: dict[str, Callable[[float], float]] = {
    "linear": lambda _: 1.0,
    "conv1d": lambda _: 1.0,
    "conv2d": lambda _: 1.0,
    "conv3d": lambda _: 1.0,
    "conv_transpose1d": lambda _: 1.0,
    "conv_transpose2d": lambda _: 1.0,
    "conv_transpose3d": lambda _: 1.0,
    "sigmoid": lambda _: 1.0,
    "tanh": lambda _: 5 / 3,
    "relu": lambda _: math.sqrt(2),
    "leaky_relu": lambda slope: math.sqrt(2 / (1 + slope**2)),
    "selu": lambda _: 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights must be larger before this activation; `param` is the slope of a leaky ReLU.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    refuse_unknown("calculate_gain", tuple(_GAINS), nonlinearity)
    return _GAINS[nonlinearity](0.01 if param is None else param)


def fans(tensor: Tensor) -> tuple[int, int]:
    """fan_in and fan_out of a weight (outputs, inputs, *window)."""
    if tensor.ndim < 2:
        raise ShapeError(
            explain(
                "fan_in and fan_out need a weight with two axes or more",
                received=f"shape {tensor.shape}",
                expected="(outputs, inputs) or (outputs, inputs, *window)",
                remedy="initialise vectors with zeros_, constant_ or uniform_",
            )
        )
    window = size_of(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _fan(tensor: Tensor, mode: str) -> int:
    refuse_unknown("mode", ("fan_in", "fan_out"), mode)
    return max(1, fans(tensor)[mode == "fan_out"])


# --- plain -----------------------------------------------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in [a, b)."""
    if a > b:
        raise ArgumentError(explain("uniform_: the bounds are reversed", received=f"a={a}, b={b}", expected="a <= b"))
    return _written(tensor, add(multiply(uniform_node(tensor.shape, tensor.dtype, generator), b - a), a))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with this mean and standard deviation."""
    if std < 0:
        raise ArgumentError(explain("normal_: std must not be negative", received=std, expected="std >= 0"))
    return _written(tensor, add(multiply(normal_node(tensor.shape, tensor.dtype, generator), std), mean))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    return _written(tensor, full(tensor.shape, val, tensor.dtype))


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: a linear layer that passes its input on.

    >>> import thalweg as tw
    >>> eye_(tw.zeros(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ShapeError(explain("eye_ writes matrices", received=f"shape {tensor.shape}", expected="two axes"))
    return _written_array(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that passes its input on: output channel i of each group sees the middle of input channel i.

    Three axes or more (outputs, inputs / groups, *window), `groups` dividing the outputs.

    >>> import thalweg as tw
    >>> dirac_(tw.zeros(1, 2, 3))
    tensor([[[0., 1., 0.],
             [0., 0., 0.]]])
    """
    if tensor.ndim < 3 or groups < 1 or tensor.shape[0] % groups:
        raise ShapeError(
            explain("dirac_ writes weights of convolutions", received=f"shape {tensor.shape}, groups={groups}",
                    expected="(outputs, inputs, *window), outputs divisible by groups")
        )  # fmt: skip
    window = tensor.shape[2:]
    middle = np.ravel_multi_index([extent // 2 for extent in window], window)
    array = np.zeros((*tensor.shape[:2], size_of(window)))
    outputs = tensor.shape[0] // groups
    for number in range(min(outputs, tensor.shape[1])):
        array[number::outputs, number, middle] = 1
    return _written_array(tensor, array.reshape(tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal, but nothing outside [a, b] (absolute limits, not in units of std).

    The quantile of a uniform number between the limits' probabilities, so no draw is rejected.
    """
    if a >= b or std <= 0:
        raise ArgumentError(
            explain(
                "trunc_normal_: no such distribution", received=f"std={std}, a={a}, b={b}", expected="std > 0, a < b"
            )
        )
    low, high = normal_probability((a - mean) / std), normal_probability((b - mean) / std)
    uniform = rand(*tensor.shape, generator=generator, dtype="float64")._array()
    probability = np.clip(low + (high - low) * uniform, 1e-16, 1 - 1e-16)
    return _written_array(tensor, np.clip(normal_quantile(probability) * std + mean, a, b))


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Rows (or columns, where there are fewer) of length `gain`, at right angles: Q of a random matrix.

    Saxe, McClelland and Ganguli, ICLR 2014. Further axes count as columns. The signs are those that make the
    distribution uniform over all orthogonal matrices (Mezzadri, 2007).
    """
    rows, columns = as_matrix(tensor)
    random = randn(max(rows, columns), min(rows, columns), generator=generator, dtype="float64")._array()
    q, r = np.linalg.qr(random)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return _written_array(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """N(0, std^2), and in each column the share `sparsity` of the entries, rounded up and drawn at random, 0.

    Of a matrix. Raises ShapeError for other shapes, ArgumentError for a share outside [0, 1]. Martens, ICML 2010.

    >>> import thalweg as tw
    >>> (sparse_(tw.zeros(4, 3), sparsity=0.5) == 0).sum(0)
    tensor([2, 2, 2])
    """
    if tensor.ndim != 2:
        raise ShapeError(explain("sparse_ writes matrices", received=f"shape {tensor.shape}", expected="two axes"))
    if not 0 <= sparsity <= 1:
        raise ArgumentError(explain("sparse_: sparsity is a share", received=sparsity, expected="0 <= sparsity <= 1"))
    rows = tensor.shape[0]
    values = randn(*tensor.shape, generator=generator, dtype="float64")._array() * std
    ranks = rand(*tensor.shape, generator=generator, dtype="float64")._array().argsort(0).argsort(0)
    return _written_array(tensor, np.where(ranks < math.ceil(sparsity * rows), 0.0, values))


def as_matrix(tensor: Tensor) -> tuple[int, int]:
    """The weight as a matrix: outputs by everything else."""
    fans(tensor)
    return tensor.shape[0], size_of(tensor.shape[1:])


# --- by fan ----------------------------------------------------------------------------------------------------------


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in ±gain sqrt(6 / (fan_in + fan_out)), the variance 2 / (fan_in + fan_out). Glorot and Bengio, 2010."""
    return _uniform_of(tensor, gain * math.sqrt(2 / max(1, sum(fans(tensor)))), generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, gain^2 2 / (fan_in + fan_out)). Glorot and Bengio, AISTATS 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(1, sum(fans(tensor)))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform in ±gain sqrt(3 / fan), the variance gain^2 / fan. He et al., ICCV 2015.

    `a` is the slope of the leaky ReLU behind the layer (0: a ReLU), `mode` chooses fan_in (keeps the variance of the
    signals) or fan_out (that of the gradients).
    """
    return _uniform_of(tensor, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, gain^2 / fan). He et al., ICCV 2015; the arguments are those of `kaiming_uniform_`."""
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def lecun_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Uniform in ±sqrt(3 / fan_in), the variance 1 / fan_in. LeCun et al., "Efficient BackProp", 1998."""
    return _uniform_of(tensor, 1 / math.sqrt(_fan(tensor, "fan_in")), generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """N(0, 1 / fan_in), what SELU networks start from. LeCun et al., 1998; Klambauer et al., 2017."""
    return normal_(tensor, 0.0, 1 / math.sqrt(_fan(tensor, "fan_in")), generator)


def _uniform_of(tensor: Tensor, std: float, generator: Generator | None) -> Tensor:
    """Uniform about 0 with this standard deviation."""
    bound = math.sqrt(3) * std
    return uniform_(tensor, -bound, bound, generator)


def _written(tensor: Tensor, node: Node) -> Tensor:
    node.notes |= DRAWN
    write(tensor, node)
    return tensor


def _written_array(tensor: Tensor, array: np.ndarray) -> Tensor:
    return _written(tensor, Tensor(array.astype(tensor.dtype.numpy)).node)
