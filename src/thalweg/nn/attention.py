"""`MultiheadAttention`: several attentions side by side, each on its own projection of the inputs.

In: queries, keys, values; what may not be looked at. Out: the attended values, and the weights for who wants to see
them. Names, arguments, masks and weight layouts are PyTorch's.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import full
from thalweg.nn import attention_expressions as expressions
from thalweg.nn import init
from thalweg.nn.expressions import need_dtype_of, need_probability
from thalweg.nn.functional import linear
from thalweg.nn.functional.attention import scaled_dot_product_attention
from thalweg.nn.linear import Linear
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, weight_dtype, whole_number
from thalweg.tensor import reductions
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor, lift
from thalweg.tensor.shaping import cat, chunk, expand

_cat, _chunk, _expand, _mean = lift(cat), lift(chunk), lift(expand), lift(reductions.mean)
_allowed, _both_masks, _with_columns = (
    lift(expressions.allowed), lift(expressions.both_masks), lift(expressions.with_columns),
)  # fmt: skip
_heads_of, _joined_heads = lift(expressions.heads_of), lift(expressions.joined_heads)
_weights_and_sums = lift(expressions.weights_and_sums)


class MultiheadAttention(Module):
    """Concat(head_1, ..., head_h) W_O with head_i = softmax(Q W_i (K V_i)^T / sqrt(d)) V U_i. Vaswani et al., 2017.

    Args:
        embed_dim: numbers of a query and of the result; a multiple of `num_heads`.
        num_heads: attentions side by side, of d = embed_dim / num_heads numbers each.
        dropout: of the weights, in training. Default 0.
        bias: of the projections. Default True.
        add_bias_kv: one more key and value, learned, at the end. Default False.
        add_zero_attn: one more key and value, of zeros, at the end. Default False.
        kdim, vdim: numbers of a key and of a value. Default `embed_dim`.
        batch_first: inputs and result are (N, L, E), not (L, N, E). Default False.

    Called with ``(query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None,
    average_attn_weights=True, is_causal=False)``, gives ``(result, weights)``; weights are (N, L, S), with
    ``average_attn_weights=False`` (N, heads, L, S), with ``need_weights=False`` None, which is faster and for long
    sequences needs much less memory. Inputs without the axis N are one sequence.
    `key_padding_mask` (N, S): True for keys to be ignored; `attn_mask` (L, S) or (N * heads, L, S): True where a query
    may not look. (That is the opposite of `F.scaled_dot_product_attention`, as in PyTorch.) Numbers are added to the
    scores. `is_causal`: query i looks at keys 0 to i; no mask is needed. A query that may look at nothing gets the
    bias of the projection only, where PyTorch gives NaN.
    State: ``in_proj_weight`` (3 E, E) and ``in_proj_bias`` (3 E,) with the rows for queries, keys and values in this
    order (``q_proj_weight``, ``k_proj_weight``, ``v_proj_weight`` where kdim or vdim differ), ``out_proj``. Glorot's
    uniform distribution, biases 0.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = tw.ones(3, 5, 8)
    >>> result, weights = attention(x, x, x, is_causal=True)
    >>> result.shape, weights.shape, weights[0, 1].tolist()
    ((3, 5, 8), (3, 5, 5), [0.5, 0.5, 0.0, 0.0, 0.0])
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False, *,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed_dim = whole_number("MultiheadAttention: embed_dim", embed_dim, 1)
        self.num_heads = whole_number("MultiheadAttention: num_heads", num_heads, 1)
        if embed_dim % num_heads:
            raise ArgumentError(
                explain("MultiheadAttention: the heads do not divide embed_dim", received=f"{embed_dim} / {num_heads}",
                        expected="a multiple of num_heads")
            )  # fmt: skip
        need_probability("MultiheadAttention: dropout", dropout)
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.kdim = embed_dim if kdim is None else whole_number("MultiheadAttention: kdim", kdim, 1)
        self.vdim = embed_dim if vdim is None else whole_number("MultiheadAttention: vdim", vdim, 1)
        kind = weight_dtype(device, dtype)
        self._register_projections(kind, bias)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=kind)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, new_parameter((1, 1, embed_dim), kind) if add_bias_kv else None)
        self.reset_parameters()

    def _register_projections(self, dtype: Any, bias: bool) -> None:
        width, is_one = self.embed_dim, self.kdim == self.vdim == self.embed_dim
        for name, inputs in (("q", width), ("k", self.kdim), ("v", self.vdim)):
            shape = (width, inputs)
            self.register_parameter(f"{name}_proj_weight", None if is_one else new_parameter(shape, dtype))
        self.register_parameter("in_proj_weight", new_parameter((3 * width, width), dtype) if is_one else None)
        self.register_parameter("in_proj_bias", new_parameter((3 * width,), dtype) if bias else None)

    def reset_parameters(self) -> None:
        """Draw the projections anew; biases become 0."""
        for name, parameter in self._parameters.items():
            if parameter is not None and name.endswith("weight"):
                init.xavier_uniform_(parameter)
            elif parameter is not None:
                (init.zeros_ if name == "in_proj_bias" else init.xavier_normal_)(parameter)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    # --- computing -------------------------------------------------------------------------------------------------

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        (q, k, v), is_batched = self._batch_first(query, key, value)
        batch, rows, columns = q.shape[0], q.shape[1], k.shape[1]
        q, k, v = self._projected(q, k, v)
        mask = self._mask(key_padding_mask, attn_mask, (batch, rows, columns), is_batched)
        q, k, v, mask, is_causal = self._with_more_keys(q, k, v, mask, is_causal)
        options = {"scale": 1 / math.sqrt(q.shape[-1]), "is_causal": is_causal}
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights, sums = _weights_and_sums(q, k, v, mask, p=p, **options)
            weights = _mean(weights, 1) if average_attn_weights else weights
        else:
            sums = scaled_dot_product_attention(q, k, v, mask, p, **options)  # type: ignore[arg-type]
        result = self.out_proj(_joined_heads(sums))
        if not is_batched:
            return result.squeeze(0), None if weights is None else weights.squeeze(0)
        return result if self.batch_first else result.transpose(0, 1), weights

    def _projected(self, q: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
        """The heads of queries, keys and values; what is the same tensor is multiplied once."""
        width, weight, bias = self.embed_dim, self.in_proj_weight, self.in_proj_bias
        if weight is not None and q is k and k is v:
            parts = _chunk(linear(q, weight, bias), 3, -1)
        elif weight is not None and k is v:
            first = linear(q, weight[:width], None if bias is None else bias[:width])
            rest = linear(k, weight[width:], None if bias is None else bias[width:])
            parts = (first, *_chunk(rest, 2, -1))
        else:
            biases = (None,) * 3 if bias is None else _chunk(bias, 3, 0)
            weights = [getattr(self, f"{each}_proj_weight") for each in "qkv"]
            weights = weights if weight is None else _chunk(weight, 3, 0)
            parts = tuple(linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True))
        return tuple(_heads_of(each, self.num_heads) for each in parts)

    def _with_more_keys(self, q: Any, k: Any, v: Any, mask: Any, is_causal: bool) -> tuple[Any, Any, Any, Any, bool]:
        """The learned key and value, and the zeros; a causal mask then has columns that it does not speak of."""
        more = []
        if self.bias_k is not None:
            more.append([_heads_of(each, self.num_heads) for each in (self.bias_k, self.bias_v)])
        if self.add_zero_attn:
            more.append([Tensor._result(full((1, self.num_heads, 1, q.shape[-1]), 0, q.dtype))] * 2)
        if not more:
            return q, k, v, mask, is_causal
        if is_causal:
            causal = Tensor._result(expressions.causal_mask(q.shape[2], k.shape[2]))
            mask = causal if mask is None else _both_masks(mask, causal, q.dtype)
        mask = mask if mask is None else _with_columns(mask, len(more))
        single = (k.shape[0], self.num_heads, 1, q.shape[-1])
        keys, values = zip(*more, strict=True)
        k = _cat([k, *[_expand(each, *single) for each in keys]], 2)
        v = _cat([v, *[_expand(each, *single) for each in values]], 2)
        return q, k, v, mask, False

    # --- what is given ---------------------------------------------------------------------------------------------

    def _batch_first(self, query: Any, key: Any, value: Any) -> tuple[tuple[Any, Any, Any], bool]:
        """(N, L, E) each; what was one tensor stays one."""
        own = next(self.parameters())
        moved: dict[int, Any] = {}
        ndim = None
        for what, given, width in (("query", query, self.embed_dim), ("key", key, self.kdim),
                                   ("value", value, self.vdim)):  # fmt: skip
            tensor = as_tensor(given)
            ndim = tensor.ndim if ndim is None else ndim
            if tensor.ndim != ndim or ndim not in (2, 3) or tensor.shape[-1] != width:
                raise ShapeError(
                    explain(f"MultiheadAttention: the {what} does not fit", received=f"shape {tensor.shape}",
                            expected=f"({'N, L' if self.batch_first else 'L, N'}, {width}), or (L, {width})")
                )  # fmt: skip
            need_dtype_of(f"MultiheadAttention ({what})", tensor.node, own.node)
            if id(given) not in moved:
                moved[id(given)] = self._moved(tensor)
        q, k, v = (moved[id(each)] for each in (query, key, value))
        if k.shape[:2] != v.shape[:2] or q.shape[0] != k.shape[0]:
            raise ShapeError(
                explain("MultiheadAttention: the inputs do not fit together",
                        received=f"query {query.shape}, key {key.shape}, value {value.shape}",
                        expected="one batch; as many values as keys")
            )  # fmt: skip
        return (q, k, v), ndim == 3

    def _moved(self, x: Any) -> Any:
        if x.ndim == 2:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _mask(self, padding: Any, mask: Any, sizes: tuple[int, int, int], is_batched: bool) -> Any:
        """One mask of scores (N, heads, L, S) as `F.scaled_dot_product_attention` takes it, or None."""
        batch, rows, columns = sizes
        found = None
        if mask is not None:
            own = as_tensor(mask)
            full_shape = (batch * self.num_heads, rows, columns)
            _need_mask("attn_mask", own, ((rows, columns), full_shape))
            found = _allowed(own if own.ndim == 2 else own.reshape(batch, self.num_heads, rows, columns))
        if padding is None:
            return found
        own = as_tensor(padding)
        _need_mask("key_padding_mask", own, ((batch, columns) if is_batched else (columns,),))
        keys = _allowed(own.reshape(batch, 1, 1, columns))
        return keys if found is None else _both_masks(found, keys, self.out_proj.weight.dtype)

    def extra_repr(self) -> str:
        settings = {"dropout": 0.0, "kdim": self.embed_dim, "vdim": self.embed_dim, "batch_first": False}
        more = [f", {name}={getattr(self, name)}" for name, usual in settings.items() if getattr(self, name) != usual]
        return f"{self.embed_dim}, {self.num_heads}{''.join(more)}"


def _need_mask(what: str, mask: Tensor, shapes: tuple[tuple[int, ...], ...]) -> None:
    if mask.shape not in shapes:
        raise ShapeError(
            explain(f"MultiheadAttention: {what} does not fit", received=f"shape {mask.shape}",
                    expected=" or ".join(map(str, shapes)))
        )  # fmt: skip
    expressions.check_mask(mask.node, mask.shape)
