"""Attention and transformers against PyTorch on the same weights: results, attention weights, all gradients.

In: configurations swept over heads, masks of every kind, batches, norms, own key and value widths. Out: agreement per
tensor, in float64 to 1e-9. The blockwise form is PyTorch's, too, with the blocks made small.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.nn.peers import assert_close, compare_gradients, draw, share_state
from tests.support.sweep import sweep
from thalweg import nn
from thalweg.nn.functional import attention as implementation
from thalweg.tensor.core import flush

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore:enable_nested_tensor")]
torch = pytest.importorskip("torch")

N, L, S, E, HEADS = 2, 5, 6, 8, 2


def both(arrays):
    """Each array as a tensor of either side; floating-point ones require gradients."""
    floats = [each is not None and each.dtype.kind == "f" for each in arrays]
    ours = [None if x is None else tw.tensor(x, requires_grad=f) for x, f in zip(arrays, floats, strict=True)]
    theirs = [None if x is None else torch.tensor(x, requires_grad=f) for x, f in zip(arrays, floats, strict=True)]
    return ours, theirs


def judge(found, expected, ours, theirs, modules=()):
    for index, (mine, other) in enumerate(zip(found, expected, strict=True)):
        assert_close(f"result {index}", mine.detach().numpy(), other.detach().numpy(), "float64")
    sum((each * each.sin()).sum() for each in found).backward()
    sum((each * each.sin()).sum() for each in expected).backward()
    pairs = [(f"input {i}", a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a is not None]
    if modules:
        own = dict(modules[0].named_parameters())
        pairs += [(name, own[name], parameter) for name, parameter in modules[1].named_parameters()]
    flush(*[mine.grad for _, mine, _ in pairs if mine.grad is not None])
    for name, mine, other in pairs:
        compare_gradients(name, mine, other, "float64", 1e-3)


MASKS = {
    "none": lambda rng: None,
    "bool": lambda rng: rng.random((L, S)) < 0.6,
    "bool of each head": lambda rng: rng.random((N, HEADS, L, S)) < 0.6,
    "keys": lambda rng: np.arange(S) < np.array([4, 2])[:, None, None, None],
    "numbers": lambda rng: rng.normal(size=(N, 1, L, S)),
    "nothing to see": lambda rng: np.arange(L)[:, None] + np.zeros(S, int) > 1,
}


@pytest.mark.parametrize(
    ("mask", "is_causal", "scale", "is_blockwise", "is_compiled"),
    sweep(itertools.product(MASKS, (False, True), (None, 0.3), (False, True), (False, True)), 0.25, seed=21),
)
def test_scaled_dot_product_attention(mask, is_causal, scale, is_blockwise, is_compiled, monkeypatch):
    if is_blockwise:
        monkeypatch.setattr(implementation, "MOST_SCORES", 0)
        monkeypatch.setattr(implementation, "BLOCK_ROWS", 2)
    rng = np.random.default_rng(0)
    arrays = [draw(rng, (N, HEADS, length, width), "float64") for length, width in ((L, 4), (S, 4), (S, 3))]
    arrays.append(MASKS[mask](rng))
    ours, theirs = both(arrays)
    attend = F.scaled_dot_product_attention
    if is_compiled:
        attend = tw.compile(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m, 0.0, is_causal, scale))
        found = attend(*ours)
    else:
        found = attend(*ours, is_causal=is_causal, scale=scale)
    its_mask, causal = theirs[3], torch.ones(L, S).tril().bool()
    if is_causal and its_mask is not None:  # PyTorch takes one of the two only
        its_mask = its_mask & causal if its_mask.dtype == torch.bool else its_mask.masked_fill(~causal, -torch.inf)
        is_causal = False
    expected = torch.nn.functional.scaled_dot_product_attention(
        *theirs[:3], attn_mask=its_mask, is_causal=is_causal, scale=scale
    )
    judge([found], [expected], ours, theirs)


@pytest.mark.parametrize("is_blockwise", [False, True])
def test_heads_that_share_keys(is_blockwise, monkeypatch):
    if is_blockwise:
        monkeypatch.setattr(implementation, "MOST_SCORES", 0)
        monkeypatch.setattr(implementation, "BLOCK_ROWS", 2)
    rng = np.random.default_rng(0)
    ours, theirs = both([draw(rng, (N, heads, L, 4), "float64") for heads in (4, 2, 2)])
    found = F.scaled_dot_product_attention(*ours, is_causal=True, enable_gqa=True)
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=True, enable_gqa=True)
    judge([found], [expected], ours, theirs)


ATTENTION_MASKS = ("none", "bool", "numbers", "of each head")
PADDINGS = ("none", "bool", "numbers")


def module_masks(rng, mask, padding):
    """True forbids here. The first key may always be seen: PyTorch gives NaN where nothing may."""
    attn = {
        "none": None, "bool": rng.random((L, S)) < 0.4, "numbers": rng.normal(size=(L, S)),
        "of each head": rng.random((N * HEADS, L, S)) < 0.4,
    }[mask]  # fmt: skip
    keys = np.arange(S) >= np.array([4, 2])[:, None]
    if attn is not None and attn.dtype == bool:
        attn[..., 0] = False
    if padding == "numbers":
        return attn, np.where(keys, -np.inf, 0.3)
    return attn, keys if padding == "bool" else None


@pytest.mark.parametrize(
    ("mask", "padding", "bias", "more", "widths", "first", "need_weights", "average"),
    sweep(
        itertools.product(
            ATTENTION_MASKS, PADDINGS, (True, False), ((False, False), (True, False), (True, True)),
            (None, (3, 5)), (True, False), (True, False), (True, False),
        ),
        fraction=0.03, seed=22,
    ),
)  # fmt: skip
def test_multihead_attention(mask, padding, bias, more, widths, first, need_weights, average):
    rng = np.random.default_rng(0)
    if mask == "numbers" and padding == "bool":
        padding = "none"  # PyTorch warns about two kinds
    if mask in ("bool", "of each head") and padding == "numbers":
        padding = "bool"
    options = dict(zip(("kdim", "vdim"), widths or (E, E), strict=True)) | {"bias": bias, "batch_first": first}
    options |= dict(zip(("add_bias_kv", "add_zero_attn"), more, strict=True))
    ours, theirs = nn.MultiheadAttention(E, HEADS, **options).double(), torch.nn.MultiheadAttention(E, HEADS, **options)
    theirs.double()
    share_state(ours, theirs)
    sizes = ((L, E), (S, options["kdim"]), (S, options["vdim"]))
    arrays = [draw(rng, (N, length, width) if first else (length, N, width), "float64") for length, width in sizes]
    attn, keys = module_masks(rng, mask, padding)
    a, b = both(arrays)
    given = {"need_weights": need_weights, "average_attn_weights": average}
    found = ours(*a, key_padding_mask=keys, attn_mask=attn, **given)
    as_torch = {"key_padding_mask": keys, "attn_mask": attn}
    as_torch = {name: None if each is None else torch.tensor(each) for name, each in as_torch.items()}
    expected = theirs(*b, **as_torch, **given)
    judge(
        [each for each in found if each is not None], [each for each in expected if each is not None], a, b,
        (ours, theirs),
    )  # fmt: skip


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_of_a_sequence_to_itself(need_weights):
    """One tensor for all three, no batch axis, causal: PyTorch wants the matrix."""
    rng = np.random.default_rng(0)
    ours, theirs = nn.MultiheadAttention(E, HEADS).double(), torch.nn.MultiheadAttention(E, HEADS).double()
    share_state(ours, theirs)
    a, b = both([draw(rng, (L, E), "float64")])
    found = ours(a[0], a[0], a[0], need_weights=need_weights, is_causal=True)
    causal = torch.ones(L, L).triu(1).bool()
    expected = theirs(b[0], b[0], b[0], need_weights=need_weights, attn_mask=causal, is_causal=True)
    judge([e for e in found if e is not None], [e for e in expected if e is not None], a, b, (ours, theirs))


LAYER_OPTIONS = (("relu", "gelu"), (True, False), (True, False), (True, False))


@pytest.mark.parametrize(
    ("activation", "first", "norm_first", "bias", "is_causal", "has_padding"),
    sweep(itertools.product(*LAYER_OPTIONS, (True, False), (True, False)), 0.12, seed=23),
)
def test_encoder_and_decoder(activation, first, norm_first, bias, is_causal, has_padding):
    rng = np.random.default_rng(0)
    options = {"dim_feedforward": 12, "dropout": 0.0, "activation": activation, "batch_first": first,
               "norm_first": norm_first, "bias": bias}  # fmt: skip
    settings = (E, HEADS, 2, 1)
    ours, theirs = nn.Transformer(*settings, **options).double(), torch.nn.Transformer(*settings, **options).double()
    share_state(ours, theirs)
    a, b = both([draw(rng, (N, n, E) if first else (n, N, E), "float64") for n in (S, L)])
    masks = {"tgt_mask": np.triu(np.ones((L, L), bool), 1)} if is_causal else {}
    if has_padding:
        padding = np.arange(S) >= np.array([4, 6])[:, None]
        masks |= {"src_key_padding_mask": padding, "memory_key_padding_mask": padding}
    found = ours(*a, **masks)
    expected = theirs(*b, **{name: torch.tensor(each) for name, each in masks.items()})
    judge([found], [expected], a, b, (ours, theirs))
    if is_causal:
        masks.pop("tgt_mask")
        short = ours(*[each.detach() for each in a], **masks, tgt_is_causal=True)
        np.testing.assert_allclose(short.detach().numpy(), found.detach().numpy(), rtol=1e-12)


def test_stacks_of_layers_have_pytorch_names_and_the_mask_is_pytorch_s():
    ours = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, HEADS, 12), 2, nn.LayerNorm(E))
    theirs = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(E, HEADS, 12), 2, torch.nn.LayerNorm(E))
    share_state(ours, theirs)
    share_state(
        nn.TransformerDecoder(nn.TransformerDecoderLayer(E, HEADS, 12), 2),
        torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(E, HEADS, 12), 2),
    )
    mine = nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_array_equal(mine.numpy(), torch.nn.Transformer.generate_square_subsequent_mask(4).numpy())


@pytest.mark.parametrize(
    ("shape", "count", "affine", "eps", "dtype"),
    sweep(itertools.product(((3, 7), (2, 3, 5)), (1, 2), (True, False), (None, 1e-2), ("float32", "float64")), seed=24),
)
def test_rms_norm(shape, count, affine, eps, dtype):
    rng = np.random.default_rng(0)
    kind = {"dtype": getattr(torch, dtype)}
    ours = nn.RMSNorm(shape[-count:], eps, affine, dtype=dtype)
    theirs = torch.nn.RMSNorm(shape[-count:], eps, affine, **kind)
    share_state(ours, theirs)
    x = draw(rng, shape, dtype)
    a, b = tw.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = ours(a), theirs(b)
    assert_close("output", found.detach().numpy(), expected.detach().numpy(), dtype)
    (found * found.sin()).sum().backward()
    (expected * expected.sin()).sum().backward()
    compare_gradients("input", a, b, dtype, 1.0)
    for name, parameter in theirs.named_parameters():
        compare_gradients(name, dict(ours.named_parameters())[name], parameter, dtype, 1.0)
