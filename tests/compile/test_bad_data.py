"""Bad data in compiled steps: NumPy's own error, no cell changed, no crash, and the next good batch goes on.

In: networks and programs with labels, rows and divisors that can be wrong, with writes before and behind the place that
fails. Out: the same error as NumPy evaluation, and every parameter, buffer, state and generator as it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.support.compiled import arrays_of, executables
from thalweg import nn, optim
from thalweg.tensor import lazy, random
from thalweg.tensor.core import flush

HUGE = [-1, 3, 2**31, 2**62, -(2**63), 2**63 - 1]


@dataclass
class Setting:
    """A step, all cells that it may write, arguments that are good, and a place in them to spoil."""

    step: Callable[..., Any]
    cells: Callable[[], list[tw.Tensor]]
    good: tuple[np.ndarray, ...]
    argument: int = -1
    bad: tuple[int, ...] = tuple(HUGE)

    def state(self) -> list[np.ndarray]:
        flush()
        return [*arrays_of(self.cells()), np.array(list(random.default_generator.get_state().values()))]

    def spoiled(self, value: int, place: int) -> tuple[np.ndarray, ...]:
        arrays = [array.copy() for array in self.good]
        arrays[self.argument].reshape(-1)[place % arrays[self.argument].size] = value
        return tuple(arrays)


rng = np.random.default_rng(0)


def optimizer_state(optimizer: optim.Optimizer, model: nn.Module) -> list[tw.Tensor]:
    """What the optimizer keeps for each parameter: zeros before the first step."""
    found = [(each, optimizer.state.get(each, {})) for each in model.parameters()]
    return [state.get(name, tw.zeros_like(each)) for each, state in found for name in ("exp_avg", "exp_avg_sq")]


def training(model: nn.Module, loss: Callable[..., tw.Tensor], good: tuple[np.ndarray, ...], **options: Any) -> Setting:
    optimizer = optim.AdamW(model.parameters(), lr=0.01)

    def step(*arguments: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        value = loss(model, *arguments)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return value

    def cells() -> list[tw.Tensor]:
        return [*model.parameters(), *model.buffers(), *optimizer_state(optimizer, model)]

    return Setting(step, cells, good, **options)


def classifier() -> Setting:
    model = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 3))
    x, y = rng.normal(size=(7, 4)).astype(np.float32), rng.integers(0, 3, 7)
    return training(model, lambda m, x, y: F.cross_entropy(m(x), y), (x, y))


def smoothed_classifier() -> Setting:
    """One class is ignored, so its label is good although it lies outside."""
    weight = tw.tensor([1.0, 2.0, 0.5])
    x, y = rng.normal(size=(5, 2)).astype(np.float32), np.array([0, 2, -100, 1, 2])
    return training(nn.Linear(2, 3), lambda m, x, y: F.cross_entropy(m(x), y, weight, label_smoothing=0.1), (x, y))


def likelihood() -> Setting:
    x, y = rng.normal(size=(17, 2)).astype(np.float32), rng.integers(0, 3, 17)
    return training(nn.Linear(2, 3), lambda m, x, y: F.nll_loss(m(x).log_softmax(1), y, reduction="sum"), (x, y))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.norm, self.out = nn.Embedding(3, 6, padding_idx=0), nn.LayerNorm(6), nn.Linear(6, 1)
        self.register_buffer("seen", tw.zeros(3))

    def forward(self, words: tw.Tensor) -> tw.Tensor:
        with tw.no_grad():
            self.seen.add_(1.0)
        hidden = self.norm(self.rows(words)).mean(1)
        with tw.no_grad():
            self.seen.mul_(0.5)
        return self.out(hidden)


def words() -> Setting:
    return training(Words(), lambda m, words: (m(words) ** 2).mean(), (rng.integers(0, 3, (5, 4)),))


def one_hot_classifier() -> Setting:
    x, y = rng.normal(size=(6, 2)).astype(np.float32), rng.integers(0, 3, 6).astype(np.int32)
    bad = (-1, 3, 2**31 - 1, -(2**31))
    return training(nn.Linear(2, 3), lambda m, x, y: F.mse_loss(m(x), F.one_hot(y, 3).float()), (x, y), bad=bad)


def labels_of_a_byte() -> Setting:
    x, y = rng.normal(size=(6, 2)).astype(np.float32), rng.integers(0, 3, 6).astype(np.uint8)
    return training(nn.Linear(2, 3), lambda m, x, y: F.cross_entropy(m(x), y.long()), (x, y), bad=(3, 128, 255))


def writes_all_around() -> Setting:
    """Cells are written before, between and behind two places that can fail; one write goes through a view."""
    table, total, last = tw.zeros(3, 5, dtype="float64"), tw.zeros((), dtype="float64"), tw.zeros(4, dtype="float64")
    row = table[1]

    def step(x: tw.Tensor, where: tw.Tensor) -> tw.Tensor:
        total.add_(x.sum())
        picked = table[where]
        last.copy_(x + total)
        row.mul_(0.5).add_(1.0)
        table[where] = picked * 0.5 + x.unsqueeze(1)
        total.mul_(0.9)
        tw.rand(3)
        return picked.sum() + last.sum()

    good = (rng.normal(size=4), np.array([0, 2, 1, 2]))
    return Setting(step, lambda: [table, total, last], good, bad=(3, -4, *HUGE[2:]))  # -1 to -3 count from the end


def scattered() -> Setting:
    counts = tw.zeros(3, 2)

    def step(x: tw.Tensor, where: tw.Tensor) -> tw.Tensor:
        counts.mul_(0.5)
        counts.add_(tw.zeros(3, 2).scatter_add(0, where, x))
        return counts.gather(0, where).sum()

    good = (rng.normal(size=(4, 2)).astype(np.float32), rng.integers(0, 3, (4, 2)))
    return Setting(step, lambda: [counts], good)


def computed_positions() -> Setting:
    """Positions that overflow on their way: the product wraps around, as it does in NumPy."""
    table, seen = tw.zeros(3, 2), tw.zeros(())

    def step(where: tw.Tensor) -> tw.Tensor:
        seen.add_(1.0)
        table.add_(1.0)
        return table.index_select(0, where * 4).sum()

    return Setting(step, lambda: [table, seen], (np.zeros(5, np.int64),), bad=(1, -1, 2**61 - 1, 2**62 + 1))


def division(operation: str) -> Callable[[], Setting]:
    def setting() -> Setting:
        total, steps = tw.zeros(8, dtype="int64"), tw.zeros(())

        def step(x: tw.Tensor, by: tw.Tensor) -> tw.Tensor:
            steps.add_(1.0)
            total.add_(getattr(tw, operation)(x, by))
            steps.mul_(2.0)
            return total.sum()

        good = np.array([-(2**63), -7, -1, 0, 1, 5, 2**62, 2**63 - 1]), np.array([3, 2, -5, 7, 1, -2, 9, 4])
        return Setting(step, lambda: [total, steps], good, bad=(0,))

    return setting


SETTINGS: dict[str, Callable[[], Setting]] = {
    each.__name__: each
    for each in (classifier, smoothed_classifier, likelihood, words, one_hot_classifier, labels_of_a_byte,
                 writes_all_around, scattered, computed_positions)
}  # fmt: skip
SETTINGS |= {operation: division(operation) for operation in ("floor_divide", "remainder")}


def made(name: str) -> Setting:
    global rng
    rng = np.random.default_rng(7)
    tw.manual_seed(3)
    return SETTINGS[name]()


def failure_of(call: Callable[[], Any]) -> Exception:
    with pytest.raises((IndexError, ZeroDivisionError)) as raised:
        call()
    return raised.value


def numpy_error(name: str, value: int, place: int, monkeypatch: pytest.MonkeyPatch) -> Exception:
    with monkeypatch.context() as patch:
        patch.setattr(lazy, "eager", True)
        setting = made(name)
        return failure_of(lambda: setting.step(*map(tw.tensor, setting.spoiled(value, place))))


def tensors(arrays: tuple[np.ndarray, ...]) -> list[tw.Tensor]:
    return [tw.tensor(array) for array in arrays]


@pytest.mark.parametrize("warm", [0, 3], ids=["at the first call", "when warm"])
@pytest.mark.parametrize("name", SETTINGS)
def test_bad_data_raise_the_numpy_error_and_change_nothing(
    name: str, warm: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = made(name)
    step = tw.compile(setting.step)
    good = tensors(setting.good)
    for _ in range(warm):
        step(*good)
    for place, value in enumerate(setting.bad):
        before = setting.state()
        expected = numpy_error(name, value, 3 * place, monkeypatch)
        random.default_generator.set_state(dict(zip(("seed", "draws"), before[-1].tolist(), strict=True)))
        error = failure_of(lambda v=value, p=place: step(*tensors(setting.spoiled(v, 3 * p))))
        assert type(error) is type(expected)
        # x[i] looks at known positions at once and names the axis, inside a step it names the place.
        count = 1 if name == "writes_all_around" else 3
        assert str(error).splitlines()[:count] == str(expected).splitlines()[:count]
        assert f"received: {value}" in str(error) or name in ("computed_positions", "floor_divide", "remainder")
        for a, b in zip(setting.state(), before, strict=True):
            np.testing.assert_array_equal(a, b)
        step(*good)
    assert all(executable.is_native for executable in executables(step))


@pytest.mark.parametrize("name", SETTINGS)
def test_training_goes_on_as_if_the_bad_batch_had_not_been(name: str) -> None:
    outcomes = []
    for spoils in (False, True):
        setting = made(name)
        step = tw.compile(setting.step)
        for turn in range(4):
            if spoils:
                failure_of(lambda s=setting, f=step, t=turn: f(*tensors(s.spoiled(s.bad[t % len(s.bad)], t))))
            step(*tensors(setting.good))
        outcomes.append(setting.state())
    for a, b in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["classifier", "words", "likelihood"])
def test_undecorated_steps_fail_alike_when_they_run_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "COMPILE_AFTER", 0)
    setting = made(name)
    for _ in range(4):
        setting.step(*tensors(setting.good))
        flush()
    before = arrays_of(setting.cells())

    def fails() -> None:
        setting.step(*tensors(setting.spoiled(3, 1)))
        flush()

    assert isinstance(failure_of(fails), IndexError)
    changed = [not np.array_equal(a, b) for a, b in zip(arrays_of(setting.cells()), before, strict=True)]
    parameters = len([each for each in setting.cells() if each.requires_grad])
    assert not any(changed[:parameters])


def test_what_fails_in_one_network_does_not_fail_in_another() -> None:
    """Writes that wait, such as clipped gradients, belong to the step that failed."""
    failing, other = made("classifier"), made("words")
    with pytest.raises(IndexError) as raised:
        failing.step(*tensors(failing.spoiled(3, 1)))
    flush()
    other.step(*tensors(other.good))
    flush()
    assert raised.value is not None, "whose traceback keeps the failed step alive"


def test_the_least_integer_divided_by_minus_one_wraps_and_does_not_crash() -> None:
    """On x86 the instruction traps; in NumPy the quotient wraps around."""
    for dtype in ("int32", "int64"):
        least = np.array([np.iinfo(dtype).min, 5, -7], dtype)
        by = tw.tensor(np.array([-1, -1, -1], dtype))
        step = tw.compile(lambda x, by: (x // by, x % by))
        with np.errstate(over="ignore"):
            quotient, rest = step(tw.tensor(least), by)
        with np.errstate(over="ignore"):
            meant = tw.tensor(least) // by, tw.tensor(least) % by
            assert (quotient.tolist(), rest.tolist()) == (meant[0].tolist(), meant[1].tolist())
