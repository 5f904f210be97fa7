"""Transformers: encoder and decoder layers, stacks of them, and the whole of Vaswani et al. (2017), as in PyTorch.

In: embedded sequences (L, N, E), or (N, L, E) with `batch_first`, and masks. Out: the same shape. Names, arguments,
defaults, masks and names of parameters are PyTorch's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg.dtype import DType
from thalweg.errors import ArgumentError, explain
from thalweg.nn import functional, init
from thalweg.nn.attention import MultiheadAttention
from thalweg.nn.containers import ModuleList
from thalweg.nn.dropout import Dropout
from thalweg.nn.linear import Linear
from thalweg.nn.module import Module
from thalweg.nn.normalisation import LayerNorm
from thalweg.nn.settings import weight_dtype, whole_number
from thalweg.tensor.core import Tensor, refuse_unknown

Activation = Callable[[Tensor], Tensor]
_ACTIVATIONS: dict[str, Activation] = {"relu": functional.relu, "gelu": functional.gelu}


def _activation(name: str, given: str | Activation) -> Activation:
    if isinstance(given, str):
        refuse_unknown(f"{name}: activation", tuple(_ACTIVATIONS), given)
        return _ACTIVATIONS[given]
    if not callable(given):
        raise ArgumentError(
            explain(f"{name}: activation", received=repr(given), expected="'relu', 'gelu' or a function of a tensor")
        )
    return given


class _Layer(Module):
    """What encoder and decoder layers share: self-attention and a network of two layers at each position."""

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int, dropout: float, activation: str | Activation,
        layer_norm_eps: float, batch_first: bool, norm_first: bool, bias: bool, dtype: DType, attentions: int,
    ) -> None:  # fmt: skip
        super().__init__()
        whole_number(f"{type(self).__name__}: dim_feedforward", dim_feedforward, 1)
        for name in ("self_attn", "multihead_attn")[:attentions]:
            attention = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype)
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        for number in range(1, attentions + 2):
            self.add_module(f"norm{number}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for number in range(1, attentions + 2):
            self.add_module(f"dropout{number}", Dropout(dropout))
        self.activation = _activation(type(self).__name__, activation)

    def _residual(self, x: Any, number: int, part: Callable[[Any], Any]) -> Any:
        """x + part(norm(x)) with `norm_first`, else norm(x + part(x))."""
        norm, dropout = self._modules[f"norm{number}"], self._modules[f"dropout{number}"]
        if self.norm_first:
            return x + dropout(part(norm(x)))  # type: ignore[misc]
        return norm(x + dropout(part(x)))  # type: ignore[misc]

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward network, each with a residual connection and layer normalisation.

    Args:
        d_model, nhead: numbers a position, attention heads.
        dim_feedforward: width of the network between its two layers. Default 2,048.
        dropout: default 0.1.
        activation: "relu" (default), "gelu", or a function.
        layer_norm_eps: default 1e-5.
        batch_first: (N, L, E) rather than (L, N, E). Default False.
        norm_first: normalise what goes into a part (Xiong et al., ICML 2020), not the sum. Default False.
        bias: of linear layers and normalisations. Default True.

    Called with ``(src, src_mask=None, src_key_padding_mask=None, is_causal=False)``; masks as in `MultiheadAttention`.
    State: ``self_attn``, ``linear1``, ``linear2``, ``norm1``, ``norm2``. Vaswani et al., NeurIPS 2017.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(tw.ones(3, 5, 8)).shape
    (3, 5, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Activation = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, *, device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            weight_dtype(device, dtype),
            1,
        )

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        def attend(x: Any) -> Any:
            return self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)[0]

        return self._residual(self._residual(src, 1, attend), 2, self._feed_forward)  # type: ignore[no-any-return]


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory, and a feed-forward network, each with residual and normalisation.

    Arguments as in `TransformerEncoderLayer`. Called with ``(tgt, memory, tgt_mask=None, memory_mask=None,
    tgt_key_padding_mask=None, memory_key_padding_mask=None, tgt_is_causal=False, memory_is_causal=False)``. State:
    ``self_attn``, ``multihead_attn``, ``linear1``, ``linear2``, ``norm1`` to ``norm3``.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> layer(tw.ones(3, 5, 8), tw.ones(3, 7, 8), tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Activation = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, *, device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            weight_dtype(device, dtype),
            2,
        )

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        def attend(x: Any) -> Any:
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)[0]

        def look_up(x: Any) -> Any:
            return self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask, is_causal=memory_is_causal
            )[0]

        x = self._residual(self._residual(tgt, 1, attend), 2, look_up)
        return self._residual(x, 3, self._feed_forward)  # type: ignore[no-any-return]


class _Stack(Module):
    """Copies of a layer, one after the other, and perhaps a normalisation at the end."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        self.num_layers = whole_number(f"{type(self).__name__}: num_layers", num_layers)
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.norm = norm

    def _through(self, x: Any, *others: Any, **options: Any) -> Any:
        for layer in self.layers:
            x = layer(x, *others, **options)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """`num_layers` copies of an encoder layer, each with weights of its own, all starting alike, as in PyTorch.

    Args:
        encoder_layer: a `TransformerEncoderLayer`, or another module with its arguments.
        num_layers: how many.
        norm: a module applied to the result, such as `nn.LayerNorm(d_model)` with `norm_first`. Default None.
        enable_nested_tensor, mask_check: taken from code written for PyTorch; they change nothing.

    Called with ``(src, mask=None, src_key_padding_mask=None, is_causal=False)``. State: ``layers.0`` ..., ``norm``.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2)(tw.ones(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        return self._through(src, mask, src_key_padding_mask, is_causal)  # type: ignore[no-any-return]


class TransformerDecoder(_Stack):
    """`num_layers` copies of a decoder layer. Arguments as in `TransformerEncoder`; called as a decoder layer.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2)
    >>> decoder(tw.ones(5, 3, 8), tw.ones(7, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        return self._through(  # type: ignore[no-any-return]
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
            memory_is_causal,
        )  # fmt: skip


class Transformer(Module):
    """Encoder and decoder of "Attention is all you need", without embeddings and without the last linear layer.

    Args:
        d_model, nhead: default 512 and 8.
        num_encoder_layers, num_decoder_layers: default 6 each.
        custom_encoder, custom_decoder: modules to take the places of the stacks. Default None.
        others: as in `TransformerEncoderLayer`.

    Called with ``(src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None,
    tgt_key_padding_mask=None, memory_key_padding_mask=None, src_is_causal=False, tgt_is_causal=False,
    memory_is_causal=False)``. All matrices start by Glorot's uniform distribution. Vaswani et al., NeurIPS 2017.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> model(tw.ones(3, 7, 8), tw.ones(3, 5, 8), tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: str | Activation = "relu",
        custom_encoder: Module | None = None, custom_decoder: Module | None = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, *,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        kind = weight_dtype(device, dtype)
        settings: Any = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=kind)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*settings, dtype=kind), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*settings, dtype=kind), num_decoder_layers, norm()
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool = False, tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        memory = self.encoder(src, src_mask, src_key_padding_mask, bool(src_is_causal))
        return self.decoder(  # type: ignore[no-any-return]
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, bool(tgt_is_causal),
            memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: object = None, dtype: object = None) -> Tensor:
        """(sz, sz): 0 on and below the diagonal, minus infinity above; `is_causal` says the same in a word."""
        kind = weight_dtype(device, dtype)
        return Tensor(np.triu(np.full((sz, sz), -np.inf, kind.numpy), 1))
