"""The rows of `catalogue` for the rarer classes: volumes, losses by margins, shrinking activations, and the like.

In: nothing. Out: `SHELF`. Small shapes: what a class computes is compared with PyTorch in tests/peers.
"""

from __future__ import annotations

from typing import Any

import thalweg as tw
from tests.nn.rows import Case, labels, plane, same
from thalweg import nn


def two(build: Any, output: tuple[int, ...] = (), shape: tuple[int, ...] = (4, 3), **options: Any) -> Case:
    return Case(build, (shape, shape), output, **options)


VOLUMES = [
    plane(lambda: nn.Conv3d(2, 3, 2, padding=1), (1, 2, 2, 3, 2), (1, 3, 3, 4, 3)),
    plane(lambda: nn.Conv3d(1, 2, (1, 2, 2), stride=(1, 2, 1), bias=False), (1, 2, 2, 3), (2, 2, 1, 2)),
    plane(lambda: nn.ConvTranspose3d(2, 1, 2, stride=(1, 2, 1)), (1, 2, 2, 1, 2), (1, 1, 3, 2, 3)),
    plane(lambda: nn.MaxPool3d(2), (1, 2, 2, 4, 3), (1, 2, 1, 2, 1)),
    plane(lambda: nn.AvgPool3d((1, 2, 2), stride=1), (1, 1, 2, 3, 3), (1, 1, 2, 2, 2)),
    plane(lambda: nn.AdaptiveAvgPool3d((1, 2, None)), (1, 2, 2, 3, 2), (1, 2, 1, 2, 2)),
    plane(lambda: nn.AdaptiveMaxPool3d(1), (1, 2, 2, 3, 2), (1, 2, 1, 1, 1)),
    same(lambda: nn.BatchNorm3d(2), (2, 2, 1, 2, 2)),
    same(lambda: nn.InstanceNorm3d(2, affine=True), (1, 2, 1, 2, 2)),
    same(lambda: nn.Dropout3d(0.3), (2, 3, 1, 2, 1)),
    plane(lambda: nn.ZeroPad3d(1), (1, 1, 2, 1, 2), (1, 1, 4, 3, 4)),
    plane(lambda: nn.ConstantPad3d((1, 0, 0, 1, 2, 0), 0.5), (1, 1, 2, 2, 2), (1, 1, 4, 3, 3)),
    plane(lambda: nn.ReflectionPad3d(1), (1, 1, 2, 2, 3), (1, 1, 4, 4, 5)),
    plane(lambda: nn.ReplicationPad3d((1, 1, 0, 0, 0, 1)), (1, 1, 1, 2, 2), (1, 1, 2, 2, 4)),
    plane(lambda: nn.CircularPad3d(1), (1, 1, 2, 2, 2), (1, 1, 4, 4, 4)),
]

POOLS = [
    plane(lambda: nn.LPPool1d(2, 2), (2, 1, 5), (2, 1, 2)),
    plane(lambda: nn.LPPool2d(3, 2), (1, 1, 2, 4), (1, 1, 1, 2)).above(0.5, 1.5),
    plane(lambda: nn.LPPool3d(2, (1, 2, 1)), (1, 1, 1, 2, 2), (1, 1, 1, 1, 2)),
    Case(lambda: nn.MaxUnpool1d(2), ((1, 2, 1), (1, 2, 1)), (1, 2, 2), (None, 2)),
    Case(lambda: nn.MaxUnpool2d(2), ((1, 2, 1, 1), (1, 2, 1, 1)), (1, 2, 2, 2), (None, 4)),
    Case(lambda: nn.MaxUnpool3d((1, 1, 2)), ((1, 2, 1, 1, 1), (1, 2, 1, 1, 1)), (1, 2, 1, 1, 2), (None, 2)),
    plane(lambda: nn.FractionalMaxPool2d(2, 2, _random_samples=tw.full((1, 2, 2), 0.3, dtype="float32")),
          (1, 2, 4, 5), (1, 2, 2, 2)),
    plane(lambda: nn.FractionalMaxPool3d(1, 2, _random_samples=tw.full((1, 1, 3), 0.7, dtype="float32")),
          (1, 1, 3, 3, 4), (1, 1, 2, 2, 2)),
    same(lambda: nn.LocalResponseNorm(2, alpha=0.5), (2, 3, 2)),
    same(lambda: nn.ChannelShuffle(2), (1, 4, 2)),
]  # fmt: skip

ACTIVATIONS = [
    *[same(each) for each in (nn.Hardsigmoid, nn.Hardswish, nn.Mish, nn.Tanhshrink, nn.Softsign)],
    same(lambda: nn.CELU(0.5)),
    same(lambda: nn.Threshold(0.1, -1.0)),
    same(lambda: nn.Hardshrink(0.3)),
    same(lambda: nn.Softshrink(0.3)),
    same(lambda: nn.Softmin(dim=1)),
    same(nn.Softmax2d, (1, 3, 2, 2)),
    plane(lambda: nn.GLU(1), (2, 4), (2, 2)),
    same(lambda: nn.PReLU(3)),
    same(nn.PReLU, (3,)),
    same(nn.RReLU),
    same(lambda: nn.AlphaDropout(0.3)),
    same(lambda: nn.FeatureAlphaDropout(0.3), (2, 3, 2)),
]

LOSSES = [
    two(nn.KLDivLoss, low=0.1, high=0.9),
    two(lambda: nn.KLDivLoss("batchmean", log_target=True)),
    two(lambda: nn.PoissonNLLLoss(full=True), low=0.1, high=0.9),
    Case(lambda: nn.GaussianNLLLoss(full=True), ((4, 3),) * 3, (), low=0.1, high=0.9),
    two(nn.SoftMarginLoss),
    Case(lambda: nn.HingeEmbeddingLoss(0.5), ((4, 3), (4, 3)), (), (None, (0, 2))),
    Case(lambda: nn.MarginRankingLoss(0.1, reduction="none"), ((4,),) * 3, (4,), (None, None, 2)),
    Case(nn.CosineEmbeddingLoss, ((4, 3), (4, 3), (4,)), (), (None, None, (1, 2))),
    Case(lambda: nn.TripletMarginLoss(swap=True), ((4, 3),) * 3, ()),
    Case(nn.TripletMarginWithDistanceLoss, ((4, 3),) * 3, ()),
    labels(lambda: nn.MultiMarginLoss(2, 0.8)),
    Case(nn.MultiLabelMarginLoss, ((4, 3), (4, 3)), (), (None, (-1, 3))),
    two(lambda: nn.MultiLabelSoftMarginLoss(tw.tensor([1.0, 2.0, 0.5])), low=0.1, high=0.9),
    labels(lambda: nn.LinearCrossEntropyLoss(3, 5, bias=True)),
]

OTHERS = [
    Case(lambda: nn.Bilinear(2, 3, 4), ((5, 2), (5, 3)), (5, 4)),
    two(nn.CosineSimilarity, (4,)),
    two(lambda: nn.PairwiseDistance(3.0, keepdim=True), (4, 1)),
    Case(lambda: nn.EmbeddingBag(5, 2), ((3, 4),), (3, 2), (5,)),
    Case(lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2, 4], div_value=2.0), ((3, 4), (3,)), (3,), (None, 6)),
    Case(lambda: nn.EmbeddingBag(5, 2, mode="max", padding_idx=1), ((3, 4),), (3, 2), (5,)),
    Case(lambda: nn.ParameterList([tw.ones(2), nn.Parameter([1.0])]), (), (), is_called=False),
    Case(lambda: nn.ParameterDict({"a": tw.ones(2)}), (), (), is_called=False),
]

SHELF = [*VOLUMES, *POOLS, *ACTIVATIONS, *LOSSES, *OTHERS]

# Functions that are compiled through the modules above, or as PyTorch's own samples in tests/peers.
FUNCTIONS = {
    "adaptive_avg_pool3d", "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "affine_grid", "alpha_dropout", "avg_pool3d",
    "bilinear", "celu", "celu_", "channel_shuffle", "conv3d", "conv_transpose3d", "cosine_embedding_loss",
    "cosine_similarity", "dropout3d", "elu_", "embedding_bag", "feature_alpha_dropout", "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices", "fractional_max_pool3d", "fractional_max_pool3d_with_indices",
    "gaussian_nll_loss", "glu", "grid_sample", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh_", "hinge_embedding_loss", "leaky_relu_", "linear_cross_entropy", "local_response_norm", "lp_pool1d",
    "lp_pool2d", "lp_pool3d", "margin_ranking_loss", "max_pool1d_with_indices", "max_pool2d_with_indices",
    "max_pool3d", "max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d", "mish",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "native_channel_shuffle",
    "pairwise_distance", "pdist", "poisson_nll_loss", "prelu", "relu_", "rrelu", "rrelu_", "selu_",
    "soft_margin_loss", "softmin", "softshrink", "softsign", "tanhshrink", "threshold", "threshold_",
    "triplet_margin_loss", "triplet_margin_with_distance_loss", "upsample", "upsample_bilinear", "upsample_nearest",
}  # fmt: skip
