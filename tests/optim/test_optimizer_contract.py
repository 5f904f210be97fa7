"""What every optimizer promises, checked for every class that there is, on several problems and dtypes.

In: the classes of `thalweg.optim`, found by discovery, and a table of options for each. Out: falling losses, identical
continuations, untouched dtypes. A class that is in no table fails.
"""

from __future__ import annotations

import inspect
import itertools
import json

import numpy as np
import pytest

import thalweg as tw
from thalweg.graph import next_serial
from thalweg.optim import schedules
from thalweg.optim.optimizer import Optimizer
from thalweg.tensor import lazy

# For each class, options under which it must do well on every problem below.
OPTIONS = {
    "SGD": [
        {"lr": 0.01},
        {"lr": 0.01, "momentum": 0.9},
        {"lr": 0.01, "momentum": 0.8, "nesterov": True, "weight_decay": 1e-3},
        {"lr": 0.01, "momentum": 0.8, "dampening": 0.3},
    ],
    "Adagrad": [
        {"lr": 0.1},
        {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 1e-3, "initial_accumulator_value": 0.1},
    ],
    "RMSprop": [{"lr": 0.01}, {"lr": 0.005, "momentum": 0.5, "centered": True, "weight_decay": 1e-3}],
    "Adam": [
        {"lr": 0.03},
        {"lr": 0.03, "amsgrad": True, "weight_decay": 1e-3},
        {"lr": schedules.CosineAnnealing(lr=0.05, T_max=60)},
    ],
    "AdamW": [{"lr": 0.03}, {"lr": 0.03, "amsgrad": True, "weight_decay": 1e-3}],
    "NAdam": [{"lr": 0.03, "weight_decay": 1e-3, "decoupled_weight_decay": True, "momentum_decay": 0.1}],
    "RAdam": [{"lr": 0.03, "betas": (0.8, 0.7), "weight_decay": 1e-3}],
    "Adadelta": [{"lr": 1.0, "eps": 1e-3, "weight_decay": 1e-3}],
    "Adamax": [{"lr": 0.03, "weight_decay": 1e-3}],
    "ASGD": [{"lr": 0.01, "t0": 5, "weight_decay": 1e-3}],
    "Rprop": [{"lr": 0.01, "step_sizes": (1e-6, 0.1)}],
    "Adafactor": [{"lr": 0.1, "eps": (1e-4, 0.1), "d": 2.0, "weight_decay": 1e-3}],
    "Lion": [{"lr": 0.01, "weight_decay": 1e-3}],
    "SparseAdam": [{"lr": 0.03}],
}
# Optimizers that take other problems than those below have tests of their own.
ELSEWHERE = {"Muon": "matrices only: test_muon.py", "LBFGS": "takes a closure: test_lbfgs.py"}
# What else than a gradient moves a parameter, and how that is switched off.
STILL = {"Rprop": {}, "SparseAdam": {}, "Muon": {"weight_decay": 0.0}, "ASGD": {"weight_decay": 0.0, "lambd": 0.0}}
# A rate counts only at the first step (Rprop), or from the step after the next (ASGD makes its η in advance).
LATE_RATES = {"Rprop", "ASGD"}
# State that does not begin at 0.
FROM_ONE = {"sum", "mu_product", "eta", "mu", "step_size"}


def optimizer_classes() -> dict[str, type[Optimizer]]:
    """Every optimizer that Thalweg defines."""
    found, waiting = {}, [Optimizer]
    while waiting:
        for each in waiting.pop().__subclasses__():
            waiting.append(each)
            if each.__module__.startswith("thalweg."):
                found[each.__name__] = each
    return found


def still(name: str) -> dict[str, float]:
    """Options under which only gradients move a parameter."""
    return STILL.get(name, {"weight_decay": 0.0})


for public in tw.optim.__all__:
    getattr(tw.optim, public)  # what is imported when it is named
CLASSES = optimizer_classes()
CASES = [(name, options) for name in CLASSES for options in OPTIONS.get(name, ())]
LIVE = [(name, options) for name, options in CASES if name not in LATE_RATES]
DTYPES = ["float32", "float64"]
case = pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{'-'.join(o)}" for n, o in CASES])
live_case = pytest.mark.parametrize(("name", "options"), LIVE, ids=[f"{n}-{'-'.join(o)}" for n, o in LIVE])
dtype_of = pytest.mark.parametrize("dtype", DTYPES)


def test_every_optimizer_is_in_the_table_and_in_the_public_room():
    assert CLASSES.keys() == OPTIONS.keys() | ELSEWHERE.keys()
    assert {name for name in CLASSES if getattr(tw.optim, name, None) is CLASSES[name]} == CLASSES.keys()


# --- problems: parameters, and a loss of them -------------------------------------------------------------------------


def quadratic(dtype):
    """A bowl whose axes differ by a factor of 20, with the centre away from 0."""
    w = tw.tensor(np.array([3.0, -2.0, 1.0]), dtype=dtype, requires_grad=True)
    scale = tw.tensor(np.array([0.1, 1.0, 2.0]), dtype=dtype)
    return [w], lambda: (scale * (w - 0.5) ** 2).sum()


def valley(dtype):
    """Rosenbrock's curved valley, less steep than the original so that plain descent follows it too."""
    x = tw.tensor(-0.5, dtype=dtype, requires_grad=True)
    y = tw.tensor(1.0, dtype=dtype, requires_grad=True)
    return [x, y], lambda: (1.0 - x) ** 2 + 5.0 * (y - x * x) ** 2


def logistic(dtype):
    """Logistic regression on points that a line separates, up to noise."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, 3))
    labels = (points @ [1.0, -2.0, 0.5] + 0.3 * rng.standard_normal(40) > 0).astype(float)
    x, y = tw.tensor(points, dtype=dtype), tw.tensor(2 * labels - 1, dtype=dtype)
    w = tw.zeros(3, dtype=dtype, requires_grad=True)
    b = tw.zeros((), dtype=dtype, requires_grad=True)
    return [w, b], lambda: 0.1 * (1.0 + (-y * (x @ w + b)).exp()).log().sum()


PROBLEMS = {"quadratic": quadratic, "valley": valley, "logistic": logistic}


def make(name, options, params):
    return CLASSES[name](params, **options)


def stepper(optimizer, loss_of):
    def step():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    return step


def train(optimizer, loss_of, steps, compiled=False):
    step = stepper(optimizer, loss_of)
    step = tw.compile(step) if compiled else step
    return [step().item() for _ in range(steps)]


def arrays(tensors):
    return [each.detach().numpy() for each in tensors]


def assert_same_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


# --- the contract -----------------------------------------------------------------------------------------------------


@case
@pytest.mark.parametrize("problem", PROBLEMS)
@dtype_of
def test_the_loss_falls(name, options, problem, dtype):
    params, loss_of = PROBLEMS[problem](dtype)
    losses = train(make(name, options, params), loss_of, 60)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]
    assert all(param.dtype == dtype and param.is_leaf and param.requires_grad for param in params)


@case
@dtype_of
@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
def test_a_saved_state_continues_with_the_same_bits(name, options, dtype, compiled):
    params, loss_of = logistic(dtype)
    optimizer = make(name, options, params)
    train(optimizer, loss_of, 5, compiled)
    saved, values = optimizer.state_dict(), arrays(params)
    expected = train(optimizer, loss_of, 5, compiled)

    others, other_loss_of = logistic(dtype)
    with tw.no_grad():
        for other, value in zip(others, values, strict=True):
            other.copy_(tw.tensor(value))
    restored = make(name, {**options, "lr": 123.0}, others)
    restored.load_state_dict(saved)
    assert restored.step_count == 5
    assert train(restored, other_loss_of, 5, compiled) == expected
    assert_same_bits(arrays(others), arrays(params))
    assert repr(restored) == repr(optimizer)


@case
def test_a_saved_state_is_a_copy_of_numbers_and_arrays(name, options):
    params, loss_of = logistic("float32")
    optimizer = make(name, options, params)
    train(optimizer, loss_of, 2)
    saved = optimizer.state_dict()
    before = [{key: np.copy(value) for key, value in each.items()} for each in saved["state"].values()]
    train(optimizer, loss_of, 2)
    for each, known in zip(saved["state"].values(), before, strict=True):
        assert_same_bits(each.values(), known.values())
        assert all(type(value) is np.ndarray for value in each.values())
    json.dumps([saved["param_groups"], saved["step_count"]])


@case
def test_parameters_without_a_gradient_are_left_alone(name, options):
    params, loss_of = quadratic("float32")
    idle = tw.ones(2, requires_grad=True)
    optimizer = make(name, options, [*params, idle])
    train(optimizer, loss_of, 3)
    assert idle.tolist() == [1.0, 1.0]
    assert idle not in optimizer.state
    assert optimizer.step_count == 3


@case
@dtype_of
def test_zero_gradients_move_nothing_but_by_weight_decay(name, options, dtype):
    w = tw.ones(3, dtype=dtype, requires_grad=True)
    optimizer = make(name, {**options, **still(name)}, [w])
    for _ in range(3):
        w.grad = tw.zeros(3, dtype=dtype)
        optimizer.step()
    assert w.tolist() == [1.0, 1.0, 1.0]


@case
def test_maximize_climbs_where_the_other_descends(name, options):
    down, up = tw.tensor([1.0, -2.0], requires_grad=True), tw.tensor([1.0, -2.0], requires_grad=True)
    options = {**options, **still(name)}
    train(make(name, options, [down]), lambda: (down**2).sum(), 3)
    train(make(name, {**options, "maximize": True}, [up]), lambda: -(up**2).sum(), 3)
    assert_same_bits(arrays([up]), arrays([down]))


@case
def test_groups_have_learning_rates_of_their_own(name, options):
    slow, fast, alone = (tw.tensor([1.0, -2.0], requires_grad=True) for _ in range(3))
    grouped = make(name, options, [{"params": [slow], "lr": 1e-4}, {"params": fast, "lr": 0.02}])
    single = make(name, {**options, "lr": 0.02}, [alone])
    train(grouped, lambda: (slow**2).sum() + (fast**2).sum(), 3)
    train(single, lambda: (alone**2).sum(), 3)
    assert_same_bits(arrays([fast]), arrays([alone]))
    assert (np.abs(slow.detach().numpy() - [1.0, -2.0]) < np.abs(fast.detach().numpy() - [1.0, -2.0])).all()
    assert grouped.learning_rates() == [1e-4, 0.02]


@case
def test_a_group_can_be_added_later(name, options):
    first, second = tw.ones(2, requires_grad=True), tw.ones(2, requires_grad=True)
    optimizer = make(name, options, [first])
    train(optimizer, lambda: (first**2).sum(), 2)
    optimizer.add_param_group({"params": [second], "lr": 0.02})
    train(optimizer, lambda: (first**2).sum() + (second**2).sum(), 2)
    assert (second.detach().numpy() < 1.0).all()
    assert len(optimizer.param_groups) == 2


@live_case
def test_a_new_learning_rate_takes_effect_at_the_next_step(name, options):
    params, loss_of = quadratic("float64")
    optimizer = make(name, {**options, "lr": 0.01, **still(name)}, params)
    train(optimizer, loss_of, 3)
    optimizer.param_groups[0]["lr"] = 0.0
    before = arrays(params)
    train(optimizer, loss_of, 2)
    assert_same_bits(arrays(params), before)
    optimizer.param_groups[0]["lr"] = 0.01
    train(optimizer, loss_of, 1)
    assert not np.array_equal(arrays(params)[0], before[0])


@case
@dtype_of
def test_a_schedule_does_what_setting_the_rate_by_hand_does(name, options, dtype):
    schedule = schedules.OneCycle(max_lr=0.02, total_steps=20)
    params, loss_of = logistic(dtype)
    scheduled = make(name, {**options, "lr": schedule}, params)
    found = train(scheduled, loss_of, 10)
    others, other_loss_of = logistic(dtype)
    by_hand = make(name, {**options, "lr": 1.0}, others)
    expected = []
    for step in range(10):
        by_hand.param_groups[0]["lr"] = schedule(step)
        expected += train(by_hand, other_loss_of, 1)
    assert found == expected
    assert_same_bits(arrays(params), arrays(others))
    assert scheduled.param_groups[0]["lr"] is schedule
    assert scheduled.learning_rates() == [schedule(10)]


@case
@dtype_of
@pytest.mark.parametrize("decorated", [False, True], ids=["undecorated", "decorated"])
def test_compiled_steps_agree_with_numpy(name, options, dtype, decorated, monkeypatch):
    params, loss_of = logistic(dtype)
    expected = train(make(name, options, params), loss_of, 6)
    others, other_loss_of = logistic(dtype)
    optimizer = make(name, options, others)
    if not decorated:
        monkeypatch.setattr(lazy, "COMPILE_AFTER", 0)
    found = train(optimizer, other_loss_of, 6, compiled=decorated)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    assert optimizer.step_count == 6


@live_case
def test_a_new_learning_rate_reaches_a_compiled_step_without_a_second_compilation(name, options):
    params, loss_of = quadratic("float64")
    optimizer = make(name, {**options, "lr": 0.01, **still(name)}, params)
    runs = []
    step = tw.compile(stepper(optimizer, lambda: (runs.append(1), loss_of())[1]))
    for _ in range(3):
        step()
    traced = len(runs)
    optimizer.param_groups[0]["lr"] = 0.0
    before = arrays(params)
    step()
    assert_same_bits(arrays(params), before)
    assert len(runs) == traced


@case
def test_repr_lists_the_groups_as_pytorch_does(name, options):
    optimizer = make(name, {**options, "lr": 0.5}, [tw.zeros(2, requires_grad=True)])
    lines = repr(optimizer).splitlines()
    assert lines[0] == f"{name} ("
    assert lines[1] == "Parameter Group 0"
    assert "    lr: 0.5" in lines
    assert "    maximize: False" in lines
    assert lines[2:-1] == sorted(lines[2:-1])
    assert lines[-1] == ")"


@case
def test_update_writes_nothing_by_itself(name, options):
    params, _ = quadratic("float64")
    optimizer = make(name, options, params)
    (param,), group = params, optimizer.param_groups[0]
    state = optimizer.init(param, group)
    grad = tw.ones(3, dtype=tw.float64)
    with tw.no_grad():
        new_param, new_state = optimizer.update(grad, param, state, group.operands())
    assert new_state.keys() == state.keys()
    assert all(not value.detach().numpy().any() for key, value in state.items() if key not in FROM_ONE)
    assert param.tolist() == [3.0, -2.0, 1.0]
    assert new_param.dtype is param.dtype
    assert not optimizer.state


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    "wrong", [{"lr": -0.1}, {"lr": float("nan")}, {"lr": "fast"}, {"weight_decay": -1.0}, {"lr": None}]
)
def test_bad_numbers_are_refused_when_made_and_when_set(name, wrong):
    w = tw.zeros(2, requires_grad=True)
    ((key, value),) = wrong.items()
    if key not in CLASSES[name]([w]).param_groups[0]:
        return
    with pytest.raises((ValueError, TypeError), match=f"{name}: {key}"):
        CLASSES[name]([w], **wrong)
    optimizer = CLASSES[name]([w])
    with pytest.raises((ValueError, TypeError), match=key):
        optimizer.param_groups[0][key] = value
    assert optimizer.param_groups[0]["lr"] == CLASSES[name]([w]).param_groups[0]["lr"]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_switches_of_pytorch_that_change_no_result_are_accepted(name):
    optimizer = CLASSES[name]([tw.zeros(2, requires_grad=True)], foreach=True, fused=None, capturable=False)
    assert "foreach" not in optimizer.param_groups[0]


@pytest.mark.parametrize("name", CLASSES)
def test_docstrings_give_formula_source_and_example(name):
    text = inspect.getdoc(CLASSES[name])
    assert "←" in text
    assert ">>> " in text
    assert any(str(year) in text for year in range(1960, 2030))


def test_an_adam_step_builds_no_more_nodes_than_it_needs():
    """A budget that fails both ways: Python's time for a step is in proportion to the nodes that it makes."""
    shapes = [(784, 128), (128,), (128, 10), (10,)]
    params = [tw.zeros(*shape, requires_grad=True) for shape in shapes]
    optimizer = tw.optim.Adam(params)
    made = []
    for _, _ in itertools.product(range(2), [0]):
        for param in params:
            param.grad = tw.ones_like(param)
        start = next_serial()
        optimizer.step()
        made.append(next_serial() - start)
    assert 180 <= made[1] <= 230, made
