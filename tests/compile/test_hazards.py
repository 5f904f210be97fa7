"""Which rows wait for which: reads after writes, writes after reads, and nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thalweg.compile.hazards import Access, needs

ACCESSES = st.builds(
    lambda memory, start, size, writes: Access(memory, start, start + size, writes),
    st.integers(-1, 2), st.integers(0, 6), st.integers(1, 4), st.booleans(),
)  # fmt: skip


def conflict(a: Access, b: Access) -> bool:
    return a.memory == b.memory and a.start < b.end and b.start < a.end and (a.writes or b.writes)


def last_conflict(rows: list[list[Access]], row: int, end: int) -> int:
    """How many of the rows before `end` must be done before a row."""
    conflicts = [before for before in range(end) if any(conflict(a, b) for a in rows[before] for b in rows[row])]
    return max(conflicts, default=-1) + 1


@given(st.lists(st.lists(ACCESSES, max_size=4), max_size=12))
def test_a_row_waits_for_the_last_row_that_it_conflicts_with(rows: list[list[Access]]) -> None:
    for row, found in enumerate(needs(rows, [0] * len(rows))):
        assert found == last_conflict(rows, row, row)


@given(st.lists(st.lists(ACCESSES, max_size=4), min_size=1, max_size=12), st.data())
def test_a_chain_waits_for_what_any_of_its_rows_needs_of_those_before_it(
    rows: list[list[Access]], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(rows) - 1))
    behind = data.draw(st.integers(0, len(rows) - 1 - first))
    links = [behind if row == first else 0 for row in range(len(rows))]
    found = needs(rows, links)
    assert found[first] == max(last_conflict(rows, row, first) for row in range(first, first + behind + 1))
    for row in (*range(first), *range(first + behind + 1, len(rows))):
        assert found[row] == last_conflict(rows, row, row)


def test_readers_run_side_by_side() -> None:
    shared = Access(0, 0, 64, writes=False)
    assert needs([[shared], [shared], [shared]], [0, 0, 0]) == [0, 0, 0]


def test_no_rows() -> None:
    assert needs([], []) == []
    assert np.array(needs([[]], [0])).tolist() == [0]
