"""Tables: columns by name or number, rows by number, the target apart.

In: small tables. Out: selections that share their arrays, errors that suggest the right name.
"""

import numpy as np
import pytest

from thalweg.data import Table
from thalweg.errors import DataError


@pytest.fixture
def table():
    columns = {"age": [1.0, np.nan, 3.0], "Job": ["a", "b", None], "14": [0, 1, 2]}
    return Table(columns, source="people.csv", lines=np.array([2, 3, 5]))


def test_kinds_rows_and_missing_values(table):
    assert table.kinds == {"age": "numeric", "Job": "categorical", "14": "numeric"}
    assert (table.rows, len(table), table.shape) == (3, 3, (3, 3))
    assert table.missing() == {"age": 1, "Job": 1, "14": 0}
    assert table.missing_rows().tolist() == [False, True, True]
    assert table.drop_missing(["age"])["14"].tolist() == [0, 2]


def test_columns_by_name_by_number_and_by_number_as_text(table):
    assert table.column("14") == "14", "a name comes before a number"
    assert [table.column(reference) for reference in (0, -1, "1")] == ["age", "14", "Job"]
    assert table.select(["14", 0]).names == ("14", "age")
    assert table.drop("age").names == ("Job", "14")


def test_selections_share_their_arrays(table):
    assert np.shares_memory(table.select(["age"])["age"], table["age"])


def test_rows_keep_their_lines(table):
    taken = table.take([2, 0])
    assert taken.place(0) == "people.csv, line 5"
    assert taken["14"].tolist() == [2, 0]
    assert Table({"x": [1]}).place(0) == "the table, row 0"


def test_the_target_is_taken_apart(table):
    features, target = table.target("Job")
    assert features.names == ("age", "14")
    assert target.tolist() == ["a", "b", None]


@pytest.mark.parametrize(
    ("reference", "fragment"), [("job", "did you mean 'Job'"), ("agee", "did you mean 'age'"), (3, "0 to 2")]
)
def test_a_column_that_is_not_there_brings_suggestions(table, reference, fragment):
    with pytest.raises(DataError, match=fragment):
        table[reference]


def test_the_only_column_cannot_be_the_target():
    with pytest.raises(DataError, match="the only column"):
        Table({"x": [1]}).target("x")


def test_the_representation_lists_the_columns(table):
    assert repr(table) == "Table(3 rows; age: numeric, Job: categorical, 14: numeric)"
