"""How `thalweg predict` and `thalweg evaluate` search for translations: the flags, and the predictor that obeys them.

In: what was typed, a predictor. Out: the predictor, which keeps so many beginnings of a sentence; an error where the
run is no translator.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.recipes.kinds import Kind, Number, Whole
from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import TRANSLATION
from thalweg.recipes.settings import flag_of

FLAGS: dict[str, tuple[Kind, str]] = {
    "beam": (Whole(1, 1024), "translations: how many beginnings of a sentence are kept (default: 1, the likeliest "
                             "word every time)"),
    "length_penalty": (Number(0, 100), "translations: above 0 longer sentences do better, 0.6 to 1 is usual "
                                       "(Wu et al. 2016; default: 0)"),
}  # fmt: skip
Search = dict[str, Any]
"""The fields of a predictor that were asked for."""


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """--beam and --length-penalty."""
    for name, (kind, about) in FLAGS.items():
        parser.add_argument(flag_of(name), metavar=kind.metavar, help=about)


def search_of(arguments: argparse.Namespace) -> Search:
    """What was typed. Raises ConfigurationError for what is no number, or out of range."""
    given = {name: getattr(arguments, name) for name in FLAGS}
    return {name: _parsed(name, text) for name, text in given.items() if text is not None}


def searching(predictor: Predictor, search: Search, run: str) -> Predictor:
    """The predictor with this search. Raises ConfigurationError where a search was asked for and nothing is written."""
    if search and predictor.outputs.task != TRANSLATION:
        raise ConfigurationError(
            explain("this run translates nothing", received=f"{', '.join(map(flag_of, search))} for {run}, a "
                    f"{predictor.outputs.task}", expected="a run of thalweg train multi30k, or of a pair of files",
                    remedy="leave it out")
        )  # fmt: skip
    return replace(predictor, **search)


def _parsed(name: str, given: str) -> Any:
    kind, _ = FLAGS[name]
    try:
        return kind.parse(given)
    except (ValueError, TypeError, OverflowError):
        raise ConfigurationError(
            explain(
                f"not a possible value of {name.replace('_', ' ')}", received=repr(given), expected=kind.expected,
                where=flag_of(name), remedy=kind.remedy(given),
            )
        ) from None  # fmt: skip
