"""The layers, activations and losses as functions: `import thalweg.nn.functional as F`.

In: tensors or NumPy arrays, and the weights where there are any. Out: tensors. Names, arguments and semantics are
PyTorch's, without its deprecated arguments (`size_average`, `reduce`).
"""

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
from thalweg.nn.functional.convolution import conv1d, conv2d, conv_transpose1d, conv_transpose2d, fold, unfold
from thalweg.nn.functional.ctc import ctc_loss
from thalweg.nn.functional.layers import dropout, dropout1d, dropout2d, embedding, linear, normalize, one_hot
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
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from thalweg.nn.functional.resampling import interpolate, pixel_shuffle, pixel_unshuffle
from thalweg.nn.functional.vision import (
    box_iou_loss,
    dice_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
    heatmap_focal_loss,
    sigmoid_focal_loss,
)

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
]  # fmt: skip
