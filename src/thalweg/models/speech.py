"""Speech: a network over log-mel frames that says at each of them which label it hears, for the CTC loss.

In: frames (N, T, mels), and how many of them each recording has. Out: log-probabilities of the labels (T', N, labels),
and how many of these each recording has. `ctc_greedy_decode` reads the labels off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg import nn
from thalweg.errors import ShapeError, explain
from thalweg.nn import functional as F
from thalweg.nn.recurrent_expressions import valid_entries
from thalweg.nn.settings import whole_number
from thalweg.tensor import Tensor
from thalweg.tensor.lifting import as_tensor, lift

_valid_entries = lift(valid_entries)


class SpeechCTC(nn.Module):
    """Two convolutions over time, a bidirectional GRU, a linear layer; after Amodei et al., Deep Speech 2, ICML 2016.

    Args:
        num_mels: numbers of a frame. Default 40.
        num_labels: labels with the blank, which is number 0. Default 11, digits.
        channels, hidden_size: of the convolutions, and of the GRU in each direction. Default 96 each.
        num_layers: of the GRU. Default 1.
        stride: the first convolution keeps one frame of so many. Default 2.
        kernel_size: frames that a convolution sees, odd. Default 5.
        dropout: behind each part, in training. Default 0.1.

    Called with ``(frames, lengths=None)``, gives ``(log_probs, output_lengths)`` as `nn.CTCLoss` takes them: log_probs
    (T', N, num_labels) with T' = ceil(T / stride). What stands behind the length of a recording has no effect.

    >>> import thalweg as tw
    >>> log_probs, lengths = SpeechCTC(num_mels=8, channels=4, hidden_size=4)(tw.ones(2, 9, 8), [9, 4])
    >>> log_probs.shape, lengths.tolist()
    ((5, 2, 11), [5, 2])
    """

    def __init__(
        self, num_mels: int = 40, num_labels: int = 11, channels: int = 96, hidden_size: int = 96, num_layers: int = 1,
        stride: int = 2, kernel_size: int = 5, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_mels, self.stride = num_mels, whole_number("SpeechCTC: stride", stride, 1)
        padding = kernel_size // 2
        self.conv1 = nn.Conv1d(num_mels, channels, kernel_size, stride, padding)
        self.conv2 = nn.Conv1d(channels, channels, kernel_size, 1, padding)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.gru = nn.GRU(channels, hidden_size, num_layers, bidirectional=True,
                          dropout=dropout if num_layers > 1 else 0.0)  # fmt: skip
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * hidden_size, num_labels)

    def forward(self, frames: Tensor, lengths: Any = None) -> tuple[Tensor, Tensor]:
        x: Any = as_tensor(frames)
        if x.ndim != 3 or x.shape[2] != self.num_mels:
            raise ShapeError(
                explain("SpeechCTC takes frames", received=f"shape {x.shape}", expected=f"(N, T, {self.num_mels})")
            )
        found: Any = as_tensor(np.full(x.shape[0], x.shape[1]) if lengths is None else np.asarray(lengths)
                               if isinstance(lengths, (list, tuple)) else lengths)  # fmt: skip
        x = self._silenced(x, found).transpose(1, 2)
        found = (found + (self.stride - 1)) // self.stride
        x = self._silenced(self._normed(self.conv1(x), self.norm1), found).transpose(1, 2)
        x = self._normed(self.conv2(x), self.norm2).transpose(0, 1)
        x, _ = self.gru(x, None, found)
        return F.log_softmax(self.linear(self.dropout(x)), -1), found

    def _normed(self, x: Any, norm: nn.Module) -> Any:
        """(N, C, T) to (N, T, C)."""
        return self.dropout(F.relu(norm(x.transpose(1, 2))))

    def _silenced(self, x: Any, lengths: Any) -> Any:
        """Zeros behind each recording, as if the batch had no longer one."""
        return x * _valid_entries(lengths, x.shape[1]).transpose(0, 1).to(x.dtype)


def ctc_greedy_decode(log_probs: Any, lengths: Any = None, blank: int = 0) -> list[list[int]]:
    """The labels of the likeliest class at each step, repetitions merged, blanks taken out; one list a sequence.

    log_probs (T, N, C), lengths (N,), as for `F.ctc_loss`.

    >>> import thalweg as tw
    >>> ctc_greedy_decode(tw.nn.functional.one_hot(tw.tensor([[1], [1], [0], [1], [2]]), 3).float())
    [[1, 1, 2]]
    """
    scores: Any = as_tensor(log_probs)
    if scores.ndim != 3:
        raise ShapeError(explain("ctc_greedy_decode", received=f"shape {scores.shape}", expected="(T, N, C)"))
    best = scores.detach().argmax(-1).numpy().T
    ends = [best.shape[1]] * len(best) if lengths is None else np.asarray(lengths).tolist()
    return [_merged(row[:end], blank) for row, end in zip(best, ends, strict=True)]


def _merged(row: np.ndarray, blank: int) -> list[int]:
    changes = np.concatenate([[True], row[1:] != row[:-1]]) if len(row) else np.zeros(0, bool)
    kept: list[int] = row[changes & (row != blank)].tolist()
    return kept
