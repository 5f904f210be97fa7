"""Every network against its twin in PyTorch, with the same weights: outputs, gradients, running statistics.

In: the table in `catalogue`, in float64, and resnet18 at its published size. Out: equality to rounding.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.models.catalogue import CASES, Case
from tests.models.peers import torch_models
from tests.nn.peers import compare, share_state

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

PUBLISHED = {
    # Its last maps have a single place here: of two samples the normalised values are +-1, and gradients noise.
    "resnet18": Case("resnet18", {"num_classes": 7}, (6, 3, 32, 32), (6, 7)),
    "resnet20": Case("resnet20", {}, (2, 3, 16, 16), (2, 10)),
}


def pair(case):
    tw.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = case.build(), case.build(torch_models())
    theirs = theirs.double()
    ours.double()
    share_state(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("name", [*CASES, *PUBLISHED])
def test_training_and_evaluation(name):
    case = {**CASES, **PUBLISHED}[name]
    ours, theirs = pair(case)
    rng = np.random.default_rng(0)
    x = rng.normal(size=case.shape)
    compare(torch, ours, theirs, [x], "float64", rng, floor=1e-3)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.detach().numpy(), rtol=1e-9, atol=1e-12)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        meant = theirs(torch.tensor(x)).numpy()
    np.testing.assert_allclose(ours(tw.tensor(x)).detach().numpy(), meant, rtol=1e-8, atol=1e-8 * np.abs(meant).max())
