"""The sweep helper: deterministic, never empty, complete on request.

In: lists of configurations and the `THALWEG_SWEEP` switch. Out: what is promised of the selection.
The tests set the switch themselves, so they hold under `make sweep` too.
"""

import itertools

import pytest

from tests.support.sweep import is_full_sweep, sweep


@pytest.fixture
def tenth(monkeypatch):
    monkeypatch.delenv("THALWEG_SWEEP", raising=False)


@pytest.mark.usefixtures("tenth")
def test_a_tenth_by_default_in_the_original_order():
    chosen = sweep(range(1000))
    assert len(chosen) == 100
    assert chosen == sorted(set(chosen))


@pytest.mark.usefixtures("tenth")
def test_the_same_seed_chooses_the_same_and_another_seed_others():
    assert sweep(range(1000), seed=1) == sweep(range(1000), seed=1)
    assert sweep(range(1000), seed=1) != sweep(range(1000), seed=2)


@pytest.mark.usefixtures("tenth")
def test_the_choice_is_the_same_on_every_machine():
    assert sweep(range(30), at_least=3) == [12, 24, 27]


@pytest.mark.usefixtures("tenth")
def test_small_sweeps_keep_at_least_some():
    assert len(sweep(range(20), at_least=5)) == 5
    assert sweep(["only"]) == ["only"]
    assert sweep([]) == []


@pytest.mark.usefixtures("tenth")
def test_any_iterable_will_do():
    assert len(sweep(itertools.product("ab", range(50)))) == 10


@pytest.mark.parametrize("value", ["1", "yes"])
def test_the_switch_asks_for_everything(monkeypatch, value):
    monkeypatch.setenv("THALWEG_SWEEP", value)
    assert is_full_sweep()
    assert sweep(range(1000)) == list(range(1000))


@pytest.mark.parametrize("value", ["", "0"])
def test_the_switch_can_be_off(monkeypatch, value):
    monkeypatch.setenv("THALWEG_SWEEP", value)
    assert not is_full_sweep()


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        sweep(range(3), fraction=fraction)
