"""Modules, losses, initialisation: the parts that networks are built of, with PyTorch's names.

In: constructor arguments. Out: modules that map tensors to tensors and own parameters. `functional` has the same as
functions, `init` how weights start, `utils` gradient clipping. What few networks use is imported when
it is first named.
"""

from typing import TYPE_CHECKING

from thalweg.later import later as _later
from thalweg.nn import functional, init, utils
from thalweg.nn.activations import (
    ELU,
    GELU,
    SELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from thalweg.nn.attention import MultiheadAttention
from thalweg.nn.containers import ModuleDict, ModuleList, Sequential
from thalweg.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Fold,
    Unfold,
)
from thalweg.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout
from thalweg.nn.embedding import Embedding
from thalweg.nn.linear import Linear
from thalweg.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    CTCLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from thalweg.nn.module import Module
from thalweg.nn.normalisation import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)
from thalweg.nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from thalweg.nn.parameter import Parameter
from thalweg.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from thalweg.nn.recurrent import GRU, LSTM, RNN
from thalweg.nn.recurrent_cells import GRUCell, LSTMCell, RNNCell
from thalweg.nn.shape import Flatten, Identity, Unflatten
from thalweg.nn.transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from thalweg.nn.upsampling import PixelShuffle, PixelUnshuffle, Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

if TYPE_CHECKING:
    from thalweg.nn.adaptive_softmax import AdaptiveLogSoftmaxWithLoss
    from thalweg.nn.distances import Bilinear, CosineSimilarity, PairwiseDistance
    from thalweg.nn.embedding_bag import EmbeddingBag
    from thalweg.nn.margins import (
        CosineEmbeddingLoss,
        GaussianNLLLoss,
        HingeEmbeddingLoss,
        KLDivLoss,
        LinearCrossEntropyLoss,
        MarginRankingLoss,
        MultiLabelMarginLoss,
        MultiLabelSoftMarginLoss,
        MultiMarginLoss,
        PoissonNLLLoss,
        SoftMarginLoss,
        TripletMarginLoss,
        TripletMarginWithDistanceLoss,
    )
    from thalweg.nn.parameter_containers import ParameterDict, ParameterList
    from thalweg.nn.positions import (
        LearnedPositionalEncoding,
        RotaryPositionalEmbedding,
        SinusoidalPositionalEncoding,
    )
    from thalweg.nn.shrinkage import (
        CELU,
        GLU,
        Hardshrink,
        Hardsigmoid,
        Hardswish,
        Mish,
        PReLU,
        RReLU,
        Softmax2d,
        Softmin,
        Softshrink,
        Softsign,
        Tanhshrink,
        Threshold,
    )
    from thalweg.nn.unpooling import (
        ChannelShuffle,
        FractionalMaxPool2d,
        FractionalMaxPool3d,
        LocalResponseNorm,
        LPPool1d,
        LPPool2d,
        LPPool3d,
        MaxUnpool1d,
        MaxUnpool2d,
        MaxUnpool3d,
    )

# Name -> its module here.
_MODULE_OF = {
    "AdaptiveLogSoftmaxWithLoss": "adaptive_softmax", "LearnedPositionalEncoding": "positions",
    "RotaryPositionalEmbedding": "positions", "SinusoidalPositionalEncoding": "positions",
    "Bilinear": "distances", "CosineSimilarity": "distances", "PairwiseDistance": "distances",
    "EmbeddingBag": "embedding_bag", "CosineEmbeddingLoss": "margins", "GaussianNLLLoss": "margins",
    "HingeEmbeddingLoss": "margins", "KLDivLoss": "margins", "LinearCrossEntropyLoss": "margins",
    "MarginRankingLoss": "margins", "MultiLabelMarginLoss": "margins", "MultiLabelSoftMarginLoss": "margins",
    "MultiMarginLoss": "margins", "PoissonNLLLoss": "margins", "SoftMarginLoss": "margins",
    "TripletMarginLoss": "margins", "TripletMarginWithDistanceLoss": "margins",
    "ParameterDict": "parameter_containers", "ParameterList": "parameter_containers", "CELU": "shrinkage",
    "GLU": "shrinkage", "Hardshrink": "shrinkage", "Hardsigmoid": "shrinkage", "Hardswish": "shrinkage",
    "Mish": "shrinkage", "PReLU": "shrinkage", "RReLU": "shrinkage", "Softmax2d": "shrinkage", "Softmin": "shrinkage",
    "Softshrink": "shrinkage", "Softsign": "shrinkage", "Tanhshrink": "shrinkage", "Threshold": "shrinkage",
    "ChannelShuffle": "unpooling", "FractionalMaxPool2d": "unpooling", "FractionalMaxPool3d": "unpooling",
    "LPPool1d": "unpooling", "LPPool2d": "unpooling", "LPPool3d": "unpooling", "LocalResponseNorm": "unpooling",
    "MaxUnpool1d": "unpooling", "MaxUnpool2d": "unpooling", "MaxUnpool3d": "unpooling",
}  # fmt: skip
_LATER = {name: (f"{__name__}.{module}", name) for name, module in _MODULE_OF.items()}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = _later(__name__, _LATER)


__all__ = [
    "Module", "Parameter", "Sequential", "ModuleList", "ModuleDict",
    "Linear", "Embedding", "Flatten", "Unflatten", "Identity", "Dropout", "Dropout1d", "Dropout2d",
    "BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm", "GroupNorm", "RMSNorm",
    "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell",
    "MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerDecoder", "TransformerEncoderLayer",
    "TransformerDecoderLayer", "SinusoidalPositionalEncoding", "LearnedPositionalEncoding",
    "RotaryPositionalEmbedding",
    "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Unfold", "Fold",
    "MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d",
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "ZeroPad1d", "ZeroPad2d", "ConstantPad1d", "ConstantPad2d", "ReflectionPad1d", "ReflectionPad2d",
    "ReplicationPad1d", "ReplicationPad2d", "CircularPad1d", "CircularPad2d",
    "Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d", "PixelShuffle", "PixelUnshuffle",
    "Sigmoid", "Tanh", "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Softplus", "LogSigmoid",
    "Softmax", "LogSoftmax", "Hardtanh",
    "MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss",
    "CTCLoss",
    "Conv3d", "ConvTranspose3d", "MaxPool3d", "AvgPool3d", "AdaptiveAvgPool3d", "AdaptiveMaxPool3d", "ConstantPad3d",
    "ZeroPad3d", "ReflectionPad3d", "ReplicationPad3d", "CircularPad3d", "BatchNorm3d", "InstanceNorm3d", "Dropout3d",
    "AlphaDropout", "FeatureAlphaDropout", "Bilinear", "CosineSimilarity", "PairwiseDistance", "EmbeddingBag",
    "KLDivLoss", "PoissonNLLLoss", "GaussianNLLLoss", "SoftMarginLoss", "HingeEmbeddingLoss", "MarginRankingLoss",
    "CosineEmbeddingLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss", "MultiMarginLoss",
    "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "LinearCrossEntropyLoss", "ParameterList", "ParameterDict",
    "CELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Mish", "PReLU", "RReLU", "Softmax2d", "Softmin",
    "Softshrink", "Softsign", "Tanhshrink", "Threshold", "ChannelShuffle", "FractionalMaxPool2d",
    "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d", "LocalResponseNorm", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d", "AdaptiveLogSoftmaxWithLoss",
    "functional", "init", "utils",
]  # fmt: skip
