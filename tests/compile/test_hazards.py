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


@given(st.lists(st.lists(ACCESSES, max_size=4), max_size=12))
def test_a_row_waits_for_the_last_row_that_it_conflicts_with(rows: list[list[Access]]) -> None:
    for row, found in enumerate(needs(rows)):
        conflicts = [before for before in range(row) if any(conflict(a, b) for a in rows[before] for b in rows[row])]
        assert found == max(conflicts, default=-1) + 1


def test_readers_run_side_by_side() -> None:
    shared = Access(0, 0, 64, writes=False)
    assert needs([[shared], [shared], [shared]]) == [0, 0, 0]


def test_no_rows() -> None:
    assert needs([]) == []
    assert np.array(needs([[]])).tolist() == [0]
