"""Files that hold settings: TOML, or the config.json of an earlier run.

In: a path.
Out: settings by name, not yet checked; a key that is no setting is refused with the closest names.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Any

from thalweg.data.files import read_at_most, reading
from thalweg.errors import ConfigurationError, FileFormatError, explain
from thalweg.recipes.settings import OTHER_NAMES, all_fields

LARGEST_CONFIG, LARGEST_TOML = 1 << 20, 1 << 18
MOST_DOTS = 100
"""In a line of TOML: the time to read a key of n parts grows with n^2; 32,000 of them take a quarter of a minute."""


def read_settings_file(path: str) -> dict[str, Any]:
    """The settings of a TOML file, or of the config.json of a run, by name; hyphens become underscores.

    `recipe` and `data` may be among them. Raises FileFormatError for a file that cannot be read, ConfigurationError for
    a key that is no setting, with the closest names.
    """
    with reading(path, "the file of settings") as stream:
        most = LARGEST_CONFIG if Path(path).suffix == ".json" else LARGEST_TOML
        content = read_at_most(stream, most, path, "the file of settings")
    return _known_keys(_parsed(content, path), path)


def _parsed(content: bytes, path: str) -> dict[str, Any]:
    is_json = Path(path).suffix == ".json"
    try:
        text = content.decode("utf-8")
        values = json.loads(text) if is_json else tomllib.loads(_without_long_keys(text))
    except (ValueError, RecursionError) as error:
        remedy = 'a line reads name = value; texts are quoted: activation = "relu", layers = [128, 64]'
        name = "JSON" if is_json else "TOML"
        raise FileFormatError(
            explain(f"this is no {name}", received=error, where=path, remedy=None if is_json else remedy)
        ) from None
    if is_json and isinstance(values, dict) and isinstance(values.get("settings"), dict):
        values = {name: value for name, value in values["settings"].items() if value not in (None, [])}
    if not isinstance(values, dict):
        raise FileFormatError(explain("no settings in this file", received=type(values).__name__, where=path))
    return values


def _without_long_keys(text: str) -> str:
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MOST_DOTS:
            raise ValueError(f"line {number} has {line.count('.'):,} dots")
    return text


def _known_keys(values: dict[str, Any], path: str) -> dict[str, Any]:
    names = ["recipe", *(field.name for field in all_fields())]
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in names:
            raise _unknown_key(key, names, path)
        if name in found:
            raise ConfigurationError(explain("a key is there twice", received=repr(key), where=path))
        found[name] = value
    return found


def _unknown_key(key: str, names: list[str], path: str) -> ConfigurationError:
    spelled = difflib.get_close_matches(key.replace("-", "_").lower(), [*names, *OTHER_NAMES], n=2, cutoff=0.6)
    close = list(dict.fromkeys(OTHER_NAMES.get(name, name) for name in spelled))
    return ConfigurationError(
        explain(
            "a key that is no setting",
            received=repr(key),
            expected=", ".join(names),
            where=path,
            remedy=f"did you mean {' or '.join(map(repr, close))}?" if close else "take it out",
        )
    )
