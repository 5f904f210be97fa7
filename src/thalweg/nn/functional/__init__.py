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
from thalweg.nn.functional.layers import (
    batch_norm,
    dropout,
    embedding,
    layer_norm,
    linear,
    normalize,
    one_hot,
    pad,
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

__all__ = [
    "linear", "embedding", "dropout", "batch_norm", "layer_norm", "one_hot", "normalize", "pad",
    "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "hardtanh", "softplus",
    "logsigmoid", "softmax", "log_softmax",
    "mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "cross_entropy", "nll_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "kl_div",
]  # fmt: skip
