"""The learning-rate range test: which rates a network can be trained with, found in a hundred steps of a copy.

In: a `Trainer` and the data it is to train on. Out: a `LearningRateCurve`: the loss over the rate, and a suggested one.
The copy is trained by `Trainer` itself, compiled as ever; model, optimizer, data order and random numbers of the user
stay as they are, bit for bit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from typing import Any

import numpy as np

from thalweg.data import DataLoader, IterableDataset, TensorDataset
from thalweg.data.dataset import as_sample_array
from thalweg.data.progress import Progress
from thalweg.diagnose.learning_rate_curve import LearningRateCurve, has_diverged, smoothed
from thalweg.diagnose.twin import twin
from thalweg.errors import ArgumentError, DataError, NonFiniteError, explain

WHERE = "find_learning_rate"
FEWEST_STEPS = 10
Epoch = Callable[[int], Iterable[Any]]
"""The batches of an epoch by its number."""


def find_learning_rate(
    trainer: Any,
    x: Any,
    y: Any = None,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    smoothing: float = 0.9,
) -> LearningRateCurve:
    """Raise the learning rate from step to step until the loss diverges, and suggest one: the range test.

    Step i of n is made with the rate lowest · (highest / lowest)^(i / (n - 1)). Losses are smoothed as they come,
    a_i = β a_(i-1) + (1 - β) L_i, s_i = a_i / (1 - β^(i+1)), and the test ends early where s_i is not finite or exceeds
    the lowest value s* so far by more than 3 max(|s*|, s_0 - s*). The suggestion is a tenth of the rate where s is
    lowest: at that rate the loss has stopped falling, a factor of ten below it still falls fast and leaves room.

    Everything is done on a copy of the model, with a copy of the optimizer and its state, from where the trainer stands
    now. Penalties, clipping, class weights and dropout are those of the trainer; metrics and callbacks are left out.

    Args:
        trainer: a `tw.Trainer`. The rate that its optimizer has plays no part; if parameter groups have several, their
            ratios are kept and the curve shows that of the first.
        x, y: what `fit` takes: arrays (x may be a tuple of them), or (x, y) as x; a data set, a `DataLoader`, an
            iterable of batches. Data that ends sooner than the test is gone through again.
        lowest, highest: the first rate and the last one, 1e-7 and 10 by default.
        steps: how many updates, 100 by default. More make the curve less noisy.
        batch_size: for arrays and data sets; take that of the training. Default 32, as in `fit`.
        smoothing: β in [0, 1), default 0.9.

    Returns:
        A `LearningRateCurve`: `.suggestion`, `.rates`, `.losses`, ... It prints as text and shows as a figure.

    Raises:
        ArgumentError: arguments out of range. NonFiniteError: the loss is not finite from the first step on. And what
        `fit` raises for data, labels and models that cannot work.

    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), arXiv:1506.01186, section 3.3. Growth by
    a factor, smoothing and the tenth of the minimum: S. Gugger, "How Do You Find A Good Learning Rate" (2018), as in
    fastai.

    >>> import numpy as np, thalweg as tw
    >>> _ = tw.manual_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(512, 4)).astype("float32")
    >>> model = tw.nn.Sequential(tw.nn.Linear(4, 16), tw.nn.Tanh(), tw.nn.Linear(16, 2))
    >>> trainer = tw.Trainer(model, optimizer="sgd", lr=0.1, progress=False)
    >>> curve = tw.diagnose.find_learning_rate(trainer, x, (x[:, 0] > x[:, 1]).astype(int))
    >>> 0.01 < curve.suggestion < 1
    True
    >>> trainer.state.step
    0
    """
    rates = _checked_rates(lowest, highest, steps, smoothing)
    epoch, class_weight = _read(trainer, x, y, batch_size)
    other = twin(trainer, class_weight=class_weight)
    losses = _tried(other, rates, epoch, smoothing)
    if not math.isfinite(losses[0]):
        raise NonFiniteError(
            explain("the loss is not finite from the first step on", received=f"{losses[0]} at the rate {rates[0]:g}",
                    expected="a finite loss of the untrained network", where=WHERE,
                    remedy="look at the inputs and the initial weights; tw.callbacks.Provenance names the operation")
        )  # fmt: skip
    return LearningRateCurve(rates[: len(losses)], losses, smoothing, float(rates[-1]), steps)


def _tried(other: Any, rates: np.ndarray, epoch: Epoch, smoothing: float) -> np.ndarray:
    """Train with one rate after the other, and give the losses until they diverge or the rates are used up."""
    own = [_rate_of(group) for group in other.optimizer.param_groups]
    ratios = [each / own[0] if own[0] > 0 else 1.0 for each in own]
    source = _endless(epoch)
    first = list(islice(source, 1))  # which `fit` asks for twice: it rehearses with it
    if not first:
        raise DataError(explain("there is no data", received="0 batches", expected="at least 1", where=WHERE))

    def batches() -> Iterator[Any]:
        with Progress("learning-rate range test", "steps", len(rates)) as progress:
            for index, (rate, batch) in enumerate(zip(rates, chain(first, source), strict=False)):
                if has_diverged(smoothed(np.asarray(other.history.steps["loss"], float), smoothing)):
                    return
                for group, ratio in zip(other.optimizer.param_groups, ratios, strict=True):
                    group["lr"] = float(rate) * ratio  # a cell: the compiled step stays
                progress.update(index)
                yield batch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the loss became", category=RuntimeWarning)  # it is meant to diverge
        history = other.fit(batches, epochs=1)
    if history.interrupted:
        raise KeyboardInterrupt
    return np.asarray(history.steps["loss"], np.float64)


def _endless(epoch: Epoch) -> Iterator[Any]:
    """Batches of one epoch after the other, until one has none."""
    for number in count():
        is_empty = True
        for batch in epoch(number):
            is_empty = False
            yield batch
        if is_empty:
            return


def _rate_of(group: Any) -> float:
    """The rate in force; that of a schedule at the next step."""
    return float(group.tensor("lr").item())


# --- the data --------------------------------------------------------------------------------------------------------


def _read(trainer: Any, x: Any, y: Any, batch_size: int) -> tuple[Epoch, Any]:
    """What gives the batches of an epoch, and the class weights as numbers."""
    weight = trainer.class_weight
    rest: list[Any] = []
    if y is None and _is_arrays(x):
        x, y, *rest = x
    elif y is None:
        return _other_epochs(x, batch_size, trainer.seed), weight
    inputs = x if isinstance(x, tuple) else (x,)
    arrays = [
        as_sample_array(each.detach() if hasattr(each, "detach") else each, WHERE) for each in (*inputs, y, *rest)
    ]
    loader = DataLoader(TensorDataset(*arrays), batch_size, shuffle=True, seed=trainer.seed)
    weight = _balanced(arrays[len(inputs)]) if weight == "balanced" else weight
    if not isinstance(x, tuple):
        return loader.batches, weight
    return lambda number: (_grouped(batch, len(inputs)) for batch in loader.batches(number)), weight


def _is_arrays(data: Any) -> bool:
    """Whether this is (x, y) or (x, y, weights); a list may as well be one of batches."""
    is_list = isinstance(data, list) and all(hasattr(each, "shape") for each in data)
    return (isinstance(data, tuple) or is_list) and len(data) in (2, 3)


def _grouped(batch: tuple[Any, ...], inputs: int) -> tuple[Any, ...]:
    """The first arrays as one tuple: the inputs of a model of several."""
    return batch[:inputs], *batch[inputs:]


def _other_epochs(data: Any, batch_size: int, seed: int) -> Epoch:
    """Of data that is no pair of arrays; asking for an epoch by its number leaves a loader's own count as it is."""
    if isinstance(data, DataLoader):
        return data.batches
    is_stream = isinstance(data, IterableDataset)
    if is_stream or (hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, list | dict)):
        shuffle = not is_stream or hasattr(data, "chunks")
        return DataLoader(data, batch_size, shuffle, num_workers=getattr(data, "read_ahead", 0), seed=seed).batches
    if callable(data) and not isinstance(data, Iterable):
        return lambda _: data()
    if isinstance(data, Iterable) and not isinstance(data, str | dict):
        return lambda _: iter(data)
    raise DataError(
        explain("this is nothing to train on", received=type(data).__name__, where=WHERE,
                expected="x and y, a data set, a DataLoader, or an iterable of batches")
    )  # fmt: skip


def _balanced(labels: np.ndarray) -> dict[int, float]:
    """n / (classes · count of the class), over all labels: a batch alone would weigh by chance."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = labels.size / (len(classes) * counts)
    return {int(label): float(share) for label, share in zip(classes, shares, strict=True)}


# --- the arguments ---------------------------------------------------------------------------------------------------


def _checked_rates(lowest: Any, highest: Any, steps: Any, smoothing: Any) -> np.ndarray:
    """The rates in order: equal steps of the logarithm."""
    _require(
        _is_number(lowest) and _is_number(highest) and 0 < lowest < highest < math.inf,
        "the rates of a range test grow", f"lowest={lowest!r}, highest={highest!r}", "0 < lowest < highest",
    )  # fmt: skip
    is_whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
    _require(is_whole and steps >= FEWEST_STEPS, "too few steps for a curve", f"steps={steps!r}",
             f"a whole number of at least {FEWEST_STEPS}")  # fmt: skip
    _require(_is_number(smoothing) and 0 <= smoothing < 1, "smoothing is the share of what was before",
             f"smoothing={smoothing!r}", "at least 0 and less than 1")  # fmt: skip
    return np.geomspace(lowest, highest, steps)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _require(is_right: bool, problem: str, received: str, expected: str) -> None:
    if not is_right:
        raise ArgumentError(explain(problem, received=received, expected=expected, where=WHERE))
