"""The operation that made the first NaN is found with its line: planted causes, in steps that are compiled and not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn, optim
from thalweg.diagnose.provenance import Birth, provenance

HERE = Path(__file__)


class Planted(nn.Module):
    """A network with one operation planted between two layers."""

    def __init__(self, plant: Callable[[tw.Tensor], tw.Tensor]) -> None:
        super().__init__()
        tw.manual_seed(0)
        self.first, self.last, self.plant = nn.Linear(3, 4), nn.Linear(4, 2), plant
        with tw.no_grad():
            self.first.bias.zero_()

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        return self.last(self.plant(self.first(x)))


def log_of_zero(h):
    return F.relu(h).log()


def log_of_a_negative_number(h):
    return (-h * h - 1.0).log()


def division_by_zero(h):
    return 1.0 / F.relu(h)


def zero_by_zero(h):
    return F.relu(h) / F.relu(h)


def overflow_of_exp(h):
    return (h * h * 1e4 + 100.0).exp()


def root_of_a_negative_number(h):
    return (-h * h - 1.0).sqrt()


def softmax_by_hand(h):
    e = (h * 1e3 + 100.0).abs().exp()
    return e / e.sum(1, keepdim=True)


def product_that_overflows(h):
    return (h + 2e38) * 1e2


def sum_that_overflows(h):
    return (h * 0.0 + 3e38).sum(1, keepdim=True) + h


def power_that_overflows(h):
    return (h.abs() + 1e20) ** 2.5


def negative_power_of_zero(h):
    return F.relu(h) ** -0.7


def logarithm_of_one_plus_minus_one(h):
    return (h * 0.0 - 1.0).log1p()


def standardised_constant(h):
    c = h * 0.0 + 1.0
    return (c - c.mean(0)) / c.std(0)


def norm_by_hand_of_zero(h):
    return h / (h * 0.0).pow(2).sum(1, keepdim=True).sqrt()


def logarithm_of_a_softmax_that_underflowed(h):
    return F.softmax(h * 1e6, 1).log()


def geometric_growth(h):
    for _ in range(9):
        h = h * h + 1e3
    return h


def cosine_by_hand(h):
    return (F.relu(h) * h).sum(1, keepdim=True) / (h * 0.0).abs().sum(1, keepdim=True) + h


# The operation that is to be found for each.
FORWARD = {
    log_of_zero: "log", log_of_a_negative_number: "log", division_by_zero: "divide", zero_by_zero: "divide",
    overflow_of_exp: "exp", root_of_a_negative_number: "sqrt", softmax_by_hand: "exp",
    product_that_overflows: "multiply", sum_that_overflows: "sum", power_that_overflows: "power",
    negative_power_of_zero: "power", logarithm_of_one_plus_minus_one: "log1p", standardised_constant: "divide",
    norm_by_hand_of_zero: "divide", logarithm_of_a_softmax_that_underflowed: "log", geometric_growth: "multiply",
    cosine_by_hand: "divide",
}  # fmt: skip


def step_of(model: nn.Module, optimizer: optim.Optimizer) -> Callable[[tw.Tensor, tw.Tensor], tw.Tensor]:
    def step(x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def batch(value: float | None = None) -> tuple[tw.Tensor, tw.Tensor]:
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    if value is not None:
        x[2, 1] = value
    return tw.tensor(x), tw.zeros(5, 2)


def birth_in(model: nn.Module, is_compiled: bool, value: float | None = None, lr: float = 0.1) -> Birth | None:
    step = step_of(model, optim.SGD(model.parameters(), lr=lr))
    before = {name: each.numpy() for name, each in model.state_dict().items()}
    birth = provenance(tw.compile(step) if is_compiled else step, *batch(value), model=model)
    for name, each in model.state_dict().items():
        assert each.numpy().tobytes() == before[name].tobytes(), "looking for the cause changed a weight"
    return birth


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("plant", FORWARD, ids=lambda plant: plant.__name__)
def test_the_first_operation_is_named_with_its_line(plant, is_compiled):
    birth = birth_in(Planted(plant), is_compiled)
    assert birth is not None
    assert birth.operation == FORWARD[plant]
    assert birth.rule == ""
    assert birth.layer == "Planted"
    file, _, line = birth.line.rpartition(":")
    lines, first = inspect.getsourcelines(plant)
    assert Path(file) == HERE
    assert first < int(line) < first + len(lines)
    assert all(each.finite_share == 1.0 for each in birth.inputs)
    assert birth.inputs
    assert str(HERE) in str(birth)


def root_at_zero(h):
    return (h * 0.0).sqrt()


def power_below_one_at_zero(h):
    return (h * 0.0) ** 0.3


BACKWARD = {root_at_zero: "sqrt", power_below_one_at_zero: "power"}


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("plant", BACKWARD, ids=lambda plant: plant.__name__)
def test_a_derivative_that_is_not_finite_names_the_operation_whose_rule_it_is(plant, is_compiled):
    birth = birth_in(Planted(plant), is_compiled)
    assert birth is not None
    assert birth.rule == BACKWARD[plant]
    file, _, line = birth.line.rpartition(":")
    assert Path(file) == HERE
    assert int(line) == inspect.getsourcelines(plant)[1] + 1


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_data_are_named_as_the_argument_with_the_position(value, is_compiled):
    birth = birth_in(Planted(F.relu), is_compiled, value=value)
    assert birth is not None
    assert (birth.operation, birth.source, birth.position) == ("input", "argument 0", (2, 1))
    assert str(birth.value) == str(float(value))


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_spoilt_weight_is_named(is_compiled):
    model = Planted(F.relu)
    with tw.no_grad():
        model.last.weight[1, 2] = float("nan")
    birth = birth_in(model, is_compiled)
    assert birth is not None
    assert (birth.source, birth.position) == ("last.weight", (1, 2))


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_matrix_product_that_overflows_is_named_with_its_layer(is_compiled):
    model = Planted(lambda h: h * 1e30)
    with tw.no_grad():
        model.last.weight.fill_(1e20)
    birth = birth_in(model, is_compiled)
    assert birth is not None
    assert (birth.operation, birth.layer) == ("matmul", "last")


@pytest.mark.parametrize("is_compiled", [False, True])
def test_an_update_that_overflows_is_found_although_loss_and_gradient_are_finite(is_compiled):
    birth = birth_in(Planted(lambda h: h * 1e10), is_compiled, lr=1e38)
    assert birth is not None
    assert birth.operation in ("multiply", "cast")


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_mask_of_minus_infinity_is_no_birth(is_compiled):
    def masked(h):
        return F.softmax(tw.where(h > h.mean(), h, float("-inf")), 1)

    assert birth_in(Planted(lambda h: masked(tw.abs(h) + tw.arange(4))), is_compiled) is None
    birth = birth_in(Planted(lambda h: masked(tw.abs(h) + tw.arange(4)).log()), is_compiled)
    assert birth is not None
    assert birth.operation == "log"


def test_a_finite_step_has_no_birth_and_no_finding():
    assert birth_in(Planted(F.relu), is_compiled=True) is None


def test_the_finding_names_layer_line_and_ranges():
    birth = birth_in(Planted(overflow_of_exp), is_compiled=True)
    assert birth is not None
    finding = birth.to_finding(step=7, epoch=1)
    assert (finding.problem, finding.layer, finding.line) == ("non_finite", "Planted", birth.line)
    assert "exponential" in finding.explanation
    assert any("exp received" in each.what for each in finding.evidence)


# --- in a run --------------------------------------------------------------------------------------------------------


class Fragile(nn.Module):
    """Divides by the size of its second column."""

    def __init__(self) -> None:
        super().__init__()
        tw.manual_seed(0)
        self.hidden, self.dropout, self.output = nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 2)

    def forward(self, x):
        h = self.dropout(F.relu(self.hidden(x)))
        return self.output(h) / x[:, 1:2].abs()


@pytest.mark.parametrize("compile", [True, False])
def test_a_run_names_the_operation_and_the_step_and_keeps_its_state(compile):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    x[41, 1] = 0.0
    found = tw.callbacks.Provenance()
    trainer = tw.Trainer(Fragile(), "mse", callbacks=[found], progress=False, compile=compile)
    with pytest.warns(RuntimeWarning):
        trainer.fit((x, x[:, :2]), epochs=3, batch_size=8, shuffle=False)
    assert found.birth is not None
    assert (found.birth.operation, found.birth.position) == ("divide", (1, 0))
    assert found.birth.line.startswith(str(HERE))
    assert (found.finding.step, found.finding.epoch) == (5, 0)
    assert trainer.state.step == 6
    assert not np.isfinite(trainer.model.output.weight.detach().numpy()).all(), "the state is that of after the step"


def test_an_update_that_spoils_the_weights_is_found_one_step_before_the_loss_shows_it():
    class Rooted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(tw.ones(3))

        def forward(self, x):
            return (x * self.scale).sum(1, keepdim=True) + (self.scale * 0.0).sqrt().sum()

    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    found = tw.callbacks.Provenance()
    trainer = tw.Trainer(Rooted(), "mse", "sgd", lr=0.01, callbacks=[found], progress=False)
    with pytest.warns(RuntimeWarning):
        trainer.fit((x, x[:, :1]), epochs=1, batch_size=8)
    assert found.birth is not None
    assert found.birth.rule
    assert found.finding.step == 0


def test_a_healthy_run_has_no_birth_and_the_same_bits():
    runs = []
    for callbacks in ([], [tw.callbacks.Provenance()]):
        x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32) + 5.0
        trainer = tw.Trainer(Fragile(), "mse", callbacks=callbacks, progress=False)
        trainer.fit((x, x[:, :2]), epochs=2, batch_size=8)
        runs.append([each.detach().numpy().tobytes() for each in trainer.model.parameters()])
    assert runs[0] == runs[1]
    assert callbacks[0].birth is None
