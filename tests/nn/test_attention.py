"""Attention and positions: long sequences in little memory, rows that see nothing, distances, what users get wrong.

In: small queries, keys and values; one compiled step at a length of 4,096. Out: the matrix written out; bytes.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn
from thalweg.nn.functional import attention as implementation
from thalweg.tensor.core import flush

Q = tw.tensor(np.random.default_rng(0).normal(size=(2, 3, 7, 4)))


def written_out(q, k, v, allowed=None):
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True)) * (1.0 if allowed is None else allowed)
    return weights / weights.sum(-1, keepdims=True) @ v


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


@pytest.fixture(params=[False, True], ids=["matrix", "blocks"])
def is_blockwise(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(implementation, "MOST_SCORES", 0)
        monkeypatch.setattr(implementation, "BLOCK_ROWS", 2)
    return request.param


def test_values_are_the_formula_s(is_blockwise):
    q = Q.numpy()
    np.testing.assert_allclose(F.scaled_dot_product_attention(Q, Q, Q).numpy(), written_out(q, q, q), rtol=1e-12)
    causal = F.scaled_dot_product_attention(Q, Q, Q, is_causal=True).numpy()
    np.testing.assert_allclose(causal, written_out(q, q, q, np.tril(np.ones((7, 7)))), rtol=1e-12)


def test_two_derivatives(is_blockwise):
    mask = np.random.default_rng(1).random((3, 2)) < 0.7
    given = [tw.randn(3, 2), tw.randn(2, 2), tw.randn(2, 1)]
    assert tw.gradcheck(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask), given, order=2)


def test_a_row_that_sees_nothing_is_zero_and_learns_nothing(is_blockwise):
    q, k, v = (tw.tensor(Q.numpy()[0, 0], requires_grad=True) for _ in range(3))
    mask = np.ones((7, 7), bool)
    mask[3] = False
    for given in (mask, np.where(mask, 0.0, -np.inf)):
        result = F.scaled_dot_product_attention(q, k, v, tw.tensor(given))
        for each in (q, k, v):
            each.grad = None
        (result * result).sum().backward()
        flush(q.grad, k.grad, v.grad)
        assert not result.detach().numpy()[3].any()
        assert not q.grad.numpy()[3].any()
        assert all(np.isfinite(each.grad.numpy()).all() for each in (q, k, v))


def test_dropout_keeps_the_mean_and_repeats_with_the_seed(is_blockwise):
    v = tw.ones(2, 3, 7, 4, dtype="float64")
    draws = []
    for seed in (1, 1, 2):
        tw.manual_seed(seed)
        draws.append(F.scaled_dot_product_attention(Q, Q, v, dropout_p=0.4).numpy())
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()
    many = np.mean([F.scaled_dot_product_attention(Q, Q, v, dropout_p=0.4).numpy().mean() for _ in range(60)])
    assert many == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("is_causal", [False, True])
def test_memory_of_a_long_sequence_is_a_tenth_of_the_matrix_and_grows_with_the_length(is_causal):
    """Forward and backward: what the program asks for beyond its inputs and results."""

    def room(length):
        shape = (1, 4, length, 32)
        inputs = [tw.zeros(*shape, requires_grad=True) for _ in range(3)]

        @tw.compile
        def step(q, k, v):
            result = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
            return tw.grad((result * result).sum(), [q, k, v])

        compiled, _ = step.traced(*inputs)
        assert compiled.executable.is_native
        layout = compiled.executable.native.layout
        return layout.arena + layout.scratch

    long = room(4096)
    assert long <= 4 * 4096 * 4096 * 4 / 10
    assert long < 3 * room(2048)


def test_weights_are_shown_for_each_head_or_as_their_mean():
    attention = nn.MultiheadAttention(4, 2, batch_first=True).double()
    x = tw.tensor(np.random.default_rng(0).normal(size=(2, 5, 4)))
    _, mean = attention(x, x, x)
    _, heads = attention(x, x, x, average_attn_weights=False)
    assert heads.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(heads.detach().numpy().sum(-1), 1.0)
    np.testing.assert_allclose(heads.detach().numpy().mean(1), mean.detach().numpy())
    assert attention(x, x, x, need_weights=False)[1] is None


def test_a_padded_key_has_no_weight_and_no_gradient():
    attention = nn.MultiheadAttention(4, 2, batch_first=True).double()
    x = tw.tensor(np.random.default_rng(0).normal(size=(1, 3, 4)))
    keys = x.detach().clone().requires_grad_()
    result, weights = attention(x, keys, keys, key_padding_mask=np.array([[False, False, True]]))
    (result * result).sum().backward()
    assert not weights.detach().numpy()[..., 2].any()
    assert not keys.grad.numpy()[0, 2].any()


# --- positions -------------------------------------------------------------------------------------------------------


def test_sinusoids_are_the_formula_s_from_any_start():
    table = np.zeros((6, 5))
    for t in range(6):
        for i in range(5):
            angle = t / 10000 ** (2 * (i // 2) / 5)
            table[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
    encode = nn.SinusoidalPositionalEncoding(5, 6, dtype="float64")
    np.testing.assert_allclose(encode(tw.zeros(1, 6, 5, dtype="float64")).numpy()[0], table, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(encode(tw.zeros(2, 5, dtype="float64"), start=3).numpy(), table[3:5], rtol=1e-12)
    assert not encode.state_dict()


def test_rotated_queries_and_keys_know_distances_only():
    turn = nn.RotaryPositionalEmbedding(8, 50, dtype="float64")
    rng = np.random.default_rng(0)
    q, k = (tw.tensor(np.tile(rng.normal(size=8), (20, 1))) for _ in range(2))
    for start in (0, 7):
        scores = (turn(q, start) @ turn(k, start).T).numpy()
        for distance in (-5, 0, 3):
            np.testing.assert_allclose(np.diagonal(scores, distance), scores[5, 5 + distance], rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(turn(q).numpy(), axis=-1), np.linalg.norm(q.numpy(), axis=-1))


def test_learned_positions_are_rows_of_a_table():
    encode = nn.LearnedPositionalEncoding(3, 4)
    np.testing.assert_array_equal(encode(tw.zeros(2, 3), start=1).detach().numpy(), encode.weight.detach().numpy()[1:3])


# --- what users get wrong --------------------------------------------------------------------------------------------

X, MHA = tw.zeros(5, 3, 8), nn.MultiheadAttention(8, 2)
SDPA = F.scaled_dot_product_attention
BAD = {
    "widths": (lambda: SDPA(tw.zeros(2, 3), tw.zeros(4, 2), tw.zeros(4, 2)), ValueError, "queries and keys"),
    "keys and values": (lambda: SDPA(tw.zeros(2, 3), tw.zeros(4, 3), tw.zeros(5, 3)), ValueError, "keys and values"),
    "no keys": (lambda: SDPA(tw.zeros(2, 3), tw.zeros(0, 3), tw.zeros(0, 3)), ValueError, "at least 1"),
    "dtypes": (lambda: SDPA(tw.zeros(2, 3), tw.zeros(2, 3).double(), tw.zeros(2, 3)), TypeError, "key"),
    "integers": (lambda: SDPA(*[tw.zeros(2, 3, dtype="int64")] * 3), TypeError, "floating-point"),
    "mask": (lambda: SDPA(Q, Q, Q, tw.ones(7, 6).bool()), ValueError, "attn_mask"),
    "mask with more axes": (lambda: SDPA(Q[0, 0], Q[0, 0], Q[0, 0], tw.ones(2, 7, 7)), ValueError, "does not fit"),
    "mask of integers": (lambda: SDPA(Q, Q, Q, tw.ones(7, 7).long()), TypeError, r"\.bool\(\)"),
    "shared heads": (lambda: SDPA(Q, Q[:, :2], Q[:, :2], enable_gqa=True), ValueError, "a multiple"),
    "dropout": (lambda: SDPA(Q, Q, Q, dropout_p=2), ValueError, "0 <= p <= 1"),
    "heads": (lambda: nn.MultiheadAttention(8, 3), ValueError, "do not divide"),
    "embed_dim": (lambda: MHA(tw.zeros(5, 3, 6), X, X), ValueError, "the query does not fit"),
    "batches": (lambda: MHA(X, tw.zeros(5, 2, 8), tw.zeros(5, 2, 8)), ValueError, "do not fit together"),
    "no axes": (lambda: MHA(tw.zeros(8), X, X), ValueError, "the query does not fit"),
    "attn_mask": (lambda: MHA(X, X, X, attn_mask=tw.ones(4, 5).bool()), ValueError, r"\(5, 5\) or \(6, 5, 5\)"),
    "key_padding_mask": (lambda: MHA(X, X, X, tw.ones(5, 3).bool()), ValueError, r"\(3, 5\)"),
    "dtype": (lambda: MHA(X.double(), X, X), TypeError, r"\.float\(\)"),
    "activation": (lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"), ValueError, "relu, gelu"),
    "no function": (lambda: nn.TransformerEncoderLayer(8, 2, activation=3), ValueError, "a function of a tensor"),
    "positions": (lambda: nn.LearnedPositionalEncoding(3, 4)(tw.zeros(5, 3)), ValueError, "max_len=4"),
    "position width": (lambda: nn.SinusoidalPositionalEncoding(4)(tw.zeros(5, 3)), ValueError, r"\(\.\.\., L, 4\)"),
    "odd rotary": (lambda: nn.RotaryPositionalEmbedding(3), ValueError, "even"),
    "rms_norm": (lambda: nn.RMSNorm(3)(tw.zeros(2, 4)), ValueError, "normalized_shape"),
}  # fmt: skip


@pytest.mark.parametrize(("action", "kind", "message"), BAD.values(), ids=BAD)
def test_misuse(action, kind, message):
    with pytest.raises(kind, match=f"(?s){message}") as error:
        action()
    assert isinstance(error.value, tw.ThalwegError)
