"""Sentence CNN, translators, speech: what padding must not change, learning in a compiled step, decoding.

In: tiny models, drawn anew. Out: the same results for a sentence alone and in a padded batch; losses that fall; words
and labels read off. Against PyTorch: the sentence CNN and the Transformer.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import assert_close
from thalweg import models, optim
from thalweg.nn import functional as F

BUILD = {
    "gru": lambda **options: models.GRUTranslator(9, 9, 8, 12, dropout=0.0, **options),
    "transformer": lambda **options: models.TransformerTranslator(9, 9, 12, 2, 1, 16, dropout=0.0, **options),
}
every_translator = pytest.mark.parametrize("kind", BUILD)


@pytest.fixture(autouse=True)
def seeded():
    tw.manual_seed(0)


def train(model, loss_of, batches, lr=1e-2):
    optimizer = optim.Adam(model.parameters(), lr=lr)

    @tw.compile
    def step(*batch):
        optimizer.zero_grad()
        loss = loss_of(*batch)
        loss.backward()
        optimizer.step()
        return loss

    return [step(*map(tw.tensor, batch)).item() for batch in batches]


# --- sentences -------------------------------------------------------------------------------------------------------


def test_the_sentence_cnn_has_the_published_parts():
    model = models.SentenceCNN(vocab_size=20)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert shapes["embedding.weight"] == (20, 300)
    assert [shapes[f"convolutions.{i}.weight"] for i in range(3)] == [(100, 300, k) for k in (3, 4, 5)]
    assert shapes["linear.weight"] == (2, 300)
    assert not model.embedding.weight[0].detach().numpy().any()
    assert model(tw.ones(2, 1, dtype="int64")).shape == (2, 2)  # shorter than every window


def test_the_sentence_cnn_finds_a_word_and_leaves_the_padding_alone():
    model = models.SentenceCNN(12, embedding_dim=8, channels=6, dropout=0.2)
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(60):
        words = rng.integers(1, 12, (24, 9))
        words[:, 6:] = np.where(rng.random((24, 1)) < 0.5, 0, words[:, 6:])
        batches.append((words, (words == 5).any(1).astype(np.int64)))
    losses = train(model, lambda x, y: F.cross_entropy(model(x), y), batches)
    assert losses[-1] < 0.35 < 0.6 < losses[0]
    assert not model.embedding.weight[0].detach().numpy().any()


@pytest.mark.peer
def test_the_sentence_cnn_against_pytorch():
    torch = pytest.importorskip("torch")
    model = models.SentenceCNN(12, 3, 8, channels=6).double().eval()
    state = {name: torch.tensor(value.detach().numpy()) for name, value in model.state_dict().items()}
    words = np.random.default_rng(0).integers(0, 12, (4, 7))
    x = state["embedding.weight"][torch.tensor(words)].transpose(1, 2)
    found = [
        torch.nn.functional.conv1d(x, state[f"convolutions.{i}.weight"], state[f"convolutions.{i}.bias"]).relu().amax(2)
        for i in range(3)
    ]
    expected = torch.nn.functional.linear(torch.cat(found, 1), state["linear.weight"], state["linear.bias"])
    assert_close("scores", model(tw.tensor(words)).detach().numpy(), expected.numpy(), "float64")


# --- translation -----------------------------------------------------------------------------------------------------

BOS, EOS = 1, 2


def reversal(rng, count=32, most=4):
    """Sentences and their words in reverse order, padded."""
    lengths = rng.integers(1, most + 1, count)
    source, target = np.zeros((count, most), np.int64), np.zeros((count, most + 2), np.int64)
    for row, length in enumerate(lengths):
        words = rng.integers(3, 9, length)
        source[row, :length] = words
        target[row, : length + 2] = [BOS, *words[::-1], EOS]
    return source, target


@every_translator
def test_padding_and_company_change_nothing(kind):
    model = BUILD[kind]().double().eval()
    source, target = np.array([[3, 4, 5, 0, 0], [6, 7, 8, 3, 4]]), np.array([[1, 5, 4], [1, 4, 3]])
    both = model(tw.tensor(source), tw.tensor(target)).detach().numpy()
    alone = model(tw.tensor(source[:1, :3].copy()), tw.tensor(target[:1])).detach().numpy()
    np.testing.assert_allclose(both[:1], alone, rtol=1e-9, atol=1e-12)


@every_translator
def test_a_word_does_not_see_those_behind_it(kind):
    model = BUILD[kind]().double().eval()
    source, target = tw.tensor([[3, 4, 5]]), np.array([[1, 5, 4, 3]])
    whole = model(source, tw.tensor(target)).detach().numpy()
    target[0, 2:] = 8
    np.testing.assert_allclose(model(source, tw.tensor(target)).detach().numpy()[:, :2], whole[:, :2], rtol=1e-9)


@every_translator
def test_it_learns_to_reverse_and_writes_what_it_learned(kind):
    model = BUILD[kind]()
    rng = np.random.default_rng(0)

    def loss_of(source, target):
        logits = model(source, target[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=0)

    count = 250 if kind == "gru" else 350
    losses = train(model, loss_of, [reversal(rng) for _ in range(count)])
    assert losses[-1] < 0.3 * losses[0]
    source, target = reversal(np.random.default_rng(1), count=20)
    found = model.translate(source, BOS, EOS, max_length=8)
    meant = [row[row > EOS].tolist() for row in target]
    assert sum(a == b for a, b in zip(found, meant, strict=True)) >= 12
    assert model.training


@every_translator
def test_attention_is_shared_out_among_the_words_of_the_source(kind):
    """And it is that of the network: nothing of what is not looked at has an effect."""
    model = BUILD[kind]().double().eval()
    source, target = tw.tensor([[3, 4, 5, 0], [6, 7, 8, 3]]), tw.tensor([[1, 5, 4], [1, 4, 3]])
    weights = model.attention(source, target).detach().numpy()
    assert weights.shape == (2, 2 if kind == "transformer" else 1, 3, 4)
    np.testing.assert_allclose(weights.sum(-1), 1)
    assert not weights[0, :, :, 3].any()
    if kind == "gru":
        outputs, state, _ = model.encode(source)
        states, _ = model.decoder(model.target_embedding(target), state)
        context = tw.tensor(weights[:, 0]) @ outputs
        combined = F.tanh(model.combine(tw.cat([context, states], -1)))
        expected = model(source, target).detach().numpy()
        np.testing.assert_allclose(model.linear(combined).detach().numpy(), expected, rtol=1e-9)


def test_tied_weights_of_the_translator():
    model = BUILD["transformer"]()
    assert model.linear.weight is model.target_embedding.weight
    assert not model.target_embedding.weight[0].detach().numpy().any()
    apart = BUILD["transformer"](tie_weights=False)
    assert apart.linear.weight is not apart.target_embedding.weight


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_the_transformer_translator_against_pytorch():
    torch = pytest.importorskip("torch")
    model = BUILD["transformer"]().double()
    theirs = torch.nn.Transformer(12, 2, 1, 1, 16, 0.0, batch_first=True, norm_first=True, dtype=torch.float64)
    state = {name: torch.tensor(value.detach().numpy()) for name, value in model.state_dict().items()}
    theirs.load_state_dict({k.removeprefix("transformer."): v for k, v in state.items() if k.startswith("transf")})
    rng = np.random.default_rng(0)
    source, target = reversal(rng, 5)
    rates = np.exp(-np.arange(0, 12, 2) / 12 * math.log(10000))
    angles = np.arange(8)[:, None] * rates
    table = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(8, 12)
    table = torch.tensor(table.astype("float32").astype("float64"))  # as the model was made before it became double

    def embedded(name, words):
        return state[f"{name}_embedding.weight"][torch.tensor(words)] * math.sqrt(12) + table[: words.shape[1]]

    padding = torch.tensor(source == 0)
    causal = torch.ones(target.shape[1], target.shape[1]).triu(1).bool()
    hidden = theirs(
        embedded("source", source), embedded("target", target), tgt_mask=causal, src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )  # fmt: skip
    expected = torch.nn.functional.linear(hidden, state["linear.weight"], state["linear.bias"])
    found = model(tw.tensor(source), tw.tensor(target))
    assert_close("logits", found.detach().numpy(), expected.detach().numpy(), "float64")


# --- speech ----------------------------------------------------------------------------------------------------------


def speech(**options):
    return models.SpeechCTC(**({"num_mels": 5, "num_labels": 4, "channels": 8, "hidden_size": 8} | options))


def test_a_recording_alone_and_in_a_padded_batch():
    model = speech().double().eval()
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(2, 12, 5))
    both, lengths = model(tw.tensor(frames), [7, 12])
    alone, alone_lengths = model(tw.tensor(frames[:1, :7].copy()))
    assert (lengths.tolist(), alone_lengths.tolist()) == ([4, 6], [4])
    np.testing.assert_allclose(both[:4, :1].detach().numpy(), alone.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(np.exp(both.detach().numpy()).sum(-1), 1.0)


def test_it_learns_to_hear_labels_one_after_the_other():
    """A label is a few frames of its own kind, with silence between."""
    model = speech(dropout=0.0)
    rng = np.random.default_rng(0)
    sounds = rng.normal(size=(4, 5)) * 2

    def batch(count=16):
        labels = rng.integers(1, 4, (count, 2))
        frames = rng.normal(size=(count, 16, 5)) * 0.3
        for row, (a, b) in enumerate(labels):
            frames[row, 2:6] += sounds[a]
            frames[row, 9:13] += sounds[b]
        return frames.astype("float32"), np.full(count, 16), labels, np.full(count, 2)

    def loss_of(frames, lengths, labels, counts):
        log_probs, steps = model(frames, lengths)
        return F.ctc_loss(log_probs, labels, steps, counts)

    losses = train(model, loss_of, [batch() for _ in range(120)])
    assert losses[-1] < 0.1 * losses[0]
    frames, lengths, labels, _ = batch()
    heard = models.ctc_greedy_decode(*model.eval()(tw.tensor(frames), tw.tensor(lengths)))
    assert sum(a == b for a, b in zip(heard, labels.tolist(), strict=True)) >= 14


def test_greedy_decoding_merges_and_leaves_out_blanks():
    way = np.array([[1, 1, 0, 1, 2, 2], [0, 0, 3, 3, 3, 0], [2, 1, 0, 0, 0, 0]]).T
    scores = tw.tensor(np.eye(4)[way])
    assert models.ctc_greedy_decode(scores) == [[1, 1, 2], [3], [2, 1]]
    assert models.ctc_greedy_decode(scores, [2, 0, 6]) == [[1], [], [2, 1]]
    assert models.ctc_greedy_decode(scores, blank=1)[0] == [0, 2]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: speech()(tw.zeros(2, 5, 4)), r"\(N, T, 5\)"),
        (lambda: models.ctc_greedy_decode(tw.zeros(2, 3)), r"\(T, N, C\)"),
        (lambda: models.SentenceCNN(5)(tw.zeros(3, dtype="int64")), r"\(N, T\)"),
        (lambda: BUILD["gru"]()(tw.ones(2, 3, dtype="int64"), tw.ones(3, dtype="int64")), r"\(N, T\)"),
        (lambda: BUILD["gru"]().translate([[3]], BOS, EOS, max_length=0), "at least 1"),
    ],
)
def test_misuse(action, message):
    with pytest.raises(tw.ThalwegError, match=message):
        action()
