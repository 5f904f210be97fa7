"""Tables as HTML: escaped, aligned, grouped, without empty columns; what modules show of themselves is made of them.

In: rows. Out: well-formed HTML.
"""

from __future__ import annotations

from tests.support.html_page import checked
from thalweg import nn
from thalweg.tensor.markup import html_table


def test_cells_are_escaped_and_empty_columns_left_out():
    markup = html_table(("a", "", "<c>"), [("<b>", "", 1), ("x", "", 2)], numbers=[2])
    found = checked(markup, is_whole=False)
    assert found.words == ["a", "<c>", "<b>", "1", "x", "2"]
    assert "<b>" not in markup
    assert markup.count('class="number"') == 3


def test_groups_stand_above_their_rows():
    found = checked(html_table(("n",), [("1",), ("2",), ("3",)], groups=["a", "a", "b"]), is_whole=False)
    assert found.words == ["n", "a", "1", "2", "b", "3"]


def test_a_table_without_rows_has_its_names():
    assert checked(html_table(("a", "b"), []), is_whole=False).words == ["a", "b"]


def test_a_module_shows_its_layers_with_shapes_and_counts_and_shared_parameters_once():
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(3, 2, bias=False))
    words = checked(model._repr_html_(), is_whole=False).words
    assert "weight 3 x 3, bias 3" in words
    assert words.count("12") == 1
    assert "total parameters 18, trainable parameters 18, bytes 72" in words


def test_a_summary_shows_what_flows_between_layers():
    summary = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).summary((5, 3))
    words = checked(summary._repr_html_(), is_whole=False).words
    assert words.count("(5, 4)") == 3
    assert "(5, 4)" in str(summary)
