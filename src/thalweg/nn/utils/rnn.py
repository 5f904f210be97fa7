"""Sequences of different lengths as one batch: padded, or packed as recurrent layers take them.

In: sequences, or a padded batch and its lengths. Out: the other form. A `PackedSequence` is a padded batch that knows
its lengths; a recurrent layer runs over it as over a batch with `lengths=`, and `data` is made when somebody reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, TraceError, explain
from thalweg.nn.recurrent_expressions import check_lengths, valid_entries
from thalweg.tensor.arithmetic import where
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.creation import full
from thalweg.tensor.lifting import as_tensor, lift
from thalweg.tensor.modes import modes
from thalweg.tensor.shaping import cat, stack

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip

_NAMES = ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
_cat, _stack, _where, _valid_entries = lift(cat), lift(stack), lift(where), lift(valid_entries)


@dataclass(init=False, eq=False, repr=False)
class PackedSequence:
    """Sequences of different lengths, as recurrent layers take and return them.

    Has what PyTorch's has: `data` (all entries, those of the first step of every sequence first), `batch_sizes` (how
    many sequences have an entry at each step), `sorted_indices` and `unsorted_indices` (None where the sequences were
    sorted by length). It can be taken apart as these four, and made of them. The functions of this module make it; what
    it holds is the padded batch in the order that was given, `padded` (T, N, *), and `lengths`.

    In a compiled step lengths that are Python numbers are fixed when the step is traced, and those of a tensor are
    data. `data` and `batch_sizes` have shapes that depend on the lengths, so with the latter they raise TraceError.

    >>> import thalweg as tw
    >>> from thalweg.nn.utils.rnn import pack_sequence
    >>> packed = pack_sequence([tw.tensor([1, 2, 3]), tw.tensor([4, 5]), tw.tensor([6])])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 6, 2, 5, 3]), tensor([3, 2, 1]))
    """

    padded: Any
    lengths: Any
    order: Any  # of the sequences in `data`; None: as they are

    def __init__(
        self, data: Any = None, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None, *,
        padded: Any = None, lengths: Any = None, order: Any = None,
    ) -> None:  # fmt: skip
        if padded is None:
            if batch_sizes is None:
                data, batch_sizes = data
            given = sorted_indices if unsorted_indices is None else invert_permutation(as_tensor(unsorted_indices))
            order = None if given is None else tuple(_known(given))
            padded, lengths = _padded_of(as_tensor(data), np.asarray(_known(batch_sizes)), order)
        self.padded, self.lengths, self.order = padded, lengths, order

    @property
    def data(self) -> Any:
        steps, places = np.nonzero(self._is_there())
        sequences = places if self.order is None else np.asarray(_known(self.order))[places]
        flat = self.padded.reshape(-1, *self.padded.shape[2:])
        return flat.index_select(0, as_tensor(steps * self.padded.shape[1] + sequences))

    @property
    def batch_sizes(self) -> Tensor:
        return as_tensor(self._is_there().sum(1))

    @property
    def sorted_indices(self) -> Tensor | None:
        return None if self.order is None else as_tensor(self.order)

    @property
    def unsorted_indices(self) -> Tensor | None:
        return invert_permutation(self.sorted_indices)

    def _is_there(self) -> np.ndarray:
        """Which sequences, in the order of `data`, have an entry at each step."""
        lengths = np.asarray(_known(self.lengths))
        lengths = lengths if self.order is None else lengths[np.asarray(_known(self.order))]
        return np.arange(lengths.max())[:, None] < lengths

    def like(self, padded: Any) -> PackedSequence:
        """The same lengths and order, with other entries (T, N, *)."""
        return PackedSequence(padded=padded, lengths=self.lengths, order=self.order)

    def _replace(self, **changes: Any) -> PackedSequence:
        if changes.keys() == {"data"}:  # in a compiled step, too
            return self.like(_padded_of(as_tensor(changes["data"]), self._is_there().sum(1), self.order)[0])
        return PackedSequence(**dict(zip(_NAMES, self, strict=True)) | changes)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Its entries in another dtype; the device can only be the CPU."""
        return self.like(self.padded.to(*args, **kwargs))

    def double(self) -> PackedSequence:
        return self.like(self.padded.double())

    def float(self) -> PackedSequence:
        return self.like(self.padded.float())

    def int(self) -> PackedSequence:
        return self.like(self.padded.int())

    def long(self) -> PackedSequence:
        return self.like(self.padded.long())

    def cpu(self) -> PackedSequence:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter((self.data, self.batch_sizes, self.sorted_indices, self.unsorted_indices))

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def __len__(self) -> Any:
        return 4

    def __repr__(self) -> str:
        return f"PackedSequence({', '.join(f'{name}={value!r}' for name, value in zip(_NAMES, self, strict=True))})"


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The places to which a permutation moves each entry; None for None.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.utils.rnn.invert_permutation(tw.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded batch (T, N, *), or (N, T, *) with `batch_first`, and its lengths (N,) as a `PackedSequence`.

    With `enforce_sorted` (the default) lengths must not increase; otherwise `data` is sorted, and results come back in
    the order given. Neither makes a difference to the cost. In a compiled step lengths of a tensor are data, and are
    not checked. Raises ShapeError for lengths that do not fit the batch, ArgumentError for a length outside 1 to T or
    out of order.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> padded = tw.tensor([[1, 2, 3], [4, 0, 0]])
    >>> nn.utils.rnn.pack_padded_sequence(padded, [3, 1], batch_first=True).data
    tensor([1, 4, 2, 3])
    """
    tensor = as_tensor(input)
    if tensor.ndim < 2:
        raise ShapeError(
            explain("pack_padded_sequence takes a padded batch", received=f"shape {tensor.shape}",
                    expected="(N, T, *)" if batch_first else "(T, N, *)")
        )  # fmt: skip
    padded: Any = tensor.transpose(0, 1) if batch_first else tensor
    lengths = _checked(lengths, padded.shape[0], padded.shape[1], enforce_sorted)
    known = _known_or_none(lengths)
    if known is not None:
        padded = padded[: max(known)]
    order: Any = None
    if not enforce_sorted and isinstance(lengths, tuple):
        order = tuple(sorted(range(len(lengths)), key=lambda i: -lengths[i]))
    elif not enforce_sorted:
        order = lengths.argsort(descending=True, stable=True)
    return PackedSequence(padded=padded, lengths=lengths, order=order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded batch (T, N, *), or (N, T, *) with `batch_first`, and the lengths (N,), in the order that was packed.

    T is the greatest length, or `total_length`; in a compiled step whose lengths are data, the T of what was packed.
    Behind the end of a sequence stands `padding_value`. Raises ArgumentError for a `total_length` below the greatest
    length.

    >>> import thalweg as tw
    >>> from thalweg.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> pad_packed_sequence(pack_sequence([tw.tensor([1, 2, 3]), tw.tensor([4])]), batch_first=True)
    (tensor([[1, 2, 3],
            [4, 0, 0]]), tensor([3, 1]))
    """
    padded = sequence.padded
    if total_length is not None:
        if total_length < padded.shape[0]:
            raise ArgumentError(
                explain("pad_packed_sequence: total_length is too short", received=total_length,
                        expected=f"{padded.shape[0]}, the greatest length, or more")
            )  # fmt: skip
        padded = _with_rows(padded, total_length, 0.0, False)
    is_valid = _valid_entries(as_tensor(sequence.lengths), padded.shape[0])
    is_valid = is_valid.reshape(*padded.shape[:2], *(1,) * (padded.ndim - 2))
    result = _where(is_valid, padded, full((), padding_value, dtype=padded.dtype))
    return result.transpose(0, 1) if batch_first else result, as_tensor(sequence.lengths, "int64")


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (L_i, *) as one batch (T, N, *), or (N, T, *) with `batch_first`; T is the greatest length.

    `padding_side` is "right" (default) or "left". Raises ShapeError for sequences of different further axes.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.utils.rnn.pad_sequence([tw.tensor([1, 2, 3]), tw.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    refuse_unknown("pad_sequence: padding_side", ("right", "left"), padding_side)
    tensors = [as_tensor(each) for each in sequences]
    if not tensors:
        raise ArgumentError(explain("pad_sequence takes one sequence or more", received="none"))
    wrong = next((each for each in tensors if not each.ndim or each.shape[1:] != tensors[0].shape[1:]), None)
    if wrong is not None:
        raise ShapeError(
            explain("pad_sequence: the sequences do not fit together", received=f"shapes {tensors[0].shape} and "
                    f"{wrong.shape}", expected="(L, *) with the same further axes")
        )  # fmt: skip
    steps = max(each.shape[0] for each in tensors)
    rows = [_with_rows(each, steps, padding_value, padding_side == "left") for each in tensors]
    return _stack(rows, 0 if batch_first else 1)  # type: ignore[no-any-return]


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each cut to its length; the way back from `pad_sequence`.

    In a compiled step lengths must be Python numbers, because they decide shapes: those of a tensor raise TraceError.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.utils.rnn.unpad_sequence(tw.tensor([[1, 2, 3], [4, 0, 0]]), [3, 1], batch_first=True)
    [tensor([1, 2, 3]), tensor([4])]
    """
    tensor = as_tensor(padded_sequences)
    rows: Any = tensor if batch_first else tensor.transpose(0, 1)
    known = _known(_checked(lengths, rows.shape[1], rows.shape[0], False, 0))
    return [rows[number, :length] for number, length in enumerate(known)]


def pack_sequence(sequences: Iterable[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (L_i, *) as a `PackedSequence`; `enforce_sorted` and errors as in `pack_padded_sequence`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.utils.rnn.pack_sequence([tw.tensor([4]), tw.tensor([1, 2])], enforce_sorted=False).data
    tensor([1, 4, 2])
    """
    tensors = [as_tensor(each) for each in sequences]
    lengths = [each.shape[0] for each in tensors]
    return pack_padded_sequence(pad_sequence(tensors), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a `PackedSequence`, in the order that was packed.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.utils.rnn.unpack_sequence(nn.utils.rnn.pack_sequence([tw.tensor([1, 2]), tw.tensor([4])]))
    [tensor([1, 2]), tensor([4])]
    """
    return unpad_sequence(packed_sequences.padded, packed_sequences.lengths)


# --- lengths ---------------------------------------------------------------------------------------------------------


def _checked(lengths: Any, steps: int, batch: int, is_sorted: bool, least: int = 1) -> tuple[int, ...] | Tensor:
    """Lengths that are Python numbers stay such, a tensor stays a tensor; what is known is checked."""
    if not isinstance(lengths, (Tensor, np.ndarray)):
        lengths = tuple(int(each) for each in lengths)
    check_lengths("lengths", as_tensor(lengths).node, batch)
    known = _known_or_none(lengths)
    if known is not None:
        wrong = next((i for i, each in enumerate(known) if not least <= each <= steps), None)
        if wrong is not None:
            raise ArgumentError(
                explain("a length is out of range", received=f"{known[wrong]} for sequence {wrong}",
                        expected=f"{least} to {steps}, the number of steps")
            )  # fmt: skip
        if is_sorted and any(a < b for a, b in pairwise(known)):
            raise ArgumentError(
                explain("the sequences are not sorted by length", received=f"lengths {known}",
                        expected="the longest first", remedy="pass enforce_sorted=False")
            )  # fmt: skip
    return lengths if isinstance(lengths, tuple) else as_tensor(lengths)


def _known_or_none(lengths: Any) -> list[int] | None:
    return None if modes.trace is not None and isinstance(lengths, (Tensor, np.ndarray)) else _known(lengths)


def _known(lengths: Any) -> list[int]:
    if isinstance(lengths, tuple):
        return list(lengths)
    if modes.trace is not None:
        raise TraceError(
            explain(
                "the lengths of these sequences are data of a compiled step, and shapes would depend on them",
                received="lengths as a tensor",
                expected="Python numbers, which are fixed when the step is traced",
                remedy="stay with pad_packed_sequence, whose shape is that of the padded batch; for other entries of "
                "the same lengths, packed._replace(data=...)",
            )
        )
    return [int(each) for each in as_tensor(lengths)._array()]


def _padded_of(data: Any, sizes: np.ndarray, order: Any) -> tuple[Any, tuple[int, ...]]:
    """The padded batch in the order given, and its lengths."""
    if data.shape[0] != sizes.sum():
        raise ShapeError(
            explain("PackedSequence: data does not fit batch_sizes", received=f"shape {data.shape}",
                    expected=f"{sizes.sum()} entries on the first axis")
        )  # fmt: skip
    lengths = (np.arange(sizes[0]) < sizes[:, None]).sum(0)
    back = np.arange(sizes[0]) if order is None else np.argsort(_known(order))
    lengths = lengths[back]
    places = (np.cumsum(sizes) - sizes)[:, None] + back
    is_there = np.arange(len(sizes))[:, None] < lengths
    rows = data.index_select(0, as_tensor(np.where(is_there, places, 0).reshape(-1)))
    padded = rows.reshape(*places.shape, *data.shape[1:])
    is_there = is_there.reshape(*places.shape, *(1,) * (data.ndim - 1))
    return _where(is_there, padded, full((), 0, dtype=data.dtype)), tuple(lengths.tolist())


def _with_rows(tensor: Any, count: int, value: float, in_front: bool) -> Any:
    """The tensor with more entries on its first axis."""
    missing = count - tensor.shape[0]
    if not missing:
        return tensor
    more = full((missing, *tensor.shape[1:]), value, dtype=tensor.dtype)
    return _cat([more, tensor] if in_front else [tensor, more], 0)
