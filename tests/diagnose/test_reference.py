"""The reference fit against a naive twin that leaves examples out one by one, and on tasks it has to solve.

In: small data. Out: predictions.
"""

from __future__ import annotations

import numpy as np

from thalweg.diagnose.reference import STRENGTHS, _features, _standardised, fit_reference


def test_left_out_predictions_are_those_of_a_fit_without_the_example() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), random.normal(size=(40, 2))
    found = fit_reference(x, y)
    rows = x[found.chosen]
    features = _features(_standardised(rows, rows.mean(0), rows.std(0)), 40)
    centred = y[found.chosen] - y[found.chosen].mean(0)
    largest = np.linalg.svd(features, compute_uv=False)[0]
    errors = [_naive(features, centred, each * largest**2) for each in STRENGTHS]
    best = min(errors, key=lambda each: ((centred - each) ** 2).sum())
    np.testing.assert_allclose(found.left_out, best + y[found.chosen].mean(0), atol=1e-5)


def _naive(features: np.ndarray, targets: np.ndarray, strength: float) -> np.ndarray:
    found = np.empty_like(targets)
    for one in range(len(targets)):
        others = np.arange(len(targets)) != one
        h, t = features[others], targets[others]
        found[one] = features[one] @ np.linalg.solve(h.T @ h + strength * np.eye(h.shape[1]), h.T @ t)
    return found


def test_scale_and_shift_of_the_inputs_do_not_matter() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(100, 4)), random.normal(size=(100, 1))
    changed = x * np.array([1e-3, 1.0, 50.0, 1e4]) + 7
    np.testing.assert_allclose(fit_reference(x, y).left_out, fit_reference(changed, y).left_out, atol=1e-6)


def test_it_solves_what_no_straight_line_can() -> None:
    random = np.random.default_rng(2)
    x = random.uniform(-1, 1, (400, 2))
    y = np.sign(x[:, :1] * x[:, 1:])
    found = fit_reference(x[:300], y[:300])
    assert (np.sign(found.predict(x[300:])) == y[300:]).mean() > 0.9


def test_features_that_never_change_are_no_trouble() -> None:
    x = np.concatenate([np.random.default_rng(3).normal(size=(50, 2)), np.zeros((50, 30))], axis=1)
    assert np.isfinite(fit_reference(x, x[:, :1]).left_out).all()
