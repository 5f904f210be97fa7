"""Rooms for intermediate values: one for all programs that run one after another, and none that nobody needs."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import thalweg as tw
from thalweg.compile import lending, native
from thalweg.compile.lending import Rooms, start_of


class Owner:
    """Whoever takes rooms."""


@pytest.fixture
def everything_is_lent(monkeypatch: pytest.MonkeyPatch) -> Rooms:
    rooms = Rooms()
    monkeypatch.setattr(native, "_SMALL", 0)
    monkeypatch.setattr(native, "rooms", rooms)
    return rooms


def test_a_room_begins_on_a_cache_line_and_is_large_enough() -> None:
    rooms = Rooms()
    for size in (1, 63, 64, 1000):
        room = rooms.take(size)
        assert start_of(room) % 64 == 0
        assert start_of(room) + size <= room.ctypes.data + room.size


def test_the_next_step_gets_the_room_of_the_last() -> None:
    rooms, owner = Rooms(), Owner()
    rooms.expect(1000, owner)
    first = rooms.take(1000)
    rooms.give_back(first)
    assert rooms.take(10) is first


def test_two_steps_at_once_get_two_rooms() -> None:
    rooms = Rooms()
    assert rooms.take(100) is not rooms.take(100)


def test_a_room_too_small_is_given_up_for_a_larger_one() -> None:
    rooms, owner = Rooms(), Owner()
    rooms.expect(5000, owner)
    rooms.give_back(rooms.take(1000))
    rooms.give_back(rooms.take(5000))
    assert rooms.bytes_free == 5000 + 64


def test_rooms_that_nobody_expects_any_more_are_dropped() -> None:
    rooms, small, large = Rooms(), Owner(), Owner()
    rooms.expect(100, small)
    rooms.expect(5000, large)
    rooms.give_back(rooms.take(5000))
    del large
    gc.collect()
    assert rooms.bytes_free == 0
    rooms.give_back(rooms.take(100))
    assert rooms.bytes_free == 164


def test_programs_of_several_shapes_need_the_memory_of_the_largest(everything_is_lent: Rooms) -> None:
    step = tw.compile(lambda x: (x.exp() @ x.T).tanh().sum())
    sizes = []
    for rows in (8, 64, 16, 64, 8):
        step(tw.ones(rows, 32))
        sizes.append(everything_is_lent.bytes_free)
    assert sizes[1:] == [sizes[1]] * 4
    assert sizes[0] < sizes[1]


def test_steps_whose_rooms_change_between_calls_give_the_same_bits(everything_is_lent: Rooms) -> None:
    step = tw.compile(lambda x: (x.exp() @ x.T).tanh().sum(0))
    data = {rows: tw.tensor(np.random.default_rng(rows).random((rows, 32), np.float32)) for rows in (8, 64)}
    expected = {rows: step(x).numpy().copy() for rows, x in data.items()}
    held = []
    for rows in (8, 64, 8, 8, 64):
        held.append(everything_is_lent.take(10_000))  # what was free is somebody else's now, who writes to it
        held[-1][...] = 255
        assert np.array_equal(step(data[rows]).numpy(), expected[rows])


def test_threads_do_not_share_a_room_while_they_run(everything_is_lent: Rooms) -> None:
    steps = [tw.compile(lambda x, factor=factor: (x.exp() @ x.T * factor).tanh().sum(0)) for factor in (1.0, 2.0, 3.0)]
    x = tw.tensor(np.random.default_rng(0).random((96, 64), np.float32) / 64)
    expected = [step(x).numpy().copy() for step in steps]
    wrong: list[int] = []

    def run(number: int) -> None:
        for _ in range(50):
            if not np.array_equal(steps[number](x).numpy(), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(steps))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_the_rooms_of_all_programs_are_the_same_ones() -> None:
    assert native.rooms is lending.rooms
