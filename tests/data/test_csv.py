"""CSV files: what people write, and what they get.

In: small files in every dialect, tables from hypothesis. Out: typed columns; the same table after a round trip.
"""

import gzip
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import Table, read_csv, write_csv
from thalweg.data.columns import MISSING_VALUES, parse_numbers
from thalweg.data.csv_rows import CSVFormat, sniff_delimiter
from thalweg.errors import ArgumentError, DataError


@pytest.fixture
def file(tmp_path):
    def write(content, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def columns_of(table):
    return {name: table[name].tolist() for name in table}


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n2,y\n",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        "a|b\n1|x\n2|y\n",
        "a, b\n1, x\n2, y\n",
        "a,b\r\n1,x\r\n2,y\r\n",
        "a,b\n1,x\n2,y",
        "\ufeffa,b\n1,x\n2,y\n",
        '"a","b"\n"1","x"\n"2","y"\n',
        "a,b\n\n1,x\n  \n2,y\n\n",
        "|a comment, with commas\na,b\n|another 'one\"\n1,x\n2,y\n",
        "a , b\n1 ,x\n 2,y  \n",
    ],
)
def test_dialects_give_one_table(file, text):
    assert columns_of(read_csv(file(text))) == {"a": [1.0, 2.0], "b": ["x", "y"]}


def test_gzip_is_recognised_by_its_content(file):
    assert read_csv(file(gzip.compress(b"a,b\n1,x\n"), "table.csv")).rows == 1


def test_quoted_cells_hold_delimiters_quotes_line_breaks_and_bars(file):
    table = read_csv(file('a,b\n"1, 2","say ""hi"""\n"two\nlines","|no comment"\n'))
    assert columns_of(table) == {"a": ["1, 2", "two\nlines"], "b": ['say "hi"', "|no comment"]}
    assert table.lines.tolist() == [2, 4]


def test_a_semicolon_wins_where_cells_hold_decimal_commas(file):
    path = file("1,5;2,5\n3,5;4,5\n")
    assert sniff_delimiter(path, CSVFormat()) == ";"
    table = read_csv(path, header=False, decimal=",")
    assert columns_of(table) == {"column_0": [1.5, 3.5], "column_1": [2.5, 4.5]}


def test_commas_within_quotes_do_not_mislead_the_sniffer(file):
    assert read_csv(file('a;b\n"x, y, z";1\n"x, y";2\n')).names == ("a", "b")


def test_a_single_column_needs_no_delimiter(file):
    assert columns_of(read_csv(file("a\n1\n2\n"))) == {"a": [1.0, 2.0]}


@pytest.mark.parametrize("missing", sorted(MISSING_VALUES))
def test_missing_values_are_nan_in_numbers_and_none_in_text(file, missing):
    table = read_csv(file(f"a,b\n1,x\n{missing},{missing}\n"))
    assert table.kinds == {"a": "numeric", "b": "categorical"}
    assert np.isnan(table["a"][1])
    assert table["b"][1] is None
    assert table.missing() == {"a": 1, "b": 1}


def test_missing_values_can_be_chosen(file):
    path = file("a\n1\n-999\nnone\n")
    assert read_csv(path, missing={"none", "-999"})["a"].tolist()[0] == 1.0
    assert read_csv(path).kinds == {"a": "categorical"}


def test_a_header_can_be_absent_and_names_given(file):
    path = file("1,x\n2,y\n")
    assert read_csv(path, header=False).names == ("column_0", "column_1")
    assert read_csv(path, header=False, names=["n", "s"]).names == ("n", "s")
    assert read_csv(path, names=["n", "s"]).rows == 1


def test_an_unnamed_column_gets_its_number(file):
    assert read_csv(file(",b\n1,2\n")).names == ("column_0", "b")


def test_kinds_can_be_fixed(file):
    assert read_csv(file("zip\n01234\n"), kinds={"zip": "categorical"})["zip"].tolist() == ["01234"]


@pytest.mark.parametrize(
    ("cell", "is_number"), [("1e3", True), ("-.5", True), ("+7", True), ("1_000", False), ("0x10", False)]
)
def test_what_a_number_is(cell, is_number):
    assert (parse_numbers([cell]) is not None) is is_number


def test_a_nearly_numeric_column_is_noted(file):
    table = read_csv(file("a\n" + "".join(f"{i}\n" for i in range(30)) + "unknown\n"))
    assert table.kinds == {"a": "categorical"}
    assert "column 'a' is read as categorical because of 'unknown' (line 32)" in table.notes[0]


def test_data_taken_for_a_header_is_noted(file):
    table = read_csv(file("1,x\n2,x\n1,y\n"))
    assert "looks like data" in table.notes[0]
    assert read_csv(file("0,1\n7,8\n", "numbered.csv")).notes == ()


def test_latin_1_is_read_when_it_is_named(file):
    assert read_csv(file("a\nMünchen\n".encode("latin-1")), encoding="latin-1")["a"][0] == "München"


def test_quotes_can_be_ordinary_characters(file):
    assert read_csv(file('a,b\n5" pipe,1\n"odd,2\n'), quotechar=None)["a"].tolist() == ['5" pipe', '"odd']


@pytest.mark.parametrize(
    "arguments", [{"delimiter": "ab"}, {"delimiter": "\n"}, {"encoding": "utf-16"}, {"encoding": "klingon"}]
)
def test_impossible_formats_are_refused(file, arguments):
    with pytest.raises(ArgumentError):
        read_csv(file("a\n1\n"), **arguments)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(str.strip)
texts = texts.filter(lambda text: text and text not in MISSING_VALUES)
cells = {"numeric": st.none() | st.floats(allow_nan=False, allow_infinity=False), "categorical": st.none() | texts}


@st.composite
def tables(draw):
    names = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(1, 8))
    kinds = {name: draw(st.sampled_from(sorted(cells))) for name in names}
    return kinds, {name: draw(st.lists(cells[kind], min_size=rows, max_size=rows)) for name, kind in kinds.items()}


@given(tables())
def test_a_table_survives_a_round_trip(tmp_path_factory, drawn):
    kinds, values = drawn
    arrays = {
        name: np.array(column, dtype=np.float64 if kinds[name] == "numeric" else object)
        for name, column in values.items()
    }
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    write_csv(path, Table(arrays))
    table = read_csv(path, kinds=kinds, delimiter=",")
    assert table.kinds == kinds
    for name, column in arrays.items():
        np.testing.assert_array_equal(table[name], column)


@given(
    st.binary(min_size=1, max_size=80) | st.text(' ,;\t|"\n\ra1.?é', min_size=1, max_size=40).map(str.encode),
    st.booleans(),
)
def test_junk_never_ends_in_another_error(tmp_path_factory, junk, header):
    path = tmp_path_factory.mktemp("junk") / "a.csv"
    path.write_bytes(junk)
    try:
        told = f"{path}: {read_csv(path, header=header).rows} rows"
    except DataError as error:
        told = str(error)
    assert str(path) in told


def test_a_large_file_is_read_fast(file):
    row = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, White, Male, 2174, 0, 40, <=50K\n"
    path = file(row * 20_000)
    started = time.perf_counter()
    assert read_csv(path, header=False).shape == (20_000, 13)
    assert time.perf_counter() - started < 5.0
