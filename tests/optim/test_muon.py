"""Muon and Lion, which have no exact counterpart in PyTorch: against plain NumPy, and Muon within bfloat16.

In: matrices and gradients. Out: equal parameters; directions of equal length; falling losses; clear errors.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.optim.muon import orthogonalised


@pytest.mark.parametrize("shape", [(8, 8), (3, 10), (10, 3), (1, 4)])
def test_orthogonalised_keeps_the_singular_vectors_and_levels_the_values(shape):
    matrix = np.random.default_rng(0).standard_normal(shape)
    found = orthogonalised(tw.tensor(matrix), (3.4445, -4.7750, 2.0315), 5, 1e-7).numpy()
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    values = left.T @ found @ right.T
    assert np.abs(values - np.diag(np.diag(values))).max() < 1e-10
    assert np.diag(values).min() > 0.3
    assert np.diag(values).max() < 1.3


@pytest.mark.peer
@pytest.mark.parametrize(
    "options",
    [{}, {"nesterov": False, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw", "momentum": 0.5, "ns_steps": 3}],
    ids=str,
)
def test_muon_agrees_with_pytorch_as_far_as_bfloat16_goes(options):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    value, gradients = generator.standard_normal((6, 4)), generator.standard_normal((5, 6, 4))
    ours, theirs = tw.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
    mine, other = tw.optim.Muon([ours], lr=0.1, **options), torch.optim.Muon([theirs], lr=0.1, **options)
    for gradient in gradients:
        ours.grad, theirs.grad = tw.tensor(gradient), torch.tensor(gradient)
        mine.step()
        other.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=0.03)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_muon_trains_and_its_state_continues_with_the_same_bits(dtype, is_compiled):
    def run(value, steps, state=None):
        w = tw.tensor(value, requires_grad=True)
        optimizer = tw.optim.Muon([w], lr=0.05)
        if state is not None:
            optimizer.load_state_dict(state)

        def step():
            optimizer.zero_grad()
            loss = ((w - 1.0) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        step = tw.compile(step) if is_compiled else step
        losses = [step().item() for _ in range(steps)]
        return w.detach().numpy(), losses, optimizer.state_dict()

    value = np.random.default_rng(0).standard_normal((4, 6)).astype(dtype)
    whole, losses, _ = run(value, 30)
    assert losses[-1] < 0.6 * losses[0]
    half, _, state = run(value, 15)
    np.testing.assert_array_equal(run(half, 15, state)[0], whole)
    assert whole.dtype == dtype


def test_lion_is_its_formula():
    generator = np.random.default_rng(0)
    value, average = generator.standard_normal((3, 2)), np.zeros((3, 2))
    w = tw.tensor(value, requires_grad=True)
    optimizer = tw.optim.Lion([w], lr=0.1, betas=(0.8, 0.95), weight_decay=0.3)
    for gradient in generator.standard_normal((20, 3, 2)):
        w.grad = tw.tensor(gradient)
        optimizer.step()
        value = value * (1 - 0.1 * 0.3) - 0.1 * np.sign(0.8 * average + 0.2 * gradient)
        average = 0.95 * average + 0.05 * gradient
        np.testing.assert_allclose(w.detach().numpy(), value, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(optimizer.state[w]["exp_avg"].numpy(), average, rtol=1e-12)


def test_sparse_adam_leaves_unused_rows_and_their_averages_alone():
    table = tw.tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
    optimizer = tw.optim.SparseAdam([table], lr=0.1)
    for used in ([0, 1], [1, 3], [1]):
        optimizer.zero_grad()
        table[tw.tensor(used)].sum().backward()
        before = table.detach().numpy().copy()
        optimizer.step()
        changed = (table.detach().numpy() != before).any(axis=1)
        assert changed.tolist() == [row in used for row in range(4)]
    assert not optimizer.state[table]["exp_avg"][2].numpy().any()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ns_steps": 100}, "ns_steps"),
        ({"ns_steps": 2.5}, "ns_steps"),
        ({"ns_coefficients": (1.0, 2.0)}, "3 numbers"),
        ({"adjust_lr_fn": "half"}, "match_rms_adamw"),
        ({"momentum": -0.1}, "momentum"),
    ],
)
def test_bad_settings_of_muon_are_explained(options, match):
    with pytest.raises(tw.ThalwegError, match=match):
        tw.optim.Muon([tw.zeros(2, 2, requires_grad=True)], **options)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda w: tw.optim.Muon([w]), "AdamW"),
        (lambda w: tw.optim.Rprop([w], etas=(1.2, 0.5)), "etas"),
        (lambda w: tw.optim.Rprop([w], step_sizes=(1.0, 0.5)), "step_sizes"),
        (lambda w: tw.optim.Rprop([w], etas=0.5), "etas"),
        (lambda w: tw.optim.Adafactor([w], eps=(None, None)), "eps"),
        (lambda w: tw.optim.Adafactor([w], d=0.5), "d is outside"),
        (lambda w: tw.optim.Adafactor([w], beta2_decay=0.5), "beta2_decay"),
        (lambda w: tw.optim.Adadelta([w], rho=1.5), "rho"),
        (lambda w: tw.optim.NAdam([w], momentum_decay=-1.0), "momentum_decay"),
        (lambda w: tw.optim.RAdam([w], betas=(0.9, 1.0)), "betas"),
        (lambda w: tw.optim.ASGD([w], lr=-1.0), "lr"),
        (lambda w: tw.optim.Lion([w], differentiable=True), "differentiable"),
    ],
)
def test_bad_settings_are_explained(make, match):
    with pytest.raises(tw.ThalwegError, match=match):
        make(tw.zeros(2, requires_grad=True))
