"""scikit-learn's worker: `fit` of MLPRegressor and MLPClassifier, with the same layers, batches, Adam and weights.

In and out: bench/peers/worker.py. Its penalty on weights is set to 0 and nothing stops it early. In its own words
`max_iter` is the number of epochs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.datasets import examples
from bench.framework import LEARNING_RATE
from bench.peers.worker import Library, Timed, main, repeated_epochs
from bench.workloads import Workload, weights

warnings.filterwarnings("ignore", category=ConvergenceWarning)


def describe() -> dict[str, Any]:
    return {"versions": {"scikit-learn": sklearn.__version__}}


def calibrate() -> dict[str, Any]:
    return {"flops": 0.0}  # its products are NumPy's


def build(workload: Workload, variant: str = "") -> Timed:
    if workload.family != "fit":
        raise ValueError(f"scikit-learn has no rows of the family {workload.family}")
    return repeated_epochs(fit_of(workload), workload)


def fit_of(workload: Workload) -> Callable[[int], float]:
    x, y = examples(workload)
    kind, factor = (MLPClassifier, 1.0) if workload.loss == "cross_entropy" else (MLPRegressor, 2.0)
    targets = y.ravel() if workload.sizes[-1] == 1 else y
    model = kind(
        hidden_layer_sizes=workload.sizes[1:-1], activation=workload.activation, batch_size=workload.batch,
        solver="adam", learning_rate_init=LEARNING_RATE, alpha=0.0, warm_start=True, tol=0.0, n_iter_no_change=10**9,
    )  # fmt: skip
    start_from(model, x[: 2 * workload.batch], targets[: 2 * workload.batch], workload)

    def fit(epochs: int) -> float:
        model.set_params(max_iter=epochs)
        model.fit(x, targets)
        return factor * float(model.loss_curve_[-epochs])  # half the squared error is what it writes down

    return fit


def start_from(model: Any, x: Any, y: Any, workload: Workload) -> None:
    """The row's weights: there is no other way to them than to fit once and write into what was made."""
    model.set_params(max_iter=1).fit(x, y)
    for index, (weight, bias) in enumerate(weights(workload)):
        model.coefs_[index][...], model.intercepts_[index][...] = weight.T, bias


if __name__ == "__main__":
    main(Library(describe, calibrate, build))
