"""Every loss against PyTorch: every option and reduction, labels and probabilities, weights, ignored labels.

In: swept configurations. Out: equal values and gradients, of the predictions and of the targets where those have one.
"""

import itertools

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import DTYPES, assert_close, compare, draw
from tests.support.sweep import sweep
from thalweg import nn

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

REDUCTIONS = ("mean", "sum", "none")
SHAPES = ((), (1,), (7,), (5, 1), (3, 2), (2, 3, 4), (0, 2))
REGRESSION = [
    ("MSELoss", {}),
    ("L1Loss", {}),
    ("HuberLoss", {}),
    ("HuberLoss", {"delta": 0.5}),
    ("SmoothL1Loss", {}),
    ("SmoothL1Loss", {"beta": 2.0}),
    ("SmoothL1Loss", {"beta": 0.0}),
]
FUNCTIONS = {
    "MSELoss": "mse_loss", "L1Loss": "l1_loss", "HuberLoss": "huber_loss", "SmoothL1Loss": "smooth_l1_loss",
    "CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll_loss", "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
}  # fmt: skip


def check(name, options, arrays, dtype, rng, floor=0.0):
    """The module and the function, both against the same of PyTorch. Arrays among the options are tensors there."""
    a_options = {key: tw.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    b_options = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    compare(torch, getattr(nn, name)(**a_options), getattr(torch.nn, name)(**b_options), arrays, dtype, rng, floor)
    ours, theirs = (getattr(each.functional, FUNCTIONS[name]) for each in (nn, torch.nn))
    compare(torch, lambda *a: ours(*a, **a_options), lambda *b: theirs(*b, **b_options), arrays, dtype, rng, floor)


@pytest.mark.parametrize(
    ("loss", "shape", "reduction", "dtype"),
    sweep(itertools.product(REGRESSION, SHAPES, REDUCTIONS, DTYPES), fraction=0.25, seed=21),
)
def test_regression_losses(loss, shape, reduction, dtype):
    rng = np.random.default_rng(0)
    name, options = loss
    arrays = [draw(rng, shape, dtype), draw(rng, shape, dtype)]
    check(name, {**options, "reduction": reduction}, arrays, dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), REGRESSION)
def test_regression_losses_at_their_kinks(name, options, dtype):
    rng = np.random.default_rng(0)
    for error in (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 30.0):
        check(name, options, [np.array([error], dtype), np.zeros(1, dtype)], dtype, rng)


@pytest.mark.parametrize(
    ("shape", "weighted", "reduction", "labels", "dtype"),
    sweep(
        itertools.product(SHAPES[:-1], (None, "all", "last"), REDUCTIONS, ("hard", "soft"), DTYPES),
        fraction=0.3,
        seed=22,
    ),
)
def test_binary_cross_entropy(shape, weighted, reduction, labels, dtype):
    rng = np.random.default_rng(0)
    p, t = draw(rng, shape, dtype, 0.02, 0.98), draw(rng, shape, dtype, 0, 1)
    t = np.round(t) if labels == "hard" else t
    weight = None if weighted is None else draw(rng, shape if weighted == "all" else shape[-1:], dtype, 0.5, 2)
    check("BCELoss", {"weight": weight, "reduction": reduction}, [p, t.astype(dtype)], dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_limits_its_logarithms(dtype):
    p, t = np.array([0, 0, 1, 1], dtype), np.array([0, 1, 0, 1], dtype)
    ours = nn.functional.binary_cross_entropy(tw.tensor(p), tw.tensor(t), reduction="none")
    theirs = torch.nn.functional.binary_cross_entropy(torch.tensor(p), torch.tensor(t), reduction="none")
    assert_close("loss", ours.numpy(), theirs.numpy(), dtype)
    assert ours.numpy().max() == 100


@pytest.mark.parametrize(
    ("shape", "weighted", "positive", "reduction", "dtype"),
    sweep(
        itertools.product(SHAPES[:-1], (False, True), (None, "one", "last"), REDUCTIONS, DTYPES), fraction=0.3, seed=23
    ),
)
def test_binary_cross_entropy_with_logits(shape, weighted, positive, reduction, dtype):
    rng = np.random.default_rng(0)
    x, t = draw(rng, shape, dtype, -60, 60), draw(rng, shape, dtype, 0, 1)
    weight = draw(rng, shape, dtype, 0.5, 2) if weighted else None
    pos_weight = (
        None if positive is None else draw(rng, (1,) if positive == "one" and shape else shape[-1:], dtype, 0.2, 5)
    )
    options = {"weight": weight, "pos_weight": pos_weight, "reduction": reduction}
    check("BCEWithLogitsLoss", options, [x, t], dtype, rng, floor=1e-3)


CLASSES = ((1,), (5,), (1, 3), (7, 4), (5, 1), (3, 5, 2), (2, 3, 2, 3), (2, 13))


@pytest.mark.parametrize(
    ("shape", "weighted", "ignore", "smoothing", "reduction", "dtype"),
    sweep(
        itertools.product(CLASSES, (False, True), (None, 0, -1), (0.0, 0.1, 1.0), REDUCTIONS, DTYPES),
        fraction=0.15,
        seed=24,
    ),
)
def test_cross_entropy_of_labels(shape, weighted, ignore, smoothing, reduction, dtype):
    rng = np.random.default_rng(0)
    axis = min(1, len(shape) - 1)
    x = draw(rng, shape, dtype, -20, 20)
    y = rng.integers(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
    if ignore == -1:
        y = np.where(rng.random(y.shape) < 0.3, -1, y)
    weight = draw(rng, (shape[axis],), dtype, 0.2, 3) if weighted else None
    options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
    options |= {} if ignore is None else {"ignore_index": ignore}
    check("CrossEntropyLoss", options, [x, y], dtype, rng, floor=1e-1)  # the gradient is a difference, p_y - 1


@pytest.mark.parametrize(
    ("shape", "weighted", "smoothing", "reduction", "dtype"),
    sweep(itertools.product(CLASSES, (False, True), (0.0, 0.2), REDUCTIONS, DTYPES), fraction=0.25, seed=25),
)
def test_cross_entropy_of_probabilities(shape, weighted, smoothing, reduction, dtype):
    rng = np.random.default_rng(0)
    axis = min(1, len(shape) - 1)
    x, t = draw(rng, shape, dtype, -5, 5), draw(rng, shape, dtype, 0.1, 1)
    t /= t.sum(axis, keepdims=True)
    weight = draw(rng, (shape[axis],), dtype, 0.2, 3) if weighted else None
    options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
    check("CrossEntropyLoss", options, [x, t], dtype, rng, floor=1e-1)


@pytest.mark.parametrize(
    ("shape", "weighted", "ignore", "reduction", "dtype"),
    sweep(itertools.product(CLASSES, (False, True), (None, 1, -7), REDUCTIONS, DTYPES), fraction=0.2, seed=26),
)
def test_nll_loss(shape, weighted, ignore, reduction, dtype):
    rng = np.random.default_rng(0)
    axis = min(1, len(shape) - 1)
    x = draw(rng, shape, dtype, -5, 0)
    y = rng.integers(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
    y = np.where(rng.random(y.shape) < 0.3, -7, y) if ignore == -7 else y
    weight = draw(rng, (shape[axis],), dtype, 0.2, 3) if weighted else None
    options = {"weight": weight, "reduction": reduction} | ({} if ignore is None else {"ignore_index": ignore})
    check("NLLLoss", options, [x, y], dtype, rng)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_rows_may_hold_infinite_scores(reduction):
    x = np.array([[0.0, 1.0], [-np.inf, 2.0]], "float64")
    y = np.array([1, -100])
    a, b = tw.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    ours = nn.functional.cross_entropy(a, y, reduction=reduction)
    theirs = torch.nn.functional.cross_entropy(b, torch.tensor(y), reduction=reduction)
    assert_close("loss", ours.detach().numpy(), theirs.detach().numpy(), "float64")
    ours.sum().backward()
    assert np.isfinite(a.grad.numpy()[0]).all()


def test_all_labels_ignored_gives_nan_as_in_pytorch():
    ours = nn.functional.cross_entropy(tw.zeros(2, 3), tw.tensor([-100, -100]))
    assert np.isnan(ours.item())
    assert nn.functional.cross_entropy(tw.zeros(2, 3), tw.tensor([-100, -100]), reduction="sum").item() == 0


@pytest.mark.filterwarnings("ignore:reduction.*mean:UserWarning")
@pytest.mark.parametrize(
    ("shape", "reduction", "log_target", "dtype"),
    sweep(
        itertools.product(((4,), (3, 5), (2, 3, 2)), (*REDUCTIONS, "batchmean"), (True, False), DTYPES),
        fraction=0.5,
        seed=27,
    ),
)
def test_kl_div(shape, reduction, log_target, dtype):
    rng = np.random.default_rng(0)
    x, t = np.log(draw(rng, shape, dtype, 0.1, 1)), draw(rng, shape, dtype, 0.1, 1)
    if log_target:
        t = np.log(t)
    else:
        t.flat[0] = 0
    target = t
    compare(
        torch, lambda a: nn.functional.kl_div(a, target, reduction=reduction, log_target=log_target),
        lambda b: torch.nn.functional.kl_div(b, torch.tensor(target), reduction=reduction, log_target=log_target),
        [x], dtype, rng,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
def test_labels_of_any_integer_dtype(dtype):
    x = np.array([[0.5, 1.0, -1.0], [2.0, 0.1, 0.3]], "float32")
    expected = nn.functional.cross_entropy(tw.tensor(x), tw.tensor([2, 0])).item()
    assert nn.functional.cross_entropy(tw.tensor(x), np.array([2, 0], dtype)).item() == expected
