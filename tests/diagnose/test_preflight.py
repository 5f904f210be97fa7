"""`preflight`: each fault is found before the first step, healthy set-ups are not blamed, nothing of the user changes.

In: small trainers and arrays, each with one fault planted. Out: findings, checks, the bits of what was there before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.diagnose.judge import problems
from thalweg.diagnose.preflight_result import Status
from thalweg.errors import ArgumentError, DataError, ThalwegError
from thalweg.nn import functional as F
from thalweg.tensor.random import default_generator

random = np.random.default_rng(0)
X = random.normal(size=(240, 6)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)
V, W = X[200:], Y[200:]
X, Y = X[:200], Y[:200]
NUMBERS = (X[:, :1] - 2 * X[:, 1:2]).astype(np.float32)


def network(outputs: int = 2, activation: type[nn.Module] = nn.ReLU, width: int = 24) -> nn.Sequential:
    tw.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), activation(), nn.Linear(width, width), activation(),
                         nn.Linear(width, outputs))  # fmt: skip


def trainer(model: nn.Module | None = None, loss: Any = "cross_entropy", **settings: Any) -> tw.Trainer:
    return tw.Trainer(model or network(), loss, **{"lr": 0.01, "progress": False} | settings)


def found(given: tw.Trainer, x: Any = X, y: Any = Y, **options: Any) -> list[str]:
    """Without the small batch, which takes most of the time, unless it is asked for."""
    options = {"validation": (V, W), "fit": False} | options
    return problems(tw.diagnose.preflight(given, x, y, **options).findings)


class Through(nn.Module):
    """Two layers with a function of the user's between them."""

    def __init__(self, between: Any) -> None:
        super().__init__()
        self.first, self.last, self.between = nn.Linear(6, 4), nn.Linear(4, 2), between

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        return self.last(self.between(self.first(x)))


def with_a_gap() -> nn.Module:
    model = Through(lambda h: h)
    with tw.no_grad():
        model.last.weight[1, 2] = np.nan
    return model


def root_of_nothing(p: tw.Tensor, t: tw.Tensor) -> tw.Tensor:
    return F.cross_entropy(p, t) + (p * 0.0).sum().sqrt()


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    other = array.copy()
    other[place] = value
    return other


class Skipping(nn.Module):
    """A network whose middle layer `forward` forgets, or cuts off."""

    def __init__(self, way: str) -> None:
        super().__init__()
        tw.manual_seed(0)
        self.first, self.middle, self.last = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 2)
        self.way = way

    def forward(self, x: Any) -> Any:
        hidden = self.first(x).relu()
        if self.way == "forgets":
            return self.last(hidden)
        hidden = self.middle(hidden)
        return self.last(hidden.detach() if self.way == "detaches" else hidden.relu())


def only_first(model: Any) -> Any:
    return tw.optim.Adam(model.first.parameters(), lr=0.01)


def stale(model: Any) -> Any:
    """An optimizer that was made before the last layer was replaced."""
    made = tw.optim.Adam(model.parameters(), lr=0.01)
    model.last = nn.Linear(16, 2)
    return made


def frozen(model: Any) -> Any:
    model[-1].requires_grad_(False)
    return model


def optimised(way: str, make: Any) -> tw.Trainer:
    model = Skipping(way)
    return trainer(model, optimizer=make(model), lr=None)


def equal_weights() -> nn.Sequential:
    model = network(activation=nn.Tanh)
    for each in model:
        if isinstance(each, nn.Linear):
            nn.init.constant_(each.weight, 0.1)
            nn.init.zeros_(each.bias)
    return model


def scaled(factor: float) -> nn.Sequential:
    model = network()
    with tw.no_grad():
        for each in model.parameters():
            each.mul_(factor)
    return model


FAULTS: dict[str, tuple[str, Any]] = {
    "a gap in the inputs": ("non_finite", lambda: found(trainer(), changed(X, (3, 1), np.nan))),
    "an infinite validation input": ("non_finite", lambda: found(trainer(), validation=(changed(V, 0, np.inf), W))),
    "classes counted from 1": ("label_range", lambda: found(trainer(), y=Y + 1)),
    "a label too many": ("label_range", lambda: found(trainer(), y=changed(Y, 5, 7))),
    "a validation label too many": ("label_range", lambda: found(trainer(), validation=(V, W + 1))),
    "labels -1 and 1": (
        "label_range", lambda: found(trainer(network(1), "bce_with_logits"), y=2.0 * Y - 1, validation=None),
    ),
    "labels as floats": ("wrong_loss", lambda: found(trainer(), y=Y.astype(np.float32), validation=None)),
    "targets of another shape": ("wrong_loss", lambda: found(trainer(loss="mse"), y=NUMBERS, validation=None)),
    "shapes that broadcast": (
        "wrong_loss",
        lambda: found(trainer(network(1), lambda p, t: ((p - t.reshape(-1)) ** 2).mean()), y=NUMBERS, validation=None),
    ),
    "a class that is missing": ("class_imbalance", lambda: found(trainer(), X[Y == 0], Y[Y == 0])),
    "a class that is rare": ("class_imbalance", lambda: found(trainer(), y=(np.arange(200) < 8).astype(int))),
    "raw pixels": ("unscaled_input", lambda: found(trainer(), X * 255, validation=(V * 255, W))),
    "targets in the thousands": (
        "unscaled_input", lambda: found(trainer(network(1), "mse"), y=NUMBERS * 1000, validation=None),
    ),
    "examples in both parts": ("data_leakage", lambda: found(trainer(), validation=(X[:20], Y[:20]))),
    "softmax twice": (
        "wrong_output_activation", lambda: found(trainer(nn.Sequential(network(), nn.Softmax(1)))),
    ),
    "a sigmoid before numbers": (
        "wrong_output_activation",
        lambda: found(trainer(nn.Sequential(network(1), nn.Sigmoid()), "mse"), y=NUMBERS, validation=None),
    ),
    "a frozen output layer": ("frozen_parameter", lambda: found(trainer(frozen(network())))),
    "a layer that is not called": ("unused_parameter", lambda: found(trainer(Skipping("forgets")))),
    "a layer that is cut off": ("untouched_parameter", lambda: found(trainer(Skipping("detaches")))),
    "an optimizer of the first layer": ("untouched_parameter", lambda: found(optimised("", only_first))),
    "an optimizer made too early": ("untouched_parameter", lambda: found(optimised("", stale))),
    "a step instead of a slope": (
        "untouched_parameter", lambda: found(trainer(nn.Sequential(network(), Rounded()))),
    ),
    "equal weights": ("bad_initialization", lambda: found(trainer(equal_weights()), fit=True)),
    "weights ten times too large": ("bad_initialization", lambda: found(trainer(scaled(10.0)))),
    "nine sigmoid layers": (
        "vanishing_gradient",
        lambda: found(trainer(nn.Sequential(network(6, nn.Sigmoid), *[network(6, nn.Sigmoid) for _ in range(2)],
                                            nn.Linear(6, 2)))),
    ),
    "dead units": ("dying_relu", lambda: found(trainer(dead()))),
    "a rate that is too high": ("learning_rate_too_high", lambda: found(trainer(lr=30.0), fit=True)),
    "a rate that is too low": ("learning_rate_too_low", lambda: found(trainer(lr=1e-5), fit=True)),
    "a penalty that outweighs the data": ("over_regularized", lambda: found(penalised())),
    "a loss that is maximised": (
        "wrong_loss",
        lambda: found(trainer(optimizer=lambda p: tw.optim.SGD(p, lr=0.1, maximize=True), lr=None)),
    ),
    "inputs that never reach the output": (
        "underfitting", lambda: found(trainer(nn.Sequential(Blind(), nn.Linear(6, 2))), fit=True),
    ),
}  # fmt: skip


class Rounded(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.round()


class Blind(nn.Module):
    """All examples look the same behind it."""

    def forward(self, x: Any) -> Any:
        return x * 0 + 1


def dead() -> nn.Sequential:
    model = network()
    nn.init.constant_(model[2].bias, -30.0)
    return model


def penalised() -> tw.Trainer:
    model = network()
    return trainer(model, penalties=[tw.optim.L2(10.0, model.named_parameters(), only="*.weight")])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_before_the_first_step(name: str) -> None:
    problem, look = FAULTS[name]
    assert problem in look()


HEALTHY: dict[str, Any] = {
    "classes": lambda: found(trainer(), gradients=True, fit=True),
    "numbers": lambda: found(trainer(network(1, nn.Tanh), "mse"), y=NUMBERS, validation=None, fit=True),
    "one logit": lambda: found(trainer(network(1), "bce_with_logits"), y=Y.astype(np.float32), fit=True),
    "a constant and a repeated column": lambda: found(trainer(), changed(changed(X, np.s_[:, 5], 1), np.s_[:, 4], 2)),
    "a frozen beginning": lambda: found(trainer(beginning())),
    "an optimizer of the last layers": lambda: found(optimised("", lambda m: tw.optim.Adam(
        [*m.middle.parameters(), *m.last.parameters()], lr=0.01))),
    "rows that repeat in the nature of the data": lambda: found(
        trainer(), np.sign(X), validation=(np.sign(V), W)),
    "batch norm, dropout, raw inputs": lambda: found(
        trainer(nn.Sequential(nn.BatchNorm1d(6), network(), nn.Dropout(0.5))), X * 50, validation=(V * 50, W),
        fit=True),
    "a schedule that warms up": lambda: found(
        trainer(lr=tw.optim.schedules.OneCycle(0.01, 40)), fit=True),
    "sgd": lambda: found(trainer(optimizer="sgd", lr=0.1), fit=True),
    "a summed loss": lambda: found(trainer(network(1), lambda p, t: ((p - t) ** 2).sum(), lr=1e-3), y=NUMBERS,
                                   validation=None, fit=True),
}  # fmt: skip


def beginning() -> nn.Sequential:
    model = network()
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_set_up_is_not_blamed(name: str) -> None:
    assert HEALTHY[name]() == []


def test_nothing_of_the_user_changes_not_by_a_bit() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    given = trainer(model, optimizer="adam")
    given.fit((X, Y), epochs=1)
    model(tw.tensor(X[:4])).sum().backward()
    model[3].eval()

    def bits() -> list[Any]:
        state = given.optimizer.state_dict()
        return [
            {name: each.numpy().tobytes() for name, each in model.state_dict().items()},
            [each.grad.numpy().tobytes() for each in model.parameters()], json.dumps(state, default=repr),
            default_generator.get_state(), [each.training for each in model.modules()], vars(given.state) | {},
            given.epochs_trained, given.history.steps,
        ]  # fmt: skip

    before = bits()
    tw.diagnose.preflight(given, X, Y, validation=(V, W), gradients=True)
    assert bits() == before


def test_training_afterwards_gives_the_same_bits() -> None:
    losses = []
    for looks in (False, True):
        given = trainer(nn.Sequential(network(), nn.Dropout(0.2)))
        if looks:
            tw.diagnose.preflight(given, X, Y)
        losses.append(given.fit((X, Y), epochs=2).steps["loss"])
    assert losses[0] == losses[1]


def test_every_kind_of_data_is_read_and_a_generator_is_left_alone() -> None:
    batches = [(X[i : i + 50], Y[i : i + 50] + 1) for i in range(0, 200, 50)]
    for data in ((X, Y + 1), tw.data.TensorDataset(X, Y + 1), lambda: iter(batches),
                 tw.data.DataLoader(tw.data.TensorDataset(X, Y + 1), 32, shuffle=True)):  # fmt: skip
        assert problems(tw.diagnose.preflight(trainer(), data, fit=False).findings) == ["label_range"]
    used = iter(batches)
    with pytest.raises(DataError, match="use it up"):
        tw.diagnose.preflight(trainer(), used)
    assert len(list(used)) == 4


def test_several_inputs_are_looked_at_too() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            tw.manual_seed(0)
            self.left, self.right = nn.Linear(6, 16), nn.Linear(6, 2)

        def forward(self, a: Any, b: Any) -> Any:
            return self.right(self.left(a).relu()[:, :6] + b)

    given = trainer(Both(), lr=0.05)
    result = tw.diagnose.preflight(given, ((X, X[::-1].copy()), Y), validation=((V, V), W))
    assert result.ok, str(result)
    assert not tw.diagnose.preflight(given, ((X, changed(X, 0, np.nan)), Y)).ok


def test_a_validation_split_is_a_part_of_the_data() -> None:
    result = tw.diagnose.preflight(trainer(), X, Y, validation_split=0.25, fit=False)
    assert result.ok
    twice = np.concatenate([X, X]), np.concatenate([Y, Y])
    assert "data_leakage" in found(trainer(), twice, None, validation=None, validation_split=0.25)


def test_labels_that_the_loss_ignores_are_no_labels_out_of_range() -> None:
    given = trainer(loss=nn.CrossEntropyLoss(ignore_index=-100))
    assert found(given, y=changed(Y, np.s_[:20], -100)) == []


def test_the_numbers_are_those_of_the_network_and_of_guessing() -> None:
    result = tw.diagnose.preflight(trainer(), X, Y, fit=False)
    shares = np.bincount(Y) / len(Y)
    assert result.expected_loss >= -(shares * np.log(shares)).sum() - 1e-3
    model, loss = network(), nn.CrossEntropyLoss()
    assert abs(result.initial_loss - loss(model(tw.tensor(X)), tw.tensor(Y)).item()) < 1e-5
    assert [each.path for each in result.layers] == ["0", "2", "4"]
    hidden = np.maximum(X @ model[0].weight.detach().numpy().T + model[0].bias.detach().numpy(), 0)
    assert result.layers[0].output == pytest.approx(np.sqrt((hidden**2).mean()), rel=1e-5)
    assert result.output_ratios[0] == pytest.approx(result.layers[0].output / np.sqrt((X**2).mean()), rel=1e-5)
    numbers = tw.diagnose.preflight(trainer(network(1), "mse"), X, NUMBERS, fit=False)
    assert numbers.expected_loss == pytest.approx(NUMBERS.var(), rel=1e-3)


class Wrong(nn.Module):
    """Its gradient leaves out a path, and so is not the derivative of what it computes."""

    def __init__(self) -> None:
        super().__init__()
        tw.manual_seed(0)
        self.own = nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        y = self.own(x)
        return y * y.detach().sigmoid()


def test_a_wrong_gradient_is_found_with_its_parameter() -> None:
    result = tw.diagnose.preflight(trainer(Wrong()), X, Y, gradients=True, fit=False)
    one = next(each for each in result.findings if each.problem == "wrong_gradient")
    assert one.layer == "own"
    assert "test_preflight.py" in str(one.line)
    assert "central differences" in one.explanation
    assert next(each for each in result.checks if each.name == "gradients").status is Status.PROBLEM


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_scale_of_the_loss_changes_no_gradient_check(factor: float) -> None:
    for model, is_right in ((network(), True), (Wrong(), False)):
        loss = nn.CrossEntropyLoss()
        given = trainer(model, lambda p, t: loss(p, t) * factor)  # noqa: B023
        names = found(given, gradients=True)
        assert ("wrong_gradient" not in names) is is_right


def test_it_tells_a_line_for_each_check_and_shows_itself() -> None:
    lines: list[str] = []
    result = tw.diagnose.preflight(trainer(), changed(X, 0, np.nan), Y, tell=lines.append)
    assert lines == [str(each) for each in result.checks]
    assert "values that are not finite" in str(result)
    assert not result.ok
    page = result._repr_html_()
    assert page.startswith("<section")
    assert page.count("<section") == page.count("</section>")
    fine = tw.diagnose.preflight(trainer(), X, Y)
    assert "Nothing wrong was found." in str(fine)
    plain = json.loads(json.dumps(fine.to_json(), allow_nan=False))
    assert (plain["ok"], plain["small_batch"]["is_fitted"], len(plain["layers"])) == (True, True, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "kind"),
    [
        ((X,), {}, DataError),
        ((X[:0], Y[:0]), {}, DataError),
        ((X, Y[:-1]), {}, DataError),
        ((X, Y), {"validation_split": 1.5}, ArgumentError),
        ((X[:, :3], Y), {}, ThalwegError),
    ],
)
def test_what_cannot_be_read_raises_as_it_does_in_fit(arguments: Any, options: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        tw.diagnose.preflight(trainer(), *arguments, **options)
    assert "received" in str(raised.value) or "expected" in str(raised.value)


@pytest.mark.parametrize(
    ("made", "operation", "line"),
    [
        (lambda: trainer(Through(lambda h: h.relu().log())), "log", "lambda h: h.relu().log()"),
        (lambda: trainer(Through(lambda h: (h * 1e3).exp())), "exp", "lambda h: (h * 1e3).exp()"),
        (lambda: trainer(with_a_gap()), "input", ""),
        (lambda: trainer(network(), root_of_nothing), "sqrt", "(p * 0.0).sum().sqrt()"),
    ],
    ids=["forward", "overflow", "weights", "gradient alone"],
)
def test_a_first_value_that_is_not_finite_is_traced_to_its_operation_and_line(
    made: Any, operation: str, line: str
) -> None:
    (only,) = tw.diagnose.preflight(made(), X, Y, fit=True).findings
    assert only.problem == "non_finite"
    assert operation in only.explanation or not line
    if not line:
        assert "last.weight holds nan at position (1, 2)" in only.explanation
        return
    file, _, number = only.line.rpartition(":")
    assert line in Path(file).read_text(encoding="utf-8").splitlines()[int(number) - 1]
    assert any("received" in each.what for each in only.evidence)
