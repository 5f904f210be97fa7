"""The CTC loss: against the sum over all ways written out, and against PyTorch, through log_softmax as it presupposes.

In: log-probabilities, labels, lengths, every reduction. Out: values and gradients; what cannot be is infinite, or 0.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.nn.peers import assert_close, compare_gradients
from tests.support.sweep import sweep
from thalweg import nn

T, N, C = 6, 3, 4


def by_enumeration(probabilities, labels, blank=0):
    """The probability of all sequences of classes that read as these labels."""
    total = 0.0
    for way in itertools.product(range(probabilities.shape[1]), repeat=len(probabilities)):
        merged = [c for i, c in enumerate(way) if not i or c != way[i - 1]]
        if [c for c in merged if c != blank] == list(labels):
            total += np.prod([probabilities[t, c] for t, c in enumerate(way)])
    return total


@pytest.mark.parametrize("labels", [(), (1,), (1, 1), (2, 1), (1, 2, 1), (2, 2, 2)])
@pytest.mark.parametrize("blank", [0, 2])
def test_the_loss_is_the_sum_over_all_ways(labels, blank):
    labels = [3 if each == blank else each for each in labels]
    logits = tw.tensor(np.random.default_rng(0).normal(size=(5, C)))
    lp = logits.log_softmax(1)
    loss = F.ctc_loss(lp, np.array([labels], np.int64).reshape(1, -1), [5], [len(labels)], blank, "none")
    expected = by_enumeration(lp.exp().numpy(), labels, blank)
    np.testing.assert_allclose(np.exp(-loss.item()), expected, rtol=1e-12)


def test_gradients_against_finite_differences():
    lp = tw.tensor(np.random.default_rng(0).normal(size=(4, 2, 3)))
    targets = tw.tensor([[1, 1], [2, 1]])
    assert tw.gradcheck(lambda x: F.ctc_loss(x, targets, [4, 3], [2, 1]), [lp.requires_grad_()])


def test_too_short_an_input_is_infinite_or_zero():
    lp = tw.zeros(2, 1, 3).log_softmax(2).requires_grad_()
    labels = tw.tensor([[1, 1]])  # needs three steps
    assert F.ctc_loss(lp, labels, [2], [2]).item() == np.inf
    loss = nn.CTCLoss(zero_infinity=True)(lp, labels, [2], [2])
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(lp.grad.numpy(), 0)


def test_what_stands_behind_the_lengths_counts_for_nothing():
    rng = np.random.default_rng(0)
    lp = tw.tensor(rng.normal(size=(T, 1, C))).requires_grad_()
    loss = F.ctc_loss(lp, tw.tensor([[1, 2, -7]]), [4], [2])
    loss.backward()
    assert loss.item() == F.ctc_loss(lp[:4].detach(), tw.tensor([[1, 2]]), [4], [2]).item()
    np.testing.assert_array_equal(lp.grad.numpy()[4:], 0)


LENGTHS = (((6, 6, 6), (3, 2, 1)), ((6, 4, 2), (3, 0, 1)), ((3, 6, 5), (1, 3, 2)), ((2, 6, 6), (3, 2, 2)))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("lengths", "reduction", "blank", "in_rows", "zeros", "is_compiled"),
    sweep(
        itertools.product(LENGTHS, ("none", "mean", "sum"), (0, 3), (True, False), (True, False), (False, True)),
        0.2, seed=31,
    ),
)  # fmt: skip
def test_pytorch(lengths, reduction, blank, in_rows, zeros, is_compiled):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    inputs, targets = lengths
    zeros = zeros or inputs[0] == 2  # an infinite loss has no gradient to compare
    classes = [each for each in range(C) if each != blank]
    rows = rng.choice(classes, (N, max(targets)))
    rows[0, 1] = rows[0, 0]
    x = rng.normal(size=(T, N, C))
    a, b = tw.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    labels = rows if in_rows or is_compiled else np.concatenate([row[:n] for row, n in zip(rows, targets, strict=True)])

    def ours(logits, targets_, input_lengths, target_lengths):
        return F.ctc_loss(
            logits.log_softmax(2), targets_, input_lengths, target_lengths, blank, reduction, zeros
        )  # fmt: skip

    given = (tw.tensor(labels), tw.tensor(np.array(inputs)), tw.tensor(np.array(targets)))
    found = (tw.compile(ours) if is_compiled else ours)(a, *given)
    expected = torch.nn.functional.ctc_loss(
        b.log_softmax(2), torch.tensor(labels), inputs, targets, blank, reduction, zeros
    )
    assert_close("loss", found.detach().numpy(), expected.detach().numpy(), "float64")
    (found * 2).sum().backward()
    (expected * 2).sum().backward()
    compare_gradients("logits", a, b, "float64", 1.0)


LP, TARGETS = tw.zeros(4, 2, 3), tw.tensor([[1, 2], [1, 1]])
BAD = {
    "not log-probabilities of sequences": (
        lambda: F.ctc_loss(tw.zeros(3), TARGETS, [4], [1]),
        ValueError,
        "do not fit",
    ),
    "other batches": (lambda: F.ctc_loss(LP, TARGETS[:1], [4, 4], [1, 1]), ValueError, "do not fit"),
    "a length too many": (lambda: F.ctc_loss(LP, TARGETS, [4, 4, 4], [1, 1]), ValueError, r"input_lengths.*\(2,\)"),
    "input too long": (lambda: F.ctc_loss(LP, TARGETS, [4, 5], [1, 1]), ValueError, "input_lengths out of range"),
    "target too long": (lambda: F.ctc_loss(LP, TARGETS, [4, 4], [1, 3]), ValueError, "target_lengths out of range"),
    "lengths do not add up": (lambda: F.ctc_loss(LP, tw.tensor([1, 2, 1]), [4, 4], [1, 1]), ValueError, "add up"),
    "fractions": (lambda: F.ctc_loss(LP, TARGETS.float(), [4, 4], [1, 1]), TypeError, "whole numbers"),
    "no such blank": (lambda: F.ctc_loss(LP, TARGETS, [4, 4], [1, 1], blank=3), ValueError, "blank is no class"),
    "no such label": (lambda: F.ctc_loss(LP, TARGETS + 5, [4, 4], [1, 1]).item(), IndexError, "received"),
    "reduction": (lambda: F.ctc_loss(LP, TARGETS, [4, 4], [1, 1], reduction="all"), ValueError, "reduction"),
}


@pytest.mark.parametrize(("action", "kind", "message"), BAD.values(), ids=BAD)
def test_misuse(action, kind, message):
    with pytest.raises(kind, match=f"(?s){message}") as error:
        action()
    assert isinstance(error.value, tw.ThalwegError)
