"""Networks for recordings, and the losses of sequences, in the form that a recipe trains: one tensor in, one out.

In: frames of a spectrogram, tokens, starts of a truck.
Out: scores; the number that is minimised.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg import models, nn
from thalweg.nn import functional as F
from thalweg.nn.recurrent_expressions import valid_entries
from thalweg.tensor import Tensor, arange
from thalweg.tensor.lifting import lift
from thalweg.tensor.methods import functions

IGNORED = -100
BLANK = 0
IMPOSSIBLE = -30.0
"""The logarithm of a probability that is none: far below all others, and still a number to compute with."""
_valid_entries = lift(valid_entries)
_where = functions["where"]


class SpeechClassifier(nn.Module):
    """What is said in a recording: two convolutions over time, a bidirectional GRU, the mean over time, a linear layer.

    Called with frames (N, T, bands) and their lengths (N,), gives class scores (N, classes). What stands behind the end
    of a recording has no effect on it.

    >>> import thalweg as tw
    >>> SpeechClassifier(8, 3, width=4)(tw.ones(2, 9, 8), tw.tensor([9, 4])).shape
    (2, 3)
    """

    def __init__(self, bands: int, classes: int, width: int = 64, depth: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(bands, width, 5, 2, 2)
        self.conv2 = nn.Conv1d(width, width, 5, 2, 2)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        between = dropout if depth > 1 else 0.0
        self.gru = nn.GRU(width, width, depth, bidirectional=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * width, classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        x: Any = frames
        ends: Any = lengths
        for convolution, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            is_inside = _valid_entries(ends, x.shape[1]).transpose(0, 1).to(x.dtype)
            x = convolution((x * is_inside).transpose(1, 2)).transpose(1, 2)
            x, ends = self.dropout(F.relu(norm(x))), (ends + 1) // 2
        heard, _ = self.gru(x.transpose(0, 1), None, ends)
        is_inside = _valid_entries(ends, heard.shape[0]).to(heard.dtype)
        mean = (heard * is_inside).sum(0) / ends.to(heard.dtype).unsqueeze(-1)
        return self.linear(self.dropout(mean))  # type: ignore[no-any-return]


class SpeechTranscriber(nn.Module):
    """`models.SpeechCTC` whose output is one tensor: (N, T', labels), certain of the blank behind each recording's end.

    So the probability of a sequence of labels is the same over all steps as over those of the recording.
    """

    def __init__(self, bands: int, labels: int, width: int = 96, depth: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        self.network = models.SpeechCTC(bands, labels, width, width, depth, dropout=dropout)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        found: Any
        found, ends = self.network(frames, lengths)
        is_inside = _valid_entries(ends, found.shape[0])
        number: Any = arange(found.shape[2])
        silence: Any = _where(number == BLANK, 0.0, IMPOSSIBLE)
        return _where(is_inside, found, silence.to(found.dtype)).transpose(0, 1)  # type: ignore[no-any-return]


class TokenCrossEntropy(nn.Module):
    """The mean surprise at a token: scores (N, T, C), tokens (N, T); those of -100 do not count."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing, self.ignore_index = label_smoothing, IGNORED

    def forward(self, scores: Any, tokens: Any) -> Tensor:
        rows = scores.reshape(-1, scores.shape[-1])
        return F.cross_entropy(
            rows, tokens.reshape(-1), ignore_index=self.ignore_index, label_smoothing=self.label_smoothing
        )


class TranscriptLoss(nn.Module):
    """`F.ctc_loss` of `SpeechTranscriber`: log-probabilities (N, T, labels), labels (N, S) from 1 on, padded with -100.

    Where a recording is too short for its labels, it teaches nothing.
    """

    def forward(self, log_probs: Any, labels: Any) -> Tensor:
        steps = (labels[:, 0] * 0) + log_probs.shape[1]
        lengths = (labels > BLANK).long().sum(1)
        return F.ctc_loss(log_probs.transpose(0, 1), labels.clamp(min=BLANK), steps, lengths, BLANK, zero_infinity=True)


def heard(log_probs: Any) -> list[list[int]]:
    """The likeliest labels, as `models.ctc_greedy_decode` reads them off log-probabilities (N, T, labels)."""
    return models.ctc_greedy_decode(np.ascontiguousarray(np.swapaxes(np.asarray(log_probs), 0, 1)))
