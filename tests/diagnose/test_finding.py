"""A finding as a line, as text, as HTML and as JSON: nothing is lost, nothing is injected."""

from __future__ import annotations

import json
import math

import pytest

from thalweg.diagnose import PROBLEMS, REMEDIES, Evidence, Finding
from thalweg.errors import ArgumentError

VANISHED = Finding("vanishing_gradient", "body.0", "net.py:12", epoch=2, evidence=(Evidence("slope", -2.5, -1.0),))
WHOLE = Finding(
    "unscaled_input", "", None, step=4, evidence=(Evidence("largest input", math.inf), Evidence("spread", 73.6, 10.0)),
    explanation="Pixels run from 0 to 255.", remedies=(REMEDIES["scale_inputs"],), certainty=0.8,
    consequences=(VANISHED,),
)  # fmt: skip


@pytest.mark.parametrize("finding", [VANISHED, WHOLE, Finding("overfitting")])
def test_json_and_back_gives_the_same_finding(finding):
    assert Finding.from_json(json.loads(json.dumps(finding.to_json(), allow_nan=False))) == finding


def test_what_is_not_given_comes_from_the_problem():
    assert VANISHED.explanation == PROBLEMS["vanishing_gradient"].meaning
    assert VANISHED.remedies == PROBLEMS["vanishing_gradient"].remedies


def test_the_line_names_problem_layer_source_line_time_and_numbers():
    expected = "vanishing gradient in body.0 (net.py:12), epoch 3: slope: -2.5 (threshold -1)"
    assert str(VANISHED) == expected


def test_the_text_says_everything():
    text = WHOLE.text()
    for part in ("step 4", "Pixels run", "largest input: inf", "tw.data.Standardise", "80%", str(VANISHED)):
        assert part in text


def test_html_has_the_parts_and_escapes_what_users_write():
    shown = Finding("non_finite", "<script>", evidence=(Evidence("a < b", math.nan),))._repr_html_()
    assert "<script>" not in shown
    for part in ("&lt;script&gt;", "a &lt; b", "nan"):
        assert part in shown


def test_unknown_problems_and_impossible_certainties_are_refused():
    with pytest.raises(ArgumentError, match="vanishing_gradient"):
        Finding("vanished")
    with pytest.raises(ArgumentError, match="certainty"):
        Finding("overfitting", certainty=1.5)
