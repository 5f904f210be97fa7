"""Error rates, BLEU and perplexity: against naive twins, other libraries' numbers, and PyTorch.

In: texts and sequences of tokens. Out: the numbers that others give; errors that say what was received.
"""

import builtins

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ArgumentError, DataError, DTypeError, ShapeError
from thalweg.train.metrics import (
    Perplexity,
    TokenErrorRate,
    bleu,
    character_error_rate,
    edit_distances,
    edit_operations,
    transcripts,
    word_error_rate,
)

texts = st.lists(st.tuples(st.text("abc ", max_size=12), st.text("abc ", max_size=12)), max_size=8)


def naive_distance(a, b):
    """Wagner and Fischer's table, entry by entry."""
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, change)
    return table[-1, -1]


@given(texts)
def test_distances_are_those_of_the_whole_table(pairs):
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    expected = [naive_distance(a, b) for a, b in pairs]
    assert edit_distances(first, second).tolist() == expected
    assert edit_distances(second, first).tolist() == expected


def test_pairs_are_cut_into_blocks_that_fit_into_memory(monkeypatch):
    rng = np.random.default_rng(0)
    pairs = [[rng.integers(0, 3, rng.integers(0, 30)) for _ in range(40)] for _ in range(2)]
    whole = edit_distances(*pairs)
    monkeypatch.setattr("thalweg.train.metrics.edit_distance._BLOCK", 50)
    assert (edit_distances(*pairs) == whole).all()


@given(texts)
def test_operations_turn_one_into_the_other_in_as_few_steps(pairs):
    for a, b in pairs:
        steps = edit_operations(a, b)
        assert "".join(x for _, x, _ in steps if x is not None) == a
        assert "".join(y for _, _, y in steps if y is not None) == b
        assert all((x == y) == (name == "equal") for name, x, y in steps)
        assert sum(name != "equal" for name, _, _ in steps) == naive_distance(a, b)


def test_rates_count_errors_over_all_texts():
    predictions, references = ["the cat sat", "a b c", ""], ["the cat sat", "x b", "d e"]
    assert word_error_rate(predictions, references) == (0 + 2 + 2) / 7
    assert word_error_rate(["a b c d"], ["x"]) == 4
    assert character_error_rate(["ab", ""], ["abc", "x"]) == 2 / 4


# jiwer 4.0: wer and cer of these pairs, computed once.
JIWER = (["der hund lief weg", "zwei drei", "eins", ""], ["der hund läuft weg", "zwei vier drei", "eins eins", "null"])


def test_rates_are_those_of_jiwer():
    assert word_error_rate(*JIWER) == pytest.approx(0.4)
    assert character_error_rate(*JIWER) == pytest.approx(0.37777777777777777)


@pytest.mark.parametrize("rate", [word_error_rate, character_error_rate])
def test_misuse_of_rates_is_explained(rate):
    with pytest.raises(ShapeError, match="2 and 1"):
        rate(["a", "b"], ["a"])
    with pytest.raises(DataError, match="references have no"):
        rate(["a"], [""])
    with pytest.raises(DTypeError, match="one text"):
        rate("a", ["a"])
    with pytest.raises(DTypeError, match="int"):
        rate([1], ["a"])


def test_tokens_are_counted_without_padding_and_after_decoding():
    metric = TokenErrorRate(decode=lambda scores: scores.argmax(-1))
    metric.update(np.eye(5)[[[1, 2, 3], [4, 4, 0]]], [[1, 2, 3], [4, 0, -100]])
    assert metric.compute() == 1 / 5
    metric = TokenErrorRate(padding=0)
    metric.update([[1, 2], [3]], [[1, 2, 0, 0], [3, 4, 5, 0]])
    assert metric.compute() == 2 / 5
    with pytest.raises(ShapeError, match="decode="):
        metric.update(np.zeros((2, 3, 4)), [[1], [2]])
    metric.reset()
    metric.update([[1]], [[0]])
    with pytest.raises(DataError, match="no token"):
        metric.compute()


# --- BLEU -------------------------------------------------------------------------------------------------------------

PREDICTIONS = ["The cat is on the mat.", "There is a dog outside!", "two men ride bikes"]
REFERENCES = ["The cat sat on the mat.", "there is a dog outside!", "Two men are riding their bikes"]


def naive_bleu(predictions, references):
    """The formula, for texts whose words stand between spaces."""
    matches, totals, sizes = np.zeros(4), np.zeros(4), np.zeros(2)
    for p, r in zip(predictions, references, strict=True):
        words = [p.split(), r.split()]
        sizes += [len(words[0]), len(words[1])]
        for n in range(1, 5):
            grams = [[tuple(w[i : i + n]) for i in range(len(w) - n + 1)] for w in words]
            matches[n - 1] += sum(min(grams[0].count(g), grams[1].count(g)) for g in set(grams[0]))
            totals[n - 1] += len(grams[0])
    return 100 * min(1, np.exp(1 - sizes[1] / sizes[0])) * np.exp(np.log(matches / totals).mean())


def test_bleu_is_its_formula_and_says_how_it_was_computed():
    pytest.importorskip("sacrebleu")
    result = bleu(PREDICTIONS, REFERENCES, tokenize="none")
    assert result.score == pytest.approx(naive_bleu(PREDICTIONS, REFERENCES))
    lowered = bleu(PREDICTIONS, REFERENCES, lowercase=True, tokenize="none")
    pair = ([each.lower() for each in side] for side in (PREDICTIONS, REFERENCES))
    assert lowered.score == pytest.approx(naive_bleu(*pair))
    assert "case:lc" in lowered.signature
    assert "tok:13a" in str(bleu(PREDICTIONS, REFERENCES))
    assert 0 < bleu(PREDICTIONS, REFERENCES).score < 100


def test_misuse_of_bleu_is_explained(monkeypatch):
    for arguments, kind in (((["a"], []), ShapeError), (([], []), DataError), (("a", ["a"]), DTypeError)):
        with pytest.raises(kind, match="received"):
            bleu(*arguments)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "sacrebleu":
            raise ImportError("no sacrebleu")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install thalweg\[text\]"):
        transcripts.bleu(["a"], ["a"])


# --- perplexity -------------------------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.parametrize("shape", [(6,), (4, 5)])
def test_perplexity_is_the_exponential_of_pytorchs_cross_entropy(shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    scores, target = 5 * rng.normal(size=(shape[0], 7, *shape[1:])), rng.integers(0, 7, shape)
    target.flat[::3] = -100
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(scores), torch.from_numpy(target)).exp().item()
    metric = Perplexity()
    metric.update(scores, target)
    assert metric.compute() == pytest.approx(expected, rel=1e-12)
    metric = Perplexity(class_axis=-1)
    metric.update(np.moveaxis(scores, 1, -1), target)
    assert metric.compute() == pytest.approx(expected, rel=1e-12)


def test_impossible_tokens_and_huge_scores_do_no_harm():
    metric = Perplexity()
    metric.update([[0.0, -np.inf, 0.0], [1e4, 0.0, 0.0]], [0, 0])
    assert metric.compute() == pytest.approx(np.sqrt(2))
    metric.update([[0.0, -np.inf, 0.0]], [1])
    assert metric.compute() == np.inf


def test_misuse_of_perplexity_is_explained():
    with pytest.raises(ShapeError, match="class_axis=-1"):
        Perplexity().update(np.zeros((2, 5, 7)), np.zeros((2, 5), int))
    with pytest.raises(ShapeError, match="scores for each token"):
        Perplexity().update(np.zeros((2, 5), int), np.zeros(2, int))
    with pytest.raises(ArgumentError, match="1 or -1"):
        Perplexity(class_axis=0)
