"""Modules, losses, initialisation: the parts that networks are built of, with PyTorch's names.

In: constructor arguments. Out: modules that map tensors to tensors and own parameters. `functional` has the same as
functions, `init` how weights start, `utils` gradient clipping.
"""

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
from thalweg.nn.containers import ModuleDict, ModuleList, Sequential
from thalweg.nn.dropout import Dropout
from thalweg.nn.embedding import Embedding
from thalweg.nn.linear import Linear
from thalweg.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from thalweg.nn.module import Module
from thalweg.nn.normalisation import BatchNorm1d, LayerNorm
from thalweg.nn.parameter import Parameter
from thalweg.nn.shape import Flatten, Identity, Unflatten

__all__ = [
    "Module", "Parameter", "Sequential", "ModuleList", "ModuleDict",
    "Linear", "Embedding", "Flatten", "Unflatten", "Identity", "Dropout", "BatchNorm1d", "LayerNorm",
    "Sigmoid", "Tanh", "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Softplus", "LogSigmoid",
    "Softmax", "LogSoftmax", "Hardtanh",
    "MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss", "CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss",
    "functional", "init", "utils",
]  # fmt: skip
