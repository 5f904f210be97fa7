"""Settings: one definition of flags, TOML keys and config.json.

In: values as they are typed, in files. Out: checked settings, or a message that names the place.
"""

import argparse
import json

import numpy as np
import pytest

from thalweg.errors import ConfigurationError, FileFormatError
from thalweg.recipes.defaults import DEFAULTS, batch_size_for, epochs_for
from thalweg.recipes.flags import add_train_arguments, settings_of_flags
from thalweg.recipes.kinds import Character, Choice, Names, Number, Size, Switch, Text, Whole, Widths
from thalweg.recipes.network import NetworkShape, build, learning_rate, make_optimizer, make_penalties
from thalweg.recipes.settings import (
    ACTIVATIONS,
    NONFINITE,
    OPTIMIZERS,
    OTHER_NAMES,
    RECIPES,
    SCHEDULES,
    Settings,
    all_fields,
    settings_from,
)
from thalweg.recipes.settings_file import read_settings_file
from thalweg.train.callbacks.nonfinite import POLICIES


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Widths(), "128,64", (128, 64)),
        (Widths(), [128, 64], (128, 64)),
        (Widths(), "32", (32,)),
        (Widths(), 32, (32,)),
        (Widths(), "none", ()),
        (Number(), "1e-3", 0.001),
        (Whole(), "1e3", 1000),
        (Whole(), 7, 7),
        (Choice(("one-cycle",)), "One_Cycle", "one-cycle"),
        (Text(), 14, "14"),
        (Character(), "tab", "\t"),
        (Size(), "120x160", (120, 160)),
        (Size(), "64", (64, 64)),
        (Size(), [24, 32], (24, 32)),
        (Names(), "a, b", ("a", "b")),
        (Names(), [0, "b"], ("0", "b")),
        (Switch(), True, True),
    ],
)
def test_values_are_read_as_they_are_written(kind, written, value):
    assert kind.parse(written) == value
    assert kind.expected


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (Widths(), "128,,64"),
        (Widths(), "128,-1"),
        (Widths(), "1.5"),
        (Widths(), [1] * 200),
        (Widths(), {"a": 1}),
        (Number(), "nan"),
        (Number(), "1_000"),
        (Number(), True),
        (Number(), -1),
        (Number(0, 1, most_allowed=False), 1),
        (Number(0, 1, least_allowed=False), 0),
        (Whole(), 0.5),
        (Whole(), "1e30"),
        (Choice(("adam",)), 3),
        (Text(), " "),
        (Text(), "a\0b"),
        (Character(), "ab"),
        (Size(), "12x"),
        (Size(), "1x2x3"),
        (Size(), "5000"),
        (Names(), ["a", None]),
        (Switch(), "yes"),
    ],
)
def test_values_that_make_no_sense_are_refused(kind, written):
    with pytest.raises((ValueError, TypeError)):
        kind.parse(written)


def test_flags_win_over_the_file_and_the_file_over_the_defaults():
    settings = settings_from("digits", {"lr": "0.5"}, {"lr": 0.1, "epochs": 3}, "a.toml")
    assert (settings.lr, settings.epochs, settings.optimizer) == (0.5, 3, "adamw")


def test_an_error_names_the_flag_or_the_key():
    with pytest.raises(ConfigurationError, match=r"--lr"):
        settings_from("digits", {"lr": "fast"}, {})
    with pytest.raises(ConfigurationError, match=r"a\.toml, key 'lr'"):
        settings_from("digits", {}, {"lr": -1}, "a.toml")
    with pytest.raises(ConfigurationError, match="did you mean relu"):
        settings_from("digits", {"activation": "rely"}, {})
    with pytest.raises(ConfigurationError, match="means nothing for digits"):
        settings_from("digits", {"target": "x"}, {})


def test_a_toml_file_and_the_config_of_a_run_are_read(tmp_path):
    (tmp_path / "a.toml").write_text('recipe = "digits"\nlayers = [32, 16]\nbatch-size = 8\nquiet = true\n')
    expected = {"recipe": "digits", "layers": [32, 16], "batch_size": 8, "quiet": True}
    assert read_settings_file(str(tmp_path / "a.toml")) == expected
    (tmp_path / "config.json").write_text(json.dumps({"settings": {"recipe": "digits", "momentum": None, "seed": 4}}))
    assert read_settings_file(str(tmp_path / "config.json")) == {"recipe": "digits", "seed": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate = 1", "did you mean 'lr'"),
        ("epoch = 1", "did you mean 'epochs'"),
        ("[train]\nlr = 1", "no setting"),
        ("lr = ", "no TOML"),
        ("batch-size = 1\nbatch_size = 2", "twice"),
    ],
)
def test_mistakes_in_a_toml_file_are_named(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises((ConfigurationError, FileFormatError), match=message):
        read_settings_file(str(tmp_path / "a.toml"))


def test_every_setting_is_a_flag_with_help_and_goes_into_the_record():
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    text = " ".join(parser.format_help().split())
    recorded = {name for recipe in RECIPES for name in Settings(recipe=recipe).record()}
    for field in all_fields():
        assert "--" + field.name.replace("_", "-") in text
        assert field.metadata["help"].split()[0] in text
        assert (field.name in recorded) == field.metadata["recorded"]
    assert set(OTHER_NAMES.values()) <= {field.name for field in all_fields()}


def test_a_recorded_setting_gives_the_same_settings_again():
    made = settings_from("table", {"layers": "8", "data": "a.csv", "target": "3", "categorical": "a,b"}, {})
    record = json.loads(json.dumps(made.record()))
    again = {name: value for name, value in record.items() if name != "recipe" and value not in (None, [])}
    assert settings_from("table", {}, again) == made


@pytest.mark.parametrize(
    ("what", "recipe", "data"),
    [("digits", "digits", None), ("a.csv", "table", "a.csv"), ("./digits", "table", "./digits")],
)
def test_what_is_trained_on_is_a_recipe_or_a_file(what, recipe, data):
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    settings = settings_of_flags(parser.parse_args([what]))
    assert (settings.recipe, settings.data) == (recipe, data)


def test_small_tables_get_small_batches_and_large_ones_few_epochs():
    sizes = [10, 100, 1000, 10_000, 100_000, 10_000_000]
    batches = [batch_size_for(size) for size in sizes]
    assert batches == sorted(batches)
    assert batches[0] >= 8
    assert epochs_for(10, 8) == 60
    assert epochs_for(10_000_000, 1024) == 10
    assert set(DEFAULTS) >= {"digits", "mnist", "fashion_mnist", "classification", "regression"}


# --- what the settings build -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_makes_a_network(activation):
    shape = NetworkShape((3, 2), (4, 5), 2, activation, dropout=0.1, batch_norm=True)
    model = build(shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters
    assert NetworkShape.from_config(json.loads(json.dumps(shape.to_config())), "here") == shape
    assert next(name for name, _ in model.named_parameters()) == "hidden_1.weight"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_stays_within_the_learning_rate(schedule):
    settings = Settings(recipe="digits", lr=0.1, epochs=6, schedule=schedule)
    values = learning_rate(settings, 10).values(60)
    assert values.max() <= 0.1 + 1e-12
    assert values.min() >= 0
    assert values.max() >= 0.09
    if schedule not in ("constant", "warmup"):
        assert np.ptp(values) > 0.01


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_takes_the_settings(optimizer):
    model = build(NetworkShape((2,), (3,), 2))
    settings = Settings(recipe="digits", lr=0.1, epochs=2, optimizer=optimizer, l1=0.1, l2=0.2)
    made = make_optimizer(settings, model, 5)
    assert type(made).__name__.lower() == optimizer
    assert len(make_penalties(settings, model)) == 2
    assert made.param_groups[0].get("momentum", 0.0) == (0.9 if optimizer == "sgd" else 0.0)


def test_the_policies_for_values_that_are_not_finite_are_those_of_the_trainer():
    assert NONFINITE == POLICIES


def test_momentum_belongs_to_sgd_and_rmsprop():
    model = build(NetworkShape((2,), (), 2))
    with pytest.raises(ConfigurationError, match="momentum"):
        make_optimizer(Settings(recipe="digits", lr=0.1, epochs=1, momentum=0.5), model, 5)
