"""Language models: the published sizes and names, learning, tied weights, and writing with and without a cache.

In: tiny models, drawn anew. Out: the same text with a cache as without, from the same seed; PyTorch's logits for a GPT
written out after nanoGPT.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import assert_close, compare_gradients
from thalweg import models, nn, optim
from thalweg.nn import functional as F

TINY = {"vocab_size": 11, "context": 8, "n_layer": 2, "n_head": 2, "n_embd": 8}


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


def sharpened(model):
    """So that the likeliest token is not always the same."""
    with tw.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8.0)
    return model


def gpt(**options):
    return sharpened(models.GPT(**(TINY | options)))


def lstm(**options):
    return sharpened(models.LSTMLanguageModel(**({"vocab_size": 11, "hidden_size": 8, "num_layers": 2} | options)))


def tokens(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 11, shape)


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [gpt, lstm])
@pytest.mark.parametrize("settings", [{"temperature": 0}, {"top_k": 6, "top_p": 0.9, "temperature": 1.5}], ids=str)
def test_a_text_is_the_same_with_and_without_a_cache(build, settings):
    """Also behind the context of a GPT, and for several prompts side by side."""
    model = build().double()
    for prompt in (tokens(3), tokens(2, 5)):
        with_cache = model.generate(prompt, 9, seed=4, **settings)
        np.testing.assert_array_equal(with_cache, model.generate(prompt, 9, seed=4, use_cache=False, **settings))
        np.testing.assert_array_equal(with_cache[..., : prompt.shape[-1]], prompt)
        assert with_cache.shape == (*prompt.shape[:-1], prompt.shape[-1] + 9)
        assert len(np.unique(with_cache)) > 1


@pytest.mark.parametrize("build", [gpt, lstm])
def test_a_generator_starts_anew_at_every_call(build):
    model = build(dropout=0.5)
    write = models.TextGenerator(model, seed=3)
    first, other = write([1, 2], 6), write([5], 6)
    np.testing.assert_array_equal(write([1, 2], 6), first)
    assert not np.array_equal(first[2:], other[1:])
    assert model.training  # and wrote in evaluation mode, or the texts would differ


def test_draws_without_a_seed_are_those_of_manual_seed():
    model = gpt()
    write = models.TextGenerator(model)
    texts = []
    for seed in (1, 1, 2):
        tw.manual_seed(seed)
        texts.append(write([1], 7).tolist())
    assert texts[0] == texts[1] != texts[2]


def test_new_weights_take_effect():
    model = gpt()
    write = models.TextGenerator(model, temperature=0)
    write([1, 2], 3)
    with tw.no_grad():
        for parameter in model.parameters():
            parameter.neg_()
    np.testing.assert_array_equal(write([1, 2], 5), model.generate([1, 2], 5, temperature=0, use_cache=False))


PROBABILITIES = np.array([0.1, 0.4, 0.3, 0.15, 0.05])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, PROBABILITIES),
        ({"temperature": 0.5}, PROBABILITIES**2 / (PROBABILITIES**2).sum()),
        ({"top_k": 2}, np.array([0, 4, 3, 0, 0]) / 7),
        ({"top_k": 99}, PROBABILITIES),
        ({"top_p": 0.75}, np.array([0, 40, 30, 15, 0]) / 85),
        ({"top_p": 0.4}, np.array([0, 1, 0, 0, 0])),
        ({"top_p": 1.0}, PROBABILITIES),
        ({"temperature": 0, "top_p": 0.9}, np.array([0, 1, 0, 0, 0])),
    ],
)
def test_draws_have_the_probabilities_that_were_asked_for(settings, expected):
    count = 20_000
    logits = tw.tensor(np.tile(np.log(PROBABILITIES) + 3.0, (count, 1)))
    drawn = models.sample(logits, **settings, generator=tw.Generator(1)).numpy()
    found = np.bincount(drawn, minlength=5) / count
    assert (found[expected == 0] == 0).all()
    np.testing.assert_allclose(found, expected, atol=0.015)


BAD = {
    "temperature": (lambda: models.sample(tw.zeros(1, 3), temperature=-1), ValueError, "temperature"),
    "top_k": (lambda: models.TextGenerator(gpt(), top_k=0), ValueError, "top_k"),
    "top_p": (lambda: models.sample(tw.zeros(1, 3), top_p=0.0), ValueError, "top_p"),
    "no prompt": (lambda: gpt().generate([], 3), ValueError, "a prompt is a row of tokens"),
    "text as a prompt": (lambda: gpt().generate(list("abc"), 3), TypeError, "encode the text"),
    "no such token": (lambda: gpt().generate([11], 2), IndexError, "11"),
    "too long": (lambda: gpt()(tw.zeros(1, 9, dtype="int64")), ValueError, "at most 8"),
    "one row": (lambda: gpt()(tw.zeros(4, dtype="int64")), ValueError, r"unsqueeze\(0\)"),
    "heads": (lambda: gpt(n_head=3), ValueError, "do not divide"),
    "tied widths": (lambda: lstm(embedding_dim=4, tie_weights=True), ValueError, "cannot be tied"),
}


@pytest.mark.parametrize(("action", "kind", "message"), BAD.values(), ids=BAD)
def test_misuse(action, kind, message):
    with pytest.raises(kind, match=message) as error:
        action()
    assert isinstance(error.value, tw.ThalwegError)


# --- what they are ---------------------------------------------------------------------------------------------------


def test_the_small_gpt_is_nano_gpt_s():
    """Its own count leaves out positions: 0.80M for 65 characters."""
    model = models.GPT(65)
    positions = model.transformer["wpe"].weight.numel()
    assert sum(each.numel() for each in model.parameters()) - positions == 795_904
    names = list(model.state_dict())
    assert names[:4] == ["transformer.wte.weight", "transformer.wpe.weight", "transformer.h.0.ln_1.weight",
                         "transformer.h.0.attn.c_attn.weight"]  # fmt: skip
    logits = model(tw.tensor(tokens(4, 64)))
    loss = F.cross_entropy(logits.flatten(0, 1), tw.tensor(tokens(4, 64, seed=1)).flatten())
    assert loss.item() == pytest.approx(math.log(65), rel=0.05)  # nothing is known yet


@pytest.mark.parametrize("model", [gpt(), lstm(tie_weights=True)], ids=["gpt", "lstm"])
def test_a_tied_matrix_is_one_parameter_with_two_names(model):
    last = model.lm_head if isinstance(model, models.GPT) else model.linear
    table = model.transformer["wte"] if isinstance(model, models.GPT) else model.embedding
    assert last.weight is table.weight
    assert sum(each is last.weight for each in model.parameters()) == 1
    held = [name for name, value in model.state_dict().items() if value.shape == table.weight.shape]
    assert len(held) == 2
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    assert sum(each is last.weight for group in optimizer.param_groups for each in group["params"]) == 1
    twin = copy.deepcopy(model)
    twin_last = twin.lm_head if isinstance(model, models.GPT) else twin.linear
    twin_table = twin.transformer["wte"] if isinstance(model, models.GPT) else twin.embedding
    assert twin_last.weight is twin_table.weight
    before = last.weight.detach().numpy()
    F.cross_entropy(model(tw.tensor(tokens(2, 5))).flatten(0, 1), tw.tensor(tokens(2, 5)).flatten()).backward()
    gradient = last.weight.grad.numpy()  # of both uses
    optimizer.step()
    np.testing.assert_allclose(last.weight.detach().numpy(), before - 0.1 * gradient, rtol=1e-5)
    assert str(twin.load_state_dict(model.state_dict())) == "<All keys matched successfully>"


@pytest.mark.parametrize("build", [models.GPT, models.LSTMLanguageModel])
def test_a_compiled_step_learns_a_rule(build):
    """Each token is the one before plus one: the loss goes towards 0."""
    options = {key: value for key, value in TINY.items() if build is models.GPT or key == "vocab_size"}
    model = build(**(options | ({"n_embd": 32} if build is models.GPT else {"hidden_size": 32})))
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    @tw.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    for _ in range(60):
        rows = (rng.integers(0, 11, (16, 1)) + np.arange(9)) % 11
        loss = step(tw.tensor(rows[:, :8].copy()), tw.tensor(rows[:, 1:].copy()))
    assert loss.item() < 0.15


@pytest.mark.peer
@pytest.mark.parametrize("bias", [True, False])
def test_gpt_against_pytorch(bias):
    torch = pytest.importorskip("torch")
    model = gpt(bias=bias).double()
    state = {
        name: torch.tensor(value.detach().numpy(), requires_grad=True) for name, value in model.state_dict().items()
    }
    x = tokens(2, 6)
    expected = torch_gpt(torch, state, torch.tensor(x), layers=2, heads=2)
    found = model(tw.tensor(x))
    assert_close("logits", found.detach().numpy(), expected.detach().numpy(), "float64")
    found.square().mean().backward()
    expected.square().mean().backward()
    for name, parameter in model.named_parameters():
        if name == "transformer.wte.weight":
            state[name].grad += state["lm_head.weight"].grad
        compare_gradients(name, parameter, state[name], "float64", 1e-6)


def torch_gpt(torch, state, x, layers, heads):
    """nanoGPT's forward pass, written out."""
    f = torch.nn.functional

    def norm(h, name):
        return f.layer_norm(h, h.shape[-1:], state[f"{name}.weight"], state.get(f"{name}.bias"))

    def linear(h, name):
        return f.linear(h, state[f"{name}.weight"], state.get(f"{name}.bias"))

    n, length = x.shape
    h = state["transformer.wte.weight"][x] + state["transformer.wpe.weight"][:length]
    for layer in range(layers):
        block = f"transformer.h.{layer}"
        parts = linear(norm(h, f"{block}.ln_1"), f"{block}.attn.c_attn").chunk(3, -1)
        q, k, v = (each.view(n, length, heads, -1).transpose(1, 2) for each in parts)
        scores = (q @ k.mT) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, -1)
        h = h + linear(y, f"{block}.attn.c_proj")
        y = f.gelu(linear(norm(h, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
        h = h + linear(y, f"{block}.mlp.c_proj")
    return f.linear(norm(h, "transformer.ln_f"), state["lm_head.weight"])


@pytest.mark.peer
def test_lstm_language_model_against_pytorch():
    torch = pytest.importorskip("torch")
    model = lstm().double()
    theirs = torch.nn.LSTM(8, 8, 2, batch_first=True, dtype=torch.float64)
    state = {name: torch.tensor(value.detach().numpy()) for name, value in model.state_dict().items()}
    theirs.load_state_dict({k.removeprefix("lstm."): v for k, v in state.items() if k.startswith("lstm.")})
    x = tokens(3, 7)
    hidden, _ = theirs(state["embedding.weight"][torch.tensor(x)])
    expected = torch.nn.functional.linear(hidden, state["linear.weight"], state["linear.bias"])
    assert_close("logits", model(tw.tensor(x)).detach().numpy(), expected.detach().numpy(), "float64")


def test_a_state_is_carried_from_one_piece_of_text_to_the_next():
    model = lstm().double()
    x = tokens(2, 9)
    whole = model(tw.tensor(x)).detach().numpy()
    first, state = model(tw.tensor(x[:, :4].copy()), None)
    second, _ = model(tw.tensor(x[:, 4:].copy()), state)
    parts = [first.detach().numpy(), second.detach().numpy()]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-12)
    assert isinstance(model.lstm, nn.LSTM)
