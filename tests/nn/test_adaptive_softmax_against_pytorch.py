"""The adaptive softmax against PyTorch: log-probabilities, loss, predictions, gradients.

In: the same weights, labels in every cluster. Out: agreement in float64, evaluated on NumPy and compiled.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import assert_close, share_state
from thalweg import nn

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize(("head_bias", "batch"), [(False, (5,)), (True, (5,)), (False, ())])
def test_adaptive_log_softmax(head_bias, batch, is_compiled):
    rng = np.random.default_rng(0)
    arguments = (16, 40, [5, 12, 30], 2.0, head_bias)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(*arguments, dtype=torch.float64)
    ours = nn.AdaptiveLogSoftmaxWithLoss(*arguments, dtype="float64")
    share_state(ours, theirs)
    x, labels = rng.normal(size=(*batch, 16)), rng.integers(0, 40, batch)
    given = torch.tensor(x, requires_grad=True)
    expected = theirs(given, torch.tensor(labels))
    wanted = torch.autograd.grad(expected.loss, [given, *theirs.parameters()], materialize_grads=True)
    rows = torch.tensor(np.atleast_2d(x))

    def step(x, labels, rows):
        result = ours(x, labels)
        gradients = tw.grad(result.loss, [x, *ours.parameters()])
        return [result.output, result.loss, ours.log_prob(rows), ours.predict(rows)], gradients

    step = tw.compile(step) if is_compiled else step
    found, gradients = step(tw.tensor(x, requires_grad=True), tw.tensor(labels), tw.tensor(rows.numpy()))
    for index, (a, b) in enumerate(zip(found, [*expected, theirs.log_prob(rows), theirs.predict(rows)], strict=True)):
        assert_close(f"result {index}", a.detach().numpy(), b.detach().numpy(), "float64")
    for index, (a, b) in enumerate(zip(gradients, wanted, strict=True)):
        assert_close(f"gradient {index}", a.numpy(), b.numpy(), "float64")
