"""One table of all module classes: how each is built, what it is called with, and what shape must come out.

In: nothing. Out: `CASES`, which the contract suite runs through; a class that stands in no row fails there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import thalweg as tw
from thalweg import nn


@dataclass(frozen=True)
class Case:
    """`build()` makes the module, `shapes` are those of its inputs; `integers` has the bounds of whole-number inputs.

    A bound is what such an input stays below, or a pair; `output` is the shape of the result, of several the first.
    """

    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    integers: tuple[int | tuple[int, int] | None, ...] = ()
    low: float = -1.0
    high: float = 1.0
    is_called: bool = True

    @property
    def name(self) -> str:
        return type(self.build()).__name__

    def inputs(self, dtype: str = "float32") -> list[tw.Tensor]:
        generator = tw.Generator(3)
        bounds = self.integers or (None,) * len(self.shapes)
        return [
            tw.rand(*shape, generator=generator, dtype=dtype) * (self.high - self.low) + self.low
            if bound is None
            else tw.randint(*(bound if isinstance(bound, tuple) else (0, bound)), shape, generator=generator)
            for shape, bound in zip(self.shapes, bounds, strict=True)
        ]


def first(result: Any) -> Any:
    """The result, or the first of several."""
    return first(result[0]) if isinstance(result, tuple) else result


def _same(build: Callable[[], nn.Module], shape: tuple[int, ...] = (4, 3), **options: float) -> Case:
    return Case(build, (shape,), shape, **options)  # type: ignore[arg-type]


def _pair(build: Callable[[], nn.Module], output: tuple[int, ...] = (), **options: float) -> Case:
    return Case(build, ((4, 3), (4, 3)), output, **options)  # type: ignore[arg-type]


def _labels(build: Callable[[], nn.Module], output: tuple[int, ...] = ()) -> Case:
    return Case(build, ((4, 3), (4,)), output, (None, 3))


def _plane(build: Callable[[], nn.Module], shape: tuple[int, ...], output: tuple[int, ...]) -> Case:
    return Case(build, (shape,), output)


IMAGES = [
    _plane(lambda: nn.Conv1d(2, 3, 3), (2, 2, 6), (2, 3, 4)),
    _plane(lambda: nn.Conv1d(2, 4, 2, stride=2, dilation=2, groups=2, bias=False), (2, 7), (4, 3)),
    _plane(lambda: nn.Conv2d(2, 3, 3, padding=1), (2, 2, 4, 5), (2, 3, 4, 5)),
    _plane(lambda: nn.Conv2d(1, 2, (1, 2), stride=(2, 1), padding=(0, 1)), (2, 1, 4, 3), (2, 2, 2, 4)),
    _plane(lambda: nn.Conv2d(3, 3, 3, padding="same", groups=3, padding_mode="reflect"), (2, 3, 4, 3), (2, 3, 4, 3)),
    _plane(lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1, output_padding=1), (2, 2, 4), (2, 3, 8)),
    _plane(lambda: nn.ConvTranspose2d(2, 2, 2, stride=2, groups=2), (2, 2, 2, 3), (2, 2, 4, 6)),
    _plane(lambda: nn.ConvTranspose2d(1, 2, (2, 3), dilation=(2, 1), bias=False), (1, 1, 2, 3), (1, 2, 4, 5)),
    _plane(lambda: nn.Unfold(2, padding=1), (2, 1, 2, 3), (2, 4, 12)),
    _plane(lambda: nn.Fold(3, 2), (2, 4, 4), (2, 1, 3, 3)),
    _plane(lambda: nn.MaxPool1d(2), (2, 3, 7), (2, 3, 3)),
    _plane(lambda: nn.MaxPool2d(2), (2, 2, 4, 5), (2, 2, 2, 2)),
    _plane(lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (2, 2, 5, 6), (2, 2, 3, 4)),
    _plane(lambda: nn.MaxPool2d((5, 1)), (2, 1, 5, 3), (2, 1, 1, 3)),
    _plane(lambda: nn.AvgPool1d(3, stride=1, padding=1, count_include_pad=False), (2, 2, 5), (2, 2, 5)),
    _plane(lambda: nn.AvgPool2d(2), (2, 2, 4, 5), (2, 2, 2, 2)),
    _plane(lambda: nn.AvgPool2d(4, divisor_override=3), (2, 1, 4, 8), (2, 1, 1, 2)),
    _plane(lambda: nn.AdaptiveAvgPool1d(2), (2, 3, 5), (2, 3, 2)),
    _plane(lambda: nn.AdaptiveAvgPool2d(1), (2, 3, 4, 5), (2, 3, 1, 1)),
    _plane(lambda: nn.AdaptiveMaxPool1d(3), (2, 2, 7), (2, 2, 3)),
    _plane(lambda: nn.AdaptiveMaxPool2d((2, None)), (2, 2, 6, 3), (2, 2, 2, 3)),
    _same(lambda: nn.BatchNorm2d(3), (2, 3, 2, 4)),
    _same(lambda: nn.GroupNorm(2, 4), (2, 4, 3)),
    _same(lambda: nn.InstanceNorm1d(3, affine=True), (2, 3, 4)),
    _same(lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (2, 3, 2, 3)),
    _same(lambda: nn.Dropout1d(0.3), (2, 3, 4)),
    _same(lambda: nn.Dropout2d(0.3), (2, 3, 2, 3)),
    _plane(lambda: nn.ZeroPad1d((1, 2)), (2, 3, 4), (2, 3, 7)),
    _plane(lambda: nn.ZeroPad2d(1), (2, 3, 4), (2, 5, 6)),
    _plane(lambda: nn.ConstantPad1d(1, 0.5), (2, 3, 4), (2, 3, 6)),
    _plane(lambda: nn.ConstantPad2d((1, -1, 0, 2), 0.5), (2, 1, 3, 4), (2, 1, 5, 4)),
    _plane(lambda: nn.ReflectionPad1d(2), (2, 3, 4), (2, 3, 8)),
    _plane(lambda: nn.ReflectionPad2d(1), (2, 1, 3, 4), (2, 1, 5, 6)),
    _plane(lambda: nn.ReplicationPad1d((3, 1)), (2, 3, 4), (2, 3, 8)),
    _plane(lambda: nn.ReplicationPad2d(1), (2, 1, 3, 4), (2, 1, 5, 6)),
    _plane(lambda: nn.CircularPad1d(2), (2, 3, 4), (2, 3, 8)),
    _plane(lambda: nn.CircularPad2d(1), (2, 1, 3, 4), (2, 1, 5, 6)),
    _plane(lambda: nn.Upsample(scale_factor=2), (2, 3, 4), (2, 3, 8)),
    _plane(lambda: nn.Upsample(size=(5, 3), mode="bilinear"), (2, 1, 3, 4), (2, 1, 5, 3)),
    _plane(lambda: nn.Upsample(size=5), (2, 1, 3, 4), (2, 1, 5, 5)),
    _plane(lambda: nn.UpsamplingNearest2d(scale_factor=2), (2, 1, 3, 2), (2, 1, 6, 4)),
    _plane(lambda: nn.UpsamplingBilinear2d(scale_factor=2), (2, 1, 3, 2), (2, 1, 6, 4)),
    _plane(lambda: nn.PixelShuffle(2), (2, 4, 2, 3), (2, 1, 4, 6)),
    _plane(lambda: nn.PixelUnshuffle(2), (2, 1, 4, 2), (2, 4, 2, 1)),
]

SEQUENCES = [
    Case(lambda: nn.RNN(3, 2), ((3, 1, 3),), (3, 1, 2)),
    Case(lambda: nn.RNN(2, 1, 2, bias=False, bidirectional=True, dropout=0.2), ((2, 1, 2),), (2, 1, 2)),
    Case(lambda: nn.GRU(1, 2, batch_first=True), ((2, 3, 1),), (2, 3, 2)),
    Case(lambda: nn.GRU(2, 1, bidirectional=True), ((3, 2), (2, 1)), (3, 2)),
    Case(lambda: nn.LSTM(2, 1, 2), ((3, 1, 2),), (3, 1, 1)),
    Case(lambda: nn.LSTM(1, 2, proj_size=1, bidirectional=True), ((3, 1, 1),), (3, 1, 2)),
    Case(lambda: nn.RNNCell(3, 2), ((2, 3), (2, 2)), (2, 2)),
    Case(lambda: nn.GRUCell(3, 2, bias=False), ((3,),), (2,)),
    Case(lambda: nn.LSTMCell(3, 2), ((2, 3),), (2, 2)),
    Case(lambda: nn.MultiheadAttention(2, 2), ((2, 1, 2), (3, 1, 2), (3, 1, 2)), (2, 1, 2)),
    Case(lambda: nn.MultiheadAttention(2, 1, 0.2, False, True, True, 1, 2, True), ((1, 2, 2), (1, 3, 1), (1, 3, 2)),
         (1, 2, 2)),
    Case(lambda: nn.TransformerEncoderLayer(2, 2, 1, activation="gelu"), ((3, 1, 2),), (3, 1, 2)),
    Case(lambda: nn.TransformerDecoderLayer(2, 1, 1, 0.0, nn.SiLU(), norm_first=True), ((2, 2), (2, 2)), (2, 2)),
    Case(lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(2, 1, 1, activation="gelu"), 1, nn.LayerNorm(2)),
         ((2, 2),), (2, 2)),
    Case(lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(2, 1, 1, 0.0, "gelu", batch_first=True), 1),
         ((1, 2, 2), (1, 2, 2)), (1, 2, 2)),
    Case(lambda: nn.Transformer(2, 1, 1, 1, 1, 0.0, "gelu", bias=False), ((2, 1, 2), (1, 1, 2)), (1, 1, 2)),
    _same(lambda: nn.SinusoidalPositionalEncoding(3, 8), (2, 5, 3)),
    _same(lambda: nn.LearnedPositionalEncoding(3, 4)),
    _same(lambda: nn.RotaryPositionalEmbedding(4, 8), (2, 5, 4)),
    _same(lambda: nn.RMSNorm(3)),
    _same(lambda: nn.RMSNorm((4, 3), 1e-3, elementwise_affine=False), (2, 4, 3)),
    Case(lambda: nn.CTCLoss(zero_infinity=True), ((6, 2, 3), (2, 2), (2,), (2,)), (), (None, (1, 3), (3, 7), (0, 3)),
         low=-3.0, high=-0.1),
]  # fmt: skip

CASES = [
    Case(lambda: nn.Linear(3, 5), ((4, 3),), (4, 5)),
    Case(lambda: nn.Linear(3, 5, bias=False), ((2, 1, 3),), (2, 1, 5)),
    Case(lambda: nn.Linear(3, 1), ((3,),), (1,)),
    Case(lambda: nn.Embedding(7, 2), ((4, 3),), (4, 3, 2), (7,)),
    Case(lambda: nn.Embedding(7, 2, padding_idx=-1), ((4,),), (4, 2), (7,)),
    Case(lambda: nn.Flatten(), ((2, 3, 4),), (2, 12)),
    Case(lambda: nn.Unflatten(1, (2, -1)), ((3, 6),), (3, 2, 3)),
    _same(lambda: nn.Identity("anything")),
    _same(lambda: nn.Dropout(0.3)),
    _same(lambda: nn.Dropout(0.0)),
    _same(lambda: nn.BatchNorm1d(3)),
    _same(lambda: nn.BatchNorm1d(3, momentum=None), (4, 3, 2)),
    _same(lambda: nn.BatchNorm1d(3, affine=False, track_running_stats=False)),
    _same(lambda: nn.BatchNorm1d(3, bias=False)),
    _same(lambda: nn.LayerNorm(3)),
    _same(lambda: nn.LayerNorm((5, 3), bias=False), (2, 5, 3)),
    _same(lambda: nn.LayerNorm(3, elementwise_affine=False)),
    *[_same(each) for each in (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU)],
    *[_same(each) for each in (nn.Softplus, nn.LogSigmoid, nn.ReLU6)],
    _same(nn.Hardtanh, low=-0.9, high=0.9),
    _same(lambda: nn.GELU("tanh")),
    _same(lambda: nn.Softmax(dim=-1)),
    _same(lambda: nn.LogSoftmax(dim=1)),
    *[_pair(each) for each in (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)],
    _pair(lambda: nn.MSELoss(reduction="none"), (4, 3)),
    _pair(lambda: nn.HuberLoss("sum", delta=0.5)),
    _labels(nn.CrossEntropyLoss),
    _labels(lambda: nn.CrossEntropyLoss(tw.tensor([1.0, 2.0, 0.5]), 1, "sum", 0.1)),
    _pair(nn.CrossEntropyLoss, low=0.1, high=0.9),
    _labels(nn.NLLLoss),
    _labels(lambda: nn.NLLLoss(reduction="none"), (4,)),
    _pair(nn.BCELoss, low=0.1, high=0.9),
    _pair(nn.BCEWithLogitsLoss, low=0.1, high=0.9),
    _pair(lambda: nn.BCEWithLogitsLoss(pos_weight=tw.tensor([1.0, 3.0, 0.5])), low=0.1, high=0.9),
    *IMAGES,
    *SEQUENCES,
    Case(lambda: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)), ((6, 3),), (6, 2)),
    Case(nn.Sequential, ((2, 2),), (2, 2)),
    Case(lambda: nn.ModuleList([nn.Linear(2, 2), nn.ReLU()]), (), (), is_called=False),
    Case(lambda: nn.ModuleDict({"a": nn.Linear(2, 2)}), (), (), is_called=False),
]
