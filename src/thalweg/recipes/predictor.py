"""A trained network with everything that is needed to use it: out of a run folder, or straight after training.

In: a run folder, or a model with its reader and outputs. Out: predictions for files. Nothing in a folder is trusted:
what it says is checked before a network of that size is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from thalweg import nn
from thalweg.data.files import believing_nothing
from thalweg.data.table import Table
from thalweg.errors import FileFormatError, StateError, ThalwegError, explain
from thalweg.models import BeamSearch, docked
from thalweg.recipes.images import ImageReader
from thalweg.recipes.networks import Network, build_network, check_network_weights, network_from_config
from thalweg.recipes.picture_network import PictureNetwork
from thalweg.recipes.pictures import examples_at_once
from thalweg.recipes.problem import CONTROL, DETECTION, TRANSCRIPTION, Outputs, Reader
from thalweg.recipes.recording_reader import RecordingReader
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.sequence_modules import heard
from thalweg.recipes.sequence_network import SequenceNetwork
from thalweg.recipes.settings import Settings, checked, fields_of
from thalweg.recipes.table_reader import TableReader
from thalweg.recipes.text_reader import LanguageReader, TextReader, TranslationReader
from thalweg.recipes.truck import StartReader
from thalweg.tensor import from_numpy, no_grad
from thalweg.train import Trainer
from thalweg.train.checkpoint import load_weights

BATCH = 256


@dataclass
class Predictor:
    """A network in evaluation mode, how inputs become its inputs, and what its outputs mean."""

    model: nn.Module
    reader: Reader
    outputs: Outputs
    shape: Network
    beam: int = 1
    length_penalty: float = 0.0

    def raw(self, x: Any) -> np.ndarray:
        """The outputs of the last layer, (n, outputs) or (n, outputs, height, width), batch by batch.

        Of sequences `x` is one batch: an array, or a tuple of several inputs.
        """
        if isinstance(self.shape, SequenceNetwork):
            inputs = (x,) if isinstance(x, tuple) else x
            return self._trainer.predict(inputs, batch_size=len(x[0] if isinstance(x, tuple) else x))
        if isinstance(self.shape, PictureNetwork):
            return self._compiled(x)
        self.model.eval()
        rows = []
        with no_grad():
            for first in range(0, len(x), BATCH):
                batch = np.ascontiguousarray(x[first : first + BATCH], dtype=np.float32)
                rows.append(np.array(self.model(from_numpy(batch)).numpy()))
        return np.concatenate(rows)

    def _compiled(self, x: np.ndarray) -> np.ndarray:
        """Convolutions as one program; a short last batch is filled up, so that no second one has to be compiled."""
        size = examples_at_once(x.shape)
        more = -len(x) % size if len(x) > size else 0
        whole = np.concatenate([x, np.zeros((more, *x.shape[1:]), x.dtype)]) if more else x
        return np.asarray(self._trainer.predict(np.ascontiguousarray(whole, np.float32), batch_size=size)[: len(x)])

    @cached_property
    def _trainer(self) -> Trainer:
        return Trainer(self.model, progress=False)

    def translations(self, tokens: np.ndarray) -> list[str]:
        """A translation of each padded source sentence: greedy, or by a search that keeps `beam` beginnings."""
        reader = self.reader
        assert isinstance(reader, TranslationReader)
        return reader.target.decode_all(self.written(tokens))

    def written(self, tokens: np.ndarray) -> list[list[int]]:
        """The tokens of translations."""
        return self._search(tokens)

    @cached_property
    def _search(self) -> BeamSearch:
        """Made once, so that the batches of one shape share a program."""
        reader = self.reader
        assert isinstance(reader, TranslationReader)
        return BeamSearch(
            cast(Any, self.model.eval()), reader.target.bos, reader.target.eos, reader.longest, self.beam,
            self.length_penalty,
        )  # fmt: skip

    def boxes(self, raw: np.ndarray) -> np.ndarray:
        """Raw outputs of a detector as boxes, (n, most, 6): corners in pixels of the input, score, class."""
        assert isinstance(self.shape, PictureNetwork)
        assert self.outputs.task == DETECTION
        return np.asarray(self.shape.decoder()(raw))

    def predictions(self, path: str) -> Iterator[Table]:
        """Predictions for a file, in chunks of rows: `prediction`, and for classes the probability of each."""
        for x in self.reader.inputs(path):
            yield self.table_of(self.raw(x))

    def table_of(self, raw: np.ndarray) -> Table:
        """Raw outputs as a table of predictions."""
        if self.outputs.task == CONTROL:
            names = ("x at the end", "y at the end", "trailer at the end", "cab at the end")
            return Table({"docked": docked(raw).astype(np.int64)} | dict(zip(names, raw.T, strict=True)))
        if self.outputs.task == TRANSCRIPTION:
            assert isinstance(self.reader, RecordingReader)
            return Table({"prediction": [self.reader.told(labels) for labels in heard(raw)]})
        if self.outputs.classes is None:
            return Table({"prediction": self.outputs.values(raw)})
        probabilities = self.outputs.probabilities(raw)
        columns: dict[str, Any] = {"prediction": _column(self.outputs.classes, probabilities.argmax(axis=1))}
        for name, values in zip(self.outputs.classes, probabilities.T, strict=True):
            columns[f"probability of {name}"] = values
        return Table(columns)


def _column(classes: list[Any], numbers: np.ndarray) -> np.ndarray:
    named: np.ndarray = np.array(classes, dtype=object)[numbers]
    return named


# --- out of a run folder ---------------------------------------------------------------------------------------------


def load_predictor(folder: RunFolder, config: dict[str, Any] | None = None) -> Predictor:
    """The network of a run. Raises FileFormatError for a folder that holds no run, or a damaged one."""
    config = folder.read_config() if config is None else config
    with believing_nothing("the configuration of the run", folder.config):
        return _predictor(folder, config, str(folder.config))


def _predictor(folder: RunFolder, config: dict[str, Any], where: str) -> Predictor:
    outputs = Outputs.from_config(config.get("outputs"), where)
    shape = network_from_config(config.get("network"), where)
    reader = _reader(config.get("inputs"), where)
    if shape.outputs != outputs.width or _inputs_of(shape) != _inputs(reader):
        raise FileFormatError(
            explain(
                "the parts of the configuration do not fit together",
                received=f"a network {shape}, inputs {_inputs(reader)}, {outputs.width} outputs",
                where=where,
                remedy="it was changed by hand, or put together from different runs",
            )
        )
    arrays = load_weights(folder.weights)
    check_network_weights(shape, arrays, str(folder.weights))
    model = build_network(shape)
    try:
        model.load_state_dict(arrays)
    except StateError as error:
        error.args = (f"{error}\n  file:     {folder.weights}",)
        raise
    return Predictor(model, reader, outputs, shape)


def _reader(config: Any, where: str) -> Reader:
    kinds: dict[str, Any] = {
        "table": TableReader, "images": ImageReader, "starts": StartReader, "recordings": RecordingReader,
        "texts": TextReader, "language": LanguageReader, "translations": TranslationReader,
    }  # fmt: skip
    try:
        with believing_nothing("the description of the inputs", where):
            return cast(Reader, kinds[config["kind"]].from_config(config))
    except FileFormatError:
        raise
    except ThalwegError as error:
        raise FileFormatError(
            explain("the description of the inputs is damaged", received=f"{error}"[:200], where=where)
        ) from error


def _inputs(reader: Reader) -> int:
    if isinstance(reader, TableReader):
        return reader.encoder.width
    if isinstance(reader, ImageReader):
        return int(np.prod(reader.shape))
    return int(reader.width)  # type: ignore[attr-defined]


def _inputs_of(shape: Network) -> int:
    return int(np.prod(shape.input_shape))


def settings_of(config: dict[str, Any], where: str) -> Settings:
    """The settings that a run was made with."""
    with believing_nothing("the record of the run's settings", where):
        values = dict(config["settings"])
        recipe = values.pop("recipe")
        if unknown := set(values) - {field.name for field in fields_of(recipe)}:
            raise KeyError(*sorted(unknown))
        kept = {name: checked(name, value, where) for name, value in values.items() if value is not None}
        return Settings(recipe=recipe, **kept)
