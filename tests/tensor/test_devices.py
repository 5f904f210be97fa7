"""What programs ask before they begin: which devices there are, what a dtype can hold, and whether to record.

In: the lines with which PyTorch programs begin. Out: the processor, and the same numbers.
"""

import pytest

import thalweg as tw
from thalweg.errors import DTypeError


@pytest.mark.parametrize("kind", [tw.cuda, tw.accelerator], ids=repr)
def test_there_is_no_other_device(kind):
    assert not kind.is_available()
    assert kind.device_count() == 0
    kind.manual_seed_all(0)
    assert tw.device("cuda" if kind.is_available() else "cpu") == tw.zeros(1).device


@pytest.mark.peer
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_what_a_floating_point_dtype_holds_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.finfo(getattr(torch, name)), tw.finfo(getattr(tw, name))
    assert all(getattr(theirs, each) == getattr(ours, each) for each in ours._fields)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["uint8", "int32", "int64"])
def test_what_an_integer_dtype_holds_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.iinfo(getattr(torch, name)), tw.iinfo(getattr(tw, name))
    assert all(getattr(theirs, each) == getattr(ours, each) for each in ours._fields)


def test_a_dtype_of_the_other_kind_is_refused():
    with pytest.raises(DTypeError, match="use iinfo"):
        tw.finfo(tw.int64)
    with pytest.raises(DTypeError, match="use finfo"):
        tw.iinfo(tw.float32)


def is_recorded():
    return (tw.ones(1, requires_grad=True) * 2).requires_grad


def test_inference_mode_records_nothing_in_each_way_to_write_it():
    with tw.inference_mode():
        assert not is_recorded()
        with tw.inference_mode(mode=False):
            assert is_recorded()
    assert not tw.inference_mode(is_recorded)()
    assert not tw.inference_mode()(is_recorded)()
    assert is_recorded()
