"""The layers, activations and losses as functions: `import thalweg.nn.functional as F`.

In: tensors or NumPy arrays, and the weights where there are any. Out: tensors. Names, arguments and semantics are
PyTorch's, without its deprecated arguments (`size_average`, `reduce`). What few networks use is
imported when it is first named.
"""

from typing import TYPE_CHECKING

from thalweg.later import later as _later
from thalweg.nn.functional.activations import (
    elu,
    gelu,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from thalweg.nn.functional.attention import scaled_dot_product_attention
from thalweg.nn.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    unfold,
)
from thalweg.nn.functional.ctc import ctc_loss
from thalweg.nn.functional.layers import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    embedding,
    feature_alpha_dropout,
    linear,
    normalize,
    one_hot,
)
from thalweg.nn.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from thalweg.nn.functional.normalisation import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from thalweg.nn.functional.padding import pad
from thalweg.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from thalweg.nn.functional.resampling import (
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)
from thalweg.nn.functional.vision import (
    box_iou_loss,
    dice_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
    heatmap_focal_loss,
    sigmoid_focal_loss,
)

if TYPE_CHECKING:
    from thalweg.nn.functional.bags import embedding_bag
    from thalweg.nn.functional.distances import bilinear, cosine_similarity, pairwise_distance, pdist
    from thalweg.nn.functional.margins import (
        cosine_embedding_loss,
        gaussian_nll_loss,
        hinge_embedding_loss,
        linear_cross_entropy,
        margin_ranking_loss,
        multi_margin_loss,
        multilabel_margin_loss,
        multilabel_soft_margin_loss,
        poisson_nll_loss,
        soft_margin_loss,
        triplet_margin_loss,
        triplet_margin_with_distance_loss,
    )
    from thalweg.nn.functional.sampling import affine_grid, grid_sample
    from thalweg.nn.functional.shrinking import (
        celu,
        celu_,
        elu_,
        glu,
        gumbel_softmax,
        hardshrink,
        hardsigmoid,
        hardswish,
        hardtanh_,
        leaky_relu_,
        mish,
        prelu,
        relu_,
        rrelu,
        rrelu_,
        selu_,
        softmin,
        softshrink,
        softsign,
        tanhshrink,
        threshold,
        threshold_,
    )
    from thalweg.nn.functional.unpooling import (
        adaptive_max_pool1d_with_indices,
        adaptive_max_pool2d_with_indices,
        adaptive_max_pool3d_with_indices,
        channel_shuffle,
        fractional_max_pool2d,
        fractional_max_pool2d_with_indices,
        fractional_max_pool3d,
        fractional_max_pool3d_with_indices,
        local_response_norm,
        lp_pool1d,
        lp_pool2d,
        lp_pool3d,
        max_pool1d_with_indices,
        max_pool2d_with_indices,
        max_pool3d_with_indices,
        max_unpool1d,
        max_unpool2d,
        max_unpool3d,
        native_channel_shuffle,
    )

# Name -> its module here.
_MODULE_OF = {
    "embedding_bag": "bags", "bilinear": "distances", "cosine_similarity": "distances",
    "pairwise_distance": "distances", "pdist": "distances", "cosine_embedding_loss": "margins",
    "gaussian_nll_loss": "margins", "hinge_embedding_loss": "margins", "linear_cross_entropy": "margins",
    "margin_ranking_loss": "margins", "multi_margin_loss": "margins", "multilabel_margin_loss": "margins",
    "multilabel_soft_margin_loss": "margins", "poisson_nll_loss": "margins", "soft_margin_loss": "margins",
    "triplet_margin_loss": "margins", "triplet_margin_with_distance_loss": "margins", "affine_grid": "sampling",
    "grid_sample": "sampling", "celu": "shrinking", "celu_": "shrinking", "elu_": "shrinking", "glu": "shrinking",
    "gumbel_softmax": "shrinking", "hardshrink": "shrinking", "hardsigmoid": "shrinking", "hardswish": "shrinking",
    "hardtanh_": "shrinking", "leaky_relu_": "shrinking", "mish": "shrinking", "prelu": "shrinking",
    "relu_": "shrinking", "rrelu": "shrinking", "rrelu_": "shrinking", "selu_": "shrinking", "softmin": "shrinking",
    "softshrink": "shrinking", "softsign": "shrinking", "tanhshrink": "shrinking", "threshold": "shrinking",
    "threshold_": "shrinking", "adaptive_max_pool1d_with_indices": "unpooling",
    "adaptive_max_pool2d_with_indices": "unpooling", "adaptive_max_pool3d_with_indices": "unpooling",
    "channel_shuffle": "unpooling", "fractional_max_pool2d": "unpooling",
    "fractional_max_pool2d_with_indices": "unpooling", "fractional_max_pool3d": "unpooling",
    "fractional_max_pool3d_with_indices": "unpooling", "local_response_norm": "unpooling", "lp_pool1d": "unpooling",
    "lp_pool2d": "unpooling", "lp_pool3d": "unpooling", "max_pool1d_with_indices": "unpooling",
    "max_pool2d_with_indices": "unpooling", "max_pool3d_with_indices": "unpooling", "max_unpool1d": "unpooling",
    "max_unpool2d": "unpooling", "max_unpool3d": "unpooling", "native_channel_shuffle": "unpooling",
}  # fmt: skip
_LATER = {name: (f"{__name__}.{module}", name) for name, module in _MODULE_OF.items()}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = _later(__name__, _LATER)


__all__ = [
    "linear", "embedding", "dropout", "dropout1d", "dropout2d", "one_hot", "normalize",
    "batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm", "scaled_dot_product_attention",
    "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "unfold", "fold",
    "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "pad", "interpolate", "pixel_shuffle", "pixel_unshuffle",
    "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "hardtanh", "softplus",
    "logsigmoid", "softmax", "log_softmax",
    "mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "cross_entropy", "nll_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "kl_div", "ctc_loss", "sigmoid_focal_loss", "heatmap_focal_loss", "dice_loss",
    "box_iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss",
    "conv3d", "conv_transpose3d", "bilinear", "cosine_similarity", "pairwise_distance", "pdist", "embedding_bag",
    "alpha_dropout", "dropout3d", "feature_alpha_dropout", "cosine_embedding_loss", "gaussian_nll_loss",
    "hinge_embedding_loss", "linear_cross_entropy", "margin_ranking_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "poisson_nll_loss", "soft_margin_loss",
    "triplet_margin_loss", "triplet_margin_with_distance_loss", "adaptive_avg_pool3d", "adaptive_max_pool3d",
    "avg_pool3d", "max_pool3d", "upsample", "upsample_bilinear", "upsample_nearest", "affine_grid", "grid_sample",
    "celu", "celu_", "elu_", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh_",
    "leaky_relu_", "mish", "prelu", "relu_", "rrelu", "rrelu_", "selu_", "softmin", "softshrink", "softsign",
    "tanhshrink", "threshold", "threshold_", "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d_with_indices", "channel_shuffle", "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices", "fractional_max_pool3d", "fractional_max_pool3d_with_indices",
    "local_response_norm", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d_with_indices",
    "max_pool2d_with_indices", "max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "native_channel_shuffle",
]  # fmt: skip
