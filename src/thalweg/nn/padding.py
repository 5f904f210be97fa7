"""Padding layers: entries added at the edges of signals and images. No parameters.

In: (N, C, L), (N, C, H, W) or (N, C, D, H, W), or one sample without the batch axis; `padding` is one number for all
edges, or one an edge: (left, right, top, bottom, front, back), as far as there are axes. Out: the same rank,
larger planes. Negative widths cut off.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn import functional
from thalweg.nn.module import Module
from thalweg.nn.settings import whole_numbers
from thalweg.tensor.core import Tensor

Widths = int | Sequence[int]


class _Pad(Module):
    """Padding of the last axes."""

    axes: int
    mode: str
    value: float = 0.0

    def __init__(self, padding: Widths) -> None:
        super().__init__()
        name = type(self).__name__
        widths = whole_numbers(f"{name}: padding", padding, at_least=None)
        if not isinstance(padding, (list, tuple)):
            widths = widths * (2 * self.axes)
        if len(widths) != 2 * self.axes:
            edges = ", ".join(("left, right", "top, bottom", "front, back")[: self.axes])
            raise ArgumentError(explain(f"{name}: padding of each edge", received=repr(padding),
                                        expected=f"an integer, or ({edges})"))  # fmt: skip
        self.padding = widths

    def forward(self, input: Tensor) -> Tensor:
        if hasattr(input, "shape") and len(input.shape) not in (self.axes + 1, self.axes + 2):
            space = ("L", "H, W", "D, H, W")[self.axes - 1]
            raise ShapeError(explain(f"{type(self).__name__} pads the last axes", received=f"shape {input.shape}",
                                     expected=f"(N, C, {space}) or (C, {space})"))  # fmt: skip
        return functional.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Widths, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """`value` at both ends of the last axis.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ConstantPad1d((1, 2), 7.0)(tw.ones(1, 2))
    tensor([[7., 1., 1., 7., 7.]])
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """`value` at all four edges: left, right, top, bottom.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ConstantPad2d((1, 0, 0, 1), 7.0)(tw.ones(1, 1, 2))
    tensor([[[7., 1., 1.],
             [7., 7., 7.]]])
    """

    axes = 2


class ZeroPad1d(_Pad):
    """Zeros at both ends of the last axis.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ZeroPad1d(1)(tw.ones(1, 2))
    tensor([[0., 1., 1., 0.]])
    """

    axes, mode = 1, "constant"


class ZeroPad2d(_Pad):
    """Zeros at all four edges: left, right, top, bottom.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ZeroPad2d(1)(tw.ones(2, 3, 5, 5)).shape
    (2, 3, 7, 7)
    """

    axes, mode = 2, "constant"


class ReflectionPad1d(_Pad):
    """The input mirrored at its first and last entry, which are not repeated; widths below the extent.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ReflectionPad1d((2, 1))(tw.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 2., 1., 2., 3., 2.]])
    """

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Images mirrored at their edges, which are not repeated: left, right, top, bottom, each below the extent.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ReflectionPad2d(1)(tw.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[4., 3., 4., 3.],
             [2., 1., 2., 1.],
             [4., 3., 4., 3.],
             [2., 1., 2., 1.]]])
    """

    axes, mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """The first and the last entry repeated.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ReplicationPad1d((2, 1))(tw.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1., 1., 1., 2., 3., 3.]])
    """

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The edges of images repeated: left, right, top, bottom.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ReplicationPad2d((1, 0, 1, 0))(tw.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[1., 1., 2.],
             [1., 1., 2.],
             [3., 3., 4.]]])
    """

    axes, mode = 2, "replicate"


class CircularPad1d(_Pad):
    """At each end what stands at the other; widths up to the extent.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.CircularPad1d((2, 1))(tw.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 3., 1., 2., 3., 1.]])
    """

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """At each edge what stands at the opposite one: left, right, top, bottom, each up to the extent.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.CircularPad2d((1, 0, 0, 0))(tw.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[2., 1., 2.],
             [4., 3., 4.]]])
    """

    axes, mode = 2, "circular"


class ConstantPad3d(_ConstantPad):
    """`value` at all six faces of a volume: left, right, top, bottom, front, back.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ConstantPad3d(1, 7.0)(tw.ones(2, 3, 4, 5, 6)).shape
    (2, 3, 6, 7, 8)
    """

    axes = 3


class ZeroPad3d(_Pad):
    """Zeros at all six faces of a volume: left, right, top, bottom, front, back.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ZeroPad3d(1)(tw.ones(2, 3, 4, 5, 6)).shape
    (2, 3, 6, 7, 8)
    """

    axes, mode = 3, "constant"


class ReflectionPad3d(_Pad):
    """Volumes mirrored at their faces, which are not repeated; widths below the extent.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ReflectionPad3d(1)(tw.ones(2, 3, 4, 5, 6)).shape
    (2, 3, 6, 7, 8)
    """

    axes, mode = 3, "reflect"


class ReplicationPad3d(_Pad):
    """The faces of volumes repeated.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ReplicationPad3d(1)(tw.ones(2, 3, 4, 5, 6)).shape
    (2, 3, 6, 7, 8)
    """

    axes, mode = 3, "replicate"


class CircularPad3d(_Pad):
    """At each face of a volume what stands at the opposite one; widths up to the extent.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.CircularPad3d(1)(tw.ones(2, 3, 4, 5, 6)).shape
    (2, 3, 6, 7, 8)
    """

    axes, mode = 3, "circular"
