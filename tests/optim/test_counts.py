"""Counts of steps are shared by parameters that keep step, and by no others.

In: optimizers whose parameters now and then have no gradient. Out: what optimizers with one parameter each do.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw

OPTIMIZERS = {
    "Adam": lambda params: tw.optim.Adam(params, lr=0.1),
    "Adagrad": lambda params: tw.optim.Adagrad(params, lr=0.1, lr_decay=0.3),
    "SGD": lambda params: tw.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5),
}
PRESENCE = ["ab", "ab", "a", "abc", "bc", "abc", "abc", "c", "abc", "ab"]


def parameters() -> dict[str, tw.Tensor]:
    return {name: tw.tensor([1.0, -2.0 - i], requires_grad=True) for i, name in enumerate("abc")}


def descend(params: dict[str, tw.Tensor], present: str) -> None:
    for name, each in params.items():
        each.grad = None
        if name in present:
            (each * each).sum().backward()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_parameter_counts_its_own_steps_whoever_shares_its_count(name, is_compiled):
    together, alone = parameters(), parameters()
    optimizer = OPTIMIZERS[name](together.values())
    own = {key: OPTIMIZERS[name]([each]) for key, each in alone.items()}

    def step(present: str) -> None:
        descend(together, present)
        optimizer.step()

    run = tw.compile(step) if is_compiled else step
    for present in PRESENCE:
        run(present)
        descend(alone, present)
        for key in present:
            own[key].step()
        for key, each in together.items():
            np.testing.assert_array_equal(each.detach().numpy(), alone[key].detach().numpy())
            if each in optimizer.state:
                count = own[key].state.get(alone[key], {"step": tw.tensor(0)})["step"]
                assert optimizer.state[each]["step"].item() == count.item()


def test_two_steps_in_one_program_may_move_different_parameters():
    together, alone = parameters(), parameters()
    optimizer, own = OPTIMIZERS["Adam"](together.values()), {k: OPTIMIZERS["Adam"]([p]) for k, p in alone.items()}

    @tw.compile
    def both() -> None:
        for present in ("abc", "ac"):
            descend(together, present)
            optimizer.step()

    for _ in range(4):
        both()
        for key in "abcac":
            descend(alone, key)
            own[key].step()
    assert [int(optimizer.state[each]["step"].item()) for each in together.values()] == [8, 4, 8]
    for key, each in together.items():
        np.testing.assert_array_equal(each.detach().numpy(), alone[key].detach().numpy())


def test_a_compiled_step_goes_on_with_the_count_of_what_is_frozen():
    params = parameters()
    optimizer = OPTIMIZERS["Adam"](params.values())

    @tw.compile
    def step() -> None:
        optimizer.zero_grad()
        sum((each * each).sum() for each in params.values() if each.requires_grad).backward()
        optimizer.step()

    for frozen in ("", "", "b", "b", "b"):
        for name in frozen:
            params[name].requires_grad_(False)
        step()
    assert [int(optimizer.state[each]["step"].item()) for each in params.values()] == [5, 2, 5]


def counts(optimizer: tw.optim.Optimizer) -> int:
    return len({id(state["step"]) for state in optimizer.state.values()})


def test_parameters_that_keep_step_have_one_count_also_after_loading():
    params = parameters()
    optimizer = OPTIMIZERS["Adam"](params.values())
    for _ in range(2):
        descend(params, "abc")
        optimizer.step()
    assert counts(optimizer) == 1
    descend(params, "ac")
    optimizer.step()
    assert counts(optimizer) == 2
    other = OPTIMIZERS["Adam"](parameters().values())
    other.load_state_dict(optimizer.state_dict())
    assert counts(other) == 2
    assert [int(state["step"].item()) for state in other.state.values()] == [3, 2, 3]
