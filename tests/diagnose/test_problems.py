"""The closed sets of problems and remedies: complete, consistent, and written for a person."""

from __future__ import annotations

import re

import pytest

from thalweg.diagnose import PROBLEMS, REMEDIES

SCHEMA = {
    "vanishing_gradient", "exploding_gradient", "dying_relu", "saturated_activation", "oscillating_loss",
    "slow_convergence", "learning_rate_too_high", "learning_rate_too_low", "wrong_output_activation", "wrong_loss",
    "unscaled_input", "bad_initialization", "non_finite", "overfitting", "over_regularized", "class_imbalance",
}  # fmt: skip


def test_every_problem_of_the_benchmark_schema_has_a_record():
    assert not SCHEMA - PROBLEMS.keys()


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))
def test_a_problem_says_in_one_sentence_what_it_means_and_what_to_do(problem):
    assert PROBLEMS[problem.name] is problem
    assert re.fullmatch(r"[A-Z][^.]{20,130}\.", problem.meaning)
    assert problem.causes
    assert len(set(problem.remedies)) == len(problem.remedies) > 0


@pytest.mark.parametrize("remedy", REMEDIES.values(), ids=list(REMEDIES))
def test_a_remedy_is_a_sentence_and_belongs_to_some_problem(remedy):
    assert remedy.text.endswith(".")
    assert any(remedy in problem.remedies for problem in PROBLEMS.values())
