"""`thalweg generate RUN`: a language model goes on with a text.

In: the folder of a run, a prompt, and how the next token is drawn. Out: the prompt and what comes behind it, the same
for the same seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import read_text
from thalweg.errors import ArgumentError, ConfigurationError, explain
from thalweg.models import TextGenerator
from thalweg.recipes.kinds import Kind, Number, Whole
from thalweg.recipes.predictor import load_predictor
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import flag_of
from thalweg.recipes.text_reader import LanguageReader

EXAMPLES = """\
examples:
  thalweg generate runs/shakespeare-001 --prompt "ROMEO:"
  thalweg generate runs/shakespeare-001 --prompt "ROMEO:" --temperature 0.8 --top-k 20 --length 1000 --seed 3
  thalweg generate runs/shakespeare-001 --temperature 0        the likeliest token every time
  thalweg generate runs/shakespeare-001 --prompt-file beginning.txt

The same seed gives the same text. Behind its context a transformer looks at the last tokens alone."""
FLAGS: dict[str, tuple[Kind, Any, str]] = {
    "length": (Whole(1, 1 << 20), 500, "tokens to write (default: 500)"),
    "temperature": (Number(0, 100), 1.0, "below 1 likely tokens become likelier; 0 takes the likeliest (default: 1)"),
    "top_k": (Whole(1, 1 << 20), None, "draw from the so many likeliest tokens (default: all)"),
    "top_p": (
        Number(0, 1, least_allowed=False), None,
        "draw from the likeliest tokens whose probabilities come to this share (default: all)",
    ),
    "seed": (Whole(0, 2**63 - 1), 0, "decides what is drawn (default: 0)"),
}  # fmt: skip


def add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, the prompt, and how the next token is drawn."""
    parser.add_argument("run", metavar="RUN", help="the run folder of a language model")
    parser.add_argument("--prompt", metavar="TEXT", help="what the text begins with (default: a line break)")
    parser.add_argument("--prompt-file", metavar="FILE", help="a file that holds the prompt")
    for name, (kind, _, about) in FLAGS.items():
        parser.add_argument(flag_of(name), metavar=kind.metavar, help=about)


def generate(arguments: argparse.Namespace, say: Callable[[str], Any] = print) -> None:
    """Write a text. Raises ThalwegError for a run that is no language model, and for a prompt it cannot read."""
    options = {name: _parsed(name, getattr(arguments, name)) for name in FLAGS}
    predictor = load_predictor(RunFolder(arguments.run))
    reader = predictor.reader
    if not isinstance(reader, LanguageReader):
        raise ConfigurationError(
            explain("this run is no language model", received=f"{arguments.run}, a {predictor.outputs.task}",
                    expected="a run of thalweg train shakespeare, or of a text file",
                    remedy=f"thalweg predict {arguments.run} ...")
        )  # fmt: skip
    tokens = reader.encode(_prompt(arguments))
    write = TextGenerator(
        predictor.model, options["temperature"], options["top_k"], options["top_p"], seed=options["seed"]
    )  # fmt: skip
    say(reader.tokenizer.decode(write(np.atleast_1d(tokens), options["length"])))


def _prompt(arguments: argparse.Namespace) -> str:
    if arguments.prompt is not None and arguments.prompt_file is not None:
        raise ConfigurationError(
            explain("two prompts", received="--prompt and --prompt-file", expected="one of them", where="generate")
        )
    if arguments.prompt_file is not None:
        return read_text(Path(arguments.prompt_file))
    text = "\n" if arguments.prompt is None else str(arguments.prompt)
    if not text:
        raise ArgumentError(
            explain("an empty prompt", received="''", expected="at least one token", where="--prompt",
                    remedy="leave --prompt out to begin with a line break")
        )  # fmt: skip
    return text


def _parsed(name: str, given: str | None) -> Any:
    kind, default, _ = FLAGS[name]
    if given is None:
        return default
    try:
        return kind.parse(given)
    except (ValueError, TypeError, OverflowError):
        raise ConfigurationError(
            explain(
                f"not a possible value of {name.replace('_', ' ')}",
                received=repr(given),
                expected=kind.expected,
                where=flag_of(name),
                remedy=kind.remedy(given),
            )
        ) from None
