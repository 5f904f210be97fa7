"""Padding: entries added at the edges.

In: a tensor or array, and (low, high) for the last axis, then for the one before it, and so on.
Out: the larger tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.nn import padding_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.nn.settings import whole_numbers
from thalweg.tensor.core import Tensor, refuse_unknown


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """(low, high) entries for the last axis, then for the one before it, and so on. Negative widths crop.

    `mode`: "constant" puts `value` there, "reflect" the input mirrored at its first and last entry (widths below the
    extent), "replicate" the first and last entry, "circular" what stands at the other end.

    >>> import thalweg as tw
    >>> import thalweg.nn.functional as F
    >>> F.pad(tw.tensor([1.0, 2.0]), (1, 2))
    tensor([0., 1., 2., 0., 0.])
    >>> F.pad(tw.tensor([1.0, 2.0, 3.0]), (2, 1), mode="reflect")
    tensor([3., 2., 1., 2., 3., 2.])
    """
    refuse_unknown("pad: mode", expressions.PAD_MODES, mode)
    widths = whole_numbers("pad: widths", pad, at_least=None)
    return apply(expressions.pad, input, pad=widths, mode=mode, value=value)
