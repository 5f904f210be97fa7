"""Parameter groups: dicts whose numbers are cells, and what makes a compiled step compile again.

In: optimizers, and writes to their groups. Out: values that are live, and a version that rises only for what changes
the program.
"""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import GradientError, StateError, TraceError
from thalweg.optim import schedules
from thalweg.tensor.holding import Version


def make(kind="SGD", shape=(2,), **options):
    w = tw.ones(*shape, requires_grad=True)
    return w, getattr(tw.optim, kind)([w], **options)


def step(w, optimizer, gradient=1.0):
    w.grad = tw.full(w.shape, gradient)
    optimizer.step()


def test_a_group_is_a_dict_of_numbers():
    w, optimizer = make("Adam", lr=0.25, betas=(0.5, 0.75))
    group = optimizer.param_groups[0]
    assert isinstance(group, dict)
    assert group["lr"] == 0.25
    assert type(group["lr"]) is float
    assert group["betas"] == (0.5, 0.75)
    assert group["params"] == (w,)
    assert group["amsgrad"] is False
    expected = {
        "params": (w,),
        "lr": 0.25,
        "betas": (0.5, 0.75),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "maximize": False,
        "decoupled_weight_decay": False,
    }
    assert dict(group) == {**group} == dict(group.items()) == expected
    assert list(group.values()) == list(expected.values())
    assert group.get("lr") == 0.25
    assert group.get("nothing") is None
    assert group.setdefault("eps", 3.0) == 1e-8
    assert "lr" in group
    assert len(group) == 8
    assert json.loads(json.dumps({key: value for key, value in group.items() if key != "params"}))["lr"] == 0.25
    assert "0.25" in repr(group)


def test_update_writes_through_to_the_cells():
    _, optimizer = make()
    group = optimizer.param_groups[0]
    group.update(lr=0.5, momentum=0.25)
    assert group.tensor("lr").item() == 0.5
    assert group.tensor("momentum").item() == 0.25


def test_tensors_are_0d_float64_and_stay_the_same_cells():
    _, optimizer = make("Adam")
    group = optimizer.param_groups[0]
    lr, (beta1, _) = group.tensor("lr"), group.tensor("betas")
    assert lr.dtype is tw.float64
    assert lr.shape == ()
    group["lr"], group["betas"] = 0.5, (0.25, 0.5)
    assert group.tensor("lr") is lr
    assert (lr.item(), beta1.item()) == (0.5, 0.25)


def test_a_cell_that_is_written_directly_is_what_the_group_reads():
    _, optimizer = make(lr=0.5)
    group = optimizer.param_groups[0]
    group.tensor("lr").mul_(0.5)
    assert group["lr"] == 0.25


@pytest.mark.parametrize("value", [0.25, np.float32(0.25), np.float64(0.25), tw.tensor(0.25), tw.tensor([0.25])])
def test_numbers_may_come_in_many_forms(value):
    w, optimizer = make(lr=value)
    assert optimizer.param_groups[0]["lr"] == 0.25
    optimizer.param_groups[0]["lr"] = 1
    optimizer.param_groups[0]["lr"] = value
    step(w, optimizer)
    assert w.tolist() == [0.75, 0.75]


def does_bump(action):
    before = Version.number
    action()
    return Version.number != before


def test_only_what_changes_the_program_raises_the_version():
    w, optimizer = make("SGD", lr=0.1, momentum=0.9)
    step(w, optimizer)
    group = optimizer.param_groups[0]
    assert not does_bump(lambda: group.__setitem__("lr", 0.2))
    assert not does_bump(lambda: group.__setitem__("lr", 0.0))
    assert not does_bump(lambda: group.__setitem__("momentum", 0.5))
    assert not does_bump(lambda: step(w, optimizer))
    assert does_bump(lambda: group.__setitem__("momentum", 0.0))
    assert does_bump(lambda: group.__setitem__("weight_decay", 0.1))
    assert not does_bump(lambda: group.__setitem__("weight_decay", 0.2))
    assert does_bump(lambda: group.__setitem__("maximize", True))
    assert does_bump(lambda: group.__setitem__("lr", schedules.Constant(0.1)))
    assert does_bump(lambda: group.__setitem__("lr", 0.1))
    assert does_bump(lambda: optimizer.add_param_group({"params": [tw.ones(1, requires_grad=True)]}))
    assert does_bump(lambda: optimizer.load_state_dict(optimizer.state_dict()))


def test_a_term_that_is_switched_on_later_gets_its_state():
    w, optimizer = make("SGD", lr=0.1)
    step(w, optimizer)
    assert optimizer.state[w] == {}
    optimizer.param_groups[0]["momentum"] = 0.5
    step(w, optimizer)
    step(w, optimizer)
    assert optimizer.state[w]["momentum_buffer"].tolist() == [1.5, 1.5]
    optimizer.param_groups[0]["momentum"] = 0.0
    assert optimizer.state_dict()["state"][0] == {}
    adam = tw.optim.Adam([w])
    step(w, adam)
    adam.param_groups[0]["amsgrad"] = True
    step(w, adam)
    assert adam.state[w]["step"].item() == 2
    assert adam.state[w]["max_exp_avg_sq"].numpy().all()


def test_any_number_may_be_a_schedule():
    w, optimizer = make("SGD", lr=1.0, momentum=schedules.MultiStep(0.5, milestones=[2], gamma=0.0))
    for _ in range(2):
        step(w, optimizer)
    assert w.tolist() == [1 - 1 - 1.5] * 2
    step(w, optimizer)
    assert w.tolist() == [-2.5] * 2  # without momentum from step 2 on


def test_the_schedule_counts_the_steps_of_the_optimizer():
    w, optimizer = make(lr=schedules.Exponential(1.0, 0.5))
    found = []
    for _ in range(3):
        found += optimizer.learning_rates()
        step(w, optimizer)
    assert found == [1.0, 0.5, 0.25]
    np.testing.assert_array_equal(w.detach().numpy(), [1 - 1.75] * 2)
    assert optimizer.step_count == 3


def test_a_float32_parameter_stays_float32_and_is_computed_in_it():
    w, optimizer = make("Adam", lr=0.1)
    step(w, optimizer)
    assert w.dtype is tw.float32
    assert {name: each.dtype.name for name, each in optimizer.state[w].items()} == {
        "step": "int64",
        "exp_avg": "float32",
        "exp_avg_sq": "float32",
    }


def test_named_parameters_keep_their_names():
    pairs = [("weight", tw.ones(2, requires_grad=True)), ("bias", tw.ones(1, requires_grad=True))]
    optimizer = tw.optim.SGD(pairs)
    assert optimizer.param_groups[0]["param_names"] == ("weight", "bias")
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_zero_grad_to_none_or_to_zeros():
    w, optimizer = make()
    w.grad = tw.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is None


def test_a_closure_computes_the_loss_with_gradients_on():
    w, optimizer = make(lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with tw.no_grad():
        assert optimizer.step(closure).item() == 2.0
    assert w.tolist() == [0.5, 0.5]


def test_a_step_computes_the_loss_together_with_the_update():
    """One evaluation for both: looking at the loss afterwards must not run the forward pass again."""
    w, optimizer = make(lr=0.25)
    loss = (w * w).sum()
    loss.backward()
    optimizer.step()
    assert loss.node.value is not None
    assert w.node.value is not None
    assert not w.node.inputs


def test_the_graph_of_a_loss_that_was_stepped_over_cannot_be_used_again():
    w, optimizer = make(lr=0.25)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(GradientError, match="overwritten in place"):
        loss.backward()


def test_a_view_of_a_parameter_follows_the_step():
    w, optimizer = make(shape=(2, 2), lr=0.5)
    row = w.detach()[0]
    step(w, optimizer)
    assert row.tolist() == [0.5, 0.5]


# --- saved states that do not fit -------------------------------------------------------------------------------------


def trained(**options):
    w, optimizer = make("Adam", **options)
    step(w, optimizer)
    return w, optimizer


def changed(saved, **entries):
    saved = copy.deepcopy(saved)
    saved["state"][0].update(entries)
    return saved


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda saved: {}, "not the saved state"),
        (lambda saved: None, "not the saved state"),
        (lambda saved: {"0.weight": 1}, "'0.weight'"),
        (lambda saved: saved | {"param_groups": saved["param_groups"] * 2}, "other parameter groups"),
        (
            lambda saved: saved | {"param_groups": [saved["param_groups"][0] | {"params": [0, 1]}]},
            "groups with \\[2\\]",
        ),
        (lambda saved: saved | {"param_groups": [saved["param_groups"][0] | {"speed": 1}]}, "no hyper-parameter"),
        (lambda saved: changed(saved, exp_avg=np.zeros(3)), "another shape"),
        (lambda saved: changed(saved, velocity=np.zeros(2)), "unknown name"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(spoil, message):
    _, optimizer = trained(lr=0.5)
    before = optimizer.state_dict()
    with pytest.raises(StateError, match=message):
        optimizer.load_state_dict(spoil(optimizer.state_dict()))
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    np.testing.assert_array_equal(after["state"][0]["exp_avg"], before["state"][0]["exp_avg"])


def test_a_bad_number_in_a_saved_state_changes_nothing():
    _, optimizer = trained(lr=0.5)
    saved = optimizer.state_dict()
    saved["param_groups"][0] |= {"lr": 0.25, "eps": -1.0}
    with pytest.raises(ValueError, match="eps"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_loading_keeps_the_group_objects_and_takes_json_keys_and_tensors():
    w, optimizer = trained(lr=schedules.StepDecay(0.5, 10))
    saved = optimizer.state_dict()
    saved["state"] = {"0": {name: tw.tensor(value) for name, value in saved["state"][0].items()}}
    saved["param_groups"] = json.loads(json.dumps(saved["param_groups"]))
    v, other = make("Adam", lr=0.1)
    group = other.param_groups[0]
    other.load_state_dict(saved)
    assert other.param_groups[0] is group
    assert group["lr"] == schedules.StepDecay(0.5, 10)
    assert group["betas"] == (0.9, 0.999)
    assert other.state[v]["step"].item() == 1
    np.testing.assert_array_equal(other.state[v]["exp_avg"].numpy(), optimizer.state[w]["exp_avg"].numpy())


# --- inside a compiled step -------------------------------------------------------------------------------------------


def test_a_rate_written_inside_a_compiled_step_is_part_of_it():
    w, optimizer = make(lr=1.0)
    group = optimizer.param_groups[0]

    @tw.compile
    def decaying_step(factor):
        group["lr"] = group.tensor("lr") * factor
        w.grad = tw.ones(2)
        optimizer.step()

    decaying_step(tw.tensor(0.5))
    decaying_step(tw.tensor(0.5))
    assert group["lr"] == 0.25
    assert w.tolist() == [0.25, 0.25]


def test_a_rate_cannot_be_looked_at_inside_a_compiled_step():
    _, optimizer = make()
    with pytest.raises(TraceError, match="cannot look at a value"):
        tw.compile(lambda: optimizer.param_groups[0]["lr"])()
