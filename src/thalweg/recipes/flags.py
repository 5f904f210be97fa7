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
from thalweg.recipes.settings import (
    GROUPS,
    IMAGES,
    RECIPES,
    TABLE,
    Settings,
    all_fields,
    flag_of,
    settings_from,
)
from thalweg.recipes.settings_file import read_settings_file

TRAIN_EXAMPLES = """\
examples:
  thalweg train digits
  thalweg train digits --layers 64 --epochs 10 --run runs/small
  thalweg train mnist --data data/mnist
  thalweg train houses.csv.gz --target median_house_value
  thalweg train adult.data.gz --no-header --target 14 --test adult.test.gz
  thalweg train digits --config my.toml --seed 1     # flags win over the file
  thalweg train --config runs/digits-001/config.json # the same run again

A file of settings holds the same names as the flags, for example:
  layers = [256, 128]
  dropout = 0.3
  lr = 0.003

A run folder holds config.json (all that repeats the run), metrics.jsonl (the numbers of every step and epoch),
model.safetensors (the weights of the best epoch), results.json and pictures."""


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """All flags of `thalweg train`, by group, each with its default in the help."""
    parser.add_argument("what", nargs="?", metavar="WHAT", help=f"{', '.join(IMAGES)}, or the path of a CSV file")
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings, or the config.json of a run")
    groups = {name: parser.add_argument_group(name, about) for name, about in GROUPS.items()}
    for field in all_fields():
        kind: Kind = field.metadata["kind"]
        options: dict[str, Any] = {"metavar": kind.metavar}
        if isinstance(kind, Switch):
            options = {"action": argparse.BooleanOptionalAction if kind.both_ways else "store_true"}
        text = field.metadata["help"] + _default_text(field.name, field.default, field.metadata["shown"], kind)
        groups[field.metadata["group"]].add_argument(flag_of(field.name), default=None, help=text, **options)


def _default_text(name: str, default: Any, shown: str | None, kind: Kind) -> str:
    names = getattr(kind, "names", None)
    choices = f": {', '.join(names)}" if names else ""
    shown = shown or shown_default(name)
    if shown is None and kind.is_switch:
        return choices
    text = shown if shown is not None else f"{default:g}" if isinstance(default, int | float) else default
    return f"{choices} (default: {text})" if text is not None else choices


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
    if arguments.what in IMAGES:
        recipe = arguments.what
    elif arguments.what is not None:
        recipe, flags["data"] = TABLE, arguments.what
    elif recipe is None and "data" in {**file, **flags}:
        recipe = TABLE
    if recipe is None or (recipe == TABLE and "data" not in {**file, **flags}):
        raise ConfigurationError(
            explain(
                "what shall be trained on?",
                received="nothing",
                expected=f"{', '.join(IMAGES)}, or the path of a CSV file",
                remedy="thalweg train digits",
            )
        )
    return settings_from(recipe, flags, file, path or "")
