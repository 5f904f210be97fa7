"""`tw.compile(recompute=...)`: less memory, the same numbers, and the same random numbers the second time."""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import models, nn, optim
from thalweg.errors import ArgumentError, TraceError


def deep():
    layers = [each for _ in range(12) for each in (nn.Linear(48, 48), nn.GELU(), nn.Dropout(0.1))]
    return nn.Sequential(*layers, nn.Linear(48, 5))


def normalised():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5),
    )  # fmt: skip


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 3)
        self.recurrent = nn.LSTM(16, 16, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        y, _ = self.recurrent(self.layers(self.words(x)))
        return self.head(y.mean(1))


CASES = {
    "deep": (deep, lambda draw: draw.normal(size=(64, 48)).astype(np.float32)),
    "residual": (models.resnet20, lambda draw: draw.normal(size=(16, 3, 32, 32)).astype(np.float32)),
    "normalised": (normalised, lambda draw: draw.normal(size=(16, 1, 8, 8)).astype(np.float32)),
    "words": (Words, lambda draw: draw.integers(0, 11, (6, 9))),
}


def training(case, recompute, **options):
    build, inputs = CASES[case]
    tw.manual_seed(0)
    model = build()
    optimizer = optim.Adam(model.parameters())
    draw = np.random.default_rng(0)
    x = tw.tensor(inputs(draw))
    y = tw.tensor(draw.integers(0, 5, len(x)))

    @tw.compile(recompute=recompute, **options)
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, model, (x, y)


def trained(case, recompute, **options):
    step, model, batch = training(case, recompute, **options)
    losses = [step(*batch).item() for _ in range(3)]
    return losses, [each.numpy().tobytes() for each in model.state_dict().values()]


@pytest.mark.parametrize("case", ["deep", "normalised"])
def test_the_bits_are_those_of_the_step_that_keeps_everything(case):
    assert trained(case, True) == trained(case, False)


def test_attention_and_recurrence_differ_by_the_order_of_sums_at_most():
    found = []
    for recompute in (False, True):
        step, model, batch = training("words", recompute)
        loss = step(*batch).item()
        found.append((loss, [each.numpy() for each in model.state_dict().values()]))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_policy_for_values_that_are_not_finite_goes_with_it():
    assert trained("deep", True, nonfinite="raise") == trained("deep", False)


# Of the arena without. It fails both ways: where the budget is missed, and where it can be lowered.
@pytest.mark.parametrize(("case", "least", "most"), [("deep", 0.25, 0.5), ("residual", 0.5, 0.6)])
def test_the_arena_is_within_its_budget(case, least, most):
    kept, again = (training(case, each) for each in (False, True))
    share = again[0].memory(*again[2]).arena / kept[0].memory(*kept[2]).arena
    assert least < share < most


def test_a_number_of_bytes_takes_no_more_segments_than_it_needs():
    step, _, batch = training("deep", False)
    whole = step.memory(*batch).needed
    arenas = [training("deep", limit)[0].memory(*batch).needed for limit in (10 * whole, int(0.75 * whole), 0)]
    assert arenas[0] == whole
    assert arenas[2] <= arenas[1] <= 0.75 * whole
    assert trained("deep", int(0.75 * whole)) == trained("deep", False)


def test_a_trainer_takes_it_too():
    found = []
    for recompute in (False, True):
        tw.manual_seed(0)
        made = tw.Trainer(deep(), progress=False, recompute=recompute)
        x = np.random.default_rng(0).normal(size=(128, 48)).astype(np.float32)
        made.fit(x, np.arange(128) % 5, epochs=1, batch_size=64)
        found.append([each.numpy().tobytes() for each in made.model.state_dict().values()])
    assert found[0] == found[1]


def test_a_forward_pass_alone_stays_as_it_is():
    model = deep()
    model.eval()
    x = tw.ones(4, 48)
    np.testing.assert_array_equal(
        tw.compile(model, recompute=True)(x).detach().numpy(), tw.compile(model)(x).detach().numpy()
    )


def test_several_backward_passes_in_one_step_are_refused():
    w = tw.ones(3, requires_grad=True)

    @tw.compile(recompute=True)
    def step(x):
        (w * x).sum().backward()
        (w * x).exp().sum().backward()
        return w.grad

    with pytest.raises(TraceError, match="one backward pass"):
        step(tw.ones(3))


@pytest.mark.parametrize("given", ["auto", -1, 1.5, None])
def test_what_is_no_budget_is_refused(given):
    with pytest.raises(ArgumentError, match="recompute"):
        tw.compile(recompute=given)(lambda x: x)
