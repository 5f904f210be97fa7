"""The flags of `thalweg train`, made out of the fields of `Settings`, and the help that goes with them.

In: an argparse parser; what was typed.
Out: `Settings`. A flag, a TOML key and a line of config.json are one field.
"""

from __future__ import annotations

import argparse
from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.recipes.defaults import shown_default
from thalweg.recipes.kinds import Kind, Switch
from thalweg.recipes.recognition import RECOGNISED, recognised
from thalweg.recipes.settings import (
    FOLDERS,
    GROUPS,
    NAMED,
    RECIPES,
    SEQUENCE_FILES,
    TABLE,
    Settings,
    all_fields,
    flag_of,
    settings_from,
)
from thalweg.recipes.settings_file import read_settings_file

FIND_RATE = "--find-learning-rate"
WHAT = f"{', '.join(NAMED)}; or a path: {RECOGNISED}"
TRAIN_EXAMPLES = """\
examples:
  thalweg train digits
  thalweg train digits --layers 64 --epochs 10 --run runs/small
  thalweg train mnist --data data/mnist              # a small convolutional network
  thalweg train mnist --data data/mnist --layers 128 # a perceptron
  thalweg train photographs/                         # photographs/cat/1.jpg, photographs/dog/2.jpg, ...
  thalweg train cells/                               # cells/images/1.png, cells/masks/1.png, ...
  thalweg train VOC2007.zip                          # JPEGImages and Annotations: boxes
  thalweg train houses.csv.gz --target median_house_value
  thalweg train adult.data.gz --no-header --target 14 --test adult.test.gz
  thalweg train shakespeare --data data              # a small transformer; --network lstm
  thalweg train book.txt --tokens words --context 32 # a language model
  thalweg train reviews.csv --text review --target stars
  thalweg train rt_polarity --data data --cross-validate
  thalweg train german.txt --translation english.txt
  thalweg train spoken_digits --data data
  thalweg train recordings/                          # recordings/yes/1.wav, ... or yes_1.wav, no_1.wav, ...
  thalweg train truck                                # backs up to a dock, by a simulator that can be differentiated
  thalweg train digits --config my.toml --seed 1     # flags win over the file
  thalweg train --config runs/digits-001/config.json # the same run again
  thalweg train --resume runs/cifar10-001            # go on with a run that was interrupted
  thalweg train digits --find-learning-rate          # suggest a learning rate instead of training

A file of settings holds the same names as the flags, for example:
  layers = [256, 128]
  dropout = 0.3
  lr = 0.003

A run folder holds config.json (all that repeats the run), metrics.jsonl (the numbers of every step and epoch),
log.jsonl (what happened, event by event), model.safetensors (the weights of the best epoch), results.json,
record.npz (what was watched of the layers), pictures, and report.html, a page about all of it."""


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """All flags of `thalweg train`, by group, each with its default in the help."""
    parser.add_argument("what", nargs="?", metavar="WHAT", help=WHAT)
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings, or the config.json of a run")
    parser.add_argument(
        FIND_RATE, nargs="?", const="", metavar="FILE.svg",
        help="do not train: raise the learning rate until the loss diverges, and suggest one; FILE.svg for the curve",
    )  # fmt: skip
    groups = {name: parser.add_argument_group(name, about) for name, about in GROUPS.items()}
    for field in all_fields():
        kind: Kind = field.metadata["kind"]
        options: dict[str, Any] = {"metavar": kind.metavar}
        if isinstance(kind, Switch):
            options = {"action": argparse.BooleanOptionalAction if kind.both_ways else "store_true"}
        text = field.metadata["help"] + _default_text(field.name, field.default, field.metadata["shown"], kind)
        groups[field.metadata["group"]].add_argument(flag_of(field.name), default=None, help=text, **options)


def settled(arguments: argparse.Namespace) -> argparse.Namespace:
    """With WHAT where it belongs: behind --find-learning-rate, argparse takes the word for the flag's FILE.svg."""
    value = arguments.find_learning_rate
    if value and arguments.what is None and not value.endswith(".svg"):
        arguments.what, arguments.find_learning_rate = value, ""
    return arguments


def _default_text(name: str, default: Any, shown: str | None, kind: Kind) -> str:
    names = getattr(kind, "names", None)
    choices = f": {', '.join(names)}" if names else ""
    shown = shown or shown_default(name)
    if shown is None and kind.is_switch:
        return choices
    text = shown if shown is not None else f"{default:g}" if isinstance(default, int | float) else default
    return f"{choices} (default: {text})" if text is not None else choices


def resume_options(arguments: argparse.Namespace) -> Settings:
    """What may stand beside --resume: how much is told and drawn. ConfigurationError for anything else."""
    allowed = {"resume", "quiet", "no_pictures"}
    given = [field.name for field in all_fields() if getattr(arguments, field.name) is not None]
    others = [flag_of(name) for name in given if name not in allowed]
    others += [name for name in (arguments.what, arguments.config and "--config") if name]
    others += [FIND_RATE] * (arguments.find_learning_rate is not None)
    if others:
        raise ConfigurationError(
            explain(
                "a run goes on with its own settings",
                received=", ".join(others),
                expected="--resume RUN alone, or with --quiet, --no-pictures",
                remedy=f"thalweg train --resume {arguments.resume}",
            )
        )
    return Settings(recipe=TABLE, quiet=bool(arguments.quiet), no_pictures=bool(arguments.no_pictures))


def settings_of_flags(arguments: argparse.Namespace) -> Settings:
    """The settings that were typed: flags over the file over the defaults.

    Raises ConfigurationError if nothing says what to train on.
    """
    path = arguments.config
    file = read_settings_file(path) if path is not None else {}
    flags = {field.name: value for field in all_fields() if (value := getattr(arguments, field.name)) is not None}
    recipe = file.pop("recipe", None)
    if recipe is not None and recipe not in RECIPES:
        raise ConfigurationError(
            explain("unknown recipe", received=repr(recipe), expected=", ".join(RECIPES), where=f"{path}, key 'recipe'")
        )
    if arguments.what in NAMED:
        recipe = arguments.what
    elif arguments.what is not None:
        recipe, flags["data"] = recognised(arguments.what, {**file, **flags}), arguments.what
    elif recipe is None and "data" in (given := {**file, **flags}):
        recipe = recognised(str(given["data"]), given)
    if recipe is None or (recipe in (*FOLDERS, *SEQUENCE_FILES, TABLE) and "data" not in {**file, **flags}):
        raise ConfigurationError(
            explain(
                "what shall be trained on?",
                received="nothing",
                expected=WHAT,
                remedy="thalweg train digits",
            )
        )
    return settings_from(recipe, flags, file, path or "")
