"""Every setting of a training run, said once: its default, its range, its help, and which recipes know it.

In: texts of the command line, values of a file. Out: `Settings`, checked.
The command line makes its flags out of these fields, so a setting is a flag, a TOML key and a line of config.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.recipes.kinds import Character, Choice, Kind, Names, Number, Size, Switch, Text, Whole, Widths

TABLE, IMAGE_FOLDER, MASK_FOLDER, VOC = "table", "image_folder", "mask_folder", "voc"
IMAGES = ("digits", "mnist", "fashion_mnist", "cifar10", "membrane", "bccd")
FOLDERS = (IMAGE_FOLDER, MASK_FOLDER, VOC)
"""What `thalweg train PATH` takes a folder (or a zip archive) for: recognised, never typed."""
PICTURES = (*IMAGES, *FOLDERS)
TRUCK, SHAKESPEARE, RT_POLARITY, MULTI30K = "truck", "shakespeare", "rt_polarity", "multi30k"
SPOKEN_DIGITS, DIGIT_STRINGS = "spoken_digits", "digit_strings"
TEXT, TEXT_TABLE, TRANSLATIONS, RECORDINGS = "text", "text_table", "translations", "recordings"
LANGUAGE_MODELS, CLASSIFIED_TEXTS = (SHAKESPEARE, TEXT), (RT_POLARITY, TEXT_TABLE)
TRANSLATED, SPEECH = (MULTI30K, TRANSLATIONS), (SPOKEN_DIGITS, DIGIT_STRINGS, RECORDINGS)
TEXTS = (*LANGUAGE_MODELS, *CLASSIFIED_TEXTS, *TRANSLATED)
SEQUENCES = (*TEXTS, *SPEECH, TRUCK)
SEQUENCE_FILES = (TEXT, TEXT_TABLE, TRANSLATIONS, RECORDINGS)
"""What a path is taken for, as FOLDERS."""
NAMED = (*IMAGES, *(each for each in SEQUENCES if each not in SEQUENCE_FILES))
"""What is asked for by its name."""
ROWS_AND_PICTURES = (*PICTURES, TABLE)
RECIPES = (*ROWS_AND_PICTURES, *SEQUENCES)
PERCEPTRON, CONVOLUTIONAL, RESNET, UNET, CENTERNET = "perceptron", "convolutional", "resnet20", "unet", "centernet"
PICTURE_NETWORKS = (PERCEPTRON, CONVOLUTIONAL, RESNET, UNET, CENTERNET)
GPT, LSTM, SENTENCE_CNN, GRU, TRANSFORMER, CTC, CONTROLLER = (
    "gpt", "lstm", "sentence_cnn", "gru", "transformer", "ctc", "controller"
)  # fmt: skip
SEQUENCE_NETWORKS = (GPT, LSTM, SENTENCE_CNN, GRU, TRANSFORMER, CTC, CONTROLLER)
NETWORKS = (*PICTURE_NETWORKS, *SEQUENCE_NETWORKS)
ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softplus")
OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", "adagrad")
SCHEDULES = (
    "one-cycle", "cosine", "warmup-cosine",
    "cosine-restarts", "constant", "warmup", "step", "exponential", "polynomial", "inverse-time",
    "cyclical",
)  # fmt: skip
NONFINITE = ("warn", "raise", "skip_step", "rollback")
OFF = "off"
DOCTOR = (OFF, "watch", "advise", "repair")
REGRESSION_LOSSES = ("mse", "mae", "huber")
SEGMENTATION_LOSSES = ("cross_entropy", "cross_entropy_dice")
DETECTION_LOSSES = ("centernet",)
GROUPS = {
    "the network": "what is trained",
    "training": "how it learns",
    "regularisation": "what keeps it from learning the training part by heart",
    "the run": "where everything goes, and what decides the random numbers",
    "images": "which pictures, and what is done to them",
    "tables": "how a CSV file is read",
    "sequences": "texts, recordings and the truck",
}
# What other programs call a setting, for those who come from there.
OTHER_NAMES = {
    "learning_rate": "lr", "hidden": "layers", "hidden_layers": "layers", "hidden_layer_sizes": "layers",
    "units": "layers", "folder": "run", "run_folder": "run", "label": "target", "gradient_clipping": "clip",
    "max_grad_norm": "clip", "early_stopping": "patience", "validation_split": "validation", "random_state": "seed",
    "decay": "weight_decay", "silent": "quiet", "verbose": "quiet", "separator": "delimiter",
}  # fmt: skip


def setting(default: Any, kind: Kind, group: str, help: str, *, recipes: Iterable[str] = RECIPES,
            recorded: bool = True, shown: str | None = None) -> Any:  # fmt: skip
    """A field of `Settings`: None as default means that the recipe, or the data, decides; `shown` says how."""
    metadata = {"kind": kind, "group": group, "help": help, "recipes": tuple(recipes), "recorded": recorded,
                "shown": shown}  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one run. `None` is still to be decided by the recipe or by the data (`resolved`).

    >>> Settings(recipe="digits", epochs=5).epochs
    5
    """

    recipe: str
    network: str | None = setting(
        None,
        Choice(NETWORKS),
        "the network",
        "kind of network for pictures and sequences",
        recipes=(*PICTURES, *SEQUENCES),
        shown="by the task; perceptron where --layers is given",
    )
    layers: tuple[int, ...] | None = setting(
        None, Widths(), "the network", "widths of the hidden layers of a perceptron", recipes=ROWS_AND_PICTURES
    )
    base: int | None = setting(
        None, Whole(1, 1024), "the network", "channels of the first convolution", recipes=PICTURES
    )
    activation: str = setting(
        "relu", Choice(ACTIVATIONS), "the network", "activation after each hidden layer", recipes=ROWS_AND_PICTURES
    )
    batch_norm: bool | None = setting(
        None, Switch(both_ways=True), "the network", "normalise each hidden layer of a perceptron over the batch",
        recipes=ROWS_AND_PICTURES,
    )  # fmt: skip
    width: int | None = setting(
        None, Whole(1, 8192), "the network", "numbers that stand for a token or a frame in each layer",
        recipes=SEQUENCES,
    )  # fmt: skip
    depth: int | None = setting(
        None, Whole(1, 64), "the network", "layers, one upon the other", recipes=(*TEXTS, *SPEECH)
    )
    heads: int | None = setting(None, Whole(1, 64), "the network", "heads of each attention", recipes=TEXTS)
    context: int | None = setting(
        None, Whole(1, 1 << 16), "the network", "tokens that a language model is trained on at once",
        recipes=LANGUAGE_MODELS,
    )  # fmt: skip

    epochs: int | None = setting(None, Whole(1, 1_000_000), "training", "passes over the training part, at most")
    batch_size: int | None = setting(
        None, Whole(1, 1 << 24), "training", "examples in a step: 1 is stochastic gradient descent"
    )
    optimizer: str = setting("adamw", Choice(OPTIMIZERS), "training", "rule that turns gradients into updates")
    lr: float | None = setting(
        None, Number(0, 1e6, least_allowed=False), "training", "learning rate, the highest one of the schedule"
    )
    momentum: float | None = setting(
        None,
        Number(0, 1, most_allowed=False),
        "training",
        "momentum of sgd and rmsprop",
        shown="0.9 for sgd, 0 for rmsprop",
    )
    schedule: str | None = setting(None, Choice(SCHEDULES), "training", "course of the learning rate over the run")
    patience: int | None = setting(
        None,
        Whole(0, 1_000_000),
        "training",
        "stop after so many epochs without improvement on the validation part; 0 never stops early",
    )
    loss: str | None = setting(
        None,
        Choice((*SEGMENTATION_LOSSES, *DETECTION_LOSSES, *REGRESSION_LOSSES)),
        "training",
        "what is minimised",
        recipes=ROWS_AND_PICTURES,
        shown="cross_entropy, mse for regression, centernet for boxes",
    )

    dropout: float | None = setting(
        None, Number(0, 1, most_allowed=False), "regularisation", "probability of leaving out a hidden unit"
    )
    l1: float = setting(0.0, Number(), "regularisation", "strength of the L1 penalty on the weights")
    l2: float = setting(0.0, Number(), "regularisation", "strength of the L2 penalty on the weights")
    weight_decay: float | None = setting(
        None, Number(), "regularisation", "decay of the weights in each step, decoupled for adamw"
    )
    clip: float | None = setting(None, Number(), "regularisation", "largest norm of the gradient; 0 does not clip")
    label_smoothing: float | None = setting(
        None, Number(0, 1, most_allowed=False), "regularisation", "share of the target spread over all classes",
        recipes=(*ROWS_AND_PICTURES, *CLASSIFIED_TEXTS, *TRANSLATED, SPOKEN_DIGITS, RECORDINGS),
    )  # fmt: skip

    nonfinite: str = setting(
        "warn", Choice(NONFINITE), "training", "a step whose loss or gradient is not finite: end the run after it; "
        "leave it out and end the run with an error; leave it out and go on; go back and halve the learning rate",
    )  # fmt: skip
    recompute: bool = setting(
        False, Switch(), "training", "compute activations again in the backward pass instead of keeping them: less "
        "memory, more time",
    )  # fmt: skip

    seed: int = setting(
        0, Whole(0, 2**63 - 1), "the run", "decides the parts, the first weights, the order, the dropout"
    )
    validation: float = setting(
        0.1,
        Number(0, 1, least_allowed=False, most_allowed=False),
        "the run",
        "share of the training part that is held out to choose the best epoch",
    )
    doctor: str = setting(
        "watch", Choice(DOCTOR), "the run", "look at the run for what is wrong with it: not at all; a line for each "
        "problem; with remedies, also by training copies; try the remedies and keep one that helps",
    )  # fmt: skip
    run: str | None = setting(
        None, Text("folder"), "the run", "folder to write", recorded=False, shown="runs/NAME-001, -002, ..."
    )
    no_pictures: bool = setting(False, Switch(), "the run", "draw nothing", recorded=False)
    quiet: bool = setting(False, Switch(), "the run", "no progress: print the result alone", recorded=False)

    resume: str | None = setting(
        None, Text("folder"), "the run", "go on with a run that was interrupted; all settings are those of the run",
        recorded=False, shown="no",
    )  # fmt: skip

    data: str | None = setting(
        None,
        Text("folder"),
        "images",
        "folder with the files of a named set",
        recipes=[each for each in RECIPES if each not in ("digits", TRUCK)],
        shown="$THALWEG_DATA",
    )
    image_size: tuple[int, int] | None = setting(
        None,
        Size(),
        "images",
        "size that pictures are brought to",
        recipes=("bccd", *FOLDERS),
        shown="theirs, up to a limit that depends on the task",
    )
    augment: bool | None = setting(
        None,
        Switch(both_ways=True),
        "images",
        "change the training pictures at random: moved, mirrored, turned; of recordings hide bands and moments",
        recipes=(*PICTURES, *SPEECH),
        shown="on, off for a perceptron",
    )
    skip_bad: bool = setting(
        False,
        Switch(),
        "images",
        "leave out files and boxes that cannot be used, and say which",
        recipes=(*FOLDERS, RECORDINGS),
    )

    target: str | None = setting(
        None,
        Text("column"),
        "tables",
        "column to predict: its name, or its number from 0 (-1 is the last)",
        recipes=[TABLE, TEXT_TABLE],
    )
    test: str | None = setting(
        None,
        Text("file"),
        "tables",
        "file (of pictures or recordings: folder) to test on",
        recipes=[*FOLDERS, TABLE, TEXT, TEXT_TABLE, RECORDINGS],
        shown="a part of the data is split off",
    )
    test_fraction: float = setting(
        0.2,
        Number(0, 1, least_allowed=False, most_allowed=False),
        "tables",
        "share that is split off for the test, where no --test is given",
        recipes=[*FOLDERS, TABLE, TEXT, TRANSLATIONS, RECORDINGS],
    )
    task: str | None = setting(
        None,
        Choice(("classification", "regression")),
        "tables",
        "what the target is",
        recipes=[TABLE],
        shown="by what the column holds",
    )
    no_header: bool = setting(
        False, Switch(), "tables", "the first line is data; columns are then named by number", recipes=[TABLE]
    )
    delimiter: str | None = setting(
        None, Character(), "tables", "character between cells", recipes=[TABLE], shown="found out"
    )
    categorical: tuple[str, ...] = setting(
        (),
        Names(),
        "tables",
        "columns of numbers that are categories (codes)",
        recipes=[TABLE],
        shown="by what they hold",
    )
    drop: tuple[str, ...] = setting((), Names(), "tables", "columns to leave out", recipes=[TABLE], shown="none")
    stream: bool = setting(
        False,
        Switch(),
        "tables",
        "read the file again for each epoch, in constant memory",
        recipes=[TABLE],
        shown="for files over 128 MB (gzip: 24 MB)",
    )

    text: str | None = setting(
        None, Text("column"), "sequences", "column of text in a CSV file: its name, or its number from 0",
        recipes=[TEXT_TABLE], shown="the one with the longest cells",
    )  # fmt: skip
    translation: str | None = setting(
        None, Text("file"), "sequences", "file whose lines are the translations of those of WHAT",
        recipes=[TRANSLATIONS],
    )  # fmt: skip
    labels: str | None = setting(
        None, Text("file"), "sequences", "where the classes of recordings stand: names, folders, or a CSV file",
        recipes=[RECORDINGS], shown="folders where there are several, else what is before _ or - in the names",
    )  # fmt: skip
    tokens: str | None = setting(
        None, Choice(("characters", "words", "whitespace", "bpe")), "sequences", "what a text is cut into",
        recipes=TEXTS,
    )  # fmt: skip
    vocabulary: int | None = setting(
        None, Whole(8, 1 << 20), "sequences", "most different tokens", recipes=TEXTS, shown="by the task"
    )
    folds: int = setting(
        10, Whole(2, 1000), "sequences", "parts that the data is cut into where it has no test part",
        recipes=CLASSIFIED_TEXTS,
    )  # fmt: skip
    fold: int = setting(0, Whole(0, 999), "sequences", "which of these is the test part", recipes=CLASSIFIED_TEXTS)
    cross_validate: bool = setting(
        False, Switch(), "sequences", "train once for each fold, and give the mean", recipes=CLASSIFIED_TEXTS,
        recorded=False,
    )  # fmt: skip

    def replaced(self, **changes: Any) -> Settings:
        """The same settings with some of them changed."""
        return dataclasses.replace(self, **changes)

    def record(self) -> dict[str, Any]:
        """What config.json holds of them: everything that the result depends on."""
        recorded = [field.name for field in fields_of(self.recipe) if field.metadata["recorded"]]
        return {"recipe": self.recipe} | {name: getattr(self, name) for name in recorded}


def all_fields() -> list[dataclasses.Field[Any]]:
    """The settings that a user writes, in order; `recipe` itself is a positional argument."""
    return [field for field in dataclasses.fields(Settings) if field.metadata]


def fields_of(recipe: str) -> list[dataclasses.Field[Any]]:
    """The settings that a recipe knows."""
    return [field for field in all_fields() if recipe in field.metadata["recipes"]]


def flag_of(name: str) -> str:
    """The flag of a setting.

    >>> flag_of("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def checked(name: str, value: Any, where: str) -> Any:
    """The value of a setting, or a ConfigurationError that names where it was written."""
    kind: Kind = next(field.metadata["kind"] for field in all_fields() if field.name == name)
    try:
        return kind.parse(value)
    except (ValueError, TypeError, OverflowError):
        raise ConfigurationError(
            explain(
                f"not a possible value of {name.replace('_', ' ')}",
                received=f"{value!r:.80}",
                expected=kind.expected,
                where=where,
                remedy=kind.remedy(value),
            )
        ) from None


def settings_from(recipe: str, flags: Mapping[str, Any], file: Mapping[str, Any], path: str = "") -> Settings:
    """The settings of a recipe: its flags win over the file, the file over the defaults.

    Raises ConfigurationError for a value out of range, and for a flag that the recipe does not know.
    """
    known = [field.name for field in fields_of(recipe)]
    values = {}
    for given, where in ((file, f"{path}, key {{}}"), (flags, "{}")):
        for name, value in given.items():
            place = where.format(repr(name) if given is file else flag_of(name))
            if name not in known:
                raise _not_of_this_recipe(recipe, name, place)
            values[name] = checked(name, value, place)
    return Settings(recipe=recipe, **values)


def _not_of_this_recipe(recipe: str, name: str, place: str) -> ConfigurationError:
    field = next(field for field in all_fields() if field.name == name)
    return ConfigurationError(
        explain(
            f"{place} means nothing for {recipe}",
            expected=f"a setting of {recipe}; this one is of {', '.join(field.metadata['recipes'])}",
            remedy="leave it out, or name another recipe or a CSV file; see thalweg train --help",
        )
    )
